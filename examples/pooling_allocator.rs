//! Many short-lived guests in a fixed amount of memory: a pool whose slots are used again, and are
//! empty for whoever comes next.

use wardian::{Engine, InstantiateOptions, Linker, Module, Store, allocator::PoolingAllocator};

/// Runs the example.
pub(crate) fn main() -> wardian::Result<()> {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module
          (memory (export "memory") 1)
          ;; Gives what was there before.
          (func (export "keep") (param $secret i32) (result i32)
            (i32.load (i32.const 1024))
            (i32.store (i32.const 1024) (local.get $secret)))
          (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#,
    )?;
    // At most two guests at once, of at most 256 KiB each.
    let pool = PoolingAllocator::new(2, 256 << 10);
    let options = InstantiateOptions::new().with_memory_allocator(pool.clone());
    let linker = Linker::new(&engine);
    for tenant in 1..=10 {
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate_with(&mut store, &module, &options)?;
        let keep = instance.typed_func::<i32, i32>(&mut store, "keep")?;
        let found = keep.call(&mut store, tenant)?;
        assert_eq!(found, 0, "nothing of the tenant before");
        let grow = instance.typed_func::<i32, i32>(&mut store, "grow")?;
        assert_eq!(grow.call(&mut store, 3)?, 1);
        assert_eq!(grow.call(&mut store, 1)?, -1, "the slot is full");
    }
    assert_eq!(pool.in_use(), 0);

    let mut stores: Vec<Store<()>> = (0..3).map(|_| Store::new(&engine, ())).collect();
    for store in &mut stores[..2] {
        linker.instantiate_with(store, &module, &options)?;
    }
    let refused = linker.instantiate_with(&mut stores[2], &module, &options).unwrap_err();
    println!("the third at once: {refused}");
    stores.remove(0);
    linker.instantiate_with(&mut stores[1], &module, &options)?;
    println!("one went, so there is room; {} slots are in use", pool.in_use());
    Ok(())
}
