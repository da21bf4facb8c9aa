//! Calls across the border: host into guest, guest into host.

use crate::engines::{self, WARDIAN, WASMI, WASMTIME};
use crate::measure::{Contender, Row, measure};
use crate::options::{Options, Result};

const ENTRY: &str = r#"(module
  (func (export "nothing"))
  (func (export "identity") (param i32) (result i32) (local.get 0))
  (func (export "three") (param i32 i64 f64) (result f64) (local.get 2)))"#;

const HOST: &str = r#"(module
  (import "host" "one" (func $one (param i32) (result i32)))
  (import "host" "caller" (func $caller (param i32) (result i32)))
  (import "host" "three" (func $three (param i32 i64 i32) (result i64)))
  (func (export "one") (param $n i32) (result i64) (local $x i32)
    (loop $again
      (local.set $x (call $one (local.get $x)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.extend_i32_u (local.get $x)))
  (func (export "caller") (param $n i32) (result i64) (local $x i32)
    (loop $again
      (local.set $x (call $caller (local.get $x)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.extend_i32_u (local.get $x)))
  (func (export "three") (param $n i32) (result i64) (local $x i64)
    (loop $again
      (local.set $x (call $three (local.get $n) (local.get $x) (i32.const 7)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x)))"#;

/// A contender that calls a typed function `n` times; `$fold` makes a checksum of the results.
macro_rules! repeated {
    ($engine:ident, $func:expr, $store:expr, |$x:ident| $args:expr, $fold:expr) => {{
        let (f, store) = (&$func, &mut $store);
        Contender::new($engine, move |n| {
            let mut sum = 0i64;
            for $x in 0..n {
                let result = f.call(&mut *store, $args)?;
                sum = sum.wrapping_add($fold(result));
            }
            Ok(sum)
        })
    }};
}

/// One row for a function: `$get` names its types and its export.
macro_rules! entry_row {
    ($options:ident, $w:ident, $t:ident, $i:ident, $row:literal, $export:literal,
     $params:ty, $results:ty, |$x:ident| $args:expr, $fold:expr) => {{
        let f = $w.1.typed_func::<$params, $results>(&mut $w.0, $export)?;
        let g = $t.1.get_typed_func::<$params, $results>(&mut $t.0, $export)?;
        let h = $i.1.get_typed_func::<$params, $results>(&$i.0, $export)?;
        let mut contenders = vec![
            repeated!(WARDIAN, f, $w.0, |$x| $args, $fold),
            repeated!(WASMTIME, g, $t.0, |$x| $args, $fold),
        ];
        if !$options.no_interpreter {
            contenders.push(repeated!(WASMI, h, $i.0, |$x| $args, $fold));
        }
        measure($options, $row, contenders)?
    }};
}

/// Typed calls of guest functions that do nothing.
pub(crate) fn entry(options: &Options) -> Result<Vec<Row>> {
    let engine = engines::wardian()?;
    let module = wardian::Module::new(&engine, ENTRY)?;
    let mut store = wardian::Store::new(&engine, ());
    let instance = wardian::Instance::new(&mut store, &module, &[])?;
    let mut w = (store, instance);

    let engine = engines::wasmtime()?;
    let module = wasmtime::Module::new(&engine, ENTRY)?;
    let mut store = wasmtime::Store::new(&engine, ());
    let instance = wasmtime::Instance::new(&mut store, &module, &[])?;
    let mut t = (store, instance);

    let engine = engines::wasmi();
    let module = wasmi::Module::new(&engine, ENTRY)?;
    let mut store = wasmi::Store::new(&engine, ());
    let instance = wasmi::Linker::<()>::new(&engine).instantiate_and_start(&mut store, &module)?;
    let mut i = (store, instance);

    let mut rows = Vec::new();
    if options.wants("()") {
        rows.push(entry_row!(options, w, t, i, "()", "nothing", (), (), |_x| (), |()| 1));
    }
    if options.wants("(i32)->i32") {
        let row = entry_row!(
            options,
            w,
            t,
            i,
            "(i32)->i32",
            "identity",
            i32,
            i32,
            |x| x as i32,
            i64::from
        );
        rows.push(row);
    }
    if options.wants("(i32,i64,f64)->f64") {
        let row = entry_row!(
            options,
            w,
            t,
            i,
            "(i32,i64,f64)->f64",
            "three",
            (i32, i64, f64),
            f64,
            |x| (1, 2, x as f64),
            |r: f64| r as i64
        );
        rows.push(row);
    }
    Ok(rows)
}

fn one(x: i32) -> i32 {
    x.wrapping_add(1)
}

fn three(a: i32, b: i64, c: i32) -> i64 {
    b.wrapping_add(i64::from(a ^ c))
}

/// Loops in guests that call host functions.
pub(crate) fn host(options: &Options) -> Result<Vec<Row>> {
    let engine = engines::wardian()?;
    let module = wardian::Module::new(&engine, HOST)?;
    let mut linker = wardian::Linker::<u64>::new(&engine);
    linker.func_wrap("host", "one", one)?.func_wrap("host", "three", three)?;
    linker.func_wrap("host", "caller", |mut caller: wardian::Caller<'_, u64>, x: i32| {
        *caller.data_mut() += 1;
        one(x)
    })?;
    let mut w = wardian::Store::new(&engine, 0);
    let w_instance = linker.instantiate(&mut w, &module)?;

    let engine = engines::wasmtime()?;
    let module = wasmtime::Module::new(&engine, HOST)?;
    let mut linker = wasmtime::Linker::<u64>::new(&engine);
    linker.func_wrap("host", "one", one)?.func_wrap("host", "three", three)?;
    linker.func_wrap("host", "caller", |mut caller: wasmtime::Caller<'_, u64>, x: i32| {
        *caller.data_mut() += 1;
        one(x)
    })?;
    let mut t = wasmtime::Store::new(&engine, 0);
    let t_instance = linker.instantiate(&mut t, &module)?;

    let engine = engines::wasmi();
    let module = wasmi::Module::new(&engine, HOST)?;
    let mut linker = wasmi::Linker::<u64>::new(&engine);
    linker.func_wrap("host", "one", one)?.func_wrap("host", "three", three)?;
    linker.func_wrap("host", "caller", |mut caller: wasmi::Caller<'_, u64>, x: i32| {
        *caller.data_mut() += 1;
        one(x)
    })?;
    let mut i = wasmi::Store::new(&engine, 0);
    let i_instance = linker.instantiate_and_start(&mut i, &module)?;

    let mut rows = Vec::new();
    for name in ["one", "caller", "three"] {
        if !options.wants(name) {
            continue;
        }
        let f = w_instance.typed_func::<i32, i64>(&mut w, name)?;
        let g = t_instance.get_typed_func::<i32, i64>(&mut t, name)?;
        let h = i_instance.get_typed_func::<i32, i64>(&i, name)?;
        let mut contenders = vec![
            Contender::new(WARDIAN, |n| Ok(f.call(&mut w, i32::try_from(n)?)?)),
            Contender::new(WASMTIME, |n| Ok(g.call(&mut t, i32::try_from(n)?)?)),
        ];
        if !options.no_interpreter {
            contenders.push(Contender::new(WASMI, |n| Ok(h.call(&mut i, i32::try_from(n)?)?)));
        }
        rows.push(measure(options, name, contenders)?);
    }
    Ok(rows)
}
