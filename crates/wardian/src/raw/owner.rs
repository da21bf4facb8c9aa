//! Which store a context belongs to while a guest of it runs.

use super::store::StoreData;
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
