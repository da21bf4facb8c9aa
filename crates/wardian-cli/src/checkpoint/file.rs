//! Files with checkpoints, of which there is a whole one whatever ends the process.
//!
//! A file is replaced as a whole: the new one is written without a name, where the file system has that, so that it is
//! gone with a process that is killed, and takes its name when it is on the disk. Those that were there before are kept
//! under numbers, if that is asked for:
//!
//! ```text
//!   1. a.chk.2 -> a.chk.3, a.chk.1 -> a.chk.2      renamed, up to the first number that is free
//!   2. a.chk = a.chk.1                             a second name for the same file
//!   3. the new file -> a.chk                       renamed
//! ```

use super::chain::{self, Chained, Parent, Written};
use super::key::Key;
use super::place::{New, Place};
use crate::host::UnnamedFile;
use crate::wasi::Host;
use anyhow::{Context, anyhow};
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::NamedTempFile;
use wardian::Store;
use wardian::checkpoint::{AfterCheckpoint, CheckpointIndex, CheckpointOptions, CheckpointRequest};
use wardian_wasi::WasiThreadsHandle;

/// The names of files that a checkpoint is written to before it takes its name.
const TEMPORARY: &str = ".wardian-checkpoint-";

/// Asks for a checkpoint, which the guest's thread writes: it replaces the file, readable for this user alone, and so
/// many that were there before are kept. With a parent, which is the file that is replaced, it has what has changed since.
/// What was there stays until the new one is on the disk. `done` is dropped if the guest has ended.
pub(crate) fn request(
    guest: &Guest,
    target: &Target,
    chained: Chained,
    done: impl FnOnce(Result<Written, Problem>) -> AfterCheckpoint + Send + 'static,
) {
    let context = || format!("cannot write the checkpoint {}", target.place);
    let new = target.place.begin().and_then(|new| Ok((new.writer()?, new)));
    let (writer, new) = match new.with_context(context) {
        Ok(new) => new,
        Err(error) => {
            // The guest is not asked.
            done(Err(Problem::CannotWrite(error)));
            return;
        }
    };
    let failed = Arc::new(AtomicBool::new(false));
    let writer = Noting { to: writer, failed: failed.clone() };
    // A group of threads is written as a whole each time.
    let chained = if let Guest::Threads(_) = guest { Chained::No } else { chained };
    let options = Key::for_writing(target.key.as_ref(), chained.options());
    let replacing = Replacing { target: target.clone(), parent: chained.parent() };
    let finish = move |taken: wardian::Result<Option<CheckpointIndex>>| {
        let context = || format!("cannot write the checkpoint {}", replacing.target.place);
        done(match taken {
            Ok(_) if replacing.is_late() => Err(Problem::Replaced),
            Ok(index) => replacing
                .finish(new)
                .with_context(context)
                .map(|bytes| Written { bytes, index })
                .map_err(Problem::CannotWrite),
            Err(error) if failed.load(Ordering::Relaxed) => {
                Err(Problem::CannotWrite(anyhow::Error::new(error).context(context())))
            }
            Err(error) => Err(Problem::CannotCapture(error.into())),
        })
    };
    match guest {
        Guest::One(guest) => guest.request_to(options, writer, |taken| finish(taken.map(Some))),
        Guest::Threads(group) => request_group(group.clone(), options, writer, finish),
    }
}

/// Asks for a checkpoint of a group of threads, from a thread of its own, for that waits for all of them.
fn request_group(
    group: WasiThreadsHandle<Host>,
    options: CheckpointOptions,
    writer: impl Write + Send + 'static,
    finish: impl FnOnce(wardian::Result<Option<CheckpointIndex>>) -> AfterCheckpoint + Send + 'static,
) {
    let once = Arc::new(Mutex::new(Some(finish)));
    let take = |once: &Mutex<Option<_>>| once.lock().unwrap_or_else(|e| e.into_inner()).take();
    let ask = {
        let once = once.clone();
        move || {
            let written = {
                let once = once.clone();
                move || take(&once).map_or(AfterCheckpoint::Resume, |finish| finish(Ok(None)))
            };
            match group.checkpoint_to(&options, writer, written) {
                // The one who asks hears that the guest has ended.
                Err(_) if group.has_ended() => drop(take(&once)),
                Err(error) => {
                    take(&once).map(|finish| finish(Err(error)));
                }
                Ok(()) => {}
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("checkpoint".into()).spawn(ask) {
        let error = wardian::Error::host(error);
        take(&once).map(|finish| finish(Err(error)));
    }
}

/// What is asked for checkpoints.
#[derive(Clone)]
pub(crate) enum Guest {
    One(CheckpointRequest),
    /// A program that can make threads.
    Threads(WasiThreadsHandle<Host>),
}

impl Guest {
    /// That of a store, or of the group of threads of which it is the main thread's.
    pub(crate) fn new(store: &mut Store<Host>, threads: Option<WasiThreadsHandle<Host>>) -> Guest {
        threads.map_or_else(|| Guest::One(store.checkpoint_request()), Guest::Threads)
    }
}

/// Where checkpoints go.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) place: Place,
    /// How many are kept that were there before.
    pub(crate) keep: u16,
    pub(crate) key: Option<Key>,
}

/// A file that is to be replaced.
struct Replacing {
    target: Target,
    /// The file that is replaced, if the new one needs it.
    parent: Option<Parent>,
}

impl Replacing {
    /// Whether another request has replaced the file, so that the new one would not find its parent.
    fn is_late(&self) -> bool {
        self.parent.as_ref().is_some_and(|parent| !parent.is(&self.target.place))
    }

    /// Gives a file that was written its name, and returns its size.
    fn finish(&self, new: New) -> anyhow::Result<u64> {
        let Target { place, keep, key } = &self.target;
        let size = new.sync()?;
        if let Some(parent) = &self.parent {
            parent.keep(place).context("cannot keep its parent")?;
        }
        if *keep > 0 {
            keep_old(place, *keep).context("cannot keep the one before")?;
        }
        new.replace(place)?;
        if self.parent.is_none() {
            chain::remove_parents(place, *keep, key.as_ref());
        }
        Ok(size)
    }
}

/// Why there is no checkpoint.
pub(crate) enum Problem {
    CannotCapture(anyhow::Error),
    CannotWrite(anyhow::Error),
    /// Meanwhile there is another one, on which this one is not based.
    Replaced,
}

impl Problem {
    pub(crate) fn into_error(self) -> anyhow::Error {
        match self {
            Problem::CannotCapture(error) | Problem::CannotWrite(error) => error,
            Problem::Replaced => anyhow!("meanwhile another checkpoint was written"),
        }
    }
}

/// A writer that notes whether it has failed.
struct Noting<W> {
    to: W,
    failed: Arc<AtomicBool>,
}

impl<W: Write> Write for Noting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes).inspect_err(|_| self.failed.store(true, Ordering::Relaxed))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.to.write_vectored(parts).inspect_err(|_| self.failed.store(true, Ordering::Relaxed))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().inspect_err(|_| self.failed.store(true, Ordering::Relaxed))
    }
}

/// A file that is to take the place of another.
pub(super) enum NewFile {
    Unnamed(UnnamedFile),
    Named(NamedTempFile),
}

impl NewFile {
    pub(super) fn in_folder(folder: &Path) -> io::Result<NewFile> {
        match UnnamedFile::in_folder(folder) {
            Some(file) => Ok(NewFile::Unnamed(file)),
            None => builder().tempfile_in(folder).map(NewFile::Named),
        }
    }

    pub(super) fn file(&self) -> &File {
        match self {
            NewFile::Unnamed(file) => file.file(),
            NewFile::Named(file) => file.as_file(),
        }
    }

    pub(super) fn replace(self, path: &Path) -> io::Result<()> {
        match self {
            NewFile::Unnamed(file) => {
                // What gives names replaces nothing, what renames does.
                builder().make_in(folder(path), |name| file.name(name))?.persist(path)?;
            }
            NewFile::Named(file) => drop(file.persist(path)?),
        }
        Ok(())
    }

    /// Makes a file a copy of another.
    pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
        let new = NewFile::in_folder(folder(to))?;
        io::copy(&mut File::open(from)?, &mut new.file())?;
        new.file().sync_all()?;
        new.replace(to)
    }
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    builder
}

/// The folder that a file is in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives the file its first number as a second name; those that have numbers get the next ones.
fn keep_old(place: &Place, keep: u16) -> anyhow::Result<()> {
    let first = place.numbered(1);
    let Some(current) = place.identity()? else { return Ok(()) };
    if first.is(&current) {
        // The process was killed after the second step.
        return Ok(());
    }
    let end = (1..keep).find(|number| !place.numbered(*number).exists()).unwrap_or(keep);
    for number in (1..end).rev() {
        place.numbered(number).rename(&place.numbered(number + 1))?;
    }
    // Of one kept file the number is not free yet.
    place.link(&first)
}

#[cfg(test)]
mod tests {
    use super::{Place, keep_old};
    use std::fs;
    use std::path::{Path, PathBuf};

    fn numbered(path: &Path, number: u16) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    }

    fn keep_one(path: &Path, number: u16) {
        keep_old(&Place::File(path.to_owned()), number).unwrap();
    }

    /// What each file has, from the newest one.
    fn contents(path: &Path) -> Vec<Option<String>> {
        let names = std::iter::once(path.to_owned()).chain((1..5).map(|n| numbered(path, n)));
        names.map(|name| fs::read_to_string(name).ok()).collect()
    }

    fn replace(path: &Path, text: &str) {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    #[test]
    fn old_files_are_kept_by_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.chk");
        for (keep, expected) in [
            (3, ["0", "-", "-", "-", "-"]),
            (3, ["1", "0", "-", "-", "-"]),
            (3, ["2", "1", "0", "-", "-"]),
            (3, ["3", "2", "1", "0", "-"]),
            (3, ["4", "3", "2", "1", "-"]),
            (1, ["5", "4", "2", "1", "-"]),
            (1, ["6", "5", "2", "1", "-"]),
        ] {
            keep_one(&path, keep);
            replace(&path, expected[0]);
            let expected = expected.map(|text| (text != "-").then(|| text.to_owned()));
            assert_eq!(contents(&path), expected);
        }
    }

    #[test]
    fn an_end_between_the_steps_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.chk");
        for text in ["0", "1", "2"] {
            keep_one(&path, 2);
            replace(&path, text);
        }
        // After the second step: both names are of the same file.
        keep_one(&path, 2);
        assert_eq!(contents(&path)[..3], ["2", "2", "1"].map(|t| Some(t.to_owned())));
        keep_one(&path, 2);
        replace(&path, "3");
        assert_eq!(contents(&path)[..3], ["3", "2", "1"].map(|t| Some(t.to_owned())));
        // In the first step: a number is free.
        fs::rename(numbered(&path, 1), numbered(&path, 2)).unwrap();
        keep_one(&path, 2);
        replace(&path, "4");
        assert_eq!(contents(&path)[..3], ["4", "3", "2"].map(|t| Some(t.to_owned())));
    }
}
