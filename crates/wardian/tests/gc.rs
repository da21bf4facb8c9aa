//! Objects of guests in compiled code, with collections at every allocation.
#![cfg(feature = "jit")]

use wardian::{Config, Engine, EngineKind, Instance, Module, Store};

fn engines() -> Vec<(String, Engine)> {
    let mut all = Vec::new();
    for signals in [true, false] {
        for stress in [false, true] {
            let mut config = Config::new();
            config
                .engine(EngineKind::Compiled)
                .gc_stress(stress)
                .signals(signals)
                .verify_code(true);
            all.push((format!("signals {signals} stress {stress}"), Engine::new(&config).unwrap()));
        }
    }
    all
}

/// Runs `run` of a module with `n`.
fn run(text: &str, n: i32) -> Vec<Result<i32, String>> {
    let results = engines().into_iter().map(|(name, engine)| {
        let module = Module::new(&engine, text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let f = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
        f.call(&mut store, n).map_err(|e| e.to_string())
    });
    results.collect()
}

#[track_caller]
fn gives(text: &str, n: i32, expected: i32) {
    assert_eq!(run(text, n), vec![Ok(expected); 4]);
}

#[track_caller]
fn traps(text: &str, n: i32, message: &str) {
    for result in run(text, n) {
        let told = result.unwrap_err();
        assert!(told.contains(message), "{told}");
    }
}

#[test]
fn lists() {
    gives(
        r#"(module
          (rec (type $list (struct (field $value (mut i32)) (field $next (mut (ref null $list))))))
          (func (export "run") (param $n i32) (result i32)
            (local $l (ref null $list)) (local $sum i32)
            (loop $more
              (local.set $l (struct.new $list (local.get $n) (local.get $l)))
              (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (block $done
              (loop $next
                (br_on_null $done (local.get $l)) (drop)
                (local.set $sum (i32.add (local.get $sum) (struct.get $list $value (local.get $l))))
                (local.set $l (struct.get $list $next (local.get $l)))
                (br $next)))
            (local.get $sum)))"#,
        1000,
        500_500,
    );
}

#[test]
fn trees() {
    gives(
        r#"(module
          (rec (type $tree (struct (field (ref null $tree)) (field (ref null $tree)))))
          (func $make (param $d i32) (result (ref $tree))
            (if (result (ref $tree)) (local.get $d)
              (then (struct.new $tree
                (call $make (i32.sub (local.get $d) (i32.const 1)))
                (call $make (i32.sub (local.get $d) (i32.const 1)))))
              (else (struct.new_default $tree))))
          (func $count (param $t (ref null $tree)) (result i32)
            (if (result i32) (ref.is_null (local.get $t)) (then (i32.const 0))
              (else (i32.add (i32.const 1) (i32.add
                (call $count (struct.get $tree 0 (local.get $t)))
                (call $count (struct.get $tree 1 (local.get $t))))))))
          (func (export "run") (param i32) (result i32)
            (call $count (call $make (local.get 0)))))"#,
        9,
        1023,
    );
}

#[test]
fn arrays() {
    gives(
        r#"(module
          (type $a (array (mut i8))) (type $b (array (mut i64))) (type $r (array (mut anyref)))
          (data $d "\01\02\03\04")
          (func (export "run") (param $n i32) (result i32)
            (local $x (ref null $a)) (local $y (ref null $b)) (local $r (ref null $r)) (local $sum i32)
            (local.set $x (array.new $a (i32.const 0x1ff) (local.get $n)))
            (local.set $y (array.new $b (i64.const 3) (local.get $n)))
            (local.set $r (array.new_default $r (local.get $n)))
            (array.set $r (local.get $r) (i32.const 1) (ref.i31 (i32.const -5)))
            (array.set $r (local.get $r) (i32.const 2) (local.get $x))
            (array.fill $r (local.get $r) (i32.const 3) (local.get $y) (i32.const 60))
            (array.copy $r $r (local.get $r) (i32.const 10) (local.get $r) (i32.const 0) (i32.const 20))
            (array.init_data $a $d (ref.cast (ref $a) (array.get $r (local.get $r) (i32.const 12)))
              (i32.const 1) (i32.const 0) (i32.const 4))
            ;; 255 + 4 + 3 + -5 + n + n + (-1)
            (local.set $sum (array.get_u $a (local.get $x) (i32.sub (local.get $n) (i32.const 1))))
            (local.set $sum (i32.add (local.get $sum) (array.get_u $a (local.get $x) (i32.const 4))))
            (local.set $sum (i32.add (local.get $sum) (i32.wrap_i64 (array.get $b (local.get $y) (i32.const 70)))))
            (local.set $sum (i32.add (local.get $sum)
              (i31.get_s (ref.cast i31ref (array.get $r (local.get $r) (i32.const 11))))))
            (local.set $sum (i32.add (local.get $sum)
              (array.len (ref.cast arrayref (array.get $r (local.get $r) (i32.const 62))))))
            (local.set $sum (i32.add (local.get $sum) (array.len (local.get $x))))
            (local.set $sum (i32.add (local.get $sum) (array.get_s $a (local.get $x) (i32.const 99))))
            (local.get $sum)))"#,
        100,
        255 + 4 + 3 - 5 + 200 - 1,
    );
}

#[test]
fn casts() {
    gives(
        r#"(module
          (type $a (sub (struct (field i32))))
          (type $b (sub $a (struct (field i32) (field i32))))
          (type $c (sub final $b (struct (field i32) (field i32) (field f64))))
          (type $other (sub (struct (field i32))))
          (type $arr (array i32))
          (global $g (mut anyref) (ref.null any))
          (func $bits (param $x anyref) (result i32)
            (i32.add (ref.test (ref $a) (local.get $x))
            (i32.add (i32.shl (ref.test (ref $b) (local.get $x)) (i32.const 1))
            (i32.add (i32.shl (ref.test (ref $c) (local.get $x)) (i32.const 2))
            (i32.add (i32.shl (ref.test (ref struct) (local.get $x)) (i32.const 3))
            (i32.add (i32.shl (ref.test (ref array) (local.get $x)) (i32.const 4))
            (i32.add (i32.shl (ref.test (ref i31) (local.get $x)) (i32.const 5))
            (i32.add (i32.shl (ref.test (ref eq) (local.get $x)) (i32.const 6))
            (i32.add (i32.shl (ref.test (ref null none) (local.get $x)) (i32.const 7))
              (i32.shl (ref.test (ref any) (local.get $x)) (i32.const 8)))))))))))
          (func (export "run") (param $n i32) (result i32)
            (if (i32.ne (call $bits (struct.new $a (i32.const 1))) (i32.const 0x149)) (then (return (i32.const 1))))
            (if (i32.ne (call $bits (struct.new $b (i32.const 1) (i32.const 2))) (i32.const 0x14b))
              (then (return (i32.const 2))))
            (if (i32.ne (call $bits (struct.new $c (i32.const 1) (i32.const 2) (f64.const 0))) (i32.const 0x14f))
              (then (return (i32.const 3))))
            (if (i32.ne (call $bits (struct.new_default $other)) (i32.const 0x149)) (then (return (i32.const 4))))
            (if (i32.ne (call $bits (array.new $arr (i32.const 1) (i32.const 3))) (i32.const 0x150))
              (then (return (i32.const 5))))
            (if (i32.ne (call $bits (ref.i31 (i32.const 0))) (i32.const 0x160)) (then (return (i32.const 6))))
            (if (i32.ne (call $bits (ref.null any)) (i32.const 0x80)) (then (return (i32.const 7))))
            (global.set $g (struct.new $b (i32.const 3) (i32.const 4)))
            (drop (struct.new $a (i32.const 9)))
            (block $no (result anyref)
              (return (struct.get $b 1 (br_on_cast_fail $no anyref (ref $b) (global.get $g)))))
            (drop) (i32.const 8)))"#,
        0,
        4,
    );
}

#[test]
fn functions_in_objects() {
    gives(
        r#"(module
          (type $f (func (param i32) (result i32)))
          (type $vtable (struct (field (ref $f)) (field (mut (ref null $f))) (field externref)))
          (func $twice (type $f) (i32.mul (local.get 0) (i32.const 2)))
          (func $thrice (type $f) (i32.mul (local.get 0) (i32.const 3)))
          (elem declare func $twice $thrice)
          (func (export "run") (param $n i32) (result i32) (local $v (ref null $vtable))
            (local.set $v (struct.new $vtable (ref.func $twice) (ref.null $f) (extern.convert_any (ref.i31 (i32.const 9)))))
            (struct.set $vtable 1 (local.get $v) (ref.func $thrice))
            (i32.add
              (call_ref $f (local.get $n) (struct.get $vtable 0 (local.get $v)))
              (i32.add (call_ref $f (local.get $n) (struct.get $vtable 1 (local.get $v)))
                (i31.get_u (ref.cast (ref i31) (any.convert_extern (struct.get $vtable 2 (local.get $v)))))))))"#,
        7,
        14 + 21 + 9,
    );
}

#[test]
fn traps_have_their_names() {
    let module = |body: &str| {
        format!(
            "(module (type $s (struct (field (mut i32)))) (type $a (array (mut i32)))
              (func (export \"run\") (param i32) (result i32) (local $s (ref null $s)) (local $a (ref null $a)) {body}))"
        )
    };
    for (body, message) in [
        ("(struct.get $s 0 (local.get $s))", "null structure reference"),
        (
            "(struct.set $s 0 (local.get $s) (i32.const 1)) (i32.const 0)",
            "null structure reference",
        ),
        ("(array.get $a (local.get $a) (i32.const 1))", "null array reference"),
        ("(array.len (local.get $a))", "null array reference"),
        (
            "(array.get $a (array.new_default $a (i32.const 3)) (i32.const 3))",
            "out of bounds array access",
        ),
        (
            "(array.set $a (array.new_default $a (i32.const 3)) (i32.const -1) (i32.const 1)) (i32.const 0)",
            "out of bounds array access",
        ),
        (
            "(array.fill $a (array.new_default $a (i32.const 3)) (i32.const 1) (i32.const 1) (i32.const 3)) (i32.const 0)",
            "out of bounds array access",
        ),
        (
            "(array.copy $a $a (array.new_default $a (i32.const 3)) (i32.const 0) (array.new_default $a (i32.const 2)) (i32.const 0) (i32.const 3)) (i32.const 0)",
            "out of bounds array access",
        ),
        ("(i31.get_s (ref.null i31))", "null i31 reference"),
        ("(struct.get $s 0 (ref.cast (ref $s) (ref.null any)))", "cast failure"),
        (
            "(struct.get $s 0 (ref.cast (ref $s) (array.new_default $a (i32.const 3))))",
            "cast failure",
        ),
        ("(array.len (array.new_default $a (i32.const -1)))", "takes 17179869192 bytes"),
    ] {
        traps(&module(body), 0, message);
    }
}

#[test]
fn much_garbage_in_little_room() {
    let text = r#"(module (type $s (struct (field (mut i64)) (field (mut i64))))
      (func (export "run") (param $n i32) (result i32) (local $s (ref null $s))
        (loop $more
          (local.set $s (struct.new $s (i64.extend_i32_u (local.get $n)) (i64.const 7)))
          (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i32.wrap_i64 (struct.get $s 0 (local.get $s)))))"#;
    let mut config = Config::new();
    config.engine(EngineKind::Compiled);
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, text).unwrap();
    let limits = wardian::StoreLimits { memory_bytes: 1 << 20, ..Default::default() };
    let mut store = Store::new(&engine, limits);
    store.limiter(|limits| limits);
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let f = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(f.call(&mut store, 5_000_000).unwrap(), 1);
    assert!(store.data().used_bytes <= 1 << 20);
}

mod host {
    //! The embedder's side.

    use super::engines;
    use std::sync::{Arc, Mutex};
    use wardian::{
        AnyRef, ArrayRef, ArrayRefPre, ArrayType, AsContextMut, Caller, Engine, EqRef, ExternRef,
        FieldType, Func, Global, GlobalType, I31, Instance, Linker, Module, StorageType, Store,
        StructRef, StructRefPre, StructType, Val, ValType,
    };

    fn field(ty: ValType) -> FieldType {
        FieldType { mutable: true, storage: StorageType::Val(ty) }
    }

    #[test]
    fn objects_of_the_host_are_those_of_guests() {
        for (name, engine) in engines() {
            let text = r#"(module
              (type $p (struct (field (mut i32)) (field (mut anyref)) (field (mut externref)) (field (mut funcref))))
              (type $a (array (mut i16)))
              (func (export "sum") (param (ref $p)) (result i32)
                (i32.add (struct.get $p 0 (local.get 0))
                  (array.get_s $a (ref.cast (ref $a) (struct.get $p 1 (local.get 0))) (i32.const 1))))
              (func (export "id") (param anyref) (result anyref) (local.get 0))
              (func (export "null") (result anyref) (ref.null any))
              (func (export "make") (param i32) (result structref)
                (struct.new $p (local.get 0) (ref.i31 (i32.const 7)) (ref.null extern) (ref.null func))))"#;
            let module = Module::new(&engine, text).unwrap();
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let i16s = ArrayType(FieldType { mutable: true, storage: StorageType::I16 });
            let array = ArrayRefPre::new(&mut store, i16s).unwrap();
            let array = ArrayRef::new(&mut store, &array, &Val::I32(-3), 4).unwrap();
            let of_host = StructType::new([
                field(ValType::I32),
                field(ValType::ANYREF),
                field(ValType::EXTERNREF),
                field(ValType::FUNCREF),
            ]);
            let ty = StructRefPre::new(&mut store, of_host).unwrap();
            let id = instance.get_func(&mut store, "id").unwrap();
            let text = ExternRef::new("text".to_owned());
            let fields = [
                Val::I32(45),
                Val::AnyRef(Some(array.to_anyref())),
                Val::ExternRef(Some(text.clone())),
                Val::FuncRef(Some(id)),
            ];
            let object = StructRef::new(&mut store, &ty, &fields).unwrap();
            drop(array);
            let sum = instance.get_func(&mut store, "sum").unwrap();
            let mut results = [Val::I32(0)];
            let any = Val::AnyRef(Some(object.to_anyref()));
            for _ in 0..3 {
                store.gc();
                sum.call(&mut store, std::slice::from_ref(&any), &mut results).unwrap();
                assert_eq!(results[0].i32(), Some(42), "{name}");
            }
            assert_eq!(store.gc_stats().live_objects, 2);
            let Val::ExternRef(Some(found)) = object.field(&store, 2).unwrap() else { panic!() };
            assert!(ExternRef::same(&found, &text));
            let Val::FuncRef(Some(found)) = object.field(&store, 3).unwrap() else { panic!() };
            assert_eq!(found, id);
            object.set_field(&mut store, 1, Val::AnyRef(None)).unwrap();
            drop(fields);
            store.gc();
            assert_eq!(store.gc_stats().live_objects, 1);

            let typed =
                instance.typed_func::<Option<AnyRef>, Option<AnyRef>>(&mut store, "id").unwrap();
            let back = typed.call(&mut store, Some(object.to_anyref())).unwrap().unwrap();
            assert!(AnyRef::ref_eq(&back, &object.to_anyref()));
            let seven = AnyRef::from_i31(&store, I31::wrapping_i32(-7));
            let back = typed.call(&mut store, Some(seven)).unwrap().unwrap();
            assert_eq!(back.as_i31().map(I31::get_i32), Some(-7));
            assert!(typed.call(&mut store, None).unwrap().is_none());
            let make = instance.typed_func::<i32, Option<StructRef>>(&mut store, "make").unwrap();
            let made = make.call(&mut store, 5).unwrap().unwrap();
            assert_eq!(made.field(&store, 0).unwrap().i32(), Some(5));
            assert_eq!(made.ty(&store).unwrap().fields().len(), 4);
            let eq: EqRef = made.to_anyref().as_eq(&store).unwrap().unwrap();
            assert!(eq.to_anyref().as_struct(&store).unwrap().is_some());
            assert!(eq.to_anyref().as_array(&store).unwrap().is_none());

            // A value of the embedder's on its way through `anyref`.
            let boxed = AnyRef::convert_extern(&mut store, &text).unwrap();
            assert!(boxed.as_eq(&store).unwrap().is_none());
            let back = typed.call(&mut store, Some(boxed)).unwrap().unwrap();
            store.gc();
            assert!(ExternRef::same(&back.convert_any(&store).unwrap(), &text));
            let made = made.to_anyref().convert_any(&store).unwrap();
            assert!(made.data().downcast_ref::<AnyRef>().is_some());
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let mut other = Store::new(&engine, ());
        let ty = StructRefPre::new(
            &mut store,
            StructType::new([field(ValType::I32), field(ValType::ANYREF)]),
        )
        .unwrap();
        let theirs =
            StructRefPre::new(&mut other, StructType::new([field(ValType::ANYREF)])).unwrap();
        let object = StructRef::new_default(&mut store, &ty).unwrap();
        let foreign = StructRef::new_default(&mut other, &theirs).unwrap().to_anyref();
        let told = [
            StructRef::new_default(&mut store, &theirs).unwrap_err(),
            StructRef::new(&mut store, &ty, &[Val::I32(1)]).unwrap_err(),
            StructRef::new(&mut store, &ty, &[Val::I64(1), Val::AnyRef(None)]).unwrap_err(),
            object.set_field(&mut store, 0, Val::F32(0)).unwrap_err(),
            object.set_field(&mut store, 2, Val::I32(0)).unwrap_err(),
            object.set_field(&mut store, 1, Val::AnyRef(Some(foreign.clone()))).unwrap_err(),
            object.field(&other, 0).unwrap_err(),
            foreign.as_struct(&store).unwrap_err(),
            Global::new(
                &mut store,
                GlobalType { content: ValType::ANYREF, mutable: true },
                Val::AnyRef(Some(foreign)),
            )
            .unwrap_err(),
        ];
        let told: Vec<String> = told.into_iter().map(|e| e.to_string()).collect();
        assert_eq!(
            told,
            [
                "an object was used with a store that it does not belong to",
                "a struct with 2 fields got 1 values",
                "field or element 0 of type (mut i32) cannot be i64",
                "field or element 0 of type (mut i32) cannot be f32",
                "there is no field or element 2: the object has 2",
                "a reference to an object of another store",
                "a reference to an object of another store",
                "a reference to an object of another store",
                "a reference to an object of another store",
            ]
        );
        let huge = ArrayType(field(ValType::V128));
        let huge = ArrayRefPre::new(&mut store, huge).unwrap();
        let told = ArrayRef::new_default(&mut store, &huge, 1 << 31).unwrap_err().to_string();
        assert!(told.contains("takes 34359738376 bytes"), "{told}");
    }

    #[test]
    fn host_functions_allocate_while_guests_wait() {
        for (name, engine) in engines() {
            let text = r#"(module
              (type $l (struct (field i32) (field anyref)))
              (import "h" "pair" (func $pair (param i32 anyref) (result anyref)))
              (global $kept (export "kept") (mut anyref) (ref.null any))
              (table $t 2 anyref)
              (func (export "run") (param $n i32) (result i32) (local $x anyref) (local $sum i32)
                (table.set $t (i32.const 1) (call $pair (i32.const 1000) (ref.null any)))
                (global.set $kept (call $pair (i32.const 10000) (ref.null any)))
                (loop $more
                  (local.set $x (call $pair (local.get $n) (local.get $x)))
                  (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (local.set $sum (i32.add
                  (struct.get $l 0 (ref.cast (ref $l) (table.get $t (i32.const 1))))
                  (struct.get $l 0 (ref.cast (ref $l) (global.get $kept)))))
                (loop $next
                  (local.set $sum (i32.add (local.get $sum) (struct.get $l 0 (ref.cast (ref $l) (local.get $x)))))
                  (local.set $x (struct.get $l 1 (ref.cast (ref $l) (local.get $x))))
                  (br_if $next (i32.eqz (ref.is_null (local.get $x)))))
                (local.get $sum)))"#;
            let module = Module::new(&engine, text).unwrap();
            let mut store = Store::new(&engine, ());
            let immutable = |ty| FieldType { mutable: false, storage: StorageType::Val(ty) };
            let pair = StructType::new([immutable(ValType::I32), immutable(ValType::ANYREF)]);
            let pair = StructRefPre::new(&mut store, pair).unwrap();
            let mut linker = Linker::new(&engine);
            linker
                .func_wrap(
                    "h",
                    "pair",
                    move |mut caller: Caller<'_, ()>, n: i32, next: Option<AnyRef>| {
                        caller.as_context_mut().gc();
                        let fields = [Val::I32(n), Val::AnyRef(next)];
                        let made = StructRef::new(&mut caller, &pair, &fields)?;
                        Ok::<_, wardian::Error>(Some(made.to_anyref()))
                    },
                )
                .unwrap();
            let instance = linker.instantiate(&mut store, &module).unwrap();
            let run = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
            assert_eq!(run.call(&mut store, 100).unwrap(), 16050, "{name}");
        }
    }

    #[test]
    fn snapshots_hold_objects_and_their_state() {
        for (name, engine) in engines() {
            let text = r#"(module
              (type $c (struct (field (mut i32))))
              (import "h" "take" (func $take (param i32) (result i32)))
              (import "h" "back" (func $back (param i32 i32)))
              (func (export "run") (result i32) (local $c (ref null $c)) (local $rounds i32)
                (local.set $c (struct.new $c (i32.const 1)))
                (local.set $rounds (call $take (i32.const 0)))
                (drop (struct.new $c (i32.const 5)))
                (struct.set $c 0 (local.get $c) (i32.add (struct.get $c 0 (local.get $c)) (i32.const 1)))
                (if (i32.lt_s (local.get $rounds) (i32.const 3))
                  (then (call $back (i32.const 0) (i32.add (local.get $rounds) (i32.const 1)))))
                (struct.get $c 0 (local.get $c))))"#;
            for with_state in [false, true] {
                let module = Module::new(&engine, text).unwrap();
                let mut store = Store::new(&engine, Arc::new(Mutex::new(None)));
                store.enable_snapshots(true);
                let mut linker = Linker::new(&engine);
                linker
                    .func_wrap(
                        "h",
                        "take",
                        move |mut caller: Caller<'_, Arc<Mutex<Option<wardian::Snapshot>>>>,
                              _: i32| {
                            let mut snapshotter = caller.get_snapshotter().unwrap();
                            let taken = match with_state {
                                true => snapshotter.snapshot_with_state().unwrap(),
                                false => snapshotter.snapshot(),
                            };
                            *caller.data().lock().unwrap() = Some(taken);
                            0
                        },
                    )
                    .unwrap();
                linker
                    .func_wrap(
                        "h",
                        "back",
                        |mut caller: Caller<'_, Arc<Mutex<Option<wardian::Snapshot>>>>,
                         _: i32,
                         n: i32| {
                            caller.as_context_mut().gc();
                            let taken = caller.data().lock().unwrap().clone().unwrap();
                            Err::<(), _>(taken.restore(&mut caller, &[Val::I32(n)]))
                        },
                    )
                    .unwrap();
                let instance = linker.instantiate(&mut store, &module).unwrap();
                let run = instance.typed_func::<(), i32>(&mut store, "run").unwrap();
                let expected = if with_state { 2 } else { 5 };
                assert_eq!(run.call(&mut store, ()).unwrap(), expected, "{name} {with_state}");
            }
        }
    }

    #[test]
    fn observers_see_collections_and_stats() {
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = seen.clone();
        store.on_collection(move |stats| told.lock().unwrap().push(*stats));
        let ty = StructRefPre::new(&mut store, StructType::new([field(ValType::I64)])).unwrap();
        let kept: Vec<_> =
            (0..10).map(|_| StructRef::new_default(&mut store, &ty).unwrap()).collect();
        store.gc();
        drop(kept);
        store.gc();
        let seen = seen.lock().unwrap();
        assert_eq!((seen[0].live_objects, seen[0].live_bytes), (10, 160));
        assert_eq!((seen[1].live_objects, seen[1].collections), (0, 2));
        assert!(store.gc_stats().capacity > 0);
        let f = Func::wrap(&mut store, |x: Option<AnyRef>| x);
        assert!(f.typed::<Option<AnyRef>, Option<AnyRef>>(&store).is_ok());
    }
}

#[test]
fn deep_types() {
    // Supertypes beyond what a row of the table of supertypes holds.
    let mut text = "(module (type $t0 (sub (struct)))".to_owned();
    for i in 1..20 {
        text += &format!("(type $t{i} (sub $t{} (struct)))", i - 1);
    }
    text += "(func $is (param $x anyref) (result i32) (i32.const 0)";
    for i in 0..20 {
        text +=
            &format!("(i32.or (i32.shl (ref.test (ref $t{i}) (local.get $x)) (i32.const {i})))");
    }
    text += ") (func (export \"run\") (param $n i32) (result i32)";
    for i in 0..20 {
        let expected = (1_u32 << (i + 1)) - 1;
        text += &format!(
            "(if (i32.ne (call $is (struct.new $t{i})) (i32.const {expected})) (then (return (i32.const {i}))))"
        );
    }
    text += "(i32.const 99)))";
    gives(&text, 0, 99);
}

#[test]
fn calls_through_tables_accept_subtypes() {
    gives(
        r#"(module
          (type $a (sub (func (param i32) (result anyref))))
          (type $b (sub $a (func (param i32) (result i31ref))))
          (func $f (type $b) (ref.i31 (i32.add (local.get 0) (i32.const 1))))
          (table $t funcref (elem $f))
          (func (export "run") (param $n i32) (result i32)
            (i31.get_s (ref.cast i31ref (call_indirect (type $a) (local.get $n) (i32.const 0))))
            (i31.get_s (call_indirect (type $b) (local.get $n) (i32.const 0)))
            (i32.mul)
            (i32.add (i32.mul (i32.const 1000) (ref.test (ref $a) (table.get $t (i32.const 0)))))))"#,
        5,
        1036,
    );
    traps(
        r#"(module
          (type $a (sub (func (param i32) (result anyref))))
          (type $b (sub $a (func (param i32) (result i31ref))))
          (type $c (sub $a (func (param i32) (result i31ref))))
          (rec (type $d (sub $a (func (param i32) (result i31ref)))) (type $other (func)))
          (func $f (type $d) (ref.i31 (i32.add (local.get 0) (i32.const 1))))
          (table $t funcref (elem $f))
          (func (export "run") (param $n i32) (result i32)
            (i31.get_s (call_indirect (type $b) (local.get $n) (i32.const 0)))))"#,
        5,
        "indirect call type mismatch",
    );
}

#[test]
fn references_cross_blocks_branches_and_tail_calls() {
    gives(
        r#"(module
          (type $s (struct (field (mut i32))))
          (type $l (array (mut (ref null $s))))
          (table $t 4 (ref null $s))
          (func $pair (param $n i32) (result (ref $s) anyref (ref null $s))
            (struct.new $s (local.get $n))
            (ref.i31 (local.get $n))
            (struct.new $s (i32.add (local.get $n) (i32.const 1))))
          (func $sum (param $n i32) (param $l (ref $l)) (param $acc (ref $s)) (result i32)
            (if (i32.eqz (local.get $n)) (then (return (struct.get $s 0 (local.get $acc)))))
            (return_call $sum (i32.sub (local.get $n) (i32.const 1)) (local.get $l)
              (struct.new $s (i32.add (struct.get $s 0 (local.get $acc))
                (struct.get $s 0 (array.get $l (local.get $l) (i32.sub (local.get $n) (i32.const 1))))))))
          (func (export "run") (param $n i32) (result i32)
            (local $a (ref null $s)) (local $b anyref) (local $c (ref null $s)) (local $l (ref null $l)) (local $i i32)
            (call $pair (local.get $n)) (local.set $c) (local.set $b) (local.set $a)
            (struct.set $s 0 (local.get $a)
              (block $o (result i32) (block $p (result (ref null $s)) (block $q (result (ref null $s))
                (br_table $p $q (struct.new $s (i32.const 7)) (i32.const 1)))
                (drop (struct.new $s (i32.const 0))) (br $o (struct.get $s 0)))
                (struct.get $s 0)))
            (local.set $c (select (result (ref null $s)) (local.get $a) (local.get $c) (local.get $n)))
            (table.set $t (i32.const 0) (local.get $c))
            (drop (table.grow $t (struct.new $s (i32.const 11)) (i32.const 5)))
            (table.fill $t (i32.const 1) (struct.new $s (i32.const 13)) (i32.const 2))
            (table.copy $t $t (i32.const 3) (i32.const 0) (i32.const 2))
            (local.set $l (array.new_fixed $l 4
              (table.get $t (i32.const 3)) (table.get $t (i32.const 4)) (table.get $t (i32.const 8)) (struct.new $s (i32.const 17))))
            ;; 7 + 13 + 11 + 17 + the loop's
            (loop $again (result (ref null $s))
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (drop (struct.new $s (i32.const 1)))
              (br_if $again (i32.lt_s (local.get $i) (i32.const 10)))
              (struct.new $s (local.get $i)))
            (struct.get $s 0)
            (i32.add (call $sum (i32.const 4) (ref.as_non_null (local.get $l)) (struct.new $s (i32.const 100))))))"#,
        5,
        7 + 13 + 11 + 17 + 100 + 10,
    );
}

mod runtime {
    //! Artifacts, limits, deadlines, listeners, asynchronous functions.

    use super::engines;
    use std::time::Duration;
    use wardian::{
        AnyRef, CallOptions, Caller, Config, Engine, EngineKind, ErrorKind, Instance, Linker,
        Module, Store, StoreLimits,
    };

    const LIST: &str = r#"(module
      (rec (type $l (struct (field i32) (field (ref null $l)))))
      (global $kept (mut (ref null $l)) (ref.null $l))
      (func (export "grow") (param $n i32) (result i32)
        (loop $more
          (global.set $kept (struct.new $l (local.get $n) (global.get $kept)))
          (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (struct.get $l 0 (global.get $kept)))
      (func (export "forever")
        (loop $more (global.set $kept (struct.new $l (i32.const 1) (global.get $kept))) (br $more)))
      (func $tree (export "run") (param $d i32) (result i32) (local $a (ref null $l))
        (local.set $a (struct.new $l (local.get $d) (ref.null $l)))
        (if (local.get $d) (then
          (drop (call $tree (i32.sub (local.get $d) (i32.const 1))))
          (drop (call $tree (i32.sub (local.get $d) (i32.const 1))))))
        (i32.add (i32.const 1) (struct.get $l 0 (local.get $a)))))"#;

    #[test]
    fn stored_code_has_its_stack_maps() {
        for (name, engine) in engines() {
            let bytes = Module::new(&engine, LIST).unwrap().serialize().unwrap();
            // SAFETY: it was just made.
            #[allow(unsafe_code, reason = "of `deserialize`")]
            let module = unsafe { Module::deserialize(&engine, &bytes) }.unwrap();
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let run = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
            assert_eq!(run.call(&mut store, 8).unwrap(), 9, "{name}");
        }
    }

    #[test]
    fn the_limiter_ends_what_allocates_too_much() {
        for (name, engine) in
            engines().into_iter().filter(|(name, _)| name.contains("stress false"))
        {
            let module = Module::new(&engine, LIST).unwrap();
            let limits = StoreLimits { memory_bytes: 4 << 20, ..StoreLimits::default() };
            let mut store = Store::new(&engine, limits);
            store.limiter(|limits| limits);
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let forever = instance.typed_func::<(), ()>(&mut store, "forever").unwrap();
            let error = forever.call(&mut store, ()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{name} {error}");
            assert!(error.to_string().contains("no room for an object of 16 bytes"), "{error}");
            assert!(store.data().used_bytes <= 4 << 20);
            assert!(store.gc_stats().live_bytes > 3 << 20);
            // The heap still works.
            let run = instance.typed_func::<i32, i32>(&mut store, "grow").unwrap();
            assert!(run.call(&mut store, 1).is_err());
            store.gc();
        }
    }

    #[test]
    fn deadlines_end_guests_that_only_collect() {
        for (name, engine) in engines() {
            let module = Module::new(&engine, LIST).unwrap();
            let mut store = Store::new(
                &engine,
                StoreLimits { memory_bytes: 64 << 20, ..StoreLimits::default() },
            );
            store.limiter(|limits| limits);
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let grow = instance.typed_func::<i32, i32>(&mut store, "grow").unwrap();
            if name.contains("stress true") {
                grow.call(&mut store, 2000).unwrap();
            }
            store.set_timeout(Duration::from_millis(30));
            let forever = instance.typed_func::<(), ()>(&mut store, "forever").unwrap();
            let error = forever.call(&mut store, ()).unwrap_err();
            let fits = matches!(error.kind(), ErrorKind::Stopped(_) | ErrorKind::Limit(_));
            assert!(fits, "{name} {error}");
            store.set_deadline(None);
            store.gc();
            assert!(name.contains("false") || store.gc_stats().live_objects >= 2000);
        }
    }

    #[test]
    fn guests_that_wait_for_asynchronous_functions_keep_their_objects() {
        for (name, engine) in engines() {
            let text = r#"(module
              (type $s (struct (field i32)))
              (import "h" "wait" (func $wait (param anyref) (result anyref)))
              (func (export "run") (param $n i32) (result i32) (local $a (ref null $s))
                (local.set $a (struct.new $s (local.get $n)))
                (i32.add
                  (struct.get $s 0 (ref.cast (ref $s) (call $wait (struct.new $s (i32.const 5)))))
                  (struct.get $s 0 (local.get $a)))))"#;
            let module = Module::new(&engine, text).unwrap();
            let mut store = Store::new(&engine, ());
            let mut linker = Linker::new(&engine);
            linker
                .func_wrap_async(
                    "h",
                    "wait",
                    |mut caller: Caller<'_, ()>, (x,): (Option<AnyRef>,)| {
                        Box::pin(async move {
                            use wardian::AsContextMut;
                            for _ in 0..3 {
                                let mut waited = false;
                                std::future::poll_fn(|context| {
                                    if std::mem::replace(&mut waited, true) {
                                        return std::task::Poll::Ready(());
                                    }
                                    context.waker().wake_by_ref();
                                    std::task::Poll::Pending
                                })
                                .await;
                                caller.as_context_mut().gc();
                            }
                            x
                        })
                    },
                )
                .unwrap();
            let instance = linker.instantiate(&mut store, &module).unwrap();
            let run = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
            let mut call = std::pin::pin!(run.call_async(&mut store, 37));
            let waker = std::task::Waker::noop();
            let mut context = std::task::Context::from_waker(waker);
            let done = loop {
                if let std::task::Poll::Ready(done) = call.as_mut().poll(&mut context) {
                    break done;
                }
            };
            assert_eq!(done.unwrap(), 42, "{name}");
        }
    }

    #[test]
    fn a_heap_goes_with_its_store() {
        let mut config = Config::new();
        config.engine(EngineKind::Compiled);
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, LIST).unwrap();
        for _ in 0..200 {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let grow = instance.typed_func::<i32, i32>(&mut store, "grow").unwrap();
            grow.call_with(&mut store, &CallOptions::default(), 10_000).unwrap();
        }
    }
}
