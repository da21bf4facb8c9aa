//! Exceptions: what is thrown and caught, and what blocks with handlers cost that catch nothing.

use crate::drivers::Drivers;
use crate::engines::{self, INTERPRETED, WARDIAN, WASMTIME};
use crate::hooks::WITHOUT;
use crate::measure::{Contender, Row, measure};
use crate::options::{Options, Result};
use wardian::EngineKind;

/// Each export does its work so many times, and gives a checksum. `plain ...` is the same without handlers.
const TEXT: &str = r#"(module
  (tag $t (param i32))
  (func $throw (param i32 i32)
    (if (i32.eqz (local.get 0)) (then (throw $t (local.get 1))))
    (call $throw (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))
  (func $through (param $depth i32) (param $n i32) (result i64) (local $sum i64) (local $v i32)
    (loop $l
      (block $h (result i32)
        (try_table (catch $t $h)
          (call $throw (local.get $depth) (local.get $n)))
        (i32.const 0))
      (local.set $v)
      (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.get $v))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $l (local.get $n)))
    (local.get $sum))
  (func (export "throw, 1 frame") (param i32) (result i64)
    (call $through (i32.const 0) (local.get 0)))
  (func (export "throw, 10 frames") (param i32) (result i64)
    (call $through (i32.const 9) (local.get 0)))
  (func (export "throw, by reference") (param $n i32) (result i64) (local $sum i64) (local $v i32)
    (loop $l
      (block $h (result i32)
        (try_table (catch $t $h)
          (block $r (result exnref)
            (try_table (catch_all_ref $r)
              (call $throw (i32.const 0) (local.get $n)))
            (unreachable))
          (throw_ref))
        (i32.const 0))
      (local.set $v)
      (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.get $v))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $l (local.get $n)))
    (local.get $sum))

  ;; A function that does a little work, of which some calls can throw.
  (memory 1)
  (func $work (param i32) (result i32) (local $k i32) (local $sum i32)
    (if (i32.eq (local.get 0) (i32.const -1)) (then (throw $t (i32.const 1))))
    (local.set $k (i32.const 8))
    (loop $l
      (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31))
        (i32.load (i32.shl (i32.and (i32.add (local.get 0) (local.get $k)) (i32.const 1023)) (i32.const 2)))))
      (br_if $l (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
    (i32.add (local.get $sum) (local.get 0)))
  (func (export "no throw") (param $n i32) (result i64) (local $a i64) (local $b i64) (local $c i32)
    (loop $l
      (block $h (result i32)
        (try_table (result i32) (catch $t $h) (call $work (local.get $n))))
      (local.set $c)
      (local.set $a (i64.add (local.get $a) (i64.extend_i32_u (local.get $c))))
      (local.set $b (i64.xor (local.get $b) (i64.shl (local.get $a) (i64.const 3))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $l (local.get $n)))
    (i64.add (i64.add (local.get $a) (local.get $b)) (i64.extend_i32_u (local.get $c))))
  (func (export "plain no throw") (param $n i32) (result i64) (local $a i64) (local $b i64) (local $c i32)
    (loop $l
      (local.set $c (call $work (local.get $n)))
      (local.set $a (i64.add (local.get $a) (i64.extend_i32_u (local.get $c))))
      (local.set $b (i64.xor (local.get $b) (i64.shl (local.get $a) (i64.const 3))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $l (local.get $n)))
    (i64.add (i64.add (local.get $a) (local.get $b)) (i64.extend_i32_u (local.get $c))))

  ;; The same with a callee that does nearly nothing, in a function with many values at once.
  (func $inc (param i32) (result i32)
    (if (i32.eq (local.get 0) (i32.const -1)) (then (throw $t (i32.const 1))))
    (i32.add (local.get 0) (i32.const 1)))
  (func (export "no throw, calls") (param $n i32) (result i64)
    (local $a i32) (local $b i32) (local $c i32) (local $d i32)
    (loop $l
      (block $h (result i32)
        (try_table (catch $t $h)
          (local.set $a (call $inc (local.get $b)))
          (local.set $b (i32.xor (call $inc (local.get $c)) (local.get $a)))
          (local.set $c (i32.and (call $inc (local.get $d)) (i32.const 0xffff)))
          (local.set $d (i32.and (call $inc (local.get $a)) (i32.const 0xffffff))))
        (i32.const 0))
      (drop)
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $l (local.get $n)))
    (i64.extend_i32_u (i32.add (i32.add (local.get $a) (local.get $b)) (i32.add (local.get $c) (local.get $d)))))
  (func (export "plain no throw, calls") (param $n i32) (result i64)
    (local $a i32) (local $b i32) (local $c i32) (local $d i32)
    (loop $l
      (local.set $a (call $inc (local.get $b)))
      (local.set $b (i32.xor (call $inc (local.get $c)) (local.get $a)))
      (local.set $c (i32.and (call $inc (local.get $d)) (i32.const 0xffff)))
      (local.set $d (i32.and (call $inc (local.get $a)) (i32.const 0xffffff)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $l (local.get $n)))
    (i64.extend_i32_u (i32.add (i32.add (local.get $a) (local.get $b)) (i32.add (local.get $c) (local.get $d)))))
)"#;

fn wasmtime() -> Result<wasmtime::Engine> {
    let mut config = wasmtime::Config::new();
    config.max_wasm_stack(engines::STACK).wasm_exceptions(true).wasm_function_references(true);
    config.wasm_gc(true);
    Ok(wasmtime::Engine::new(&config)?)
}

struct Wardian {
    store: wardian::Store<()>,
    instance: wardian::Instance,
}

impl Wardian {
    fn new(kind: EngineKind) -> Result<Wardian> {
        let engine = engines::wardian_of(kind)?;
        let module = wardian::Module::new(&engine, TEXT)?;
        let mut store = wardian::Store::new(&engine, ());
        let instance = wardian::Instance::new(&mut store, &module, &[])?;
        Ok(Wardian { store, instance })
    }

    fn contender<'a>(&'a mut self, column: &'static str, name: &str) -> Result<Contender<'a>> {
        let f = self.instance.typed_func::<i32, i64>(&mut self.store, name)?;
        let store = &mut self.store;
        Ok(Contender::new(column, move |n| Ok(f.call(&mut *store, i32::try_from(n)?)?)))
    }
}

/// Nanoseconds for each throw, or each round of a loop that throws nothing.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let mut compiled = Wardian::new(EngineKind::Compiled)?;
    let mut plain = Wardian::new(EngineKind::Compiled)?;
    let mut interpreted = Wardian::new(EngineKind::Interpreted)?;
    let engine = wasmtime()?;
    let module = wasmtime::Module::new(&engine, TEXT)?;
    let mut store = wasmtime::Store::new(&engine, ());
    let instance = wasmtime::Instance::new(&mut store, &module, &[])?;
    let drivers = Drivers::v8(options, &wat::parse_str(TEXT)?)?;

    let mut rows = Vec::new();
    for name in
        ["throw, 1 frame", "throw, 10 frames", "throw, by reference", "no throw", "no throw, calls"]
    {
        if !options.wants(name) {
            continue;
        }
        let g = instance.get_typed_func::<i32, i64>(&mut store, name)?;
        let expected = g.call(&mut store, 1)?;
        let mut contenders = vec![
            compiled.contender(WARDIAN, name)?,
            Contender::new(WASMTIME, |n| Ok(g.call(&mut store, i32::try_from(n)?)?)),
        ];
        if name.starts_with("no") {
            contenders.push(plain.contender(WITHOUT, &format!("plain {name}"))?);
        }
        if !options.no_interpreter {
            contenders.push(interpreted.contender(INTERPRETED, name)?);
        }
        contenders.extend(drivers.contenders(name, expected));
        rows.push(measure(options, name, contenders)?);
    }
    Ok(rows)
}
