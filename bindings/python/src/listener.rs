//! Listeners: Python functions that are notified of calls.

use crate::error::{PythonError, walk};
use crate::lease::Shared;
use crate::{guest, registry, signals, value};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use wardian::{Val, ValType, listener::AbortReason, stack::StackIterator};

/// A call that a listener is notified of.
#[pyclass(frozen, get_all, module = "wardian")]
pub(crate) struct Call {
    /// A number that no other call of the store has.
    id: u64,
    /// The name of the function, demangled; or `func:` with its index.
    name: String,
    /// The index of the function in its module; `None` for host functions that are no imports.
    index: Option<u32>,
    module_name: Option<String>,
    /// The names of the parameters; `None` where there is none.
    param_names: Vec<Option<String>>,
    /// Whether the call ends by a tail call, and so has no results.
    is_tail_call: bool,
    /// The frames of the guest, the innermost first; empty unless they were asked for, and only at the beginning of a call.
    stack: Py<PyAny>,
}

#[pymethods]
impl Call {
    fn __repr__(&self) -> String {
        format!("<wardian.Call {} {}>", self.id, self.name)
    }
}

/// The runtime's side of a listener. The callables are in the registry of the store.
pub(crate) struct Listener {
    shared: Weak<Shared>,
    /// The numbers of `before`, `after` and `abort`.
    callables: [Option<u64>; 3],
    stack: bool,
}

impl Listener {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        callables: [Option<Bound<'_, PyAny>>; 3],
        stack: bool,
    ) -> Listener {
        let callables = callables.map(|callable| {
            let number = registry::number();
            callable.map(|callable| {
                shared.registry.add(number, callable.unbind());
                number
            })
        });
        Listener { shared: Arc::downgrade(shared), callables, stack }
    }

    /// Notifies a callable. Its exception ends the guest: it travels as the payload of a panic, which the runtime takes to
    /// where the guest was called.
    fn notify(
        &self,
        which: usize,
        call: &wardian::listener::Call<'_>,
        stack: Option<&mut StackIterator<'_>>,
        argument: impl FnOnce(Python<'_>, u64) -> PyResult<Py<PyAny>>,
    ) {
        let Some(number) = self.callables[which].filter(|_| !guest::is_ending()) else { return };
        let Some(shared) = self.shared.upgrade() else { return };
        let failed = Python::try_attach(|py| {
            let callable = shared.registry.get(py, number)?;
            let paused = signals::pause(py);
            let run = || {
                let stack = match stack.filter(|_| self.stack) {
                    Some(stack) => walk(py, stack)?,
                    None => PyTuple::empty(py).into_any().unbind(),
                };
                let argument = argument(py, shared.id)?;
                callable.bind(py).call1((describe(call, stack), argument))
            };
            let done = run().map(drop);
            shared.engine.reclaim_signals();
            paused.end(py).and(done).err()
        });
        if let Some(Some(failed)) = failed {
            resume_unwind(Box::new(PythonError::new(failed)));
        }
    }
}

fn describe(call: &wardian::listener::Call<'_>, stack: Py<PyAny>) -> Call {
    let definition = call.definition();
    Call {
        id: call.id(),
        name: definition.display_name(),
        index: definition.index(),
        module_name: definition.module_name().map(str::to_owned),
        param_names: definition.param_names().map(|name| name.map(str::to_owned)).collect(),
        is_tail_call: call.is_tail_call(),
        stack,
    }
}

/// Values as a tuple: numbers from raw slots, references by the call.
fn values(
    py: Python<'_>,
    store: u64,
    types: &[ValType],
    slots: &[u64],
    reference: impl Fn(usize) -> Option<Val>,
) -> PyResult<Py<PyAny>> {
    let mut found = Vec::with_capacity(types.len());
    let mut at = 0;
    for (index, ty) in types.iter().enumerate() {
        let slot = |at: usize| slots.get(at).copied().unwrap_or(0);
        let val = match ty {
            ValType::I32 => Val::I32(slot(at) as u32 as i32),
            ValType::I64 => Val::I64(slot(at) as i64),
            ValType::F32 => Val::F32(slot(at) as u32),
            ValType::F64 => Val::F64(slot(at)),
            ValType::V128 => Val::V128(u128::from(slot(at)) | u128::from(slot(at + 1)) << 64),
            ValType::Ref(_) => reference(index).unwrap_or_else(|| Val::zero(*ty)),
        };
        found.push(value::to_python(py, store, &val)?);
        at += if *ty == ValType::V128 { 2 } else { 1 };
    }
    Ok(PyTuple::new(py, found)?.into_any().unbind())
}

impl wardian::listener::FunctionListener for Listener {
    fn before(
        &self,
        call: &wardian::listener::Call<'_>,
        params: &[u64],
        stack: &mut StackIterator<'_>,
    ) {
        self.notify(0, call, Some(stack), |py, store| {
            values(py, store, call.definition().param_types(), params, |index| call.param(index))
        });
    }

    fn after(&self, call: &wardian::listener::Call<'_>, results: &[u64]) {
        self.notify(1, call, None, |py, store| {
            let all = call.definition();
            let types = if call.is_tail_call() { &[] } else { all.result_types() };
            values(py, store, types, results, |index| call.result(index))
        });
    }

    fn abort(&self, call: &wardian::listener::Call<'_>, reason: &AbortReason<'_>) {
        self.notify(2, call, None, |py, store| match reason.error() {
            Some(error) => Ok(crate::error::raise(py, store, error).into_value(py).into_any()),
            None => Ok(pyo3::types::PyString::new(py, &reason.to_string()).into_any().unbind()),
        });
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            self.callables.iter().flatten().for_each(|number| shared.registry.remove(*number));
        }
    }
}

/// Listeners that are attached to an instance. As a context manager it detaches them at the end.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Attachment {
    shared: Weak<Shared>,
    attached: Mutex<Option<wardian::listener::Attachment>>,
}

impl Attachment {
    pub(crate) fn new(shared: &Arc<Shared>, attached: wardian::listener::Attachment) -> Attachment {
        Attachment { shared: Arc::downgrade(shared), attached: Mutex::new(Some(attached)) }
    }

    fn take(&self) -> Option<wardian::listener::Attachment> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl Attachment {
    /// Notifies the listeners of no further call. Of calls whose beginning they were notified of they learn the end.
    fn detach(&self) {
        // Without the store, which may be in use: the runtime removes the rest when it next has it.
        drop(self.take());
        // If it is free, now.
        if let Some(shared) = self.shared.upgrade() {
            let _ = shared.with(|_| ());
        }
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        self.detach();
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(attached) = self.take() {
            attached.keep();
        }
    }
}
