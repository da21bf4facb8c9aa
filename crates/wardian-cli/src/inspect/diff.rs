//! In what two checkpoints differ: `wardian inspect FILE --diff OTHER`.

use super::checkpoint::engine;
use crate::checkpoint::{self, Key, Place};
use crate::input::Input;
use crate::output::bytes;
use anyhow::Context;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use wardian::{
    Engine, Frame,
    checkpoint::{Checkpoint, CheckpointDiff, CheckpointFrame, CheckpointItem},
};
use wardian_observe::printable;

/// Lines of a kind that are shown.
const LINES: usize = 50;

/// A checkpoint with what is shown of it.
struct Side {
    /// The innermost first; without names if a module is missing.
    frames: Vec<Frame>,
    /// What the program has open, by its descriptors.
    open: Vec<String>,
}

/// The differences as text, or as JSON.
pub(super) fn show(
    one: (&Input, &Place),
    other: (&Input, &Place),
    key: Option<&Key>,
    as_json: bool,
) -> anyhow::Result<String> {
    let read = |(input, place): (&Input, &Place)| {
        let read = Checkpoint::from_bytes_with(&input.bytes, &Key::for_reading(key));
        let read = read.map_err(|error| input.unusable(error))?;
        checkpoint::whole(read, place, key)
            .with_context(|| format!("{} cannot be used", input.name))
    };
    let (old, new) = (read(one)?, read(other)?);
    let engine = engine()?;
    let diff = old.diff(&new, &engine)?;
    let sides = (Side::new(&old, &engine), Side::new(&new, &engine));
    let open = open_diff(&sides.0.open, &sides.1.open);
    if as_json {
        let value = to_json(&diff, &sides, &open);
        return Ok(serde_json::to_string_pretty(&value)? + "\n");
    }
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = text(&mut out, &diff, &sides, &open);
    Ok(out)
}

impl Side {
    fn new(checkpoint: &Checkpoint, engine: &Engine) -> Side {
        let wasi = checkpoint::wasi_state(checkpoint).ok();
        let descriptors = wasi.iter().flat_map(|wasi| wasi.descriptors());
        let backtrace = checkpoint.backtrace(engine).ok();
        Side {
            frames: backtrace.map(|b| b.frames().to_vec()).unwrap_or_default(),
            open: descriptors.map(|open| open.to_string()).collect(),
        }
    }

    /// The innermost frames with their names.
    fn frame(&self, at: usize, frame: &CheckpointFrame) -> String {
        match self.frames.get(at) {
            Some(frame) => frame.to_string(),
            None => format!("function {} (code offset {:#x})", frame.function, frame.offset),
        }
    }

    fn shown(&self, frames: &[CheckpointFrame]) -> Vec<String> {
        frames.iter().enumerate().map(|(at, frame)| self.frame(at, frame)).collect()
    }
}

/// What was open and is not so any more, and what is and was not so.
fn open_diff(old: &[String], new: &[String]) -> (Vec<String>, Vec<String>) {
    let mut counts: BTreeMap<&String, i32> = BTreeMap::new();
    new.iter().for_each(|open| *counts.entry(open).or_default() += 1);
    old.iter().for_each(|open| *counts.entry(open).or_default() -= 1);
    let only = |sign: i32| {
        let found = counts.iter().filter(move |(_, count)| **count * sign > 0);
        found.map(|(open, _)| (*open).clone()).collect()
    };
    (only(-1), only(1))
}

fn text(
    out: &mut String,
    diff: &CheckpointDiff,
    sides: &(Side, Side),
    open: &(Vec<String>, Vec<String>),
) -> std::fmt::Result {
    if diff.is_empty() && open.0.is_empty() && open.1.is_empty() {
        return writeln!(out, "no difference");
    }
    if diff.instances {
        writeln!(out, "the modules or instances are others")?;
    }
    let frames = &diff.frames;
    if !frames.before.is_empty() || !frames.after.is_empty() {
        writeln!(out, "frames, the innermost first; {} outermost are the same", frames.common)?;
        lines(out, '-', &sides.0.shown(&frames.before))?;
        lines(out, '+', &sides.1.shown(&frames.after))?;
    }
    for memory in &diff.memories {
        let (name, size) = (name("memory", memory.item), size(memory.before, memory.after, bytes));
        let pages: u64 = memory.ranges.iter().map(|r| (r.end - r.start).div_ceil(4096)).sum();
        writeln!(out, "{name}   {size}; {} bytes differ, in {pages} pages", memory.bytes)?;
        let ranges = memory.ranges.iter().map(|range| {
            format!("{:#x}..{:#x}, {}", range.start, range.end, bytes(range.end - range.start))
        });
        lines(out, ' ', &ranges.collect::<Vec<_>>())?;
    }
    let globals = diff.globals.iter().map(|global| {
        let shown = |value: Option<wardian::checkpoint::CheckpointValue>| {
            value.map_or("missing".into(), |value| value.to_string())
        };
        format!(
            "{}   {} -> {}",
            name("global", global.item),
            shown(global.before),
            shown(global.after)
        )
    });
    plain(out, &globals.collect::<Vec<_>>())?;
    let tables = diff.tables.iter().map(|table| {
        let size = size(table.before, table.after, |count| format!("{count} elements"));
        format!("{}   {size}; {} elements differ", name("table", table.item), table.elements)
    });
    plain(out, &tables.collect::<Vec<_>>())?;
    if let Some((before, after)) = diff.objects {
        writeln!(out, "objects   {before} -> {after}")?;
    }
    if let Some((before, after)) = diff.fuel {
        let shown = |fuel: Option<i64>| fuel.map_or("not counted".into(), |fuel| fuel.to_string());
        writeln!(out, "fuel   {} -> {}", shown(before), shown(after))?;
    }
    if !open.0.is_empty() || !open.1.is_empty() {
        writeln!(out, "open")?;
        lines(out, '-', &open.0)?;
        lines(out, '+', &open.1)?;
    }
    for name in &diff.host_state {
        writeln!(out, "state   {}", printable(name))?;
    }
    Ok(())
}

/// Some lines, and how many more there are.
fn lines(out: &mut String, mark: char, all: &[String]) -> std::fmt::Result {
    for line in all.iter().take(LINES) {
        writeln!(out, "  {mark} {}", printable(line))?;
    }
    if all.len() > LINES {
        writeln!(out, "  {mark} and {} more", all.len() - LINES)?;
    }
    Ok(())
}

fn plain(out: &mut String, all: &[String]) -> std::fmt::Result {
    all.iter().take(LINES).try_for_each(|line| writeln!(out, "{line}"))?;
    if all.len() > LINES {
        writeln!(out, "and {} more", all.len() - LINES)?;
    }
    Ok(())
}

fn name(kind: &str, item: CheckpointItem) -> String {
    match item.instance {
        0 => format!("{kind} {}", item.index),
        instance => format!("{kind} {} of instance {instance}", item.index),
    }
}

fn size(before: u64, after: u64, show: impl Fn(u64) -> String) -> String {
    if before == after { show(before) } else { format!("{} -> {}", show(before), show(after)) }
}

fn to_json(
    diff: &CheckpointDiff,
    sides: &(Side, Side),
    open: &(Vec<String>, Vec<String>),
) -> Value {
    let item = |item: CheckpointItem| json!({ "instance": item.instance, "index": item.index });
    let memories = diff.memories.iter().map(|memory| {
        let ranges = memory.ranges.iter().map(|range| json!([range.start, range.end]));
        json!({
            "memory": item(memory.item),
            "before": memory.before,
            "after": memory.after,
            "bytes": memory.bytes,
            "ranges": ranges.collect::<Vec<_>>(),
        })
    });
    let globals = diff.globals.iter().map(|global| {
        json!({
            "global": item(global.item),
            "before": global.before.map(|value| value.to_string()),
            "after": global.after.map(|value| value.to_string()),
        })
    });
    let tables = diff.tables.iter().map(|table| {
        json!({
            "table": item(table.item),
            "before": table.before,
            "after": table.after,
            "elements": table.elements,
        })
    });
    json!({
        "kind": "difference",
        "instances": diff.instances,
        "frames": {
            "common": diff.frames.common,
            "before": sides.0.shown(&diff.frames.before),
            "after": sides.1.shown(&diff.frames.after),
        },
        "memories": memories.collect::<Vec<_>>(),
        "globals": globals.collect::<Vec<_>>(),
        "tables": tables.collect::<Vec<_>>(),
        "objects": diff.objects,
        "fuel": diff.fuel,
        "open": { "before": open.0, "after": open.1 },
        "state": diff.host_state,
    })
}
