//! The two tests that the interface has for its backends, and one for what each method of its traits promises. Each
//! runs on every engine.

use anyhow::{Result, anyhow};
use std::collections::BTreeMap;
use wardian_runtime_layer::Engine as Backend;
use wasm_runtime_layer::{
    AsContext, AsContextMut, Engine, Extern, ExternRef, ExternType, Func, FuncType, Global,
    GlobalType, Imports, Instance, Memory, MemoryType, Module, Ref, RefType, Store, Table,
    TableType, Val, ValType,
};

fn engines() -> Vec<Engine<Backend>> {
    let mut kinds = vec![wardian::EngineKind::Interpreted];
    if cfg!(feature = "jit") {
        kinds.extend([wardian::EngineKind::Tiered, wardian::EngineKind::Compiled]);
    }
    let engine = |kind| wardian::Engine::new(wardian::Config::new().engine(kind)).unwrap();
    kinds.into_iter().map(|kind| Engine::new(Backend::from(engine(kind)))).collect()
}

/// A test on every engine, with a store of text.
fn on_all(
    text: &str,
    imports: fn(&mut TestStore) -> Imports,
    test: fn(TestStore, Instance, Module),
) {
    for engine in engines() {
        let module = Module::new(&engine, &wat::parse_str(text).unwrap()).unwrap();
        let mut store = Store::new(&engine, String::new());
        let imports = imports(&mut store);
        let instance = Instance::new(&mut store, &module, &imports).unwrap();
        test(store, instance, module);
    }
}

type TestStore = Store<String, Backend>;

fn none(_: &mut TestStore) -> Imports {
    Imports::default()
}

fn func(instance: &Instance, store: &TestStore, name: &str) -> Func {
    instance.get_export(store, name).unwrap().into_func().unwrap()
}

fn call(func: &Func, store: &mut TestStore, args: &[Val], result: Val) -> Result<Val> {
    let mut results = [result];
    func.call(store, args, &mut results)?;
    let [result] = results;
    Ok(result)
}

#[test]
fn add_one() {
    let text = r#"(module (func (export "add_one") (param i32) (result i32)
        (i32.add (local.get 0) (i32.const 1))))"#;
    on_all(text, none, |mut store, instance, _| {
        let add_one = func(&instance, &store, "add_one");
        let result = call(&add_one, &mut store, &[Val::I32(42)], Val::I32(0)).unwrap();
        assert_eq!(result, Val::I32(43));
    });
}

#[test]
fn multi_value() {
    let text = r#"(module
        (import "host" "get-values" (func $get-values (result i32 i32)))
        (func (export "add-sub") (param $a i32) (param $b i32) (result i32 i32) (local $c i32)
            (local.set $c (i32.sub (call $get-values)))
            (i32.add (local.get $a) (local.get $b))
            (local.get $c)))"#;
    let imports = |store: &mut TestStore| {
        let ty = FuncType::new([], [ValType::I32, ValType::I32]);
        let values = Func::new(store, ty, |_, _, results| {
            results.clone_from_slice(&[Val::I32(5), Val::I32(4)]);
            Ok(())
        });
        let mut imports = Imports::new();
        imports.define("host", "get-values", Extern::Func(values));
        imports
    };
    on_all(text, imports, |mut store, instance, _| {
        let exports: BTreeMap<_, _> =
            instance.exports(&store).map(|export| (export.name, export.value)).collect();
        let Extern::Func(func) = &exports["add-sub"] else { panic!("{exports:?}") };
        let mut results = [Val::I32(0), Val::I32(0)];
        func.call(&mut store, &[Val::I32(5), Val::I32(7)], &mut results).unwrap();
        assert_eq!(results, [Val::I32(12), Val::I32(1)]);
    });
}

#[test]
fn values_of_all_types_pass_through() {
    let text = r#"(module
        (func (export "i64") (param i64) (result i64) (local.get 0))
        (func (export "f32") (param f32) (result f32) (local.get 0))
        (func (export "f64") (param f64) (result f64) (local.get 0))
        (func (export "v128") (param v128) (result v128) (local.get 0))
        (func (export "extern") (param externref) (result externref) (local.get 0))
        (func (export "func") (param funcref) (result funcref) (local.get 0)))"#;
    on_all(text, none, |mut store, instance, _| {
        for (name, value, zero) in [
            ("i64", Val::I64(i64::MIN), Val::I64(0)),
            ("f32", Val::F32(-0.5), Val::F32(0.0)),
            ("f64", Val::F64(1e300), Val::F64(0.0)),
            ("v128", Val::V128(u128::MAX - 7), Val::V128(0)),
        ] {
            let function = func(&instance, &store, name);
            assert_eq!(function.ty(&store).params(), [value.ty()]);
            assert_eq!(
                call(&function, &mut store, std::slice::from_ref(&value), zero).unwrap(),
                value
            );
        }

        // References are equal to nothing there, not even to null.
        for (name, null) in [("extern", Val::ExternRef(None)), ("func", Val::FuncRef(None))] {
            let function = func(&instance, &store, name);
            let back =
                call(&function, &mut store, std::slice::from_ref(&null), null.clone()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{null:?}"));
        }

        let value = ExternRef::new(&mut store, "glass".to_owned());
        let function = func(&instance, &store, "extern");
        let back =
            call(&function, &mut store, &[Val::ExternRef(Some(value))], Val::ExternRef(None));
        let Ok(Val::ExternRef(Some(back))) = back else { panic!("{back:?}") };
        assert_eq!(back.downcast::<String, _, _>(store.as_context()).unwrap(), "glass");
        let wrong = back.downcast::<u8, _, _>(store.as_context()).unwrap_err();
        assert!(wrong.to_string().contains("u8"), "{wrong}");

        let itself = Val::FuncRef(Some(func(&instance, &store, "i64")));
        let function = func(&instance, &store, "func");
        let back = call(&function, &mut store, &[itself], Val::FuncRef(None)).unwrap();
        let Val::FuncRef(Some(back)) = back else { panic!("{back:?}") };
        assert_eq!(call(&back, &mut store, &[Val::I64(3)], Val::I64(0)).unwrap(), Val::I64(3));
    });
}

#[derive(Debug, PartialEq)]
struct Refused(u32);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is refused", self.0)
    }
}

impl std::error::Error for Refused {}

#[test]
fn host_functions_see_the_store_and_fail_with_their_own_errors() {
    let text = r#"(module
        (import "host" "note" (func $note (param i32)))
        (func (export "run") (param i32) (result i32) (call $note (local.get 0)) (i32.const 1)))"#;
    let imports = |store: &mut TestStore| {
        let note = Func::new(store, FuncType::new([ValType::I32], []), |mut ctx, params, _| {
            let Val::I32(number) = params[0] else { return Err(anyhow!("no i32")) };
            if number < 0 {
                return Err(Refused(number.unsigned_abs()).into());
            }
            ctx.data_mut().push_str(&number.to_string());
            assert!(!ctx.data().is_empty());
            Ok(())
        });
        let mut imports = Imports::new();
        imports.define("host", "note", Extern::Func(note));
        imports
    };
    on_all(text, imports, |mut store, instance, _| {
        let run = func(&instance, &store, "run");
        for number in [4, 2] {
            call(&run, &mut store, &[Val::I32(number)], Val::I32(0)).unwrap();
        }
        assert_eq!(store.data(), "42");
        let error = call(&run, &mut store, &[Val::I32(-9)], Val::I32(0)).unwrap_err();
        let error = error.downcast_ref::<wardian::Error>().unwrap();
        assert_eq!(error.downcast_ref(), Some(&Refused(9)));
        store.data_mut().clear();
        assert_eq!(store.into_data(), "");
    });
}

#[test]
fn calls_that_do_not_fit_are_errors() {
    let text = r#"(module (func (export "trap") (param i32) unreachable))"#;
    on_all(text, none, |mut store, instance, _| {
        let trap = func(&instance, &store, "trap");
        for (args, what) in [
            (&[][..], "called with () -> ()"),
            (&[Val::I64(0)], "i64"),
            (&[Val::I32(0)], "unreachable"),
        ] {
            let error = trap.call(&mut store, args, &mut []).unwrap_err();
            assert!(format!("{error:?}").contains(what), "{what}: {error:?}");
        }
    });
}

#[test]
fn globals() {
    let text = r#"(module
        (import "host" "start" (global $start i32))
        (global (export "constant") i32 (global.get $start))
        (global (export "variable") (mut f64) (f64.const 2)))"#;
    let imports = |store: &mut TestStore| {
        let start = Global::new(store, Val::I32(11), false);
        let mut imports = Imports::new();
        imports.define("host", "start", Extern::Global(start));
        imports
    };
    on_all(text, imports, |mut store, instance, _| {
        let get = |store: &TestStore, name| {
            instance.get_export(store, name).unwrap().into_global().unwrap()
        };
        let (constant, variable) = (get(&store, "constant"), get(&store, "variable"));
        assert_eq!(constant.ty(&store), GlobalType::new(ValType::I32, false));
        assert_eq!(constant.get(&mut store), Val::I32(11));
        assert!(constant.set(&mut store, Val::I32(1)).is_err());
        assert_eq!(variable.ty(&store), GlobalType::new(ValType::F64, true));
        variable.set(&mut store, Val::F64(0.5)).unwrap();
        assert_eq!(variable.get(&mut store), Val::F64(0.5));
        assert!(variable.set(&mut store, Val::I32(1)).is_err());
    });
}

#[test]
fn memories() {
    let text = r#"(module
        (import "host" "memory" (memory 1 3))
        (memory (export "own") 1)
        (export "given" (memory 0))
        (func (export "peek") (param i32) (result i32) (i32.load8_u (local.get 0))))"#;
    let imports = |store: &mut TestStore| {
        let memory = Memory::new(store, MemoryType::new(1, Some(3))).unwrap();
        let mut imports = Imports::new();
        imports.define("host", "memory", Extern::Memory(memory));
        imports
    };
    on_all(text, imports, |mut store, instance, _| {
        let given = instance.get_export(&store, "given").unwrap().into_memory().unwrap();
        assert_eq!(given.ty(&store), MemoryType::new(1, Some(3)));
        given.write(&mut store, 65_530, b"abcdef").unwrap();
        assert!(given.write(&mut store, 65_531, b"abcdef").is_err());
        let peek = func(&instance, &store, "peek");
        let byte = call(&peek, &mut store, &[Val::I32(65_535)], Val::I32(0)).unwrap();
        assert_eq!(byte, Val::I32(i32::from(b'f')));
        assert_eq!(given.grow(&mut store, 2).unwrap(), 1);
        assert!(given.grow(&mut store, 1).is_err());
        assert_eq!(given.current_pages(&store), 3);
        let mut bytes = [1; 8];
        given.read(&store, 65_532, &mut bytes).unwrap();
        assert_eq!(&bytes, b"cdef\0\0\0\0");
        assert!(given.read(&store, 3 * 65_536 - 7, &mut bytes).is_err());
        let own = instance.get_export(&store, "own").unwrap().into_memory().unwrap();
        assert_eq!(own.ty(&store), MemoryType::new(1, None));
    });
}

#[test]
fn tables() {
    let text = r#"(module
        (import "host" "table" (table 2 5 funcref))
        (table (export "values") 1 externref)
        (export "given" (table 0))
        (func (export "one") (result i32) (i32.const 1))
        (func (export "through") (param i32) (result i32)
            (call_indirect (result i32) (local.get 0))))"#;
    let imports = |store: &mut TestStore| {
        let ty = TableType::new(RefType::FuncRef, 2, Some(5));
        let table = Table::new(store, ty, Ref::FuncRef(None)).unwrap();
        let mut imports = Imports::new();
        imports.define("host", "table", Extern::Table(table));
        imports
    };
    on_all(text, imports, |mut store, instance, _| {
        let given = instance.get_export(&store, "given").unwrap().into_table().unwrap();
        assert_eq!(given.ty(&store).element(), RefType::FuncRef);
        assert_eq!(given.ty(&store).maximum(), Some(5));
        let one = func(&instance, &store, "one");
        given.set(&mut store, 1, Ref::FuncRef(Some(one.clone()))).unwrap();
        assert!(given.set(&mut store, 2, Ref::FuncRef(None)).is_err());
        let through = func(&instance, &store, "through");
        assert_eq!(call(&through, &mut store, &[Val::I32(1)], Val::I32(0)).unwrap(), Val::I32(1));
        assert!(call(&through, &mut store, &[Val::I32(0)], Val::I32(0)).is_err());
        assert_eq!(given.grow(&mut store, 3, Ref::FuncRef(Some(one))).unwrap(), 2);
        assert!(given.grow(&mut store, 1, Ref::FuncRef(None)).is_err());
        assert_eq!(given.size(&store), 5);
        assert!(matches!(given.get(&mut store, 4), Some(Ref::FuncRef(Some(_)))));
        assert!(matches!(given.get(&mut store, 0), Some(Ref::FuncRef(None))));
        assert!(given.get(&mut store, 5).is_none());
        let values = instance.get_export(&store, "values").unwrap().into_table().unwrap();
        let value = ExternRef::new(&mut store, 7u8);
        values.set(&mut store, 0, Ref::ExternRef(Some(value))).unwrap();
        let back = values.get(&mut store, 0);
        let Some(Ref::ExternRef(Some(back))) = back else { panic!("{back:?}") };
        assert_eq!(back.downcast::<u8, _, _>(store.as_context()).unwrap(), &7);
        assert!(values.set(&mut store, 0, Ref::FuncRef(None)).is_err());
    });
}

#[test]
fn modules_say_what_they_import_and_export() {
    let text = r#"(module
        (import "a" "f" (func (param i64)))
        (import "a" "m" (memory 1 2))
        (tag (export "not shown"))
        (global (export "g") (mut i32) (i32.const 0))
        (table (export "t") 3 externref)
        (func (export "f") (result f32) (f32.const 0)))"#;
    for engine in engines() {
        let module = Module::new(&engine, &wat::parse_str(text).unwrap()).unwrap();
        let imports: Vec<_> = module
            .imports(&engine)
            .map(|i| format!("{}.{} {:?}", i.module, i.name, i.ty))
            .collect();
        assert_eq!(imports.len(), 2);
        assert!(imports[0].starts_with("a.f Func"), "{imports:?}");
        assert!(imports[1].starts_with("a.m Memory"), "{imports:?}");
        let exports: Vec<_> = module.exports(&engine).map(|e| e.name.to_owned()).collect();
        assert_eq!(exports, ["g", "t", "f"]);
        assert!(matches!(module.get_export(&engine, "t"), Some(ExternType::Table(_))));
        assert!(
            module.get_export(&engine, "not shown").is_none()
                && module.get_export(&engine, "none").is_none()
        );

        let mut store = Store::new(&engine, String::new());
        let error = Instance::new(&mut store, &module, &Imports::default()).unwrap_err();
        assert!(error.to_string().contains(r#""a" "f""#), "{error}");
        assert!(Module::new(&engine, b"\0asm\x01\0\0\0\x63").is_err());
    }
}

#[test]
fn the_store_of_wardian_is_within_reach() {
    for engine in engines() {
        let mut store = Store::new(&engine, String::new());
        let mut context = store.as_context_mut();
        let backend = context.engine().clone().into_backend();
        assert!(wardian::Engine::same(backend.inner(), context.inner.inner().engine()));
        // With it all that Wardian offers for stores can be used beside the interface.
        let seven = wardian::Func::wrap(context.inner.inner(), || 7);
        assert_eq!(
            seven
                .typed::<(), i32>(context.inner.inner())
                .unwrap()
                .call(context.inner.inner(), ())
                .unwrap(),
            7
        );
    }
}
