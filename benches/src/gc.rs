//! Objects of guests: allocation, fields, casts, arrays.

use crate::engines::{self, WARDIAN, WASMTIME_COPYING};
use crate::measure::{Contender, Row, measure};
use crate::options::{Options, Result};

const KERNELS: &str = include_str!("../guests/gc.wat");

/// One row for every exported function.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let engine = engines::wardian()?;
    let module = wardian::Module::new(&engine, KERNELS)?;
    let mut w = wardian::Store::new(&engine, ());
    let w_instance = wardian::Instance::new(&mut w, &module, &[])?;

    let engine = engines::wasmtime_copying()?;
    let module = wasmtime::Module::new(&engine, KERNELS)?;
    let mut t = wasmtime::Store::new(&engine, ());
    let t_instance = wasmtime::Instance::new(&mut t, &module, &[])?;

    let mut rows = Vec::new();
    let names: Vec<String> = module.exports().map(|e| e.name().to_owned()).collect();
    for name in names.into_iter().filter(|name| options.wants(name)) {
        let f = w_instance.typed_func::<i32, i64>(&mut w, &name)?;
        let g = t_instance.get_typed_func::<i32, i64>(&mut t, &name)?;
        let contenders = vec![
            Contender::new(WARDIAN, |n| Ok(f.call(&mut w, i32::try_from(n)?)?)),
            Contender::new(WASMTIME_COPYING, |n| Ok(g.call(&mut t, i32::try_from(n)?)?)),
        ];
        rows.push(measure(options, &name, contenders)?);
    }
    Ok(rows)
}
