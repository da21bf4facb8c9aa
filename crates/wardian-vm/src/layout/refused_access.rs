//! Accesses to memory that code refused.

/// An access to memory that code found out to be impossible, noted on its way to the trap. What
/// guard pages refuse is not noted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Refused {
    /// The instance's context, and in the lowest bits what the other fields say: see [`refused`]. Zero
    /// for nothing.
    pub ctx: usize,
    /// Where the access begins.
    pub start: u64,
    /// How many bytes it has.
    pub size: u64,
    /// Index of the memory in its instance.
    pub memory: u64,
}

/// What is known of a [`Refused`] access, in the lowest bits of its context.
pub mod refused {
    /// `start` is the operator's operand, without the constant offset; the operator determines the rest.
    pub const OPERAND: usize = 0;
    /// `start` is the address; the operator determines the rest.
    pub const ADDRESS: usize = 1;
    /// All of it.
    pub const RANGE: usize = 2;
    /// Bits that are not the context's.
    pub const MASK: usize = 7;
}
