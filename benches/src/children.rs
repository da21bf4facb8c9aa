//! Figures that need a fresh process: peak memory, and memory of many instances.

use crate::engines::{self, INTERPRETED, POOLING, WARDIAN, WASMI, WASMTIME};
use crate::image::{Guest, PAGE, WRITING};
use crate::instantiate::SMALL;
use crate::measure::{Figure, Row};
use crate::options::{Options, Result};
use crate::{checkpoint, cold, criu};
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
pub(crate) fn rows(
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
        let figures = engines.iter().zip(values).map(|(engine, values)| Figure::of(engine, values));
        Row::new(name, figures.collect())
    };
    Ok(names.iter().zip(values).map(row).collect())
}

/// Memory of a parent of 100 MiB with so many children that have each written 1 MiB.
pub(crate) fn forks(options: &Options, children: usize) -> Result<Row> {
    let name = format!("memory of {children} children of 100 MiB that have written 1 MiB each");
    let args = ["forks", &children.to_string()];
    let rows = rows(options, &[WARDIAN], options.rounds.min(3), &args, &[name])?;
    rows.into_iter().next().ok_or_else(|| "no row".into())
}

fn forks_here(count: usize) -> Result<u64> {
    let engine = engines::wardian()?;
    let module = wardian::Module::new(&engine, WRITING)?;
    let mut parent = Guest::new(&engine, &module, 25_600)?;
    let mut children = Vec::new();
    for number in 0..count {
        let fork = parent.store.fork(())?;
        let mut child = Guest::of(fork.store, fork.resumed.instances()[0])?;
        child.touch(((number as i32 % 100) << 20, PAGE, 256))?;
        children.push(child);
    }
    // Pages that several have are counted once, if one of them has looked at them: the parent does.
    let memory = parent.instance.get_memory(&mut parent.store, "memory").ok_or("it is exported")?;
    let pages = memory.data(&parent.store).iter().step_by(PAGE as usize);
    std::hint::black_box(pages.fold(0u8, |all, byte| all | byte));
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib: u64 = line.unwrap_or_default().trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

/// The child's side: `ENGINE compile FILE`, `ENGINE idle`, `ENGINE instances COUNT` or `ENGINE forks COUNT`.
pub(crate) fn child(args: &[String]) -> Result<()> {
    match args {
        [task, figures, program, args @ ..] if task == cold::ALONE => {
            cold::alone(figures, program, args)
        }
        [engine, task, file] if task == "compile" => compile_here(engine, file),
        [engine, task] if task == "idle" => {
            let each = instances_here(engine, INSTANCES)?;
            println!("{} {}", each.resident, each.mapped);
            Ok(())
        }
        [engine, task, count] if task == "instances" => {
            let each = instances_here(engine, count.parse()?)?;
            println!("{} {}", each.nanoseconds, each.resident);
            Ok(())
        }
        [_, task] if task == criu::HOLD => criu::hold(checkpoint::held),
        [_, task, count] if task == "forks" => {
            println!("{}", forks_here(count.parse()?)?);
            Ok(())
        }
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

/// What each instance took.
struct Each {
    nanoseconds: u64,
    resident: u64,
    mapped: u64,
}

fn instances_here(engine: &str, count: usize) -> Result<Each> {
    match engine {
        WARDIAN | INTERPRETED => {
            let engine = match engine {
                WARDIAN => engines::wardian()?,
                _ => engines::wardian_of(wardian::EngineKind::Interpreted)?,
            };
            let module = wardian::Module::new(&engine, SMALL)?;
            many(count, || {
                let mut store = wardian::Store::new(&engine, ());
                let instance = wardian::Instance::new(&mut store, &module, &[])?;
                instance.typed_func::<i32, i64>(&mut store, "fill")?.call(&mut store, 2048)?;
                Ok(store)
            })
        }
        POOLING | WASMTIME => {
            let pooling = engine == POOLING;
            let room = u32::try_from(count)?.max(1000) + 1000;
            let engine =
                if pooling { engines::wasmtime_pooling_of(room)? } else { engines::wasmtime()? };

            let module = wasmtime::Module::new(&engine, SMALL)?;
            many(count, || {
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
            many(count, || {
                let mut store = wasmi::Store::new(&engine, ());
                let instance = linker.instantiate_and_start(&mut store, &module)?;
                instance.get_typed_func::<i32, i64>(&store, "fill")?.call(&mut store, 2048)?;
                Ok(store)
            })
        }
        other => Err(format!("no engine `{other}`").into()),
    }
}

fn many<S>(count: usize, mut one: impl FnMut() -> Result<S>) -> Result<Each> {
    // What the first few cost is the engine's.
    let mut stores = vec![one()?, one()?];
    let (before, virtual_before) = (status("VmRSS")?, status("VmSize")?);
    let start = Instant::now();
    for _ in 0..count {
        stores.push(one()?);
    }
    let took = start.elapsed();
    let each = |now: u64, before: u64| now.saturating_sub(before) / count as u64;
    let resident = each(status("VmRSS")?, before);
    let mapped = each(status("VmSize")?, virtual_before);
    std::mem::forget(stores);
    Ok(Each { nanoseconds: took.as_nanos() as u64 / count as u64, resident, mapped })
}

/// A field of `/proc/self/status`, in bytes.
fn status(field: &str) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    let kib: u64 = line.unwrap_or_default().trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}
