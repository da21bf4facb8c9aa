//! What contexts say: of a store, and what every context of an instance begins with.

use super::{InstanceId, StoreCtx, instance};
use crate::addr::{CtxOffset, DataAddr, StackAddr, VmCtxPtr};

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
        unsafe { *self.word::<*mut StoreCtx>(CtxOffset::of(instance::STORE)) }
    }

    /// Which instance of its store it is.
    ///
    /// # Safety
    ///
    /// As for [`VmCtxPtr::store`].
    #[inline(always)]
    pub unsafe fn instance(self) -> InstanceId {
        // SAFETY: the caller's promise.
        unsafe { *self.word::<InstanceId>(CtxOffset::of(instance::OWNER)) }
    }
}
