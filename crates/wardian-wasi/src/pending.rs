//! A `poll_oneoff` that was interrupted, and is made again later with the time that is left.
//!
//! ```text
//!   poll_oneoff interrupted ──> Interrupted ──repeat──> Repeat ──the next call begins──> Current
//!                                    │                                                      │
//!                     any other call: forgotten              the same poll: waits for the rest
//! ```
//!
//! An embedder that gives up a call and makes another gets a whole wait: only [`repeat`](Pending::repeat)
//! or a restored state says that the next call is the interrupted one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::lock;
use crate::types::Subscription;

/// An interrupted `poll_oneoff`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingPoll {
    /// When it began to wait, by the guest's monotonic clock.
    pub(crate) began: u64,
    pub(crate) subscriptions: Vec<Subscription>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Interrupted,
    Repeat,
    Current,
}

/// The last call of a program, if it was interrupted and waited for time.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Whether `poll` has one: what calls read that do not wait.
    any: AtomicBool,
    poll: Mutex<Option<(PendingPoll, Stage)>>,
}

impl Pending {
    /// One that is made again by the next call.
    pub(crate) fn restored(poll: Option<PendingPoll>) -> Pending {
        Pending {
            any: AtomicBool::new(poll.is_some()),
            poll: Mutex::new(poll.map(|poll| (poll, Stage::Repeat))),
        }
    }

    /// A call begins.
    pub(crate) fn call_begins(&self) {
        if self.any.load(Ordering::Acquire) {
            let mut poll = lock(&self.poll);
            *poll = match poll.take() {
                Some((poll, Stage::Repeat)) => Some((poll, Stage::Current)),
                _ => None,
            };
            self.any.store(poll.is_some(), Ordering::Release);
        }
    }

    /// When the present call, a poll with these subscriptions, began to wait, if it is one made again.
    pub(crate) fn began(&self, subscriptions: &[Subscription]) -> Option<u64> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let poll = lock(&self.poll).take();
        self.any.store(false, Ordering::Release);
        let (poll, stage) = poll?;
        (stage == Stage::Current && poll.subscriptions == subscriptions).then_some(poll.began)
    }

    /// The present call ends early.
    pub(crate) fn interrupted(&self, poll: PendingPoll) {
        *lock(&self.poll) = Some((poll, Stage::Interrupted));
        self.any.store(true, Ordering::Release);
    }

    /// The next call is the interrupted one, made again. Whether there is one.
    pub(crate) fn repeat(&self) -> bool {
        match &mut *lock(&self.poll) {
            Some((_, stage)) => {
                *stage = Stage::Repeat;
                true
            }
            None => false,
        }
    }

    pub(crate) fn get(&self) -> Option<PendingPoll> {
        lock(&self.poll).as_ref().map(|(poll, _)| poll.clone())
    }
}
