//! Samplers: what they see of guests and hosts, and that they are in nobody's way.
//!
//! The machine may be busy, so shares of samples are compared, never times.

use crate::matrix::{Behaviour, instance, is_compiled, linked, module};
use crate::samples::{PATIENCE, is_possible, mostly, names, options, sampled, until};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use wardian::{
    Caller, Engine, ErrorKind, Instance, Linker, StopReason, Store, TypedFunc,
    listener::{Call, FunctionFilter, FunctionListenerFunc},
    sampler::{ResolvedSample, SampledFrame, Sampler, SamplerOptions},
    stack::StackIterator,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("an engine without signals refuses samplers", without_signals),
    ("samples show the hot function and its callers", hot),
    ("samples of small functions show their callers", small),
    ("samples show the host at work, and who called it", host),
    ("samples go through nested guests", nested),
    ("listeners are not seen in samples, but as host", listened),
    ("a deep stack is cut off", deep),
    ("a full ring drops samples and counts them", full),
    ("a store is sampled once at a time", once),
    ("a store is sampled on whatever thread it runs", moving),
    ("several stores are sampled at once", several),
    ("a sampler outlives its store", outlives),
    ("samples of a store that has gone have names", short),
    ("samples taken while a callee is prepared have names", preparing),
    ("samples of code that is gone are unknown", gone),
    ("guests are stopped while they are sampled", stopped),
    ("samplers come and go while guests run", race),
];

fn without_signals(engine: &Engine) {
    let mut store = Store::new(engine, ());
    if is_possible(engine) {
        Sampler::start(&mut store, options()).unwrap();
    } else {
        let error = Sampler::start(&mut store, options()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Usage(_)));
        assert!(error.to_string().contains("without signals"), "{error}");
        // It changed nothing.
        assert!(Sampler::start(&mut store, options()).is_err());
        let i = instance(&mut store, r#"(module (func (export "f")))"#);
        i.typed_func::<(), ()>(&mut store, "f").unwrap().call(&mut store, ()).unwrap();
    }
}

const HOT: &str = r#"(module $m
  (func $hot (param i32) (result i32)
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 0))
  (func $cold (param i32) (loop $l
    (drop (call $hot (i32.const 100000)))
    (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func $run (export "run") (call $cold (i32.const 100)))
  (func $forever (export "forever") (loop $l (call $cold (i32.const 100)) (br $l))))"#;

fn hot(engine: &Engine) {
    if engine.config().has_function_listeners() {
        // Much of the time would go by in them, as `listened` checks.
        return;
    }
    if !is_possible(engine) {
        return;
    }
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, HOT);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    warm(&mut store, &run);
    let sampler = Sampler::start(&mut store, options()).unwrap();
    let samples = until(|| {
        let samples = sampled(engine, &sampler, 200, || run.call(&mut store, ()).unwrap());
        mostly(&samples, 80, &["hot", "cold", "run"]).map(|()| samples)
    });
    for sample in samples.iter().filter(|s| !s.frames.is_empty()) {
        // Now and then the runtime is at work, which is the host: how seldom is checked above.
        let Some(frame) = sample.frames[0].guest() else { continue };
        assert_eq!(frame.module().name(), Some("m"));
        assert_eq!(frame.definition().index(), Some(frame.func_index()));
    }
    assert!(samples.iter().any(|s| s.frames[0].guest().is_some_and(|f| f.code_offset().is_some())));
}

/// Runs a function until a tiered engine has compiled what is hot: the compiler at work is the host.
fn warm(store: &mut Store<()>, run: &TypedFunc<(), ()>) {
    (0..3).for_each(|_| run.call(&mut *store, ()).unwrap());
}

fn small(engine: &Engine) {
    if engine.config().has_function_listeners() {
        // Most of the time would go by in them, as `listened` checks.
        return;
    }
    if !is_possible(engine) {
        return;
    }
    // A function that is called, however small it is.
    let engine = &Engine::new(engine.config().clone().inlining(false)).unwrap();
    let text = r#"(module
      (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
      (func $loop (param i32) (result i32) (local $x i32)
        (loop $l (local.set $x (call $leaf (local.get $x)))
          (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $x))
      (func $run (export "run") (drop (call $loop (i32.const 1000000)))))"#;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, text);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    let sampler = Sampler::start(&mut store, options()).unwrap();
    let in_leaf = |s: &ResolvedSample| s.frames.first().is_some_and(|f| f.to_string() == "leaf");
    until(|| {
        let samples = sampled(engine, &sampler, 400, || run.call(&mut store, ()).unwrap());
        let in_leaf: Vec<_> = samples.iter().filter(|s| in_leaf(s)).cloned().collect();
        match in_leaf.len() > 20 {
            true => mostly(&in_leaf, 98, &["leaf", "loop", "run"]),
            false => Err(format!("{} of {}", in_leaf.len(), samples.len())),
        }
    });
}

const CALLS_HOST: &str = r#"(module (import "h" "work" (func $work))
  (func $f (call $work))
  (func $run (export "run") (call $f)))"#;

fn host(engine: &Engine) {
    if !is_possible(engine) {
        return;
    }
    let busy = || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
    };
    let blocked = || std::thread::sleep(Duration::from_millis(5));
    for work in [busy as fn(), blocked as fn()] {
        let mut linker: Linker<()> = Linker::new(engine);
        linker.func_wrap("h", "work", work).unwrap();
        let mut store = Store::new(engine, ());
        let i = linked(&mut store, &linker, CALLS_HOST);
        let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
        warm(&mut store, &run);
        let sampler = Sampler::start(&mut store, options()).unwrap();
        until(|| {
            let samples = sampled(engine, &sampler, 100, || run.call(&mut store, ()).unwrap());
            mostly(&samples, 90, &["<host>", "f", "run"])
        });
    }
    // The runtime's own work is the host's too.
    let text = r#"(module (memory 512) (func $fill (export "run") (memory.fill
      (i32.const 0) (i32.const 7) (i32.const 33554432))))"#;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, text);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    let sampler = Sampler::start(&mut store, options()).unwrap();
    until(|| {
        let samples = sampled(engine, &sampler, 100, || run.call(&mut store, ()).unwrap());
        mostly(&samples, 90, &["<host>", "fill"])
    });
}

fn nested(engine: &Engine) {
    if engine.config().has_function_listeners() {
        // Most of the time would go by in them, as `listened` checks.
        return;
    }
    if !is_possible(engine) {
        return;
    }
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_wrap("h", "call", |mut caller: Caller<'_, ()>, n: i32| {
            let outer = caller.get_export("outer").and_then(|e| e.into_func()).expect("an export");
            outer.typed::<i32, ()>(&caller)?.call(&mut caller, n)
        })
        .unwrap();
    let text = r#"(module (import "h" "call" (func $call (param i32)))
      (func $spin (param i32)
        (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
      (func $outer (export "outer") (param i32) (if (local.get 0)
        (then (call $call (i32.sub (local.get 0) (i32.const 1))))
        (else (call $spin (i32.const 5000000))))))"#;
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, text);
    let outer = i.typed_func::<i32, ()>(&mut store, "outer").unwrap();
    (0..3).for_each(|_| outer.call(&mut store, 2).unwrap());
    let sampler = Sampler::start(&mut store, options()).unwrap();
    until(|| {
        let samples = sampled(engine, &sampler, 100, || outer.call(&mut store, 2).unwrap());
        mostly(&samples, 80, &["spin", "outer", "<host>", "outer", "<host>", "outer"])
    });
    // Short guests in between: what is seen is a beginning or an end of a stack that is possible.
    let whole = ["<host>", "outer", "<host>", "outer", "<host>", "outer"];
    let empty = r#"(module (import "h" "call" (func $call (param i32)))
      (func $outer (export "outer") (param i32) (if (local.get 0)
        (then (call $call (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let i = linked(&mut store, &linker, empty);
    let outer = i.typed_func::<i32, ()>(&mut store, "outer").unwrap();
    let samples = sampled(engine, &sampler, 300, || {
        (0..5000).for_each(|_| outer.call(&mut store, 2).unwrap());
    });
    // In a few transitions a frame is missing; frames that are not there are never seen.
    let possible =
        |s: &ResolvedSample| whole.windows(names(s).len().max(1)).any(|w| *w == names(s));
    for sample in &samples {
        assert!(sample.frames.iter().all(|f| !matches!(f, SampledFrame::Unknown(_))), "{sample:?}");
        assert!(sample.frames.len() <= whole.len(), "{:?}", names(sample));
    }
    let fitting = samples.iter().filter(|s| possible(s) || s.frames.is_empty()).count();
    let others: Vec<_> = samples.iter().filter(|s| !possible(s)).map(names).collect();
    assert!(fitting * 100 >= samples.len() * 95, "{fitting} of {}: {others:?}", samples.len());
}

fn listened(engine: &Engine) {
    if !is_possible(engine) {
        return;
    }
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, HOT);
    let listener = FunctionListenerFunc(|_: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(200) {
            std::hint::spin_loop();
        }
    });
    let filter = FunctionFilter::name("hot");
    i.attach(&mut store, filter.listen(listener)).unwrap().keep();
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    // A compiler that is at work for a tier is host code that `hot` called.
    (0..3).for_each(|_| run.call(&mut store, ()).unwrap());
    let sampler = Sampler::start(&mut store, options()).unwrap();
    until(|| {
        let samples = sampled(engine, &sampler, 200, || run.call(&mut store, ()).unwrap());
        let (in_host, in_guest): (Vec<_>, Vec<_>) =
            samples.into_iter().partition(|s| names(s).first().is_some_and(|n| n == "<host>"));
        mostly(&in_host, 90, &["<host>", "cold", "run"])?;
        mostly(&in_guest, 80, &["hot", "cold", "run"])?;
        match in_host.len() > 10 && in_guest.len() > 2 {
            true => Ok(()),
            false => Err(format!("{} {}", in_host.len(), in_guest.len())),
        }
    });
}

fn deep(engine: &Engine) {
    if engine.config().has_function_listeners() {
        // Most of the time would go by in them, as `listened` checks.
        return;
    }
    if !is_possible(engine) {
        return;
    }
    let text = r#"(module (func $down (export "down") (param i32) (local $n i32)
      (if (local.get 0)
        (then (call $down (i32.sub (local.get 0) (i32.const 1))))
        (else (local.set $n (i32.const 10000000))
          (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))))"#;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, text);
    let down = i.typed_func::<i32, ()>(&mut store, "down").unwrap();
    // The compiler is not to be sampled.
    (0..3).for_each(|_| down.call(&mut store, 5).unwrap());
    let sampler = Sampler::start(&mut store, options().with_max_frames(50)).unwrap();
    let samples = until(|| {
        let samples = sampled(engine, &sampler, 40, || down.call(&mut store, 5000).unwrap());
        mostly(&samples, 80, &["down"; 50]).map(|()| samples)
    });
    assert!(samples.iter().all(|s| s.truncated == (s.frames.len() == 50)));
    drop(sampler);
    let sampler = Sampler::start(&mut store, options().with_max_frames(50)).unwrap();
    let samples = until(|| {
        let samples = sampled(engine, &sampler, 40, || down.call(&mut store, 48).unwrap());
        mostly(&samples, 80, &["down"; 49]).map(|()| samples)
    });
    assert!(samples.iter().all(|s| !s.truncated));
}

fn full(engine: &Engine) {
    if engine.config().has_function_listeners() {
        // Most of the time would go by in them, as `listened` checks.
        return;
    }
    if !is_possible(engine) {
        return;
    }
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, HOT);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    // For a sample of three functions and a trampoline 56 bytes.
    let small = options().with_capacity(4 * 56).with_max_frames(8);
    let sampler = Sampler::start(&mut store, small).unwrap();
    let start = Instant::now();
    for _ in 0..2 {
        let mut dropped = 0;
        while dropped == 0 {
            assert!(start.elapsed() < PATIENCE);
            (0..10).for_each(|_| run.call(&mut store, ()).unwrap());
            let samples = sampler.drain();
            dropped += samples.dropped();
            // Those that there was room for are whole.
            assert!(samples.len() <= 8, "{samples:?}");
            assert!(samples.dropped() == 0 || samples.len() >= 3, "{samples:?}");
        }
    }
    let samples = sampler.drain();
    assert!(samples.is_empty() && samples.dropped() == 0 && samples.iter().next().is_none());
}

fn once(engine: &Engine) {
    if !is_possible(engine) {
        return;
    }
    let mut store = Store::new(engine, ());
    let sampler = Sampler::start(&mut store, options()).unwrap();
    assert!(sampler.is_active());
    let error = Sampler::start(&mut store, options()).unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
    sampler.stop();
    assert!(!sampler.is_active());
    let second = Sampler::start(&mut store, options()).unwrap();
    sampler.stop();
    drop(sampler);
    assert!(second.is_active());
    drop(second);
    let i = instance(&mut store, HOT);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    let third = Sampler::start(&mut store, options()).unwrap();
    sampled(engine, &third, 20, || run.call(&mut store, ()).unwrap());
    third.stop();
    third.drain();
    run.call(&mut store, ()).unwrap();
    assert!(third.drain().is_empty());
}

fn moving(engine: &Engine) {
    // Listeners take much of the time, as `listened` checks.
    if !is_possible(engine) || engine.config().has_function_listeners() {
        return;
    }
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, HOT);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    warm(&mut store, &run);
    let sampler = Sampler::start(&mut store, options()).unwrap();
    for _ in 0..6 {
        store = std::thread::scope(|scope| {
            let work = || {
                until(|| {
                    let samples =
                        sampled(engine, &sampler, 20, || run.call(&mut store, ()).unwrap());
                    mostly(&samples, 80, &["hot", "cold", "run"])
                });
                store
            };
            scope.spawn(work).join().unwrap()
        });
    }
}

fn several(engine: &Engine) {
    // Listeners take much of the time, as `listened` checks.
    if !is_possible(engine) || engine.config().has_function_listeners() {
        return;
    }
    std::thread::scope(|scope| {
        for n in 0..4 {
            scope.spawn(move || {
                let text = HOT.replace("$hot", &format!("$hot{n}"));
                let mut store = Store::new(engine, ());
                let i = instance(&mut store, &text);
                let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
                warm(&mut store, &run);
                let sampler = Sampler::start(&mut store, options()).unwrap();
                until(|| {
                    let samples =
                        sampled(engine, &sampler, 50, || run.call(&mut store, ()).unwrap());
                    mostly(&samples, 80, &[&format!("hot{n}"), "cold", "run"])
                });
            });
        }
    });
}

fn outlives(engine: &Engine) {
    if !is_possible(engine) {
        return;
    }
    for _ in 0..20 {
        let mut store = Store::new(engine, ());
        let i = instance(&mut store, HOT);
        let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
        let sampler = Sampler::start(&mut store, options()).unwrap();
        run.call(&mut store, ()).unwrap();
        drop(store);
        assert!(!sampler.is_active());
        sampler.drain();
        assert!(sampler.drain().is_empty());
        sampler.stop();
    }
}

fn short(engine: &Engine) {
    if !is_possible(engine) {
        return;
    }
    let start = Instant::now();
    loop {
        let mut store = Store::new(engine, ());
        let sampler = Sampler::start(&mut store, options()).unwrap();
        // Made after the sampler, and all gone before a sample is looked at.
        let i = instance(&mut store, HOT);
        i.typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
        drop(store);
        let samples = sampler.drain();
        let resolved = samples.resolve(engine);
        let frames = || resolved.iter().flat_map(|s| &s.frames);
        if frames().any(|frame| frame.guest().is_some()) {
            break;
        }
        assert!(
            samples.is_empty() || frames().all(|f| matches!(f, SampledFrame::Host)),
            "{resolved:?}"
        );
        assert!(start.elapsed() < PATIENCE);
    }
}

/// The first call of a function from a compiled caller goes through code of the runtime, which has a
/// frame while the function is translated.
fn preparing(engine: &Engine) {
    // A compiled engine prepares nothing on calls.
    if !is_possible(engine) || is_compiled(engine) {
        return;
    }
    let sum = "(local.set 0 (i32.add (local.get 0) (i32.const 1)))".repeat(30_000);
    let text = format!(
        r#"(module (func $big (param i32) {sum})
          (func $run (export "run") (param i32)
            (if (local.get 0) (then (call $big (i32.const 1))))))"#
    );
    let (start, mut found) = (Instant::now(), 0);
    while found < 20 {
        let mut store = Store::new(engine, ());
        let sampler = Sampler::start(&mut store, options()).unwrap();
        let i = instance(&mut store, &text);
        let run = i.typed_func::<i32, ()>(&mut store, "run").unwrap();
        [0, 0, 0, 0, 1].iter().for_each(|n| run.call(&mut store, *n).unwrap());
        let samples = sampler.drain().resolve(engine);
        for sample in &samples {
            let known = |f: &SampledFrame| !matches!(f, SampledFrame::Unknown(_));
            assert!(sample.frames.iter().all(known), "{:?}", sample.frames);
        }
        // The host is at work for `run`: it translates.
        let names = |s: &ResolvedSample| s.frames.iter().map(|f| f.to_string()).collect::<Vec<_>>();
        found += samples.iter().filter(|s| names(s) == ["<host>", "run"]).count();
        assert!(start.elapsed() < PATIENCE);
    }
}

fn gone(engine: &Engine) {
    if !is_possible(engine) {
        return;
    }
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, HOT);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    warm(&mut store, &run);
    let sampler = Sampler::start(&mut store, options()).unwrap();
    let start = Instant::now();
    let mut samples = sampler.drain();
    while samples.is_empty() {
        assert!(start.elapsed() < PATIENCE);
        run.call(&mut store, ()).unwrap();
        samples = sampler.drain();
    }
    let known = samples.resolve(engine);
    assert!(known.iter().flat_map(|s| &s.frames).any(|f| f.guest().is_some()));
    drop(known);
    drop((store, sampler));
    let all_unknown = || {
        let resolved = samples.resolve(engine);
        resolved.iter().flat_map(|s| &s.frames).all(|f| f.guest().is_none())
    };
    assert!(all_unknown());
    // The same place, most likely.
    let _other = module(engine, HOT);
    assert!(all_unknown());
}

fn stopped(engine: &Engine) {
    if !is_possible(engine) {
        return;
    }
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, HOT);
    let forever = i.typed_func::<(), ()>(&mut store, "forever").unwrap();
    let often = SamplerOptions::new().with_interval(Duration::from_millis(1));
    let sampler = Sampler::start(&mut store, often).unwrap();
    for _ in 0..10 {
        store.set_timeout(Duration::from_millis(20));
        let start = Instant::now();
        let error = forever.call(&mut store, ()).unwrap_err();
        assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
        assert!(start.elapsed() < PATIENCE);
        store.set_deadline(None);
        let token = store.cancel_token();
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            token.cancel();
        });
        let error = forever.call(&mut store, ()).unwrap_err();
        assert_eq!(error.stop_reason(), Some(StopReason::Cancelled));
        other.join().unwrap();
        store.clear_cancellation();
    }
    assert!(sampler.is_active() && !sampler.drain().is_empty());
}

fn race(engine: &Engine) {
    if !is_possible(engine) {
        return;
    }
    let (give, take) = mpsc::sync_channel::<Sampler>(0);
    let mut linker: Linker<mpsc::SyncSender<Sampler>> = Linker::new(engine);
    linker
        .func_wrap("h", "start", |mut caller: Caller<'_, mpsc::SyncSender<Sampler>>| {
            let options = options().with_interval(Duration::ZERO).with_capacity(4096);
            // An error as long as the one before has not been stopped.
            if let Ok(sampler) = Sampler::start(&mut caller, options) {
                let _ = caller.data().send(sampler);
            }
        })
        .unwrap();
    let text = r#"(module (import "h" "start" (func $start))
      (func $work (param i32)
        (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
      (func (export "run") (loop $l (call $start) (call $work (i32.const 20000)) (br $l))))"#;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let guest = scope.spawn(|| {
            let mut store = Store::new(engine, give);
            let i: Instance = linked(&mut store, &linker, text);
            let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
            while !done.load(Ordering::Relaxed) {
                store.set_timeout(Duration::from_millis(30));
                let error = run.call(&mut store, ()).unwrap_err();
                assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
            }
        });
        for round in 0..200u64 {
            let sampler = take.recv_timeout(PATIENCE).expect("a sampler");
            if round % 3 != 0 {
                std::thread::sleep(Duration::from_micros(round * 7 % 400));
            }
            sampler.stop();
            sampler.drain();
            std::thread::yield_now();
            // Nothing comes after `stop`.
            assert!(sampler.drain().is_empty());
        }
        done.store(true, Ordering::Relaxed);
        // Whoever waits to hand one over is let go.
        drop(take);
        guest.join().unwrap();
    });
}
