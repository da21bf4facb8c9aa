//! Who ends the process, and how, when a guest does not end by itself.

use crate::host::{self, Signal};
use crate::report::{Exit, Failure, failure};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long last words may take: who should read them may not read any more.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How the process ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    Exit(Exit),
    /// As if nobody had held back this signal.
    Signal(Signal),
}

impl Ending {
    /// Ends the process.
    pub(crate) fn end(self) -> ! {
        // If it cannot be written nobody reads it.
        let _ = std::io::stdout().flush();
        self.end_at_once()
    }

    /// Waits for nothing: another thread may hold standard output, and hang.
    fn end_at_once(self) -> ! {
        if let Ending::Signal(signal) = self {
            host::end_by(signal);
        }
        std::process::exit(self.exit().0.into())
    }

    /// Ends the process soon, whatever the other threads wait for.
    pub(crate) fn end_soon(self) {
        let thread = std::thread::Builder::new().name("ending".into());
        // Without a thread the process ends if nothing hangs.
        let _ = thread.spawn(move || {
            std::thread::sleep(LAST_WORDS);
            self.end_at_once()
        });
    }

    /// What a shell shows.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Ending::Exit(exit) => exit,
            Ending::Signal(signal) => Exit(128 + signal as u8),
        }
    }
}

/// The right to write what was seen and to end the process, which one thread gets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conclusion(Arc<AtomicBool>);

impl Conclusion {
    /// Whether the caller is the first; then it has to end the process.
    pub(crate) fn claim(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// For the main thread: it continues if it is the first, and otherwise waits for the end.
    pub(crate) fn claim_or_wait(&self) {
        while !self.claim() {
            std::thread::park();
        }
    }

    /// Ends the process if nobody else does, while the guest hangs. `last` is done before.
    pub(crate) fn cut_off(&self, ending: Ending, problem: anyhow::Error, last: impl FnOnce()) {
        if self.claim() {
            ending.end_soon();
            // First what was seen, for the message may be one that nobody reads.
            last();
            crate::progress::erase();
            failure(&Failure::ending_with(ending, problem));
            ending.end();
        }
    }
}
