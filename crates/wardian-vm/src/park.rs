//! Waiting on an address of a shared memory (threads proposal, `memory.atomic.wait` and `notify`).

use crate::addr::DataAddr;
use crate::interrupt::Interrupter;
use crate::sync::{Condvar, Instant, LazyLock, Mutex, MutexGuard};
use crate::torture;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How a wait ended; the numbers are what the instruction returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum WaitResult {
    /// Another thread notified this one.
    Ok = 0,
    /// The value was not the expected one.
    NotEqual = 1,
    /// The time was up.
    TimedOut = 2,
    /// The guest is to stop.
    Interrupted = 3,
}

/// A thread that waits.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    notified: Mutex<bool>,
    changed: Condvar,
}

impl Waiter {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.notified.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Makes the thread look again at why it waits.
    pub(crate) fn wake(&self) {
        // The lock orders this with the waiting thread's own look.
        drop(self.lock());
        self.changed.notify_one();
    }
}

type Queues = HashMap<DataAddr, VecDeque<Arc<Waiter>>>;

static QUEUES: LazyLock<Mutex<Queues>> = LazyLock::new(Mutex::default);

fn queues() -> MutexGuard<'static, Queues> {
    LazyLock::force(&QUEUES).lock().unwrap_or_else(|e| e.into_inner())
}

/// A thread's place in the queue of an address, until it is dropped.
#[derive(Debug)]
pub struct Queued {
    address: DataAddr,
    waiter: Arc<Waiter>,
    deadline: Option<Instant>,
}

impl Queued {
    /// Takes the last place in the queue of `address` if `still_expected` holds, for `timeout` or for ever.
    ///
    /// `still_expected` is evaluated with the queues locked, so no notification can fall between it and the waiting.
    pub fn join(
        address: DataAddr,
        still_expected: impl FnOnce() -> bool,
        timeout: Option<Duration>,
    ) -> Option<Queued> {
        let timeout = match torture::longest_wait() {
            Some(most) => Some(timeout.map_or(most, |timeout| timeout.min(most))),
            None => timeout,
        };
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        let waiter = Arc::new(Waiter::default());
        let mut queues = queues();
        if !still_expected() {
            return None;
        }
        queues.entry(address).or_default().push_back(waiter.clone());
        Some(Queued { address, waiter, deadline })
    }

    /// Sleeps until the thread is notified, its time is up, or it is interrupted. It keeps its place.
    pub fn sleep(&self, interrupter: &Interrupter) -> WaitResult {
        interrupter.set_waiter(Some(self.waiter.clone()));
        let result = sleep(&self.waiter, self.deadline, interrupter);
        interrupter.set_waiter(None);
        result
    }

    /// Leaves the queue, and says how the wait ended: a notification that counted this thread is not lost to a timeout.
    pub fn leave(self, result: WaitResult) -> WaitResult {
        let waiter = self.waiter.clone();
        drop(self);
        if *waiter.lock() { WaitResult::Ok } else { result }
    }

    /// The time that is left; none if it waits for ever.
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// How many wait longer at this address; none if the thread was notified already.
    pub fn place(&self) -> Option<usize> {
        queues().get(&self.address)?.iter().position(|waiter| Arc::ptr_eq(waiter, &self.waiter))
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut queues = queues();
        if let Some(queue) = queues.get_mut(&self.address) {
            queue.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
            if queue.is_empty() {
                queues.remove(&self.address);
            }
        }
    }
}

fn sleep(waiter: &Waiter, deadline: Option<Instant>, interrupter: &Interrupter) -> WaitResult {
    let mut notified = waiter.lock();
    loop {
        if *notified {
            return WaitResult::Ok;
        }
        if interrupter.reasons() != 0 {
            return WaitResult::Interrupted;
        }
        let ignore = |e: std::sync::PoisonError<_>| e.into_inner();
        notified = match deadline {
            None => waiter.changed.wait(notified).unwrap_or_else(|e| e.into_inner()),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return WaitResult::TimedOut;
                }
                waiter.changed.wait_timeout(notified, left).unwrap_or_else(ignore).0
            }
        };
    }
}

/// Wakes up to `count` of those who wait at `address`, the longest first; returns how many.
pub fn notify(address: DataAddr, count: u32) -> u32 {
    let mut queues = queues();
    let Some(queue) = queues.get_mut(&address) else { return 0 };
    let mut woken = 0;
    while woken < count {
        let Some(waiter) = queue.pop_front() else { break };
        *waiter.lock() = true;
        waiter.changed.notify_one();
        woken += 1;
    }
    if queue.is_empty() {
        queues.remove(&address);
    }
    woken
}
