//! Functions.

use crate::callback::Callback;
use crate::lease::{Done, Making, Shared};
use crate::types::FuncType;
use crate::{asynchronous, error, guest, store, value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::OnceLock;
use wardian::{CallOptions, Val};

/// A function of a store, a guest's or the host's: `f(store, 1, 2)` calls it.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Func {
    store: u64,
    func: wardian::Func,
    ty: OnceLock<wardian::FuncType>,
}

impl Func {
    pub(crate) fn new(store: u64, func: wardian::Func) -> Func {
        Func { store, func, ty: OnceLock::new() }
    }

    /// The function, for use with a store.
    pub(crate) fn of(&self, store: u64) -> PyResult<wardian::Func> {
        if self.store == store { Ok(self.func) } else { Err(error::other_store()) }
    }

    fn ty(&self, shared: &Shared) -> PyResult<&wardian::FuncType> {
        let func = self.of(shared.id)?;
        if let Some(ty) = self.ty.get() {
            return Ok(ty);
        }
        let ty = shared.with(|context| func.ty(&context))?;
        Ok(self.ty.get_or_init(|| ty))
    }

    fn invoke(
        &self,
        py: Python<'_>,
        shared: &Shared,
        arguments: &Bound<'_, PyTuple>,
        options: Option<&CallOptions>,
    ) -> PyResult<Py<PyAny>> {
        let (params, mut out) = self.prepare(shared, arguments)?;
        guest::run(py, shared, |context| match options {
            Some(options) => self.func.call_with(context, options, &params, &mut out),
            None => self.func.call(context, &params, &mut out),
        })?;
        value::results(py, shared.id, &out)
    }

    /// The arguments of a call, and room for its results.
    fn prepare(
        &self,
        shared: &Shared,
        arguments: &Bound<'_, PyTuple>,
    ) -> PyResult<(Vec<Val>, Vec<Val>)> {
        let ty = self.ty(shared)?;
        let (wanted, given) = (ty.params().len(), arguments.len() - 1);
        if wanted != given {
            return Err(PyTypeError::new_err(format!(
                "the function is {ty}: it takes {wanted} arguments after the store, and got {given}"
            )));
        }
        let mut params = Vec::with_capacity(wanted);
        for (index, ty) in ty.params().iter().enumerate() {
            let argument = arguments.get_borrowed_item(index + 1)?;
            params.push(value::from_python(shared.id, &argument, *ty, &|| {
                format!("argument {}", index + 1)
            })?);
        }
        Ok((params, ty.results().iter().map(|ty| Val::zero(*ty)).collect()))
    }
}

/// Options of a call with a timeout.
fn options(timeout: Option<f64>) -> PyResult<CallOptions> {
    Ok(match timeout.map(store::seconds).transpose()? {
        Some(timeout) => CallOptions::new().with_timeout(timeout),
        None => CallOptions::new(),
    })
}

/// The first of the arguments, which is the store.
fn store_of<'py>(arguments: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    arguments.get_item(0).map_err(|_| PyTypeError::new_err("the first argument is the store"))
}

#[pymethods]
impl Func {
    /// A host function. Without a type it is what the annotations of the callable say. With `access_caller` the callable gets
    /// a `Caller` first. An `async def` may wait: guests that call it are called with `call_async`.
    #[new]
    #[pyo3(signature = (store, ty, callable, *, access_caller=false))]
    fn make(
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        ty: Option<&Bound<'_, FuncType>>,
        callable: &Bound<'_, PyAny>,
        access_caller: bool,
    ) -> PyResult<Func> {
        let shared = store::of(store)?;
        let name = callable.getattr("__qualname__").and_then(|name| name.extract::<String>());
        let callback = Callback::new(
            callable,
            ty,
            access_caller,
            &name.unwrap_or_else(|_| "of Python".into()),
        )?;
        let number = callback.number;
        shared.registry.add(number, callable.clone().unbind());
        let made = shared.with(|context| callback.func(context));
        let made = made.and_then(|made| made.map_err(|e| error::raise(py, shared.id, &e)));
        made.map(|func| Func::new(shared.id, func)).inspect_err(|_| shared.registry.remove(number))
    }

    /// Its type.
    #[pyo3(name = "type")]
    fn type_(&self, store: &Bound<'_, PyAny>) -> PyResult<FuncType> {
        Ok(FuncType(self.ty(&*store::of(store)?)?.clone()))
    }

    /// Calls it with a store, or the caller of a host function, and arguments. No result is `None`, several are a tuple.
    #[pyo3(signature = (*arguments))]
    fn __call__(&self, py: Python<'_>, arguments: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        self.invoke(py, &*store::of(&store_of(arguments)?)?, arguments, None)
    }

    /// Calls it, for so many seconds at most.
    #[pyo3(signature = (*arguments, timeout=None))]
    fn call(
        &self,
        py: Python<'_>,
        arguments: &Bound<'_, PyTuple>,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let options = options(timeout)?;
        self.invoke(py, &*store::of(&store_of(arguments)?)?, arguments, Some(&options))
    }

    /// Calls it on an event loop of asyncio: `await f.call_async(store, 1, 2)`. Host functions that are an `async def` may wait
    /// meanwhile, and other tasks run. Until the call has ended nobody else can use the store.
    ///
    /// Cancelling the task cancels what the host function waits for, and so ends the guest. The timeout, in seconds, counts
    /// from when the call is awaited.
    #[pyo3(signature = (*arguments, timeout=None))]
    fn call_async(
        &self,
        py: Python<'_>,
        arguments: &Bound<'_, PyTuple>,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let options = options(timeout)?;
        let store = store_of(arguments)?;
        let shared = store::of(&store)?;
        let (params, mut out) = self.prepare(&shared, arguments)?;
        let func = self.func;
        let make: Making = Box::new(move |context| {
            Box::pin(async move {
                func.call_async_with(context, &options, &params, &mut out).await?;
                Ok(Done::Values(out))
            })
        });
        asynchronous::awaitable(py, &store, shared, make)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Func>().is_ok_and(|other| other.get().func == self.func)
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.func.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        match self.ty.get() {
            Some(ty) => format!("<wardian.Func {ty}>"),
            None => "<wardian.Func>".to_owned(),
        }
    }
}
