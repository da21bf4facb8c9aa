//! Moving between interpreted and compiled code: at every moment, on every kind of stack.

use crate::matrix::{Behaviour, HAS_JIT, instance, linked, module};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wardian::{
    CallOptions, Caller, Config, Engine, EngineKind, Error, Instance, Linker, StopReason, Store,
    TrapCode, Val, snapshot::Snapshot,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a loop continues in compiled code at its header, whenever it is hot", loops),
    ("a snapshot of one tier is restored when all is of another", snapshots),
    ("backtraces go through interpreted, compiled and host frames", backtraces),
    ("tail calls between tiers need no stack", tail_calls),
    ("a stack of both tiers overflows as one", overflow),
    ("calls back and forth between tiers are stopped", stopped),
    ("stores on many threads share what is compiled in the background", background),
    ("modules go while they are being compiled", dropped),
    ("what runs once is not compiled, what is hot is", what_is_compiled),
    ("a function that takes a compiler minutes holds up nobody", too_complex),
    ("a guest does not wait for a compiler past its deadline", not_past_the_deadline),
];

/// Engines that move to compiled code after so many calls and rounds, with the settings of `engine`.
fn tiered(engine: &Engine, counts: &[u32]) -> Vec<Engine> {
    let tiered = |count: &u32| {
        let mut config = engine.config().clone();
        config.engine(EngineKind::Tiered).hot_after(Some(*count)).background_compilation(false);
        Engine::new(&config).unwrap()
    };
    if HAS_JIT { counts.iter().map(tiered).collect() } else { Vec::new() }
}

const COUNTS: [u32; 6] = [0, 1, 2, 7, 50, 1000];

fn loops(engine: &Engine) {
    let text = r#"(module (memory 1)
      (func $step (param i64) (result i64) (i64.add (i64.mul (local.get 0) (i64.const 31)) (i64.const 7)))
      (func (export "run") (param i32) (result i64) (local $i i32) (local $j i32) (local $h i64)
        (local $v v128)
        (block $out (result i64)
          (i64.const 5)
          (loop $outer (param i64) (result i64)
            (local.set $j (i32.const 0))
            (loop $inner
              (local.set $h (call $step (i64.xor (local.get $h) (i64.extend_i32_u (local.get $j)))))
              (local.set $v (i32x4.add (local.get $v) (i32x4.splat (local.get $j))))
              (i64.store (i32.shl (local.get $j) (i32.const 3)) (local.get $h))
              (br_if $inner (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1)))
                (i32.const 13))))
            (i64.add (local.get $h))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $out (i32.ge_u (local.get $i) (local.get 0)))
            (br $outer))
          )
        (i64.add (i64.extend_i32_u (i32x4.extract_lane 2 (local.get $v))))
        (i64.add (i64.load (i32.const 40)))))"#;
    let run = |engine: &Engine, rounds: i32| {
        let mut store = Store::new(engine, ());
        let i = instance(&mut store, text);
        let f = i.typed_func::<i32, i64>(&mut store, "run").unwrap();
        [f.call(&mut store, rounds).unwrap(), f.call(&mut store, 3).unwrap()]
    };
    for rounds in [1, 2, 5, 40] {
        let wanted = run(engine, rounds);
        for other in tiered(engine, &COUNTS) {
            assert_eq!(run(&other, rounds), wanted, "{rounds} rounds, {:?}", other.config());
        }
    }
}

const CHAIN: &str = r#"(module (import "h" "mark" (func $mark (param i32) (result i32)))
  (import "h" "back" (func $back (param i32) (result i32)))
  (func $leaf (param i32) (result i32) (i32.add (call $mark (local.get 0)) (i32.const 1)))
  (func $middle (param i32) (result i32) (local i32)
    (local.set 1 (i32.const 100))
    (if (local.get 0)
      (then (local.set 1 (i32.add (local.get 1)
        (call $back (i32.sub (local.get 0) (i32.const 1))))))
      (else (local.set 1 (i32.add (local.get 1) (call $leaf (i32.const 9))))))
    (local.get 1))
  (func (export "chain") (param i32) (result i32)
    (i32.add (call $middle (local.get 0)) (i32.const 1000)))
  (func (export "warm") (param i32) (result i32) (local i32)
    (loop $l (local.set 1 (i32.add (local.get 1) (call $leaf (local.get 1))))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1)))"#;

type State = Mutex<Option<Arc<Snapshot>>>;

/// A store whose host calls the guest back, and does something at each mark.
fn chain(
    engine: &Engine,
    mark: impl Fn(&mut Caller<'_, State>, i32) -> Result<i32, Error> + Send + Sync + 'static,
) -> (Store<State>, Instance) {
    let mut linker: Linker<State> = Linker::new(engine);
    linker.func_wrap("h", "mark", move |mut c: Caller<'_, State>, n: i32| mark(&mut c, n)).unwrap();
    linker
        .func_wrap("h", "back", |mut c: Caller<'_, State>, n: i32| {
            let f = c.get_export("chain").and_then(|e| e.into_func()).expect("an export");
            f.typed::<i32, i32>(&c)?.call(&mut c, n)
        })
        .unwrap();
    let mut store = Store::new(engine, State::default());
    let i = linked(&mut store, &linker, CHAIN);
    (store, i)
}

fn snapshots(engine: &Engine) {
    for engine in tiered(engine, &COUNTS) {
        // At the first mark a snapshot is taken; then the function runs hot, and it is restored.
        let (mut store, i) = chain(&engine, |caller, n| {
            if n != 9 {
                return Ok(n);
            }
            let taken = caller.data().lock().unwrap().clone();
            if let Some(snapshot) = taken {
                return Err(snapshot.restore(caller, &[Val::I32(7)]));
            }
            let snapshot = caller.get_snapshotter().expect("asked for").snapshot();
            *caller.data().lock().unwrap() = Some(Arc::new(snapshot));
            let warm = caller.get_export("warm").and_then(|e| e.into_func()).expect("an export");
            warm.typed::<i32, i32>(&*caller)?.call(&mut *caller, 200)?;
            let chain = caller.get_export("chain").and_then(|e| e.into_func()).expect("an export");
            // Its mark restores; nothing of this comes back.
            chain.typed::<i32, i32>(&*caller)?.call(&mut *caller, 2)
        });
        let f = i.typed_func::<i32, i32>(&mut store, "chain").unwrap();
        for depth in [0, 1, 3] {
            *store.data().lock().unwrap() = None;
            let options = CallOptions::new().with_snapshotter();
            let result = f.call_with(&mut store, &options, depth).unwrap();
            assert_eq!(result, 1108 + 1100 * depth, "depth {depth}, {:?}", engine.config());
        }
    }
}

fn backtraces(engine: &Engine) {
    let names = |error: &Error| -> Vec<(String, Option<u32>)> {
        let frames = error.backtrace().expect("a host function failed").frames();
        frames
            .iter()
            .map(|f| (f.func_name().unwrap_or_default().to_owned(), f.code_offset()))
            .collect()
    };
    let seen = |engine: &Engine, warm: i32| {
        let (mut store, i) =
            chain(engine, |_, n| if n == 9 { Err(Error::host("it is nine")) } else { Ok(n) });
        let warming = i.typed_func::<i32, i32>(&mut store, "warm").unwrap();
        warming.call(&mut store, warm).unwrap();
        let f = i.typed_func::<i32, i32>(&mut store, "chain").unwrap();
        names(&f.call(&mut store, 2).unwrap_err())
    };
    let wanted = seen(engine, 5);
    assert!(wanted.len() >= 7, "{wanted:?}");
    for other in tiered(engine, &COUNTS) {
        for warm in [1, 5] {
            assert_eq!(seen(&other, warm), wanted, "{:?}", other.config());
        }
    }
}

fn tail_calls(engine: &Engine) {
    // Of three functions that call each other one is called from outside too, so that they become hot
    // at different times.
    let text = r#"(module
      (func $a (export "a") (param i32 i64) (result i64)
        (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
        (return_call $b (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 1) (i64.const 1))
          (f64.const 2)))
      (func $b (param i32 i64 f64) (result i64)
        (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
        (return_call $c (i64.add (local.get 1) (i64.trunc_f64_s (local.get 2)))
          (i32.sub (local.get 0) (i32.const 1)) (i32.const 1) (i32.const 2) (i32.const 3)))
      (func $c (param i64 i32 i32 i32 i32) (result i64)
        (if (i32.eqz (local.get 1)) (then (return (local.get 0))))
        (return_call $a (i32.sub (local.get 1) (i32.const 1)) (local.get 0)))
      (func (export "run") (param i32) (result i64)
        (i64.add (call $a (local.get 0) (i64.const 0)) (call $a (local.get 0) (i64.const 5)))))"#;
    let run = |engine: &Engine| {
        let mut store = Store::new(engine, ());
        let i = instance(&mut store, text);
        let a = i.typed_func::<(i32, i64), i64>(&mut store, "a").unwrap();
        let first = a.call(&mut store, (2, 0)).unwrap();
        let run = i.typed_func::<i32, i64>(&mut store, "run").unwrap();
        [first, run.call(&mut store, 40_000).unwrap(), run.call(&mut store, 40_001).unwrap()]
    };
    assert_eq!(run(engine), [3, 80_005, 80_009]);
    for other in tiered(engine, &COUNTS) {
        assert_eq!(run(&other), [3, 80_005, 80_009], "{:?}", other.config());
    }
}

fn overflow(engine: &Engine) {
    let text = r#"(module
      (func $f (export "f") (param i32) (result i32) (local i32)
        (if (i32.and (local.get 0) (i32.const 1))
          (then (return (i32.add (call $g (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))))
        (i32.add (call $f (i32.add (local.get 0) (i32.const 1))) (local.get 1)))
      (func $g (param i32) (result i32) (i32.mul (call $f (local.get 0)) (i32.const 3)))
      (func (export "small") (result i32) (i32.const 4)))"#;
    for engine in tiered(engine, &[0, 3, 100, 5000]) {
        let mut store = Store::new(&engine, ());
        let i = instance(&mut store, text);
        let f = i.typed_func::<i32, i32>(&mut store, "f").unwrap();
        let small = i.typed_func::<(), i32>(&mut store, "small").unwrap();
        for _ in 0..3 {
            let error = f.call(&mut store, 0).unwrap_err();
            assert_eq!(error.trap(), Some(TrapCode::StackOverflow), "{error}");
            assert!(!error.backtrace().expect("a trap").frames().is_empty());
            assert_eq!(small.call(&mut store, ()).unwrap(), 4);
        }
    }
}

fn stopped(engine: &Engine) {
    // `$once` is never hot in one engine, always in another.
    let text = r#"(module
      (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
      (func (export "spin") (local i32)
        (loop $l (local.set 0 (call $leaf (local.get 0))) (br $l)))
      (func $r (export "recurse") (param i32) (result i32)
        (if (i32.gt_u (local.get 0) (i32.const 100)) (then (return (i32.const 0))))
        (loop $l (drop (call $r (i32.add (local.get 0) (i32.const 1)))) (br $l))
        (unreachable)))"#;
    for engine in tiered(engine, &[0, 2, 1000]) {
        let mut store = Store::new(&engine, ());
        let i = instance(&mut store, text);
        let spin = i.typed_func::<(), ()>(&mut store, "spin").unwrap();
        let recurse = i.typed_func::<i32, i32>(&mut store, "recurse").unwrap();
        for _ in 0..2 {
            store.set_timeout(Duration::from_millis(20));
            let error = spin.call(&mut store, ()).unwrap_err();
            assert_eq!(error.stop_reason(), Some(StopReason::Deadline), "{error}");
            store.set_timeout(Duration::from_millis(20));
            let error = recurse.call(&mut store, 0).unwrap_err();
            assert_eq!(error.stop_reason(), Some(StopReason::Deadline), "{error}");
        }
    }
}

const WORK: &str = r#"(module (memory 1)
  (func $mix (param i32 i32) (result i32)
    (i32.xor (i32.rotl (local.get 0) (i32.const 5)) (i32.mul (local.get 1) (i32.const 0x9e3779b1))))
  (func (export "run") (param i32) (result i32) (local i32 i32)
    (loop $l
      (local.set 1 (call $mix (local.get 1) (local.get 2)))
      (i32.store (i32.and (local.get 1) (i32.const 0xfffc)) (local.get 1))
      (br_if $l (i32.lt_u (local.tee 2 (i32.add (local.get 2) (i32.const 1))) (local.get 0))))
    (i32.add (local.get 1) (i32.load (i32.and (local.get 1) (i32.const 0xfffc))))))"#;

fn background(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    let mut config: Config = engine.config().clone();
    config.engine(EngineKind::Tiered).hot_after(Some(3)).background_compilation(true);
    let engine = Engine::new(&config).unwrap();
    let m = module(&engine, WORK);
    let wanted = {
        let compiled = Engine::new(config.engine(EngineKind::Interpreted)).unwrap();
        let mut store = Store::new(&compiled, ());
        let i = instance(&mut store, WORK);
        i.typed_func::<i32, i32>(&mut store, "run").unwrap().call(&mut store, 60_000).unwrap()
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let mut store = Store::new(&engine, ());
                    let i = Instance::new(&mut store, &m, &[]).unwrap();
                    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
                    for _ in 0..3 {
                        assert_eq!(run.call(&mut store, 60_000).unwrap(), wanted);
                    }
                }
            });
        }
    });
}

fn dropped(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    let mut config: Config = engine.config().clone();
    config.engine(EngineKind::Tiered).hot_after(Some(1)).background_compilation(true);
    for round in 0..20 {
        let engine = Engine::new(&config).unwrap();
        let mut store = Store::new(&engine, ());
        let i = instance(&mut store, WORK);
        let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
        run.call(&mut store, round * 50 + 1).unwrap();
        drop(store);
        drop(engine);
    }
}

/// A function of loops in each other, that does little and takes Cranelift a time that grows with the
/// cube of their number.
fn nested(loops: usize) -> String {
    let open: String = (0..loops)
        .map(|i| format!("loop local.get 1 i32.const {} i32.add local.set 1 ", i % 7))
        .collect();
    let close = "local.get 1 i32.const 0 i32.eq br_if 0 end ".repeat(loops);
    format!(
        r#"(module (func (export "deep") (param i32) (result i32) (local i32)
          i32.const 1 local.set 1 {open} {close} local.get 1))"#
    )
}

fn too_complex(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    let hostile = nested(20_000);
    let mut config = engine.config().clone();
    config.engine(EngineKind::Tiered).hot_after(Some(20)).background_compilation(true);
    config.inlining(false);
    let tiered = Engine::new(config.compile_threads(2)).unwrap();
    {
        let mut store = Store::new(&tiered, ());
        let deep = instance(&mut store, &hostile).typed_func::<i32, i32>(&mut store, "deep");
        let deep = deep.unwrap();
        for _ in 0..50 {
            assert_eq!(deep.call(&mut store, 1).unwrap(), 59_998);
        }
    }
    let m = module(&tiered, WORK);
    let mut store = Store::new(&tiered, ());
    let i = Instance::new(&mut store, &m, &[]).unwrap();
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    let begin = Instant::now();
    while i.internal(&store).machine_code(0).is_none() {
        run.call(&mut store, 100).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(60), "it is still interpreted");
    }
    // An engine that compiles everything says so, before it begins.
    config.engine(EngineKind::Compiled);
    let begin = Instant::now();
    let error = wardian::Module::new(&Engine::new(&config).unwrap(), &hostile).unwrap_err();
    assert!(error.to_string().contains("too complex"), "{error}");
    assert!(error.to_string().contains("20000 loops up to 20000 deep"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(60));
}

fn not_past_the_deadline(engine: &Engine) {
    // Some seconds of compilation, which is less than what is refused.
    let text = nested(3000);
    for engine in tiered(engine, &[20]) {
        let mut store = Store::new(&engine, ());
        let deep = instance(&mut store, &text).typed_func::<i32, i32>(&mut store, "deep").unwrap();
        for _ in 0..3 {
            // The first call may be hot, and is ended; or all are in time.
            let begin = Instant::now();
            store.set_timeout(Duration::from_millis(100));
            let ended = deep.call(&mut store, 1);
            assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
            if let Err(error) = ended {
                assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
            }
        }
    }
}

fn what_is_compiled(engine: &Engine) {
    let listened = engine.config().has_function_listeners();
    for engine in tiered(engine, &[20]) {
        // Else the small function is never called by compiled code.
        let engine = Engine::new(engine.config().clone().inlining(false)).unwrap();
        let m = module(&engine, WORK);
        let mut store = Store::new(&engine, ());
        let i = Instance::new(&mut store, &m, &[]).unwrap();
        let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
        let has_code =
            |store: &Store<()>, function| i.internal(store).machine_code(function).is_some();
        run.call(&mut store, 10).unwrap();
        assert_eq!((m.code_size(), has_code(&store, 0), has_code(&store, 1)), (0, false, false));
        run.call(&mut store, 1000).unwrap();
        // The loop goes on in compiled code; the function that it is in has run twice.
        assert!(m.code_size() > 0 && has_code(&store, 0));
        assert!(listened || !has_code(&store, 1));
        for _ in 0..30 {
            run.call(&mut store, 10).unwrap();
        }
        assert!(has_code(&store, 0) && has_code(&store, 1));
    }
}
