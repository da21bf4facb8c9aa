//! Closing instances: notified exactly once, with the code, and what runs in them ends.

use crate::matrix::{Behaviour, instance, linked, module};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use wardian::{
    Caller, Engine, Error, ErrorKind, Func, Instance, InstantiateOptions, Linker, MemoryType,
    SharedMemory, StopReason, Store, Val,
    close::{CloseNotifyFunc, ClosingInstance, InstanceCloser},
};
use wardian_wasi::WasiCtx;

pub(crate) const TABLE: &[Behaviour] = &[
    ("every way of closing tells notifiers once, with the code", ways),
    ("notifiers are notified in order, before the instance is closed", order),
    ("an instance is closed from its notifier, or eight threads at once, but once", at_once),
    ("closing from another thread ends loops, waits, polls and host functions", from_outside),
    ("calls of a closed instance fail, however they are made", closed_calls),
    ("a closed instance can be read, and others go on", readable),
    ("closing leaves the calls of unrelated instances alone", unrelated),
    ("closing an instance of an outer call ends the nested ones too", outer),
    ("closing is noticed in calls into linked instances", through_links),
    ("errors tell exit, closing, deadline and cancellation apart", kinds),
    ("instances are closed while their store is dropped", while_dropped),
    ("proc_exit closes the instance that calls it", proc_exit),
];

const SOON: Duration = Duration::from_secs(60);

/// What notifiers were notified of.
type Reported = Arc<Mutex<Vec<(String, u32)>>>;

fn noting<T: 'static>(reported: &Reported, name: &str) -> InstantiateOptions<T> {
    let reported = reported.clone();
    InstantiateOptions::new().with_name(name).with_close_notifier(CloseNotifyFunc(
        move |instance: &ClosingInstance, code: u32| {
            let name = instance.name().unwrap_or_default().to_owned();
            reported.lock().unwrap().push((name, code));
        },
    ))
}

fn take(reported: &Reported) -> Vec<(String, u32)> {
    std::mem::take(&mut reported.lock().unwrap())
}

fn call(store: &mut Store<()>, i: Instance, name: &str) -> Result<(), Error> {
    i.typed_func::<(), ()>(&mut *store, name)?.call(store, ())
}

fn closed_code(error: &Error) -> u32 {
    match error.kind() {
        ErrorKind::Closed(code) => {
            assert_eq!(error.exit_code(), Some(*code));
            *code
        }
        _ => panic!("closed, but said: {error}"),
    }
}

fn ways(engine: &Engine) {
    let reported = Reported::default();
    let m = module(engine, "(module)");
    for way in 0..7 {
        let mut store = Store::new(engine, ());
        let names = ["a", "b"];
        let [a, _b] = names
            .map(|name| Instance::new_with(&mut store, &m, &[], &noting(&reported, name)).unwrap());
        let closer = a.closer(&mut store);
        let code = match way {
            0 => u32::from(!a.close(&mut store)),
            1 => {
                assert!(a.close_with_exit_code(&mut store, u32::MAX));
                u32::MAX
            }
            2 => {
                let closer = closer.clone();
                assert!(std::thread::spawn(move || closer.close_with_exit_code(2)).join().unwrap());
                2
            }
            3 => {
                store.close();
                0
            }
            4 => {
                store.close_with_exit_code(4);
                assert_eq!(take(&reported), [("a".into(), 4), ("b".into(), 4)]);
                assert_eq!(closer.exit_code(), Some(4));
                drop(store);
                assert_eq!(take(&reported), []);
                continue;
            }
            5 => {
                store.into_data();
                assert_eq!(take(&reported), [("a".into(), 0), ("b".into(), 0)]);
                assert!(closer.is_closed());
                continue;
            }
            _ => {
                drop(store);
                assert_eq!(take(&reported), [("a".into(), 0), ("b".into(), 0)]);
                assert!(closer.is_closed() && !closer.close());
                continue;
            }
        };
        assert_eq!(closer.exit_code(), Some(code));
        assert_eq!(take(&reported)[0], ("a".into(), code));
        // No second time, with whatever code.
        assert!(!a.close_with_exit_code(&mut store, 77) && !closer.close());
        assert_eq!(closer.exit_code(), Some(code));
        store.close();
        drop(store);
        let rest = take(&reported);
        assert_eq!(rest.len(), usize::from(way != 3), "{rest:?}");
    }
    // An instance that could not be made was never there.
    let mut store = Store::new(engine, ());
    let bad = module(engine, "(module (func $s (unreachable)) (start $s))");
    Instance::new_with(&mut store, &bad, &[], &noting(&reported, "bad")).unwrap_err();
    drop(store);
    let reported = take(&reported);
    assert!(reported.len() <= 1, "{reported:?}");
}

fn order(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, "(module $named)");
    let closer = i.closer(&mut store);
    let reported: Arc<Mutex<Vec<String>>> = Arc::default();
    for name in ["first", "panics", "third"] {
        let (reported, closer) = (reported.clone(), closer.clone());
        let notifier = CloseNotifyFunc(move |instance: &ClosingInstance, code: u32| {
            assert!(!closer.is_closed() && closer.exit_code().is_none());
            assert_eq!((instance.name(), instance.instance()), (Some("named"), i));
            reported.lock().unwrap().push(format!("{name} {code}"));
            if name == "panics" {
                resume_unwind(Box::new("ignored"));
            }
        });
        i.notify_close(&mut store, notifier);
    }
    assert!(!i.is_closed(&store));
    assert!(i.close_with_exit_code(&mut store, 3));
    assert!(i.is_closed(&store) && closer.is_closed());
    assert_eq!(i.exit_code(&store), Some(3));
    assert_eq!(*reported.lock().unwrap(), ["first 3", "panics 3", "third 3"]);
    // Too late.
    i.notify_close(&mut store, CloseNotifyFunc(|_: &ClosingInstance, _: u32| panic!("reported")));
    drop(store);
}

fn at_once(engine: &Engine) {
    // From its own notifier, which also closes another.
    let reported = Reported::default();
    let m = module(engine, "(module)");
    let mut store = Store::new(engine, ());
    let other = Instance::new_with(&mut store, &m, &[], &noting(&reported, "other")).unwrap();
    let i = Instance::new_with(&mut store, &m, &[], &noting(&reported, "own")).unwrap();
    let closers = [i.closer(&mut store), other.closer(&mut store)];
    let again = closers.clone();
    i.notify_close(
        &mut store,
        CloseNotifyFunc(move |_: &ClosingInstance, code: u32| {
            assert!(!again[0].close_with_exit_code(code + 1));
            assert!(again[1].close_with_exit_code(code + 2));
            assert!(!again[0].is_closed() && again[1].is_closed());
        }),
    );
    assert!(closers[0].close_with_exit_code(5));
    assert_eq!(take(&reported), [("own".into(), 5), ("other".into(), 7)]);
    assert!(other.is_closed(&store));
    // From eight threads, while its guest runs.
    let spin = module(engine, r#"(module (func (export "run") (loop $l (br $l))))"#);
    for _ in 0..10 {
        let mut store = Store::new(engine, ());
        let i = Instance::new_with(&mut store, &spin, &[], &noting(&reported, "spin")).unwrap();
        let closer = i.closer(&mut store);
        let start = Arc::new(std::sync::Barrier::new(8));
        let threads: Vec<_> = (0..8)
            .map(|code| {
                let (closer, start) = (closer.clone(), start.clone());
                std::thread::spawn(move || {
                    start.wait();
                    closer.close_with_exit_code(code).then_some(code)
                })
            })
            .collect();
        let error = call(&mut store, i, "run").unwrap_err();
        let won: Vec<u32> = threads.into_iter().filter_map(|t| t.join().unwrap()).collect();
        assert_eq!(won, [closed_code(&error)]);
        assert_eq!(take(&reported), [("spin".into(), won[0])]);
    }
}

/// Guests that do not end by themselves.
const ENDLESS: &str = r#"(module
  (import "h" "m" (memory 1 1 shared))
  (import "h" "block" (func $block))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (export "memory" (memory 0))
  (func (export "loop") (loop $l (br $l)))
  (func (export "wait")
    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
  (func (export "poll")
    ;; One subscription, to the monotonic clock: an hour.
    (i32.store (i32.const 1016) (i32.const 1))
    (i64.store (i32.const 1024) (i64.const 3600000000000))
    (drop (call $poll (i32.const 1000) (i32.const 2000) (i32.const 1) (i32.const 3000))))
  (func (export "host") (call $block)))"#;

fn from_outside(engine: &Engine) {
    let mut linker: Linker<WasiCtx> = Linker::new(engine);
    wardian_wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    let ty = MemoryType { shared: true, ..MemoryType::new(1, Some(1)) };
    linker.define("h", "m", SharedMemory::new(engine, ty).unwrap()).unwrap();
    linker
        .func_wrap("h", "block", |mut caller: Caller<'_, WasiCtx>| {
            let interrupt = caller.interrupt();
            while !interrupt.is_set() {
                std::thread::sleep(Duration::from_millis(1));
            }
        })
        .unwrap();
    let m = module(engine, ENDLESS);
    let reported = Reported::default();
    for (code, name) in (1..).zip(["loop", "wait", "poll", "host"]) {
        let mut store = Store::new(engine, WasiCtx::builder().build());
        let i = linker.instantiate_with(&mut store, &m, &noting(&reported, name)).unwrap();
        let other = linker.instantiate(&mut store, &m).unwrap();
        let closer = i.closer(&mut store);
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            let start = Instant::now();
            closer.close_with_exit_code(code);
            start
        });
        let f = i.typed_func::<(), ()>(&mut store, name).unwrap();
        let error = f.call(&mut store, ()).unwrap_err();
        let took = thread.join().unwrap().elapsed();
        assert_eq!(closed_code(&error), code, "{name}");
        assert!(took < SOON, "{name}: {took:?}");
        assert_eq!(take(&reported), [(name.into(), code)]);
        // Again, and at once.
        assert_eq!(closed_code(&f.call(&mut store, ()).unwrap_err()), code);
        // The store is not stopped.
        let loops = other.typed_func::<(), ()>(&mut store, "loop").unwrap();
        store.set_timeout(Duration::from_millis(5));
        let error = loops.call(&mut store, ()).unwrap_err();
        assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
    }
}

fn closed_calls(engine: &Engine) {
    // The very first call after another thread has closed it.
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, r#"(module (func (export "f")))"#);
    let f = i.typed_func::<(), ()>(&mut store, "f").unwrap();
    f.call(&mut store, ()).unwrap();
    i.closer(&mut store).close_with_exit_code(4);
    assert_eq!(closed_code(&f.call(&mut store, ()).unwrap_err()), 4);
    let lib_text = r#"(module
      (func $f (export "f") (result i32) (i32.const 1))
      (table (export "t") 1 funcref) (elem (i32.const 0) $f)
      (global (export "g") funcref (ref.func $f)))"#;
    let user_text = r#"(module
      (import "lib" "f" (func $f (result i32)))
      (import "lib" "t" (table 1 funcref))
      (import "lib" "g" (global $g funcref))
      (table $own 1 funcref)
      (export "again" (func $f))
      (func (export "import") (result i32) (call $f))
      (func (export "tail") (result i32) (return_call $f))
      (func (export "table") (result i32) (call_indirect (result i32) (i32.const 0)))
      (func (export "copied") (result i32)
        (table.set $own (i32.const 0) (global.get $g))
        (call_indirect $own (result i32) (i32.const 0)))
      (func (export "own") (result i32) (i32.const 2)))"#;
    for outside in [false, true] {
        let mut store = Store::new(engine, ());
        let lib = instance(&mut store, lib_text);
        let mut linker = Linker::new(engine);
        linker.instance(&mut store, "lib", lib).unwrap();
        let user = linked(&mut store, &linker, user_text);
        let names = ["import", "tail", "table", "copied", "again", "own"];
        let calls = names.map(|n| user.typed_func::<(), i32>(&mut store, n).unwrap());
        let known = lib.typed_func::<(), i32>(&mut store, "f").unwrap();
        let closer = lib.closer(&mut store);
        let untyped = calls[0].func();
        for (name, f) in names.iter().zip(&calls) {
            let expected = if *name == "own" { 2 } else { 1 };
            assert_eq!(f.call(&mut store, ()).unwrap(), expected);
        }
        if outside {
            closer.close_with_exit_code(6);
        } else {
            lib.close_with_exit_code(&mut store, 6);
        }
        for _ in 0..2 {
            for (name, f) in names.iter().zip(&calls) {
                match f.call(&mut store, ()) {
                    Ok(value) => assert_eq!((*name, value), ("own", 2)),
                    Err(error) => assert_eq!((closed_code(&error), *name == "own"), (6, false)),
                }
            }
            assert_eq!(closed_code(&known.call(&mut store, ()).unwrap_err()), 6);
            let error = untyped.call(&mut store, &[], &mut [Val::I32(0)]).unwrap_err();
            assert_eq!(closed_code(&error), 6);
        }
        // What was not looked at before: exports, elements, new importers.
        let late = lib.typed_func::<(), i32>(&mut store, "f").unwrap();
        assert_eq!(closed_code(&late.call(&mut store, ()).unwrap_err()), 6);
        let table = lib.get_table(&mut store, "t").unwrap();
        let Some(Val::FuncRef(Some(f))) = table.get(&store, 0) else { panic!("a function") };
        let error = f.call(&mut store, &[], &mut [Val::I32(0)]).unwrap_err();
        assert_eq!(closed_code(&error), 6);
        let late = linked(&mut store, &linker, user_text);
        let f = late.typed_func::<(), i32>(&mut store, "import").unwrap();
        assert_eq!(closed_code(&f.call(&mut store, ()).unwrap_err()), 6);
        let f = late.typed_func::<(), i32>(&mut store, "own").unwrap();
        assert_eq!(f.call(&mut store, ()).unwrap(), 2);
    }
}

fn readable(engine: &Engine) {
    let text = r#"(module (memory (export "m") 1) (global (export "g") (mut i32) (i32.const 4))
      (data (i32.const 3) "hi") (func (export "f")))"#;
    let mut store = Store::new(engine, ());
    let [i, j] = [instance(&mut store, text), instance(&mut store, text)];
    i.close(&mut store);
    assert_eq!(closed_code(&call(&mut store, i, "f").unwrap_err()), 0);
    assert_eq!(&i.get_memory(&mut store, "m").unwrap().data(&store)[3..5], b"hi");
    let g = i.get_global(&mut store, "g").unwrap();
    assert!(matches!(g.get(&store), Val::I32(4)));
    assert_eq!(i.internal(&store).exit_code(), Some(0));
    assert!(!j.is_closed(&store));
    call(&mut store, j, "f").unwrap();
}

/// A guest that calls `h` `act` and then gives 3.
const ACTS: &str = r#"(module (import "h" "act" (func $act (param i32)))
  (func (export "run") (param i32) (result i32) (call $act (local.get 0)) (i32.const 3)))"#;

#[derive(Default)]
struct Others {
    instances: Vec<Instance>,
    closers: Vec<InstanceCloser>,
}

fn unrelated(engine: &Engine) {
    let mut linker: Linker<Others> = Linker::new(engine);
    let act = |mut caller: Caller<'_, Others>, how: i32| {
        let closed = caller.data().instances[1];
        match how {
            // Close another, of the same module, from here or as another thread would.
            0 => assert!(closed.close_with_exit_code(&mut caller, 8)),
            1 => assert!(caller.data().closers[1].close_with_exit_code(8)),
            // Call it, have it closed meanwhile, and continue without it.
            _ => {
                let f = closed.typed_func::<i32, i32>(&mut caller, "run").unwrap();
                let error = f.call(&mut caller, how - 2).unwrap_err();
                assert_eq!(closed_code(&error), 8);
            }
        }
    };
    linker.func_wrap("h", "act", act).unwrap();
    for how in 0..4 {
        let mut store = Store::new(engine, Others::default());
        for _ in 0..2 {
            let i = linked(&mut store, &linker, ACTS);
            let closer = i.closer(&mut store);
            store.data_mut().instances.push(i);
            store.data_mut().closers.push(closer);
        }
        let i = store.data().instances[0];
        let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, how).unwrap(), 3, "{how}");
        assert!(store.data().closers[1].is_closed());
    }
    // The embedder calls a host function, which closes an instance.
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, "(module)");
    let f = Func::wrap(&mut store, move |mut caller: Caller<'_, ()>| {
        assert!(i.close(&mut caller));
        3
    });
    let f = f.typed::<(), i32>(&store).unwrap();
    assert_eq!(f.call(&mut store, ()).unwrap(), 3);
}

fn outer(engine: &Engine) {
    // The first guest calls the host, which calls the second, which calls the host, which closes the
    // first; host functions swallow the errors that they get.
    let mut linker: Linker<Others> = Linker::new(engine);
    let act = |mut caller: Caller<'_, Others>, how: i32| {
        let (first, second) = (caller.data().instances[0], caller.data().instances[1]);
        if how > 1 {
            assert!(first.close_with_exit_code(&mut caller, 9));
            return;
        }
        let f = second.typed_func::<i32, i32>(&mut caller, "run").unwrap();
        let error = f.call(&mut caller, how + 2).unwrap_err();
        assert_eq!(closed_code(&error), 9);
        let error = f.call(&mut caller, how + 2).unwrap_err();
        assert_eq!(closed_code(&error), 9);
    };
    linker.func_wrap("h", "act", act).unwrap();
    let mut store = Store::new(engine, Others::default());
    for _ in 0..2 {
        let i = linked(&mut store, &linker, ACTS);
        store.data_mut().instances.push(i);
    }
    let [first, second] = [store.data().instances[0], store.data().instances[1]];
    let run = first.typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(closed_code(&run.call(&mut store, 0).unwrap_err()), 9);
    // The second was never closed.
    assert!(!second.is_closed(&store));
    let run = second.typed_func::<i32, i32>(&mut store, "run").unwrap();
    let other = instance(&mut store, "(module)");
    store.data_mut().instances = vec![other, second];
    assert_eq!(run.call(&mut store, 2).unwrap(), 3);
}

fn through_links(engine: &Engine) {
    // `user` is called, `lib` loops: closing either ends it; closing a stranger does not.
    let lib_text = r#"(module (func (export "spin") (loop $l (br $l)))
      (table (export "t") 1 funcref))"#;
    let user_text = r#"(module (import "lib" "spin" (func $spin)) (import "lib" "t" (table 1 funcref))
      (elem (i32.const 0) $spin)
      (func (export "direct") (call $spin)) (func (export "indirect") (call_indirect (i32.const 0))))"#;
    for way in ["direct", "indirect"] {
        for which in 0..2 {
            let mut store = Store::new(engine, ());
            let lib = instance(&mut store, lib_text);
            let mut linker = Linker::new(engine);
            linker.instance(&mut store, "lib", lib).unwrap();
            let user = linked(&mut store, &linker, user_text);
            let stranger = instance(&mut store, lib_text);
            let stranger = stranger.closer(&mut store);
            let closer = [lib, user][which].closer(&mut store);
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(10));
                assert!(stranger.close_with_exit_code(1));
                std::thread::sleep(Duration::from_millis(10));
                assert!(closer.close_with_exit_code(2));
            });
            let error = call(&mut store, user, way).unwrap_err();
            assert_eq!(closed_code(&error), 2, "{way}");
            thread.join().unwrap();
        }
    }
}

fn kinds(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "exit", || Err::<(), _>(Error::exit(1))).unwrap();
    linker
        .func_wrap("h", "close", |mut caller: Caller<'_, ()>| {
            let i = caller.instance().unwrap();
            i.close_with_exit_code(&mut caller, 2);
        })
        .unwrap();
    let m = module(
        engine,
        r#"(module (import "h" "exit" (func $exit)) (import "h" "close" (func $close))
          (func (export "exit") (call $exit)) (func (export "close") (call $close))
          (func (export "spin") (loop $l (br $l))))"#,
    );
    let kind = |name: &str, prepare: &dyn Fn(&mut Store<()>)| {
        let mut store = Store::new(engine, ());
        let i = linker.instantiate(&mut store, &m).unwrap();
        prepare(&mut store);
        let error = call(&mut store, i, name).unwrap_err();
        let code = error.exit_code();
        let reported = match error.kind() {
            ErrorKind::Exit(1) => "exit",
            ErrorKind::Closed(2) => "closed",
            ErrorKind::Stopped(StopReason::Deadline) => "deadline",
            ErrorKind::Stopped(StopReason::Cancelled) => "cancelled",
            _ => panic!("{error:?}"),
        };
        (reported, code, error.stop_reason().is_some(), error.trap().is_some())
    };
    assert_eq!(kind("exit", &|_| {}), ("exit", Some(1), false, false));
    assert_eq!(kind("close", &|_| {}), ("closed", Some(2), false, false));
    let deadline = kind("spin", &|store| store.set_timeout(Duration::from_millis(5)));
    assert_eq!(deadline, ("deadline", None, true, false));
    let cancelled = kind("spin", &|store| store.cancel_token().cancel());
    assert_eq!(cancelled, ("cancelled", None, true, false));
}

fn while_dropped(engine: &Engine) {
    let reported = Reported::default();
    let m = module(engine, r#"(module (func (export "f")))"#);
    for round in 0..50u64 {
        let mut store = Store::new(engine, ());
        let i = Instance::new_with(&mut store, &m, &[], &noting(&reported, "i")).unwrap();
        let closer = i.closer(&mut store);
        call(&mut store, i, "f").unwrap();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(round % 7 * 10));
            closer.close_with_exit_code(1)
        });
        std::thread::sleep(Duration::from_micros(round % 5 * 10));
        drop(store);
        let won = thread.join().unwrap();
        assert_eq!(take(&reported), [("i".into(), u32::from(won))]);
    }
}

fn proc_exit(engine: &Engine) {
    let mut linker: Linker<WasiCtx> = Linker::new(engine);
    wardian_wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    let closers: Arc<OnceLock<InstanceCloser>> = Arc::default();
    let seen = closers.clone();
    linker
        .func_wrap("h", "swallow", move |mut caller: Caller<'_, WasiCtx>| {
            let start = caller.get_export("_start").and_then(|e| e.into_func()).unwrap();
            let error = start.call(&mut caller, &[], &mut []).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Exit(5)));
            assert_eq!(seen.get().and_then(InstanceCloser::exit_code), Some(5));
        })
        .unwrap();
    let text = r#"(module
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (import "h" "swallow" (func $swallow))
      (memory (export "memory") 1)
      (func (export "_start") (call $exit (i32.const 5)))
      (func (export "nested") (call $swallow)))"#;
    let m = module(engine, text);
    let reported = Reported::default();
    let mut store = Store::new(engine, WasiCtx::builder().build());
    let i = linker.instantiate_with(&mut store, &m, &noting(&reported, "program")).unwrap();
    let other = linker.instantiate_with(&mut store, &m, &noting(&reported, "other")).unwrap();
    closers.set(other.closer(&mut store)).unwrap();
    let start = i.typed_func::<(), ()>(&mut store, "_start").unwrap();
    let error = start.call(&mut store, ()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Exit(5)), "{error}");
    assert_eq!(take(&reported), [("program".into(), 5)]);
    assert_eq!(i.exit_code(&store), Some(5));
    assert_eq!(closed_code(&start.call(&mut store, ()).unwrap_err()), 5);
    // Nested, and swallowed: it ends all the same.
    let nested = other.typed_func::<(), ()>(&mut store, "nested").unwrap();
    let error = nested.call(&mut store, ()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Exit(5)), "{error}");
    assert_eq!(take(&reported), [("other".into(), 5)]);
    drop(store);
    assert_eq!(take(&reported), []);
}
