//! Chains of files: with `--checkpoint-every`, a file may have only what has changed since the one before, its parent.
//!
//! ```text
//!   a.chk                     the newest
//!   a.chk.parents/HASH        its parent, the parent of that, and so on, up to one that has everything
//! ```
//!
//! A parent is there before a file that needs it takes its name, and is removed after no file needs it any more. So
//! whatever ends the process, each file has its parents. When a chain is long, or its files are together half as large
//! as the one at its end, the next file has everything again.

use super::key::Key;
use super::place::{Identity, Place};
use anyhow::Context;
use std::collections::HashSet;
use std::io::{Cursor, Read};
use wardian::checkpoint::{Checkpoint, CheckpointIndex, CheckpointOptions, CheckpointReader};
use wardian_wasi::WasiThreadsCheckpoint;

/// Bytes of the smallest file for which a chain is worth it: for less, several files are more trouble than they save.
const LARGE: u64 = 4 << 20;

/// Files in a chain.
const LONGEST: u32 = 16;

/// What is known of the files that were written.
#[derive(Default)]
pub(super) struct Chain {
    last: Option<Last>,
    /// Whether a file with a parent could not be written, as where files have no second names.
    has_failed: bool,
}

struct Last {
    index: CheckpointIndex,
    identity: Identity,
    /// Bytes of the file that has everything, and of those since.
    whole: u64,
    since: u64,
    length: u32,
}

/// A file that is the parent of the next one, if it is still there when that is written.
#[derive(Clone)]
pub(crate) struct Parent {
    index: CheckpointIndex,
    identity: Identity,
}

/// Whether a file is one of a chain.
pub(crate) enum Chained {
    No,
    /// It has everything, and may get children.
    First,
    After(Parent),
}

/// A checkpoint that is being read.
pub(crate) enum Saved {
    One(CheckpointReader<'static>),
    Threads(WasiThreadsCheckpoint<'static>),
}

impl Saved {
    /// That of the main thread.
    pub(crate) fn main(&self) -> &CheckpointReader<'static> {
        match self {
            Saved::One(checkpoint) => checkpoint,
            Saved::Threads(group) => group.main(),
        }
    }
}

/// What was written.
pub(crate) struct Written {
    pub(crate) bytes: u64,
    /// None of a group of threads.
    pub(super) index: Option<CheckpointIndex>,
}

impl Chain {
    /// The parent of the next file, if it is to have one.
    pub(super) fn parent(&self, place: &Place) -> Option<Parent> {
        let last = self.last.as_ref().filter(|_| !self.has_failed)?;
        let is_worth_it =
            last.whole >= LARGE && last.length < LONGEST && last.since < last.whole / 2;
        // Somebody may have put another file in its place.
        let is_there = is_worth_it && place.is(&last.identity);
        let Last { index, identity, .. } = last;
        is_there.then(|| Parent { index: index.clone(), identity: *identity })
    }

    /// Nothing was written. If that was because of the parent, there will be no more chains.
    pub(super) fn failed(&mut self, had_parent: bool) {
        self.last = None;
        self.has_failed |= had_parent;
    }

    /// Nothing was written, since the file that was to be the parent has been replaced.
    pub(super) fn replaced(&mut self) {
        self.last = None;
    }

    /// A file was written, with this parent.
    pub(super) fn written(&mut self, place: &Place, written: Written, has_parent: bool) {
        let before = self.last.take().filter(|_| has_parent);
        let Ok(Some(identity)) = place.identity() else { return };
        let Written { bytes, index: Some(index) } = written else { return };
        self.last = Some(match before {
            Some(last) => Last {
                index,
                identity,
                whole: last.whole,
                since: last.since + bytes,
                length: last.length + 1,
            },
            None => Last { index, identity, whole: bytes, since: 0, length: 1 },
        });
    }
}

impl Chained {
    pub(super) fn options(&self) -> CheckpointOptions {
        let options = CheckpointOptions::new();
        match self {
            Chained::No => options,
            Chained::First => options.for_children(true),
            Chained::After(parent) => options.since(&parent.index),
        }
    }

    pub(super) fn parent(self) -> Option<Parent> {
        match self {
            Chained::No | Chained::First => None,
            Chained::After(parent) => Some(parent),
        }
    }
}

impl Parent {
    /// Whether it is this file.
    pub(super) fn is(&self, place: &Place) -> bool {
        place.is(&self.identity)
    }

    /// Gives the file a second name, by which its children find it.
    pub(super) fn keep(&self, place: &Place) -> anyhow::Result<()> {
        place.keep_as_parent(&name(self.index.hash()))
    }
}

fn name(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Removes the parents that neither the file, which has none, nor those that are kept beside it need.
pub(super) fn remove_parents(place: &Place, keep: u16, key: Option<&Key>) {
    let all = place.parents();
    if all.is_empty() {
        return;
    }
    let mut needed = HashSet::new();
    for number in 1..=keep {
        let mut next = parent_of(&place.numbered(number), key);
        while let Some(hash) = next.take().filter(|hash| needed.insert(name(hash))) {
            next = parent_of(&place.parent(&name(&hash)), key);
        }
    }
    for parent in all.iter().filter(|name| !needed.contains(*name)) {
        // What stays is removed when the next file has everything.
        place.remove_parent(parent);
    }
    // It stays while it has files.
    place.remove_parents_folder();
}

fn parent_of(place: &Place, key: Option<&Key>) -> Option<[u8; 32]> {
    begin(place, key).ok()?.parent().copied()
}

/// Begins to read a checkpoint: of a group of threads, or of one guest, with its parents. One with a key is read twice: nothing of it is used before it is known
/// who made it.
pub(super) fn open(place: &Place, key: Option<&Key>) -> anyhow::Result<Saved> {
    if let Some(group) = begin_group(place, key)? {
        if key.is_none() {
            return Ok(Saved::Threads(group));
        }
        group.verify()?;
        let again = begin_group(place, key)?.context("it is another file now")?;
        return Ok(Saved::Threads(again));
    }
    if key.is_some() {
        begin_all(place, key)?.verify()?;
    }
    begin_all(place, key).map(Saved::One)
}

/// Begins to read the checkpoint of a group of threads, if it is one.
fn begin_group(
    place: &Place,
    key: Option<&Key>,
) -> anyhow::Result<Option<WasiThreadsCheckpoint<'static>>> {
    let mut reader = place.reader()?;
    let mut head = Vec::new();
    reader.by_ref().take(8).read_to_end(&mut head)?;
    if !wardian_wasi::is_threads_checkpoint(&head) {
        return Ok(None);
    }
    let whole = Cursor::new(head).chain(reader);
    Ok(Some(WasiThreadsCheckpoint::read(whole, &Key::for_reading(key))?))
}

fn begin_all(place: &Place, key: Option<&Key>) -> anyhow::Result<CheckpointReader<'static>> {
    let mut reader = begin(place, key)?;
    while let Some(hash) = reader.parent() {
        let parent = find(place, hash)?;
        let parent = begin(&parent, key).with_context(|| format!("its parent {parent}"))?;
        reader = reader.with_parent(parent)?;
    }
    Ok(reader)
}

/// Joins a checkpoint that was read with its parents.
pub(crate) fn whole(
    checkpoint: Checkpoint,
    place: &Place,
    key: Option<&Key>,
) -> anyhow::Result<Checkpoint> {
    let host = |error| wardian::Error::host(crate::report::in_line(&error));
    let joined = checkpoint.compact(|hash| {
        let parent = find(place, hash).and_then(|parent| parent.reader()).map_err(host)?;
        Checkpoint::read_with(parent, &Key::for_reading(key))
    });
    Ok(joined?)
}

fn begin(place: &Place, key: Option<&Key>) -> anyhow::Result<CheckpointReader<'static>> {
    Ok(CheckpointReader::new(place.reader()?, &Key::for_reading(key))?)
}

/// The file of a parent. Those of a kept file are where those of the newest are.
fn find(place: &Place, hash: &[u8; 32]) -> anyhow::Result<Place> {
    let places = std::iter::once(place.clone()).chain(place.newest());
    let all: Vec<Place> = places.map(|place| place.parent(&name(hash))).collect();
    let found = all.iter().find(|place| place.exists()).cloned();
    found.with_context(|| {
        format!("it has only what has changed since its parent, which is missing: {}", all[0])
    })
}
