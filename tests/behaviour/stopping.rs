//! Guests that have to be stopped.

use crate::matrix::{Behaviour, instance, linked, module};
use crate::work_time::WorkTime;
use std::time::{Duration, Instant};
use wardian::{
    AsContextMut, CallOptions, Caller, CompileOptions, Engine, Error, Instance, Linker, MemoryType,
    Module, SharedMemory, StopReason, Store, cancel::CancelToken,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a deadline ends loops, calls, bulk work and waits", deadlines),
    ("a deadline ends bulk work on large tables and memories", large_bulk),
    ("a deadline ends a start function", start_function),
    ("a deadline that has passed refuses calls until it is set again", refused),
    ("a token cancels from another thread, again and again", cancelled),
    ("a stop cannot be swallowed by a host function", swallowed),
    ("a host function that blocks is asked to stop", blocking_host),
    ("nested guests end with the outer one", nested),
    ("many stores are stopped at once", many),
    ("a call's own deadline ends it, whatever its store's", call_deadlines),
    ("a deadline and a token end a compilation", compilation),
];

/// Processor time that a call with a short deadline may use.
const SOON: Duration = Duration::from_millis(1000);

/// Longest time until calls that wait end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const ENDLESS: &str = r#"(module
  (memory (export "memory") 16000)
  (table 1 funcref) (elem (i32.const 0) $even)
  (func (export "loop") (loop $l (br $l)))
  (func (export "memory_loop") (loop $l
    (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1))) (br $l)))
  (func $fib (param i64) (result i64)
    (if (result i64) (i64.lt_u (local.get 0) (i64.const 2)) (then (local.get 0))
      (else (i64.add (call $fib (i64.sub (local.get 0) (i64.const 1)))
                     (call $fib (i64.sub (local.get 0) (i64.const 2)))))))
  (func (export "calls") (drop (call $fib (i64.const 90))))
  (func $even (return_call_indirect (i32.const 0)))
  (func (export "tails") (return_call $even))
  (func (export "fill") (loop $l
    (memory.fill (i32.const 0) (i32.const 7) (i32.const 1048576000)) (br $l)))
  (func (export "grow") (loop $l (drop (memory.grow (i32.const 0))) (br $l))))"#;

fn stop_reason(error: Error) -> StopReason {
    error.stop_reason().unwrap_or_else(|| panic!("stopped, but said: {error}"))
}

/// Each would take far longer than the deadline, which comes in the middle of one operator.
fn large_bulk(engine: &Engine) {
    let m = module(
        engine,
        r#"(module (memory 1) (memory $wide i64 1) (func $f)
          (table $t 10000000 funcref) (table $u 10000000 funcref) (table $g 0 funcref)
          (elem $e func $f $f $f) (elem declare func $f)
          (func (export "fill") (loop $l
            (table.fill $t (i32.const 0) (ref.func $f) (i32.const 10000000)) (br $l)))
          (func (export "copy") (loop $l
            (table.copy $u $t (i32.const 0) (i32.const 0) (i32.const 10000000)) (br $l)))
          (func (export "overlapping") (loop $l
            (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 9999999)) (br $l)))
          (func (export "grow") (drop (table.grow $g (ref.func $f) (i32.const 10000000)))
            (loop $l (table.fill $g (i32.const 0) (ref.func $f) (table.size $g)) (br $l)))
          (func (export "memory.grow") (loop $l
            (drop (memory.grow $wide (i64.const 49152)))
            (i64.store8 $wide (i64.sub (i64.mul (memory.size $wide) (i64.const 65536))
              (i64.const 1)) (i64.const 1))
            (br $l))))"#,
    );
    for name in ["fill", "copy", "overlapping", "grow", "memory.grow"] {
        let mut store = Store::new(engine, ());
        let i = Instance::new(&mut store, &m, &[]).unwrap();
        let f = i.typed_func::<(), ()>(&mut store, name).unwrap();
        let start = WorkTime::start();
        store.set_timeout(Duration::from_millis(30));
        let error = f.call(&mut store, ()).unwrap_err();
        assert_eq!(stop_reason(error), StopReason::Deadline, "{name}");
        let (took, worked) = (start.elapsed(), start.worked());
        assert!(took >= Duration::from_millis(29) && worked < SOON, "{name}: {took:?} {worked:?}");
    }
}

fn deadlines(engine: &Engine) {
    let m = module(engine, ENDLESS);
    for name in ["loop", "memory_loop", "calls", "tails", "fill", "grow"] {
        let mut store = Store::new(engine, ());
        let i = Instance::new(&mut store, &m, &[]).unwrap();
        let f = i.typed_func::<(), ()>(&mut store, name).unwrap();
        let start = WorkTime::start();
        store.set_timeout(Duration::from_millis(30));
        let error = f.call(&mut store, ()).unwrap_err();
        assert_eq!(stop_reason(error), StopReason::Deadline, "{name}");
        let (took, worked) = (start.elapsed(), start.worked());
        assert!(took >= Duration::from_millis(29) && worked < SOON, "{name}: {took:?} {worked:?}");
    }
    // A wait that nobody ends.
    let mut linker = Linker::new(engine);
    let ty = MemoryType { shared: true, ..MemoryType::new(1, Some(1)) };
    linker.define("h", "m", SharedMemory::new(engine, ty).unwrap()).unwrap();
    let mut store = Store::new(engine, ());
    let i = linked(
        &mut store,
        &linker,
        r#"(module (import "h" "m" (memory 1 1 shared)) (func $waits
          (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
          (func (export "wait") (call $waits) (nop)))"#,
    );
    let f = i.typed_func::<(), ()>(&mut store, "wait").unwrap();
    // Long enough to get there, on a slow machine too.
    store.set_timeout(Duration::from_millis(400));
    let start = Instant::now();
    let error = f.call(&mut store, ()).unwrap_err();
    assert!(start.elapsed() < PATIENCE);
    let frames = error.backtrace().expect("it tells where it waited").frames();
    let names: Vec<_> = frames.iter().map(|frame| frame.func_name()).collect();
    assert_eq!(names, [Some("waits"), Some("wait")], "{error:#}");
    assert_eq!(stop_reason(error), StopReason::Deadline);
}

fn start_function(engine: &Engine) {
    let m = module(engine, "(module (func $s (loop $l (br $l))) (start $s))");
    let mut store = Store::new(engine, ());
    store.set_timeout(Duration::from_millis(30));
    let error = Instance::new(&mut store, &m, &[]).unwrap_err();
    assert_eq!(stop_reason(error), StopReason::Deadline);
}

fn refused(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, r#"(module (func (export "f") (result i32) (i32.const 1)))"#);
    let f = i.typed_func::<(), i32>(&mut store, "f").unwrap();
    store.set_deadline(Some(Instant::now()));
    std::thread::sleep(Duration::from_millis(50));
    for _ in 0..3 {
        assert_eq!(stop_reason(f.call(&mut store, ()).unwrap_err()), StopReason::Deadline);
    }
    store.set_timeout(Duration::from_secs(3600));
    assert_eq!(f.call(&mut store, ()).unwrap(), 1);
    store.set_deadline(None);
    assert_eq!(f.call(&mut store, ()).unwrap(), 1);
}

fn cancelled(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, ENDLESS);
    let f = i.typed_func::<(), ()>(&mut store, "memory_loop").unwrap();
    let token = store.cancel_token();
    for _ in 0..20 {
        let token = token.clone();
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(2));
            token.cancel();
        });
        let error = f.call(&mut store, ()).unwrap_err();
        assert_eq!(stop_reason(error), StopReason::Cancelled);
        other.join().unwrap();
        assert!(store.cancel_token().is_cancelled());
        store.clear_cancellation();
    }
    drop(store);
    token.cancel();
}

fn swallowed(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_wrap("h", "swallow", |mut caller: Caller<'_, ()>| {
            let spin = caller.get_export("spin").and_then(|e| e.into_func()).expect("an export");
            assert!(spin.call(&mut caller, &[], &mut []).is_err());
        })
        .unwrap();
    let mut store = Store::new(engine, ());
    let i = linked(
        &mut store,
        &linker,
        r#"(module (import "h" "swallow" (func $swallow))
          (func (export "spin") (loop $l (br $l)))
          (func (export "run") (call $swallow) (loop $l (br $l))))"#,
    );
    store.set_timeout(Duration::from_millis(20));
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    assert_eq!(stop_reason(run.call(&mut store, ()).unwrap_err()), StopReason::Deadline);
}

fn blocking_host(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_wrap("h", "sleep", |mut caller: Caller<'_, ()>| {
            let interrupt = caller.interrupt();
            assert!(interrupt.wake_fd().is_some());
            while !interrupt.is_set() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err::<(), _>(Error::host("interrupted"))
        })
        .unwrap();
    let mut store = Store::new(engine, ());
    let text = r#"(module (import "h" "sleep" (func $sleep)) (func (export "run") (call $sleep)))"#;
    let i = linked(&mut store, &linker, text);
    store.set_timeout(Duration::from_millis(20));
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    assert_eq!(stop_reason(run.call(&mut store, ()).unwrap_err()), StopReason::Deadline);
}

fn nested(engine: &Engine) {
    let mut linker: Linker<u32> = Linker::new(engine);
    linker
        .func_wrap("h", "deeper", |mut caller: Caller<'_, u32>, n: i32| {
            let f = caller.get_export("f").and_then(|e| e.into_func()).expect("an export");
            let f = f.typed::<i32, ()>(&caller)?;
            let done = f.call(&mut caller, n - 1);
            *caller.as_context_mut().data_mut() += 1;
            done
        })
        .unwrap();
    let mut store = Store::new(engine, 0);
    let i = linked(
        &mut store,
        &linker,
        r#"(module (import "h" "deeper" (func $deeper (param i32)))
          (func (export "f") (param i32)
            (if (local.get 0) (then (call $deeper (local.get 0))) (else (loop $l (br $l))))))"#,
    );
    store.set_timeout(Duration::from_millis(30));
    let f = i.typed_func::<i32, ()>(&mut store, "f").unwrap();
    assert_eq!(stop_reason(f.call(&mut store, 10).unwrap_err()), StopReason::Deadline);
    assert_eq!(*store.data(), 10);
}

fn many(engine: &Engine) {
    let m = module(engine, ENDLESS);
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let (engine, m) = (engine.clone(), m.clone());
            std::thread::spawn(move || {
                let mut store = Store::new(&engine, ());
                let i = Instance::new(&mut store, &m, &[]).unwrap();
                let f = i.typed_func::<(), ()>(&mut store, "loop").unwrap();
                for round in 0..5 {
                    store.set_timeout(Duration::from_millis(5 + (n * 7 + round) % 11));
                    let error = f.call(&mut store, ()).unwrap_err();
                    assert_eq!(stop_reason(error), StopReason::Deadline);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
}

fn call_deadlines(engine: &Engine) {
    let millis = Duration::from_millis;
    let text = r#"(module (func (export "spin") (loop $l (br $l))) (func (export "f")))"#;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, text);
    let spin = i.typed_func::<(), ()>(&mut store, "spin").unwrap();
    let f = i.typed_func::<(), ()>(&mut store, "f").unwrap();
    // Alone, before the store's, and after the store's.
    for (outer, own, expected) in [(None, 20, 20), (Some(60_000), 20, 20), (Some(20), 60_000, 20)] {
        let start = WorkTime::start();
        store.set_deadline(outer.map(|ms| Instant::now() + millis(ms)));
        let options = CallOptions::new().with_timeout(millis(own));
        let error = spin.call_with(&mut store, &options, ()).unwrap_err();
        assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
        let (took, worked) = (start.elapsed(), start.worked());
        let in_time = took >= millis(expected - 1) && worked < SOON;
        assert!(in_time, "{outer:?} {own}: {took:?} {worked:?}");
        // The call's is over with the call; the store's stays.
        let next = f.call(&mut store, ());
        assert_eq!(next.is_ok(), outer != Some(20), "{outer:?} {own}");
        if outer == Some(60_000) {
            // It still fires, though it was put aside.
            store.set_deadline(Some(Instant::now() + millis(30)));
            let options = CallOptions::new().with_timeout(millis(5));
            spin.call_with(&mut store, &options, ()).unwrap_err();
            let error = spin.call(&mut store, ()).unwrap_err();
            assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
        }
    }
    store.set_deadline(None);
    // By a point in time; the earlier of both counts.
    let options = CallOptions::new()
        .with_deadline(Instant::now() + millis(10))
        .with_timeout(Duration::from_secs(60));
    let error = spin.call_with(&mut store, &options, ()).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
    // A timeout beyond the clock's end is none.
    let options = CallOptions::new().with_timeout(Duration::MAX);
    f.call_with(&mut store, &options, ()).unwrap();
}

fn compilation(engine: &Engine) {
    let text = r#"(module (func (export "f")) (func) (func))"#;
    let past = Instant::now() - Duration::from_millis(1);
    let late = CompileOptions::new().with_deadline(past);
    let error = Module::new_with(engine, text, &late).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Deadline), "{error}");
    let token = CancelToken::new();
    token.cancel();
    let cancelled = CompileOptions::new().with_cancel_token(token);
    let error = Module::new_with(engine, text, &cancelled).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Cancelled), "{error}");
    // A store's token, unused.
    let mut store = Store::new(engine, ());
    let options = CompileOptions::new()
        .with_cancel_token(store.cancel_token())
        .with_timeout(Duration::from_secs(60));
    let m = Module::new_with(engine, text, &options).unwrap();
    let i = Instance::new(&mut store, &m, &[]).unwrap();
    i.get_func(&mut store, "f").unwrap().call(&mut store, &[], &mut []).unwrap();
}
