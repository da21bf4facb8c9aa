//! Atomic accesses that wait for other threads.
//!
//! ```text
//!   memory.atomic.wait ── join the queue ── sleep ──> notified, time is up, or the guest is to end
//!                                            ^  │
//!                                            └──┴──> a checkpoint is wanted: taken, and the guest keeps its place
//! ```

use super::checkpoint::Standing;
use super::store::{StoreData, StoreInner};
use crate::{Error, Result};
use std::sync::Mutex;
use std::time::Duration;
use wardian_types::TrapCode;
use wardian_vm::park::{Queued, WaitResult};

/// What serves the checkpoints that somebody wants of a store with data of some type, whose address is passed.
pub(crate) type ServeCheckpoints = unsafe fn(usize, Standing) -> Result<()>;

/// An atomic wait in which the guest is.
pub(crate) struct Waiting {
    /// The memory, by its index in the instance of the guest.
    pub(super) memory: u32,
    pub(super) address: u64,
    pub(super) queued: Queued,
}

/// An atomic wait that a guest of a checkpoint was in.
pub(crate) struct RestoredWait {
    pub(super) instance: u32,
    pub(super) memory: u32,
    pub(crate) address: u64,
    /// Bytes that it compares.
    pub(super) size: u64,
    pub(crate) left: Option<Duration>,
    /// How many waited longer at the address; none if the guest was notified already.
    pub(crate) place: Option<u32>,
    /// Its place in the queue of this process, once it has one.
    pub(super) queued: Mutex<Option<Queued>>,
}

impl StoreInner {
    /// Address of an atomic access, checked; `None` if the memory is not shared.
    pub(super) fn atomic_address(
        &mut self,
        instance: u32,
        memory: u32,
        address: u64,
        size: u64,
    ) -> Result<Option<usize>> {
        if !address.is_multiple_of(size) {
            let access = self.access(instance, memory, address, size);
            return Err(Error::from(TrapCode::UnalignedAtomic).with_access(access));
        }
        let range = self.range(instance, memory, address, size)?;
        Ok(range.shared.then_some(range.at as usize))
    }

    /// Takes a place in the queue of an address as long as it has what is expected, for so many nanoseconds. A negative
    /// timeout waits for ever. Returns whether it has.
    pub(super) fn join_queue(
        &mut self,
        at: usize,
        (memory, address): (u32, u64),
        timeout: i64,
        still_expected: impl FnOnce() -> bool,
    ) -> bool {
        let timeout = u64::try_from(timeout).ok().map(Duration::from_nanos);
        let queued = Queued::join(at, still_expected, timeout);
        self.waiting = queued.map(|queued| Waiting { memory, address, queued });
        self.waiting.is_some()
    }

    /// Sleeps in the queue, and returns what the instruction does. `None`: somebody wants a checkpoint, and the guest
    /// keeps its place.
    fn sleep(&mut self) -> Option<u64> {
        let interrupter = self.interrupter().clone();
        loop {
            let queued = &self.waiting.as_ref()?.queued;
            interrupter.set_repeatable(true);
            let result = queued.sleep(&interrupter);
            interrupter.set_repeatable(false);
            if result == WaitResult::Interrupted && interrupter.reasons() == 0 {
                if self.has_checkpoint_requests() {
                    return None;
                }
                continue;
            }
            let waiting = self.waiting.take()?;
            return Some(match waiting.queued.leave(result) {
                // The stub sees the interrupt word.
                WaitResult::Interrupted => 0,
                result => result as u64,
            });
        }
    }

    /// Takes the place in the queue that the guest of a checkpoint had, if it does not have one yet. Nothing is compared:
    /// it was waiting already.
    pub(crate) fn join_queue_again(&mut self, wait: &RestoredWait) -> Result<()> {
        let mut queued = wait.queued.lock().unwrap_or_else(|e| e.into_inner());
        if queued.is_none() && wait.place.is_some() {
            let at = self.atomic_address(wait.instance, wait.memory, wait.address, wait.size)?;
            let at = at.ok_or(TrapCode::AtomicWaitNonShared)?;
            *queued = Queued::join(at, || true, wait.left);
        }
        Ok(())
    }

    /// Begins to wait as the guest of a checkpoint did. Returns false if it was notified already.
    pub(super) fn wait_again(&mut self, wait: &RestoredWait) -> Result<bool> {
        self.join_queue_again(wait)?;
        let queued = wait.queued.lock().unwrap_or_else(|e| e.into_inner()).take();
        let (memory, address) = (wait.memory, wait.address);
        self.waiting = queued.map(|queued| Waiting { memory, address, queued });
        Ok(self.waiting.is_some())
    }
}

/// Sleeps in the queue in which the store has a place, and returns what the instruction does. `serve` takes the checkpoints
/// that somebody wants meanwhile; if it fails, so does this.
///
/// # Safety
///
/// The store is valid, and its guest waits. No reference into it is used while this runs.
pub(super) unsafe fn sleep(
    inner: *mut StoreInner,
    mut serve: impl FnMut() -> Result<()>,
) -> Result<u64> {
    loop {
        // SAFETY: the caller's promise; the reference ends before `serve` uses the store.
        match unsafe { (*inner).sleep() } {
            Some(result) => return Ok(result),
            None => serve()?,
        }
    }
}

/// Takes the checkpoints that somebody wants while the guest is in an atomic wait.
///
/// # Safety
///
/// `store` is the address of a `StoreData<T>` whose guest waits. No reference into it is used meanwhile.
pub(crate) unsafe fn serve<T: 'static>(store: usize, standing: Standing) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { (*(store as *mut StoreData<T>)).serve_checkpoints(standing) }
}
