//! Modules with imports that were looked up before.

use crate::matrix::{Behaviour, instance, module};
use wardian::{Engine, ErrorKind, InstantiateOptions, Linker, Store, resolver::TrapStubs};

pub(crate) const TABLE: &[Behaviour] = &[
    ("imports looked up once serve many stores", many_stores),
    ("what is missing or of another type is reported when imports are looked up", wrong),
    ("imports of a store serve that store only, and are checked anew", of_a_store),
];

const USER: &str = r#"(module (import "h" "add" (func $add (param i32 i32) (result i32)))
  (memory 1) (global $calls (mut i32) (i32.const 0))
  (func (export "run") (param i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (call $add (local.get 0) (global.get $calls))))"#;

fn many_stores(engine: &Engine) {
    let mut linker: Linker<u32> = Linker::new(engine);
    linker.allow_shadowing(true);
    linker.func_wrap("h", "add", |a: i32, b: i32| a + b).unwrap();
    let pre = linker.instantiate_pre(&module(engine, USER)).unwrap();
    // Later changes of the linker do not change it.
    linker.func_wrap("h", "add", |a: i32, b: i32| a - b).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let pre = pre.clone();
            scope.spawn(move || {
                for round in 0..20 {
                    let mut store = Store::new(pre.module().engine(), 0);
                    let i = pre.instantiate(&mut store).unwrap();
                    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
                    for call in 1..4 {
                        let given = 100 * thread + round;
                        assert_eq!(run.call(&mut store, given).unwrap(), given + call);
                    }
                }
            });
        }
    });
    let mut store = Store::new(engine, 0);
    let options = InstantiateOptions::new().with_name("second");
    let i = pre.instantiate_with(&mut store, &options).unwrap();
    assert_eq!(i.name(&store), Some("second"));
    let options = InstantiateOptions::new().with_import_resolver(TrapStubs::default());
    let reported = pre.instantiate_with(&mut store, &options).unwrap_err().to_string();
    assert!(reported.contains("instantiate_with"), "{reported}");
    let other = Engine::new(engine.config()).unwrap();
    assert!(pre.instantiate(Store::new(&other, 0)).is_err());
    assert!(Linker::<u32>::new(&other).instantiate_pre(pre.module()).is_err());
}

fn wrong(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "sum", |a: i32, b: i32| a + b).unwrap();
    linker.func_wrap("h", "neg", |a: i64| -a).unwrap();
    let text = r#"(module (import "h" "summ" (func (param i32 i32) (result i32)))
      (import "h" "neg" (func (param i32) (result i32))))"#;
    let error = linker.instantiate_pre(&module(engine, text)).unwrap_err();
    let ErrorKind::Link(problems) = error.kind() else { panic!("{error}") };
    assert_eq!(problems.len(), 2);
    let reported = error.to_string();
    assert!(reported.contains("did you mean `h` `sum`?"), "{reported}");
    assert!(reported.contains("(i64) -> (i64)"), "{reported}");
}

fn of_a_store(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let provider = instance(
        &mut store,
        r#"(module (memory (export "m") 1 5) (func (export "f") (result i32) (i32.const 9))
          (func (export "grow") (drop (memory.grow (i32.const 1)))))"#,
    );
    let mut linker = Linker::new(engine);
    linker.instance(&mut store, "p", provider).unwrap();
    let text = r#"(module (import "p" "m" (memory 2 5)) (import "p" "f" (func $f (result i32)))
      (func (export "run") (result i32) (i32.add (call $f) (memory.size))))"#;
    let pre = linker.instantiate_pre(&module(engine, text)).unwrap();
    // It has one page only.
    let reported = pre.instantiate(&mut store).unwrap_err().to_string();
    assert!(reported.contains("memory"), "{reported}");
    let grow = provider.typed_func::<(), ()>(&mut store, "grow").unwrap();
    grow.call(&mut store, ()).unwrap();
    let i = pre.instantiate(&mut store).unwrap();
    let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 11);
    let reported = pre.instantiate(Store::new(engine, ())).unwrap_err().to_string();
    assert!(reported.contains("another store"), "{reported}");
}
