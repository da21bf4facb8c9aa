//! Regular files. The kernel keeps the offset, so threads that share a
//! descriptor divide its bytes between them as POSIX says.

use std::io::{IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Advice, FallocateFlags, OFlags, SeekFrom};

use crate::abi::Answer;
use crate::chunks;
use crate::errno::Errno;
use crate::types::{Filestat, NewTimes, Whence, fdflags};
use crate::wait::Waiter;

/// An open regular file.
pub(crate) struct File {
    fd: OwnedFd,
    /// Opened through a read-only directory. The host would let the owner of
    /// a file set its times through a descriptor that can only read.
    read_only: bool,
}

impl File {
    pub(crate) fn new(fd: OwnedFd, read_only: bool) -> File {
        File { fd, read_only }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Reads at `offset`, or at the descriptor's own.
    pub(crate) fn read(
        &self,
        waiter: Waiter<'_>,
        offset: Option<u64>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Answer<usize> {
        chunks::read(waiter, bufs, |done, bufs| {
            let read = match offset {
                Some(offset) => rustix::io::preadv(&self.fd, bufs, checked(after(offset, done))?),
                None => rustix::io::readv(&self.fd, bufs),
            };
            Ok(read?)
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
            let written = match offset {
                Some(offset) => rustix::io::pwritev(&self.fd, bufs, checked(after(offset, done))?),
                None => rustix::io::writev(&self.fd, bufs),
            };
            Ok(written?)
        })
    }

    pub(crate) fn seek(&self, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let pos = match whence {
            Whence::Set => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::Inval)?),
            Whence::Current => SeekFrom::Current(offset),
            Whence::End => SeekFrom::End(offset),
        };
        Ok(rustix::fs::seek(&self.fd, pos)?)
    }

    pub(crate) fn advise(&self, offset: u64, len: u64, advice: u32) -> Result<(), Errno> {
        let advice = match advice {
            0 => Advice::Normal,
            1 => Advice::Sequential,
            2 => Advice::Random,
            3 => Advice::WillNeed,
            4 => Advice::DontNeed,
            5 => Advice::NoReuse,
            _ => return Err(Errno::Inval),
        };
        checked(offset)?;
        checked(len)?;
        Ok(rustix::fs::fadvise(&self.fd, offset, NonZeroU64::new(len), advice)?)
    }

    pub(crate) fn allocate(&self, offset: u64, len: u64) -> Result<(), Errno> {
        self.writable()?;
        checked(offset)?;
        checked(len)?;
        Ok(rustix::fs::fallocate(&self.fd, FallocateFlags::empty(), offset, len)?)
    }

    pub(crate) fn set_size(&self, size: u64) -> Result<(), Errno> {
        self.writable()?;
        Ok(rustix::fs::ftruncate(&self.fd, checked(size)?)?)
    }

    pub(crate) fn set_times(&self, times: NewTimes) -> Result<(), Errno> {
        self.writable()?;
        Ok(rustix::fs::futimens(&self.fd, &times.timestamps())?)
    }

    pub(crate) fn filestat(&self) -> Result<Filestat, Errno> {
        Ok(Filestat::from(&rustix::fs::fstat(&self.fd)?))
    }

    pub(crate) fn sync(&self) -> Result<(), Errno> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    pub(crate) fn datasync(&self) -> Result<(), Errno> {
        Ok(rustix::fs::fdatasync(&self.fd)?)
    }

    /// Makes the host obey `append`. The host never needs to know `nonblock`
    /// for a regular file.
    pub(crate) fn set_append(&self, flags: u16) -> Result<(), Errno> {
        let host = rustix::fs::fcntl_getfl(&self.fd)?;
        let append = if flags & fdflags::APPEND != 0 { OFlags::APPEND } else { OFlags::empty() };
        Ok(rustix::fs::fcntl_setfl(&self.fd, (host - OFlags::APPEND) | append)?)
    }

    /// How many bytes lie after the offset, for `poll_oneoff`.
    pub(crate) fn ahead(&self) -> u64 {
        let size = self.filestat().map_or(0, |stat| stat.size);
        let at = rustix::fs::tell(&self.fd).unwrap_or(0);
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
