//! An event of Linux's, which others wait for by its file descriptor.

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;

/// What is waited for together with file descriptors.
#[derive(Debug)]
pub(crate) struct Event(OwnedFd);

impl Event {
    /// One that is set, or not.
    pub(crate) fn new(set: bool) -> io::Result<Event> {
        Ok(Event(eventfd(u32::from(set), EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Makes it readable.
    pub(crate) fn set(&self) {
        // It is readable already if this fails.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes it not readable.
    pub(crate) fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
