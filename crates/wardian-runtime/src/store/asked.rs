//! What a running guest makes the runtime ask of the embedder, who has the data beside the store.

use crate::limiter::Limiter;
use std::ptr::NonNull;

/// How the embedder of a store is asked, for builtins, which do not know the type of its data.
pub(crate) struct Asked {
    limiter: unsafe fn(usize) -> Option<NonNull<dyn Limiter>>,
    refuel: unsafe fn(usize) -> Option<u64>,
}

impl Asked {
    /// # Safety
    ///
    /// Both may be called with the address of a store, as [`Asked::limiter`] says.
    pub(crate) unsafe fn new(
        limiter: unsafe fn(usize) -> Option<NonNull<dyn Limiter>>,
        refuel: unsafe fn(usize) -> Option<u64>,
    ) -> Asked {
        Asked { limiter, refuel }
    }

    /// The limiter, if there is one.
    ///
    /// # Safety
    ///
    /// `owner` is the address of the store that this is of, with its data; nobody else uses the data now.
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
