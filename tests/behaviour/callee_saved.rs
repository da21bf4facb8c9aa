//! Values that live across a call which throws are what they were, where the exception is caught.
//!
//! ```text
//!   run ── outer, catches ── middle, may catch ── busy ── busy … ── thrower
//! ```
//!
//! Each of these functions has five values as parameters that it needs after its call, so compiled code has
//! them in registers, which the callees use for values of their own.

use crate::matrix::{Behaviour, linked};
use wardian::{Engine, Error, Linker, Store, Tag, TagType, Val, ValType};

pub(crate) const TABLE: &[Behaviour] =
    &[("values that live across a call that throws are kept for its handler", kept)];

const VALUES: i64 = 5;

/// An expression for each value, with `{}` for the value.
fn each(form: &str) -> String {
    (0..VALUES).map(|i| form.replace("{}", &format!("(local.get $v{i})"))).collect()
}

/// Mixes a result with the values of the function, so that each counts.
fn mix(result: &str) -> String {
    let next = |so_far, i| format!("(i64.xor (i64.rotl {so_far} (i64.const 7)) (local.get $v{i}))");
    (0..VALUES).fold(result.to_string(), next)
}

fn outer(name: &str, call: &str) -> String {
    let (params, returned) = (params(VALUES), mix(&format!("(call ${call} {})", each("{}"))));
    let caught = mix("(i64.xor (i64.const 85))");
    format!(
        r#"(func ${name} {params} (result i64)
          (block $l (result i64)
            (try_table (result i64) (catch $t $l) {returned})
            (return))
          {caught})"#
    )
}

fn params(count: i64) -> String {
    (0..count).map(|i| format!("(param $v{i} i64)")).collect()
}

fn module() -> String {
    let (values, ten) = (params(VALUES), params(2 * VALUES));
    let (same, next, far) =
        (each("{}"), each("(i64.add {} (i64.const 1))"), each("(i64.mul {} (i64.const 3))"));
    let (leaf, deeper) = (mix("(i64.const 0)"), mix(&format!("(call $busy {next})")));
    let plain = mix(&format!("(call_indirect (type $busy) {far} (i32.const 0))"));
    let caught = mix("(i64.xor (i64.const 51))");
    let outers = ["middle", "pair", "many"].map(|name| outer(&format!("outer_{name}"), name));
    let start = (0..VALUES).map(|i| format!("(i64.mul (local.get $seed) (i64.const {}))", i + 3));
    let start: String = start.collect();
    format!(
        r#"(module
          (type $busy (func {values} (result i64)))
          (type $wide (func {ten} (result i64)))
          (import "h" "t" (tag $t (param i64)))
          (import "h" "direct" (func $direct (param i32)))
          (import "h" "made" (func $made (param f64 i32 f32) (result f64)))
          (global $how (mut i32) (i32.const 0))
          (global $depth (mut i32) (i32.const 0))
          (global $middle_catches (mut i32) (i32.const 0))
          (table funcref (elem $busy $outer_middle $outer_pair $outer_many))
          (func $wide (type $wide) {ten} (result i64) (throw $t (i64.add (local.get $v0) (local.get $v9))))
          (func $leaf {values} (result i64)
            (if (i32.eq (global.get $how) (i32.const 1))
              (then (throw $t (i64.add (local.get $v0) (local.get $v4)))))
            (if (i32.eq (global.get $how) (i32.const 2)) (then (call $direct (i32.const 7))))
            (if (i32.eq (global.get $how) (i32.const 3))
              (then (drop (call $made (f64.const 1) (i32.const 7) (f32.const 2)))))
            (if (i32.eq (global.get $how) (i32.const 4)) (then (return_call $wide {same} {same})))
            {leaf})
          (func $busy (type $busy) {values} (result i64)
            (if (i32.eqz (global.get $depth)) (then (return_call $leaf {same})))
            (global.set $depth (i32.sub (global.get $depth) (i32.const 1)))
            {deeper})
          (func $middle {values} (result i64)
            (if (i32.eqz (global.get $middle_catches)) (then (return {plain})))
            (block $l (result i64)
              (try_table (result i64) (catch $t $l) {plain})
              (return))
            {caught})
          (func $pair {values} (result i64)
            (block $l (result i64)
              (try_table (result i64 i64) (catch $t $l) (call $two {same}))
              (return (i64.add)))
            {caught})
          (func $two {values} (result i64 i64) (call $middle {same}) (i64.const 1))
          (func $many {values} (result i64)
            (block $l (result i64)
              (try_table (result i64) (catch $t $l) (call $ten {same} {same}))
              (return))
            {caught})
          (func $ten {ten} (result i64)
            (i64.add (local.get $v9) (call $middle {same})))
          {outers}
          (func (export "run") (param $outer i32) (param $how i32) (param $depth i32)
            (param $middle i32) (param $seed i64) (result i64)
            (global.set $how (local.get $how))
            (global.set $depth (local.get $depth))
            (global.set $middle_catches (local.get $middle))
            (call_indirect (type $busy) {start} (local.get $outer))))"#,
        outers = outers.concat()
    )
}

type Values = [i64; VALUES as usize];

/// What [`mix`] does.
fn mixed(result: i64, v: &Values) -> i64 {
    v.iter().fold(result, |so_far, v| so_far.rotate_left(7) ^ v)
}

/// The same as the module does: `Err` is what is thrown.
struct Model {
    how: i32,
    depth: i32,
    middle_catches: bool,
}

impl Model {
    fn busy(&self, v: &Values, depth: i32) -> Result<i64, i64> {
        if depth > 0 {
            let next = v.map(|v| v.wrapping_add(1));
            return Ok(mixed(self.busy(&next, depth - 1)?, v));
        }
        match self.how {
            1 | 4 => Err(v[0].wrapping_add(v[4])),
            2 | 3 => Err(7),
            _ => Ok(mixed(0, v)),
        }
    }

    fn middle(&self, v: &Values) -> Result<i64, i64> {
        let far = v.map(|v| v.wrapping_mul(3));
        let result = self.busy(&far, self.depth).map(|result| mixed(result, v));
        match result {
            Err(thrown) if self.middle_catches => Ok(mixed(thrown ^ 51, v)),
            other => other,
        }
    }

    fn run(&self, outer: i32, seed: i64) -> i64 {
        let v: Values = std::array::from_fn(|i| seed.wrapping_mul(i as i64 + 3));
        let add = if outer == 2 { 1 } else { v[4] };
        let result = match (self.middle(&v), outer) {
            (middle, 1) => middle,
            (Ok(result), _) => Ok(result.wrapping_add(add)),
            (Err(thrown), _) => Ok(mixed(thrown ^ 51, &v)),
        };
        result.map_or_else(|thrown| mixed(thrown ^ 85, &v), |result| mixed(result, &v))
    }
}

fn kept(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let tag = Tag::new(&mut store, &TagType::new([ValType::I64])).unwrap();
    let mut linker: Linker<()> = Linker::new(engine);
    linker.define("h", "t", tag).unwrap();
    let thrown = move |n: i32| Error::exception_with(tag, [Val::I64(n.into())]);
    linker
        .func_wrap("h", "direct", move |n: i32| -> Result<(), Error> { Err(thrown(n)) })
        .unwrap()
        .func_wrap("h", "made", move |_: f64, n: i32, _: f32| -> Result<f64, Error> {
            Err(thrown(n))
        })
        .unwrap();
    let i = linked(&mut store, &linker, &module());
    let run = i.typed_func::<(i32, i32, i32, i32, i64), i64>(&mut store, "run").unwrap();
    for round in 0..4 {
        for case in 0..3 * 5 * 3 * 2 {
            let (outer, how) = (1 + case % 3, case / 3 % 5);
            let (depth, middle) = (case / 15 % 3 * 2, case / 45);
            let seed = 0x1234_5678_9abc + i64::from(case) * 0x0101_0101;
            let model = Model { how, depth, middle_catches: middle != 0 };
            let found = run.call(&mut store, (outer, how, depth, middle, seed)).unwrap();
            assert_eq!(found, model.run(outer, seed), "{outer} {how} {depth} {middle}, {round}");
        }
    }
}
