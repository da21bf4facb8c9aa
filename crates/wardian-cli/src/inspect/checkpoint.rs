//! What a checkpoint consists of: the program, where it stands, its memories, what it has open.

use crate::checkpoint::{self, Key, Place};
use crate::input::Input;
use crate::output::bytes;
use serde_json::{Value, json};
use std::fmt::Write;
use wardian::{Config, CoreFeatures, Engine, EngineKind, Frame, checkpoint::Checkpoint};
use wardian_observe::printable;
use wardian_wasi::{WasiState, WasiThreadsCheckpoint};

/// Frames that are shown; deep recursion has many.
const FRAMES: usize = 50;

/// The checkpoint as text, or as JSON.
pub(super) fn show(
    input: &Input,
    place: &Place,
    key: Option<&Key>,
    as_json: bool,
) -> anyhow::Result<String> {
    let options = Key::for_reading(key);
    let read = match wardian_wasi::is_threads_checkpoint(&input.bytes) {
        true => WasiThreadsCheckpoint::read_all(&input.bytes[..], &options),
        false => Checkpoint::from_bytes_with(&input.bytes, &options).map(|main| (main, Vec::new())),
    };
    let (checkpoint, threads) = read.map_err(|error| input.unusable(error))?;
    let wasi = checkpoint::wasi_state(&checkpoint).ok();
    let engine = engine()?;
    // Without the modules there are no names. A parent may have them.
    let whole = checkpoint::whole(checkpoint.clone(), place, key).ok();
    let backtrace = whole.as_ref().unwrap_or(&checkpoint).backtrace(&engine).ok();
    let frames = backtrace.as_ref().map_or(&[][..], |backtrace| backtrace.frames());
    let threads = threads.iter().map(|(tid, thread)| {
        // Only the main thread's has the modules.
        let backtrace = thread.with_modules_of(&checkpoint).backtrace(&engine);
        (*tid, backtrace.map(|backtrace| backtrace.frames().to_vec()).unwrap_or_default())
    });
    let threads: Vec<Thread> = threads.collect();
    if as_json {
        let value = to_json(&checkpoint, wasi.as_ref(), frames, &threads);
        return Ok(serde_json::to_string_pretty(&value)? + "\n");
    }
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = text(&mut out, input, &checkpoint, wasi.as_ref(), frames, &threads);
    Ok(out)
}

/// A thread beside the main thread: its identifier, and its frames.
type Thread = (u32, Vec<Frame>);

/// An engine for the modules of checkpoints, which are not run.
pub(super) fn engine() -> anyhow::Result<Engine> {
    let mut config = Config::new();
    config.engine(EngineKind::Interpreted).features(CoreFeatures::all());
    Ok(Engine::new(&config)?)
}

fn text(
    out: &mut String,
    input: &Input,
    checkpoint: &Checkpoint,
    wasi: Option<&WasiState>,
    frames: &[Frame],
    threads: &[Thread],
) -> std::fmt::Result {
    writeln!(out, "file       {}", printable(&input.name))?;
    writeln!(out, "kind       checkpoint")?;
    writeln!(out, "size       {}", bytes(input.bytes.len() as u64))?;
    for module in checkpoint.modules() {
        let name = printable(module.name.unwrap_or("(no name)"));
        let embedded = module.bytes.map_or("not embedded".into(), |b| bytes(b.len() as u64));
        writeln!(out, "module     {name}, {embedded}, {}", hex(module.hash))?;
    }
    if let Some(parent) = checkpoint.parent() {
        writeln!(out, "parent     {}", hex(parent))?;
    }
    for (at, (len, packed)) in checkpoint.memories().enumerate() {
        writeln!(out, "memory {at}   {}, {} here", bytes(len), bytes(packed))?;
    }
    let total = checkpoint.frames().len();
    if total > 0 {
        writeln!(out, "\nframes, the innermost first")?;
    }
    for frame in frames.iter().take(FRAMES) {
        writeln!(out, "  {}", printable(&frame.to_string()))?;
    }
    if total > frames.len().min(FRAMES) {
        writeln!(out, "  and {} more", total - frames.len().min(FRAMES))?;
    }
    for (tid, frames) in threads {
        writeln!(out, "\nframes of thread {tid}")?;
        for frame in frames.iter().take(FRAMES) {
            writeln!(out, "  {}", printable(&frame.to_string()))?;
        }
        if frames.len() > FRAMES {
            writeln!(out, "  and {} more", frames.len() - FRAMES)?;
        }
    }
    let Some(wasi) = wasi else { return Ok(()) };
    writeln!(out, "\narguments")?;
    wasi.args().iter().try_for_each(|arg| writeln!(out, "  {}", printable(arg)))?;
    writeln!(out, "\nopen")?;
    wasi.descriptors().try_for_each(|open| writeln!(out, "  {}", printable(&open.to_string())))
}

fn to_json(
    checkpoint: &Checkpoint,
    wasi: Option<&WasiState>,
    frames: &[Frame],
    threads: &[Thread],
) -> Value {
    let modules = checkpoint.modules().map(|module| {
        json!({
            "name": module.name,
            "blake3": hex(module.hash),
            "bytes": module.bytes.map(<[u8]>::len),
        })
    });
    let memories =
        checkpoint.memories().map(|(len, packed)| json!({ "bytes": len, "stored": packed }));
    let all = checkpoint.frames().enumerate().map(|(at, frame)| {
        json!({
            "module": frame.module,
            "function": frame.function,
            "offset": frame.offset,
            "called": frame.called,
            "name": frames.get(at).map(|frame| frame.definition().debug_name()),
        })
    });
    json!({
        "kind": "checkpoint",
        "parent": checkpoint.parent().map(|parent| hex(parent)),
        "modules": modules.collect::<Vec<_>>(),
        "memories": memories.collect::<Vec<_>>(),
        "frames": all.collect::<Vec<_>>(),
        "threads": threads
            .iter()
            .map(|(tid, frames)| {
                let names = frames.iter().map(|frame| frame.definition().debug_name());
                json!({ "thread": tid, "names": names.collect::<Vec<_>>() })
            })
            .collect::<Vec<_>>(),
        "arguments": wasi.map(|wasi| wasi.args().to_vec()),
        "open": wasi.map(|wasi| wasi.descriptors().map(|d| d.to_string()).collect::<Vec<_>>()),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
