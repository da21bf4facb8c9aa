//! Objects of guests and what is around them: host functions, limits, deadlines, fuel.

use crate::gc::{TREES, call, number, stress};
use crate::matrix::{Behaviour, instance, linked};
use std::time::{Duration, Instant};
use wardian::{
    AsContextMut, Caller, Config, Engine, ErrorKind, ExternRef, Linker, StopReason, Store, Val,
    gc::AnyRef, limits::StoreLimits,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("host functions get and give objects", hosts),
    ("values of the embedder's go through objects", externs),
    ("fuel is the same on all engines", fuel),
    ("a heap that is full is an error that says so", full),
    ("large arrays are refused, and stopped by deadlines", large),
];

fn hosts(engine: &Engine) {
    const TEXT: &str = r#"(module
      (type $p (struct (field (mut i32))))
      (import "h" "keep" (func $keep (param anyref) (result anyref)))
      (import "h" "collect" (func $collect))
      (func (export "run") (param i32) (result i32) (local $p (ref null $p))
        (struct.new $p (local.get 0))
        (local.set $p (struct.new $p (i32.const 100)))
        (call $collect)
        (struct.get $p 0 (ref.cast (ref $p) (call $keep (struct.new $p (i32.const 1000)))))
        (i32.add (struct.get $p 0 (local.get $p)))
        (i32.add (struct.get $p 0 (call $second))))
      (func $second (result (ref $p)) (call $collect) (struct.new $p (i32.const 10)))
      (func (export "make") (param i32) (result (ref $p)) (struct.new $p (local.get 0)))
      (func (export "read") (param (ref $p)) (result i32) (struct.get $p 0 (local.get 0))))"#;
    for engine in [engine.clone(), stress(engine)] {
        let mut store = Store::new(&engine, ());
        let mut linker: Linker<()> = Linker::new(&engine);
        let collect = |mut caller: Caller<'_, ()>| caller.as_context_mut().gc();
        linker.func_wrap("h", "collect", collect).unwrap();
        let keep = |mut caller: Caller<'_, ()>, value: Option<AnyRef>| {
            caller.as_context_mut().gc();
            value
        };
        linker.func_wrap("h", "keep", keep).unwrap();
        let i = linked(
            &mut store,
            &linker,
            TEXT.replace("(struct.new $p (local.get 0))\n", "\n").as_str(),
        );
        for _ in 0..4 {
            assert_eq!(number(&mut store, i, "run", &[1]), 1110);
        }
        let made = call(&mut store, i, "make", &[Val::I32(42)]).unwrap();
        store.gc();
        assert_eq!(
            call(&mut store, i, "read", std::slice::from_ref(&made)).unwrap().i32(),
            Some(42)
        );
        let other = instance(
            &mut store,
            "(module (type $q (struct (field i64)))
          (func (export \"make\") (result (ref $q)) (struct.new $q (i64.const 1))))",
        );
        let wrong = call(&mut store, other, "make", &[]).unwrap();
        let error = call(&mut store, i, "read", &[wrong]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{error}");
        let error = call(&mut store, i, "read", &[Val::AnyRef(None)]).unwrap_err();
        assert!(error.to_string().contains("null"), "{error}");
    }
}

fn externs(engine: &Engine) {
    const TEXT: &str = r#"(module
      (type $box (array (mut anyref)))
      (global $box (ref $box) (array.new_default $box (i32.const 3)))
      (func (export "put") (param i32 externref)
        (array.set $box (global.get $box) (local.get 0) (any.convert_extern (local.get 1))))
      (func (export "get") (param i32) (result externref)
        (extern.convert_any (array.get $box (global.get $box) (local.get 0))))
      (func (export "there and back") (param externref) (result externref)
        (extern.convert_any (any.convert_extern (local.get 0))))
      (func (export "null") (result i32)
        (i32.and (ref.is_null (any.convert_extern (ref.null extern)))
          (ref.is_null (extern.convert_any (ref.null any)))))
      (func (export "kinds") (param externref) (result i32) (local $a anyref)
        (local.set $a (any.convert_extern (local.get 0)))
        (i32.or (ref.test eqref (local.get $a)) (ref.test (ref any) (local.get $a)))))"#;
    for engine in [engine.clone(), stress(engine)] {
        let mut store = Store::new(&engine, ());
        let i = instance(&mut store, TEXT);
        for at in 0..3 {
            let value = Val::ExternRef(Some(ExternRef::new(at)));
            call(&mut store, i, "put", &[Val::I32(at), value]).unwrap();
        }
        // Many more than would be kept without a collection of the embedder's values.
        for round in 0..3000 {
            let value = ExternRef::new(round);
            let back =
                call(&mut store, i, "there and back", &[Val::ExternRef(Some(value.clone()))]);
            let Ok(Val::ExternRef(Some(back))) = back else { panic!("{back:?}") };
            assert!(ExternRef::same(&value, &back));
            if round % 1000 == 0 {
                store.gc();
            }
        }
        for at in 0..3 {
            let found = call(&mut store, i, "get", &[Val::I32(at)]).unwrap();
            let Val::ExternRef(Some(found)) = found else { panic!("{found:?}") };
            assert_eq!(found.data().downcast_ref(), Some(&at));
        }
        assert_eq!(number(&mut store, i, "null", &[]), 1);
        let value = Val::ExternRef(Some(ExternRef::new(1)));
        assert_eq!(call(&mut store, i, "kinds", &[value]).unwrap().i32(), Some(1));
    }
}

fn fuel(engine: &Engine) {
    let mut config: Config = engine.config().clone();
    let engine = Engine::new(config.fuel(true)).unwrap();
    let mut store = Store::new(&engine, ());
    store.set_fuel(10_000_000).unwrap();
    let i = instance(&mut store, TREES);
    let used = |store: &mut Store<()>, name: &str, arg: i32| {
        let before = store.fuel().unwrap();
        number(store, i, name, &[arg]);
        before - store.fuel().unwrap()
    };
    let tree = used(&mut store, "tree", 4);
    let mixed = used(&mut store, "mixed", 3);
    let names = used(&mut store, "names", 5);
    assert_eq!((tree, mixed, names), FUEL);
    assert_eq!(used(&mut store, "tree", 4), tree);
    store.set_fuel(20).unwrap();
    let error = call(&mut store, i, "tree", &[Val::I32(10)]).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Fuel), "{error}");
}

/// What the functions of [`TREES`] burn. `names` has 18 operators in each round of its first loop, those of the
/// function that it calls included, 17 in each of the second one, and one at the end.
const FUEL: (u64, u64, u64) = (921, 200, 5 * 18 + 5 * 17 + 1);

fn full(engine: &Engine) {
    const TEXT: &str = r#"(module
      (type $n (struct (field (ref null $n)) (field i64)))
      (type $a (array (mut i64)))
      (global $l (mut (ref null $n)) (ref.null $n))
      (func (export "fill") (param i32) (loop $again
        (global.set $l (struct.new $n (global.get $l) (i64.const 1)))
        (br $again)))
      (func (export "clear") (global.set $l (ref.null $n)))
      (func (export "garbage") (param i32) (result i32) (loop $again
        (drop (array.new $a (i64.const 1) (i32.const 1000)))
        (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (i32.const 7)))"#;
    let limits = StoreLimits { memory_bytes: 2 << 20, ..StoreLimits::default() };
    let mut store: Store<StoreLimits> = Store::new(engine, limits);
    store.limiter(|limits| limits);
    let i = instance(&mut store, TEXT);
    for _ in 0..2 {
        let fill = i.get_func(&mut store, "fill").unwrap();
        let error = fill.call(&mut store, &[Val::I32(0)], &mut []).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
        assert!(error.to_string().contains("no room for an object of 24 bytes"), "{error}");
        let clear = i.get_func(&mut store, "clear").unwrap();
        clear.call(&mut store, &[], &mut []).unwrap();
        let mut results = [Val::I32(0)];
        let garbage = i.get_func(&mut store, "garbage").unwrap();
        garbage.call(&mut store, &[Val::I32(2000)], &mut results).unwrap();
        assert_eq!(results[0].i32(), Some(7));
    }
    assert!(store.gc_stats().capacity <= 2 << 20);
}

fn large(engine: &Engine) {
    const TEXT: &str = r#"(module
      (type $v (array (mut v128))) (type $b (array (mut i8)))
      (func (export "wide") (param i32) (drop (array.new_default $v (local.get 0))))
      (func (export "bytes") (param i32) (drop (array.new $b (i32.const 1) (local.get 0))))
      (func (export "copies") (param i32) (local $b (ref $b))
        (local.set $b (array.new $b (i32.const 1) (i32.const 0x4000000)))
        (loop $again
          (array.copy $b $b (local.get $b) (i32.const 1) (local.get $b) (i32.const 0) (i32.const 0x3ffffff))
          (br $again))))"#;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, TEXT);
    for length in [0x1000_0000, 0x7fff_ffff, i32::MIN, -1] {
        let error = call(&mut store, i, "wide", &[Val::I32(length)]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{length}: {error}");
    }
    let error = call(&mut store, i, "bytes", &[Val::I32(-1)]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
    let copies = i.get_func(&mut store, "copies").unwrap();
    store.set_deadline(Some(Instant::now() + Duration::from_millis(100)));
    let error = copies.call(&mut store, &[Val::I32(0)], &mut []).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Deadline), "{error}");
}
