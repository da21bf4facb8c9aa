//! A system whose signals are counted, and whose barrier is a fence of each thread.

use crate::sync::atomic::{AtomicUsize, Ordering, fence};
use std::io;
use std::sync::Arc;

loom::lazy_static! {
    static ref SIGNALS: AtomicUsize = AtomicUsize::new(0);
}

/// How many signals threads have been sent.
pub fn signals_sent() -> usize {
    SIGNALS.load(Ordering::SeqCst)
}

/// What makes every processor pass a barrier. The thread that enters a guest has a fence of its own in the models: see
/// `enter` in `tests/interrupt.rs`.
pub fn barrier() {
    fence(Ordering::SeqCst);
}

/// An event, set or not.
#[derive(Debug)]
pub struct Event(AtomicUsize);

impl Event {
    /// One that is set, or not.
    pub fn new(set: bool) -> io::Result<Event> {
        Ok(Event(AtomicUsize::new(set.into())))
    }

    /// Makes it readable.
    pub fn set(&self) {
        self.0.store(1, Ordering::SeqCst);
    }

    /// Makes it not readable.
    pub fn clear(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

/// What others wait for.
#[derive(Clone, Debug)]
pub struct WakeFd(pub(crate) Arc<Event>);

impl WakeFd {
    /// Whether it is readable.
    pub fn is_set(&self) -> bool {
        self.0.0.load(Ordering::SeqCst) != 0
    }
}

/// Signals.
pub mod signals {
    /// The one that interrupts guests.
    pub fn interrupt_signal() -> i32 {
        1
    }
}

/// Threads that run guests.
pub mod thread {
    use super::SIGNALS;
    use crate::addr::ThreadPtr;
    use crate::sync::atomic::Ordering;

    /// A thread.
    #[derive(Debug)]
    pub struct ThreadHandle;

    impl ThreadHandle {
        /// Any thread, if there is one at this address.
        ///
        /// # Safety
        ///
        /// None is needed.
        pub unsafe fn from_address(address: ThreadPtr) -> Option<&'static ThreadHandle> {
            (!address.is_null()).then_some(&ThreadHandle)
        }

        /// Sends it a signal.
        pub fn signal(&self, _: i32) {
            SIGNALS.fetch_add(1, Ordering::SeqCst);
        }
    }
}
