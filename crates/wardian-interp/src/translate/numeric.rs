//! How operators on numbers become instructions.

use super::stack::Value;
use super::{Body, Outcome};
use crate::op::{self, Instruction, Opcode};
use crate::operand::{D, D32, D64, I32, S, U64};
use crate::translation::CodeUnit;
use wardian_vm::interpreted::FrameSlot;

/// What can be done with a constant on the right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// Use it as it is, wherever it stands.
    Commutes,
    /// Use it as it is.
    Plain,
    /// Use its negation.
    Negated,
    /// Divide by it, unless that can trap: zero, and here minus one too.
    SignedDivisor,
    /// Divide by it, unless it is zero.
    Divisor,
}

impl Right {
    pub(super) fn immediate(self, value: Value, is64: bool) -> Option<I32> {
        let Value::Const(bits) = value else { return None };
        let value = if is64 { i32::try_from(bits as i64).ok()? } else { bits as i32 };
        match self {
            Right::Negated if is64 => value.checked_neg().map(I32),
            Right::Negated => Some(I32(value.wrapping_neg())),
            Right::SignedDivisor if value == 0 || value == -1 => None,
            Right::Divisor if value == 0 => None,
            _ => Some(I32(value)),
        }
    }
}

impl Body<'_> {
    #[inline]
    pub(super) fn unary<I: Instruction, T: From<FrameSlot>>(
        &mut self,
        make: impl Fn(T, S) -> I,
    ) -> Outcome {
        let a = self.pop_slot()?;
        let d = T::from(self.push_temp());
        self.emit(make(d, a));
        Ok(())
    }

    #[inline]
    pub(super) fn binary<I: Instruction, T: From<FrameSlot>>(
        &mut self,
        make: impl Fn(T, S, S) -> I,
    ) -> Outcome {
        let (b, a) = (self.pop()?, self.pop()?);
        let (b, a) = (S(self.slot_of(&b)), S(self.slot_of(&a)));
        let d = T::from(self.push_temp());
        self.emit(make(d, a, b));
        Ok(())
    }

    /// An integer operation that has a form for a constant on the right.
    #[inline]
    pub(super) fn integer<I: Instruction, J: Instruction>(
        &mut self,
        make: impl Fn(D, S, S) -> I,
        imm: impl Fn(D, S, I32) -> J,
        right: Right,
        is64: bool,
    ) -> Outcome {
        let (mut b, mut a) = (self.pop()?, self.pop()?);
        if right == Right::Commutes && matches!(a.value, Value::Const(_)) {
            std::mem::swap(&mut a, &mut b);
        }
        if let Some(constant) = right.immediate(b.value, is64) {
            let a = S(self.slot_of(&a));
            let d = D(self.push_temp());
            self.emit(imm(d, a, constant));
            return Ok(());
        }
        let (b, a) = (S(self.slot_of(&b)), S(self.slot_of(&a)));
        let d = D(self.push_temp());
        self.emit(make(d, a, b));
        Ok(())
    }

    /// A comparison that has forms for a constant on either side.
    #[inline]
    pub(super) fn comparison<I: Instruction, J: Instruction, K: Instruction>(
        &mut self,
        make: impl Fn(D, S, S) -> I,
        imm: impl Fn(D, S, I32) -> J,
        left: impl Fn(D, S, I32) -> K,
        is64: bool,
    ) -> Outcome {
        let (b, a) = (self.pop()?, self.pop()?);
        if let Some(constant) = Right::Plain.immediate(b.value, is64) {
            let a = S(self.slot_of(&a));
            let d = D(self.push_temp());
            self.emit(imm(d, a, constant));
        } else if let Some(constant) = Right::Plain.immediate(a.value, is64) {
            let b = S(self.slot_of(&b));
            let d = D(self.push_temp());
            self.emit(left(d, b, constant));
        } else {
            let (b, a) = (S(self.slot_of(&b)), S(self.slot_of(&a)));
            let d = D(self.push_temp());
            self.emit(make(d, a, b));
        }
        Ok(())
    }

    /// If one of the two topmost operands was made by such an instruction just now: pops both, and returns
    /// where that begins, the slot of the other operand, and whether the one was on the right.
    pub(super) fn either(
        &mut self,
        is_maker: impl Fn(Opcode) -> bool,
    ) -> Outcome<Option<(CodeUnit, S, bool)>> {
        let top = self.below(2)?;
        let [a, b] = [self.b.stack[top], self.b.stack[top.add(1)]];
        let is_plain = |value| !matches!(value, Value::Const(_));
        if self.is_far() || !is_plain(a.value) || !is_plain(b.value) {
            return Ok(None);
        }
        for (entry, other, is_right) in [(b, a, true), (a, b, false)] {
            if entry.value == Value::Temp
                && let Some((start, opcode)) = self.last_defining(entry.slot)
                && is_maker(opcode)
            {
                let other = S(self.slot_of(&other));
                self.pop()?;
                self.pop()?;
                return Ok(Some((start, other, is_right)));
            }
        }
        Ok(None)
    }

    /// An operation on floats whose NaNs may have any bits.
    pub(super) fn float_unary<I: Instruction, T: From<FrameSlot>>(
        &mut self,
        make: impl Fn(T, S) -> I,
        is64: bool,
    ) -> Outcome {
        self.unary(make)?;
        self.canonical(is64);
        Ok(())
    }

    pub(super) fn float_binary<I: Instruction, T: From<FrameSlot>>(
        &mut self,
        make: impl Fn(T, S, S) -> I,
        is64: bool,
    ) -> Outcome {
        self.binary(make)?;
        self.canonical(is64);
        Ok(())
    }

    /// Double arithmetic that has a form for a constant on the right.
    pub(super) fn double<I: Instruction, J: Instruction>(
        &mut self,
        make: impl Fn(D64, S, S) -> I,
        imm: impl Fn(D64, S, U64) -> J,
    ) -> Outcome {
        let top = self.below(1)?;
        if let Value::Const(bits) = self.b.stack[top].value {
            self.pop()?;
            let a = self.pop_slot()?;
            let d = D64(self.push_temp());
            self.emit(imm(d, a, U64(bits)));
        } else {
            self.binary(make)?;
        }
        self.canonical(true);
        Ok(())
    }

    /// Gives a NaN on top the bits that all are to have.
    fn canonical(&mut self, is64: bool) {
        if !self.env.options.canonical_nans {
            return;
        }
        let Some(slot) = self.b.stack.last().map(|e| e.slot) else { return };
        if is64 {
            self.emit(op::f64_canonical { d: D64(slot), a: S(slot) });
        } else {
            self.emit(op::f32_canonical { d: D32(slot), a: S(slot) });
        }
    }
}

/// Sums and differences of which one side was multiplied just now.
macro_rules! products {
    ($($name:ident $mul:ident $d:ident $add_mul:ident $sub_mul:ident $mul_sub:ident;)*) => {
        impl Body<'_> { $(
            /// If one of the two topmost operands is a product: does both operations in one go.
            pub(super) fn $name(&mut self, subtract: bool) -> Outcome<bool> {
                let Some((start, other, is_right)) = self.either(|opcode| opcode == Opcode::$mul)? else {
                    return Ok(false);
                };
                let op::$mul { a: b, b: c, .. } = self.read(start);
                self.retract(start);
                let (d, a) = ($d(self.push_temp()), other);
                match (subtract, is_right) {
                    (false, _) => self.emit(op::$add_mul { d, a, b, c }),
                    (true, true) => self.emit(op::$sub_mul { d, a, b, c }),
                    (true, false) => self.emit(op::$mul_sub { d, a, b, c }),
                }
                Ok(true)
            }
        )* }
    };
}

products! {
    product32 f32_mul D32 f32_add_mul f32_sub_mul f32_mul_sub;
    product64 f64_mul D64 f64_add_mul f64_sub_mul f64_mul_sub;
}
