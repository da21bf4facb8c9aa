//! Waiting that can be cut short.
//!
//! Every call that can block waits here, on what it wants and on the wake-up
//! descriptor of its [`Interrupt`] at once. So the end of a wait depends
//! neither on signals nor on other descriptors.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::abi::{Answer, Fail, Interrupt, Stop};
use crate::errno::Errno;
use crate::host::{self, Outcome};

/// How often an interrupt without a descriptor is asked.
const SLICE: Duration = Duration::from_millis(5);

/// How a call may wait.
#[derive(Clone, Copy)]
pub(crate) struct Waiter<'a> {
    pub(crate) interrupt: &'a dyn Interrupt,
    /// Whether it may wait at all; if not, it gets `again` instead.
    pub(crate) blocking: bool,
}

impl Waiter<'_> {
    /// Errs if the call is to end.
    pub(crate) fn check(&self) -> Answer<()> {
        if self.interrupt.is_set() { Err(Fail::Stop(Stop::Interrupted)) } else { Ok(()) }
    }

    /// Waits until `fd` can be read, or written, or has failed.
    pub(crate) fn until_ready(&self, fd: BorrowedFd<'_>, write: bool) -> Answer<()> {
        let deadline = if self.blocking { None } else { Some(Instant::now()) };
        let mut fds = vec![waited(fd, write)];
        if self.any(&mut fds, deadline)? { Ok(()) } else { Err(Errno::Again.into()) }
    }

    /// Waits until one of `fds` is ready, true, or the deadline has passed,
    /// false. It looks once even if the deadline has passed already.
    pub(crate) fn any<'f>(
        &'f self,
        fds: &mut Vec<PollFd<'f>>,
        deadline: Option<Instant>,
    ) -> Answer<bool> {
        let wanted = fds.len();
        let wake = self.interrupt.wake_fd();
        fds.extend(wake.map(|wake| PollFd::from_borrowed_fd(wake, PollFlags::IN)));
        let outcome = loop {
            self.check()?;
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            let sliced = wake.is_none() && left.is_none_or(|left| left > SLICE);
            host_poll(fds, if sliced { Some(SLICE) } else { left })?;
            self.check()?;
            if fds[..wanted].iter().any(|fd| !fd.revents().is_empty()) {
                break true;
            }
            if deadline.is_some_and(|d| d <= Instant::now()) {
                break false;
            }
        };
        fds.truncate(wanted);
        Ok(outcome)
    }
}

/// An entry of a list for [`Waiter::any`].
pub(crate) type Waited<'f> = PollFd<'f>;

/// One that waits until `fd` can be read, or written.
pub(crate) fn waited(fd: BorrowedFd<'_>, write: bool) -> Waited<'_> {
    PollFd::from_borrowed_fd(fd, if write { PollFlags::OUT } else { PollFlags::IN })
}

/// Whether it was waited for long enough.
pub(crate) fn is_ready(waited: &Waited<'_>) -> bool {
    !waited.revents().is_empty()
}

/// What was found of one that is ready.
pub(crate) fn outcome(waited: &Waited<'_>) -> Option<Outcome> {
    let got = waited.revents();
    if got.is_empty() {
        return None;
    }
    Some(Outcome {
        error: if got.contains(PollFlags::NVAL) { Errno::Badf } else { Errno::Success },
        bytes: rustix::io::ioctl_fionread(waited.as_fd()).unwrap_or(0),
        hangup: got.intersects(host::HANGUP),
    })
}

fn host_poll(fds: &mut [PollFd<'_>], left: Option<Duration>) -> Result<(), Errno> {
    let timeout = left.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    });
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
