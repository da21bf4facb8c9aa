//! `path_*`.

use std::time::{Duration, Instant};

use super::{addr, guest_fd, int, short};
use crate::abi::{Answer, slots};
use crate::descriptor::stream_rights;
use crate::dir::{Dir, Open};
use crate::errno::Errno;
use crate::file::File;
use crate::function::Call;
use crate::guest::{check, read_path, write_u32};
use crate::host::{self, Fd, Host, Socket, Waiter};
use crate::origin::Origin;
use crate::stream::Stream;
use crate::table::{Descriptor, Kind};
use crate::types::{Fdstat, Filetype, NewTimes, SYMLINK_FOLLOW, fdflags, oflags, rights};
use crate::version::Version;

/// `lookupflags`: whether to follow a link at the end of the path.
fn follow(slot: u64) -> Result<bool, Errno> {
    match int(slot) {
        0 => Ok(false),
        SYMLINK_FOLLOW => Ok(true),
        _ => Err(Errno::Inval),
    }
}

fn path(call: &Call<'_>, pointer: u64, len: u64) -> Result<String, Errno> {
    read_path(call.memory, addr(pointer), addr(len))
}

pub(crate) fn path_create_directory(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, ptr, len] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let dir = descriptor.dir(rights::PATH_CREATE_DIRECTORY)?;
    Ok(dir.create_directory(&path(call, ptr, len)?)?)
}

pub(crate) fn path_remove_directory(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, ptr, len] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let dir = descriptor.dir(rights::PATH_REMOVE_DIRECTORY)?;
    Ok(dir.remove_directory(&path(call, ptr, len)?)?)
}

pub(crate) fn path_unlink_file(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, ptr, len] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let dir = descriptor.dir(rights::PATH_UNLINK_FILE)?;
    Ok(dir.unlink_file(&path(call, ptr, len)?)?)
}

pub(crate) fn path_filestat_get<V: Version>(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, flags, ptr, len, out] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let dir = descriptor.dir(rights::PATH_FILESTAT_GET)?;
    let stat = dir.filestat_at(&path(call, ptr, len)?, follow(flags)?)?;
    Ok(call.memory.write(addr(out), &V::filestat(&stat)[..V::FILESTAT as usize])?)
}

pub(crate) fn path_filestat_set_times(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, flags, ptr, len, atim, mtim, fst] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let dir = descriptor.dir(rights::PATH_FILESTAT_SET_TIMES)?;
    let times = NewTimes::decode(atim, mtim, int(fst))?;
    Ok(dir.set_times_at(&path(call, ptr, len)?, follow(flags)?, times)?)
}

/// Following the source is `inval`: no host does it without a race.
pub(crate) fn path_link(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, flags, ptr, len, to_fd, to_ptr, to_len] = slots(args)?;
    let from = call.ctx.table().get(guest_fd(fd))?;
    let to = call.ctx.table().get(guest_fd(to_fd))?;
    let from = from.dir(rights::PATH_LINK_SOURCE)?;
    let to = to.dir(rights::PATH_LINK_TARGET)?;
    let (path, to_path) = (path(call, ptr, len)?, path(call, to_ptr, to_len)?);
    if follow(flags)? {
        return Err(Errno::Inval.into());
    }
    Ok(from.link(&path, to, &to_path)?)
}

pub(crate) fn path_rename(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, ptr, len, to_fd, to_ptr, to_len] = slots(args)?;
    let from = call.ctx.table().get(guest_fd(fd))?;
    let to = call.ctx.table().get(guest_fd(to_fd))?;
    let from = from.dir(rights::PATH_RENAME_SOURCE)?;
    let to = to.dir(rights::PATH_RENAME_TARGET)?;
    let (path, to_path) = (path(call, ptr, len)?, path(call, to_ptr, to_len)?);
    Ok(from.rename(&path, to, &to_path)?)
}

pub(crate) fn path_symlink(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [contents, contents_len, fd, ptr, len] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let dir = descriptor.dir(rights::PATH_SYMLINK)?;
    let contents = path(call, contents, contents_len)?;
    Ok(dir.symlink(&contents, &path(call, ptr, len)?)?)
}

/// A buffer that is too short gets the beginning.
pub(crate) fn path_readlink(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, ptr, len, buf, buf_len, out] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let dir = descriptor.dir(rights::PATH_READLINK)?;
    check(call.memory, addr(buf), addr(buf_len))?;
    check(call.memory, addr(out), 4)?;
    let contents = dir.readlink(&path(call, ptr, len)?)?;
    let used = contents.len().min(addr(buf_len) as usize);
    call.memory.write(addr(buf), &contents[..used])?;
    Ok(write_u32(call.memory, addr(out), used as u32)?)
}

pub(crate) fn path_open(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, flags, ptr, len, oflags, base, inheriting, fdflags, out] = slots(args)?;
    let parent = call.ctx.table().get(guest_fd(fd))?;
    let dir = parent.dir(rights::PATH_OPEN)?;
    let path = path(call, ptr, len)?;
    check(call.memory, addr(out), 4)?;
    let how = Open {
        follow: follow(flags)?,
        oflags: short(oflags, oflags::ALL)?,
        fdflags: short(fdflags, fdflags::ALL)?,
        read: base & rights::FD_READ != 0,
        write: base & rights::FD_WRITE != 0,
    };
    allowed(&parent, base | inheriting, how)?;
    call.ctx.table().room()?;
    let waiter = Waiter {
        interrupt: call.interrupt,
        blocking: call.ctx.waiter(call.interrupt).blocking && how.fdflags & fdflags::NONBLOCK == 0,
    };
    let opened = open(dir, &path, how, waiter)?;
    let origin = parent.origin.open(&path);
    let descriptor = descriptor(dir, opened, how, parent.inheriting(), origin)?;
    let fd = call.ctx.table().insert(descriptor)?;
    Ok(write_u32(call.memory, addr(out), fd.as_u32())?)
}

/// Errs if the directory lacks a right for this.
///
/// A right that no file or directory ever has may be asked for, and is not
/// given: programs ask for everything. One that was given up is `notcapable`,
/// except that truncating without the right is `perm`.
fn allowed(parent: &Descriptor, wanted: u64, how: Open) -> Result<(), Errno> {
    if wanted & rights::INHERITING & !parent.inheriting() != 0 {
        return Err(Errno::Notcapable);
    }
    if how.oflags & oflags::CREAT != 0 {
        parent.need(rights::PATH_CREATE_FILE)?;
    }
    if how.oflags & oflags::TRUNC != 0 && !parent.may(rights::PATH_FILESTAT_SET_SIZE) {
        return Err(Errno::Perm);
    }
    Ok(())
}

/// Opens a path. If it is a FIFO that nobody reads yet, this waits for a
/// reader, as the host would, but can be interrupted.
fn open(dir: &Dir, path: &str, how: Open, waiter: Waiter<'_>) -> Answer<Fd> {
    let mut pause = Duration::from_micros(200);
    loop {
        match dir.open(path, how) {
            Err(Errno::Nxio) if waiter.blocking && dir.is_fifo(path, how.follow) => {
                waiter.any(&mut Vec::new(), Some(Instant::now() + pause))?;
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            other => return Ok(other?),
        }
    }
}

/// The descriptor for what has been opened.
fn descriptor(
    dir: &Dir,
    fd: Fd,
    how: Open,
    inherited: u64,
    origin: Origin,
) -> Result<Descriptor, Errno> {
    let filetype = host::stat(&fd)?.filetype;
    let asked = |all: u64| {
        let read = if how.read { 0 } else { rights::FD_READ };
        let write = if how.write { 0 } else { rights::FD_WRITE };
        all & !read & !write & inherited
    };
    let (kind, base, inheriting) = match filetype {
        Filetype::RegularFile => (Kind::File(File::new(fd, dir.read_only)), asked(rights::FILE), 0),
        Filetype::Directory => (Kind::Dir(dir.child(fd)), rights::DIRECTORY & inherited, inherited),
        Filetype::SocketStream => (Kind::Socket(Socket::of(fd)?), asked(rights::SOCKET), 0),
        _ => {
            let base = asked(stream_rights(&fd, filetype));
            (Kind::Stream(Stream::Host(Host::nonblocking(fd))), base, 0)
        }
    };
    let stat = Fdstat { filetype, flags: how.fdflags, base, inheriting };
    Ok(Descriptor::new(kind, stat, origin))
}
