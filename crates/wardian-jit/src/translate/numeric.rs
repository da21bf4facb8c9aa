//! Integer and float arithmetic, comparisons and shifts on scalars.

use super::state::{Outcome, Translator};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use cranelift_frontend::FuncInstBuilder;
use wardian_module::operators::{Comparison, Float, Integer};
use wardian_types::TrapCode;

/// How an integer division treats signs, and which of its results is wanted.
#[derive(Clone, Copy)]
enum Division {
    Quotient { signed: bool },
    Remainder { signed: bool },
}

impl<'f> Translator<'_, 'f> {
    pub(super) fn unary(
        &mut self,
        op: impl FnOnce(FuncInstBuilder<'_, 'f>, Value) -> Value,
    ) -> Outcome {
        let x = self.pop()?;
        let value = op(self.b.ins(), x);
        self.push(value);
        Ok(())
    }

    pub(super) fn binary(
        &mut self,
        op: impl FnOnce(FuncInstBuilder<'_, 'f>, Value, Value) -> Value,
    ) -> Outcome {
        let (x, y) = self.pop2()?;
        let value = op(self.b.ins(), x, y);
        self.push(value);
        Ok(())
    }

    fn compare(&mut self, cond: IntCC) -> Outcome {
        let (x, y) = self.pop2()?;
        let condition = self.b.ins().icmp(cond, x, y);
        self.push_bool(condition);
        Ok(())
    }

    fn compare_floats(&mut self, cond: FloatCC) -> Outcome {
        let (x, y) = self.pop2()?;
        let condition = self.b.ins().fcmp(cond, x, y);
        self.push_bool(condition);
        Ok(())
    }

    pub(super) fn comparison_operator(&mut self, operator: Comparison) -> Outcome {
        use Comparison as O;
        match operator {
            O::I32Eqz | O::I64Eqz => {
                let x = self.pop()?;
                let zero = self.is_zero(x);
                self.push_bool(zero);
            }
            O::I32Eq | O::I64Eq => self.compare(IntCC::Equal)?,
            O::I32Ne | O::I64Ne => self.compare(IntCC::NotEqual)?,
            O::I32LtS | O::I64LtS => self.compare(IntCC::SignedLessThan)?,
            O::I32LtU | O::I64LtU => self.compare(IntCC::UnsignedLessThan)?,
            O::I32GtS | O::I64GtS => self.compare(IntCC::SignedGreaterThan)?,
            O::I32GtU | O::I64GtU => self.compare(IntCC::UnsignedGreaterThan)?,
            O::I32LeS | O::I64LeS => self.compare(IntCC::SignedLessThanOrEqual)?,
            O::I32LeU | O::I64LeU => self.compare(IntCC::UnsignedLessThanOrEqual)?,
            O::I32GeS | O::I64GeS => self.compare(IntCC::SignedGreaterThanOrEqual)?,
            O::I32GeU | O::I64GeU => self.compare(IntCC::UnsignedGreaterThanOrEqual)?,
            O::F32Eq | O::F64Eq => self.compare_floats(FloatCC::Equal)?,
            O::F32Ne | O::F64Ne => self.compare_floats(FloatCC::NotEqual)?,
            O::F32Lt | O::F64Lt => self.compare_floats(FloatCC::LessThan)?,
            O::F32Gt | O::F64Gt => self.compare_floats(FloatCC::GreaterThan)?,
            O::F32Le | O::F64Le => self.compare_floats(FloatCC::LessThanOrEqual)?,
            O::F32Ge | O::F64Ge => self.compare_floats(FloatCC::GreaterThanOrEqual)?,
        }
        Ok(())
    }

    pub(super) fn integer_operator(&mut self, operator: Integer) -> Outcome {
        use Integer as O;
        match operator {
            O::I32Add | O::I64Add => self.binary(|i, x, y| i.iadd(x, y))?,
            O::I64Add128 => self.wide_binary(|i, x, y| i.iadd(x, y))?,
            O::I64Sub128 => self.wide_binary(|i, x, y| i.isub(x, y))?,
            O::I64MulWideS => self.mul_wide(|i, x, y| i.smulhi(x, y))?,
            O::I64MulWideU => self.mul_wide(|i, x, y| i.umulhi(x, y))?,
            O::I32Sub | O::I64Sub => self.binary(|i, x, y| i.isub(x, y))?,
            O::I32Mul | O::I64Mul => self.binary(|i, x, y| i.imul(x, y))?,
            O::I32And | O::I64And => self.binary(|i, x, y| i.band(x, y))?,
            O::I32Or | O::I64Or => self.binary(|i, x, y| i.bor(x, y))?,
            O::I32Xor | O::I64Xor => self.binary(|i, x, y| i.bxor(x, y))?,
            // Cranelift takes shift amounts modulo the width, as WebAssembly does.
            O::I32Shl | O::I64Shl => self.binary(|i, x, y| i.ishl(x, y))?,
            O::I32ShrS | O::I64ShrS => self.binary(|i, x, y| i.sshr(x, y))?,
            O::I32ShrU | O::I64ShrU => self.binary(|i, x, y| i.ushr(x, y))?,
            O::I32Rotl | O::I64Rotl => self.binary(|i, x, y| i.rotl(x, y))?,
            O::I32Rotr | O::I64Rotr => self.binary(|i, x, y| i.rotr(x, y))?,
            O::I32Clz | O::I64Clz => self.unary(|i, x| i.clz(x))?,
            O::I32Ctz | O::I64Ctz => self.unary(|i, x| i.ctz(x))?,
            O::I32Popcnt | O::I64Popcnt => self.unary(|i, x| i.popcnt(x))?,
            O::I32DivS | O::I64DivS => self.divide(Division::Quotient { signed: true })?,
            O::I32DivU | O::I64DivU => self.divide(Division::Quotient { signed: false })?,
            O::I32RemS | O::I64RemS => self.divide(Division::Remainder { signed: true })?,
            O::I32RemU | O::I64RemU => self.divide(Division::Remainder { signed: false })?,
        }
        Ok(())
    }

    /// Of two values of 128 bits, each in two operands, the low half first.
    fn wide_binary(
        &mut self,
        make: impl FnOnce(FuncInstBuilder<'_, 'f>, Value, Value) -> Value,
    ) -> Outcome {
        let (low, high) = self.pop2()?;
        let y = self.b.ins().iconcat(low, high);
        let (low, high) = self.pop2()?;
        let x = self.b.ins().iconcat(low, high);
        let value = make(self.b.ins(), x, y);
        let (low, high) = self.b.ins().isplit(value);
        self.push(low);
        self.push(high);
        Ok(())
    }

    /// `high` makes the upper half of a product.
    fn mul_wide(
        &mut self,
        high: impl FnOnce(FuncInstBuilder<'_, 'f>, Value, Value) -> Value,
    ) -> Outcome {
        let (x, y) = self.pop2()?;
        let low = self.b.ins().imul(x, y);
        let high = high(self.b.ins(), x, y);
        self.push(low);
        self.push(high);
        Ok(())
    }

    fn divide(&mut self, division: Division) -> Outcome {
        let (x, y) = self.pop2()?;
        if !self.env.tunables.signals {
            self.check_division(division, x, y);
        }
        let i = self.b.ins();
        let value = match division {
            Division::Quotient { signed: true } => i.sdiv(x, y),
            Division::Quotient { signed: false } => i.udiv(x, y),
            Division::Remainder { signed: true } => i.srem(x, y),
            Division::Remainder { signed: false } => i.urem(x, y),
        };
        self.push(value);
        Ok(())
    }

    /// Where faults do not become traps, nothing may be left to the processor's.
    fn check_division(&mut self, division: Division, x: Value, y: Value) {
        let divisor = self.as_const(y);
        if divisor.is_none_or(|d| d == 0) {
            self.trap_if_zero(y, TrapCode::IntegerDivisionByZero);
        }
        let ty = self.b.func.dfg.value_type(x);
        let (min, minus_one) = if ty == types::I32 {
            (i64::from(i32::MIN), u64::from(u32::MAX))
        } else {
            (i64::MIN, u64::MAX)
        };
        let can_overflow = matches!(division, Division::Quotient { signed: true });
        if can_overflow && divisor.is_none_or(|d| d == minus_one) {
            let min = self.iconst(ty, min);
            let is_min = self.b.ins().icmp(IntCC::Equal, x, min);
            let by_minus_one = self.b.ins().icmp_imm_s(IntCC::Equal, y, -1);
            let overflow = self.b.ins().band(is_min, by_minus_one);
            self.trap_if(overflow, TrapCode::IntegerOverflow);
        }
    }

    pub(super) fn float_operator(&mut self, operator: Float) -> Outcome {
        use Float as O;
        match operator {
            O::F32Add | O::F64Add => self.binary(|i, x, y| i.fadd(x, y))?,
            O::F32Sub | O::F64Sub => self.binary(|i, x, y| i.fsub(x, y))?,
            O::F32Mul | O::F64Mul => self.binary(|i, x, y| i.fmul(x, y))?,
            O::F32Div | O::F64Div => self.binary(|i, x, y| i.fdiv(x, y))?,
            O::F32Min | O::F64Min => self.binary(|i, x, y| i.fmin(x, y))?,
            O::F32Max | O::F64Max => self.binary(|i, x, y| i.fmax(x, y))?,
            O::F32Copysign | O::F64Copysign => self.binary(|i, x, y| i.fcopysign(x, y))?,
            O::F32Abs | O::F64Abs => self.unary(|i, x| i.fabs(x))?,
            O::F32Neg | O::F64Neg => self.unary(|i, x| i.fneg(x))?,
            O::F32Ceil | O::F64Ceil => self.unary(|i, x| i.ceil(x))?,
            O::F32Floor | O::F64Floor => self.unary(|i, x| i.floor(x))?,
            O::F32Trunc | O::F64Trunc => self.unary(|i, x| i.trunc(x))?,
            O::F32Nearest | O::F64Nearest => self.unary(|i, x| i.nearest(x))?,
            O::F32Sqrt | O::F64Sqrt => self.unary(|i, x| i.sqrt(x))?,
        }
        Ok(())
    }
}
