//! Memories that several stores share: making them, growing them, copying from and to them.

use super::memory::{Supply, check_type, read_shared, unusable, write_shared};
use crate::error::{LimitKind, UsageKind};
use crate::limiter::Limiter;
use crate::store::memory::{checked, fault, granted};
use crate::value::SharedMemory;
use crate::{Engine, Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wardian_types::MemoryType;
use wardian_vm::layout::VmMemory;
use wardian_vm::memory::{GrowError, size_in_bytes};

impl SharedMemory {
    /// A new memory, if the limiter allows it.
    ///
    /// # Errors
    ///
    /// The type is not of a shared memory or has no maximum; the limiter or the embedder's allocator refuses; or no
    /// memory is left.
    pub fn with_limiter(
        engine: &Engine,
        ty: &MemoryType,
        supplier: Option<Supply<'_>>,
        mut limiter: Option<&mut dyn Limiter>,
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
        Ok(SharedMemory::new(Arc::new(made), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// Its type, with the current size as minimum.
    pub fn ty(&self) -> MemoryType {
        MemoryType { min: self.size(), ..*self.memory.ty() }
    }

    /// Its size in pages.
    pub fn size(&self) -> u64 {
        self.memory.len() as u64 >> self.memory.ty().page_size_log2
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether its size is zero.
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }

    /// Copies bytes out, each read atomically on its own.
    ///
    /// # Errors
    ///
    /// The range is not inside the memory.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        checked(offset, bytes.len(), self.len())?;
        read_shared(&self.memory, offset, bytes);
        Ok(())
    }

    /// Copies bytes in, each written atomically on its own.
    ///
    /// # Errors
    ///
    /// The range is not inside the memory.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        checked(offset, bytes.len(), self.len())?;
        write_shared(&self.memory, offset, bytes);
        Ok(())
    }

    /// Grows by so many pages, if a limiter allows it; the size before, in pages. None if it cannot grow so far.
    ///
    /// # Errors
    ///
    /// Those of the limiter; or the embedder's memory broke a promise.
    pub fn grow_limited(
        &self,
        pages: u64,
        mut limiter: Option<&mut dyn Limiter>,
    ) -> Result<Option<u64>> {
        if pages == 0 {
            // As for a memory of one store.
            return Ok(Some(self.size()));
        }
        let maximum = self.memory.ty().max.and_then(|max| size_in_bytes(self.memory.ty(), max));
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
        let grown = catch_unwind(AssertUnwindSafe(|| self.memory.grow(pages, permit)));
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
        self.memory.vm()
    }

    pub(crate) fn raw_len(&self) -> usize {
        self.memory.len()
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.memory.is_guarded()
    }
}
