//! How fast the interpreter makes its code of a large module: all functions, on one thread.

use crate::engines::{INTERPRETED, WASMI};
use crate::measure::{Contender, Figure, Row, measure};
use crate::options::{Options, Result};
use wardian_interp::{Env, Options as Translation, Translator};

/// Bytes of code in the generated module.
const CODE_SIZE: usize = 11 << 20;

/// The time to translate what has been validated, and megabytes of module per second. Wasmi's figure has
/// the validation in it: it does both at once.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let wasm = match std::env::var_os("WARDIAN_BENCH_MODULE") {
        Some(path) => std::fs::read(path)?,
        None => crate::generate::enlarged(crate::cpu::GUESTS, CODE_SIZE)?,
    };
    let size = wasm.len() as f64 / 1e6;
    let features = wardian::CoreFeatures::default();
    let module = wardian_module::Module::decode(wasm.clone(), features, 1)?;
    let env = Env {
        info: module.info(),
        bytes: module.bytes(),
        layout: wardian_vm::layout::InstanceLayout::new(module.info().counts()),
        options: Translation { tiering: true, ..Translation::default() },
    };
    let translate = |_| {
        let mut translator = Translator::new();
        let mut units = 0;
        for defined in 0..module.info().bodies.len() as u32 {
            units += translator.translate(&env, defined)?.code().len();
        }
        std::hint::black_box(units);
        Ok(0)
    };
    let mut contenders = vec![Contender::new(INTERPRETED, translate)];
    if !options.no_interpreter {
        contenders.push(Contender::new(WASMI, |_| {
            std::hint::black_box(wasmi::Module::new(&crate::engines::wasmi(), &wasm[..])?);
            Ok(0)
        }));
    }
    let options = Options { rounds: options.rounds.min(5), ..options.clone() };
    let row = measure(&options, &format!("time: {size:.1} MB"), contenders)?;
    let rate = |f: &Figure| {
        let speed = |ns: f64| size / (ns / 1e9);
        Figure { engine: f.engine, median: speed(f.median), min: speed(f.min) }
    };
    let rates = Row { name: "MB/s".into(), figures: row.figures.iter().map(rate).collect() };
    Ok(vec![row, rates])
}
