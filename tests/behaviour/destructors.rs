//! Code of the embedder's that runs when its values are dropped, at the worst moments.

use crate::matrix::{Behaviour, instance, linked};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use wardian::{
    Caller, Engine, Error, ExternRef, Func, Instance, InstantiateOptions, Linker, Store, Val,
    close::{CloseNotifier, ClosingInstance},
    listener::{Attachment, Call, FunctionFilter, FunctionListener},
    snapshot::Snapshot,
    stack::StackIterator,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a store is gone whatever its values' destructors do", store_goes),
    ("a listener's destructor that panics harms no suspended guest", listener_goes),
    ("a panic's payload whose destructor panics harms nobody", payloads),
    ("a caller of an abandoned guest takes no snapshot of another", stale_snapshot),
    ("a caller in a future's destructor calls guests as ever", calls_in_destructors),
    ("a waker that panics leaves the store usable", wakers),
];

/// Panics when it is dropped, unless a panic is unwinding.
struct Explosive;
impl Drop for Explosive {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a destructor panics");
        }
    }
}

impl FunctionListener for Explosive {
    fn before(&self, _: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {}
}

impl CloseNotifier for Explosive {
    fn close_notify(&self, _: &ClosingInstance, _: u32) {}
}

/// Never ready; keeps what is to be dropped with the future.
struct Never<G>(G);
impl<G: Unpin> Future for Never<G> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn store_goes(engine: &Engine) {
    let text = r#"(module (import "h" "f" (func)) (table (export "t") 3 externref) (memory (export "m") 1))"#;
    let mut linker = Linker::new(engine);
    let explosive = Explosive;
    linker
        .func_wrap("h", "f", move || {
            let _ = &explosive;
        })
        .unwrap();
    let mut store = Store::new(engine, Some(Explosive));
    let module = wardian::Module::new(engine, text).unwrap();
    let options = InstantiateOptions::new().with_close_notifier(Explosive);
    let i = linker.instantiate_with(&mut store, &module, &options).unwrap();
    // The store has the last reference to the notifier.
    drop(options);
    i.notify_close(&mut store, Explosive);
    let table = i.get_export(&mut store, "t").and_then(|e| e.into_table()).unwrap();
    for at in 0..3 {
        let value = Val::ExternRef(Some(ExternRef::new(Explosive)));
        table.set(&mut store, at, value).unwrap();
    }
    let closer = i.closer(&mut store);
    let cancel = store.cancel_token();
    // The embedder's own data is dropped by the embedder: its panic comes out.
    assert!(catch_unwind(AssertUnwindSafe(|| drop(store))).is_err());
    assert!(closer.is_closed());
    assert!(!closer.close_with_exit_code(3));
    cancel.cancel();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(linker))).is_ok());
    let mut store = Store::new(engine, ());
    instance(&mut store, "(module)");
}

fn listener_goes(engine: &Engine) {
    type Data = Vec<String>;
    struct Guard<'a>(Caller<'a, Data>, Arc<AtomicU32>);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            assert_eq!(self.0.data().len(), 1);
            assert!(self.0.backtrace().frames().len() < 3);
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (dropped, detach) =
        (Arc::new(AtomicU32::new(0)), Arc::<Mutex<Option<Attachment>>>::default());
    let mut linker: Linker<Data> = Linker::new(engine);
    let (seen, taken) = (dropped.clone(), detach.clone());
    linker
        .func_wrap_async("h", "wait", move |caller: Caller<'_, Data>, (): ()| {
            // Another thread ends the attachment: that leaves work for the store.
            let attachment = taken.lock().unwrap().take();
            std::thread::spawn(move || drop(attachment)).join().unwrap();
            Box::pin(Never(Guard(caller, seen.clone())))
        })
        .unwrap();
    let text = r#"(module (import "h" "wait" (func $wait))
      (func (export "run") (call $wait)) (func (export "other")))"#;
    let mut store = Store::new(engine, vec!["data".to_owned()]);
    let i = linked(&mut store, &linker, text);
    let filter = FunctionFilter::new(|d| d.index() == Some(2));
    *detach.lock().unwrap() = Some(i.attach(&mut store, filter.listen(Explosive)).unwrap());
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    let mut call = Box::pin(run.call_async(&mut store, ()));
    assert!(poll_once(call.as_mut()).is_pending());
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    drop(call);
    assert_eq!(dropped.load(Ordering::SeqCst), 1, "the future went with the call");
    i.typed_func::<(), ()>(&mut store, "other").unwrap().call(&mut store, ()).unwrap();
    drop(store);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

fn payloads(engine: &Engine) {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("h", "panic", |mut caller: Caller<'_, u32>| -> () {
            *caller.data_mut() += 1;
            panic_any(Explosive);
        })
        .unwrap();
    // A second call, whose panic takes the place of nothing: the first one is caught by this function.
    linker
        .func_wrap("h", "catch", |mut caller: Caller<'_, u32>| -> Result<(), Error> {
            let run = caller.get_export("run").and_then(|e| e.into_func()).unwrap();
            let done = catch_unwind(AssertUnwindSafe(|| run.call(&mut caller, &[], &mut [])));
            std::mem::forget(done.unwrap_err());
            Err(Error::exit(3))
        })
        .unwrap();
    let text = r#"(module (import "h" "panic" (func $panic)) (import "h" "catch" (func $catch))
      (func (export "run") (call $panic)) (func (export "outer") (call $catch)))"#;
    let mut store = Store::new(engine, 0);
    let i = linked(&mut store, &linker, text);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| run.call(&mut store, ()))).unwrap_err();
    assert!(caught.is::<Explosive>());
    std::mem::forget(caught);
    let outer = i.typed_func::<(), ()>(&mut store, "outer").unwrap();
    let error = catch_unwind(AssertUnwindSafe(|| outer.call(&mut store, ())));
    // The inner panic is sticky, and was caught by a host function in between: the exit comes after it.
    assert_eq!(error.expect("the panic was caught").unwrap_err().exit_code(), Some(3));
    assert_eq!(*store.data(), 2);
}

#[derive(Default)]
struct Kept {
    snapshot: Option<Snapshot>,
    instance: Option<Instance>,
    attempts: u32,
    forged: bool,
}

struct Taker<'a>(Caller<'a, Kept>);
impl Drop for Taker<'_> {
    fn drop(&mut self) {
        let taken = self.0.get_snapshotter().map(|mut s| s.snapshot());
        let kept = self.0.data_mut();
        (kept.snapshot, kept.attempts) = (taken, kept.attempts + 1);
    }
}

fn stale_snapshot(engine: &Engine) {
    let mut linker: Linker<Kept> = Linker::new(engine);
    linker
        .func_wrap(
            "h",
            "forge",
            |mut caller: Caller<'_, Kept>, _: i64| -> Result<Option<Func>, Error> {
                if std::mem::replace(&mut caller.data_mut().forged, true) {
                    return Ok(None);
                }
                let instance = caller.data().instance.unwrap();
                let inner = instance.typed_func::<(), ()>(&mut caller, "inner")?;
                {
                    let mut call = Box::pin(inner.call_async(&mut caller, ()));
                    assert!(poll_once(call.as_mut()).is_pending());
                }
                assert!(caller.data().snapshot.is_none(), "of a guest that is not its own");
                // Its own it may take.
                assert!(caller.get_snapshotter().is_some());
                Ok(None)
            },
        )
        .unwrap();
    linker
        .func_wrap_async("h", "wait", |caller: Caller<'_, Kept>, (): ()| {
            Box::pin(Never(Taker(caller)))
        })
        .unwrap();
    let text = r#"(module
      (import "h" "forge" (func $forge (param i64) (result funcref))) (import "h" "wait" (func $wait))
      (func (export "inner") (call $wait))
      (func (export "run") (param i64) (result i32) (ref.is_null (call $forge (local.get 0)))))"#;
    for listened in [false, true] {
        let mut store = Store::new(engine, Kept::default());
        store.enable_snapshots(true);
        let i = linked(&mut store, &linker, text);
        let _attachment = listened.then(|| {
            let all = FunctionFilter::all().listen(crate::log::Watch);
            i.attach(&mut store, all).unwrap()
        });
        store.data_mut().instance = Some(i);
        let run = i.typed_func::<i64, i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, 0x4141_4141_4140).unwrap(), 1);
        assert_eq!(store.data().attempts, 1);
    }
}

/// Calls `leaf` of an instance when it is dropped.
struct CallsLeaf<'a>(Caller<'a, (u32, Option<Instance>)>);
impl Drop for CallsLeaf<'_> {
    fn drop(&mut self) {
        let instance = self.0.data().1.unwrap();
        let leaf = instance.typed_func::<(), i32>(&mut self.0, "leaf").unwrap();
        // It waits, which only a guest can that `call_async` has entered.
        let waits = instance.typed_func::<(), ()>(&mut self.0, "waits").unwrap();
        let error = waits.call(&mut self.0, ()).unwrap_err();
        assert!(error.to_string().contains("call_async"), "{error}");
        self.0.data_mut().0 += leaf.call(&mut self.0, ()).unwrap() as u32;
    }
}

fn calls_in_destructors(engine: &Engine) {
    type Data = (u32, Option<Instance>);
    struct Twice<G>(u32, G);
    impl<G: Unpin> Future for Twice<G> {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            self.0 += 1;
            if self.0 > 2 { Poll::Ready(()) } else { Poll::Pending }
        }
    }
    let mut linker: Linker<Data> = Linker::new(engine);
    linker
        .func_wrap_async("h", "twice", |caller: Caller<'_, Data>, (): ()| {
            Box::pin(Twice(0, CallsLeaf(caller)))
        })
        .unwrap();
    linker
        .func_wrap_async("h", "never", |_: Caller<'_, Data>, (): ()| Box::pin(Never(())))
        .unwrap();
    let text = r#"(module (import "h" "twice" (func $twice)) (import "h" "never" (func $never))
      (func (export "leaf") (result i32) (i32.const 5))
      (func (export "waits") (call $never))
      (func (export "run") (result i32) (local $n i32) (local.set $n (i32.const 30))
        (call $twice) (call $twice) (local.get $n)))"#;
    let mut store = Store::new(engine, (0, None));
    let i = linked(&mut store, &linker, text);
    store.data_mut().1 = Some(i);
    let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
    // To its end, and dropped after each number of polls.
    for polls in 1..8 {
        let mut call = Box::pin(run.call_async(&mut store, ()));
        let mut result = None;
        for _ in 0..polls {
            if let Poll::Ready(done) = poll_once(call.as_mut()) {
                result = Some(done.unwrap());
                break;
            }
        }
        drop(call);
        assert_eq!(result, (polls >= 5).then_some(30), "{polls} polls");
        let calls = std::mem::take(&mut store.data_mut().0);
        assert_eq!(calls, if polls < 3 { 5 } else { 10 }, "{polls} polls");
    }
}

fn wakers(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap_async("h", "wait", |_: Caller<'_, ()>, (): ()| Box::pin(Never(()))).unwrap();
    let text = r#"(module (import "h" "wait" (func $wait)) (func (export "run") (call $wait))
      (func (export "two") (result i32) (i32.const 2)))"#;
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, text);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    let two = i.typed_func::<(), i32>(&mut store, "two").unwrap();
    struct Panics(AtomicU32);
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("waking panics");
        }
    }
    let panics = Arc::new(Panics(AtomicU32::new(0)));
    let waker = Waker::from(panics.clone());
    let cancel = store.cancel_token();
    {
        let mut call = Box::pin(run.call_async(&mut store, ()));
        assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        cancel.cancel();
        assert_eq!(panics.0.load(Ordering::SeqCst), 1);
        let Poll::Ready(Err(error)) = poll_once(call.as_mut()) else { panic!("it was cancelled") };
        assert_eq!(error.stop_reason(), Some(wardian::StopReason::Cancelled));
    }
    store.clear_cancellation();
    assert_eq!(two.call(&mut store, ()).unwrap(), 2);
}
