//! Contents of memories of every kind are captured and brought back.

use crate::{
    AsContextMut, Engine, Instance, Memory, MemoryType, Module, Store, StoreContextMut,
    allocator::{FixedMemory, GuardedMemory, MemoryAllocatorFunc},
};
use wardian_runtime::store::memory::MemoryData;

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
    store.inner.memory_mut(memory.index)
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
