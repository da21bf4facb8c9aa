//! What a host function gets to use its store by.

use crate::checkpoint::{self, Checkpoint};
use crate::error;
use crate::fork::{self, Fork};
use crate::instance::Instance;
use crate::items;
use crate::lease::{Calling, Here, Shared};
use crate::snapshot::Snapshot;
use crate::wasi::WasiConfig;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use wardian::checkpoint::CheckpointOptions;

/// Stands for the store in a host function, until that returns: pass it where a store is needed.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Caller {
    shared: Weak<Shared>,
    serial: u64,
    ended: AtomicBool,
}

impl Caller {
    pub(crate) fn new(shared: &Arc<Shared>, serial: u64) -> Caller {
        Caller { shared: Arc::downgrade(shared), serial, ended: AtomicBool::new(false) }
    }

    /// The host function returns.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// The store.
    ///
    /// # Errors
    ///
    /// The host function has returned.
    pub(crate) fn shared(&self) -> PyResult<Arc<Shared>> {
        let shared = self.shared.upgrade().filter(|_| !self.ended.load(Ordering::Relaxed));
        shared.ok_or_else(|| {
            error::usage("the host function that this caller belongs to has returned")
        })
    }

    fn with<R>(&self, work: impl FnOnce(&mut Calling<'static>) -> R) -> PyResult<R> {
        let shared = self.shared()?;
        let mut lease = shared.take()?;
        match lease.caller(self.serial) {
            Some(caller) => Ok(work(caller)),
            None => Err(error::usage(
                "a guest has called another host function since: this is for the innermost one's caller",
            )),
        }
    }
}

#[pymethods]
impl Caller {
    /// An export of the instance that calls, as its memory; `None` if there is no such export.
    fn get(&self, py: Python<'_>, name: &str) -> PyResult<Option<Py<PyAny>>> {
        let (store, found) = self.with(|caller| {
            let found = caller.get_export(name);
            (caller.data().shared.upgrade().map_or(0, |shared| shared.id), found)
        })?;
        found.map(|item| items::to_python(py, store, item)).transpose()
    }

    fn __getitem__(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        self.get(py, name)?.ok_or_else(|| pyo3::exceptions::PyKeyError::new_err(name.to_owned()))
    }

    /// The instance that calls; `None` if the host itself does.
    #[getter]
    fn instance(&self) -> PyResult<Option<Instance>> {
        let found = self.with(|caller| caller.instance())?;
        let store = self.shared()?.id;
        Ok(found.map(|instance| Instance::new(store, instance)))
    }

    /// The guest's calls, the innermost first, as a tuple of frames.
    fn stack(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let backtrace = self.with(|caller| caller.backtrace())?;
        error::frames(py, &backtrace)
    }

    /// A snapshot of the guest that calls: with `state` also of the memories, tables and globals of the store. When it is
    /// restored, the guest is resumed as if this host function returned again.
    #[pyo3(signature = (*, state=false))]
    fn snapshot(&self, py: Python<'_>, state: bool) -> PyResult<Snapshot> {
        let taken = self.with(|caller| {
            let mut snapshotter = caller.get_snapshotter()?;
            Some(if state { snapshotter.snapshot_with_state() } else { Ok(snapshotter.snapshot()) })
        })?;
        let taken = taken.ok_or_else(|| error::usage("no snapshot can be taken of this guest"))?;
        taken.map(Snapshot::new).map_err(|e| error::of(py, &e))
    }

    /// Makes a second store with the state of this one, and with the guest that calls: see `Store.fork`. There the host function
    /// returns what is given to `fork.resumed.run_with`.
    #[pyo3(signature = (*, wasi=None))]
    fn fork(&self, py: Python<'_>, wasi: Option<&Bound<'_, WasiConfig>>) -> PyResult<Fork> {
        let shared = self.shared()?;
        let data = fork::data(py, &shared, wasi)?;
        let forked = self.with(|caller| {
            let within = Here(caller);
            let fork = || Here(within.into_inner().fork_with(data, fork::prepare));
            py.detach(fork).into_inner()
        })?;
        Fork::new(py, &shared, forked)
    }

    /// A checkpoint of the store and of the guest that calls. When it is resumed, the host function is called again, or
    /// returns results that are given instead.
    #[pyo3(signature = (*, embed_modules=true, compress=true))]
    fn checkpoint(
        &self,
        py: Python<'_>,
        embed_modules: bool,
        compress: bool,
    ) -> PyResult<Checkpoint> {
        let options = CheckpointOptions::new().embed_modules(embed_modules).compress(compress);
        let taken = self.with(|caller| {
            let within = Here(caller);
            py.detach(|| Here(within.into_inner().checkpoint(&options))).into_inner()
        })?;
        taken.map(Checkpoint::new).map_err(|e| error::of(py, &e))
    }

    /// As `checkpoint`, but writes it to a file at once, without a second copy of the memories.
    #[pyo3(signature = (path, *, embed_modules=true, compress=true))]
    fn checkpoint_to(
        &self,
        py: Python<'_>,
        path: PathBuf,
        embed_modules: bool,
        compress: bool,
    ) -> PyResult<()> {
        let options = CheckpointOptions::new().embed_modules(embed_modules).compress(compress);
        let written = self.with(|caller| {
            let within = Here(caller);
            py.detach(|| {
                let caller = within.into_inner();
                Here(checkpoint::to_file(&path, |file| {
                    caller.checkpoint_to(&options, file).map(drop)
                }))
            })
            .into_inner()
        })?;
        written.map_err(|e| checkpoint::failure(py, &e))
    }
}
