//! TCP sockets. They do not block.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;

use super::{Fd, Pollable, Waiter};
use crate::abi::Answer;
use crate::clock::lock;
use crate::errno::Errno;
use crate::host::{Outcome, Received};
use crate::types::{Filestat, Filetype};

/// A connected socket.
pub(crate) struct Socket {
    stream: TcpStream,
}

impl Socket {
    /// One that the embedder gives.
    pub(crate) fn new(stream: TcpStream) -> Result<Socket, Errno> {
        stream.set_nonblocking(true)?;
        Ok(Socket { stream })
    }

    /// One that a path leads to: there are none.
    pub(crate) fn of(_: Fd) -> Result<Socket, Errno> {
        Err(Errno::Notsup)
    }

    /// A socket whose peer is gone: it cannot be made.
    pub(crate) fn lost() -> Result<Socket, Errno> {
        Err(Errno::Notsup)
    }

    pub(crate) fn pollable(&self) -> Pollable<'_> {
        Pollable::Socket(self)
    }

    pub(crate) fn filestat(&self) -> Result<Filestat, Errno> {
        Ok(Filestat::synthetic(Filetype::SocketStream, 0))
    }

    pub(crate) fn filetype(&self) -> Filetype {
        Filetype::SocketStream
    }

    /// What can be said of it without waiting.
    pub(super) fn look(&self, write: bool) -> Option<Outcome> {
        let found = |bytes, hangup| Some(Outcome { error: Errno::Success, bytes, hangup });
        if write {
            // Whether there is room is seen by writing.
            return found(0, false);
        }
        match self.stream.peek(&mut [0; 4096]) {
            Ok(0) => found(0, true),
            Ok(bytes) => found(bytes as u64, false),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => found(0, true),
        }
    }

    /// `sock_recv`; `waiter` says whether to wait for the first byte.
    pub(crate) fn recv(
        &self,
        waiter: Waiter<'_>,
        bufs: &mut [IoSliceMut<'_>],
        peek: bool,
    ) -> Answer<Received> {
        loop {
            waiter.check()?;
            let got = match bufs.iter_mut().find(|buf| !buf.is_empty()) {
                Some(buf) if peek => self.stream.peek(buf),
                Some(_) => (&self.stream).read_vectored(bufs),
                None => Ok(0),
            };
            match got {
                Ok(bytes) => return Ok(Received { bytes, truncated: false }),
                Err(error) => again(waiter, error)?,
            }
        }
    }

    /// `sock_send`. A peer that is gone is `pipe` or `connreset`.
    pub(crate) fn send(&self, waiter: Waiter<'_>, bufs: &[IoSlice<'_>]) -> Answer<usize> {
        loop {
            waiter.check()?;
            match (&self.stream).write_vectored(bufs) {
                Ok(sent) => return Ok(sent),
                Err(error) => again(waiter, error)?,
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
        Ok(self.stream.shutdown(how)?)
    }
}

/// Waits for a moment if that is what an error means.
fn again(waiter: Waiter<'_>, error: std::io::Error) -> Answer<()> {
    match error.kind() {
        ErrorKind::WouldBlock => waiter.pause(),
        ErrorKind::Interrupted => Ok(()),
        _ => Err(error.into()),
    }
}

/// A socket that waits for connections.
pub(crate) struct Listener {
    listener: Option<TcpListener>,
    /// A connection that was accepted to see whether there is one.
    accepted: Mutex<Option<TcpStream>>,
}

impl Listener {
    pub(crate) fn new(listener: TcpListener) -> Result<Listener, Errno> {
        listener.set_nonblocking(true)?;
        Ok(Listener { listener: Some(listener), accepted: Mutex::new(None) })
    }

    /// A socket that listens no longer: `sock_accept` is `inval`.
    pub(crate) fn lost() -> Result<Listener, Errno> {
        Ok(Listener { listener: None, accepted: Mutex::new(None) })
    }

    pub(crate) fn pollable(&self) -> Pollable<'_> {
        Pollable::Listener(self)
    }

    pub(crate) fn filestat(&self) -> Result<Filestat, Errno> {
        Ok(Filestat::synthetic(Filetype::SocketStream, 0))
    }

    /// What can be said of it without waiting.
    pub(super) fn look(&self) -> Option<Outcome> {
        let found = |error| Some(Outcome { error, bytes: 0, hangup: false });
        let mut accepted = lock(&self.accepted);
        if accepted.is_some() {
            return found(Errno::Success);
        }
        let Some(listener) = &self.listener else { return found(Errno::Success) };
        match listener.accept() {
            Ok((stream, _)) => {
                *accepted = Some(stream);
                found(Errno::Success)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            // The next call says it.
            Err(_) => found(Errno::Success),
        }
    }

    /// `sock_accept`.
    pub(crate) fn accept(&self, waiter: Waiter<'_>) -> Answer<Socket> {
        let listener = self.listener.as_ref().ok_or(Errno::Inval)?;
        loop {
            waiter.check()?;
            if let Some(stream) = lock(&self.accepted).take() {
                return Ok(Socket::new(stream)?);
            }
            match listener.accept() {
                Ok((stream, _)) => return Ok(Socket::new(stream)?),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => again(waiter, error)?,
            }
        }
    }
}
