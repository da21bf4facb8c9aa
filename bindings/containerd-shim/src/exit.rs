//! The exit codes of containers that are not the guest's own. They are those of the command `wardian`.

/// The guest was not run: what is wrong is on standard error.
pub(crate) const NOT_RUN: i32 = 1;
/// The guest was written to a checkpoint and ended; what sysexits.h has for what is to be tried again later.
pub(crate) const CHECKPOINT: i32 = 75;
/// The guest trapped, or threw an exception that nothing caught; what a shell shows for a program that aborts.
pub(crate) const TRAP: i32 = 128 + 6;

/// The guest was ended because of a signal.
pub(crate) fn signalled(signal: i32) -> i32 {
    128 + signal
}

/// Its time, or its fuel, was used up: what `timeout` of the system gives.
pub(crate) const USED_UP: i32 = 124;
