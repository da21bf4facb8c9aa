//! Stores, and stopping their guests from other threads.

use crate::caller::Caller;
use crate::checkpoint::{self, Checkpoint};
use crate::engine::Engine;
use crate::error;
use crate::fork::{self, Fork, Image};
use crate::lease::{Data, Shared};
use crate::wasi::WasiConfig;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use wardian::limits::StoreLimits;
use wardian_wasi::WasiCtx;

/// The world that instances live in. One thread uses it at a time: another one, or a listener, gets `StoreBusy`.
///
/// Functions, memories and the like are made in a store, and are used with it: as first argument of their methods. In a host
/// function the `Caller` stands for the store, and the store itself can be used as well.
#[pyclass(frozen, module = "wardian", weakref)]
pub(crate) struct Store(pub(crate) Arc<Shared>);

impl Store {
    pub(crate) fn make(engine: &wardian::Engine, wasi: WasiCtx) -> Store {
        let (limits, shared) = (StoreLimits::default(), Weak::new());
        let data = Data { limits, wasi, shared, owner: None };
        let mut store = wardian::Store::new(engine, data);
        store.limiter(|data| &mut data.limits);
        checkpoint::carry_wasi(&mut store);
        Store(Shared::of(store))
    }
}

/// The store that an argument is, or stands for.
pub(crate) fn of(argument: &Bound<'_, PyAny>) -> PyResult<Arc<Shared>> {
    if let Ok(store) = argument.cast::<Store>() {
        return Ok(store.get().0.clone());
    }
    if let Ok(caller) = argument.cast::<Caller>() {
        return caller.get().shared();
    }
    Err(PyTypeError::new_err(format!(
        "the first argument is the store, or the caller that a host function got, not {}",
        argument.get_type().name()?
    )))
}

/// A number of seconds, as a duration.
pub(crate) fn seconds(given: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(given)
        .map_err(|_| PyValueError::new_err(format!("{given} is no number of seconds")))
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (engine, wasi=None))]
    fn new(
        py: Python<'_>,
        engine: &Bound<'_, Engine>,
        wasi: Option<&Bound<'_, WasiConfig>>,
    ) -> PyResult<Store> {
        let wasi = match wasi {
            Some(config) => config.get().build(py)?,
            None => WasiCtx::builder().build(),
        };
        Ok(Store::make(&engine.get().0, wasi))
    }

    /// Gives guests of WASI a new environment.
    fn set_wasi(&self, py: Python<'_>, wasi: &Bound<'_, WasiConfig>) -> PyResult<()> {
        let wasi = wasi.get().build(py)?;
        self.0.idle(|store| store.data_mut().wasi = wasi)
    }

    /// Limits the store: bytes of all memories together, elements of one table, bytes of all tables, and numbers of instances,
    /// tables and memories. What is not given stays as it is.
    #[pyo3(signature = (*, memory_size=None, table_elements=None, table_size=None, instances=None, tables=None, memories=None))]
    fn set_limits(
        &self,
        memory_size: Option<usize>,
        table_elements: Option<usize>,
        table_size: Option<usize>,
        instances: Option<usize>,
        tables: Option<usize>,
        memories: Option<usize>,
    ) -> PyResult<()> {
        self.0.with(|mut context| {
            let limits = &mut context.data_mut().limits;
            let given = [
                (&mut limits.memory_bytes, memory_size),
                (&mut limits.table_elements, table_elements),
                (&mut limits.table_bytes, table_size),
                (&mut limits.instances, instances),
                (&mut limits.tables, tables),
                (&mut limits.memories, memories),
            ];
            for (place, value) in given {
                *place = value.unwrap_or(*place);
            }
        })
    }

    /// Gives guests so much fuel; the engine must count it (`Config(fuel=True)`). `Stopped` with the reason "fuel" ends a
    /// guest that has used it up.
    fn set_fuel(&self, py: Python<'_>, fuel: u64) -> PyResult<()> {
        self.0.with(|mut context| context.set_fuel(fuel))?.map_err(|e| error::of(py, &e))
    }

    /// The fuel that is left.
    fn get_fuel(&self, py: Python<'_>) -> PyResult<u64> {
        self.0.with(|context| context.fuel())?.map_err(|e| error::of(py, &e))
    }

    /// Stops guests in so many seconds from now, and refuses calls afterwards, until it is set again; `None` takes it back.
    #[pyo3(signature = (seconds))]
    fn set_timeout(&self, seconds: Option<f64>) -> PyResult<()> {
        let after = seconds.map(self::seconds).transpose()?;
        self.0.idle(|store| match after {
            Some(after) => store.set_timeout(after),
            None => store.set_deadline(None),
        })
    }

    /// What stops guests of the store, from any thread.
    fn cancel_token(&self) -> CancelToken {
        CancelToken(Arc::downgrade(&self.0))
    }

    /// Lets the store run guests again after it was cancelled.
    fn clear_cancellation(&self) -> PyResult<()> {
        self.0.idle(|store| {
            self.0.cancelled.store(false, Ordering::SeqCst);
            store.clear_cancellation();
        })
    }

    /// The state of the store, in which no guest runs, as a checkpoint. In a host function there is `Caller.checkpoint`.
    #[pyo3(signature = (*, embed_modules=true, compress=true))]
    fn checkpoint(
        &self,
        py: Python<'_>,
        embed_modules: bool,
        compress: bool,
    ) -> PyResult<Checkpoint> {
        let options = wardian::checkpoint::CheckpointOptions::new()
            .embed_modules(embed_modules)
            .compress(compress);
        self.0
            .idle(|store| py.detach(|| store.checkpoint(&options)))?
            .map(Checkpoint::new)
            .map_err(|e| error::of(py, &e))
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
        let options = wardian::checkpoint::CheckpointOptions::new()
            .embed_modules(embed_modules)
            .compress(compress);
        // In the lease: a file is not emptied for a store that is in use.
        let written = self.0.idle(|store| {
            py.detach(|| {
                checkpoint::to_file(&path, |file| store.checkpoint_to(&options, file).map(drop))
            })
        })?;
        written.map_err(|e| checkpoint::failure(py, &e))
    }

    /// Keeps the state of the store, in which no guest runs, to return to it with `reset_to`: memories, tables, globals,
    /// objects, and which instances are closed.
    fn image(&self, py: Python<'_>) -> PyResult<Image> {
        let taken = self.0.idle(|store| py.detach(|| store.image()))?;
        taken.map(Image).map_err(|e| error::of(py, &e))
    }

    /// Brings the store back to the state of an image of it. What is of the embedder stays as it is: limits, timeouts,
    /// listeners, and what WASI has outside of the guest.
    fn reset_to(&self, py: Python<'_>, image: &Bound<'_, Image>) -> PyResult<()> {
        let image = &image.get().0;
        let done = self.0.idle(|store| py.detach(|| store.reset_to(image)))?;
        done.map_err(|e| error::of(py, &e))
    }

    /// Makes a second store with the state of this one, in which no guest runs; in a host function there is `Caller.fork`.
    /// The memories of both show the same pages until one of them writes to a page.
    ///
    /// The child has the same host functions and limits, and no timeout, listeners or close notifiers. Programs of WASI see
    /// in it what `wasi` says.
    #[pyo3(signature = (*, wasi=None))]
    fn fork(&self, py: Python<'_>, wasi: Option<&Bound<'_, WasiConfig>>) -> PyResult<Fork> {
        let data = fork::data(py, &self.0, wasi)?;
        let forked = self.0.idle(|store| py.detach(|| store.fork_with(data, fork::prepare)))?;
        Fork::new(py, &self.0, forked)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.registry.traverse(&visit)
    }

    fn __clear__(&self) {
        self.0.registry.clear();
    }

    fn __repr__(&self) -> String {
        format!("<wardian.Store {}>", self.0.id)
    }
}

/// Stops the guests of a store, from any thread. It keeps no store alive.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct CancelToken(Weak<Shared>);

#[pymethods]
impl CancelToken {
    /// Ends every call of a guest of the store soon, with `Stopped`; calls that come later are refused, until
    /// `Store.clear_cancellation`. Returns at once. Does nothing if the store is gone.
    fn cancel(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.cancelled.store(true, Ordering::SeqCst);
            shared.token.cancel();
        }
    }

    /// Whether the store was cancelled and not let go again.
    #[getter]
    fn is_cancelled(&self) -> bool {
        self.0.upgrade().is_some_and(|shared| shared.cancelled.load(Ordering::SeqCst))
    }
}
