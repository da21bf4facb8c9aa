//! Guests that wait: snapshots of them, and guests that were restored and wait then.

use crate::asynchronous::{block_on, later};
use crate::checkpoints::{capturing, sources};
use crate::matrix::{Behaviour, linked};
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use wardian::{
    Caller, Engine, Error, ErrorKind, Linker, Result, StopReason, Store, TypedFunc, Val,
    checkpoint::{AfterCheckpoint, Checkpoint, CheckpointOptions, Checkpoints, ResumeOptions},
    fork::Fork,
    snapshot::Snapshot,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("snapshots of a guest that waits are restored", restored),
    ("the polls of a guest that is restored are on several threads", threads),
    ("a restore cannot be swallowed by an asynchronous host function", swallowed),
    ("a nested guest restores the one around it that waits", nested),
    ("a snapshot of a call that was dropped is refused", dropped),
    ("a guest that was carried waits in asynchronous host functions", carried),
    ("a guest that was forked waits in asynchronous host functions", forked),
    ("a guest that was carried ends while it waits", endings),
    ("a checkpoint is requested of a guest that waits", requested),
];

/// What host functions keep.
#[derive(Clone, Default)]
struct Host(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    marks: Vec<Snapshot>,
    said: Vec<i32>,
}

impl Host {
    fn mark(&self, at: i32) -> Snapshot {
        self.0.lock().unwrap().marks[at as usize].clone()
    }
}

fn mark(caller: &mut Caller<'_, Host>) -> i32 {
    let snapshot = caller.get_snapshotter().expect("snapshots are enabled");
    let snapshot = { snapshot }.snapshot_with_state().expect("there is memory");
    caller.data().0.lock().unwrap().marks.push(snapshot);
    0
}

/// Functions of which half wait: `mark` and `mark_later`, `jump` and `jump_later`, `wait`.
fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker: Linker<Host> = Linker::new(engine);
    let jump = |caller: &mut Caller<'_, Host>, at: i32, value: i32| -> Result<()> {
        let snapshot = caller.data().mark(at);
        Err(snapshot.restore(caller, &[Val::I32(value)]))
    };
    linker.func_wrap("h", "mark", |mut caller: Caller<'_, Host>| mark(&mut caller)).unwrap();
    linker
        .func_wrap("h", "jump", move |mut caller: Caller<'_, Host>, at: i32, value: i32| {
            jump(&mut caller, at, value)
        })
        .unwrap();
    linker
        .func_wrap_async("h", "mark_later", |mut caller: Caller<'_, Host>, (): ()| {
            Box::pin(async move {
                later(2).await;
                let taken = mark(&mut caller);
                later(1).await;
                taken
            })
        })
        .unwrap();
    linker
        .func_wrap_async("h", "jump_later", move |mut caller: Caller<'_, Host>, to: (i32, i32)| {
            Box::pin(async move {
                later(1).await;
                jump(&mut caller, to.0, to.1)
            })
        })
        .unwrap();
    linker
        .func_wrap_async("h", "wait", |caller: Caller<'_, Host>, (n,): (i32,)| {
            Box::pin(async move {
                later(n as usize % 3).await;
                caller.data().0.lock().unwrap().said.push(n);
                n * 2
            })
        })
        .unwrap();
    linker
}

/// Goes back to its beginning `n` times, and waits on the way; the names of `mark` and `jump` are put in. What its
/// memory counts is put back.
fn looping(mark: &str, jump: &str) -> String {
    format!(
        r#"(module
      (import "h" "{mark}" (func $mark (result i32))) (import "h" "{jump}" (func $jump (param i32 i32)))
      (import "h" "wait" (func $wait (param i32) (result i32)))
      (memory (export "memory") 1)
      (func $deep (param $n i32) (result i32)
        (if (result i32) (local.get $n) (then (call $deep (i32.sub (local.get $n) (i32.const 1))))
          (else (call $wait (i32.const 2)))))
      (func (export "run") (param $n i32) (result i32) (local $v i32) (local $mine i32)
        (local.set $mine (call $wait (i32.const 5)))
        (local.set $v (call $mark))
        (local.set $mine (i32.add (local.get $mine) (i32.const 1)))
        (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (call $deep (i32.const 3))))
        (if (i32.lt_u (local.get $v) (local.get $n))
          (then (call $jump (i32.const 0) (i32.add (local.get $v) (i32.const 1)))))
        (i32.add (i32.mul (local.get $v) (i32.const 1000000))
          (i32.add (i32.mul (local.get $mine) (i32.const 1000)) (i32.load (i32.const 8))))))"#
    )
}

fn store(engine: &Engine) -> Store<Host> {
    let mut store = Store::new(engine, Host::default());
    store.enable_snapshots(true);
    store
}

fn run(store: &mut Store<Host>, linker: &Linker<Host>, text: &str) -> TypedFunc<i32, i32> {
    let i = linked(store, linker, text);
    i.typed_func::<i32, i32>(store, "run").unwrap()
}

fn restored(engine: &Engine) {
    for mark in ["mark", "mark_later"] {
        for jump in ["jump", "jump_later"] {
            let mut store = store(engine);
            let run = run(&mut store, &linker(engine), &looping(mark, jump));
            // What a call has written is there in the next one.
            for counted in [4, 8] {
                let (found, _) = block_on(run.call_async(&mut store, 20));
                assert_eq!(found.unwrap(), 20_011_000 + counted, "{mark}, {jump}");
                let mut kept = store.data().0.lock().unwrap();
                assert_eq!(kept.said.len(), 22);
                *kept = Kept::default();
            }
        }
    }
}

fn threads(engine: &Engine) {
    let mut store = store(engine);
    let run = run(&mut store, &linker(engine), &looping("mark_later", "jump_later"));
    let mut call = Box::pin(run.call_async(&mut store, 5));
    let found = loop {
        let polled = std::thread::scope(|scope| {
            let poll = || call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            scope.spawn(poll).join().unwrap()
        });
        if let Poll::Ready(found) = polled {
            break found.unwrap();
        }
    };
    assert_eq!(found, 5_011_004);
}

fn swallowed(engine: &Engine) {
    let mut linker = linker(engine);
    linker
        .func_wrap_async("h", "swallow", |mut caller: Caller<'_, Host>, to: (i32, i32)| {
            Box::pin(async move {
                later(1).await;
                let snapshot = caller.data().mark(to.0);
                let error = snapshot.restore(&mut caller, &[Val::I32(to.1)]);
                assert!(matches!(error.kind(), ErrorKind::Restored));
                // It waits once more, and is dropped.
                pending::<()>().await;
            })
        })
        .unwrap();
    // The same without waiting before.
    linker
        .func_wrap_async("h", "swallow_at_once", |mut caller: Caller<'_, Host>, to: (i32, i32)| {
            Box::pin(async move {
                let snapshot = caller.data().mark(to.0);
                let error = snapshot.restore(&mut caller, &[Val::I32(to.1)]);
                assert!(matches!(error.kind(), ErrorKind::Restored));
                pending::<()>().await;
            })
        })
        .unwrap();
    linker
        .func_wrap_async("h", "fail", |mut caller: Caller<'_, Host>, to: (i32, i32)| {
            Box::pin(async move {
                later(1).await;
                let snapshot = caller.data().mark(to.0);
                let _ = snapshot.restore(&mut caller, &[Val::I32(to.1)]);
                Err::<(), Error>(Error::host("another error"))
            })
        })
        .unwrap();
    for swallow in ["swallow", "swallow_at_once", "fail"] {
        let mut store = store(engine);
        let run = run(&mut store, &linker, &looping("mark", swallow));
        let (found, _) = block_on(run.call_async(&mut store, 3));
        assert_eq!(found.unwrap(), 3_011_004);
    }
    let mut store = store(engine);
    let run = run(&mut store, &linker, &looping("mark", "swallow"));
    // Who ends the guest goes before: a panic, after which nothing is restored, and a token.
    overruled(engine);
    let token = store.cancel_token();
    let mut call = pin!(run.call_async(&mut store, 1000));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..20 {
        assert!(call.as_mut().poll(&mut context).is_pending());
    }
    token.cancel();
    let Poll::Ready(ended) = call.as_mut().poll(&mut context) else { panic!("it has ended") };
    assert!(ended.unwrap_err().stop_reason().is_some());
}

/// A host function asks for a restore, and panics.
fn overruled(engine: &Engine) {
    let mut linker = linker(engine);
    linker
        .func_wrap_async("h", "panic", |mut caller: Caller<'_, Host>, to: (i32, i32)| {
            Box::pin(async move {
                later(1).await;
                let snapshot = caller.data().mark(to.0);
                let _ = snapshot.restore(&mut caller, &[Val::I32(to.1)]);
                std::panic::resume_unwind(Box::new("on purpose"));
                #[allow(unreachable_code)]
                ()
            })
        })
        .unwrap();
    let mut store = store(engine);
    let run = run(&mut store, &linker, &looping("mark_later", "panic"));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        block_on(run.call_async(&mut store, 3)).0.map(drop)
    }));
    assert!(panicked.is_err());
    store.data().0.lock().unwrap().marks.clear();
    // It does not ask again.
    assert!(block_on(run.call_async(&mut store, 0)).0.is_ok());
}

fn nested(engine: &Engine) {
    let mut linker = linker(engine);
    linker
        .func_wrap_async("h", "nest", |mut caller: Caller<'_, Host>, to: (i32, i32)| {
            Box::pin(async move {
                later(1).await;
                let inner = caller.get_export("inner").and_then(|e| e.into_func()).unwrap();
                let inner = inner.typed::<(i32, i32), ()>(&caller)?;
                inner.call_async(&mut caller, to).await?;
                Ok::<(), Error>(())
            })
        })
        .unwrap();
    let inner = r#"(import "h" "jump_later" (func $later (param i32 i32)))
      (memory (export "memory") 1)
      (func (export "inner") (param i32 i32) (call $later (local.get 0) (local.get 1)))"#;
    for mark in ["mark", "mark_later"] {
        let text = looping(mark, "nest").replace(r#"(memory (export "memory") 1)"#, inner);
        let mut store = store(engine);
        let run = run(&mut store, &linker, &text);
        let (found, _) = block_on(run.call_async(&mut store, 7));
        assert_eq!(found.unwrap(), 7_011_004);
    }
}

fn dropped(engine: &Engine) {
    let mut linker = linker(engine);
    linker
        .func_wrap_async("h", "never", |_: Caller<'_, Host>, _: (i32, i32)| {
            Box::pin(pending::<()>())
        })
        .unwrap();
    let mut store = store(engine);
    let run = run(&mut store, &linker, &looping("mark_later", "never"));
    let mut call = Box::pin(run.call_async(&mut store, 1));
    for _ in 0..20 {
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(call);
    let snapshot = store.data().mark(0);
    let error = snapshot.restore(&mut store, &[Val::I32(1)]).to_string();
    assert!(error.contains("had ended"), "{error}");
    let (found, _) = block_on(run.call_async(&mut store, 0));
    assert!(found.is_ok());
}

/// Waits five times; at the third a checkpoint or a fork is taken, and something is added each time.
const WAITS: &str = r#"(module
  (import "h" "wait" (func $wait (param i32) (result i32)))
  (import "h" "save" (func $save (param i64 i32) (result i32 i64)))
  (memory 3) (global $g (mut i64) (i64.const 7))
  (func $save_in (param $n i32) (result i64) (local $k i64)
    (local.set $k (i64.const 100))
    (i32.store (i32.const 150000) (local.get $n))
    (call $save (i64.const -1) (local.get $n))
    (global.set $g (i64.add (global.get $g)))
    (i64.extend_i32_s) (i64.add (local.get $k)))
  (func (export "run") (param $n i32) (result i64) (local $sum i64)
    (loop $l
      (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_s (call $wait (local.get $n)))))
      (if (i32.eq (local.get $n) (i32.const 3))
        (then (local.set $sum (i64.add (local.get $sum) (call $save_in (local.get $n))))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.add (local.get $sum)
      (i64.add (global.get $g) (i64.extend_i32_u (i32.load (i32.const 150000)))))))"#;

/// `save` waits; where `taken` has nothing yet it takes a checkpoint meanwhile.
struct Saves(Arc<Mutex<Option<Checkpoint>>>, Option<Box<Fork<Saves>>>);

fn saving(engine: &Engine, forks: bool) -> Linker<Saves> {
    let mut linker: Linker<Saves> = Linker::new(engine);
    linker
        .func_wrap_async("h", "wait", |_: Caller<'_, Saves>, (n,): (i32,)| {
            Box::pin(async move {
                later(n as usize).await;
                n * 2
            })
        })
        .unwrap();
    linker
        .func_wrap_async("h", "save", move |mut caller: Caller<'_, Saves>, (k, n): (i64, i32)| {
            Box::pin(async move {
                later(2).await;
                if caller.data().0.lock().unwrap().is_none() {
                    let checkpoint = caller.checkpoint(&CheckpointOptions::new())?;
                    let kept = caller.data().0.clone();
                    *kept.lock().unwrap() = Some(checkpoint);
                    if forks {
                        let fork = caller.fork(Saves(kept, None))?;
                        caller.data_mut().1 = Some(Box::new(fork));
                    }
                }
                later(1).await;
                Ok::<(i32, i64), Error>((n * 10, k - 1))
            })
        })
        .unwrap();
    linker
}

/// What [`WAITS`] gives: the waits, what is added for the third, and the global with the memory.
const WAITED: i64 = 2 * (5 + 4 + 3 + 2 + 1) + (30 + 100) + (7 - 2) + 3;

fn begun(engine: &Engine, forks: bool) -> Store<Saves> {
    let mut store = Store::new(engine, Saves(Arc::default(), None));
    let i = linked(&mut store, &saving(engine, forks), WAITS);
    let run = i.typed_func::<i32, i64>(&mut store, "run").unwrap();
    assert_eq!(block_on(run.call_async(&mut store, 5)).0.unwrap(), WAITED);
    store
}

fn carried(engine: &Engine) {
    for from in sources(engine) {
        let checkpoint = begun(&from, false).into_data().0;
        let checkpoint = checkpoint.lock().unwrap().clone().unwrap();
        let resume = || {
            let taken = Arc::new(Mutex::new(Some(checkpoint.clone())));
            let mut store = Store::new(engine, Saves(taken, None));
            let options = ResumeOptions::new();
            let resumed = checkpoint.resume(&mut store, &saving(engine, false), &options).unwrap();
            assert_eq!(resumed.pending().unwrap().arguments, [Val::I64(-1), Val::I32(3)]);
            (store, resumed)
        };
        let (mut store, resumed) = resume();
        let (found, polls) = block_on(resumed.run_async(&mut store));
        assert_eq!(found.unwrap(), [Val::I64(WAITED)]);
        assert!(polls > 3, "it waits");
        let (mut store, resumed) = resume();
        let given = [Val::I32(0), Val::I64(50)];
        let (found, _) = block_on(resumed.run_with_async(&mut store, &given));
        assert_eq!(found.unwrap(), [Val::I64(WAITED - 30 + 52)]);
        // With an ordinary call it cannot wait.
        let (mut store, resumed) = resume();
        let error = resumed.run(&mut store).unwrap_err().to_string();
        assert!(error.contains("call_async"), "{error}");
    }
}

fn forked(engine: &Engine) {
    for engine in sources(engine) {
        let fork = begun(&engine, true).into_data().1.unwrap();
        let Fork { mut store, resumed, .. } = *fork;
        std::thread::spawn(move || {
            let (found, polls) = block_on(resumed.run_async(&mut store));
            assert_eq!(found.unwrap(), [Val::I64(WAITED)]);
            assert!(polls > 3, "it waits");
        })
        .join()
        .unwrap();
    }
}

/// Counts how often its task is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls a guest that waits until the function under its feet is ready; a checkpoint is asked for meanwhile.
fn requested(engine: &Engine) {
    let text = r#"(module (import "h" "wait" (func $wait (param i32) (result i32)))
      (func (export "run") (param $n i32) (result i32)
        (i32.add (i32.mul (local.get $n) (i32.const 100)) (call $wait (i32.const 7)))))"#;
    let linker = |engine: &Engine| {
        let mut linker: Linker<bool> = Linker::new(engine);
        linker
            .func_wrap_async("h", "wait", |mut caller: Caller<'_, bool>, (n,): (i32,)| {
                Box::pin(async move {
                    let repeatable = *caller.data();
                    caller.set_repeatable(repeatable);
                    later(3).await;
                    caller.set_repeatable(false);
                    later(1).await;
                    n
                })
            })
            .unwrap();
        linker
    };
    for (from, repeatable) in sources(engine).iter().flat_map(|from| [(from, true), (from, false)])
    {
        for after in [AfterCheckpoint::Resume, AfterCheckpoint::End] {
            let mut store = Store::new(from, repeatable);
            let i = linked(&mut store, &linker(from), text);
            let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
            let request = store.checkpoint_request();
            let taken: Arc<Mutex<Option<Checkpoint>>> = Arc::default();
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(woken.clone());
            let mut call = Box::pin(run.call_async(&mut store, 3));
            assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            let (before, kept) = (woken.0.load(Ordering::SeqCst), taken.clone());
            let asked = std::thread::spawn(move || {
                request.request(CheckpointOptions::new(), move |checkpoint| {
                    *kept.lock().unwrap() = Some(checkpoint.unwrap());
                    after
                });
            });
            asked.join().unwrap();
            assert!(woken.0.load(Ordering::SeqCst) > before, "its task is woken");
            let polled = call.as_mut().poll(&mut Context::from_waker(&waker));
            let checkpoint = taken.lock().unwrap().take();
            assert_eq!(checkpoint.is_some(), repeatable, "it is taken at once");
            let Some(checkpoint) = checkpoint else { continue };
            match (after, polled) {
                (AfterCheckpoint::Resume, Poll::Pending) => {
                    assert_eq!(block_on(call).0.unwrap(), 307);
                }
                (AfterCheckpoint::End, Poll::Ready(Err(error))) => {
                    assert_eq!(error.stop_reason(), Some(StopReason::Checkpoint));
                }
                (_, polled) => panic!("{polled:?}"),
            }
            let mut store = Store::new(engine, true);
            let options = ResumeOptions::new();
            let resumed = checkpoint.resume(&mut store, &linker(engine), &options).unwrap();
            let (found, polls) = block_on(resumed.run_async(&mut store));
            assert_eq!((found.unwrap(), polls), (vec![Val::I32(307)], 5));
        }
    }
}

fn endings(engine: &Engine) {
    let from = capturing(engine, Checkpoints::CallsAndLoops);
    let checkpoint = begun(&from, false).into_data().0;
    let checkpoint = checkpoint.lock().unwrap().clone().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    for polls in 1..6 {
        let mut store =
            Store::new(engine, Saves(Arc::new(Mutex::new(Some(checkpoint.clone()))), None));
        let options = ResumeOptions::new();
        let resumed = checkpoint.resume(&mut store, &saving(engine, false), &options).unwrap();
        let i = resumed.instances()[0];
        let token = store.cancel_token();
        {
            let mut call = pin!(resumed.run_async(&mut store));
            for _ in 0..polls {
                assert!(call.as_mut().poll(&mut context).is_pending());
            }
            if polls % 2 == 0 {
                token.cancel();
                let Poll::Ready(ended) = call.as_mut().poll(&mut context) else {
                    panic!("it has ended")
                };
                assert!(ended.unwrap_err().stop_reason().is_some());
            }
        }
        // Dropped or ended: the store can be used.
        store.clear_cancellation();
        let run = i.typed_func::<i32, i64>(&mut store, "run").unwrap();
        assert!(block_on(run.call_async(&mut store, 2)).0.is_ok());
    }
}
