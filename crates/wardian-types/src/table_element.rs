//! Elements of tables.

use std::fmt;
use std::ops::Range;

/// An element of a table. Tables may have more than 2^32 of them (core specification, "Address Type").
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct TableElementIndex(u64);

impl TableElementIndex {
    /// The element with this number.
    #[inline]
    pub const fn from_u64(index: u64) -> TableElementIndex {
        TableElementIndex(index)
    }

    /// Its number, as slices are indexed; none if no slice has so many.
    #[inline]
    pub fn index(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }

    /// As [`Index::checked_range`](crate::Index::checked_range).
    pub fn checked_range(self, count: u64, len: usize) -> Option<Range<usize>> {
        let end = self.0.checked_add(count).filter(|end| *end <= len as u64)?;
        Some(self.0 as usize..end as usize)
    }
}

impl fmt::Debug for TableElementIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for TableElementIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
