//! Android, whose C library has no call for these. Never run: see docs/platforms.md.

use std::io::{IoSlice, IoSliceMut};

use rustix::io::Errno as Host;

use super::Fd;

/// # Errors
///
/// Always: there is no such call.
pub(super) fn read_now(_: &Fd, _: &mut [IoSliceMut<'_>]) -> rustix::io::Result<usize> {
    Err(Host::NOSYS)
}

/// # Errors
///
/// Always: there is no such call.
pub(super) fn write_now(_: &Fd, _: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    Err(Host::NOSYS)
}
