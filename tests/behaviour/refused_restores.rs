//! Restores that are refused, overruled, or forgotten: nothing is disturbed by them.

use crate::matrix::{Behaviour, linked};
use crate::snapshots::{Host, LOOP, NESTED, linker, run, store};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use wardian::{
    CallOptions, Caller, Engine, Error, ErrorKind, Func, Linker, StopReason, Store, Val,
    snapshot::Snapshot,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a snapshot cannot be restored elsewhere, and everything goes on", elsewhere),
    ("a snapshot is only restored with results of the right types", wrong_results),
    ("a panic, an exit and a deadline go before a restore", overruled),
    ("a restore that was overruled is forgotten", forgotten),
];

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
            caller.data_mut().reported.push(error.to_string());
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
    assert!(first.data_mut().reported.pop().unwrap().contains("had ended"));
    // In another store.
    let mut second = store(engine);
    second.data_mut().marks.push(of_ended.clone());
    let j = linked(&mut second, &linker, TRIES);
    assert_eq!(run(&mut second, j, 0).unwrap(), 1);
    assert!(second.data().reported[0].contains("another store"));
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
                store.into_data().reported.remove(0)
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
        let reported = &store.data().reported[0];
        assert!(reported.contains("the results of the function that took it"), "{reported}");
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
            match caller.data().reported.first().map(String::as_str) {
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
            store.data_mut().reported.push(how.into());
            if how == "deadline" {
                // It must not pass before the guest is there.
                store.set_timeout(Duration::from_millis(200));
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
