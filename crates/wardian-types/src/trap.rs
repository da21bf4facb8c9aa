//! Why a guest stopped on its own.

use std::fmt;

/// The reason of a trap (core specification, "Traps"; messages are those of the official tests).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
#[doc(alias = "Trap")]
pub enum TrapCode {
    /// `unreachable` was executed.
    Unreachable = 1,
    /// An access out of bounds of a linear memory.
    MemoryOutOfBounds = 2,
    /// An access out of bounds of a table, or of an element segment.
    TableOutOfBounds = 3,
    /// A call through a table element that is null.
    IndirectCallToNull = 4,
    /// A call through a table with an index out of bounds.
    UndefinedElement = 5,
    /// A call through a table to a function of another signature.
    BadSignature = 6,
    /// Integer division by zero.
    IntegerDivisionByZero = 7,
    /// An integer result that its type cannot hold.
    IntegerOverflow = 8,
    /// A conversion to integer of a NaN.
    BadConversionToInteger = 9,
    /// The guest's stack is used up.
    StackOverflow = 10,
    /// An atomic access to an address that is not a multiple of its size.
    UnalignedAtomic = 11,
    /// `memory.atomic.wait` on a memory that is not shared.
    AtomicWaitNonShared = 12,
    /// A null reference where one to something is needed.
    NullReference = 13,
    /// A call through a null reference.
    NullFunctionReference = 14,
    /// `throw_ref` of a null reference.
    NullExceptionReference = 15,
    /// An access to a struct through a null reference.
    NullStructReference = 16,
    /// An access to an array through a null reference.
    NullArrayReference = 17,
    /// `i31.get_s` or `i31.get_u` of a null reference.
    NullI31Reference = 18,
    /// An access outside of an array.
    ArrayOutOfBounds = 19,
    /// `ref.cast` of a reference that is not of the type.
    CastFailure = 20,
}

impl TrapCode {
    /// Every code, in the order of their numbers.
    pub const ALL: [TrapCode; 20] = [
        TrapCode::Unreachable,
        TrapCode::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds,
        TrapCode::IndirectCallToNull,
        TrapCode::UndefinedElement,
        TrapCode::BadSignature,
        TrapCode::IntegerDivisionByZero,
        TrapCode::IntegerOverflow,
        TrapCode::BadConversionToInteger,
        TrapCode::StackOverflow,
        TrapCode::UnalignedAtomic,
        TrapCode::AtomicWaitNonShared,
        TrapCode::NullReference,
        TrapCode::NullFunctionReference,
        TrapCode::NullExceptionReference,
        TrapCode::NullStructReference,
        TrapCode::NullArrayReference,
        TrapCode::NullI31Reference,
        TrapCode::ArrayOutOfBounds,
        TrapCode::CastFailure,
    ];

    /// The code with this number, as stored in the tables of compiled code.
    pub fn from_u8(code: u8) -> Option<TrapCode> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// The official tests' words for this trap.
    pub fn message(self) -> &'static str {
        match self {
            TrapCode::Unreachable => "unreachable",
            TrapCode::MemoryOutOfBounds => "out of bounds memory access",
            TrapCode::TableOutOfBounds => "out of bounds table access",
            TrapCode::IndirectCallToNull => "uninitialized element",
            TrapCode::UndefinedElement => "undefined element",
            TrapCode::BadSignature => "indirect call type mismatch",
            TrapCode::IntegerDivisionByZero => "integer divide by zero",
            TrapCode::IntegerOverflow => "integer overflow",
            TrapCode::BadConversionToInteger => "invalid conversion to integer",
            TrapCode::StackOverflow => "call stack exhausted",
            TrapCode::UnalignedAtomic => "unaligned atomic",
            TrapCode::AtomicWaitNonShared => "expected shared memory",
            TrapCode::NullReference => "null reference",
            TrapCode::NullFunctionReference => "null function reference",
            TrapCode::NullExceptionReference => "null exception reference",
            TrapCode::NullStructReference => "null structure reference",
            TrapCode::NullArrayReference => "null array reference",
            TrapCode::NullI31Reference => "null i31 reference",
            TrapCode::ArrayOutOfBounds => "out of bounds array access",
            TrapCode::CastFailure => "cast failure",
        }
    }
}

impl fmt::Display for TrapCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for TrapCode {}

#[cfg(test)]
mod tests {
    use super::TrapCode;

    #[test]
    fn numbers_round_trip() {
        for code in TrapCode::ALL {
            assert_eq!(TrapCode::from_u8(code as u8), Some(code));
        }
        assert_eq!(TrapCode::from_u8(0), None);
        assert_eq!(TrapCode::from_u8(200), None);
    }
}
