//! Which instance's exit code a call ends with when several are closed.

use crate::matrix::{Behaviour, linked};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wardian::{Caller, Engine, ErrorKind, InstanceCloser, Linker, Store};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a call that is closed ends with its own instance's code", own_code),
    ("a loop that is closed ends with its own instance's code", spinning),
    ("calls around a closed one end with codes of their own", nested),
    ("calls continue while instances are closed that take no part", unrelated),
];

type Closers = Vec<InstanceCloser>;

const TEXT: &str = r#"(module (import "h" "close" (func $close))
  (func (export "run") (result i32) (call $close) (i32.const 1))
  (func (export "spin") (loop (br 0))))"#;

fn own_code(engine: &Engine) {
    for (own_first, other_thread) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut linker: Linker<Closers> = Linker::new(engine);
        linker
            .func_wrap("h", "close", move |caller: Caller<'_, Closers>| {
                let mut work: Vec<(InstanceCloser, u32)> =
                    caller.data().iter().cloned().zip([5, 99, 98]).collect();
                work[usize::from(own_first)..].reverse();
                let close = move || {
                    work.iter().for_each(|(closer, code)| {
                        assert!(closer.close_with_exit_code(*code));
                    });
                };
                if other_thread { std::thread::spawn(close).join().unwrap() } else { close() }
            })
            .unwrap();
        let mut store = Store::new(engine, Vec::new());
        let all = [0; 3].map(|_| linked(&mut store, &linker, TEXT));
        let closers = all.map(|i| i.closer(&mut store));
        store.data_mut().extend(closers);
        let run = all[0].typed_func::<(), i32>(&mut store, "run").unwrap();
        let error = run.call(&mut store, ()).unwrap_err();
        let what = format!("own first: {own_first}, other thread: {other_thread}");
        assert!(matches!(error.kind(), ErrorKind::Closed(5)), "{error}; {what}");
        for (i, code) in all.iter().zip([5, 99, 98]) {
            assert_eq!(i.exit_code(&store), Some(code), "{what}");
            let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
            let error = run.call(&mut store, ()).unwrap_err();
            assert_eq!(error.exit_code(), Some(code), "{what}");
        }
    }
}

fn spinning(engine: &Engine) {
    for own_first in [false, true] {
        let mut linker: Linker<()> = Linker::new(engine);
        linker.func_wrap("h", "close", || {}).unwrap();
        let mut store = Store::new(engine, ());
        let all = [0; 3].map(|_| linked(&mut store, &linker, TEXT));
        let mut work: Vec<_> =
            all.map(|i| i.closer(&mut store)).into_iter().zip([5, 99, 98]).collect();
        work[usize::from(own_first)..].reverse();
        let spin = all[0].typed_func::<(), ()>(&mut store, "spin").unwrap();
        let closing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(10));
            for (closer, code) in work {
                closer.close_with_exit_code(code);
            }
        });
        let error = spin.call(&mut store, ()).unwrap_err();
        closing.join().unwrap();
        assert!(matches!(error.kind(), ErrorKind::Closed(5)), "{error}; own first: {own_first}");
    }
}

/// `outer` calls the host, which calls `inner`, in which both are closed in this order.
fn nested(engine: &Engine) {
    for outer_first in [false, true] {
        let mut linker: Linker<Closers> = Linker::new(engine);
        let seen = Arc::new(Mutex::new(None));
        let note = seen.clone();
        linker
            .func_wrap("h", "close", move |caller: Caller<'_, Closers>| {
                let mut work: Vec<_> = caller.data().iter().zip([7, 3]).collect();
                if !outer_first {
                    work.reverse();
                }
                for (closer, code) in work {
                    assert!(closer.close_with_exit_code(code));
                }
            })
            .unwrap();
        let mut store = Store::new(engine, Vec::new());
        let inner = linked(&mut store, &linker, TEXT);
        let mut linker = Linker::new(engine);
        linker
            .func_wrap("h", "close", move |mut caller: Caller<'_, Closers>| {
                let run = inner.typed_func::<(), i32>(&mut caller, "run").unwrap();
                let error = run.call(&mut caller, ()).unwrap_err();
                *note.lock().unwrap() = error.exit_code();
            })
            .unwrap();
        let outer = linked(&mut store, &linker, TEXT);
        let closers = [outer, inner].map(|i| i.closer(&mut store));
        store.data_mut().extend(closers);
        let run = outer.typed_func::<(), i32>(&mut store, "run").unwrap();
        let error = run.call(&mut store, ()).unwrap_err();
        assert_eq!(error.exit_code(), Some(7), "the outer one, outer first: {outer_first}");
        // The inner call is ended by whichever comes first: both take part in it.
        let inner_code = seen.lock().unwrap().take();
        assert_eq!(inner_code, Some(if outer_first { 7 } else { 3 }), "outer first: {outer_first}");
    }
}

/// Instances that take no part in a call are closed all the time.
fn unrelated(engine: &Engine) {
    let mut linker: Linker<Closers> = Linker::new(engine);
    linker
        .func_wrap("h", "close", |mut caller: Caller<'_, Closers>| {
            if let Some(closer) = caller.data_mut().pop() {
                closer.close();
            }
        })
        .unwrap();
    let mut store = Store::new(engine, Vec::new());
    let i = linked(&mut store, &linker, LOOPS);
    let others = [0; 400].map(|_| linked(&mut store, &linker, TEXT));
    let mut closers: Closers = others.iter().map(|i| i.closer(&mut store)).collect();
    store.data_mut().extend(closers.split_off(200));
    let closing = std::thread::spawn(move || {
        for closer in closers {
            assert!(closer.close_with_exit_code(9));
            std::thread::yield_now();
        }
    });
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    for _ in 0..100 {
        assert_eq!(run.call(&mut store, 100).unwrap(), 100);
    }
    closing.join().unwrap();
    assert_eq!(run.call(&mut store, 100).unwrap(), 100);
    assert!(others.iter().all(|i| i.is_closed(&store)));
}

const LOOPS: &str = r#"(module (import "h" "close" (func $close))
  (func $count (param $n i32) (result i32) (local $i i32)
    (loop $l
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $i))
  (func (export "run") (param $n i32) (result i32) (local $i i32)
    (loop $l
      (call $close)
      (local.set $i (i32.add (local.get $i) (call $count (i32.const 10))))
      (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $i)))"#;
