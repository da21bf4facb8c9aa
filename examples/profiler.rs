//! Profiles of a guest: where it spends its time, by samples and by the call, and who allocates. They are
//! shown as tables; `Profile::write` writes them for other tools.

use wardian::{Engine, Instance, Module, Result, Store, TypedFunc};
use wardian_observe::{Format, Profile, Profiler, ProfilerOptions};

/// Parses and evaluates in turn, three times as much of the one; and allocates, freeing half of it.
const PROGRAM: &str = r#"(module $calculator
  (memory 1)
  (global $heap (mut i32) (i32.const 16))
  (func $malloc (param $size i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get $size)))
    ;; Another page when this one is used up.
    (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
      (then (drop (memory.grow (i32.const 1))))))
  (func $free (param $at i32))
  (func $work (param $n i32)
    (loop $next (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $parse (result i32)
    (call $work (i32.const 300000))
    (call $malloc (i32.const 1000)))
  (func $evaluate (param $tree i32)
    (call $work (i32.const 100000))
    (drop (call $malloc (i32.const 24)))
    (call $free (local.get $tree)))
  (func $run (export "run") (param $times i32)
    (loop $next
      (call $evaluate (call $parse))
      (br_if $next (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))"#;

/// Runs the program with a profiler.
fn profile(options: ProfilerOptions, times: i32) -> Result<Profile> {
    let engine = Engine::default();
    let module = Module::new(&engine, PROGRAM)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let run: TypedFunc<i32, ()> = instance.typed_func(&mut store, "run")?;
    let profiler = Profiler::new(options);
    profiler.watch(&mut store, instance)?;
    run.call(&mut store, times)?;
    let profile = profiler.finish();
    println!("{}", profile.table(10, 100, profile.main_value()));
    Ok(profile)
}

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    let sampled = profile(ProfilerOptions::sampling(), 200)?;
    let mut folded = Vec::new();
    sampled.write(Format::Folded, &mut folded).expect("memory takes all");
    println!("{}", String::from_utf8_lossy(&folded));

    let exact = profile(ProfilerOptions::exact(), 20)?;
    let calls = exact.value_index("calls").expect("exact profiles count calls");
    let summary = exact.summary();
    let called = |name: &str| summary.function(name).map(|f| f.own[calls]);
    assert_eq!(called("work"), Some(40));
    assert_eq!(called("evaluate"), Some(20));

    let memory = profile(ProfilerOptions::memory(), 100)?;
    let summary = memory.summary();
    let value = |name: &str, value: &str| {
        let value = memory.value_index(value).expect("profiles of memory have it");
        summary.function(name).map(|f| f.own[value])
    };
    assert_eq!(value("parse", "alloc_space"), Some(100 * 1000));
    assert_eq!(value("parse", "inuse_space"), Some(0));
    assert_eq!(value("evaluate", "inuse_space"), Some(100 * 24));
    assert_eq!(value("malloc", "grown_space"), Some(65536));
    Ok(())
}
