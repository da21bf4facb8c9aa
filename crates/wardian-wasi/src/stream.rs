//! Streams: descriptors without an offset. Pipes, terminals and other devices
//! of the host; buffers in memory; and streams of the embedder's own.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::PollFlags;
use rustix::fs::SeekFrom;
use rustix::io::ReadWriteFlags;

use crate::abi::Answer;
use crate::chunks;
use crate::clock::lock;
use crate::errno::Errno;
use crate::memory_stream::{MemoryInput, MemoryOutput};
use crate::types::Filestat;
use crate::wait::Waiter;

/// A stream the guest reads from, which can be waited for.
///
/// Any [`Read`] can be a guest's input, but nothing can interrupt its `read`,
/// and `poll_oneoff` takes it to be always ready. One that implements this
/// trait is read only when its descriptor is readable.
pub trait PollableInput: Read + Send {
    /// What becomes readable when a `read` would return at once. `None` means
    /// it always would.
    fn poll_fd(&self) -> Option<OwnedFd>;
}

/// A stream the guest writes to, which can be waited for. See [`PollableInput`].
pub trait PollableOutput: Write + Send {
    /// What becomes writable when a `write` would return at once. `None` means
    /// it always would.
    fn poll_fd(&self) -> Option<OwnedFd>;
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
        ready: Option<OwnedFd>,
    },
    CustomOutput {
        stream: Mutex<Box<dyn Write + Send>>,
        ready: Option<OwnedFd>,
    },
}

/// How a stream takes part in `poll_oneoff`.
pub(crate) enum Readiness<'a> {
    /// Always ready; so many bytes are there, and whether that is all.
    Now(u64, bool),
    /// When the host descriptor is.
    Fd(BorrowedFd<'a>),
}

impl Stream {
    /// Whether it is a regular file of the host's.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Stream::Host(host) if host.is_file)
    }

    /// How much of an input has been read, if that can be known.
    pub(crate) fn position(&self) -> Option<u64> {
        match self {
            Stream::Input(input) => Some(input.position()),
            Stream::Host(host) if host.is_file => rustix::fs::tell(&host.fd).ok(),
            _ => None,
        }
    }

    /// Makes so much of an input read, if it can be.
    pub(crate) fn set_position(&self, position: u64) -> Result<(), Errno> {
        match self {
            Stream::Input(input) => input.set_position(position),
            Stream::Host(host) if host.is_file => {
                rustix::fs::seek(&host.fd, SeekFrom::Start(position))?;
            }
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
                    waiter.until_ready(fd.as_fd(), PollFlags::IN)?;
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
                    waiter.until_ready(fd.as_fd(), PollFlags::OUT)?;
                }
                retry(|| lock(stream).write_vectored(bufs))
            }
            Stream::Input(_) | Stream::CustomInput { .. } => Err(Errno::Badf.into()),
        }
    }

    /// `fd_sync` and `fd_datasync`.
    pub(crate) fn sync(&self) -> Result<(), Errno> {
        match self {
            Stream::Host(host) => Ok(rustix::fs::fsync(&host.fd)?),
            Stream::CustomOutput { stream, .. } => Ok(lock(stream).flush()?),
            _ => Ok(()),
        }
    }

    pub(crate) fn filestat(&self, filetype: crate::types::Filetype) -> Result<Filestat, Errno> {
        match self {
            Stream::Host(host) => {
                let stat = Filestat::from(&rustix::fs::fstat(&host.fd)?);
                // When a terminal or pipe of the host was used last is not
                // the guest's business; what it opened itself is.
                Ok(match host.nonblocking {
                    true => stat,
                    false => Filestat { size: 0, atim: 0, mtim: 0, ctim: 0, ..stat },
                })
            }
            _ => Ok(Filestat::synthetic(filetype, 0)),
        }
    }

    pub(crate) fn readiness(&self, write: bool) -> Readiness<'_> {
        match self {
            Stream::Host(host) => Readiness::Fd(host.fd.as_fd()),
            Stream::CustomInput { ready: Some(fd), .. }
            | Stream::CustomOutput { ready: Some(fd), .. } => Readiness::Fd(fd.as_fd()),
            Stream::Null if !write => Readiness::Now(0, true),
            Stream::Input(input) => Readiness::Now(input.left(), input.left() == 0),
            _ => Readiness::Now(crate::poll::WRITABLE, false),
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

/// A pipe, FIFO, terminal or other device of the host.
pub(crate) struct Host {
    fd: OwnedFd,
    /// The host descriptor does not block. Only set on ones that nobody else
    /// has: the flag is shared by all who have a terminal or pipe open.
    nonblocking: bool,
    /// The host can be asked for each call not to block.
    nowait: AtomicBool,
    /// A regular file, which never waits for others.
    is_file: bool,
}

/// Not at any offset, for `preadv2` and `pwritev2`.
const NO_OFFSET: u64 = u64::MAX;

/// How much a pipe that is ready takes without blocking, and how much of a
/// blocking write is tried at a time.
const PIPE_BUF: usize = 4096;

impl Host {
    /// A descriptor that others may have too; it may block.
    pub(crate) fn shared(fd: OwnedFd) -> Host {
        Host { fd, nonblocking: false, nowait: AtomicBool::new(true), is_file: false }
    }

    /// A regular file that others may have open too.
    pub(crate) fn file(fd: OwnedFd) -> Host {
        Host { fd, nonblocking: false, nowait: AtomicBool::new(false), is_file: true }
    }

    /// A descriptor that was opened here, without blocking.
    pub(crate) fn nonblocking(fd: OwnedFd) -> Host {
        Host { fd, nonblocking: true, nowait: AtomicBool::new(false), is_file: false }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn read(&self, waiter: Waiter<'_>, bufs: &mut [IoSliceMut<'_>]) -> Answer<usize> {
        if self.is_file {
            return chunks::read(waiter, bufs, |_, bufs| {
                uninterrupted(|| rustix::io::readv(&self.fd, bufs))
            });
        }
        loop {
            waiter.check()?;
            if self.nowait.load(Ordering::Relaxed) {
                match rustix::io::preadv2(&self.fd, bufs, NO_OFFSET, ReadWriteFlags::NOWAIT) {
                    Err(rustix::io::Errno::AGAIN) => {
                        waiter.until_ready(self.fd.as_fd(), PollFlags::IN)?;
                        continue;
                    }
                    Err(error) if unsupported(error) => self.nowait.store(false, Ordering::Relaxed),
                    Err(rustix::io::Errno::INTR) => continue,
                    other => return Ok(other?),
                }
            }
            // First wait: a FIFO that has no writer yet would be at its end.
            if waiter.blocking || !self.nonblocking {
                waiter.until_ready(self.fd.as_fd(), PollFlags::IN)?;
            }
            match rustix::io::readv(&self.fd, bufs) {
                Err(rustix::io::Errno::AGAIN) if waiter.blocking => {}
                Err(rustix::io::Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    fn write(&self, waiter: Waiter<'_>, bufs: &[IoSlice<'_>]) -> Answer<usize> {
        if self.is_file {
            return chunks::write(waiter, bufs, |_, bufs| {
                uninterrupted(|| rustix::io::writev(&self.fd, bufs))
            });
        }
        loop {
            waiter.check()?;
            if self.nowait.load(Ordering::Relaxed) {
                match rustix::io::pwritev2(&self.fd, bufs, NO_OFFSET, ReadWriteFlags::NOWAIT) {
                    Err(rustix::io::Errno::AGAIN) => {
                        waiter.until_ready(self.fd.as_fd(), PollFlags::OUT)?;
                        continue;
                    }
                    Err(error) if unsupported(error) => self.nowait.store(false, Ordering::Relaxed),
                    Err(rustix::io::Errno::INTR) => continue,
                    other => return Ok(other?),
                }
            }
            let written = if self.nonblocking {
                rustix::io::writev(&self.fd, bufs)
            } else {
                waiter.until_ready(self.fd.as_fd(), PollFlags::OUT)?;
                rustix::io::write(&self.fd, first(bufs))
            };
            match written {
                Err(rustix::io::Errno::AGAIN) => {
                    waiter.until_ready(self.fd.as_fd(), PollFlags::OUT)?;
                }
                Err(rustix::io::Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }
}

/// Calls again while a signal came in between.
fn uninterrupted(mut io: impl FnMut() -> rustix::io::Result<usize>) -> Answer<usize> {
    loop {
        match io() {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// As much of the first buffer as never blocks a descriptor that is ready.
fn first<'a>(bufs: &'a [IoSlice<'_>]) -> &'a [u8] {
    let buf = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
    &buf[..buf.len().min(PIPE_BUF)]
}

/// Whether the host cannot do the call without blocking, but can do it.
fn unsupported(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno as Host;
    matches!(error, Host::OPNOTSUPP | Host::NOSYS | Host::INVAL | Host::SPIPE)
}
