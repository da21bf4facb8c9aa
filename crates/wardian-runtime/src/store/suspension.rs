//! What a store knows of guests that wait: in asynchronous host functions, and in atomic waits.

use super::host::HostCall;
use super::paused::Paused;
use super::waiting::Waiting;
use std::task::Waker;
use wardian_vm::contain::drop_contained;

/// Whether the guest that runs may be suspended, and one that waits. There is at most one: a guest in an atomic wait
/// stays on its thread.
#[derive(Default)]
pub struct Suspension {
    /// A guest just suspended, on its way to the call that waits for it.
    paused: Option<Paused>,
    /// The nesting at which a guest may be suspended; zero for none.
    depth: u64,
    /// The call of the asynchronous host function that is being polled, once it has said that it can be made again.
    repeatable: Option<HostCall>,
    /// Woken when a suspended guest can be resumed.
    waker: Option<Waker>,
    /// The atomic wait that the guest is in.
    waiting: Option<Waiting>,
}

impl Suspension {
    /// A guest was suspended.
    pub(crate) fn pause(&mut self, paused: Paused) {
        self.paused = Some(paused);
    }

    /// The guest that was suspended.
    pub(crate) fn take_paused(&mut self) -> Option<Paused> {
        self.paused.take()
    }

    /// The nesting at which a guest may be suspended; zero for none.
    pub(crate) fn depth(&self) -> u64 {
        self.depth
    }

    pub(crate) fn waker(&self) -> Option<Waker> {
        self.waker.clone()
    }

    /// Lets guests at this nesting be suspended, and says whom to wake. Returns what was there before, for
    /// [`Self::leave`].
    pub(crate) fn enter(&mut self, depth: u64, waker: Waker) -> (u64, Option<Waker>) {
        (std::mem::replace(&mut self.depth, depth), self.waker.replace(waker))
    }

    pub(crate) fn leave(&mut self, (depth, waker): (u64, Option<Waker>)) {
        self.depth = depth;
        drop_contained(std::mem::replace(&mut self.waker, waker));
    }

    /// Says which call can be made again, if one can. Returns what was there before.
    pub fn set_repeatable(&mut self, call: Option<HostCall>) -> Option<HostCall> {
        std::mem::replace(&mut self.repeatable, call)
    }

    /// The atomic wait that the guest is in.
    pub(crate) fn current_wait(&self) -> Option<&Waiting> {
        self.waiting.as_ref()
    }

    /// Begins a wait, or none if the guest has no place in the queue; returns whether there is one.
    pub(crate) fn begin_wait(&mut self, waiting: Option<Waiting>) -> bool {
        self.waiting = waiting;
        self.waiting.is_some()
    }

    /// Ends the wait.
    pub(crate) fn end_wait(&mut self) -> Option<Waiting> {
        self.waiting.take()
    }

    /// Drops what is the embedder's.
    pub(crate) fn clear(&mut self) {
        drop_contained(self.paused.take());
        drop_contained(self.waker.take());
    }
}
