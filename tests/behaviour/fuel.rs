//! Fuel: what is burnt, and what happens without.

use crate::matrix::{Behaviour, instance, linked, module};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wardian::{Caller, Config, Engine, ErrorKind, Instance, Linker, StopReason, Store};

pub(crate) const TABLE: &[Behaviour] = &[
    ("fuel is counted exactly", counted),
    ("fuel is the same however code is compiled", the_same),
    ("fuel that runs out ends loops, recursion and start functions", exhausted),
    ("fuel is burnt up to a trap", trapped),
    ("fuel that runs out at a function's beginning tells of its frame", at_the_beginning),
    ("fuel comes from a hook", refilled),
    ("a stop for lack of fuel cannot be swallowed, but mended", nested),
    ("fuel is seen and changed by host functions", host_functions),
    ("fuel is not restored by a snapshot", snapshots),
    ("fuel has to be asked for", not_counted),
];

fn counting(engine: &Engine) -> Engine {
    let mut config = engine.config().clone();
    config.fuel(true);
    Engine::new(&config).unwrap()
}

fn store(engine: &Engine, fuel: u64) -> Store<()> {
    let mut store = Store::new(&counting(engine), ());
    store.set_fuel(fuel).unwrap();
    store
}

const PLENTY: u64 = 1_000_000;

/// Calls a function and tells what it burnt.
fn burnt(store: &mut Store<()>, i: Instance, name: &str, argument: i32) -> (u64, bool) {
    store.set_fuel(PLENTY).unwrap();
    let f = i.typed_func::<i32, i32>(&mut *store, name).unwrap();
    let done = f.call(&mut *store, argument).is_ok();
    (PLENTY - store.fuel().unwrap(), done)
}

const KNOWN: &str = r#"(module
  (memory 1)
  (table 1 funcref) (elem (i32.const 0) $five)
  (type $t (func (param i32) (result i32)))
  (func $five (export "five") (type $t)
    ;; get, const, add; then const, drop for nothing, nop for nothing.
    (i32.add (local.get 0) (i32.const 1)) (drop (i32.const 7)) (nop))
  (func (export "if") (type $t)
    ;; get, if; then const, or const, const, add.
    (if (result i32) (local.get 0) (then (i32.const 1))
      (else (i32.add (i32.const 1) (i32.const 2)))))
  (func (export "loop") (type $t)
    ;; Each time get, const, sub, tee, br_if; at last get.
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 0))
  (func (export "block") (type $t)
    ;; get, br_if; get or not; const, return; what follows is never run.
    (block (br_if 0 (local.get 0)) (drop (local.get 0))) (return (i32.const 1))
    (drop (i32.const 3)) (unreachable))
  (func (export "table") (type $t)
    ;; get, br_table; then const, or const, const, drop.
    (block (block (br_table 0 1 (local.get 0))) (drop (i32.const 1))) (i32.const 2))
  (func (export "calls") (type $t)
    ;; get, call and what it burns, const, call_indirect and what it burns.
    (call_indirect (type $t) (call $five (local.get 0)) (i32.const 0)))
  (func (export "tail") (type $t) (return_call $five (local.get 0)))
  (func $fib (export "fib") (type $t)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2))))))))"#;

/// What a call of `fib` burns: 4 for the comparison, then 1; or 9 and two calls.
fn fib(n: u64) -> u64 {
    if n < 2 { 5 } else { 13 + fib(n - 1) + fib(n - 2) }
}

const COUNTS: &[(&str, i32, u64)] = &[
    ("five", 1, 4),
    ("if", 0, 5),
    ("if", 1, 3),
    ("loop", 1, 6),
    ("loop", 10, 51),
    ("loop", 1000, 5001),
    ("block", 1, 4),
    ("block", 0, 5),
    ("table", 0, 4),
    ("table", 1, 3),
    ("table", 9, 3),
    ("calls", 1, 12),
    ("tail", 1, 6),
];

fn counted(engine: &Engine) {
    let mut store = store(engine, 0);
    let i = instance(&mut store, KNOWN);
    for (name, argument, count) in COUNTS {
        assert_eq!(burnt(&mut store, i, name, *argument), (*count, true), "{name} {argument}");
    }
    for n in [0, 1, 2, 10, 15] {
        assert_eq!(burnt(&mut store, i, "fib", n), (fib(n as u64), true), "fib {n}");
    }
}

/// Beside the ways of the matrix: all that can be set, at once.
fn the_same(engine: &Engine) {
    let configure: [fn(&mut Config); 4] = [
        |_| {},
        |c| {
            c.optimize(false).signals(false);
        },
        |c| {
            c.canonical_nans(true);
        },
        |c| {
            c.optimize(true).verify_code(false);
        },
    ];
    let counts = configure.map(|configure| {
        let mut config = engine.config().clone();
        configure(config.fuel(true));
        let mut store = Store::new(&Engine::new(&config).unwrap(), ());
        let i = instance(&mut store, KNOWN);
        ["if", "loop", "fib"].map(|name| burnt(&mut store, i, name, 12))
    });
    assert!(counts.iter().all(|c| *c == counts[0]), "{counts:?}");
}

const ENDLESS: &str = r#"(module
  (memory 1)
  (func (export "loop") (loop $l (br $l)))
  (func (export "nested") (loop $o (loop $i (br_if $i (i32.const 0))) (br $o)))
  (func $r (export "recursion") (param i32) (call $r (local.get 0)))
  (func $t (export "tails") (return_call $t))
  (func (export "work") (loop $l
    (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1))) (br $l))))"#;

fn exhausted(engine: &Engine) {
    for (name, fuel) in [
        ("loop", 10_000),
        ("nested", 10_000),
        ("recursion", 50),
        ("tails", 10_000),
        ("work", 9_999),
    ] {
        let mut store = store(engine, fuel);
        let i = instance(&mut store, ENDLESS);
        let f = i.get_func(&mut store, name).unwrap();
        let f = move |store: &mut Store<()>| match name {
            "recursion" => f.typed::<i32, ()>(&*store).unwrap().call(store, 1),
            _ => f.typed::<(), ()>(&*store).unwrap().call(store, ()),
        };
        for _ in 0..3 {
            let error = f(&mut store).unwrap_err();
            assert_eq!(error.stop_reason(), Some(StopReason::Fuel), "{name}: {error}");
            assert!(error.backtrace().is_none_or(|b| !b.to_string().is_empty()));
            assert_eq!(store.fuel().unwrap(), 0, "{name}");
        }
        store.set_fuel(fuel).unwrap();
        assert_eq!(f(&mut store).unwrap_err().stop_reason(), Some(StopReason::Fuel), "{name}");
    }
    let mut store = store(engine, 1000);
    let m = module(store.engine(), "(module (func $s (loop $l (br $l))) (start $s))");
    let error = Instance::new(&mut store, &m, &[]).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Fuel));
}

/// Fuel is burnt before control leaves a straight line, so what stands there before a trap counts or
/// not by where it stands, never by who runs it.
fn trapped(engine: &Engine) {
    let mut store = store(engine, 0);
    let i = instance(
        &mut store,
        r#"(module (memory 1)
          (func (export "unreachable") (param i32) (result i32)
            (drop (i32.const 1)) (drop (i32.const 2)) (unreachable))
          (func (export "load") (param i32) (result i32)
            (block (br_if 0 (i32.const 1)))
            (drop (i32.const 1)) (i32.load (local.get 0)))
          (func (export "divide") (param i32) (result i32)
            (block (drop (i32.const 1)))
            (i32.div_u (i32.const 1) (local.get 0))))"#,
    );
    assert_eq!(burnt(&mut store, i, "unreachable", 0), (3, false));
    assert_eq!(burnt(&mut store, i, "load", -1), (2, false));
    assert_eq!(burnt(&mut store, i, "load", 0), (5, true));
    assert_eq!(burnt(&mut store, i, "divide", 0), (1, false));
    assert_eq!(burnt(&mut store, i, "divide", 1), (4, true));
}

fn refilled(engine: &Engine) {
    let asked = Arc::new(AtomicU64::new(0));
    let mut store = Store::new(&counting(engine), 0u64);
    let i = instance(&mut store, KNOWN);
    let f = i.typed_func::<i32, i32>(&mut store, "loop").unwrap();
    let count = asked.clone();
    store
        .refuel_with(move |given: &mut u64| {
            count.fetch_add(1, Ordering::Relaxed);
            *given += 100;
            (*given <= 1000).then_some(100)
        })
        .unwrap();
    // Five in each round; before the last one 495 were burnt, and one more comes after it.
    assert_eq!(f.call(&mut store, 100).unwrap(), 0);
    assert_eq!((*store.data(), asked.load(Ordering::Relaxed)), (500, 5));
    assert_eq!(store.fuel().unwrap(), 0, "overdrawn by one");
    let error = f.call(&mut store, 1000).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Fuel));
    assert_eq!(*store.data(), 1100);
    // Nothing is no fuel.
    store.refuel_with(|_| Some(0)).unwrap();
    assert_eq!(f.call(&mut store, 1000).unwrap_err().stop_reason(), Some(StopReason::Fuel));
    // A debt is paid first.
    store
        .refuel_with(|given| {
            *given += 1;
            Some(1)
        })
        .unwrap();
    store.set_fuel(0).unwrap();
    *store.data_mut() = 0;
    assert_eq!(f.call(&mut store, 3).unwrap(), 0);
    assert_eq!(*store.data(), 10);
    store.refuel_with(|_| panic!("no more")).unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f.call(&mut store, 100)));
    assert!(panic.is_err());
    store.set_fuel(PLENTY).unwrap();
    assert_eq!(f.call(&mut store, 100).unwrap(), 0);
}

const OUTER: &str = r#"(module
  (import "h" "inner" (func $inner))
  (func (export "outer") (result i32) (call $inner) (i32.const 7)))"#;

fn nested(engine: &Engine) {
    for mends in [false, true] {
        let mut store = store(engine, 5000);
        let m = module(store.engine(), ENDLESS);
        let endless = Instance::new(&mut store, &m, &[]).unwrap();
        let f = endless.typed_func::<(), ()>(&mut store, "loop").unwrap();
        let mut linker = Linker::new(store.engine());
        linker
            .func_wrap("h", "inner", move |mut caller: Caller<'_, ()>| {
                let error = f.call(&mut caller, ()).unwrap_err();
                assert_eq!(error.stop_reason(), Some(StopReason::Fuel));
                if mends {
                    caller.set_fuel(100).unwrap();
                } else {
                    // Another guest is refused at once.
                    let error = f.call(&mut caller, ()).unwrap_err();
                    assert_eq!(error.stop_reason(), Some(StopReason::Fuel));
                }
            })
            .unwrap();
        let i = linked(&mut store, &linker, OUTER);
        let outer = i.typed_func::<(), i32>(&mut store, "outer").unwrap();
        let done = outer.call(&mut store, ());
        if mends {
            assert_eq!(done.unwrap(), 7);
            assert_eq!(store.fuel().unwrap(), 99);
        } else {
            assert_eq!(done.unwrap_err().stop_reason(), Some(StopReason::Fuel));
            store.set_fuel(5000).unwrap();
            assert_eq!(
                outer.call(&mut store, ()).unwrap_err().stop_reason(),
                Some(StopReason::Fuel)
            );
        }
    }
}

fn host_functions(engine: &Engine) {
    let mut store = store(engine, 1000);
    let mut linker = Linker::new(store.engine());
    linker
        .func_wrap("h", "inner", |mut caller: Caller<'_, ()>| {
            // The call itself is burnt.
            assert_eq!(caller.fuel().unwrap(), 999);
            caller.set_fuel(500).unwrap();
        })
        .unwrap();
    let i = linked(&mut store, &linker, OUTER);
    let outer = i.typed_func::<(), i32>(&mut store, "outer").unwrap();
    assert_eq!(outer.call(&mut store, ()).unwrap(), 7);
    assert_eq!(store.fuel().unwrap(), 499);
    store.set_fuel(u64::MAX).unwrap();
    assert_eq!(store.fuel().unwrap(), i64::MAX as u64);
}

fn snapshots(engine: &Engine) {
    let mut store = Store::new(&counting(engine), crate::snapshots::Host::default());
    store.enable_snapshots(true);
    store.set_fuel(PLENTY).unwrap();
    let linker = crate::snapshots::linker(store.engine());
    let i = linked(
        &mut store,
        &linker,
        r#"(module
          (import "h" "mark" (func $mark (result i32)))
          (import "h" "jump" (func $jump (param i32 i32)))
          (func (export "run") (result i32) (local i32)
            (local.set 0 (call $mark))
            (if (i32.eqz (local.get 0)) (then (call $jump (i32.const 0) (i32.const 1))))
            (local.get 0)))"#,
    );
    let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 1);
    // The call; set, get, eqz, if, twice; const, const, call; get.
    assert_eq!(store.fuel().unwrap(), PLENTY - 13);
}

fn at_the_beginning(engine: &Engine) {
    let mut store = store(engine, 2);
    let text = r#"(module (func) (func $f (nop) (nop) (drop (i32.const 1)))
      (func $g (export "g") (drop (i32.const 1)) (drop (i32.const 1)) (drop (i32.const 1)) (call $f)))"#;
    let i = instance(&mut store, text);
    let g = i.typed_func::<(), ()>(&mut store, "g").unwrap();
    let error = g.call(&mut store, ()).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Fuel));
    let frames: Vec<_> =
        error.backtrace().unwrap().frames().iter().map(|f| f.func_index()).collect();
    assert_eq!(frames, [1, 2]);
}

fn not_counted(engine: &Engine) {
    let mut store = Store::new(engine, ());
    for error in [
        store.set_fuel(1).unwrap_err(),
        store.fuel().unwrap_err(),
        store.refuel_with(|_| None).unwrap_err(),
    ] {
        assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{error}");
    }
    assert_ne!(engine.fingerprint(), counting(engine).fingerprint());
}
