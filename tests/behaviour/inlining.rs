//! Small functions that are compiled into their callers: nothing tells them from functions that are called.

use crate::checkpoints::capturing;
use crate::log::Log;
use crate::matrix::{Behaviour, instance, linked, module};
use crate::samples::{is_possible, mostly, options, sampled, until};
use std::time::Duration;
use wardian::{
    Caller, Config, Engine, EngineKind, Linker, Module, StopReason, Store, TrapCode, TypedFunc,
    checkpoint::{AfterCheckpoint, CheckpointOptions, Checkpoints},
    listener::Attachment,
    sampler::{ResolvedSample, Sampler},
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("traps in inlined functions have their frames", |engine| traps(engine, &module)),
    ("samples have frames of inlined functions", samples),
    ("a listener that comes meanwhile hears of inlined calls", |engine| listeners(engine, &module)),
    ("inlined functions are called where they call others", |engine| calls(engine, &module)),
    ("a table that changes is called as it is", |engine| tables(engine, &module)),
    ("a reference that changes is called as it is", |engine| references(engine, &module)),
    ("fuel is burnt for inlined functions", fuel),
    ("a checkpoint is taken where all calls are inlined", checkpoints),
];

/// Makes a module from text.
pub(crate) type Make<'a> = &'a dyn Fn(&Engine, &str) -> Module;

/// Four ways to call `$leaf`, which traps where its parameter says so.
const TRAPS: &str = r#"(module (memory 1) (table funcref (elem $leaf $other)) (type $t (func (param i32) (result i32)))
  (func $leaf (type $t) (local i32)
    (if (i32.eq (local.get 0) (i32.const -1)) (then unreachable))
    (if (i32.eq (local.get 0) (i32.const -2)) (then (return (i32.div_u (i32.const 1) (local.get 1)))))
    (i32.add (local.get 1) (i32.load8_u (local.get 0))))
  (func $other (type $t) (i32.const 0))
  (func $direct (export "direct") (type $t) (i32.add (call $leaf (local.get 0)) (i32.const 1)))
  (func $indirect (export "indirect") (type $t)
    (i32.add (call_indirect (type $t) (local.get 0) (i32.const 0)) (i32.const 1)))
  (func $reference (export "reference") (type $t)
    (i32.add (call_ref $t (local.get 0) (ref.func $leaf)) (i32.const 1)))
  (func $either (export "either") (type $t) (i32.add (i32.const 1)
    (call_indirect (type $t) (local.get 0)
      (i32.and (local.get 0) (i32.gt_s (local.get 0) (i32.const 0)))))))"#;

pub(crate) fn traps(engine: &Engine, make: Make<'_>) {
    let interpreted = Engine::new(Config::new().engine(EngineKind::Interpreted)).unwrap();
    for name in ["direct", "indirect", "reference", "either"] {
        let expected = ends(&interpreted, make, name);
        assert_eq!(expected.len(), 3);
        for (end, trap) in expected.iter().zip(["unreachable", "divi", "out of bounds"]) {
            assert!(end.contains(trap) && end.contains("leaf") && end.contains(name), "{end}");
        }
        assert_eq!(ends(engine, make, name), expected, "{name}");
    }
}

/// What calls end with that trap, after others.
fn ends(engine: &Engine, make: Make<'_>, name: &str) -> Vec<String> {
    let mut store = Store::new(engine, ());
    let i = Linker::new(engine).instantiate(&mut store, &make(engine, TRAPS)).unwrap();
    let f: TypedFunc<i32, i32> = i.typed_func(&mut store, name).unwrap();
    for x in 0..40 {
        assert_eq!(f.call(&mut store, x).unwrap(), 1);
    }
    let end = |x| {
        let error = f.call(&mut store, x).unwrap_err();
        format!("{:?} {:?}", error.to_string(), error.backtrace().map(|b| b.to_string()))
    };
    [-1, -2, 1 << 20].map(end).to_vec()
}

/// Calls `$leaf` in four ways, one of which calls `$other` by turns, then has the listener attached or detached, and
/// calls them again in the same frame.
pub(crate) fn listeners(engine: &Engine, make: Make<'_>) {
    let log = Log::default();
    let mut linker: Linker<Option<Attachment>> = Linker::new(engine);
    let factory = log.factory();
    let toggle = move |mut caller: Caller<'_, Option<Attachment>>| match caller.data_mut().take() {
        Some(attachment) => attachment.detach(&mut caller),
        None => {
            let instance = caller.instance().unwrap();
            let attachment = instance.attach(&mut caller, factory.clone()).unwrap();
            *caller.data_mut() = Some(attachment);
        }
    };
    linker.func_wrap("h", "toggle", toggle).unwrap();
    let text = r#"(module (import "h" "toggle" (func $toggle)) (table funcref (elem $leaf $other)) (type $t (func))
      (global $n (export "n") (mut i32) (i32.const 0))
      (func $leaf (global.set $n (i32.add (global.get $n) (i32.const 1))))
      (func $other (global.set $n (i32.add (global.get $n) (i32.const 10))))
      (func (export "go") (param $toggles i32) (local $i i32)
        (loop $again
          (call $leaf) (call_indirect (type $t) (i32.const 0)) (call_ref $t (ref.func $leaf))
          (call_indirect (type $t) (i32.and (local.get $i) (i32.const 1)))
          (if (local.get $toggles) (then (call $toggle)))
          (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4))))))"#;
    let mut store = Store::new(engine, None);
    let i = linker.instantiate(&mut store, &make(engine, text)).unwrap();
    let go: TypedFunc<i32, ()> = i.typed_func(&mut store, "go").unwrap();
    for _ in 0..8 {
        go.call(&mut store, 0).unwrap();
    }
    assert_eq!(log.take(), [] as [&str; 0]);
    for _ in 0..3 {
        go.call(&mut store, 1).unwrap();
        let heard = log.take();
        // Attached after the first and the third time, detached after the second and the fourth.
        let (leaf, other) =
            (["before leaf []", "after leaf []"], ["before other []", "after other []"]);
        let heard_once =
            [leaf, leaf, leaf, other, ["before toggle []", "after toggle []"]].concat();
        assert_eq!(heard, [heard_once.clone(), heard_once].concat());
    }
    let n = i.get_export(&mut store, "n").unwrap().into_global().unwrap();
    assert_eq!(n.get(&mut store).i32(), Some((3 * 4 + 2 + 2 * 10) * 11));
}

/// Functions that call the host, or throw, where their parameter is large, and have not changed anything by then. `$fails`
/// does not return from there.
const CALLS: &str = r#"(module (import "h" "slow" (func $slow (param i32) (result i32)))
  (memory 1) (table funcref (elem $checked $fails)) (type $t (func (param i32) (result i32)))
  (global $n (export "n") (mut i32) (i32.const 0))
  (func $checked (type $t)
    (block (br_if 0 (i32.ge_u (local.get 0) (i32.const 1000)))
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (return (i32.load8_u (local.get 0))))
    (i32.add (call $slow (local.get 0)) (i32.const 5)))
  (func $fails (type $t)
    (if (i32.ge_u (local.get 0) (i32.const 1000)) (then (drop (call $slow (local.get 0))) (unreachable)))
    (global.set $n (i32.add (global.get $n) (i32.const 10)))
    (local.get 0))
  (tag $e (param i32))
  (func $throws (type $t)
    (if (i32.ge_u (local.get 0) (i32.const 1000)) (then (throw $e (local.get 0))))
    (global.set $n (i32.add (global.get $n) (i32.const 100)))
    (local.get 0))
  (func (export "caught") (type $t)
    (block $caught (result i32)
      (return (try_table (result i32) (catch $e $caught) (call $throws (local.get 0)))))
    (i32.add (i32.const 7)))
  (func (export "direct") (type $t) (i32.xor (call $checked (local.get 0)) (call $fails (local.get 0))))
  (func (export "indirect") (type $t) (i32.xor
    (call_indirect (type $t) (local.get 0) (i32.const 0)) (call_indirect (type $t) (local.get 0) (i32.const 1))))
  (func (export "reference") (type $t) (i32.xor
    (call_ref $t (local.get 0) (ref.func $checked)) (call_ref $t (local.get 0) (ref.func $fails))))
  (func (export "either") (type $t)
    (call_indirect (type $t) (local.get 0) (i32.and (local.get 0) (i32.const 1)))))"#;

/// What a call of the module answers, what its global is then, and which frames the host function saw.
type Seen = (Result<i32, String>, Option<i32>, Vec<String>);

pub(crate) fn calls(engine: &Engine, make: Make<'_>) {
    let interpreted = Engine::new(Config::new().engine(EngineKind::Interpreted)).unwrap();
    for name in ["direct", "indirect", "reference", "either"] {
        let expected = called(&interpreted, make, name);
        let slow = expected.iter().find(|(.., stacks)| !stacks.is_empty()).expect("it was called");
        assert!(slow.2[0].contains("checked") && slow.2[0].contains(name), "{slow:?}");
        assert!(expected.iter().any(|(answer, ..)| answer.is_err()));
        assert_eq!(called(engine, make, name), expected, "{name}");
    }
    let expected = called(&interpreted, make, "caught");
    assert_eq!((expected[40].0.clone(), expected[40].1), (Ok(2007), Some(4000)));
    assert_eq!(called(engine, make, "caught"), expected);
}

/// Calls a function with small parameters, and with others in between.
fn called(engine: &Engine, make: Make<'_>, name: &str) -> Vec<Seen> {
    let mut linker: Linker<Vec<String>> = Linker::new(engine);
    let slow = |mut caller: Caller<'_, Vec<String>>, x: i32| {
        let stack = caller.backtrace().to_string();
        caller.data_mut().push(stack);
        if x == 5000 { Err(wardian::Error::host("too slow")) } else { Ok(x / 2) }
    };
    linker.func_wrap("h", "slow", slow).unwrap();
    let mut store = Store::new(engine, Vec::new());
    let i = linker.instantiate(&mut store, &make(engine, CALLS)).unwrap();
    let f: TypedFunc<i32, i32> = i.typed_func(&mut store, name).unwrap();
    let n = i.get_export(&mut store, "n").unwrap().into_global().unwrap();
    let mut call = |x| {
        let answer = f.call(&mut store, x).map_err(|e| format!("{e} {:?}", e.backtrace()));
        (answer, n.get(&mut store).i32(), std::mem::take(store.data_mut()))
    };
    (0..40).chain([2000, 7, 2001, 5000, 8, 5001, 9, 1 << 30]).map(&mut call).collect()
}

pub(crate) fn tables(engine: &Engine, make: Make<'_>) {
    let text = r#"(module (table $t 2 funcref) (type $t (func (result i32)))
      (elem declare func $one $two)
      (func $one (result i32) (i32.const 1))
      (func $two (result i32) (i32.const 2))
      (func (export "set") (param i32)
        (table.set $t (i32.const 0)
          (if (result funcref) (local.get 0) (then (ref.func $two)) (else (ref.func $one)))))
      (func (export "null") (table.set $t (i32.const 0) (ref.null func)))
      (func (export "call") (result i32) (call_indirect $t (type $t) (i32.const 0))))"#;
    let mut store = Store::new(engine, ());
    let linker = Linker::new(engine);
    let [a, b] = [(); 2].map(|()| linker.instantiate(&mut store, &make(engine, text)).unwrap());
    let call: TypedFunc<(), i32> = a.typed_func(&mut store, "call").unwrap();
    let set: TypedFunc<i32, ()> = a.typed_func(&mut store, "set").unwrap();
    alternates(&mut store, &set, &call);
    // The same function of another instance of the module is another function.
    let other: TypedFunc<(), i32> = b.typed_func(&mut store, "call").unwrap();
    let error = other.call(&mut store, ()).unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::IndirectCallToNull), "{error}");
    let null: TypedFunc<(), ()> = a.typed_func(&mut store, "null").unwrap();
    null.call(&mut store, ()).unwrap();
    let error = call.call(&mut store, ()).unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::IndirectCallToNull), "{error}");
}

/// Sets what is called to one of two functions, again and again, and calls it.
fn alternates(store: &mut Store<()>, set: &TypedFunc<i32, ()>, call: &TypedFunc<(), i32>) {
    for (to, times) in [(0, 40), (1, 5), (0, 5), (1, 40)] {
        set.call(&mut *store, to).unwrap();
        for _ in 0..times {
            assert_eq!(call.call(&mut *store, ()).unwrap(), to + 1);
        }
    }
}

pub(crate) fn references(engine: &Engine, make: Make<'_>) {
    let text = r#"(module (type $t (func (result i32))) (elem declare func $one $two)
      (global $r (export "r") (mut (ref null $t)) (ref.null $t))
      (func $one (type $t) (i32.const 1))
      (func $two (type $t) (i32.const 2))
      (func (export "set") (param i32)
        (if (local.get 0)
          (then (global.set $r (ref.func $two))) (else (global.set $r (ref.func $one)))))
      (func (export "null") (global.set $r (ref.null $t)))
      (func (export "call") (result i32) (call_ref $t (global.get $r))))"#;
    let mut store = Store::new(engine, ());
    let linker = Linker::new(engine);
    let [a, b] = [(); 2].map(|()| linker.instantiate(&mut store, &make(engine, text)).unwrap());
    let call: TypedFunc<(), i32> = a.typed_func(&mut store, "call").unwrap();
    let set: TypedFunc<i32, ()> = a.typed_func(&mut store, "set").unwrap();
    alternates(&mut store, &set, &call);
    // The same function of another instance of the module is another function.
    let set: TypedFunc<i32, ()> = b.typed_func(&mut store, "set").unwrap();
    set.call(&mut store, 0).unwrap();
    let [r, other] =
        [&a, &b].map(|i| i.get_export(&mut store, "r").unwrap().into_global().unwrap());
    let theirs = other.get(&store);
    r.set(&mut store, theirs).unwrap();
    assert_eq!(call.call(&mut store, ()).unwrap(), 1);
    let null: TypedFunc<(), ()> = a.typed_func(&mut store, "null").unwrap();
    null.call(&mut store, ()).unwrap();
    let error = call.call(&mut store, ()).unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::NullFunctionReference), "{error}");
}

fn fuel(engine: &Engine) {
    let mut config = engine.config().clone();
    config.fuel(true);
    let engine = Engine::new(&config).unwrap();
    let text = r#"(module (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
      (func (export "go") (param i32) (result i32)
        (loop (local.set 0 (call $leaf (local.get 0))) (br_if 0 (i32.lt_s (local.get 0) (i32.const 100))))
        (local.get 0)))"#;
    let mut store = Store::new(&engine, ());
    let i = linked(&mut store, &Linker::new(&engine), text);
    let go: TypedFunc<i32, i32> = i.typed_func(&mut store, "go").unwrap();
    for _ in 0..5 {
        store.set_fuel(10_000).unwrap();
        assert_eq!(go.call(&mut store, 0).unwrap(), 100);
        assert_eq!(10_000 - store.fuel().unwrap(), 1001);
    }
    // The function is the first to find that there is none left: it asks, as it would if it were called.
    store.set_fuel(95).unwrap();
    let error = go.call(&mut store, 0).unwrap_err();
    assert!(error.to_string().contains("fuel"), "{error}");
}

/// Where only calls are captured, a loop is left for a checkpoint at its calls.
fn checkpoints(engine: &Engine) {
    let engine = capturing(engine, Checkpoints::Calls);
    let text = r#"(module (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
      (func (export "go") (param i32)
        (loop (local.set 0 (call $leaf (local.get 0))) (br 0))))"#;
    let mut store = Store::new(&engine, ());
    let i = linked(&mut store, &Linker::new(&engine), text);
    let go: TypedFunc<i32, ()> = i.typed_func(&mut store, "go").unwrap();
    // A second time after the loop is hot.
    for _ in 0..2 {
        store.set_timeout(Duration::from_secs(30));
        let request = store.checkpoint_request();
        let asked = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            request.request(CheckpointOptions::new(), |checkpoint| {
                checkpoint.unwrap();
                AfterCheckpoint::End
            });
        });
        let error = go.call(&mut store, 0).unwrap_err();
        assert_eq!(error.stop_reason(), Some(StopReason::Checkpoint), "{error}");
        asked.join().unwrap();
    }
}

/// Functions that are compiled into their callers have frames too.
fn samples(engine: &Engine) {
    if engine.config().has_function_listeners() || !is_possible(engine) {
        return;
    }
    // Each waits for the one before, so that a sample is in one of them, or behind.
    let roots = "(f64.sqrt ".repeat(8) + "(f64.add (local.get 0) (f64.const 2))" + &")".repeat(8);
    let text = format!(
        r#"(module (table funcref (elem $other)) (type $t (func (param f64) (result f64)))
      (func $leaf (type $t) {roots})
      (func $other (type $t) {roots})
      (func $loop (param i32) (result f64) (local $x f64)
        (loop $l (local.set $x (call_indirect (type $t) (call $leaf (local.get $x)) (i32.const 0)))
          (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $x))
      (func $run (export "run") (drop (call $loop (i32.const 100000)))))"#
    );
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, &text);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    let sampler = Sampler::start(&mut store, options()).unwrap();
    until(|| {
        let all = sampled(engine, &sampler, 400, || run.call(&mut store, ()).unwrap());
        for leaf in ["leaf", "other"] {
            let first =
                |s: &ResolvedSample| s.frames.first().is_some_and(|f| f.to_string() == leaf);
            let in_leaf: Vec<_> = all.iter().filter(|s| first(s)).cloned().collect();
            if in_leaf.len() <= 60 {
                return Err(format!("{} of {} in {leaf}", in_leaf.len(), all.len()));
            }
            mostly(&in_leaf, 98, &[leaf, "loop", "run"])?;
        }
        Ok(())
    });
}
