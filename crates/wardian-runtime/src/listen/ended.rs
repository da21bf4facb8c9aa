//! Calls that end otherwise than by returning: their listeners are notified, innermost call first.

use super::{Event, Panic, notify, returned};
use crate::listen::hook::{OpenCall, OpenHost};
use crate::listen::listener::AbortReason;
use crate::store::inner::StoreInner;
use crate::{Error, ErrorKind, Result};
use wardian_vm::contain::{discard, drop_contained};

impl StoreInner {
    /// Ends all calls above `depth` for the reason for which the guest is being ended.
    pub(super) fn abort_pending(&mut self, depth: usize) {
        let Some(error) = self.pending.take_error() else { return };
        let error = self.abort_for(depth, error);
        self.pending.fail(error);
    }

    /// Ends all calls above `depth`, the innermost first, because of an error. A panic of a listener
    /// takes the error's place.
    pub(crate) fn abort_for(&mut self, depth: usize, error: Error) -> Error {
        if self.listening.open.len() <= depth {
            return error;
        }
        match self.abort_to(depth, &reason(&error)) {
            Ok(()) => error,
            Err(panic) if matches!(error.kind(), ErrorKind::Panic(_)) => {
                discard(panic);
                error
            }
            Err(panic) => {
                drop_contained(error);
                Error::panic(panic)
            }
        }
    }

    /// Ends all calls above `depth`, the innermost first.
    pub(crate) fn abort_to(&mut self, depth: usize, reason: &AbortReason<'_>) -> Result<(), Panic> {
        let mut first = Ok(());
        while self.listening.open.len() > depth {
            let Some(call) = self.listening.open.pop() else { break };
            self.listening.open_hosts.pop_if(|host| host.id == call.id);
            first = keep_first(first, self.abort_call(&call, reason));
        }
        first
    }

    fn abort_call(&self, call: &OpenCall, reason: &AbortReason<'_>) -> Result<(), Panic> {
        notify(self, call, Event::OTHER, |listener, call| listener.abort(call, reason))
    }

    /// Ends the call of a host function that suspended its guest, and now has an answer.
    pub(crate) fn end_waiting(&mut self, outcome: Result<(), &Error>) -> Result<(), Panic> {
        let Some(call) = self.listening.open.last().copied() else { return Ok(()) };
        let waits = |host: &mut OpenHost| host.id == call.id && !host.waits.is_null();
        let Some(host) = self.listening.open_hosts.pop_if(waits) else { return Ok(()) };
        match outcome {
            // SAFETY: the guest still waits in this host function, whose slots now hold its results.
            Ok(()) => unsafe { returned(self, call.hook, host.waits) },
            Err(error) => {
                self.listening.open.pop();
                self.abort_call(&call, &reason(error))
            }
        }
    }
}

/// Why calls are aborted that end with an error.
fn reason(error: &Error) -> AbortReason<'_> {
    match error.kind() {
        ErrorKind::Panic(_) => AbortReason::Panic,
        ErrorKind::Restored => AbortReason::Restored,
        ErrorKind::Exception(exception) => AbortReason::Exception(exception),
        _ => AbortReason::Error(error),
    }
}

/// The first of two panics; the second one is dropped.
pub(crate) fn keep_first(first: Result<(), Panic>, second: Result<(), Panic>) -> Result<(), Panic> {
    match (first, second) {
        (Err(first), Err(second)) => {
            discard(second);
            Err(first)
        }
        (first, second) => first.and(second),
    }
}
