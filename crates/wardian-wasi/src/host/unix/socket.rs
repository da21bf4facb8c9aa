//! Sockets. The host descriptors do not block, so that two threads that wait
//! for one socket cannot get stuck in the host when one wins.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, Shutdown, SocketType,
};

use super::{Fd, Waiter};
use crate::abi::Answer;
use crate::errno::Errno;
use crate::host::{self, Received};
use crate::types::{Filestat, Filetype};

/// A connected socket.
pub(crate) struct Socket {
    fd: Fd,
}

impl Socket {
    /// One that the embedder gives.
    pub(crate) fn new(fd: super::ConnectedSocket) -> Result<Socket, Errno> {
        Socket::of(fd)
    }

    /// One that a path leads to.
    pub(crate) fn of(fd: Fd) -> Result<Socket, Errno> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Socket { fd })
    }

    /// A socket whose peer is gone, before it had read everything: reading is `connreset`, then the end, and
    /// writing is `pipe`.
    pub(crate) fn lost() -> Result<Socket, Errno> {
        let (ours, peer) = host::socket_pair()?;
        rustix::net::send(&ours, b"\n", host::SEND)?;
        drop(peer);
        Ok(Socket { fd: ours })
    }

    pub(crate) fn pollable(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn filestat(&self) -> Result<Filestat, Errno> {
        super::stat(&self.fd)
    }

    pub(crate) fn filetype(&self) -> Filetype {
        match rustix::net::sockopt::socket_type(&self.fd) {
            Ok(SocketType::DGRAM) => Filetype::SocketDgram,
            _ => Filetype::SocketStream,
        }
    }

    /// `sock_recv`; `waiter` says whether to wait for the first byte.
    pub(crate) fn recv(
        &self,
        waiter: Waiter<'_>,
        bufs: &mut [IoSliceMut<'_>],
        peek: bool,
    ) -> Answer<Received> {
        let mut flags = RecvFlags::DONTWAIT;
        flags.set(RecvFlags::PEEK, peek);
        loop {
            waiter.check()?;
            let mut control = RecvAncillaryBuffer::default();
            match rustix::net::recvmsg(&self.fd, bufs, &mut control, flags) {
                Ok(message) => {
                    let truncated = message.flags.contains(ReturnFlags::TRUNC);
                    return Ok(Received { bytes: message.bytes, truncated });
                }
                Err(rustix::io::Errno::AGAIN) => waiter.until_ready(self.pollable(), false)?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// `sock_send`. A peer that is gone is `pipe`, and no signal.
    pub(crate) fn send(&self, waiter: Waiter<'_>, bufs: &[IoSlice<'_>]) -> Answer<usize> {
        loop {
            waiter.check()?;
            let mut control = SendAncillaryBuffer::default();
            match rustix::net::sendmsg(&self.fd, bufs, &mut control, host::SEND) {
                Ok(sent) => return Ok(sent),
                Err(rustix::io::Errno::AGAIN) => waiter.until_ready(self.pollable(), true)?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// `sock_shutdown`, with `sdflags`.
    pub(crate) fn shutdown(&self, sdflags: u32) -> Result<(), Errno> {
        let how = match sdflags {
            1 => Shutdown::Read,
            2 => Shutdown::Write,
            3 => Shutdown::Both,
            _ => return Err(Errno::Inval),
        };
        Ok(rustix::net::shutdown(&self.fd, how)?)
    }
}

/// A socket that waits for connections.
pub(crate) struct Listener {
    fd: Fd,
}

impl Listener {
    pub(crate) fn new(fd: super::ListeningSocket) -> Result<Listener, Errno> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Listener { fd })
    }

    /// A socket that listens no longer: `sock_accept` is `inval`.
    pub(crate) fn lost() -> Result<Listener, Errno> {
        Ok(Listener { fd: host::socket()? })
    }

    pub(crate) fn pollable(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn filestat(&self) -> Result<Filestat, Errno> {
        super::stat(&self.fd)
    }

    /// `sock_accept`.
    pub(crate) fn accept(&self, waiter: Waiter<'_>) -> Answer<Socket> {
        loop {
            waiter.check()?;
            match host::accept(&self.fd) {
                Ok(fd) => return Ok(Socket { fd }),
                Err(rustix::io::Errno::AGAIN) => waiter.until_ready(self.pollable(), false)?,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
