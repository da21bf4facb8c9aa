//! Profiles of memory.

use super::check;
use crate::matrix::instance;
use wardian::{CompileOptions, Engine, Instance, Module, Store};
use wardian_observe::{Profiler, ProfilerOptions};

/// An allocator that never reuses, and a program.
pub(super) const ALLOCATES: &str = r#"(module $m (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 64))
  (func $dlmalloc (param $n i32) (result i32)
    (if (i32.gt_u (local.get $n) (i32.const 100000)) (then (return (i32.const 0))))
    (global.get $top)
    (global.set $top (i32.add (global.get $top) (local.get $n)))
    (loop $l (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
      (then (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable))) (br $l)))))
  (func $malloc (param i32) (result i32) (call $dlmalloc (local.get 0)))
  (func $calloc (param i32 i32) (result i32)
    (call $malloc (i32.mul (local.get 0) (local.get 1))))
  (func $realloc (param i32 i32) (result i32) (call $malloc (local.get 1)))
  (func $free (param i32))
  (func $leaks (drop (call $malloc (i32.const 10))) (drop (call $malloc (i32.const 10))))
  (func $tidies (call $free (call $calloc (i32.const 5) (i32.const 8))))
  (func $moves (local $at i32)
    (local.set $at (call $malloc (i32.const 100)))
    (local.set $at (call $realloc (local.get $at) (i32.const 300)))
    ;; Fails, and frees nothing.
    (drop (call $realloc (local.get $at) (i32.const 200000)))
    (call $free (i32.const 0)))
  (func (export "run") (call $leaks) (call $tidies) (call $moves))
  (func (export "big") (drop (call $malloc (i32.const 99000))) (drop (call $malloc (i32.const 99000))))
  (func (export "odd") (call $free (i32.const 12345)))
  (func (export "trap") (loop $l (drop (call $malloc (i32.const 99000))) (br $l))))"#;

pub(super) fn allocations(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, ALLOCATES);
    let profiler = Profiler::new(ProfilerOptions::memory());
    profiler.watch(&mut store, i).unwrap();
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    (0..2).for_each(|_| run.call(&mut store, ()).unwrap());
    i.typed_func::<(), ()>(&mut store, "odd").unwrap().call(&mut store, ()).unwrap();
    let profile = profiler.finish();
    let expected = [("run;leaks", 40), ("run;moves", 800), ("run;tidies", 80)];
    check(&profile, "alloc_space", &expected);
    let expected = [("run;leaks", 4), ("run;moves", 4), ("run;tidies", 2)];
    check(&profile, "alloc_objects", &expected);
    check(&profile, "inuse_space", &[("run;leaks", 40), ("run;moves", 600)]);
    check(&profile, "inuse_objects", &[("run;leaks", 4), ("run;moves", 2)]);
    let notes = profile.meta().notes.join(" ");
    assert!(notes.contains("those of calloc, dlmalloc, free, malloc, realloc"), "{notes}");
    assert!(notes.contains("1 times memory was freed"), "{notes}");
    // More at once than are watched.
    let profiler = Profiler::new(ProfilerOptions::memory().with_max_allocations(2));
    profiler.watch(&mut store, i).unwrap();
    run.call(&mut store, ()).unwrap();
    let profile = profiler.finish();
    assert_eq!(profile.total(0), 5);
    assert!(profile.meta().notes.join(" ").contains("allocations were not watched"));
}

pub(super) fn growth(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, ALLOCATES);
    let profiler = Profiler::new(ProfilerOptions::memory());
    profiler.watch(&mut store, i).unwrap();
    i.typed_func::<(), ()>(&mut store, "big").unwrap().call(&mut store, ()).unwrap();
    let profile = profiler.finish();
    check(&profile, "grown_space", &[("big;malloc;dlmalloc", 3 * 65536)]);
    check(&profile, "alloc_space", &[("big", 198_000)]);
    // A module in which nothing has the name of an allocator.
    let i = instance(
        &mut store,
        r#"(module (memory 1) (func $sbrk (drop (memory.grow (i32.const 2))))
          (func (export "run") (call $sbrk) (drop (memory.grow (i32.const 1)))))"#,
    );
    let profiler = Profiler::new(ProfilerOptions::memory());
    profiler.watch(&mut store, i).unwrap();
    i.typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
    let profile = profiler.finish();
    check(&profile, "grown_space", &[("run", 65536), ("run;sbrk", 2 * 65536)]);
    assert_eq!(profile.value_types()[profile.main_value()].name, "grown_space");
    assert!(profile.meta().notes[0].contains("only growth"), "{:?}", profile.meta().notes);
}

pub(super) fn aborted_allocations(engine: &Engine) {
    let mut store = Store::new(
        engine,
        wardian::limits::StoreLimits {
            memory_bytes: 4 << 16,
            ..wardian::limits::StoreLimits::default()
        },
    );
    store.limiter(|limits| limits);
    let i = instance(&mut store, ALLOCATES);
    let profiler = Profiler::new(ProfilerOptions::memory());
    profiler.watch(&mut store, i).unwrap();
    i.typed_func::<(), ()>(&mut store, "trap").unwrap().call(&mut store, ()).unwrap_err();
    i.typed_func::<(), ()>(&mut store, "odd").unwrap().call(&mut store, ()).unwrap();
    let profile = profiler.finish();
    check(&profile, "alloc_space", &[("trap", 2 * 99_000)]);
    check(&profile, "grown_space", &[("trap;malloc;dlmalloc", 3 * 65536)]);
}

/// Two instances of a store, and two of which each has a shared memory, have the same addresses.
pub(super) fn memories_apart(engine: &Engine) {
    let shared = ALLOCATES.replace("1)\n  (global", "1 9 shared)\n  (global");
    assert_ne!(shared, ALLOCATES);
    for program in [ALLOCATES, &shared] {
        let module = Module::new(engine, program).unwrap();
        let mut store = Store::new(engine, ());
        let profiler = Profiler::new(ProfilerOptions::memory().with_max_allocations(8));
        for _ in 0..2 {
            let i = Instance::new(&mut store, &module, &[]).unwrap();
            profiler.watch(&mut store, i).unwrap();
            i.typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
        }
        check(&profiler.profile(), "inuse_space", &[("run;leaks", 40), ("run;moves", 600)]);
    }
    // What was allocated in instances that are gone makes room for others.
    let module = Module::new(engine, ALLOCATES).unwrap();
    let profiler = Profiler::new(ProfilerOptions::memory().with_max_allocations(5));
    for _ in 0..20 {
        let mut store = Store::new(engine, ());
        let i = Instance::new(&mut store, &module, &[]).unwrap();
        profiler.watch(&mut store, i).unwrap();
        i.typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
    }
    let profile = profiler.finish();
    check(&profile, "inuse_space", &[("run;leaks", 20 * 20), ("run;moves", 20 * 300)]);
    assert!(!profile.meta().notes.join(" ").contains("not watched"), "{:?}", profile.meta().notes);
}

/// Listeners that a module was compiled with stay, and are notified of nothing more.
pub(super) fn finished_allocations(engine: &Engine) {
    let profiler = Profiler::new(ProfilerOptions::memory());
    let compile = CompileOptions::new().with_function_listener_factory(profiler.listener_factory());
    let module = Module::new_with(engine, ALLOCATES, &compile).unwrap();
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &module, &[]).unwrap();
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    run.call(&mut store, ()).unwrap();
    let expected = [("run;leaks", 20), ("run;moves", 400), ("run;tidies", 40)];
    check(&profiler.finish(), "alloc_space", &expected);
    run.call(&mut store, ()).unwrap();
    check(&profiler.profile(), "alloc_space", &expected);
    check(&profiler.profile(), "inuse_space", &[("run;leaks", 20), ("run;moves", 300)]);
}
