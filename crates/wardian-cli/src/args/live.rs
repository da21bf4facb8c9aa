//! Options of the commands that look at a program that runs.

use crate::parse;
use clap::{Args, builder::OsStringValueParser};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use wardian_observe::Format;

/// Show what a program does while it runs: hot functions, memory, open files, calls of WASI, threads
///
/// Of a process that was started with `wardian run --control`, by the same user, or of a program that is started now:
/// `wardian top prog.wasm ARGS`, with the options of `wardian run` before the file. On a terminal it is a page that
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

/// Write a profile of a program that runs already
///
/// The process was started with `wardian run --control`, by the same user. It samples its guest for a while, or until
/// that ends, writes the file, and continues.
#[derive(Args)]
pub(crate) struct AttachArgs {
    /// The number of the process
    pub(crate) pid: u32,

    /// Where the profile goes
    ///
    /// Its extension determines the format: .pb.gz or .pprof, .json (Firefox Profiler), .folded or .txt, .svg, .html,
    /// .table.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// How long the program is sampled
    #[arg(long = "for", value_name = "TIME", value_parser = parse::time, default_value = "5s")]
    pub(crate) time: Duration,

    /// The format: pprof, firefox, folded, svg, html or table
    #[arg(long, value_name = "FORMAT", value_parser = super::observers::profile_format())]
    pub(crate) format: Option<Format>,
}
