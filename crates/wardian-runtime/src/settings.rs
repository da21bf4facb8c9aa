//! How an engine works: what the embedder's `Config` sets, and explains.

use wardian_types::CoreFeatures;

/// How guest code is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EngineKind {
    /// Code runs at once in the interpreter; functions and loops that turn out to be hot are compiled
    /// in the background and continue in compiled code. A module is ready as soon as it is validated.
    Tiered,
    /// All functions are compiled before a module is ready.
    Compiled,
    /// Nothing is ever compiled: for machines on which code cannot be generated or must not be, and
    /// for programs that run only once.
    Interpreted,
}

impl Default for EngineKind {
    /// Tiered, or, in a build without the compiled engine (feature `jit`), interpreted.
    fn default() -> EngineKind {
        if cfg!(feature = "jit") { EngineKind::Tiered } else { EngineKind::Interpreted }
    }
}

/// Where guests that are run by compiled code can be written down: see `Config::checkpoints`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Checkpoints {
    /// Nowhere; only guests that are interpreted can be.
    #[default]
    Off,
    /// Where they call functions, of the guest's or of the host's, and where functions begin. A loop that calls nothing
    /// has no such point.
    Calls,
    /// Also at the headers of loops.
    CallsAndLoops,
}

/// Settings of an [`crate::Engine`]. What each means is explained at the method of `Config` that sets it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How guest code is run.
    pub kind: EngineKind,
    /// When functions and loops are hot.
    pub hot_after: Option<u32>,
    /// Whether a tiered engine compiles on threads of its own.
    pub background: bool,
    /// Whether threads that have nothing hot to compile compile what is warm.
    pub idle_compilation: bool,
    /// What modules may use.
    pub features: CoreFeatures,
    /// Whether function bodies are validated before they are first called.
    pub lazy_validation: bool,
    /// Bytes of stack for the guests of a store.
    pub stack_size: usize,
    /// Bytes of code that all modules may have together.
    pub code_limit: usize,
    /// Whether functions are written to a map for `perf`.
    pub perf_map: bool,
    /// Whether functions are written with their code for `perf inject`.
    pub perf_dump: bool,
    /// Whether native debuggers are to know compiled code.
    pub native_debug: bool,
    /// Whether traps and interrupts come by signal handlers.
    pub signals: bool,
    /// The signal that makes a running guest stop.
    pub interrupt_signal: i32,
    /// Threads that validate and compile a module together.
    pub threads: usize,
    /// Whether backtraces have the values of locals.
    pub backtrace_locals: bool,
    /// The maximum number of calls in a backtrace.
    pub backtrace_frames: usize,
    /// Whether compiled code is optimised.
    pub optimize: bool,
    /// Whether small functions are compiled into their callers.
    pub inlining: bool,
    /// Whether small loops are unrolled.
    pub unrolling: bool,
    /// Whether the code generator checks its own intermediate code.
    pub verify: bool,
    /// Whether the NaNs that operators make are always the same.
    pub canonical_nans: bool,
    /// Whether relaxed vector operators give the same results on every processor.
    pub deterministic_simd: bool,
    /// Whether guests burn fuel.
    pub fuel: bool,
    /// Whether compiled code guards accesses that it executes speculatively.
    pub speculation_guards: bool,
    /// Whether each allocation of an object collects first.
    pub gc_stress: bool,
    /// Whether there is a collection wherever there could be one.
    pub gc_stress_at_safepoints: bool,
    /// Where compiled guests can be written down.
    pub checkpoints: Checkpoints,
    /// Whether memories are made so that the first fork copies nothing.
    pub forkable: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            kind: EngineKind::default(),
            hot_after: None,
            background: true,
            idle_compilation: true,
            features: CoreFeatures::default(),
            lazy_validation: false,
            stack_size: 8 << 20,
            code_limit: usize::MAX,
            perf_map: false,
            perf_dump: false,
            native_debug: false,
            signals: true,
            interrupt_signal: wardian_vm::signals::DEFAULT_INTERRUPT_SIGNAL,
            threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
            backtrace_locals: false,
            backtrace_frames: 64,
            optimize: true,
            inlining: true,
            unrolling: true,
            verify: cfg!(debug_assertions),
            canonical_nans: false,
            deterministic_simd: false,
            fuel: false,
            speculation_guards: true,
            gc_stress: false,
            gc_stress_at_safepoints: false,
            checkpoints: Checkpoints::Off,
            forkable: false,
        }
    }
}
