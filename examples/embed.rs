//! The least that runs a guest: compile, instantiate, call.

use wardian::{Engine, Instance, Module, Store};

/// Runs the example.
pub(crate) fn main() -> wardian::Result<()> {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module
          (func (export "gcd") (param $a i32) (param $b i32) (result i32)
            (loop $again (result i32)
              (if (result i32) (i32.eqz (local.get $b))
                (then (local.get $a))
                (else
                  (local.get $b)
                  (local.set $b (i32.rem_u (local.get $a) (local.get $b)))
                  (local.set $a)
                  (br $again))))))"#,
    )?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let gcd = instance.typed_func::<(u32, u32), u32>(&mut store, "gcd")?;
    println!("gcd(1071, 462) = {}", gcd.call(&mut store, (1071, 462))?);
    assert_eq!(gcd.call(&mut store, (1071, 462))?, 21);
    Ok(())
}
