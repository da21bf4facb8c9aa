//! Pipes, terminals and other devices of the host.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::SeekFrom;

use super::{Fd, Waiter};
use crate::abi::Answer;
use crate::chunks;
use crate::errno::Errno;
use crate::host;
use crate::stream::Readiness;
use crate::types::Filestat;

/// A pipe, FIFO, terminal or other device of the host.
pub(crate) struct Host {
    fd: Fd,
    /// The host descriptor does not block. Only set on ones that nobody else
    /// has: the flag is shared by all who have a terminal or pipe open.
    nonblocking: bool,
    /// The host can be asked for each call not to block.
    nowait: AtomicBool,
    /// A regular file, which never waits for others.
    is_file: bool,
}

/// How much a pipe that is ready takes without blocking, and how much of a
/// blocking write is tried at a time.
const PIPE_BUF: usize = 4096;

impl Host {
    /// A descriptor that others may have too; it may block.
    pub(crate) fn shared(fd: Fd) -> Host {
        Host { fd, nonblocking: false, nowait: AtomicBool::new(true), is_file: false }
    }

    /// A regular file that others may have open too.
    pub(crate) fn file(fd: Fd) -> Host {
        Host { fd, nonblocking: false, nowait: AtomicBool::new(false), is_file: true }
    }

    /// A descriptor that was opened here, without blocking.
    pub(crate) fn nonblocking(fd: Fd) -> Host {
        Host { fd, nonblocking: true, nowait: AtomicBool::new(false), is_file: false }
    }

    #[allow(dead_code, reason = "hosts differ in what saved states have")]
    pub(crate) fn fd(&self) -> &Fd {
        &self.fd
    }

    pub(crate) fn is_file(&self) -> bool {
        self.is_file
    }

    /// Whether the guest opened it.
    pub(crate) fn is_opened_here(&self) -> bool {
        self.nonblocking
    }

    /// Where in a regular file it is.
    pub(crate) fn position(&self) -> Option<u64> {
        rustix::fs::tell(&self.fd).ok()
    }

    pub(crate) fn set_position(&self, position: u64) -> Result<(), Errno> {
        rustix::fs::seek(&self.fd, SeekFrom::Start(position))?;
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<(), Errno> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    pub(crate) fn filestat(&self) -> Result<Filestat, Errno> {
        super::stat(&self.fd)
    }

    pub(crate) fn readiness(&self, _write: bool) -> Readiness<'_> {
        Readiness::Fd(self.fd.as_fd())
    }

    pub(crate) fn read(&self, waiter: Waiter<'_>, bufs: &mut [IoSliceMut<'_>]) -> Answer<usize> {
        if self.is_file {
            return chunks::read(waiter, bufs, |_, bufs| {
                uninterrupted(|| rustix::io::readv(&self.fd, bufs))
            });
        }
        loop {
            waiter.check()?;
            if self.nowait.load(Ordering::Relaxed) {
                match host::read_now(&self.fd, bufs) {
                    Err(rustix::io::Errno::AGAIN) => {
                        waiter.until_ready(self.fd.as_fd(), false)?;
                        continue;
                    }
                    Err(error) if unsupported(error) => self.nowait.store(false, Ordering::Relaxed),
                    Err(rustix::io::Errno::INTR) => continue,
                    other => return Ok(other?),
                }
            }
            // First wait: a FIFO that has no writer yet would be at its end.
            if waiter.blocking || !self.nonblocking {
                waiter.until_ready(self.fd.as_fd(), false)?;
            }
            match rustix::io::readv(&self.fd, bufs) {
                Err(rustix::io::Errno::AGAIN) if waiter.blocking => {}
                Err(rustix::io::Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    pub(crate) fn write(&self, waiter: Waiter<'_>, bufs: &[IoSlice<'_>]) -> Answer<usize> {
        if self.is_file {
            return chunks::write(waiter, bufs, |_, bufs| {
                uninterrupted(|| rustix::io::writev(&self.fd, bufs))
            });
        }
        loop {
            waiter.check()?;
            if self.nowait.load(Ordering::Relaxed) {
                match host::write_now(&self.fd, bufs) {
                    Err(rustix::io::Errno::AGAIN) => {
                        waiter.until_ready(self.fd.as_fd(), true)?;
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
                waiter.until_ready(self.fd.as_fd(), true)?;
                rustix::io::write(&self.fd, first(bufs))
            };
            match written {
                Err(rustix::io::Errno::AGAIN) => {
                    waiter.until_ready(self.fd.as_fd(), true)?;
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
