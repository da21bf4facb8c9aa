//! Vectors: arithmetic on integer and float lanes, widening, narrowing, conversions.

use super::state::{Outcome, Translator};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use wardian_module::operators::{
    VectorConversion, VectorFloat, VectorInteger, VectorRelaxed, VectorWidening,
};

/// Which half of a vector's lanes is widened.
#[derive(Clone, Copy)]
pub(super) enum Half {
    Low,
    High,
}
use Half::{High, Low};

impl Translator<'_, '_> {
    pub(super) fn vector_integer_operator(&mut self, operator: VectorInteger) -> Outcome {
        use VectorInteger as O;
        match operator {
            O::I8x16Abs => self.vector_unary(I8X16, |i, x| i.iabs(x))?,
            O::I16x8Abs => self.vector_unary(I16X8, |i, x| i.iabs(x))?,
            O::I32x4Abs => self.vector_unary(I32X4, |i, x| i.iabs(x))?,
            O::I64x2Abs => self.vector_unary(I64X2, |i, x| i.iabs(x))?,
            O::I8x16Neg => self.vector_unary(I8X16, |i, x| i.ineg(x))?,
            O::I16x8Neg => self.vector_unary(I16X8, |i, x| i.ineg(x))?,
            O::I32x4Neg => self.vector_unary(I32X4, |i, x| i.ineg(x))?,
            O::I64x2Neg => self.vector_unary(I64X2, |i, x| i.ineg(x))?,
            O::I8x16Popcnt => self.vector_unary(I8X16, |i, x| i.popcnt(x))?,
            O::I8x16Add => self.vector_binary(I8X16, |i, x, y| i.iadd(x, y))?,
            O::I16x8Add => self.vector_binary(I16X8, |i, x, y| i.iadd(x, y))?,
            O::I32x4Add => self.vector_binary(I32X4, |i, x, y| i.iadd(x, y))?,
            O::I64x2Add => self.vector_binary(I64X2, |i, x, y| i.iadd(x, y))?,
            O::I8x16Sub => self.vector_binary(I8X16, |i, x, y| i.isub(x, y))?,
            O::I16x8Sub => self.vector_binary(I16X8, |i, x, y| i.isub(x, y))?,
            O::I32x4Sub => self.vector_binary(I32X4, |i, x, y| i.isub(x, y))?,
            O::I64x2Sub => self.vector_binary(I64X2, |i, x, y| i.isub(x, y))?,
            O::I16x8Mul => self.vector_binary(I16X8, |i, x, y| i.imul(x, y))?,
            O::I32x4Mul => self.vector_binary(I32X4, |i, x, y| i.imul(x, y))?,
            O::I64x2Mul => self.vector_binary(I64X2, |i, x, y| i.imul(x, y))?,
            O::I8x16AddSatS => self.vector_binary(I8X16, |i, x, y| i.sadd_sat(x, y))?,
            O::I8x16AddSatU => self.vector_binary(I8X16, |i, x, y| i.uadd_sat(x, y))?,
            O::I8x16SubSatS => self.vector_binary(I8X16, |i, x, y| i.ssub_sat(x, y))?,
            O::I8x16SubSatU => self.vector_binary(I8X16, |i, x, y| i.usub_sat(x, y))?,
            O::I16x8AddSatS => self.vector_binary(I16X8, |i, x, y| i.sadd_sat(x, y))?,
            O::I16x8AddSatU => self.vector_binary(I16X8, |i, x, y| i.uadd_sat(x, y))?,
            O::I16x8SubSatS => self.vector_binary(I16X8, |i, x, y| i.ssub_sat(x, y))?,
            O::I16x8SubSatU => self.vector_binary(I16X8, |i, x, y| i.usub_sat(x, y))?,
            O::I8x16MinS => self.vector_binary(I8X16, |i, x, y| i.smin(x, y))?,
            O::I8x16MinU => self.vector_binary(I8X16, |i, x, y| i.umin(x, y))?,
            O::I8x16MaxS => self.vector_binary(I8X16, |i, x, y| i.smax(x, y))?,
            O::I8x16MaxU => self.vector_binary(I8X16, |i, x, y| i.umax(x, y))?,
            O::I16x8MinS => self.vector_binary(I16X8, |i, x, y| i.smin(x, y))?,
            O::I16x8MinU => self.vector_binary(I16X8, |i, x, y| i.umin(x, y))?,
            O::I16x8MaxS => self.vector_binary(I16X8, |i, x, y| i.smax(x, y))?,
            O::I16x8MaxU => self.vector_binary(I16X8, |i, x, y| i.umax(x, y))?,
            O::I32x4MinS => self.vector_binary(I32X4, |i, x, y| i.smin(x, y))?,
            O::I32x4MinU => self.vector_binary(I32X4, |i, x, y| i.umin(x, y))?,
            O::I32x4MaxS => self.vector_binary(I32X4, |i, x, y| i.smax(x, y))?,
            O::I32x4MaxU => self.vector_binary(I32X4, |i, x, y| i.umax(x, y))?,
            O::I8x16AvgrU => self.vector_binary(I8X16, |i, x, y| i.avg_round(x, y))?,
            O::I16x8AvgrU => self.vector_binary(I16X8, |i, x, y| i.avg_round(x, y))?,
            O::I16x8Q15MulrSatS => {
                self.vector_binary(I16X8, |i, x, y| i.sqmul_round_sat(x, y))?;
            }
            O::I32x4DotI16x8S => self.dot(I16X8)?,
        }
        Ok(())
    }

    pub(super) fn vector_float_operator(&mut self, operator: VectorFloat) -> Outcome {
        use VectorFloat as O;
        match operator {
            O::F32x4Add => self.vector_binary(F32X4, |i, x, y| i.fadd(x, y))?,
            O::F64x2Add => self.vector_binary(F64X2, |i, x, y| i.fadd(x, y))?,
            O::F32x4Sub => self.vector_binary(F32X4, |i, x, y| i.fsub(x, y))?,
            O::F64x2Sub => self.vector_binary(F64X2, |i, x, y| i.fsub(x, y))?,
            O::F32x4Mul => self.vector_binary(F32X4, |i, x, y| i.fmul(x, y))?,
            O::F64x2Mul => self.vector_binary(F64X2, |i, x, y| i.fmul(x, y))?,
            O::F32x4Div => self.vector_binary(F32X4, |i, x, y| i.fdiv(x, y))?,
            O::F64x2Div => self.vector_binary(F64X2, |i, x, y| i.fdiv(x, y))?,
            O::F32x4Min => self.vector_binary(F32X4, |i, x, y| i.fmin(x, y))?,
            O::F64x2Min => self.vector_binary(F64X2, |i, x, y| i.fmin(x, y))?,
            O::F32x4Max => self.vector_binary(F32X4, |i, x, y| i.fmax(x, y))?,
            O::F64x2Max => self.vector_binary(F64X2, |i, x, y| i.fmax(x, y))?,
            O::F32x4PMin => self.pseudo_extreme(F32X4, false)?,
            O::F64x2PMin => self.pseudo_extreme(F64X2, false)?,
            O::F32x4PMax => self.pseudo_extreme(F32X4, true)?,
            O::F64x2PMax => self.pseudo_extreme(F64X2, true)?,
            O::F32x4Abs => self.vector_unary(F32X4, |i, x| i.fabs(x))?,
            O::F64x2Abs => self.vector_unary(F64X2, |i, x| i.fabs(x))?,
            O::F32x4Neg => self.vector_unary(F32X4, |i, x| i.fneg(x))?,
            O::F64x2Neg => self.vector_unary(F64X2, |i, x| i.fneg(x))?,
            O::F32x4Sqrt => self.vector_unary(F32X4, |i, x| i.sqrt(x))?,
            O::F64x2Sqrt => self.vector_unary(F64X2, |i, x| i.sqrt(x))?,
            O::F32x4Ceil => self.vector_unary(F32X4, |i, x| i.ceil(x))?,
            O::F64x2Ceil => self.vector_unary(F64X2, |i, x| i.ceil(x))?,
            O::F32x4Floor => self.vector_unary(F32X4, |i, x| i.floor(x))?,
            O::F64x2Floor => self.vector_unary(F64X2, |i, x| i.floor(x))?,
            O::F32x4Trunc => self.vector_unary(F32X4, |i, x| i.trunc(x))?,
            O::F64x2Trunc => self.vector_unary(F64X2, |i, x| i.trunc(x))?,
            O::F32x4Nearest => self.vector_unary(F32X4, |i, x| i.nearest(x))?,
            O::F64x2Nearest => self.vector_unary(F64X2, |i, x| i.nearest(x))?,
        }
        Ok(())
    }

    pub(super) fn vector_widening_operator(&mut self, operator: VectorWidening) -> Outcome {
        use VectorWidening as O;
        match operator {
            O::I8x16NarrowI16x8S => self.vector_binary(I16X8, |i, x, y| i.snarrow(x, y))?,
            O::I8x16NarrowI16x8U => self.vector_binary(I16X8, |i, x, y| i.unarrow(x, y))?,
            O::I16x8NarrowI32x4S => self.vector_binary(I32X4, |i, x, y| i.snarrow(x, y))?,
            O::I16x8NarrowI32x4U => self.vector_binary(I32X4, |i, x, y| i.unarrow(x, y))?,
            O::I16x8ExtendLowI8x16S => self.extend_half(I8X16, Low, true)?,
            O::I16x8ExtendHighI8x16S => self.extend_half(I8X16, High, true)?,
            O::I16x8ExtendLowI8x16U => self.extend_half(I8X16, Low, false)?,
            O::I16x8ExtendHighI8x16U => self.extend_half(I8X16, High, false)?,
            O::I32x4ExtendLowI16x8S => self.extend_half(I16X8, Low, true)?,
            O::I32x4ExtendHighI16x8S => self.extend_half(I16X8, High, true)?,
            O::I32x4ExtendLowI16x8U => self.extend_half(I16X8, Low, false)?,
            O::I32x4ExtendHighI16x8U => self.extend_half(I16X8, High, false)?,
            O::I64x2ExtendLowI32x4S => self.extend_half(I32X4, Low, true)?,
            O::I64x2ExtendHighI32x4S => self.extend_half(I32X4, High, true)?,
            O::I64x2ExtendLowI32x4U => self.extend_half(I32X4, Low, false)?,
            O::I64x2ExtendHighI32x4U => self.extend_half(I32X4, High, false)?,
            O::I16x8ExtMulLowI8x16S => self.multiply_half(I8X16, Low, true)?,
            O::I16x8ExtMulHighI8x16S => self.multiply_half(I8X16, High, true)?,
            O::I16x8ExtMulLowI8x16U => self.multiply_half(I8X16, Low, false)?,
            O::I16x8ExtMulHighI8x16U => self.multiply_half(I8X16, High, false)?,
            O::I32x4ExtMulLowI16x8S => self.multiply_half(I16X8, Low, true)?,
            O::I32x4ExtMulHighI16x8S => self.multiply_half(I16X8, High, true)?,
            O::I32x4ExtMulLowI16x8U => self.multiply_half(I16X8, Low, false)?,
            O::I32x4ExtMulHighI16x8U => self.multiply_half(I16X8, High, false)?,
            O::I64x2ExtMulLowI32x4S => self.multiply_half(I32X4, Low, true)?,
            O::I64x2ExtMulHighI32x4S => self.multiply_half(I32X4, High, true)?,
            O::I64x2ExtMulLowI32x4U => self.multiply_half(I32X4, Low, false)?,
            O::I64x2ExtMulHighI32x4U => self.multiply_half(I32X4, High, false)?,
            O::I16x8ExtAddPairwiseI8x16S => self.add_pairs(I8X16, true)?,
            O::I16x8ExtAddPairwiseI8x16U => self.add_pairs(I8X16, false)?,
            O::I32x4ExtAddPairwiseI16x8S => self.add_pairs(I16X8, true)?,
            O::I32x4ExtAddPairwiseI16x8U => self.add_pairs(I16X8, false)?,
        }
        Ok(())
    }

    pub(super) fn vector_conversion_operator(&mut self, operator: VectorConversion) -> Outcome {
        use VectorConversion as O;
        match operator {
            O::I32x4TruncSatF32x4S | O::I32x4RelaxedTruncF32x4S => {
                self.vector_unary(F32X4, |i, x| i.fcvt_to_sint_sat(I32X4, x))?;
            }
            O::I32x4TruncSatF32x4U | O::I32x4RelaxedTruncF32x4U => {
                self.vector_unary(F32X4, |i, x| i.fcvt_to_uint_sat(I32X4, x))?;
            }
            O::I32x4TruncSatF64x2SZero | O::I32x4RelaxedTruncF64x2SZero => {
                let x = self.pop_vector(F64X2)?;
                let wide = self.b.ins().fcvt_to_sint_sat(I64X2, x);
                let zero = self.zero(I64X2);
                let value = self.b.ins().snarrow(wide, zero);
                self.push_vector(value);
            }
            O::I32x4TruncSatF64x2UZero | O::I32x4RelaxedTruncF64x2UZero => {
                let x = self.pop_vector(F64X2)?;
                let wide = self.b.ins().fcvt_to_uint_sat(I64X2, x);
                let zero = self.zero(I64X2);
                let value = self.b.ins().uunarrow(wide, zero);
                self.push_vector(value);
            }
            O::F32x4ConvertI32x4S => {
                self.vector_unary(I32X4, |i, x| i.fcvt_from_sint(F32X4, x))?;
            }
            O::F32x4ConvertI32x4U => {
                self.vector_unary(I32X4, |i, x| i.fcvt_from_uint(F32X4, x))?;
            }
            O::F64x2ConvertLowI32x4S => {
                self.extend_half(I32X4, Low, true)?;
                self.vector_unary(I64X2, |i, x| i.fcvt_from_sint(F64X2, x))?;
            }
            O::F64x2ConvertLowI32x4U => {
                self.extend_half(I32X4, Low, false)?;
                self.vector_unary(I64X2, |i, x| i.fcvt_from_uint(F64X2, x))?;
            }
            O::F32x4DemoteF64x2Zero => self.vector_unary(F64X2, |i, x| i.fvdemote(x))?,
            O::F64x2PromoteLowF32x4 => self.vector_unary(F32X4, |i, x| i.fvpromote_low(x))?,
        }
        Ok(())
    }

    pub(super) fn vector_relaxed_operator(&mut self, operator: VectorRelaxed) -> Outcome {
        use VectorRelaxed as O;
        match operator {
            // Where a choice is free, the one that all machines agree on.
            O::I8x16RelaxedSwizzle => self.vector_binary(I8X16, |i, x, y| i.swizzle(x, y))?,
            O::I8x16RelaxedLaneselect => self.bitselect(I8X16)?,
            O::I16x8RelaxedLaneselect => self.bitselect(I16X8)?,
            O::I32x4RelaxedLaneselect => self.bitselect(I32X4)?,
            O::I64x2RelaxedLaneselect => self.bitselect(I64X2)?,
            O::F32x4RelaxedMin => self.vector_binary(F32X4, |i, x, y| i.fmin(x, y))?,
            O::F64x2RelaxedMin => self.vector_binary(F64X2, |i, x, y| i.fmin(x, y))?,
            O::F32x4RelaxedMax => self.vector_binary(F32X4, |i, x, y| i.fmax(x, y))?,
            O::F64x2RelaxedMax => self.vector_binary(F64X2, |i, x, y| i.fmax(x, y))?,
            O::I16x8RelaxedQ15mulrS => {
                self.vector_binary(I16X8, |i, x, y| i.sqmul_round_sat(x, y))?;
            }
            O::F32x4RelaxedMadd => self.multiply_add(F32X4, false)?,
            O::F32x4RelaxedNmadd => self.multiply_add(F32X4, true)?,
            O::F64x2RelaxedMadd => self.multiply_add(F64X2, false)?,
            O::F64x2RelaxedNmadd => self.multiply_add(F64X2, true)?,
            O::I16x8RelaxedDotI8x16I7x16S => self.relaxed_dot()?,
            O::I32x4RelaxedDotI8x16I7x16AddS => {
                let addend = self.pop_vector(I32X4)?;
                self.relaxed_dot()?;
                self.add_pairs(I16X8, true)?;
                self.vector_unary(I32X4, |i, x| i.iadd(x, addend))?;
            }
        }
        Ok(())
    }

    /// `x * y + z`, or `z - x * y`, rounded once where the machine can and the choice is free.
    fn multiply_add(&mut self, ty: Type, negate: bool) -> Outcome {
        let z = self.pop_vector(ty)?;
        let y = self.pop_vector(ty)?;
        let mut x = self.pop_vector(ty)?;
        if negate {
            x = self.b.ins().fneg(x);
        }
        let value = if self.env.fuses {
            self.b.ins().fma(x, y, z)
        } else {
            let product = self.b.ins().fmul(x, y);
            self.b.ins().fadd(product, z)
        };
        self.push_vector(value);
        Ok(())
    }

    /// The second operand where it is less (or greater) than the first, else the first.
    fn pseudo_extreme(&mut self, ty: Type, greater: bool) -> Outcome {
        let y = self.pop_vector(ty)?;
        let x = self.pop_vector(ty)?;
        let (low, high) = if greater { (x, y) } else { (y, x) };
        let chosen = self.b.ins().fcmp(FloatCC::LessThan, low, high);
        let mask = self.as_vector(chosen, ty);
        let value = self.b.ins().bitselect(mask, y, x);
        self.push_vector(value);
        Ok(())
    }

    fn widen(&mut self, x: Value, half: Half, signed: bool) -> Value {
        let i = self.b.ins();
        match (half, signed) {
            (Low, true) => i.swiden_low(x),
            (High, true) => i.swiden_high(x),
            (Low, false) => i.uwiden_low(x),
            (High, false) => i.uwiden_high(x),
        }
    }

    fn extend_half(&mut self, ty: Type, half: Half, signed: bool) -> Outcome {
        let x = self.pop_vector(ty)?;
        let value = self.widen(x, half, signed);
        self.push_vector(value);
        Ok(())
    }

    fn multiply_half(&mut self, ty: Type, half: Half, signed: bool) -> Outcome {
        let y = self.pop_vector(ty)?;
        let x = self.pop_vector(ty)?;
        let value = self.product(x, y, half, signed);
        self.push_vector(value);
        Ok(())
    }

    fn product(&mut self, x: Value, y: Value, half: Half, signed: bool) -> Value {
        let x = self.widen(x, half, signed);
        let y = self.widen(y, half, signed);
        self.b.ins().imul(x, y)
    }

    /// Sums of neighbouring lanes, each twice as wide.
    fn add_pairs(&mut self, ty: Type, signed: bool) -> Outcome {
        let x = self.pop_vector(ty)?;
        let low = self.widen(x, Low, signed);
        let high = self.widen(x, High, signed);
        let value = self.b.ins().iadd_pairwise(low, high);
        self.push_vector(value);
        Ok(())
    }

    /// Sums of neighbouring products, each twice as wide.
    fn dot(&mut self, ty: Type) -> Outcome {
        let y = self.pop_vector(ty)?;
        let x = self.pop_vector(ty)?;
        let low = self.product(x, y, Low, true);
        let high = self.product(x, y, High, true);
        let value = self.b.ins().iadd_pairwise(low, high);
        self.push_vector(value);
        Ok(())
    }

    /// Sums of neighbouring products of bytes. They saturate: the least number is only reached by a sum that is too
    /// large, whose bits inverted are the greatest.
    fn relaxed_dot(&mut self) -> Outcome {
        self.dot(I8X16)?;
        let sum = self.pop_vector(I16X8)?;
        let least = self.b.func.dfg.constants.insert([0, 0x80].repeat(8).into());
        let least = self.b.ins().vconst(I16X8, least);
        let overflowed = self.b.ins().icmp(IntCC::Equal, sum, least);
        let value = self.b.ins().bxor(sum, overflowed);
        self.push_vector(value);
        Ok(())
    }

    fn zero(&mut self, ty: Type) -> Value {
        let zero = self.b.func.dfg.constants.insert(vec![0; 16].into());
        self.b.ins().vconst(ty, zero)
    }
}
