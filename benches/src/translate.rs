//! How fast the interpreter makes its code of a large module: all functions, on one thread.

use crate::engines::{INTERPRETED, WASMI};
use crate::measure::{Contender, Figure, Row, measure};
use crate::options::{Options, Result};
use wardian_interp::{Env, Options as Translation, Translator};
use wardian_module::Module;

/// Bytes of code in the generated module.
const CODE_SIZE: usize = 11 << 20;

/// The time to translate what has been validated; to do both, as wasmi does too; and megabytes of module
/// per second of each.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let wasm = match std::env::var_os("WARDIAN_BENCH_MODULE") {
        Some(path) => std::fs::read(path)?,
        None => crate::generate::enlarged(crate::cpu::GUESTS, CODE_SIZE)?,
    };
    let size = wasm.len() as f64 / 1e6;
    let options = Options { rounds: options.rounds.min(5), ..options.clone() };
    let module = validated(&wasm)?;
    let alone = Contender::new(INTERPRETED, |_| translated(&module));
    let mut both = vec![Contender::new(INTERPRETED, |_| translated(&validated(&wasm)?))];
    if !options.no_interpreter {
        // Its default translates what is called.
        let mut config = wasmi::Config::default();
        config.compilation_mode(wasmi::CompilationMode::Eager);
        let engine = wasmi::Engine::new(&config);
        let wasm = &wasm;
        both.push(Contender::new(WASMI, move |_| {
            std::hint::black_box(wasmi::Module::new(&engine, &wasm[..])?);
            Ok(0)
        }));
    }
    let mut rows = Vec::new();
    for (what, contenders) in [("translate", vec![alone]), ("validate, translate", both)] {
        let row = measure(&options, &format!("{what} {size:.1} MB"), contenders)?;
        let speed = |ns: f64| size / (ns / 1e9);
        let rate = |f: &Figure| Figure::of(f.engine, f.samples.iter().map(|s| speed(*s)).collect());
        let figures = row.figures.iter().map(rate).collect();
        let rates = Row::new(format!("{what}, MB/s"), figures);
        rows.extend([row, rates]);
    }
    Ok(rows)
}

fn validated(wasm: &[u8]) -> Result<Module> {
    Ok(Module::decode(wasm.to_vec(), wardian::CoreFeatures::default(), 1)?)
}

fn translated(module: &Module) -> Result<i64> {
    let env = Env {
        info: module.info(),
        bytes: module.bytes(),
        layout: wardian_vm::layout::InstanceLayout::new(module.info().counts()),
        options: Translation { tiering: true, ..Translation::default() },
    };
    // All of it is kept, as a module keeps it.
    let mut translator = Translator::new();
    let bodies = module.info().bodies.indices();
    let all: Vec<_> = bodies.map(|i| translator.translate(&env, i)).collect::<Result<_, _>>()?;
    std::hint::black_box(all);
    Ok(0)
}
