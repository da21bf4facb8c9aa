use wardian::*;
fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module
      (import "h" "nop" (func $nop (param i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 8) "hello")
      (func $fib (export "fib") (param i32) (result i32)
        (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
        (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
      (func $so (export "so") (call $so))
      (func $oob (export "oob") (param i32) (result i32) (i32.load (local.get 0)))
      (func (export "oob2") (param i32) (result i32) (i32.add (i32.const 1) (call $oob (local.get 0))))
      (func (export "host") (param i32) (result i32) (call $nop (local.get 0)))
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
      (func (export "spin") (loop $l (br $l)))
    )"#,
    )?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("h", "nop", |x: i32| x + 1)?;
    let mut store = Store::new(&engine, ());
    let i = linker.instantiate(&mut store, &module)?;
    let fib = i.typed_func::<i32, i32>(&mut store, "fib")?;
    let t = std::time::Instant::now();
    println!("fib(30) = {} {:?}", fib.call(&mut store, 30)?, t.elapsed());
    println!("host {}", i.typed_func::<i32, i32>(&mut store, "host")?.call(&mut store, 41)?);
    println!("grow {}", i.typed_func::<i32, i32>(&mut store, "grow")?.call(&mut store, 3)?);
    println!("mem {:?}", &i.get_memory(&mut store, "memory").unwrap().data(&store)[8..13]);
    println!(
        "{:#}",
        i.typed_func::<i32, i32>(&mut store, "oob2")?.call(&mut store, -1).unwrap_err()
    );
    println!("{}", i.typed_func::<(), ()>(&mut store, "so")?.call(&mut store, ()).unwrap_err());
    store.set_timeout(std::time::Duration::from_millis(20));
    let t = std::time::Instant::now();
    println!(
        "{:#} {:?}",
        i.typed_func::<(), ()>(&mut store, "spin")?.call(&mut store, ()).unwrap_err(),
        t.elapsed()
    );
    Ok(())
}
