//! What descriptors of all kinds can do: read, write, be asked and be set.

use std::io::{IoSlice, IoSliceMut};

use crate::abi::Answer;
use crate::chunks;
use crate::errno::Errno;
use crate::file::File;
use crate::host::{self, Fd, Host, Listener, Socket, Waiter};
use crate::origin::Origin;
use crate::state::Access;
use crate::stream::Stream;
use crate::table::{Descriptor, Kind};
use crate::types::{Fdstat, Filestat, Filetype, NewTimes, fdflags, rights};

impl Descriptor {
    /// Reads at the descriptor's own offset.
    pub(crate) fn read(&self, waiter: Waiter<'_>, bufs: &mut [IoSliceMut<'_>]) -> Answer<usize> {
        match &self.kind {
            Kind::File(file) => file.read(waiter, None, bufs),
            Kind::Stream(stream) => match chunks::first_mut(bufs) {
                Some(first) if !stream.is_file() => {
                    stream.read(waiter, &mut [IoSliceMut::new(first)])
                }
                _ => stream.read(waiter, bufs),
            },
            Kind::Socket(socket) => Ok(socket.recv(waiter, bufs, false)?.bytes),
            Kind::Dir(_) => Err(Errno::Isdir.into()),
            Kind::Listener(_) => Err(Errno::Notconn.into()),
        }
    }

    /// Writes at the descriptor's own offset.
    pub(crate) fn write(&self, waiter: Waiter<'_>, bufs: &[IoSlice<'_>]) -> Answer<usize> {
        match &self.kind {
            Kind::File(file) => file.write(waiter, None, bufs),
            Kind::Stream(stream) => match chunks::first(bufs) {
                Some(first) if !stream.is_file() => stream.write(waiter, &[IoSlice::new(first)]),
                _ => stream.write(waiter, bufs),
            },
            Kind::Socket(socket) => socket.send(waiter, bufs),
            Kind::Dir(_) => Err(Errno::Isdir.into()),
            Kind::Listener(_) => Err(Errno::Notconn.into()),
        }
    }

    /// The regular file, for a function that needs an offset: `badf` for a
    /// directory, `spipe` for what has no offset.
    pub(crate) fn seekable(&self, right: u64) -> Result<&File, Errno> {
        match &self.kind {
            Kind::File(file) => self.need(right).map(|()| file),
            Kind::Dir(_) => Err(Errno::Badf),
            _ => Err(Errno::Spipe),
        }
    }

    /// `fd_filestat_get`.
    pub(crate) fn filestat(&self) -> Result<Filestat, Errno> {
        self.need(rights::FD_FILESTAT_GET)?;
        let stat: Result<Filestat, Errno> = match &self.kind {
            Kind::File(file) => file.filestat(),
            Kind::Dir(dir) => dir.filestat(),
            Kind::Stream(stream) => stream.filestat(self.filetype),
            Kind::Socket(socket) => socket.filestat(),
            Kind::Listener(listener) => listener.filestat(),
        };
        // The host does not distinguish kinds of sockets here.
        Ok(Filestat { filetype: self.filetype, ..stat? })
    }

    /// `fd_filestat_set_times`.
    pub(crate) fn set_times(&self, times: NewTimes) -> Result<(), Errno> {
        match &self.kind {
            Kind::File(file) => {
                self.need(rights::FD_FILESTAT_SET_TIMES)?;
                file.set_times(times)
            }
            Kind::Dir(dir) => {
                self.need(rights::FD_FILESTAT_SET_TIMES)?;
                dir.set_times(times)
            }
            _ => Err(Errno::Badf),
        }
    }

    /// `fd_sync`, and `fd_datasync` if it is the data that matters.
    pub(crate) fn sync(&self, data: bool) -> Result<(), Errno> {
        self.need(if data { rights::FD_DATASYNC } else { rights::FD_SYNC })?;
        match &self.kind {
            Kind::File(file) if data => file.datasync(),
            Kind::File(file) => file.sync(),
            Kind::Dir(dir) => dir.sync(),
            Kind::Stream(stream) => stream.sync(),
            Kind::Socket(_) | Kind::Listener(_) => Err(Errno::Inval),
        }
    }

    /// `fd_fdstat_set_flags`.
    ///
    /// # Errors
    /// `inval` for unknown flags; `notsup` to change how writes are
    /// synchronised, which no host can do to an open file.
    pub(crate) fn change_flags(&self, flags: u16) -> Result<(), Errno> {
        self.need(rights::FD_FDSTAT_SET_FLAGS)?;
        if flags & !fdflags::ALL != 0 {
            return Err(Errno::Inval);
        }
        let changed = flags ^ self.flags();
        if changed & (fdflags::DSYNC | fdflags::RSYNC | fdflags::SYNC) != 0 {
            return Err(Errno::Notsup);
        }
        if let (Kind::File(file), true) = (&self.kind, changed & fdflags::APPEND != 0) {
            file.set_append(flags)?;
        }
        self.set_flags(flags);
        Ok(())
    }

    /// A descriptor for a file that a guest is given as a file: to seek in, cut off, date and so on.
    pub(crate) fn from_file(fd: Fd, role: u8) -> Result<Descriptor, Errno> {
        let access = directions(role);
        if host::stat(&fd)?.filetype != Filetype::RegularFile {
            return Err(Errno::Inval);
        }
        let base = rights::FILE & !access.lacks();
        let stat = plain(Filetype::RegularFile, base);
        Ok(Descriptor::new(Kind::File(File::new(fd, !access.write)), stat, Origin::Stdio(role)))
    }

    /// A stream for something of the host's that a guest is given, and that others may have open too. If it
    /// is a file of the host's, the guest can read or write it all the same, but not change it otherwise.
    pub(crate) fn from_host(fd: Fd, role: u8) -> Result<Descriptor, Errno> {
        let access = directions(role);
        let origin = Origin::Stdio(role);
        let lacks = access.lacks();
        let type_ = host::stat(&fd)?.filetype;
        Ok(match type_ {
            Filetype::RegularFile => {
                // Not a regular file to the guest, which would expect to know its size.
                let kind = Kind::Stream(Stream::Host(Host::file(fd)));
                Descriptor::new(kind, plain(Filetype::Unknown, rights::STREAM & !lacks), origin)
            }
            Filetype::Directory => return Err(Errno::Isdir),
            Filetype::SocketStream => {
                let kind = Kind::Stream(Stream::Host(Host::shared(fd)));
                let base = rights::STREAM & !lacks;
                Descriptor::new(kind, plain(Filetype::SocketStream, base), origin)
            }
            _ => {
                let base = stream_rights(&fd, type_) & !lacks;
                let kind = Kind::Stream(Stream::Host(Host::shared(fd)));
                Descriptor::new(kind, plain(type_, base), origin)
            }
        })
    }

    /// A descriptor for a stream that is not the host's.
    pub(crate) fn from_stream(stream: Stream, role: u8) -> Descriptor {
        let access = directions(role);
        let base = rights::STREAM & !access.lacks();
        Descriptor::new(Kind::Stream(stream), plain(Filetype::Unknown, base), Origin::Stdio(role))
    }

    /// A descriptor for a connected socket.
    pub(crate) fn from_socket(socket: Socket, flags: u16, origin: Origin) -> Descriptor {
        let stat = Fdstat { flags, ..plain(socket.filetype(), rights::SOCKET) };
        Descriptor::new(Kind::Socket(socket), stat, origin)
    }

    /// A descriptor for a listening socket.
    pub(crate) fn from_listener(listener: Listener, origin: Origin) -> Descriptor {
        let stat = plain(Filetype::SocketStream, rights::LISTENER);
        Descriptor::new(Kind::Listener(listener), stat, origin)
    }
}

/// The rights of a stream of the host. A libc takes a character device that
/// lacks the rights to seek for a terminal, so all others seem to have them;
/// to seek in one is `spipe` all the same.
pub(crate) fn stream_rights(fd: &Fd, filetype: Filetype) -> u64 {
    if filetype == Filetype::CharacterDevice && !host::is_terminal(fd) {
        rights::STREAM | rights::FD_SEEK | rights::FD_TELL
    } else {
        rights::STREAM
    }
}

/// What a guest does with a standard stream.
fn directions(role: u8) -> Access {
    Access { read: role == 0, write: role != 0 }
}

impl Access {
    /// The rights that a descriptor for only reading or only writing lacks.
    pub(crate) fn lacks(self) -> u64 {
        let mut lacks = 0;
        if !self.read {
            lacks |= rights::FD_READ;
        }
        if !self.write {
            lacks |= rights::FD_WRITE;
        }
        lacks
    }
}

fn plain(filetype: Filetype, base: u64) -> Fdstat {
    Fdstat { filetype, flags: 0, base, inheriting: 0 }
}
