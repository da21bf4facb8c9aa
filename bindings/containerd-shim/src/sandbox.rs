//! What is called in the process of a container.

use crate::exit;
use crate::guest::Guest;
use crate::privileges;
use crate::program::Program;
use crate::settings;
use crate::stop::{self, Signals, Slot};
use anyhow::Context;
use containerd_shim_wasm::sandbox::Sandbox;
use containerd_shim_wasm::sandbox::context::RuntimeContext;
use std::fs::File;
use std::io;
use std::thread;
use tokio::sync::oneshot;

/// Runs guests of containers.
#[derive(Clone, Default)]
pub(crate) struct WardianSandbox;

impl Sandbox for WardianSandbox {
    /// Every container that is no program of Linux: what is wrong with one that cannot be run is said on its standard
    /// error, where those who run it look. An error here would only be in the log of containerd.
    ///
    /// One without arguments is not run at all, so that this is the only place to say so.
    async fn can_handle(&self, container: &impl RuntimeContext) -> anyhow::Result<()> {
        let program = container.args().is_empty().then(|| Program::read(container));
        async move {
            program.and_then(Result::err).iter().for_each(report);
            Ok(())
        }
        .await
    }

    async fn run_wasi(&self, container: &impl RuntimeContext) -> anyhow::Result<i32> {
        let guest = guest(container);
        let code = match guest {
            Ok(guest) => run(guest).await,
            Err(error) => Err(error),
        };
        Ok(code.unwrap_or_else(|error| {
            report(&error);
            exit::NOT_RUN
        }))
    }
}

/// Lets the guest see the end of standard input.
///
/// `containerd-shim-wasm` opens the FIFO for reading and writing, so that this process is a writer itself and there is no end.
fn read_only_stdin() -> io::Result<()> {
    let mode = rustix::fs::fstat(io::stdin())?.st_mode;
    if rustix::fs::FileType::from_raw_mode(mode).is_fifo() {
        rustix::stdio::dup2_stdin(File::open("/proc/self/fd/0")?)?;
    }
    Ok(())
}

/// What the container says that is to be run.
fn guest(container: &impl RuntimeContext) -> anyhow::Result<Guest> {
    let (settings, environment) = settings::split(container.envs())?;
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let environment = environment.into_iter().map(owned).collect();
    Ok(Guest { program: Program::read(container)?, environment, settings })
}

/// Runs the guest on a thread of its own, and gives the container's exit code.
async fn run(guest: Guest) -> anyhow::Result<i32> {
    // Where it cannot be opened again, a guest that never sees the end is better than none.
    let _ = read_only_stdin();
    privileges::drop_unless_root()?;
    let signals = Signals::watch()?;
    let settings = guest.settings.clone();
    let slot = Slot::default();
    let (sender, ended) = oneshot::channel();
    let of_guest = slot.clone();
    // If nobody waits the process is ending.
    let work = move || drop(sender.send(guest.run(&of_guest)));
    let thread = thread::Builder::new().name("guest".into());
    thread.spawn(work).context("cannot make the guest's thread")?;
    stop::exit_code(ended, &slot, signals, &settings).await
}

/// Says what went wrong on the container's standard error.
pub(crate) fn report(error: &anyhow::Error) {
    eprintln!("wardian: {error:#}");
}
