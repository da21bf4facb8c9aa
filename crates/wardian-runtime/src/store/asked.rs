//! How builtins reach the embedder's limiter and its source of fuel, which are in the data beside the store.

use crate::limiter::Limiter;
use std::ptr::NonNull;
use wardian_vm::addr::OwnerPtr;

/// Callbacks into the embedder's data. Builtins do not know the type of the data; these functions do.
pub(crate) struct Asked {
    limiter: unsafe fn(OwnerPtr) -> Option<NonNull<dyn Limiter>>,
    refuel: unsafe fn(OwnerPtr) -> Option<u64>,
}

impl Asked {
    /// # Safety
    ///
    /// Both may be called with the address of a store, as [`Asked::limiter`] says.
    pub(crate) unsafe fn new(
        limiter: unsafe fn(OwnerPtr) -> Option<NonNull<dyn Limiter>>,
        refuel: unsafe fn(OwnerPtr) -> Option<u64>,
    ) -> Asked {
        Asked { limiter, refuel }
    }

    /// The limiter, if there is one.
    ///
    /// # Safety
    ///
    /// `owner` is the address of the `StoreData` that this is a part of, and nothing else uses its data during the call.
    pub(crate) unsafe fn limiter(&self, owner: OwnerPtr) -> Option<NonNull<dyn Limiter>> {
        // SAFETY: the caller's promise.
        unsafe { (self.limiter)(owner) }
    }

    /// Asks for more fuel: see [`crate::call::fuel`].
    ///
    /// # Safety
    ///
    /// As for [`Asked::limiter`].
    pub(crate) unsafe fn refuel(&self, owner: OwnerPtr) -> Option<u64> {
        // SAFETY: the caller's promise.
        unsafe { (self.refuel)(owner) }
    }
}
