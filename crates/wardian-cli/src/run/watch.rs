//! What stops a run from outside: the timeout, and signals.

use crate::args::RunArgs;
use crate::ending::Conclusion;
use crate::host::Signal;
use crate::observe::Observer;
use crate::signals::{Blocked, Signals};
use crate::wasi::Host;
use crate::watchdog::Watchdog;
use anyhow::Context;
use std::sync::Arc;
use std::time::Instant;
use wardian::Store;

/// Watches over a run from its beginning.
pub(super) struct Watch {
    conclusion: Conclusion,
    deadline: Option<Instant>,
    watchdog: Option<Watchdog>,
    signals: Option<Signals>,
}

impl Watch {
    /// Signals that are blocked stop the guest. If it does not stop, the observer is notified before the
    /// process ends.
    pub(super) fn new(
        args: &RunArgs,
        observer: &Arc<dyn Observer>,
        blocked: Option<Blocked>,
    ) -> anyhow::Result<Watch> {
        let conclusion = Conclusion::default();
        let last = || {
            let observer = observer.clone();
            move || observer.cut_off()
        };
        let signals = blocked.map(|b| b.watch(conclusion.clone(), last())).transpose()?;
        // A timeout past the end of the clock's range is none.
        let deadline = args.timeout.and_then(|t| Some((t, Instant::now().checked_add(t)?)));
        let watchdog = deadline.map(|(t, at)| Watchdog::new(t, at, conclusion.clone(), last()));
        let watchdog = watchdog.transpose().context("cannot watch the time")?;
        Ok(Watch { conclusion, deadline: deadline.map(|(_, at)| at), watchdog, signals })
    }

    /// From now on the guest is stopped rather than the process.
    pub(super) fn guest_begins(&self, store: &mut Store<Host>) {
        store.set_deadline(self.deadline);
        if let Some(watchdog) = &self.watchdog {
            watchdog.guest_begins();
        }
        if let Some(signals) = &self.signals {
            signals.guest_begins(store.cancel_token());
        }
    }

    /// The guest is done, in time or not: what is left to do, such as printing, is not its time. If it was too
    /// late another thread does that already, and this does not return. Gives the signal that stopped it.
    pub(super) fn guest_ended(self) -> Option<Signal> {
        self.conclusion.claim_or_wait();
        self.signals.and_then(|signals| signals.stopped())
    }
}
