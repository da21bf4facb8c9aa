//! `fd_read`, `fd_write` and their variants with an offset.

use super::{addr, guest_fd};
use crate::abi::{Answer, slots};
use crate::function::Call;
use crate::guest::{Buffers, check, write_u32};
use crate::table::Kind;
use crate::types::rights;

pub(crate) fn fd_read(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, iovs, count, out] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    if !matches!(descriptor.kind, Kind::Dir(_)) {
        descriptor.need(rights::FD_READ)?;
    }
    let buffers = Buffers::decode(call.memory, addr(iovs), addr(count))?;
    check(call.memory, addr(out), 4)?;
    let whole = matches!(descriptor.kind, Kind::File(_));
    let waiter = call.ctx.waiter_for(&descriptor, call.interrupt);
    let read = match buffers.total() {
        // The host could wait or complain, and there is nothing to gain.
        0 if !matches!(descriptor.kind, Kind::Dir(_)) => 0,
        _ => buffers.fill(call.memory, whole, |_, bufs| descriptor.read(waiter, bufs))?,
    };
    Ok(write_u32(call.memory, addr(out), read)?)
}

pub(crate) fn fd_write(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, iovs, count, out] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    if !matches!(descriptor.kind, Kind::Dir(_)) {
        descriptor.need(rights::FD_WRITE)?;
    }
    let buffers = Buffers::decode(call.memory, addr(iovs), addr(count))?;
    check(call.memory, addr(out), 4)?;
    let whole = matches!(descriptor.kind, Kind::File(_));
    let waiter = call.ctx.waiter_for(&descriptor, call.interrupt);
    let written = match buffers.total() {
        0 if !matches!(descriptor.kind, Kind::Dir(_)) => 0,
        _ => buffers.drain(call.memory, whole, |_, bufs| descriptor.write(waiter, bufs))?,
    };
    Ok(write_u32(call.memory, addr(out), written)?)
}

pub(crate) fn fd_pread(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, iovs, count, offset, out] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let file = descriptor.seekable(rights::FD_READ)?;
    descriptor.need(rights::FD_SEEK)?;
    let buffers = Buffers::decode(call.memory, addr(iovs), addr(count))?;
    check(call.memory, addr(out), 4)?;
    let waiter = call.ctx.waiter_for(&descriptor, call.interrupt);
    let read = buffers.fill(call.memory, true, |done, bufs| {
        file.read(waiter, Some(offset.saturating_add(done)), bufs)
    })?;
    Ok(write_u32(call.memory, addr(out), read)?)
}

pub(crate) fn fd_pwrite(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, iovs, count, offset, out] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let file = descriptor.seekable(rights::FD_WRITE)?;
    descriptor.need(rights::FD_SEEK)?;
    let buffers = Buffers::decode(call.memory, addr(iovs), addr(count))?;
    check(call.memory, addr(out), 4)?;
    let waiter = call.ctx.waiter_for(&descriptor, call.interrupt);
    let written = buffers.drain(call.memory, true, |done, bufs| {
        file.write(waiter, Some(offset.saturating_add(done)), bufs)
    })?;
    Ok(write_u32(call.memory, addr(out), written)?)
}
