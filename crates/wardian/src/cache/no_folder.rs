//! Systems on which who may use a folder is not known: there is no cache. Where code is compiled each process compiles
//! anew.

use super::entry::Entry;
use std::io;
use std::path::{Path, PathBuf};

/// There is none.
#[derive(Clone, Debug)]
pub(super) enum Folder {}

/// Why a folder cannot hold a cache.
#[derive(Debug, thiserror::Error)]
#[error("the cache folder {} is not used: a cache needs a Unix system", path.display())]
pub(super) struct Unusable {
    path: PathBuf,
}

impl Folder {
    pub(super) fn open(path: PathBuf) -> Result<Folder, Unusable> {
        Err(Unusable { path })
    }

    pub(super) fn path(&self) -> &Path {
        match *self {}
    }

    pub(super) fn list(&self) -> io::Result<Vec<Entry>> {
        match *self {}
    }

    pub(super) fn remove(&self, _: &str) -> bool {
        match *self {}
    }

    pub(super) fn read(&self, _: &str) -> Option<Vec<u8>> {
        match *self {}
    }

    pub(super) fn write(&self, _: &str, _: &[u8]) -> bool {
        match *self {}
    }
}
