//! `poll_oneoff`: waiting for clocks and descriptors.

use std::sync::Arc;
use std::time::Instant;

use crate::abi::{Answer, Fail};
use crate::clock::Clocks;
use crate::ctx::WasiCtx;
use crate::errno::Errno;
use crate::host::{self, Waited, Waiter};
use crate::pending::PendingPoll;
use crate::stream::Readiness;
use crate::table::{Descriptor, Kind};
use crate::types::{Await, ClockId, Event, EventType, Subscription, rights};

/// How many bytes are said to fit into something that can be written to.
pub(crate) const WRITABLE: u64 = 4096;

/// The most subscriptions of one call.
pub(crate) const MAX_SUBSCRIPTIONS: u64 = 16 * 1024;

/// What is known about a subscription before anything is waited for.
enum State {
    /// It has happened.
    Done(Event),
    /// It happens after so many guest nanoseconds.
    Timer(u64),
    /// It happens when this entry of the list of host descriptors is ready.
    Host { index: usize, write: bool },
}

/// Waits until at least one subscription has happened, and returns the events
/// in the order of the subscriptions.
///
/// What is wrong with one subscription is the error of its event.
pub(crate) fn poll_oneoff(
    ctx: &WasiCtx,
    waiter: Waiter<'_>,
    subscriptions: &[Subscription],
) -> Answer<Vec<Event>> {
    let held: Vec<_> = subscriptions.iter().map(|s| hold(ctx, &s.event)).collect();
    let began = ctx.with_pending(|pending| pending.began(subscriptions));
    let waited = began.map_or(0, |began| ctx.monotonic().saturating_sub(began));
    let mut fds = Vec::new();
    let mut states = Vec::with_capacity(subscriptions.len());
    for (subscription, held) in subscriptions.iter().zip(&held) {
        states.push(state(ctx.clocks(), waited, subscription, held, &mut fds));
    }
    let timer = states.iter().filter_map(|s| if let State::Timer(n) = s { Some(*n) } else { None });
    let timer = timer.min();
    let done = states.iter().any(|s| matches!(s, State::Done(_)));

    let start = Instant::now();
    let deadline = match timer {
        _ if done => Some(start),
        Some(nanos) => start.checked_add(ctx.clocks().host_wait(nanos)),
        None => None,
    };
    if !waiter.blocking && deadline.is_none_or(|deadline| deadline > start) {
        // Looking is allowed, waiting is not.
        if !waiter.any(&mut fds, Some(start))? {
            return Err(Errno::Again.into());
        }
    } else if let Err(fail) = waiter.any(&mut fds, deadline) {
        if let Fail::Stop(_) = fail {
            note_interrupted(ctx, began, start, subscriptions);
        }
        return Err(fail);
    }

    let ready = fds.iter().any(host::is_ready);
    let mut passed = start.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
    if let (Some(nanos), false, false) = (timer, done, ready) {
        ctx.clocks().slept(nanos);
        passed = nanos.max(passed);
    }
    let events =
        subscriptions.iter().zip(&states).filter_map(|(subscription, state)| match state {
            State::Done(event) => Some(*event),
            State::Timer(nanos) => {
                let due = *nanos <= passed && !(done && *nanos > 0);
                due.then(|| event(subscription, EventType::Clock, Errno::Success))
            }
            State::Host { index, write } => host_event(subscription, &fds[*index], *write),
        });
    Ok(events.collect())
}

/// Notes that the guest was stopped in a call, which has waited since `start`: a program that continues from a checkpoint
/// makes the call again, and waits for what is left. `began` is when it first waited, if this call was made again itself.
fn note_interrupted(
    ctx: &WasiCtx,
    began: Option<u64>,
    start: Instant,
    subscriptions: &[Subscription],
) {
    let waited = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let began = began.unwrap_or_else(|| ctx.monotonic().saturating_sub(waited));
    let poll = PendingPoll { began, subscriptions: subscriptions.to_vec() };
    ctx.with_pending(|pending| pending.interrupted(poll));
}

/// Looks a subscription's descriptor up, and keeps it open for the wait.
fn hold(ctx: &WasiCtx, event: &Await) -> Result<Option<Arc<Descriptor>>, Errno> {
    match event {
        Await::Clock { .. } => Ok(None),
        Await::Read(fd) | Await::Write(fd) => {
            let descriptor = ctx.table().get(*fd)?;
            if matches!(descriptor.kind, Kind::Dir(_)) {
                return Err(Errno::Badf);
            }
            descriptor.need(rights::POLL_FD_READWRITE)?;
            Ok(Some(descriptor))
        }
    }
}

fn state<'f>(
    clocks: &dyn Clocks,
    waited: u64,
    subscription: &Subscription,
    held: &'f Result<Option<Arc<Descriptor>>, Errno>,
    fds: &mut Vec<Waited<'f>>,
) -> State {
    let (kind, write) = match subscription.event {
        Await::Clock { id, timeout, absolute } => {
            return match remaining(clocks, id, timeout, absolute) {
                Ok(nanos) if absolute => State::Timer(nanos),
                // The call is one made again.
                Ok(nanos) => State::Timer(nanos.saturating_sub(waited)),
                Err(errno) => State::Done(event(subscription, EventType::Clock, errno)),
            };
        }
        Await::Read(_) => (EventType::FdRead, false),
        Await::Write(_) => (EventType::FdWrite, true),
    };
    let descriptor = match held {
        Ok(Some(descriptor)) => descriptor,
        Ok(None) => return State::Done(event(subscription, kind, Errno::Badf)),
        Err(errno) => return State::Done(event(subscription, kind, *errno)),
    };
    let readiness = match &descriptor.kind {
        Kind::File(file) => {
            let bytes = if write { WRITABLE } else { file.ahead() };
            Readiness::Now { bytes, hangup: false }
        }
        Kind::Dir(_) => Readiness::Now { bytes: 0, hangup: false },
        Kind::Stream(stream) => stream.readiness(write),
        Kind::Socket(socket) => Readiness::Fd(socket.pollable()),
        Kind::Listener(listener) => Readiness::Fd(listener.pollable()),
    };
    match readiness {
        Readiness::Now { bytes, hangup } => State::Done(Event {
            nbytes: bytes,
            hangup,
            ..event(subscription, kind, Errno::Success)
        }),
        Readiness::Fd(fd) => {
            fds.push(host::waited(fd, write));
            State::Host { index: fds.len() - 1, write }
        }
    }
}

/// For how long the guest wants to wait.
fn remaining(clocks: &dyn Clocks, id: u32, timeout: u64, absolute: bool) -> Result<u64, Errno> {
    let id = ClockId::decode(id)?;
    if matches!(id, ClockId::ProcessCputime | ClockId::ThreadCputime) {
        // CPU time does not pass while nothing runs.
        return Err(Errno::Notsup);
    }
    Ok(if absolute { timeout.saturating_sub(clocks.now(id)?) } else { timeout })
}

fn host_event(subscription: &Subscription, waited: &Waited<'_>, write: bool) -> Option<Event> {
    let got = host::outcome(waited)?;
    let nbytes = if write { WRITABLE } else { got.bytes };
    let kind = if write { EventType::FdWrite } else { EventType::FdRead };
    Some(Event { nbytes, hangup: got.hangup, ..event(subscription, kind, got.error) })
}

fn event(subscription: &Subscription, kind: EventType, error: Errno) -> Event {
    Event { userdata: subscription.userdata, error, kind, nbytes: 0, hangup: false }
}
