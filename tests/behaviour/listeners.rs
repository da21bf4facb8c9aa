//! Listeners: one ending for each beginning, whatever happens.

use crate::log::{Log, Recorder};
use crate::matrix::{Behaviour, instance, linked, module};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wardian::{
    Caller, CompileOptions, Engine, Error, Func, Instance, Linker, Module, Store, Val,
    listener::{
        AbortReason, Call, FunctionFilter, FunctionListener, FunctionListenerFactory,
        FunctionListenerFunc, MultiFunctionListenerFactory,
    },
    stack::StackIterator,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("listeners see calls, arguments and results", values),
    ("listeners see calls through tables, imports and start functions", ways),
    ("listeners see host functions and who calls them", host_functions),
    ("listeners know the calling instance", callers),
    ("every beginning has one ending, whatever ends the call", endings),
    ("a tail call ends its frame before its successor begins", tail_calls),
    ("tail calls of listened functions use no stack", deep_tail_calls),
    ("a function that is listened to makes tail calls to others that are not", half_listened),
    ("nested calls end in order", nested),
    ("several listeners are notified in the order of their factories", order),
    ("a listener that panics ends the guest, and all are notified", panicking),
    ("a suspended guest's calls end when its future is dropped", abandoned),
    ("a thousand listened frames are walked and ended", deep),
];

fn compiled(engine: &Engine, text: &str, log: &Log) -> Module {
    let options = CompileOptions::new().with_function_listener_factory(log.factory());
    Module::new_with(engine, text, &options).unwrap_or_else(|e| panic!("{e}"))
}

fn run(store: &mut Store<()>, instance: Instance, name: &str) -> Result<(), Error> {
    instance.typed_func::<(), ()>(&mut *store, name)?.call(store, ())
}

fn values(engine: &Engine) {
    let log = Log::default();
    let text = r#"(module $m
      (func $f (param $x i32) (param f32) (param v128) (param i64) (result v128 i32 f64)
        (local.get 2) (i32.sub (i32.const 0) (local.get 0)) (f64.const 1.5))
      (func (export "go") (result v128 i32 f64)
        (call $f (i32.const -7) (f32.const 0.5)
          (v128.const i64x2 3 4) (i64.const -1))))"#;
    let mut store = Store::new(engine, ());
    let m = compiled(engine, text, &log);
    let i = Instance::new(&mut store, &m, &[]).unwrap();
    let go = i.typed_func::<(), (u128, i32, f64)>(&mut store, "go").unwrap();
    assert_eq!(go.call(&mut store, ()).unwrap(), ((4 << 64) | 3, 7, 1.5));
    let half = u64::from(0.5f32.to_bits());
    let results = [3, 4, 7, 1.5f64.to_bits()];
    assert_eq!(
        log.take(),
        [
            "before go []".to_owned(),
            format!("before f [4294967289, {half}, 3, 4, {}]", u64::MAX),
            format!("after f {results:?}"),
            format!("after go {results:?}"),
        ]
    );
}

const WAYS: &str = r#"(module
  (table (export "t") 2 funcref) (elem (i32.const 0) $a $b)
  (func $a (export "a")) (func $b (call $a))
  (func $start (call $b))
  (func (export "indirect") (call_indirect (i32.const 1)))
  (start $start))"#;

fn ways(engine: &Engine) {
    let log = Log::default();
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &compiled(engine, WAYS, &log), &[]).unwrap();
    let reported = ["before start []", "before b []", "before a []"];
    let ends = ["after a []", "after b []", "after start []"];
    assert_eq!(log.take(), [&reported[..], &ends[..]].concat());
    run(&mut store, i, "indirect").unwrap();
    assert_eq!(log.take().len(), 6);
    // A table element called by the embedder.
    let element = i.get_table(&mut store, "t").unwrap().get(&store, 0).unwrap();
    let Val::FuncRef(Some(a)) = element else { panic!("a function") };
    a.call(&mut store, &[], &mut []).unwrap();
    assert_eq!(log.take(), ["before a []", "after a []"]);
    // From another instance, which imports it, and exports it again.
    let text = r#"(module (import "m" "a" (func $a)) (export "again" (func $a))
      (func (export "go") (call $a)))"#;
    let mut linker = Linker::new(engine);
    linker.instance(&mut store, "m", i).unwrap();
    let j = linked(&mut store, &linker, text);
    run(&mut store, j, "go").unwrap();
    run(&mut store, j, "again").unwrap();
    assert_eq!(log.take(), ["before a []", "after a []", "before a []", "after a []"]);
}

fn host_functions(engine: &Engine) {
    let log = Log::default();
    let text = r#"(module $guest
      (import "h" "f" (func $f (param i32) (result i32)))
      (import "h" "g" (func $g))
      (table 2 funcref) (elem (i32.const 0) $f $g)
      (func (export "direct") (drop (call $f (i32.const 3))) (call $g))
      (func (export "indirect")
        (drop (call_indirect (param i32) (result i32) (i32.const 4) (i32.const 0)))))"#;
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "f", |x: i32| x + 1).unwrap();
    let mut store = Store::new(engine, ());
    let g = Func::wrap(&mut store, || ());
    linker.define("h", "g", g).unwrap();
    let i = linker.instantiate(&mut store, &compiled(engine, text, &log)).unwrap();
    run(&mut store, i, "direct").unwrap();
    assert_eq!(
        log.take(),
        [
            "before direct []",
            "before f [3] from guest",
            "after f [4] from guest",
            "before g [] from guest",
            "after g [] from guest",
            "after direct []",
        ]
    );
    run(&mut store, i, "indirect").unwrap();
    let reported = log.take();
    assert_eq!(reported[1..3], ["before f [4] from guest", "after f [5] from guest"]);
}

fn callers(engine: &Engine) {
    let log = Log::default();
    let mut store = Store::new(engine, ());
    let exporter = compiled(
        engine,
        r#"(module $lib (func $f (export "f")) (func (export "g") (call $f))
          (table (export "t") 1 funcref) (elem (i32.const 0) $f))"#,
        &log,
    );
    let lib = Instance::new(&mut store, &exporter, &[]).unwrap();
    let mut linker = Linker::new(engine);
    linker.instance(&mut store, "lib", lib).unwrap();
    let user = module(
        engine,
        r#"(module (import "lib" "f" (func $f)) (import "lib" "t" (table 1 funcref))
          (func (export "direct") (call $f)) (func (export "tail") (return_call $f))
          (func (export "indirect") (call_indirect (i32.const 0))))"#,
    );
    // Two instances of one module, so that the module alone does not tell them apart.
    let users = ["left", "right"].map(|name| {
        let options = wardian::InstantiateOptions::new().with_name(name);
        linker.instantiate_with(&mut store, &user, &options).unwrap()
    });
    for (user, name) in users.iter().zip(["left", "right"]) {
        for way in ["direct", "indirect", "tail"] {
            run(&mut store, *user, way).unwrap();
            let reported = [format!("before f [] from {name}"), format!("after f [] from {name}")];
            assert_eq!(log.take_with_callers(), reported, "{way}");
        }
    }
    run(&mut store, lib, "g").unwrap();
    let reported = log.take_with_callers();
    assert_eq!(reported[..2], ["before g []", "before f [] from lib"]);
}

/// `f` calls `end`, which ends it as the number says.
const ENDS: &str = r#"(module
  (import "h" "end" (func $end (param i32)))
  (memory 1) (table 1 funcref)
  (func $deep (param i32) (call $deep (i32.add (local.get 0) (i32.const 1))))
  (func $spin (loop $l (br $l)))
  (func $inner (param $how i32)
    (if (i32.eq (local.get $how) (i32.const 0)) (then (unreachable)))
    (if (i32.eq (local.get $how) (i32.const 1))
      (then (drop (i32.load (i32.const -1)))))
    (if (i32.eq (local.get $how) (i32.const 2))
      (then (drop (i32.div_s (i32.const 1) (i32.const 0)))))
    (if (i32.eq (local.get $how) (i32.const 3)) (then (call_indirect (i32.const 0))))
    (if (i32.eq (local.get $how) (i32.const 4)) (then (call $deep (i32.const 0))))
    (if (i32.eq (local.get $how) (i32.const 5)) (then (call $spin)))
    (call $end (local.get $how)))
  (func $f (export "f") (param i32) (call $inner (local.get 0)) (unreachable)))"#;

fn endings(engine: &Engine) {
    let names = ["trap", "bounds", "division", "null", "overflow", "deadline", "host error"];
    let all = names.iter().chain(&["exit", "panic", "close"]);
    for (how, name) in (0..).zip(all) {
        let log = Log::default();
        let mut linker: Linker<()> = Linker::new(engine);
        let end = |mut caller: Caller<'_, ()>, how: i32| match how {
            6 => Err(Error::host("no")),
            7 => Err(Error::exit(3)),
            8 => std::panic::resume_unwind(Box::new("boom")),
            _ => {
                caller.instance().unwrap().close_with_exit_code(&mut caller, 9);
                Ok(())
            }
        };
        linker.func_wrap("h", "end", end).unwrap();
        let mut store = Store::new(engine, ());
        let i = linker.instantiate(&mut store, &compiled(engine, ENDS, &log)).unwrap();
        let f = i.typed_func::<i32, ()>(&mut store, "f").unwrap();
        if how == 5 {
            // It must not pass before the guest is there.
            store.set_timeout(Duration::from_millis(400));
        }
        let done = catch_unwind(AssertUnwindSafe(|| f.call(&mut store, how)));
        assert!(!matches!(done, Ok(Ok(()))), "{name}");
        let reported = log.take();
        log.assert_balanced();
        let ends: Vec<&String> =
            reported.iter().filter(|line| !line.starts_with("before")).collect();
        let last = ends.last().unwrap();
        assert!(last.starts_with("abort f"), "{name}: {last}");
        if how == 9 {
            // The host function itself returned.
            assert!(ends[0].starts_with("after end"), "{name}: {}", ends[0]);
            assert!(last.contains("closed with exit code 9"), "{last}");
        } else {
            assert!(ends.iter().all(|line| line.starts_with("abort")), "{name}: {ends:?}");
        }
        if how == 4 {
            assert!(ends.len() > 500, "{}", ends.len());
        }
    }
}

fn tail_calls(engine: &Engine) {
    let log = Log::default();
    let text = r#"(module
      (table funcref (elem $c))
      (func $c (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
      (func $b (param i32) (result i32)
        (return_call_indirect (param i32) (result i32) (local.get 0) (i32.const 0)))
      (func $a (export "a") (param i32) (result i32)
        (if (local.get 0) (then (return_call $b (i32.const 5))))
        (i32.const 8)))"#;
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &compiled(engine, text, &log), &[]).unwrap();
    let a = i.typed_func::<i32, i32>(&mut store, "a").unwrap();
    assert_eq!(a.call(&mut store, 1).unwrap(), 6);
    let reported = log.take();
    assert_eq!(
        reported,
        ["before a [1]", "tail a []", "before b [5]", "tail b []", "before c [5]", "after c [6]"]
    );
    assert_eq!(a.call(&mut store, 0).unwrap(), 8);
    assert_eq!(log.take(), ["before a [0]", "after a [8]"]);
    // A null element: the call is never made, so the frame does not end with it.
    let text = r#"(module (table 1 funcref) (func $f (export "f")
      (return_call_indirect (i32.const 0))))"#;
    let i = Instance::new(&mut store, &compiled(engine, text, &log), &[]).unwrap();
    run(&mut store, i, "f").unwrap_err();
    let reported = log.take();
    assert!(reported.len() == 2 && reported[1].starts_with("abort f"), "{reported:?}");
}

fn deep_tail_calls(engine: &Engine) {
    let log = Log::counting();
    let text = r#"(module
      (func $odd (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (return_call $even (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 1))))
      (func $even (export "even") (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (return_call $odd (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 0)))))"#;
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &compiled(engine, text, &log), &[]).unwrap();
    let even = i.typed_func::<i32, i32>(&mut store, "even").unwrap();
    assert_eq!(even.call(&mut store, 300_000).unwrap(), 0);
    assert_eq!(log.counts(), (300_001, 300_001));
}

fn nested(engine: &Engine) {
    let log = Log::default();
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_wrap("h", "again", |mut caller: Caller<'_, ()>, n: i32| {
            let f = caller.get_export("f").and_then(|e| e.into_func()).unwrap();
            let done = f.typed::<i32, ()>(&caller)?.call(&mut caller, n - 1);
            // Traps are caught at one level.
            if n == 2 { Ok(()) } else { done }
        })
        .unwrap();
    let text = r#"(module (import "h" "again" (func $again (param i32)))
      (func $f (export "f") (param i32)
        (if (i32.eqz (local.get 0)) (then (unreachable)))
        (call $again (local.get 0))))"#;
    let mut store = Store::new(engine, ());
    let i = linker.instantiate(&mut store, &compiled(engine, text, &log)).unwrap();
    i.typed_func::<i32, ()>(&mut store, "f").unwrap().call(&mut store, 3).unwrap();
    let reported: Vec<String> =
        log.take().iter().map(|l| l.split(':').next().unwrap().into()).collect();
    let expected = [
        "before f [3]",
        "before again [3]",
        "before f [2]",
        "before again [2]",
        "before f [1]",
        "before again [1]",
        "before f [0]",
        "abort f",
        "abort again",
        "abort f",
        "after again []",
        "after f []",
        "after again []",
        "after f []",
    ];
    assert_eq!(reported, expected);
}

fn order(engine: &Engine) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let factory = |name: &'static str| {
        let log = log.clone();
        let listener = FunctionListenerFunc(
            move |call: &Call<'_>, _: &[u64], stack: &mut StackIterator<'_>| {
                // Each gets the iterator from its top.
                assert!(stack.next());
                let top = stack.function().definition();
                assert_eq!(top.index(), call.definition().index());
                while stack.next() {}
                log.lock().unwrap().push(name);
            },
        );
        FunctionFilter::all().listen(listener)
    };
    let multi = MultiFunctionListenerFactory::new([
        Arc::new(factory("one")) as Arc<dyn FunctionListenerFactory>,
        Arc::new(factory("two")),
    ]);
    let options = CompileOptions::new()
        .with_function_listener_factory(multi)
        .with_function_listener_factory(factory("three"));
    let m = Module::new_with(engine, r#"(module (func (export "f")))"#, &options).unwrap();
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &m, &[]).unwrap();
    let attached = i.attach(&mut store, factory("four")).unwrap();
    run(&mut store, i, "f").unwrap();
    attached.detach(&mut store);
    run(&mut store, i, "f").unwrap();
    let reported = log.lock().unwrap().clone();
    assert_eq!(reported, ["one", "two", "three", "four", "one", "two", "three"]);
}

struct Faulty(&'static str, Arc<AtomicU64>);

impl FunctionListener for Faulty {
    fn before(&self, _: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {
        if self.0 == "before" {
            std::panic::resume_unwind(Box::new("faulty"));
        }
    }
    fn after(&self, _: &Call<'_>, _: &[u64]) {
        self.1.fetch_add(1, Ordering::Relaxed);
        if self.0 == "after" {
            std::panic::resume_unwind(Box::new("faulty"));
        }
    }
    fn abort(&self, _: &Call<'_>, _: &AbortReason<'_>) {
        self.1.fetch_add(1, Ordering::Relaxed);
        if self.0 == "abort" {
            std::panic::resume_unwind(Box::new("faulty"));
        }
    }
}

fn panicking(engine: &Engine) {
    let text = r#"(module (func $leaf) (func (export "go") (call $leaf))
      (func (export "trap") (unreachable)) (func (export "fine")))"#;
    for (what, export) in [("before", "go"), ("after", "go"), ("abort", "trap")] {
        let log = Log::default();
        let endings = Arc::new(AtomicU64::new(0));
        let faulty = FunctionFilter::name("fine").inverted();
        let faulty = faulty.listen(Faulty(what, endings.clone()));
        let options = CompileOptions::new()
            .with_function_listener_factory(log.factory())
            .with_function_listener_factory(faulty)
            .with_function_listener_factory(log.factory());
        let m = Module::new_with(engine, text, &options).unwrap();
        let mut store = Store::new(engine, ());
        let i = Instance::new(&mut store, &m, &[]).unwrap();
        let done = catch_unwind(AssertUnwindSafe(|| run(&mut store, i, export)));
        let payload = done.unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"faulty"), "{what}");
        log.assert_balanced();
        assert_eq!(endings.load(Ordering::Relaxed) == 0, what == "before");
        run(&mut store, i, "fine").unwrap();
        log.assert_balanced();
    }
}

fn abandoned(engine: &Engine) {
    let log = Log::default();
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_wrap_async("h", "wait", |_: Caller<'_, ()>, (ready,): (i32,)| {
            Box::pin(async move {
                if ready == 0 {
                    std::future::pending::<()>().await;
                }
                let mut polled = false;
                std::future::poll_fn(|_| match std::mem::replace(&mut polled, true) {
                    true => std::task::Poll::Ready(()),
                    false => std::task::Poll::Pending,
                })
                .await;
                ready * 2
            })
        })
        .unwrap();
    let text = r#"(module (import "h" "wait" (func $wait (param i32) (result i32)))
      (func (export "go") (param i32) (result i32) (call $wait (local.get 0))))"#;
    let mut store = Store::new(engine, ());
    let i = linker.instantiate(&mut store, &compiled(engine, text, &log)).unwrap();
    let go = i.typed_func::<i32, i32>(&mut store, "go").unwrap();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut call = Box::pin(go.call_async(&mut store, 4));
    assert!(call.as_mut().poll(&mut context).is_pending());
    let std::task::Poll::Ready(done) = call.as_mut().poll(&mut context) else { panic!("waits") };
    assert_eq!(done.unwrap(), 8);
    drop(call);
    assert_eq!(log.take(), ["before go [4]", "before wait [4]", "after wait [8]", "after go [8]"]);
    let mut call = Box::pin(go.call_async(&mut store, 0));
    assert!(call.as_mut().poll(&mut context).is_pending());
    drop(call);
    let reported = log.take();
    assert!(reported[2].starts_with("abort wait: the call was abandoned"), "{reported:?}");
    assert!(reported[3].starts_with("abort go") && reported.len() == 4);
    // Forgotten: notified at the latest when the store goes.
    let mut call = Box::pin(go.call_async(&mut store, 0));
    assert!(call.as_mut().poll(&mut context).is_pending());
    std::mem::forget(call);
    drop(store);
    log.assert_balanced();
}

fn half_listened(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (table 2 funcref) (elem (i32.const 0) $odd $even)
          (type $t (func (param i32 i32) (result i32)))
          (func $even (export "even") (type $t)
            (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
            (return_call $odd (i32.sub (local.get 0) (i32.const 1)) (i32.add (local.get 1) (i32.const 2))))
          (func $odd (export "odd") (type $t)
            (if (i32.eqz (local.get 0)) (then (return (i32.const -1))))
            (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (local.get 1)
              (i32.const 1))))"#,
    );
    let even = i.typed_func::<(i32, i32), i32>(&mut store, "even").unwrap();
    assert_eq!(even.call(&mut store, (10, 0)).unwrap(), 10);
    for listened in ["even", "odd"] {
        let log = Log::default();
        let listener = FunctionFilter::name(listened).listen(Recorder(log.clone()));
        let attached = i.attach(&mut store, listener).unwrap();
        assert_eq!(even.call(&mut store, (10, 0)).unwrap(), 10);
        log.assert_balanced();
        assert_eq!(log.counts().0, if listened == "even" { 6 } else { 5 });
        attached.detach(&mut store);
    }
}

fn deep(engine: &Engine) {
    let depths = Arc::new(Mutex::new(Vec::new()));
    let log = depths.clone();
    let listener =
        FunctionListenerFunc(move |_: &Call<'_>, _: &[u64], stack: &mut StackIterator<'_>| {
            let mut depth = 0;
            while stack.next() {
                depth += 1;
            }
            log.lock().unwrap().push(depth);
        });
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (func $f (export "f") (param i32)
          (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))))))"#,
    );
    let _attached = i.attach(&mut store, FunctionFilter::all().listen(listener)).unwrap();
    i.typed_func::<i32, ()>(&mut store, "f").unwrap().call(&mut store, 1000).unwrap();
    assert_eq!(*depths.lock().unwrap(), (1..=1001).collect::<Vec<_>>());
}
