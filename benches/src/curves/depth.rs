//! By the depth of the guest's stack: traps with their backtraces, and snapshots.

use crate::engines::{self, INTERPRETED, WARDIAN, WASMI, WASMTIME};
use crate::measure::{Contender, Figure, Row, measure};
use crate::options::{Options, Result};
use crate::snapshot;
use wardian::EngineKind;

/// Calls; all fit the stack of every engine.
const DEPTHS: [i32; 5] = [1, 10, 100, 1_000, 4_000];

/// Goes down, and traps there.
const TRAP: &str = r#"(module
  (func $down (export "down") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then unreachable))
    (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 1))))"#;

/// Both curves.
pub(super) fn run(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (what, row) in [
        ("trap by depth", trap as fn(&Options, &str, i32) -> Result<Row>),
        ("snapshot by depth", taken),
    ] {
        for depth in DEPTHS {
            let title = format!("{what}: {depth}");
            if options.wants(&title) {
                rows.push(row(options, &title, depth)?.at(what, f64::from(depth)));
            }
        }
    }
    Ok(rows)
}

/// From the call, through all frames, to the error with its backtrace.
fn trap(options: &Options, title: &str, depth: i32) -> Result<Row> {
    let own = |column, kind| -> Result<Contender<'_>> {
        let engine = engines::wardian_of(kind)?;
        let module = wardian::Module::new(&engine, TRAP)?;
        let mut store = wardian::Store::new(&engine, ());
        let instance = wardian::Instance::new(&mut store, &module, &[])?;
        let f = instance.typed_func::<i32, i32>(&mut store, "down")?;
        Ok(Contender::new(column, move |n| {
            Ok((0..n).filter(|_| f.call(&mut store, depth).is_err()).count() as i64)
        }))
    };
    let engine = engines::wasmtime()?;
    let module = wasmtime::Module::new(&engine, TRAP)?;
    let mut store = wasmtime::Store::new(&engine, ());
    let instance = wasmtime::Instance::new(&mut store, &module, &[])?;
    let f = instance.get_typed_func::<i32, i32>(&mut store, "down")?;
    let wasmtime = Contender::new(WASMTIME, move |n| {
        Ok((0..n).filter(|_| f.call(&mut store, depth).is_err()).count() as i64)
    });
    let mut contenders = vec![own(WARDIAN, EngineKind::Compiled)?, wasmtime];
    if !options.no_interpreters {
        contenders.push(own(INTERPRETED, EngineKind::Interpreted)?);
    }
    if !options.no_interpreter {
        // Its own limit of calls is 1,000.
        let mut config = wasmi::Config::default();
        config.set_max_recursion_depth(10_000);
        let engine = wasmi::Engine::new(&config);
        let module = wasmi::Module::new(&engine, TRAP)?;
        let mut store = wasmi::Store::new(&engine, ());
        let instance =
            wasmi::Linker::<()>::new(&engine).instantiate_and_start(&mut store, &module)?;
        let f = instance.get_typed_func::<i32, i32>(&store, "down")?;
        contenders.push(Contender::new(WASMI, move |n| {
            Ok((0..n).filter(|_| f.call(&mut store, depth).is_err()).count() as i64)
        }));
    }
    measure(options, title, contenders)
}

/// What a snapshot adds to the host call that takes it, in compiled and in interpreted frames.
fn taken(options: &Options, title: &str, depth: i32) -> Result<Row> {
    let compiled = snapshot::added(options, EngineKind::Compiled, title, depth, false)?;
    if options.no_interpreters {
        return Ok(compiled);
    }
    let interpreted = snapshot::added(options, EngineKind::Interpreted, title, depth, false)?;
    let figures = interpreted.figures.into_iter().map(|f| Figure { engine: INTERPRETED, ..f });
    Ok(Row {
        figures: compiled.figures.into_iter().chain(figures).collect(),
        ..Row::new(title, Vec::new())
    })
}
