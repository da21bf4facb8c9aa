//! Which instance's exit code a call ends with when several are closed.

use crate::matrix::{Behaviour, linked, module};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;
use wardian::{Caller, Engine, ErrorKind, Instance, Linker, Store, close::InstanceCloser};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a call that is closed ends with its own instance's code", own_code),
    ("a loop that is closed ends with its own instance's code", spinning),
    ("a call that is closed while it begins ends with its own instance's code", beginning),
    ("a call of one instance continues while another of the same module is closed", kin),
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

/// `user` calls `lib`, which calls the host; there another instance of the module of `lib` is closed.
fn kin(engine: &Engine) {
    for other_thread in [false, true] {
        let mut linker: Linker<Option<(Instance, InstanceCloser)>> = Linker::new(engine);
        linker
            .func_wrap(
                "h",
                "close",
                move |mut caller: Caller<'_, Option<(Instance, InstanceCloser)>>| {
                    let (instance, closer) = caller.data().clone().unwrap();
                    if other_thread {
                        std::thread::spawn(move || closer.close_with_exit_code(9)).join().unwrap();
                    } else {
                        instance.close_with_exit_code(&mut caller, 9);
                    }
                },
            )
            .unwrap();
        let mut store = Store::new(engine, None);
        let [lib, stranger] = [0; 2].map(|_| linked(&mut store, &linker, TEXT));
        linker.instance(&mut store, "lib", lib).unwrap();
        let user = r#"(module (import "lib" "run" (func $run (result i32)))
          (func (export "run") (result i32) (i32.add (call $run) (call $run))))"#;
        let user = linked(&mut store, &linker, user);
        let closer = stranger.closer(&mut store);
        *store.data_mut() = Some((stranger, closer));
        let run = user.typed_func::<(), i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap(), 2, "other thread: {other_thread}");
        assert_eq!(stranger.exit_code(&store), Some(9));
        let closer = lib.closer(&mut store);
        *store.data_mut() = Some((lib, closer));
        let error = run.call(&mut store, ()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Closed(9)), "{error}");
    }
}

/// A call begins while two instances are closed, one of which has nothing to do with it.
fn beginning(engine: &Engine) {
    let lib = module(engine, r#"(module (func (export "spin") (loop $l (br $l))))"#);
    let user_text =
        r#"(module (import "lib" "spin" (func $spin)) (func (export "run") (call $spin)))"#;
    let user = module(engine, user_text);
    for round in 0..600 {
        let mut store = Store::new(engine, ());
        let callee = Instance::new(&mut store, &lib, &[]).unwrap();
        let mut linker = Linker::new(engine);
        linker.instance(&mut store, "lib", callee).unwrap();
        let caller = linker.instantiate(&mut store, &user).unwrap();
        let stranger = Instance::new(&mut store, &lib, &[]).unwrap().closer(&mut store);
        let closer = [callee, caller][round % 2].closer(&mut store);
        let run = caller.typed_func::<(), ()>(&mut store, "run").unwrap();
        let ready = Barrier::new(2);
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                ready.wait();
                assert!(stranger.close_with_exit_code(1));
                (0..round % 50 * 20).for_each(|_| std::hint::spin_loop());
                assert!(closer.close_with_exit_code(2));
            });
            ready.wait();
            (0..round % 7 * 40).for_each(|_| std::hint::spin_loop());
            run.call(&mut store, ()).unwrap_err()
        });
        assert!(matches!(error.kind(), ErrorKind::Closed(2)), "round {round}: {error}");
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
