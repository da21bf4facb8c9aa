//! Making memories in a store, and copying from and to shared ones.

use super::store::StoreInner;
use crate::allocator::{Supplier, unusable};
use crate::error::LimitKind;
use crate::limits::ResourceLimiter;
use crate::raw::parts::memory::{MemoryData, granted, limit_in_bytes};
use crate::{Error, Result};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use wardian_types::MemoryType;
use wardian_vm::layout::VmMemory;
use wardian_vm::memory::{
    EngineMemory, Memory, MemoryError, MemoryImage, SharedMemory, size_in_bytes,
};

/// Where the bytes of a new memory come from.
pub(crate) enum Source<'a> {
    /// The engine, with these contents.
    Engine(Option<Arc<MemoryImage>>),
    /// The embedder.
    Allocator(Supplier<'a>),
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
        self.memories.push(MemoryData::new(ty, linear, vm));
        Ok(self.memories.len() as u32 - 1)
    }

    fn new_memory(&self, ty: &MemoryType, source: Source<'_>) -> Result<Memory> {
        match source {
            Source::Engine(image) => {
                let guarded = self.engine().can_guard(ty);
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
