//! Which access to memory made a guest trap.

use std::fmt;
use wardian_types::{GuestAddr, MemoryIndex};

/// An access to a guest's memory that could not be: out of bounds, or atomic and not aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryAccess {
    pub(crate) address: GuestAddr,
    pub(crate) size: u64,
    pub(crate) memory: MemoryIndex,
    pub(crate) memory_size: u64,
}

impl MemoryAccess {
    /// Where it begins, in bytes from the beginning of the memory: the sum of what the operator was given
    /// and of its constant offset.
    ///
    /// If the access begins inside of the memory and guard pages refused it, it is the first byte that is
    /// outside, for that is all that the processor says.
    pub fn address(&self) -> u64 {
        self.address.as_u64()
    }

    /// How many bytes were to be accessed.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The memory, as its index in the module of the innermost call.
    pub fn memory(&self) -> u32 {
        self.memory.as_u32()
    }

    /// How many bytes the memory had.
    pub fn memory_size(&self) -> u64 {
        self.memory_size
    }
}

impl fmt::Display for MemoryAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MemoryAccess { address, size, memory, memory_size } = self;
        let s = if *size == 1 { "" } else { "s" };
        write!(
            f,
            "address {address:#x}, {size} byte{s}, memory {memory} has {memory_size:#x} bytes"
        )
    }
}
