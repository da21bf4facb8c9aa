//! A WASI program whose streams are in memory, with a deadline and a limit of memory.

use std::time::Duration;
use wardian::{Engine, Linker, Module, Store, limits::StoreLimits};
use wardian_wasi::{MemoryInput, MemoryOutput, WasiCtx};

/// Copies standard input to standard output, in upper case.
const SHOUT: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $n i32) (local $i i32)
    (loop $more
      ;; A vector of one buffer: 1000 bytes at 1024.
      (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 1000))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.eqz (local.tee $n (i32.load (i32.const 8)))) (then (call $exit (i32.const 3))))
      (local.set $i (i32.const 1024))
      (loop $each
        (if (i32.lt_u (i32.sub (i32.load8_u (local.get $i)) (i32.const 97)) (i32.const 26))
          (then (i32.store8 (local.get $i)
            (i32.sub (i32.load8_u (local.get $i)) (i32.const 32)))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $each (i32.lt_u (local.get $i) (i32.add (i32.const 1024) (local.get $n)))))
      (i32.store (i32.const 4) (local.get $n))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br $more))))"#;

/// The store's data.
struct Host {
    wasi: WasiCtx,
    limits: StoreLimits,
}

/// Runs the example.
pub(crate) fn main() -> wardian::Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<Host> = Linker::new(&engine);
    wardian_wasi::add_to_linker(&mut linker, |host: &mut Host| &host.wasi)?;
    let module = Module::new(&engine, SHOUT)?;

    let output = MemoryOutput::new(1 << 20);
    let wasi = WasiCtx::builder()
        .stdin_memory(MemoryInput::new("a small voice\n"))
        .stdout_memory(output.clone())
        .build();
    let limits = StoreLimits { memory_bytes: 1 << 20, ..StoreLimits::default() };
    let mut store = Store::new(&engine, Host { wasi, limits });
    store.limiter(|host| &mut host.limits);
    store.set_timeout(Duration::from_secs(5));

    let instance = linker.instantiate(&mut store, &module)?;
    let start = instance.typed_func::<(), ()>(&mut store, "_start")?;
    let end = start.call(&mut store, ()).expect_err("it calls proc_exit");
    println!("{}exit code {:?}", output.text(), end.exit_code());
    assert_eq!(output.text(), "A SMALL VOICE\n");
    assert_eq!(end.exit_code(), Some(3));
    Ok(())
}
