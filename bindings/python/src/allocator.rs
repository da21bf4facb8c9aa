//! Where the bytes of memories come from.

use crate::error;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::path::PathBuf;
use wardian::Error;
use wardian::allocator::{
    FileMemory, FixedMemory, GuardedMemory, LinearMemory, MemoryRequest, PoolingAllocator,
    VecMemory,
};

/// Supplies the bytes of memories: of those that a module defines, if it is instantiated with it, and of those that are made
/// with it.
///
/// The memories of an allocator count for the limits of the store as all others do.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct MemoryAllocator(Kind);

enum Kind {
    Guarded,
    Heap,
    Fixed,
    File(PathBuf),
    Pool(PoolingAllocator),
    Choose(Py<PyAny>),
}

/// A memory that is asked for.
#[pyclass(frozen, get_all, name = "MemoryRequest", module = "wardian")]
pub(crate) struct Request {
    /// Bytes that the memory has at first.
    minimum: usize,
    /// Bytes to which it can grow.
    maximum: usize,
    /// Whether several threads will use it.
    shared: bool,
    /// The name of the module that defines it, if it has one.
    module_name: Option<String>,
    /// The name that the instance was given.
    instance_name: Option<String>,
}

impl Request {
    pub(crate) fn new(request: &MemoryRequest<'_>) -> Request {
        Request {
            minimum: request.minimum,
            maximum: request.maximum,
            shared: request.shared,
            module_name: request.module.map(str::to_owned),
            instance_name: request.instance.map(str::to_owned),
        }
    }
}

impl MemoryAllocator {
    /// The callable that chooses an allocator for each memory, if it is one.
    pub(crate) fn chooser(&self) -> Option<&Py<PyAny>> {
        match &self.0 {
            Kind::Choose(callable) => Some(callable),
            _ => None,
        }
    }

    /// The same, to be used without the GIL; not of one that chooses.
    pub(crate) fn plain(&self) -> PyResult<Plain> {
        Ok(match &self.0 {
            Kind::Guarded => Plain::Guarded,
            Kind::Heap => Plain::Heap,
            Kind::Fixed => Plain::Fixed,
            Kind::File(path) => Plain::File(path.clone()),
            Kind::Pool(pool) => Plain::Pool(pool.clone()),
            Kind::Choose(_) => {
                return Err(error::usage("an allocator that chooses is no choice itself"));
            }
        })
    }
}

/// An allocator without anything of Python's.
pub(crate) enum Plain {
    Guarded,
    Heap,
    Fixed,
    File(PathBuf),
    Pool(PoolingAllocator),
}

impl wardian::allocator::MemoryAllocator for Plain {
    fn allocate(&self, request: &MemoryRequest<'_>) -> wardian::Result<Box<dyn LinearMemory>> {
        let (minimum, maximum) = (request.minimum, request.maximum);
        Ok(match self {
            Plain::Guarded => GuardedMemory::boxed(minimum, maximum)?,
            Plain::Heap => VecMemory::boxed(minimum, maximum)?,
            Plain::Fixed => FixedMemory::boxed(minimum, maximum)?,
            // SAFETY: that nobody else changes the file is what `MemoryAllocator.file` asks of who calls it, as Python's own
            // `mmap` does.
            Plain::File(path) => unsafe { FileMemory::open(path, minimum, maximum) }
                .map_err(|failed| Error::host(format!("{}: {failed}", path.display())))?,
            Plain::Pool(pool) => return pool.allocate(request),
        })
    }
}

#[pymethods]
impl MemoryAllocator {
    /// Each memory has guard pages: it never moves, and code for it has no checks.
    #[staticmethod]
    fn guarded() -> MemoryAllocator {
        MemoryAllocator(Kind::Guarded)
    }

    /// Each memory lies on the heap, and moves when it grows. Code for it has checks.
    #[staticmethod]
    fn heap() -> MemoryAllocator {
        MemoryAllocator(Kind::Heap)
    }

    /// Each memory has the addresses of its maximum from the start, and never moves. Code for it has checks.
    #[staticmethod]
    fn fixed() -> MemoryAllocator {
        MemoryAllocator(Kind::Fixed)
    }

    /// A memory shows a file, which is made if there is none: what the guest writes is in the file, also if the process is
    /// killed. A file is shown by one memory at a time.
    ///
    /// Nobody else may change the file or make it shorter meanwhile: as with the module `mmap`, the process may end by a
    /// signal otherwise.
    #[staticmethod]
    fn file(path: PathBuf) -> MemoryAllocator {
        MemoryAllocator(Kind::File(path))
    }

    /// So many memories at once, of so many bytes at most, are used again and again; a further one is refused.
    #[staticmethod]
    fn pooled(slots: usize, slot_bytes: usize) -> MemoryAllocator {
        MemoryAllocator(Kind::Pool(PoolingAllocator::new(slots, slot_bytes)))
    }

    /// Asks a callable for each memory: it gets a `MemoryRequest`, and gives another allocator, or raises what then comes
    /// out of the instantiation. It must not use the store.
    #[staticmethod]
    fn choose(callable: Py<PyAny>) -> MemoryAllocator {
        MemoryAllocator(Kind::Choose(callable))
    }

    /// How many memories of a pool are in use; `None` of what is no pool.
    #[getter]
    fn in_use(&self) -> Option<usize> {
        match &self.0 {
            Kind::Pool(pool) => Some(pool.in_use()),
            _ => None,
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.0 {
            Kind::Choose(callable) => visit.call(callable),
            _ => Ok(()),
        }
    }
}
