//! How an engine works.

use wardian_runtime::extension::Extension;
use wardian_runtime::settings::Settings;
#[doc(inline)]
pub use wardian_runtime::settings::{Checkpoints, EngineKind};
use wardian_types::CoreFeatures;

/// Settings of an [`crate::Engine`].
///
/// ```
/// use wardian::{Config, CoreFeatures, Engine};
/// let mut config = Config::new();
/// config.features(CoreFeatures::V2).stack_size(256 << 10);
/// let engine = Engine::new(&config)?;
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "RuntimeConfig")]
pub struct Config {
    pub(crate) settings: Settings,
    /// A [`crate::listener::MultiFunctionListenerFactory`].
    pub(crate) listeners: Extension,
}

impl Default for Config {
    fn default() -> Self {
        Config::new()
    }
}

impl Config {
    /// The defaults, as the methods say.
    pub fn new() -> Config {
        Config { settings: Settings::default(), listeners: Extension::default() }
    }

    /// How guest code is run. Results, traps, hooks and limits are the same whatever is chosen.
    /// Default: [`EngineKind::default`].
    #[doc(
        alias = "strategy",
        alias = "NewRuntimeConfigInterpreter",
        alias = "NewRuntimeConfigCompiler"
    )]
    pub fn engine(&mut self, kind: EngineKind) -> &mut Config {
        self.settings.kind = kind;
        self
    }

    /// What [`Config::engine`] set.
    pub fn engine_kind(&self) -> EngineKind {
        self.settings.kind
    }

    /// How many calls of a function and rounds of its loops, counted together, make it hot in a tiered
    /// engine. `None`, the default, means 2500 and 24 more for each byte of its WebAssembly code, but at
    /// most a million: what is larger takes longer to compile.
    pub fn hot_after(&mut self, count: Option<u32>) -> &mut Config {
        self.settings.hot_after = count;
        self
    }

    /// Whether a tiered engine compiles on threads of its own, as many as [`Config::compile_threads`]
    /// but one, while guests run on. If not, a guest waits while what it needs is compiled: slower, but
    /// what is compiled when does not depend on time. A guest that is to stop meanwhile does not wait for
    /// what takes long. Default: on.
    pub fn background_compilation(&mut self, on: bool) -> &mut Config {
        self.settings.background = on;
        self
    }

    /// Whether the background threads of a tiered engine, while nothing is hot, compile functions that have counted a part of what
    /// makes them hot: none that takes long, and none with a [`Config::compile_threads`] of one. A thread that has to share its
    /// processor pauses in between. A guest reaches its final speed sooner, for more processor time. Default: on.
    pub fn idle_compilation(&mut self, on: bool) -> &mut Config {
        self.settings.idle_compilation = on;
        self
    }

    /// What modules may use. Default: everything that Wardian implements.
    #[doc(alias = "WithCoreFeatures", alias = "wasm_features")]
    pub fn features(&mut self, features: CoreFeatures) -> &mut Config {
        self.settings.features = features;
        self
    }

    /// Bytes of stack for the guests of a store, all nested calls together; at least 64 KiB. Where
    /// there is interpreted code, as many again for its frames. Only what is used takes memory. Default:
    /// 8 MiB, as much as systems give the main thread of a program.
    #[doc(alias = "max_wasm_stack")]
    pub fn stack_size(&mut self, bytes: usize) -> &mut Config {
        self.settings.stack_size = bytes.max(64 << 10);
        self
    }

    /// Bytes of machine code and of the interpreter's code that all modules of the engine may have together,
    /// approximately: threads that produce code at the same time may exceed it a little. A module whose
    /// compilation would exceed it is refused; hot functions of a tiered engine stay interpreted; and a guest
    /// ends if it calls a function whose bytecode would exceed it. The code of a module no longer counts once
    /// the module is dropped. Default: no limit.
    pub fn code_limit(&mut self, bytes: usize) -> &mut Config {
        self.settings.code_limit = bytes;
        self
    }

    /// Whether functions are written to `/tmp/perf-PID.map` as they are compiled, so that Linux's `perf` names the
    /// code of guests. The file is one for the process, is for its user alone, has at most 256 MiB, and stays
    /// when the process ends. Interpreted functions have no code of their own: in the interpreter's own they are seen
    /// as that. Default: false.
    pub fn perf_map(&mut self, perf_map: bool) -> &mut Config {
        self.settings.perf_map = perf_map;
        self
    }

    /// Whether functions are written with their code to `/tmp/jit-PID.dump` as they are compiled, in the format
    /// jitdump: `perf inject --jit` makes objects of them, so that Linux's `perf` names and disassembles the code of
    /// guests, also of functions that took the place of others. What holds of the file is as for [`Config::perf_map`].
    /// Default: false.
    pub fn perf_dump(&mut self, perf_dump: bool) -> &mut Config {
        self.settings.perf_dump = perf_dump;
        self
    }

    /// Whether native debuggers know the code of guests: it is registered by GDB's interface for just-in-time compilers as it
    /// is compiled, with names of functions, lines if modules have debug information, and how frames are left. So a debugger
    /// that attaches to the process shows the calls of the guest, and those of the host outside of them.
    /// Interpreted functions have no code of their own. Default: false.
    #[cfg(feature = "native-debug")]
    pub fn native_debug(&mut self, native_debug: bool) -> &mut Config {
        self.settings.native_debug = native_debug;
        self
    }

    /// Whether backtraces have the values of locals, where they can be known: see [`crate::Frame::locals`].
    /// Capturing them makes a trap slower. Default: off.
    pub fn backtrace_locals(&mut self, on: bool) -> &mut Config {
        self.settings.backtrace_locals = on;
        self
    }

    /// The maximum number of calls in a backtrace: the innermost ones. [`crate::Backtrace::omitted`] is the
    /// number of the others. Each takes about 40 bytes, and its locals if they are wanted. Default: 64.
    #[doc(alias = "wasm_backtrace_max_frames")]
    pub fn backtrace_frames(&mut self, most: usize) -> &mut Config {
        self.settings.backtrace_frames = most;
        self
    }

    /// Whether traps and interrupts come by signal handlers of the process (Unix).
    ///
    /// Before a thread runs its first guest, it unblocks these signals (SIGSEGV, SIGBUS, SIGILL, SIGFPE and
    /// [`Config::interrupt_signal`]). A thread that blocks them afterwards must not run guests: a fault whose
    /// signal is blocked ends the process. Writes past the process's limit of file sizes fail instead of
    /// ending it, unless SIGXFSZ has been given another meaning before.
    ///
    /// Without, code
    /// checks memory bounds, the stack and a stop flag explicitly: larger and slower, but nothing
    /// of the process is touched. Default: on; where there are no signals (Windows) it is always off.
    #[doc(alias = "signals_based_traps")]
    pub fn signals(&mut self, on: bool) -> &mut Config {
        self.settings.signals = on;
        self
    }

    /// The signal that makes a running guest stop. The first engine of a process that uses signals
    /// decides. Default: `SIGURG`, which the system ignores unless somebody handles it.
    pub fn interrupt_signal(&mut self, signal: i32) -> &mut Config {
        self.settings.interrupt_signal = signal;
        self
    }

    /// Whether a tiered or interpreted engine validates each function before it is first called, rather than all of them
    /// when a module is made. Default: off.
    ///
    /// A large program of which little runs begins sooner: validation can take most of the time until its first output. The
    /// declarations of a module are validated when it is made in any case. A call of a function that is not valid ends
    /// with [`ErrorKind::Decode`]; nothing of such a function is executed, and the instance can be used as before.
    /// [`Module::ensure_valid`] validates what is left.
    ///
    /// The specification allows this: *Implementation Limitations, Validation*. A compiled engine compiles all
    /// functions, and validates all.
    ///
    /// [`ErrorKind::Decode`]: crate::ErrorKind::Decode
    /// [`Module::ensure_valid`]: crate::Module::ensure_valid
    pub fn lazy_validation(&mut self, on: bool) -> &mut Config {
        self.settings.lazy_validation = on;
        self
    }

    /// Threads that validate and compile a module together. Default: one for each processor.
    pub fn compile_threads(&mut self, threads: usize) -> &mut Config {
        self.settings.threads = threads.max(1);
        self
    }

    /// Whether compiled code is optimised. Default: on.
    #[doc(alias = "cranelift_opt_level")]
    pub fn optimize(&mut self, on: bool) -> &mut Config {
        self.settings.optimize = on;
        self
    }

    /// Whether small functions are compiled into the functions that call them: by index, and, in a tiered engine, through a
    /// table or a reference of which the interpreter has seen that the call mostly leads to one of few functions. Where such a
    /// function would call others, it is called after all. On by default, and always off without [`Config::optimize`].
    ///
    /// What a guest does is the same, and so is what can be seen of it: listeners hear of every call, also those that
    /// are attached meanwhile, and backtraces and samples have a frame for each function.
    pub fn inlining(&mut self, on: bool) -> &mut Config {
        self.settings.inlining = on;
        self
    }

    /// Whether small loops that contain neither loops nor calls are unrolled: their bodies are compiled up to four times, and an
    /// iteration has in registers what the one before has written. On by default, and always off without
    /// [`Config::optimize`] and with [`Config::fuel`].
    ///
    /// What a guest does is the same, and so is what can be seen of it.
    pub fn unrolling(&mut self, on: bool) -> &mut Config {
        self.settings.unrolling = on;
        self
    }

    /// Whether the code generator checks its own intermediate code. Default: only in debug builds.
    #[doc(alias = "cranelift_debug_verifier")]
    pub fn verify_code(&mut self, on: bool) -> &mut Config {
        self.settings.verify = on;
        self
    }

    /// Whether the NaNs that operators make are always the same: positive, quiet, without payload.
    /// WebAssembly leaves sign and payload open, so that guests may see a difference between
    /// processors. What only moves floats keeps their bits either way. Float operators become slower.
    /// Default: off.
    #[doc(alias = "cranelift_nan_canonicalization")]
    pub fn canonical_nans(&mut self, on: bool) -> &mut Config {
        self.settings.canonical_nans = on;
        self
    }

    /// Whether relaxed vector operators give the same results on every processor: those of the specification's
    /// deterministic profile. Of what it leaves open, Wardian makes one choice that depends on the processor: whether
    /// `relaxed_madd` and `relaxed_nmadd` round once, where there is an instruction for that, or twice. Set, they
    /// round twice. Default: off.
    pub fn relaxed_simd_deterministic(&mut self, on: bool) -> &mut Config {
        self.settings.deterministic_simd = on;
        self
    }

    /// Whether operators behave as in the deterministic profile of the specification (appendix "Profiles"): sets
    /// [`Config::canonical_nans`] and [`Config::relaxed_simd_deterministic`]. What a guest computes is then the same
    /// on every engine and every processor, as long as its imports answer the same, its memories, tables and objects
    /// can grow, and its stack suffices: those depend on limits and on the machine. Default: off.
    pub fn deterministic(&mut self, on: bool) -> &mut Config {
        self.canonical_nans(on).relaxed_simd_deterministic(on)
    }

    /// Whether compiled code keeps the processor from reading elsewhere in the process when it executes an
    /// access speculatively that a check of bounds is going to refuse (variant 1 of Spectre): elements of
    /// tables, targets of indirect calls and of `br_table`, and memories with explicit checks. Memories with
    /// guard pages need nothing: whatever their index, they reach nothing but their own reservation. See
    /// `SECURITY.md` for what is not covered. Default: on.
    pub fn speculation_guards(&mut self, on: bool) -> &mut Config {
        self.settings.speculation_guards = on;
        self
    }

    /// Whether guests burn fuel, which [`crate::Store::set_fuel`] gives them: a way to stop them that
    /// does not depend on time. The same work burns the same fuel, wherever and however it is
    /// compiled: an operator burns one, but those that only give structure (`block`, `loop`, `else`,
    /// `end`, `nop`, `drop`) burn none. Guests become slower. Default: off.
    #[doc(alias = "consume_fuel")]
    pub fn fuel(&mut self, on: bool) -> &mut Config {
        self.settings.fuel = on;
        self
    }

    /// Where a guest that is run by compiled code can be written down, as part of a [`crate::checkpoint::Checkpoint`]: there the code
    /// stores what a frame needs. It then takes more time, on the average of the benchmarks what
    /// `docs/checkpoints.md` says. Interpreted code can be written down in any case. Default: nowhere.
    pub fn checkpoints(&mut self, checkpoints: Checkpoints) -> &mut Config {
        self.settings.checkpoints = checkpoints;
        self
    }

    /// Whether memories of the engine's own are made so that the first fork or image of a store copies nothing that was
    /// written to them: see [`crate::Store::fork`]. They are then shared views of a file in memory from the start. Making
    /// and dropping an instance takes some microseconds more, and pages are small ones.
    ///
    /// A process that forks must not use the stores of such an engine in both processes: both would write to the
    /// same memories. Default: off.
    pub fn forkable_memories(&mut self, on: bool) -> &mut Config {
        self.settings.forkable = on;
        self
    }

    /// Whether each allocation of a guest's object collects first, and collections overwrite what they free: for
    /// tests, in which a reference that was forgotten is then noticed at once. Guests become very slow. Default:
    /// off.
    pub fn gc_stress(&mut self, on: bool) -> &mut Config {
        self.settings.gc_stress = on;
        self
    }

    /// Whether there is a collection wherever there could be one though nothing is allocated, and collections overwrite
    /// what they free: where functions begin and at the headers of loops in interpreted code, and in calls of host
    /// functions and of the runtime. For tests, as [`Config::gc_stress`]; both may be on. Default: off.
    pub fn gc_stress_at_safepoints(&mut self, on: bool) -> &mut Config {
        self.settings.gc_stress_at_safepoints = on;
        self
    }
}
