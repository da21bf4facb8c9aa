//! Guests that do not return.

use crate::engines::{self, WARDIAN, WASMI, WASMTIME};
use crate::measure::{Contender, Row, measure};
use crate::options::{Options, Result};

const TRAPS: &str = r#"(module
  (memory 1)
  (func $recurse (param i32) (result i32)
    (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
  (func (export "out of bounds") (drop (i32.load (i32.const 0x7fff0000))))
  (func (export "unreachable") unreachable)
  (func (export "stack overflow") (drop (call $recurse (i32.const 0)))))"#;

/// From the call to the error in the embedder's hands.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let engine = engines::wardian()?;
    let module = wardian::Module::new(&engine, TRAPS)?;
    let mut w = wardian::Store::new(&engine, ());
    let w_instance = wardian::Instance::new(&mut w, &module, &[])?;

    let engine = engines::wasmtime()?;
    let module = wasmtime::Module::new(&engine, TRAPS)?;
    let mut t = wasmtime::Store::new(&engine, ());
    let t_instance = wasmtime::Instance::new(&mut t, &module, &[])?;

    let engine = engines::wasmi();
    let module = wasmi::Module::new(&engine, TRAPS)?;
    let mut i = wasmi::Store::new(&engine, ());
    let i_instance = wasmi::Linker::<()>::new(&engine).instantiate_and_start(&mut i, &module)?;

    let mut rows = Vec::new();
    for name in ["out of bounds", "unreachable", "stack overflow"] {
        if !options.wants(name) {
            continue;
        }
        let f = w_instance.typed_func::<(), ()>(&mut w, name)?;
        let g = t_instance.get_typed_func::<(), ()>(&mut t, name)?;
        let h = i_instance.get_typed_func::<(), ()>(&i, name)?;
        let mut contenders = vec![
            Contender::new(WARDIAN, |n| {
                Ok((0..n).filter(|_| f.call(&mut w, ()).is_err()).count() as i64)
            }),
            Contender::new(WASMTIME, |n| {
                Ok((0..n).filter(|_| g.call(&mut t, ()).is_err()).count() as i64)
            }),
        ];
        if !options.no_interpreter {
            contenders.push(Contender::new(WASMI, |n| {
                Ok((0..n).filter(|_| h.call(&mut i, ()).is_err()).count() as i64)
            }));
        }
        rows.push(measure(options, name, contenders)?);
    }
    Ok(rows)
}
