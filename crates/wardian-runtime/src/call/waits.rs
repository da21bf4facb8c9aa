//! Atomic accesses that wait for other threads.
//!
//! ```text
//!   memory.atomic.wait ── join the queue ── sleep ──> notified, time is up, or the guest is to end
//!                                            ^  │
//!                                            └──┴──> a checkpoint is wanted: taken, and the guest keeps its place
//! ```

use crate::call::builtins::finish;
use crate::checkpoint::Standing;
use crate::ids::InstanceId;
use crate::store::inner::{Embedder, StoreData, StoreInner};
use crate::store::remote::CheckpointRequests;
use crate::store::waiting::{RestoredWait, Waiting};
use crate::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use wardian_types::{GuestAddr, MemoryIndex, TrapCode};
use wardian_vm::addr::{DataAddr, OwnerPtr, VmCtxPtr};
use wardian_vm::park::{Queued, WaitResult};

pub(crate) unsafe extern "C" fn atomic_wait32(
    vmctx: VmCtxPtr,
    memory: u64,
    address: u64,
    expected: u64,
    timeout: u64,
) -> u64 {
    let is_expected = |at: DataAddr| {
        // SAFETY: four aligned bytes inside a shared memory, which never shrinks or moves.
        let cell = unsafe { AtomicU32::from_ptr(at.as_ptr()) };
        cell.load(Ordering::SeqCst) == expected as u32
    };
    // SAFETY: only called by compiled code, with its own context.
    unsafe { wait_at(vmctx, place(memory, address), 4, timeout, is_expected) }
}

pub(crate) unsafe extern "C" fn atomic_wait64(
    vmctx: VmCtxPtr,
    memory: u64,
    address: u64,
    expected: u64,
    timeout: u64,
) -> u64 {
    let is_expected = |at: DataAddr| {
        // SAFETY: as above, eight bytes.
        let cell = unsafe { AtomicU64::from_ptr(at.as_ptr()) };
        cell.load(Ordering::SeqCst) == expected
    };
    // SAFETY: as above.
    unsafe { wait_at(vmctx, place(memory, address), 8, timeout, is_expected) }
}

/// A place in a memory, as builtins get it.
fn place(memory: u64, address: u64) -> (MemoryIndex, GuestAddr) {
    (MemoryIndex::from_u32(memory as u32), GuestAddr::from_u64(address))
}

/// Waits at an address of a memory as long as it has what is expected, which is asked with where its `size` bytes are.
///
/// # Safety
///
/// As for [`wait`].
unsafe fn wait_at(
    vmctx: VmCtxPtr,
    (memory, address): (MemoryIndex, GuestAddr),
    size: u64,
    timeout: u64,
    is_expected: impl Fn(DataAddr) -> bool,
) -> u64 {
    let join = |store: &mut StoreInner, instance: InstanceId| {
        let at = store.atomic_address(instance, memory, address, size)?;
        let at = at.ok_or(TrapCode::AtomicWaitNonShared)?;
        Ok(store.join_queue(at, (memory, address), timeout as i64, || is_expected(at)))
    };
    // SAFETY: the caller's promise.
    unsafe { wait(vmctx, join) }
}

/// Waits in the queue that `join` has taken a place in, if it has.
///
/// # Safety
///
/// `vmctx` is the context of an instance whose guest is calling.
unsafe fn wait(
    vmctx: VmCtxPtr,
    join: impl FnOnce(&mut StoreInner, InstanceId) -> Result<bool>,
) -> u64 {
    // SAFETY: contexts begin with the store's context, whose `owner` is a `StoreData<_>` derived from the `&mut` that
    // the call into the guest holds; its first field is `inner`. While checkpoints are taken, which needs the whole
    // store, no reference into it is used here.
    unsafe {
        let ctx = vmctx.store();
        let position = vmctx.instance();
        let owner = (*ctx).owner;
        let inner = owner.as_ptr::<StoreInner>();
        let work = || {
            if !join(&mut *inner, position)? {
                return Ok(WaitResult::NotEqual as u64);
            }
            sleep(inner, || match (*inner).remote.serve() {
                Some(serve) => serve(owner),
                None => Ok(()),
            })
        };
        let done = catch_unwind(AssertUnwindSafe(work));
        // It is still there after an error or a panic.
        (*inner).suspension.end_wait();
        finish(ctx, inner, done)
    }
}

impl StoreInner {
    /// Address of an atomic access, checked; `None` if the memory is not shared.
    pub(crate) fn atomic_address(
        &mut self,
        instance: InstanceId,
        memory: MemoryIndex,
        address: GuestAddr,
        size: u64,
    ) -> Result<Option<DataAddr>> {
        if !address.is_aligned_to(size) {
            let access = self.access(instance, memory, address, size);
            return Err(Error::from(TrapCode::UnalignedAtomic).with_access(access));
        }
        let range = self.range(instance, memory, address, size)?;
        Ok(range.shared.then(|| DataAddr::of(range.at)))
    }

    /// Takes a place in the queue of an address as long as it has what is expected, for so many nanoseconds. A negative
    /// timeout waits for ever. Returns whether it has.
    pub(crate) fn join_queue(
        &mut self,
        at: DataAddr,
        (memory, address): (MemoryIndex, GuestAddr),
        timeout: i64,
        still_expected: impl FnOnce() -> bool,
    ) -> bool {
        let timeout = u64::try_from(timeout).ok().map(Duration::from_nanos);
        let queued = Queued::join(at, still_expected, timeout);
        self.suspension.begin_wait(queued.map(|queued| Waiting { memory, address, queued }))
    }

    /// Sleeps in the queue, and returns what the instruction does. `None`: somebody wants a checkpoint, and the guest
    /// keeps its place.
    fn sleep(&mut self) -> Option<u64> {
        let interrupter = self.interrupter().clone();
        loop {
            let queued = &self.suspension.current_wait()?.queued;
            interrupter.set_repeatable(true);
            let result = queued.sleep(&interrupter);
            interrupter.set_repeatable(false);
            if result == WaitResult::Interrupted && interrupter.reasons() == 0 {
                if self.has_checkpoint_requests() {
                    return None;
                }
                continue;
            }
            let waiting = self.suspension.end_wait()?;
            return Some(match waiting.queued.leave(result) {
                // The stub sees the interrupt word.
                WaitResult::Interrupted => 0,
                result => result as u64,
            });
        }
    }

    /// Takes the place in the queue that the guest of a checkpoint had, if it does not have one yet. Nothing is compared:
    /// it was waiting already.
    pub fn join_queue_again(&mut self, wait: &RestoredWait) -> Result<()> {
        let mut queued = wait.queued.lock().unwrap_or_else(|e| e.into_inner());
        if queued.is_none() && wait.place.is_some() {
            let at = self.atomic_address(wait.instance, wait.memory, wait.address, wait.size)?;
            let at = at.ok_or(TrapCode::AtomicWaitNonShared)?;
            *queued = Queued::join(at, || true, wait.left);
        }
        Ok(())
    }

    /// Begins to wait as the guest of a checkpoint did. Returns false if it was notified already.
    pub(crate) fn wait_again(&mut self, wait: &RestoredWait) -> Result<bool> {
        self.join_queue_again(wait)?;
        let queued = wait.queued.lock().unwrap_or_else(|e| e.into_inner()).take();
        let (memory, address) = (wait.memory, wait.address);
        Ok(self.suspension.begin_wait(queued.map(|queued| Waiting { memory, address, queued })))
    }
}

/// Sleeps in the queue in which the store has a place, and returns what the instruction does. `serve` takes the checkpoints
/// that somebody wants meanwhile; if it fails, so does this.
///
/// # Safety
///
/// The store is valid, and its guest waits. No reference into it is used while this runs.
pub(crate) unsafe fn sleep(
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
unsafe fn serve<T: Embedder>(store: OwnerPtr) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { (*store.as_ptr::<StoreData<T>>()).serve_checkpoints(Standing::Wait) }
}

impl<T: Embedder> StoreData<T> {
    /// Sets what asks for checkpoints of the store.
    pub fn set_checkpoint_requests(&mut self, requests: Arc<dyn CheckpointRequests>) {
        // SAFETY: it is for the type of the data.
        unsafe { self.inner.remote.set_requests(requests, serve::<T>) };
    }
}
