//! Memories. Guests may make a memory grow, which may move it, and may drop it: so Python gets no view of one. Each access
//! copies once, between the memory and an object of Python's, while nobody else uses the store.

use crate::allocator::MemoryAllocator;
use crate::lease::Shared;
use crate::options::Source;
use crate::types::MemoryType;
use crate::{error, store};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;
use wardian::{Extern, SharedMemory};

/// A linear memory.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Memory(Kind);

enum Kind {
    Own(u64, wardian::Memory),
    /// Of no store: threads share it.
    Shared(SharedMemory),
}

impl Memory {
    pub(crate) fn own(store: u64, memory: wardian::Memory) -> Memory {
        Memory(Kind::Own(store, memory))
    }

    pub(crate) fn shared(memory: SharedMemory) -> Memory {
        Memory(Kind::Shared(memory))
    }

    /// As something that can be imported.
    pub(crate) fn item(&self, store: u64) -> PyResult<Extern> {
        match &self.0 {
            Kind::Own(of, _) if *of != store => Err(error::other_store()),
            Kind::Own(_, memory) => Ok((*memory).into()),
            Kind::Shared(memory) => Ok(memory.clone().into()),
        }
    }

    fn in_store(&self, argument: &Bound<'_, PyAny>) -> PyResult<Arc<Shared>> {
        let shared = store::of(argument)?;
        match self.0 {
            Kind::Own(of, _) if of != shared.id => Err(error::other_store()),
            _ => Ok(shared),
        }
    }

    fn len(&self, shared: &Shared) -> PyResult<usize> {
        match &self.0 {
            Kind::Own(_, memory) => shared.with(|context| memory.data(context).len()),
            Kind::Shared(memory) => Ok(memory.len()),
        }
    }

    fn copy_out(
        &self,
        py: Python<'_>,
        shared: &Shared,
        at: usize,
        into: &mut [u8],
    ) -> PyResult<()> {
        let done = match &self.0 {
            Kind::Own(_, memory) => shared.with(|context| memory.read(&context, at, into))?,
            Kind::Shared(memory) => memory.read(at, into),
        };
        done.map_err(|e| error::of(py, &e))
    }
}

/// An index as Python's slices have it: from the end if it is negative, and never outside.
fn clamp(index: Option<isize>, default: usize, len: usize) -> usize {
    match index {
        None => default,
        Some(index) if index < 0 => len.saturating_sub(index.unsigned_abs()),
        Some(index) => index.unsigned_abs().min(len),
    }
}

fn outside(at: usize, count: usize, len: usize) -> PyErr {
    PyIndexError::new_err(format!(
        "{count} bytes at {at} are not in the memory, which has {len} bytes"
    ))
}

#[pymethods]
impl Memory {
    /// A memory in a store, whose bytes `allocator` supplies, if it is given.
    #[new]
    #[pyo3(signature = (store, ty, *, allocator=None))]
    fn new(
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        ty: &Bound<'_, MemoryType>,
        allocator: Option<&Bound<'_, MemoryAllocator>>,
    ) -> PyResult<Memory> {
        let shared = store::of(store)?;
        let ty = ty.get().0;
        let source = allocator.map(|given| Source::new(&shared, given.get())).transpose()?;
        if ty.shared {
            let made = match &source {
                None => SharedMemory::new(&shared.engine, ty),
                Some(source) => SharedMemory::new_with_allocator(&shared.engine, ty, source),
            };
            return made.map(Memory::shared).map_err(|e| error::of(py, &e));
        }
        let made = shared.with(|context| match &source {
            None => wardian::Memory::new(context, ty),
            Some(source) => wardian::Memory::new_with_allocator(context, ty, source),
        })?;
        made.map(|memory| Memory::own(shared.id, memory)).map_err(|e| error::of(py, &e))
    }

    /// Its type, with the present size as minimum.
    #[pyo3(name = "type")]
    fn type_(&self, store: &Bound<'_, PyAny>) -> PyResult<MemoryType> {
        let shared = self.in_store(store)?;
        match &self.0 {
            Kind::Own(_, memory) => shared.with(|context| MemoryType(memory.ty(&context))),
            Kind::Shared(memory) => Ok(MemoryType(memory.ty())),
        }
    }

    /// The size in pages.
    fn size(&self, store: &Bound<'_, PyAny>) -> PyResult<u64> {
        let shared = self.in_store(store)?;
        match &self.0 {
            Kind::Own(_, memory) => shared.with(|context| memory.size(&context)),
            Kind::Shared(memory) => Ok(memory.size()),
        }
    }

    /// The size in bytes.
    fn data_len(&self, store: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.len(&*self.in_store(store)?)
    }

    /// Adds pages; gives the number that there were.
    fn grow(&self, py: Python<'_>, store: &Bound<'_, PyAny>, delta: u64) -> PyResult<u64> {
        let shared = self.in_store(store)?;
        let grown = match &self.0 {
            Kind::Own(_, memory) => shared.with(|context| memory.grow(context, delta))?,
            Kind::Shared(memory) => memory.grow(delta),
        };
        grown.map_err(|e| error::of(py, &e))
    }

    /// The bytes from `start` to `stop`, as a slice of Python's takes them: `read(store, 8, 12)` is four bytes at most.
    #[pyo3(signature = (store, start=None, stop=None))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        store: &Bound<'py, PyAny>,
        start: Option<isize>,
        stop: Option<isize>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let shared = self.in_store(store)?;
        let len = self.len(&shared)?;
        let (start, stop) = (clamp(start, 0, len), clamp(stop, len, len));
        PyBytes::new_with(py, stop.saturating_sub(start), |into| {
            self.copy_out(py, &shared, start, into)
        })
    }

    /// Fills a writable buffer of Python's, as a `bytearray`, with the bytes at an offset; `IndexError` if they are not all in
    /// the memory.
    fn read_into(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        offset: usize,
        buffer: PyBuffer<u8>,
    ) -> PyResult<()> {
        let shared = self.in_store(store)?;
        if buffer.readonly() {
            return Err(PyTypeError::new_err("the buffer cannot be written to"));
        }
        let (count, len) = (buffer.item_count(), self.len(&shared)?);
        let end = offset.checked_add(count).filter(|end| *end <= len);
        let end = end.ok_or_else(|| outside(offset, count, len))?;
        match &self.0 {
            Kind::Own(_, memory) => shared
                .with(|context| buffer.copy_from_slice(py, &memory.data(context)[offset..end]))?,
            Kind::Shared(_) => {
                let mut bytes = vec![0; count];
                self.copy_out(py, &shared, offset, &mut bytes)?;
                buffer.copy_from_slice(py, &bytes)
            }
        }
    }

    /// Writes a buffer of bytes, as `bytes` or a `memoryview`, at an offset; `IndexError` if it does not fit. Gives the number
    /// of bytes.
    #[pyo3(signature = (store, data, start=0))]
    fn write(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        data: PyBuffer<u8>,
        start: usize,
    ) -> PyResult<usize> {
        let shared = self.in_store(store)?;
        let (count, len) = (data.item_count(), self.len(&shared)?);
        let end = start.checked_add(count).filter(|end| *end <= len);
        let end = end.ok_or_else(|| outside(start, count, len))?;
        match &self.0 {
            Kind::Own(_, memory) => {
                shared.with(|context| {
                    data.copy_to_slice(py, &mut memory.data_mut(context)[start..end])
                })??;
            }
            Kind::Shared(memory) => {
                memory.write(start, &data.to_vec(py)?).map_err(|e| error::of(py, &e))?;
            }
        }
        Ok(count)
    }

    /// The memory with a store, as a sequence of bytes that can be read and changed by slices.
    fn view(slf: &Bound<'_, Self>, store: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        slf.get().in_store(store)?;
        let view = slf.py().import("wardian._memory")?.getattr("MemoryView")?;
        Ok(view.call1((slf, store))?.unbind())
    }
}
