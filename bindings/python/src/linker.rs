//! Linkers.

use crate::allocator::MemoryAllocator;
use crate::callback::Callback;
use crate::checkpoint::{Checkpoint, Resumed};
use crate::engine::Engine;
use crate::instance::Instance;
use crate::lease::{Data, Done, Making};
use crate::module::Module;
use crate::options::Given;
use crate::registry::Registry;
use crate::types::FuncType;
use crate::wasi::WasiConfig;
use crate::{asynchronous, error, guest, items, store};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Imports by name, for many instances and stores of one engine.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Linker {
    /// Copied when it is changed while something is instantiated with it.
    linker: Mutex<Arc<wardian::Linker<Data>>>,
    registry: Registry,
}

impl Linker {
    fn lock(&self) -> MutexGuard<'_, Arc<wardian::Linker<Data>>> {
        self.linker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut wardian::Linker<Data>) -> wardian::Result<R>,
    ) -> PyResult<()> {
        work(Arc::make_mut(&mut self.lock())).map(drop).map_err(|e| error::of(py, &e))
    }

    /// The linker, for a store that from now on has the callables.
    pub(crate) fn for_store(
        &self,
        py: Python<'_>,
        registry: &Registry,
    ) -> Arc<wardian::Linker<Data>> {
        registry.add_all(py, &self.registry);
        self.lock().clone()
    }
}

#[pymethods]
impl Linker {
    #[new]
    #[pyo3(signature = (engine, *, allow_shadowing=false))]
    fn new(engine: &Bound<'_, Engine>, allow_shadowing: bool) -> Linker {
        let mut linker = wardian::Linker::new(&engine.get().0);
        linker.allow_shadowing(allow_shadowing);
        Linker { linker: Mutex::new(Arc::new(linker)), registry: Registry::default() }
    }

    /// Defines a host function. Without a type it is what the annotations of the callable say. With `access_caller` the
    /// callable gets a `Caller` first.
    ///
    /// An `async def` may wait: guests that call it are called with `call_async`.
    #[pyo3(signature = (module, name, ty, callable, *, access_caller=false))]
    fn define_func(
        &self,
        py: Python<'_>,
        module: &str,
        name: &str,
        ty: Option<&Bound<'_, FuncType>>,
        callable: &Bound<'_, PyAny>,
        access_caller: bool,
    ) -> PyResult<()> {
        let callback = Callback::new(callable, ty, access_caller, &format!("`{module}` `{name}`"))?;
        let number = callback.number;
        self.registry.add(number, callable.clone().unbind());
        let defined = self.change(py, |linker| callback.define(linker, module, name));
        defined.inspect_err(|_| self.registry.remove(number))
    }

    /// Defines something of a store, for instances in that store.
    fn define(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        module: &str,
        name: &str,
        item: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let item = items::of(store::of(store)?.id, item)?;
        self.change(py, |linker| linker.define(module, name, item).map(drop))
    }

    /// Defines all exports of an instance, as those of a module of this name.
    fn define_instance(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        name: &str,
        instance: &Bound<'_, Instance>,
    ) -> PyResult<()> {
        let shared = store::of(store)?;
        let instance = instance.get().of(shared.id)?;
        let defined = shared.with(|context| {
            Arc::make_mut(&mut self.lock()).instance(context, name, instance).map(drop)
        })?;
        defined.map_err(|e| error::of(py, &e))
    }

    /// Defines the functions of WASI, preview 1. What they work on is the `WasiConfig` of the store.
    fn define_wasi(&self, py: Python<'_>) -> PyResult<()> {
        self.change(py, |linker| wardian_wasi::add_to_linker(linker, |data: &mut Data| &data.wasi))
    }

    /// Makes an instance of a module, and runs its start function.
    ///
    /// `resolver` is asked for each import before the linker is: it gets an `ImportRequest`, and gives something that can be
    /// imported, an instance that exports it, or `None`. `on_close` is called with the name of the instance and a code when
    /// it is closed. `memories` supplies the memories that the module defines.
    #[pyo3(signature = (store, module, *, name=None, resolver=None, on_close=None, memories=None))]
    #[allow(clippy::too_many_arguments, reason = "each is a keyword")]
    fn instantiate(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        module: &Bound<'_, Module>,
        name: Option<String>,
        resolver: Option<Bound<'_, PyAny>>,
        on_close: Option<Bound<'_, PyAny>>,
        memories: Option<Bound<'_, MemoryAllocator>>,
    ) -> PyResult<Instance> {
        let shared = store::of(store)?;
        let linker = self.for_store(py, &shared.registry);
        let options = Given { name, resolver, on_close, memories }.options(&shared)?;
        let module = &module.get().0;
        let made =
            guest::run(py, &shared, |context| linker.instantiate_with(context, module, &options))?;
        Ok(Instance::new(shared.id, made))
    }

    /// The same on an event loop of asyncio, for a module whose start function calls host functions that wait.
    #[pyo3(signature = (store, module, *, name=None, resolver=None, on_close=None, memories=None))]
    #[allow(clippy::too_many_arguments, reason = "each is a keyword")]
    fn instantiate_async(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        module: &Bound<'_, Module>,
        name: Option<String>,
        resolver: Option<Bound<'_, PyAny>>,
        on_close: Option<Bound<'_, PyAny>>,
        memories: Option<Bound<'_, MemoryAllocator>>,
    ) -> PyResult<Py<PyAny>> {
        let shared = store::of(store)?;
        let linker = self.for_store(py, &shared.registry);
        let options = Given { name, resolver, on_close, memories }.options(&shared)?;
        let module = module.get().0.clone();
        let make: Making = Box::new(move |context| {
            Box::pin(async move {
                linker.instantiate_async(context, &module, &options).await.map(Done::Instance)
            })
        });
        asynchronous::awaitable(py, store, shared, make)
    }

    /// A new store with the state of a checkpoint, whose guest can be resumed. `modules` are those that are not part of it. If
    /// it has state of WASI, that is restored with what `wasi` gives: streams and directories. `resolver` is as for
    /// `instantiate`.
    ///
    /// A checkpoint may come from anybody: what it says is checked.
    #[pyo3(signature = (checkpoint, *, wasi=None, modules=Vec::new(), resolver=None))]
    fn resume(
        &self,
        py: Python<'_>,
        checkpoint: &Bound<'_, Checkpoint>,
        wasi: Option<&Bound<'_, WasiConfig>>,
        modules: Vec<Bound<'_, Module>>,
        resolver: Option<Py<PyAny>>,
    ) -> PyResult<Resumed> {
        let modules: Vec<_> = modules.iter().map(|module| module.get().0.clone()).collect();
        checkpoint.get().resume(py, self, wasi, &modules, resolver)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.registry.traverse(&visit)
    }

    fn __clear__(&self) {
        self.registry.clear();
    }
}

impl Linker {
    pub(crate) fn engine(&self) -> wardian::Engine {
        self.lock().engine().clone()
    }
}
