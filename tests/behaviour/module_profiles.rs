//! Profiles of modules: what they say, and that nothing but speed depends on them.

use crate::inlining::{self, Make};
use crate::log::Log;
use crate::matrix::{Behaviour, HAS_JIT, is_compiled, module};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use wardian::{
    CompileOptions, Config, Engine, EngineKind, Instance, Module, Store, UsageKind,
    profile::{FunctionProfile, ModuleProfile},
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a profile says what was called", says),
    ("a profile says what was called by reference", says_of_references),
    ("a profile has what was hot", hot),
    ("by a profile, a compiled engine inlines through tables", inlined),
    ("by a profile, what was hot is compiled before it is called", at_once),
    ("by a profile, what was hot is compiled in the background", in_the_background),
    ("by a profile, functions that were not hot inline through tables", later),
    ("a profile of another module is refused", refused),
    ("a listener of the engine hears of calls that a profile inlined", listened),
    ("with a profile, traps in inlined functions have their frames", |engine| {
        trained(engine, inlining::traps);
    }),
    ("with a profile, a listener that comes meanwhile hears of inlined calls", |engine| {
        trained(engine, inlining::listeners);
    }),
    ("with a profile, inlined functions are called where they call others", |engine| {
        trained(engine, inlining::calls);
    }),
    ("with a profile, a table that changes is called as it is", |engine| {
        trained(engine, inlining::tables);
    }),
    ("with a profile, a reference that changes is called as it is", |engine| {
        trained(engine, inlining::references);
    }),
];

/// Five functions in a table: `run` calls one so often, through the table.
const TEXT: &str = r#"(module (table funcref (elem $f0 $f1 $f2 $f3 $f4)) (type $t (func (param i32) (result i32)))
  (func $f0 (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $f1 (type $t) (i32.mul (local.get 0) (i32.const 3)))
  (func $f2 (type $t) (i32.sub (local.get 0) (i32.const 5)))
  (func $f3 (type $t) (i32.xor (local.get 0) (i32.const 7)))
  (func $f4 (type $t) (i32.rotl (local.get 0) (i32.const 9)))
  (func $call (export "call") (param i32 i32) (result i32)
    (call_indirect (type $t) (local.get 0) (local.get 1)))
  (func $run (export "run") (param $times i32) (param $which i32) (result i32) (local $x i32)
    (loop $again
      (local.set $x (call $call (local.get $x) (local.get $which)))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $x))
  (func (export "never")))"#;

const CALL: u32 = 5;
const RUN: u32 = 6;

/// An engine in tiers with the settings of another one, in which functions are hot after so many calls and rounds.
fn tiered(engine: &Engine, hot_after: u32) -> Engine {
    let mut config = engine.config().clone();
    config.engine(EngineKind::Tiered).hot_after(Some(hot_after)).background_compilation(false);
    Engine::new(&config).unwrap()
}

/// Calls `run` of the module with these numbers; what it returns.
fn run(module: &Module, calls: &[(i32, i32)]) -> Vec<i32> {
    let mut store = Store::new(module.engine(), ());
    let i = Instance::new(&mut store, module, &[]).unwrap();
    let run = i.typed_func::<(i32, i32), i32>(&mut store, "run").unwrap();
    calls.iter().map(|call| run.call(&mut store, *call).unwrap()).collect()
}

/// The profile of [`TEXT`] after these calls of `run`, in an engine with these settings.
fn profile(engine: &Engine, hot_after: u32, calls: &[(i32, i32)]) -> ModuleProfile {
    let module = module(&tiered(engine, hot_after), TEXT);
    run(&module, calls);
    module.profile()
}

fn profiled(engine: &Engine, text: &str, profile: &ModuleProfile) -> Module {
    let options = CompileOptions::new().with_profile(profile);
    Module::new_with(engine, text, &options).unwrap_or_else(|e| panic!("{e}"))
}

fn function(profile: &ModuleProfile, index: u32) -> FunctionProfile<'_> {
    profile.functions().find(|function| function.index() == index).expect("it was called")
}

/// The functions that `$call` called, with how often at least and at most.
fn targets(profile: &ModuleProfile) -> Vec<(u32, u64, u64)> {
    let calls: Vec<_> = function(profile, CALL).calls().collect();
    let [call] = &calls[..] else { panic!("{calls:?}") };
    call.targets().map(|t| (t.function, t.at_least, t.at_most)).collect()
}

fn says(engine: &Engine) {
    let in_engine = module(engine, TEXT);
    run(&in_engine, &[(10, 1)]);
    assert_eq!(in_engine.profile().is_empty(), engine.config().engine_kind() != EngineKind::Tiered);
    if !HAS_JIT {
        return;
    }
    let listened = engine.config().has_function_listeners();
    let calls = [(30, 1), (20, 0), (5, 3), (4, 2)];
    let p = profile(engine, 1000, &calls);
    let count = |index| function(&p, index).count();
    assert_eq!([count(0), count(1), count(CALL)], [20, 30, 59]);
    // A loop has as many rounds as there are ways back to its header, and one.
    assert_eq!(count(RUN), 4 + 59);
    assert!(p.functions().all(|f| !f.is_hot() && f.hot_loops().len() == 0), "{p:?}");
    assert!(p.functions().all(|f| f.index() != 4 && f.index() != RUN + 1), "{p:?}");
    // Calls of functions that are listened to are not noted.
    let seen = [(1, 30, 30), (0, 20, 20), (3, 5, 5), (2, 4, 4)];
    if listened {
        assert_eq!(function(&p, CALL).calls().len(), 0);
        return;
    }
    assert_eq!(targets(&p), seen);
    let call = function(&p, CALL).calls().next().unwrap();
    let name = module(engine, TEXT).info().bodies.iter().nth(CALL as usize).unwrap().clone();
    let at = call.code_offset() as usize + module(engine, TEXT).info().code_section;
    assert!(name.contains(&at) && module(engine, TEXT).bytes()[at] == 0x11);
    let mut merged = p.clone();
    merged.merge(&profile(engine, 1000, &[(40, 4)])).unwrap();
    assert_eq!(function(&merged, CALL).count(), 99);
    let merged = targets(&merged);
    assert_eq!(merged.iter().map(|t| t.0).collect::<Vec<_>>(), [4, 1, 0, 3]);
    for ((_, least, most), exact) in merged.iter().zip([40, 30, 20, 5]) {
        assert!((least..=most).contains(&&exact), "{merged:?}");
    }
    assert_eq!(ModuleProfile::from_bytes(&p.to_bytes()).unwrap(), p);
}

fn says_of_references(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    let text = r#"(module (type $t (func (param i32) (result i32))) (elem declare func $one $two)
      (func $one (type $t) (i32.const 1))
      (func $two (type $t) (i32.const 2))
      (func (export "run") (param $times i32) (param $which i32) (result i32)
        (loop $again (result i32)
          (call_ref $t (local.get 0)
            (if (result (ref $t)) (local.get $which) (then (ref.func $two)) (else (ref.func $one))))
          (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))"#;
    let module = module(&tiered(engine, u32::MAX), text);
    assert_eq!(run(&module, &[(7, 0), (20, 1)]), [1, 2]);
    let profile = module.profile();
    let calls: Vec<_> = function(&profile, 2).calls().collect();
    if engine.config().has_function_listeners() {
        assert_eq!(calls.len(), 0);
        return;
    }
    let [call] = &calls[..] else { panic!("{calls:?}") };
    let targets: Vec<_> = call.targets().map(|t| (t.function, t.at_least, t.at_most)).collect();
    assert_eq!((call.count(), targets), (27, vec![(1, 20, 20), (0, 7, 7)]));
}

fn hot(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    let p = profile(engine, 20, &[(5, 1), (100, 1)]);
    let [call, run, leaf] = [CALL, RUN, 1].map(|index| function(&p, index));
    assert!(call.is_hot(), "{p:?}");
    // Where nobody listens it is inlined before it is hot itself.
    assert_eq!(
        leaf.is_hot(),
        engine.config().has_function_listeners() || !optimizes(engine),
        "{p:?}"
    );
    assert!(!run.is_hot() && run.hot_loops().len() == 1, "{p:?}");
    // What is hot is compiled by the next call, or counts until then.
    assert!((20..=22).contains(&call.count()), "{p:?}");
    // A function counts on while it cannot be compiled, or is not yet.
    let mut config = engine.config().clone();
    config.engine(EngineKind::Tiered).hot_after(Some(20)).background_compilation(true);
    let slow = module(&Engine::new(&config).unwrap(), TEXT);
    let counted = (0..1000).map(|_| {
        run_once(&slow);
        function(&slow.profile(), CALL).count()
    });
    let counted: Vec<u64> = counted.take(5).collect();
    assert!(counted.is_sorted(), "{counted:?}");
}

fn run_once(module: &Module) {
    run(module, &[(30, 1)]);
}

/// Bytes of machine code of `$call` in a compiled engine.
fn size(engine: &Engine, profile: Option<&ModuleProfile>) -> usize {
    let module = match profile {
        Some(profile) => profiled(engine, TEXT, profile),
        None => module(engine, TEXT),
    };
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &module, &[]).unwrap();
    i.internal(&store).machine_code(CALL).map_or(0, |code| code.len())
}

fn inlined(engine: &Engine) {
    // Else what is found is the code that notifies.
    if !is_compiled(engine) || engine.config().has_function_listeners() {
        return;
    }
    let training = Engine::new(&Config::new()).unwrap();
    let calls = [(3000, 1), (2500, 0), (100, 2)];
    let p = profile(&training, 100_000, &calls);
    let (plain, by_profile) = (size(engine, None), size(engine, Some(&p)));
    if optimizes(engine) {
        assert!(by_profile > plain + 16, "{plain} {by_profile}");
    } else {
        assert_eq!(by_profile, plain, "nothing is inlined");
    }
    let without = Engine::new(engine.config().clone().inlining(false)).unwrap();
    assert_eq!(size(&without, Some(&p)), size(&without, None));
    // Other functions are called as before.
    let calls = [(7, 1), (7, 0), (7, 2), (7, 3), (7, 4)];
    assert_eq!(run(&profiled(engine, TEXT, &p), &calls), run(&module(engine, TEXT), &calls));
}

/// Whether compiled code is optimised, without which nothing is inlined.
fn optimizes(engine: &Engine) -> bool {
    format!("{:?}", engine.config()).contains("optimize: true")
}

fn at_once(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    let p = profile(engine, 20, &[(5, 1), (100, 1)]);
    for (hot_after, lazily) in [(20, false), (1_000_000, false), (1_000_000, true)] {
        let mut config = tiered(engine, hot_after).config().clone();
        let engine = Engine::new(config.lazy_validation(lazily)).unwrap();
        let m = profiled(&engine, TEXT, &p);
        assert!(m.code_size() > 0);
        let mut store = Store::new(&engine, ());
        let i = Instance::new(&mut store, &m, &[]).unwrap();
        let call = i.typed_func::<(i32, i32), i32>(&mut store, "call").unwrap();
        assert_eq!(call.call(&mut store, (2, 1)).unwrap(), 6);
        assert_eq!(m.profile().functions().map(|f| f.count()).sum::<u64>(), 0, "{p:?}");
        assert!(function(&m.profile(), CALL).is_hot());
        // The loop is entered after some rounds.
        let before = m.code_size();
        let run = i.typed_func::<(i32, i32), i32>(&mut store, "run").unwrap();
        run.call(&mut store, (5000, 1)).unwrap();
        assert!(function(&m.profile(), RUN).count() < 600, "{:?}", m.profile());
        if hot_after > 20 {
            assert_eq!(m.code_size(), before);
        }
    }
}

fn in_the_background(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    let p = profile(engine, 20, &[(5, 1), (100, 1)]);
    let mut config = tiered(engine, 1_000_000).config().clone();
    let engine = Engine::new(config.background_compilation(true)).unwrap();
    let m = profiled(&engine, TEXT, &p);
    let begin = Instant::now();
    while m.code_size() == 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing was compiled");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(run(&m, &[(7, 1)]), run(&module(&engine, TEXT), &[(7, 1)]));
    // A module that goes takes with it what was to be compiled.
    for _ in 0..10 {
        drop(profiled(&engine, TEXT, &p));
    }
}

/// What is called through a table in the first run is inlined in the second, in a function that is hot only there.
fn later(engine: &Engine) {
    let listened = engine.config().has_function_listeners();
    if !HAS_JIT || listened || !optimizes(engine) {
        return;
    }
    let p = profile(engine, 1000, &[(300, 1)]);
    assert!(p.functions().all(|f| !f.is_hot()));
    let size = |m: &Module| {
        let mut store = Store::new(m.engine(), ());
        let i = Instance::new(&mut store, m, &[]).unwrap();
        let call = i.typed_func::<(i32, i32), i32>(&mut store, "call").unwrap();
        for _ in 0..5 {
            call.call(&mut store, (1, 4)).unwrap();
        }
        i.internal(&store).machine_code(CALL).expect("it is hot").len()
    };
    let engine = tiered(engine, 2);
    let without = Engine::new(engine.config().clone().inlining(false)).unwrap();
    let plain = size(&module(&without, TEXT));
    // What is called now alone, and with it what was called then.
    let (now, both) = (size(&module(&engine, TEXT)), size(&profiled(&engine, TEXT, &p)));
    assert!(plain < now && plain < both, "{plain} {now} {both}");
    assert_ne!(now, both);
}

fn refused(engine: &Engine) {
    let p = profile_of_own_kind(engine);
    let other = TEXT.replace("i32.const 9", "i32.const 8");
    let options = CompileOptions::new().with_profile(&p);
    let error = Module::new_with(engine, &other, &options).unwrap_err();
    let kind = |error: &wardian::Error| match error.kind() {
        wardian::ErrorKind::Usage(usage) => Some(usage.kind()),
        _ => None,
    };
    assert_eq!(kind(&error), Some(UsageKind::Profile), "{error}");
    assert_eq!(error.to_string(), "the profile is of another module");
    let mut merged = p.clone();
    let error = merged.merge(&module(engine, &other).profile()).unwrap_err();
    assert_eq!((kind(&error), merged == p), (Some(UsageKind::Profile), true), "{error}");
    let error = ModuleProfile::from_bytes(TEXT.as_bytes()).unwrap_err();
    assert_eq!(kind(&error), Some(UsageKind::Profile), "{error}");
    // Names are no code.
    let renamed = TEXT.replace("$call", "$something").replace("(module", "(module $named");
    let m = profiled(engine, &renamed, &p);
    assert!(p.is_of(&m) && p.is_of(&module(engine, TEXT)));
    assert!(!p.is_of(&module(engine, &other)));
    assert_eq!(run(&m, &[(2, 1)]), [0]);
}

/// A profile of [`TEXT`], of an engine in tiers if there is one.
fn profile_of_own_kind(engine: &Engine) -> ModuleProfile {
    match HAS_JIT {
        true => profile(engine, 20, &[(100, 1)]),
        false => module(engine, TEXT).profile(),
    }
}

/// A module that is compiled by a profile from where nobody listened, for those who listen from the start.
fn listened(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    let p = profile(&Engine::new(&Config::new()).unwrap(), 100_000, &[(3000, 1)]);
    let log = Log::default();
    let options = CompileOptions::new().with_profile(&p);
    let options = options.with_function_listener_factory(log.factory());
    let m = Module::new_with(engine, TEXT, &options).unwrap();
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &m, &[]).unwrap();
    let run = i.typed_func::<(i32, i32), i32>(&mut store, "run").unwrap();
    for _ in 0..10 {
        run.call(&mut store, (3, 1)).unwrap();
        let heard = log.take();
        assert_eq!(
            heard.iter().filter(|line| line.starts_with("before f1 ")).count(),
            3,
            "{heard:?}"
        );
        assert_eq!(heard.iter().filter(|line| line.starts_with("before call ")).count(), 3);
        assert_eq!(heard.len(), 2 * (1 + 3 + 3));
    }
}

/// Checks a behaviour in an engine in tiers, and then, with the profiles of its modules, in this one.
fn trained(engine: &Engine, behaviour: fn(&Engine, Make<'_>)) {
    if !HAS_JIT {
        return;
    }
    let modules: RefCell<HashMap<String, Vec<Module>>> = RefCell::default();
    behaviour(&tiered(engine, 1000), &|engine, text| {
        let module = module(engine, text);
        modules.borrow_mut().entry(text.to_owned()).or_default().push(module.clone());
        module
    });
    let used = RefCell::new(0);
    behaviour(engine, &|engine, text| {
        let known = &modules.borrow()[text];
        let mut profile = known[0].profile();
        for module in &known[1..] {
            profile.merge(&module.profile()).unwrap();
        }
        let has_targets = |f: FunctionProfile<'_>| f.calls().any(|call| call.targets().len() != 0);
        *used.borrow_mut() += usize::from(profile.functions().any(has_targets));
        profiled(engine, text, &profile)
    });
    assert!(*used.borrow() > 0 || engine.config().has_function_listeners());
}
