//! What Linux has with its own C libraries, and Android not.

use std::io::{IoSlice, IoSliceMut};

use rustix::io::ReadWriteFlags;

use super::Fd;

/// Not at any offset.
const NO_OFFSET: u64 = u64::MAX;

/// Reads what is there now, whatever the descriptor does for others who have it.
pub(super) fn read_now(fd: &Fd, bufs: &mut [IoSliceMut<'_>]) -> rustix::io::Result<usize> {
    rustix::io::preadv2(fd, bufs, NO_OFFSET, ReadWriteFlags::NOWAIT)
}

/// Writes what there is room for now, as [`read_now`] reads.
pub(super) fn write_now(fd: &Fd, bufs: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    rustix::io::pwritev2(fd, bufs, NO_OFFSET, ReadWriteFlags::NOWAIT)
}
