//! Streams: descriptors without an offset. Pipes, terminals and other devices
//! of the host; buffers in memory; and streams of the embedder's own.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::sync::Mutex;

use crate::abi::Answer;
use crate::clock::lock;
use crate::errno::Errno;
use crate::host::{self, Host, Pollable, Waiter, WakeSource};
use crate::memory_stream::{MemoryInput, MemoryOutput};
use crate::types::Filestat;

/// A stream the guest reads from, which can be waited for.
///
/// Any [`Read`] can be a guest's input, but nothing can interrupt its `read`,
/// and `poll_oneoff` takes it to be always ready. One that implements this
/// trait is read only when its descriptor is readable.
pub trait PollableInput: Read + Send {
    /// What becomes readable when a `read` would return at once. `None` means
    /// it always would.
    fn poll_fd(&self) -> Option<WakeSource>;
}

/// A stream the guest writes to, which can be waited for. See [`PollableInput`].
pub trait PollableOutput: Write + Send {
    /// What becomes writable when a `write` would return at once. `None` means
    /// it always would.
    fn poll_fd(&self) -> Option<WakeSource>;
}

/// A descriptor without an offset.
pub(crate) enum Stream {
    /// Always at its end; takes everything.
    Null,
    Host(Host),
    Input(MemoryInput),
    Output(MemoryOutput),
    CustomInput {
        stream: Mutex<Box<dyn Read + Send>>,
        ready: Option<WakeSource>,
    },
    CustomOutput {
        stream: Mutex<Box<dyn Write + Send>>,
        ready: Option<WakeSource>,
    },
}

/// How a stream takes part in `poll_oneoff`.
pub(crate) enum Readiness<'a> {
    /// Always ready.
    Now {
        /// How many bytes can be read or written.
        bytes: u64,
        /// Whether none will come after these.
        hangup: bool,
    },
    /// When the host descriptor is.
    Fd(Pollable<'a>),
}

impl Stream {
    /// Whether it is a regular file of the host's.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Stream::Host(host) if host.is_file())
    }

    /// How much of an input has been read, if that can be known.
    pub(crate) fn position(&self) -> Option<u64> {
        match self {
            Stream::Input(input) => Some(input.position()),
            Stream::Host(host) if host.is_file() => host.position(),
            _ => None,
        }
    }

    /// Makes so much of an input read, if it can be.
    pub(crate) fn set_position(&self, position: u64) -> Result<(), Errno> {
        match self {
            Stream::Input(input) => input.set_position(position),
            Stream::Host(host) if host.is_file() => host.set_position(position)?,
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn read(&self, waiter: Waiter<'_>, bufs: &mut [IoSliceMut<'_>]) -> Answer<usize> {
        match self {
            Stream::Null => Ok(0),
            Stream::Host(host) => host.read(waiter, bufs),
            Stream::Input(input) => Ok(input.read(bufs)),
            Stream::CustomInput { stream, ready } => {
                if let Some(fd) = ready {
                    waiter.until_ready(host::wake_source(fd), false)?;
                }
                retry(|| lock(stream).read_vectored(bufs))
            }
            Stream::Output(_) | Stream::CustomOutput { .. } => Err(Errno::Badf.into()),
        }
    }

    pub(crate) fn write(&self, waiter: Waiter<'_>, bufs: &[IoSlice<'_>]) -> Answer<usize> {
        match self {
            Stream::Null => Ok(bufs.iter().map(|buf| buf.len()).sum()),
            Stream::Host(host) => host.write(waiter, bufs),
            Stream::Output(output) => Ok(output.write(bufs)?),
            Stream::CustomOutput { stream, ready } => {
                if let Some(fd) = ready {
                    waiter.until_ready(host::wake_source(fd), true)?;
                }
                retry(|| lock(stream).write_vectored(bufs))
            }
            Stream::Input(_) | Stream::CustomInput { .. } => Err(Errno::Badf.into()),
        }
    }

    /// `fd_sync` and `fd_datasync`.
    pub(crate) fn sync(&self) -> Result<(), Errno> {
        match self {
            Stream::Host(host) => host.sync(),
            Stream::CustomOutput { stream, .. } => Ok(lock(stream).flush()?),
            _ => Ok(()),
        }
    }

    pub(crate) fn filestat(&self, filetype: crate::types::Filetype) -> Result<Filestat, Errno> {
        match self {
            Stream::Host(host) => {
                let stat = host.filestat()?;
                // When a terminal or pipe of the host was used last is not
                // the guest's business; what it opened itself is.
                Ok(match host.is_opened_here() {
                    true => stat,
                    false => Filestat { size: 0, atim: 0, mtim: 0, ctim: 0, ..stat },
                })
            }
            _ => Ok(Filestat::synthetic(filetype, 0)),
        }
    }

    pub(crate) fn readiness(&self, write: bool) -> Readiness<'_> {
        match self {
            Stream::Host(host) => host.readiness(write),
            Stream::CustomInput { ready: Some(fd), .. }
            | Stream::CustomOutput { ready: Some(fd), .. } => Readiness::Fd(host::wake_source(fd)),
            Stream::Null if !write => Readiness::Now { bytes: 0, hangup: true },
            Stream::Input(input) => {
                Readiness::Now { bytes: input.left(), hangup: input.left() == 0 }
            }
            _ => Readiness::Now { bytes: crate::poll::WRITABLE, hangup: false },
        }
    }
}

/// Calls again while a custom stream reports an interrupted call.
fn retry(mut io: impl FnMut() -> std::io::Result<usize>) -> Answer<usize> {
    loop {
        match io() {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
