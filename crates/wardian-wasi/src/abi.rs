//! The boundary to the runtime: what a WASI function needs of the guest that calls it.
//!
//! Nothing here knows how a guest is executed. The runtime's glue turns a [`crate::Function`] into a host function,
//! lends it the guest's memory as [`GuestMemory`], and shows it through [`Interrupt`] when to stop waiting.

use crate::errno::Errno;
use crate::host::Wake;

/// Why a call ends the guest instead of returning to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The guest ended itself, with this exit code.
    #[error("the guest exited with code {0}")]
    Exit(u32),
    /// The wait was cut short because the runtime wants this call to end.
    #[error("a blocking WASI call was interrupted")]
    Interrupted,
    /// The call cannot be answered at all, for this reason.
    #[error("WASI call failed: {0}")]
    Trap(String),
}

/// The guest's linear memory.
///
/// Every method answers an out-of-range access with [`Errno::Fault`] and never
/// panics. An access of length zero is in range up to and including the end of
/// memory, and a fault past it.
///
/// `slice` and `slice_mut` return `Ok(None)` when other threads may touch the
/// memory at the same time, so that no Rust reference to it may exist; copies
/// through `read` and `write` are used then. They still check the range.
pub trait GuestMemory {
    /// The present size in bytes.
    fn len(&self) -> u64;

    /// Whether the memory has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies out of the memory.
    ///
    /// # Errors
    /// [`Errno::Fault`] if the range is not inside the memory.
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Errno>;

    /// Copies into the memory.
    ///
    /// # Errors
    /// [`Errno::Fault`] if the range is not inside the memory.
    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), Errno>;

    /// Borrows a range, if the memory is not shared.
    ///
    /// # Errors
    /// [`Errno::Fault`] if the range is not inside the memory.
    fn slice(&self, addr: u64, len: u64) -> Result<Option<&[u8]>, Errno>;

    /// Borrows a range for writing, if the memory is not shared.
    ///
    /// # Errors
    /// [`Errno::Fault`] if the range is not inside the memory.
    fn slice_mut(&mut self, addr: u64, len: u64) -> Result<Option<&mut [u8]>, Errno>;
}

/// How a blocking call learns that it has to end early.
pub trait Interrupt: Sync {
    /// Whether the runtime wants the call to end.
    fn is_set(&self) -> bool;

    /// A descriptor that becomes readable when [`is_set`](Self::is_set) turns
    /// true, to wait on beside others. Without one, `is_set` is asked every
    /// few milliseconds.
    fn wake_fd(&self) -> Option<Wake<'_>>;
}

/// An [`Interrupt`] that is never set.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverInterrupt;

impl Interrupt for NeverInterrupt {
    fn is_set(&self) -> bool {
        false
    }

    fn wake_fd(&self) -> Option<Wake<'_>> {
        None
    }
}

/// Why an operation did not succeed: an errno for the guest, or the guest's end.
#[derive(Debug)]
pub(crate) enum Fail {
    Errno(Errno),
    Stop(Stop),
}

/// The result of an operation inside this crate.
pub(crate) type Answer<T> = Result<T, Fail>;

impl<E: Into<Errno>> From<E> for Fail {
    fn from(error: E) -> Fail {
        Fail::Errno(error.into())
    }
}

/// Turns the outcome of a function's body into what [`Function::call`] returns.
pub(crate) fn finish(outcome: Answer<()>) -> Result<Errno, Stop> {
    match outcome {
        Ok(()) => Ok(Errno::Success),
        Err(Fail::Errno(errno)) => Ok(errno),
        Err(Fail::Stop(stop)) => Err(stop),
    }
}

/// The arguments as an array; the glue guarantees the count, so a difference
/// is a defect of the glue and ends the guest rather than the host.
pub(crate) fn slots<const N: usize>(args: &[u64]) -> Answer<[u64; N]> {
    args.try_into().map_err(|_| {
        let message = format!("expected {N} arguments, got {}", args.len());
        Fail::Stop(Stop::Trap(message))
    })
}
