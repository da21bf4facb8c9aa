//! Functions that are validated when they are first called.

use crate::matrix::{Behaviour, HAS_JIT, is_compiled, module};
use std::sync::Arc;
use wardian::cache::DiskCache;
use wardian::{
    Caller, CompileOptions, Config, Engine, EngineKind, Error, ErrorKind, Instance, Linker, Module,
    Store, Val,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a function that is not valid is found out when it is called", calls),
    ("a module is validated whole when somebody asks for that", whole),
    ("declarations are validated when the module is made", declarations),
    ("a start function that is not valid refuses an instance", start),
    ("what is hot is compiled with valid functions only", hot),
    ("a cache of an engine that validates lazily serves no other", caches),
];

/// The same engine, which validates lazily.
fn lazy(engine: &Engine) -> Engine {
    Engine::new(engine.config().clone().lazy_validation(true)).unwrap()
}

/// `bad` and `worse` are not valid; the others are.
const PARTLY: &str = r#"(module (import "h" "again" (func $again))
  (type $t (func (result i32))) (table funcref (elem $good $bad))
  (func $good (export "good") (type $t) (i32.const 7))
  (func $bad (export "bad") (type $t) i32.add)
  (func (export "worse") (result i64) (local.get 5))
  (func (export "direct") (result i32) (i32.add (call $good) (call $bad)))
  (func (export "indirect") (param i32) (result i32) (call_indirect (type $t) (local.get 0)))
  (func (export "tail") (result i32) (return_call $bad))
  (func (export "nested") (call $again)))"#;

/// Calls `bad` and `good` from the host, inside of a call.
fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    let again = |mut caller: Caller<'_, ()>| {
        let mut call = |name| {
            let f = caller.get_export(name).and_then(|e| e.into_func()).expect("an export");
            f.typed::<(), i32>(&caller).unwrap().call(&mut caller, ())
        };
        is_invalid(&call("bad").unwrap_err());
        assert_eq!(call("good").unwrap(), 7);
        call("bad").map(drop)
    };
    linker.func_wrap("h", "again", again).unwrap();
    linker
}

fn is_invalid(error: &Error) {
    let ErrorKind::Decode(invalid) = error.kind() else { panic!("{error:?}") };
    assert!(invalid.offset().is_some() && error.to_string().contains("type mismatch"), "{error}");
}

fn call(store: &mut Store<()>, i: Instance, name: &str, args: &[Val]) -> Result<i32, Error> {
    let mut results = [Val::I32(0)];
    let f = i.get_func(&mut *store, name).unwrap();
    f.call(store, args, &mut results).map(|()| results[0].i32().unwrap())
}

fn calls(engine: &Engine) {
    let engine = &lazy(engine);
    if is_compiled(engine) {
        is_invalid(&Module::new(engine, PARTLY).unwrap_err());
        return;
    }
    let m = module(engine, PARTLY);
    let linker = linker(engine);
    for _ in 0..2 {
        let mut store = Store::new(engine, ());
        let i = linker.instantiate(&mut store, &m).unwrap();
        for _ in 0..3 {
            assert_eq!(call(&mut store, i, "good", &[]).unwrap(), 7);
            for name in ["bad", "direct", "tail"] {
                is_invalid(&call(&mut store, i, name, &[]).unwrap_err());
            }
            assert_eq!(call(&mut store, i, "indirect", &[Val::I32(0)]).unwrap(), 7);
            is_invalid(&call(&mut store, i, "indirect", &[Val::I32(1)]).unwrap_err());
            let nested = i.typed_func::<(), ()>(&mut store, "nested").unwrap();
            is_invalid(&nested.call(&mut store, ()).unwrap_err());
            let worse = i.typed_func::<(), i64>(&mut store, "worse").unwrap();
            let error = worse.call(&mut store, ()).unwrap_err().to_string();
            assert!(error.contains("unknown local 5"), "{error}");
        }
    }
}

fn whole(engine: &Engine) {
    let engine = &lazy(engine);
    let valid = module(engine, r#"(module (func (export "f") (result i32) (i32.const 1)))"#);
    valid.ensure_valid().unwrap();
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &valid, &[]).unwrap();
    assert_eq!(call(&mut store, i, "f", &[]).unwrap(), 1);
    is_invalid(&Module::validate(engine, PARTLY.as_bytes()).unwrap_err());
    if !is_compiled(engine) {
        let partly = module(engine, PARTLY);
        // The first of both.
        is_invalid(&partly.ensure_valid().unwrap_err());
        is_invalid(&partly.ensure_valid().unwrap_err());
        let mut store = Store::new(engine, ());
        let i = linker(engine).instantiate(&mut store, &partly).unwrap();
        assert_eq!(call(&mut store, i, "good", &[]).unwrap(), 7);
        if engine.kind() == EngineKind::Tiered {
            is_invalid(&partly.serialize().unwrap_err());
        }
    }
}

fn declarations(engine: &Engine) {
    let engine = &lazy(engine);
    for (text, why) in [
        (r#"(module (export "f" (func 3)))"#, "unknown function"),
        ("(module (func) (global i32 (i64.const 0)))", "type mismatch"),
        ("(module (memory 1) (func i32.add) (data (i64.const 0)))", "type mismatch"),
        ("(module (func (type 9)))", "unknown type"),
    ] {
        let error = Module::new(engine, text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    let error = Module::new(engine, b"\0asm\x01\0\0\0\x0a\x05\x01\x09").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Decode(_)), "{error}");
}

fn start(engine: &Engine) {
    let engine = &lazy(engine);
    if !is_compiled(engine) {
        let m = module(engine, "(module (start $s) (func $s i32.add drop))");
        let mut store = Store::new(engine, ());
        is_invalid(&Instance::new(&mut store, &m, &[]).unwrap_err());
    }
}

/// `$bad` is small and called by index and through a table, if ever: it could be compiled into what is hot.
fn hot(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    let text = r#"(module (type $t (func (param i32) (result i32))) (table funcref (elem $good $bad))
      (func $good (type $t) (i32.add (local.get 0) (i32.const 1)))
      (func $bad (type $t) (local.get 0) (i64.const 1) i32.add)
      (func (export "index") (type $t)
        (if (result i32) (i32.eq (local.get 0) (i32.const -1))
          (then (call $bad (local.get 0))) (else (call $good (local.get 0)))))
      (func (export "table") (type $t)
        (call_indirect (type $t) (local.get 0) (i32.eq (local.get 0) (i32.const -1))))
      (func (export "loop") (type $t) (local i32)
        (loop $l
          (local.set 1 (call $good (local.get 1)))
          (br_if $l (i32.lt_u (local.get 1) (i32.const 1000))))
        (if (i32.eq (local.get 0) (i32.const -1)) (then (return (call $bad (local.get 0)))))
        (i32.sub (local.get 1) (i32.const 999))))"#;
    for background in [false, true] {
        let mut config = lazy(engine).config().clone();
        config.engine(EngineKind::Tiered).hot_after(Some(3)).background_compilation(background);
        let engine = Engine::new(&config).unwrap();
        let first = module(&engine, text);
        hot_calls(&first);
        // What was hot, and called the function that is not valid, is compiled at once.
        let profile = first.profile();
        let options = CompileOptions::new().with_profile(&profile);
        hot_calls(&Module::new_with(&engine, text, &options).unwrap());
    }
}

fn hot_calls(module: &Module) {
    let mut store = Store::new(module.engine(), ());
    let i = Instance::new(&mut store, module, &[]).unwrap();
    for name in ["index", "table", "loop"] {
        for _ in 0..50 {
            assert_eq!(call(&mut store, i, name, &[Val::I32(0)]).unwrap(), 1, "{name}");
        }
        is_invalid(&call(&mut store, i, name, &[Val::I32(-1)]).unwrap_err());
        assert_eq!(call(&mut store, i, name, &[Val::I32(0)]).unwrap(), 1, "{name}");
    }
}

/// What is found in a cache is not validated again.
fn caches(engine: &Engine) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Arc::new(DiskCache::new(folder.path().join("cache")).unwrap());
    let mut config: Config = engine.config().clone();
    if HAS_JIT && engine.kind() != EngineKind::Interpreted {
        config.engine(EngineKind::Tiered).hot_after(Some(2)).background_compilation(false);
    }
    let make = |lazy: bool| {
        let engine = Engine::new(config.clone().lazy_validation(lazy)).unwrap();
        engine.set_cache(Some(cache.clone()));
        engine
    };
    for _ in 0..3 {
        let engine = make(true);
        let m = module(&engine, PARTLY);
        let mut store = Store::new(&engine, ());
        let i = linker(&engine).instantiate(&mut store, &m).unwrap();
        for _ in 0..20 {
            assert_eq!(call(&mut store, i, "good", &[]).unwrap(), 7);
        }
        is_invalid(&call(&mut store, i, "bad", &[]).unwrap_err());
        drop((store, m));
        assert_eq!(cache.size().unwrap() > 0, engine.kind() == EngineKind::Tiered);
        is_invalid(&Module::new(&make(false), PARTLY).unwrap_err());
    }
}
