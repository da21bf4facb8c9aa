//! Exceptions of host functions.

use crate::exceptions::typed;
use crate::matrix::{Behaviour, instance, linked};
use wardian::{
    Caller, Engine, Error, ErrorKind, Exception, ExternRef, Linker, Store, Tag, TagType, Val,
    ValType,
    limits::{ResourceLimiter, StoreLimits},
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("host functions throw, catch and pass exceptions on", hosts),
    ("what a host function throws has the values of its tag", wrong_values),
    ("an asynchronous host function throws into a guest that waited", asynchronous),
    ("an exception that a limiter returns is thrown nowhere", limiter),
    ("arguments of a call stay while exceptions among them are handed over", arguments),
    ("a guest holds exceptions up to a limit, whoever throws them", limit),
    ("exceptions that a guest holds count as memory of its store", counted),
];

/// `run` calls `inner` by way of the host and catches; `direct` catches what the host throws.
const THROUGH_HOST: &str = r#"(module
  (import "h" "t" (tag $t (param i32)))
  (import "h" "pass" (func $pass (param i32) (result i32)))
  (import "h" "fail" (func $fail (param i32)))
  (func $inner (export "inner") (param i32) (result i32)
    (if (i32.gt_s (local.get 0) (i32.const 10)) (then (throw $t (local.get 0))))
    (local.get 0))
  (func (export "run") (param i32) (result i32)
    (block $l (result i32)
      (try_table (result i32) (catch $t $l) (call $pass (local.get 0)))
      (return (i32.add (i32.const 1000)))))
  (func (export "direct") (param i32) (result i32)
    (block $l (result i32)
      (try_table (catch $t $l) (call $fail (local.get 0)))
      (i32.const -1))))"#;

fn hosts(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let tag = Tag::new(&mut store, &TagType::new([ValType::I32])).unwrap();
    let mut linker: Linker<()> = Linker::new(engine);
    linker.define("h", "t", tag).unwrap();
    linker
        .func_wrap("h", "pass", |mut caller: Caller<'_, ()>, n: i32| -> Result<i32, Error> {
            let inner = caller.get_export("inner").and_then(|e| e.into_func()).unwrap();
            match inner.typed::<i32, i32>(&caller)?.call(&mut caller, n) {
                // One is handled here, the others are passed on.
                Err(error) if error.exception().is_some() && n == 12 => Ok(-12),
                other => other,
            }
        })
        .unwrap();
    linker
        .func_wrap("h", "fail", move |n: i32| match n {
            0 => Ok(()),
            n => Err(Error::exception_with(tag, [Val::I32(2 * n)])),
        })
        .unwrap();
    let i = linked(&mut store, &linker, THROUGH_HOST);
    for _ in 0..4 {
        for (n, wanted) in [(3, 1003), (11, 11), (12, 988), (13, 13)] {
            assert_eq!(typed(&mut store, i, "run", n).unwrap(), wanted, "{n}");
        }
        for (n, wanted) in [(0, -1), (21, 42)] {
            assert_eq!(typed(&mut store, i, "direct", n).unwrap(), wanted, "{n}");
        }
    }
    // The embedder calls the host function itself.
    let fail = wardian::Func::wrap(&mut store, move || -> Result<(), Error> {
        Err(Exception::new(tag, [Val::I32(1)]).into())
    });
    let error = fail.typed::<(), ()>(&store).unwrap().call(&mut store, ()).unwrap_err();
    assert!(error.exception().is_some_and(|e| e.tag() == tag));
}

fn wrong_values(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let tag = Tag::new(&mut store, &TagType::new([ValType::I32])).unwrap();
    let foreign = Tag::new(&mut Store::new(engine, ()), &TagType::new([ValType::I32])).unwrap();
    for (tag, values, reported) in [
        (tag, vec![], "0 values; its tag says 1"),
        (tag, vec![Val::I64(1)], "a i64 for a i32"),
        (tag, vec![Val::I32(1), Val::I32(2)], "2 values; its tag says 1"),
        (foreign, vec![Val::I32(1)], "a tag of another store"),
    ] {
        let mut linker: Linker<()> = Linker::new(engine);
        let given = values.clone();
        linker
            .func_wrap("h", "fail", move || -> Result<(), Error> {
                Err(Error::exception_with(tag, given.clone()))
            })
            .unwrap();
        let i = linked(
            &mut store,
            &linker,
            r#"(module (import "h" "fail" (func $fail))
              (func (export "run") (param i32) (result i32)
                (block $l (try_table (catch_all $l) (call $fail))) (i32.const 1)))"#,
        );
        let error = typed(&mut store, i, "run", 0).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{error}");
        assert!(error.to_string().contains(reported), "{error}");
        assert!(error.backtrace().is_some());
    }
}

fn asynchronous(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let tag = Tag::new(&mut store, &TagType::new([ValType::I32])).unwrap();
    let mut linker: Linker<()> = Linker::new(engine);
    linker.define("h", "t", tag).unwrap();
    linker
        .func_wrap_async("h", "wait", move |_: Caller<'_, ()>, n: i32| {
            Box::pin(async move {
                crate::asynchronous::later(2).await;
                match n {
                    0 => Ok(5),
                    n => Err(Error::exception_with(tag, [Val::I32(n)])),
                }
            })
        })
        .unwrap();
    let i = linked(
        &mut store,
        &linker,
        r#"(module
          (import "h" "t" (tag $t (param i32)))
          (import "h" "wait" (func $wait (param i32) (result i32)))
          (func $calls (param i32) (result i32)
            (i32.add (i32.const 100) (call $wait (local.get 0))))
          (func (export "run") (param i32) (result i32)
            (block $l (result i32)
              (try_table (result i32) (catch $t $l) (call $calls (local.get 0)))
              (return))
            (i32.add (call $calls (i32.const 0))))
          (func (export "not") (param i32) (result i32) (call $calls (local.get 0))))"#,
    );
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    let not = i.typed_func::<i32, i32>(&mut store, "not").unwrap();
    for _ in 0..4 {
        for (n, wanted) in [(0, 105), (3, 108)] {
            let (found, _) = crate::asynchronous::block_on(run.call_async(&mut store, n));
            assert_eq!(found.unwrap(), wanted);
        }
        let (found, _) = crate::asynchronous::block_on(not.call_async(&mut store, 9));
        let error = found.unwrap_err();
        assert!(matches!(error.exception().unwrap().values(), [Val::I32(9)]));
        let names = error.backtrace().unwrap().frames().len();
        assert!(names >= 2, "{error:#}");
    }
}

/// Refuses growth with an exception.
struct Refuses(Exception);

impl ResourceLimiter for Refuses {
    fn memory_growing(&mut self, now: usize, _: usize, _: Option<usize>) -> wardian::Result<bool> {
        if now == 0 { Ok(true) } else { Err(self.0.clone().into()) }
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wardian::Result<bool> {
        Ok(true)
    }
}

fn limiter(engine: &Engine) {
    let mut store = Store::new(engine, None);
    let tag = Tag::new(&mut store, &TagType::new([])).unwrap();
    *store.data_mut() = Some(Refuses(Exception::new(tag, [])));
    store.limiter(|refuses| refuses.as_mut().expect("it was put there"));
    let i = instance(
        &mut store,
        r#"(module (memory 1 9)
          (func $grow (result i32) (memory.grow (i32.const 1)))
          (func (export "run") (param i32) (result i32)
            (block $l
              (try_table (catch_all $l)
                (if (local.get 0) (then (drop (call $grow))))
                (drop (memory.grow (i32.const 1))))
              (return (i32.const 0)))
            (i32.const 1)))"#,
    );
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    for n in [0, 1, 0, 1] {
        let error = run.call(&mut store, n).unwrap_err();
        assert!(error.exception().is_some_and(|e| e.tag() == tag), "{error}");
    }
}

fn arguments(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let tag = Tag::new(&mut store, &TagType::new([])).unwrap();
    let i = instance(
        &mut store,
        r#"(module (func (export "first") (param externref exnref exnref) (result externref)
          (local.get 0)))"#,
    );
    // Two of them, so that the store has many for the first time between two arguments.
    type Params = (Option<ExternRef>, Option<Exception>, Option<Exception>);
    let first = i.typed_func::<Params, Option<ExternRef>>(&mut store, "first").unwrap();
    for n in 0..3000u32 {
        let given = ExternRef::new(n);
        let exception = Exception::new(tag, []);
        let args = (Some(given.clone()), Some(exception.clone()), Some(exception));
        let found = first.call(&mut store, args).unwrap();
        assert!(found.is_some_and(|found| ExternRef::same(&found, &given)), "{n}");
    }
}

fn limit(engine: &Engine) {
    let many = "i64 ".repeat(1000);
    let values = "(i64.const 7)".repeat(1000);
    let text = format!(
        r#"(module
          (import "h" "t" (tag $t (param {many})))
          (import "h" "throw" (func $of_host))
          (table $kept 20000 exnref)
          (func $of_guest (throw $t {values}))
          ;; Each one is kept in a place of its own, or all in one place.
          (func (export "run") (param $host i32) (param $apart i32) (param $n i32) (result i32)
            (local $i i32)
            (loop $l
              (table.set $kept (i32.mul (local.get $i) (local.get $apart))
                (block $r (result exnref)
                  (try_table (catch_all_ref $r)
                    (if (local.get $host) (then (call $of_host)) (else (call $of_guest))))
                  unreachable))
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
            (local.get $i)))"#
    );
    for host in [0, 1] {
        let mut store = Store::new(engine, ());
        let tag = Tag::new(&mut store, &TagType::new([ValType::I64; 1000])).unwrap();
        let thrown = Exception::new(tag, vec![Val::I64(1); 1000]);
        let mut linker: Linker<()> = Linker::new(engine);
        linker.define("h", "t", tag).unwrap();
        linker
            .func_wrap("h", "throw", move || -> Result<(), Error> { Err(thrown.clone().into()) })
            .unwrap();
        let i = linked(&mut store, &linker, &text);
        let run = i.typed_func::<(i32, i32, i32), i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, (host, 0, 20_000)).unwrap(), 20_000, "one at a time");
        let error = run.call(&mut store, (host, 1, 20_000)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
        assert!(error.to_string().contains("the guest holds"), "{error}");
    }
}

fn counted(engine: &Engine) {
    let text = r#"(module
      (tag $t (param i64 i64))
      (table $kept 20000 exnref)
      (func (export "clear") (table.fill $kept (i32.const 0) (ref.null exn) (i32.const 20000)))
      (func (export "run") (param $apart i32) (param $n i32) (result i32) (local $i i32)
        (loop $l
          (table.set $kept (i32.mul (local.get $i) (local.get $apart))
            (block $r (result exnref)
              (try_table (catch_all_ref $r) (throw $t (i64.const 1) (i64.const 2)))
              unreachable))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
        (local.get $i)))"#;
    for (memory, held) in [(Some(512 << 10), 4000), (Some(64 << 20), 20_000), (None, 20_000)] {
        let limits = StoreLimits::default();
        let mut store = Store::new(engine, limits);
        if let Some(bytes) = memory {
            store.data_mut().memory_bytes = bytes;
            store.limiter(|limits| limits);
        }
        let i = instance(&mut store, text);
        let run = i.typed_func::<(i32, i32), i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, (0, 20_000)).unwrap(), 20_000, "one at a time");
        assert_eq!(run.call(&mut store, (1, held)).unwrap(), held, "{memory:?}");
        if held < 20_000 {
            let error = run.call(&mut store, (1, 20_000)).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
            assert!(error.to_string().contains("the store's limits"), "{error}");
        }
        i.typed_func::<(), ()>(&mut store, "clear").unwrap().call(&mut store, ()).unwrap();
        assert_eq!(run.call(&mut store, (0, 20_000)).unwrap(), 20_000, "and the store can be used");
    }
}
