//! Where a checkpoint is: a file, or an object of a store that a URL names.
//!
//! What is done to either is the same, so that kept ones and chains are found in the same way:
//!
//! | name | is |
//! |---|---|
//! | `a.chk` | the newest |
//! | `a.chk.1`, `a.chk.2` ... | those before it |
//! | `a.chk.parents/HASH` | what children need |

use super::cloud::{NewObject, Object};
use super::file::{NewFile, folder};
use crate::host::{self, identity};
use anyhow::Context;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// A file or an object.
#[derive(Clone)]
pub(crate) enum Place {
    File(PathBuf),
    Object(Object),
}

/// Tells a file or an object from others that have its name at other times.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    File((u64, u64)),
    /// The last bytes of an object, which are the root hash.
    Object([u8; 32]),
}

/// What is being written.
pub(super) enum New {
    File(NewFile),
    Object(NewObject),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(f),
            Place::Object(object) => object.fmt(f),
        }
    }
}

/// Whether a name on the command line is a URL. A file with such a name is named `./…`.
pub(crate) fn is_url(name: &Path) -> bool {
    let scheme = name.to_str().and_then(|name| name.split_once("://")).map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        let rest = scheme.strip_prefix(|first: char| first.is_ascii_alphabetic());
        let in_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        rest.is_some_and(|rest| rest.chars().all(in_scheme))
    })
}

impl Place {
    /// What a name on the command line means.
    pub(crate) fn of(name: &Path) -> anyhow::Result<Place> {
        match name.to_str().filter(|_| is_url(name)) {
            Some(url) => Object::at(url).map(Place::Object),
            None => Ok(Place::File(name.to_owned())),
        }
    }

    /// Begins to read it.
    pub(crate) fn reader(&self) -> anyhow::Result<Box<dyn Read>> {
        /// What is read in small parts is read from a buffer.
        const BUFFER: usize = 16 << 10;
        match self {
            Place::File(path) => {
                Ok(Box::new(io::BufReader::with_capacity(BUFFER, File::open(path)?)))
            }
            Place::Object(object) => object.reader(),
        }
    }

    /// Whether a checkpoint can be written there.
    pub(super) fn try_write(&self) -> anyhow::Result<()> {
        match self {
            Place::File(path) => {
                let folder = folder(path);
                let tried = NewFile::in_folder(folder).map(drop);
                tried.with_context(|| format!("cannot write to {}", folder.display()))
            }
            Place::Object(object) => {
                object.try_write().with_context(|| format!("cannot write to {object}"))
            }
        }
    }

    /// Begins to write what is to take this name.
    pub(super) fn begin(&self) -> anyhow::Result<New> {
        match self {
            Place::File(path) => Ok(New::File(NewFile::in_folder(folder(path))?)),
            Place::Object(object) => Ok(New::Object(object.begin())),
        }
    }

    /// What is there now, if anything is.
    pub(super) fn identity(&self) -> anyhow::Result<Option<Identity>> {
        match self {
            Place::File(path) => match identity(path) {
                Ok(found) => Ok(Some(Identity::File(found))),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            },
            Place::Object(object) => Ok(object.root()?.map(Identity::Object)),
        }
    }

    /// Whether this is there now.
    pub(super) fn is(&self, identity: &Identity) -> bool {
        self.identity().is_ok_and(|found| found.as_ref() == Some(identity))
    }

    /// Whether anything is there.
    pub(super) fn exists(&self) -> bool {
        self.identity().is_ok_and(|found| found.is_some())
    }

    fn beside(&self, ending: &str) -> Place {
        match self {
            Place::File(path) => {
                let mut name = path.as_os_str().to_owned();
                name.push(ending);
                Place::File(name.into())
            }
            Place::Object(object) => Place::Object(object.with_ending(ending)),
        }
    }

    /// The name of one that was there before.
    pub(super) fn numbered(&self, number: u16) -> Place {
        self.beside(&format!(".{number}"))
    }

    /// The name of the newest, if this is a numbered name.
    pub(super) fn newest(&self) -> Option<Place> {
        let is_number =
            |ending: &str| !ending.is_empty() && ending.bytes().all(|b| b.is_ascii_digit());
        match self {
            Place::File(path) => {
                let ending = path.extension().and_then(|ending| ending.to_str());
                ending.filter(|e| is_number(e)).map(|_| Place::File(path.with_extension("")))
            }
            Place::Object(object) => object.without_ending(is_number).map(Place::Object),
        }
    }

    /// What children of this one call their parent of that name.
    pub(super) fn parent(&self, name: &str) -> Place {
        match self {
            Place::File(_) => match self.beside(".parents") {
                Place::File(folder) => Place::File(folder.join(name)),
                folder @ Place::Object(_) => folder,
            },
            Place::Object(_) => self.beside(&format!(".parents/{name}")),
        }
    }

    /// The names of all such parents.
    pub(super) fn parents(&self) -> Vec<String> {
        match self.beside(".parents") {
            Place::File(folder) => {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
            }
            Place::Object(folder) => folder.names_below().unwrap_or_default(),
        }
    }

    /// Gives what is there a second name, by which its children find it.
    pub(super) fn keep_as_parent(&self, name: &str) -> anyhow::Result<()> {
        let to = self.parent(name);
        let (Place::File(path), Place::File(to)) = (self, &to) else {
            return self.copy_to(&to);
        };
        let folder = folder(to);
        match host::private_folder(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        match fs::hard_link(path, to) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            linked => linked?,
        }
        Ok(host::sync_folder(folder)?)
    }

    /// Removes it. What stays is removed another time.
    pub(super) fn remove_parent(&self, name: &str) {
        let _ = match self.parent(name) {
            Place::File(path) => fs::remove_file(path).map_err(Into::into),
            Place::Object(object) => object.remove(),
        };
    }

    /// Removes the folder of the parents, if it is empty. Stores of objects have no folders.
    pub(super) fn remove_parents_folder(&self) {
        if let Place::File(folder) = self.beside(".parents") {
            let _ = fs::remove_dir(folder);
        }
    }

    /// Gives it another name, which may be used again.
    pub(super) fn rename(&self, to: &Place) -> anyhow::Result<()> {
        match (self, to) {
            (Place::File(from), Place::File(to)) => Ok(fs::rename(from, to)?),
            // Its own name is written next, so it may stay.
            _ => self.copy_to(to),
        }
    }

    /// Gives it a second name, in place of what has that name.
    pub(super) fn link(&self, to: &Place) -> anyhow::Result<()> {
        let (Place::File(path), Place::File(to)) = (self, to) else {
            return self.copy_to(to);
        };
        if let Err(error) = fs::remove_file(to)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error.into());
        }
        match fs::hard_link(path, to) {
            // The file system has no second names.
            Err(error) if error.kind() != ErrorKind::NotFound => Ok(NewFile::copy(path, to)?),
            linked => Ok(linked?),
        }
    }

    fn copy_to(&self, to: &Place) -> anyhow::Result<()> {
        match (self, to) {
            (Place::Object(from), Place::Object(to)) => from.copy_to(to),
            _ => anyhow::bail!("a file and an object are no names of one thing"),
        }
    }
}

impl New {
    /// What writes to it.
    pub(super) fn writer(&self) -> anyhow::Result<Box<dyn Write + Send>> {
        match self {
            New::File(new) => Ok(Box::new(io::BufWriter::new(new.file().try_clone()?))),
            New::Object(new) => Ok(new.writer()),
        }
    }

    /// What was written stays whatever happens, but has no name yet, or not yet all of it. Returns its bytes.
    pub(super) fn sync(&self) -> anyhow::Result<u64> {
        match self {
            New::File(new) => {
                new.file().sync_all()?;
                Ok(new.file().metadata()?.len())
            }
            New::Object(new) => Ok(new.len()),
        }
    }

    /// Takes the place of what is there.
    pub(super) fn replace(self, place: &Place) -> anyhow::Result<()> {
        match (self, place) {
            (New::File(new), Place::File(path)) => {
                new.replace(path)?;
                // The names are on the disk when the folder is.
                Ok(host::sync_folder(folder(path))?)
            }
            (New::Object(new), _) => new.finish(),
            (New::File(_), Place::Object(_)) => anyhow::bail!("a file is no object"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, is_url};
    use std::path::Path;

    #[test]
    fn urls_have_a_scheme() {
        for url in ["s3://bucket/key", "https://host/a", "gs+x://b", "S3://b"] {
            assert!(is_url(Path::new(url)), "{url}");
        }
        for file in ["a.chk", "/a://b", "./s3://bucket", "3s://b", "://b", "a b://c", "s3:/b"] {
            assert!(!is_url(Path::new(file)), "{file}");
        }
    }

    #[test]
    fn numbers_are_after_names() {
        let place = |name: &str| Place::of(Path::new(name)).unwrap();
        assert_eq!(place("a.chk").numbered(3).to_string(), "a.chk.3");
        assert_eq!(place("a.chk.3").newest().unwrap().to_string(), "a.chk");
        assert!(place("a.chk").newest().is_none());
        assert!(place("a").newest().is_none());
    }
}
