//! Making memories in a store, and copying from and to shared ones.

use crate::error::{LimitKind, UsageKind};
use crate::ids::MemoryId;
use crate::limiter::Limiter;
use crate::store::inner::StoreInner;
use crate::store::memory::{MemoryData, granted, limit_in_bytes};
use crate::{Engine, Error, Result};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use wardian_types::MemoryType;
use wardian_vm::layout::VmMemory;
use wardian_vm::memory::{
    CustomMemory, EngineMemory, LinearMemory, Memory, MemoryError, MemoryImage, SharedMemory,
    size_in_bytes,
};

/// Where the bytes of a new memory come from.
pub enum Source<'a> {
    /// The engine, with these contents.
    Engine(Option<Arc<MemoryImage>>),
    /// The embedder.
    Allocator(Supply<'a>),
}

/// What the embedder supplies the bytes of memories by.
pub trait Supplier {
    /// A memory of this type, of a module and an instance with these names.
    ///
    /// # Errors
    ///
    /// The embedder refuses.
    fn supply(&self, request: &Wanted<'_>) -> Result<Box<dyn LinearMemory>>;
}

/// A memory that the embedder is to supply.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its type.
    pub ty: MemoryType,
    /// Whether the engine could do without checks.
    pub wants_guard: bool,
    /// The name of the module that defines it.
    pub module: Option<&'a str>,
    /// The name of the instance.
    pub instance: Option<&'a str>,
}

/// A supplier, with for whom the memory is.
#[derive(Clone, Copy)]
pub struct Supply<'a> {
    /// Who supplies it.
    pub supplier: &'a dyn Supplier,
    /// The name of the module that defines it.
    pub module: Option<&'a str>,
    /// The name of the instance.
    pub instance: Option<&'a str>,
}

impl<'a> Supply<'a> {
    /// For memories of the host's.
    pub fn nameless(supplier: &'a dyn Supplier) -> Supply<'a> {
        Supply { supplier, module: None, instance: None }
    }

    /// A memory whose promises have been looked at.
    pub(crate) fn supply(&self, engine: &Engine, ty: &MemoryType) -> Result<CustomMemory> {
        let Supply { supplier, module, instance } = *self;
        let wants_guard = engine.can_guard(ty);
        let memory = supplier.supply(&Wanted { ty: *ty, wants_guard, module, instance })?;
        CustomMemory::new(memory, ty, wants_guard).map_err(|e| unusable(ty, e))
    }
}

/// The error for a memory that cannot be made.
pub fn unusable(ty: &MemoryType, error: MemoryError) -> Error {
    let what = format!("cannot make a {ty}");
    match error {
        MemoryError::Breach(_) => Error::usage(UsageKind::Contract, format!("{what}: {error}")),
        MemoryError::TooLarge(_) => Error::limit(LimitKind::Engine, format!("{what}: {error}")),
        MemoryError::System(_) => Error::system(what, error),
    }
}

impl StoreInner {
    /// Adds a memory. `vm` is where its bounds are to be written; none for a memory of the host's.
    pub fn add_memory(
        &mut self,
        ty: &MemoryType,
        source: Source<'_>,
        vm: Option<NonNull<VmMemory>>,
        mut limiter: Option<&mut dyn Limiter>,
    ) -> Result<MemoryId> {
        let too_large = || unusable(ty, MemoryError::TooLarge(ty.min));
        let want = size_in_bytes(ty, ty.min).ok_or_else(too_large)?;
        if let Some(limiter) = &mut limiter
            && !limiter.memory_growing(0, want, limit_in_bytes(ty))?
        {
            return Err(Error::limit(
                LimitKind::Store,
                format!("the store's limits refuse a {ty}"),
            ));
        }
        let linear = granted(limiter, (0, want), || self.new_memory(ty, source))?;
        Ok(self.entities.add_memory(MemoryData::new(ty, linear, vm)))
    }

    fn new_memory(&self, ty: &MemoryType, source: Source<'_>) -> Result<Memory> {
        match source {
            Source::Engine(image) => {
                let guarded = self.engine().can_guard(ty);
                if self.engine().settings().forkable {
                    let memory = EngineMemory::new_forkable(ty, guarded, image);
                    return memory.map(Memory::Engine).map_err(|e| unusable(ty, e));
                }
                let pool = Some(self.engine().memories());
                let memory = EngineMemory::new(ty, guarded, image, pool);
                memory.map(Memory::Engine).map_err(|e| unusable(ty, e))
            }
            Source::Allocator(supply) => supply.supply(self.engine(), ty).map(Memory::Custom),
        }
    }
}

/// Copies bytes out of a shared memory; the range has been checked.
pub fn read_shared(memory: &SharedMemory, offset: usize, bytes: &mut [u8]) {
    assert!(offset + bytes.len() <= memory.len());
    for (i, byte) in bytes.iter_mut().enumerate() {
        // SAFETY: inside the memory, which never moves or shrinks; atomic, because guests may
        // write it now.
        *byte =
            unsafe { AtomicU8::from_ptr(memory.vm().base.add(offset + i)) }.load(Ordering::Relaxed);
    }
}

/// Copies bytes into a shared memory; the range has been checked.
pub fn write_shared(memory: &SharedMemory, offset: usize, bytes: &[u8]) {
    assert!(offset + bytes.len() <= memory.len());
    for (i, byte) in bytes.iter().enumerate() {
        // SAFETY: as in `read_shared`.
        unsafe { AtomicU8::from_ptr(memory.vm().base.add(offset + i)) }
            .store(*byte, Ordering::Relaxed);
    }
}

/// Whether there can be memories of a type.
///
/// # Errors
///
/// There can be none.
pub fn check_type(ty: &MemoryType) -> Result<()> {
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
