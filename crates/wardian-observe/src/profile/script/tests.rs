//! Goroutines of a synthetic program: tables and stack are as Go has them, but no Go made them. Real programs are too large
//! for this repository.

#[path = "../../../../wardian-module/src/go/tests/program.rs"]
#[allow(dead_code, reason = "only the newest version is needed here")]
mod program;

use crate::{GuestFrames, Profile, Profiler, ProfilerOptions, TrapReport};
use program::{GO_1_27, data, memory};
use std::time::{Duration, Instant};
use wardian::{Config, Engine, EngineKind, Instance, Module, Store};

/// A goroutine whose calls were left and that is entered again in `main.helper`: `main.main` has called it, as is on its
/// stack only. It computes, or traps for zero.
fn program() -> String {
    let data = data(&memory(GO_1_27));
    format!(
        r#"(module (memory (export "memory") 2) (table 0x1100 funcref) (elem (i32.const 0x1000) 0 1)
          (global $sp (mut i32) (i32.const 0x10000)) (global $left (mut i32) (i32.const 0))
          (func (param i32) (result i32)
            (drop (i64.const 0x10000001)) (drop (call 1 (i32.const 0)))
            (drop (i64.const 0x10000002)) (call 1 (i32.const 0)))
          (func (param i32) (result i32)
            (local.set 0 (global.get $left))
            (if (i32.eqz (local.get 0)) (then (unreachable)))
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (i32.const 0))
          (func (export "run") (param i32)
            (global.set $left (local.get 0))
            ;; Behind the frame of `helper` there is where it returns to in `main`.
            (i64.store (i32.const 0x10008) (i64.const 0x10000002))
            (drop (call 1 (i32.const 1))))
          {data})"#
    )
}

fn engines() -> Vec<EngineKind> {
    match cfg!(feature = "jit") {
        true => vec![EngineKind::Compiled, EngineKind::Tiered, EngineKind::Interpreted],
        false => vec![EngineKind::Interpreted],
    }
}

fn instance(kind: EngineKind) -> (Store<()>, Instance) {
    let engine = Engine::new(Config::new().engine(kind)).expect("the configuration works");
    let module = Module::new(&engine, program()).expect("it is valid");
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).expect("it has no imports");
    (store, instance)
}

/// Profiles the program until there is a stack with these functions, the outermost first.
fn profile_until(kind: EngineKind, how: GuestFrames, expected: &[&str]) -> Profile {
    let (mut store, instance) = instance(kind);
    let options = ProfilerOptions::sampling().with_interval(Duration::from_micros(300));
    let profiler = Profiler::new(options.with_guest_frames(how));
    profiler.watch_store(&mut store).expect("it is sampled");
    let run = instance.typed_func::<i32, ()>(&mut store, "run").expect("it is exported");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(50) {
        run.call(&mut store, 10_000_000).expect("it returns");
        let profile = profiler.profile();
        if stacks(&profile).iter().any(|(names, samples)| names == expected && *samples >= 20) {
            return profile;
        }
    }
    panic!("{kind:?} {how}: {:?}", stacks(&profiler.profile()));
}

/// The functions of each stack, the outermost first, and its samples.
fn stacks(profile: &Profile) -> Vec<(Vec<String>, u64)> {
    let name = |location: usize| {
        let location = &profile.locations()[location];
        profile.functions()[location.lines.last().expect("it has one").function].name.clone()
    };
    let all = profile.stacks().iter().map(|stack| {
        let mut names = vec![name(stack.location)];
        let mut at = stack.parent;
        while let Some(parent) = at.map(|parent| &profile.stacks()[parent]) {
            names.insert(0, name(parent.location));
            at = parent.parent;
        }
        (names, profile.values(stack)[0])
    });
    all.collect()
}

#[test]
fn calls_that_a_goroutine_was_not_entered_in_are_in_profiles() {
    for kind in engines() {
        let (main, helper) = ("main.main", "main.helper");
        profile_until(kind, GuestFrames::Mixed, &["run", main, helper]);
        profile_until(kind, GuestFrames::Only, &[main, helper]);
        let off = profile_until(kind, GuestFrames::Off, &["run", helper]);
        assert!(off.summary().function(main).is_none(), "{kind:?}");
    }
}

#[test]
fn calls_that_a_goroutine_was_not_entered_in_are_in_reports_of_traps() {
    for kind in engines() {
        let (mut store, instance) = instance(kind);
        let run = instance.typed_func::<i32, ()>(&mut store, "run").expect("it is exported");
        let error = run.call(&mut store, 0).unwrap_err();
        let report = |how| {
            let report = TrapReport::new(&error).with_memory_of(instance.internal(&store));
            report.with_guest_frames(how).to_string()
        };
        let names = |text: &str| -> Vec<String> {
            let numbered = text.lines().filter_map(|line| line.split_once(": "));
            let numbered = numbered.filter(|(number, _)| number.trim().parse::<u32>().is_ok());
            numbered.map(|(_, name)| name.split(['(', ' ']).next().unwrap_or("").into()).collect()
        };
        let mixed = report(GuestFrames::Mixed);
        assert_eq!(names(&mixed), ["main.helper", "main.main", "run"], "{kind:?}: {mixed}");
        assert!(mixed.contains("main.go:7"), "{mixed}");
        let only = report(GuestFrames::Only);
        assert_eq!(names(&only), ["main.helper", "main.main"], "{kind:?}: {only}");
        let off = report(GuestFrames::Off);
        assert_eq!(names(&off), ["main.helper", "run"], "{kind:?}: {off}");
    }
}
