//! Ends the process when its time is up and nothing else has done so.
//!
//! The runtime stops guests itself, with an error that tells where they were. What it cannot stop
//! is left to the watchdog: reading a module from a pipe, compiling it, and host calls that the
//! system does not let go.

use crate::report::{Exit, Failure, failure};
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
        last: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Watchdog> {
        let (guest, messages) = channel();
        let thread = std::thread::Builder::new().name("watchdog".into());
        thread.spawn(move || watch(&messages, timeout, deadline, last))?;
        Ok(Watchdog { guest })
    }

    /// From now on the runtime watches the deadline.
    pub(crate) fn guest_begins(&self) {
        // The thread only ends with the process.
        let _ = self.guest.send(());
    }
}

fn watch(messages: &Receiver<()>, timeout: Duration, deadline: Instant, last: impl FnOnce()) {
    let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
    let what = match messages.recv_timeout(left(deadline)) {
        Err(RecvTimeoutError::Disconnected) => return,
        Err(RecvTimeoutError::Timeout) => "before the guest could begin",
        Ok(()) => {
            match messages.recv_timeout(left(deadline.checked_add(GRACE).unwrap_or(deadline))) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => "in a call that cannot be interrupted",
            }
        }
    };
    let timeout = humantime::format_duration(timeout);
    crate::progress::erase();
    failure(&Failure::new(
        Exit::TIMEOUT,
        anyhow::anyhow!("the timeout of {timeout} passed {what}"),
    ));
    last();
    std::process::exit(Exit::TIMEOUT.0.into());
}
