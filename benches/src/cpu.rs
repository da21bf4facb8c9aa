//! Execution time of CPU-bound guests, one instance of each engine for all of them.

use crate::drivers::Drivers;
use crate::engines::{self, INTERPRETED, TIERED, WARDIAN, WASMI, WASMTIME};
use crate::measure::{Contender, Row, measure};
use crate::options::{Options, Result};
use std::path::Path;
use std::time::{Duration, Instant};
use wardian::EngineKind;

/// `guests/build.sh` makes it from the crate beside it.
pub(crate) const GUESTS: &[u8] = include_bytes!("../guests/guests.wasm");

/// Kernels by hand, for which a compiler would choose other code.
pub(crate) const KERNELS: &str = include_str!("../guests/kernels.wat");

/// One row for every exported function.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for wasm in [GUESTS, &wat::parse_str(KERNELS)?] {
        rows.extend(module(options, wasm)?);
    }
    // A module of one's own, whose exports are as those of the guests.
    if let Some(path) = std::env::var_os("WARDIAN_BENCH_GUEST") {
        let part = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let theirs = module(options, &wat::parse_file(&path)?)?;
        rows.extend(theirs.into_iter().map(|row| Row { part: part.clone(), ..row }));
    }
    Ok(rows)
}

fn module(options: &Options, wasm: &[u8]) -> Result<Vec<Row>> {
    let (mut a, a_instance) = own(EngineKind::Compiled, wasm)?;
    let (mut t, t_instance) = own(EngineKind::Tiered, wasm)?;
    let (mut i, i_instance) = own(EngineKind::Interpreted, wasm)?;

    let engine = engines::wasmtime()?;
    let module = wasmtime::Module::new(&engine, wasm)?;
    let mut b = wasmtime::Store::new(&engine, ());
    let b_instance = wasmtime::Instance::new(&mut b, &module, &[])?;

    let engine = engines::wasmi();
    let wasmi_module = wasmi::Module::new(&engine, wasm)?;
    let mut c = wasmi::Store::new(&engine, ());
    let c_instance =
        wasmi::Linker::<()>::new(&engine).instantiate_and_start(&mut c, &wasmi_module)?;

    let drivers = Drivers::start(options, wasm)?;
    let mut rows = Vec::new();
    let names: Vec<String> = module
        .exports()
        .filter(|e| e.ty().func().is_some() && options.wants(e.name()))
        .map(|e| e.name().to_owned())
        .collect();
    for name in names {
        let f = a_instance.typed_func::<i32, i64>(&mut a, &name)?;
        let g = b_instance.get_typed_func::<i32, i64>(&mut b, &name)?;
        let h = c_instance.get_typed_func::<i32, i64>(&c, &name)?;
        let expected = f.call(&mut a, 1)?;
        let mut contenders = vec![
            Contender::new(WARDIAN, |n| Ok(f.call(&mut a, i32::try_from(n)?)?)),
            Contender::new(WASMTIME, |n| Ok(g.call(&mut b, i32::try_from(n)?)?)),
        ];
        if !options.no_interpreters {
            let tiered = t_instance.typed_func::<i32, i64>(&mut t, &name)?;
            let interpreted = i_instance.typed_func::<i32, i64>(&mut i, &name)?;
            warm_up(|| Ok(tiered.call(&mut t, 1)?))?;
            let t = &mut t;
            contenders.push(Contender::new(TIERED, move |n| {
                Ok(tiered.call(&mut *t, i32::try_from(n)?)?)
            }));
            let i = &mut i;
            contenders.push(Contender::new(INTERPRETED, move |n| {
                Ok(interpreted.call(&mut *i, i32::try_from(n)?)?)
            }));
        }
        if !options.no_interpreter {
            contenders.push(Contender::new(WASMI, |n| Ok(h.call(&mut c, i32::try_from(n)?)?)));
        }
        contenders.extend(drivers.contenders(&name, expected));
        rows.push(measure(options, &name, contenders)?);
    }
    Ok(rows)
}

/// A store of Wardian's with an instance.
pub(crate) fn own(
    kind: EngineKind,
    wasm: &[u8],
) -> Result<(wardian::Store<()>, wardian::Instance)> {
    let engine = engines::wardian_of(kind)?;
    let module = wardian::Module::new(&engine, wasm)?;
    let mut store = wardian::Store::new(&engine, ());
    let instance = wardian::Instance::new(&mut store, &module, &[])?;
    Ok((store, instance))
}

/// Until what is hot has surely been compiled, in the background.
pub(crate) const WARM_UP: Duration = Duration::from_millis(400);

fn warm_up(mut unit: impl FnMut() -> Result<i64>) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < WARM_UP {
        unit()?;
    }
    Ok(())
}
