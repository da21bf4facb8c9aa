//! What native debuggers read: compiled code as object files in memory, with functions, lines and how frames are left.
//!
//! ```text
//!   piece of code ─┐
//!   piece of code ─┼─> object file ──> list that debuggers read (wardian_vm::debugger)
//!   piece of code ─┘
//! ```
//!
//! Debuggers take long to read thousands of objects, and hot functions are published one by one. So a new object takes in
//! those of the last ones that are no larger than it is: objects become larger towards the first, of n functions there are
//! about log n objects, and a function is written about log n times. When code is freed, the objects that it was in are
//! written again without it.
//!
//! The objects are those of the process, as the list is.

mod dwarf;
mod elf;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use wardian_module::Module;
use wardian_types::{CodeOffset, DefinedFuncIndex};
use wardian_vm::addr::CodeAddr;
use wardian_vm::compiled::{CompiledFunction, TextOffset};
use wardian_vm::debugger::RegisteredObject;
use wardian_vm::unwind::Saved;

/// Pieces of code in an object; an object of so many takes in no more. They are sections, of which there are 65280 at most.
const PIECES: usize = 8192;

/// Whether an engine of this process wants objects.
static WANTED: AtomicBool = AtomicBool::new(false);

/// All objects. Each has at most as many functions as the one before.
static OBJECTS: Mutex<Vec<Object>> = Mutex::new(Vec::new());

struct Object {
    pieces: Vec<Piece>,
    /// It is in the list of debuggers as long as this is there.
    registered: Option<RegisteredObject>,
}

/// Code that was published together.
struct Piece {
    /// What it is part of.
    name: String,
    range: Range<CodeAddr>,
    functions: Vec<Function>,
    /// Paths of source files.
    files: Vec<String>,
}

/// A function, or code that has a frame as functions have.
struct Function {
    name: String,
    range: Range<CodeAddr>,
    saved: Saved,
    /// Where it returns with its frame gone, from its start.
    returns: Vec<Range<TextOffset>>,
    rows: Vec<Row>,
}

/// From where on code belongs to which line.
#[derive(Clone, Copy, PartialEq)]
struct Row {
    offset: TextOffset,
    /// The position of a file; none of code that no line is known of.
    file: Option<usize>,
    line: u32,
    column: u32,
}

/// Lets debuggers know code that is compiled from now on.
pub(crate) fn enable() {
    WANTED.store(true, Ordering::Relaxed);
}

fn is_enabled() -> bool {
    WANTED.load(Ordering::Relaxed)
}

/// Adds code of a module: where it lies, and its functions with their addresses.
pub(super) fn add(
    module: &Module,
    range: Range<CodeAddr>,
    functions: impl Iterator<Item = (DefinedFuncIndex, CodeAddr, CompiledFunction)>,
) {
    let mut files = Files::default();
    let functions = functions.map(|(defined, start, function)| {
        let mut rows = Vec::with_capacity(function.locations.len());
        for location in &function.locations {
            let row = files.row(module, location.offset, function.innermost(*location));
            if rows.last().is_none_or(|last: &Row| (Row { offset: row.offset, ..*last }) != row) {
                rows.push(row);
            }
        }
        Function {
            name: module.display_name(module.info().func_index(defined)),
            range: start..start.add(function.text.len()),
            saved: function.saved,
            returns: returns(&function.text),
            rows,
        }
    });
    let functions = functions.collect();
    let name = module.name().unwrap_or("wasm").to_owned();
    register(Piece { name, range, functions, files: files.paths });
}

/// Adds code that belongs to no function: where its parts lie, and what they save. `what` names it.
pub(super) fn add_glue<'c>(what: &str, parts: impl Iterator<Item = (&'c [u8], Saved)>) {
    if !is_enabled() {
        return;
    }
    let function = |(code, saved): (&[u8], Saved)| {
        let start = CodeAddr::of(code.as_ptr().cast());
        let (range, returns) = (start..start.add(code.len()), returns(code));
        Function { name: format!("[wardian] {what}"), range, saved, returns, rows: Vec::new() }
    };
    let functions: Vec<Function> = parts.map(function).collect();
    let (Some(first), Some(last)) = (functions.first(), functions.last()) else { return };
    let range = first.range.start..last.range.end;
    register(Piece { name: "wardian".into(), range, functions, files: Vec::new() });
}

/// Takes the code out that begins at these addresses. It must still be there.
pub(super) fn remove(starts: &[CodeAddr]) {
    if !is_enabled() {
        return;
    }
    let mut objects = OBJECTS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_gone = |piece: &Piece| starts.contains(&piece.range.start);
    let mut kept = Vec::with_capacity(objects.len());
    for mut object in objects.drain(..) {
        if object.pieces.iter().any(is_gone) {
            // Before the new one: two that have the same code would confuse debuggers.
            object.registered = None;
            object.pieces.retain(|piece| !is_gone(piece));
            if object.pieces.is_empty() {
                continue;
            }
            object = Object::new(object.pieces);
        }
        kept.push(object);
    }
    *objects = kept;
}

/// Makes an object of a piece and of what it is to be merged with.
fn register(piece: Piece) {
    let mut objects = OBJECTS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pieces = vec![piece];
    let functions = |pieces: &[Piece]| pieces.iter().map(|p| p.functions.len()).sum::<usize>();
    while let Some(last) = objects.pop_if(|last| {
        functions(&last.pieces) <= functions(&pieces) && last.pieces.len() + pieces.len() < PIECES
    }) {
        let mut merged = last.pieces;
        merged.append(&mut pieces);
        pieces = merged;
    }
    objects.push(Object::new(pieces));
}

impl Object {
    fn new(pieces: Vec<Piece>) -> Object {
        // What cannot be written is not seen by debuggers, and nothing else.
        let file = dwarf::sections(&pieces).map(|sections| elf::write(&pieces, sections));
        let registered = file.ok().map(|file| RegisteredObject::new(file.into()));
        Object { pieces, registered }
    }
}

/// Source files by path.
#[derive(Default)]
struct Files {
    paths: Vec<String>,
    positions: HashMap<String, usize>,
}

impl Files {
    /// The line of an operator: that of the function itself, which calls what was
    /// inlined, since debuggers know nothing of that.
    fn row(&mut self, module: &Module, offset: TextOffset, operator: Option<CodeOffset>) -> Row {
        let known = operator.and_then(|at| module.source_locations(at).pop());
        let Some((place, line)) = known.and_then(|place| place.line.map(|line| (place, line)))
        else {
            return Row { offset, file: None, line: 0, column: 0 };
        };
        let paths = &mut self.paths;
        let position = *self.positions.entry(place.file).or_insert_with_key(|path| {
            paths.push(path.clone());
            paths.len() - 1
        });
        Row { offset, file: Some(position), line, column: place.column.unwrap_or(0) }
    }
}

/// Where code returns: behind the instructions that give up its frame. Debuggers that stop there would take the frame for
/// that of the caller. What only looks like these instructions, in the middle of others, is where no debugger stops.
fn returns(code: &[u8]) -> Vec<Range<TextOffset>> {
    // mov rsp, rbp; pop rbp
    const GIVES_UP: [u8; 4] = [0x48, 0x89, 0xec, 0x5d];
    if cfg!(not(target_arch = "x86_64")) {
        return Vec::new();
    }
    let found = code.windows(5).enumerate().filter(|(_, bytes)| bytes[..4] == GIVES_UP);
    let found = found.filter_map(|(at, bytes)| {
        // ret; ret with the bytes of arguments
        let size = [(0xc3, 1), (0xc2, 3)].into_iter().find(|(ret, _)| bytes[4] == *ret)?.1;
        let at = at as u32 + 4;
        Some(TextOffset::from_u32(at)..TextOffset::from_u32(at + size))
    });
    found.filter(|range| range.end.index() <= code.len()).collect()
}
