//! Instances made and thrown away.

use crate::engines::{self, POOLING, WARDIAN, WASMI, WASMTIME};
use crate::measure::{Contender, Row, measure};
use crate::options::{Options, Result};

/// One memory of 64 KiB, one data segment, six functions.
pub(crate) const SMALL: &str = r#"(module
  (memory (export "memory") 1)
  (data (i32.const 1024) "a data segment that begins somewhere in the first page of the memory")
  (func $byte (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func $double (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
  (func $write (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func $sum (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "read") (param i32) (result i32)
    (call $sum (call $byte (local.get 0)) (call $double (local.get 0))))
  (func (export "fill") (param $at i32) (result i64)
    (local $end i32)
    (local.set $end (i32.add (local.get $at) (i32.const 100)))
    (loop $again
      (call $write (local.get $at) (local.get $at))
      (br_if $again (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end))))
    (i64.load8_u (i32.const 1024))))"#;

/// Address where the call writes.
const AT: i32 = 2048;

/// Store, instance, perhaps a call, and drop.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, call) in [("create+drop", false), ("create+call+drop", true)] {
        if options.wants(name) {
            rows.push(row(options, name, call)?);
        }
    }
    Ok(rows)
}

fn row(options: &Options, name: &str, call: bool) -> Result<Row> {
    let engine = engines::wardian()?;
    let module = wardian::Module::new(&engine, SMALL)?;
    let mut contenders = vec![Contender::new(WARDIAN, move |n| {
        let mut sum = 0;
        for _ in 0..n {
            let mut store = wardian::Store::new(&engine, ());
            let instance = wardian::Instance::new(&mut store, &module, &[])?;
            if call {
                let fill = instance.typed_func::<i32, i64>(&mut store, "fill")?;
                sum += fill.call(&mut store, AT)?;
            }
        }
        Ok(sum)
    })];
    for (name, engine) in
        [(POOLING, engines::wasmtime_pooling()?), (WASMTIME, engines::wasmtime()?)]
    {
        let module = wasmtime::Module::new(&engine, SMALL)?;
        let linker = wasmtime::Linker::<()>::new(&engine);
        let ready = linker.instantiate_pre(&module)?;
        contenders.push(Contender::new(name, move |n| {
            let mut sum = 0;
            for _ in 0..n {
                let mut store = wasmtime::Store::new(&engine, ());
                let instance = ready.instantiate(&mut store)?;
                if call {
                    let fill = instance.get_typed_func::<i32, i64>(&mut store, "fill")?;
                    sum += fill.call(&mut store, AT)?;
                }
            }
            Ok(sum)
        }));
    }
    if !options.no_interpreter {
        let engine = engines::wasmi();
        let module = wasmi::Module::new(&engine, SMALL)?;
        let linker = wasmi::Linker::<()>::new(&engine);
        contenders.push(Contender::new(WASMI, move |n| {
            let mut sum = 0;
            for _ in 0..n {
                let mut store = wasmi::Store::new(&engine, ());
                let instance = linker.instantiate_and_start(&mut store, &module)?;
                if call {
                    let fill = instance.get_typed_func::<i32, i64>(&store, "fill")?;
                    sum += fill.call(&mut store, AT)?;
                }
            }
            Ok(sum)
        }));
    }
    measure(options, name, contenders)
}
