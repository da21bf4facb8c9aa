//! What a compiler is asked for: settings, and which code of a function is wanted.

use wardian_types::{CodeOffset, DefinedFuncIndex};

/// How hard to optimise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OptLevel {
    /// Compile quickly.
    None,
    /// Produce fast code.
    Speed,
}

/// What the produced code assumes of the runtime, and how it is produced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tunables {
    /// Whether signal handlers turn faults into traps. Without them the code checks everything
    /// itself and polls for interrupts.
    pub signals: bool,
    /// Whether Cranelift checks its own input; slow, for tests.
    pub verifier: bool,
    /// How hard to optimise.
    pub opt_level: OptLevel,
    /// Inaccessible bytes that follow the 4 GiB of a guarded memory.
    pub guard_size: u64,
    /// Whether operators whose NaNs may be any give the canonical one.
    pub canonical_nans: bool,
    /// Whether vectors are multiplied and added with two roundings, whatever the machine can do.
    pub deterministic_simd: bool,
    /// Whether the code counts fuel.
    pub fuel: bool,
    /// Whether an access behind a check of bounds cannot be executed speculatively with an index that is
    /// out of bounds.
    pub speculation_guards: bool,
    /// Where a function's frame can be captured.
    pub capture: Capture,
    /// Whether small functions that call nothing are compiled into their callers, which look at each call whether that
    /// is right. Not with [`OptLevel::None`].
    pub inlining: bool,
    /// Whether the bodies of small loops are compiled several times. Not with [`OptLevel::None`], nor with fuel.
    pub unrolling: bool,
    /// Whether paths that can only end in a trap are placed behind all other code. Not with [`OptLevel::None`].
    pub cold_paths: bool,
}

/// Where the frame of a compiled function can be written down in WebAssembly's own terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Capture {
    /// Nowhere.
    #[default]
    Off,
    /// In calls, and where it begins.
    Calls,
    /// Also at the headers of loops.
    CallsAndLoops,
}

impl Default for Tunables {
    fn default() -> Self {
        Tunables {
            signals: true,
            verifier: cfg!(debug_assertions),
            opt_level: OptLevel::Speed,
            guard_size: 32 << 20,
            canonical_nans: false,
            deterministic_simd: false,
            fuel: false,
            speculation_guards: true,
            capture: Capture::Off,
            inlining: true,
            unrolling: true,
            cold_paths: true,
        }
    }
}

/// How the code of a module reaches linear memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryVariant {
    /// 32-bit memories with 64 KiB pages rely on guard pages: each has 4 GiB of reserved
    /// addresses and [`Tunables::guard_size`] inaccessible bytes after them, and never moves.
    /// All others are checked. Without signals everything is checked.
    Guarded,
    /// Every access is checked against the memory's length; memories may move.
    Checked,
}

/// Stack that a frame may take when there are no signals: the check of the stack limit runs after
/// the frame was made, so that much must be mapped below [`StoreCtx`](crate::layout::StoreCtx)'s limit.
pub const MAX_UNCHECKED_FRAME: u32 = 128 << 10;

/// How to compile a module.
#[derive(Clone, Copy)]
pub struct ModuleOptions<'a> {
    /// How the code reaches memories.
    pub variant: MemoryVariant,
    /// How many threads may work; with one, it is the caller's.
    pub threads: usize,
    /// Asked before each function; compilation ends when it answers yes.
    pub cancelled: Option<&'a (dyn Fn() -> bool + Sync)>,
    /// Called now and then, from any thread, with how many functions are done and how many there are.
    pub progress: Option<&'a (dyn Fn(usize, usize) + Sync)>,
    /// What is expected of calls through tables and references: their code offsets, in order, and the functions that they are
    /// expected to call, the most frequent of a call first.
    pub expected: &'a [(CodeOffset, DefinedFuncIndex)],
}

impl Default for ModuleOptions<'_> {
    fn default() -> Self {
        ModuleOptions {
            variant: MemoryVariant::Guarded,
            threads: 1,
            cancelled: None,
            progress: None,
            expected: &[],
        }
    }
}

impl std::fmt::Debug for ModuleOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModuleOptions")
            .field("variant", &self.variant)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Who calls a function, as its wrapper reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallerOf {
    /// The function's own instance: the wrapper is for its entry table.
    Own,
    /// The caller that the store has noted: the wrapper is for references, imports, and the embedder.
    Noted,
}
