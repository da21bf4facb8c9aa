//! How instances are made: names, resolvers of imports, close notifiers and allocators.

use crate::allocator::{MemoryAllocator, Plain, Request};
use crate::error::PythonError;
use crate::instance::Instance;
use crate::lease::{Data, Shared};
use crate::types::extern_type;
use crate::{guest, items, registry, signals};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use std::sync::{Arc, Weak};
use wardian::allocator::{LinearMemory, MemoryRequest};
use wardian::close::ClosingInstance;
use wardian::resolver::{ImportResolver, Resolution};
use wardian::{Error, InstantiateOptions, StoreContextMut};

/// An import that a resolver is asked for.
#[pyclass(frozen, get_all, module = "wardian")]
pub(crate) struct ImportRequest {
    /// The module that is asked for.
    module: String,
    /// The name in it.
    name: String,
    /// The type that is needed; memories and tables may be larger.
    #[pyo3(name = "type")]
    ty: Py<PyAny>,
    /// The name of the instance that is being made, or of its module.
    importer: Option<String>,
}

#[pymethods]
impl ImportRequest {
    fn __repr__(&self) -> String {
        format!("<wardian.ImportRequest `{}` `{}`>", self.module, self.name)
    }
}

/// A callable in the registry of a store, for as long as the runtime has this.
struct Registered {
    shared: Weak<Shared>,
    number: u64,
}

impl Registered {
    fn new(shared: &Arc<Shared>, callable: Py<PyAny>) -> Registered {
        let number = registry::number();
        shared.registry.add(number, callable);
        Registered { shared: Arc::downgrade(shared), number }
    }

    /// Does something with it for the runtime.
    fn with<R>(
        &self,
        work: impl FnOnce(Python<'_>, &Arc<Shared>, &Bound<'_, PyAny>) -> PyResult<R>,
    ) -> Result<R, Error> {
        let gone = || Error::host("the store is being dropped");
        let shared = self.shared.upgrade().ok_or_else(gone)?;
        let ending = || Error::host("Python is shutting down");
        if guest::is_ending() {
            return Err(ending());
        }
        let done = Python::try_attach(|py| {
            let callable = shared.registry.get(py, self.number).ok_or_else(gone)?;
            let paused = signals::pause(py);
            let done = work(py, &shared, callable.bind(py));
            shared.engine.reclaim_signals();
            paused.end(py).and(done).map_err(|raised| {
                shared.set_failed(Some(raised.clone_ref(py)));
                Error::host(PythonError::new(raised))
            })
        });
        done.unwrap_or_else(|| Err(ending()))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.registry.remove(self.number);
        }
    }
}

/// The keywords of what makes instances.
pub(crate) struct Given<'py> {
    pub(crate) name: Option<String>,
    pub(crate) resolver: Option<Bound<'py, PyAny>>,
    pub(crate) on_close: Option<Bound<'py, PyAny>>,
    pub(crate) memories: Option<Bound<'py, MemoryAllocator>>,
}

impl Given<'_> {
    /// The options for an instance in a store.
    pub(crate) fn options(self, shared: &Arc<Shared>) -> PyResult<InstantiateOptions<Data>> {
        let mut options = InstantiateOptions::new();
        if let Some(name) = self.name {
            options = options.with_name(name);
        }
        if let Some(callable) = self.resolver {
            options = options.with_import_resolver(resolver(shared, callable.unbind()));
        }
        if let Some(callable) = self.on_close {
            let registered = Registered::new(shared, callable.unbind());
            options = options.with_close_notifier(move |instance: &ClosingInstance, code: u32| {
                let name = instance.name();
                let notified = registered.with(|py, _, callable| {
                    // Nobody waits for it who could be given an exception.
                    if let Err(raised) = callable.call1((name, code)) {
                        raised.write_unraisable(py, Some(callable));
                    }
                    Ok(())
                });
                drop(notified);
            });
        }
        if let Some(memories) = self.memories {
            options = options.with_memory_allocator(Source::new(shared, memories.get())?);
        }
        Ok(options)
    }
}

/// A resolver that asks a callable.
pub(crate) fn resolver(shared: &Arc<Shared>, callable: Py<PyAny>) -> impl ImportResolver<Data> {
    let registered = Registered::new(shared, callable);
    move |mut context: StoreContextMut<'_, Data>, request: &wardian::resolver::ImportRequest<'_>| {
        // That of a thread of the guest's is another store.
        let of = context.data().shared.upgrade();
        registered.with(|py, shared, callable| {
            let shared = of.as_ref().unwrap_or(shared);
            let request = ImportRequest {
                module: request.module().to_owned(),
                name: request.name().to_owned(),
                ty: extern_type(py, request.ty().clone())?,
                importer: request.importer_name().map(str::to_owned),
            };
            let found = shared.in_resolver(&mut context, || callable.call1((request,)))?;
            if found.is_none() {
                return Ok(Resolution::Unresolved);
            }
            match found.cast::<Instance>() {
                Ok(instance) => Ok(instance.get().of(shared.id)?.into()),
                Err(_) => Ok(items::of(shared.id, &found)?.into()),
            }
        })
    }
}

/// Chooses an allocator for a memory.
type Choice = Box<dyn Fn(&MemoryRequest<'_>) -> wardian::Result<Plain> + Send + Sync>;

/// An allocator as the runtime asks it.
pub(crate) enum Source {
    Plain(Plain),
    Choose(Choice),
}

impl Source {
    pub(crate) fn new(shared: &Arc<Shared>, allocator: &MemoryAllocator) -> PyResult<Source> {
        let Some(callable) = allocator.chooser() else {
            return Ok(Source::Plain(allocator.plain()?));
        };
        let registered = Python::attach(|py| Registered::new(shared, callable.clone_ref(py)));
        Ok(Source::Choose(Box::new(move |request| {
            registered.with(|_, _, callable| {
                let chosen = callable.call1((Request::new(request),))?;
                let chosen = chosen.cast::<MemoryAllocator>().map_err(|_| {
                    PyTypeError::new_err(format!("an allocator has to be chosen, not {chosen}"))
                })?;
                chosen.get().plain()
            })
        })))
    }
}

impl wardian::allocator::MemoryAllocator for Source {
    fn allocate(&self, request: &MemoryRequest<'_>) -> wardian::Result<Box<dyn LinearMemory>> {
        match self {
            Source::Plain(plain) => plain.allocate(request),
            Source::Choose(choose) => choose(request)?.allocate(request),
        }
    }
}
