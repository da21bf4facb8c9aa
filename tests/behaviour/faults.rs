//! The behaviours while the system refuses things, memories move and signals come: with the feature
//! `torture` each trial is a child process that runs one behaviour again and again, each time with another
//! fault.
//!
//! A fault may make a behaviour fail, since it checks results that a refused request changes. What must not
//! happen: a panic in the runtime, an error of the kind `Internal`, a death or a hang of the process, a leak
//! of descriptors, mappings or threads, an engine that does not work afterwards.

use crate::matrix::Case;
use libtest_mimic::{Failed, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wardian::torture::{self, Plan, Report};
use wardian::{Caller, Engine, Linker, Module, Store, TrapCode};

/// Before the name of a case, on the command line of a child.
const CHILD: &str = "--tortured-case";
/// How long a case may be run with faults; a case is always run with some.
const SECONDS: f64 = 0.5;
/// Longer than any run of a behaviour takes.
const HANG: Duration = Duration::from_secs(400);

/// Behaviours that must pass while memories move, background work is slow and signals come, but need not,
/// with the reason.
const SENSITIVE: [(&str, &str); 1] =
    [("an exact profile has the time of the functions that take it", "signals take time too")];

/// Behaviours that are not run with requests that fail, with the reason.
const FRAGILE: [(&str, &str); 3] = [
    ("beyond the limit of threads a spawn is refused", "its guest spawns until it may"),
    ("destructors of thread-local values run guests", "a check fails in a destructor of a thread"),
    (
        "a guest does not wait for a compiler past its deadline",
        "it leaves threads behind that compile for minutes",
    ),
];

/// Panics that the documentation names, by file and a part of their text. There are functions that return
/// errors in their place.
const DOCUMENTED: [(&str, &str); 1] =
    [("crates/wardian/src/func.rs", "no executable memory for trampolines")];

/// A trial for each case.
pub(crate) fn trials(cases: Vec<Case>) -> Vec<Trial> {
    let trial = |case: Case| Trial::test(case.name.clone(), move || parent(&case));
    cases.into_iter().map(trial).collect()
}

fn parent(case: &Case) -> Result<(), Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([CHILD, &case.name]).stdin(Stdio::null());
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let tail: Vec<_> = text.lines().rev().take(60).collect();
    let tail: Vec<_> = tail.into_iter().rev().collect();
    Err(format!("{}\n{}", output.status, tail.join("\n")).into())
}

/// What this process does if it is the child of a trial.
pub(crate) fn child(cases: &[Case]) -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    let name = match &arguments[..] {
        [_, flag, name] if flag == CHILD => name,
        _ => return None,
    };
    let case = cases.iter().find(|case| case.name == *name).expect("the parent has the same cases");
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or(String::new(), |place| place.to_string());
        let text = panic.payload_as_str().unwrap_or("another payload");
        PANICS.lock().unwrap_or_else(|e| e.into_inner()).push(format!("{place}: {text}"));
    }));
    std::thread::spawn(watch);
    let problems = torment(case);
    problems.iter().for_each(|problem| println!("{problem}"));
    Some(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Runs that have ended.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// Ends the process if a run does not end.
fn watch() {
    loop {
        let before = RUNS.load(Ordering::SeqCst);
        std::thread::sleep(HANG);
        if RUNS.load(Ordering::SeqCst) == before {
            println!("run {before} does not end");
            std::process::abort();
        }
    }
}

/// Runs a case with all faults that there is time for. Returns what went wrong.
fn torment(case: &Case) -> Vec<String> {
    let mut problems = Vec::new();
    let steady = Plan { moves: true, delays: true, signals: true, ..Plan::default() };
    let quiet = run(case, Plan::default(), &[], &mut Vec::new());
    if quiet.failed {
        problems.push(format!("it fails without any fault: {:?}", quiet.panics));
        return problems;
    }
    // It caught these itself: panics that are documented.
    let known = &quiet.panics;
    let run = |plan, problems: &mut Vec<String>| run(case, plan, known, problems);
    let sensitive = SENSITIVE.iter().any(|(name, _)| case.name.starts_with(name));
    let moved = run(steady, &mut problems);
    if moved.failed && !sensitive {
        problems.push(format!("it fails with {steady:?}: {:?}", moved.panics));
    }
    run(Plan { tiny_stacks: true, ..steady }, &mut problems);
    if FRAGILE.iter().any(|(name, _)| case.name.starts_with(name)) {
        return problems;
    }
    let before = Held::now();
    let end = Instant::now() + Duration::from_secs_f64(seconds());
    for (count, nth) in spread(quiet.report.asked).enumerate() {
        if count >= 4 && Instant::now() > end {
            break;
        }
        for lasting in [false, true] {
            run(Plan { nth, lasting, ..Plan::default() }, &mut problems);
        }
        if problems.len() > 10 {
            break;
        }
    }
    problems.extend(Held::now().more_than(&before));
    problems
}

fn seconds() -> f64 {
    let set = std::env::var("WARDIAN_TORTURE_SECONDS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(SECONDS)
}

/// The numbers up to `count`, first some that are far from each other.
fn spread(count: u64) -> impl Iterator<Item = u64> {
    let bits = 64 - count.leading_zeros();
    let reversed = move |n: u64| if bits == 0 { 0 } else { n.reverse_bits() >> (64 - bits) };
    (0..1u64 << bits).map(move |n| reversed(n) + 1).filter(move |n| *n <= count)
}

/// What came of a run.
struct Run {
    failed: bool,
    panics: Vec<String>,
    report: Report,
}

/// One run under a plan, and a look at what is left. Adds what must never happen, among it panics of the
/// runtime but `known` ones.
fn run(case: &Case, plan: Plan, known: &[String], problems: &mut Vec<String>) -> Run {
    PANICS.lock().unwrap_or_else(|e| e.into_inner()).clear();
    if std::env::var_os("WARDIAN_TORTURE_VERBOSE").is_some() {
        println!("{plan:?}");
    }
    torture::begin(plan);
    let mut made = None;
    let done = catch_unwind(AssertUnwindSafe(|| {
        let engine = made.insert(case.engine().expect("the engine is made"));
        case.run(engine);
    }));
    let report = torture::end();
    let panics = std::mem::take(&mut *PANICS.lock().unwrap_or_else(|e| e.into_inner()));
    let reported = format!("{plan:?}, failed {:?}", report.failed);
    for panic in &panics {
        let expected = panic.starts_with("tests/behaviour/")
            || panic.contains(torture::WAITS_FOR_EVER)
            || DOCUMENTED
                .iter()
                .any(|(place, text)| panic.starts_with(place) && panic.contains(text))
            || known.contains(panic);
        if !expected || panic.contains("Internal(") {
            problems.push(format!("{reported}: {panic}"));
        }
    }
    if let Some(engine) = made
        && catch_unwind(AssertUnwindSafe(|| probe(&engine))).is_err()
    {
        let panics = std::mem::take(&mut *PANICS.lock().unwrap_or_else(|e| e.into_inner()));
        problems.push(format!("{reported}: the engine does not work afterwards: {panics:?}"));
    }
    RUNS.fetch_add(1, Ordering::SeqCst);
    Run { failed: done.is_err(), panics, report }
}

const PROBE: &str = r#"(module (import "h" "add" (func $add (param i32 i32) (result i32)))
  (memory (export "m") 1 9) (table 10 funcref) (elem (i32.const 2) $sum) (data (i32.const 16) "probe")
  (func $sum (export "sum") (param i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (call $add (local.get $s) (local.get 0)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get $s))
  (func (export "indirect") (param i32) (result i32)
    (call_indirect (param i32) (result i32) (local.get 0) (i32.const 2)))
  (func (export "grow") (result i32)
    (if (i32.ne (memory.grow (i32.const 3)) (i32.const 1)) (then unreachable))
    (i32.store8 (i32.const 262143) (i32.const 7))
    (i32.add (i32.load8_u (i32.const 262143)) (i32.load8_u (i32.const 16))))
  (func (export "outside") (result i32) (i32.load (i32.const 655360)))
  (func $deep (export "deep") (call $deep)))"#;

/// Panics unless an engine does what engines do.
fn probe(engine: &Engine) {
    let module = Module::new(engine, PROBE).unwrap();
    let mut linker: Linker<u32> = Linker::new(engine);
    linker
        .func_wrap("h", "add", |mut caller: Caller<'_, u32>, a: i32, b: i32| {
            *caller.data_mut() += 1;
            a + b
        })
        .unwrap();
    let mut store = Store::new(engine, 0);
    store.set_timeout(Duration::from_secs(60));
    let i = linker.instantiate(&mut store, &module).unwrap();
    let mut call = |name: &str, argument: Option<i32>| match argument {
        Some(argument) => {
            i.typed_func::<i32, i32>(&mut store, name).unwrap().call(&mut store, argument)
        }
        None => i.typed_func::<(), i32>(&mut store, name).unwrap().call(&mut store, ()),
    };
    assert_eq!(call("sum", Some(10)).unwrap(), 55);
    assert_eq!(call("indirect", Some(4)).unwrap(), 10);
    assert_eq!(call("outside", None).unwrap_err().trap(), Some(TrapCode::MemoryOutOfBounds));
    assert_eq!(call("grow", None).unwrap(), 7 + i32::from(b'p'));
    let deep = i.typed_func::<(), ()>(&mut store, "deep").unwrap();
    let overflow = deep.call(&mut store, ()).unwrap_err();
    assert_eq!(overflow.trap(), Some(TrapCode::StackOverflow));
    assert_eq!(*store.data(), 14);
}

/// What the process holds of the system.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    mappings: usize,
    threads: usize,
}

impl Held {
    fn now() -> Held {
        let count = |name: &str| std::fs::read_dir(format!("/proc/self/{name}")).unwrap().count();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        Held { descriptors: count("fd"), mappings: maps.lines().count(), threads: count("task") }
    }

    /// Waits for threads that are about to end, then says what there is too much of.
    fn more_than(self, before: &Held) -> Option<String> {
        let is_more = |now: &Held| {
            now.descriptors > before.descriptors + 3
                || now.mappings > before.mappings + 80
                || now.threads > before.threads + 2
        };
        let mut now = self;
        for _ in 0..50 {
            if !is_more(&now) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(100));
            now = Held::now();
        }
        Some(format!("the process held {before:?}, and now {now:?}"))
    }
}
