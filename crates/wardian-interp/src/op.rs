//! The instructions as types, made from the table: a struct for each, its number, its encoding.

use crate::operand::{
    Branch, D, D32, D64, DW, Far, I32, Operand, Register, S, SW, U16, U32, U64, Use, V128, W,
};
use crate::table::instructions;
use std::fmt;
use wardian_vm::interpreted::FrameSlot;

/// Units before the operands. Where handlers jump from one to the next, an instruction begins with the
/// address of its handler, so that the jump waits for one load only; elsewhere, with its number. The
/// translator writes the number in either case, and [`crate::Translation`] has it replaced.
pub(crate) const HEAD: usize = if cfg!(all(tail_dispatch, not(debug_assertions))) { 4 } else { 1 };

/// What all instructions have.
pub(crate) trait Instruction: Copy {
    /// Its number.
    const OPCODE: Opcode;
    /// Its length with the opcode.
    const UNITS: usize;
    /// Whether its first operand is a slot that it writes.
    const DEFINES: bool;
    /// Where the next one finds what it wrote.
    const REGISTER: Option<Register>;

    fn put(self, code: &mut Vec<u16>);

    /// Reads it from where it begins.
    fn get(units: &[u16]) -> Self;

    /// Shows each slot that has to be within reach.
    fn visit(&mut self, visit: &mut impl FnMut(&mut FrameSlot, Use, i32));

    /// Writes it as text; it begins at unit `at`.
    fn show(self, f: &mut fmt::Formatter<'_>, at: usize) -> fmt::Result;
}

macro_rules! define {
    ($($shape:tt => $($name:ident)+;)*) => {
        /// The numbers of the instructions.
        #[allow(non_camel_case_types, reason = "named as the instructions are")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub(crate) enum Opcode { $($($name,)+)* }

        impl Opcode {
            /// All of them, in order.
            pub(crate) const ALL: &[Opcode] = &[$($(Opcode::$name,)+)*];

            /// How many units each takes.
            #[cfg(all(tail_dispatch, not(debug_assertions)))]
            pub(crate) const LENGTHS: [u8; Opcode::ALL.len()] = [$($($name::UNITS as u8,)+)*];
        }

        $($(define_one! { $name $shape })+)*

        /// Writes the instruction at `at` as text, and returns its length.
        pub(crate) fn show(
            opcode: Opcode,
            code: &[u16],
            at: usize,
            f: &mut fmt::Formatter<'_>,
        ) -> Result<usize, fmt::Error> {
            match opcode {
                $($(Opcode::$name => {
                    $name::get(&code[at..]).show(f, at)?;
                    Ok($name::UNITS)
                })+)*
            }
        }
    };
}

macro_rules! define_one {
    ($name:ident { $($field:ident: $kind:ident),* }) => {
        #[allow(non_camel_case_types, reason = "named as the instruction is")]
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name { $(pub(crate) $field: $kind,)* }

        impl $name {
            #[allow(clippy::too_many_arguments, reason = "one for each operand")]
            #[allow(dead_code, reason = "some are made field by field only")]
            pub(crate) fn new($($field: $kind),*) -> Self {
                Self { $($field,)* }
            }
        }

        impl Instruction for $name {
            const OPCODE: Opcode = Opcode::$name;
            const UNITS: usize = HEAD $(+ <$kind as Operand>::UNITS)*;
            const DEFINES: bool = false $(| <$kind as Operand>::DEFINES)*;
            const REGISTER: Option<Register> = {
                let register: Option<Register> = None;
                $(
                    let register = match register {
                        None => <$kind as Operand>::REGISTER,
                        known => known,
                    };
                )*
                register
            };

            #[inline]
            #[allow(unused_variables, unused_mut, unused_assignments, reason = "some have no operands")]
            fn put(self, code: &mut Vec<u16>) {
                let mut units = [0; <Self as Instruction>::UNITS];
                units[0] = Self::OPCODE as u16;
                let mut at = HEAD;
                $(
                    self.$field.put(&mut units[at..]);
                    at += <$kind as Operand>::UNITS;
                )*
                code.extend_from_slice(&units);
            }

            #[inline]
            #[allow(unused_variables, unused_mut, unused_assignments, reason = "some have no operands")]
            fn get(units: &[u16]) -> Self {
                let mut at = HEAD;
                $(
                    let $field = <$kind as Operand>::get(&units[at..]);
                    at += <$kind as Operand>::UNITS;
                )*
                Self { $($field,)* }
            }

            #[inline]
            #[allow(unused_variables, reason = "some have no slots")]
            fn visit(&mut self, visit: &mut impl FnMut(&mut FrameSlot, Use, i32)) {
                $(self.$field.visit(visit);)*
            }

            #[allow(unused_variables, reason = "some have no operands")]
            fn show(self, f: &mut fmt::Formatter<'_>, at: usize) -> fmt::Result {
                f.write_str(stringify!($name))?;
                let end = at + Self::UNITS;
                $(
                    f.write_str(" ")?;
                    self.$field.show(f, end)?;
                )*
                Ok(())
            }
        }
    };
}

instructions!(define);
