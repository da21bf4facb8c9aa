//! Checkpoints: a store as bytes, and resuming it.

use crate::instance::Instance;
use crate::lease::{Data, Shared};
use crate::linker::Linker;
use crate::store::Store;
use crate::wasi::WasiConfig;
use crate::{error, guest, options, value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use wardian::{Error, Val, checkpoint::ResumeOptions};
use wardian_wasi::{RestoreOptions, SaveOptions, WasiCtx, WasiState};

/// The name of the state of WASI in checkpoints, as the command `wardian` has it.
pub(crate) const WASI: &str = "wasi";

/// From now on checkpoints of the store have the state of WASI.
pub(crate) fn carry_wasi(store: &mut wardian::Store<Data>) {
    store.host_state_with(|data| {
        // Threads that there are stand still then: `WasiThreads.checkpoint_to`.
        let options = SaveOptions::new().with_threads(true);
        let state = data.wasi.save_with(&options).map_err(Error::host)?;
        Ok(vec![(WASI.to_owned(), state.to_bytes())])
    });
}

/// Writes to a file that is made or emptied.
pub(crate) fn to_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> wardian::Result<()>,
) -> wardian::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write(&mut file)?;
    Ok(file.flush()?)
}

/// What is to be raised; the operating system's errors as Python's own for them.
pub(crate) fn failure(py: Python<'_>, failed: &Error) -> PyErr {
    match failed.downcast_ref::<std::io::Error>() {
        Some(failed) => PyErr::from(std::io::Error::new(failed.kind(), failed.to_string())),
        None => error::of(py, failed),
    }
}

/// The state of a store, and of its guest if it was taken in a host function.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Checkpoint(wardian::checkpoint::Checkpoint);

impl Checkpoint {
    pub(crate) fn new(checkpoint: wardian::checkpoint::Checkpoint) -> Checkpoint {
        Checkpoint(checkpoint)
    }

    pub(crate) fn resume(
        &self,
        py: Python<'_>,
        linker: &Linker,
        wasi: Option<&Bound<'_, WasiConfig>>,
        modules: &[wardian::Module],
        resolver: Option<Py<PyAny>>,
    ) -> PyResult<Resumed> {
        let wasi = wasi_of(py, self.0.host_state(WASI), wasi)?;
        let store = Store::make(&linker.engine(), wasi);
        let linker = linker.for_store(py, &store.0.registry);
        let mut options = modules
            .iter()
            .fold(ResumeOptions::new(), |options, module| options.with_module(module));
        if let Some(callable) = resolver {
            options = options.with_import_resolver(options::resolver(&store.0, callable));
        }
        let resumed =
            store.0.idle(|store| py.detach(|| self.0.resume(store, &linker, &options)))?;
        let resumed = resumed.map_err(|e| error::raise(py, store.0.id, &e))?;
        let shared = store.0.clone();
        Resumed::new(py, shared, Py::new(py, store)?, resumed)
    }
}

/// The environment of WASI: what a checkpoint says that it was, with the streams and directories that are given.
pub(crate) fn wasi_of(
    py: Python<'_>,
    state: Option<&[u8]>,
    config: Option<&Bound<'_, WasiConfig>>,
) -> PyResult<WasiCtx> {
    let builder = match config {
        Some(config) => config.get().builder(py)?,
        None => WasiCtx::builder(),
    };
    let Some(state) = state else { return Ok(builder.build()) };
    let refused = |what: &dyn std::fmt::Display| {
        error::of(
            py,
            &Error::host(format!("the checkpoint's state of WASI cannot be restored: {what}")),
        )
    };
    let state = WasiState::from_bytes(state).map_err(|e| refused(&e))?;
    builder.restore(&state, &RestoreOptions::new()).map_err(|e| refused(&e))
}

#[pymethods]
impl Checkpoint {
    /// Reads one from bytes, which may come from anybody.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Checkpoint> {
        let read = py.detach(|| wardian::checkpoint::Checkpoint::from_bytes(data));
        read.map(Checkpoint).map_err(|e| error::of(py, &e))
    }

    /// Reads one from a file.
    #[staticmethod]
    fn from_file(py: Python<'_>, path: PathBuf) -> PyResult<Checkpoint> {
        let file = std::io::BufReader::new(File::open(&path)?);
        let read = py.detach(|| wardian::checkpoint::Checkpoint::read(file));
        read.map(Checkpoint).map_err(|e| failure(py, &e))
    }

    /// The checkpoint as bytes, as `docs/checkpoints.md` describes them.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.0.to_bytes()).map_err(|e| error::of(py, &e))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Writes it to a file.
    fn to_file(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let written = py.detach(|| to_file(&path, |file| self.0.write(file)));
        written.map_err(|e| failure(py, &e))
    }
}

/// A store with the state of a checkpoint, and with the guest that is to be resumed, if one was running.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Resumed {
    shared: Arc<Shared>,
    store: Py<Store>,
    instances: Vec<Py<Instance>>,
    resumed: Mutex<Option<wardian::checkpoint::Resumed>>,
}

impl Resumed {
    pub(crate) fn new(
        py: Python<'_>,
        shared: Arc<Shared>,
        store: Py<Store>,
        resumed: wardian::checkpoint::Resumed,
    ) -> PyResult<Resumed> {
        let instances = resumed.instances().iter();
        let instances = instances.map(|i| Py::new(py, Instance::new(shared.id, *i)));
        let instances = instances.collect::<PyResult<_>>()?;
        Ok(Resumed { shared, store, instances, resumed: Mutex::new(Some(resumed)) })
    }

    fn look<R>(&self, work: impl FnOnce(&wardian::checkpoint::Resumed) -> R) -> Option<R> {
        self.resumed.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(work)
    }

    fn take(&self) -> PyResult<wardian::checkpoint::Resumed> {
        let taken = self.resumed.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| error::usage("the guest was resumed already"))
    }
}

#[pymethods]
impl Resumed {
    /// The store.
    #[getter]
    fn store(&self, py: Python<'_>) -> Py<Store> {
        self.store.clone_ref(py)
    }

    /// The instances, in the order in which they were made.
    #[getter]
    fn instances<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.instances.iter().map(|instance| instance.clone_ref(py)))
    }

    /// Whether a guest was running that has not been resumed yet.
    #[getter]
    fn is_running(&self) -> bool {
        self.look(|resumed| resumed.is_running()).unwrap_or(false)
    }

    /// The host function that the guest had called: the names of its import, and its arguments. `None` if there is none.
    #[getter]
    fn pending<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<(String, String, Bound<'py, PyTuple>)>> {
        let pending = self.look(|resumed| resumed.pending().cloned()).flatten();
        let Some(pending) = pending else { return Ok(None) };
        let arguments = value::tuple(py, self.shared.id, &pending.arguments)?;
        Ok(Some((pending.module, pending.name, arguments)))
    }

    /// Resumes the guest until the call that was running returns, and gives its results. The host function that the guest had
    /// called is called again, with the same arguments.
    fn run(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let resumed = self.take()?;
        let out = guest::run(py, &self.shared, |context| resumed.run(context))?;
        value::results(py, self.shared.id, &out)
    }

    /// As `run`, but the host function that the guest had called returns these results instead of being called.
    #[pyo3(signature = (*results))]
    fn run_with(&self, py: Python<'_>, results: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        let types =
            self.look(|resumed| resumed.pending().map(|pending| pending.ty.results().to_vec()));
        let types = types.flatten().unwrap_or_default();
        if types.len() != results.len() {
            return Err(PyTypeError::new_err(format!(
                "the host function has {} results, and {} were given",
                types.len(),
                results.len()
            )));
        }
        let values = results.iter().zip(&types).enumerate();
        let values = values
            .map(|(n, (v, ty))| {
                value::from_python(self.shared.id, &v, *ty, &|| format!("result {n}"))
            })
            .collect::<PyResult<Vec<Val>>>()?;
        let resumed = self.take()?;
        let out = guest::run(py, &self.shared, |context| resumed.run_with(context, &values))?;
        value::results(py, self.shared.id, &out)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.store)
    }
}
