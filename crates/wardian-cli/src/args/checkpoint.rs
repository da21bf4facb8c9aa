//! Options of checkpoints.

use crate::parse;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Whether and when the program is written to a file, to be resumed by `wardian resume`.
#[derive(Args)]
pub(crate) struct CheckpointArgs {
    /// Write the whole state of the program to this file when SIGTERM comes, and end with exit code 75
    ///
    /// `wardian resume` continues from there, on any machine. The file is replaced as a whole and is readable for
    /// this user alone. Compiled code is some percent slower, so that it can be written. A second signal ends the
    /// process. In builds with the feature `cloud` it may be a URL of a store of objects, such as s3://BUCKET/NAME.
    #[arg(long = "checkpoint", value_name = "FILE|URL")]
    pub(crate) file: Option<PathBuf>,

    /// Write the file again and again, for instance every 30s, and continue
    #[arg(long = "checkpoint-every", value_name = "TIME", value_parser = parse::time, requires = "file")]
    pub(crate) every: Option<Duration>,

    /// Beside FILE keep the so many that were before it, as FILE.1 (the last one), FILE.2 ...
    #[arg(long = "checkpoint-keep", value_name = "NUMBER", default_value_t = 0, requires = "file")]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) keep: u16,

    /// Authenticate the file by the key in this one: 32 bytes, or 64 hexadecimal digits
    ///
    /// Only who has the key can have made the file, and only with the key it is resumed. It is not encrypted. For
    /// `resume` it is the key of the checkpoint that is read, and of those that are written.
    #[arg(long = "checkpoint-key", value_name = "KEYFILE")]
    pub(crate) key: Option<PathBuf>,

    /// Other signals that ask for the file; may be repeated
    #[arg(long = "checkpoint-on", value_name = "SIGNAL", value_enum, requires = "file")]
    on: Vec<CheckpointSignal>,
}

impl CheckpointArgs {
    /// The signals that ask for a checkpoint.
    pub(crate) fn signals(&self) -> Vec<CheckpointSignal> {
        match self.on.is_empty() {
            true => vec![CheckpointSignal::Term],
            false => self.on.clone(),
        }
    }
}

/// A signal that can ask for a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckpointSignal {
    /// SIGTERM
    Term,
    /// SIGINT, which Ctrl-C sends
    Int,
    /// SIGHUP
    Hup,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
}

/// Write a program that is running to a checkpoint
///
/// The program was started with `wardian run --control`, by the same user. It is written at its next call or loop, and
/// continues. `wardian resume` continues it from the file, which replaces one of its name as a whole.
#[derive(Args)]
pub(crate) struct CheckpointCommandArgs {
    /// The number of the process
    pub(crate) pid: u32,

    /// The file, or a URL, which the program's process writes
    #[arg(value_name = "FILE|URL")]
    pub(crate) file: PathBuf,

    /// End the program when it is written, with exit code 75
    #[arg(long)]
    pub(crate) stop: bool,
}
