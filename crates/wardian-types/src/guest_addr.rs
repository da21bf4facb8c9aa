//! Addresses in linear memories.

use std::fmt;

/// An address in a linear memory: how many bytes it is from the beginning.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct GuestAddr(u64);

impl GuestAddr {
    /// The address with this number.
    #[inline(always)]
    pub const fn from_u64(address: u64) -> GuestAddr {
        GuestAddr(address)
    }

    /// Its number.
    #[inline(always)]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The address so many bytes further on; none if there is no such address.
    #[inline(always)]
    pub const fn checked_add(self, bytes: u64) -> Option<GuestAddr> {
        match self.0.checked_add(bytes) {
            Some(address) => Some(GuestAddr(address)),
            None => None,
        }
    }

    /// The address so many bytes further on, or the last one if there is no such address.
    #[inline(always)]
    pub const fn saturating_add(self, bytes: u64) -> GuestAddr {
        GuestAddr(self.0.saturating_add(bytes))
    }

    /// How many bytes it is behind `start`; zero if it is before that.
    #[inline(always)]
    pub const fn bytes_from(self, start: GuestAddr) -> u64 {
        self.0.saturating_sub(start.0)
    }

    /// Whether it is a multiple of `alignment`, which is a power of two.
    ///
    /// ```
    /// use wardian_types::GuestAddr;
    ///
    /// assert!(GuestAddr::from_u64(24).is_aligned_to(8) && !GuestAddr::from_u64(28).is_aligned_to(8));
    /// ```
    #[inline(always)]
    pub const fn is_aligned_to(self, alignment: u64) -> bool {
        self.0 & (alignment - 1) == 0
    }
}

impl fmt::Debug for GuestAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::LowerHex for GuestAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}
