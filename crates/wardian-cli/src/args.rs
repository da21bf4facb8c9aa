//! The command line.

mod checkpoint;
mod doctor;
mod guided;
mod live;
mod observers;

pub(crate) use checkpoint::{CheckpointArgs, CheckpointCommandArgs, CheckpointSignal};

use crate::parse::{self, Directory};
use clap::builder::styling::AnsiColor;
use clap::builder::{OsStringValueParser, Styles, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wardian::{CoreFeatures, EngineKind};
use wardian_observe::GuestFrames;

pub(crate) use doctor::DoctorArgs;
pub(crate) use guided::{ProfileUseArgs, RunCommandArgs};
pub(crate) use live::{AttachArgs, TopArgs};
pub(crate) use observers::{CoverageArgs, ProfileArgs, TraceArgs, TracedCalls};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0-255  the guest's own, modulo 256
  1      the guest was not run: no such file, no valid module, an import is
         missing, a limit does not hold it ...
  2      the command line is wrong, or what --invoke names does not fit
  124    the timeout passed
  134    the guest trapped or threw an exception that nothing caught, or a host
         function that it called failed
  141    the guest trapped, and nobody reads standard output any more
  75     the program was written to a checkpoint and ended
  152    the fuel was used up
  A command that a signal stops is killed by it, after what was seen is
  written: shells show 130 for Ctrl-C, 143 for kill, 129 for a closed terminal.

Environment:
  WARDIAN_CACHE_DIR  folder for compiled code, instead of the user's cache folder
  NO_COLOR           no colours in messages";

/// Runs WebAssembly programs in a sandbox: at once, and what is hot compiled to machine code.
///
/// Programs use WASI preview 1 (or its forerunner wasi_unstable). They get nothing of this machine
/// that is not given to them: no directory, no environment variable, no socket. Files may be in the
/// binary or the text format.
#[derive(Parser)]
#[command(name = "wardian", version, styles = STYLES, after_help = EXIT_CODES)]
#[command(arg_required_else_help = true, subcommand_required = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// Say more on standard error, for instance why the cache is not used
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Run(Box<RunCommandArgs>),
    Resume(Box<ResumeArgs>),
    Checkpoint(CheckpointCommandArgs),
    Top(TopArgs),
    Attach(AttachArgs),
    Profile(Box<ProfileArgs>),
    Coverage(Box<CoverageArgs>),
    Trace(Box<TraceArgs>),
    Compile(CompileArgs),
    Validate(ValidateArgs),
    Inspect(InspectArgs),
    Cache(CacheArgs),
    Doctor(DoctorArgs),
    /// Print a script that completes the command line in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command, to a folder
    ///
    /// Without FOLDER the page of `wardian` itself is printed: `wardian man | man -l -`.
    Man {
        /// The folder; made if it is not there
        #[arg(value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

/// A program, and how it is run: for `wardian run`, and for all commands that look on while one runs.
#[derive(Args)]
pub(crate) struct RunArgs {
    /// Give the guest a directory; may be repeated
    ///
    /// HOST is the directory, GUEST the name by which the guest knows it; without GUEST both are
    /// the same text. With `:ro` the guest cannot change anything in it. `HOST::GUEST` is accepted
    /// too, and needed where HOST contains a colon.
    #[arg(long = "dir", value_name = "HOST[:GUEST][:ro]")]
    #[arg(value_parser = OsStringValueParser::new().try_map(parse::directory))]
    pub(crate) dirs: Vec<Directory>,

    /// Set an environment variable of the guest; may be repeated
    ///
    /// Without a value the guest gets the one that the variable has here.
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = parse::variable)]
    pub(crate) env: Vec<(String, String)>,

    /// Give the guest all environment variables of this process; --env goes before them
    ///
    /// Those that are not Unicode, as WASI requires, are left out; a warning names them.
    #[arg(long)]
    pub(crate) env_inherit: bool,

    /// Give the guest a TCP socket that listens here; may be repeated
    ///
    /// Sockets are the descriptors after those of the directories, in the order given. With port 0 the system
    /// chooses one, which is printed on standard error.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<String>,

    /// Stop the guest after this time, for instance 500ms, 5s or 2m; seconds if it has no unit
    ///
    /// It counts from the start of the command, so compilation is included, start functions and
    /// blocking calls as well. A call that cannot be interrupted, such as reading a file of a
    /// network file system that hangs, is cut off a second later together with the process.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(crate) timeout: Option<Duration>,

    /// Stop the guest after this amount of work
    ///
    /// An operator of WebAssembly burns one unit of fuel, those that only give structure none; all
    /// threads burn from the same store. Other than with --timeout, a program ends at the same point
    /// on every machine. Code that counts is slower, and FILE cannot be an artifact.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) fuel: Option<u64>,

    /// Compute the same on every engine and every processor
    ///
    /// Float operators give one NaN and relaxed vector operators one result: those of the deterministic
    /// profile of WebAssembly. Float operators become slower, and FILE cannot be an artifact. What
    /// the system answers (time, random numbers, files) is not changed.
    #[arg(long)]
    pub(crate) deterministic: bool,

    /// Validate each function before it is first called, rather than all of them before the program begins
    ///
    /// A large program of which little runs begins sooner. A call of a function that is not valid ends the program.
    /// Without effect with --engine jit.
    #[arg(long)]
    pub(crate) lazy_validation: bool,

    /// How the guest's code is run
    ///
    /// By default tiered.
    #[arg(long, value_name = "ENGINE", value_enum)]
    engine: Option<EngineArg>,

    /// Refuse the guest more memory than this, for instance 512MiB
    ///
    /// All linear memories count together. Growing past it fails as if the machine were out of memory; a
    /// module that begins with more is not run. Tables, with eight bytes for each element, may together have
    /// as much again.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub(crate) max_memory: Option<usize>,

    /// Refuse more machine code and code of the interpreter than this, for instance 64MiB
    ///
    /// A module that compiles to more is not run. With tiers, what is hot stays interpreted; a guest
    /// ends that calls a function for which there is no room at all.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub(crate) max_code: Option<usize>,

    /// How many elements each table of the guest may have, at most 10000000
    ///
    /// Growing past it fails; a module that begins with more is not run.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_table_elements: Option<usize>,

    /// How many threads the guest may have at once, beside its main thread
    ///
    /// For programs that make threads with `wasi` `thread-spawn`. If there are as many, making a thread
    /// fails, as if the machine had none left.
    #[arg(long, value_name = "NUMBER", default_value_t = wardian_wasi::DEFAULT_MAX_THREADS)]
    pub(crate) max_threads: usize,

    /// Size of the guest's stack, at least 64KiB
    #[arg(long, value_name = "SIZE", value_parser = parse::stack_size, default_value = "8MiB")]
    pub(crate) stack_size: usize,

    /// Call this exported function with ARGS, and print its results, one on each line
    ///
    /// Integers are decimal, signed or unsigned, or hexadecimal with 0x; floats may be nan or inf;
    /// a v128 is hexadecimal with 0x, lane 0 last; of references only null can be given.
    #[arg(long, value_name = "NAME")]
    pub(crate) invoke: Option<String>,

    /// How much is shown of a guest that traps
    ///
    /// `short`: where in its own code it happened, and the eight innermost calls. `full`: 64 calls with the values
    /// of their arguments, and the memory near the access that failed.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = BacktraceArg::Short)]
    pub(crate) backtrace: BacktraceArg,

    /// Let Linux's `perf` name the code of the guest
    ///
    /// `map`: functions are written to /tmp/perf-PID.map as they are compiled, where `perf report` finds them. The file
    /// stays. `jitdump`: functions are written with their code to /tmp/jit-PID.dump, of which `perf inject --jit` makes
    /// objects that `perf annotate` disassembles. What is interpreted is in functions of the interpreter: --engine jit
    /// compiles all.
    #[arg(long, value_name = "HOW", value_enum)]
    pub(crate) perf: Option<PerfArg>,

    /// Let native debuggers, as `gdb -p PID`, know the code of the guest
    ///
    /// Functions are registered by GDB's interface for just-in-time compilers as they are compiled: their names, their
    /// lines if the module has debug information, and how frames are left, so that a backtrace has the calls of the guest
    /// and those of the host around them. There are no variables. What is interpreted is in functions of the
    /// interpreter: --engine jit compiles all.
    #[cfg(feature = "jit")]
    #[arg(long)]
    pub(crate) native_debug: bool,

    /// How calls of a program are shown that an interpreter inside the guest runs: mixed, only or off
    ///
    /// In profiles and reports of traps. The interpreter is CPython 3.11 to 3.14, PHP 8.2 or CRuby 3.2 to 3.4; of programs of
    /// Go it is which calls of goroutines are shown that are on their own stacks only. `mixed`: between the
    /// interpreter's own calls. `only`: without those.
    #[arg(long, value_name = "HOW", value_parser = parse::guest_frames(), default_value = "mixed")]
    pub(crate) guest_frames: GuestFrames,

    /// If the guest traps, write what it had in memory and on its stack to this file
    ///
    /// A core dump in the format of the WebAssembly tool conventions. Values of locals are those of
    /// interpreted code; with `--engine interp` there are all. That it can be written is found out
    /// before the guest runs; what FILE held stays if there is no trap.
    #[arg(long, value_name = "FILE")]
    pub(crate) coredump: Option<PathBuf>,

    /// Names and debug information of the module are in this file
    ///
    /// A module with the same code, from before it was stripped or with its debug information alone, or a
    /// source map; or a package (.dwp) or file (.dwo) of split DWARF. Without it `profile`, `trace`, `coverage` and `inspect`
    /// look in the module's folder for the file that the module names in a section `external_debug_info` or
    /// `sourceMappingURL`, and for the files of split DWARF.
    #[arg(long, value_name = "FILE")]
    pub(crate) symbols: Option<PathBuf>,

    /// Run a module although nothing defines some functions that it imports
    ///
    /// A call of one of them ends the guest. Other imports that are missing are errors all the same.
    #[arg(long)]
    pub(crate) stub_imports: bool,

    /// Neither use the cache of compiled code nor add to it
    #[arg(long)]
    pub(crate) no_cache: bool,

    /// Let FILE be an artifact that `wardian compile -o` wrote
    ///
    /// Artifacts hold machine code, which is not checked and could do anything: use this only with
    /// files that you made yourself and that nobody else could have changed.
    #[arg(long)]
    pub(crate) allow_precompiled: bool,

    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,

    /// Open a control socket, by which `wardian top`, `attach` and `checkpoint` ask this process
    ///
    /// It is in a folder that only this user can enter, below XDG_RUNTIME_DIR or the folder for temporary files.
    /// Compiled code is some percent slower, so that it can be written to a checkpoint.
    #[arg(long)]
    pub(crate) control: bool,

    #[command(flatten)]
    pub(crate) features: FeatureArgs,

    /// The module, binary or text, or `-` for standard input; then the arguments of the guest, or of
    /// the function that --invoke names
    // One list, so that options after FILE are the guest's and not ours.
    #[arg(value_name = "FILE", required = true, num_args = 1.., trailing_var_arg = true)]
    command: Vec<OsString>,
}

impl RunArgs {
    /// The module.
    pub(crate) fn file(&self) -> &Path {
        Path::new(self.command.first().map_or(OsStr::new(""), |file| file))
    }

    /// Whether somebody may want it as a checkpoint.
    pub(crate) fn is_carried(&self) -> bool {
        self.checkpoint.file.is_some() || self.control
    }

    /// The engine that runs it.
    pub(crate) fn engine(&self) -> EngineKind {
        let default = if cfg!(feature = "jit") { EngineArg::Tiered } else { EngineArg::Interp };
        self.engine.unwrap_or(default).kind()
    }

    /// What comes after it.
    pub(crate) fn args(&self) -> &[OsString] {
        self.command.get(1..).unwrap_or_default()
    }
}

/// Continue a program from a checkpoint
///
/// FILE, or a URL, was written by `wardian run --checkpoint`, perhaps on another machine. The program gets its arguments,
/// environment and open files back; its directories are given again with --dir, under the names by which it knows
/// them. Files that it had open are opened again in those directories, and must not have been exchanged. Limits, the
/// timeout and the engine are those of this command line.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
#[command(override_usage = "wardian resume [OPTIONS] <FILE|URL>")]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// How `perf` finds the names of compiled code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PerfArg {
    /// /tmp/perf-PID.map
    Map,
    /// /tmp/jit-PID.dump, with the code itself
    Jitdump,
}

/// How much is shown of a guest that traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BacktraceArg {
    /// Where in its own code it happened, and the innermost calls
    Short,
    /// All calls, values and memory
    Full,
}

/// How code is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineArg {
    /// Begin at once in the interpreter; compile what is hot in the background
    Tiered,
    /// Compile everything first
    Jit,
    /// Compile nothing
    Interp,
}

impl EngineArg {
    /// The argument that names an engine.
    pub(crate) fn of(kind: EngineKind) -> EngineArg {
        match kind {
            EngineKind::Compiled => EngineArg::Jit,
            EngineKind::Interpreted => EngineArg::Interp,
            _ => EngineArg::Tiered,
        }
    }

    /// As it is on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            EngineArg::Tiered => "tiered",
            EngineArg::Jit => "jit",
            EngineArg::Interp => "interp",
        }
    }

    /// The engine that it names.
    pub(crate) fn kind(self) -> EngineKind {
        match self {
            EngineArg::Tiered => EngineKind::Tiered,
            EngineArg::Jit => EngineKind::Compiled,
            EngineArg::Interp => EngineKind::Interpreted,
        }
    }
}

/// What modules may use.
#[derive(Args)]
pub(crate) struct FeatureArgs {
    /// Features of WebAssembly that modules may use, and no others: names separated by commas
    ///
    /// The names are those that `wardian inspect` shows; v1, v2 and v3 are the features of WebAssembly 1.0,
    /// 2.0 and 3.0 (as far as wardian implements it), all everything that it implements.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse::features)]
    #[arg(default_value = "all")]
    pub(crate) features: Vec<CoreFeatures>,

    /// Features that modules may not use
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse::features)]
    pub(crate) disable_features: Vec<CoreFeatures>,
}

impl FeatureArgs {
    /// The features that are on.
    pub(crate) fn set(&self) -> CoreFeatures {
        let join = |list: &[CoreFeatures]| {
            list.iter().fold(CoreFeatures::empty(), |set, more| set | *more)
        };
        join(&self.features) - join(&self.disable_features)
    }
}

/// Compile a module into the cache, or into a file
#[derive(Args)]
pub(crate) struct CompileArgs {
    /// Write the compiled module to this file, for `wardian run --allow-precompiled`
    ///
    /// It works with the same version of wardian, on the same kind of processor, under the same
    /// features.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) profile: ProfileUseArgs,

    #[command(flatten)]
    pub(crate) features: FeatureArgs,

    /// The module, binary or text; `-` for standard input
    pub(crate) file: PathBuf,
}

/// Check that a module is valid, and list the features it needs
#[derive(Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) features: FeatureArgs,

    /// The module, binary or text; `-` for standard input
    pub(crate) file: PathBuf,
}

/// Show what a module needs, offers and consists of; or where the program of a checkpoint stands
#[derive(Args)]
pub(crate) struct InspectArgs {
    /// Also write who calls whom to this file: a picture, or for Graphviz
    ///
    /// Calls through tables lead to a node for the table and the signature. Of large modules the functions
    /// with most calls are shown, and how many there are.
    #[arg(long, value_name = "FILE.svg|FILE.dot")]
    pub(crate) graph: Option<PathBuf>,

    /// How many functions the graph shows at most
    #[arg(long, value_name = "NUMBER", default_value_t = 60, requires = "graph")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) graph_limit: u16,

    /// Begin the graph at this function, by its name or that of its export, and show those that the fewest
    /// calls lead to; `*` for all exports
    #[arg(long, value_name = "FUNCTION", requires = "graph")]
    pub(crate) graph_from: Option<String>,

    /// Show what the code consists of: bytes by function, and by source file if there is debug
    /// information
    #[arg(long)]
    pub(crate) sizes: bool,

    /// Show what is in this file instead, that `wardian run --profile-generate` wrote for the module
    ///
    /// The functions that were hot, with how many calls of them and rounds of their loops were counted in the interpreter,
    /// and what calls through tables and references called.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["graph", "sizes", "diff"])]
    pub(crate) profile_data: Option<PathBuf>,

    /// Names and debug information of the module are in this file
    ///
    /// A module with the same code, from before it was stripped or with its debug information alone, or a
    /// source map; or a package (.dwp) or file (.dwo) of split DWARF. Without it `profile`, `trace`, `coverage` and `inspect`
    /// look in the module's folder for the file that the module names in a section `external_debug_info` or
    /// `sourceMappingURL`, and for the files of split DWARF.
    #[arg(long, value_name = "FILE")]
    pub(crate) symbols: Option<PathBuf>,

    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Show in what another checkpoint, usually a later one, differs from FILE
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["graph", "sizes"])]
    pub(crate) diff: Option<PathBuf>,

    /// The key that the checkpoint was made with, in a file: see `wardian run --checkpoint-key`
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) checkpoint_key: Option<PathBuf>,

    /// The module, binary or text, or a checkpoint, which may be at a URL; `-` for standard input
    pub(crate) file: PathBuf,
}

/// Look after the cache of compiled code
#[derive(Args)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    pub(crate) action: CacheAction,
}

#[derive(Clone, Copy, Subcommand)]
pub(crate) enum CacheAction {
    /// Print the cache's folder
    Dir,
    /// Remove everything from the cache
    Clear,
    /// Print how much the cache holds
    Size,
}
