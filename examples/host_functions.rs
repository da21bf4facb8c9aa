//! Functions of the host: with state, with errors, reading the guest's memory, calling back.

use wardian::{Caller, Engine, Error, Linker, Module, Store};

/// What the host keeps for the guest.
#[derive(Default)]
struct Shop {
    lines: Vec<String>,
    stock: i32,
}

/// The guest's text at `at`.
fn text(caller: &mut Caller<'_, Shop>, at: u32, len: u32) -> Result<String, Error> {
    let memory = caller.get_export("memory").and_then(|e| e.into_memory());
    let memory = memory.ok_or_else(|| Error::host("the guest exports no memory"))?;
    let mut bytes = vec![0; len as usize];
    memory.read(&*caller, at as usize, &mut bytes)?;
    String::from_utf8(bytes).map_err(Error::host)
}

/// Runs the example.
pub(crate) fn main() -> wardian::Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<Shop> = Linker::new(&engine);
    linker.func_wrap("shop", "log", |mut caller: Caller<'_, Shop>, at: u32, len: u32| {
        let line = text(&mut caller, at, len)?;
        caller.data_mut().lines.push(line);
        Ok::<(), Error>(())
    })?;
    linker.func_wrap("shop", "take", |mut caller: Caller<'_, Shop>, count: i32| {
        let shop = caller.data_mut();
        if count > shop.stock {
            return Err(Error::host(format!("only {} are left", shop.stock)));
        }
        shop.stock -= count;
        // The host may call the guest that is calling it.
        let sold = caller.get_export("sold").and_then(|e| e.into_func());
        if let Some(sold) = sold {
            sold.typed::<i32, ()>(&caller)?.call(&mut caller, count)?;
        }
        Ok(())
    })?;
    let module = Module::new(
        &engine,
        r#"(module
          (import "shop" "log" (func $log (param i32 i32)))
          (import "shop" "take" (func $take (param i32)))
          (memory (export "memory") 1) (data (i32.const 16) "sold some")
          (func (export "sold") (param i32) (call $log (i32.const 16) (i32.const 9)))
          (func (export "order") (param i32) (call $take (local.get 0))))"#,
    )?;
    let mut store = Store::new(&engine, Shop { stock: 5, ..Shop::default() });
    let instance = linker.instantiate(&mut store, &module)?;
    let order = instance.typed_func::<i32, ()>(&mut store, "order")?;
    order.call(&mut store, 3)?;
    let refused = order.call(&mut store, 3).expect_err("two are left");
    println!("{:?}, then: {refused}", store.data().lines);
    assert_eq!(store.data().lines, ["sold some"]);
    assert_eq!(refused.to_string(), "only 2 are left");
    Ok(())
}
