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

use super::chain::{self, Parent, Written};
use super::key::Key;
use crate::host::{self, UnnamedFile, identity};
use anyhow::{Context, anyhow};
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::NamedTempFile;
use wardian::checkpoint::{AfterCheckpoint, CheckpointOptions, CheckpointRequest};

/// The names of files that a checkpoint is written to before it takes its name.
const TEMPORARY: &str = ".wardian-checkpoint-";

/// Asks for a checkpoint, which the guest's thread writes: it replaces the file, readable for this user alone, and so
/// many that were there before are kept. With a parent, which is the file that is replaced, it has what has changed since.
/// What was there stays until the new one is on the disk. `done` is dropped if the guest has ended.
pub(crate) fn request(
    guest: &CheckpointRequest,
    target: &Target,
    parent: Option<Parent>,
    done: impl FnOnce(Result<Written, Problem>) -> AfterCheckpoint + Send + 'static,
) {
    let path = &target.path;
    let context = || format!("cannot write the checkpoint {}", path.display());
    let new = NewFile::in_folder(folder(path)).and_then(|new| Ok((new.file().try_clone()?, new)));
    let (writer, new) = match new.with_context(context) {
        Ok(new) => new,
        Err(error) => {
            // The guest is not asked.
            done(Err(Problem::CannotWrite(error)));
            return;
        }
    };
    let failed = Arc::new(AtomicBool::new(false));
    let writer = Noting { to: BufWriter::new(writer), failed: failed.clone() };
    let options = parent.as_ref().map_or_else(CheckpointOptions::new, Parent::options);
    let options = Key::for_writing(target.key.as_ref(), options);
    let replacing = Replacing { target: target.clone(), parent };
    guest.request_to(options, writer, move |taken| {
        let context = || format!("cannot write the checkpoint {}", replacing.target.path.display());
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
    });
}

/// Where checkpoints go.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) path: PathBuf,
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
        self.parent.as_ref().is_some_and(|parent| !parent.is(&self.target.path))
    }

    /// Gives a file that was written its name, and returns its size.
    fn finish(&self, new: NewFile) -> anyhow::Result<u64> {
        let Target { path, keep, key } = &self.target;
        new.file().sync_all()?;
        let size = new.file().metadata()?.len();
        if let Some(parent) = &self.parent {
            parent.keep(path).context("cannot keep its parent")?;
        }
        if *keep > 0 {
            keep_old(path, *keep).context("cannot keep the one before")?;
        }
        new.replace(path)?;
        // The names are on the disk when the folder is.
        host::sync_folder(folder(path))?;
        if self.parent.is_none() {
            chain::remove_parents(path, *keep, key.as_ref());
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

/// Whether a checkpoint can be written.
pub(super) fn try_folder(path: &Path) -> anyhow::Result<()> {
    let folder = folder(path);
    let tried = NewFile::in_folder(folder);
    tried.map(drop).with_context(|| format!("cannot write to {}", folder.display()))
}

/// A file that is to take the place of another.
enum NewFile {
    Unnamed(UnnamedFile),
    Named(NamedTempFile),
}

impl NewFile {
    fn in_folder(folder: &Path) -> io::Result<NewFile> {
        match UnnamedFile::in_folder(folder) {
            Some(file) => Ok(NewFile::Unnamed(file)),
            None => builder().tempfile_in(folder).map(NewFile::Named),
        }
    }

    fn file(&self) -> &File {
        match self {
            NewFile::Unnamed(file) => file.file(),
            NewFile::Named(file) => file.as_file(),
        }
    }

    fn replace(self, path: &Path) -> io::Result<()> {
        match self {
            NewFile::Unnamed(file) => {
                // What gives names replaces nothing, what renames does.
                builder().make_in(folder(path), |name| file.name(name))?.persist(path)?;
            }
            NewFile::Named(file) => drop(file.persist(path)?),
        }
        Ok(())
    }
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    builder
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name of a file that was there before.
pub(super) fn numbered(path: &Path, number: u16) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Gives the file its first number as a second name; those that have numbers get the next ones.
fn keep_old(path: &Path, keep: u16) -> io::Result<()> {
    let first = numbered(path, 1);
    let current = match identity(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        current => current?,
    };
    if identity(&first).is_ok_and(|first| first == current) {
        // The process was killed after the second step.
        return Ok(());
    }
    let is_free = |number: &u16| identity(&numbered(path, *number)).is_err();
    let end = (1..keep).find(is_free).unwrap_or(keep);
    for number in (1..end).rev() {
        fs::rename(numbered(path, number), numbered(path, number + 1))?;
    }
    // Of one kept file the number is not free yet.
    if let Err(error) = fs::remove_file(&first)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    match fs::hard_link(path, &first) {
        // The file system has no second names.
        Err(error) if error.kind() != ErrorKind::NotFound => copy(path, &first),
        linked => linked,
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let new = NewFile::in_folder(folder(to))?;
    io::copy(&mut File::open(from)?, &mut new.file())?;
    new.file().sync_all()?;
    new.replace(to)
}

#[cfg(test)]
mod tests {
    use super::{keep_old, numbered};
    use std::fs;
    use std::path::Path;

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
            keep_old(&path, keep).unwrap();
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
            keep_old(&path, 2).unwrap();
            replace(&path, text);
        }
        // After the second step: both names are of the same file.
        keep_old(&path, 2).unwrap();
        assert_eq!(contents(&path)[..3], ["2", "2", "1"].map(|t| Some(t.to_owned())));
        keep_old(&path, 2).unwrap();
        replace(&path, "3");
        assert_eq!(contents(&path)[..3], ["3", "2", "1"].map(|t| Some(t.to_owned())));
        // In the first step: a number is free.
        fs::rename(numbered(&path, 1), numbered(&path, 2)).unwrap();
        keep_old(&path, 2).unwrap();
        replace(&path, "4");
        assert_eq!(contents(&path)[..3], ["4", "3", "2"].map(|t| Some(t.to_owned())));
    }
}
