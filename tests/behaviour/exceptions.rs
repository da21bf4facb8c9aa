//! Exceptions: who catches them, what is unwound, and what cannot be caught.

use crate::log::Log;
use crate::matrix::{Behaviour, instance, linked, module};
use crate::snapshots::{Host, linker as snapshots};
use wardian::{
    CallOptions, Engine, Error, Exception, ExternRef, Instance, Linker, Module, StopReason, Store,
    Tag, TagType, TrapCode, Val, ValType,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("the innermost handler of an exception's tag catches it, with its values", handlers),
    ("an exception unwinds deep stacks and tables and keeps other locals", deep),
    ("what nobody catches reaches the host with tag, values and backtrace", uncaught),
    ("traps, exits, stops and host errors are not caught", not_caught),
    ("an exception is thrown again from a reference, also later", references),
    ("exceptions that nobody holds are freed, and what they hold with them", collected),
    ("tags of the same type are different tags, and instances have their own", tags),
    ("loops with handlers get hot", hot),
    ("calls that are unwound are aborted innermost first", heard),
    ("a snapshot is restored inside of a handler's block", restored),
    ("an exception crosses instances", crossing),
    ("a start function throws", start),
    ("the fuel of exceptions is the same for who catches them", fuel),
    ("tail calls leave the handlers of their function", tail_calls),
];

pub(crate) fn typed(store: &mut Store<()>, i: Instance, name: &str, n: i32) -> Result<i32, Error> {
    i.typed_func::<i32, i32>(&mut *store, name)?.call(store, n)
}

fn handlers(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module
          (tag $a (param i32)) (tag $b (param i32 i64)) (tag $none)
          (tag $all (param i32 f32 v128 i64 f64 externref funcref))
          (elem declare func $throw)
          (func $throw (param i32)
            (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $a (i32.const 11))))
            (if (i32.eq (local.get 0) (i32.const 2))
              (then (throw $b (i32.const 22) (i64.const 200))))
            (if (i32.eq (local.get 0) (i32.const 3)) (then (throw $none))))
          (func (export "run") (param $n i32) (result i32) (local $x i32)
            (local.set $x (i32.const 5))
            (block $outer (result i32)
              (block $all
                (block $b (result i32 i64)
                  (try_table (catch_all $all)
                    (try_table (catch $a $outer) (catch $b $b)
                      (local.set $x (i32.const 6))
                      (call $throw (local.get $n))
                      (local.set $x (i32.const 7))))
                  (return (i32.add (i32.const 1000) (local.get $x))))
                (drop)
                (return (i32.add (local.get $x))))
              (i32.const 3000)))
          ;; The values of all types, with operands below them.
          (func (export "all") (param externref) (result i32 i32 f32 v128 i64 f64 externref funcref)
            (i32.const 9)
            (block $l (result i32 f32 v128 i64 f64 externref funcref)
              (try_table (catch $all $l)
                (throw $all (i32.const 1) (f32.const 2.5) (v128.const i64x2 3 4) (i64.const 5)
                  (f64.const 6.5) (local.get 0) (ref.func $throw)))
              unreachable)))"#,
    );
    for (n, wanted) in [(0, 1007), (1, 11), (2, 28), (3, 3000)] {
        for round in 0..4 {
            assert_eq!(typed(&mut store, i, "run", n).unwrap(), wanted, "{n}, round {round}");
        }
    }
    let all = i.get_func(&mut store, "all").unwrap();
    for _ in 0..3 {
        let mut results = vec![Val::I32(0); 8];
        let given = ExternRef::new(17u8);
        all.call(&mut store, &[Val::ExternRef(Some(given.clone()))], &mut results).unwrap();
        assert_eq!((results[0].i32(), results[1].i32()), (Some(9), Some(1)));
        assert_eq!((results[2].f32(), results[4].i64()), (Some(2.5), Some(5)));
        assert!(matches!(results[3], Val::V128(v) if v == 3 | 4 << 64));
        assert_eq!(results[5].f64(), Some(6.5));
        let Val::ExternRef(Some(found)) = &results[6] else { panic!("{results:?}") };
        assert!(ExternRef::same(found, &given));
        assert!(matches!(results[7], Val::FuncRef(Some(_))));
    }
}

/// `down` calls itself through a table so many times, and throws; `run` sums what it had before.
const DEEP: &str = r#"(module
  (type $f (func (param i32) (result i32)))
  (tag $t (param i32))
  (table 1 funcref) (elem (i32.const 0) $down)
  (func $down (export "down") (type $f)
    (if (i32.eqz (local.get 0)) (then (throw $t (i32.const 42))))
    (i32.add (i32.const 1)
      (call_indirect (type $f) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))))
  (func (export "run") (param $n i32) (result i32) (local $a i32) (local $b i64) (local $c f64)
    (local.set $a (i32.const 1)) (local.set $b (i64.const 2)) (local.set $c (f64.const 3))
    (i32.const 100)
    (block $l (result i32)
      (try_table (catch $t $l)
        (local.set $b (i64.const 20))
        (drop (call $down (local.get $n)))
        (local.set $c (f64.const 30)))
      (i32.const -1))
    (i32.add) (i32.add (local.get $a)) (i32.add (i32.wrap_i64 (local.get $b)))
    (i32.add (i32.trunc_f64_s (local.get $c)))))"#;

fn deep(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, DEEP);
    for n in [0, 1, 7, 2000, 3, 2000] {
        assert_eq!(typed(&mut store, i, "run", n).unwrap(), 166, "{n}");
    }
}

fn uncaught(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let text = r#"(module
      (tag $sorry (export "sorry") (param i32 i64))
      (tag $other)
      (func $inner (param i32) (throw $sorry (local.get 0) (i64.const 8)))
      (func $middle (param i32)
        (block $l (try_table (catch $other $l) (call $inner (local.get 0)))))
      (func $outer (export "run") (param i32) (result i32)
        (call $middle (local.get 0)) (i32.const 1)))"#;
    let i = instance(&mut store, text);
    let tag = i.get_export(&mut store, "sorry").and_then(|e| e.into_tag()).expect("it is a tag");
    assert_eq!(tag.ty(&store), TagType::new([ValType::I32, ValType::I64]));
    for n in 0..4 {
        let error = typed(&mut store, i, "run", n).unwrap_err();
        let exception = error.exception().expect("it is an exception");
        assert_eq!(exception.tag(), tag);
        let [Val::I32(a), Val::I64(8)] = exception.values() else { panic!("{exception:?}") };
        assert_eq!(*a, n);
        assert_eq!(error.to_string(), format!("exception `sorry` ({n}, 8)"));
        let names: Vec<_> =
            error.backtrace().unwrap().frames().iter().map(|f| f.func_name().unwrap()).collect();
        assert_eq!(names, ["inner", "middle", "outer"]);
    }
}

fn not_caught(engine: &Engine) {
    let mut config = engine.config().clone();
    let engine = &Engine::new(config.stack_size(64 << 10)).unwrap();
    let mut store = Store::new(engine, ());
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "exit", || -> Result<(), Error> { Err(Error::exit(3)) }).unwrap();
    linker.func_wrap("h", "fail", || -> Result<(), Error> { Err(Error::host("no")) }).unwrap();
    linker.func_wrap("h", "panic", || -> () { panic!("on purpose") }).unwrap();
    let i = linked(
        &mut store,
        &linker,
        r#"(module
          (import "h" "exit" (func $exit)) (import "h" "fail" (func $fail))
          (import "h" "panic" (func $panic))
          (func $deep (call $deep) (call $fail))
          (func $do (param i32)
            (if (i32.eq (local.get 0) (i32.const 0)) (then unreachable))
            (if (i32.eq (local.get 0) (i32.const 1)) (then (call $exit)))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (call $fail)))
            (if (i32.eq (local.get 0) (i32.const 3)) (then (call $deep)))
            (if (i32.eq (local.get 0) (i32.const 4)) (then (loop $l (br $l))))
            (if (i32.eq (local.get 0) (i32.const 5)) (then (throw_ref (ref.null exn))))
            (if (i32.eq (local.get 0) (i32.const 6)) (then (call $panic))))
          (func (export "run") (param i32) (result i32)
            (block $l (try_table (catch_all $l) (call $do (local.get 0))) (return (i32.const 0)))
            (i32.const 1)))"#,
    );
    for _ in 0..3 {
        let mut error = |n| typed(&mut store, i, "run", n).unwrap_err();
        assert_eq!(error(0).trap(), Some(TrapCode::Unreachable));
        assert_eq!(error(1).exit_code(), Some(3));
        assert_eq!(error(2).to_string(), "no");
        assert_eq!(error(3).trap(), Some(TrapCode::StackOverflow));
        assert_eq!(error(5).trap(), Some(TrapCode::NullExceptionReference));
        let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
        let limit = std::time::Duration::from_millis(20);
        let stopped = run.call_with(&mut store, &CallOptions::new().with_timeout(limit), 4);
        assert_eq!(stopped.unwrap_err().stop_reason(), Some(StopReason::Deadline));
        let work = std::panic::AssertUnwindSafe(|| typed(&mut store, i, "run", 6));
        assert!(std::panic::catch_unwind(work).is_err());
        assert_eq!(typed(&mut store, i, "run", 9).unwrap(), 0);
    }
}

fn references(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module
          (tag $t (param i32)) (tag $u)
          (table $kept 8 exnref)
          (global $last (mut exnref) (ref.null exn))
          (func $make (param i32) (result exnref)
            (block $l (result exnref)
              (try_table (catch_all_ref $l) (throw $t (local.get 0)))
              unreachable))
          (func (export "keep") (param i32 i32)
            (table.set $kept (local.get 0) (call $make (local.get 1)))
            (global.set $last (table.get $kept (local.get 0))))
          (func $again (param i32) (throw_ref (table.get $kept (local.get 0))))
          ;; The value of the one that is kept; it is caught with a reference, and thrown once more.
          (func (export "value") (param i32) (result i32) (local $e exnref)
            (block $none (block $v (result i32)
              (try_table (catch $t $v)
                (block $r (result i32 exnref)
                  (try_table (catch $u $none) (catch_ref $t $r) (call $again (local.get 0)))
                  unreachable)
                (local.set $e) (drop) (throw_ref (local.get $e)))
              unreachable) (return)) (i32.const -1))
          (func (export "give") (param i32) (result exnref) (table.get $kept (local.get 0)))
          (func (export "take") (param i32 exnref) (table.set $kept (local.get 0) (local.get 1)))
          (func (export "is_null") (param i32) (result i32)
            (ref.is_null (table.get $kept (local.get 0)))))"#,
    );
    let keep = i.typed_func::<(i32, i32), ()>(&mut store, "keep").unwrap();
    for n in 0..6 {
        keep.call(&mut store, (n, 100 + n)).unwrap();
    }
    for n in (0..6).rev() {
        assert_eq!(typed(&mut store, i, "value", n).unwrap(), 100 + n);
    }
    let give = i.typed_func::<i32, Option<Exception>>(&mut store, "give").unwrap();
    let take = i.typed_func::<(i32, Option<Exception>), ()>(&mut store, "take").unwrap();
    assert!(give.call(&mut store, 7).unwrap().is_none());
    let given = give.call(&mut store, 2).unwrap().expect("it is kept");
    assert!(matches!(given.values(), [Val::I32(102)]));
    take.call(&mut store, (6, Some(given))).unwrap();
    assert_eq!(typed(&mut store, i, "value", 6).unwrap(), 102);
    assert_eq!(typed(&mut store, i, "is_null", 6).unwrap(), 0);
    assert_eq!(typed(&mut store, i, "is_null", 7).unwrap(), 1);
    let error = typed(&mut store, i, "value", 7).unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::NullExceptionReference));
}

fn collected(engine: &Engine) {
    struct Counted(#[expect(dead_code, reason = "it is counted")] std::sync::Arc<()>);
    let mut store = Store::new(engine, ());
    let text = r#"(module
      (tag $t (param externref exnref))
      (table $kept 4 exnref)
      (func $throw (param externref exnref) (throw $t (local.get 0) (local.get 1)))
      ;; Each holds the one before, in the second and third place.
      (func (export "make") (param i32 externref)
        (table.set $kept (local.get 0)
          (block $r (result exnref)
            (try_table (catch_all_ref $r)
              (call $throw (local.get 1) (table.get $kept (local.get 0))))
            unreachable)))
      (func (export "drop") (param i32) (table.set $kept (local.get 0) (ref.null exn)))
      (func (export "many") (param i32) (result i32) (local $n i32)
        (loop $l
          (block $r (result exnref)
            (try_table (catch_all_ref $r) (call $throw (ref.null extern) (ref.null exn)))
            unreachable)
          (drop)
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $n) (local.get 0))))
        (local.get $n)))"#;
    let i = instance(&mut store, text);
    let make = i.typed_func::<(i32, Option<ExternRef>), ()>(&mut store, "make").unwrap();
    let drop = i.typed_func::<i32, ()>(&mut store, "drop").unwrap();
    let alive = std::sync::Arc::new(());
    for n in 0..300 {
        let value = ExternRef::new(Counted(alive.clone()));
        make.call(&mut store, (n % 3, Some(value))).unwrap();
    }
    assert_eq!(typed(&mut store, i, "many", 20_000).unwrap(), 20_000);
    assert_eq!(std::sync::Arc::strong_count(&alive), 301, "all hang on three chains");
    drop.call(&mut store, 1).unwrap();
    typed(&mut store, i, "many", 20_000).unwrap();
    // What is left of frames may look like a reference to one of them.
    let left = std::sync::Arc::strong_count(&alive);
    assert!((201..=210).contains(&left), "{left}");
    std::mem::drop(store);
    assert_eq!(std::sync::Arc::strong_count(&alive), 1);
}

fn tags(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let defines = module(
        engine,
        r#"(module (tag $a (export "a") (param i32)) (tag $b (export "b") (param i32))
          (func (export "throw") (param i32)
            (if (local.get 0) (then (throw $a (i32.const 1))))
            (throw $b (i32.const 2))))"#,
    );
    let catches = r#"(module
      (import "d" "a" (tag $a (param i32)))
      (import "d" "throw" (func $throw (param i32)))
      (func (export "run") (param i32) (result i32)
        (block $all
          (block $l (result i32)
            (try_table (catch $a $l) (catch_all $all) (call $throw (local.get 0)))
            (i32.const -1))
          (return))
        (i32.const 7)))"#;
    let [first, second] =
        [(); 2].map(|()| Linker::<()>::new(engine).instantiate(&mut store, &defines).unwrap());
    for (tag, throw, on_one) in [(first, first, 1), (first, second, 7), (second, second, 1)] {
        let mut linker: Linker<()> = Linker::new(engine);
        for (name, from) in [("a", tag), ("throw", throw)] {
            let export = from.get_export(&mut store, name).unwrap();
            linker.define("d", name, export).unwrap();
        }
        let i = linked(&mut store, &linker, catches);
        for _ in 0..3 {
            assert_eq!(typed(&mut store, i, "run", 1).unwrap(), on_one);
            assert_eq!(typed(&mut store, i, "run", 0).unwrap(), 7);
        }
    }
    // Tags match exactly.
    let wrong = Tag::new(&mut store, &TagType::new([ValType::I64])).unwrap();
    let mut linker: Linker<()> = Linker::new(engine);
    linker.define("d", "a", wrong).unwrap();
    let throw = first.get_export(&mut store, "throw").unwrap();
    linker.define("d", "throw", throw).unwrap();
    let error = linker.instantiate(&mut store, &module(engine, catches)).unwrap_err();
    assert!(error.to_string().contains("a tag (i32) is needed, a tag (i64) is defined"), "{error}");
}

fn hot(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module
          (tag $odd (param i32))
          (func $maybe (param i32) (result i32)
            (if (i32.and (local.get 0) (i32.const 1)) (then (throw $odd (local.get 0))))
            (local.get 0))
          ;; The loop is inside of one block with handlers, and around another one.
          (func (export "run") (param $n i32) (result i32) (local $s i32) (local $k i64)
            (i32.const 1)
            (block $out (result i32)
              (try_table (catch $odd $out)
                (loop $l
                  (block $next
                    (block $caught (result i32)
                      (try_table (result i32) (catch $odd $caught) (call $maybe (local.get $n)))
                      (local.set $s (i32.add (local.get $s)))
                      (br $next))
                    (drop)
                    (local.set $k (i64.add (local.get $k) (i64.const 1))))
                  (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                  (br_if $l (i32.gt_s (local.get $n) (i32.const 0))))
                (drop (call $maybe (i32.const 77))))
              (i32.const 0))
            (i32.add) (i32.add (local.get $s)) (i32.add (i32.wrap_i64 (local.get $k)))))"#,
    );
    let even_sum = |n: i32| (n / 2) * (n / 2 + 1);
    for n in [2, 10, 4000, 6] {
        assert_eq!(typed(&mut store, i, "run", n).unwrap(), 78 + even_sum(n) + n / 2, "{n}");
    }
}

fn heard(engine: &Engine) {
    let log = Log::default();
    let mut config = engine.config().clone();
    config.function_listener_factory(log.factory());
    let engine = &Engine::new(&config).unwrap();
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module
          (tag $t (export "t") (param i32))
          (func $last (param i32) (throw $t (local.get 0)))
          (func $tail (param i32) (return_call $last (local.get 0)))
          (func $between (param i32) (call $tail (local.get 0)))
          (func $fine)
          (func $run (export "run") (param i32) (result i32)
            (block $l (result i32)
              (try_table (catch $t $l) (call $between (local.get 0)))
              (i32.const -1))
            (call $fine)))"#,
    );
    for round in 0..5 {
        log.take();
        assert_eq!(typed(&mut store, i, "run", 5).unwrap(), 5);
        let wanted = [
            "before run [5]",
            "before between [5]",
            "before tail [5]",
            "tail tail []",
            "before last [5]",
            "abort last: exception `t` (5)",
            "abort between: exception `t` (5)",
            "before fine []",
            "after fine []",
            "after run [5]",
        ];
        assert_eq!(log.take(), wanted, "round {round}");
    }
    log.assert_balanced();
}

fn restored(engine: &Engine) {
    let mut store = Store::new(engine, Host::default());
    let i = linked(
        &mut store,
        &snapshots(engine),
        r#"(module
          (import "h" "mark" (func $mark (result i32)))
          (import "h" "jump" (func $jump (param i32 i32)))
          (tag $t (param i32))
          (func $throw (param i32) (throw $t (local.get 0)))
          ;; Thrown and caught after each restore, with the snapshot taken inside; what the handler before it
          ;; caught is thrown again from its reference.
          (func (export "run") (param i32) (result i32) (local $seen i32) (local $e exnref)
            (local $count i32)
            (block $r (result exnref)
              (try_table (catch_all_ref $r) (call $throw (i32.const 1000)))
              unreachable)
            (local.set $e)
            (block $l (result i32)
              (try_table (catch $t $l)
                (local.set $seen (call $mark))
                (call $throw (local.get $seen)))
              unreachable)
            (local.set $count)
            (if (i32.lt_u (local.get $seen) (local.get 0))
              (then (call $jump (i32.const 0) (i32.add (local.get $seen) (i32.const 1)))))
            (block $v (result i32)
              (try_table (catch $t $v) (throw_ref (local.get $e)))
              unreachable)
            (i32.add (local.get $count))))"#,
    );
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    let options = CallOptions::new().with_snapshotter();
    for n in [0, 1, 5, 50] {
        store.data_mut().marks.clear();
        assert_eq!(run.call_with(&mut store, &options, n).unwrap(), 1000 + n);
    }
}

fn crossing(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let thrower = instance(
        &mut store,
        r#"(module (tag $t (export "t") (param i64)) (memory 1)
          (func (export "throw") (param i64)
            (i64.store (i32.const 0) (local.get 0))
            (throw $t (i64.load (i32.const 0)))))"#,
    );
    let mut linker: Linker<()> = Linker::new(engine);
    linker.instance(&mut store, "a", thrower).unwrap();
    let i = linked(
        &mut store,
        &linker,
        r#"(module
          (import "a" "t" (tag $t (param i64))) (import "a" "throw" (func $throw (param i64)))
          (memory 1) (data (i32.const 8) "\07")
          (func (export "run") (param i32) (result i32)
            (block $l (result i64)
              (try_table (catch $t $l) (call $throw (i64.extend_i32_s (local.get 0))))
              unreachable)
            ;; The memory is the catching instance's again.
            (i32.add (i32.wrap_i64) (i32.load8_u (i32.const 8)))))"#,
    );
    for n in 0..5 {
        assert_eq!(typed(&mut store, i, "run", n).unwrap(), n + 7);
    }
}

fn start(engine: &Engine) {
    let text = r#"(module (tag $t (export "oops") (param i32))
      (func $start (throw $t (i32.const 4))) (start $start))"#;
    let mut store = Store::new(engine, ());
    let module: Module = module(engine, text);
    let error = Linker::<()>::new(engine).instantiate(&mut store, &module).unwrap_err();
    assert_eq!(error.to_string(), "exception `t` (4)");
}

fn fuel(engine: &Engine) {
    let mut config = engine.config().clone();
    let engine = &Engine::new(config.fuel(true)).unwrap();
    let mut store = Store::new(engine, ());
    store.set_fuel(100_000).unwrap();
    let i = instance(&mut store, DEEP);
    let mut burnt = Vec::new();
    for n in [0, 1, 5, 5, 5, 5] {
        let before = store.fuel().unwrap();
        assert_eq!(typed(&mut store, i, "run", n).unwrap(), 166);
        burnt.push(before - store.fuel().unwrap());
    }
    assert_eq!(burnt, [25, 34, 70, 70, 70, 70]);
    store.set_fuel(20).unwrap();
    let error = typed(&mut store, i, "run", 5).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Fuel));
}

fn tail_calls(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (tag $t (param i32))
          (func $throw (param i32) (result i32) (throw $t (local.get 0)))
          (func $leaves (param i32) (result i32)
            (block $l (result i32)
              (try_table (result i32) (catch $t $l) (return_call $throw (local.get 0))))
            (i32.add (i32.const 1000)))
          (func (export "run") (param i32) (result i32)
            (block $l (result i32)
              (try_table (result i32) (catch $t $l) (call $leaves (local.get 0))))))"#,
    );
    for _ in 0..4 {
        assert_eq!(typed(&mut store, i, "run", 6).unwrap(), 6);
    }
}
