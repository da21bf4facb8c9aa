//! The embedder's side.

use crate::engines;
use std::sync::{Arc, Mutex};
use wardian::{
    AsContextMut, Caller, Engine, ExternRef, Func, Global, GlobalType, Instance, Linker, Module,
    Store, Val, ValType,
    gc::{AnyRef, ArrayRef, ArrayRefPre, EqRef, I31, StructRef, StructRefPre},
    types::{ArrayType, FieldType, StorageType, StructType},
};

fn field(ty: ValType) -> FieldType {
    FieldType { mutable: true, storage: StorageType::Val(ty) }
}

const OBJECTS: &str = r#"(module
          (type $p (struct (field (mut i32)) (field (mut anyref)) (field (mut externref)) (field (mut funcref))))
          (type $a (array (mut i16)))
          (func (export "sum") (param (ref $p)) (result i32)
            (i32.add (struct.get $p 0 (local.get 0))
              (array.get_s $a (ref.cast (ref $a) (struct.get $p 1 (local.get 0))) (i32.const 1))))
          (func (export "id") (param anyref) (result anyref) (local.get 0))
          (func (export "null") (result anyref) (ref.null any))
          (func (export "make") (param i32) (result structref)
            (struct.new $p (local.get 0) (ref.i31 (i32.const 7)) (ref.null extern) (ref.null func))))"#;

#[test]
fn objects_of_the_host_are_those_of_guests() {
    for (name, engine) in engines() {
        let module = Module::new(&engine, OBJECTS).unwrap();
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
    }
}

#[test]
fn typed_functions_take_and_give_objects() {
    for (name, engine) in engines() {
        let module = Module::new(&engine, OBJECTS).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let ty = StructRefPre::new(&mut store, StructType::new([field(ValType::I32)])).unwrap();
        let object = StructRef::new_default(&mut store, &ty).unwrap();
        let text = ExternRef::new(name);
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
    let theirs = StructRefPre::new(&mut other, StructType::new([field(ValType::ANYREF)])).unwrap();
    let object = StructRef::new_default(&mut store, &ty).unwrap();
    let foreign = StructRef::new_default(&mut other, &theirs).unwrap().to_anyref();
    let reported = [
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
    let reported: Vec<String> = reported.into_iter().map(|e| e.to_string()).collect();
    assert_eq!(
        reported,
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
    let reported = ArrayRef::new_default(&mut store, &huge, 1 << 31).unwrap_err().to_string();
    assert!(reported.contains("takes 34359738376 bytes"), "{reported}");
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
                    move |mut caller: Caller<
                        '_,
                        Arc<Mutex<Option<wardian::snapshot::Snapshot>>>,
                    >,
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
                    |mut caller: Caller<'_, Arc<Mutex<Option<wardian::snapshot::Snapshot>>>>,
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
    let reported = seen.clone();
    store.on_collection(move |stats| reported.lock().unwrap().push(*stats));
    let ty = StructRefPre::new(&mut store, StructType::new([field(ValType::I64)])).unwrap();
    let kept: Vec<_> = (0..10).map(|_| StructRef::new_default(&mut store, &ty).unwrap()).collect();
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

#[test]
fn filling_an_array_ends_at_a_cancellation() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let bytes = ArrayType(FieldType { mutable: true, storage: StorageType::I8 });
        let bytes = ArrayRefPre::new(&mut store, bytes).unwrap();
        let make = |store: &mut Store<()>| ArrayRef::new(store, &bytes, &Val::I32(1), 20 << 20);
        assert!(make(&mut store).is_ok(), "{name}");
        store.cancel_token().cancel();
        let error = make(&mut store).unwrap_err();
        assert_eq!(error.stop_reason(), Some(wardian::StopReason::Cancelled), "{name}: {error}");
    }
}
