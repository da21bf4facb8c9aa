//! What can be known of functions and instances.

use crate::matrix::{Behaviour, instance, module};
use std::sync::{Arc, Mutex};
use wardian::{
    Call, Engine, Func, FunctionFilter, FunctionListenerFunc, Linker, StackIterator, Store, Val,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("definitions tell names, types and imports", definitions),
    ("references arrive as handles", references),
    ("listeners look into instances", looking),
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
