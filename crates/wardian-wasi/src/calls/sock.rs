//! `sock_*`.

use super::{addr, guest_fd, int, short};
use crate::abi::{Answer, slots};
use crate::errno::Errno;
use crate::function::Call;
use crate::guest::{Buffers, check, write_u32};
use crate::host::Socket;
use crate::origin::Origin;
use crate::table::{Descriptor, Kind};
use crate::types::{fdflags, rights};

/// `riflags`.
const RECV_PEEK: u32 = 1;
const RECV_WAITALL: u32 = 2;

fn socket(descriptor: &Descriptor, right: u64) -> Result<&Socket, Errno> {
    match &descriptor.kind {
        Kind::Socket(socket) => descriptor.need(right).map(|()| socket),
        Kind::Listener(_) => Err(Errno::Notconn),
        _ => Err(Errno::Notsock),
    }
}

pub(crate) fn sock_accept(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, flags, out] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let listener = match &descriptor.kind {
        Kind::Listener(listener) => listener,
        Kind::Socket(_) => return Err(Errno::Inval.into()),
        _ => return Err(Errno::Notsock.into()),
    };
    descriptor.need(rights::SOCK_ACCEPT)?;
    let flags = short(flags, fdflags::NONBLOCK)?;
    check(call.memory, addr(out), 4)?;
    call.ctx.table().room()?;
    let socket = listener.accept(call.ctx.waiter_for(&descriptor, call.interrupt))?;
    let fd = call.ctx.table().insert(Descriptor::from_socket(socket, flags, Origin::Accepted))?;
    Ok(write_u32(call.memory, addr(out), fd.as_u32())?)
}

/// With `recv_waitall`, comes back when the buffers are full, or with what
/// there is at the end of the stream.
pub(crate) fn sock_recv(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, iovs, count, riflags, out, out_flags] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let socket = socket(&descriptor, rights::FD_READ)?;
    let riflags = int(riflags);
    if riflags & !(RECV_PEEK | RECV_WAITALL) != 0 {
        return Err(Errno::Inval.into());
    }
    let (peek, all) = (riflags & RECV_PEEK != 0, riflags & RECV_WAITALL != 0);
    let buffers = Buffers::decode(call.memory, addr(iovs), addr(count))?;
    check(call.memory, addr(out), 4)?;
    check(call.memory, addr(out_flags), 2)?;
    let waiter = call.ctx.waiter_for(&descriptor, call.interrupt);
    let mut truncated = false;
    let mut received = 0;
    loop {
        let rest = buffers.skip(u64::from(received));
        let got = rest.fill(call.memory, false, |_, bufs| {
            let got = socket.recv(waiter, bufs, peek)?;
            truncated = got.truncated;
            Ok(got.bytes)
        });
        let got = match got {
            Ok(got) => got,
            // What was received already must be reported.
            Err(_) if received > 0 => break,
            Err(fail) => return Err(fail),
        };
        received += got;
        // A peek sees the same bytes again, so it cannot wait for more.
        if !all || peek || got == 0 || u64::from(received) >= buffers.total() {
            break;
        }
    }
    write_u32(call.memory, addr(out), received)?;
    Ok(call.memory.write(addr(out_flags), &u16::from(truncated).to_le_bytes())?)
}

/// `siflags` has no flags; any is `inval`.
pub(crate) fn sock_send(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, iovs, count, siflags, out] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    let socket = socket(&descriptor, rights::FD_WRITE)?;
    if int(siflags) != 0 {
        return Err(Errno::Inval.into());
    }
    let buffers = Buffers::decode(call.memory, addr(iovs), addr(count))?;
    check(call.memory, addr(out), 4)?;
    let waiter = call.ctx.waiter_for(&descriptor, call.interrupt);
    let sent = buffers.drain(call.memory, false, |_, bufs| socket.send(waiter, bufs))?;
    Ok(write_u32(call.memory, addr(out), sent)?)
}

pub(crate) fn sock_shutdown(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [fd, how] = slots(args)?;
    let descriptor = call.ctx.table().get(guest_fd(fd))?;
    Ok(socket(&descriptor, rights::SOCK_SHUTDOWN)?.shutdown(int(how))?)
}
