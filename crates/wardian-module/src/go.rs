//! What programs of Go know about themselves: names, files and lines of their functions.
//!
//! The runtime of Go needs a table of all functions, `runtime.pclntab`, so that it is in the data of every
//! program, also of one without a name section. Program counters in it are not offsets in the code: on
//! WebAssembly an address of Go is an index into the function table and the number of a point in the function
//! where it can be resumed, which is after calls. So lines and inlined calls are exact where the code calls.
//! Elsewhere they are those of the call nearest in the code.
//!
//! The table is data of a module that nobody trusts. Everything that is read of it is checked, and lookups
//! count what they cost.

mod calls;
mod image;
mod stack;
mod table;
#[cfg(test)]
mod tests;

pub use stack::GoCall;

use crate::{ModuleInfo, SourceLocation};
use calls::CallPoint;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use table::{Entry, Place, Table};
use wardian_types::{CodeOffset, DefinedFuncIndex, FuncIndex};

wardian_types::index_types! {
    /// An address of code as Go counts it: which function in the upper half, and a [`GoPc`] in the lower one.
    pub struct GoAddr;

    /// A point in a function of Go, as its tables count them from the entry on.
    pub(crate) struct GoPc;
}

/// The table of a program, and what was looked up.
#[derive(Debug)]
pub(crate) struct Go {
    table: Table,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Calls of functions that were asked for.
    calls: HashMap<FuncIndex, Arc<[CallPoint]>>,
    /// What lookups may still cost.
    work: u64,
}

/// What lookups may cost: a step in a table of lines.
const WORK: u64 = 1 << 30;

impl Go {
    /// What a module has, if it is one of Go.
    pub(crate) fn find(bytes: &[u8], info: &ModuleInfo) -> Option<Go> {
        let table = Table::find(bytes, info)?;
        Some(Go { table, state: Mutex::new(State { calls: HashMap::new(), work: WORK }) })
    }

    /// Between which addresses its functions are.
    pub(crate) fn addresses(&self) -> Option<Range<GoAddr>> {
        self.table.addresses()
    }

    /// A function's name, with its package.
    pub(crate) fn func_name<'a>(&self, bytes: &'a [u8], func: FuncIndex) -> Option<&'a str> {
        self.table.function_name(bytes, self.table.entry(func)?)
    }

    /// Where a function begins in its source.
    pub(crate) fn start(&self, bytes: &[u8], func: FuncIndex) -> Option<SourceLocation> {
        let place = self.table.start(bytes, self.table.entry(func)?)?;
        Some(location(place, false))
    }

    /// Where a code offset comes from, the innermost inlined call first.
    pub(crate) fn locate(
        &self,
        bytes: &[u8],
        info: &ModuleInfo,
        offset: CodeOffset,
    ) -> Vec<SourceLocation> {
        let found = function_at(info, offset).and_then(|func| {
            let entry = self.table.entry(func)?;
            let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
            let points = state.calls(func, || points(bytes, info, func, entry));
            let (pc, exact) = calls::nearest(&points, offset);
            let places = self.table.places(bytes, entry, pc, &mut state.work)?;
            Some(places.into_iter().map(|place| location(place, !exact)).collect())
        });
        found.unwrap_or_default()
    }
}

impl State {
    fn calls(
        &mut self,
        func: FuncIndex,
        find: impl FnOnce() -> Box<[CallPoint]>,
    ) -> Arc<[CallPoint]> {
        self.calls.entry(func).or_insert_with(|| find().into()).clone()
    }
}

fn points(bytes: &[u8], info: &ModuleInfo, func: FuncIndex, entry: Entry) -> Box<[CallPoint]> {
    let body = info.defined_function(func).and_then(|at| info.bodies.get(at));
    let points = |body| calls::points(bytes, body, info.code_section, entry.address);
    body.cloned().map(points).unwrap_or_default()
}

fn location(place: Place<'_>, approximate: bool) -> SourceLocation {
    let (function, file) = (place.function.map(str::to_owned), place.file.to_owned());
    SourceLocation { function, file, line: place.line, column: None, approximate }
}

/// The function that a code offset is in.
fn function_at(info: &ModuleInfo, offset: CodeOffset) -> Option<FuncIndex> {
    let at = info.code_section.checked_add(offset.index())?;
    let after = info.bodies.as_slice().partition_point(|body| body.start <= at);
    let defined = DefinedFuncIndex::from_usize(after.checked_sub(1)?);
    info.bodies[defined].contains(&at).then(|| info.func_index(defined))
}
