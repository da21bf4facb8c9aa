//! Host functions that wait, and guests that are suspended meanwhile.

use crate::matrix::{Behaviour, linked, module};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wardian::{
    Caller, Engine, Error, ExternRef, Func, FuncType, HostFuture, Instance, InstantiateOptions,
    Linker, Result, Store, TrapCode, Val, ValType,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a suspended guest is resumed with its locals", goes_on),
    ("a suspended guest goes on, on other threads", other_threads),
    ("a nested guest is suspended together with the outer one", nested),
    ("a call that is dropped leaves the store usable", dropped),
    ("waiting in a plain call is an error", plain_call),
    ("errors, exits, traps and panics after a suspension", endings),
    ("a deadline that passed meanwhile ends the guest", deadline),
    ("calls with values and start functions wait", values_and_starts),
    ("asynchronous functions of any signature wait", any_signature),
    ("results of asynchronous functions are checked", checked_results),
];

/// Is ready when it has been polled `times` times.
pub(crate) async fn later(times: usize) {
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs a future by polling it again and again.
pub(crate) fn block_on<R>(future: impl Future<Output = R>) -> (R, usize) {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for polls in 1.. {
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return (result, polls);
        }
    }
    unreachable!()
}

const SUM: &str = r#"(module
  (import "h" "wait" (func $wait (param i32 i64 f64 externref) (result i64)))
  (func (export "sum") (param $n i32) (param $x externref) (result i64) (local $sum i64)
    (loop $again
      (local.set $sum (i64.add (local.get $sum)
        (call $wait (local.get $n) (i64.const 1000) (f64.const 0.5) (local.get $x))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func (export "seven") (result i32) (i32.const 7)))"#;

type Params = (i32, i64, f64, Option<ExternRef>);

fn waiting(engine: &Engine) -> Linker<usize> {
    let mut linker: Linker<usize> = Linker::new(engine);
    linker
        .func_wrap_async("h", "wait", |mut caller: Caller<'_, usize>, (n, k, f, x): Params| {
            Box::pin(async move {
                later(n as usize % 3).await;
                *caller.data_mut() += 1;
                assert_eq!(x.unwrap().data().downcast_ref::<u8>(), Some(&9));
                i64::from(n) + k + (f * 2.0) as i64
            })
        })
        .unwrap();
    linker
}

fn goes_on(engine: &Engine) {
    let linker = waiting(engine);
    let mut store = Store::new(engine, 0);
    let i = linked(&mut store, &linker, SUM);
    let sum = i.typed_func::<(i32, Option<ExternRef>), i64>(&mut store, "sum").unwrap();
    for _ in 0..3 {
        let value = Some(ExternRef::new(9u8));
        let (found, polls) = block_on(sum.call_async(&mut store, (100, value)));
        assert_eq!(found.unwrap(), 5050 + 100 * 1001);
        assert_eq!(polls, 101);
    }
    assert_eq!(*store.data(), 300);
}

fn other_threads(engine: &Engine) {
    let linker = waiting(engine);
    let mut store = Store::new(engine, 0);
    let i = linked(&mut store, &linker, SUM);
    let sum = i.typed_func::<(i32, Option<ExternRef>), i64>(&mut store, "sum").unwrap();
    let value = Some(ExternRef::new(9u8));
    let mut call = Box::pin(sum.call_async(&mut store, (10, value)));
    let found = loop {
        let polled = std::thread::scope(|scope| {
            let poll = || call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            scope.spawn(poll).join().unwrap()
        });
        if let Poll::Ready(found) = polled {
            break found.unwrap();
        }
    };
    assert_eq!(found, 55 + 10 * 1001);
}

fn nested(engine: &Engine) {
    let mut linker: Linker<usize> = Linker::new(engine);
    linker
        .func_wrap_async("h", "down", |mut caller: Caller<'_, usize>, (n,): (i32,)| {
            Box::pin(async move {
                later(2).await;
                let f = caller.get_export("f").and_then(|e| e.into_func()).expect("an export");
                let f = f.typed::<i32, i32>(&caller)?;
                let inner = f.call_async(&mut caller, n - 1).await?;
                later(1).await;
                // A plain call of a guest that does not wait, while the outer ones are suspended.
                let plain = f.call(&mut caller, 0)?;
                *caller.data_mut() += 1;
                Ok::<i32, Error>(inner + plain)
            })
        })
        .unwrap();
    let mut store = Store::new(engine, 0);
    let i = linked(
        &mut store,
        &linker,
        r#"(module (import "h" "down" (func $down (param i32) (result i32)))
          (func (export "f") (param i32) (result i32) (local $keep i32)
            (local.set $keep (i32.mul (local.get 0) (i32.const 1000)))
            (if (result i32) (local.get 0)
              (then (i32.add (local.get $keep) (call $down (local.get 0))))
              (else (i32.const 1)))))"#,
    );
    let f = i.typed_func::<i32, i32>(&mut store, "f").unwrap();
    let (found, polls) = block_on(f.call_async(&mut store, 4));
    assert_eq!(found.unwrap(), 10_000 + 1 + 4);
    assert_eq!((polls, *store.data()), (13, 4));
}

struct Counted(Arc<AtomicUsize>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn dropped(engine: &Engine) {
    let ended = Arc::new(AtomicUsize::new(0));
    let mut linker: Linker<()> = Linker::new(engine);
    let count = ended.clone();
    linker
        .func_wrap_async("h", "wait", move |_: Caller<'_, ()>, _: Params| {
            let guard = Counted(count.clone());
            Box::pin(async move {
                let _guard = guard;
                later(usize::MAX).await;
                0i64
            })
        })
        .unwrap();
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, SUM);
    let sum = i.typed_func::<(i32, Option<ExternRef>), i64>(&mut store, "sum").unwrap();
    let seven = i.typed_func::<(), i32>(&mut store, "seven").unwrap();
    for round in 1..4 {
        let mut call = Box::pin(sum.call_async(&mut store, (10, None)));
        for _ in 0..3 {
            let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
        }
        drop(call);
        assert_eq!(ended.load(Ordering::Relaxed), round);
        assert_eq!(seven.call(&mut store, ()).unwrap(), 7);
    }
}

fn plain_call(engine: &Engine) {
    let linker = waiting(engine);
    let mut store = Store::new(engine, 0);
    let i = linked(&mut store, &linker, SUM);
    let sum = i.typed_func::<(i32, Option<ExternRef>), i64>(&mut store, "sum").unwrap();
    let value = || Some(ExternRef::new(9u8));
    // Nothing has to wait for 3 and 0.
    let reported = sum.call(&mut store, (4, value())).unwrap_err().to_string();
    assert!(reported.contains("call_async"), "{reported}");
    let (found, _) = block_on(sum.call_async(&mut store, (1, value())));
    assert_eq!(found.unwrap(), 1002);
}

fn endings(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_wrap_async("h", "end", |_: Caller<'_, ()>, (how,): (i32,)| {
            Box::pin(async move {
                later(2).await;
                match how {
                    0 => Err(Error::host("no more")),
                    1 => Err(Error::exit(5)),
                    2 => std::panic::resume_unwind(Box::new("boom")),
                    _ => Ok(()),
                }
            })
        })
        .unwrap();
    let mut store = Store::new(engine, ());
    let i = linked(
        &mut store,
        &linker,
        r#"(module (import "h" "end" (func $end (param i32)))
          (func (export "run") (param i32) (call $end (local.get 0)) unreachable))"#,
    );
    let run = i.typed_func::<i32, ()>(&mut store, "run").unwrap();
    let mut end = |how| block_on(run.call_async(&mut store, how)).0.unwrap_err();
    assert_eq!(end(0).to_string(), "no more");
    assert_eq!(end(1).exit_code(), Some(5));
    let trap = end(3);
    assert_eq!(trap.trap(), Some(TrapCode::Unreachable));
    assert_eq!(trap.backtrace().unwrap().frames()[0].func_name(), Some("run"));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| end(2)));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"boom"));
    assert_eq!(end(1).exit_code(), Some(5));
    // After all this a plain call still cannot wait.
    let reported = run.call(&mut store, 1).unwrap_err().to_string();
    assert!(reported.contains("call_async"), "{reported}");
}

fn deadline(engine: &Engine) {
    let linker = waiting(engine);
    let mut store = Store::new(engine, 0);
    let i = linked(&mut store, &linker, SUM);
    let sum = i.typed_func::<(i32, Option<ExternRef>), i64>(&mut store, "sum").unwrap();
    store.set_timeout(Duration::from_millis(500));
    let value = Some(ExternRef::new(9u8));
    let mut call = Box::pin(sum.call_async(&mut store, (4, value)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_pending());
    std::thread::sleep(Duration::from_millis(550));
    let Poll::Ready(found) = call.as_mut().poll(&mut context) else { panic!("still waiting") };
    assert!(found.unwrap_err().stop_reason().is_some());
}

/// Calls with values, and start functions that wait.
fn values_and_starts(engine: &Engine) {
    let linker = waiting(engine);
    let mut store = Store::new(engine, 0);
    let i = linked(&mut store, &linker, SUM);
    let sum = i.get_func(&mut store, "sum").unwrap();
    let args = [Val::I32(5), Val::ExternRef(Some(ExternRef::new(9u8)))];
    let mut results = [Val::I32(0)];
    let (done, polls) = block_on(sum.call_async(&mut store, &args, &mut results));
    done.unwrap();
    assert_eq!(results[0].i64(), Some(15 + 5 * 1001));
    assert!(polls > 1);
    let (wrong, _) = block_on(sum.call_async(&mut store, &args[..1], &mut results));
    assert!(wrong.is_err());
    let text = r#"(module
      (import "h" "wait" (func $wait (param i32 i64 f64 externref) (result i64)))
      (import "h" "nine" (func $nine (result externref)))
      (global $sum (export "sum") (mut i64) (i64.const 0))
      (func $start (global.set $sum
        (call $wait (i32.const 2) (i64.const 40) (f64.const 0) (call $nine))))
      (start $start))"#;
    let mut linker = waiting(engine);
    linker.func_wrap("h", "nine", || Some(ExternRef::new(9u8))).unwrap();
    let module = module(engine, text);
    let pre = linker.instantiate_pre(&module).unwrap();
    let options = InstantiateOptions::new().with_name("late");
    for with_pre in [false, true] {
        let mut store = Store::new(engine, 0);
        let (made, polls) = match with_pre {
            true => block_on(pre.instantiate_async(&mut store, &options)),
            false => block_on(linker.instantiate_async(&mut store, &module, &options)),
        };
        let made = made.unwrap();
        assert!(polls > 1);
        let global = made.get_global(&mut store, "sum").unwrap();
        assert_eq!(global.get(&store).i64(), Some(42));
        assert_eq!(*store.data(), 1);
    }
    // A plain instantiation cannot wait, and one that is dropped leaves the store usable.
    let mut store = Store::new(engine, 0);
    assert!(linker.instantiate(&mut store, &module).is_err());
    {
        let mut dropped = pin!(pre.instantiate_async(&mut store, &options));
        let mut context = Context::from_waker(Waker::noop());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
    }
    let i = linked(&mut store, &linker, SUM);
    let seven = i.typed_func::<(), i32>(&mut store, "seven").unwrap();
    assert_eq!(seven.call(&mut store, ()).unwrap(), 7);
}

/// Gives its arguments in reverse order, later.
fn turn(mut caller: Caller<'_, usize>, mut params: Vec<Val>) -> HostFuture<'_, Result<Vec<Val>>> {
    Box::pin(async move {
        later(3).await;
        *caller.data_mut() += 1;
        params.reverse();
        Ok(params)
    })
}

fn any_signature(engine: &Engine) {
    let text = r#"(module
      (import "h" "turn" (func $turn (param i32 v128 externref) (result externref v128 i32)))
      (func (export "f") (param i32 v128 externref) (result externref v128 i32)
        (call $turn (local.get 0) (local.get 1) (local.get 2))))"#;
    let params = [ValType::I32, ValType::V128, ValType::EXTERNREF];
    let results = [ValType::EXTERNREF, ValType::V128, ValType::I32];
    let ty = FuncType::new(params, results);
    let given = [Val::I32(3), Val::V128(7 << 64 | 5), Val::from(Some(ExternRef::new(9u8)))];
    let call = |store: &mut Store<usize>, i: Instance| {
        let f = i.get_func(&mut *store, "f").unwrap();
        let mut out = vec![Val::I32(0); 3];
        let (done, polls) = block_on(f.call_async(&mut *store, &given, &mut out));
        done.unwrap();
        assert_eq!((out[1].clone(), out[2].clone(), polls), (given[1].clone(), Val::I32(3), 4));
        let Val::ExternRef(Some(value)) = &out[0] else { panic!("{:?}", out[0]) };
        assert_eq!(value.data().downcast_ref::<u8>(), Some(&9));
        assert_eq!(*store.data(), 1);
        let plain = f.call(&mut *store, &given, &mut out).unwrap_err();
        assert!(plain.to_string().contains("call_async"), "{plain}");
    };
    let mut linker: Linker<usize> = Linker::new(engine);
    linker.func_new_async("h", "turn", ty.clone(), turn).unwrap();
    let mut store = Store::new(engine, 0);
    let i = linked(&mut store, &linker, text);
    call(&mut store, i);

    let mut store = Store::new(engine, 0);
    let func = Func::new_async(&mut store, ty, turn).unwrap();
    let i = Instance::new(&mut store, &module(engine, text), &[func.into()]).unwrap();
    call(&mut store, i);
}

/// Gives too few results, one of the wrong type, an error, or what it should.
fn give(_: Caller<'_, ()>, params: Vec<Val>) -> HostFuture<'_, Result<Vec<Val>>> {
    Box::pin(async move {
        later(1).await;
        Ok(match params[0] {
            Val::I32(0) => vec![],
            Val::I32(1) => vec![Val::I32(1)],
            Val::I32(2) => return Err(Error::host("it failed")),
            _ => vec![Val::I64(1)],
        })
    })
}

fn checked_results(engine: &Engine) {
    let text = r#"(module (import "h" "give" (func $give (param i32) (result i64)))
      (func (export "f") (param i32) (result i64) (call $give (local.get 0))))"#;
    let ty = FuncType::new([ValType::I32], [ValType::I64]);
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_new_async("h", "give", ty, give).unwrap();
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, text);
    let f = i.typed_func::<i32, i64>(&mut store, "f").unwrap();
    let whys = ["a host function gave 0 results, and has 1", "gave a i32 for a i64", "it failed"];
    for (n, why) in whys.into_iter().enumerate() {
        let found = block_on(f.call_async(&mut store, n as i32)).0.unwrap_err().to_string();
        assert!(found.contains(why), "{found}");
    }
    assert_eq!(block_on(f.call_async(&mut store, 3)).0.unwrap(), 1);
}
