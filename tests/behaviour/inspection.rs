//! What can be known of functions and instances.

use crate::matrix::{Behaviour, instance, module};
use std::sync::{Arc, Mutex};
use wardian::{
    Engine, Func, Linker, Store, Val,
    listener::{Call, FunctionFilter, FunctionListenerFunc},
    stack::StackIterator,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("definitions tell names, types and imports", definitions),
    ("references arrive as handles", references),
    ("listeners look into instances", looking),
    ("objects are read through instances, by position, name and path", objects),
    ("types and tags are found by index and name", types),
];

fn definitions(engine: &Engine) {
    let text = r#"(module $garden (import "h" "water" (func $water (param i32)))
      (func $plant (export "p1") (export "p2") (param $seed i32) (param i64) (result f32)
        (f32.const 0)))"#;
    let m = module(engine, text);
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "water", |_: i32| ()).unwrap();
    let mut store = Store::new(engine, ());
    let i = linker.instantiate(&mut store, &m).unwrap();
    let inside = i.internal(&store);
    let water = inside.function(0).unwrap();
    assert_eq!((water.import(), water.index()), (Some(("h", "water")), Some(0)));
    assert_eq!(water.debug_name(), "h.water");
    let plant = inside.function(inside.function_index("p2").unwrap()).unwrap();
    assert_eq!(plant.module_name(), Some("garden"));
    assert_eq!((plant.name(), plant.import()), (Some("plant"), None));
    assert_eq!(plant.export_names().collect::<Vec<_>>(), ["p1", "p2"]);
    assert_eq!(plant.param_names().collect::<Vec<_>>(), [Some("seed"), None]);
    assert_eq!(plant.result_types(), [wardian::ValType::F32]);
    assert_eq!(format!("{plant:?}"), "garden.plant (i32, i64) -> (f32)");
}

fn references(engine: &Engine) {
    let handles = Arc::new(Mutex::new(Vec::new()));
    let log = handles.clone();
    let listener =
        FunctionListenerFunc(move |_: &Call<'_>, params: &[u64], _: &mut StackIterator<'_>| {
            log.lock().unwrap().extend_from_slice(params);
        });
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (func $f (export "f") (param funcref) (result funcref) (local.get 0))
          (func (export "go") (result funcref) (call $f (ref.func $f))))"#,
    );
    let _attached = i.attach(&mut store, FunctionFilter::name("f").listen(listener)).unwrap();
    let go = i.typed_func::<(), Option<Func>>(&mut store, "go").unwrap();
    let found = go.call(&mut store, ()).unwrap().unwrap();
    let handle = handles.lock().unwrap()[0];
    // A host function over raw slots takes it for the same function.
    let ty = wardian::FuncType::new([], [wardian::ValType::FUNCREF]);
    let give = Func::new_raw(&mut store, ty, move |_, slots| {
        slots[0] = handle;
        Ok(())
    });
    let mut results = [Val::FuncRef(None)];
    give.call(&mut store, &[], &mut results).unwrap();
    let [Val::FuncRef(Some(given))] = results else { panic!("a function") };
    assert_eq!(given, found);
}

fn looking(engine: &Engine) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let listener =
        FunctionListenerFunc(move |call: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>| {
            let module = call.module().unwrap();
            let global = module.global(module.global_index("hidden").unwrap()).unwrap();
            let byte = module.memory(0).unwrap().data().unwrap()[5];
            log.lock().unwrap().push((global.i32().unwrap(), byte, module.num_tables()));
        });
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (global $hidden (mut i32) (i32.const 1)) (memory 1) (table 3 funcref)
          (func $f) (func (export "go")
            (call $f) (global.set $hidden (i32.const 2))
            (i32.store8 (i32.const 5) (i32.const 77)) (call $f)))"#,
    );
    let _attached = i.attach(&mut store, FunctionFilter::name("f").listen(listener)).unwrap();
    i.typed_func::<(), ()>(&mut store, "go").unwrap().call(&mut store, ()).unwrap();
    assert_eq!(*seen.lock().unwrap(), [(1, 0, 1), (2, 77, 1)]);
    // The embedder may change what is private.
    let mut inside = i.internal_mut(&mut store);
    inside.set_global(0, &Val::I32(30)).unwrap();
    inside.memory_mut(0).unwrap()[5] = 31;
    let f = inside.func(0).unwrap();
    inside.set_table_element(0, 2, &Val::FuncRef(Some(f))).unwrap();
    assert!(
        inside.set_global(0, &Val::I64(1)).is_err() && inside.set_global(9, &Val::I32(1)).is_err()
    );
    assert!(inside.memory_mut(1).is_err() && inside.func(9).is_err());
    f.call(&mut store, &[], &mut []).unwrap();
    assert_eq!(seen.lock().unwrap()[2], (30, 31, 1));
    let element = i.internal(&store).table_element(0, 2);
    assert!(matches!(element, Some(Val::FuncRef(Some(found))) if found == f));
}

const OBJECTS: &str = r#"(module
  (type $items (array (mut i16)))
  (type $list (sub (struct (field $value (mut i32)) (field $next (ref null $list)))))
  (type $named (sub $list (struct (field $value (mut i32)) (field $next (ref null $list)) (field $odd.name i64))))
  (global $head (ref null $list) (struct.new $list (i32.const 1)
    (struct.new $named (i32.const 2) (ref.null $list) (i64.const 3))))
  (global $null anyref (ref.null any))
  (global $small (export "exported") (ref i31) (ref.i31 (i32.const 5)))
  (global $number i32 (i32.const 6))
  (table $things 3 anyref)
  (elem (table $things) (i32.const 1) anyref (item (array.new $items (i32.const 40000) (i32.const 3))))
  (func (export "set") (struct.set $list $value (ref.as_non_null (global.get $head)) (i32.const 10))))"#;

fn objects(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, OBJECTS);
    let inside = i.internal(&store);
    for (path, expected) in [
        ("global.head.value", Val::I32(1)),
        ("global[0].next.value", Val::I32(2)),
        ("global.head[1][0]", Val::I32(2)),
        ("global.head.next.\"odd.name\"", Val::I64(3)),
        ("global.number", Val::I32(6)),
        ("table.things[1][2]", Val::I32(40000)),
        ("table[0][1][0]", Val::I32(40000)),
    ] {
        assert_eq!(
            format!("{:?}", inside.value_at(path).unwrap()),
            format!("{expected:?}"),
            "{path}"
        );
    }
    let small = inside.value_at("global.exported").unwrap();
    assert!(matches!(small, Val::AnyRef(Some(any)) if any.as_i31().unwrap().get_u32() == 5));
    for (path, reason) in [
        ("", "expected `global` or `table` after ``"),
        ("memory[0]", "expected `global` or `table`"),
        ("global", "expected `.name` or `[number]` after `global`"),
        ("global.tail", "there is no global `tail`"),
        ("global[9]", "there is no global 9"),
        ("global.head[", "a closing bracket"),
        ("global.head[x]", "a number in brackets"),
        ("global.head.\"value", "a closing quote"),
        ("global.head value", "expected `.name` or `[number]` after `global.head`"),
        ("table.things.x", "the number of an element in brackets"),
        ("table.things[3]", "there is no element 3 of table 0"),
        (
            "global.head.other",
            "`.other` leads to nothing: `global.head` is a struct with the fields value, next",
        ),
        ("global.head.next.next.value", "`global.head.next.next` is null"),
        ("global.small.value", "`global.small` is an integer"),
        ("global.number.value", "`global.number` is an i32"),
        ("table.things[1][3]", "`table.things[1]` is an array of 3 elements"),
        ("global.head[18446744073709551615]", "is a struct with"),
    ] {
        let error = inside.value_at(path).unwrap_err().to_string();
        assert!(error.contains(reason), "{path}: {error}");
    }
    let Val::AnyRef(Some(head)) = inside.global(0).unwrap() else { panic!("an object") };
    let object = inside.object(&head).unwrap();
    assert_eq!((object.type_name(), object.len(), object.is_array()), (Some("list"), 2, false));
    assert_eq!((object.field_name(1), object.field_index("next")), (Some("next"), Some(1)));
    assert!(
        object.get(2).is_none()
            && object.field_type(2).is_none()
            && object.field_index("x").is_none()
    );
    let Val::AnyRef(Some(items)) = inside.table_element(0, 1).unwrap() else { panic!("an array") };
    let items = inside.object(&items).unwrap();
    assert_eq!((items.type_name(), items.len(), items.field_name(0)), (Some("items"), 3, None));
    assert_eq!(items.field_type(2).unwrap().storage, wardian::types::StorageType::I16);
    assert_eq!(items.values().filter_map(|v| v.i32()).sum::<i32>(), 120_000);
    i.typed_func::<(), ()>(&mut store, "set").unwrap().call(&mut store, ()).unwrap();
    assert_eq!(i.internal(&store).value_at("global.head.value").unwrap().i32(), Some(10));
    // What another store's reference means here is nothing.
    let mut other = Store::new(engine, ());
    let elsewhere = instance(&mut other, "(module)");
    assert!(elsewhere.internal(&other).object(&head).is_none());
}

fn types(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (type $pair (struct (field i32) (field i64))) (type $f (func (param f32)))
          (tag $inner (type $f)) (tag $outer (export "thrown") (param i64)))"#,
    );
    let inside = i.internal(&store);
    assert_eq!(inside.type_index("pair"), Some(0));
    assert_eq!(inside.type_at(0).unwrap().structure().unwrap().fields().len(), 2);
    assert!(
        inside.type_index("none").is_none() && inside.type_at(inside.num_types() as u32).is_none()
    );
    assert_eq!(
        (inside.num_tags(), inside.tag_index("inner"), inside.tag_index("thrown")),
        (2, Some(0), Some(1))
    );
    assert_eq!(inside.tag_type(1).unwrap().ty.params(), [wardian::ValType::I64]);
    assert_eq!(inside.tag(1), i.get_export(&mut store, "thrown").unwrap().into_tag());
    assert!(i.internal(&store).tag(2).is_none());
}
