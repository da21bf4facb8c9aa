//! Instances.

use crate::lease::Shared;
use crate::listener::{self, Attachment};
use crate::module::Module;
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
    /// Makes an instance with its imports in the order of `Module.imports`, and runs its start function.
    #[new]
    #[pyo3(signature = (store, module, imports=Vec::new()))]
    fn make(
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        module: &Bound<'_, Module>,
        imports: Vec<Bound<'_, PyAny>>,
    ) -> PyResult<Instance> {
        let shared = store::of(store)?;
        let imports: Vec<Extern> =
            imports.iter().map(|item| items::of(shared.id, item)).collect::<PyResult<_>>()?;
        let module = &module.get().0;
        let made =
            guest::run(py, &shared, |context| wardian::Instance::new(context, module, &imports))?;
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
