//! States for people: what is open, and what time it was.

use std::fmt;
use std::time::Duration;

use super::{Saved, SavedKind, WasiState, guest_path};
use crate::types::{Filetype, GuestFd};

/// The standard streams, by number.
pub(super) const STREAMS: [&str; 3] = ["standard input", "standard output", "standard error"];

/// What a descriptor of a saved program refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DescriptorKind {
    /// A standard stream, by the number that it began with.
    Stdio(u8),
    /// A preopened directory.
    Preopen,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A character device.
    Device,
    /// A regular file that was removed; its contents are part of the state.
    RemovedFile,
    /// A directory that was removed.
    RemovedDirectory,
    /// A connected socket, which will have lost its peer.
    Socket,
    /// A listening socket.
    Listener,
}

/// An open descriptor of a saved program.
#[derive(Clone, Copy)]
pub struct SavedDescriptor<'s> {
    state: &'s WasiState,
    saved: &'s Saved,
}

impl WasiState {
    /// The program's arguments, its name first.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The program's environment, as `NAME=value`.
    pub fn envs(&self) -> &[String] {
        &self.envs
    }

    /// The time of day when it was saved, by the guest's clock, since 1970.
    pub fn saved_at(&self) -> Duration {
        Duration::from_nanos(self.clocks.realtime)
    }

    /// The guest's monotonic time when it was saved, from which it continues.
    pub fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.clocks.since_start[0])
    }

    /// The names of the directories that a builder must be given to restore it. One of them twice means two
    /// directories of that name.
    pub fn preopens(&self) -> impl Iterator<Item = &str> {
        self.preopens.iter().map(|preopen| &preopen.name[..])
    }

    /// What is open, by number.
    pub fn descriptors(&self) -> impl Iterator<Item = SavedDescriptor<'_>> {
        self.descriptors.iter().map(|saved| SavedDescriptor { state: self, saved })
    }

    /// Whether it was interrupted in a `poll_oneoff`, and for how long that had waited.
    pub fn pending_poll(&self) -> Option<Duration> {
        let pending = self.pending.as_ref()?;
        Some(Duration::from_nanos(self.clocks.since_start[0].saturating_sub(pending.began)))
    }
}

impl SavedDescriptor<'_> {
    /// The guest's number.
    pub fn fd(&self) -> GuestFd {
        self.saved.fd
    }

    /// What it refers to.
    pub fn kind(&self) -> DescriptorKind {
        match self.saved.kind {
            SavedKind::Stdio { role, .. } => DescriptorKind::Stdio(role),
            SavedKind::Preopen { .. } => DescriptorKind::Preopen,
            SavedKind::File { .. } => DescriptorKind::File,
            SavedKind::Directory { .. } => DescriptorKind::Directory,
            SavedKind::Device { .. } => DescriptorKind::Device,
            SavedKind::Unlinked { .. } => DescriptorKind::RemovedFile,
            SavedKind::RemovedDirectory { .. } => DescriptorKind::RemovedDirectory,
            SavedKind::Socket => DescriptorKind::Socket,
            SavedKind::Listener { .. } => DescriptorKind::Listener,
        }
    }

    /// The guest's path, if it has one: the name of the preopened directory, and the path beneath it.
    pub fn path(&self) -> Option<String> {
        let (preopen, path) = self.saved.kind.place()?;
        Some(guest_path(&self.state.preopens[preopen].name, path))
    }

    /// The offset in a file, and how much was read of a standard input, or written, where that is known.
    pub fn offset(&self) -> Option<u64> {
        match self.saved.kind {
            SavedKind::Stdio { position, .. } => position,
            SavedKind::File { offset, .. } | SavedKind::Unlinked { offset, .. } => Some(offset),
            _ => None,
        }
    }

    /// The size of a file.
    pub fn size(&self) -> Option<u64> {
        match self.saved.kind {
            SavedKind::File { identity, .. } => Some(identity.size),
            SavedKind::Unlinked { contents, .. } => {
                Some(self.state.contents[contents].bytes.len() as u64)
            }
            _ => None,
        }
    }

    /// How many entries a directory had that is being listed.
    pub fn listed(&self) -> Option<usize> {
        match &self.saved.kind {
            SavedKind::Preopen { listing, .. } | SavedKind::Directory { listing, .. } => listing
                .as_ref()
                .map(|listing| listing.iter().filter(|p| !p.name.is_empty()).count()),
            _ => None,
        }
    }

    /// Its `fdflags`, as the specification numbers them.
    pub fn flags(&self) -> u16 {
        self.saved.flags
    }

    /// Its rights, and those of what is opened through it: see [`rights`](crate::rights).
    pub fn rights(&self) -> (u64, u64) {
        (self.saved.base, self.saved.inheriting)
    }
}

impl SavedKind {
    /// The kind in words.
    pub(super) fn name(&self) -> &'static str {
        match self {
            SavedKind::Stdio { role, .. } => STREAMS[usize::from(*role).min(2)],
            SavedKind::Preopen { .. } => "preopened directory",
            SavedKind::File { .. } => "file",
            SavedKind::Directory { .. } => "directory",
            SavedKind::Device { .. } => "device",
            SavedKind::Unlinked { .. } => "removed file",
            SavedKind::RemovedDirectory { .. } => "removed directory",
            SavedKind::Socket => "socket",
            SavedKind::Listener { .. } => "listening socket",
        }
    }

    /// The types of file that descriptors of this kind can be.
    pub(super) fn filetypes(&self) -> &'static [Filetype] {
        match self {
            SavedKind::Stdio { .. } => &[
                Filetype::Unknown,
                Filetype::BlockDevice,
                Filetype::CharacterDevice,
                Filetype::RegularFile,
                Filetype::SocketStream,
                Filetype::SocketDgram,
            ],
            SavedKind::Preopen { .. }
            | SavedKind::Directory { .. }
            | SavedKind::RemovedDirectory { .. } => &[Filetype::Directory],
            SavedKind::File { .. } | SavedKind::Unlinked { .. } => &[Filetype::RegularFile],
            SavedKind::Device { .. } => &[Filetype::CharacterDevice],
            SavedKind::Socket => &[Filetype::SocketStream, Filetype::SocketDgram],
            SavedKind::Listener { .. } => &[Filetype::SocketStream],
        }
    }
}

/// One line: `5 file "/data/log.txt", 120 of 4096 bytes`.
impl fmt::Display for SavedDescriptor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.fd(), self.saved.kind.name())?;
        if let Some(path) = self.path() {
            write!(f, " {path:?}")?;
        }
        match (self.offset(), self.size(), self.listed()) {
            (Some(offset), Some(size), _) => write!(f, ", at {offset} of {size} bytes"),
            (Some(offset), None, _) => write!(f, ", at {offset}"),
            (_, _, Some(listed)) => write!(f, ", in a listing of {listed} entries"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for SavedDescriptor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
