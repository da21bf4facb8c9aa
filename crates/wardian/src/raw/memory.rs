//! Memories of a store.

use super::store::StoreInner;
use crate::allocator::{Supplier, unusable};
use crate::error::{LimitKind, UsageKind};
use crate::limits::ResourceLimiter;
use crate::{Engine, Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use wardian_types::MemoryType;
use wardian_vm::layout::VmMemory;
use wardian_vm::memory::{
    EngineMemory, GrowError, Memory, MemoryCapture, MemoryError, MemoryImage, SharedMemory,
    size_in_bytes,
};

/// An unshared memory of a store.
pub(crate) struct MemoryData {
    pub(crate) ty: MemoryType,
    linear: Memory,
    /// The largest minimum, in bytes, with which an instance has it. Code accesses so much without
    /// a look at the size, so it never becomes smaller.
    least: usize,
    /// Where compiled code reads its bounds: in the instance that defines it, or in `own`.
    vm: NonNull<VmMemory>,
    own: bool,
    /// Whether neither a segment nor the host has written to it. If no guest ran either, it is as new.
    pub(crate) pristine: bool,
}

/// Where the bytes of a new memory come from.
pub(crate) enum Source<'a> {
    /// The engine, with these contents.
    Engine(Option<Arc<MemoryImage>>),
    /// The embedder.
    Allocator(Supplier<'a>),
}

/// The error of a memory that broke a promise.
pub(crate) fn fault(error: &GrowError) -> Error {
    Error::usage(UsageKind::Contract, error.to_string())
}

/// Does what a limiter allowed, and notifies it if that failed. The embedder's allocator, which may be part
/// of it, may panic.
pub(crate) fn granted<V, E>(
    limiter: Option<&mut dyn ResourceLimiter>,
    (current, desired): (usize, usize),
    work: impl FnOnce() -> Result<V, E>,
) -> Result<V, E> {
    let done = catch_unwind(AssertUnwindSafe(work));
    if let (Ok(Err(_)) | Err(_), Some(limiter)) = (&done, limiter) {
        limiter.memory_grow_failed(current, desired);
    }
    done.unwrap_or_else(|panic| resume_unwind(panic))
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
        source: Source<'_>,
        vm: Option<NonNull<VmMemory>>,
        mut limiter: Option<&mut dyn ResourceLimiter>,
    ) -> Result<u32> {
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
        let own = vm.is_none();
        let vm = vm.unwrap_or_else(|| {
            let empty = VmMemory { base: std::ptr::null_mut(), len: 0.into() };
            NonNull::from(Box::leak(Box::new(empty)))
        });
        let data = MemoryData { ty: *ty, least: linear.len(), linear, vm, own, pristine: true };
        data.publish();
        self.memories.push(data);
        Ok(self.memories.len() as u32 - 1)
    }

    fn new_memory(&self, ty: &MemoryType, source: Source<'_>) -> Result<Memory> {
        match source {
            Source::Engine(image) => {
                let guarded = can_be_guarded(self.engine(), ty);
                if self.engine().config().forkable {
                    let memory = EngineMemory::new_forkable(ty, guarded, image);
                    return memory.map(Memory::Engine).map_err(|e| unusable(ty, e));
                }
                let pool = Some(self.engine().memories());
                let memory = EngineMemory::new(ty, guarded, image, pool);
                memory.map(Memory::Engine).map_err(|e| unusable(ty, e))
            }
            Source::Allocator(supplier) => supplier.supply(self.engine(), ty).map(Memory::Custom),
        }
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

    /// Notes that an instance relies on a minimum, in pages.
    pub(super) fn rely_on(&mut self, min: u64) {
        let min = size_in_bytes(&self.ty, min).expect("the memory has so many pages");
        self.least = self.least.max(min);
    }

    /// Whether the bytes are the embedder's.
    pub(super) fn is_custom(&self) -> bool {
        matches!(self.linear, Memory::Custom(_))
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.linear.is_guarded()
    }

    pub(crate) fn len(&self) -> usize {
        self.linear.len()
    }

    /// The most bytes that its type allows.
    pub(super) fn most(&self) -> Option<usize> {
        limit_in_bytes(&self.ty)
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

    /// Grows by `pages`; returns the pages before. `Ok(None)` if that is not allowed or possible. Growing by
    /// zero asks no limiter: it is how a guest reads the size. `stop` says whether moving the memory is to be
    /// interrupted.
    pub(crate) fn grow(
        &mut self,
        pages: u64,
        limiter: Option<&mut dyn ResourceLimiter>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<u64>> {
        let before = self.pages();
        if pages == 0 {
            return Ok(Some(before));
        }
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
        match granted(limiter, (current, len), || self.linear.grow_to(len, stop)) {
            Ok(()) => {
                self.publish();
                Ok(Some(before))
            }
            Err(GrowError::Refused) => Ok(None),
            Err(error) => Err(fault(&error)),
        }
    }

    /// Notes the contents and the size.
    pub(crate) fn capture(&mut self) -> Result<MemoryCapture> {
        self.pristine = false;
        let ty = self.ty;
        self.linear
            .capture()
            .map_err(|e| Error::system(format!("cannot keep the contents of a {ty}"), e))
    }

    /// Makes a new memory of the same size what this one is.
    pub(super) fn fork_into(&mut self, child: &mut MemoryData) -> Result<()> {
        (self.pristine, child.pristine) = (false, false);
        let ty = self.ty;
        self.linear
            .fork_into(&mut child.linear)
            .map_err(|e| Error::system(format!("cannot fork the contents of a {ty}"), e))
    }

    /// Brings contents and size back. They may come from another memory of the same kind.
    ///
    /// # Errors
    ///
    /// An instance that was made since relies on a larger size, or the system refused: then the
    /// memory may be partly as it was captured.
    pub(crate) fn restore(&mut self, capture: &MemoryCapture) -> Result<()> {
        self.check_restore(capture)?;
        self.pristine = false;
        // SAFETY: slices of the memory borrow the store, as this does, and no instance relies on
        // more than `least`. Compiled code learns the bounds anew before its next access.
        let done = unsafe { self.linear.restore(capture) };
        self.publish();
        done.map_err(|e| Error::system("cannot bring back the contents of a memory", e))
    }

    /// Whether the memory may become as small again as it was.
    pub(super) fn check_restore(&self, capture: &MemoryCapture) -> Result<()> {
        if capture.len() >= self.least {
            return Ok(());
        }
        Err(Error::usage(
            UsageKind::State,
            format!(
                "the memory cannot become {} bytes again: an instance was made since that needs {}",
                capture.len(),
                self.least
            ),
        ))
    }

    /// Gives the memory back to the engine when the store goes.
    pub(super) fn release(self, engine: &Engine) {
        if self.own {
            // SAFETY: leaked from a box in `add_memory`; the store's instances are not used again.
            drop(unsafe { Box::from_raw(self.vm.as_ptr()) });
        }
        match self.linear {
            Memory::Engine(memory) => engine.memories().give_back(memory, self.pristine),
            Memory::Custom(memory) => drop(memory),
        }
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

#[cfg(test)]
mod tests {
    use super::MemoryData;
    use crate::{
        AsContextMut, Engine, Instance, Memory, MemoryType, Module, Store, StoreContextMut,
        allocator::{FixedMemory, GuardedMemory, MemoryAllocatorFunc},
    };

    const GUEST: &str = r#"(module (import "h" "m" (memory 1))
      (func (export "get") (param i32) (result i32) (i32.load8_u (local.get 0)))
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;

    fn memories(store: &mut Store<()>) -> [Memory; 3] {
        let fixed = MemoryAllocatorFunc::new(|r| Ok(FixedMemory::boxed(r.minimum, 1 << 20)?));
        let guarded = MemoryAllocatorFunc::new(|r| Ok(GuardedMemory::boxed(r.minimum, 1 << 20)?));
        let ty = MemoryType::new(1, Some(9));
        [
            Memory::new(&mut *store, ty).unwrap(),
            Memory::new_with_allocator(&mut *store, ty, &fixed).unwrap(),
            Memory::new_with_allocator(&mut *store, ty, &guarded).unwrap(),
        ]
    }

    fn data(store: &mut Store<()>, memory: Memory) -> &mut MemoryData {
        let StoreContextMut(store) = store.as_context_mut();
        &mut store.inner.memories[memory.index as usize]
    }

    #[test]
    fn guests_see_what_was_restored_and_its_size() {
        let engine = Engine::default();
        let module = Module::new(&engine, GUEST).unwrap();
        let mut store = Store::new(&engine, ());
        for memory in memories(&mut store) {
            let guest = Instance::new(&mut store, &module, &[memory.into()]).unwrap();
            let get = guest.typed_func::<i32, i32>(&mut store, "get").unwrap();
            let grow = guest.typed_func::<i32, i32>(&mut store, "grow").unwrap();
            memory.write(&mut store, 70, &[1]).unwrap();
            let capture = data(&mut store, memory).capture().unwrap();
            for _ in 0..3 {
                assert_eq!(get.call(&mut store, 70).unwrap(), 1);
                assert_eq!(grow.call(&mut store, 2).unwrap(), 1);
                assert_eq!(get.call(&mut store, 150_000).unwrap(), 0);
                memory.data_mut(&mut store).fill(2);
                data(&mut store, memory).restore(&capture).unwrap();
                assert_eq!(memory.size(&store), 1);
                assert!(get.call(&mut store, 150_000).is_err());
                assert!(get.call(&mut store, 65536).is_err());
            }
        }
    }

    #[test]
    fn a_memory_does_not_become_smaller_than_an_instance_relies_on() {
        let engine = Engine::default();
        let module = Module::new(&engine, GUEST.replace("(memory 1)", "(memory 3)")).unwrap();
        let mut store = Store::new(&engine, ());
        for memory in memories(&mut store) {
            let capture = data(&mut store, memory).capture().unwrap();
            memory.grow(&mut store, 2).unwrap();
            Instance::new(&mut store, &module, &[memory.into()]).unwrap();
            let error = data(&mut store, memory).restore(&capture);
            assert!(error.unwrap_err().to_string().contains("needs 196608"));
            assert_eq!(memory.size(&store), 3);
        }
    }
}
