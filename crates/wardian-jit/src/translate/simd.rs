//! Vectors: constants, lanes, shuffles, comparisons, bits, shifts.

use super::state::{Fail, Outcome, Translator};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{ConstantData, InstBuilder, Type, Value, types};
use cranelift_frontend::FuncInstBuilder;
use types::{F32X4, F64X2, I8, I8X16, I16, I16X8, I32, I32X4, I64X2};
use wardian_module::operators::{Lane, VectorBits, VectorComparison};

impl<'f> Translator<'_, 'f> {
    pub(super) fn vector_unary(
        &mut self,
        ty: Type,
        op: impl FnOnce(FuncInstBuilder<'_, 'f>, Value) -> Value,
    ) -> Outcome {
        let x = self.pop_vector(ty)?;
        let value = op(self.b.ins(), x);
        self.push_vector(value);
        Ok(())
    }

    pub(super) fn vector_binary(
        &mut self,
        ty: Type,
        op: impl FnOnce(FuncInstBuilder<'_, 'f>, Value, Value) -> Value,
    ) -> Outcome {
        let y = self.pop_vector(ty)?;
        let x = self.pop_vector(ty)?;
        let value = op(self.b.ins(), x, y);
        self.push_vector(value);
        Ok(())
    }

    pub(super) fn lane_operator(&mut self, operator: Lane) -> Outcome {
        use Lane as O;
        match operator {
            O::I8x16ExtractLaneS { lane } => self.extract_narrow(I8X16, lane, true)?,
            O::I8x16ExtractLaneU { lane } => self.extract_narrow(I8X16, lane, false)?,
            O::I16x8ExtractLaneS { lane } => self.extract_narrow(I16X8, lane, true)?,
            O::I16x8ExtractLaneU { lane } => self.extract_narrow(I16X8, lane, false)?,
            O::I32x4ExtractLane { lane } => self.extract(I32X4, lane)?,
            O::I64x2ExtractLane { lane } => self.extract(I64X2, lane)?,
            O::F32x4ExtractLane { lane } => self.extract(F32X4, lane)?,
            O::F64x2ExtractLane { lane } => self.extract(F64X2, lane)?,
            O::I8x16ReplaceLane { lane } => self.replace(I8X16, lane)?,
            O::I16x8ReplaceLane { lane } => self.replace(I16X8, lane)?,
            O::I32x4ReplaceLane { lane } => self.replace(I32X4, lane)?,
            O::I64x2ReplaceLane { lane } => self.replace(I64X2, lane)?,
            O::F32x4ReplaceLane { lane } => self.replace(F32X4, lane)?,
            O::F64x2ReplaceLane { lane } => self.replace(F64X2, lane)?,
            O::I8x16Splat => self.splat(I8X16)?,
            O::I16x8Splat => self.splat(I16X8)?,
            O::I32x4Splat => self.splat(I32X4)?,
            O::I64x2Splat => self.splat(I64X2)?,
            O::F32x4Splat => self.splat(F32X4)?,
            O::F64x2Splat => self.splat(F64X2)?,
            O::I8x16Swizzle => self.vector_binary(I8X16, |i, x, y| i.swizzle(x, y))?,
            O::I8x16Shuffle { lanes } => self.shuffle(lanes)?,
        }
        Ok(())
    }

    /// Where all lanes come from one operand, the other one is arbitrary, but the shuffle would wait for it. Cranelift
    /// selects shuffles of a single vector only if both operands are that vector.
    fn shuffle(&mut self, mut lanes: [u8; 16]) -> Outcome {
        let (y, x) = (self.pop_vector(I8X16)?, self.pop_vector(I8X16)?);
        let (x, y) = if lanes.iter().all(|lane| *lane < 16) {
            (x, x)
        } else if lanes.iter().all(|lane| *lane >= 16) {
            lanes = lanes.map(|lane| lane - 16);
            (y, y)
        } else {
            (x, y)
        };
        let mask = self.b.func.dfg.immediates.push(ConstantData::from(&lanes[..]));
        let value = self.b.ins().shuffle(x, y, mask);
        self.push_vector(value);
        Ok(())
    }

    pub(super) fn lane(ty: Type, lane: u8) -> Outcome<u8> {
        if u32::from(lane) < ty.lane_count() {
            Ok(lane)
        } else {
            Err(Fail(format!("there is no lane {lane}")))
        }
    }

    fn extract(&mut self, ty: Type, lane: u8) -> Outcome {
        let lane = Self::lane(ty, lane)?;
        let x = self.pop_vector(ty)?;
        let value = self.b.ins().extractlane(x, lane);
        self.push(value);
        Ok(())
    }

    fn extract_narrow(&mut self, ty: Type, lane: u8, signed: bool) -> Outcome {
        self.extract(ty, lane)?;
        if signed {
            self.unary(|i, x| i.sextend(I32, x))
        } else {
            self.unary(|i, x| i.uextend(I32, x))
        }
    }

    /// A scalar as wide as a lane; for narrow integers an `i32`.
    fn pop_lane(&mut self, ty: Type) -> Outcome<Value> {
        let value = self.pop()?;
        Ok(match ty.lane_type() {
            narrow @ (I8 | I16) => self.b.ins().ireduce(narrow, value),
            _ => value,
        })
    }

    fn replace(&mut self, ty: Type, lane: u8) -> Outcome {
        let lane = Self::lane(ty, lane)?;
        let value = self.pop_lane(ty)?;
        self.vector_unary(ty, |i, x| i.insertlane(x, value, lane))
    }

    fn splat(&mut self, ty: Type) -> Outcome {
        let value = self.pop_lane(ty)?;
        let value = self.b.ins().splat(ty, value);
        self.push_vector(value);
        Ok(())
    }

    fn vector_compare(&mut self, ty: Type, cond: IntCC) -> Outcome {
        self.vector_binary(ty, |i, x, y| i.icmp(cond, x, y))
    }

    fn vector_compare_floats(&mut self, ty: Type, cond: FloatCC) -> Outcome {
        self.vector_binary(ty, |i, x, y| i.fcmp(cond, x, y))
    }

    pub(super) fn vector_comparison_operator(&mut self, operator: VectorComparison) -> Outcome {
        use IntCC as C;
        use VectorComparison as O;
        match operator {
            O::I8x16Eq => self.vector_compare(I8X16, C::Equal)?,
            O::I8x16Ne => self.vector_compare(I8X16, C::NotEqual)?,
            O::I8x16LtS => self.vector_compare(I8X16, C::SignedLessThan)?,
            O::I8x16LtU => self.vector_compare(I8X16, C::UnsignedLessThan)?,
            O::I8x16GtS => self.vector_compare(I8X16, C::SignedGreaterThan)?,
            O::I8x16GtU => self.vector_compare(I8X16, C::UnsignedGreaterThan)?,
            O::I8x16LeS => self.vector_compare(I8X16, C::SignedLessThanOrEqual)?,
            O::I8x16LeU => self.vector_compare(I8X16, C::UnsignedLessThanOrEqual)?,
            O::I8x16GeS => self.vector_compare(I8X16, C::SignedGreaterThanOrEqual)?,
            O::I8x16GeU => self.vector_compare(I8X16, C::UnsignedGreaterThanOrEqual)?,
            O::I16x8Eq => self.vector_compare(I16X8, C::Equal)?,
            O::I16x8Ne => self.vector_compare(I16X8, C::NotEqual)?,
            O::I16x8LtS => self.vector_compare(I16X8, C::SignedLessThan)?,
            O::I16x8LtU => self.vector_compare(I16X8, C::UnsignedLessThan)?,
            O::I16x8GtS => self.vector_compare(I16X8, C::SignedGreaterThan)?,
            O::I16x8GtU => self.vector_compare(I16X8, C::UnsignedGreaterThan)?,
            O::I16x8LeS => self.vector_compare(I16X8, C::SignedLessThanOrEqual)?,
            O::I16x8LeU => self.vector_compare(I16X8, C::UnsignedLessThanOrEqual)?,
            O::I16x8GeS => self.vector_compare(I16X8, C::SignedGreaterThanOrEqual)?,
            O::I16x8GeU => self.vector_compare(I16X8, C::UnsignedGreaterThanOrEqual)?,
            O::I32x4Eq => self.vector_compare(I32X4, C::Equal)?,
            O::I32x4Ne => self.vector_compare(I32X4, C::NotEqual)?,
            O::I32x4LtS => self.vector_compare(I32X4, C::SignedLessThan)?,
            O::I32x4LtU => self.vector_compare(I32X4, C::UnsignedLessThan)?,
            O::I32x4GtS => self.vector_compare(I32X4, C::SignedGreaterThan)?,
            O::I32x4GtU => self.vector_compare(I32X4, C::UnsignedGreaterThan)?,
            O::I32x4LeS => self.vector_compare(I32X4, C::SignedLessThanOrEqual)?,
            O::I32x4LeU => self.vector_compare(I32X4, C::UnsignedLessThanOrEqual)?,
            O::I32x4GeS => self.vector_compare(I32X4, C::SignedGreaterThanOrEqual)?,
            O::I32x4GeU => self.vector_compare(I32X4, C::UnsignedGreaterThanOrEqual)?,
            O::I64x2Eq => self.vector_compare(I64X2, C::Equal)?,
            O::I64x2Ne => self.vector_compare(I64X2, C::NotEqual)?,
            O::I64x2LtS => self.vector_compare(I64X2, C::SignedLessThan)?,
            O::I64x2GtS => self.vector_compare(I64X2, C::SignedGreaterThan)?,
            O::I64x2LeS => self.vector_compare(I64X2, C::SignedLessThanOrEqual)?,
            O::I64x2GeS => self.vector_compare(I64X2, C::SignedGreaterThanOrEqual)?,
            O::F32x4Eq => self.vector_compare_floats(F32X4, FloatCC::Equal)?,
            O::F32x4Ne => self.vector_compare_floats(F32X4, FloatCC::NotEqual)?,
            O::F32x4Lt => self.vector_compare_floats(F32X4, FloatCC::LessThan)?,
            O::F32x4Gt => self.vector_compare_floats(F32X4, FloatCC::GreaterThan)?,
            O::F32x4Le => self.vector_compare_floats(F32X4, FloatCC::LessThanOrEqual)?,
            O::F32x4Ge => self.vector_compare_floats(F32X4, FloatCC::GreaterThanOrEqual)?,
            O::F64x2Eq => self.vector_compare_floats(F64X2, FloatCC::Equal)?,
            O::F64x2Ne => self.vector_compare_floats(F64X2, FloatCC::NotEqual)?,
            O::F64x2Lt => self.vector_compare_floats(F64X2, FloatCC::LessThan)?,
            O::F64x2Gt => self.vector_compare_floats(F64X2, FloatCC::GreaterThan)?,
            O::F64x2Le => self.vector_compare_floats(F64X2, FloatCC::LessThanOrEqual)?,
            O::F64x2Ge => self.vector_compare_floats(F64X2, FloatCC::GreaterThanOrEqual)?,
        }
        Ok(())
    }

    pub(super) fn vector_bit_operator(&mut self, operator: VectorBits) -> Outcome {
        use VectorBits as O;
        match operator {
            O::V128Not => self.vector_unary(I8X16, |i, x| i.bnot(x))?,
            O::V128And => self.vector_binary(I8X16, |i, x, y| i.band(x, y))?,
            O::V128AndNot => self.vector_binary(I8X16, |i, x, y| i.band_not(x, y))?,
            O::V128Or => self.vector_binary(I8X16, |i, x, y| i.bor(x, y))?,
            O::V128Xor => self.vector_binary(I8X16, |i, x, y| i.bxor(x, y))?,
            O::V128Bitselect => self.bitselect(I8X16)?,
            O::V128AnyTrue => {
                let x = self.pop_vector(I8X16)?;
                let any = self.b.ins().vany_true(x);
                self.push_bool(any);
            }
            O::I8x16AllTrue => self.all_true(I8X16)?,
            O::I16x8AllTrue => self.all_true(I16X8)?,
            O::I32x4AllTrue => self.all_true(I32X4)?,
            O::I64x2AllTrue => self.all_true(I64X2)?,
            O::I8x16Bitmask => self.bitmask(I8X16)?,
            O::I16x8Bitmask => self.bitmask(I16X8)?,
            O::I32x4Bitmask => self.bitmask(I32X4)?,
            O::I64x2Bitmask => self.bitmask(I64X2)?,
            O::I8x16Shl => self.shift(I8X16, |i, x, y| i.ishl(x, y))?,
            O::I8x16ShrS => self.shift(I8X16, |i, x, y| i.sshr(x, y))?,
            O::I8x16ShrU => self.shift(I8X16, |i, x, y| i.ushr(x, y))?,
            O::I16x8Shl => self.shift(I16X8, |i, x, y| i.ishl(x, y))?,
            O::I16x8ShrS => self.shift(I16X8, |i, x, y| i.sshr(x, y))?,
            O::I16x8ShrU => self.shift(I16X8, |i, x, y| i.ushr(x, y))?,
            O::I32x4Shl => self.shift(I32X4, |i, x, y| i.ishl(x, y))?,
            O::I32x4ShrS => self.shift(I32X4, |i, x, y| i.sshr(x, y))?,
            O::I32x4ShrU => self.shift(I32X4, |i, x, y| i.ushr(x, y))?,
            O::I64x2Shl => self.shift(I64X2, |i, x, y| i.ishl(x, y))?,
            O::I64x2ShrS => self.shift(I64X2, |i, x, y| i.sshr(x, y))?,
            O::I64x2ShrU => self.shift(I64X2, |i, x, y| i.ushr(x, y))?,
        }
        Ok(())
    }

    /// Pops two vectors and a mask; bits come from the first where the mask is set.
    pub(super) fn bitselect(&mut self, ty: Type) -> Outcome {
        let mask = self.pop_vector(ty)?;
        self.vector_binary(ty, |i, x, y| i.bitselect(mask, x, y))
    }

    fn all_true(&mut self, ty: Type) -> Outcome {
        let x = self.pop_vector(ty)?;
        let all = self.b.ins().vall_true(x);
        self.push_bool(all);
        Ok(())
    }

    fn bitmask(&mut self, ty: Type) -> Outcome {
        let x = self.pop_vector(ty)?;
        let bits = self.b.ins().vhigh_bits(I32, x);
        self.push(bits);
        Ok(())
    }

    fn shift(
        &mut self,
        ty: Type,
        op: impl FnOnce(FuncInstBuilder<'_, 'f>, Value, Value) -> Value,
    ) -> Outcome {
        let amount = self.pop()?;
        self.vector_unary(ty, |i, x| op(i, x, amount))
    }
}
