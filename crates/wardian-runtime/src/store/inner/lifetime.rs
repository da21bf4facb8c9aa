//! How a store begins and ends.

use super::{Embedder, StoreData, StoreInner};
use crate::Engine;
use crate::limiter::Limiter;
use crate::listen::listener::AbortReason;
use crate::listen::listening::Listening;
use crate::store::asked::Asked;
use crate::store::context::Context;
use crate::store::entities::Entities;
use crate::store::exceptions::Exceptions;
use crate::store::externrefs::ExternRefs;
use crate::store::pending::PendingExit;
use crate::store::remote::Remote;
use crate::store::suspension::Suspension;
use crate::store::taken::Taken;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use wardian_vm::addr::OwnerPtr;
use wardian_vm::contain::{discard, drop_contained};
use wardian_vm::layout::StoreCtx;

impl<T: Embedder> StoreData<T> {
    /// A store of an engine.
    pub fn new(engine: &Engine, data: T) -> Box<StoreData<T>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let ctx = StoreCtx {
            builtins: crate::call::builtins::TABLE.as_ptr(),
            interpret: Some(crate::call::interpret::interpret),
            unwind: Some(crate::call::unwind::unwind),
            ..StoreCtx::default()
        };
        Box::new(StoreData {
            inner: StoreInner {
                context: Context::new(ctx),
                id: NEXT.fetch_add(1, Ordering::Relaxed),
                engine: engine.clone(),
                entities: Entities::default(),
                externrefs: ExternRefs::default(),
                gc: Box::default(),
                exceptions: Exceptions::default(),
                pending: PendingExit::default(),
                listening: Listening::default(),
                remote: Remote::default(),
                taken: Taken::default(),
                suspension: Suspension::default(),
                samples: None,
                // SAFETY: they are for stores with data of this type.
                asked: unsafe { Asked::new(limiter::<T>, refuel::<T>) },
            },
            data,
        })
    }

    /// Ends the store and returns the embedder's data.
    pub fn into_data(self: Box<Self>) -> T {
        let store = Box::into_raw(self);
        // SAFETY: the box is ours, and each field is dropped or moved out once: afterwards it is
        // freed as a box of uninitialised bytes. A panic of a destructor leaks the rest.
        unsafe {
            (*store).notify_dropped();
            std::ptr::drop_in_place(&raw mut (*store).inner);
            let data = std::ptr::read(&raw const (*store).data);
            drop(Box::from_raw(store.cast::<std::mem::MaybeUninit<Self>>()));
            data
        }
    }

    /// Notifies the limiter that nothing of the store is left: it may count for several stores.
    fn notify_dropped(&mut self) {
        let (inner, limiter) = self.split();
        let Some(limiter) = limiter else { return };
        for memory in inner.entities.memories() {
            limiter.memory_shrunk(memory.len(), 0);
        }
        for table in inner.entities.tables() {
            limiter.table_shrunk(table.len(), 0);
        }
        for bytes in [inner.heap_stats().capacity, inner.exceptions.granted()] {
            if bytes != 0 {
                limiter.memory_shrunk(bytes, 0);
            }
        }
    }

    /// The inside, and the limiter if there is one.
    pub fn split(&mut self) -> (&mut StoreInner, Option<&mut dyn Limiter>) {
        (&mut self.inner, self.data.limiter())
    }
}

/// # Safety
///
/// `owner` is the address of a `StoreData<T>` whose limiter and data nobody else uses now.
unsafe fn limiter<T: Embedder>(owner: OwnerPtr) -> Option<NonNull<dyn Limiter>> {
    let store = owner.as_ptr::<StoreData<T>>();
    // SAFETY: by the promise above. Only the data are borrowed, not `inner`.
    unsafe { (*store).data.limiter().map(NonNull::from) }
}

/// # Safety
///
/// As for [`limiter`].
unsafe fn refuel<T: Embedder>(owner: OwnerPtr) -> Option<u64> {
    let store = owner.as_ptr::<StoreData<T>>();
    // SAFETY: by the promise above. Only the data are borrowed, not `inner`.
    unsafe { (*store).data.refuel() }
}

impl<T: Embedder> Drop for StoreData<T> {
    fn drop(&mut self) {
        // The limiter is the embedder's, and may panic.
        let notify = std::panic::AssertUnwindSafe(|| self.notify_dropped());
        if let Err(panic) = std::panic::catch_unwind(notify) {
            std::mem::forget(panic);
        }
    }
}

impl Drop for StoreInner {
    fn drop(&mut self) {
        // First, so that no other thread reaches the store any more, whatever comes.
        self.remote.detach();
        self.notify_of_going();
        self.remote.close_requests();
        self.keep_sampled();
        // Calls of a guest that was suspended and then forgotten.
        if let Err(panic) = self.abort_to(0, &AbortReason::Abandoned) {
            discard(panic);
        }
        self.externrefs.clear();
        drop_contained(self.gc.set_observer(None));
        self.pending.discard_error();
        self.suspension.clear();
        let engine = self.engine().clone();
        for mut memory in self.entities.take_memories() {
            if self.context.has_run() {
                memory.set_written();
            }
            memory.release(&engine);
        }
        self.context.give_back_stack(engine.stacks());
    }
}
