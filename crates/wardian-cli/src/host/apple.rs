//! Apple's systems. Never run: see docs/platforms.md.

use nix::sys::signal::{SigSet, Signal};

/// Those that ask programs to end. What our parent made us ignore is not known.
pub(crate) fn signals_that_end() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}
