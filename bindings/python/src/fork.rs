//! Images and forks: a store returns to an earlier state, or is there twice.

use crate::checkpoint::{self, Resumed};
use crate::instance::Instance;
use crate::lease::{Data, Shared};
use crate::store::Store;
use crate::wasi::WasiConfig;
use crate::{error, items};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::sync::{Arc, Weak};
use wardian::fork::Counterparts;
use wardian::limits::StoreLimits;
use wardian_wasi::WasiCtx;

/// The state of a store between calls: see `Store.image`. It belongs to its store, and can be returned to as often as wanted.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Image(pub(crate) wardian::image::Image);

/// A second store with the state that a store had: see `Store.fork`.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Fork {
    /// Not kept alive: what it refers to would be out of the sight of Python's garbage collector.
    parent: Weak<Shared>,
    store: Py<Store>,
    resumed: Py<Resumed>,
    counterparts: Counterparts,
}

/// The data of a child, before there is the child.
pub(crate) fn data(
    py: Python<'_>,
    parent: &Shared,
    wasi: Option<&Bound<'_, WasiConfig>>,
) -> PyResult<Data> {
    let wasi = match wasi {
        Some(config) => config.get().build(py)?,
        None => WasiCtx::builder().build(),
    };
    let limits = parent.with(|context| unused(&context.data().limits))?;
    Ok(Data { limits, wasi, shared: Weak::new(), owner: None })
}

/// The same limits, for a store that has used nothing of them.
pub(crate) fn unused(limits: &StoreLimits) -> StoreLimits {
    StoreLimits { used_bytes: 0, used_table_bytes: 0, ..limits.clone() }
}

/// What a child gets while it is empty.
pub(crate) fn prepare(child: &mut wardian::Store<Data>) {
    child.limiter(|data| &mut data.limits);
    checkpoint::carry_wasi(child);
}

impl Fork {
    pub(crate) fn new(
        py: Python<'_>,
        parent: &Arc<Shared>,
        fork: wardian::Result<wardian::fork::Fork<Data>>,
    ) -> PyResult<Fork> {
        let fork = fork.map_err(|e| error::raise(py, parent.id, &e))?;
        let store = Store(Shared::of(fork.store));
        store.0.registry.add_all(py, &parent.registry);
        let shared = store.0.clone();
        let store = Py::new(py, store)?;
        let resumed = Resumed::new(py, shared, store.clone_ref(py), fork.resumed)?;
        Ok(Fork {
            parent: Arc::downgrade(parent),
            store,
            resumed: Py::new(py, resumed)?,
            counterparts: fork.counterparts,
        })
    }

    /// The counterpart of a handle.
    fn of<H: wardian::fork::Handle>(
        &self,
        py: Python<'_>,
        parent: &Shared,
        handle: H,
    ) -> PyResult<H> {
        let child = &self.store.get().0;
        let found = parent
            .with(|parent| child.with(|child| self.counterparts.of(&parent, child, handle)))??;
        found.map_err(|e| error::of(py, &e))
    }
}

#[pymethods]
impl Fork {
    /// The child.
    #[getter]
    fn store(&self, py: Python<'_>) -> Py<Store> {
        self.store.clone_ref(py)
    }

    /// The instances of the child, and its guest, if the fork was made in a host function: `run_with` lets that return other
    /// results than in the parent.
    #[getter]
    fn resumed(&self, py: Python<'_>) -> Py<Resumed> {
        self.resumed.clone_ref(py)
    }

    /// What the child has for something of its parent's: an instance, a function, a memory, a table or a global.
    fn counterpart(&self, py: Python<'_>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let child = self.store.get().0.id;
        let parent = self.parent.upgrade();
        let parent = parent.ok_or_else(|| error::usage("the store that was forked is gone"))?;
        if let Ok(instance) = item.cast::<Instance>() {
            let found = self.of(py, &parent, instance.get().of(parent.id)?)?;
            return Instance::new(child, found).into_py_any(py);
        }
        items::to_python(py, child, self.of(py, &parent, items::of(parent.id, item)?)?)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.store)?;
        visit.call(&self.resumed)
    }
}
