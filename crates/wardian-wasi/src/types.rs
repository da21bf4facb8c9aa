//! Records and constants of the specification, as typed values.
//!
//! The layout of records in guest memory is in [`version`](crate::version); constants that both versions
//! share are here.

use crate::errno::Errno;

wardian_types::index_types! {
    /// The number by which a guest knows a descriptor (`fd`).
    pub struct GuestFd;
}

/// `filetype`: what a descriptor or a directory entry refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Filetype {
    /// None of the others; pipes and FIFOs are reported so.
    Unknown = 0,
    /// A block device.
    BlockDevice = 1,
    /// A character device; a terminal if it cannot seek.
    CharacterDevice = 2,
    /// A directory.
    Directory = 3,
    /// A regular file.
    RegularFile = 4,
    /// A datagram socket.
    SocketDgram = 5,
    /// A stream socket.
    SocketStream = 6,
    /// A symbolic link.
    SymbolicLink = 7,
}

impl Filetype {
    pub(crate) fn decode(raw: u8) -> Option<Filetype> {
        use Filetype::*;
        let all = [
            Unknown,
            BlockDevice,
            CharacterDevice,
            Directory,
            RegularFile,
            SocketDgram,
            SocketStream,
            SymbolicLink,
        ];
        all.get(usize::from(raw)).copied()
    }
}

/// `rights`: what a descriptor may be used for.
pub mod rights {
    /// `fd_datasync`, and `path_open` with `dsync`.
    pub const FD_DATASYNC: u64 = 1 << 0;
    /// `fd_read`, `fd_pread`, `sock_recv`.
    pub const FD_READ: u64 = 1 << 1;
    /// `fd_seek`; implies [`FD_TELL`].
    pub const FD_SEEK: u64 = 1 << 2;
    /// `fd_fdstat_set_flags`.
    pub const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    /// `fd_sync`, and `path_open` with `rsync` and `dsync`.
    pub const FD_SYNC: u64 = 1 << 4;
    /// `fd_tell`, and `fd_seek` that does not move.
    pub const FD_TELL: u64 = 1 << 5;
    /// `fd_write`, `fd_pwrite`, `sock_send`.
    pub const FD_WRITE: u64 = 1 << 6;
    /// `fd_advise`.
    pub const FD_ADVISE: u64 = 1 << 7;
    /// `fd_allocate`.
    pub const FD_ALLOCATE: u64 = 1 << 8;
    /// `path_create_directory`.
    pub const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
    /// `path_open` with `creat`.
    pub const PATH_CREATE_FILE: u64 = 1 << 10;
    /// `path_link`, as the source directory.
    pub const PATH_LINK_SOURCE: u64 = 1 << 11;
    /// `path_link`, as the target directory.
    pub const PATH_LINK_TARGET: u64 = 1 << 12;
    /// `path_open`.
    pub const PATH_OPEN: u64 = 1 << 13;
    /// `fd_readdir`.
    pub const FD_READDIR: u64 = 1 << 14;
    /// `path_readlink`.
    pub const PATH_READLINK: u64 = 1 << 15;
    /// `path_rename`, as the source directory.
    pub const PATH_RENAME_SOURCE: u64 = 1 << 16;
    /// `path_rename`, as the target directory.
    pub const PATH_RENAME_TARGET: u64 = 1 << 17;
    /// `path_filestat_get`.
    pub const PATH_FILESTAT_GET: u64 = 1 << 18;
    /// `path_open` with `trunc`.
    pub const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
    /// `path_filestat_set_times`.
    pub const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
    /// `fd_filestat_get`.
    pub const FD_FILESTAT_GET: u64 = 1 << 21;
    /// `fd_filestat_set_size`.
    pub const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
    /// `fd_filestat_set_times`.
    pub const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
    /// `path_symlink`.
    pub const PATH_SYMLINK: u64 = 1 << 24;
    /// `path_remove_directory`.
    pub const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
    /// `path_unlink_file`.
    pub const PATH_UNLINK_FILE: u64 = 1 << 26;
    /// `poll_oneoff` on the descriptor.
    pub const POLL_FD_READWRITE: u64 = 1 << 27;
    /// `sock_shutdown`.
    pub const SOCK_SHUTDOWN: u64 = 1 << 28;
    /// `sock_accept`; unknown to `wasi_unstable`.
    pub const SOCK_ACCEPT: u64 = 1 << 29;

    /// Everything a regular file can be used for.
    pub const FILE: u64 = FD_DATASYNC
        | FD_READ
        | FD_SEEK
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_TELL
        | FD_WRITE
        | FD_ADVISE
        | FD_ALLOCATE
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_SIZE
        | FD_FILESTAT_SET_TIMES
        | POLL_FD_READWRITE;

    /// Everything a directory can be used for.
    pub const DIRECTORY: u64 = FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_DATASYNC
        | FD_READDIR
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES
        | PATH_CREATE_DIRECTORY
        | PATH_CREATE_FILE
        | PATH_LINK_SOURCE
        | PATH_LINK_TARGET
        | PATH_OPEN
        | PATH_READLINK
        | PATH_RENAME_SOURCE
        | PATH_RENAME_TARGET
        | PATH_FILESTAT_GET
        | PATH_FILESTAT_SET_SIZE
        | PATH_FILESTAT_SET_TIMES
        | PATH_SYMLINK
        | PATH_REMOVE_DIRECTORY
        | PATH_UNLINK_FILE;

    /// Everything that can be reached through a directory.
    pub const INHERITING: u64 = FILE | DIRECTORY;

    /// Everything a pipe, a terminal or an in-memory stream can be used for. No seeking: that is how a
    /// guest's libc distinguishes a terminal from a file.
    pub const STREAM: u64 = FD_DATASYNC
        | FD_READ
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_WRITE
        | FD_FILESTAT_GET
        | POLL_FD_READWRITE;

    /// Everything a connected socket can be used for.
    pub const SOCKET: u64 = FD_READ
        | FD_FDSTAT_SET_FLAGS
        | FD_WRITE
        | FD_FILESTAT_GET
        | POLL_FD_READWRITE
        | SOCK_SHUTDOWN;

    /// Everything a listening socket can be used for.
    pub const LISTENER: u64 =
        FD_READ | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE | SOCK_ACCEPT;
}

/// `fdflags`: how a descriptor behaves.
pub(crate) mod fdflags {
    /// Writes go to the end of the file.
    pub(crate) const APPEND: u16 = 1 << 0;
    /// Writes wait until the data is stored.
    pub(crate) const DSYNC: u16 = 1 << 1;
    /// Calls return `again` instead of waiting.
    pub(crate) const NONBLOCK: u16 = 1 << 2;
    /// Reads are synchronised like writes.
    pub(crate) const RSYNC: u16 = 1 << 3;
    /// Writes wait until data and attributes are stored.
    pub(crate) const SYNC: u16 = 1 << 4;
    /// All of them.
    pub(crate) const ALL: u16 = 0x1f;
}

/// `oflags`: what `path_open` does besides opening.
pub(crate) mod oflags {
    /// Create the file if it does not exist.
    pub(crate) const CREAT: u16 = 1 << 0;
    /// Fail if it is not a directory.
    pub(crate) const DIRECTORY: u16 = 1 << 1;
    /// Fail if the file exists.
    pub(crate) const EXCL: u16 = 1 << 2;
    /// Truncate the file.
    pub(crate) const TRUNC: u16 = 1 << 3;
    /// All of them.
    pub(crate) const ALL: u16 = 0xf;
}

/// `lookupflags`: how a path is resolved. The only flag.
pub(crate) const SYMLINK_FOLLOW: u32 = 1;

/// `filestat`: attributes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filestat {
    /// Device.
    pub(crate) dev: u64,
    /// Serial number on the device.
    pub(crate) ino: u64,
    /// What it is.
    pub(crate) filetype: Filetype,
    /// Number of hard links.
    pub(crate) nlink: u64,
    /// Size in bytes; for a symbolic link, the length of its target.
    pub(crate) size: u64,
    /// Last access, nanoseconds since 1970.
    pub(crate) atim: u64,
    /// Last modification of the data.
    pub(crate) mtim: u64,
    /// Last change of the attributes.
    pub(crate) ctim: u64,
}

impl Filestat {
    /// The attributes of something that only exists in the runtime.
    pub(crate) fn synthetic(filetype: Filetype, size: u64) -> Filestat {
        Filestat { dev: 0, ino: 0, filetype, nlink: 1, size, atim: 0, mtim: 0, ctim: 0 }
    }
}

/// `fdstat`: state of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fdstat {
    /// What it refers to.
    pub(crate) filetype: Filetype,
    /// See [`fdflags`].
    pub(crate) flags: u16,
    /// What it may be used for; see [`rights`].
    pub(crate) base: u64,
    /// What descriptors opened through it may be used for.
    pub(crate) inheriting: u64,
}

/// One of the times `*_filestat_set_times` can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewTime {
    Keep,
    Now,
    At(u64),
}

impl NewTime {
    /// Reads the flags for one time: `set` and `now` exclude each other.
    fn from_flags(set: bool, now: bool, time: u64) -> Result<NewTime, Errno> {
        match (set, now) {
            (true, true) => Err(Errno::Inval),
            (true, false) => Ok(NewTime::At(time)),
            (false, true) => Ok(NewTime::Now),
            (false, false) => Ok(NewTime::Keep),
        }
    }
}

/// The two times of `*_filestat_set_times`, from its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewTimes {
    pub(crate) atim: NewTime,
    pub(crate) mtim: NewTime,
}

impl NewTimes {
    pub(crate) fn decode(atim: u64, mtim: u64, fstflags: u32) -> Result<NewTimes, Errno> {
        if fstflags & !0xf != 0 {
            return Err(Errno::Inval);
        }
        let bit = |n: u32| fstflags & (1 << n) != 0;
        Ok(NewTimes {
            atim: NewTime::from_flags(bit(0), bit(1), atim)?,
            mtim: NewTime::from_flags(bit(2), bit(3), mtim)?,
        })
    }
}

/// `clockid`: which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockId {
    /// The time of day, nanoseconds since 1970.
    Realtime,
    /// Never set back; its origin means nothing.
    Monotonic,
    /// CPU time of the host process.
    ProcessCputime,
    /// CPU time of the calling thread.
    ThreadCputime,
}

impl ClockId {
    pub(crate) fn decode(raw: u32) -> Result<ClockId, Errno> {
        match raw {
            0 => Ok(ClockId::Realtime),
            1 => Ok(ClockId::Monotonic),
            2 => Ok(ClockId::ProcessCputime),
            3 => Ok(ClockId::ThreadCputime),
            _ => Err(Errno::Inval),
        }
    }
}

/// `whence`: where a seek counts from. The numbers differ between versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whence {
    Set,
    Current,
    End,
}

/// `subscription`: one thing `poll_oneoff` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) userdata: u64,
    pub(crate) event: Await,
}

/// `subscription_u`: what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Await {
    Clock { id: u32, timeout: u64, absolute: bool },
    Read(GuestFd),
    Write(GuestFd),
}

/// `eventtype`: what kind of subscription an event is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EventType {
    Clock = 0,
    FdRead = 1,
    FdWrite = 2,
}

/// `event`: something `poll_oneoff` waited for has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) userdata: u64,
    pub(crate) error: Errno,
    pub(crate) kind: EventType,
    pub(crate) nbytes: u64,
    pub(crate) hangup: bool,
}
