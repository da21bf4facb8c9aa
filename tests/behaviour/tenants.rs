//! One guest uses up what it can have, while other stores of the same engine work on other threads: it gets
//! an error at its limit, they get right results, soon.

#[cfg(unix)]
mod system;
mod wasi;

use crate::matrix::{Behaviour, HAS_JIT, module};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use wardian::{
    Config, Engine, EngineKind, ErrorKind, Instance, Module, StopReason, Store, TrapCode,
    limits::StoreLimits,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a guest that wants all memory hurts no other", memory),
    ("a guest that wants all tables hurts no other", tables),
    ("a guest that wants all of its stack hurts no other", stack),
    ("a guest that wants many instances hurts no other", instances),
    ("guests that never end hurt no other", endless),
    ("a guest that wants all code memory hurts no other", code),
    ("a guest that keeps the compiler busy hurts no other", compiler),
    ("a guest that writes without end hurts no other", wasi::output),
    ("a guest that opens all files that it can hurts no other", wasi::descriptors),
    ("a guest that starts all threads that it can hurts no other", wasi::threads),
    ("many memories end at a limit, and others are made afterwards", memories),
    #[cfg(unix)]
    ("where the system has no more mappings, what is there works", system::mappings),
    #[cfg(unix)]
    ("where the system has no more address space, what is there works", system::address_space),
    #[cfg(unix)]
    ("where the system has no more descriptors, what is there works", system::descriptors),
];

/// The longest that a neighbour's round may take. Alone it takes milliseconds; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

const NEIGHBOUR: &str = r#"(module (memory 1 4) (table 4 funcref) (elem (i32.const 1) $fib)
  (type $f (func (param i32) (result i32)))
  (func $fib (type $f)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call_indirect (type $f) (i32.sub (local.get 0) (i32.const 2)) (i32.const 1))))))
  (func (export "run") (param i32) (result i32)
    (drop (memory.grow (i32.const 1)))
    (i32.store (i32.const 65532) (call $fib (local.get 0)))
    (i32.load (i32.const 65532)))
  (func (export "outside") (drop (i32.load (i32.const -4)))))"#;

/// What a neighbour does in one round, with a store of its own.
fn neighbour(engine: &Engine, module: &Module) {
    let begun = Instant::now();
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, module, &[]).unwrap();
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 15).unwrap(), 610);
    let outside = i.typed_func::<(), ()>(&mut store, "outside").unwrap();
    let error = outside.call(&mut store, ()).unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::MemoryOutOfBounds));
    assert!(begun.elapsed() < PATIENCE, "a neighbour waited for {:?}", begun.elapsed());
}

/// Runs `greedy` again and again while two neighbours work, until each of them has had a number of rounds.
fn beside(engine: &Engine, greedy: impl Fn() + Sync) {
    let text = module(engine, NEIGHBOUR);
    // Its code is there before the greedy guest takes what is left.
    neighbour(engine, &text);
    let done = AtomicBool::new(false);
    let begun = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, begun, text, greedy) = (&done, &begun, &text, &greedy);
        let greed = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                greedy();
                begun.store(true, Ordering::Relaxed);
            }
        });
        let others: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(move || {
                    let mut rounds = 0;
                    while rounds < 20 || !begun.load(Ordering::Relaxed) && rounds < 2000 {
                        neighbour(engine, text);
                        rounds += 1;
                    }
                })
            })
            .collect();
        let ended: Vec<_> = others.into_iter().map(|thread| thread.join()).collect();
        done.store(true, Ordering::Relaxed);
        greed.join().expect("the greedy guest got what it is to get");
        ended.into_iter().for_each(|end| end.expect("the neighbours did"));
    });
    neighbour(engine, &text);
}

fn limited(engine: &Engine) -> Store<StoreLimits> {
    let limits = StoreLimits {
        memory_bytes: 8 << 20,
        table_bytes: 1 << 20,
        instances: 50,
        ..StoreLimits::default()
    };
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    store
}

fn memory(engine: &Engine) {
    let greedy = module(
        engine,
        r#"(module (memory 1) (memory $b 1)
          (func (export "run") (result i32) (local $n i32)
            (loop $l
              (local.set $n (i32.add (local.get $n) (i32.const 1)))
              (br_if $l (i32.ne (memory.grow $b (i32.const 1)) (i32.const -1))))
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))
            (local.get $n)))"#,
    );
    beside(engine, || {
        let mut store = limited(engine);
        let i = Instance::new(&mut store, &greedy, &[]).unwrap();
        let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap(), 127, "8 MiB are 128 pages");
    });
}

fn tables(engine: &Engine) {
    let greedy = module(
        engine,
        r#"(module (table $t 1 externref)
          (func (export "run") (result i32)
            (loop $l (br_if $l (i32.ne (table.grow $t (ref.null extern) (i32.const 1000)) (i32.const -1))))
            (table.size $t)))"#,
    );
    beside(engine, || {
        let mut store = limited(engine);
        let i = Instance::new(&mut store, &greedy, &[]).unwrap();
        let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap(), 131_001, "1 MiB are 131072 elements");
    });
}

fn stack(engine: &Engine) {
    let greedy = module(
        engine,
        r#"(module (func $deep (export "run") (param i64 i64) (result i64)
          (i64.add (local.get 1) (call $deep (local.get 1) (local.get 0)))))"#,
    );
    beside(engine, || {
        let mut store = limited(engine);
        let i = Instance::new(&mut store, &greedy, &[]).unwrap();
        let run = i.typed_func::<(i64, i64), i64>(&mut store, "run").unwrap();
        let error = run.call(&mut store, (1, 2)).unwrap_err();
        assert_eq!(error.trap(), Some(TrapCode::StackOverflow));
    });
}

fn instances(engine: &Engine) {
    let greedy = module(engine, r#"(module (memory 0) (func (export "run")))"#);
    beside(engine, || {
        let mut store = limited(engine);
        for _ in 0..50 {
            Instance::new(&mut store, &greedy, &[]).unwrap();
        }
        let error = Instance::new(&mut store, &greedy, &[]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
    });
}

fn endless(engine: &Engine) {
    let greedy = module(
        engine,
        r#"(module (memory 1) (func (export "run")
          (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l))))"#,
    );
    beside(engine, || {
        let mut store = limited(engine);
        store.set_timeout(Duration::from_millis(20));
        let i = Instance::new(&mut store, &greedy, &[]).unwrap();
        let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
        let begun = Instant::now();
        let error = run.call(&mut store, ()).unwrap_err();
        assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    });
}

/// A module of `count` functions that are not small.
fn bulky(count: usize) -> String {
    let body = "(local.set 0 (i64.mul (local.get 0) (i64.const 77)))".repeat(60);
    let function =
        |n| format!("(func (export \"f{n}\") (param i64) (result i64) {body} (local.get 0))");
    format!("(module {})", (0..count).map(function).collect::<String>())
}

fn code(engine: &Engine) {
    let mut config = engine.config().clone();
    let engine = &Engine::new(config.code_limit(200_000)).unwrap();
    let text = bulky(300);
    beside(engine, || {
        // A compiled engine refuses the module; others run it, and compile what there is room for.
        let greedy = match Module::new(engine, &text) {
            Ok(module) => module,
            Err(error) => {
                assert!(error.to_string().contains("more than 200000 bytes"), "{error}");
                return;
            }
        };
        let mut store = limited(engine);
        let i = Instance::new(&mut store, &greedy, &[]).unwrap();
        for n in 0..300 {
            let f = i.typed_func::<i64, i64>(&mut store, &format!("f{n}")).unwrap();
            let expected = (0..60).fold(3_i64, |value, _| value.wrapping_mul(77));
            for _ in 0..3 {
                match f.call(&mut store, 3) {
                    Ok(value) => assert_eq!(value, expected),
                    // There is no room to interpret one more function.
                    Err(error) => assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}"),
                }
            }
        }
    });
}

/// With compilation in the background, on one thread.
fn compiler(engine: &Engine) {
    let mut config: Config = engine.config().clone();
    if !HAS_JIT || config.engine_kind() != EngineKind::Tiered {
        return;
    }
    config.background_compilation(true).compile_threads(1);
    let engine = &Engine::new(&config).unwrap();
    // Each of its functions is hot at once.
    let text = bulky(200);
    let compiled = AtomicUsize::new(0);
    beside(engine, || {
        let greedy = module(engine, &text);
        let mut store = limited(engine);
        let i = Instance::new(&mut store, &greedy, &[]).unwrap();
        for n in 0..200 {
            let f = i.typed_func::<i64, i64>(&mut store, &format!("f{n}")).unwrap();
            (0..3).for_each(|_| assert!(f.call(&mut store, 3).is_ok()));
        }
        // Its jobs are still queued, and another module is compiled before they are done.
        let begun = Instant::now();
        let other = module(engine, &NEIGHBOUR.replace("$fib", "$other"));
        let mut store = limited(engine);
        let i = Instance::new(&mut store, &other, &[]).unwrap();
        let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
        while i.internal(&store).machine_code(0).is_none() {
            assert_eq!(run.call(&mut store, 5).unwrap(), 5);
            assert!(begun.elapsed() < PATIENCE, "another module is still interpreted");
        }
        compiled.fetch_add(1, Ordering::Relaxed);
    });
    assert!(compiled.into_inner() > 0);
}

/// Memories by the hundred, by the limits of a store: far fewer than the system allows.
fn memories(engine: &Engine) {
    let greedy = module(engine, "(module (memory 1))");
    let limits = StoreLimits { memories: 500, ..StoreLimits::default() };
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    let mut made = 0;
    let error = loop {
        match Instance::new(&mut store, &greedy, &[]) {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
    assert_eq!(made, 500);
    let other = module(engine, NEIGHBOUR);
    neighbour(engine, &other);
    drop(store);
    neighbour(engine, &other);
}
