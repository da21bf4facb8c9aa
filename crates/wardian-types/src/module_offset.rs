//! Places in the bytes of a module.

use std::fmt;

/// A place in the bytes of a module: how many bytes it is from the beginning. See also [`CodeOffset`](crate::CodeOffset).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct ModuleOffset(u64);

impl ModuleOffset {
    /// The place so many bytes from the beginning.
    #[inline]
    pub const fn from_u64(bytes: u64) -> ModuleOffset {
        ModuleOffset(bytes)
    }

    /// The same, of a place in a slice.
    #[inline]
    pub const fn from_usize(bytes: usize) -> ModuleOffset {
        ModuleOffset(bytes as u64)
    }

    /// How many bytes it is from the beginning.
    #[inline]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// How many bytes it is behind `start`; zero if it is before that.
    #[inline]
    pub const fn bytes_from(self, start: ModuleOffset) -> u64 {
        self.0.saturating_sub(start.0)
    }
}

impl fmt::Debug for ModuleOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::LowerHex for ModuleOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}
