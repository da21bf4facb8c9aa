//! The command line of `wardian doctor`.

use clap::Args;

/// Say what this system gives, and which lesser way is taken where it lacks something
///
/// A program is run, and what the runtime uses of the system is tried: executable memory, address space, files in
/// memory and so on. Nothing is changed. Exit codes: 0 if everything is there, 3 if programs run but something is
/// missing, 1 if they do not run.
#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}
