//! What a WASI function looks like from outside.

use crate::abi::{GuestMemory, Interrupt, Stop};
use crate::ctx::WasiCtx;
use crate::errno::Errno;
use wardian_types::wasi::Slot;

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

/// What a function is given besides its arguments.
pub struct Call<'a> {
    /// The state of the calling program.
    pub ctx: &'a WasiCtx,
    /// The calling program's linear memory.
    pub memory: &'a mut dyn GuestMemory,
    /// How a blocking call learns that it has to end early.
    pub interrupt: &'a dyn Interrupt,
}
