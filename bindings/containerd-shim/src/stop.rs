//! The end of a guest that is asked for from outside.
//!
//! ```text
//!   signal ──> [checkpoint] ──> grace period ──> cancelled ──> 2 s ──> the process ends
//!                    │               │               │
//!                    └───────────────┴───────────────┴──> the guest has ended
//! ```
//!
//! A program of WASI cannot receive signals. The first one begins what is above; a second one ends the grace period.

use crate::checkpoint::Request;
use crate::exit;
use crate::settings::Settings;
use anyhow::Context;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::RecvError;
use tokio::time::sleep;
use wardian::cancel::CancelToken;

/// How long a guest that was cancelled may take to end: a call of the host may not be one that can be interrupted.
const LAST_MOMENTS: Duration = Duration::from_secs(2);

/// How a guest came to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    /// By itself, with the container's exit code.
    Code(i32),
    /// It was written to a checkpoint.
    Written,
    Cancelled,
}

/// What can be asked of a guest, once it has a store.
#[derive(Clone)]
pub(crate) struct Handle {
    token: CancelToken,
    checkpoint: Request,
}

impl Handle {
    /// Puts a handle into the slot of the guest, which from now on can be asked to end.
    pub(crate) fn put(slot: &Slot, token: CancelToken, checkpoint: Request) {
        *slot.lock().unwrap_or_else(|e| e.into_inner()) = Some(Handle { token, checkpoint });
    }
}

/// The handle of the guest, which is there when its store is.
pub(crate) type Slot = Arc<Mutex<Option<Handle>>>;

/// The signals by which a container is asked to end.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they do nothing by themselves.
    pub(crate) fn watch() -> anyhow::Result<Signals> {
        let watch = |kind| signal(kind).context("cannot watch for signals");
        Ok(Signals {
            terminate: watch(SignalKind::terminate())?,
            interrupt: watch(SignalKind::interrupt())?,
        })
    }

    /// The number of the next one.
    async fn next(&mut self) -> i32 {
        let kind = tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        };
        kind.as_raw_value()
    }
}

/// Waits for the end of the guest, which a signal may bring about, and gives the exit code; or why it was not run.
pub(crate) async fn exit_code(
    mut ended: Receiver<anyhow::Result<End>>,
    guest: &Slot,
    mut signals: Signals,
    settings: &Settings,
) -> anyhow::Result<i32> {
    let number = tokio::select! {
        end = &mut ended => return code(end, None),
        number = signals.next() => number,
    };
    let handle = guest.lock().unwrap_or_else(|e| e.into_inner()).clone();
    // It has not begun.
    let Some(handle) = handle else { return Ok(exit::signalled(number)) };
    let failed = settings.checkpoint.clone().map(|path| request(&handle, path));
    tokio::select! {
        end = &mut ended => return code(end, Some(number)),
        () = sleep(settings.grace_period) => {}
        () = has_failed(failed) => {}
        _ = signals.next() => {}
    }
    handle.token.cancel();
    tokio::select! {
        end = &mut ended => code(end, Some(number)),
        () = sleep(LAST_MOMENTS) => {
            eprintln!("wardian: the guest does not end, and is cut off");
            Ok(exit::signalled(number))
        }
    }
}

/// Asks for a checkpoint. What is returned gets a value if there is none.
fn request(guest: &Handle, path: PathBuf) -> Receiver<()> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    guest.checkpoint.ask(path, move |error| {
        crate::sandbox::report(&error.context("the guest ends without a checkpoint"));
        // If nobody waits the guest is being cancelled already.
        let _ = sender.send(());
    });
    receiver
}

/// Ends only if it has failed.
async fn has_failed(failed: Option<Receiver<()>>) {
    if let Some(failed) = failed
        && failed.await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// The exit code of an end, after this signal.
fn code(end: Result<anyhow::Result<End>, RecvError>, signal: Option<i32>) -> anyhow::Result<i32> {
    // Without an end the guest's thread has panicked, and said so.
    let Ok(end) = end else { return Ok(exit::TRAP) };
    Ok(match end? {
        End::Code(code) => code,
        End::Written => exit::CHECKPOINT,
        End::Cancelled => signal.map_or(exit::TRAP, exit::signalled),
    })
}
