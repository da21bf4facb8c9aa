//! Which store a context belongs to while a guest of it runs.

use super::store::StoreData;
use std::marker::PhantomData;
use std::ptr::NonNull;
use wardian_vm::layout::StoreCtx;

/// Says for as long as it lives which store a context belongs to: builtins, host functions and limiters find the store
/// by this address. Calls nest, so the owner before comes back afterwards, also if a panic unwinds.
pub(in crate::raw) struct Owner {
    ctx: *mut StoreCtx,
    outer: usize,
}

impl Owner {
    /// # Safety
    ///
    /// The store is valid and nobody refers to it while guests run, as for [`StoreData::invoke`]; its context outlives
    /// the guard.
    #[inline]
    pub(in crate::raw) unsafe fn enter<T>(this: *mut StoreData<T>) -> Owner {
        // SAFETY: the caller's promise.
        unsafe {
            let ctx = (*this).inner.ctx();
            let outer = std::mem::replace(&mut (*ctx).owner, this as usize);
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
pub(crate) struct Lent<'a, T: 'static> {
    store: NonNull<StoreData<T>>,
    lifetime: PhantomData<&'a mut StoreData<T>>,
}

// SAFETY: it takes the place of the reference that it is marked as.
unsafe impl<T: Send> Send for Lent<'_, T> {}

// SAFETY: as above.
unsafe impl<T: Sync> Sync for Lent<'_, T> {}

impl<T: 'static> Lent<'_, T> {
    /// # Safety
    ///
    /// The store is valid for the lifetime. While this is used nobody else uses the store.
    #[inline]
    pub(in crate::raw) unsafe fn new(store: *mut StoreData<T>) -> Self {
        // SAFETY: the caller's promise.
        Lent { store: unsafe { NonNull::new_unchecked(store) }, lifetime: PhantomData }
    }

    #[inline]
    pub(crate) fn get(&self) -> &StoreData<T> {
        // SAFETY: by the promise in `new`.
        unsafe { self.store.as_ref() }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut StoreData<T> {
        // SAFETY: as above.
        unsafe { self.store.as_mut() }
    }
}
