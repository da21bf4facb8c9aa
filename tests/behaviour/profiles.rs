//! Profiles: that they say what guests did, whatever becomes of their calls.

mod memory;

use crate::matrix::{Behaviour, instance, linked, module};
use crate::snapshots;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use wardian::{CompileOptions, Engine, Instance, Linker, Module, Store, listener::FunctionFilter};
use wardian_observe::{Format, Profile, Profiler, ProfilerOptions};

pub(crate) const TABLE: &[Behaviour] = &[
    ("an exact profile counts calls by their paths", paths),
    ("an exact profile has the time of the functions that take it", shares),
    ("an exact profile ends calls that abort", aborted),
    ("an exact profile follows restored snapshots", restored),
    ("an exact profile follows tail calls", tail_calls),
    ("an exact profile begins while a guest runs, and can be taken again", late),
    ("an exact profile of modules has start functions and chosen functions only", chosen),
    ("an exact profile serves tenants on several threads", tenants),
    ("an exact profile serves any number of tenants in bounded memory", many_tenants),
    ("an exact profile keeps all counts when stacks are used up", capped),
    ("an exact profile of deep recursion has its outer calls, and is written in no time", deep),
    ("an exact profile that is finished has nothing more, whoever keeps its listeners", finished),
    ("a profile of memory has what is allocated, freed and in use", memory::allocations),
    ("a profile of memory has who makes memories grow", memory::growth),
    ("a profile of memory ends allocations that abort", memory::aborted_allocations),
    ("a profile of memory tells memories and programs apart", memory::memories_apart),
    ("a profile of memory that is finished has nothing more", memory::finished_allocations),
    ("a sampled profile shows the hot function and the host", sampled),
    ("a sampled profile has inlined functions and hot lines", hot_lines),
    ("a sampled profile serves several stores at once", sampled_stores),
    ("a profiler that is gone records nothing, and holds nothing", gone),
];

/// How long to try at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stacks with a value, as in the format `folded`.
fn folded(profile: &Profile, value: &str) -> BTreeMap<String, u64> {
    let value = profile.value_index(value).expect("the profile has this value");
    let mut bytes = Vec::new();
    profile.write_value(Format::Folded, value, &mut bytes).expect("memory takes all");
    let text = String::from_utf8(bytes).expect("names are text");
    let line = |line: &str| {
        let (stack, value) = line.rsplit_once(' ').expect("a stack and a value");
        (stack.to_owned(), value.parse().expect("a number"))
    };
    text.lines().map(line).collect()
}

#[track_caller]
fn check(profile: &Profile, value: &str, expected: &[(&str, u64)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(s, v)| ((*s).to_owned(), *v)).collect();
    assert_eq!(folded(profile, value), expected);
}

/// What functions of a name have themselves, of all modules that have one.
fn own(profile: &Profile, function: &str, value: usize) -> u64 {
    let summary = profile.summary();
    summary.functions.iter().filter(|f| f.name == function).map(|f| f.own[value]).sum()
}

fn share(profile: &Profile, function: &str) -> f64 {
    let value = profile.main_value();
    // On a busy machine samples are lost.
    let known = profile.total(value) - own(profile, "<unknown>", value);
    own(profile, function, value) as f64 / known.max(1) as f64
}

const FIB: &str = r#"(module $m (import "h" "tick" (func $tick))
  (func $fib (param i32) (result i32)
    (if (i32.lt_u (local.get 0) (i32.const 2)) (then (call $tick) (return (i32.const 1))))
    (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
             (call $fib (i32.sub (local.get 0) (i32.const 2)))))
  (func (export "run") (drop (call $fib (i32.const 3))) (call $tick)))"#;

fn ticking(engine: &Engine) -> Linker<()> {
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "tick", || {}).expect("it is new");
    linker
}

fn paths(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &ticking(engine), FIB);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    let profiler = Profiler::new(ProfilerOptions::exact());
    profiler.watch(&mut store, i).unwrap();
    (0..10).for_each(|_| run.call(&mut store, ()).unwrap());
    let profile = profiler.finish();
    check(
        &profile,
        "calls",
        &[
            ("run", 10),
            ("run;[host] h:tick", 10),
            ("run;fib", 10),
            ("run;fib;fib", 20),
            ("run;fib;fib;[host] h:tick", 10),
            ("run;fib;fib;fib", 20),
            ("run;fib;fib;fib;[host] h:tick", 20),
        ],
    );
    let summary = profile.summary();
    let (fib, run) = (summary.function("fib").unwrap(), summary.function("run").unwrap());
    assert!(fib.total[1] <= run.total[1] && fib.total[1] >= fib.own[1], "recursion counts once");
    assert_eq!(run.total[1], profile.total(1));
    assert_eq!((profile.meta().overflow, profile.meta().program.as_str()), (0, "m"));
}

/// Three quarters of the time in one function, as long as calls cost nothing. The loops multiply what they
/// have multiplied before, which takes so long that it does not matter where in a line of the cache a loop
/// begins.
const QUARTERS: &str = r#"(module $m (import "h" "wait" (func $wait))
  (global $x (mut i64) (i64.const 1))
  (func $three (param i32) (local $x i64) (local.set $x (global.get $x))
    (loop $l
      (local.set $x (i64.mul (i64.mul (i64.mul (local.get $x) (local.get $x)) (local.get $x))
        (i64.mul (i64.mul (local.get $x) (local.get $x)) (i64.const 3))))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (global.set $x (local.get $x)))
  (func $one (param i32) (local $x i64) (local.set $x (global.get $x))
    (loop $l
      (local.set $x (i64.mul (i64.mul (i64.mul (local.get $x) (local.get $x)) (local.get $x))
        (i64.mul (i64.mul (local.get $x) (local.get $x)) (i64.const 3))))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (global.set $x (local.get $x)))
  (func (export "wait") (call $wait))
  (func (export "run") (param i32)
    (loop $l (call $three (i32.const 60000)) (call $one (i32.const 20000))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;

fn quarters(engine: &Engine) -> (Store<()>, Instance) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "wait", || std::thread::sleep(Duration::from_millis(60))).unwrap();
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, QUARTERS);
    // So that a tiered engine has compiled what it will.
    i.typed_func::<i32, ()>(&mut store, "run").unwrap().call(&mut store, 3).unwrap();
    (store, i)
}

fn shares(engine: &Engine) {
    let (mut store, i) = quarters(engine);
    let run = i.typed_func::<i32, ()>(&mut store, "run").unwrap();
    let start = Instant::now();
    // The machine may be busy with something else in one of them.
    loop {
        let profiler = Profiler::new(ProfilerOptions::exact());
        profiler.watch(&mut store, i).unwrap();
        run.call(&mut store, 100).unwrap();
        let profile = profiler.finish();
        let (three, one) = (share(&profile, "three"), share(&profile, "one"));
        if (three - 0.75).abs() < 0.02 && (one - 0.25).abs() < 0.02 {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{three} {one}");
    }
}

fn aborted(engine: &Engine) {
    let text = r#"(module $m
      (func $deep (param i32)
        (if (i32.eqz (local.get 0)) (then (unreachable)))
        (call $deep (i32.sub (local.get 0) (i32.const 1))))
      (func (export "run") (param i32) (call $deep (local.get 0)))
      (func $fine (export "fine")))"#;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, text);
    let profiler = Profiler::new(ProfilerOptions::exact());
    profiler.watch(&mut store, i).unwrap();
    let run = i.typed_func::<i32, ()>(&mut store, "run").unwrap();
    let fine = i.typed_func::<(), ()>(&mut store, "fine").unwrap();
    for _ in 0..3 {
        run.call(&mut store, 1).unwrap_err();
        fine.call(&mut store, ()).unwrap();
    }
    let expected = [("fine", 3), ("run", 3), ("run;deep", 3), ("run;deep;deep", 3)];
    check(&profiler.finish(), "calls", &expected);
}

fn restored(engine: &Engine) {
    // `again` jumps back three times into `outer`, out of two more frames.
    let text = r#"(module $m (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32 i32)))
      (func $inner (param i32) (call $jump (i32.const 0) (i32.add (local.get 0) (i32.const 1))))
      (func $again (param i32) (call $inner (local.get 0)))
      (func $outer (export "run") (result i32) (local $n i32)
        (local.set $n (call $mark))
        (if (i32.lt_u (local.get $n) (i32.const 3)) (then (call $again (local.get $n))))
        (local.get $n)))"#;
    let mut store = Store::new(engine, snapshots::Host::default());
    store.enable_snapshots(true);
    let i = linked(&mut store, &snapshots::linker(engine), text);
    let profiler = Profiler::new(ProfilerOptions::exact());
    profiler.watch(&mut store, i).unwrap();
    let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 3);
    let path = "outer;again;inner;[host] h:jump";
    let expected = [
        ("outer", 1),
        ("outer;[host] h:mark", 1),
        ("outer;again", 3),
        ("outer;again;inner", 3),
        (path, 3),
    ];
    check(&profiler.profile(), "calls", &expected);
    // Nothing is left open.
    store.data_mut().marks.clear();
    assert_eq!(run.call(&mut store, ()).unwrap(), 3);
    let twice = expected.map(|(path, calls)| (path, calls * 2));
    check(&profiler.profile(), "calls", &twice);
}

fn tail_calls(engine: &Engine) {
    let text = r#"(module $m
      (func $even (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
        (return_call $odd (i32.sub (local.get 0) (i32.const 1))))
      (func $odd (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
        (return_call $even (i32.sub (local.get 0) (i32.const 1))))
      (func (export "run") (result i32) (call $even (i32.const 10))))"#;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, text);
    let profiler = Profiler::new(ProfilerOptions::exact());
    profiler.watch(&mut store, i).unwrap();
    let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 1);
    // A successor is called by who called the one before.
    check(&profiler.finish(), "calls", &[("run", 1), ("run;even", 6), ("run;odd", 5)]);
}

fn late(engine: &Engine) {
    let mut linker: Linker<Profiler> = Linker::new(engine);
    linker
        .func_wrap("h", "tick", |mut caller: wardian::Caller<'_, Profiler>| {
            let (profiler, guest) = (caller.data().clone(), caller.instance().expect("a guest"));
            let before = profiler.profile();
            if before.stacks().is_empty() {
                profiler.watch(&mut caller, guest)?;
            }
            Ok::<(), wardian::Error>(())
        })
        .unwrap();
    let profiler = Profiler::new(ProfilerOptions::exact());
    let mut store = Store::new(engine, profiler.clone());
    let i = linked(&mut store, &linker, FIB);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    run.call(&mut store, ()).unwrap();
    // The calls that were open when it began are not known, so what they call has no caller; the first
    // `tick` is one of them, but the others are seen.
    let calls = folded(&profiler.profile(), "calls");
    let ticks: u64 = calls.iter().filter(|(path, _)| path.ends_with("tick")).map(|c| c.1).sum();
    assert_eq!(ticks, 3, "{calls:?}");
    assert!(!calls.contains_key("run"), "{calls:?}");
    run.call(&mut store, ()).unwrap();
    assert_eq!(folded(&profiler.finish(), "calls")["run"], 1);
    // It has ended.
    run.call(&mut store, ()).unwrap();
    assert_eq!(folded(&profiler.profile(), "calls")["run"], 1);
}

fn chosen(engine: &Engine) {
    let text = r#"(module $m (func $a (call $b)) (func $b (call $c)) (func $c)
      (func $start (call $a)) (start $start))"#;
    let options = ProfilerOptions::exact().with_filter(FunctionFilter::name("b").inverted());
    let profiler = Profiler::new(options);
    let listeners = profiler.listener_factory();
    let compile = CompileOptions::new().with_function_listener_factory(listeners);
    let module = Module::new_with(engine, text, &compile).unwrap();
    for _ in 0..2 {
        let mut store = Store::new(engine, ());
        profiler.watch_store(&mut store).unwrap();
        Instance::new(&mut store, &module, &[]).unwrap();
    }
    let profile = profiler.finish();
    check(&profile, "calls", &[("start", 2), ("start;a", 2), ("start;a;c", 2)]);
}

fn tenants(engine: &Engine) {
    let profiler = Profiler::new(ProfilerOptions::exact());
    let compile = CompileOptions::new().with_function_listener_factory(profiler.listener_factory());
    let module = Module::new_with(engine, FIB, &compile).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let linker = ticking(engine);
                // Two stores in turns on one thread.
                let mut stores = [Store::new(engine, ()), Store::new(engine, ())];
                let runs = stores.each_mut().map(|store| {
                    let i = linker.instantiate(&mut *store, &module).unwrap();
                    i.typed_func::<(), ()>(&mut *store, "run").unwrap()
                });
                for round in 0..100 {
                    runs[round % 2].call(&mut stores[round % 2], ()).unwrap();
                }
            });
        }
    });
    let calls = folded(&profiler.finish(), "calls");
    assert_eq!((calls["run"], calls["run;fib;fib;fib"], calls.len()), (400, 800, 7), "{calls:?}");
}

fn many_tenants(engine: &Engine) {
    // Seven paths each: without sharing them room would be for a few tenants only.
    let profiler = Profiler::new(ProfilerOptions::exact().with_max_stacks(600));
    let module = module(engine, FIB);
    let linker = ticking(engine);
    // Some live on while others come and go.
    let mut kept = Vec::new();
    for round in 0..300 {
        let mut store = Store::new(engine, ());
        let i = linker.instantiate(&mut store, &module).unwrap();
        profiler.watch(&mut store, i).unwrap();
        let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
        run.call(&mut store, ()).unwrap();
        if round % 100 == 0 {
            kept.push((store, run));
        }
    }
    for (store, run) in &mut kept {
        run.call(&mut *store, ()).unwrap();
    }
    let profile = profiler.finish();
    // Each of their calls began and ended where it should.
    check(
        &profile,
        "calls",
        &[
            ("run", 303),
            ("run;[host] h:tick", 303),
            ("run;fib", 303),
            ("run;fib;fib", 606),
            ("run;fib;fib;[host] h:tick", 303),
            ("run;fib;fib;fib", 606),
            ("run;fib;fib;fib;[host] h:tick", 606),
        ],
    );
    assert_eq!(profile.meta().overflow, 0);
}

fn capped(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &ticking(engine), FIB);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    let profiler = Profiler::new(ProfilerOptions::exact().with_max_stacks(3));
    profiler.watch(&mut store, i).unwrap();
    (0..10).for_each(|_| run.call(&mut store, ()).unwrap());
    let profile = profiler.finish();
    let calls = folded(&profile, "calls");
    assert_eq!(calls.values().sum::<u64>(), 100, "{calls:?}");
    assert_eq!((calls["run"], calls["run;fib;fib;<other>"]), (10, 50), "{calls:?}");
    assert_eq!(calls["run;<other>"], 10, "{calls:?}");
    assert_eq!(profile.meta().overflow, 60);
    let run = profile.summary().function("run").unwrap().total[1];
    assert_eq!(run, profile.total(1), "all time is somewhere below");
}

fn deep(engine: &Engine) {
    let text = r#"(module $m
      (func $a_name_of_some_length (param i32)
        (if (local.get 0) (then (call $a_name_of_some_length (i32.sub (local.get 0) (i32.const 1))))))
      (func (export "run") (param i32) (call $a_name_of_some_length (local.get 0))))"#;
    let mut config = engine.config().clone();
    let engine = &Engine::new(config.stack_size(16 << 20)).unwrap();
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, text);
    let run = i.typed_func::<i32, ()>(&mut store, "run").unwrap();
    let profile_of = |store: &mut Store<()>, options: ProfilerOptions| {
        let profiler = Profiler::new(options);
        profiler.watch(&mut *store, i).unwrap();
        (0..2).for_each(|_| run.call(&mut *store, 19_998).unwrap());
        profiler.finish()
    };
    let profile = profile_of(&mut store, ProfilerOptions::exact());
    assert_eq!(profile.meta().overflow, 2 * (20_000 - 1024));
    assert_eq!((profile.stacks().len(), profile.total(0)), (1025, 40_000));
    let other = &profile.stacks()[1024];
    assert_eq!((other.parent, profile.values(other)[0]), (Some(1023), 2 * (20_000 - 1024)));
    let sizes = Format::ALL.map(|format| {
        let mut bytes = Vec::new();
        profile.write(format, &mut bytes).expect("memory takes all");
        bytes.len()
    });
    assert!(sizes.iter().all(|size| *size < 64 << 20), "{sizes:?}");
    let calls =
        folded(&profile_of(&mut store, ProfilerOptions::exact().with_max_frames(2)), "calls");
    let path = "run;a_name_of_some_length";
    let inner = format!("{path};<other>");
    assert_eq!((calls["run"], calls[path], calls[&inner], calls.len()), (2, 2, 39_996, 3));
}

fn finished(engine: &Engine) {
    let profiler = Profiler::new(ProfilerOptions::exact());
    let compile = CompileOptions::new().with_function_listener_factory(profiler.listener_factory());
    let module = Module::new_with(engine, FIB, &compile).unwrap();
    // The second time it runs, `tick` finishes the profile while calls are open.
    let mut linker: Linker<Option<Profiler>> = Linker::new(engine);
    linker
        .func_wrap("h", "tick", |mut caller: wardian::Caller<'_, Option<Profiler>>| {
            caller.data_mut().take().map(|profiler| profiler.finish());
        })
        .unwrap();
    let stores = [(); 3].map(|()| Store::new(engine, None));
    let [mut open, mut closed, mut late] = stores.map(|mut store| {
        let i = linker.instantiate(&mut store, &module).unwrap();
        (i.typed_func::<(), ()>(&mut store, "run").unwrap(), store, i)
    });
    open.0.call(&mut open.1, ()).unwrap();
    closed.0.call(&mut closed.1, ()).unwrap();
    *open.1.data_mut() = Some(profiler.clone());
    open.0.call(&mut open.1, ()).unwrap();
    let calls = folded(&profiler.profile(), "calls");
    assert_eq!((calls["run"], calls["run;fib;fib;fib;[host] h:tick"]), (3, 5), "{calls:?}");
    for (run, store, _) in [&mut open, &mut closed, &mut late] {
        (0..3).for_each(|_| run.call(&mut *store, ()).unwrap());
    }
    assert_eq!(folded(&profiler.profile(), "calls"), calls);
    // What is watched anew is added.
    profiler.watch(&mut late.1, late.2).unwrap();
    late.0.call(&mut late.1, ()).unwrap();
    let more = folded(&profiler.finish(), "calls");
    assert_eq!((more["run"], more["run;fib;fib;fib;[host] h:tick"]), (4, 7), "{more:?}");
}

fn can_sample(engine: &Engine) -> bool {
    // With listeners on every function the host is seen most of the time.
    !engine.config().has_function_listeners()
        && !format!("{:?}", engine.config()).contains("signals: false")
}

fn often() -> ProfilerOptions {
    ProfilerOptions::sampling().with_interval(Duration::from_micros(250))
}

fn sampled(engine: &Engine) {
    if !can_sample(engine) {
        return;
    }
    let (mut store, i) = quarters(engine);
    // On a busy machine samples are not independent of each other: where one is late, so are the next ones. What may
    // be wrong is eight times what chance would explain.
    let often = ProfilerOptions::sampling().with_interval(Duration::from_micros(100));
    let profiler = Profiler::new(often);
    profiler.watch(&mut store, i).unwrap();
    profiler.watch(&mut store, i).unwrap();
    let run = i.typed_func::<i32, ()>(&mut store, "run").unwrap();
    let wait = i.typed_func::<(), ()>(&mut store, "wait").unwrap();
    let start = Instant::now();
    // On a busy machine samples come late, and fewest from a guest that waits. Both kinds of work are
    // repeated until there are enough samples of each.
    let waited = |profile: &Profile| own(profile, "[host] h:wait", 0);
    loop {
        run.call(&mut store, 100).unwrap();
        wait.call(&mut store, ()).unwrap();
        let profile = profiler.profile();
        if profile.meta().samples >= 8000 && waited(&profile) >= 100 {
            break;
        }
        assert!(start.elapsed() < 3 * PATIENCE, "{:?}", profile.meta());
    }
    let profile = profiler.finish();
    // Counts of samples: they say the same whatever else the machine does.
    let (three, one) = (own(&profile, "three", 0), own(&profile, "one", 0));
    let all = profile.total(0);
    let fits = |share: f64| (share - 0.75).abs() < 0.08;
    assert!(fits(three as f64 / (three + one) as f64), "{three} {one}");
    assert!((three + one + waited(&profile)) * 10 > all * 9, "{three} {one} of {all}");
    // Who waits uses no processor.
    let summary = profile.summary();
    assert!(
        own(&profile, "[host] h:wait", 2) * 2 < own(&profile, "[host] h:wait", 1),
        "{summary:?}"
    );
    assert!(own(&profile, "three", 2) > 0);
    let timeline = profile.timeline();
    assert_eq!(timeline.len() as u64, profile.meta().samples);
    assert!(timeline.is_sorted_by_key(|sample| sample.time));
    // It has ended: what runs now is not seen.
    run.call(&mut store, 20).unwrap();
    assert_eq!(profiler.finish().meta().samples, profile.meta().samples);
}

fn hot_lines(engine: &Engine) {
    if !can_sample(engine) {
        return;
    }
    let module = Module::new(engine, include_bytes!("../programs/hot.wasm")).unwrap();
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &module, &[]).unwrap();
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    for _ in 0..3 {
        run.call(&mut store, 100).unwrap();
    }
    let profiler = Profiler::new(often());
    profiler.watch(&mut store, i).unwrap();
    let start = Instant::now();
    while profiler.profile().meta().samples < 1000 {
        run.call(&mut store, 1_000_000).unwrap();
        assert!(start.elapsed() < PATIENCE, "{:?}", profiler.profile().meta());
    }
    let profile = profiler.finish();
    let summary = profile.summary();
    let churn = summary.function("hot::churn").expect("it takes all the time");
    assert!(churn.total[0] * 10 > profile.total(0) * 9, "{summary:?}");
    let function = &profile.functions()[churn.function];
    assert!(function.system_name.starts_with("_ZN3hot5churn"), "{function:?}");
    // In interpreted code samples see where loops begin, which is no line of the program's.
    if engine.config().engine_kind() == wardian::EngineKind::Interpreted {
        return;
    }
    // Of loops' ranges some is in files of the standard library.
    let of_program = summary.lines.iter().filter(|line| line.file.ends_with("programs/hot.rs"));
    let lines: Vec<u32> = of_program.map(|line| line.line).collect();
    assert!(lines.contains(&15) || lines.contains(&20), "{summary:?}");
    if let Some(step) = summary.function("hot::step") {
        assert!(step.total[0] > 0, "{summary:?}");
        let stacks = folded(&profile, "samples");
        let is_inside = |stack: &String| stack.starts_with("run;hot::churn;hot::step");
        assert!(stacks.keys().any(is_inside), "{stacks:?}");
    }
}

fn sampled_stores(engine: &Engine) {
    if !can_sample(engine) {
        return;
    }
    let profiler = Profiler::new(often().with_max_timeline(20));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut store, i) = quarters(engine);
                profiler.watch(&mut store, i).unwrap();
                let run = i.typed_func::<i32, ()>(&mut store, "run").unwrap();
                let start = Instant::now();
                // Both stores have the profiler's samples in common.
                while profiler.profile().meta().samples < 1000 {
                    run.call(&mut store, 20).unwrap();
                    assert!(start.elapsed() < PATIENCE, "{:?}", profiler.profile().meta());
                }
            });
        }
    });
    // The stores and their modules are gone; what was seen of them is not.
    let profile = profiler.finish();
    assert!(share(&profile, "three") > 0.4, "{:?}", profile.summary());
    assert_eq!(profile.timeline().len(), 20);
    assert!(profile.meta().notes[0].contains("ends after 20"), "{:?}", profile.meta());
}

fn gone(engine: &Engine) {
    for options in [ProfilerOptions::exact(), ProfilerOptions::memory()] {
        let profiler = Profiler::new(options);
        let compile =
            CompileOptions::new().with_function_listener_factory(profiler.listener_factory());
        let module = Module::new_with(engine, memory::ALLOCATES, &compile).unwrap();
        let mut store = Store::new(engine, ());
        let i = Instance::new(&mut store, &module, &[]).unwrap();
        let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
        run.call(&mut store, ()).unwrap();
        assert!(!profiler.finish().stacks().is_empty());
        let factory = profiler.listener_factory();
        drop(profiler);
        run.call(&mut store, ()).unwrap();
        // A factory without its profiler chooses nothing.
        let compile = CompileOptions::new().with_function_listener_factory(factory);
        Module::new_with(engine, memory::ALLOCATES, &compile).unwrap();
    }
}
