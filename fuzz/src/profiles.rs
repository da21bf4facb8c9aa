//! Profiles of modules that somebody has changed, with a hash that fits: they are refused, or they are what they say, and a
//! module that is compiled by one does what it does without.

use crate::input::Input;
use crate::outcome::{note, note_error};
use std::sync::LazyLock;
use wardian::{
    CompileOptions, Config, Engine, EngineKind, Instance, Module, Store, profile::ModuleProfile,
};

/// Small functions in a table, which is called in a loop: one that traps, one that stores, one that calls, one that loops.
const TEXT: &str = r#"(module
    (memory 1) (table 8 funcref) (elem (i32.const 0) $add $load $store $calls $loops $add)
    (type $t (func (param i32) (result i32)))
    (func $add (type $t) (i32.add (local.get 0) (i32.const 3)))
    (func $load (type $t) (i32.load (i32.mul (local.get 0) (i32.const 4099))))
    (func $store (type $t) (i32.store (i32.const 8) (local.get 0)) (local.get 0))
    (func $calls (type $t)
        (if (result i32) (i32.and (local.get 0) (i32.const 1))
            (then (call $add (local.get 0))) (else (local.get 0))))
    (func $loops (type $t) (local i32)
        (loop $l
            (local.set 1 (i32.add (local.get 1) (local.get 0)))
            (br_if $l (local.tee 0 (i32.shr_u (local.get 0) (i32.const 1)))))
        (local.get 1))
    (func (export "run") (param $from i32) (result i32) (local $i i32) (local $x i32)
        (loop $again
            (local.set $x (call_indirect (type $t) (local.get $x)
                (i32.and (i32.add (local.get $from) (local.get $i)) (i32.const 7))))
            (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4))))
        (i32.add (local.get $x) (call $calls (local.get $from)))))"#;

/// Bytes ahead of what the hash is of: see `crates/wardian-runtime/src/profile/bytes.rs`.
const START: usize = 40;
/// Where the hash is.
const HASH: std::ops::Range<usize> = 8..START;
/// Arguments of `run`.
const ARGUMENTS: std::ops::Range<i32> = 0..9;

struct Fixture {
    /// What is compiled at once, and what is compiled after two calls.
    engines: [Engine; 2],
    /// Profiles of runs, and one of a module that has not run.
    profiles: Vec<Vec<u8>>,
    /// What `run` does in an interpreter.
    expected: Vec<Result<i32, String>>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let engines = [EngineKind::Compiled, EngineKind::Tiered].map(|kind| engine(kind, 2));
    let profiles = [1, 50, u32::MAX].map(|hot_after| {
        let engine = engine(EngineKind::Tiered, hot_after);
        let module = Module::new(&engine, TEXT).expect("it is a module");
        if hot_after != u32::MAX {
            (0..40).for_each(|_| drop(run_all(&module)));
        }
        module.profile().to_bytes()
    });
    let module = Module::new(&engine(EngineKind::Interpreted, 1), TEXT).expect("it is a module");
    Fixture { engines, profiles: profiles.into(), expected: run_all(&module) }
});

fn engine(kind: EngineKind, hot_after: u32) -> Engine {
    let mut config = Config::new();
    config.engine(kind).hot_after(Some(hot_after)).background_compilation(false);
    Engine::new(config.compile_threads(1)).expect("the configuration works")
}

/// What `run` returns for each argument, or its error with the backtrace.
fn run_all(module: &Module) -> Vec<Result<i32, String>> {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[]).expect("it imports nothing");
    let run = instance.typed_func::<i32, i32>(&mut store, "run").expect("it is exported");
    ARGUMENTS.map(|from| run.call(&mut store, from).map_err(|error| error.to_string())).collect()
}

pub(crate) fn run(data: &[u8]) {
    let fixture = &*FIXTURE;
    let mut input = Input::new(data);
    let original = &fixture.profiles[input.below(fixture.profiles.len())];
    let mut bytes = original.clone();
    for _ in 0..input.below(5) {
        change(&mut bytes, &mut input);
    }
    if bytes.len() >= START && input.below(8) != 0 {
        let hash = blake3::hash(&bytes[START..]);
        bytes[HASH].copy_from_slice(hash.as_bytes());
    }
    let profile = match ModuleProfile::from_bytes(&bytes) {
        Ok(profile) => profile,
        Err(error) => {
            assert!(bytes != *original, "a whole profile is refused: {error}");
            return note_error("read", &error);
        }
    };
    assert!(profile.to_bytes() == bytes, "a profile is written as other bytes");
    read_all(&profile);
    merge(&profile, original);
    for engine in &fixture.engines {
        compile(engine, &profile, &fixture.expected);
    }
}

fn change(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    if bytes.is_empty() {
        return;
    }
    // Mostly behind what says which module it is of.
    let at = match input.below(8) {
        0 => input.below(bytes.len()),
        _ => (START + 32 + input.below(256)).min(bytes.len() - 1),
    };
    match input.below(7) {
        0 => bytes[at] ^= 1 << input.below(8),
        1 => bytes[at] = input.byte(),
        2 => bytes.insert(at, input.byte()),
        3 => drop(bytes.remove(at)),
        4 => bytes.truncate(at),
        5 => {
            let end = (at + 8).min(bytes.len());
            bytes[at..end].fill(0xff);
        }
        _ => {
            let copied: Vec<u8> = bytes[at..].iter().copied().take(input.below(40)).collect();
            let to = (START + 32 + input.below(256)).min(bytes.len());
            bytes.splice(to..to, copied);
        }
    }
}

/// Everything that a profile says.
fn read_all(profile: &ModuleProfile) {
    for function in profile.functions() {
        let _ = (function.index(), function.count(), function.is_hot());
        let loops = function.hot_loops().count();
        for call in function.calls() {
            let at_least: u64 = call.targets().map(|target| target.at_least).sum();
            assert!(at_least <= call.count(), "more calls of functions than calls");
            assert!(call.targets().all(|target| target.at_least <= target.at_most));
        }
        note(format!("loops {}, calls {}", loops.min(3), function.calls().len().min(3)));
    }
}

/// Profiles of one module can be merged, others cannot; what comes of it is a profile.
fn merge(profile: &ModuleProfile, original: &[u8]) {
    let mut whole = ModuleProfile::from_bytes(original).expect("it was written");
    match whole.merge(profile) {
        Ok(()) => {
            let again = ModuleProfile::from_bytes(&whole.to_bytes()).expect("it was merged");
            assert!(again.to_bytes() == whole.to_bytes());
            read_all(&whole);
        }
        Err(error) => note_error("merge", &error),
    }
}

/// A module by the profile: the same as without.
fn compile(engine: &Engine, profile: &ModuleProfile, expected: &[Result<i32, String>]) {
    let module = match Module::new_with(engine, TEXT, &CompileOptions::new().with_profile(profile))
    {
        Ok(module) => module,
        Err(error) => return note_error("compile", &error),
    };
    assert!(profile.is_of(&module), "a profile of another module is used");
    assert!(run_all(&module) == expected, "by this profile the module does something else");
    note("compiled");
}
