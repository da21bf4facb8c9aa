//! Options of the commands that run a program and look on.

use super::{EXIT_CODES, RunArgs};
use crate::parse;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use wardian_observe::{Format, ProfileKind, TraceFormat, TraceOptions};

/// Run a program, and show where it spends its time or memory
///
/// The guest runs as with `wardian run`, whose options are all there. Without -o and --format a table is
/// written to standard error when the guest has ended, however it did. Standard output is the guest's. If FILE is a
/// checkpoint its program continues as with `wardian resume`.
///
/// Options of wardian come before FILE; all that comes after it belongs to the guest.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
#[command(override_usage = "wardian profile [OPTIONS] <FILE> [ARGS]...")]
pub(crate) struct ProfileArgs {
    /// See every call rather than samples: exact counts, and times by the path of calls
    #[arg(long, help_heading = PROFILE, conflicts_with = "memory")]
    pub(crate) exact: bool,

    /// Time each call, however short it is; without it, some of those below a microsecond
    ///
    /// That costs two readings of the clock for each call, which is mostly more than such a call takes.
    #[arg(long, help_heading = PROFILE, requires = "exact")]
    pub(crate) every_call: bool,

    /// See who allocates, what is in use at the end, and who makes memories grow
    #[arg(long, help_heading = PROFILE)]
    pub(crate) memory: bool,

    /// Take a sample so often, for instance each 500us or 10ms; 1ms unless set, at first 100us; 50us at least
    #[arg(long, value_name = "TIME", value_parser = parse::interval, help_heading = PROFILE)]
    #[arg(conflicts_with_all = ["exact", "memory", "frequency"])]
    pub(crate) interval: Option<Duration>,

    /// Take so many samples a second
    #[arg(long, value_name = "HZ", value_parser = parse::frequency, help_heading = PROFILE)]
    #[arg(conflicts_with_all = ["exact", "memory"])]
    pub(crate) frequency: Option<Duration>,

    /// Write the profile to this file; may be repeated
    ///
    /// Its extension determines the format: .pb.gz or .pprof, .json (Firefox Profiler), .folded or .txt,
    /// .svg, .html, .table.
    #[arg(short, long = "output", value_name = "FILE", help_heading = PROFILE)]
    pub(crate) outputs: Vec<PathBuf>,

    /// The format: pprof, firefox, folded, svg, html or table
    ///
    /// Of all files of -o, whatever their endings. Without -o the file is named after FILE and put into
    /// the current folder, as in `fern.profile.svg`; a table is written to standard error.
    #[arg(long, value_name = "FORMAT", value_parser = profile_format(), help_heading = PROFILE)]
    pub(crate) format: Option<Format>,

    /// Which quantity tables, folded stacks and flame graphs show
    ///
    /// samples, wall or cpu; with --exact calls or time; with --memory alloc_objects, alloc_space,
    /// inuse_objects, inuse_space or grown_space.
    #[arg(long, value_name = "NAME", value_parser = value_name(), help_heading = PROFILE)]
    pub(crate) value: Option<String>,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// The heading of the options that `run` does not have.
const PROFILE: &str = "Options of the profile";

/// Run a program, and show its calls as they happen
///
/// The guest runs as with `wardian run`, whose options are all there. Each call is shown with its
/// arguments, its results and the time it took, calls of WASI in words. The trace is written to standard
/// error, or to the file of -o. Standard output is the guest's. If FILE is a checkpoint its program continues as with
/// `wardian resume`.
///
/// Options of wardian come before FILE; all that comes after it belongs to the guest.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
#[command(override_usage = "wardian trace [OPTIONS] <FILE> [ARGS]...")]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    pub(crate) calls: TracedCalls,

    /// The format: text, json (an object on each line), chrome (for ui.perfetto.dev) or log
    #[arg(long, value_name = "FORMAT", value_parser = trace_format(), help_heading = TRACE)]
    pub(crate) format: Option<TraceFormat>,

    /// Write the trace to this file
    #[arg(short, long, value_name = "FILE", help_heading = TRACE)]
    pub(crate) output: Option<PathBuf>,

    /// Show how often each function was called, how often it failed, and how long it took
    ///
    /// The table is written to standard error when the guest has ended. Calls are then only traced if
    /// there is -o or --format.
    #[arg(long, help_heading = TRACE)]
    pub(crate) summary: bool,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// The heading of the options that `run` does not have.
const TRACE: &str = "Options of the trace";

/// Which calls a trace shows, and how much of them.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TracedCalls {
    /// Only functions whose name matches; may be repeated. `*` matches any characters, `?` one
    #[arg(long, value_name = "PATTERN", help_heading = TRACE)]
    pub(crate) only: Vec<String>,

    /// Only functions that the guest imports, such as those of WASI
    #[arg(long, help_heading = TRACE)]
    pub(crate) host: bool,

    /// Only functions that the guest exports; with --host those too
    #[arg(long, help_heading = TRACE)]
    pub(crate) exports: bool,

    /// Only so many calls inside of each other; functions that are left out do not count
    #[arg(long, value_name = "NUMBER", help_heading = TRACE)]
    pub(crate) depth: Option<usize>,

    /// How much is written, for instance 100MiB; in a file 1GiB unless set
    ///
    /// Calls that begin later are counted, and the end of the trace says how many they were.
    #[arg(long, value_name = "SIZE", value_parser = parse::size, help_heading = TRACE)]
    pub(crate) limit: Option<usize>,

    /// How many bytes of a string are shown
    #[arg(long, value_name = "BYTES", default_value_t = STRINGS, help_heading = TRACE)]
    pub(crate) strings: usize,
}

/// How many bytes of a string are shown unless the command line says otherwise.
const STRINGS: usize = 32;

impl Default for TracedCalls {
    fn default() -> TracedCalls {
        let (only, strings) = (Vec::new(), STRINGS);
        TracedCalls { only, host: false, exports: false, depth: None, limit: None, strings }
    }
}

impl TracedCalls {
    /// The options that show these calls.
    pub(crate) fn options(&self) -> TraceOptions {
        let mut options = TraceOptions::new()
            .with_max_string(self.strings)
            .with_max_depth(self.depth.unwrap_or(usize::MAX));
        options = self.only.iter().fold(options, |options, pattern| options.with_only(pattern));
        options = if self.host { options.with_host() } else { options };
        if self.exports { options.with_exports() } else { options }
    }
}

/// Run a program, and show which functions and source lines were executed
///
/// The guest runs as with `wardian run`, whose options are all there. A summary is written to standard
/// error when the guest has ended, however it did. Lines are known if the module has debug information.
///
/// Options of wardian come before FILE; all that comes after it belongs to the guest.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
#[command(override_usage = "wardian coverage [OPTIONS] <FILE> [ARGS]...")]
pub(crate) struct CoverageArgs {
    /// Write the coverage to this file; may be repeated
    ///
    /// Its extension determines the format: .info or .lcov (for genhtml, editors and services), .html.
    #[arg(short, long = "output", value_name = "FILE", help_heading = COVERAGE)]
    pub(crate) outputs: Vec<PathBuf>,

    /// Count the outcomes of branches too: of each condition that decides, and of each table of targets
    ///
    /// Those that the compiler made are among them, as for `&&`, and for loops. genhtml shows them with
    /// --branch-coverage.
    #[arg(long, help_heading = COVERAGE)]
    pub(crate) branches: bool,

    /// Only source files whose path fits; may be repeated. `*` matches any characters
    #[arg(long, value_name = "PATTERN", help_heading = COVERAGE)]
    pub(crate) include: Vec<String>,

    /// No source files whose path fits; may be repeated
    #[arg(long, value_name = "PATTERN", help_heading = COVERAGE)]
    pub(crate) exclude: Vec<String>,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// The heading of the options that `run` does not have.
const COVERAGE: &str = "Options of the coverage";

// Shells complete what is listed.

fn profile_format() -> impl TypedValueParser<Value = Format> {
    let names = PossibleValuesParser::new(Format::ALL.map(Format::name));
    names.try_map(|name| name.parse::<Format>())
}

fn trace_format() -> impl TypedValueParser<Value = TraceFormat> {
    let names = PossibleValuesParser::new(["text", "json", "chrome", "log"]);
    names.try_map(|name| name.parse::<TraceFormat>())
}

fn value_name() -> PossibleValuesParser {
    let kinds = [ProfileKind::Sampling, ProfileKind::Exact, ProfileKind::Memory];
    let names: Vec<&str> = kinds.iter().flat_map(|k| k.value_types()).map(|ty| ty.name).collect();
    PossibleValuesParser::new(names)
}
