//! Linux's kernel: Linux and Android.

use nix::sys::signal::{SigSet, Signal};
use rustix::fs::{AtFlags, CWD, OFlags, linkat};
use rustix::net::sockopt::socket_peercred;
use rustix::process::Uid;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What is open, as files.
const DESCRIPTORS: &str = "/proc/self/fd";

/// A file that has no name yet, and goes with its process until it has one.
pub(crate) struct UnnamedFile(File);

impl UnnamedFile {
    /// One in this folder, readable for its user alone; none if the file system has no such files.
    pub(crate) fn in_folder(folder: &Path) -> Option<UnnamedFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600).custom_flags(OFlags::TMPFILE.bits() as i32);
        // It gets its name by way of this folder.
        let file = options.open(folder).ok().filter(|_| Path::new(DESCRIPTORS).exists());
        file.map(UnnamedFile)
    }

    pub(crate) fn file(&self) -> &File {
        &self.0
    }

    /// Gives it a name that nothing has.
    pub(crate) fn name(&self, name: &Path) -> io::Result<()> {
        let unnamed = format!("{DESCRIPTORS}/{}", self.0.as_raw_fd());
        Ok(linkat(CWD, &unnamed, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
    }
}

/// Those that ask programs to end and that our parent did not make us ignore, as shells do for what they
/// run in the background.
pub(crate) fn signals_that_end() -> SigSet {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let is_heard = |signal: &Signal| ignored & (1 << (*signal as u32 - 1)) == 0;
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().filter(is_heard).collect()
}

/// The user at the other end of a connection.
///
/// # Errors
///
/// The system does not say.
pub(crate) fn peer(stream: &UnixStream) -> io::Result<Uid> {
    Ok(socket_peercred(stream)?.uid)
}
