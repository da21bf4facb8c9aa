//! Programs that start threads: `wasi` `thread-spawn`.

use crate::checkpoint::{self, WASI};
use crate::lease::{Data, Entry, Here, Shared};
use crate::linker::Linker;
use crate::module::Module;
use crate::store::Store;
use crate::wasi::WasiConfig;
use crate::{error, fork, guest, value};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use wardian::checkpoint::{AfterCheckpoint, CheckpointOptions, ReadOptions, ResumeOptions};
use wardian::{Error, ExternType, limits::ResourceLimiter};
use wardian_wasi::{
    DEFAULT_MAX_THREADS, ResumedThreads, WasiThreadsBuilder, WasiThreadsCheckpoint,
    WasiThreadsHandle,
};

/// A program for threads: it imports `wasi` `thread-spawn` and a shared memory, and exports `wasi_thread_start`. Its threads
/// begin, and end, together.
///
/// Each thread has a store of its own, with the host functions of the linker, the limits, the fuel and the files of the main
/// thread's store. The host functions are called on the thread of who calls them. `end`, `live` and `checkpoint_to` are for
/// other threads of Python's, while `run` runs.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct WasiThreads {
    shared: Arc<Shared>,
    store: Py<Store>,
    group: Mutex<Option<Group>>,
    handle: WasiThreadsHandle<Data>,
}

enum Group {
    New(wardian_wasi::WasiThreads<Data>),
    Resumed(Box<ResumedThreads<Data>>),
}

/// Describes the threads of a program whose main thread has this store.
fn describe(
    py: Python<'_>,
    main: &Arc<Shared>,
    module: &wardian::Module,
    max_threads: usize,
) -> PyResult<WasiThreadsBuilder<Data>> {
    let (limits, wasi, fuel) = main.with(|context| {
        let data = context.data();
        (fork::unused(&data.limits), data.wasi.clone(), context.fuel().ok())
    })?;
    // The shared memory belongs to no store, so no store's limits are asked for its beginning.
    for (_, name, ty) in module.imports() {
        let ExternType::Memory(memory) = &ty else { continue };
        let bytes = usize::try_from(memory.min.saturating_mul(memory.page_size()));
        let allowed = limits.clone().memory_growing(0, bytes.unwrap_or(usize::MAX), None);
        if memory.shared && !allowed.map_err(|e| error::of(py, &e))? {
            let why = format!("the limits refuse the module's memory `{name}`, a {ty}");
            return Err(error::limited(py, &why));
        }
    }
    let data = move |_tid| Data {
        limits: limits.clone(),
        wasi: wasi.clone(),
        shared: Weak::new(),
        owner: None,
    };
    let main = Arc::downgrade(main);
    Ok(wardian_wasi::WasiThreads::builder(module, data).max_threads(max_threads).configure(
        move |store| {
            store.limiter(|data| &mut data.limits);
            if let Some(fuel) = fuel {
                // Engines that count it take it.
                let _ = store.set_fuel(fuel);
            }
            let own = Shared::of_thread(store);
            if let Some(main) = main.upgrade() {
                Python::try_attach(|py| own.registry.add_all(py, &main.registry));
            }
            let data = store.data_mut();
            data.shared = Arc::downgrade(&own);
            data.owner = Some(own);
        },
    ))
}

#[pymethods]
impl WasiThreads {
    /// The program of a module; `store` is that of its main thread. The linker has host functions; a shared memory `env`
    /// `memory` is made if it has none. `max_threads` may live at once beside the main thread.
    #[new]
    #[pyo3(signature = (linker, store, module, *, max_threads=DEFAULT_MAX_THREADS))]
    fn new(
        py: Python<'_>,
        linker: &Bound<'_, Linker>,
        store: &Bound<'_, Store>,
        module: &Bound<'_, Module>,
        max_threads: usize,
    ) -> PyResult<WasiThreads> {
        let shared = store.get().0.clone();
        let linker = linker.get().for_store(py, &shared.registry);
        let group = describe(py, &shared, &module.get().0, max_threads)?.build(&linker);
        let group = group.map_err(|e| error::of(py, &e))?;
        let handle = group.handle();
        let group = Mutex::new(Some(Group::New(group)));
        Ok(WasiThreads { shared, store: store.clone().unbind(), group, handle })
    }

    /// A program whose threads were written to a file by `checkpoint_to`, in a new store. Its streams and directories are what
    /// `wasi` gives. The file may come from anybody: what it says is checked.
    #[staticmethod]
    #[pyo3(signature = (linker, path, *, wasi=None, max_threads=DEFAULT_MAX_THREADS))]
    fn resume(
        py: Python<'_>,
        linker: &Bound<'_, Linker>,
        path: PathBuf,
        wasi: Option<&Bound<'_, WasiConfig>>,
        max_threads: usize,
    ) -> PyResult<WasiThreads> {
        let linker = linker.get();
        let engine = linker.engine();
        let file = BufReader::new(File::open(path)?);
        let read = || {
            let read = WasiThreadsCheckpoint::read(file, &ReadOptions::new())?;
            let module = read.main().module(&engine, 0)?;
            Ok((read, module))
        };
        let read = py.detach(|| Here(read())).into_inner();
        let (read, module) = read.map_err(|e| checkpoint::failure(py, &e))?;
        let module = module.ok_or_else(|| error::usage("the checkpoint lacks its module"))?;
        let wasi = checkpoint::wasi_of(py, read.main().host_state(WASI), wasi)?;
        let store = Store::make(&engine, wasi);
        let shared = store.0.clone();
        let linker = linker.for_store(py, &shared.registry);
        let builder = describe(py, &shared, &module, max_threads)?;
        let within = Here(read);
        let resumed = shared.idle(|store| {
            py.detach(|| builder.resume(&linker, store, within.into_inner(), &ResumeOptions::new()))
        })?;
        let resumed = resumed.map_err(|e| error::of(py, &e))?;
        let handle = resumed.handle();
        let group = Mutex::new(Some(Group::Resumed(Box::new(resumed))));
        Ok(WasiThreads { shared, store: Py::new(py, store)?, group, handle })
    }

    /// The store of the main thread.
    #[getter]
    fn store(&self, py: Python<'_>) -> Py<Store> {
        self.store.clone_ref(py)
    }

    /// Runs the program, or what is left of it, until all its threads have ended. What has ended it is raised, also an exit
    /// with code 0.
    fn run(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let group = self.group.lock().unwrap_or_else(PoisonError::into_inner).take();
        let group = group.ok_or_else(|| error::usage("the program has run already"))?;
        let take = || {
            let lease = self.shared.take()?;
            match lease.is_outermost() {
                true => Ok(lease),
                false => Err(error::usage("a guest of the store runs")),
            }
        };
        let out = guest::enter(py, &self.shared, take, |lease| {
            let store = lease.store().ok_or_else(|| Error::host("a guest of the store runs"))?;
            let done = match group {
                Group::New(group) => group.run(store).map(|()| Vec::new()),
                Group::Resumed(group) => group.run(store),
            };
            // The group has cancelled it; what somebody else has cancelled stays so.
            store.clear_cancellation();
            if self.shared.cancelled.load(std::sync::atomic::Ordering::SeqCst) {
                self.shared.token.cancel();
            }
            done
        })?;
        value::results(py, self.shared.id, &out)
    }

    /// Ends the program from another thread, as if it had ended itself with this code.
    #[pyo3(signature = (exit_code=0))]
    fn end(&self, py: Python<'_>, exit_code: u32) {
        py.detach(|| self.handle.end(Error::exit(exit_code)));
    }

    /// How many threads there are now beside the main thread.
    #[getter]
    fn live(&self) -> usize {
        self.handle.live()
    }

    /// Writes the program to a file, with all its threads, from another thread: they stand still meanwhile. With `stop` the
    /// program ends then: `run` raises `StoppedForCheckpoint`.
    #[pyo3(signature = (path, *, stop=false, embed_modules=true, compress=true))]
    fn checkpoint_to(
        &self,
        py: Python<'_>,
        path: PathBuf,
        stop: bool,
        embed_modules: bool,
        compress: bool,
    ) -> PyResult<()> {
        let options = CheckpointOptions::new().embed_modules(embed_modules).compress(compress);
        let file = BufWriter::new(File::create(path)?);
        let after = if stop { AfterCheckpoint::End } else { AfterCheckpoint::Resume };
        let written = py.detach(|| self.handle.checkpoint_to(&options, file, move || after));
        written.map_err(|e| checkpoint::failure(py, &e))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.store)
    }
}
