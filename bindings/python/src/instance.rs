//! Instances.

use crate::allocator::MemoryAllocator;
use crate::lease::{Here, Shared};
use crate::listener::{self, Attachment};
use crate::module::Module;
use crate::options::Given;
use crate::{error, guest, items, store};
use pyo3::prelude::*;
use std::sync::Arc;
use wardian::Extern;

/// An instance of a module, in a store.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Instance {
    store: u64,
    instance: wardian::Instance,
}

impl Instance {
    pub(crate) fn new(store: u64, instance: wardian::Instance) -> Instance {
        Instance { store, instance }
    }

    /// The instance, for use with a store.
    pub(crate) fn of(&self, store: u64) -> PyResult<wardian::Instance> {
        if self.store == store { Ok(self.instance) } else { Err(error::other_store()) }
    }

    fn in_store(&self, argument: &Bound<'_, PyAny>) -> PyResult<Arc<Shared>> {
        let shared = store::of(argument)?;
        self.of(shared.id)?;
        Ok(shared)
    }
}

#[pymethods]
impl Instance {
    /// Makes an instance with its imports in the order of `Module.imports`, and runs its start function. The keywords are those
    /// of `Linker.instantiate`.
    #[new]
    #[pyo3(signature = (store, module, imports=Vec::new(), *, name=None, resolver=None, on_close=None, memories=None))]
    #[allow(clippy::too_many_arguments, reason = "each is a keyword")]
    fn make(
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        module: &Bound<'_, Module>,
        imports: Vec<Bound<'_, PyAny>>,
        name: Option<String>,
        resolver: Option<Bound<'_, PyAny>>,
        on_close: Option<Bound<'_, PyAny>>,
        memories: Option<Bound<'_, MemoryAllocator>>,
    ) -> PyResult<Instance> {
        let shared = store::of(store)?;
        let options = Given { name, resolver, on_close, memories }.options(&shared)?;
        let imports: Vec<Extern> =
            imports.iter().map(|item| items::of(shared.id, item)).collect::<PyResult<_>>()?;
        let module = &module.get().0;
        let made = guest::run(py, &shared, |context| {
            wardian::Instance::new_with(context, module, &imports, &options)
        })?;
        Ok(Instance::new(shared.id, made))
    }

    /// What it exports, by name: `instance.exports(store)["run"]`, or `instance.exports(store).run`.
    fn exports(&self, py: Python<'_>, store: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let shared = self.in_store(store)?;
        let found = shared.with(|context| self.instance.exports(context))?;
        let exports = py.import("wardian._memory")?.getattr("Exports")?.call0()?;
        for (name, item) in found {
            exports.set_item(name, items::to_python(py, shared.id, item)?)?;
        }
        Ok(exports.unbind())
    }

    /// An export by its name; `None` if there is none.
    fn get(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        name: &str,
    ) -> PyResult<Option<Py<PyAny>>> {
        let shared = self.in_store(store)?;
        let found = shared.with(|context| self.instance.get_export(context, name))?;
        found.map(|item| items::to_python(py, shared.id, item)).transpose()
    }

    /// Closes it: those who asked for it are notified, its guests are stopped, and calls of it raise `ClosedError`. False if it
    /// was closed before.
    #[pyo3(signature = (store, exit_code=0))]
    fn close(&self, py: Python<'_>, store: &Bound<'_, PyAny>, exit_code: u32) -> PyResult<bool> {
        let shared = self.in_store(store)?;
        let mut lease = shared.take()?;
        let within = Here(lease.context());
        Ok(py.detach(|| self.instance.close_with_exit_code(within.into_inner(), exit_code)))
    }

    /// What closes it from any thread, also while it runs.
    fn closer(&self, store: &Bound<'_, PyAny>) -> PyResult<InstanceCloser> {
        self.in_store(store)?.with(|context| InstanceCloser(self.instance.closer(context)))
    }

    /// The code that it was closed with; `None` if it is not closed.
    fn exit_code(&self, store: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
        self.in_store(store)?.with(|context| self.instance.exit_code(&context))
    }

    /// The module that it is an instance of.
    fn module(&self, store: &Bound<'_, PyAny>) -> PyResult<Module> {
        self.in_store(store)?.with(|context| Module(self.instance.module(&context)))
    }

    /// Notifies callables of calls of the functions whose name matches a pattern (`*` any characters, `?` one; also names of
    /// imports and exports): `before(call, arguments)`, `after(call, results)`, `abort(call, reason)`. With `stack` the call
    /// has frames in `before`. An exception of theirs ends the guest.
    ///
    /// They stay attached until the attachment is detached, also if it is dropped.
    #[pyo3(signature = (store, functions="*", *, before=None, after=None, abort=None, stack=false))]
    #[allow(clippy::too_many_arguments, reason = "each is a keyword")]
    fn attach(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        functions: &str,
        before: Option<Bound<'_, PyAny>>,
        after: Option<Bound<'_, PyAny>>,
        abort: Option<Bound<'_, PyAny>>,
        stack: bool,
    ) -> PyResult<Attachment> {
        let shared = self.in_store(store)?;
        let listener = listener::Listener::new(&shared, [before, after, abort], stack);
        let factory = wardian::listener::FunctionFilter::name(functions).listen(listener);
        let attached = shared.with(|context| self.instance.attach(context, factory))?;
        attached.map(|attached| Attachment::new(&shared, attached)).map_err(|e| error::of(py, &e))
    }
}

/// Closes an instance from any thread. It keeps no store alive.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct InstanceCloser(wardian::close::InstanceCloser);

#[pymethods]
impl InstanceCloser {
    /// Closes the instance: those who asked for it are notified, on this thread, and calls that run in it are stopped. Returns
    /// at once; false if it was closed before.
    #[pyo3(signature = (exit_code=0))]
    fn close(&self, py: Python<'_>, exit_code: u32) -> bool {
        py.detach(|| self.0.close_with_exit_code(exit_code))
    }

    /// The code that it was closed with; `None` if it is not closed.
    #[getter]
    fn exit_code(&self) -> Option<u32> {
        self.0.exit_code()
    }
}
