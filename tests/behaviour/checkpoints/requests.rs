//! Checkpoints that other threads ask for.

use super::{interpreter, sources};
use crate::matrix::{Behaviour, instance, is_compiled, module};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wardian::{
    Caller, Engine, Error, Linker, Result, StopReason, Store, Val,
    checkpoint::{
        AfterCheckpoint, Checkpoint, CheckpointOptions, CheckpointRequest, ResumeOptions,
    },
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a guest that only computes is written down on request, again and again", computing),
    ("a guest that calls is written down on request", calling),
    ("a guest is written at once on request, and what has changed since then", written_at_once),
    ("who asks again and again does not keep the guest from ending", again_and_again),
    ("a request waits for a guest", idle),
    ("a request in a compiled guest is an error that names the function", compiled),
    ("a panic of who asked, and a store that is gone", careless),
    ("a guest that waits in an asynchronous host function is written down", waiting),
    ("state of the store's data is part of every checkpoint", store_state),
];

/// Asks, and returns where the answer comes.
fn ask(request: &CheckpointRequest, after: AfterCheckpoint) -> Receiver<Result<Checkpoint>> {
    let (sender, receiver) = channel();
    request.request(CheckpointOptions::new(), move |checkpoint| {
        let _ = sender.send(checkpoint);
        after
    });
    receiver
}

/// Counts by a loop in a loop; memory is written, and operands lie on the stack of the block.
const COUNT: &str = r#"(module (memory 1)
  (func (export "run") (param $n i32) (result i64) (local $i i32) (local $sum i64)
    (i64.const 5)
    (loop $outer (param i64) (result i64)
      (local.set $i (i32.const 100))
      (loop $inner (param i64) (result i64)
        (i64.store (i32.const 8) (i64.add (i64.load (i32.const 8)) (i64.extend_i32_u (local.get $i))))
        (i64.add (i64.load (i32.const 8)))
        (br_if $inner (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (br_if $outer (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;

fn computing(engine: &Engine) {
    sources(engine).iter().for_each(|from| computing_on(from, engine));
}

fn computing_on(from: &Engine, engine: &Engine) {
    const TURNS: i32 = 40_000;
    let expected = {
        let mut store = Store::new(from, ());
        let run = instance(&mut store, COUNT).typed_func::<i32, i64>(&mut store, "run").unwrap();
        run.call(&mut store, TURNS).unwrap()
    };
    let mut store = Store::new(from, ());
    let run = instance(&mut store, COUNT).typed_func::<i32, i64>(&mut store, "run").unwrap();
    // It is carried from store to store until it returns.
    // The first request waits for it; on a busy machine later ones may come too late.
    let asked = |store: &mut Store<()>, after: Duration| {
        let request = store.checkpoint_request();
        if after.is_zero() {
            let receiver = ask(&request, AfterCheckpoint::End);
            return std::thread::spawn(move || receiver);
        }
        std::thread::spawn(move || {
            std::thread::sleep(after);
            ask(&request, AfterCheckpoint::End)
        })
    };
    let first = asked(&mut store, Duration::ZERO);
    let mut done = run.call(&mut store, TURNS).map(|result| vec![Val::I64(result)]);
    let mut receiver = first.join().unwrap();
    let mut carried = 0;
    while let Err(error) = &done {
        assert_eq!(error.stop_reason(), Some(StopReason::Checkpoint), "{error}");
        carried += 1;
        let checkpoint = receiver.recv().unwrap().unwrap();
        let bytes = checkpoint.to_bytes().unwrap();
        let checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
        let last = carried > 6;
        let mut next = Store::new(if last { engine } else { from }, ());
        let linker = Linker::new(next.engine());
        let resumed = checkpoint.resume(&mut next, &linker, &ResumeOptions::new()).unwrap();
        assert!(resumed.is_running() && resumed.pending().is_none());
        if last {
            done = resumed.run(&mut next);
            break;
        }
        let thread = asked(&mut next, Duration::from_millis(3));
        done = resumed.run(&mut next);
        receiver = thread.join().unwrap();
    }
    assert_eq!(done.unwrap(), [Val::I64(expected)]);
    assert!(carried > 0);
}

/// Where a request writes to.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn written_at_once(engine: &Engine) {
    const TURNS: i32 = 5_000;
    let from = interpreter(engine);
    let mut store = Store::new(&from, ());
    let run = instance(&mut store, COUNT).typed_func::<i32, i64>(&mut store, "run").unwrap();
    let request = store.checkpoint_request();
    let (first, second) = (Shared::default(), Shared::default());
    let (sender, receiver) = channel();
    let (again, child) = (request.clone(), second.clone());
    request.request_to(CheckpointOptions::new(), first.clone(), move |parent| {
        let options = CheckpointOptions::new().since(&parent.unwrap());
        again.request_to(options, child, move |child| {
            let _ = sender.send(child.map(|index| *index.hash()));
            AfterCheckpoint::End
        });
        AfterCheckpoint::Resume
    });
    // A writer that fails is an error, and the guest continues.
    let broken = std::fs::File::open("/dev/null").unwrap();
    request.request_to(CheckpointOptions::new(), broken, |index| {
        assert!(index.is_err());
        AfterCheckpoint::Resume
    });
    let error = run.call(&mut store, TURNS).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Checkpoint), "{error}");
    let hash = receiver.recv().unwrap().unwrap();
    let (first, second) = (first.0.lock().unwrap(), second.0.lock().unwrap());
    let child = Checkpoint::from_bytes(&second).unwrap();
    assert_eq!(child.hash().unwrap(), hash);
    let whole = child.compact(|_| Checkpoint::from_bytes(&first)).unwrap();
    let mut next = Store::new(engine, ());
    let linker = Linker::new(engine);
    let resumed = whole.resume(&mut next, &linker, &ResumeOptions::new()).unwrap();
    assert!(resumed.is_running());
    let mut plain = Store::new(engine, ());
    let run = instance(&mut plain, COUNT).typed_func::<i32, i64>(&mut plain, "run").unwrap();
    let expected = run.call(&mut plain, TURNS).unwrap();
    assert_eq!(resumed.run(&mut next).unwrap(), [Val::I64(expected)]);
}

/// Asks for a checkpoint, and when it is taken for the next one, so often.
fn ask_again(request: CheckpointRequest, left: u32, taken: Arc<Mutex<u32>>) {
    let again = request.clone();
    request.request(CheckpointOptions::new(), move |checkpoint| {
        checkpoint.unwrap();
        *taken.lock().unwrap() += 1;
        if left > 0 {
            ask_again(again, left - 1, taken);
        }
        AfterCheckpoint::Resume
    });
}

fn again_and_again(engine: &Engine) {
    const TURNS: i32 = 2;
    const MANY: u32 = 1000;
    let from = interpreter(engine);
    let mut store = Store::new(&from, ());
    let run = instance(&mut store, COUNT).typed_func::<i32, i64>(&mut store, "run").unwrap();
    let request = store.checkpoint_request();
    let taken = Arc::new(Mutex::new(0));
    let _end = ask(&request, AfterCheckpoint::End);
    ask_again(request, MANY, taken.clone());
    let error = run.call(&mut store, TURNS).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Checkpoint), "{error}");
    assert_eq!(*taken.lock().unwrap(), 1);
}

/// What host functions have: what asks for checkpoints.
type Asking = Option<CheckpointRequest>;

/// `h.count` doubles, and asks now and then for a checkpoint, so that its guest is left when it returns.
fn counting(engine: &Engine) -> Linker<Asking> {
    let mut linker: Linker<Asking> = Linker::new(engine);
    let count = |caller: Caller<'_, Asking>, n: i64| -> i64 {
        if n % 700 == 350
            && let Some(request) = caller.data()
        {
            ask(request, AfterCheckpoint::Resume);
        }
        2 * n
    };
    linker.func_wrap("h", "count", count).unwrap();
    linker
}

/// Asks for a checkpoint again and again until `stop` is set, and keeps some.
fn keep_asking(request: CheckpointRequest, stop: &AtomicBool, kept: &Arc<Mutex<Vec<Checkpoint>>>) {
    while !stop.load(Ordering::Relaxed) {
        let kept = kept.clone();
        request.request(CheckpointOptions::new(), move |checkpoint| {
            let checkpoint = checkpoint.expect("every safepoint can be written down");
            let mut kept = kept.lock().unwrap();
            if kept.len() < KEPT {
                kept.push(checkpoint);
            }
            AfterCheckpoint::Resume
        });
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Checkpoints that are tried.
const KEPT: usize = 12;

fn calling(engine: &Engine) {
    sources(engine).iter().for_each(|from| calling_on(from, engine));
}

fn calling_on(from: &Engine, engine: &Engine) {
    let text = r#"(module (import "h" "count" (func $count (param i64) (result i64)))
      (func $step (param i64) (result i64) (i64.add (i64.const 1) (call $count (local.get 0))))
      (func (export "run") (result i64) (local $n i64) (local $sum i64)
        (loop $l
          (local.set $sum (i64.add (local.get $sum) (call $step (local.get $n))))
          (br_if $l (i64.lt_u (local.tee $n (i64.add (local.get $n) (i64.const 1))) (i64.const 3000))))
        (local.get $sum)))"#;
    let expected = 3000 * 2999 + 3000;
    let mut store = Store::new(from, None);
    *store.data_mut() = Some(store.checkpoint_request());
    let request = store.checkpoint_request();
    let instance = counting(from).instantiate(&mut store, &module(from, text)).unwrap();
    let run = instance.typed_func::<(), i64>(&mut store, "run").unwrap();
    let (stop, kept) = (AtomicBool::new(false), Arc::new(Mutex::new(Vec::new())));
    std::thread::scope(|scope| {
        scope.spawn(|| keep_asking(request, &stop, &kept));
        let begin = Instant::now();
        while kept.lock().unwrap().len() < KEPT && begin.elapsed() < Duration::from_secs(60) {
            assert_eq!(run.call(&mut store, ()).unwrap(), expected);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let kept = std::mem::take(&mut *kept.lock().unwrap());
    assert_eq!(kept.len(), KEPT);
    for checkpoint in kept {
        let mut store = Store::new(engine, None);
        let resumed =
            checkpoint.resume(&mut store, &counting(engine), &ResumeOptions::new()).unwrap();
        assert_eq!(resumed.run(&mut store).unwrap(), [Val::I64(expected)]);
    }
}

fn idle(engine: &Engine) {
    sources(engine).iter().for_each(|from| idle_on(from, engine));
}

fn idle_on(from: &Engine, engine: &Engine) {
    let mut store = Store::new(from, ());
    let run = instance(&mut store, COUNT).typed_func::<i32, i64>(&mut store, "run").unwrap();
    let request = store.checkpoint_request();
    let resumed = ask(&request, AfterCheckpoint::Resume);
    assert!(resumed.try_recv().is_err());
    let first = run.call(&mut store, 2).unwrap();
    let checkpoint = resumed.recv().unwrap().unwrap();
    assert_eq!(checkpoint.frames().len(), 1, "in the call");
    let mut other = Store::new(engine, ());
    let resumed =
        checkpoint.resume(&mut other, &Linker::new(engine), &ResumeOptions::new()).unwrap();
    assert_eq!(resumed.run(&mut other).unwrap(), [Val::I64(first)]);
    let ended = ask(&request, AfterCheckpoint::End);
    let error = run.call(&mut store, 2).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Checkpoint));
    assert_eq!(ended.recv().unwrap().unwrap().frames().len(), 1);
    assert_ne!(run.call(&mut store, 2).unwrap(), first, "the store can be used");
}

fn compiled(engine: &Engine) {
    if !is_compiled(engine) {
        return;
    }
    let text = r#"(module $m (import "h" "ask" (func $ask)) (import "h" "after" (func $after))
      (func $middle (call $ask) (call $after)) (func (export "run") (call $middle)))"#;
    let mut store = Store::new(engine, Vec::new());
    let request = store.checkpoint_request();
    let mut linker: Linker<Vec<Receiver<Result<Checkpoint>>>> = Linker::new(engine);
    linker
        .func_wrap("h", "ask", move |mut caller: Caller<'_, Vec<Receiver<Result<Checkpoint>>>>| {
            let answer = ask(&request, AfterCheckpoint::Resume);
            caller.data_mut().push(answer);
        })
        .unwrap();
    linker.func_wrap("h", "after", || {}).unwrap();
    let instance = linker.instantiate(&mut store, &module(engine, text)).unwrap();
    let run = instance.typed_func::<(), ()>(&mut store, "run").unwrap();
    run.call(&mut store, ()).unwrap();
    let error = store.into_data().remove(0).recv().unwrap().unwrap_err();
    assert!(error.to_string().contains("m.middle is being run by compiled code"), "{error}");
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

fn careless(engine: &Engine) {
    let from = interpreter(engine);
    let mut store = Store::new(&from, ());
    let run = instance(&mut store, COUNT).typed_func::<i32, i64>(&mut store, "run").unwrap();
    let request = store.checkpoint_request();
    request.request(CheckpointOptions::new(), |_| panic!("on purpose"));
    run.call(&mut store, 1).unwrap();
    drop(store);
    let never = ask(&request, AfterCheckpoint::Resume);
    assert!(never.recv().is_err(), "it is dropped");
    // Of a store that goes with requests.
    let mut store = Store::new(&from, ());
    let request = store.checkpoint_request();
    let never = ask(&request, AfterCheckpoint::Resume);
    let bomb = Bomb;
    request.request(CheckpointOptions::new(), move |_| {
        let _bomb = bomb;
        AfterCheckpoint::Resume
    });
    drop(store);
    assert!(never.recv().is_err(), "it is dropped");
}

fn waiting(engine: &Engine) {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    let from = interpreter(engine);
    let text = r#"(module (import "h" "wait" (func $wait (param i32) (result i32)))
      (func (export "run") (result i32) (i32.mul (i32.const 3) (call $wait (i32.const 7)))))"#;
    // The future takes the checkpoint itself, while its guest is suspended in it.
    type Data = Option<Checkpoint>;
    let linker = |engine: &Engine| {
        let mut linker: Linker<Data> = Linker::new(engine);
        linker
            .func_wrap_async("h", "wait", |mut caller: Caller<'_, Data>, (n,): (i32,)| {
                Box::pin(async move {
                    let mut polls = 0;
                    poll_fn(|_| {
                        polls += 1;
                        if polls < 3 { Poll::Pending } else { Poll::Ready(()) }
                    })
                    .await;
                    if caller.data().is_none() {
                        let checkpoint = caller.checkpoint(&CheckpointOptions::new())?;
                        *caller.data_mut() = Some(checkpoint);
                    }
                    Ok::<i32, Error>(n + 1)
                })
            })
            .unwrap();
        linker
    };
    let mut store = Store::new(&from, None);
    let instance = linker(&from).instantiate(&mut store, &module(&from, text)).unwrap();
    let run = instance.typed_func::<(), i32>(&mut store, "run").unwrap();
    let result = {
        let mut call = pin!(run.call_async(&mut store, ()));
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(result) = call.as_mut().poll(&mut context) {
                break result.unwrap();
            }
        }
    };
    assert_eq!(result, 24);
    let checkpoint = store.into_data().unwrap();
    let mut store = Store::new(engine, None);
    let resumed = checkpoint.resume(&mut store, &linker(engine), &ResumeOptions::new()).unwrap();
    assert_eq!(resumed.pending().unwrap().arguments, [Val::I32(7)]);
    assert_eq!(resumed.run_with(&mut store, &[Val::I32(100)]).unwrap(), [Val::I32(300)]);
}

fn store_state(engine: &Engine) {
    let mut store = Store::new(engine, 5u8);
    store.host_state_with(|data| {
        *data += 1;
        if *data > 6 { Err(Error::host("too often")) } else { Ok(vec![("n".into(), vec![*data])]) }
    });
    let options = CheckpointOptions::new().with_host_state("other", [9]);
    let checkpoint = store.checkpoint(&options).unwrap();
    assert_eq!(checkpoint.host_state("n"), Some(&[6][..]));
    assert_eq!(checkpoint.host_state("other"), Some(&[9][..]));
    assert_eq!(store.checkpoint(&options).unwrap_err().to_string(), "too often");
}
