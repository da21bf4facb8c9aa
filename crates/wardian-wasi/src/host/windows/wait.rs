//! Waiting that can be cut short: what is waited for is asked again and again.

use std::time::{Duration, Instant};

use super::socket::{Listener, Socket};
use super::stream::Host;
use crate::abi::{Answer, Fail, Interrupt, Stop};
use crate::errno::Errno;
use crate::host::Outcome;

/// How often it is asked.
pub(super) const SLICE: Duration = Duration::from_millis(1);

/// How a call may wait.
#[derive(Clone, Copy)]
pub(crate) struct Waiter<'a> {
    pub(crate) interrupt: &'a dyn Interrupt,
    /// Whether it may wait at all; if not, it gets `again` instead.
    pub(crate) blocking: bool,
}

/// What can be waited for.
#[derive(Clone, Copy)]
pub(crate) enum Pollable<'a> {
    Host(&'a Host),
    Socket(&'a Socket),
    Listener(&'a Listener),
}

/// An entry of a list for [`Waiter::any`].
pub(crate) struct Waited<'a> {
    what: Pollable<'a>,
    write: bool,
    outcome: Option<Outcome>,
}

/// One that waits until something can be read, or written.
pub(crate) fn waited(what: Pollable<'_>, write: bool) -> Waited<'_> {
    Waited { what, write, outcome: None }
}

/// Whether it was waited for long enough.
pub(crate) fn is_ready(waited: &Waited<'_>) -> bool {
    waited.outcome.is_some()
}

/// What was found of one that is ready.
pub(crate) fn outcome(waited: &Waited<'_>) -> Option<Outcome> {
    waited.outcome
}

impl Waiter<'_> {
    /// Errs if the call is to end.
    pub(crate) fn check(&self) -> Answer<()> {
        if self.interrupt.is_set() { Err(Fail::Stop(Stop::Interrupted)) } else { Ok(()) }
    }

    /// Waits for a moment, if the call may.
    pub(super) fn pause(&self) -> Answer<()> {
        if !self.blocking {
            return Err(Errno::Again.into());
        }
        std::thread::sleep(SLICE);
        self.check()
    }

    /// Waits until something is ready, or has failed.
    pub(crate) fn until_ready(&self, what: Pollable<'_>, write: bool) -> Answer<()> {
        let deadline = if self.blocking { None } else { Some(Instant::now()) };
        let mut list = vec![waited(what, write)];
        if self.any(&mut list, deadline)? { Ok(()) } else { Err(Errno::Again.into()) }
    }

    /// Waits until one of a list is ready, true, or the deadline has passed,
    /// false. It looks once even if the deadline has passed already.
    pub(crate) fn any(
        &self,
        list: &mut Vec<Waited<'_>>,
        deadline: Option<Instant>,
    ) -> Answer<bool> {
        loop {
            self.check()?;
            for entry in list.iter_mut() {
                entry.outcome = match entry.what {
                    Pollable::Host(host) => host.look(entry.write),
                    Pollable::Socket(socket) => socket.look(entry.write),
                    Pollable::Listener(listener) => listener.look(),
                };
            }
            if list.iter().any(is_ready) {
                return Ok(true);
            }
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(false);
            }
            std::thread::sleep(left.map_or(SLICE, |left| left.min(SLICE)));
        }
    }
}
