//! Integer operations together with a shift before them, and with constants of 64 bits.

use super::numeric::Right;
use super::stack::Value;
use super::{Body, Outcome};
use crate::op::{self, Instruction, Opcode};
use crate::operand::{D, S, U16, U64};

/// Commuting operations with one operand that was shifted just now: `name operation imm, whether it has
/// 64 bits, with a constant of 64 bits if there is such a form: shift both…;`
macro_rules! shifted {
    ($($name:ident $plain:ident $imm:ident $is64:literal $($wide:ident)?: $($shift:ident $both:ident)+;)*) => {
        impl Body<'_> { $(
            pub(super) fn $name(&mut self) -> Outcome {
                let is_maker = |opcode| matches!(opcode, $(Opcode::$shift)|+);
                if let Some((start, a, _)) = self.either(is_maker)? {
                    let opcode = self.opcode_at(start);
                    $(if opcode == Opcode::$shift {
                        let op::$shift { a: b, b: shift, .. } = self.read(start);
                        self.retract(start);
                        let distance = shift.0 as u16 & if $is64 { 63 } else { 31 };
                        let d = D(self.push_temp());
                        self.emit(op::$both { d, a, b, shift: U16(distance) });
                    })+
                    return Ok(());
                }
                $(if self.wide_constant(op::$wide::new)? {
                    return Ok(());
                })?
                self.integer(op::$plain::new, op::$imm::new, Right::Commutes, $is64)
            }
        )* }
    };
}

shifted! {
    add32 i32_add i32_add_imm false: i32_shl_imm i32_add_shl;
    add64 i64_add i64_add_imm true i64_add_const: i64_shl_imm i64_add_shl;
    or32 i32_or i32_or_imm false: i32_shl_imm i32_or_shl;
    or64 i64_or i64_or_imm true: i64_shl_imm i64_or_shl;
    xor32 i32_xor i32_xor_imm false: i32_shl_imm i32_xor_shl i32_shr_u_imm i32_xor_shr_u
        i32_rotl_imm i32_xor_rotl;
    xor64 i64_xor i64_xor_imm true i64_xor_const: i64_shl_imm i64_xor_shl i64_shr_u_imm i64_xor_shr_u
        i64_rotl_imm i64_xor_rotl;
}

/// Of fields of bits: a mask of what was shifted just now.
macro_rules! masks {
    ($($name:ident $shift:ident $bits:ident $width:literal;)*) => {
        impl Body<'_> { $(
            fn $name(&mut self) -> Outcome<bool> {
                let top = self.below(2)?;
                let [value, mask] = [self.b.stack[top], self.b.stack[top.add(1)]];
                let Some(mask) = Right::Plain.immediate(mask.value, $width == 64) else {
                    return Ok(false);
                };
                if value.value != Value::Temp || self.is_far() {
                    return Ok(false);
                }
                let Some((start, Opcode::$shift)) = self.last_defining(value.slot) else {
                    return Ok(false);
                };
                let op::$shift { a, b: shift, .. } = self.read(start);
                self.truncate(top);
                self.retract(start);
                let d = D(self.push_temp());
                self.emit(op::$bits { d, a, shift: U16(shift.0 as u16 % $width), b: mask });
                Ok(true)
            }
        )* }
    };
}

masks! {
    bits32 i32_shr_u_imm i32_bits 32;
    bits64 i64_shr_u_imm i64_bits 64;
}

impl Body<'_> {
    pub(super) fn and32(&mut self) -> Outcome {
        if self.bits32()? {
            return Ok(());
        }
        self.integer(op::i32_and::new, op::i32_and_imm::new, Right::Commutes, false)
    }

    pub(super) fn and64(&mut self) -> Outcome {
        if self.bits64()? || self.wide_constant(op::i64_and_const::new)? {
            return Ok(());
        }
        self.integer(op::i64_and::new, op::i64_and_imm::new, Right::Commutes, true)
    }

    pub(super) fn mul64(&mut self) -> Outcome {
        if self.wide_constant(op::i64_mul_const::new)? {
            return Ok(());
        }
        self.integer(op::i64_mul::new, op::i64_mul_imm::new, Right::Commutes, true)
    }

    /// If one of the two topmost operands is a constant for which other instructions have no room: pops both
    /// and appends one that has.
    fn wide_constant<I: Instruction>(&mut self, make: impl Fn(D, S, U64) -> I) -> Outcome<bool> {
        let top = self.below(2)?;
        let values = [self.b.stack[top].value, self.b.stack[top.add(1)].value];
        let (bits, other) = match values {
            [Value::Const(_), Value::Const(_)] => return Ok(false),
            [_, Value::Const(bits)] => (bits, top),
            [Value::Const(bits), _] => (bits, top.add(1)),
            _ => return Ok(false),
        };
        if i32::try_from(bits as i64).is_ok() {
            return Ok(false);
        }
        let other = self.b.stack[other];
        let a = S(self.slot_of(&other));
        self.truncate(top);
        let d = D(self.push_temp());
        self.emit(make(d, a, U64(bits)));
        Ok(true)
    }
}
