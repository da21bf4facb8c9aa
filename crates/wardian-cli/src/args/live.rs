//! Options of the commands that look at a program that runs.

use super::TracedCalls;
use crate::parse;
use clap::{Args, builder::OsStringValueParser};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Show what a program does while it runs: hot functions, memory, open files, calls of WASI, threads
///
/// Of a process that was started with `wardian run --control`, by the same user, or of a program that is started now:
/// `wardian top prog.wasm ARGS`, with the options of `wardian run` before the file; a checkpoint continues. On a terminal it is a page that
/// changes each second, and shows the last lines that the program printed; otherwise a line is written each second, to
/// standard error for a program that is started now. It ends with the program.
#[derive(Args)]
#[command(
    override_usage = "wardian top <PID>\n       wardian top [OPTIONS OF RUN] <FILE> [ARGS]..."
)]
pub(crate) struct TopArgs {
    /// The number of the process, or a program with its options and arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    #[arg(value_name = "PID|FILE", value_parser = OsStringValueParser::new())]
    pub(crate) command: Vec<OsString>,
}

/// Write a profile or a trace of a program that runs already
///
/// The process was started with `wardian run --control`, by the same user. Its guest is sampled for a while, or its calls
/// are seen, or until it ends; the process writes the file, and continues as before. Of calls that began before a
/// trace shows that they continue, and an exact profile nothing.
#[derive(Args)]
pub(crate) struct AttachArgs {
    /// The number of the process
    pub(crate) pid: u32,

    /// Where the profile or the trace goes; a trace without it is shown as it comes
    ///
    /// The ending determines the format of a profile: .pb.gz or .pprof, .json (Firefox Profiler), .folded or .txt, .svg,
    /// .html, .table.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// How long the program is watched
    #[arg(long = "for", value_name = "TIME", value_parser = parse::time, default_value = "5s")]
    pub(crate) time: Duration,

    /// The format of a profile: pprof, firefox, folded, svg, html or table; of a trace: text, json, chrome or log
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,

    /// Profile every call rather than samples
    #[arg(long, conflicts_with_all = ["memory", "trace"])]
    pub(crate) exact: bool,

    /// Profile who allocates, and who makes memories grow
    #[arg(long, conflicts_with = "trace")]
    pub(crate) memory: bool,

    /// Show calls as they happen, as `wardian trace` does
    #[arg(long)]
    pub(crate) trace: bool,

    /// Instead of the calls of a trace, how often each function was called, how often it failed, and how long it took
    #[arg(long)]
    pub(crate) summary: bool,

    #[command(flatten)]
    pub(crate) calls: TracedCalls,
}
