//! Hooks in any order: listeners that come and go, snapshots and restores, cancels, closes, deadlines,
//! panics, calls that are suspended and dropped.
//!
//! Whatever happens, a call that returns has returned the right number, one that does not has an error of a
//! kind that was provoked, and every listener has heard one ending for each beginning.

mod ear;
mod host;

use crate::input::Input;
use crate::outcome::note;
use ear::Ear;
use host::{OnPurpose, World};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wardian::{
    CallOptions, Config, Engine, EngineKind, ErrorKind, Instance, Linker, Module, Result, Store,
    TypedFunc, cache::DiskCache, listener::FunctionFilter,
};

const TEXT: &str = r#"(module $m
  (import "h" "act" (func $act (param i32) (result i32)))
  (import "h" "wait" (func $wait (param i32) (result i32)))
  (type $t (func (param i32) (result i32)))
  (memory (export "memory") 1 4) (global $g (export "g") (mut i64) (i64.const 5))
  (table $table (export "table") 4 funcref) (elem (i32.const 1) $mid $leaf)
  (func $leaf (export "leaf") (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $mid (export "mid") (type $t)
    (if (result i32) (i32.le_s (local.get 0) (i32.const 0))
      (then (call $leaf (local.get 0)))
      (else
        (i32.add (call $act (local.get 0)) (call_indirect (type $t)
          (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))
        ;; Snapshots of calls that have ended are restored here.
        (i32.add (i32.sub (call $act (i32.const 9)) (i32.const 9))))))
  (func $tail (export "tail") (type $t) (return_call $mid (local.get 0)))
  (func $loop (export "loop") (type $t) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (call $leaf (call $act (local.get 0)))))
      (br_if $l (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0))))
    (local.get $sum))
  ;; A loop that is unrolled.
  (func $sum (export "sum") (type $t) (local $sum i32)
    (local.set 0 (i32.mul (local.get 0) (i32.const 40)))
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (local.get 0)))
      (br_if $l (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0))))
    (local.get $sum))
  ;; What is called is compiled into this, by a profile.
  (func $pick (export "pick") (type $t) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum)
        (call_indirect (type $t) (local.get 0) (i32.const 2))))
      (br_if $l (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0))))
    (local.get $sum))
  (func $slow (export "slow") (type $t) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum)
        (i32.add (call $wait (local.get 0)) (call $mid (local.get 0)))))
      (br_if $l (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0))))
    (local.get $sum)))"#;

/// What each function returns.
fn expected(name: &str, n: i32) -> i32 {
    let rounds = || (1..=n.max(1)).map(|i| if n > 0 { i } else { n });
    match name {
        "leaf" => n + 1,
        "loop" | "pick" => rounds().map(|i| i + 1).sum(),
        "sum" if n > 0 => (1..=40 * n).sum(),
        "sum" => 40 * n,
        "slow" => rounds().map(|i| i + expected("mid", i)).sum(),
        _ if n <= 0 => n + 1,
        _ => n + expected("mid", n - 1),
    }
}

const SYNC: [&str; 6] = ["mid", "tail", "loop", "leaf", "sum", "pick"];

/// Engines, each with the module; the last two begin with what earlier ones have kept in a cache.
static ENGINES: LazyLock<Vec<(Engine, Module)>> = LazyLock::new(|| {
    let with_module = |engine: Engine| {
        let module = Module::new(&engine, TEXT).expect("it is a module");
        (engine, module)
    };
    let engines = [
        (EngineKind::Interpreted, true, false),
        (EngineKind::Compiled, true, false),
        (EngineKind::Compiled, false, false),
        (EngineKind::Tiered, true, false),
        (EngineKind::Tiered, true, true),
        (EngineKind::Interpreted, false, false),
    ];
    let engines = engines.map(|(kind, signals, background)| engine(kind, signals, background));
    let mut engines: Vec<_> = engines.into_iter().map(with_module).collect();
    let folder = tempfile::tempdir().expect("a folder of its own");
    for background in [false, false, true] {
        let engine = engine(EngineKind::Tiered, true, background);
        let cache = DiskCache::new(folder.path().join("cache")).expect("the folder is our own");
        engine.set_cache(Some(Arc::new(cache)));
        let (engine, module) = with_module(engine);
        let linker = linker(&engine);
        (0..4).for_each(|_| works(&linker, &module, &[]));
        module.keep_compiled(Duration::ZERO);
        engines.push((engine, module));
    }
    // The first of these began with nothing.
    engines.remove(engines.len() - 3);
    engines
});

fn engine(kind: EngineKind, signals: bool, background: bool) -> Engine {
    let mut config = Config::new();
    config.engine(kind).signals(signals).hot_after(Some(2)).compile_threads(2);
    config.background_compilation(background).stack_size(512 << 10);
    Engine::new(&config).expect("the configuration works")
}

fn linker(engine: &Engine) -> Linker<World> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("h", "act", host::act).expect("defined once");
    linker
        .func_wrap_async("h", "wait", |caller, (n,): (i32,)| Box::pin(host::wait(caller, n)))
        .expect("defined once");
    linker
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (engine, module) = &ENGINES[input.below(ENGINES.len())];
    let linker = linker(engine);
    let mut world = World::new(data);
    while !world.is_over() {
        let mut store = Store::new(engine, world);
        let snapshots = store.data_mut().below(2) == 0;
        store.enable_snapshots(snapshots);
        session(&linker, module, &mut store);
        let mut left = store.into_data();
        // Attachments, snapshots and tokens outlive the store, sometimes.
        if left.below(2) == 0 {
            left.forget();
        }
        left.ears().iter().for_each(Ear::check);
        world = left.next();
    }
    works(&linker, module, data);
}

/// Whatever happened, the engine works.
fn works(linker: &Linker<World>, module: &Module, data: &[u8]) {
    let mut store = Store::new(linker.engine(), World::quiet(data));
    let instance = linker.instantiate(&mut store, module).expect("nothing is in the way");
    for name in SYNC {
        let f = instance.typed_func::<i32, i32>(&mut store, name).expect("it is exported");
        assert_eq!(f.call(&mut store, 3).expect("nothing stops it"), expected(name, 3));
    }
}

/// Instances and calls in one store, until the store is to go.
fn session(linker: &Linker<World>, module: &Module, store: &mut Store<World>) {
    let mut instance = None;
    while !store.data().is_over() {
        let Some(current) = instance else {
            instance = Some(instantiate(linker, module, store));
            continue;
        };
        match store.data_mut().below(12) {
            0 => return,
            1 => instance = None,
            2 => store.clear_cancellation(),
            3 => host::attach(&mut *store, current),
            4 => host::detach(&mut *store),
            5 => {
                current.close_with_exit_code(&mut *store, 3);
                store.data_mut().allow("closed");
                instance = None;
            }
            6 | 7 => suspended(store, current),
            8 => {
                let token = store.cancel_token();
                store.data_mut().keep_token(token);
            }
            _ => plain(store, current),
        }
        let ears = store.data().ears();
        ears.iter().for_each(Ear::check);
    }
}

fn instantiate(linker: &Linker<World>, module: &Module, store: &mut Store<World>) -> Instance {
    let instance = linker.instantiate(&mut *store, module).expect("nothing is in the way");
    let token = store.cancel_token();
    store.data_mut().keep_token(token);
    if store.data_mut().below(2) == 0 {
        let ear = store.data_mut().ear();
        let kept = instance.attach(&mut *store, FunctionFilter::all().listen(ear));
        kept.expect("listeners can be attached").keep();
    }
    instance
}

fn function(store: &mut Store<World>, instance: Instance, name: &str) -> TypedFunc<i32, i32> {
    instance.typed_func::<i32, i32>(store, name).expect("it is exported")
}

fn plain(store: &mut Store<World>, instance: Instance) {
    let (name, n) = (SYNC[store.data_mut().below(SYNC.len())], store.data_mut().below(5) as i32);
    let f = function(store, instance, name);
    let mut options = CallOptions::new();
    if store.data_mut().below(2) == 0 {
        options = options.with_snapshotter();
    }
    match store.data_mut().below(16) {
        0 => {
            options = options.with_timeout(Duration::ZERO);
            store.data_mut().allow("deadline");
        }
        1 => options = options.with_timeout(Duration::from_secs(3600)),
        _ => {}
    }
    store.data_mut().begin();
    let ended = catch_unwind(AssertUnwindSafe(|| f.call_with(&mut *store, &options, n)));
    ended_well(store, name, n, ended);
}

/// Polls so often as the input says, then drops what has not ended.
fn suspended(store: &mut Store<World>, instance: Instance) {
    let name = if store.data_mut().below(4) == 0 { "loop" } else { "slow" };
    let (n, polls) = (store.data_mut().below(4) as i32, store.data_mut().below(24));
    let f = function(store, instance, name);
    store.data_mut().begin();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let mut call = Box::pin(f.call_async(&mut *store, n));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            if let Poll::Ready(result) = call.as_mut().poll(&mut context) {
                return Some(result);
            }
        }
        None
    }));
    match ended {
        Ok(None) => note("a suspended call was dropped"),
        Ok(Some(result)) => ended_well(store, name, n, Ok(result)),
        Err(payload) => ended_well(store, name, n, Err(payload)),
    }
}

fn ended_well(store: &Store<World>, name: &str, n: i32, ended: std::thread::Result<Result<i32>>) {
    let world = store.data();
    match ended {
        Ok(Ok(result)) => {
            note(format!("{name} returned"));
            assert_eq!(result, expected(name, n), "{name}({n})");
        }
        Ok(Err(error)) => {
            let kind = error.kind();
            let allowed = match kind {
                ErrorKind::Host(_) => error.to_string().contains("on purpose"),
                ErrorKind::Closed(3) => world.allows("closed"),
                ErrorKind::Stopped(_) => world.allows("cancelled") || world.allows("deadline"),
                // A host function's that called one that waits, without a future.
                _ => false,
            };
            assert!(allowed, "{name}({n}) ended with {kind:?}: {error}");
            note(format!("{name} ended: {}", error.to_string().lines().next().unwrap_or_default()));
        }
        Err(payload) if payload.is::<OnPurpose>() => note(format!("{name} panicked")),
        Err(payload) => resume_unwind(payload),
    }
}
