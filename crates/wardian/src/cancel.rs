//! Stopping guests from other threads.

use crate::StopReason;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wardian_runtime::call::stopping::stop_reason;
use wardian_vm::interrupt::{Interrupter, reason};

pub use wardian_vm::WakeFd;

/// Stops the guests of a store, from any thread. Clones stop the same store.
#[derive(Clone, Debug)]
pub struct CancelToken(pub(crate) Arc<Interrupter>);

impl Default for CancelToken {
    fn default() -> Self {
        CancelToken::new()
    }
}

impl CancelToken {
    /// A token that belongs to no store, say for a compilation: see
    /// [`crate::CompileOptions::with_cancel_token`]. That of a store is
    /// [`crate::Store::cancel_token`].
    pub fn new() -> CancelToken {
        CancelToken(Interrupter::unattached())
    }

    /// Makes every guest call of the store end with [`crate::StopReason::Cancelled`], soon; returns
    /// at once. Calls that come later are refused, until [`crate::Store::clear_cancellation`].
    /// Does nothing if the store is gone.
    pub fn cancel(&self) {
        self.0.interrupt(reason::CANCELLED);
    }

    /// Why work that has this token is to stop, if so.
    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        // Closing an instance and the token of a call end calls, but nothing else.
        stop_reason(self.0.reasons(), reason::CANCELLED)
    }

    /// Whether the store has been asked to stop and not let go again.
    pub fn is_cancelled(&self) -> bool {
        self.0.reasons() & reason::CANCELLED != 0
    }
}

/// Shows a host function that blocks whether its guest is to stop. See [`crate::Caller::interrupt`].
#[derive(Clone, Debug)]
pub struct Interrupt(pub(crate) Arc<Interrupter>);

impl Interrupt {
    /// Whether the guest is to stop: the host function should return an error, which one does not
    /// matter.
    pub fn is_set(&self) -> bool {
        self.0.reasons() != 0
    }

    /// A file that becomes readable then, to be waited for together with others. `None` if the
    /// system has no file descriptor left.
    pub fn wake_fd(&self) -> Option<WakeFd> {
        self.0.event()
    }
}

/// Shows a host function that blocks, and that can be called again, whether it is to end: because its guest is to
/// stop, or because somebody wants a checkpoint of it. See [`crate::Caller::repeatable_interrupt`].
#[derive(Debug)]
pub struct RepeatableInterrupt<'a> {
    interrupter: Arc<Interrupter>,
    /// Whether requests for checkpoints are heard.
    heard: AtomicBool,
    /// It is of use in the call of the host function only.
    call: PhantomData<&'a ()>,
}

impl RepeatableInterrupt<'_> {
    pub(crate) fn new(interrupter: Arc<Interrupter>) -> Self {
        RepeatableInterrupt { interrupter, heard: AtomicBool::new(false), call: PhantomData }
    }

    /// Whether the host function is to end. Requests for checkpoints count from the first
    /// [`RepeatableInterrupt::wake_fd`] on.
    pub fn is_set(&self) -> bool {
        self.interrupter.reasons() != 0
    }

    /// As [`Interrupt::wake_fd`]; also becomes readable if somebody wants a checkpoint.
    pub fn wake_fd(&self) -> Option<WakeFd> {
        let event = self.interrupter.event();
        if !self.heard.swap(true, Ordering::Relaxed) {
            self.interrupter.set_repeatable(true);
        }
        event
    }
}

impl Drop for RepeatableInterrupt<'_> {
    fn drop(&mut self) {
        if *self.heard.get_mut() {
            self.interrupter.set_repeatable(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_an_instance_stops_no_compilation() {
        let token = CancelToken::new();
        token.0.close(3);
        assert_eq!(token.stop_reason(), None);
        token.0.interrupt(reason::DEADLINE);
        assert_eq!(token.stop_reason(), Some(StopReason::Deadline));
        token.cancel();
        assert_eq!(token.stop_reason(), Some(StopReason::Cancelled));
    }
}
