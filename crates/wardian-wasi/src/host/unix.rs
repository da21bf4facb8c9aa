//! What Unix systems have in common.

mod errno;
mod socket;
mod stream;
mod wait;

pub(crate) use errno::errno;
pub(crate) use socket::{Listener, Socket};
pub(crate) use stream::Host;
pub(crate) use wait::{Waited, Waiter, is_ready, outcome, waited};

use std::io::{IoSlice, IoSliceMut, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

use cap_fs_ext::{FollowSymlinks, MetadataExt, OpenOptionsFollowExt};
use cap_std::fs::{Dir as HostDir, Metadata, OpenOptions, OpenOptionsExt};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode, Stat};
use rustix::time::{ClockId as HostClock, Timespec, clock_getres, clock_gettime};

use crate::builder::{BuildError, WasiCtxBuilder};
use crate::dir::Open;
use crate::errno::Errno;
use crate::path::{Target, locate};
use crate::types::{ClockId, Filestat, Filetype, NewTime, NewTimes, fdflags, oflags};

/// What is open.
pub(crate) type Fd = OwnedFd;
/// What can be waited for.
pub(crate) type Pollable<'a> = BorrowedFd<'a>;
/// By what an interrupt is waited for.
pub(crate) type Wake<'a> = BorrowedFd<'a>;
/// By what a stream of the embedder's is waited for.
pub(crate) type WakeSource = OwnedFd;
/// What a connected socket is made of.
pub(crate) type ConnectedSocket = OwnedFd;
/// What a listening socket is made of.
pub(crate) type ListeningSocket = OwnedFd;

/// The descriptor of the runtime's event.
pub(crate) fn wake(event: &wardian::cancel::WakeFd) -> Wake<'_> {
    event.as_fd()
}

/// What is waited for, for a stream of the embedder's.
pub(crate) fn wake_source(source: &WakeSource) -> Pollable<'_> {
    source.as_fd()
}

/// Whether it is a terminal.
pub(crate) fn is_terminal(fd: &Fd) -> bool {
    std::io::IsTerminal::is_terminal(fd)
}

/// All paths of guests are paths.
pub(crate) fn check_path(_: &str) -> Result<(), Errno> {
    Ok(())
}

/// Attributes of what is open.
pub(crate) fn stat(fd: &Fd) -> Result<Filestat, Errno> {
    Ok(Filestat::from(&rustix::fs::fstat(fd)?))
}

/// Attributes of an open directory.
pub(crate) fn dir_stat(dir: &HostDir) -> Result<Filestat, Errno> {
    Ok(Filestat::from(&rustix::fs::fstat(dir)?))
}

/// Attributes of a name, even if it is a link.
pub(crate) fn stat_at(dir: &HostDir, name: &str) -> Result<Filestat, Errno> {
    Ok(Filestat::from(&rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

/// As [`stat_at`], of a name as the host has it.
pub(crate) fn stat_of(dir: &HostDir, name: &[u8]) -> Result<Filestat, Errno> {
    Ok(Filestat::from(&rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

/// The serial number of the directory that a directory is in.
pub(crate) fn parent_ino(dir: &HostDir) -> Result<u64, Errno> {
    Ok(rustix::fs::statat(dir, "..", AtFlags::empty())?.st_ino)
}

/// The mode of a file, by the trait of the operating system's own metadata.
trait ModeBits {
    fn mode_bits(&self) -> RawMode;
}

impl ModeBits for Metadata {
    #[allow(clippy::unnecessary_cast, reason = "its width depends on the system")]
    fn mode_bits(&self) -> RawMode {
        cap_fs_ext::OsMetadataExt::mode(self) as RawMode
    }
}

/// The attributes of a file that cap-std has looked at.
pub(crate) fn metadata(meta: &Metadata) -> Filestat {
    use cap_fs_ext::OsMetadataExt as Os;
    let time = |seconds: i64, nanos: i64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos as u64)
    };
    Filestat {
        dev: MetadataExt::dev(meta),
        ino: MetadataExt::ino(meta),
        filetype: Filetype::from(FileType::from_raw_mode(meta.mode_bits())),
        nlink: MetadataExt::nlink(meta),
        size: meta.len(),
        atim: time(Os::atime(meta), Os::atime_nsec(meta)),
        mtim: time(Os::mtime(meta), Os::mtime_nsec(meta)),
        ctim: time(Os::ctime(meta), Os::ctime_nsec(meta)),
    }
}

impl From<FileType> for Filetype {
    fn from(host: FileType) -> Filetype {
        match host {
            FileType::RegularFile => Filetype::RegularFile,
            FileType::Directory => Filetype::Directory,
            FileType::Symlink => Filetype::SymbolicLink,
            FileType::CharacterDevice => Filetype::CharacterDevice,
            FileType::BlockDevice => Filetype::BlockDevice,
            FileType::Socket => Filetype::SocketStream,
            FileType::Fifo | FileType::Unknown => Filetype::Unknown,
        }
    }
}

impl From<&Stat> for Filestat {
    #[allow(clippy::unnecessary_cast, reason = "its width depends on the processor")]
    fn from(stat: &Stat) -> Filestat {
        Filestat {
            dev: stat.st_dev as u64,
            ino: stat.st_ino,
            filetype: FileType::from_raw_mode(stat.st_mode).into(),
            nlink: stat.st_nlink as u64,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            atim: nanoseconds(stat.st_atime, stat.st_atime_nsec as u64),
            mtim: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as u64),
            ctim: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as u64),
        }
    }
}

/// A host time as WASI counts it; times before 1970 become 0, and times after
/// 2554 the largest number.
fn nanoseconds(seconds: i64, nanos: u64) -> u64 {
    u64::try_from(seconds)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(if seconds < 0 { 0 } else { nanos })
}

impl NewTime {
    fn timespec(self) -> rustix::fs::Timespec {
        let (tv_sec, tv_nsec) = match self {
            NewTime::Keep => (0, rustix::fs::UTIME_OMIT),
            NewTime::Now => (0, rustix::fs::UTIME_NOW),
            NewTime::At(time) => ((time / 1_000_000_000) as i64, (time % 1_000_000_000) as i64),
        };
        rustix::fs::Timespec { tv_sec, tv_nsec }
    }
}

impl NewTimes {
    pub(crate) fn timestamps(self) -> rustix::fs::Timestamps {
        rustix::fs::Timestamps {
            last_access: self.atim.timespec(),
            last_modification: self.mtim.timespec(),
        }
    }
}

/// Opens a path, whatever it leads to. The descriptor does not block.
pub(crate) fn open(dir: &HostDir, path: &str, how: Open) -> Result<Fd, Errno> {
    // The host truncates through descriptors that cannot write, but only
    // by accident.
    let write = how.write || how.oflags & oflags::TRUNC != 0;
    let mut options = OpenOptions::new();
    options
        .read(how.read || !write)
        .write(write)
        .follow(if how.follow { FollowSymlinks::Yes } else { FollowSymlinks::No })
        .custom_flags(host_flags(how).bits() as i32);
    Ok(dir.open_with(path, &options)?.into())
}

fn host_flags(how: Open) -> OFlags {
    let oflag = |bit, host| if how.oflags & bit != 0 { host } else { OFlags::empty() };
    let fdflag = |bit, host| if how.fdflags & bit != 0 { host } else { OFlags::empty() };
    OFlags::NONBLOCK
        | OFlags::NOCTTY
        | oflag(oflags::CREAT, OFlags::CREATE)
        | oflag(oflags::DIRECTORY, OFlags::DIRECTORY)
        | oflag(oflags::EXCL, OFlags::EXCL)
        | oflag(oflags::TRUNC, OFlags::TRUNC)
        | fdflag(fdflags::APPEND, OFlags::APPEND)
        | fdflag(fdflags::DSYNC, OFlags::DSYNC)
        | fdflag(fdflags::RSYNC, super::READ_SYNC)
        | fdflag(fdflags::SYNC, OFlags::SYNC)
}

/// Whether a path names a FIFO.
pub(crate) fn is_fifo(dir: &HostDir, path: &str, follow: bool) -> bool {
    let stat = match locate(dir, path) {
        Ok(Target::Named(place)) => {
            rustix::fs::statat(place.dir(), place.name, AtFlags::SYMLINK_NOFOLLOW)
        }
        _ => return false,
    };
    match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::Symlink) if follow => dir
            .metadata(path)
            .is_ok_and(|m| FileType::from_raw_mode(m.mode_bits()) == FileType::Fifo),
        Ok(filetype) => filetype == FileType::Fifo,
        Err(_) => false,
    }
}

/// A directory that was opened.
pub(crate) fn dir_of(fd: Fd) -> HostDir {
    HostDir::from(fd)
}

/// A descriptor of the same directory that can do more than resolve paths.
pub(crate) fn reopen(dir: &HostDir) -> Result<Fd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, ".", flags, Mode::empty())?)
}

/// Makes a directory.
pub(crate) fn make_dir(dir: &HostDir, name: &str) -> Result<(), Errno> {
    Ok(rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o777))?)
}

/// Removes an empty directory.
pub(crate) fn remove_dir(dir: &HostDir, name: &str) -> Result<(), Errno> {
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

/// Removes what is no directory.
pub(crate) fn remove_file(dir: &HostDir, name: &str) -> Result<(), Errno> {
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// Renames what is there.
pub(crate) fn rename(dir: &HostDir, name: &str, to: &HostDir, new: &str) -> Result<(), Errno> {
    Ok(rustix::fs::renameat(dir, name, to, new)?)
}

/// Gives what is there a second name.
pub(crate) fn link(dir: &HostDir, name: &str, to: &HostDir, new: &str) -> Result<(), Errno> {
    Ok(rustix::fs::linkat(dir, name, to, new, AtFlags::empty())?)
}

/// Makes a symbolic link.
pub(crate) fn symlink(contents: &str, dir: &HostDir, name: &str) -> Result<(), Errno> {
    Ok(rustix::fs::symlinkat(contents, dir, name)?)
}

/// What a symbolic link has in it.
pub(crate) fn read_link(dir: &HostDir, name: &str) -> Result<Vec<u8>, Errno> {
    Ok(rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes())
}

/// Sets the times of a file.
pub(crate) fn set_times(fd: &Fd, times: NewTimes) -> Result<(), Errno> {
    Ok(rustix::fs::futimens(fd, &times.timestamps())?)
}

/// Sets the times of a name, even if it is a link.
pub(crate) fn set_times_at(dir: &HostDir, name: &str, times: NewTimes) -> Result<(), Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::utimensat(dir, name, &times.timestamps(), flags)?)
}

/// Sets the times of a directory.
pub(crate) fn set_dir_times(dir: &HostDir, times: NewTimes) -> Result<(), Errno> {
    Ok(rustix::fs::utimensat(dir, ".", &times.timestamps(), AtFlags::empty())?)
}

/// Waits until a directory is stored.
pub(crate) fn sync_dir(dir: &HostDir) -> Result<(), Errno> {
    Ok(rustix::fs::fsync(reopen(dir)?)?)
}

/// Reads at the descriptor's offset.
pub(crate) fn read(fd: &Fd, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    Ok(rustix::io::readv(fd, bufs)?)
}

/// Writes at the descriptor's offset.
pub(crate) fn write(fd: &Fd, bufs: &[IoSlice<'_>]) -> Result<usize, Errno> {
    Ok(rustix::io::writev(fd, bufs)?)
}

/// Reads at an offset.
pub(crate) fn read_at(fd: &Fd, bufs: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize, Errno> {
    Ok(rustix::io::preadv(fd, bufs, offset)?)
}

/// Writes at an offset.
pub(crate) fn write_at(fd: &Fd, bufs: &[IoSlice<'_>], offset: u64) -> Result<usize, Errno> {
    Ok(rustix::io::pwritev(fd, bufs, offset)?)
}

/// Moves the descriptor's offset.
pub(crate) fn seek(fd: &Fd, to: SeekFrom) -> Result<u64, Errno> {
    let to = match to {
        SeekFrom::Start(offset) => rustix::fs::SeekFrom::Start(offset),
        SeekFrom::Current(offset) => rustix::fs::SeekFrom::Current(offset),
        SeekFrom::End(offset) => rustix::fs::SeekFrom::End(offset),
    };
    Ok(rustix::fs::seek(fd, to)?)
}

/// Makes room on the disk.
pub(crate) fn allocate(fd: &Fd, offset: u64, len: u64) -> Result<(), Errno> {
    Ok(rustix::fs::fallocate(fd, rustix::fs::FallocateFlags::empty(), offset, len)?)
}

/// Cuts a file off, or makes it longer.
pub(crate) fn set_size(fd: &Fd, size: u64) -> Result<(), Errno> {
    Ok(rustix::fs::ftruncate(fd, size)?)
}

/// Says whether writes go to the end of a file.
pub(crate) fn set_append(fd: &Fd, on: bool) -> Result<(), Errno> {
    let host = rustix::fs::fcntl_getfl(fd)?;
    let append = if on { OFlags::APPEND } else { OFlags::empty() };
    Ok(rustix::fs::fcntl_setfl(fd, (host - OFlags::APPEND) | append)?)
}

/// Another descriptor of the process's standard input.
pub(crate) fn stdin() -> Result<Fd, Errno> {
    Ok(rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?)
}

/// Another descriptor of the process's standard output.
pub(crate) fn stdout() -> Result<Fd, Errno> {
    Ok(rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)?)
}

/// Another descriptor of the process's standard error.
pub(crate) fn stderr() -> Result<Fd, Errno> {
    Ok(rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), 3)?)
}

impl WasiCtxBuilder {
    /// Gives the guest a listening Unix socket.
    ///
    /// # Errors
    /// [`BuildError::Descriptor`].
    pub fn listen_unix(self, listener: UnixListener) -> Result<Self, BuildError> {
        self.listen(std::os::fd::OwnedFd::from(listener))
    }
}

/// The present time of a clock.
pub(crate) fn now(id: ClockId) -> Result<u64, Errno> {
    nanos(clock_gettime(host_clock(id)))
}

/// The resolution of a clock.
pub(crate) fn resolution(id: ClockId) -> Result<u64, Errno> {
    nanos(clock_getres(host_clock(id)))
}

fn host_clock(id: ClockId) -> HostClock {
    match id {
        ClockId::Realtime => HostClock::Realtime,
        ClockId::Monotonic => HostClock::Monotonic,
        ClockId::ProcessCputime => HostClock::ProcessCPUTime,
        ClockId::ThreadCputime => HostClock::ThreadCPUTime,
    }
}

fn nanos(time: Timespec) -> Result<u64, Errno> {
    u64::try_from(time.tv_sec)
        .ok()
        .and_then(|s| s.checked_mul(1_000_000_000)?.checked_add(time.tv_nsec as u64))
        .ok_or(Errno::Overflow)
}
