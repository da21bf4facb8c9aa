//! Code in memory, compiled or interpreted, and finding it again by address.

use super::{native_debug, perf_dump, perf_map};
use crate::Error;
use crate::module::ModuleInner;
use crate::settings::Settings;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock, Weak};
use wardian_types::{CodeOffset, DefinedFuncIndex, FuncIndex, IndexVec, TagIndex, TrapCode};
use wardian_vm::addr::CodeAddr;
use wardian_vm::code_memory::CodeMemory;
use wardian_vm::compiled::{
    CallHandlers, CapturedFrame, CompiledCode, CompiledFunction, CompiledIndex, HandlerNumber,
    SpOffset, TextOffset,
};
use wardian_vm::interpreted::FrameSlot;
use wardian_vm::unwind::Saved;

/// Code that a program counter can be in: compiled, or bytecode.
pub trait CodePiece: Send + Sync {
    /// Where it lies.
    fn range(&self) -> Range<CodeAddr>;
    /// The function around an address, by its position among those that the module defines.
    fn function_at(&self, pc: CodeAddr) -> Option<DefinedFuncIndex>;
    /// The offset in the code section of the operator whose code is at an address.
    fn location(&self, module: &ModuleInner, pc: CodeAddr) -> Option<CodeOffset>;
    /// The same, or of an operator nearby in the same function where that is not known.
    fn location_near(&self, module: &ModuleInner, pc: CodeAddr) -> Option<CodeOffset> {
        self.location(module, pc)
    }
    /// Where that is in a function whose body is there instead of a call of it: the function, and the offset of the
    /// operator. [`CodePiece::location`] is that of the call.
    fn inlined_at(&self, _pc: CodeAddr) -> Option<(DefinedFuncIndex, CodeOffset)> {
        None
    }
    /// Its functions that machine code is there for, and where that lies.
    fn machine_code(&self) -> Vec<(DefinedFuncIndex, Range<CodeAddr>)> {
        Vec::new()
    }
    /// The bytes of machine code that lies there.
    fn machine_code_bytes(&self, _: Range<CodeAddr>) -> &[u8] {
        &[]
    }
    /// It as code that a compiler made, if it is that.
    fn as_loaded(&self) -> Option<&LoadedCode> {
        None
    }
    /// Whether it is bytecode.
    fn is_interpreted(&self) -> bool {
        false
    }
    /// Where the code of the function around an address begins.
    fn start_of(&self, pc: CodeAddr) -> Option<CodeAddr>;
    /// The reason of a trap of the instruction at an address, where the address alone determines it.
    fn trap_at(&self, pc: CodeAddr) -> Option<TrapCode>;
    /// Where a compiled frame has references to objects that waits in the call which returns to this address:
    /// bytes from its stack pointer to its frame pointer, and the slots from its stack pointer.
    fn references_at(&self, _pc: CodeAddr) -> Option<(u32, &[SpOffset])> {
        None
    }
    /// Where a compiled frame has its values that waits in the call which returns to this address; or, if `before`,
    /// that asks there whether a checkpoint is wanted. None if it cannot be captured.
    fn captured_at(&self, _pc: CodeAddr, _before: bool) -> Option<CapturedFrame<'_>> {
        None
    }
    /// The slots of an interpreted frame that hold references to objects when it is resumed at this address;
    /// none if that is not known.
    fn references_in_slots(&self, _module: &ModuleInner, _ip: CodeAddr) -> Option<Vec<FrameSlot>> {
        None
    }
    /// Which registers the compiled function around an address saves in its frame.
    fn saved_at(&self, _pc: CodeAddr) -> Option<Saved> {
        None
    }
    /// The handlers of exceptions of the call in compiled code that returns to an address.
    fn handlers_at(&self, pc: CodeAddr) -> Option<Handlers<'_>> {
        let _ = pc;
        None
    }
}

/// The handlers of exceptions around a call in compiled code.
pub struct Handlers<'a> {
    /// Where exceptions enter.
    entry: CodeAddr,
    /// The call, in the tables beside the code.
    pub call: CallHandlers<'a>,
}

/// A handler in compiled code.
#[derive(Clone, Copy)]
pub struct Handler {
    /// Where exceptions enter.
    pub pc: CodeAddr,
    /// Its number in the function.
    pub number: HandlerNumber,
    pub(crate) frame_size: u32,
    /// Whether it takes a reference to the exception.
    pub(crate) by_reference: bool,
}

impl Handlers<'_> {
    /// The innermost handler that catches; `is_tag` says whether a tag of the module, by its index, is that
    /// of the exception.
    pub fn find(&self, is_tag: impl Fn(TagIndex) -> bool) -> Option<Handler> {
        let found = self.call.handlers().find(|handler| handler.tag.is_none_or(&is_tag))?;
        Some(Handler {
            pc: self.entry,
            number: found.number,
            frame_size: self.call.frame_size,
            by_reference: found.by_reference,
        })
    }
}

/// Compiled code of functions of a module.
#[derive(Debug)]
pub struct LoadedCode {
    /// Where it lies.
    pub memory: CodeMemory,
    tables: CompiledCode,
    /// Address of each function, ready to be copied into instances; zero where only what was hot is
    /// compiled and a function was not.
    pub entries: IndexVec<CompiledIndex, CodeAddr>,
    /// Which functions these are; none for all of the module.
    some: Option<IndexVec<CompiledIndex, DefinedFuncIndex>>,
    /// Of which functions there is code behind that of all functions that begins at loops.
    loops: Vec<DefinedFuncIndex>,
}

impl LoadedCode {
    /// Puts the code of all functions of a module where it can run, with that of loops of these functions behind it.
    pub(crate) fn publish(
        tables: CompiledCode,
        loops: Vec<DefinedFuncIndex>,
    ) -> Result<LoadedCode, Error> {
        LoadedCode::new(tables, None, loops)
    }

    /// Puts the code of these functions where it can run.
    pub(crate) fn publish_some(
        tables: CompiledCode,
        functions: Vec<DefinedFuncIndex>,
    ) -> Result<LoadedCode, Error> {
        LoadedCode::new(tables, Some(functions.into()), Vec::new())
    }

    fn new(
        mut tables: CompiledCode,
        some: Option<IndexVec<CompiledIndex, DefinedFuncIndex>>,
        loops: Vec<DefinedFuncIndex>,
    ) -> Result<LoadedCode, Error> {
        let memory = CodeMemory::publish(tables.text())
            .map_err(|e| Error::system("no executable memory for a module's code", e))?;
        tables.discard_text();
        let address = |position| match tables.function(position) {
            range if range.is_empty() => CodeAddr::NULL,
            range => memory.start().add(range.start.index()),
        };
        let functions = tables.len() - loops.len();
        let entries = (0..functions).map(CompiledIndex::from_usize).map(address).collect();
        Ok(LoadedCode { memory, tables, entries, some, loops })
    }

    fn offset(&self, pc: CodeAddr) -> Option<TextOffset> {
        let bytes = pc.checked_bytes_from(self.memory.start())?;
        u32::try_from(bytes).ok().map(TextOffset::from_u32)
    }

    /// The code of a function as it was compiled; for the code of a whole module.
    pub(crate) fn extract(&self, defined: DefinedFuncIndex) -> Option<CompiledFunction> {
        debug_assert!(self.some.is_none(), "the code has all functions of its module");
        self.tables.extract(CompiledIndex::of_whole(defined), self.memory.bytes(self.range()))
    }

    /// The functions and their addresses.
    pub fn functions(&self) -> impl Iterator<Item = (DefinedFuncIndex, CodeAddr)> {
        self.entries.enumerated().map(|(at, address)| (self.defined(at), *address))
    }

    /// Addresses of the code that begins at loops.
    pub(crate) fn loop_entries(&self) -> impl Iterator<Item = CodeAddr> {
        self.indices().skip(self.entries.len()).map(|at| self.address(at))
    }

    /// The code that begins at loops: of which functions, its addresses, and as it was compiled.
    pub(crate) fn loops(
        &self,
    ) -> impl Iterator<Item = (DefinedFuncIndex, CodeAddr, CompiledFunction)> {
        self.each_compiled_of(self.indices().skip(self.entries.len()))
    }

    /// The functions and loops that there is code for, their addresses, and their code as it was compiled.
    pub(crate) fn each_compiled(
        &self,
    ) -> impl Iterator<Item = (DefinedFuncIndex, CodeAddr, CompiledFunction)> {
        self.each_compiled_of(self.indices())
    }

    fn each_compiled_of(
        &self,
        indices: impl Iterator<Item = CompiledIndex>,
    ) -> impl Iterator<Item = (DefinedFuncIndex, CodeAddr, CompiledFunction)> {
        let text = self.memory.bytes(self.range());
        indices.filter_map(move |at| {
            Some((self.defined(at), self.address(at), self.tables.extract(at, text)?))
        })
    }

    /// All that there may be code for: functions, then loops.
    fn indices(&self) -> impl Iterator<Item = CompiledIndex> + use<> {
        (0..self.tables.len()).map(CompiledIndex::from_usize)
    }

    fn address(&self, at: CompiledIndex) -> CodeAddr {
        self.memory.start().add(self.tables.function(at).start.index())
    }

    /// Which function of the module it is.
    fn defined(&self, at: CompiledIndex) -> DefinedFuncIndex {
        match (&self.some, at.index().checked_sub(self.entries.len())) {
            (Some(some), _) => some[at],
            (None, None) => at.in_whole(),
            (None, Some(of_loop)) => self.loops[of_loop],
        }
    }

    /// All of the code as it was compiled.
    pub fn whole(&self) -> CompiledCode {
        self.tables.with_text(self.memory.bytes(self.range()).to_vec())
    }

    /// The code of the function that begins at an address.
    pub(crate) fn function_bytes(&self, address: CodeAddr) -> Option<&[u8]> {
        let position = self.tables.find(self.offset(address)?)?;
        let range = self.tables.function(position);
        let at = |offset: TextOffset| self.memory.start().add(offset.index());
        (at(range.start) == address).then(|| self.memory.bytes(at(range.start)..at(range.end)))
    }
}

impl CodePiece for LoadedCode {
    fn range(&self) -> Range<CodeAddr> {
        self.memory.range()
    }

    fn function_at(&self, pc: CodeAddr) -> Option<DefinedFuncIndex> {
        Some(self.defined(self.tables.find(self.offset(pc)?)?))
    }

    fn location(&self, _: &ModuleInner, pc: CodeAddr) -> Option<CodeOffset> {
        self.tables.location(self.offset(pc)?)
    }

    fn inlined_at(&self, pc: CodeAddr) -> Option<(DefinedFuncIndex, CodeOffset)> {
        self.tables.inlined_at(self.offset(pc)?)
    }

    fn location_near(&self, _: &ModuleInner, pc: CodeAddr) -> Option<CodeOffset> {
        self.tables.location_near(self.offset(pc)?)
    }

    fn machine_code(&self) -> Vec<(DefinedFuncIndex, Range<CodeAddr>)> {
        let range = |at: CompiledIndex| {
            let Range { start, end } = self.tables.function(at);
            let at = |offset: TextOffset| self.memory.start().add(offset.index());
            at(start)..at(end)
        };
        self.indices().map(|at| (self.defined(at), range(at))).collect()
    }

    fn machine_code_bytes(&self, range: Range<CodeAddr>) -> &[u8] {
        self.memory.bytes(range)
    }

    fn as_loaded(&self) -> Option<&LoadedCode> {
        Some(self)
    }

    fn start_of(&self, pc: CodeAddr) -> Option<CodeAddr> {
        let position = self.tables.find(self.offset(pc)?)?;
        Some(self.memory.start().add(self.tables.function(position).start.index()))
    }

    fn trap_at(&self, pc: CodeAddr) -> Option<TrapCode> {
        self.tables.trap_at(self.offset(pc)?)
    }

    fn references_at(&self, pc: CodeAddr) -> Option<(u32, &[SpOffset])> {
        self.tables.references_at(self.offset(pc)?)
    }

    fn captured_at(&self, pc: CodeAddr, before: bool) -> Option<CapturedFrame<'_>> {
        self.tables.captured_at(self.offset(pc)?, before)
    }

    fn saved_at(&self, pc: CodeAddr) -> Option<Saved> {
        self.tables.saved_at(self.offset(pc)?)
    }

    fn handlers_at(&self, pc: CodeAddr) -> Option<Handlers<'_>> {
        let call = self.tables.handlers_at(self.offset(pc)?)?;
        let entry = self.memory.start().add(call.entry.index());
        Some(Handlers { entry, call })
    }
}

/// A piece of code together with its module.
#[derive(Clone)]
pub struct Located {
    /// The piece.
    pub code: Arc<dyn CodePiece>,
    /// Its module.
    pub module: Arc<ModuleInner>,
    range: (CodeAddr, usize),
}

impl Located {
    fn new(code: Arc<dyn CodePiece>, module: Arc<ModuleInner>) -> Located {
        let range = code.range();
        Located { code, module, range: (range.start, CodeAddr::bytes_in(&range)) }
    }

    /// Whether an address is in this piece.
    #[inline]
    pub fn contains(&self, pc: CodeAddr) -> bool {
        pc.bytes_from(self.range.0) < self.range.1
    }

    /// The offset in the code section of the operator whose code is at an address.
    pub(crate) fn location(&self, pc: CodeAddr) -> Option<CodeOffset> {
        self.code.location(&self.module, pc)
    }
}

/// What a program counter belongs to.
pub struct CodePosition {
    /// The module.
    pub module: Arc<ModuleInner>,
    /// Function index, imports included.
    pub func: FuncIndex,
    /// Address of the function's first instruction.
    pub start: CodeAddr,
    /// Offset in the module's code section.
    pub offset: Option<CodeOffset>,
    /// The trap of the instruction, where the address alone determines it.
    pub trap: Option<TrapCode>,
    /// Function index and offset in a function that has no frame of its own, since its body is in this one.
    pub inlined: Option<(FuncIndex, CodeOffset)>,
}

/// All code of an engine by address. A module takes its code out when it goes.
#[derive(Default)]
pub struct CodeRegistry {
    /// By the last address.
    ranges: RwLock<BTreeMap<CodeAddr, Entry>>,
    /// Bytes of all of it.
    bytes: AtomicUsize,
    /// Whether a map of compiled code is written for `perf`.
    perf_map: bool,
    /// Whether compiled code is written for `perf inject`.
    perf_dump: bool,
    /// Whether debuggers are to know compiled code.
    native_debug: bool,
}

struct Entry {
    code: Weak<dyn CodePiece>,
    module: Weak<ModuleInner>,
    /// When it came, on the clock of samples: an address may have been that of other code before.
    since: u64,
    bytes: usize,
}

impl CodeRegistry {
    /// An empty one.
    pub fn new(settings: &Settings) -> CodeRegistry {
        let Settings { perf_map, perf_dump, native_debug, .. } = *settings;
        CodeRegistry { perf_map, perf_dump, native_debug, ..CodeRegistry::default() }
    }

    /// Adds code of a module.
    pub fn insert<C: CodePiece + 'static>(&self, module: &Arc<ModuleInner>, code: &Arc<C>) {
        if self.perf_map || self.perf_dump {
            let info = module.decoded.info();
            let functions = code.machine_code().into_iter();
            let functions: Vec<_> =
                functions.map(|(at, range)| (info.func_index(at), range)).collect();
            if self.perf_map {
                perf_map::add(&module.decoded, &functions);
            }
            if self.perf_dump {
                let with_code = |(func, range): (FuncIndex, Range<CodeAddr>)| {
                    (func, range.clone(), code.machine_code_bytes(range))
                };
                perf_dump::add(&module.decoded, functions.into_iter().map(with_code));
            }
        }
        if self.native_debug
            && let Some(code) = code.as_loaded()
        {
            native_debug::add(&module.decoded, code.range(), code.each_compiled());
        }
        let range = code.range();
        let (end, bytes) = (range.end, CodeAddr::bytes_in(&range));
        let (code, module): (Weak<dyn CodePiece>, _) =
            (Arc::downgrade(code) as _, Arc::downgrade(module));
        let entry = Entry { code, module, since: wardian_vm::samples::now(), bytes };
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let before = self.ranges.write().unwrap_or_else(|e| e.into_inner()).insert(end, entry);
        self.forget(before);
    }

    /// Bytes of all code, of all modules.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn forget(&self, entry: Option<Entry>) {
        self.bytes.fetch_sub(entry.map_or(0, |entry| entry.bytes), Ordering::Relaxed);
    }

    /// Takes code out.
    pub fn remove<'c>(&self, code: impl Iterator<Item = &'c dyn CodePiece> + Clone) {
        if self.native_debug {
            let compiled = code.clone().filter_map(|code| code.as_loaded());
            native_debug::remove(&compiled.map(|code| code.memory.start()).collect::<Vec<_>>());
        }
        for code in code {
            let end = code.range().end;
            let gone = self.ranges.write().unwrap_or_else(|e| e.into_inner()).remove(&end);
            self.forget(gone);
        }
    }

    /// The piece of code around an address.
    pub(crate) fn locate(&self, pc: CodeAddr) -> Option<Located> {
        self.locate_or_gap(pc).ok()
    }

    /// The piece of code around an address, or a range around it in which there is none now.
    pub(crate) fn locate_or_gap(&self, pc: CodeAddr) -> Result<Located, Range<CodeAddr>> {
        let (before, code, module) = {
            let ranges = self.ranges.read().unwrap_or_else(|e| e.into_inner());
            let before = ranges.range(..=pc).next_back().map_or(CodeAddr::NULL, |(end, _)| *end);
            let Some((_, entry)) = ranges.range((Excluded(pc), Unbounded)).next() else {
                return Err(before..CodeAddr::MAX);
            };
            (before, entry.code.upgrade(), entry.module.upgrade())
        };
        // Not before the lock is free: a module that goes here takes its code out.
        let (Some(code), Some(module)) = (code, module) else { return Err(pc..pc.add(1)) };
        let located = Located::new(code, module);
        match located.contains(pc) {
            true => Ok(located),
            false => Err(before..located.range.0),
        }
    }

    /// The function around an address at which a sample was taken at this time; none if its code has
    /// gone since.
    pub fn find_sampled(&self, pc: CodeAddr, time: u64) -> Option<CodePosition> {
        let is_older = {
            let ranges = self.ranges.read().unwrap_or_else(|e| e.into_inner());
            let (_, entry) = ranges.range((Excluded(pc), Unbounded)).next()?;
            entry.since <= time
        };
        let mut position = if is_older { self.find(pc)? } else { return None };
        if position.offset.is_none() {
            // About where is better than nowhere: samples are many.
            let Located { code, module, .. } = self.locate(pc)?;
            position.offset = code.location_near(&module, pc);
        }
        Some(position)
    }

    /// Whether an address is in code between functions and their listeners.
    pub(crate) fn is_wrapper(&self, pc: CodeAddr) -> bool {
        self.modules().iter().any(|m| m.wrappers.contains(pc))
    }

    /// Which registers such code around an address saves in its frame; none if there is no such code.
    pub(crate) fn saved_by_wrapper(&self, pc: CodeAddr) -> Option<Saved> {
        self.modules().iter().find_map(|m| m.wrappers.saved_at(pc))
    }

    /// The modules of all code. One that goes when these are dropped takes its code out.
    fn modules(&self) -> Vec<Arc<ModuleInner>> {
        let ranges = self.ranges.read().unwrap_or_else(|e| e.into_inner());
        ranges.values().filter_map(|e| e.module.upgrade()).collect()
    }

    /// The function around an address.
    pub fn find(&self, pc: CodeAddr) -> Option<CodePosition> {
        let Located { code, module, .. } = self.locate(pc)?;
        let defined = code.function_at(pc)?;
        let info = module.decoded.info();
        Some(CodePosition {
            inlined: code.inlined_at(pc).map(|(inner, offset)| (info.func_index(inner), offset)),
            func: info.func_index(defined),
            start: code.start_of(pc)?,
            offset: code.location(&module, pc),
            trap: code.trap_at(pc),
            module,
        })
    }
}
