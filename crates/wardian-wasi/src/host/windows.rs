//! Windows, without unsafe code: what std and cap-std have.
//!
//! - Files have no flag for appending: writes of a descriptor that appends go to where the end of the file is at that
//!   moment, which another process may move meanwhile.
//! - Nothing can wait for a pipe or a terminal together with others: a thread reads ahead, see [`Host`].
//! - Sockets do not block, and are asked again and again.
//! - Paths with a backslash or a colon are refused, so that a name is one name.

mod errno;
mod socket;
mod stream;
mod wait;

pub(crate) use errno::errno;
pub(crate) use socket::{Listener, Socket};
pub(crate) use stream::Host;
pub(crate) use wait::{Pollable, Waited, Waiter, is_ready, outcome, waited};

use std::convert::Infallible;
use std::fs::{File, FileTimes};
use std::io::{IoSlice, IoSliceMut, IsTerminal, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::os::windows::fs::FileExt;
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cap_fs_ext::{
    DirExt, FollowSymlinks, MetadataExt, OpenOptionsFollowExt, OpenOptionsMaybeDirExt,
    SystemTimeSpec,
};
use cap_std::fs::{Dir as HostDir, Metadata, OpenOptions};

use crate::clock::lock;
use crate::dir::Open;
use crate::errno::Errno;
use crate::types::{ClockId, Filestat, Filetype, NewTime, NewTimes, fdflags, oflags};

/// By what an interrupt is waited for: it is not, but asked every few milliseconds.
pub(crate) type Wake<'a> = BorrowedHandle<'a>;
/// By what a stream of the embedder's is waited for: there is nothing.
pub(crate) type WakeSource = Infallible;
/// What a connected socket is made of.
pub(crate) type ConnectedSocket = TcpStream;
/// What a listening socket is made of.
pub(crate) type ListeningSocket = TcpListener;

/// What is open.
#[derive(Debug)]
pub struct Fd {
    file: File,
    /// Whether writes go to the end.
    append: AtomicBool,
    /// The host's offset is moved by reads and writes at other places, and moved back.
    offset: Mutex<()>,
}

impl Fd {
    fn new(file: File, append: bool) -> Fd {
        Fd { file, append: AtomicBool::new(append), offset: Mutex::new(()) }
    }
}

impl<T: Into<OwnedHandle>> From<T> for Fd {
    fn from(handle: T) -> Fd {
        Fd::new(File::from(handle.into()), false)
    }
}

/// Whether it is a terminal.
pub(crate) fn is_terminal(fd: &Fd) -> bool {
    fd.file.is_terminal()
}

/// The handle of the runtime's event.
pub(crate) fn wake(event: &wardian::cancel::WakeFd) -> Wake<'_> {
    event.as_handle()
}

/// What is waited for, for a stream of the embedder's.
pub(crate) fn wake_source(source: &WakeSource) -> Pollable<'_> {
    match *source {}
}

/// Whether a path is one of the guest's alone: in the host's, backslashes separate names, and a colon names a disk or a
/// part of a file.
pub(crate) fn check_path(path: &str) -> Result<(), Errno> {
    if path.contains(['\\', ':']) { Err(Errno::Inval) } else { Ok(()) }
}

/// Attributes of what is open. Those of pipes and devices are not known.
pub(crate) fn stat(fd: &Fd) -> Result<Filestat, Errno> {
    if is_terminal(fd) {
        return Ok(Filestat::synthetic(Filetype::CharacterDevice, 0));
    }
    match Metadata::from_file(&fd.file) {
        Ok(meta) => Ok(metadata(&meta)),
        Err(_) => Ok(Filestat::synthetic(Filetype::Unknown, 0)),
    }
}

/// Attributes of an open directory.
pub(crate) fn dir_stat(dir: &HostDir) -> Result<Filestat, Errno> {
    let file = dir.try_clone()?.into_std_file();
    Ok(metadata(&Metadata::from_file(&file)?))
}

/// Attributes of a name, even if it is a link.
pub(crate) fn stat_at(dir: &HostDir, name: &str) -> Result<Filestat, Errno> {
    Ok(metadata(&dir.symlink_metadata(name)?))
}

/// As [`stat_at`], of a name as a listing had it.
pub(crate) fn stat_of(dir: &HostDir, name: &[u8]) -> Result<Filestat, Errno> {
    stat_at(dir, std::str::from_utf8(name).map_err(|_| Errno::Noent)?)
}

/// The serial number of the directory that a directory is in: not known.
pub(crate) fn parent_ino(_: &HostDir) -> Result<u64, Errno> {
    Ok(0)
}

/// The attributes of a file that cap-std has looked at.
pub(crate) fn metadata(meta: &Metadata) -> Filestat {
    let nanos = |time: std::io::Result<cap_std::time::SystemTime>| {
        let since = time.ok().and_then(|t| t.into_std().duration_since(UNIX_EPOCH).ok());
        since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    };
    let filetype = match meta.file_type() {
        kind if kind.is_dir() => Filetype::Directory,
        kind if kind.is_symlink() => Filetype::SymbolicLink,
        kind if kind.is_file() => Filetype::RegularFile,
        _ => Filetype::Unknown,
    };
    let mtim = nanos(meta.modified());
    Filestat {
        dev: MetadataExt::dev(meta),
        ino: MetadataExt::ino(meta),
        filetype,
        nlink: MetadataExt::nlink(meta),
        size: if filetype == Filetype::Directory { 0 } else { meta.len() },
        atim: nanos(meta.accessed()),
        mtim,
        ctim: mtim,
    }
}

/// Opens a path, whatever it leads to.
pub(crate) fn open(dir: &HostDir, path: &str, how: Open) -> Result<Fd, Errno> {
    let has = |flag| how.oflags & flag != 0;
    let creates = has(oflags::CREAT);
    // The host creates and truncates through descriptors that can write alone.
    let write = how.write || creates || has(oflags::TRUNC);
    let mut options = OpenOptions::new();
    options
        .read(how.read || !write)
        .write(write)
        .create(creates && !has(oflags::EXCL))
        .create_new(creates && has(oflags::EXCL))
        .truncate(has(oflags::TRUNC) && !(creates && has(oflags::EXCL)))
        .maybe_dir(true)
        .follow(if how.follow { FollowSymlinks::Yes } else { FollowSymlinks::No });
    let file = match dir.open_with(path, &options) {
        Ok(file) => file.into_std(),
        // A directory cannot be opened to be written to, and says that access is denied.
        Err(error) => return Err(not_opened(dir, path, write, error.into())),
    };
    let fd = Fd::new(file, how.fdflags & fdflags::APPEND != 0);
    let filetype = stat(&fd)?.filetype;
    match filetype {
        Filetype::Directory if how.write => Err(Errno::Isdir),
        Filetype::Directory => Ok(fd),
        _ if has(oflags::DIRECTORY) || path.ends_with('/') => Err(Errno::Notdir),
        _ => Ok(fd),
    }
}

fn not_opened(dir: &HostDir, path: &str, write: bool, errno: Errno) -> Errno {
    let is_dir = || dir.metadata(path).is_ok_and(|meta| meta.is_dir());
    let is_link = || dir.symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    match errno {
        Errno::Acces if write && is_dir() => Errno::Isdir,
        Errno::Acces | Errno::Io if is_link() => Errno::Loop,
        errno => errno,
    }
}

/// There are none in directories.
pub(crate) fn is_fifo(_: &HostDir, _path: &str, _follow: bool) -> bool {
    false
}

/// A directory that was opened.
pub(crate) fn dir_of(fd: Fd) -> HostDir {
    HostDir::from_std_file(fd.file)
}

/// Makes a directory.
pub(crate) fn make_dir(dir: &HostDir, name: &str) -> Result<(), Errno> {
    Ok(dir.create_dir(name)?)
}

/// Removes an empty directory.
pub(crate) fn remove_dir(dir: &HostDir, name: &str) -> Result<(), Errno> {
    if stat_at(dir, name)?.filetype != Filetype::Directory {
        return Err(Errno::Notdir);
    }
    Ok(dir.remove_dir(name)?)
}

/// Removes what is no directory.
pub(crate) fn remove_file(dir: &HostDir, name: &str) -> Result<(), Errno> {
    if stat_at(dir, name)?.filetype == Filetype::Directory {
        return Err(Errno::Isdir);
    }
    Ok(dir.remove_file_or_symlink(name)?)
}

/// Renames what is there.
pub(crate) fn rename(dir: &HostDir, name: &str, to: &HostDir, new: &str) -> Result<(), Errno> {
    let from = stat_at(dir, name)?.filetype;
    match (from, stat_at(to, new)) {
        (_, Err(Errno::Noent)) => {}
        (_, Err(error)) => return Err(error),
        (Filetype::Directory, Ok(there)) if there.filetype != Filetype::Directory => {
            return Err(Errno::Notdir);
        }
        // The host replaces no directory; one that is empty may be removed before.
        (Filetype::Directory, Ok(_)) => to.remove_dir(new)?,
        (_, Ok(there)) if there.filetype == Filetype::Directory => return Err(Errno::Isdir),
        _ => {}
    }
    Ok(dir.rename(name, to, new)?)
}

/// Gives what is there a second name.
pub(crate) fn link(dir: &HostDir, name: &str, to: &HostDir, new: &str) -> Result<(), Errno> {
    if stat_at(dir, name)?.filetype == Filetype::Directory {
        return Err(Errno::Perm);
    }
    Ok(dir.hard_link(name, to, new)?)
}

/// Makes a symbolic link: one to a directory if there is one now.
pub(crate) fn symlink(contents: &str, dir: &HostDir, name: &str) -> Result<(), Errno> {
    let done = match dir.metadata(contents) {
        Ok(meta) if meta.is_dir() => dir.symlink_dir(contents, name),
        _ => dir.symlink_file(contents, name),
    };
    Ok(done?)
}

/// What a symbolic link has in it, as guests write paths.
pub(crate) fn read_link(dir: &HostDir, name: &str) -> Result<Vec<u8>, Errno> {
    if stat_at(dir, name)?.filetype != Filetype::SymbolicLink {
        return Err(Errno::Inval);
    }
    let path = dir.read_link(name)?.into_os_string().into_string().map_err(|_| Errno::Ilseq)?;
    Ok(path.replace('\\', "/").into_bytes())
}

/// Sets the times of a file.
pub(crate) fn set_times(fd: &Fd, times: NewTimes) -> Result<(), Errno> {
    let at = |time| match time {
        NewTime::Keep => None,
        NewTime::Now => Some(SystemTime::now()),
        NewTime::At(nanos) => Some(UNIX_EPOCH + Duration::from_nanos(nanos)),
    };
    let mut host = FileTimes::new();
    if let Some(time) = at(times.atim) {
        host = host.set_accessed(time);
    }
    if let Some(time) = at(times.mtim) {
        host = host.set_modified(time);
    }
    Ok(fd.file.set_times(host)?)
}

/// Sets the times of a name, even if it is a link.
pub(crate) fn set_times_at(dir: &HostDir, name: &str, times: NewTimes) -> Result<(), Errno> {
    let [atim, mtim] = [times.atim, times.mtim].map(time_spec);
    Ok(dir.set_symlink_times(name, atim, mtim)?)
}

/// Sets the times of a directory.
pub(crate) fn set_dir_times(dir: &HostDir, times: NewTimes) -> Result<(), Errno> {
    let [atim, mtim] = [times.atim, times.mtim].map(time_spec);
    Ok(dir.set_times(".", atim, mtim)?)
}

fn time_spec(time: NewTime) -> Option<SystemTimeSpec> {
    crate::dir::time_spec(time)
}

/// The host has no way to wait until a directory is stored.
pub(crate) fn sync_dir(_: &HostDir) -> Result<(), Errno> {
    Ok(())
}

/// Waits until a file is stored; `data` says that it is the contents that matter.
pub(crate) fn sync(fd: &Fd, data: bool) -> Result<(), Errno> {
    let done = if data { fd.file.sync_data() } else { fd.file.sync_all() };
    match done {
        // Of what is open to be read nothing is to be stored.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        other => Ok(other?),
    }
}

/// Reads at the descriptor's offset.
pub(crate) fn read(fd: &Fd, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    let _offset = lock(&fd.offset);
    let mut done = 0;
    for buf in bufs.iter_mut().filter(|buf| !buf.is_empty()) {
        let got = (&fd.file).read(buf)?;
        done += got;
        if got < buf.len() {
            break;
        }
    }
    Ok(done)
}

/// Writes at the descriptor's offset, or at the end.
pub(crate) fn write(fd: &Fd, bufs: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let _offset = lock(&fd.offset);
    if fd.append.load(Ordering::Relaxed) {
        (&fd.file).seek(SeekFrom::End(0))?;
    }
    let mut done = 0;
    for buf in bufs.iter().filter(|buf| !buf.is_empty()) {
        let put = (&fd.file).write(buf)?;
        done += put;
        if put < buf.len() {
            break;
        }
    }
    Ok(done)
}

/// Does something at another offset, and comes back to the descriptor's.
fn elsewhere<T>(fd: &Fd, act: impl FnOnce(&File) -> std::io::Result<T>) -> Result<T, Errno> {
    let _offset = lock(&fd.offset);
    let before = (&fd.file).stream_position()?;
    let done = act(&fd.file);
    (&fd.file).seek(SeekFrom::Start(before))?;
    Ok(done?)
}

/// Reads at an offset.
pub(crate) fn read_at(fd: &Fd, bufs: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize, Errno> {
    elsewhere(fd, |file| {
        let mut done = 0;
        for buf in bufs.iter_mut().filter(|buf| !buf.is_empty()) {
            let got = file.seek_read(buf, offset + done as u64)?;
            done += got;
            if got < buf.len() {
                break;
            }
        }
        Ok(done)
    })
}

/// Writes at an offset.
pub(crate) fn write_at(fd: &Fd, bufs: &[IoSlice<'_>], offset: u64) -> Result<usize, Errno> {
    elsewhere(fd, |file| {
        let mut done = 0;
        for buf in bufs.iter().filter(|buf| !buf.is_empty()) {
            let put = file.seek_write(buf, offset + done as u64)?;
            done += put;
            if put < buf.len() {
                break;
            }
        }
        Ok(done)
    })
}

/// Moves the descriptor's offset.
pub(crate) fn seek(fd: &Fd, to: SeekFrom) -> Result<u64, Errno> {
    let _offset = lock(&fd.offset);
    Ok((&fd.file).seek(to)?)
}

/// Makes a file as long as that. Room on the disk is taken when it is written to.
pub(crate) fn allocate(fd: &Fd, offset: u64, len: u64) -> Result<(), Errno> {
    let end = offset.checked_add(len).ok_or(Errno::Fbig)?;
    if end > fd.file.metadata()?.len() { set_size(fd, end) } else { Ok(()) }
}

/// Cuts a file off, or makes it longer.
pub(crate) fn set_size(fd: &Fd, size: u64) -> Result<(), Errno> {
    Ok(fd.file.set_len(size)?)
}

/// Says whether writes go to the end of a file.
pub(crate) fn set_append(fd: &Fd, on: bool) -> Result<(), Errno> {
    fd.append.store(on, Ordering::Relaxed);
    Ok(())
}

/// Another handle of the process's standard input.
pub(crate) fn stdin() -> Result<Fd, Errno> {
    Ok(std::io::stdin().as_handle().try_clone_to_owned()?.into())
}

/// Another handle of the process's standard output.
pub(crate) fn stdout() -> Result<Fd, Errno> {
    Ok(std::io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// Another handle of the process's standard error.
pub(crate) fn stderr() -> Result<Fd, Errno> {
    Ok(std::io::stderr().as_handle().try_clone_to_owned()?.into())
}

/// The present time of a clock.
///
/// # Errors
///
/// `notsup` for processor time.
pub(crate) fn now(id: ClockId) -> Result<u64, Errno> {
    static START: OnceLock<Instant> = OnceLock::new();
    let time = match id {
        ClockId::Realtime => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        ClockId::Monotonic => START.get_or_init(Instant::now).elapsed(),
        ClockId::ProcessCputime | ClockId::ThreadCputime => return Err(Errno::Notsup),
    };
    u64::try_from(time.as_nanos()).map_err(|_| Errno::Overflow)
}

/// The resolution of a clock: that of std.
///
/// # Errors
///
/// As for [`now`].
pub(crate) fn resolution(id: ClockId) -> Result<u64, Errno> {
    now(id).map(|_| 100)
}
