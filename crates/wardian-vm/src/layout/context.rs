//! What contexts say: of a store, and what every context of an instance begins with.

use super::{StoreCtx, instance};
use crate::addr::{DataAddr, StackAddr, VmCtxPtr};

impl StoreCtx {
    /// Whether an address is in the stack's guard pages.
    #[inline]
    pub fn in_guard(&self, address: DataAddr) -> bool {
        let address = StackAddr::from_usize(address.as_usize());
        (self.guard_start..self.guard_end).contains(&address)
    }
}

impl VmCtxPtr {
    /// The context of the store of an instance.
    ///
    /// # Safety
    ///
    /// It is the context of an instance that is alive.
    #[inline(always)]
    pub unsafe fn store(self) -> *mut StoreCtx {
        // SAFETY: the caller's promise.
        unsafe { *self.word::<*mut StoreCtx>(instance::STORE as usize) }
    }

    /// What the Rust side keeps in the context of an instance: which one it is.
    ///
    /// # Safety
    ///
    /// As for [`VmCtxPtr::store`].
    #[inline(always)]
    pub unsafe fn owner(self) -> usize {
        // SAFETY: the caller's promise.
        unsafe { *self.word::<usize>(instance::OWNER as usize) }
    }
}
