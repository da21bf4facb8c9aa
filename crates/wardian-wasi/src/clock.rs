//! Clocks: the host's, or ones that make runs repeatable.

use std::sync::Mutex;
use std::time::Duration;

use crate::errno::Errno;
use crate::host;
use crate::types::ClockId;

/// Where a guest's time comes from.
///
/// All times are nanoseconds.
pub trait Clocks: Send + Sync {
    /// The present time of a clock, for `clock_time_get`.
    ///
    /// # Errors
    /// `notsup` for a clock that does not exist here; `overflow`.
    fn now(&self, id: ClockId) -> Result<u64, Errno>;

    /// The present time of a clock, for the runtime's own use: what [`now`](Self::now) would answer, but a
    /// clock that moves when it is read does not.
    ///
    /// # Errors
    /// As [`now`](Self::now).
    fn peek(&self, id: ClockId) -> Result<u64, Errno> {
        self.now(id)
    }

    /// The resolution of a clock, for `clock_res_get`. Not zero.
    ///
    /// # Errors
    /// `notsup` for a clock that does not exist here.
    fn resolution(&self, id: ClockId) -> Result<u64, Errno>;

    /// For how long the host really waits when the guest wants to wait for
    /// `nanos` in `poll_oneoff`.
    fn host_wait(&self, nanos: u64) -> Duration {
        Duration::from_nanos(nanos)
    }

    /// The guest has waited until its timeout of `nanos` ran out.
    fn slept(&self, nanos: u64) {
        let _ = nanos;
    }
}

/// The clocks of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClocks;

impl Clocks for SystemClocks {
    fn now(&self, id: ClockId) -> Result<u64, Errno> {
        host::now(id)
    }

    fn resolution(&self, id: ClockId) -> Result<u64, Errno> {
        host::resolution(id).map(|res| res.max(1))
    }
}

/// Clocks that only move when they are read, by a fixed step, and when the
/// guest sleeps, by the time it sleeps; which costs no real time. Two runs of a
/// program see the same times.
#[derive(Debug)]
pub struct VirtualClocks {
    /// Nanoseconds since the start.
    elapsed: Mutex<u64>,
    realtime: u64,
    step: u64,
}

impl VirtualClocks {
    /// Starts at this time of day, in nanoseconds since 1970; every reading
    /// moves all clocks on by `step`. With a step of 0, a guest that waits for
    /// time to pass by reading the clock waits forever.
    pub fn new(realtime: u64, step: u64) -> VirtualClocks {
        VirtualClocks { elapsed: Mutex::new(0), realtime, step }
    }
}

impl VirtualClocks {
    fn at(&self, id: ClockId, elapsed: u64) -> u64 {
        match id {
            ClockId::Realtime => self.realtime.saturating_add(elapsed),
            _ => elapsed,
        }
    }
}

impl Clocks for VirtualClocks {
    fn now(&self, id: ClockId) -> Result<u64, Errno> {
        let mut elapsed = lock(&self.elapsed);
        let now = *elapsed;
        *elapsed = now.saturating_add(self.step);
        Ok(self.at(id, now))
    }

    fn peek(&self, id: ClockId) -> Result<u64, Errno> {
        Ok(self.at(id, *lock(&self.elapsed)))
    }

    fn resolution(&self, _: ClockId) -> Result<u64, Errno> {
        Ok(self.step.max(1))
    }

    fn host_wait(&self, _: u64) -> Duration {
        Duration::ZERO
    }

    fn slept(&self, nanos: u64) {
        let mut elapsed = lock(&self.elapsed);
        *elapsed = elapsed.saturating_add(nanos);
    }
}

/// The clocks of a program that was restored: what measures time since a start continues from where the saved
/// program was, and is never below that. The time of day is the host's.
pub(crate) struct CarriedClocks {
    inner: Box<dyn Clocks>,
    /// What they were, and by how much that is ahead of the host's.
    saved: [(u64, i128); 3],
}

/// Monotonic time, CPU time of the process, CPU time of the thread.
pub(crate) type Elapsed = [u64; 3];

/// All of them now.
pub(crate) fn since_start(clocks: &dyn Clocks) -> Elapsed {
    [ClockId::Monotonic, ClockId::ProcessCputime, ClockId::ThreadCputime]
        .map(|id| clocks.peek(id).unwrap_or(0))
}

impl CarriedClocks {
    pub(crate) fn new(inner: Box<dyn Clocks>, saved: Elapsed) -> CarriedClocks {
        let now = since_start(&*inner);
        let saved = [0, 1, 2].map(|i| (saved[i], i128::from(saved[i]) - i128::from(now[i])));
        CarriedClocks { inner, saved }
    }

    fn carry(&self, id: ClockId, now: u64) -> u64 {
        let (saved, ahead) = match id {
            ClockId::Realtime => return now,
            ClockId::Monotonic => self.saved[0],
            ClockId::ProcessCputime => self.saved[1],
            ClockId::ThreadCputime => self.saved[2],
        };
        (i128::from(now) + ahead).clamp(saved.into(), u64::MAX.into()) as u64
    }
}

impl Clocks for CarriedClocks {
    fn now(&self, id: ClockId) -> Result<u64, Errno> {
        Ok(self.carry(id, self.inner.now(id)?))
    }

    fn peek(&self, id: ClockId) -> Result<u64, Errno> {
        Ok(self.carry(id, self.inner.peek(id)?))
    }

    fn resolution(&self, id: ClockId) -> Result<u64, Errno> {
        self.inner.resolution(id)
    }

    fn host_wait(&self, nanos: u64) -> Duration {
        self.inner.host_wait(nanos)
    }

    fn slept(&self, nanos: u64) {
        self.inner.slept(nanos);
    }
}

/// Locks; a panic elsewhere while the lock was held leaves nothing half done
/// in any of this crate's critical sections, so poisoning is ignored.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
