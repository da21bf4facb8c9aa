//! Apple's systems. Never run: see docs/platforms.md.

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getpeereid;
use rustix::process::Uid;
use std::io;
use std::os::unix::net::UnixStream;

/// Those that ask programs to end. What our parent made us ignore is not known.
pub(crate) fn signals_that_end() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// The user at the other end of a connection.
///
/// # Errors
///
/// The system does not say.
pub(crate) fn peer(stream: &UnixStream) -> io::Result<Uid> {
    let (user, _) = getpeereid(stream)?;
    Ok(Uid::from_raw(user.as_raw()))
}
