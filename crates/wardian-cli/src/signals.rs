//! Ctrl-C while somebody looks on: it stops the guest rather than the process, so that what was seen so
//! far is written.
//!
//! The signals are blocked in all threads, and one thread waits for them: no handler runs, least of all
//! on a guest's stack.

use crate::ending::{Conclusion, Ending};
use crate::host::{Signal, SignalSet, signals_that_end};
use anyhow::{Context, anyhow};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use wardian::cancel::CancelToken;

/// How long a guest may take to stop.
const GRACE: Duration = Duration::from_secs(1);

/// Watches for signals that end programs, until it is dropped; then they end the process at once, as they
/// do before the guest begins and when a second one comes.
pub(crate) struct Signals(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Stops the guest, while it runs.
    guest: Option<CancelToken>,
    /// The signal that stopped it.
    came: Option<Signal>,
}

/// The signals are blocked.
pub(crate) struct Blocked(SignalSet);

impl Blocked {
    /// Blocks signals in this thread, and in those that it makes from now on: there must be no others.
    pub(crate) fn new() -> anyhow::Result<Blocked> {
        let set = signals_that_end();
        set.thread_block().context("cannot block signals")?;
        Ok(Blocked(set))
    }

    /// Waits for the signals. `last` is done if the guest does not stop, before the process ends.
    pub(crate) fn watch(
        self,
        conclusion: Conclusion,
        last: impl Fn() + Send + Sync + 'static,
    ) -> anyhow::Result<Signals> {
        let Blocked(set) = self;
        let state = Arc::<Mutex<State>>::default();
        let watched = state.clone();
        let thread = std::thread::Builder::new().name("signals".into());
        let last = Arc::new(last);
        let watch = move || {
            // Fails only if there is no signal in the set.
            while let Ok(signal) = set.wait() {
                let guest = {
                    let mut state = lock(&watched);
                    let first = state.came.replace(signal).is_none();
                    state.guest.clone().filter(|_| first)
                };
                match guest {
                    Some(guest) => stop(signal, &guest, conclusion.clone(), last.clone()),
                    None => Ending::Signal(signal).end(),
                }
            }
        };
        thread.spawn(watch).context("cannot watch for signals")?;
        Ok(Signals(state))
    }
}

impl Signals {
    /// From now on signals stop the guest.
    pub(crate) fn guest_begins(&self, guest: CancelToken) {
        lock(&self.0).guest = Some(guest);
    }

    /// What a guest that was cancelled was stopped by.
    pub(crate) fn stopped(&self) -> Option<Signal> {
        lock(&self.0).came
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        lock(&self.0).guest = None;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(|e| e.into_inner())
}

/// Stops the guest, and ends the process if that does not.
fn stop(
    signal: Signal,
    guest: &CancelToken,
    conclusion: Conclusion,
    last: Arc<impl Fn() + Send + Sync + 'static>,
) {
    let cut_off = move || {
        std::thread::sleep(GRACE);
        let problem = anyhow!("{signal} came in a call that cannot be interrupted");
        conclusion.cut_off(Ending::Signal(signal), problem, || last());
    };
    // Without the thread there is a second signal, which ends the process.
    let _ = std::thread::Builder::new().name("grace".into()).spawn(cut_off);
    guest.cancel();
}
