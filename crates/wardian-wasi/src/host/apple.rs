//! Apple's systems. Never run: see docs/platforms.md.

use std::io::{IoSlice, IoSliceMut};

use rustix::event::PollFlags;
use rustix::fs::OFlags;
use rustix::io::Errno as Host;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

use super::Fd;
use crate::errno::Errno;

/// What says that the other side is gone.
pub(super) const HANGUP: PollFlags = PollFlags::HUP.union(PollFlags::ERR);

/// There is no such flag.
pub(super) const READ_SYNC: OFlags = OFlags::empty();

/// How sockets are written to. A peer that is gone is a signal, unless the process ignores it, as Rust programs do.
pub(super) const SEND: SendFlags = SendFlags::DONTWAIT;

/// A descriptor that does not block, and that programs which are started do not get.
fn made(fd: Fd) -> rustix::io::Result<Fd> {
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

/// Accepts a connection, which does not block.
pub(super) fn accept(listener: &Fd) -> rustix::io::Result<Fd> {
    made(rustix::net::accept(listener)?)
}

/// Two Unix sockets that are connected.
pub(super) fn socket_pair() -> rustix::io::Result<(Fd, Fd)> {
    let flags = SocketFlags::empty();
    let (ours, peer) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    Ok((made(ours)?, made(peer)?))
}

/// A Unix socket that is not connected.
pub(super) fn socket() -> rustix::io::Result<Fd> {
    made(rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?)
}

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

/// Waits until a file is stored.
pub(crate) fn sync(fd: &Fd, _data: bool) -> Result<(), Errno> {
    Ok(rustix::fs::fsync(fd)?)
}
