//! `fd_*`, except reading and writing.

use super::{addr, guest_fd, int};
use crate::abi::{Answer, slots};
use crate::dir::Dir;
use crate::errno::Errno;
use crate::function::Call;
use crate::guest::{BOUNCE, check, write_u32, write_u64};
use crate::stream::Stream;
use crate::table::{Descriptor, Kind};
use crate::types::{NewTimes, Whence, rights};
use crate::version::{Version, fdstat, hidden_rights, prestat};

pub(crate) fn fd_advise(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, offset, len, advice] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let file = descriptor.seekable(rights::FD_ADVISE)?;
    Ok(file.advise(offset, len, int(advice))?)
}

pub(crate) fn fd_allocate(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, offset, len] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let file = descriptor.seekable(rights::FD_ALLOCATE)?;
    Ok(file.allocate(offset, len)?)
}

pub(crate) fn fd_close(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd] = slots(args)?;
    let closed = call.ctx.table().remove(guest_fd(fd))?;
    close(&closed)
}

/// What has to be done when a descriptor goes: the embedder's own streams may
/// keep bytes back.
fn close(descriptor: &Descriptor) -> Answer<()> {
    match &descriptor.kind {
        Kind::Stream(stream @ Stream::CustomOutput { .. }) => Ok(stream.sync()?),
        _ => Ok(()),
    }
}

pub(crate) fn fd_datasync(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd] = slots(args)?;
    Ok(call.ctx.table().get(guest_fd(fd))?.sync(true)?)
}

pub(crate) fn fd_sync(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd] = slots(args)?;
    Ok(call.ctx.table().get(guest_fd(fd))?.sync(false)?)
}

pub(crate) fn fd_fdstat_get<V: Version>(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, out] = slots(args)?;
    let stat = call.ctx.table().get(guest_fd(fd))?.fdstat();
    Ok(call.memory.write(addr(out), &fdstat::<V>(&stat))?)
}

pub(crate) fn fd_fdstat_set_flags(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, flags] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let flags = u16::try_from(int(flags)).map_err(|_| Errno::Inval)?;
    Ok(descriptor.change_flags(flags)?)
}

pub(crate) fn fd_fdstat_set_rights<V: Version>(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, base, inheriting] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let hidden = hidden_rights::<V>() & descriptor.fdstat().base;
    Ok(descriptor.set_rights(base | hidden, inheriting)?)
}

pub(crate) fn fd_filestat_get<V: Version>(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, out] = slots(args)?;
    let stat = call.ctx.table().get(guest_fd(fd))?.filestat()?;
    Ok(call.memory.write(addr(out), &V::filestat(&stat)[..V::FILESTAT as usize])?)
}

pub(crate) fn fd_filestat_set_size(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, size] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    Ok(descriptor.file(rights::FD_FILESTAT_SET_SIZE)?.set_size(size)?)
}

pub(crate) fn fd_filestat_set_times(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, atim, mtim, flags] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    Ok(descriptor.set_times(NewTimes::decode(atim, mtim, int(flags))?)?)
}

/// `badf` for whatever is not a preopened directory: that is how a libc finds
/// the end of the list, sockets included.
pub(crate) fn fd_prestat_get(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, out] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let Kind::Dir(dir) = &descriptor.kind else { return Err(Errno::Badf.into()) };
    let name = dir.preopen.as_ref().ok_or(Errno::Badf)?;
    Ok(call.memory.write(addr(out), &prestat(name.len() as u32))?)
}

/// Writes the name without a NUL. A buffer that is too short is `nametoolong`;
/// the rest of a longer one stays as it is.
pub(crate) fn fd_prestat_dir_name(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, buf, len] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let Kind::Dir(dir) = &descriptor.kind else { return Err(Errno::Notdir.into()) };
    let name = dir.preopen.as_ref().ok_or(Errno::Badf)?;
    check(call.memory, addr(buf), addr(len))?;
    if name.len() as u64 > addr(len) {
        return Err(Errno::Nametoolong.into());
    }
    Ok(call.memory.write(addr(buf), name.as_bytes())?)
}

/// Both descriptors must be open. What was at `to` is closed.
pub(crate) fn fd_renumber(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [from, to] = slots(args)?;
    match call.ctx.table().renumber(guest_fd(from), guest_fd(to))? {
        Some(replaced) => close(&replaced),
        None => Ok(()),
    }
}

pub(crate) fn fd_seek<V: Version>(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, offset, whence, out] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let offset = offset as i64;
    let whence = V::whence(int(whence))?;
    // Asking for the position needs less than changing it.
    let still = offset == 0 && whence == Whence::Current;
    let right = if still { rights::FD_TELL } else { rights::FD_SEEK };
    let file = descriptor.seekable(right)?;
    check(call.memory, addr(out), 8)?;
    let position = file.seek(offset, whence)?;
    Ok(write_u64(call.memory, addr(out), position)?)
}

pub(crate) fn fd_tell(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, out] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let file = descriptor.seekable(rights::FD_TELL)?;
    let position = file.seek(0, Whence::Current)?;
    Ok(write_u64(call.memory, addr(out), position)?)
}

pub(crate) fn fd_readdir(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, buf, len, cookie, out] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let dir = descriptor.dir(rights::FD_READDIR)?;
    let (buf, len, out) = (addr(buf), addr(len), addr(out));
    check(call.memory, buf, len)?;
    check(call.memory, out, 4)?;
    let used = if let Some(slice) = call.memory.slice_mut(buf, len)? {
        dir.readdir(cookie, slice)?.used as u64
    } else {
        copy_entries(call, dir, cookie, buf, len)?
    };
    Ok(write_u32(call.memory, out, used as u32)?)
}

/// Fills memory that cannot be borrowed, in steps. A step continues where the whole entries of the one before
/// end.
fn copy_entries(call: &mut Call<'_>, dir: &Dir, cookie: u64, buf: u64, len: u64) -> Answer<u64> {
    let mut bounce = vec![0; len.min(BOUNCE as u64) as usize];
    let (mut done, mut cookie) = (0, cookie);
    loop {
        let step = bounce.len().min((len - done) as usize);
        let filled = dir.readdir(cookie, &mut bounce[..step])?;
        let (used, whole) = (filled.used, filled.whole);
        cookie = filled.cookie;
        call.memory.write(buf + done, &bounce[..used])?;
        if used < step || done + used as u64 == len {
            return Ok(done + used as u64);
        }
        done += whole as u64;
    }
}
