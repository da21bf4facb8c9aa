//! Memories of a store.

use super::store::StoreInner;
use crate::limits::ResourceLimiter;
use crate::{Engine, Error, Result};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use wardian_types::MemoryType;
use wardian_vm::layout::VmMemory;
use wardian_vm::memory::{LinearMemory, MemoryImage, SharedMemory, size_in_bytes};

/// An unshared memory of a store.
pub(crate) struct MemoryData {
    pub(crate) ty: MemoryType,
    linear: LinearMemory,
    /// Where compiled code reads its bounds: in the instance that defines it, or in `own`.
    vm: NonNull<VmMemory>,
    own: bool,
    /// Whether neither a segment nor the host has written to it. If no guest ran either, it is as new.
    pub(crate) pristine: bool,
}

/// Whether the engine's own memories of this type need no checks.
pub(crate) fn can_be_guarded(engine: &Engine, ty: &MemoryType) -> bool {
    engine.config().signals && !ty.memory64 && ty.page_size_log2 == 16
}

impl StoreInner {
    /// Adds a memory. `vm` is where its bounds are to be written; none for a memory of the host's.
    pub(crate) fn add_memory(
        &mut self,
        ty: &MemoryType,
        image: Option<Arc<MemoryImage>>,
        vm: Option<NonNull<VmMemory>>,
        limiter: Option<&mut dyn ResourceLimiter>,
    ) -> Result<u32> {
        let want = size_in_bytes(ty, ty.min);
        if let (Some(limiter), Some(want)) = (limiter, want) {
            let allowed = limiter.memory_growing(0, want, limit_in_bytes(ty))?;
            if !allowed {
                return Err(Error::limit(format!("the store's limits refuse a {ty}")));
            }
        }
        let guarded = can_be_guarded(self.engine(), ty);
        let linear = LinearMemory::new(ty, guarded, image, Some(self.engine().memories()))
            .map_err(|e| Error::limit(format!("cannot make a {ty}: {e}")))?;
        let own = vm.is_none();
        let vm = vm.unwrap_or_else(|| {
            let empty = VmMemory { base: std::ptr::null_mut(), len: 0.into() };
            NonNull::from(Box::leak(Box::new(empty)))
        });
        let data = MemoryData { ty: *ty, linear, vm, own, pristine: true };
        data.publish();
        self.memories.push(data);
        Ok(self.memories.len() as u32 - 1)
    }
}

impl MemoryData {
    /// Writes the bounds to where compiled code reads them.
    fn publish(&self) {
        // SAFETY: `vm` lives as long as the store, and no guest reads it at this moment: the store
        // is borrowed mutably, or its guest waits in a builtin.
        unsafe {
            let vm = self.vm.as_ptr();
            (*vm).base = self.linear.base();
            (*vm).len.store(self.linear.len(), Ordering::Relaxed);
        }
    }

    pub(crate) fn vm(&self) -> NonNull<VmMemory> {
        self.vm
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.linear.is_guarded()
    }

    pub(crate) fn len(&self) -> usize {
        self.linear.len()
    }

    pub(super) fn base(&self) -> *mut u8 {
        self.linear.base()
    }

    pub(crate) fn pages(&self) -> u64 {
        self.linear.len() as u64 >> self.ty.page_size_log2
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes from `base` are accessible; the memory is not shared, and guests,
        // which alone could change it, do not run while the store is borrowed.
        unsafe { std::slice::from_raw_parts(self.linear.base(), self.linear.len()) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.pristine = false;
        // SAFETY: as above, and the borrow of the store is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.linear.base(), self.linear.len()) }
    }

    /// Grows by `pages`; returns the pages before. `Ok(None)` if that is not allowed or possible.
    pub(crate) fn grow(
        &mut self,
        pages: u64,
        limiter: Option<&mut dyn ResourceLimiter>,
    ) -> Result<Option<u64>> {
        let before = self.pages();
        let limit = self.ty.max_pages();
        let Some(wanted) = before.checked_add(pages).filter(|w| *w <= limit) else {
            return Ok(None);
        };
        let Some(len) = size_in_bytes(&self.ty, wanted) else { return Ok(None) };
        let current = self.linear.len();
        let mut limiter = limiter;
        if let Some(limiter) = &mut limiter
            && !limiter.memory_growing(current, len, limit_in_bytes(&self.ty))?
        {
            return Ok(None);
        }
        if self.linear.grow_to(len).is_err() {
            if let Some(limiter) = limiter {
                limiter.memory_grow_failed(current, len);
            }
            return Ok(None);
        }
        self.publish();
        Ok(Some(before))
    }

    /// Gives the memory back to the engine when the store goes.
    pub(super) fn release(self, engine: &Engine) {
        if self.own {
            // SAFETY: leaked from a box in `add_memory`; the store's instances are not used again.
            drop(unsafe { Box::from_raw(self.vm.as_ptr()) });
        }
        engine.memories().give_back(self.linear, self.pristine);
    }
}

fn limit_in_bytes(ty: &MemoryType) -> Option<usize> {
    size_in_bytes(ty, ty.max?)
}

/// Copies bytes out of a shared memory; the range has been checked.
pub(crate) fn read_shared(memory: &SharedMemory, offset: usize, bytes: &mut [u8]) {
    assert!(offset + bytes.len() <= memory.len());
    for (i, byte) in bytes.iter_mut().enumerate() {
        // SAFETY: inside the memory, which never moves or shrinks; atomic, because guests may
        // write it now.
        *byte =
            unsafe { AtomicU8::from_ptr(memory.vm().base.add(offset + i)) }.load(Ordering::Relaxed);
    }
}

/// Copies bytes into a shared memory; the range has been checked.
pub(crate) fn write_shared(memory: &SharedMemory, offset: usize, bytes: &[u8]) {
    assert!(offset + bytes.len() <= memory.len());
    for (i, byte) in bytes.iter().enumerate() {
        // SAFETY: as in `read_shared`.
        unsafe { AtomicU8::from_ptr(memory.vm().base.add(offset + i)) }
            .store(*byte, Ordering::Relaxed);
    }
}
