//! Python functions that guests call.

use crate::caller::Caller;
use crate::coroutine::Driving;
use crate::error::{self, PythonError};
use crate::lease::{Calling, Data, Shared};
use crate::types::FuncType;
use crate::{guest, registry, signals, value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PySequence, PyTuple};
use std::sync::Arc;
use wardian::{Error, StoreContextMut, Val};

/// What the runtime has of a Python function; the function itself is in a registry.
pub(crate) struct Callback {
    pub(crate) number: u64,
    name: String,
    ty: wardian::FuncType,
    pub(crate) access_caller: bool,
    /// Whether calling it gives a coroutine.
    is_async: bool,
}

impl Callback {
    /// Describes a callable of a type; without one, of the type that its annotations say.
    pub(crate) fn new(
        callable: &Bound<'_, PyAny>,
        ty: Option<&Bound<'_, FuncType>>,
        access_caller: bool,
        name: &str,
    ) -> PyResult<Callback> {
        if !callable.is_callable() {
            return Err(PyTypeError::new_err(format!(
                "a host function is something that can be called, not {callable}"
            )));
        }
        let (ty, access_caller) = match ty {
            Some(ty) => (ty.get().0.clone(), access_caller),
            None => {
                let found = callable
                    .py()
                    .import("wardian._annotations")?
                    .call_method1("signature", (callable,))?;
                let (ty, caller) = found.extract::<(Bound<'_, FuncType>, bool)>()?;
                (ty.get().0.clone(), access_caller || caller)
            }
        };
        let is_async = callable
            .py()
            .import("wardian._async")?
            .call_method1("is_async", (callable,))?
            .extract()?;
        let number = registry::number();
        Ok(Callback { number, name: name.to_owned(), ty, access_caller, is_async })
    }

    /// Defines it in a linker.
    pub(crate) fn define(
        self,
        linker: &mut wardian::Linker<Data>,
        module: &str,
        name: &str,
    ) -> wardian::Result<()> {
        let ty = self.ty.clone();
        if !self.is_async {
            let call = move |caller: Calling<'_>, params: &[Val], out: &mut [Val]| {
                self.call(caller, params, out)
            };
            return linker.func_new(module, name, ty, call).map(drop);
        }
        let callback = Arc::new(self);
        linker
            .func_new_async(module, name, ty, move |caller, params| {
                Box::pin(Driving::new(callback.clone(), caller, params))
            })
            .map(drop)
    }

    /// Makes it a function of a store.
    pub(crate) fn func(self, context: StoreContextMut<'_, Data>) -> wardian::Result<wardian::Func> {
        let ty = self.ty.clone();
        if !self.is_async {
            let call = move |caller: Calling<'_>, params: &[Val], out: &mut [Val]| {
                self.call(caller, params, out)
            };
            return wardian::Func::try_new(context, ty, call);
        }
        let callback = Arc::new(self);
        wardian::Func::new_async(context, ty, move |caller, params| {
            Box::pin(Driving::new(callback.clone(), caller, params))
        })
    }

    /// What is in the registry of a store under a number: the callable, or its coroutine.
    pub(crate) fn callable(
        &self,
        py: Python<'_>,
        shared: &Shared,
        number: u64,
    ) -> PyResult<Py<PyAny>> {
        shared.registry.get(py, number).ok_or_else(|| {
            error::usage(&format!(
                "host function {}: Python's garbage collector has ended its store",
                self.name
            ))
        })
    }

    /// Reads what it has returned.
    pub(crate) fn results(&self, shared: &Shared, result: &Bound<'_, PyAny>) -> PyResult<Vec<Val>> {
        let mut out: Vec<Val> = self.ty.results().iter().map(|ty| Val::zero(*ty)).collect();
        self.read(shared, result, &mut out)?;
        Ok(out)
    }

    /// Calls it for a guest.
    pub(crate) fn call(
        &self,
        mut caller: Calling<'_>,
        params: &[Val],
        out: &mut [Val],
    ) -> wardian::Result<()> {
        let shared = caller.data().shared.upgrade();
        let shared = shared.ok_or_else(|| Error::host("the store is being dropped"))?;
        if guest::is_ending() {
            return Err(Error::host("Python is shutting down"));
        }
        let done = Python::try_attach(|py| self.attached(py, &shared, &mut caller, params, out));
        done.unwrap_or_else(|| Err(Error::host("Python is shutting down")))
    }

    fn attached(
        &self,
        py: Python<'_>,
        shared: &Arc<Shared>,
        caller: &mut Calling<'_>,
        params: &[Val],
        out: &mut [Val],
    ) -> wardian::Result<()> {
        let paused = signals::pause(py);
        let done = self.run(py, shared, caller, params, out);
        shared.engine.reclaim_signals();
        let done = paused.end(py).and(done);
        match done {
            Ok(()) => {
                shared.set_failed(None);
                Ok(())
            }
            Err(raised) => {
                shared.set_failed(Some(raised.clone_ref(py)));
                Err(Error::host(PythonError::new(raised)))
            }
        }
    }

    fn run(
        &self,
        py: Python<'_>,
        shared: &Arc<Shared>,
        caller: &mut Calling<'_>,
        params: &[Val],
        out: &mut [Val],
    ) -> PyResult<()> {
        let callable = self.callable(py, shared, self.number)?;
        let mut arguments = Vec::with_capacity(params.len() + 1);
        for param in params {
            arguments.push(value::to_python(py, shared.id, param)?);
        }
        let result = shared.in_callback(caller, |serial| {
            let caller = match self.access_caller {
                true => Some(Py::new(py, Caller::new(shared, serial))?),
                false => None,
            };
            if let Some(caller) = &caller {
                arguments.insert(0, caller.clone_ref(py).into_any());
            }
            let result = callable.bind(py).call1(PyTuple::new(py, arguments)?);
            if let Some(caller) = caller {
                caller.get().end();
            }
            result
        })?;
        self.read(shared, &result, out)
    }

    fn read(&self, shared: &Shared, result: &Bound<'_, PyAny>, out: &mut [Val]) -> PyResult<()> {
        let types = self.ty.results();
        let one = |index: usize, value: &Bound<'_, PyAny>| {
            value::from_python(shared.id, value, types[index], &|| match types.len() {
                1 => format!("host function {}: its result", self.name),
                _ => format!("host function {}: result {index}", self.name),
            })
        };
        match types.len() {
            0 if result.is_none() => Ok(()),
            0 => Err(PyTypeError::new_err(format!(
                "host function {}: it has no results, but returned {}",
                self.name,
                result.get_type().name()?
            ))),
            1 => {
                out[0] = one(0, result)?;
                Ok(())
            }
            count => {
                let values = result
                    .cast::<PySequence>()
                    .ok()
                    .filter(|s| s.len().is_ok_and(|len| len == count));
                let values = values.ok_or_else(|| {
                    PyTypeError::new_err(format!(
                        "host function {}: {count} results are needed, as a tuple",
                        self.name
                    ))
                })?;
                for (index, place) in out.iter_mut().enumerate() {
                    *place = one(index, &values.get_item(index)?)?;
                }
                Ok(())
            }
        }
    }
}
