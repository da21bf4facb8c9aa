//! Linear memories.

mod plain;

use crate::allocator::{Supplier, unusable};
use crate::error::{LimitKind, UsageKind};
use crate::handles::{Memory, SharedMemory};
use crate::limits::ResourceLimiter;
use crate::raw::memory::Source;
use crate::raw::parts::memory::checked;
use crate::raw::parts::memory::{fault, granted};
use crate::store::{check_store, same_store};
use crate::{AsContext, AsContextMut, Engine, Error, Result, allocator::MemoryAllocator};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wardian_types::MemoryType;
use wardian_vm::layout::VmMemory;
use wardian_vm::memory::{GrowError, size_in_bytes};

impl Memory {
    /// A memory of the host's, full of zeroes.
    ///
    /// # Errors
    ///
    /// The type is of a shared memory, the store's limits refuse it, or no memory is left.
    pub fn new(store: impl AsContextMut, ty: MemoryType) -> Result<Memory> {
        Memory::make(store, &ty, Source::Engine(None))
    }

    /// A memory of the host's in bytes that `allocator` supplies, which normally are zero.
    ///
    /// # Errors
    ///
    /// As for [`Memory::new`]; or the allocator refuses, or what it gave cannot be used.
    pub fn new_with_allocator(
        store: impl AsContextMut,
        ty: MemoryType,
        allocator: &dyn MemoryAllocator,
    ) -> Result<Memory> {
        Memory::make(store, &ty, Source::Allocator(Supplier::nameless(allocator)))
    }

    fn make(mut store: impl AsContextMut, ty: &MemoryType, source: Source<'_>) -> Result<Memory> {
        if ty.shared {
            return Err(Error::usage(
                UsageKind::Type,
                "a shared memory is made with SharedMemory::new",
            ));
        }
        check_type(ty)?;
        let store = store.as_context_mut();
        let (inner, limiter) = store.0.split();
        let index = inner.add_memory(ty, source, None, limiter)?;
        Ok(Memory { store: inner.id(), index })
    }

    /// Its type, with the current size as minimum.
    ///
    /// # Panics
    ///
    /// It belongs to another store; so for all methods here that give no `Result`.
    pub fn ty(&self, store: impl AsContext) -> MemoryType {
        let store = store.as_context();
        same_store(&store.0.inner, self.store);
        let memory = &store.0.inner.memories[self.index as usize];
        MemoryType { min: memory.pages(), ..memory.ty }
    }

    /// Its size in pages.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.ty(store).min
    }

    /// Its bytes.
    pub fn data<'a, T: 'static>(&self, store: impl Into<crate::StoreContext<'a, T>>) -> &'a [u8] {
        let store = store.into();
        same_store(&store.0.inner, self.store);
        store.0.inner.memories[self.index as usize].bytes()
    }

    /// Its bytes, to be changed.
    pub fn data_mut<'a, T: 'static>(
        &self,
        store: impl Into<crate::StoreContextMut<'a, T>>,
    ) -> &'a mut [u8] {
        let store = store.into();
        same_store(&store.0.inner, self.store);
        store.0.inner.memories[self.index as usize].bytes_mut()
    }

    /// Its bytes and the embedder's data, both to be changed.
    pub fn data_and_store_mut<'a, T: 'static>(
        &self,
        store: impl Into<crate::StoreContextMut<'a, T>>,
    ) -> (&'a mut [u8], &'a mut T) {
        let store = store.into();
        same_store(&store.0.inner, self.store);
        (store.0.inner.memories[self.index as usize].bytes_mut(), &mut store.0.data)
    }

    /// Copies bytes out.
    ///
    /// # Errors
    ///
    /// The range is not inside the memory.
    pub fn read(&self, store: impl AsContext, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let store = store.as_context();
        let data = self.data(store);
        let range = checked(offset, bytes.len(), data.len())?;
        bytes.copy_from_slice(&data[range]);
        Ok(())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    ///
    /// The range is not inside the memory.
    pub fn write(&self, mut store: impl AsContextMut, offset: usize, bytes: &[u8]) -> Result<()> {
        let data = self.data_mut(store.as_context_mut());
        let range = checked(offset, bytes.len(), data.len())?;
        data[range].copy_from_slice(bytes);
        Ok(())
    }

    /// Grows by `pages`; returns the size before, in pages.
    ///
    /// # Errors
    ///
    /// The size would exceed the type's maximum, the store's limits, or what the system or the memory's
    /// allocator has; or the allocator's memory broke its promises.
    pub fn grow(&self, mut store: impl AsContextMut, pages: u64) -> Result<u64> {
        let store = store.as_context_mut();
        check_store(&store.0.inner, self.store)?;
        let (inner, limiter) = store.0.split();
        let before = inner.memories[self.index as usize].grow(pages, limiter, &|| false)?;
        before.ok_or_else(|| {
            Error::limit(LimitKind::Store, format!("the memory cannot grow by {pages} pages"))
        })
    }
}

fn check_type(ty: &MemoryType) -> Result<()> {
    if !matches!(ty.page_size_log2, 0 | 16) {
        return Err(Error::usage(
            UsageKind::Type,
            format!(
                "there can be no memory with pages of 2^{} bytes: they have 1 byte or 2^16",
                ty.page_size_log2
            ),
        ));
    }
    if ty.min > ty.max_pages() {
        return Err(Error::usage(UsageKind::Type, format!("there can be no {ty}")));
    }
    Ok(())
}

impl SharedMemory {
    /// A shared memory, full of zeroes.
    ///
    /// # Errors
    ///
    /// The type is not of a shared memory or has no maximum; or no memory is left.
    pub fn new(engine: &Engine, ty: MemoryType) -> Result<SharedMemory> {
        SharedMemory::with_limiter(engine, &ty, None, None)
    }

    /// A shared memory in bytes that `allocator` supplies, which normally are zero. They never move.
    ///
    /// # Errors
    ///
    /// As for [`SharedMemory::new`]; or the allocator refuses, or what it gave cannot be used.
    pub fn new_with_allocator(
        engine: &Engine,
        ty: MemoryType,
        allocator: &dyn MemoryAllocator,
    ) -> Result<SharedMemory> {
        let supplier = Supplier::nameless(allocator);
        SharedMemory::with_limiter(engine, &ty, Some(supplier), None)
    }

    pub(crate) fn with_limiter(
        engine: &Engine,
        ty: &MemoryType,
        supplier: Option<Supplier<'_>>,
        mut limiter: Option<&mut dyn ResourceLimiter>,
    ) -> Result<SharedMemory> {
        check_type(ty)?;
        if !ty.shared || ty.max.is_none() {
            return Err(Error::usage(
                UsageKind::Type,
                "a shared memory's type says shared, and has a maximum",
            ));
        }
        let bytes = |pages: u64| size_in_bytes(ty, pages).unwrap_or(usize::MAX);
        if let Some(limiter) = &mut limiter
            && !limiter.memory_growing(0, bytes(ty.min), ty.max.map(bytes))?
        {
            return Err(Error::limit(
                LimitKind::Store,
                format!("the store's limits refuse a {ty}"),
            ));
        }
        let made = granted(limiter, (0, bytes(ty.min)), || match supplier {
            None => wardian_vm::memory::SharedMemory::new(ty, engine.can_guard(ty))
                .map_err(|e| unusable(ty, e)),
            Some(supplier) => supplier
                .supply(engine, ty)
                .map(|custom| wardian_vm::memory::SharedMemory::custom(ty, custom)),
        })?;
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Ok(SharedMemory(Arc::new(made), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// A number that no other shared memory of the process has or had; clones have the same.
    pub fn id(&self) -> u64 {
        self.1
    }

    /// Its type, with the current size as minimum.
    pub fn ty(&self) -> MemoryType {
        MemoryType { min: self.size(), ..*self.0.ty() }
    }

    /// Its size in pages; it may have grown when this returns.
    pub fn size(&self) -> u64 {
        self.0.len() as u64 >> self.0.ty().page_size_log2
    }

    /// Its size in bytes; it may have grown when this returns.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether its size is zero.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Copies bytes out, each read atomically on its own.
    ///
    /// # Errors
    ///
    /// The range is not inside the memory.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        checked(offset, bytes.len(), self.len())?;
        crate::raw::memory::read_shared(&self.0, offset, bytes);
        Ok(())
    }

    /// Copies bytes in, each written atomically on its own.
    ///
    /// # Errors
    ///
    /// The range is not inside the memory.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        checked(offset, bytes.len(), self.len())?;
        crate::raw::memory::write_shared(&self.0, offset, bytes);
        Ok(())
    }

    /// Grows by `pages`; returns the size before, in pages.
    ///
    /// # Errors
    ///
    /// The size would exceed the type's maximum, or what the system has.
    pub fn grow(&self, pages: u64) -> Result<u64> {
        self.grow_limited(pages, None)?.ok_or_else(|| {
            Error::limit(LimitKind::Store, format!("the memory cannot grow by {pages} pages"))
        })
    }

    pub(crate) fn grow_limited(
        &self,
        pages: u64,
        mut limiter: Option<&mut dyn ResourceLimiter>,
    ) -> Result<Option<u64>> {
        if pages == 0 {
            // As for a memory of one store.
            return Ok(Some(self.size()));
        }
        let maximum = self.0.ty().max.and_then(|max| size_in_bytes(self.0.ty(), max));
        let mut refused = None;
        let mut allowed = None;
        let permit = |current, desired| {
            let Some(limiter) = &mut limiter else { return true };
            match limiter.memory_growing(current, desired, maximum) {
                Ok(true) => allowed = Some((current, desired)),
                Ok(false) => {}
                Err(error) => refused = Some(error),
            }
            allowed.is_some()
        };
        // The embedder's memory may panic.
        let grown = catch_unwind(AssertUnwindSafe(|| self.0.grow(pages, permit)));
        if let (Ok(Err(_)) | Err(_), Some((current, desired)), Some(limiter)) =
            (&grown, allowed, limiter)
        {
            limiter.memory_grow_failed(current, desired);
        }
        match (refused, grown.unwrap_or_else(|panic| resume_unwind(panic))) {
            (Some(error), _) => Err(error),
            (None, Ok(before)) => Ok(Some(before)),
            (None, Err(GrowError::Refused)) => Ok(None),
            (None, Err(error)) => Err(fault(&error)),
        }
    }

    pub(crate) fn vm(&self) -> &VmMemory {
        self.0.vm()
    }

    pub(crate) fn raw_len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.0.is_guarded()
    }
}
