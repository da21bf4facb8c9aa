//! Host functions as the runtime knows them, of closures as the embedder writes them.

use crate::data::Data;
use crate::value::Val;
use crate::wasm_ty::sealed::List;
use crate::wasm_ty::{HostParams, HostResults};
use crate::{Caller, HostFuture, Result};
use std::any::TypeId;
use wardian_runtime::store::host::HostDef;
use wardian_types::FuncType;

/// What tells apart host functions for stores with different data.
pub(crate) fn data_type<T: 'static>() -> TypeId {
    TypeId::of::<T>()
}

/// A host function with Rust parameter and result types.
pub(crate) fn typed<T: 'static, P, R, F>(closure: F) -> HostDef
where
    P: HostParams,
    R: HostResults,
    F: Fn(Caller<'_, T>, P) -> R + Send + Sync + 'static,
{
    HostDef::typed::<Data<T>, P::Raw, <R::Values as List>::Raw, _>(
        data_type::<T>(),
        move |called, params| finish(closure(Caller(called), P::from_raw(params))),
    )
}

/// The results of a host function as the runtime knows them.
#[inline]
fn finish<R: HostResults>(results: R) -> wardian_runtime::Result<<R::Values as List>::Raw> {
    Ok(results.into_result()?.into_raw())
}

/// A host function of any signature, over raw slots.
pub(crate) fn raw<T: 'static, F>(ty: FuncType, closure: F) -> HostDef
where
    F: Fn(Caller<'_, T>, &mut [u64]) -> Result<()> + Send + Sync + 'static,
{
    HostDef::raw::<Data<T>, _>(data_type::<T>(), ty, move |called, slots| {
        Ok(closure(Caller(called), slots)?)
    })
}

/// A host function of any signature, over values.
pub(crate) fn values<T: 'static, F>(ty: FuncType, closure: F) -> HostDef
where
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
{
    let types = ty.results().to_vec();
    HostDef::values::<Data<T>, _>(data_type::<T>(), ty, move |called, params| {
        let params: Vec<Val> = params.into_iter().map(Val::from).collect();
        let mut results: Vec<Val> = types.iter().map(|ty| Val::zero(*ty)).collect();
        closure(Caller(called), &params, &mut results)?;
        Ok(results.into_iter().map(Into::into).collect())
    })
}

/// An asynchronous host function with Rust parameter and result types.
pub(crate) fn asynchronous<T, P, R, F>(closure: F) -> HostDef
where
    T: Send + 'static,
    P: HostParams + 'static,
    R: HostResults + 'static,
    F: for<'a> Fn(Caller<'a, T>, P) -> HostFuture<'a, R> + Send + Sync + 'static,
{
    HostDef::asynchronous::<Data<T>, P::Raw, <R::Values as List>::Raw, R, _>(
        data_type::<T>(),
        move |called, params| closure(Caller(called), P::from_raw(params)),
        finish::<R>,
    )
}

/// An asynchronous host function of any signature, over values.
pub(crate) fn asynchronous_values<T, F>(ty: FuncType, closure: F) -> HostDef
where
    T: Send + 'static,
    F: for<'a> Fn(Caller<'a, T>, Vec<Val>) -> HostFuture<'a, Result<Vec<Val>>>
        + Send
        + Sync
        + 'static,
{
    HostDef::asynchronous_values::<Data<T>, _>(data_type::<T>(), ty, move |called, params| {
        let params = params.into_iter().map(Val::from).collect();
        let future = closure(Caller(called), params);
        Box::pin(async move { Ok(future.await?.into_iter().map(Into::into).collect()) })
    })
}
