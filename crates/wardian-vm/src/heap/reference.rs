//! References to objects.

use super::REACH;
use crate::layout::FuncId;
use std::fmt;

/// A reference to an object as guests hold it: zero for null, an odd number for an integer of 31 bits, otherwise where
/// in the heap an object is.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct HeapRef(u32);

impl HeapRef {
    /// No object.
    pub const NULL: HeapRef = HeapRef(0);

    /// The reference with this number.
    #[inline(always)]
    pub const fn from_u32(reference: u32) -> HeapRef {
        HeapRef(reference)
    }

    /// Its number.
    #[inline(always)]
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// The reference in the low half of a slot. The high half is ignored.
    #[inline(always)]
    pub const fn in_low_half(word: u64) -> HeapRef {
        HeapRef(word as u32)
    }

    /// The reference in a slot, or none if the slot has more than 32 bits.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Option<HeapRef> {
        if word >> 32 == 0 { Some(HeapRef(word as u32)) } else { None }
    }

    /// The reference as a slot.
    #[inline(always)]
    pub const fn as_word(self) -> u64 {
        self.0 as u64
    }

    /// An integer of 31 bits; the highest bit of the number is ignored.
    #[inline(always)]
    pub const fn of_integer(number: u32) -> HeapRef {
        HeapRef(number << 1 | 1)
    }

    /// Which integer it is, without its sign, if it is one.
    #[inline(always)]
    pub const fn integer(self) -> Option<u32> {
        if self.is_integer() { Some(self.0 >> 1) } else { None }
    }

    /// Whether it is an integer of 31 bits.
    #[inline(always)]
    pub const fn is_integer(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether it is null.
    #[inline(always)]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The object that begins so many bytes from the base of the heap, within its reach.
    #[inline(always)]
    pub(crate) const fn at(bytes: usize) -> HeapRef {
        HeapRef(bytes as u32)
    }

    /// How many bytes from the base of the heap that is. It lies in the reservation, whatever the reference is: where that
    /// is smaller than what 32 bits say, the highest bits, which no reference that the heap has given out has, are dropped.
    #[inline(always)]
    pub const fn bytes_from_base(self) -> usize {
        self.0 as usize & (REACH - 1)
    }
}

impl fmt::Debug for HeapRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// How an object holds a function: one more than the function's index in its store, or zero for null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct FuncHandle(u32);

impl FuncHandle {
    /// No function.
    pub const NULL: FuncHandle = FuncHandle(0);

    /// The handle of a function.
    #[inline(always)]
    pub const fn of(func: FuncId) -> FuncHandle {
        FuncHandle(func.as_u32() + 1)
    }

    /// The function, or none for null.
    #[inline(always)]
    pub const fn func(self) -> Option<FuncId> {
        match self.0.checked_sub(1) {
            Some(func) => Some(FuncId::from_u32(func)),
            None => None,
        }
    }

    /// Its place in [`StoreCtx::func_records`](crate::layout::StoreCtx::func_records).
    #[inline(always)]
    pub const fn record(self) -> usize {
        self.0 as usize
    }
}
