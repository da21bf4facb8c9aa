//! Indices as types of their own: an index into one space is no index into another.

use std::ops::Range;

/// Defines types of indices and numbers. Each is a `u32` at run time, in registers and in memory.
///
/// ```
/// wardian_types::index_types! {
///     /// Which sheet it is.
///     pub struct Sheet;
/// }
/// assert_eq!(Sheet::from_u32(3).index(), 3);
/// ```
#[macro_export]
macro_rules! index_types {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        $vis struct $name(u32);

        #[allow(dead_code, reason = "each index has all of them")]
        impl $name {
            /// The index of the first one.
            pub const FIRST: $name = $name(0);

            /// The index with this number.
            #[inline]
            pub const fn from_u32(index: u32) -> $name {
                $name(index)
            }

            /// The index with this number.
            ///
            /// # Panics
            ///
            /// It does not fit.
            #[inline]
            pub fn from_usize(index: usize) -> $name {
                $name(u32::try_from(index).expect("what has indices has fewer than 2^32 elements"))
            }

            /// The index with this number, or the last one if it does not fit.
            #[inline]
            pub fn saturating_from_usize(index: usize) -> $name {
                $name(u32::try_from(index).unwrap_or(u32::MAX))
            }

            /// Its number.
            #[inline]
            pub const fn as_u32(self) -> u32 {
                self.0
            }

            /// Its number, as slices are indexed.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }

            /// The index so many further on.
            #[inline]
            pub const fn add(self, further: u32) -> $name {
                $name(self.0 + further)
            }

            /// All indices from `start` up to `end`, without that one.
            pub fn range(range: ::core::ops::Range<$name>) -> impl DoubleEndedIterator<Item = $name> + ExactSizeIterator {
                (range.start.index()..range.end.index()).map($name::from_usize)
            }
        }

        impl $crate::Index for $name {
            #[inline]
            fn from_usize(index: usize) -> $name {
                $name::from_usize(index)
            }

            #[inline]
            fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}

/// An index into something: see [`index_types`] and [`IndexVec`](crate::IndexVec).
pub trait Index: Copy + Ord + std::fmt::Display {
    /// The index with this number.
    ///
    /// # Panics
    ///
    /// It does not fit.
    fn from_usize(index: usize) -> Self;

    /// Its number, as slices are indexed.
    fn index(self) -> usize;

    /// This one and those behind it, `count` together, as a range of a slice with `len` elements. None if the slice does not
    /// have them.
    ///
    /// ```
    /// use wardian_types::{Index, SegmentElementIndex};
    ///
    /// let from = SegmentElementIndex::from_u32(3);
    /// assert_eq!(from.checked_range(2, 5), Some(3..5));
    /// assert_eq!((from.checked_range(3, 5), from.checked_range(u64::MAX, 5)), (None, None));
    /// ```
    fn checked_range(self, count: u64, len: usize) -> Option<Range<usize>> {
        let end = (self.index() as u64).checked_add(count).filter(|end| *end <= len as u64)?;
        Some(self.index()..end as usize)
    }
}

index_types! {
    /// A declared type of a module (core specification, "Indices").
    pub struct TypeIndex;

    /// A function of a module. Imported functions come first: see [`DefinedFuncIndex`].
    pub struct FuncIndex;

    /// A function that a module defines: the first one after the imported functions is 0.
    pub struct DefinedFuncIndex;

    /// A table of a module. Imported tables come first.
    pub struct TableIndex;

    /// A table that a module defines: the first one after the imported tables is 0.
    pub struct DefinedTableIndex;

    /// A memory of a module. Imported memories come first.
    pub struct MemoryIndex;

    /// A global of a module. Imported globals come first.
    pub struct GlobalIndex;

    /// A global that a module defines: the first one after the imported globals is 0.
    pub struct DefinedGlobalIndex;

    /// A tag of a module. Imported tags come first.
    pub struct TagIndex;

    /// An element segment of a module.
    pub struct ElemIndex;

    /// A data segment of a module.
    pub struct DataIndex;

    /// An element of an element segment.
    pub struct SegmentElementIndex;

    /// A place in the bytes of a data segment.
    pub struct DataOffset;

    /// A local of a function. Parameters come first.
    pub struct LocalIndex;

    /// An operand on the operand stack of a function. The lowest is 0.
    pub struct OperandIndex;

    /// A label of a branch: how many blocks are between it and the branch.
    pub struct LabelIndex;

    /// A field of a struct; where objects of any kind are meant, also an element of an array.
    pub struct FieldIndex;

    /// An element of an array.
    pub struct ArrayElementIndex;

    /// The number that an engine gave a type. Equal types of one engine have equal numbers.
    pub struct TypeNumber;

    /// A place in a module's code: bytes from the beginning of the contents of the code section.
    pub struct CodeOffset;
}
