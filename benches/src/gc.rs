//! Objects of guests: allocation, fields, casts, arrays.

use crate::drivers::Drivers;
use crate::engines::{self, INTERPRETED, WARDIAN, WASMTIME_COPYING};
use crate::measure::{Contender, Row, measure};
use crate::options::{Options, Result};
use wardian::EngineKind;

const KERNELS: &str = include_str!("../guests/gc.wat");

/// One row for every exported function.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let wasm = wat::parse_str(KERNELS)?;
    let (mut w, w_instance) = own(EngineKind::Compiled, &wasm)?;
    let (mut i, i_instance) = own(EngineKind::Interpreted, &wasm)?;

    let engine = engines::wasmtime_copying()?;
    let module = wasmtime::Module::new(&engine, &wasm)?;
    let mut t = wasmtime::Store::new(&engine, ());
    let t_instance = wasmtime::Instance::new(&mut t, &module, &[])?;

    let drivers = Drivers::v8(options, &wasm)?;
    let mut rows = Vec::new();
    let names: Vec<String> = module.exports().map(|e| e.name().to_owned()).collect();
    for name in names.into_iter().filter(|name| options.wants(name)) {
        let f = w_instance.typed_func::<i32, i64>(&mut w, &name)?;
        let g = t_instance.get_typed_func::<i32, i64>(&mut t, &name)?;
        let h = i_instance.typed_func::<i32, i64>(&mut i, &name)?;
        let expected = f.call(&mut w, 1)?;
        let mut contenders = vec![
            Contender::new(WARDIAN, |n| Ok(f.call(&mut w, i32::try_from(n)?)?)),
            Contender::new(WASMTIME_COPYING, |n| Ok(g.call(&mut t, i32::try_from(n)?)?)),
        ];
        if !options.no_interpreters {
            contenders
                .push(Contender::new(INTERPRETED, |n| Ok(h.call(&mut i, i32::try_from(n)?)?)));
        }
        contenders.extend(drivers.contenders(&name, expected));
        rows.push(measure(options, &name, contenders)?);
    }
    Ok(rows)
}

fn own(kind: EngineKind, wasm: &[u8]) -> Result<(wardian::Store<()>, wardian::Instance)> {
    let engine = engines::wardian_of(kind)?;
    let module = wardian::Module::new(&engine, wasm)?;
    let mut store = wardian::Store::new(&engine, ());
    let instance = wardian::Instance::new(&mut store, &module, &[])?;
    Ok((store, instance))
}
