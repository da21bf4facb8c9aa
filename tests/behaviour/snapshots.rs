//! Snapshots: a guest goes on from where it was, and nothing else is disturbed.

use crate::matrix::{Behaviour, linked};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use wardian::{
    CallOptions, Caller, Engine, Error, ErrorKind, Func, Instance, InstantiateOptions, Linker,
    MemoryAllocatorFunc, Snapshot, StopReason, Store, TypedFunc, Val, VecMemory,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a snapshot is restored many times, and locals with it", many_times),
    ("a snapshot is restored after its frames have returned", after_return),
    ("a snapshot is restored from nested guests, and host frames are unwound", nested),
    ("a restore cannot be swallowed by a host function", swallowed),
    ("a snapshot cannot be restored elsewhere, and everything goes on", elsewhere),
    ("a snapshot is only restored with results of the right types", wrong_results),
    ("a panic, an exit and a deadline go before a restore", overruled),
    ("a restore that was overruled is forgotten", forgotten),
    ("snapshots are off unless enabled, for a call or a store", disabled),
    ("a snapshot of five thousand frames is restored", deep),
    ("a snapshot is restored through tables and tail calls", indirect),
    ("a snapshot is restored into a memory and a table that have moved", moved),
    ("a host function that the embedder calls takes and restores a snapshot", direct),
    ("a start function is restored", start_function),
    ("guests go on from snapshots on several threads", threads),
];

/// What host functions keep.
#[derive(Default)]
pub(crate) struct Host {
    /// By number.
    pub(crate) marks: Vec<Snapshot>,
    /// Guards of host frames that were dropped.
    dropped: u32,
    /// What restores and nested calls said.
    told: Vec<String>,
}

/// `mark` takes a snapshot and gives 0; `jump` restores one by its number, with a value; `nest` calls
/// the export `inner`, and passes on how it ended.
pub(crate) fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker: Linker<Host> = Linker::new(engine);
    linker
        .func_wrap("h", "mark", |mut caller: Caller<'_, Host>| -> i32 {
            let snapshot = caller.get_snapshotter().expect("snapshots are enabled").snapshot();
            caller.data_mut().marks.push(snapshot);
            0
        })
        .unwrap();
    linker.func_wrap("h", "jump", jump).unwrap();
    linker
        .func_wrap("h", "nest", |mut caller: Caller<'_, Host>, depth: i32| {
            let guard = Guard::default();
            let done = call_inner(&mut caller, depth);
            let told = done.as_ref().err().map_or("returned".to_owned(), |e| e.to_string());
            caller.data_mut().told.push(told);
            drop(guard.clone());
            caller.data_mut().dropped += guard.0.load(Ordering::Relaxed);
            done
        })
        .unwrap();
    linker
}

fn jump(mut caller: Caller<'_, Host>, mark: i32, value: i32) -> Result<(), Error> {
    let snapshot = caller.data().marks[mark as usize].clone();
    Err(snapshot.restore(&mut caller, &[Val::I32(value)]))
}

fn call_inner(caller: &mut Caller<'_, Host>, argument: i32) -> Result<(), Error> {
    let inner = caller.get_export("inner").and_then(|e| e.into_func()).expect("an export");
    inner.typed::<i32, ()>(&*caller)?.call(caller, argument)
}

#[derive(Clone, Default)]
struct Guard(Arc<AtomicU32>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn store(engine: &Engine) -> Store<Host> {
    let mut store = Store::new(engine, Host::default());
    store.enable_snapshots(true);
    store
}

fn run(store: &mut Store<Host>, i: Instance, argument: i32) -> Result<i32, Error> {
    i.typed_func::<i32, i32>(&mut *store, "run")?.call(store, argument)
}

/// Goes back to its beginning until it is told `n`; gives what its own local counted to, which is
/// put back each time, and what its memory counted to, which is not.
const LOOP: &str = r#"(module
  (import "h" "mark" (func $mark (result i32)))
  (import "h" "jump" (func $jump (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "inner") (param i32))
  (func (export "run") (param $n i32) (result i32) (local $v i32) (local $mine i32)
    (local.set $v (call $mark))
    (local.set $mine (i32.add (local.get $mine) (i32.const 1)))
    (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
    (if (i32.lt_u (local.get $v) (local.get $n))
      (then (call $jump (i32.const 0) (i32.add (local.get $v) (i32.const 1)))))
    (i32.add (i32.mul (local.get $mine) (i32.const 1000000)) (i32.load (i32.const 8)))))"#;

fn many_times(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(&mut store, &linker(engine), LOOP);
    assert_eq!(run(&mut store, i, 1000).unwrap(), 1_001_001);
    // The store is as good as new.
    store.data_mut().marks.clear();
    assert_eq!(run(&mut store, i, 2).unwrap(), 1_001_004);
}

fn after_return(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(
        &mut store,
        &linker(engine),
        r#"(module
          (import "h" "mark" (func $mark (result i32)))
          (import "h" "jump" (func $jump (param i32 i32)))
          (func $inner (param $x i32) (param $y f64) (result i32)
            (i32.add (i32.add (call $mark) (local.get $x))
              (i32.trunc_f64_s (local.get $y))))
          (func $clobber (param i32) (result i32)
            (if (result i32) (local.get 0)
              (then (i32.add (local.get 0) (call $clobber (i32.sub (local.get 0) (i32.const 1)))))
              (else (i32.const 0))))
          (func (export "run") (param $n i32) (result i32) (local $v i32)
            (local.set $v (call $inner (i32.const 1000) (f64.const 500)))
            (drop (call $clobber (i32.const 200)))
            (if (i32.lt_u (local.get $v) (i32.add (local.get $n) (i32.const 1500)))
              (then (call $jump (i32.const 0) (i32.sub (local.get $v) (i32.const 1499)))))
            (local.get $v)))"#,
    );
    assert_eq!(run(&mut store, i, 50).unwrap(), 1550);
}

/// Marks, then nests `n` guests, the innermost of which jumps.
const NESTED: &str = r#"(module
  (import "h" "mark" (func $mark (result i32)))
  (import "h" "jump" (func $jump (param i32 i32)))
  (import "h" "nest" (func $nest (param i32)))
  (func (export "inner") (param $n i32)
    (if (local.get $n)
      (then (call $nest (i32.sub (local.get $n) (i32.const 1))))
      (else (call $jump (i32.const 0) (i32.const 7)))))
  (func (export "run") (param $n i32) (result i32) (local $v i32)
    (if (i32.eqz (local.tee $v (call $mark))) (then (call $nest (local.get $n))))
    (local.get $v)))"#;

fn nested(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(&mut store, &linker(engine), NESTED);
    assert_eq!(run(&mut store, i, 9).unwrap(), 7);
    assert_eq!(store.data().dropped, 10);
    assert_eq!(store.data().told, vec!["a snapshot is being restored"; 10]);
    // And a snapshot of a nested guest, which is restored there; the outer one notices nothing.
    let text = r#"(module
      (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32 i32)))
      (import "h" "nest" (func $nest (param i32)))
      (func (export "inner") (param $n i32) (local $v i32)
        (local.set $v (call $mark))
        (if (i32.lt_u (local.get $v) (local.get $n))
          (then (call $jump (i32.const 0) (i32.add (local.get $v) (i32.const 1))))))
      (func (export "run") (param i32) (result i32) (call $nest (local.get 0)) (i32.const 5)))"#;
    *store.data_mut() = Host::default();
    let i = linked(&mut store, &linker(engine), text);
    assert_eq!(run(&mut store, i, 9).unwrap(), 5);
    assert_eq!(store.data().told, ["returned"]);
}

fn swallowed(engine: &Engine) {
    let mut linker = linker(engine);
    linker.allow_shadowing(true);
    linker
        .func_wrap("h", "nest", |mut caller: Caller<'_, Host>, depth: i32| {
            let done = call_inner(&mut caller, depth);
            assert!(matches!(done.unwrap_err().kind(), ErrorKind::Restored));
            // Guests cannot be called meanwhile.
            let done = call_inner(&mut caller, 0);
            assert!(matches!(done.unwrap_err().kind(), ErrorKind::Restored));
        })
        .unwrap();
    linker
        .func_wrap("h", "jump", |caller: Caller<'_, Host>, mark: i32, value: i32| {
            let error = jump(caller, mark, value).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Restored));
            // Another error does not help either.
            if mark == 0 { Ok(()) } else { Err(Error::host("no")) }
        })
        .unwrap();
    let mut store = store(engine);
    let i = linked(&mut store, &linker, NESTED);
    assert_eq!(run(&mut store, i, 3).unwrap(), 7);
    let i = linked(&mut store, &linker, LOOP);
    store.data_mut().marks.clear();
    assert_eq!(run(&mut store, i, 3).unwrap(), 1_000_004);
}

/// Marks, and tries to restore the mark with the number `n`; then gives 1.
const TRIES: &str = r#"(module
  (import "h" "mark" (func $mark (result i32)))
  (import "h" "try" (func $try (param i32)))
  (func (export "run") (param $n i32) (result i32)
    (drop (call $mark)) (call $try (local.get $n)) (i32.const 1)))"#;

/// A linker with `try`, which restores with `results` and lets the guest go on if that fails.
fn trying(engine: &Engine, results: Vec<Val>) -> Linker<Host> {
    let mut linker = linker(engine);
    linker
        .func_wrap("h", "try", move |mut caller: Caller<'_, Host>, mark: i32| {
            let snapshot = caller.data().marks[mark as usize].clone();
            let error = snapshot.restore(&mut caller, &results);
            assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{error}");
            caller.data_mut().told.push(error.to_string());
        })
        .unwrap();
    linker
}

fn elsewhere(engine: &Engine) {
    let linker = trying(engine, vec![Val::I32(3)]);
    let mut first = store(engine);
    let i = linked(&mut first, &linker, TRIES);
    // In this store: after the call has ended, from a later call, and from no call at all.
    first.data_mut().marks.clear();
    let of_ended = {
        let text = r#"(module (import "h" "mark" (func $mark (result i32)))
          (func (export "run") (param i32) (result i32) (call $mark)))"#;
        let i = linked(&mut first, &linker, text);
        assert_eq!(run(&mut first, i, 0).unwrap(), 0);
        first.data().marks[0].clone()
    };
    assert_eq!(run(&mut first, i, 0).unwrap(), 1);
    let error = of_ended.restore(&mut first, &[Val::I32(3)]);
    assert!(error.to_string().contains("had ended"), "{error}");
    assert!(first.data_mut().told.pop().unwrap().contains("had ended"));
    // In another store.
    let mut second = store(engine);
    second.data_mut().marks.push(of_ended.clone());
    let j = linked(&mut second, &linker, TRIES);
    assert_eq!(run(&mut second, j, 0).unwrap(), 1);
    assert!(second.data().told[0].contains("another store"));
    // In a store on another thread, while the call of the snapshot is open.
    let mut with_thread = linker.clone();
    let other = engine.clone();
    with_thread
        .func_wrap("h", "elsewhere", move |caller: Caller<'_, Host>| {
            let mark = caller.data().marks.last().expect("a mark").clone();
            let (engine, linker) = (other.clone(), linker.clone());
            let other = std::thread::spawn(move || {
                let mut store = store(&engine);
                store.data_mut().marks.push(mark);
                let i = linked(&mut store, &linker, TRIES);
                assert_eq!(run(&mut store, i, 0).unwrap(), 1);
                store.into_data().told.remove(0)
            });
            assert!(other.join().unwrap().contains("another store"));
        })
        .unwrap();
    let text = r#"(module (import "h" "mark" (func $mark (result i32)))
      (import "h" "elsewhere" (func $elsewhere))
      (func (export "run") (param i32) (result i32)
        (drop (call $mark)) (call $elsewhere) (i32.const 8)))"#;
    let i = linked(&mut first, &with_thread, text);
    assert_eq!(run(&mut first, i, 0).unwrap(), 8);
    // After its store is gone.
    drop(first);
    assert_eq!(run(&mut second, j, 0).unwrap(), 1);
    drop((second, of_ended));
}

fn wrong_results(engine: &Engine) {
    let mut stranger = Store::new(engine, ());
    let foreign = Func::wrap(&mut stranger, || ());
    for results in [
        vec![],
        vec![Val::I64(1)],
        vec![Val::I32(1), Val::I32(1)],
        vec![Val::FuncRef(None)],
        vec![Val::FuncRef(Some(foreign))],
    ] {
        let linker = trying(engine, results);
        let mut store = store(engine);
        let i = linked(&mut store, &linker, TRIES);
        assert_eq!(run(&mut store, i, 0).unwrap(), 1);
        let told = &store.data().told[0];
        assert!(told.contains("the results of the function that took it"), "{told}");
    }
    // A function of another store, where a function is expected; raw slots, too.
    let mut store: Store<Option<Snapshot>> = Store::new(engine, None);
    store.enable_snapshots(true);
    let mark = Func::wrap(&mut store, |mut c: Caller<'_, Option<Snapshot>>| -> Option<Func> {
        *c.data_mut() = c.get_snapshotter().map(|mut s| s.snapshot());
        None
    });
    let attempt = Func::wrap(&mut store, move |mut c: Caller<'_, Option<Snapshot>>| {
        let mark = c.data().clone().expect("a mark");
        let error = mark.restore(&mut c, &[Val::FuncRef(Some(foreign))]);
        assert!(error.to_string().contains("another store"), "{error}");
        let error = mark.restore_raw(&mut c, &[0xdead_beef]);
        assert!(error.to_string().contains("0xdeadbeef"), "{error}");
        let error = mark.restore_raw(&mut c, &[0, 0]);
        assert!(error.to_string().contains("1 slots, not 2"), "{error}");
    });
    let mut linker = Linker::new(engine);
    linker.define("h", "mark", mark).unwrap().define("h", "attempt", attempt).unwrap();
    let text = r#"(module (import "h" "mark" (func $mark (result funcref)))
      (import "h" "attempt" (func $attempt))
      (func (export "run") (drop (call $mark)) (call $attempt)))"#;
    let i = linked(&mut store, &linker, text);
    i.typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
}

fn overruled(engine: &Engine) {
    let mut linker = linker(engine);
    linker.allow_shadowing(true);
    linker
        .func_wrap("h", "jump", |mut caller: Caller<'_, Host>, mark: i32, how: i32| {
            let snapshot = caller.data().marks[mark as usize].clone();
            let error = snapshot.restore(&mut caller, &[Val::I32(how)]);
            assert!(matches!(error.kind(), ErrorKind::Restored));
            match caller.data().told.first().map(String::as_str) {
                Some("panic") => std::panic::resume_unwind(Box::new("boom")),
                Some("exit") => Err::<(), _>(Error::exit(4)),
                Some("deadline") => {
                    let interrupt = caller.interrupt();
                    while !interrupt.is_set() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(error)
                }
                _ => Err(error),
            }
        })
        .unwrap();
    for (text, argument) in [(LOOP, 2), (NESTED, 0), (NESTED, 2)] {
        for how in ["panic", "exit", "deadline"] {
            let mut store = store(engine);
            let i = linked(&mut store, &linker, text);
            store.data_mut().told.push(how.into());
            if how == "deadline" {
                store.set_timeout(Duration::from_millis(10));
            }
            let done = catch_unwind(AssertUnwindSafe(|| run(&mut store, i, argument)));
            match (how, done) {
                ("panic", Err(panic)) => assert_eq!(*panic.downcast::<&str>().unwrap(), "boom"),
                ("exit", Ok(Err(error))) => assert_eq!(error.exit_code(), Some(4)),
                ("deadline", Ok(Err(error))) => {
                    assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
                }
                (how, done) => panic!("{how}: {done:?}"),
            }
            // Nothing of it is left.
            *store.data_mut() = Host::default();
            store.set_deadline(None);
            assert_eq!(
                run(&mut store, i, argument).unwrap() % 1000,
                if text == LOOP { 4 } else { 7 }
            );
        }
    }
}

fn forgotten(engine: &Engine) {
    // The nested guest is stopped by a deadline of its own, or by a panic that is caught, while its
    // own snapshot is about to be restored. The outer one goes on.
    let mut linker = linker(engine);
    linker.allow_shadowing(true);
    linker
        .func_wrap("h", "jump", |mut caller: Caller<'_, Host>, mark: i32, value: i32| {
            let snapshot = caller.data().marks[mark as usize].clone();
            let error = snapshot.restore(&mut caller, &[Val::I32(value)]);
            assert!(matches!(error.kind(), ErrorKind::Restored));
            if value == 2 {
                std::panic::resume_unwind(Box::new("boom"));
            }
            let interrupt = caller.interrupt();
            while !interrupt.is_set() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err::<(), _>(error)
        })
        .unwrap();
    linker
        .func_wrap("h", "nest", |mut caller: Caller<'_, Host>, how: i32| {
            let inner = caller.get_export("inner").and_then(|e| e.into_func()).unwrap();
            let inner = inner.typed::<i32, ()>(&caller).unwrap();
            let options = CallOptions::new().with_timeout(Duration::from_millis(10));
            let call = AssertUnwindSafe(|| match how {
                1 => inner.call_with(&mut caller, &options, how),
                _ => inner.call(&mut caller, how),
            });
            match catch_unwind(call) {
                Ok(done) => assert_eq!(done.unwrap_err().stop_reason(), Some(StopReason::Deadline)),
                Err(_) => assert_eq!(how, 2),
            }
        })
        .unwrap();
    let text = r#"(module
      (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32 i32)))
      (import "h" "nest" (func $nest (param i32)))
      (func (export "inner") (param $how i32)
        (drop (call $mark)) (call $jump (i32.const 0) (local.get $how)))
      (func (export "run") (param i32) (result i32) (call $nest (local.get 0)) (i32.const 5)))"#;
    for how in [1, 2] {
        let mut store = store(engine);
        let i = linked(&mut store, &linker, text);
        assert_eq!(run(&mut store, i, how).unwrap(), 5, "{how}");
    }
}

fn disabled(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_wrap("h", "can", |mut caller: Caller<'_, ()>| {
            i32::from(caller.get_snapshotter().is_some())
        })
        .unwrap();
    linker
        .func_wrap("h", "nest", |mut caller: Caller<'_, ()>| {
            let can = caller.get_export("can").and_then(|e| e.into_func()).unwrap();
            can.typed::<(), i32>(&caller)?.call(&mut caller, ())
        })
        .unwrap();
    let text = r#"(module (import "h" "can" (func $can (result i32)))
      (import "h" "nest" (func $nest (result i32)))
      (func (export "can") (result i32) (call $can))
      (func (export "nested") (result i32) (call $nest)))"#;
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, text);
    let can: TypedFunc<(), i32> = i.typed_func(&mut store, "can").unwrap();
    let nested: TypedFunc<(), i32> = i.typed_func(&mut store, "nested").unwrap();
    let options = CallOptions::new().with_snapshotter();
    for f in [can, nested] {
        assert_eq!(f.call(&mut store, ()).unwrap(), 0);
        assert_eq!(f.call_with(&mut store, &options, ()).unwrap(), 1);
        assert_eq!(f.call(&mut store, ()).unwrap(), 0);
        let mut results = [Val::I32(9)];
        f.func().call_with(&mut store, &options, &[], &mut results).unwrap();
        assert!(matches!(results[0], Val::I32(1)));
    }
    store.enable_snapshots(true);
    assert_eq!(can.call(&mut store, ()).unwrap(), 1);
    // A call without the option does not take it away.
    assert_eq!(can.call_with(&mut store, &CallOptions::new(), ()).unwrap(), 1);
    // Not of a guest that may be suspended; but of one that it calls.
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for (f, expected) in [(can, 0), (nested, 1)] {
        let mut call = Box::pin(f.call_async(&mut store, ()));
        let std::task::Poll::Ready(done) = call.as_mut().poll(&mut context) else { panic!() };
        assert_eq!(done.unwrap(), expected);
    }
    store.enable_snapshots(false);
    assert_eq!(can.call(&mut store, ()).unwrap(), 0);
}

fn deep(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(
        &mut store,
        &linker(engine),
        r#"(module
          (import "h" "mark" (func $mark (result i32)))
          (import "h" "jump" (func $jump (param i32 i32)))
          (func $down (param $n i32) (result i32)
            (if (result i32) (local.get $n)
              (then (i32.add (i32.const 1) (call $down (i32.sub (local.get $n) (i32.const 1)))))
              (else (call $mark))))
          (func (export "run") (param $n i32) (result i32) (local $v i32)
            (local.set $v (call $down (local.get $n)))
            (if (i32.lt_u (local.get $v) (i32.add (local.get $n) (i32.const 3)))
              (then (call $jump (i32.const 0)
                (i32.add (i32.const 1) (i32.sub (local.get $v) (local.get $n))))))
            (local.get $v)))"#,
    );
    assert_eq!(run(&mut store, i, 5000).unwrap(), 5003);
    // The stack goes back to a pool, and is used by others.
    drop(store);
    let mut store = self::store(engine);
    let i = linked(&mut store, &linker(engine), LOOP);
    assert_eq!(run(&mut store, i, 2).unwrap(), 1_000_003);
}

fn indirect(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(
        &mut store,
        &linker(engine),
        r#"(module
          (import "h" "mark" (func $mark (result i32)))
          (import "h" "jump" (func $jump (param i32 i32)))
          (table funcref (elem $mark $jump $middle $end))
          (func $middle (param $x i32) (result i32)
            (return_call_indirect (param i32) (result i32)
              (i32.add (local.get $x) (i32.const 10)) (i32.const 3)))
          (func $end (param $x i32) (result i32)
            (i32.add (local.get $x) (call_indirect (result i32) (i32.const 0))))
          ;; Ends in the host, by a tail call.
          (func $leave (param i32 i32)
            (return_call_indirect (param i32 i32) (local.get 0) (local.get 1) (i32.const 1)))
          (func (export "run") (param $n i32) (result i32) (local $v i32)
            (local.set $v (call_indirect (param i32) (result i32) (i32.const 100) (i32.const 2)))
            (if (i32.lt_u (local.get $v) (i32.add (local.get $n) (i32.const 110)))
              (then (call $leave (i32.const 0) (i32.sub (local.get $v) (i32.const 109)))))
            (local.get $v)))"#,
    );
    assert_eq!(run(&mut store, i, 4).unwrap(), 114);
}

fn moved(engine: &Engine) {
    let text = r#"(module
      (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32 i32)))
      (memory 1) (table $t 1 funcref) (elem declare func $seven)
      (type $f (func (result i32)))
      (func $seven (type $f) (i32.const 7))
      (func (export "run") (param $n i32) (result i32) (local $v i32)
        (i32.store (i32.const 100) (i32.const 40))
        (local.set $v (call $mark))
        (i32.store (i32.const 100) (i32.add (i32.load (i32.const 100)) (i32.const 1)))
        (if (i32.lt_u (local.get $v) (local.get $n))
          (then
            (drop (memory.grow (i32.const 9)))
            (drop (table.grow $t (ref.func $seven) (i32.const 1000)))
            ;; Where there was nothing when the snapshot was taken.
            (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4))
              (i32.const 2000))
            (call $jump (i32.const 0) (i32.add (local.get $v) (i32.const 1)))))
        (i32.add (call_indirect $t (type $f) (i32.sub (table.size $t) (i32.const 1)))
          (i32.add (i32.load (i32.const 100))
            (i32.load (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)))))))"#;
    // A memory that moves at every growth.
    let options =
        InstantiateOptions::new().with_memory_allocator(MemoryAllocatorFunc::new(|request| {
            Ok(VecMemory::boxed(request.minimum, request.maximum)?)
        }));
    let module = crate::matrix::module(engine, text);
    for options in [InstantiateOptions::new(), options] {
        let mut store = store(engine);
        let i = linker(engine).instantiate_with(&mut store, &module, &options).unwrap();
        assert_eq!(run(&mut store, i, 3).unwrap(), 7 + 44 + 2000);
    }
}

fn direct(engine: &Engine) {
    let mut store: Store<u32> = Store::new(engine, 0);
    store.enable_snapshots(true);
    let f = Func::wrap(&mut store, |mut caller: Caller<'_, u32>| {
        *caller.data_mut() += 1;
        let snapshot = caller.get_snapshotter().expect("they are enabled").snapshot();
        // As if it returned 5.
        Err::<i32, _>(snapshot.restore(&mut caller, &[Val::I32(5)]))
    });
    let f = f.typed::<(), i32>(&store).unwrap();
    assert_eq!(f.call(&mut store, ()).unwrap(), 5);
    assert_eq!(*store.data(), 1);
}

fn start_function(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(
        &mut store,
        &linker(engine),
        r#"(module
          (import "h" "mark" (func $mark (result i32)))
          (import "h" "jump" (func $jump (param i32 i32)))
          (global $g (export "g") (mut i32) (i32.const 0))
          (func $start (local $v i32)
            (local.set $v (call $mark))
            (global.set $g (i32.add (global.get $g) (i32.const 1)))
            (if (i32.lt_u (local.get $v) (i32.const 4))
              (then (call $jump (i32.const 0) (i32.add (local.get $v) (i32.const 1))))))
          (start $start))"#,
    );
    let g = i.get_global(&mut store, "g").unwrap();
    assert!(matches!(g.get(&store), Val::I32(5)));
}

fn threads(engine: &Engine) {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let engine = engine.clone();
            std::thread::spawn(move || {
                let mut store = store(&engine);
                let i = linked(&mut store, &linker(&engine), LOOP);
                for _ in 0..20 {
                    store.data_mut().marks.clear();
                    run(&mut store, i, 50).unwrap();
                }
                // And a store that moves to another thread between calls.
                std::thread::spawn(move || {
                    store.data_mut().marks.clear();
                    run(&mut store, i, 50).unwrap()
                })
                .join()
                .unwrap()
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 1_000_000 + 21 * 51);
    }
}
