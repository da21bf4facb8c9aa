//! Linear memories.

mod plain;

use crate::allocator::Supplying;
use crate::error::{LimitKind, UsageKind};
use crate::handles::{Memory, SharedMemory};
use crate::store::{check_store, same_store};
use crate::{AsContext, AsContextMut, Engine, Error, Result, allocator::MemoryAllocator};
use wardian_runtime::instance::memory::{Source, Supply, check_type};
use wardian_runtime::store::memory::checked;
use wardian_runtime::value;
use wardian_types::MemoryType;

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
        Memory::make(store, &ty, Source::Allocator(Supply::nameless(&Supplying(allocator))))
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
        let memory = store.0.inner.memory(self.index);
        MemoryType { min: memory.pages(), ..memory.ty() }
    }

    /// Its size in pages.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.ty(store).min
    }

    /// Its bytes.
    pub fn data<'a, T: 'static>(&self, store: impl Into<crate::StoreContext<'a, T>>) -> &'a [u8] {
        let store = store.into();
        same_store(&store.0.inner, self.store);
        store.0.inner.memory(self.index).bytes()
    }

    /// Its bytes, to be changed.
    pub fn data_mut<'a, T: 'static>(
        &self,
        store: impl Into<crate::StoreContextMut<'a, T>>,
    ) -> &'a mut [u8] {
        let store = store.into();
        same_store(&store.0.inner, self.store);
        store.0.inner.memory_mut(self.index).bytes_mut()
    }

    /// Its bytes and the embedder's data, both to be changed.
    pub fn data_and_store_mut<'a, T: 'static>(
        &self,
        store: impl Into<crate::StoreContextMut<'a, T>>,
    ) -> (&'a mut [u8], &'a mut T) {
        let store = store.into();
        same_store(&store.0.inner, self.store);
        (store.0.inner.memory_mut(self.index).bytes_mut(), &mut store.0.data.data)
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
        let before = inner.memory_mut(self.index).grow(pages, limiter, &|| false)?;
        before.ok_or_else(|| {
            Error::limit(LimitKind::Store, format!("the memory cannot grow by {pages} pages"))
        })
    }
}

impl SharedMemory {
    /// A shared memory, full of zeroes.
    ///
    /// # Errors
    ///
    /// The type is not of a shared memory or has no maximum; or no memory is left.
    pub fn new(engine: &Engine, ty: MemoryType) -> Result<SharedMemory> {
        let made = value::SharedMemory::with_limiter(engine.inner(), &ty, None, None)?;
        Ok(SharedMemory::of(&made).clone())
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
        let supplier = Supplying(allocator);
        let supply = Some(Supply::nameless(&supplier));
        let made = value::SharedMemory::with_limiter(engine.inner(), &ty, supply, None)?;
        Ok(SharedMemory::of(&made).clone())
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
        wardian_runtime::instance::memory::read_shared(&self.0, offset, bytes);
        Ok(())
    }

    /// Copies bytes in, each written atomically on its own.
    ///
    /// # Errors
    ///
    /// The range is not inside the memory.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        checked(offset, bytes.len(), self.len())?;
        wardian_runtime::instance::memory::write_shared(&self.0, offset, bytes);
        Ok(())
    }

    /// Grows by `pages`; returns the size before, in pages.
    ///
    /// # Errors
    ///
    /// The size would exceed the type's maximum, or what the system has.
    pub fn grow(&self, pages: u64) -> Result<u64> {
        self.inner().grow_limited(pages, None)?.ok_or_else(|| {
            Error::limit(LimitKind::Store, format!("the memory cannot grow by {pages} pages"))
        })
    }
}
