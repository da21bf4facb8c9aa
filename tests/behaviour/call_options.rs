//! Options of single calls: tokens that stop one call and leave the store as it was.

use crate::matrix::{Behaviour, instance, linked};
use crate::suspended_endings::block_on;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wardian::{
    AsContextMut, CallOptions, Caller, Engine, Error, Func, Instance, Linker, StopReason, Store,
    Val,
    cancel::CancelToken,
    gc::{ArrayRef, ArrayRefPre},
    types::{ArrayType, FieldType, StorageType},
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a call's own token ends it, and the store can be used afterwards", ended),
    ("a token that was used refuses the calls it is given to", refused),
    ("a token ends all calls that it was given to", several),
    ("the token of a nested call ends that call alone", nested_inner),
    ("the token of an outer call ends the nested one too", nested_outer),
    ("a token ends what a host function makes in the call", makes),
    ("two stores may stop calls of each other", each_other),
    ("a token ends a suspended guest, and options end with its call", suspended),
];

const ENDLESS: &str = r#"(module (func (export "spin") (loop $l (br $l)))
  (func (export "two") (result i32) (i32.const 2)))"#;

fn with(token: &CancelToken) -> CallOptions {
    CallOptions::new().with_cancel_token(token.clone())
}

fn is_cancelled<R: std::fmt::Debug>(result: Result<R, Error>) -> bool {
    result.unwrap_err().stop_reason() == Some(StopReason::Cancelled)
}

/// Uses a token a little later.
fn soon(token: &CancelToken) -> std::thread::JoinHandle<()> {
    let token = token.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(10));
        token.cancel();
    })
}

fn ended(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, ENDLESS);
    let spin = i.typed_func::<(), ()>(&mut store, "spin").unwrap();
    let two = i.typed_func::<(), i32>(&mut store, "two").unwrap();
    for _ in 0..3 {
        let token = CancelToken::new();
        let cancels = soon(&token);
        assert!(is_cancelled(spin.call_with(&mut store, &with(&token), ())));
        cancels.join().unwrap();
        assert!(!store.cancel_token().is_cancelled() && token.is_cancelled());
        assert_eq!(two.call(&mut store, ()).unwrap(), 2);
    }
    // A call that has ended is not stopped any more, nor is one that comes later.
    let token = CancelToken::new();
    assert_eq!(two.call_with(&mut store, &with(&token), ()).unwrap(), 2);
    token.cancel();
    assert_eq!(two.call(&mut store, ()).unwrap(), 2);
    // The same by values.
    let token = CancelToken::new();
    let cancels = soon(&token);
    assert!(is_cancelled(spin.func().call_with(&mut store, &with(&token), &[], &mut [])));
    cancels.join().unwrap();
}

fn refused(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, ENDLESS);
    let two = i.typed_func::<(), i32>(&mut store, "two").unwrap();
    let token = CancelToken::new();
    token.cancel();
    assert!(is_cancelled(two.call_with(&mut store, &with(&token), ())));
    assert_eq!(two.call(&mut store, ()).unwrap(), 2);
    // The store's own token does what it does without options.
    let own = store.cancel_token();
    assert_eq!(two.call_with(&mut store, &with(&own), ()).unwrap(), 2);
    own.cancel();
    assert!(is_cancelled(two.call(&mut store, ())));
    store.clear_cancellation();
    assert_eq!(two.call_with(&mut store, &with(&own), ()).unwrap(), 2);
}

fn several(engine: &Engine) {
    let token = CancelToken::new();
    let run = || {
        let mut store = Store::new(engine, ());
        let i = instance(&mut store, ENDLESS);
        let spin = i.typed_func::<(), ()>(&mut store, "spin").unwrap();
        is_cancelled(spin.call_with(&mut store, &with(&token), ()))
    };
    std::thread::scope(|scope| {
        let runs = [(); 3].map(|()| scope.spawn(run));
        let cancels = soon(&token);
        assert!(runs.into_iter().all(|run| run.join().unwrap()));
        cancels.join().unwrap();
    });
}

/// A guest whose `outer` calls the host, which calls `spin` with the inner token, if there is one.
fn nesting(engine: &Engine, inner: Option<CancelToken>) -> (Store<Vec<bool>>, Instance) {
    let mut linker: Linker<Vec<bool>> = Linker::new(engine);
    let call = move |mut caller: Caller<'_, Vec<bool>>| -> Result<(), Error> {
        let spin = caller.get_export("spin").and_then(|item| item.into_func()).unwrap();
        let options = inner.as_ref().map_or_else(CallOptions::new, with);
        let done = spin.call_with(&mut caller, &options, &[], &mut []);
        caller.data_mut().push(is_cancelled(done));
        Ok(())
    };
    linker.func_wrap("h", "call", call).unwrap();
    let mut store = Store::new(engine, Vec::new());
    let text = r#"(module (import "h" "call" (func $call))
      (func (export "spin") (loop $l (br $l)))
      (func (export "outer") (result i32) (call $call) (i32.const 2)))"#;
    let i = linked(&mut store, &linker, text);
    (store, i)
}

fn nested_inner(engine: &Engine) {
    let inner = CancelToken::new();
    let (mut store, i) = nesting(engine, Some(inner.clone()));
    let outer = i.typed_func::<(), i32>(&mut store, "outer").unwrap();
    for options in [CallOptions::new(), with(&CancelToken::new())] {
        let cancels = soon(&inner);
        assert_eq!(outer.call_with(&mut store, &options, ()).unwrap(), 2);
        cancels.join().unwrap();
    }
    assert_eq!(*store.data(), [true, true]);
}

fn nested_outer(engine: &Engine) {
    for inner in [None, Some(CancelToken::new())] {
        let (mut store, i) = nesting(engine, inner);
        let outer = i.typed_func::<(), i32>(&mut store, "outer").unwrap();
        let token = CancelToken::new();
        let cancels = soon(&token);
        // What the host function swallows ends its caller all the same.
        assert!(is_cancelled(outer.call_with(&mut store, &with(&token), ())));
        cancels.join().unwrap();
        assert_eq!(*store.data(), [true]);
    }
}

fn each_other(engine: &Engine) {
    let mut stores = [(); 2].map(|()| Store::new(engine, ()));
    let tokens = [0, 1].map(|at| stores[at].cancel_token());
    std::thread::scope(|scope| {
        let mut runs = Vec::new();
        for (at, store) in stores.iter_mut().enumerate() {
            let options = with(&tokens[1 - at]);
            runs.push(scope.spawn(move || {
                let i = instance(store, ENDLESS);
                let spin = i.typed_func::<(), ()>(&mut *store, "spin").unwrap();
                is_cancelled(spin.call_with(store, &options, ()))
            }));
        }
        let cancels = tokens.each_ref().map(soon);
        assert!(runs.into_iter().all(|run| run.join().unwrap()));
        cancels.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

fn suspended(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap_async("h", "wait", |_: Caller<'_, ()>, ()| Box::pin(pending::<()>())).unwrap();
    let mut store = Store::new(engine, ());
    let text = r#"(module (import "h" "wait" (func $wait)) (func (export "run") (call $wait))
      (func (export "two") (result i32) (i32.const 2)))"#;
    let i = linked(&mut store, &linker, text);
    let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
    let two = i.typed_func::<(), i32>(&mut store, "two").unwrap();
    let token = CancelToken::new();
    let cancels = soon(&token);
    assert!(is_cancelled(block_on(run.call_async_with(&mut store, &with(&token), ())).unwrap()));
    cancels.join().unwrap();
    assert_eq!(two.call(&mut store, ()).unwrap(), 2);
    let timeout = CallOptions::new().with_timeout(Duration::from_millis(20));
    let error = block_on(run.call_async_with(&mut store, &timeout, ())).unwrap().unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
    assert_eq!(block_on(two.call_async(&mut store, ())).unwrap().unwrap(), 2);
    // Of a future that is dropped nothing stays in force.
    let token = CancelToken::new();
    // On a slow machine a short time is over before the guest waits.
    let left = [1, 10, 100, 1000, 10_000].map(Duration::from_millis).into_iter().find(|timeout| {
        let options = with(&token).with_timeout(*timeout).with_snapshotter();
        let run = run.func();
        let mut call = Box::pin(run.call_async_with(&mut store, &options, &[], &mut []));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        call.as_mut().poll(&mut context).is_pending()
    });
    token.cancel();
    std::thread::sleep(left.expect("the guest waits") + Duration::from_millis(5));
    assert_eq!(two.call(&mut store, ()).unwrap(), 2);
    let probe = Func::wrap(&mut store, |mut caller: Caller<'_, ()>| {
        i32::from(caller.get_snapshotter().is_some())
    });
    let mut results = [Val::I32(7)];
    probe.call(store.as_context_mut(), &[], &mut results).unwrap();
    assert_eq!(results, [Val::I32(0)]);
}

/// Arrays and tables are filled in steps, between which a call may be stopped.
fn makes(engine: &Engine) {
    let filled = crate::matrix::module(
        engine,
        "(module (table 1000000 funcref (ref.func $f)) (func $f) (elem declare func $f))",
    );
    let made = move |caller: &mut Caller<'_, CancelToken>, is_array: bool| -> Result<(), Error> {
        caller.data().cancel();
        if !is_array {
            return Instance::new(&mut *caller, &filled, &[]).map(drop);
        }
        let element = FieldType { mutable: true, storage: StorageType::I8 };
        let ty = ArrayRefPre::new(&mut *caller, ArrayType(element))?;
        ArrayRef::new(&mut *caller, &ty, &Val::I32(1), 64 << 20).map(drop)
    };
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let mut linker: Linker<CancelToken> = Linker::new(engine);
    linker
        .func_wrap("h", "make", move |mut caller: Caller<'_, CancelToken>, is_array: i32| {
            log.lock().unwrap().push(is_cancelled(made(&mut caller, is_array != 0)));
        })
        .unwrap();
    for is_array in [0, 1] {
        let token = CancelToken::new();
        let mut store = Store::new(engine, token.clone());
        let text = r#"(module (import "h" "make" (func $make (param i32)))
          (func (export "run") (param i32) (call $make (local.get 0))))"#;
        let i = linked(&mut store, &linker, text);
        let run = i.typed_func::<i32, ()>(&mut store, "run").unwrap();
        assert!(is_cancelled(run.call_with(&mut store, &with(&token), is_array)));
    }
    assert_eq!(*seen.lock().unwrap(), [true, true]);
}
