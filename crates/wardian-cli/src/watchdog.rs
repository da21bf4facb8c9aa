//! Ends the process when its time is up and nothing else has done so.
//!
//! The runtime stops guests itself, with an error that says where they were. The watchdog ends what it cannot
//! stop: reading a module from a pipe, compiling it, and host calls that block in the system.

use crate::ending::{Conclusion, Ending};
use crate::report::Exit;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How much longer than its deadline a guest may take to stop.
const GRACE: Duration = Duration::from_secs(1);

/// Runs from when it is made until it is dropped.
pub(crate) struct Watchdog {
    /// Says that the guest has begun, or by its end that all is done.
    guest: Sender<()>,
}

impl Watchdog {
    /// Ends the process at `deadline`, or somewhat later if the guest has begun by then.
    /// Then `last` is done before.
    pub(crate) fn new(
        timeout: Duration,
        deadline: Instant,
        conclusion: Conclusion,
        last: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Watchdog> {
        let (guest, messages) = channel();
        let thread = std::thread::Builder::new().name("watchdog".into());
        thread.spawn(move || {
            if let Some(what) = watch(&messages, deadline) {
                let timeout = humantime::format_duration(timeout);
                let problem = anyhow::anyhow!("the timeout of {timeout} passed {what}");
                conclusion.cut_off(Ending::Exit(Exit::TIMEOUT), problem, last);
            }
        })?;
        Ok(Watchdog { guest })
    }

    /// From now on the runtime watches the deadline.
    pub(crate) fn guest_begins(&self) {
        // The thread only ends with the process.
        let _ = self.guest.send(());
    }
}

/// Waits for the deadline, and says when it passed; for nothing more if all is done.
fn watch(messages: &Receiver<()>, deadline: Instant) -> Option<&'static str> {
    let passes = |deadline: Instant| {
        messages.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    };
    match passes(deadline) {
        Err(RecvTimeoutError::Disconnected) => return None,
        Err(RecvTimeoutError::Timeout) => return Some("before the guest could begin"),
        Ok(()) => {}
    }
    match passes(deadline.checked_add(GRACE).unwrap_or(deadline)) {
        Err(RecvTimeoutError::Timeout) => Some("in a call that cannot be interrupted"),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => None,
    }
}
