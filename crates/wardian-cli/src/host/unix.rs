//! What Unix systems have in common.

mod folder;
mod server;

/// Control sockets.
pub(crate) mod control {
    pub(crate) use super::folder::{Socket, connect};
    pub(crate) use super::server::{Pending, Server};
    /// A connection.
    pub(crate) type Stream = std::os::unix::net::UnixStream;
}

pub(crate) use nix::sys::signal::{SigSet as SignalSet, Signal};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

/// Ends the process by a signal that was only held back, if it can be done.
pub(crate) fn end_by(signal: Signal) {
    // It now does what it does by default.
    let unblocked = SignalSet::from(signal).thread_unblock();
    let _ = unblocked.and_then(|()| nix::sys::signal::raise(signal));
}

/// Whether standard output is a pipe that nobody reads any more, as in `wardian run x.wasm | head`.
pub(crate) fn reader_is_gone() -> bool {
    let out = io::stdout();
    let mut ask = [PollFd::new(&out, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut ask, Some(&now)).is_ok() && ask[0].revents().contains(PollFlags::ERR)
}

/// Columns and rows of a terminal; zero of one that does not know.
pub(crate) fn terminal_size(terminal: impl AsFd) -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// The bytes of a file's name.
pub(crate) fn bytes_of(name: &OsStr) -> &[u8] {
    name.as_bytes()
}

/// The file's name with these bytes, a part of another's.
pub(crate) fn from_bytes(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}

/// How many bytes at the beginning name a disk: none.
pub(crate) fn disk(_: &[u8]) -> usize {
    0
}

/// Tells a file from others, whatever its names.
pub(crate) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// Whether others than its user can read a file.
pub(crate) fn is_readable_by_others(meta: &Metadata) -> bool {
    meta.mode() & 0o077 != 0
}

/// Makes a folder that only its user can enter.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Returns when the names in a folder are on the disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|folder| folder.sync_all())
}

/// What a shell shows of a process that has ended.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
