//! The state of a program as data.
//!
//! ```text
//!   WasiCtx ──save──> WasiState ──to_bytes──> bytes ──from_bytes──> WasiState ──restore──> WasiCtx
//!              save.rs             bytes.rs             bytes.rs              restore.rs
//! ```
//!
//! A state names what it refers to by the guest's names alone: it holds no path of the host, and no authority.
//! Whoever restores it gives the directories anew, and what it names is opened beneath them as a guest would.

mod bytes;
mod error;
mod restore;
pub(crate) mod save;
mod show;

pub(crate) use bytes::{poll_from_bytes, poll_to_bytes};
pub use error::{RestoreError, SaveError, StateError};
pub use restore::{Changed, RestoreOptions};
pub use save::SaveOptions;
pub use show::{DescriptorKind, SavedDescriptor};

use crate::clock::Elapsed;
use crate::pending::PendingPoll;
use crate::readdir::Position;
use crate::types::{Filetype, GuestFd};
use wardian_types::IndexVec;

wardian_types::index_types! {
    /// A preopened directory of a state, by its place in [`WasiState::preopens`].
    pub(crate) struct PreopenIndex;

    /// A file without a name, by the place of what was in it in [`WasiState::contents`].
    pub(crate) struct ContentsIndex;
}

/// The state of a program as data: what [`WasiCtx::save`](crate::WasiCtx::save) finds, and
/// [`WasiCtxBuilder::restore`](crate::WasiCtxBuilder::restore) makes a program's state from, in any process on
/// any machine.
///
/// It holds names, numbers, and the contents of files that have no name any more; no path of the host, and
/// nothing that was ever secret to the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasiState {
    pub(crate) args: Vec<String>,
    /// `NAME=value`.
    pub(crate) envs: Vec<String>,
    pub(crate) clocks: SavedClocks,
    /// The preopened directories that descriptors refer to.
    pub(crate) preopens: IndexVec<PreopenIndex, SavedPreopen>,
    /// The files that have no name any more.
    pub(crate) contents: IndexVec<ContentsIndex, Contents>,
    /// By number, which increase.
    pub(crate) descriptors: Vec<Saved>,
    pub(crate) pending: Option<PendingPoll>,
}

/// Times, in nanoseconds, when the state was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedClocks {
    pub(crate) realtime: u64,
    pub(crate) since_start: Elapsed,
}

/// A preopened directory: the one of this name, after so many others of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedPreopen {
    pub(crate) name: String,
    pub(crate) ordinal: u32,
}

/// What was in a file that has no name any more.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mtim: u64,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) fd: GuestFd,
    pub(crate) filetype: Filetype,
    pub(crate) flags: u16,
    pub(crate) base: u64,
    pub(crate) inheriting: u64,
    pub(crate) kind: SavedKind,
}

/// What a descriptor refers to. `preopen` is the directory by which a path was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SavedKind {
    /// A standard stream, by its first number. Of an input that has an offset, how much was read.
    Stdio { role: u8, position: Option<u64> },
    /// A preopened directory.
    Preopen { preopen: PreopenIndex, listing: Option<Vec<Position>> },
    /// A regular file.
    File { preopen: PreopenIndex, path: String, access: Access, offset: u64, identity: Identity },
    /// A directory.
    Directory { preopen: PreopenIndex, path: String, listing: Option<Vec<Position>> },
    /// A character device.
    Device { preopen: PreopenIndex, path: String, access: Access },
    /// A regular file without a name.
    Unlinked {
        preopen: PreopenIndex,
        path: String,
        access: Access,
        offset: u64,
        contents: ContentsIndex,
    },
    /// A directory that has been removed.
    RemovedDirectory { preopen: PreopenIndex, path: String },
    /// A connected socket.
    Socket,
    /// A listening socket, by its place among those.
    Listener { given: u32 },
}

/// How the host's descriptor was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// What shows that a file is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) mtim: u64,
    /// When it was made, in nanoseconds since 1970; zero if the file system does not know. A new file may have the
    /// number of one that was removed.
    pub(crate) born: u64,
}

impl Identity {
    /// Whether it is the same file, whatever was written to it.
    pub(crate) fn is_same_file(&self, other: &Identity) -> bool {
        (self.dev, self.ino, self.born) == (other.dev, other.ino, other.born)
    }
}

impl SavedKind {
    /// The preopened directory it was reached by, and its path beneath that.
    pub(crate) fn place(&self) -> Option<(PreopenIndex, &str)> {
        match self {
            SavedKind::Preopen { preopen, .. } => Some((*preopen, "")),
            SavedKind::File { preopen, path, .. }
            | SavedKind::Directory { preopen, path, .. }
            | SavedKind::Device { preopen, path, .. }
            | SavedKind::Unlinked { preopen, path, .. }
            | SavedKind::RemovedDirectory { preopen, path } => Some((*preopen, path)),
            SavedKind::Stdio { .. } | SavedKind::Socket | SavedKind::Listener { .. } => None,
        }
    }
}

/// A path as people know the guest's: the name of the preopened directory, and the path beneath it.
pub(crate) fn guest_path(preopen: &str, path: &str) -> String {
    match (preopen, path) {
        (preopen, "" | ".") => preopen.to_owned(),
        (preopen, path) if preopen.ends_with('/') => format!("{preopen}{path}"),
        (preopen, path) => format!("{preopen}/{path}"),
    }
}
