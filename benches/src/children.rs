//! Figures that need a fresh process: peak memory, and memory of many instances.

use crate::engines::{self, POOLING, WARDIAN, WASMI, WASMTIME};
use crate::instantiate::SMALL;
use crate::measure::{Figure, Row, median_and_min};
use crate::options::{Options, Result};
use std::process::Command;
use std::time::Instant;

/// Bytes of code in the generated module.
const CODE_SIZE: usize = 11 << 20;

/// Instances for the idle figure.
const INSTANCES: usize = 1000;

/// Rounds of whole compilations; each takes seconds.
const COMPILE_ROUNDS: usize = 5;

/// The first argument of a child process.
pub(crate) const CHILD: &str = "--child";

/// Time and memory to compile a large module.
pub(crate) fn compile(options: &Options) -> Result<Vec<Row>> {
    let made = std::env::temp_dir().join(format!("wardian-bench-{}.wasm", std::process::id()));
    let (path, title) = match std::env::var_os("WARDIAN_BENCH_MODULE") {
        Some(path) => {
            let path = std::path::PathBuf::from(path);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (path, name)
        }
        None => {
            let wasm = crate::generate::enlarged(crate::cpu::GUESTS, CODE_SIZE)?;
            std::fs::write(&made, wasm)?;
            (made.clone(), "generated".to_owned())
        }
    };
    let size = std::fs::metadata(&path)?.len() as f64 / f64::from(1 << 20);
    let title = format!("{title} {size:.1} MiB");
    let rounds = options.rounds.min(COMPILE_ROUNDS);
    let rows = rows(
        options,
        &[WARDIAN, WASMTIME, WASMI],
        rounds,
        &["compile", &path.to_string_lossy()],
        &[format!("time: {title}"), format!("peak memory: {title}")],
    );
    if made.exists() {
        std::fs::remove_file(made)?;
    }
    rows
}

/// Memory that an idle instance adds.
pub(crate) fn idle(options: &Options) -> Result<Vec<Row>> {
    let rounds = options.rounds.min(3);
    let engines = [WARDIAN, POOLING, WASMTIME, WASMI];
    let names = ["memory per instance".to_owned(), "virtual memory per instance".to_owned()];
    rows(options, &engines, rounds, &["idle"], &names)
}

/// Runs a child for each engine and round; each prints as many numbers as there are names.
fn rows(
    options: &Options,
    engines: &[&'static str],
    rounds: usize,
    args: &[&str],
    names: &[String],
) -> Result<Vec<Row>> {
    let engines: Vec<&'static str> =
        engines.iter().copied().filter(|e| !(options.no_interpreter && *e == WASMI)).collect();
    let mut values = vec![vec![Vec::new(); engines.len()]; names.len()];
    for _ in 0..rounds {
        for (i, engine) in engines.iter().enumerate() {
            let output = Command::new(std::env::current_exe()?)
                .env("RAYON_NUM_THREADS", engines::THREADS.to_string())
                .arg(CHILD)
                .arg(engine)
                .args(args)
                .output()?;
            if !output.status.success() {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(format!("{engine} {args:?}: {text}").into());
            }
            let text = String::from_utf8(output.stdout)?;
            for (values, number) in values.iter_mut().zip(text.split_whitespace()) {
                values[i].push(number.parse()?);
            }
        }
    }
    let row = |(name, values): (&String, Vec<Vec<f64>>)| {
        let figures = engines.iter().zip(values).map(|(engine, values)| {
            let (median, min) = median_and_min(values);
            Figure { engine, median, min }
        });
        Row { name: name.clone(), figures: figures.collect() }
    };
    Ok(names.iter().zip(values).map(row).collect())
}

/// The child's side: `ENGINE compile FILE` or `ENGINE idle`.
pub(crate) fn child(args: &[String]) -> Result<()> {
    match args {
        [engine, task, file] if task == "compile" => compile_here(engine, file),
        [engine, task] if task == "idle" => idle_here(engine),
        _ => Err("a child is started by its parent only".into()),
    }
}

fn compile_here(engine: &str, file: &str) -> Result<()> {
    let wasm = std::fs::read(file)?;
    let before = status("VmRSS")?;
    let start = Instant::now();
    match engine {
        WARDIAN => std::mem::forget(wardian::Module::new(&engines::wardian()?, &wasm)?),
        WASMTIME => std::mem::forget(wasmtime::Module::new(&engines::wasmtime()?, &wasm)?),
        WASMI => std::mem::forget(wasmi::Module::new(&engines::wasmi(), &wasm)?),
        other => return Err(format!("no engine `{other}`").into()),
    }
    let took = start.elapsed();
    println!("{} {}", took.as_nanos(), status("VmHWM")?.saturating_sub(before));
    Ok(())
}

fn idle_here(engine: &str) -> Result<()> {
    match engine {
        WARDIAN => {
            let engine = engines::wardian()?;
            let module = wardian::Module::new(&engine, SMALL)?;
            many(|| {
                let mut store = wardian::Store::new(&engine, ());
                let instance = wardian::Instance::new(&mut store, &module, &[])?;
                instance.typed_func::<i32, i64>(&mut store, "fill")?.call(&mut store, 2048)?;
                Ok(store)
            })
        }
        POOLING | WASMTIME => {
            let pooling = engine == POOLING;
            let engine = if pooling { engines::wasmtime_pooling()? } else { engines::wasmtime()? };
            let module = wasmtime::Module::new(&engine, SMALL)?;
            many(|| {
                let mut store = wasmtime::Store::new(&engine, ());
                let instance = wasmtime::Instance::new(&mut store, &module, &[])?;
                instance.get_typed_func::<i32, i64>(&mut store, "fill")?.call(&mut store, 2048)?;
                Ok(store)
            })
        }
        WASMI => {
            let engine = engines::wasmi();
            let module = wasmi::Module::new(&engine, SMALL)?;
            let linker = wasmi::Linker::<()>::new(&engine);
            many(|| {
                let mut store = wasmi::Store::new(&engine, ());
                let instance = linker.instantiate_and_start(&mut store, &module)?;
                instance.get_typed_func::<i32, i64>(&store, "fill")?.call(&mut store, 2048)?;
                Ok(store)
            })
        }
        other => Err(format!("no engine `{other}`").into()),
    }
}

fn many<S>(mut one: impl FnMut() -> Result<S>) -> Result<()> {
    // What the first few cost is the engine's.
    let mut stores = vec![one()?, one()?];
    let (before, virtual_before) = (status("VmRSS")?, status("VmSize")?);
    for _ in 0..INSTANCES {
        stores.push(one()?);
    }
    let each = |now: u64, before: u64| now.saturating_sub(before) / INSTANCES as u64;
    let resident = each(status("VmRSS")?, before);
    println!("{resident} {}", each(status("VmSize")?, virtual_before));
    std::mem::forget(stores);
    Ok(())
}

/// A field of `/proc/self/status`, in bytes.
fn status(field: &str) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    let kib: u64 = line.unwrap_or_default().trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}
