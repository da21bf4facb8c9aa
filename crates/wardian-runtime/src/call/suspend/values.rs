//! Asynchronous host functions of any signature.

use super::{Carried, HostFuture, start};
use crate::Result;
use crate::call::host::{caller, finish, read_params, write_results};
use crate::store::host::{Dispatch, HostDef};
use crate::store::inner::{Embedder, StoreData};
use crate::store::owner::Called;
use crate::value::Val;
use std::any::TypeId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wardian_types::FuncType;
use wardian_vm::activation;
use wardian_vm::addr::CodeAddr;
use wardian_vm::layout::HostFunc;

/// The closure, with its signature.
struct Values<F> {
    ty: FuncType,
    closure: F,
}

impl HostDef {
    /// An asynchronous host function of any signature, over values.
    pub fn asynchronous_values<T, F>(data: TypeId, ty: FuncType, closure: F) -> HostDef
    where
        T: Embedder + Send,
        F: for<'a> Fn(Called<'a, T>, Vec<Val>) -> HostFuture<'a, Result<Vec<Val>>>
            + Send
            + Sync
            + 'static,
    {
        let dispatch: Dispatch = dispatch::<T, F>;
        let values = Values { ty: ty.clone(), closure };
        HostDef::new(data, ty, CodeAddr::of(dispatch as *const ()), Box::new(values))
    }
}

unsafe extern "C" fn dispatch<T, F>(host: *mut HostFunc, slots: *mut u64) -> u64
where
    T: Embedder + Send,
    F: for<'a> Fn(Called<'a, T>, Vec<Val>) -> HostFuture<'a, Result<Vec<Val>>>
        + Send
        + Sync
        + 'static,
{
    // SAFETY: compiled code passes the record of a function made by `HostDef::asynchronous_values` with these very types,
    // and slots enough for its parameters and results. The closure lives as long as its store.
    unsafe {
        let owner = (*(*host).store).owner.as_ptr::<StoreData<T>>();
        let started = catch_unwind(AssertUnwindSafe(|| {
            let own = &*((*host).data.as_ptr::<Values<F>>());
            let entry = activation::serial((*host).store);
            let caller = caller::<T>(host, slots).in_entry(entry);
            let given = std::slice::from_raw_parts(slots, own.ty.param_slots());
            let params = read_params(&mut (*owner).inner, &own.ty, given);
            let future = (own.closure)(caller, params);
            let (target, store) = (Carried(slots), Carried(owner));
            let answer = async move {
                let (target, store) = (target, store);
                let results = future.await?;
                write_answer(&own.ty, &results, &store, &target)
            };
            start(owner, Box::pin(answer))
        }));
        finish::<T>(host, started)
    }
}

/// # Safety
///
/// The slots are those of a host function of this type in the store, whose guest waits.
unsafe fn write_answer<T: Embedder>(
    ty: &FuncType,
    results: &[Val],
    store: &Carried<StoreData<T>>,
    slots: &Carried<u64>,
) -> Result<()> {
    // SAFETY: the caller's promise; nobody else uses the store while a future of it is polled.
    unsafe {
        let slots = std::slice::from_raw_parts_mut(slots.0, ty.buffer_slots());
        write_results(&mut (*store.0).inner, ty, results, slots)
    }
}
