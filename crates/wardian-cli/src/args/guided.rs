//! Options of profile-guided compilation, and the command that has all of them.

use super::{EXIT_CODES, RunArgs};
use clap::Args;
use std::path::PathBuf;

/// Run a program, or a function of a module
///
/// A command (a module that exports `_start`) is run. A reactor (one that exports `_initialize`) is
/// initialised. With --invoke any exported function can be called instead of `_start`, or after
/// `_initialize`.
///
/// Options of wardian come before FILE; all that comes after it belongs to the guest.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
#[command(override_usage = "wardian run [OPTIONS] <FILE> [ARGS]...")]
pub(crate) struct RunCommandArgs {
    /// Write to this file what is hot and what calls through tables and references call, for --profile-use
    ///
    /// When the program ends, however it does. If FILE was written by this option for the same module, what this run adds is
    /// added to it; a file of another module is an error, and stays. Needs the tiered engine, and does not use the cache, for
    /// code that is compiled already counts nothing. SIGINT, SIGTERM and SIGHUP stop the guest before they end the
    /// command.
    #[arg(long, value_name = "FILE", help_heading = PROFILE)]
    #[arg(conflicts_with_all = ["profile_use", "allow_precompiled"])]
    pub(crate) profile_generate: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) profile: ProfileUseArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// How modules are compiled by a profile.
#[derive(Args)]
pub(crate) struct ProfileUseArgs {
    /// Compile by the profile in this file, that `wardian run --profile-generate` wrote for the same module
    ///
    /// Small functions are compiled into those that mostly call them through tables and references; the tiered engine compiles
    /// at once what was hot. What the program does stays the same. Names and debug information of the module may differ from
    /// those of the module that wrote the profile.
    #[arg(long, value_name = "FILE", help_heading = PROFILE)]
    pub(crate) profile_use: Option<PathBuf>,
}

const PROFILE: &str = "Options of profile-guided compilation";
