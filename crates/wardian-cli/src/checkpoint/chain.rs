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

use super::file::numbered;
use super::key::Key;
use crate::host::{self, identity};
use anyhow::Context;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use wardian::checkpoint::{Checkpoint, CheckpointIndex, CheckpointOptions, CheckpointReader};

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
    identity: (u64, u64),
    /// Bytes of the file that has everything, and of those since.
    whole: u64,
    since: u64,
    length: u32,
}

/// A file that is the parent of the next one, if it is still there when that is written.
#[derive(Clone)]
pub(crate) struct Parent {
    index: CheckpointIndex,
    identity: (u64, u64),
}

/// What was written.
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(super) index: CheckpointIndex,
}

impl Chain {
    /// The parent of the next file, if it is to have one.
    pub(super) fn parent(&self, path: &Path) -> Option<Parent> {
        let last = self.last.as_ref().filter(|_| !self.has_failed)?;
        let is_worth_it =
            last.whole >= LARGE && last.length < LONGEST && last.since < last.whole / 2;
        // Somebody may have put another file in its place.
        let is_there = identity(path).is_ok_and(|found| found == last.identity);
        let Last { index, identity, .. } = last;
        (is_worth_it && is_there).then(|| Parent { index: index.clone(), identity: *identity })
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
    pub(super) fn written(&mut self, path: &Path, written: Written, has_parent: bool) {
        let before = self.last.take().filter(|_| has_parent);
        let Ok(identity) = identity(path) else { return };
        let Written { bytes, index } = written;
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

impl Parent {
    pub(super) fn options(&self) -> CheckpointOptions {
        CheckpointOptions::new().since(&self.index)
    }

    /// Whether it is this file.
    pub(super) fn is(&self, path: &Path) -> bool {
        identity(path).is_ok_and(|found| found == self.identity)
    }

    /// Gives the file a second name, by which its children find it.
    pub(super) fn keep(&self, path: &Path) -> io::Result<()> {
        let folder = folder(path);
        match host::private_folder(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        match fs::hard_link(path, folder.join(name(self.index.hash()))) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            linked => linked?,
        }
        host::sync_folder(&folder)
    }
}

fn folder(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".parents");
    name.into()
}

fn name(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Removes the parents that neither the file, which has none, nor those that are kept beside it need.
pub(super) fn remove_parents(path: &Path, keep: u16, key: Option<&Key>) {
    let all = folder(path);
    let Ok(entries) = fs::read_dir(&all) else { return };
    let mut needed = HashSet::new();
    for number in 1..=keep {
        let mut next = parent_of(&numbered(path, number), key);
        while let Some(hash) = next.take().filter(|hash| needed.insert(name(hash))) {
            next = parent_of(&all.join(name(&hash)), key);
        }
    }
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_none_or(|name| !needed.contains(name)) {
            // What stays is removed when the next file has everything.
            let _ = fs::remove_file(entry.path());
        }
    }
    // It stays while it has files.
    let _ = fs::remove_dir(all);
}

fn parent_of(path: &Path, key: Option<&Key>) -> Option<[u8; 32]> {
    begin(path, key).ok()?.parent().copied()
}

/// Begins to read a checkpoint, with its parents. One with a key is read twice: nothing of it is used before it is known
/// who made it.
pub(super) fn open(path: &Path, key: Option<&Key>) -> anyhow::Result<CheckpointReader<'static>> {
    if key.is_some() {
        begin_all(path, key)?.verify()?;
    }
    begin_all(path, key)
}

fn begin_all(path: &Path, key: Option<&Key>) -> anyhow::Result<CheckpointReader<'static>> {
    let mut reader = begin(path, key)?;
    while let Some(hash) = reader.parent() {
        let parent = find(path, hash)?;
        let parent =
            begin(&parent, key).with_context(|| format!("its parent {}", parent.display()))?;
        reader = reader.with_parent(parent)?;
    }
    Ok(reader)
}

/// Joins a checkpoint that was read from a file with its parents.
pub(crate) fn whole(
    checkpoint: Checkpoint,
    path: &Path,
    key: Option<&Key>,
) -> anyhow::Result<Checkpoint> {
    let joined = checkpoint.compact(|hash| {
        let parent = find(path, hash)
            .map_err(|error| wardian::Error::host(crate::report::in_line(&error)))?;
        Checkpoint::read_with(io::BufReader::new(File::open(parent)?), &Key::for_reading(key))
    });
    Ok(joined?)
}

fn begin(path: &Path, key: Option<&Key>) -> anyhow::Result<CheckpointReader<'static>> {
    /// What is read in small parts is read from a buffer.
    const BUFFER: usize = 16 << 10;
    let file = io::BufReader::with_capacity(BUFFER, File::open(path)?);
    Ok(CheckpointReader::new(file, &Key::for_reading(key))?)
}

/// The file of a parent. Those of a kept file are where those of the newest are.
fn find(path: &Path, hash: &[u8; 32]) -> anyhow::Result<PathBuf> {
    let is_number = |ending: &str| ending.bytes().all(|byte| byte.is_ascii_digit());
    let ending = path.extension().and_then(|ending| ending.to_str());
    let newest = ending.filter(|ending| is_number(ending)).map(|_| path.with_extension(""));
    let folders = std::iter::once(path.to_owned()).chain(newest).map(|path| folder(&path));
    let all: Vec<PathBuf> = folders.map(|folder| folder.join(name(hash))).collect();
    let found = all.iter().find(|file| file.exists()).cloned();
    found.with_context(|| {
        format!(
            "it has only what has changed since its parent, which is missing: {}",
            all[0].display()
        )
    })
}
