//! Checkpoints of a store with 100 MiB that were written, and resuming them.

use crate::criu;
use crate::engines::{self, WARDIAN};
use crate::measure::{Contender, Row, measure};
use crate::options::{Options, Result};
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use wardian::{
    Engine, Instance, Linker, Memory, Module, Store,
    checkpoint::{
        CheckpointIndex, CheckpointOptions, CheckpointReader, ImmutableFile, ReadOptions,
        ResumeOptions,
    },
};

/// `write` of the same bytes.
pub(crate) const WRITE: &str = "write";
/// `zstd -1` of the same bytes, on one thread, to a file.
pub(crate) const ZSTD: &str = "zstd -1";
/// The file read into memory, and hashed on one thread.
pub(crate) const READ: &str = "read and BLAKE3";

/// The same without anything being noted.
pub(crate) const UNNOTED: &str = "not noted";

const GUEST: &str = r#"(module (memory (export "memory") 1600)
  (func (export "run") (result i32) (i32.load (i32.const 4))))"#;

/// Bytes of the memory.
const SIZE: usize = 1600 << 16;

/// A store whose memory is written.
fn guest(engine: &Engine, contents: &[u8]) -> Result<(Store<()>, Memory)> {
    let module = Module::new(engine, GUEST)?;
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let memory = instance.get_memory(&mut store, "memory").ok_or("it is exported")?;
    memory.data_mut(&mut store).copy_from_slice(contents);
    Ok((store, memory))
}

/// What another process holds.
pub(crate) fn held() -> Result<(Store<()>, Memory)> {
    guest(&engines::wardian()?, &noise())
}

/// Bytes without any order.
fn noise() -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..SIZE / 8).flat_map(|_| next().to_le_bytes()).collect()
}

/// What memories of programs are like: text of few words, pointers, noise.
fn mixed() -> Vec<u8> {
    let noise = noise();
    let mut bytes = Vec::with_capacity(SIZE);
    let words: Vec<&[u8]> =
        noise[..4096].chunks(8).map(|word| &word[..3 + word[0] as usize % 5]).collect();
    for (number, part) in noise.chunks(4096).enumerate() {
        let start = bytes.len();
        match number % 4 {
            0 => bytes.extend_from_slice(part),
            1 => part.chunks(2).for_each(|at| {
                bytes.extend_from_slice(&[at[0], at[1] & 15, 0x20, 0]);
            }),
            _ => part.chunks(2).for_each(|at| {
                bytes.extend_from_slice(words[usize::from(at[0]) % words.len()]);
                bytes.push(b' ');
            }),
        }
        bytes.truncate(start + 4096);
        bytes.resize(start + 4096, 0);
    }
    bytes
}

/// Times work that leaves nothing behind which is not dropped afterwards.
fn timed<'a, R: 'a>(name: &'static str, mut work: impl FnMut() -> Result<R> + 'a) -> Contender<'a> {
    Contender::timed(name, move |units, _| {
        let mut time = Duration::ZERO;
        for _ in 0..units {
            let start = Instant::now();
            let result = work()?;
            time += start.elapsed();
            drop(result);
        }
        Ok((0, time))
    })
}

/// All rows.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let engine = engines::wardian()?;
    let folder = tempfile::tempdir()?;
    let mut rows = Vec::new();
    let mut add = |name: &str, make: &dyn Fn() -> Result<Vec<Contender<'static>>>| -> Result<()> {
        if options.wants(name) {
            rows.push(measure(options, name, make()?)?);
        }
        Ok(())
    };
    let file = |name: &str| folder.path().join(name);
    add("write, 100 MiB, plain", &|| {
        let mut contenders = plain(&engine, &file("a"), &file("b"))?;
        contenders.extend(criu::contender(folder.path())?);
        Ok(contenders)
    })?;
    add("write, 100 MiB, compressed", &|| compressed(&engine, &file("a"), &file("b")))?;
    for (how, noted) in [("", true), (", by hashes", false)] {
        add(&format!("write, 100 MiB, 1 MiB changed since the parent{how}"), &|| {
            let (mut store, memory) = guest(&engine, &noise())?;
            let parent = parent(&mut store, noted)?;
            memory.data_mut(&mut store)[50 << 20..51 << 20].fill(7);
            let options = CheckpointOptions::new().since(&parent);
            let path = file("a");
            let write = move || Ok(store.checkpoint_to(&options, File::create(&path)?)?);
            Ok(vec![timed(WARDIAN, write)])
        })?;
    }
    add("the guest writes to 100 MiB after a checkpoint for children", &|| rewrite(&engine))?;
    add("resume, 100 MiB, mapped", &|| mapped(&engine))?;
    for (name, contents, compress) in
        [("resume, 100 MiB, plain", noise(), false), ("resume, 100 MiB, compressed", mixed(), true)]
    {
        add(name, &|| resume(&engine, &contents, compress, &file("c")))?;
    }
    Ok(rows)
}

/// `noted` says whether the system is asked to note what is written afterwards.
fn parent(store: &mut Store<()>, noted: bool) -> Result<CheckpointIndex> {
    Ok(store.checkpoint_to(&CheckpointOptions::new().for_children(noted), std::io::sink())?)
}

/// A write to each page of 100 MiB, after the system was asked to note them, and without that.
fn rewrite(engine: &Engine) -> Result<Vec<Contender<'static>>> {
    let contents = noise();
    let mut contenders = Vec::new();
    for (name, noted) in [(WARDIAN, true), (UNNOTED, false)] {
        let (mut store, memory) = guest(engine, &contents)?;
        let mut last = parent(&mut store, noted)?;
        contenders.push(Contender::timed(name, move |units, _| {
            let mut time = Duration::ZERO;
            for _ in 0..units {
                // Of nothing: the page that is stored is the one that the last round wrote first.
                if noted {
                    let options = CheckpointOptions::new().since(&last);
                    last = store.checkpoint_to(&options, std::io::sink())?;
                }
                let bytes = memory.data_mut(&mut store);
                let start = Instant::now();
                bytes.iter_mut().step_by(4096).for_each(|byte| *byte = byte.wrapping_add(1));
                time += start.elapsed();
            }
            Ok((0, time))
        }));
    }
    Ok(contenders)
}

/// Until a guest has run, from a file that does not change.
fn mapped(engine: &Engine) -> Result<Vec<Contender<'static>>> {
    let (mut store, _) = guest(engine, &noise())?;
    let mut bytes = Vec::new();
    store.checkpoint_to(&CheckpointOptions::new().mappable(true), &mut bytes)?;
    let file = ImmutableFile::copy_of(&bytes[..])?;
    let module = Module::new(engine, GUEST)?;
    let (engine, linker) = (engine.clone(), Linker::new(engine));
    Ok(vec![timed(WARDIAN, move || {
        let reader = CheckpointReader::of_immutable(&file, &ReadOptions::new())?;
        run_resumed(&engine, &linker, &module, reader)
    })])
}

/// Resumes a checkpoint, and calls its guest.
fn run_resumed(
    engine: &Engine,
    linker: &Linker<()>,
    module: &Module,
    reader: CheckpointReader<'_>,
) -> Result<Store<()>> {
    let mut store = Store::new(engine, ());
    let options = ResumeOptions::new().with_module(module);
    let resumed = reader.resume(&mut store, linker, &options)?;
    let run = resumed.instances()[0].typed_func::<(), i32>(&mut store, "run")?;
    run.call(&mut store, ())?;
    Ok(store)
}

fn plain(engine: &Engine, one: &Path, other: &Path) -> Result<Vec<Contender<'static>>> {
    let contents = noise();
    let (mut store, _) = guest(engine, &contents)?;
    let (one, other) = (one.to_owned(), other.to_owned());
    let options = CheckpointOptions::new().compress(false);
    Ok(vec![
        timed(WARDIAN, move || Ok(store.checkpoint_to(&options, File::create(&one)?)?)),
        timed(WRITE, move || Ok(File::create(&other)?.write_all(&contents)?)),
    ])
}

fn compressed(engine: &Engine, one: &Path, other: &Path) -> Result<Vec<Contender<'static>>> {
    let contents = mixed();
    let (mut store, _) = guest(engine, &contents)?;
    let (one, other) = (one.to_owned(), other.to_owned());
    let options = CheckpointOptions::new();
    Ok(vec![
        timed(WARDIAN, move || Ok(store.checkpoint_to(&options, File::create(&one)?)?)),
        timed(ZSTD, move || {
            Ok(zstd::stream::copy_encode(&contents[..], File::create(&other)?, 1)?)
        }),
    ])
}

/// Until a guest can run; beside the same bytes of memory in a file, read and hashed.
fn resume(
    engine: &Engine,
    contents: &[u8],
    compress: bool,
    path: &Path,
) -> Result<Vec<Contender<'static>>> {
    let (mut store, _) = guest(engine, contents)?;
    let options = CheckpointOptions::new().compress(compress);
    store.checkpoint_to(&options, File::create(path)?)?;
    let module = Module::new(engine, GUEST)?;
    let raw = path.with_extension("raw");
    std::fs::write(&raw, contents)?;
    let (engine, path) = (engine.clone(), path.to_owned());
    let linker = Linker::new(&engine);
    Ok(vec![
        timed(WARDIAN, move || {
            let file = BufReader::new(File::open(&path)?);
            let reader = CheckpointReader::new(file, &ReadOptions::new())?;
            run_resumed(&engine, &linker, &module, reader)
        }),
        timed(READ, move || {
            let bytes = std::fs::read(&raw)?;
            let hash = blake3::hash(&bytes);
            Ok((bytes, hash))
        }),
    ])
}
