//! References to functions and to the embedder's values.

use crate::matrix::{Behaviour, instance, linked};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wardian::{
    Engine, ExternRef, Func, FuncType, Global, GlobalType, Linker, RefType, Store, Table,
    TableType, Val, ValType,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("references pass through guests", pass_through),
    ("values that nobody holds are freed, others are not", collection),
    ("a raw slot cannot forge a reference", forged),
    ("an object of another store is refused", other_store),
    ("tables hold functions of host and guest", tables),
];

const HOLDER: &str = r#"(module
  (table $t (export "t") 4 externref)
  (global $g (mut externref) (ref.null extern))
  (func (export "keep") (param i32 externref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result externref) (table.get $t (local.get 0)))
  (func (export "global") (param externref) (global.set $g (local.get 0)))
  (func (export "same") (param externref) (result externref) (local.get 0))
  (func (export "func") (param funcref) (result funcref) (local.get 0)))"#;

fn pass_through(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, HOLDER);
    let same = i.typed_func::<Option<ExternRef>, Option<ExternRef>>(&mut store, "same").unwrap();
    let value = ExternRef::new(String::from("shelf"));
    let back = same.call(&mut store, Some(value.clone())).unwrap().unwrap();
    assert!(ExternRef::same(&value, &back));
    assert_eq!(back.data().downcast_ref::<String>().unwrap(), "shelf");
    assert!(same.call(&mut store, None).unwrap().is_none());
    let func = i.typed_func::<Option<Func>, Option<Func>>(&mut store, "func").unwrap();
    let given = i.get_func(&mut store, "same").unwrap();
    assert_eq!(func.call(&mut store, Some(given)).unwrap(), Some(given));
    assert_eq!(func.call(&mut store, None).unwrap(), None);
}

struct Counted(Arc<AtomicUsize>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn collection(engine: &Engine) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, HOLDER);
    let same = i.typed_func::<Option<ExternRef>, ()>(&mut store, "global").unwrap();
    let keep = i.typed_func::<(i32, Option<ExternRef>), ()>(&mut store, "keep").unwrap();
    let get = i.typed_func::<i32, Option<ExternRef>>(&mut store, "get").unwrap();
    keep.call(&mut store, (1, Some(ExternRef::new(17u32)))).unwrap();
    for _ in 0..10_000 {
        same.call(&mut store, Some(ExternRef::new(Counted(dropped.clone())))).unwrap();
    }
    let freed = dropped.load(Ordering::Relaxed);
    assert!(freed > 7_000, "only {freed} were freed");
    let kept = get.call(&mut store, 1).unwrap().expect("it is held by the table");
    assert_eq!(kept.data().downcast_ref::<u32>(), Some(&17));
    drop(store);
    assert_eq!(dropped.load(Ordering::Relaxed), 10_000);
}

fn forged(engine: &Engine) {
    for ty in [ValType::FUNCREF, ValType::EXTERNREF] {
        for forged in [1, 8, 0x1_0000_0001, u64::MAX, 0x7fff_ffff_f000] {
            let mut linker: Linker<()> = Linker::new(engine);
            let signature = FuncType::new([], [ty]);
            linker
                .func_raw("h", "forge", signature, move |_, slots| {
                    slots[0] = forged;
                    Ok(())
                })
                .unwrap();
            let text = format!(
                r#"(module (import "h" "forge" (func $f (result {ty})))
                (func (export "run") (drop (call $f))))"#
            );
            let mut store = Store::new(engine, ());
            let i = linked(&mut store, &linker, &text);
            let run = i.typed_func::<(), ()>(&mut store, "run").unwrap();
            let reported = run.call(&mut store, ()).unwrap_err().to_string();
            assert!(reported.contains("raw slot"), "{reported}");
        }
    }
}

fn other_store(engine: &Engine) {
    let mut one = Store::new(engine, ());
    let mut two = Store::new(engine, ());
    let f = Func::wrap(&mut one, || {});
    assert!(f.call(&mut two, &[], &mut []).is_err());
    let i = instance(&mut two, HOLDER);
    let func = i.get_func(&mut two, "func").unwrap();
    let given = [Val::FuncRef(Some(f))];
    assert!(func.call(&mut two, &given, &mut [Val::I32(0)]).is_err());
    let table = i.get_table(&mut two, "t").unwrap();
    assert!(table.set(&mut one, 0, Val::ExternRef(None)).is_err());
    let ty = GlobalType { content: ValType::FUNCREF, mutable: true };
    assert!(Global::new(&mut two, ty, Val::FuncRef(Some(f))).is_err());
}

fn tables(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let ty = TableType { element: RefType::FUNC, min: 2, max: Some(5), table64: false };
    let table = Table::new(&mut store, ty, Val::FuncRef(None)).unwrap();
    let host = Func::wrap(&mut store, |x: i32| x + 100);
    table.set(&mut store, 1, Val::FuncRef(Some(host))).unwrap();
    assert!(table.set(&mut store, 2, Val::FuncRef(None)).is_err());
    assert!(table.set(&mut store, 0, Val::I32(0)).is_err());
    assert_eq!(table.grow(&mut store, 2, Val::FuncRef(Some(host))).unwrap(), 2);
    assert!(table.grow(&mut store, 2, Val::FuncRef(None)).is_err());
    let mut linker = Linker::new(engine);
    linker.define("h", "t", table).unwrap();
    let i = linked(
        &mut store,
        &linker,
        r#"(module (import "h" "t" (table 2 funcref)) (elem (i32.const 0) $mine)
          (func $mine (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
          (func (export "call") (param i32 i32) (result i32)
            (call_indirect (param i32) (result i32) (local.get 1) (local.get 0))))"#,
    );
    let call = i.typed_func::<(i32, i32), i32>(&mut store, "call").unwrap();
    let results = [0, 1, 2, 3].map(|n| call.call(&mut store, (n, 7)).unwrap());
    assert_eq!(results, [14, 107, 107, 107]);
    assert!(call.call(&mut store, (4, 7)).is_err());
}
