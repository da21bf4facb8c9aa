//! Arguments, environment, clocks, random numbers, waiting and ending.

use super::{addr, int, write_sizes, write_strings};
use crate::abi::{Answer, Fail, Stop, slots};
use crate::errno::Errno;
use crate::function::Call;
use crate::guest::{BOUNCE, check, write_u32, write_u64};
use crate::poll::{self, MAX_SUBSCRIPTIONS};
use crate::types::ClockId;
use crate::version::{EVENT, Version, event};

pub(crate) fn args_get(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [pointers, buf] = slots(args)?;
    let ctx = call.ctx;
    write_strings(call, ctx.args(), addr(pointers), addr(buf))
}

pub(crate) fn args_sizes_get(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [count, size] = slots(args)?;
    let ctx = call.ctx;
    write_sizes(call, ctx.args(), addr(count), addr(size))
}

pub(crate) fn environ_get(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [pointers, buf] = slots(args)?;
    let ctx = call.ctx;
    write_strings(call, ctx.envs(), addr(pointers), addr(buf))
}

pub(crate) fn environ_sizes_get(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [count, size] = slots(args)?;
    let ctx = call.ctx;
    write_sizes(call, ctx.envs(), addr(count), addr(size))
}

pub(crate) fn clock_res_get(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [id, out] = slots(args)?;
    let resolution = call.ctx.clocks().resolution(ClockId::decode(int(id))?)?;
    Ok(write_u64(call.memory, addr(out), resolution)?)
}

/// The precision the guest asks for is ignored: the clock is as precise as it
/// gets.
pub(crate) fn clock_time_get(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [id, _precision, out] = slots(args)?;
    let id = ClockId::decode(int(id))?;
    check(call.memory, addr(out), 8)?;
    let now = call.ctx.clocks().now(id)?;
    Ok(write_u64(call.memory, addr(out), now)?)
}

pub(crate) fn poll_oneoff<V: Version>(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [input, output, count, out] = slots(args)?;
    let (input, output, count) = (addr(input), addr(output), addr(count));
    if count == 0 {
        return Err(Errno::Inval.into());
    }
    check(call.memory, input, count * V::SUBSCRIPTION)?;
    check(call.memory, output, count * EVENT)?;
    check(call.memory, addr(out), 4)?;
    if count > MAX_SUBSCRIPTIONS {
        return Err(Errno::Inval.into());
    }
    let mut subscriptions = Vec::with_capacity(count as usize);
    for i in 0..count {
        let mut record = [0; 56];
        let record = &mut record[..V::SUBSCRIPTION as usize];
        call.memory.read(input + i * V::SUBSCRIPTION, record)?;
        subscriptions.push(V::subscription(record)?);
    }
    let waiter = call.ctx.waiter(call.interrupt);
    let events = poll::poll_oneoff(call.ctx, waiter, &subscriptions)?;
    for (i, happened) in events.iter().enumerate() {
        call.memory.write(output + i as u64 * EVENT, &event(happened))?;
    }
    Ok(write_u32(call.memory, addr(out), events.len() as u32)?)
}

pub(crate) fn proc_exit(_: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [code] = slots(args)?;
    Err(Fail::Stop(Stop::Exit(int(code))))
}

/// Signals act as they do on a process that handles none: the guest ends with
/// code 128 + number, as a shell reports it, or nothing happens. Stopping is
/// `notsup`, as there would be nobody to continue.
pub(crate) fn proc_raise(_: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    /// `chld`, `cont`, `urg`, `winch`.
    const IGNORED: [u32; 4] = [16, 17, 22, 27];
    /// `stop`, `tstp`, `ttin`, `ttou`.
    const STOPPING: [u32; 4] = [18, 19, 20, 21];
    let [signal] = slots(args)?;
    match int(signal) {
        0 => Ok(()),
        signal if IGNORED.contains(&signal) => Ok(()),
        signal if STOPPING.contains(&signal) => Err(Errno::Notsup.into()),
        signal @ 1..=30 => Err(Fail::Stop(Stop::Exit(128 + signal))),
        _ => Err(Errno::Inval.into()),
    }
}

pub(crate) fn sched_yield(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [] = slots(args)?;
    std::thread::yield_now();
    call.ctx.waiter(call.interrupt).check()
}

pub(crate) fn random_get(call: &mut Call<'_>, args: &[u64]) -> Answer<()> {
    let [buf, len] = slots(args)?;
    let (buf, len) = (addr(buf), addr(len));
    check(call.memory, buf, len)?;
    let waiter = call.ctx.waiter(call.interrupt);
    let mut bounce = Vec::new();
    let mut done = 0;
    while done < len {
        waiter.check()?;
        let now = (len - done).min(BOUNCE as u64);
        if let Some(slice) = call.memory.slice_mut(buf + done, now)? {
            call.ctx.random().fill(slice)?;
        } else {
            bounce.resize(now as usize, 0);
            call.ctx.random().fill(&mut bounce)?;
            call.memory.write(buf + done, &bounce)?;
        }
        done += now;
    }
    Ok(())
}
