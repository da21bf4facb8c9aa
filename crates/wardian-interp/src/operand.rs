//! Kinds of operands, and how each is encoded in units of 16 bits.
//!
//! Slots are numbered from fp. The kinds that name one say whether it is read or written and how many
//! slots it takes, so that an instruction whose slots are out of reach can be rewritten by machine.

use std::fmt;
use wardian_vm::addr::CtxOffset;
use wardian_vm::interpreted::FrameSlot;

/// What the executor does with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
}

/// The register in which an instruction leaves its result for the next one, besides the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    /// Any bits.
    Word,
    Double,
    Single,
}

/// An operand of an instruction.
pub(crate) trait Operand: Copy {
    /// How many units it takes.
    const UNITS: usize;
    /// Whether it is a slot within reach that is written: such an operand always comes first.
    const DEFINES: bool = false;
    /// Where the next instruction finds what was written.
    const REGISTER: Option<Register> = None;

    /// Writes it to the beginning of `units`.
    fn put(self, units: &mut [u16]);

    /// Reads it from the beginning of `units`.
    fn get(units: &[u16]) -> Self;

    /// Shows each slot that has to be within reach: its number, use and width.
    fn visit(&mut self, _visit: &mut impl FnMut(&mut FrameSlot, Use, i32)) {}

    /// Writes it as text. `end` is where the instruction ends.
    fn show(self, f: &mut fmt::Formatter<'_>, end: usize) -> fmt::Result;
}

macro_rules! slots {
    ($($(#[$doc:meta])* $name:ident $usage:ident $width:literal $defines:literal $register:expr, $mark:literal;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name(pub(crate) FrameSlot);

        impl From<FrameSlot> for $name {
            fn from(slot: FrameSlot) -> Self {
                Self(slot)
            }
        }

        impl Operand for $name {
            const UNITS: usize = 1;
            const DEFINES: bool = $defines;
            const REGISTER: Option<Register> = $register;

            #[inline]
            fn put(self, units: &mut [u16]) {
                let slot = self.0.as_i32();
                debug_assert!(i16::try_from(slot).is_ok(), "a slot is out of reach");
                units[0] = slot as i16 as u16;
            }

            fn get(units: &[u16]) -> Self {
                Self(FrameSlot::from(units[0] as i16))
            }

            fn visit(&mut self, visit: &mut impl FnMut(&mut FrameSlot, Use, i32)) {
                visit(&mut self.0, Use::$usage, $width);
            }

            fn show(self, f: &mut fmt::Formatter<'_>, _end: usize) -> fmt::Result {
                write!(f, concat!($mark, "{}"), self.0)
            }
        }
    )* };
}

slots! {
    /// A slot that is read.
    S Read 1 false None, "r";
    /// A slot that is written.
    D Write 1 true Some(Register::Word), "r";
    /// A slot to which an `f64` is written.
    D64 Write 1 true Some(Register::Double), "r";
    /// A slot to which an `f32` is written.
    D32 Write 1 true Some(Register::Single), "r";
    /// A slot that is written, one of several.
    W Write 1 false None, "r";
    /// Two slots that are read: a vector.
    SW Read 2 false None, "v";
    /// Two slots that are written: a vector.
    DW Write 2 true None, "v";
}

impl U32 {
    /// Where it is in the instance, of an operand that says that.
    #[inline(always)]
    pub(crate) const fn in_instance(self) -> CtxOffset {
        CtxOffset::from_u32(self.0)
    }
}

/// The number that these units hold, low unit first.
fn number(units: &[u16]) -> u128 {
    units.iter().rev().fold(0, |n, unit| n << 16 | u128::from(*unit))
}

macro_rules! immediates {
    ($($(#[$doc:meta])* $name:ident($ty:ty) $units:literal $format:literal;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name(pub(crate) $ty);

        impl Operand for $name {
            const UNITS: usize = $units;

            #[inline]
            fn put(self, units: &mut [u16]) {
                for (i, unit) in units[..$units].iter_mut().enumerate() {
                    *unit = (self.0 as u128 >> (16 * i)) as u16;
                }
            }

            fn get(units: &[u16]) -> Self {
                Self(number(&units[..$units]) as $ty)
            }

            fn show(self, f: &mut fmt::Formatter<'_>, _end: usize) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
    )* };
}

immediates! {
    /// A small number.
    U16(u16) 1 "{}";
    /// A number that is zero-extended.
    U32(u32) 2 "{}";
    /// A number that may be sign-extended.
    I32(i32) 2 "{}";
    /// All bits of a slot.
    U64(u64) 4 "{:#x}";
    /// All bits of a vector.
    V128(u128) 8 "{:#x}";
}

/// A slot of any distance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Far(pub(crate) FrameSlot);

impl Operand for Far {
    const UNITS: usize = 2;

    #[inline]
    fn put(self, units: &mut [u16]) {
        I32(self.0.as_i32()).put(units);
    }

    fn get(units: &[u16]) -> Self {
        Self(FrameSlot::from(I32::get(units).0))
    }

    fn show(self, f: &mut fmt::Formatter<'_>, _end: usize) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Where a branch goes, in units from the end of its instruction, whose last operand it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch(pub(crate) i32);

impl Operand for Branch {
    const UNITS: usize = 2;

    #[inline]
    fn put(self, units: &mut [u16]) {
        I32(self.0).put(units);
    }

    fn get(units: &[u16]) -> Self {
        Self(I32::get(units).0)
    }

    fn show(self, f: &mut fmt::Formatter<'_>, end: usize) -> fmt::Result {
        write!(f, "-> {}", end as i64 + i64::from(self.0))
    }
}
