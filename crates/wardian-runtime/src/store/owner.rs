//! `StoreCtx::owner`: how host functions and builtins find the store that runs a guest.

use crate::ids::InstanceId;
use crate::store::host::HostCall;
use crate::store::inner::{Embedder, StoreData, StoreInner};
use std::marker::PhantomData;
use std::ptr::NonNull;
use wardian_vm::addr::{OwnerPtr, VmCtxPtr};
use wardian_vm::layout::StoreCtx;

/// A guard that sets `StoreCtx::owner`, the address by which builtins, host functions and limiters find the store. Calls
/// nest, so dropping it restores the previous owner, also during unwinding.
pub(crate) struct Owner {
    ctx: *mut StoreCtx,
    outer: OwnerPtr,
}

impl Owner {
    /// # Safety
    ///
    /// The store is valid and nobody refers to it while guests run, as for [`StoreData::invoke`]; its context outlives
    /// the guard.
    #[inline]
    pub(crate) unsafe fn enter<T: Embedder>(this: *mut StoreData<T>) -> Owner {
        // SAFETY: the caller's promise.
        unsafe {
            let ctx = (*this).inner.ctx();
            let outer = std::mem::replace(&mut (*ctx).owner, OwnerPtr::of(this));
            Owner { ctx, outer }
        }
    }
}

impl Drop for Owner {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the promise of `enter`.
        unsafe { (*self.ctx).owner = self.outer };
    }
}

/// A store lent to a host function. It is a pointer rather than a reference because the caller of the guest
/// uses the store as well while an asynchronous host function waits, between two polls.
pub struct Lent<'a, T: Embedder> {
    store: NonNull<StoreData<T>>,
    lifetime: PhantomData<&'a mut StoreData<T>>,
}

// SAFETY: it takes the place of the reference that it is marked as.
unsafe impl<T: Embedder + Send> Send for Lent<'_, T> {}

// SAFETY: as above.
unsafe impl<T: Embedder + Sync> Sync for Lent<'_, T> {}

impl<T: Embedder> Lent<'_, T> {
    /// # Safety
    ///
    /// The store is valid for the lifetime. While this is used nobody else uses the store.
    #[inline]
    pub(crate) unsafe fn new(store: *mut StoreData<T>) -> Self {
        // SAFETY: the caller's promise.
        Lent { store: unsafe { NonNull::new_unchecked(store) }, lifetime: PhantomData }
    }

    /// The store.
    #[inline]
    pub fn get(&self) -> &StoreData<T> {
        // SAFETY: by the promise in `new`.
        unsafe { self.store.as_ref() }
    }

    /// The store.
    #[inline]
    pub fn get_mut(&mut self) -> &mut StoreData<T> {
        // SAFETY: as above.
        unsafe { self.store.as_mut() }
    }
}

/// A call of a host function: the store, who calls, and the call itself.
pub struct Called<'a, T: Embedder> {
    store: Lent<'a, T>,
    vmctx: VmCtxPtr,
    call: HostCall,
}

impl<'a, T: Embedder> Called<'a, T> {
    #[inline]
    pub(crate) fn new(store: Lent<'a, T>, vmctx: VmCtxPtr, call: HostCall) -> Called<'a, T> {
        Called { store, vmctx, call }
    }

    /// The same call, of a function that may answer later.
    pub(crate) fn in_entry(self, serial: u64) -> Called<'a, T> {
        Called { call: self.call.in_entry(serial), ..self }
    }

    /// The call itself.
    pub fn host_call(&self) -> HostCall {
        self.call
    }

    /// The store.
    #[inline]
    pub fn get(&self) -> &StoreData<T> {
        self.store.get()
    }

    /// The store.
    #[inline]
    pub fn get_mut(&mut self) -> &mut StoreData<T> {
        self.store.get_mut()
    }

    /// What of the store does not depend on the embedder's data.
    #[inline]
    pub fn inner(&self) -> &StoreInner {
        &self.store.get().inner
    }

    /// What of the store does not depend on the embedder's data.
    #[inline]
    pub fn inner_mut(&mut self) -> &mut StoreInner {
        &mut self.store.get_mut().inner
    }

    /// The instance that calls; none if that is not known.
    pub fn instance(&self) -> Option<InstanceId> {
        self.inner().instance_at(self.vmctx)
    }
}
