//! What tiered engines keep in a cache, and begin with the next time.

use crate::matrix::{Behaviour, HAS_JIT};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wardian::{
    CompileOptions, Config, Engine, EngineKind, Instance, Linker, Module, Store, cache::DiskCache,
    profile::ModuleProfile,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a module is kept, profiled and begun with while threads run and compile it", threads),
    ("a module that begins with what was kept does what it did without", again),
    ("a profile can be read that was taken while guests ran on other threads", taken_meanwhile),
];

/// A loop that is unrolled, one that calls by reference what is compiled into it, and one that calls a host function.
const TEXT: &str = r#"(module
  (import "h" "next" (func $next (param i32) (result i32)))
  (memory 1)
  (type $t (func (param i32) (result i32)))
  (table funcref (elem $double $square $trap))
  (func $double (type $t) (i32.add (local.get 0) (local.get 0)))
  (func $square (type $t) (i32.mul (local.get 0) (local.get 0)))
  (func $trap (type $t) (i32.load (i32.shl (local.get 0) (i32.const 16))))
  (func (export "sum") (param $n i32) (result i32) (local $i i32)
    (loop $l
      (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (local.get $i)))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (i32.load (i32.const 8)))
  (func (export "apply") (param $n i32) (result i32) (local $i i32) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum)
        (call_indirect (type $t) (local.get $i)
          (i32.rem_u (local.get $i) (i32.const 2)))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (local.get $sum))
  (func (export "host") (param $n i32) (result i32) (local $i i32) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (call $next (local.get $i))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (local.get $sum))
  (func (export "trap") (param $n i32) (result i32)
    (call_indirect (type $t) (local.get $n) (i32.and (local.get $n) (i32.const 3)))))"#;

const NAMES: [&str; 4] = ["sum", "apply", "host", "trap"];

/// An engine that compiles what was called or repeated so often, with the settings of another, as in a process of its own.
fn tiered(like: &Engine, hot_after: u32, background: bool, folder: &Path) -> Engine {
    let mut config: Config = like.config().clone();
    config.engine(EngineKind::Tiered).hot_after(Some(hot_after));
    config.background_compilation(background).compile_threads(2);
    let engine = Engine::new(&config).unwrap();
    engine.set_cache(Some(Arc::new(cache(folder))));
    engine
}

/// A cache in a folder, which others may read.
fn cache(folder: &Path) -> DiskCache {
    DiskCache::new(folder.join("cache")).unwrap()
}

/// What all exports return in an instance of its own, and where those fail that fail.
fn run(module: &Module, rounds: i32) -> Vec<String> {
    let mut linker = Linker::new(module.engine());
    linker.func_wrap("h", "next", |n: i32| n + 1).unwrap();
    let mut store = Store::new(module.engine(), ());
    let instance: Instance = linker.instantiate(&mut store, module).unwrap();
    let mut call = |name: &str, argument| {
        let f = instance.typed_func::<i32, i32>(&mut store, name).unwrap();
        match f.call(&mut store, argument) {
            Ok(result) => result.to_string(),
            Err(error) => format!("{error:#}"),
        }
    };
    let mut seen = Vec::new();
    for argument in [rounds, 2, rounds / 2, 3, rounds - 1] {
        seen.extend(NAMES.map(|name| format!("{name}({argument}): {}", call(name, argument))));
    }
    seen
}

fn expected(like: &Engine, rounds: i32) -> Vec<String> {
    let mut config: Config = like.config().clone();
    let engine = Engine::new(config.engine(EngineKind::Interpreted)).unwrap();
    run(&Module::new(&engine, TEXT).unwrap(), rounds)
}

fn threads(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    const ROUNDS: i32 = 2000;
    let folder = tempfile::tempdir().unwrap();
    let expected = expected(engine, ROUNDS);
    for hot_after in [100, 3] {
        let engine = tiered(engine, hot_after, true, folder.path());
        let module = Module::new(&engine, TEXT).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let guests = [(); 3].map(|()| {
                scope.spawn(|| (0..4).for_each(|_| assert_eq!(run(&module, ROUNDS), expected)))
            });
            let others = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    module.keep_compiled(Duration::from_millis(1));
                    let profile = module.profile();
                    // Begins with what was just kept, and is dropped while it is compiled.
                    let options = CompileOptions::new().with_profile(&profile);
                    Module::new_with(&engine, TEXT, &options).unwrap();
                    let again = Module::new(&engine, TEXT).unwrap();
                    assert_eq!(run(&again, ROUNDS), expected);
                }
            });
            let ended = guests.map(std::thread::ScopedJoinHandle::join);
            done.store(true, Ordering::Relaxed);
            ended.into_iter().for_each(|ended| ended.unwrap());
            others.join().unwrap();
        });
    }
}

/// Guests change what is noted of calls while it is read.
fn taken_meanwhile(engine: &Engine) {
    const TURNS: &str = r#"(module (type $t (func)) (table funcref (elem $a $b $c $d))
      (func $a) (func $b) (func $c) (func $d)
      (func (export "run") (local $i i32)
        (loop $l
          (call_indirect (type $t) (i32.and (local.get $i) (i32.const 3)))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
            (i32.const 15000))))))"#;
    if !HAS_JIT {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let engine = tiered(engine, u32::MAX, false, folder.path());
    for _ in 0..8 {
        let module = Module::new(&engine, TURNS).unwrap();
        std::thread::scope(|scope| {
            let guests = [(); 2].map(|()| {
                scope.spawn(|| {
                    let mut store = Store::new(&engine, ());
                    let instance = Instance::new(&mut store, &module, &[]).unwrap();
                    let run = instance.typed_func::<(), ()>(&mut store, "run").unwrap();
                    run.call(&mut store, ()).unwrap();
                })
            });
            while !guests.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                let profile = module.profile();
                let read = ModuleProfile::from_bytes(&profile.to_bytes()).unwrap();
                assert_eq!(read, profile);
            }
        });
    }
}

fn again(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    const ROUNDS: i32 = 200;
    let expected = expected(engine, ROUNDS);
    for counts in [[30, 30, 30, 2], [2, 100, 1, 0], [1000, 30, 2, 1000]] {
        let folder = tempfile::tempdir().unwrap();
        for (start, hot_after) in counts.into_iter().enumerate() {
            let engine = tiered(engine, hot_after, false, folder.path());
            let module = Module::new(&engine, TEXT).unwrap();
            assert_eq!(run(&module, ROUNDS), expected, "start {start}, hot after {hot_after}");
            if start % 2 == 1 {
                module.keep_compiled(Duration::ZERO);
                assert_eq!(run(&module, ROUNDS), expected, "start {start} once more");
            }
        }
        let kept = cache(folder.path()).size().unwrap();
        assert!(kept > 0, "{counts:?}");
    }
}
