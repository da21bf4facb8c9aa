//! Regular files. The kernel keeps the offset, so threads that share a
//! descriptor divide its bytes between them as POSIX says.

use std::io::{IoSlice, IoSliceMut, SeekFrom};

use crate::abi::Answer;
use crate::chunks;
use crate::errno::Errno;
use crate::host::{self, Fd, Waiter};
use crate::types::{Filestat, NewTimes, Whence, fdflags};

/// An open regular file.
pub(crate) struct File {
    fd: Fd,
    /// Opened through a read-only directory. The host would let the owner of
    /// a file set its times through a descriptor that can only read.
    read_only: bool,
}

impl File {
    pub(crate) fn new(fd: Fd, read_only: bool) -> File {
        File { fd, read_only }
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.fd
    }

    /// Reads at `offset`, or at the descriptor's own.
    pub(crate) fn read(
        &self,
        waiter: Waiter<'_>,
        offset: Option<u64>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Answer<usize> {
        chunks::read(waiter, bufs, |done, bufs| {
            Ok(match offset {
                Some(offset) => host::read_at(&self.fd, bufs, checked(after(offset, done))?)?,
                None => host::read(&self.fd, bufs)?,
            })
        })
    }

    /// Writes at `offset`, or at the descriptor's own.
    pub(crate) fn write(
        &self,
        waiter: Waiter<'_>,
        offset: Option<u64>,
        bufs: &[IoSlice<'_>],
    ) -> Answer<usize> {
        chunks::write(waiter, bufs, |done, bufs| {
            Ok(match offset {
                Some(offset) => host::write_at(&self.fd, bufs, checked(after(offset, done))?)?,
                None => host::write(&self.fd, bufs)?,
            })
        })
    }

    pub(crate) fn seek(&self, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let pos = match whence {
            Whence::Set => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::Inval)?),
            Whence::Current => SeekFrom::Current(offset),
            Whence::End => SeekFrom::End(offset),
        };
        host::seek(&self.fd, pos)
    }

    pub(crate) fn advise(&self, offset: u64, len: u64, advice: u32) -> Result<(), Errno> {
        if advice > 5 {
            return Err(Errno::Inval);
        }
        host::advise(&self.fd, checked(offset)?, checked(len)?, advice)
    }

    pub(crate) fn allocate(&self, offset: u64, len: u64) -> Result<(), Errno> {
        self.writable()?;
        checked(offset)?;
        checked(len)?;
        host::allocate(&self.fd, offset, len)
    }

    pub(crate) fn set_size(&self, size: u64) -> Result<(), Errno> {
        self.writable()?;
        host::set_size(&self.fd, checked(size)?)
    }

    pub(crate) fn set_times(&self, times: NewTimes) -> Result<(), Errno> {
        self.writable()?;
        host::set_times(&self.fd, times)
    }

    pub(crate) fn filestat(&self) -> Result<Filestat, Errno> {
        host::stat(&self.fd)
    }

    pub(crate) fn sync(&self) -> Result<(), Errno> {
        host::sync(&self.fd, false)
    }

    pub(crate) fn datasync(&self) -> Result<(), Errno> {
        host::sync(&self.fd, true)
    }

    /// Makes the host obey `append`. The host never needs to know `nonblock`
    /// for a regular file.
    pub(crate) fn set_append(&self, flags: u16) -> Result<(), Errno> {
        host::set_append(&self.fd, flags & fdflags::APPEND != 0)
    }

    /// How many bytes lie after the offset, for `poll_oneoff`.
    pub(crate) fn ahead(&self) -> u64 {
        let size = self.filestat().map_or(0, |stat| stat.size);
        let at = host::seek(&self.fd, SeekFrom::Current(0)).unwrap_or(0);
        size.saturating_sub(at)
    }

    fn writable(&self) -> Result<(), Errno> {
        if self.read_only { Err(Errno::Perm) } else { Ok(()) }
    }
}

/// The offset after so many bytes more.
fn after(offset: u64, done: usize) -> u64 {
    offset.saturating_add(done as u64)
}

/// The host's offsets are signed.
fn checked(offset: u64) -> Result<u64, Errno> {
    if offset > i64::MAX as u64 { Err(Errno::Inval) } else { Ok(offset) }
}
