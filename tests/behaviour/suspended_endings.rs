//! Guests that are suspended in `call_async`, and ended from outside.

use crate::matrix::{Behaviour, linked};
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;
use wardian::{
    Caller, Engine, Error, ErrorKind, Instance, Linker, StopReason, Store,
    close::InstanceCloser,
    listener::{AbortReason, Call, FunctionFilter, FunctionListener},
    stack::StackIterator,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a suspended guest is ended from another thread", ended),
    ("a suspended guest whose callee is closed ends with its code", closed_callee),
    ("a suspended guest does not end because of others", unrelated),
    ("an interrupt between two polls is not lost", between_polls),
    ("nested suspended guests end together", nested),
    ("a suspended guest's calls are aborted when it is ended", aborted),
];

struct Unpark(Thread);
impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, polling it only when it is woken; `Err` if that takes too long.
pub(crate) fn block_on<F: Future>(future: F) -> Result<F::Output, &'static str> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let until = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(output);
        }
        std::thread::park_timeout(Duration::from_secs(61));
        if std::time::Instant::now() > until {
            return Err("nobody woke the task");
        }
    }
}

struct Counted(Arc<AtomicUsize>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

const TEXT: &str = r#"(module (import "h" "wait" (func $wait))
  (func (export "run") (call $wait))
  (func (export "two") (result i32) (i32.const 2)))"#;

/// A function that never answers; what it counts is dropped with its future.
fn never(engine: &Engine, dropped: &Arc<AtomicUsize>) -> Linker<()> {
    let mut linker = Linker::new(engine);
    let dropped = dropped.clone();
    linker
        .func_wrap_async("h", "wait", move |_: Caller<'_, ()>, (): ()| {
            let guard = Counted(dropped.clone());
            Box::pin(async move {
                let _guard = guard;
                pending::<()>().await;
            })
        })
        .unwrap();
    linker
}

/// Long enough for a guest to get where it waits, on a busy machine too.
const SOON: Duration = Duration::from_millis(400);

fn soon(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        std::thread::sleep(SOON);
        work();
    });
}

fn ended(engine: &Engine) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let linker = never(engine, &dropped);
    for (round, how) in ["cancel", "deadline", "close"].iter().enumerate() {
        let mut store = Store::new(engine, ());
        let i = linked(&mut store, &linker, TEXT);
        let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
        match *how {
            "cancel" => {
                let token = store.cancel_token();
                soon(move || token.cancel());
            }
            "deadline" => store.set_timeout(SOON),
            _ => {
                let closer = i.closer(&mut store);
                soon(move || assert!(closer.close_with_exit_code(5)));
            }
        }
        let error = block_on(run.call_async(&mut store, ())).expect(how).unwrap_err();
        match *how {
            "cancel" => assert_eq!(error.stop_reason(), Some(StopReason::Cancelled)),
            "deadline" => assert_eq!(error.stop_reason(), Some(StopReason::Deadline)),
            _ => assert!(matches!(error.kind(), ErrorKind::Closed(5)), "{error}"),
        }
        assert_eq!(dropped.load(Ordering::SeqCst), round + 1, "the future is dropped: {how}");
        if *how != "close" {
            let frames = error.backtrace().expect("it says where").frames();
            assert_eq!(frames[0].func_name(), Some("run"), "{how}");
            store.clear_cancellation();
            store.set_deadline(None);
            let two = i.typed_func::<(), i32>(&mut store, "two").unwrap();
            assert_eq!(two.call(&mut store, ()).unwrap(), 2);
        }
    }
}

/// Two instances, the first of which calls the second one, which waits.
fn pair(store: &mut Store<()>, linker: &mut Linker<()>) -> (Instance, Instance) {
    let inner = linked(store, linker, TEXT);
    linker.instance(&mut *store, "inner", inner).unwrap();
    let text = r#"(module (import "inner" "run" (func $run)) (func (export "run") (call $run)))"#;
    (linked(store, linker, text), inner)
}

fn closed_callee(engine: &Engine) {
    let dropped = Arc::new(AtomicUsize::new(0));
    for other_thread in [false, true] {
        let mut linker = never(engine, &dropped);
        let mut store = Store::new(engine, ());
        let (outer, inner) = pair(&mut store, &mut linker);
        let unrelated = linked(&mut store, &never(engine, &dropped), TEXT);
        let closers: Vec<InstanceCloser> = [unrelated, inner].map(|i| i.closer(&mut store)).into();
        let close = move || {
            assert!(closers[0].close_with_exit_code(99));
            assert!(closers[1].close_with_exit_code(5));
        };
        let run = outer.typed_func::<(), ()>(&mut store, "run").unwrap();
        let mut call = Box::pin(run.call_async(&mut store, ()));
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        if other_thread {
            soon(close)
        } else {
            close()
        }
        let error = block_on(call).expect("it is woken").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Closed(5)), "{error}");
        assert!(!outer.is_closed(&store));
    }
}

fn unrelated(engine: &Engine) {
    let mut linker: Linker<u32> = Linker::new(engine);
    linker
        .func_wrap_async("h", "wait", |mut caller: Caller<'_, u32>, (): ()| {
            let mut left = 5;
            Box::pin(async move {
                std::future::poll_fn(|context| {
                    left -= 1;
                    context.waker().wake_by_ref();
                    if left == 0 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                *caller.data_mut() += 1;
            })
        })
        .unwrap();
    let mut store = Store::new(engine, 0);
    let i = linked(&mut store, &linker, TEXT);
    let other = linked(&mut store, &linker, TEXT);
    let closer = other.closer(&mut store);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    let mut call = Box::pin(run.call_async(&mut store, ()));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(closer.close_with_exit_code(9));
    block_on(call).expect("it is woken").unwrap();
    assert_eq!(*store.data(), 1);
    assert_eq!(other.exit_code(&store), Some(9));
}

fn between_polls(engine: &Engine) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let linker = never(engine, &dropped);
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, TEXT);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    let token = store.cancel_token();
    // Before the first poll.
    token.cancel();
    let error = block_on(run.call_async(&mut store, ())).expect("no wait").unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Cancelled));
    // After a poll by a task that has gone, before one by another.
    store.clear_cancellation();
    let mut call = Box::pin(run.call_async(&mut store, ()));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    token.cancel();
    let error = block_on(call).expect("no wait").unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Cancelled));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

fn nested(engine: &Engine) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = dropped.clone();
    let mut linker = Linker::new(engine);
    linker
        .func_wrap_async("h", "down", move |mut caller: Caller<'_, ()>, (n,): (i32,)| {
            let guard = Counted(count.clone());
            Box::pin(async move {
                let _guard = guard;
                if n == 0 {
                    pending::<()>().await;
                }
                let f = caller.get_export("f").and_then(|e| e.into_func()).expect("an export");
                let f = f.typed::<i32, ()>(&caller)?;
                // Whatever the inner guest ends with, this one ends as well.
                let _ = f.call_async(&mut caller, n - 1).await;
                Ok::<(), Error>(())
            })
        })
        .unwrap();
    let text = r#"(module (import "h" "down" (func $down (param i32)))
      (func (export "f") (param i32) (call $down (local.get 0))))"#;
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, text);
    let f = i.typed_func::<i32, ()>(&mut store, "f").unwrap();
    store.set_timeout(SOON);
    let error = block_on(f.call_async(&mut store, 3)).expect("it is woken").unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
    assert_eq!(dropped.load(Ordering::SeqCst), 4);
}

#[derive(Default)]
struct Balance {
    before: AtomicUsize,
    aborted: AtomicUsize,
}

struct Ear(Arc<Balance>);
impl FunctionListener for Ear {
    fn before(&self, _: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {
        self.0.before.fetch_add(1, Ordering::SeqCst);
    }
    fn abort(&self, _: &Call<'_>, reason: &AbortReason<'_>) {
        let AbortReason::Error(error) = reason else { panic!("{reason:?}") };
        assert_eq!(error.stop_reason(), Some(StopReason::Cancelled));
        self.0.aborted.fetch_add(1, Ordering::SeqCst);
    }
}

fn aborted(engine: &Engine) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let mut linker = never(engine, &dropped);
    let mut store = Store::new(engine, ());
    let (outer, inner) = pair(&mut store, &mut linker);
    let balance = Arc::new(Balance::default());
    let listen = || FunctionFilter::all().listen(Ear(balance.clone()));
    let _attachments = [outer, inner].map(|i| i.attach(&mut store, listen()).unwrap());
    let token = store.cancel_token();
    soon(move || token.cancel());
    let run = outer.typed_func::<(), ()>(&mut store, "run").unwrap();
    block_on(run.call_async(&mut store, ())).expect("it is woken").unwrap_err();
    assert_eq!(balance.before.load(Ordering::SeqCst), 3);
    assert_eq!(balance.aborted.load(Ordering::SeqCst), 3);
}
