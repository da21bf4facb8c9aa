//! Two modules: one exports a memory and a function, the other imports them.

use wardian::{Engine, Linker, Module, Store};

/// Runs the example.
pub(crate) fn main() -> wardian::Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<()> = Linker::new(&engine);
    let mut store = Store::new(&engine, ());

    let counter = Module::new(
        &engine,
        r#"(module
          (memory (export "memory") 1)
          (func (export "bump") (param $cell i32) (result i32)
            (i32.store8 (local.get $cell)
              (i32.add (i32.load8_u (local.get $cell)) (i32.const 1)))
            (i32.load8_u (local.get $cell))))"#,
    )?;
    let counter = linker.instantiate(&mut store, &counter)?;
    linker.instance(&mut store, "counter", counter)?;

    let user = Module::new(
        &engine,
        r#"(module
          (import "counter" "memory" (memory 1))
          (import "counter" "bump" (func $bump (param i32) (result i32)))
          (data (i32.const 7) "\28")
          (func (export "run") (result i32)
            (drop (call $bump (i32.const 7)))
            (call $bump (i32.const 7))))"#,
    )?;
    let user = linker.instantiate(&mut store, &user)?;
    let run = user.typed_func::<(), i32>(&mut store, "run")?;
    let found = run.call(&mut store, ())?;
    println!("the other module counts on: {found}");
    assert_eq!(found, 42);
    let memory = counter.get_memory(&mut store, "memory").expect("it exports one");
    assert_eq!(memory.data(&store)[7], 42);
    Ok(())
}
