//! The boundary to the runtime: what a WASI function looks like from outside,
//! and what it needs of the guest that calls it.
//!
//! Nothing here knows how a guest is executed. The runtime's glue turns a [`Function`] into a host function,
//! lends it the guest's memory as [`GuestMemory`], and shows it through [`Interrupt`] when to stop waiting.

use std::os::fd::BorrowedFd;

use crate::ctx::WasiCtx;
use crate::errno::Errno;

/// One function of a WASI module, in terms of raw 64-bit slots.
///
/// An `i32` argument travels in the low 32 bits of its slot; the high bits are
/// ignored.
pub struct Function {
    /// The name it is imported by, as in the specification's witx files.
    pub name: &'static str,
    /// The types of its parameters.
    pub params: &'static [Slot],
    /// The types of its results: one `i32` (the errno), or none for `proc_exit`.
    pub results: &'static [Slot],
    /// The function itself. The errno it returns is the guest's result;
    /// `proc_exit` has no result and returns `Err(Stop::Exit(code))`.
    pub call: fn(&mut Call<'_>, args: &[u64]) -> Result<Errno, Stop>,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:?} -> {:?}", self.name, self.params, self.results)
    }
}

/// The type of a raw slot. WASI uses no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// A 32-bit integer: a handle, a flag, a guest pointer or a length.
    I32,
    /// A 64-bit integer: an offset, a time, a set of rights.
    I64,
}

/// What a function is given besides its arguments.
pub struct Call<'a> {
    /// The state of the calling program.
    pub ctx: &'a WasiCtx,
    /// The calling program's linear memory.
    pub memory: &'a mut dyn GuestMemory,
    /// How a blocking call learns that it has to end early.
    pub interrupt: &'a dyn Interrupt,
}

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
    fn wake_fd(&self) -> Option<BorrowedFd<'_>>;
}

/// An [`Interrupt`] that is never set.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverInterrupt;

impl Interrupt for NeverInterrupt {
    fn is_set(&self) -> bool {
        false
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
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
