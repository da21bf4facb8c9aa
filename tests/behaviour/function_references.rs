//! References to functions of one type.

use crate::log::Log;
use crate::matrix::{Behaviour, instance, linked, module};
use crate::snapshots::{Host, linker as snapshots};
use wardian::{
    CallOptions, Engine, Error, ErrorKind, ExternType, Func, FuncType, Global, GlobalType,
    HeapType, Instance, Linker, Module, RefType, StopReason, Store, Table, TableType, TrapCode,
    Val, ValType, snapshot::Snapshot,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("calls through references reach host and guest, and null traps", calls),
    ("a reference of another type never reaches a guest", foreign),
    ("raw slots and restores cannot forge a typed reference", forged),
    ("tables and globals hold what their types say", holders),
    ("types are equal across modules if their definitions are", equal_types),
    ("a type that names itself is not one that names that type", own_types),
    ("loops over references get hot", hot),
    ("who listens hears of calls through references", heard),
    ("a snapshot is restored below calls through references", restored),
    ("branches on null carry their operands", branches),
    ("a deadline ends the filling of a table", filling),
];

/// `call` calls a reference that may be null, `call_sure` one that may not; `own` gives one.
const CALLER: &str = r#"(module
  (type $f (func (param i32) (result i32)))
  (import "h" "twice" (func $twice (type $f)))
  (import "h" "give" (func $give (result (ref null $f))))
  (elem declare func $twice $own $tail)
  (func $own (export "own") (type $f) (i32.add (local.get 0) (i32.const 1)))
  (func $tail (export "tail") (param i32 (ref null $f)) (result i32)
    (return_call_ref $f (local.get 0) (local.get 1)))
  (func (export "call") (param i32 (ref null $f)) (result i32)
    (call_ref $f (local.get 0) (local.get 1)))
  (func (export "call_sure") (param i32 (ref $f)) (result i32)
    (call_ref $f (local.get 0) (local.get 1)))
  (func (export "sure") (param (ref null $f)) (result (ref $f)) (ref.as_non_null (local.get 0)))
  (func (export "given") (param i32) (result i32) (call_ref $f (local.get 0) (call $give)))
  (func (export "all") (param i32) (result i32)
    (call_ref $f (call_ref $f (local.get 0) (ref.func $own)) (ref.func $twice))))"#;

fn linker(engine: &Engine) -> Linker<()> {
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "twice", |x: i32| 2 * x).unwrap();
    linker
}

/// The type of the import `h` `name` of a module.
fn import_type(module: &Module, wanted: &str) -> FuncType {
    let found = module.imports().find(|(_, name, _)| *name == wanted).map(|(_, _, ty)| ty);
    let Some(ExternType::Func(ty)) = found else { panic!("there is no function {wanted}") };
    ty
}

/// [`CALLER`], where `give` gives what `given` gives.
fn caller(
    store: &mut Store<()>,
    given: impl Fn(&mut wardian::Caller<'_, ()>) -> Option<Func> + Send + Sync + 'static,
) -> Instance {
    let module = module(store.engine(), CALLER);
    let mut linker = linker(store.engine());
    let ty = import_type(&module, "give");
    linker
        .func_new("h", "give", ty, move |mut caller, _, results| {
            results[0] = Val::FuncRef(given(&mut caller));
            Ok(())
        })
        .unwrap();
    linker.instantiate(store, &module).unwrap()
}

fn call(store: &mut Store<()>, i: Instance, name: &str, args: &[Val]) -> Result<Val, Error> {
    let mut results = [Val::I32(0)];
    let func = i.get_func(&mut *store, name).expect("it is exported");
    func.call(store, args, &mut results).map(|()| results[0].clone())
}

fn calls(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = caller(&mut store, |_| None);
    for _ in 0..5 {
        assert_eq!(call(&mut store, i, "all", &[Val::I32(6)]).unwrap().i32(), Some(14));
    }
    let own = i.get_func(&mut store, "own").unwrap();
    let host = Func::wrap(&mut store, |x: i32| x - 7);
    for name in ["call", "call_sure", "tail"] {
        for (func, wanted) in [(own, 11), (host, 3)] {
            let args = [Val::I32(10), Val::FuncRef(Some(func))];
            assert_eq!(call(&mut store, i, name, &args).unwrap().i32(), Some(wanted), "{name}");
        }
    }
    for name in ["call", "tail"] {
        let error = call(&mut store, i, name, &[Val::I32(1), Val::FuncRef(None)]).unwrap_err();
        assert_eq!(error.trap(), Some(TrapCode::NullFunctionReference), "{name}");
    }
    let error = call(&mut store, i, "given", &[Val::I32(1)]).unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::NullFunctionReference));
    let error = call(&mut store, i, "sure", &[Val::FuncRef(None)]).unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::NullReference));
    let sure = i.get_func(&mut store, "sure").unwrap();
    let ValType::Ref(ty) = sure.ty(&store).results()[0] else { panic!("it is a reference") };
    assert!(!ty.nullable && matches!(ty.heap, HeapType::Concrete(_)));
}

fn foreign(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let other = Func::wrap(&mut store, |x: i64| x);
    let i = caller(&mut store, move |_| Some(other));
    let wrong = |store: &mut Store<()>, name: &str, args: &[Val]| {
        let error = call(store, i, name, args).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{name}: {error}");
        error.to_string()
    };
    let args = [Val::I32(1), Val::FuncRef(Some(other))];
    for name in ["call", "call_sure", "tail"] {
        let reported = wrong(&mut store, name, &args);
        assert!(reported.contains("argument 1 is function (i64) -> (i64)"), "{reported}");
    }
    let reported = wrong(&mut store, "call_sure", &[Val::I32(1), Val::FuncRef(None)]);
    assert!(reported.contains("argument 1 is null"), "{reported}");
    let reported = call(&mut store, i, "given", &[Val::I32(1)]).unwrap_err().to_string();
    assert!(reported.contains("function (i64) -> (i64)"), "{reported}");
    // With Rust's types only what gives a reference can be called.
    assert!(i.typed_func::<(i32, Option<Func>), i32>(&mut store, "call").is_err());
}

fn forged(engine: &Engine) {
    // The raw slot of the argument becomes that of the result.
    let text = r#"(module (type $f (func (result i32))) (type $g (func (result i64)))
      (import "h" "forge" (func $forge (param funcref) (result (ref $f))))
      (import "h" "again" (func $again (param funcref)))
      (import "h" "mark" (func $mark (result (ref null $f))))
      (global $once (export "once") (mut i32) (i32.const 0))
      (elem declare func $i $l)
      (func $i (result i32) (i32.const 5)) (func $l (result i64) (i64.const 6))
      (func $pick (param i32) (result funcref)
        (if (result funcref) (i32.eqz (local.get 0)) (then (ref.func $i)) (else
          (select (result funcref) (ref.func $l) (ref.null func)
            (i32.eq (local.get 0) (i32.const 1))))))
      (func (export "run") (param i32) (result i32)
        (call_ref $f (call $forge (call $pick (local.get 0)))))
      (func (export "restore") (param i32) (result i32) (local $f (ref null $f))
        (local.set $f (call $mark))
        (if (i32.eqz (global.get $once)) (then
          (global.set $once (i32.const 1))
          (call $again (call $pick (local.get 0)))))
        (call_ref $f (local.get $f))))"#;
    let module = module(engine, text);
    let mut linker: Linker<Option<Snapshot>> = Linker::new(engine);
    let same = |_: wardian::Caller<'_, _>, _: &mut [u64]| Ok(());
    linker.func_raw("h", "forge", import_type(&module, "forge"), same).unwrap();
    linker
        .func_raw("h", "again", import_type(&module, "again"), |caller, slots| {
            let snapshot = caller.data().clone().expect("there is one");
            Err(snapshot.restore_raw(caller, slots))
        })
        .unwrap();
    linker
        .func_raw("h", "mark", import_type(&module, "mark"), |mut caller, slots| {
            let snapshot = caller.get_snapshotter().expect("snapshots are enabled").snapshot();
            *caller.data_mut() = Some(snapshot);
            slots[0] = 0;
            Ok(())
        })
        .unwrap();
    let mut store = Store::new(engine, None);
    let i = linker.instantiate(&mut store, &module).unwrap();
    let options = CallOptions::new().with_snapshotter();
    for name in ["run", "restore"] {
        let run = i.typed_func::<i32, i32>(&mut store, name).unwrap();
        for picked in [0, 1, 2, 0, 1, 2, 0] {
            let once = i.get_global(&mut store, "once").unwrap();
            once.set(&mut store, Val::I32(0)).unwrap();
            match (picked, run.call_with(&mut store, &options, picked)) {
                (0, Ok(value)) => assert_eq!(value, 5),
                (1 | 2, Err(error)) if error.to_string().contains("raw slot") => {}
                // A null may be restored, and is called then.
                (2, Err(error)) if name == "restore" => {
                    assert_eq!(error.trap(), Some(TrapCode::NullFunctionReference));
                }
                (_, other) => panic!("{name} {picked}: {other:?}"),
            }
        }
    }
}

fn holders(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (type $f (func (result i32)))
          (table $t (export "t") 3 (ref $f) (ref.func $one))
          (global (export "g") (mut (ref $f)) (ref.func $two))
          (global (export "fixed") (ref $f) (ref.func $two))
          (func $one (export "one") (result i32) (i32.const 1))
          (func $two (export "two") (result i32) (i32.const 2))
          (func (export "sum") (result i32) (local $i i32) (local $s i32)
            (loop $l
              (local.set $s (i32.add (local.get $s) (call_ref $f (table.get $t (local.get $i)))))
              (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (table.size $t))))
            (local.get $s))
          (func (export "grow") (drop (table.grow $t (ref.func $two) (i32.const 2)))))"#,
    );
    let sum = i.typed_func::<(), i32>(&mut store, "sum").unwrap();
    assert_eq!(sum.call(&mut store, ()).unwrap(), 3);
    let table = i.get_table(&mut store, "t").unwrap();
    let [one, two] = ["one", "two"].map(|name| i.get_func(&mut store, name).unwrap());
    table.set(&mut store, 0, Val::FuncRef(Some(two))).unwrap();
    i.typed_func::<(), ()>(&mut store, "grow").unwrap().call(&mut store, ()).unwrap();
    assert_eq!(sum.call(&mut store, ()).unwrap(), 8);
    let other = Func::wrap(&mut store, || 7i64);
    let host = Func::wrap(&mut store, || 7i32);
    for wrong in [Val::FuncRef(None), Val::FuncRef(Some(other)), Val::ExternRef(None)] {
        assert!(table.set(&mut store, 0, wrong.clone()).is_err());
        assert!(table.grow(&mut store, 1, wrong.clone()).is_err());
        let global = i.get_global(&mut store, "g").unwrap();
        assert!(global.set(&mut store, wrong.clone()).is_err());
        assert!(Global::new(&mut store, global.ty(), wrong.clone()).is_err());
        let ty = TableType { min: 1, max: None, ..table.ty(&store) };
        assert!(Table::new(&mut store, ty, wrong).is_err());
    }
    table.set(&mut store, 4, Val::FuncRef(Some(host))).unwrap();
    assert_eq!(sum.call(&mut store, ()).unwrap(), 13);
    // An immutable global may have a narrower type than its importer wants, others may not.
    let mut linker = Linker::new(engine);
    linker.instance(&mut store, "m", i).unwrap();
    let import = |name: &str, ty: &str| {
        format!(
            r#"(module (type $f (func (result i32))) (import "m" "{name}" (global $g {ty}))
            (func (export "get") (result funcref) (global.get $g)))"#
        )
    };
    let get = linked(&mut store, &linker, &import("fixed", "funcref"));
    let get = get.typed_func::<(), Option<Func>>(&mut store, "get").unwrap();
    assert_eq!(get.call(&mut store, ()).unwrap(), Some(two));
    linked(&mut store, &linker, &import("fixed", "(ref null $f)"));
    linked(&mut store, &linker, &import("g", "(mut (ref $f))"));
    for ty in ["(mut (ref null $f))", "(mut funcref)", "(ref $f)"] {
        let module = module(engine, &import("g", ty));
        assert!(linker.instantiate(&mut store, &module).is_err(), "{ty}");
    }
    let ty = GlobalType { content: ValType::Ref(RefType::FUNC), mutable: false };
    let wide = Global::new(&mut store, ty, Val::FuncRef(Some(one))).unwrap();
    linker.define("m", "wide", wide).unwrap();
    let module = module(engine, &import("wide", "(ref $f)"));
    let reported = linker.instantiate(&mut store, &module).unwrap_err().to_string();
    assert!(reported.contains("funcref"), "{reported}");
}

fn equal_types(engine: &Engine) {
    let definition = |types: &str, ty: &str| {
        format!(
            r#"(module {types} (func (export "f") (param (ref null {ty})) (result i32) (i32.const 3)))"#
        )
    };
    let importer = |types: &str, ty: &str| {
        format!(
            r#"(module {types} (import "m" "f" (func $f (param (ref null {ty})) (result i32)))
            (func (export "run") (result i32) (call $f (ref.null {ty}))))"#
        )
    };
    let plain = "(type $a (func (param i32)))";
    let later = "(type $x (func)) (type $y (func (result f64))) (type $a (func (param i32)))";
    let nested = "(type $b (func (param i32))) (type $a (func (param (ref null $b))))";
    let itself = "(type $a (func (param (ref null $a))))";
    let unrolled = "(type $b (func (param (ref null $b)))) (type $a (func (param (ref null $b))))";
    let all = [plain, later, nested, itself, unrolled];
    for (i, exported) in all.into_iter().enumerate() {
        for (j, imported) in all.into_iter().enumerate() {
            let mut store = Store::new(engine, ());
            let mut linker = Linker::new(engine);
            let one = instance(&mut store, &definition(exported, "$a"));
            linker.instance(&mut store, "m", one).unwrap();
            let module = module(engine, &importer(imported, "$a"));
            let found = linker.instantiate(&mut store, &module);
            assert_eq!(found.is_ok(), i == j || i + j == 1, "{exported} {imported}");
            if let Ok(two) = found {
                let run = two.typed_func::<(), i32>(&mut store, "run").unwrap();
                assert_eq!(run.call(&mut store, ()).unwrap(), 3);
            }
        }
    }
    // Also a function of the embedder's that was given such a type is of that type.
    let text = importer(itself, "$a");
    let module = module(engine, &text);
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_new("m", "f", import_type(&module, "f"), |_, _, results| {
            results[0] = Val::I32(4);
            Ok(())
        })
        .unwrap();
    let mut store = Store::new(engine, ());
    let i = linker.instantiate(&mut store, &module).unwrap();
    assert_eq!(
        i.typed_func::<(), i32>(&mut store, "run").unwrap().call(&mut store, ()).unwrap(),
        4
    );
}

/// Two types that look equal once types have numbers: one that names itself, and one that names that type.
fn own_types(engine: &Engine) {
    let own = "(type $a (func (param (ref null $a)))) (type $u (func (param (ref null $a))))";
    for (exported, imported, fits) in
        [("$a", "$a", true), ("$u", "$u", true), ("$a", "$u", false), ("$u", "$a", false)]
    {
        let mut store = Store::new(engine, ());
        let mut linker = Linker::new(engine);
        let one = instance(
            &mut store,
            &format!(r#"(module {own} (func (export "f") (type {exported})))"#),
        );
        linker.instance(&mut store, "m", one).unwrap();
        let module =
            module(engine, &format!(r#"(module {own} (import "m" "f" (func (type {imported}))))"#));
        let found = linker.instantiate(&mut store, &module);
        assert_eq!(found.is_ok(), fits, "{exported} {imported}");
        // A function of the embedder's has the type that it was given, which looks like both.
        let ty = import_type(&module, "f");
        let host = Func::new(&mut store, ty, |_, _, _| Ok(()));
        linker.allow_shadowing(true).define("m", "f", host).unwrap();
        linker.instantiate(&mut store, &module).unwrap();
    }
}

fn hot(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (type $f (func (param i64) (result i64)))
          (table 2 (ref null $f)) (elem (i32.const 0) (ref null $f) (ref.func $inc))
          (func $inc (type $f) (i64.add (local.get 0) (i64.const 3)))
          (func (export "run") (param i64) (result i64) (local $s i64) (local $r (ref null $f))
            (loop $l
              (block $null
                (local.set $s (call_ref $f (local.get $s)
                  (br_on_null $null (table.get (i32.wrap_i64 (i64.and (local.get 0) (i64.const 1)))))))
                (local.set $r (ref.func $inc)))
              (local.set 0 (i64.sub (local.get 0) (i64.const 1)))
              (br_if $l (i64.ne (local.get 0) (i64.const 0))))
            (call_ref $f (local.get $s) (ref.as_non_null (local.get $r)))))"#,
    );
    let run = i.typed_func::<i64, i64>(&mut store, "run").unwrap();
    for count in [10, 20_000, 30] {
        assert_eq!(run.call(&mut store, count).unwrap(), 3 * (count / 2) + 3);
    }
}

fn heard(engine: &Engine) {
    let log = Log::default();
    let mut config = engine.config().clone();
    config.function_listener_factory(log.factory());
    let engine = &Engine::new(&config).unwrap();
    let mut store = Store::new(engine, ());
    let other = instance(
        &mut store,
        r#"(module (func $other (export "other") (param i32) (result i32) (local.get 0)))"#,
    );
    let other = other.get_func(&mut store, "other").unwrap();
    let i = caller(&mut store, |_| None);
    let args = [Val::I32(3), Val::FuncRef(Some(other))];
    for name in ["call", "tail"] {
        for round in 0..4 {
            log.take();
            assert_eq!(call(&mut store, i, name, &args).unwrap().i32(), Some(3));
            let lines = log.take_with_callers();
            let heard = lines.iter().any(|line| line.contains("other"));
            assert!(heard, "{name}, round {round}: {lines:?}");
        }
    }
    log.assert_balanced();
}

fn restored(engine: &Engine) {
    let mut linker = snapshots(engine);
    linker.func_wrap("h", "twice", |x: i32| 2 * x).unwrap();
    let mut store = Store::new(engine, Host::default());
    let i = linked(
        &mut store,
        &linker,
        r#"(module (type $f (func (param (ref null $f) i32) (result i32)))
          (import "h" "mark" (func $mark (result i32)))
          (import "h" "jump" (func $jump (param i32 i32)))
          (elem declare func $down)
          (func $down (type $f) (local $seen i32)
            (if (i32.eqz (local.get 1)) (then
              (local.set $seen (call $mark))
              (if (i32.lt_u (local.get $seen) (i32.const 3))
                (then (call $jump (i32.const 0) (i32.add (local.get $seen) (i32.const 1)))))
              (return (local.get $seen))))
            (i32.add (i32.const 10) (call_ref $f (local.get 0)
              (i32.sub (local.get 1) (i32.const 1)) (local.get 0))))
          (func (export "run") (param i32) (result i32)
            (call $down (ref.func $down) (local.get 0))))"#,
    );
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    let options = CallOptions::new().with_snapshotter();
    for depth in [1, 5, 40] {
        store.data_mut().marks.clear();
        let value = run.call_with(&mut store, &options, depth).unwrap();
        assert_eq!(value, 10 * depth + 3);
    }
}

fn branches(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (type $f (func (result i32)))
          (elem declare func $seven)
          (func $seven (result i32) (i32.const 7))
          ;; Operands below stay, those of the branch come along, and the reference as the case is.
          (func $null (param (ref null $f)) (result i64 i32) (local $n i32)
            (i64.const 100)
            (block $none (result f64 i32)
              (f64.const 2.5) (i32.const 4)
              (br_on_null $none (local.get 0))
              (drop (call_ref $f))
              (drop) (drop)
              (f64.const 1.5) (i32.const 9))
            (local.set $n) (i64.trunc_f64_s) (i64.add) (local.get $n))
          (func $non_null (param (ref null $f)) (result i64 i32)
            (i64.const 200)
            (block $some (result i32 (ref $f))
              (i32.const 4)
              (br_on_non_null $some (local.get 0))
              (drop) (i32.const 9) (ref.func $seven))
            (call_ref $f) (i32.add))
          (func (export "null") (param i32) (result i64 i32)
            (call $null (select (result (ref null $f)) (ref.func $seven) (ref.null $f) (local.get 0))))
          (func (export "non_null") (param i32) (result i64 i32)
            (call $non_null
              (select (result (ref null $f)) (ref.func $seven) (ref.null $f) (local.get 0)))))"#,
    );
    for (name, some, wanted) in [
        ("null", 1, (101, 9)),
        ("null", 0, (102, 4)),
        ("non_null", 1, (200, 11)),
        ("non_null", 0, (200, 16)),
    ] {
        let func = i.typed_func::<i32, (i64, i32)>(&mut store, name).unwrap();
        for _ in 0..4 {
            assert_eq!(func.call(&mut store, some).unwrap(), wanted, "{name} {some}");
        }
    }
}

fn filling(engine: &Engine) {
    let text = r#"(module (type $f (func)) (table (export "t") 300000 (ref $f) (ref.func $one))
      (func $one (export "one")))"#;
    let module = module(engine, text);
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &module, &[]).unwrap();
    let one = i.get_func(&mut store, "one").unwrap();
    let table = i.get_table(&mut store, "t").unwrap();
    for index in [0, 65_535, 65_536, 299_999] {
        let Some(Val::FuncRef(found)) = table.get(&store, index) else { panic!("{index}") };
        assert_eq!(found, Some(one));
    }
    store.set_deadline(Some(std::time::Instant::now()));
    let error = loop {
        match Instance::new(&mut store, &module, &[]) {
            // The deadline is noticed by another thread.
            Ok(_) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
    store.set_deadline(None);
    Instance::new(&mut store, &module, &[]).unwrap();
}
