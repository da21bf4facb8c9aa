//! What a running guest makes the runtime ask of the embedder, who has the data beside the store.

use crate::limiter::Limiter;
use crate::store::inner::{Embedder, StoreData};
use std::ptr::NonNull;

/// How the embedder of a store is asked, for builtins, which do not know the type of its data.
pub(crate) struct Asked {
    limiter: unsafe fn(usize) -> Option<NonNull<dyn Limiter>>,
    refuel: unsafe fn(usize) -> Option<u64>,
}

impl Asked {
    /// For stores with data of this type.
    pub(crate) fn of<T: Embedder>() -> Asked {
        Asked { limiter: limiter::<T>, refuel: refuel::<T> }
    }

    /// The limiter, if there is one.
    ///
    /// # Safety
    ///
    /// `owner` is the address of the `StoreData` of the type for which this was made; nobody else uses its data now.
    pub(crate) unsafe fn limiter(&self, owner: usize) -> Option<NonNull<dyn Limiter>> {
        // SAFETY: the caller's promise.
        unsafe { (self.limiter)(owner) }
    }

    /// Asks for more fuel: see [`crate::call::fuel`].
    ///
    /// # Safety
    ///
    /// As for [`Asked::limiter`].
    pub(crate) unsafe fn refuel(&self, owner: usize) -> Option<u64> {
        // SAFETY: the caller's promise.
        unsafe { (self.refuel)(owner) }
    }
}

/// # Safety
///
/// `owner` is the address of a `StoreData<T>` whose limiter and data nobody else uses now.
unsafe fn limiter<T: Embedder>(owner: usize) -> Option<NonNull<dyn Limiter>> {
    let store = owner as *mut StoreData<T>;
    // SAFETY: by the promise above. Only the data are borrowed, not `inner`.
    unsafe { (*store).data.limiter().map(NonNull::from) }
}

/// # Safety
///
/// As for [`limiter`].
unsafe fn refuel<T: Embedder>(owner: usize) -> Option<u64> {
    let store = owner as *mut StoreData<T>;
    // SAFETY: by the promise above. Only the data are borrowed, not `inner`.
    unsafe { (*store).data.refuel() }
}
