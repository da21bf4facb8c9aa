//! Places in objects.

use std::fmt;

/// A place in a struct or an array: how many bytes it is from where the object begins.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct ObjectOffset(u64);

impl ObjectOffset {
    /// The place so many bytes from the beginning.
    #[inline(always)]
    pub const fn from_u32(bytes: u32) -> ObjectOffset {
        ObjectOffset(bytes as u64)
    }

    /// How many bytes it is from the beginning.
    #[inline(always)]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The same of a field, which is less than 2^32 bytes from the beginning.
    #[inline(always)]
    pub const fn as_u32(self) -> u32 {
        self.0 as u32
    }

    /// The place so many bytes further on.
    #[inline(always)]
    pub const fn add(self, bytes: u64) -> ObjectOffset {
        ObjectOffset(self.0 + bytes)
    }
}

impl fmt::Debug for ObjectOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
