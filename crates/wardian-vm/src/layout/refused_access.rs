//! Accesses to memory that code refused.

use crate::addr::VmCtxPtr;
use wardian_types::GuestAddr;

/// An access to memory that code found out to be impossible, noted on its way to the trap. What
/// guard pages refuse is not noted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Refused {
    /// Whose code it was, and what the other fields say.
    pub ctx: RefusedIn,
    /// Where the access begins; or its operand, if that is what is said.
    pub start: GuestAddr,
    /// How many bytes it has.
    pub size: u64,
    /// Index of the memory in its instance, as compiled code writes it.
    pub memory: u64,
}

/// An instance's context, and in the lowest bits what is known of an access: see [`refused`]. Zero for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct RefusedIn(usize);

impl RefusedIn {
    /// An access of an instance's code, of which so much is known.
    #[inline(always)]
    pub const fn new(ctx: VmCtxPtr, known: usize) -> RefusedIn {
        RefusedIn(ctx.as_usize() | known)
    }

    /// The instance's context; null for nothing.
    pub const fn ctx(self) -> VmCtxPtr {
        VmCtxPtr::from_usize(self.0 & !refused::MASK)
    }

    /// What is known.
    pub const fn known(self) -> usize {
        self.0 & refused::MASK
    }
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
