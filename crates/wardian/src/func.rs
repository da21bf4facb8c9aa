//! Functions.

use crate::error::UsageKind;
use crate::handles::Func;
use crate::host_def::{asynchronous_values, raw, typed, values};
use crate::store::{check_store, same_store};
use crate::value::Val;
use crate::wasm_ty::types;
use crate::wasm_ty::{HostResults, WasmParams, WasmResults, WasmTy};
use crate::{
    AsContext, AsContextMut, CallOptions, Caller, Error, HostFuture, Result, StoreContextMut,
};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use wardian_runtime::call::enter::{Callable, TypedCallable};
use wardian_runtime::call::suspend::AsyncCall;
use wardian_runtime::store::host::HostDef;
use wardian_runtime::store::inner::StoreInner;
use wardian_types::FuncType;

impl Func {
    /// A host function from a closure with typed parameters and results.
    ///
    /// ```
    /// use wardian::{Caller, Engine, Func, Store};
    /// let mut store = Store::new(&Engine::default(), 40u32);
    /// let add = Func::wrap(&mut store, |caller: Caller<'_, u32>, x: u32| caller.data() + x);
    /// assert_eq!(add.typed::<u32, u32>(&store)?.call(&mut store, 2)?, 42);
    /// # Ok::<(), wardian::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// No memory is left for the code that calls it: see [`Func::try_wrap`].
    pub fn wrap<T: 'static, P, R>(
        store: impl AsContextMut<Data = T>,
        closure: impl IntoFunc<T, P, R>,
    ) -> Func {
        Func::try_wrap(store, closure).unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`Func::wrap`] without its panic.
    ///
    /// # Errors
    ///
    /// No memory is left for the code that calls it.
    pub fn try_wrap<T: 'static, P, R>(
        mut store: impl AsContextMut<Data = T>,
        closure: impl IntoFunc<T, P, R>,
    ) -> Result<Func> {
        Func::from_def(&mut store, Arc::new(closure.into_host_def()))
    }

    /// A host function of any signature, over values.
    ///
    /// The closure gets the arguments, and fills the results, which are zero at first. Results of
    /// the wrong type are an error.
    ///
    /// # Panics
    ///
    /// There are more than 1000 parameters or more than 1000 results, or no memory is left for the code
    /// that calls it: see [`Func::try_new`].
    pub fn new<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        closure: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Func {
        let def = Arc::new(values(ty, closure));
        Func::from_def(&mut store, def).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A host function of any signature, over raw slots: arguments come in the first ones, results
    /// go to the first ones. A `v128` takes two slots, everything else one; `i32` and `f32` are in
    /// the low 32 bits. References are handles, which are checked when they come back. Those of objects that are
    /// arguments mean something until the closure has returned: [`crate::gc::AnyRef::from_raw`] keeps the object longer,
    /// and [`crate::gc::AnyRef::to_raw`] gives a slot for a result.
    ///
    /// # Panics
    ///
    /// As for [`Func::new`]: see [`Func::try_new_raw`].
    #[doc(alias = "new_unchecked")]
    pub fn new_raw<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        closure: impl Fn(Caller<'_, T>, &mut [u64]) -> Result<()> + Send + Sync + 'static,
    ) -> Func {
        let def = Arc::new(raw(ty, closure));
        Func::from_def(&mut store, def).unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`Func::new`], for a signature that may be too large.
    ///
    /// # Errors
    ///
    /// There are more than 1000 parameters or more than 1000 results, or no memory is left for the code
    /// that calls it.
    pub fn try_new<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        closure: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Func> {
        Func::from_def(&mut store, Arc::new(values(ty, closure)))
    }

    /// [`Func::new_raw`], for a signature that may be too large.
    ///
    /// # Errors
    ///
    /// As for [`Func::try_new`].
    pub fn try_new_raw<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        closure: impl Fn(Caller<'_, T>, &mut [u64]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Func> {
        Func::from_def(&mut store, Arc::new(raw(ty, closure)))
    }

    /// An asynchronous host function of any signature, over values. While its future is not ready the guest is suspended;
    /// such a guest has to be called with [`Func::call_async`] or [`TypedFunc::call_async`].
    ///
    /// ```
    /// use wardian::{Engine, Func, FuncType, Store, Val, ValType};
    /// let mut store = Store::new(&Engine::default(), ());
    /// let ty = FuncType::new([ValType::I32], [ValType::I32]);
    /// let double = Func::new_async(&mut store, ty, |_caller, params| {
    ///     Box::pin(async move {
    ///         std::future::ready(()).await;
    ///         Ok(vec![Val::I32(params[0].i32().unwrap_or(0) * 2)])
    ///     })
    /// })?;
    /// # let _ = double;
    /// # Ok::<(), wardian::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// There are more than 1000 parameters or more than 1000 results, or no memory is left for the code
    /// that calls it.
    pub fn new_async<T: Send + 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        closure: impl for<'a> Fn(Caller<'a, T>, Vec<Val>) -> HostFuture<'a, Result<Vec<Val>>>
        + Send
        + Sync
        + 'static,
    ) -> Result<Func> {
        Func::from_def(&mut store, Arc::new(asynchronous_values(ty, closure)))
    }

    pub(crate) fn from_def(store: &mut impl AsContextMut, def: Arc<HostDef>) -> Result<Func> {
        def.check()?;
        let store = store.as_context_mut();
        let inner = &mut store.0.inner;
        Ok(Func { store: inner.id(), index: inner.host_func(def)? })
    }

    /// Its signature.
    ///
    /// # Panics
    ///
    /// It belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> FuncType {
        let store = store.as_context();
        same_store(&store.0.inner, self.store);
        store.0.inner.func_type(self.index).clone()
    }

    /// Calls it. `results` has as many values as the function has results; what was in them is
    /// replaced.
    ///
    /// # Errors
    ///
    /// The number or types of arguments are wrong; or the guest does not return: it traps, exits,
    /// is stopped, or a host function that it calls fails.
    ///
    /// # Panics
    ///
    /// A host function that it calls panics.
    pub fn call(
        &self,
        mut store: impl AsContextMut,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let store = store.as_context_mut();
        let callable = self.callable(&store.0.inner, results.len())?;
        let params = params.iter().cloned().map(Into::into);
        Ok(store.0.call_values(callable, params, |at, value| results[at] = value.into())?)
    }

    /// [`Func::call`] with options.
    ///
    /// # Errors
    ///
    /// As for [`Func::call`].
    ///
    /// # Panics
    ///
    /// As for [`Func::call`].
    pub fn call_with(
        &self,
        mut store: impl AsContextMut,
        options: &CallOptions,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        check_store(&store.0.inner, self.store)?;
        with_options(&mut store, options, |store| self.call(store, params, results))
    }

    /// [`Func::call`] of a guest that may wait in asynchronous host functions: see
    /// [`TypedFunc::call_async`].
    ///
    /// # Errors
    ///
    /// As for [`Func::call`].
    ///
    /// # Panics
    ///
    /// As for [`Func::call`].
    pub async fn call_async<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        self.call_async_with(store.as_context_mut(), &CallOptions::new(), params, results).await
    }

    /// [`Func::call_async`] with options. They are in force until the call has ended or its future is dropped, also
    /// while the guest is suspended; a timeout counts from when the future is polled first. A future that is leaked
    /// ([`std::mem::forget`]) leaves them in force.
    ///
    /// # Errors
    ///
    /// As for [`Func::call`].
    ///
    /// # Panics
    ///
    /// As for [`Func::call`].
    pub async fn call_async_with<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        options: &CallOptions,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let store = store.as_context_mut();
        let callable = self.callable(&store.0.inner, results.len())?;
        let mut call =
            AsyncCall::of_values(store.0, callable, params.iter().cloned().map(Into::into))?
                .under(&options.settings());
        std::future::poll_fn(|context| call.poll(context)).await?;
        call.values(|at, value| results[at] = value.into());
        Ok(())
    }

    /// What is needed for a call with room for so many results. The call compares its arguments itself.
    fn callable(&self, store: &StoreInner, results: usize) -> Result<Callable> {
        check_store(store, self.store)?;
        let ty = store.func_type(self.index);
        if results != ty.results().len() {
            return Err(Error::usage(
                UsageKind::Type,
                format!("the function is {ty}, but was called with room for {results} results"),
            ));
        }
        Ok(store.callable(self.index)?)
    }

    /// The function with Rust types, checked once.
    ///
    /// # Errors
    ///
    /// Its signature is another.
    pub fn typed<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
    ) -> Result<TypedFunc<P, R>> {
        let store = store.as_context();
        let inner = &store.0.inner;
        check_store(inner, self.store)?;
        let ty = inner.func_type(self.index);
        let callable = inner.typed_callable::<P::Raw, R::Raw>(self.index)?.ok_or_else(|| {
            Error::usage(
                UsageKind::Type,
                format!("the function is {ty}, not {}", FuncType::new(types::<P>(), types::<R>())),
            )
        })?;
        Ok(TypedFunc { callable, func: *self, types: PhantomData })
    }
}

/// A function whose types have been checked, for calls without checks.
pub struct TypedFunc<P, R> {
    callable: TypedCallable,
    func: Func,
    types: PhantomData<fn(P) -> R>,
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

impl<P, R> std::fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TypedFunc").field(&self.func).finish()
    }
}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// The untyped handle.
    pub fn func(&self) -> Func {
        self.func
    }

    /// Calls it.
    ///
    /// # Errors
    ///
    /// The guest does not return: it traps, exits, is stopped, or a host function that it calls
    /// fails.
    ///
    /// # Panics
    ///
    /// A host function that it calls panics; or it belongs to another store.
    #[inline]
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R> {
        let store = store.as_context_mut();
        same_store(&store.0.inner, self.callable.store());
        let raw: R::Raw = store.0.call_typed(self.callable, params.into_raw())?;
        Ok(R::from_raw(raw))
    }

    /// [`TypedFunc::call`] with options.
    ///
    /// # Errors
    ///
    /// As for [`TypedFunc::call`].
    ///
    /// # Panics
    ///
    /// As for [`TypedFunc::call`].
    pub fn call_with(
        &self,
        mut store: impl AsContextMut,
        options: &CallOptions,
        params: P,
    ) -> Result<R> {
        let mut store = store.as_context_mut();
        same_store(&store.0.inner, self.callable.store());
        with_options(&mut store, options, |store| self.call(store, params))
    }
}

/// Makes a call under options, and puts back what was there before, also after a panic.
fn with_options<T: 'static, R>(
    store: &mut StoreContextMut<'_, T>,
    options: &CallOptions,
    call: impl FnOnce(&mut StoreContextMut<'_, T>) -> R,
) -> R {
    let applied = store.0.inner.apply(&options.settings());
    let done = catch_unwind(AssertUnwindSafe(|| call(&mut *store)));
    store.0.inner.withdraw(applied);
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// Calls it. While an asynchronous host function that it calls waits, so does the future, and the
    /// guest's frames stay where they are. It may be resumed on another thread.
    ///
    /// Dropping the future ends the guest. So do a deadline, a cancellation and closing an instance that
    /// takes part in the call: they wake the task, and when the future is polled next, the host
    /// function's future is dropped and the call ends as a running guest's does.
    ///
    /// # Errors
    ///
    /// As for [`TypedFunc::call`].
    ///
    /// # Panics
    ///
    /// As for [`TypedFunc::call`].
    pub async fn call_async<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        params: P,
    ) -> Result<R> {
        self.call_async_with(store.as_context_mut(), &CallOptions::new(), params).await
    }

    /// [`TypedFunc::call_async`] with options. They are in force until the call has ended or its future is dropped, also
    /// while the guest is suspended; a timeout counts from when the future is polled first. A future that is leaked
    /// ([`std::mem::forget`]) leaves them in force.
    ///
    /// ```
    /// # async fn work(store: &mut wardian::Store<()>, run: wardian::TypedFunc<u32, u32>) -> wardian::Result<u32> {
    /// let options = wardian::CallOptions::new().with_timeout(std::time::Duration::from_secs(1));
    /// run.call_async_with(store, &options, 7).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`TypedFunc::call`].
    ///
    /// # Panics
    ///
    /// As for [`TypedFunc::call`].
    pub async fn call_async_with<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        options: &CallOptions,
        params: P,
    ) -> Result<R> {
        let store = store.as_context_mut();
        same_store(&store.0.inner, self.callable.store());
        let mut call = AsyncCall::new::<P::Raw, R::Raw>(store.0, self.callable, params.into_raw())?
            .under(&options.settings());
        std::future::poll_fn(|context| call.poll(context)).await?;
        Ok(R::from_raw(call.results::<R::Raw>()))
    }
}

/// Closures that can be host functions: `Fn(A, B, …) -> R` and `Fn(Caller<'_, T>, A, B, …) -> R`,
/// where the parameters are [`WasmTy`] and `R` is [`HostResults`].
pub trait IntoFunc<T, P, R>: Send + Sync + 'static {
    #[doc(hidden)]
    fn into_host_def(self) -> HostDef;
}

macro_rules! into_func {
    ($(($($name:ident)*))*) => {$(
        #[allow(non_snake_case, reason = "type parameters double as names")]
        impl<T: 'static, F, $($name: WasmTy,)* R: HostResults> IntoFunc<T, ($($name,)*), R> for F
        where
            F: Fn($($name),*) -> R + Send + Sync + 'static,
        {
            fn into_host_def(self) -> HostDef {
                typed(move |_: Caller<'_, T>, ($($name,)*): ($($name,)*)| self($($name),*))
            }
        }
        #[allow(non_snake_case, reason = "type parameters double as names")]
        impl<T: 'static, F, $($name: WasmTy,)* R: HostResults>
            IntoFunc<T, (Caller<'static, T>, $($name,)*), R> for F
        where
            F: Fn(Caller<'_, T>, $($name),*) -> R + Send + Sync + 'static,
        {
            fn into_host_def(self) -> HostDef {
                typed(move |c: Caller<'_, T>, ($($name,)*): ($($name,)*)| self(c, $($name),*))
            }
        }
    )*};
}

wardian_runtime::lists!(into_func);
