//! Host functions as a store knows them, and calls of them.

use std::any::{Any, TypeId};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use wardian_types::FuncType;
use wardian_vm::addr::{CodeAddr, OwnerPtr, VmCtxPtr};
use wardian_vm::contain::drop_contained;
use wardian_vm::layout::{HostFunc, StoreCtx};

/// A host function, in no store.
pub struct HostDef {
    /// Its signature.
    pub ty: FuncType,
    dispatch: CodeAddr,
    /// The closure; `dispatch` knows its type. Only taken out when the definition is dropped.
    closure: ManuallyDrop<Box<dyn Any + Send + Sync>>,
    /// The type of store data that the closure is made for, to be compared.
    pub data_type: TypeId,
}

impl HostDef {
    pub(crate) fn new(
        data_type: TypeId,
        ty: FuncType,
        dispatch: CodeAddr,
        closure: Box<dyn Any + Send + Sync>,
    ) -> HostDef {
        HostDef { ty, dispatch, closure: ManuallyDrop::new(closure), data_type }
    }

    /// A record by which a guest calls this function; `caller` is the importing instance's context,
    /// or null if the record is for calls through tables.
    ///
    /// `in_place` runs instead of the function's own dispatch, if there is one; it calls [`HostDef::dispatch`].
    ///
    /// The caller keeps `def` alive as long as the record.
    pub(crate) fn record(
        self: &Arc<Self>,
        store: *mut StoreCtx,
        caller: VmCtxPtr,
        in_place: Option<Dispatch>,
    ) -> HostFunc {
        HostFunc {
            store,
            caller,
            dispatch: in_place
                .map_or(self.dispatch, |dispatch| CodeAddr::of(dispatch as *const ())),
            data: OwnerPtr::of((&raw const **self.closure).cast::<()>()),
            nested: 0.into(),
            stub: wardian_vm::host_stub(),
            definition: OwnerPtr::of(Arc::as_ptr(self)),
            trampoline: CodeAddr::NULL,
        }
    }

    /// What calls the closure.
    pub(crate) fn dispatch(&self) -> Dispatch {
        // SAFETY: `new` was given one.
        unsafe { std::mem::transmute::<*const (), Dispatch>(self.dispatch.to_function()) }
    }
}

impl Drop for HostDef {
    fn drop(&mut self) {
        // SAFETY: taken once, and not used afterwards.
        drop_contained(unsafe { ManuallyDrop::take(&mut self.closure) });
    }
}

pub(crate) type Dispatch = unsafe extern "C" fn(*mut HostFunc, *mut u64) -> u64;

/// The call that a host function is answering.
#[derive(Clone, Copy)]
pub struct HostCall {
    definition: *const HostDef,
    /// Where its results go.
    slots: *mut u64,
    /// The entry in which it was called, of an asynchronous function; zero for others, whose callers
    /// cannot outlive the call.
    serial: u64,
}

impl HostCall {
    /// The call of a function that answers before it returns.
    #[inline]
    pub(crate) fn new(definition: *const HostDef, slots: *mut u64) -> HostCall {
        HostCall { definition, slots, serial: 0 }
    }

    /// The same call, of a function that may answer later: its `Caller` may be used when another entry
    /// is the innermost.
    pub(crate) fn in_entry(self, serial: u64) -> HostCall {
        HostCall { serial, ..self }
    }

    /// The entry of an asynchronous call; zero for others.
    #[inline]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The function's definition, and the slots for its results.
    ///
    /// # Safety
    ///
    /// The host function has not returned, and its guest is the innermost.
    pub(crate) unsafe fn parts<'a>(&self) -> (&'a HostDef, *mut u64) {
        // SAFETY: definitions live as long as their store, whose guest is in the call.
        unsafe { (&*self.definition, self.slots) }
    }
}

// SAFETY: only used by code that has the store, in whose guest the call is open.
unsafe impl Send for HostCall {}

// SAFETY: as above.
unsafe impl Sync for HostCall {}
