//! The names of `wardian-jit` in a build without it. There is no way to make a [`Compiler`], so nothing
//! here is ever called, and the rest of the crate need not know.

#![allow(unreachable_pub, dead_code, reason = "names of another crate, where they are reached")]

use std::ops::Range;
use wardian_module::ModuleInfo;
use wardian_types::{DefinedFuncIndex, FuncType, LocalIndex, TagIndex, TrapCode, TypeNumber};
use wardian_vm::unwind::Saved;

/// Machine code of a module: there is none in this build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledCode(Never);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Never {}

wardian_types::index_types! {
    /// A function of compiled code.
    pub struct CompiledIndex;
}

impl CompiledIndex {
    pub(crate) const fn of_whole(defined: DefinedFuncIndex) -> CompiledIndex {
        CompiledIndex(defined.as_u32())
    }

    pub(crate) const fn in_whole(self) -> DefinedFuncIndex {
        DefinedFuncIndex::from_u32(self.0)
    }
}

/// Machine code of a function.
#[derive(Clone, Debug, Default)]
pub struct CompiledFunction {
    /// Machine code.
    pub text: Vec<u8>,
    /// Its alignment.
    pub align: u32,
    /// Which registers it saves.
    pub saved: Saved,
}

/// Where a function has its instance.
#[derive(Clone, Copy, Debug)]
pub enum InstanceAt {
    /// In its frame.
    Stack(u32),
    /// In a register.
    Register(u32),
}

/// The handlers around a call.
#[derive(Clone, Copy, Debug)]
pub struct CallHandlers<'a> {
    /// Bytes of the frame.
    pub(crate) frame_size: u32,
    /// Where its instance is.
    pub instance: InstanceAt,
    /// Where exceptions enter.
    pub entry: u32,
    code: &'a CompiledCode,
}

impl CallHandlers<'_> {
    /// The handlers, innermost first.
    pub fn handlers(&self) -> impl Iterator<Item = Handler> {
        std::iter::from_fn(|| match self.code.0 {})
    }
}

/// Where a compiled frame has its values.
#[derive(Clone, Copy, Debug)]
pub struct CapturedFrame<'a> {
    /// The offset of the operator.
    pub offset: u32,
    /// On which side of it the frame is.
    pub before: bool,
    /// Which operands are exceptions.
    pub caught: &'a [u32],
    code: &'a CompiledCode,
}

impl CapturedFrame<'_> {
    /// Where its instance is.
    pub fn instance(&self) -> i32 {
        match self.code.0 {}
    }

    /// Where its locals are.
    pub fn locals(self) -> impl Iterator<Item = (LocalIndex, i32)> {
        std::iter::from_fn(move || match self.code.0 {})
    }

    /// Where its operands are.
    pub fn operands(&self) -> i32 {
        match self.code.0 {}
    }
}

/// A handler.
#[derive(Clone, Copy, Debug)]
pub struct Handler {
    /// The tag that it catches.
    pub tag: Option<TagIndex>,
    /// Whether it takes a reference to the exception.
    pub(crate) by_reference: bool,
    /// Its number in the function.
    pub number: u32,
}

/// Nothing can be compiled.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this build of Wardian has no compiled engine")]
pub struct CompileError;

/// Makes machine code.
#[derive(Clone, Debug)]
pub struct Compiler(Never);

/// How code reaches memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryVariant {
    /// Guard pages find accesses that are out of bounds.
    Guarded,
    /// Every access is compared with the length.
    Checked,
}

/// Who calls a listened function.
#[derive(Clone, Copy, Debug)]
pub enum CallerOf {
    /// Its own instance.
    Own,
    /// The listeners that the store has noted.
    Noted,
}

/// How much code is optimised.
#[derive(Clone, Copy, Debug)]
pub enum OptLevel {
    /// Not at all.
    None,
    /// For speed.
    Speed,
}

/// Settings of a compiler.
#[derive(Clone, Debug)]
pub struct Tunables {
    /// Whether traps come by signals.
    pub signals: bool,
    /// Whether the compiler checks itself.
    pub(crate) verifier: bool,
    /// How much it optimises.
    pub(crate) opt_level: OptLevel,
    /// Bytes of guard pages.
    pub(crate) guard_size: u64,
    /// Whether NaNs are canonical.
    pub canonical_nans: bool,
    /// Whether vectors are multiplied and added with two roundings.
    pub deterministic_simd: bool,
    /// Whether accesses that are executed speculatively are guarded.
    pub speculation_guards: bool,
    /// Whether fuel is counted.
    pub fuel: bool,
    /// Where frames can be captured.
    pub capture: Capture,
    /// Whether paths that can only end in a trap lie behind all other code.
    pub(crate) inlining: bool,
    /// Whether cold paths are placed behind.
    pub(crate) cold_paths: bool,
}

/// Where the frame of a compiled function can be written down.
#[derive(Clone, Copy, Debug)]
pub enum Capture {
    /// Nowhere.
    Off,
    /// In calls.
    Calls,
    /// Also at loops.
    CallsAndLoops,
}

/// How a module is compiled.
#[allow(missing_debug_implementations, reason = "it holds closures")]
pub struct ModuleOptions<'a> {
    /// How the code reaches memories.
    pub variant: MemoryVariant,
    /// Threads.
    pub threads: usize,
    /// Whether to stop.
    pub cancelled: Option<&'a (dyn Fn() -> bool + Sync)>,
    /// How far it is.
    pub progress: Option<&'a (dyn Fn(usize, usize) + Sync)>,
}

type Compiled<T = CompiledFunction> = Result<T, CompileError>;

#[allow(missing_docs, reason = "as in the crate that this stands for")]
impl Compiler {
    pub fn new(_: Tunables) -> Compiled<Compiler> {
        Err(CompileError)
    }

    pub fn fingerprint(&self) -> String {
        match self.0 {}
    }

    pub(crate) fn compile_module(
        &self,
        _: &ModuleInfo,
        _: &[u8],
        _: &ModuleOptions<'_>,
    ) -> Compiled<CompiledCode> {
        match self.0 {}
    }

    pub(crate) fn compile_function(
        &self,
        _: &ModuleInfo,
        _: &[u8],
        _: DefinedFuncIndex,
        _: MemoryVariant,
        _: &[(u32, DefinedFuncIndex)],
    ) -> Compiled {
        match self.0 {}
    }

    pub(crate) fn compile_notifying(
        &self,
        _: &ModuleInfo,
        _: &[u8],
        _: DefinedFuncIndex,
        _: MemoryVariant,
    ) -> Compiled {
        match self.0 {}
    }

    pub(crate) fn compile_loop(
        &self,
        _: &ModuleInfo,
        _: &[u8],
        _: DefinedFuncIndex,
        _: u32,
        _: MemoryVariant,
        _: &[(u32, DefinedFuncIndex)],
    ) -> Compiled {
        match self.0 {}
    }

    pub(crate) fn assemble(&self, _: Vec<CompiledFunction>) -> Compiled<CompiledCode> {
        match self.0 {}
    }

    pub(crate) fn listener_wrapper(
        &self,
        _: &ModuleInfo,
        _: DefinedFuncIndex,
        _: CallerOf,
        _: bool,
    ) -> Compiled {
        match self.0 {}
    }

    pub(crate) fn makes_tail_calls(_: &ModuleInfo, _: &[u8], _: DefinedFuncIndex) -> bool {
        false
    }

    pub(crate) fn noting_trampoline(&self, _: &FuncType) -> Compiled {
        match self.0 {}
    }

    pub(crate) fn entry_trampoline(&self, _: &FuncType) -> Compiled {
        match self.0 {}
    }

    pub(crate) fn host_trampoline(&self, _: &FuncType) -> Compiled {
        match self.0 {}
    }
}

#[allow(
    missing_docs,
    clippy::len_without_is_empty,
    reason = "as in the crate that this stands for"
)]
impl CompiledCode {
    pub fn origin(&self) -> &[u8; 32] {
        match self.0 {}
    }

    pub fn with_origin(self, _: [u8; 32]) -> CompiledCode {
        match self.0 {}
    }

    pub(crate) fn with_text(&self, _: Vec<u8>) -> CompiledCode {
        match self.0 {}
    }

    pub fn text(&self) -> &[u8] {
        match self.0 {}
    }

    pub(crate) fn discard_text(&mut self) {
        match self.0 {}
    }

    pub fn len(&self) -> usize {
        match self.0 {}
    }

    pub fn function(&self, _: CompiledIndex) -> Range<u32> {
        match self.0 {}
    }

    pub fn find(&self, _: u32) -> Option<CompiledIndex> {
        match self.0 {}
    }

    pub(crate) fn handlers_at(&self, _: u32) -> Option<CallHandlers<'_>> {
        match self.0 {}
    }

    pub(crate) fn captured_at(&self, _: u32, _: bool) -> Option<CapturedFrame<'_>> {
        match self.0 {}
    }

    pub(crate) fn references_at(&self, _: u32) -> Option<(u32, &[u32])> {
        match self.0 {}
    }

    pub(crate) fn saved_at(&self, _: u32) -> Option<Saved> {
        match self.0 {}
    }

    pub(crate) fn trap_at(&self, _: u32) -> Option<TrapCode> {
        match self.0 {}
    }

    pub(crate) fn location(&self, _: u32) -> Option<u32> {
        match self.0 {}
    }

    pub(crate) fn location_near(&self, _: u32) -> Option<u32> {
        match self.0 {}
    }

    pub fn is_complete(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn extract(&self, _: CompiledIndex, _: &[u8]) -> Option<CompiledFunction> {
        match self.0 {}
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        match self.0 {}
    }

    /// # Safety
    ///
    /// As in `wardian-jit`.
    #[allow(unsafe_code, reason = "as in the crate that this stands for")]
    pub unsafe fn from_bytes(_: &[u8]) -> Result<CompiledCode, CompileError> {
        Err(CompileError)
    }
}
