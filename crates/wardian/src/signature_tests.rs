//! Signatures of the runtime live as long as modules and functions of the embedder have them.

use crate::{Engine, Func, Instance, Module, Store};
use wardian_types::TypeIndex;

/// A module whose type takes this number, in bits.
fn module(engine: &Engine, number: u32) -> Module {
    let params: Vec<&str> =
        (0..16).map(|bit| if number >> bit & 1 == 0 { "i32" } else { "i64" }).collect();
    let text = format!(
        "(module (import \"h\" \"f\" (func (param {0}))) (func (export \"f\") (param {0})))",
        params.join(" ")
    );
    Module::new(engine, text).unwrap()
}

#[test]
fn types_that_name_each_other_come_and_go_together() {
    let engine = Engine::default();
    let count = || engine.inner().signatures().count();
    let before = count();
    let text = "(module (type $a (func (result f64)))
      (rec (type $b (func (param (ref null $c)))) (type $c (func (param (ref $b) (ref $a)))))
      (func (export \"f\") (param (ref null $c))))";
    let module = Module::new(&engine, text).unwrap();
    let numbers = &module.0.signatures;
    let number = |index| numbers[TypeIndex::from_u32(index)].as_u32();
    assert_eq!(number(2), number(1) + 1);
    let ty = module.func_type(0).unwrap().clone();
    let again = Module::new(&engine, text).unwrap();
    assert_eq!(again.0.signatures, *numbers);
    assert_eq!(again.func_type(0), Some(&ty));
    drop((module, again));
    assert_eq!(count(), before);
    // What names them names nothing any more.
    let mut store = Store::new(&engine, ());
    let error = Func::try_new(&mut store, ty.clone(), |_, _, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("no module of the engine"), "{error}");
    assert_ne!(Module::new(&engine, text).unwrap().func_type(0), Some(&ty));
}

#[test]
fn signatures_go_with_who_has_them() {
    let engine = Engine::default();
    let count = || engine.inner().signatures().count();
    let before = count();
    let kept = module(&engine, 7);
    for number in 0..2000 {
        let module = module(&engine, number);
        let mut store = Store::new(&engine, ());
        let ty = module.func_type(0).unwrap().clone();
        let host = Func::new(&mut store, ty, |_, _, _| Ok(()));
        let i = Instance::new(&mut store, &module, &[host.into()]).unwrap();
        drop(module);
        let f = i.get_func(&mut store, "f").unwrap();
        let args: Vec<_> = f.ty(&store).params().iter().map(|t| crate::Val::zero(*t)).collect();
        f.call(&mut store, &args, &mut []).unwrap();
        host.call(&mut store, &args, &mut []).unwrap();
        assert!(count() <= before + 2, "{number}");
    }
    assert_eq!(count(), before + 1);
    // What is still there has kept its number.
    assert_eq!(
        kept.0.signatures[TypeIndex::FIRST],
        module(&engine, 7).0.signatures[TypeIndex::FIRST]
    );
    assert_ne!(
        kept.0.signatures[TypeIndex::FIRST],
        module(&engine, 8).0.signatures[TypeIndex::FIRST]
    );
}
