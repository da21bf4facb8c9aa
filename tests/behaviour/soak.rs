//! Long runs, after which the process must be as it was: memory, descriptors, mappings, threads.
//!
//! They are ignored by default: `cargo test --release -p wardian-tests --test behaviour -- --ignored soak`.
//! `WARDIAN_SOAK_CYCLES` (a million) and `WARDIAN_SOAK_SECONDS` (3600) say how long they take.

use crate::matrix::{HAS_JIT, instance, linked, module};
use libtest_mimic::Trial;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wardian::{
    CallOptions, Caller, Config, Engine, EngineKind, Error, ErrorKind, Linker, StopReason, Store,
    TrapCode, Val,
    listener::{Call, FunctionFilter, FunctionListener},
    snapshot::Snapshot,
    stack::StackIterator,
};

pub(crate) fn trials() -> Vec<Trial> {
    let mut kinds = vec![("interpreted", EngineKind::Interpreted)];
    if HAS_JIT {
        kinds.extend([("compiled", EngineKind::Compiled), ("tiered", EngineKind::Tiered)]);
    }
    let mut trials = Vec::new();
    for (name, kind) in kinds {
        let engine = move || Engine::new(Config::new().engine(kind).hot_after(Some(50)));
        let ignored = |what: &str, run: fn(&Engine)| {
            Trial::test(format!("soak: {what} [{name}]"), move || {
                run(&engine().map_err(|e| e.to_string())?);
                Ok(())
            })
            .with_ignored_flag(true)
        };
        trials.push(ignored("stores come and go", cycles));
        trials.push(ignored("mixed load", mixed));
    }
    trials
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// What a process has of the system.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident: u64,
    descriptors: usize,
    mappings: usize,
    threads: usize,
}

impl Held {
    fn now() -> Held {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap();
        let count = |name: &str| std::fs::read_dir(format!("/proc/self/{name}")).unwrap().count();
        let pages: u64 = read("statm").split(' ').nth(1).unwrap().parse().unwrap();
        Held {
            resident: pages * 4096,
            descriptors: count("fd"),
            mappings: read("maps").lines().count(),
            threads: count("task"),
        }
    }

    /// Panics if there is more than before, but for so many bytes, which pools and allocators keep or not.
    fn assert_no_more_than(self, before: Held, tolerance: u64) {
        println!("before {before:?}\nafter  {self:?}");
        assert!(self.resident <= before.resident + tolerance, "memory: {before:?}, then {self:?}");
        assert!(self.descriptors <= before.descriptors + 2, "descriptors: {before:?}, {self:?}");
        assert!(self.mappings <= before.mappings + 64, "mappings: {before:?}, {self:?}");
        assert!(self.threads <= before.threads + 1, "threads: {before:?}, {self:?}");
    }
}

/// Parts of the mixed load: what is held in the second half may not be more than in the first one.
const PARTS: u64 = 10;

const CYCLE: &str = r#"(module (memory (export "m") 1) (table 20 funcref)
  (global $g (mut i32) (i32.const 5)) (data (i32.const 8) "data") (elem (i32.const 3) func $run)
  (func $run (export "run") (param i32) (result i32)
    (global.set $g (i32.add (global.get $g) (local.get 0)))
    (i32.store (i32.const 4) (global.get $g))
    (i32.load (i32.const 4))))"#;

/// A store, an instance and a call, again and again; each tenth store has a deadline that is far away, each
/// hundredth a closer that outlives it.
fn cycles(engine: &Engine) {
    let module = module(engine, CYCLE);
    let mut kept = Vec::new();
    let cycles = setting("WARDIAN_SOAK_CYCLES", 1_000_000);
    let mut before = None;
    for cycle in 0..cycles {
        if cycle == cycles / 10 {
            before = Some(Held::now());
        }
        let mut store = Store::new(engine, ());
        if cycle % 10 == 0 {
            store.set_timeout(Duration::from_secs(100_000));
        }
        let i = wardian::Instance::new(&mut store, &module, &[]).unwrap();
        if cycle % 100 == 0 {
            kept.push(i.closer(&mut store));
            kept.drain(..kept.len().saturating_sub(100));
        }
        let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, cycle as i32).unwrap(), 5i32.wrapping_add(cycle as i32));
    }
    drop(kept);
    Held::now().assert_no_more_than(before.expect("there are ten cycles or more"), 8 << 20);
}

#[derive(Default)]
struct Counts {
    before: AtomicU64,
    ended: AtomicU64,
}

impl FunctionListener for Counts {
    fn before(&self, _: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {
        self.before.fetch_add(1, Ordering::Relaxed);
    }
    fn after(&self, _: &Call<'_>, _: &[u64]) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
    fn abort(&self, _: &Call<'_>, _: &wardian::listener::AbortReason<'_>) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

const MIXED: &str = r#"(module (import "h" "mark" (func $mark (result i32)))
  (import "h" "jump" (func $jump (param i32)))
  (import "h" "fail" (func $fail (param i32)))
  (memory (export "m") 1 100)
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "spin") (loop (br 0)))
  (func $deep (export "deep") (call $deep))
  (func (export "oob") (drop (i32.load (i32.const -1))))
  (func (export "grow") (result i32) (memory.grow (i32.const 3)))
  (func (export "fail") (param i32) (call $fail (local.get 0)))
  (func (export "again") (result i32) (local $n i32)
    (local.set $n (call $mark))
    (if (i32.lt_u (local.get $n) (i32.const 4)) (then (call $jump (i32.add (local.get $n) (i32.const 1)))))
    (local.get $n)))"#;

type Data = Option<Snapshot>;

fn mixed_linker(engine: &Engine) -> Linker<Data> {
    let mut linker: Linker<Data> = Linker::new(engine);
    linker
        .func_wrap("h", "mark", |mut caller: Caller<'_, Data>| -> i32 {
            let taken = caller.get_snapshotter().map(|mut s| s.snapshot_with_state().unwrap());
            *caller.data_mut() = taken;
            0
        })
        .unwrap();
    linker
        .func_wrap("h", "jump", |mut caller: Caller<'_, Data>, to: i32| {
            let snapshot = caller.data().clone().expect("there is a mark");
            Err::<(), _>(snapshot.restore(&mut caller, &[Val::I32(to)]))
        })
        .unwrap();
    linker
        .func_wrap("h", "fail", |how: i32| match how {
            0 => Err::<(), _>(Error::exit(7)),
            1 => Err(Error::host("it fails")),
            _ => std::panic::resume_unwind(Box::new("it panics")),
        })
        .unwrap();
    linker
}

/// Threads that do everything to stores of one engine, each in its own order.
fn mixed(engine: &Engine) {
    let linker = mixed_linker(engine);
    let until = |seconds| Instant::now() + Duration::from_secs(seconds);
    let seconds = setting("WARDIAN_SOAK_SECONDS", 3600);
    let counts = Arc::new(Counts::default());
    let work = |end: Instant| {
        std::thread::scope(|scope| {
            for seed in 1..4 {
                let (linker, counts) = (&linker, &counts);
                scope.spawn(move || {
                    let mut random = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed);
                    while Instant::now() < end {
                        tenant(engine, linker, counts, &mut random);
                    }
                });
            }
        });
    };
    // Pools and the allocator's arenas fill up first.
    let mut seen = Vec::new();
    for _ in 0..PARTS {
        work(until(seconds / PARTS + 1));
        seen.push(Held::now());
        println!("{:?}", seen[seen.len() - 1]);
    }
    let count = |c: &AtomicU64| c.load(Ordering::Relaxed);
    assert_eq!(count(&counts.before), count(&counts.ended), "calls begun and ended");
    let half = &seen[..seen.len() / 2];
    let most = |of: fn(&Held) -> u64| half.iter().map(of).max().unwrap_or_default();
    let before = Held {
        resident: most(|h| h.resident),
        descriptors: most(|h| h.descriptors as u64) as usize,
        mappings: most(|h| h.mappings as u64) as usize,
        threads: most(|h| h.threads as u64) as usize,
    };
    // Stacks of 8 MiB that have overflowed, memories that have grown: what pools hold changes all the time.
    seen[seen.len() - 1].assert_no_more_than(before, 64 << 20);
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random >> 8
}

/// One store, in which a number of things happen.
fn tenant(engine: &Engine, linker: &Linker<Data>, counts: &Arc<Counts>, random: &mut u64) {
    let mut store = Store::new(engine, None);
    store.enable_snapshots(true);
    let i = linked(&mut store, linker, MIXED);
    let mut attachment = None;
    for _ in 0..next(random) % 20 {
        match next(random) % 10 {
            0 => {
                let fib = i.typed_func::<i32, i32>(&mut store, "fib").unwrap();
                assert_eq!(fib.call(&mut store, 15).unwrap(), 610);
            }
            1 => {
                let spin = i.typed_func::<(), ()>(&mut store, "spin").unwrap();
                let options = CallOptions::new().with_timeout(Duration::from_millis(1));
                let error = spin.call_with(&mut store, &options, ()).unwrap_err();
                assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
            }
            2 => {
                let token = store.cancel_token();
                let cancel = std::thread::spawn(move || token.cancel());
                let spin = i.typed_func::<(), ()>(&mut store, "spin").unwrap();
                let error = spin.call(&mut store, ()).unwrap_err();
                assert_eq!(error.stop_reason(), Some(StopReason::Cancelled));
                cancel.join().unwrap();
                store.clear_cancellation();
            }
            3 => {
                let deep = i.typed_func::<(), ()>(&mut store, "deep").unwrap();
                let error = deep.call(&mut store, ()).unwrap_err();
                assert_eq!(error.trap(), Some(TrapCode::StackOverflow));
            }
            4 => {
                let oob = i.typed_func::<(), ()>(&mut store, "oob").unwrap();
                let error = oob.call(&mut store, ()).unwrap_err();
                assert_eq!(error.trap(), Some(TrapCode::MemoryOutOfBounds));
            }
            5 => {
                let grow = i.typed_func::<(), i32>(&mut store, "grow").unwrap();
                assert!(grow.call(&mut store, ()).unwrap() % 3 == 1);
            }
            6 => {
                let again = i.typed_func::<(), i32>(&mut store, "again").unwrap();
                assert_eq!(again.call(&mut store, ()).unwrap(), 4);
            }
            7 => {
                let fail = i.typed_func::<i32, ()>(&mut store, "fail").unwrap();
                assert_eq!(fail.call(&mut store, 0).unwrap_err().exit_code(), Some(7));
                let error = fail.call(&mut store, 1).unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Host(_)));
                let call = std::panic::AssertUnwindSafe(|| fail.call(&mut store, 2));
                assert!(std::panic::catch_unwind(call).is_err());
            }
            8 => {
                let listen = FunctionFilter::all().listen(counts.clone());
                attachment = match attachment {
                    None => Some(i.attach(&mut store, listen).unwrap()),
                    Some(_) => None,
                };
            }
            _ => {
                let other = instance(&mut store, CYCLE);
                other.close(&mut store);
            }
        }
    }
    if next(random).is_multiple_of(4) {
        i.close(&mut store);
    }
}
