//! By the size of a module: the time until it can be instantiated, and the time to do so.

use crate::engines::{self, INTERPRETED, POOLING, TIERED, WARDIAN, WASMI, WASMTIME};
use crate::measure::{Contender, Row, measure};
use crate::options::{Clock, Options, Result};
use std::hint::black_box;
use wardian::EngineKind;

/// Bytes of code.
const SIZES: [(&str, usize); 4] = [
    ("10 KB of code", 10_000),
    ("100 KB of code", 100_000),
    ("1 MB of code", 1_000_000),
    ("10 MB of code", 10_000_000),
];

/// Two threads compile, so the wall clock counts; and a large module takes seconds each time.
fn options_for(options: &Options, size: usize) -> Options {
    let most = if size > 5_000_000 { 1 } else { 5 };
    Options { clock: Clock::Wall, rounds: options.rounds.min(most), ..options.clone() }
}

/// Loading, and instances of what has been loaded.
pub(super) fn run(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (what, row) in [
        ("load by size of the module", load as fn(&Options, &str, &[u8]) -> Result<Row>),
        ("instantiate by size of the module", instantiate),
    ] {
        for (name, size) in SIZES {
            let title = format!("{what}: {name}");
            if !options.wants(&title) {
                continue;
            }
            let wasm = crate::generate::sized(crate::cpu::GUESTS, size)?;
            rows.push(row(options, &title, &wasm)?.at(what, wasm.len() as f64));
        }
    }
    Ok(rows)
}

fn load(options: &Options, title: &str, wasm: &[u8]) -> Result<Row> {
    let options = options_for(options, wasm.len());
    let own = |column, kind| -> Result<Contender<'_>> {
        let engine = engines::wardian_of(kind)?;
        Ok(Contender::new(column, move |n| {
            for _ in 0..n {
                black_box(wardian::Module::new(&engine, wasm)?);
            }
            Ok(0)
        }))
    };
    let engine = engines::wasmtime()?;
    let wasmtime = Contender::new(WASMTIME, move |n| {
        for _ in 0..n {
            black_box(wasmtime::Module::new(&engine, wasm)?);
        }
        Ok(0)
    });
    let mut contenders = vec![own(WARDIAN, EngineKind::Compiled)?, wasmtime];
    if !options.no_interpreters {
        contenders.push(own(TIERED, EngineKind::Tiered)?);
        contenders.push(own(INTERPRETED, EngineKind::Interpreted)?);
    }
    if !options.no_interpreter {
        let engine = engines::wasmi();
        contenders.push(Contender::new(WASMI, move |n| {
            for _ in 0..n {
                black_box(wasmi::Module::new(&engine, wasm)?);
            }
            Ok(0)
        }));
    }
    measure(&options, title, contenders)
}

fn instantiate(options: &Options, title: &str, wasm: &[u8]) -> Result<Row> {
    let own = |column, kind| -> Result<Contender<'_>> {
        let engine = engines::wardian_of(kind)?;
        let module = wardian::Module::new(&engine, wasm)?;
        Ok(Contender::new(column, move |n| {
            for _ in 0..n {
                let mut store = wardian::Store::new(&engine, ());
                black_box(wardian::Instance::new(&mut store, &module, &[])?);
            }
            Ok(0)
        }))
    };
    let mut contenders = vec![own(WARDIAN, EngineKind::Compiled)?];
    for (column, engine) in
        [(POOLING, engines::wasmtime_pooling()?), (WASMTIME, engines::wasmtime()?)]
    {
        let module = wasmtime::Module::new(&engine, wasm)?;
        let ready = wasmtime::Linker::<()>::new(&engine).instantiate_pre(&module)?;
        contenders.push(Contender::new(column, move |n| {
            for _ in 0..n {
                black_box(ready.instantiate(&mut wasmtime::Store::new(&engine, ()))?);
            }
            Ok(0)
        }));
    }
    if !options.no_interpreters {
        contenders.push(own(INTERPRETED, EngineKind::Interpreted)?);
    }
    if !options.no_interpreter {
        let engine = engines::wasmi();
        let module = wasmi::Module::new(&engine, wasm)?;
        let linker = wasmi::Linker::<()>::new(&engine);
        contenders.push(Contender::new(WASMI, move |n| {
            for _ in 0..n {
                let mut store = wasmi::Store::new(&engine, ());
                black_box(linker.instantiate_and_start(&mut store, &module)?);
            }
            Ok(0)
        }));
    }
    measure(options, title, contenders)
}
