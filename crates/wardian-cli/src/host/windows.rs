//! Windows. There are no signals: Ctrl-C ends the process at once. There are no control sockets.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::windows::fs::MetadataExt;
use std::os::windows::io::AsHandle;
use std::path::Path;
use std::process::ExitStatus;

/// The signals that Unix systems have; none of them comes.
#[allow(clippy::upper_case_acronyms, reason = "their names")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    SIGHUP = 1,
    SIGINT = 2,
    SIGUSR1 = 10,
    SIGUSR2 = 12,
    SIGTERM = 15,
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Signals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalSet;

impl FromIterator<Signal> for SignalSet {
    fn from_iter<T: IntoIterator<Item = Signal>>(_: T) -> SignalSet {
        SignalSet
    }
}

impl SignalSet {
    /// There is nothing to hold back.
    pub(crate) fn thread_block(&self) -> io::Result<()> {
        Ok(())
    }

    /// # Errors
    ///
    /// Always: none comes.
    pub(crate) fn wait(&self) -> io::Result<Signal> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// There is nothing to wait for.
pub(crate) fn signals_that_end() -> SignalSet {
    SignalSet
}

/// The process ends with its exit code.
pub(crate) fn end_by(_: Signal) {}

/// Not known before something is written.
pub(crate) fn reader_is_gone() -> bool {
    false
}

/// Columns and rows of a terminal.
pub(crate) fn terminal_size(terminal: impl AsHandle) -> Option<(u16, u16)> {
    let (width, height) = terminal_size::terminal_size_of(terminal)?;
    Some((width.0, height.0))
}

/// The bytes of a file's name, as far as it is Unicode.
pub(crate) fn bytes_of(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}

/// The file's name with these bytes, a part of another's.
pub(crate) fn from_bytes(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// How many bytes at the beginning name a disk, as in `C:\x`: its colon separates nothing.
pub(crate) fn disk(name: &[u8]) -> usize {
    match name {
        [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic() => 2,
        _ => 0,
    }
}

/// Tells a file from others in the same place: when it was made, and when it was last written.
pub(crate) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|meta| (meta.creation_time(), meta.last_write_time()))
}

/// Not known: who may read a file is decided by its folder.
pub(crate) fn is_readable_by_others(_: &Metadata) -> bool {
    false
}

/// Makes a folder. Who can enter it is decided by the one that it is in.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}

/// The system has no way to wait for that.
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// What a shell shows of a process that has ended.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}

/// Control sockets need a Unix system.
pub(crate) mod control {
    use super::Infallible;
    use crate::control::protocol::{Answer, Command};
    use anyhow::bail;

    /// A connection: there is none.
    pub(crate) type Stream = std::net::TcpStream;

    const WHY: &str = "control sockets need a Unix system, and this is Windows";

    /// # Errors
    ///
    /// Always.
    pub(crate) fn connect(_: u32) -> anyhow::Result<Stream> {
        bail!(WHY)
    }

    /// The socket of this process: there is none.
    pub(crate) struct Socket(Infallible);

    impl Socket {
        /// # Errors
        ///
        /// Always.
        pub(crate) fn open() -> anyhow::Result<(Socket, Infallible)> {
            bail!(WHY)
        }
    }

    /// A request: there is none.
    pub(crate) struct Pending(Infallible);

    impl Pending {
        pub(crate) fn gone(&self) -> std::sync::Arc<std::sync::atomic::AtomicBool> {
            match self.0 {}
        }

        pub(crate) fn send(self, _: Answer) {
            match self.0 {}
        }

        pub(crate) fn send_and_wait(self, _: Answer) {
            match self.0 {}
        }
    }

    /// The side that answers: there is none.
    pub(crate) struct Server(Infallible);

    impl Server {
        pub(crate) fn new(listener: Infallible) -> std::io::Result<Server> {
            match listener {}
        }

        pub(crate) fn run(self, _: &dyn Fn(Command, Pending)) {
            match self.0 {}
        }
    }
}
