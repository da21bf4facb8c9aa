//! Which instruction each vector operator becomes.

use super::memory::Sum;
use super::{Body, Outcome};
use crate::op::{self, Instruction};
use crate::operand::{D, DW, S, SW, U16, U32, V128};
use wardian_module::operators::{
    Lane, VectorBits, VectorComparison, VectorConversion, VectorFloat, VectorInteger, VectorMemory,
    VectorRelaxed, VectorWidening,
};
use wasmparser::MemArg;

impl Body<'_> {
    pub(super) fn vector_memory_operator(&mut self, operator: VectorMemory) -> Outcome {
        use VectorMemory as O;
        match operator {
            O::V128Load { ref memarg } => self.load_vector(memarg)?,
            O::V128Store { ref memarg } => self.store_vector(memarg)?,
            O::V128Load8x8S { ref memarg } => self.load_wide(memarg, op::v128_load8x8_s::new)?,
            O::V128Load8x8U { ref memarg } => self.load_wide(memarg, op::v128_load8x8_u::new)?,
            O::V128Load16x4S { ref memarg } => self.load_wide(memarg, op::v128_load16x4_s::new)?,
            O::V128Load16x4U { ref memarg } => self.load_wide(memarg, op::v128_load16x4_u::new)?,
            O::V128Load32x2S { ref memarg } => self.load_wide(memarg, op::v128_load32x2_s::new)?,
            O::V128Load32x2U { ref memarg } => self.load_wide(memarg, op::v128_load32x2_u::new)?,
            O::V128Load8Splat { ref memarg } => {
                self.load_wide(memarg, op::v128_load8_splat::new)?
            }
            O::V128Load16Splat { ref memarg } => {
                self.load_wide(memarg, op::v128_load16_splat::new)?
            }
            O::V128Load32Splat { ref memarg } => {
                self.load_wide(memarg, op::v128_load32_splat::new)?
            }
            O::V128Load64Splat { ref memarg } => {
                self.load_wide(memarg, op::v128_load64_splat::new)?
            }
            O::V128Load32Zero { ref memarg } => {
                self.load_wide(memarg, op::v128_load32_zero::new)?
            }
            O::V128Load64Zero { ref memarg } => {
                self.load_wide(memarg, op::v128_load64_zero::new)?
            }
            O::V128Load8Lane { ref memarg, lane } => {
                self.load_lane(memarg, lane, op::v128_load8_lane::new)?
            }
            O::V128Load16Lane { ref memarg, lane } => {
                self.load_lane(memarg, lane, op::v128_load16_lane::new)?
            }
            O::V128Load32Lane { ref memarg, lane } => {
                self.load_lane(memarg, lane, op::v128_load32_lane::new)?
            }
            O::V128Load64Lane { ref memarg, lane } => {
                self.load_lane(memarg, lane, op::v128_load64_lane::new)?
            }
            O::V128Store8Lane { ref memarg, lane } => {
                self.store_lane(memarg, lane, op::v128_store8_lane::new)?
            }
            O::V128Store16Lane { ref memarg, lane } => {
                self.store_lane(memarg, lane, op::v128_store16_lane::new)?
            }
            O::V128Store32Lane { ref memarg, lane } => {
                self.store_lane(memarg, lane, op::v128_store32_lane::new)?
            }
            O::V128Store64Lane { ref memarg, lane } => {
                self.store_lane(memarg, lane, op::v128_store64_lane::new)?
            }
        }
        Ok(())
    }

    pub(super) fn lane_operator(&mut self, operator: Lane) -> Outcome {
        use Lane as O;
        match operator {
            O::I8x16Swizzle => self.wide_binary(op::i8x16_swizzle::new)?,
            O::I8x16Splat => self.wide_splat(op::i8x16_splat::new)?,
            O::I16x8Splat => self.wide_splat(op::i16x8_splat::new)?,
            O::I32x4Splat => self.wide_splat(op::i32x4_splat::new)?,
            O::I64x2Splat => self.wide_splat(op::i64x2_splat::new)?,
            O::F32x4Splat => self.wide_splat(op::f32x4_splat::new)?,
            O::F64x2Splat => self.wide_splat(op::f64x2_splat::new)?,
            O::I8x16ExtractLaneS { lane } => {
                self.wide_extract(lane, op::i8x16_extract_lane_s::new)?
            }
            O::I8x16ExtractLaneU { lane } => {
                self.wide_extract(lane, op::i8x16_extract_lane_u::new)?
            }
            O::I16x8ExtractLaneS { lane } => {
                self.wide_extract(lane, op::i16x8_extract_lane_s::new)?
            }
            O::I16x8ExtractLaneU { lane } => {
                self.wide_extract(lane, op::i16x8_extract_lane_u::new)?
            }
            O::I32x4ExtractLane { lane } => self.wide_extract(lane, op::i32x4_extract_lane::new)?,
            O::I64x2ExtractLane { lane } => self.wide_extract(lane, op::i64x2_extract_lane::new)?,
            O::F32x4ExtractLane { lane } => self.wide_extract(lane, op::f32x4_extract_lane::new)?,
            O::F64x2ExtractLane { lane } => self.wide_extract(lane, op::f64x2_extract_lane::new)?,
            O::I8x16ReplaceLane { lane } => self.wide_replace(lane, op::i8x16_replace_lane::new)?,
            O::I16x8ReplaceLane { lane } => self.wide_replace(lane, op::i16x8_replace_lane::new)?,
            O::I32x4ReplaceLane { lane } => self.wide_replace(lane, op::i32x4_replace_lane::new)?,
            O::I64x2ReplaceLane { lane } => self.wide_replace(lane, op::i64x2_replace_lane::new)?,
            O::F32x4ReplaceLane { lane } => self.wide_replace(lane, op::f32x4_replace_lane::new)?,
            O::F64x2ReplaceLane { lane } => self.wide_replace(lane, op::f64x2_replace_lane::new)?,
            O::I8x16Shuffle { lanes } => self.shuffle(lanes)?,
        }
        Ok(())
    }

    pub(super) fn vector_relaxed_operator(&mut self, operator: VectorRelaxed) -> Outcome {
        use VectorRelaxed as O;
        match operator {
            O::I8x16RelaxedSwizzle => self.wide_binary(op::i8x16_relaxed_swizzle::new)?,
            O::I16x8RelaxedQ15mulrS => self.wide_binary(op::i16x8_relaxed_q15mulr_s::new)?,
            O::I16x8RelaxedDotI8x16I7x16S => {
                self.wide_binary(op::i16x8_relaxed_dot_i8x16_i7x16_s::new)?
            }
            O::F32x4RelaxedMin => self.wide_float_binary(op::f32x4_relaxed_min::new, false)?,
            O::F32x4RelaxedMax => self.wide_float_binary(op::f32x4_relaxed_max::new, false)?,
            O::F64x2RelaxedMin => self.wide_float_binary(op::f64x2_relaxed_min::new, true)?,
            O::F64x2RelaxedMax => self.wide_float_binary(op::f64x2_relaxed_max::new, true)?,
            O::I8x16RelaxedLaneselect => self.wide_ternary(op::i8x16_relaxed_laneselect::new)?,
            O::I16x8RelaxedLaneselect => self.wide_ternary(op::i16x8_relaxed_laneselect::new)?,
            O::I32x4RelaxedLaneselect => self.wide_ternary(op::i32x4_relaxed_laneselect::new)?,
            O::I64x2RelaxedLaneselect => self.wide_ternary(op::i64x2_relaxed_laneselect::new)?,
            O::I32x4RelaxedDotI8x16I7x16AddS => {
                self.wide_ternary(op::i32x4_relaxed_dot_i8x16_i7x16_add_s::new)?
            }
            O::F32x4RelaxedMadd if self.env.options.deterministic_simd => {
                self.wide_float_ternary(op::f32x4_unfused_madd::new, false)?
            }
            O::F32x4RelaxedNmadd if self.env.options.deterministic_simd => {
                self.wide_float_ternary(op::f32x4_unfused_nmadd::new, false)?
            }
            O::F64x2RelaxedMadd if self.env.options.deterministic_simd => {
                self.wide_float_ternary(op::f64x2_unfused_madd::new, true)?
            }
            O::F64x2RelaxedNmadd if self.env.options.deterministic_simd => {
                self.wide_float_ternary(op::f64x2_unfused_nmadd::new, true)?
            }
            O::F32x4RelaxedMadd => self.wide_float_ternary(op::f32x4_relaxed_madd::new, false)?,
            O::F32x4RelaxedNmadd => self.wide_float_ternary(op::f32x4_relaxed_nmadd::new, false)?,
            O::F64x2RelaxedMadd => self.wide_float_ternary(op::f64x2_relaxed_madd::new, true)?,
            O::F64x2RelaxedNmadd => self.wide_float_ternary(op::f64x2_relaxed_nmadd::new, true)?,
        }
        Ok(())
    }

    pub(super) fn vector_bit_operator(&mut self, operator: VectorBits) -> Outcome {
        use VectorBits as O;
        match operator {
            O::V128And => self.wide_binary(op::v128_and::new)?,
            O::V128AndNot => self.wide_binary(op::v128_andnot::new)?,
            O::V128Or => self.wide_binary(op::v128_or::new)?,
            O::V128Xor => self.wide_binary(op::v128_xor::new)?,
            O::V128Not => self.wide_unary(op::v128_not::new)?,
            O::V128Bitselect => self.wide_ternary(op::v128_bitselect::new)?,
            O::I8x16Shl => self.wide_shift(op::i8x16_shl::new)?,
            O::I8x16ShrS => self.wide_shift(op::i8x16_shr_s::new)?,
            O::I8x16ShrU => self.wide_shift(op::i8x16_shr_u::new)?,
            O::I16x8Shl => self.wide_shift(op::i16x8_shl::new)?,
            O::I16x8ShrS => self.wide_shift(op::i16x8_shr_s::new)?,
            O::I16x8ShrU => self.wide_shift(op::i16x8_shr_u::new)?,
            O::I32x4Shl => self.wide_shift(op::i32x4_shl::new)?,
            O::I32x4ShrS => self.wide_shift(op::i32x4_shr_s::new)?,
            O::I32x4ShrU => self.wide_shift(op::i32x4_shr_u::new)?,
            O::I64x2Shl => self.wide_shift(op::i64x2_shl::new)?,
            O::I64x2ShrS => self.wide_shift(op::i64x2_shr_s::new)?,
            O::I64x2ShrU => self.wide_shift(op::i64x2_shr_u::new)?,
            O::V128AnyTrue => self.wide_test(op::v128_any_true::new)?,
            O::I8x16AllTrue => self.wide_test(op::i8x16_all_true::new)?,
            O::I16x8AllTrue => self.wide_test(op::i16x8_all_true::new)?,
            O::I32x4AllTrue => self.wide_test(op::i32x4_all_true::new)?,
            O::I64x2AllTrue => self.wide_test(op::i64x2_all_true::new)?,
            O::I8x16Bitmask => self.wide_test(op::i8x16_bitmask::new)?,
            O::I16x8Bitmask => self.wide_test(op::i16x8_bitmask::new)?,
            O::I32x4Bitmask => self.wide_test(op::i32x4_bitmask::new)?,
            O::I64x2Bitmask => self.wide_test(op::i64x2_bitmask::new)?,
        }
        Ok(())
    }

    pub(super) fn vector_comparison_operator(&mut self, operator: VectorComparison) -> Outcome {
        use VectorComparison as O;
        match operator {
            O::I8x16Eq => self.wide_binary(op::i8x16_eq::new)?,
            O::I8x16Ne => self.wide_binary(op::i8x16_ne::new)?,
            O::I8x16LtS => self.wide_binary(op::i8x16_lt_s::new)?,
            O::I8x16LtU => self.wide_binary(op::i8x16_lt_u::new)?,
            O::I8x16GtS => self.wide_binary(op::i8x16_gt_s::new)?,
            O::I8x16GtU => self.wide_binary(op::i8x16_gt_u::new)?,
            O::I8x16LeS => self.wide_binary(op::i8x16_le_s::new)?,
            O::I8x16LeU => self.wide_binary(op::i8x16_le_u::new)?,
            O::I8x16GeS => self.wide_binary(op::i8x16_ge_s::new)?,
            O::I8x16GeU => self.wide_binary(op::i8x16_ge_u::new)?,
            O::I16x8Eq => self.wide_binary(op::i16x8_eq::new)?,
            O::I16x8Ne => self.wide_binary(op::i16x8_ne::new)?,
            O::I16x8LtS => self.wide_binary(op::i16x8_lt_s::new)?,
            O::I16x8LtU => self.wide_binary(op::i16x8_lt_u::new)?,
            O::I16x8GtS => self.wide_binary(op::i16x8_gt_s::new)?,
            O::I16x8GtU => self.wide_binary(op::i16x8_gt_u::new)?,
            O::I16x8LeS => self.wide_binary(op::i16x8_le_s::new)?,
            O::I16x8LeU => self.wide_binary(op::i16x8_le_u::new)?,
            O::I16x8GeS => self.wide_binary(op::i16x8_ge_s::new)?,
            O::I16x8GeU => self.wide_binary(op::i16x8_ge_u::new)?,
            O::I32x4Eq => self.wide_binary(op::i32x4_eq::new)?,
            O::I32x4Ne => self.wide_binary(op::i32x4_ne::new)?,
            O::I32x4LtS => self.wide_binary(op::i32x4_lt_s::new)?,
            O::I32x4LtU => self.wide_binary(op::i32x4_lt_u::new)?,
            O::I32x4GtS => self.wide_binary(op::i32x4_gt_s::new)?,
            O::I32x4GtU => self.wide_binary(op::i32x4_gt_u::new)?,
            O::I32x4LeS => self.wide_binary(op::i32x4_le_s::new)?,
            O::I32x4LeU => self.wide_binary(op::i32x4_le_u::new)?,
            O::I32x4GeS => self.wide_binary(op::i32x4_ge_s::new)?,
            O::I32x4GeU => self.wide_binary(op::i32x4_ge_u::new)?,
            O::I64x2Eq => self.wide_binary(op::i64x2_eq::new)?,
            O::I64x2Ne => self.wide_binary(op::i64x2_ne::new)?,
            O::I64x2LtS => self.wide_binary(op::i64x2_lt_s::new)?,
            O::I64x2GtS => self.wide_binary(op::i64x2_gt_s::new)?,
            O::I64x2LeS => self.wide_binary(op::i64x2_le_s::new)?,
            O::I64x2GeS => self.wide_binary(op::i64x2_ge_s::new)?,
            O::F32x4Eq => self.wide_binary(op::f32x4_eq::new)?,
            O::F32x4Ne => self.wide_binary(op::f32x4_ne::new)?,
            O::F32x4Lt => self.wide_binary(op::f32x4_lt::new)?,
            O::F32x4Gt => self.wide_binary(op::f32x4_gt::new)?,
            O::F32x4Le => self.wide_binary(op::f32x4_le::new)?,
            O::F32x4Ge => self.wide_binary(op::f32x4_ge::new)?,
            O::F64x2Eq => self.wide_binary(op::f64x2_eq::new)?,
            O::F64x2Ne => self.wide_binary(op::f64x2_ne::new)?,
            O::F64x2Lt => self.wide_binary(op::f64x2_lt::new)?,
            O::F64x2Gt => self.wide_binary(op::f64x2_gt::new)?,
            O::F64x2Le => self.wide_binary(op::f64x2_le::new)?,
            O::F64x2Ge => self.wide_binary(op::f64x2_ge::new)?,
        }
        Ok(())
    }

    pub(super) fn vector_integer_operator(&mut self, operator: VectorInteger) -> Outcome {
        use VectorInteger as O;
        match operator {
            O::I8x16Add => self.wide_binary(op::i8x16_add::new)?,
            O::I8x16Sub => self.wide_binary(op::i8x16_sub::new)?,
            O::I8x16AddSatS => self.wide_binary(op::i8x16_add_sat_s::new)?,
            O::I8x16AddSatU => self.wide_binary(op::i8x16_add_sat_u::new)?,
            O::I8x16SubSatS => self.wide_binary(op::i8x16_sub_sat_s::new)?,
            O::I8x16SubSatU => self.wide_binary(op::i8x16_sub_sat_u::new)?,
            O::I8x16MinS => self.wide_binary(op::i8x16_min_s::new)?,
            O::I8x16MinU => self.wide_binary(op::i8x16_min_u::new)?,
            O::I8x16MaxS => self.wide_binary(op::i8x16_max_s::new)?,
            O::I8x16MaxU => self.wide_binary(op::i8x16_max_u::new)?,
            O::I8x16AvgrU => self.wide_binary(op::i8x16_avgr_u::new)?,
            O::I16x8Add => self.wide_binary(op::i16x8_add::new)?,
            O::I16x8Sub => self.wide_binary(op::i16x8_sub::new)?,
            O::I16x8AddSatS => self.wide_binary(op::i16x8_add_sat_s::new)?,
            O::I16x8AddSatU => self.wide_binary(op::i16x8_add_sat_u::new)?,
            O::I16x8SubSatS => self.wide_binary(op::i16x8_sub_sat_s::new)?,
            O::I16x8SubSatU => self.wide_binary(op::i16x8_sub_sat_u::new)?,
            O::I16x8MinS => self.wide_binary(op::i16x8_min_s::new)?,
            O::I16x8MinU => self.wide_binary(op::i16x8_min_u::new)?,
            O::I16x8MaxS => self.wide_binary(op::i16x8_max_s::new)?,
            O::I16x8MaxU => self.wide_binary(op::i16x8_max_u::new)?,
            O::I16x8AvgrU => self.wide_binary(op::i16x8_avgr_u::new)?,
            O::I16x8Mul => self.wide_binary(op::i16x8_mul::new)?,
            O::I16x8Q15MulrSatS => self.wide_binary(op::i16x8_q15mulr_sat_s::new)?,
            O::I32x4Add => self.wide_binary(op::i32x4_add::new)?,
            O::I32x4Sub => self.wide_binary(op::i32x4_sub::new)?,
            O::I32x4Mul => self.wide_binary(op::i32x4_mul::new)?,
            O::I32x4MinS => self.wide_binary(op::i32x4_min_s::new)?,
            O::I32x4MinU => self.wide_binary(op::i32x4_min_u::new)?,
            O::I32x4MaxS => self.wide_binary(op::i32x4_max_s::new)?,
            O::I32x4MaxU => self.wide_binary(op::i32x4_max_u::new)?,
            O::I64x2Add => self.wide_binary(op::i64x2_add::new)?,
            O::I64x2Sub => self.wide_binary(op::i64x2_sub::new)?,
            O::I64x2Mul => self.wide_binary(op::i64x2_mul::new)?,
            O::I32x4DotI16x8S => self.wide_binary(op::i32x4_dot_i16x8_s::new)?,
            O::I8x16Abs => self.wide_unary(op::i8x16_abs::new)?,
            O::I8x16Neg => self.wide_unary(op::i8x16_neg::new)?,
            O::I8x16Popcnt => self.wide_unary(op::i8x16_popcnt::new)?,
            O::I16x8Abs => self.wide_unary(op::i16x8_abs::new)?,
            O::I16x8Neg => self.wide_unary(op::i16x8_neg::new)?,
            O::I32x4Abs => self.wide_unary(op::i32x4_abs::new)?,
            O::I32x4Neg => self.wide_unary(op::i32x4_neg::new)?,
            O::I64x2Abs => self.wide_unary(op::i64x2_abs::new)?,
            O::I64x2Neg => self.wide_unary(op::i64x2_neg::new)?,
        }
        Ok(())
    }

    pub(super) fn vector_widening_operator(&mut self, operator: VectorWidening) -> Outcome {
        use VectorWidening as O;
        match operator {
            O::I8x16NarrowI16x8S => self.wide_binary(op::i8x16_narrow_i16x8_s::new)?,
            O::I8x16NarrowI16x8U => self.wide_binary(op::i8x16_narrow_i16x8_u::new)?,
            O::I16x8NarrowI32x4S => self.wide_binary(op::i16x8_narrow_i32x4_s::new)?,
            O::I16x8NarrowI32x4U => self.wide_binary(op::i16x8_narrow_i32x4_u::new)?,
            O::I16x8ExtMulLowI8x16S => self.wide_binary(op::i16x8_extmul_low_i8x16_s::new)?,
            O::I16x8ExtMulLowI8x16U => self.wide_binary(op::i16x8_extmul_low_i8x16_u::new)?,
            O::I16x8ExtMulHighI8x16S => self.wide_binary(op::i16x8_extmul_high_i8x16_s::new)?,
            O::I16x8ExtMulHighI8x16U => self.wide_binary(op::i16x8_extmul_high_i8x16_u::new)?,
            O::I32x4ExtMulLowI16x8S => self.wide_binary(op::i32x4_extmul_low_i16x8_s::new)?,
            O::I32x4ExtMulLowI16x8U => self.wide_binary(op::i32x4_extmul_low_i16x8_u::new)?,
            O::I32x4ExtMulHighI16x8S => self.wide_binary(op::i32x4_extmul_high_i16x8_s::new)?,
            O::I32x4ExtMulHighI16x8U => self.wide_binary(op::i32x4_extmul_high_i16x8_u::new)?,
            O::I64x2ExtMulLowI32x4S => self.wide_binary(op::i64x2_extmul_low_i32x4_s::new)?,
            O::I64x2ExtMulLowI32x4U => self.wide_binary(op::i64x2_extmul_low_i32x4_u::new)?,
            O::I64x2ExtMulHighI32x4S => self.wide_binary(op::i64x2_extmul_high_i32x4_s::new)?,
            O::I64x2ExtMulHighI32x4U => self.wide_binary(op::i64x2_extmul_high_i32x4_u::new)?,
            O::I16x8ExtendLowI8x16S => self.wide_unary(op::i16x8_extend_low_i8x16_s::new)?,
            O::I16x8ExtendHighI8x16S => self.wide_unary(op::i16x8_extend_high_i8x16_s::new)?,
            O::I16x8ExtendLowI8x16U => self.wide_unary(op::i16x8_extend_low_i8x16_u::new)?,
            O::I16x8ExtendHighI8x16U => self.wide_unary(op::i16x8_extend_high_i8x16_u::new)?,
            O::I32x4ExtendLowI16x8S => self.wide_unary(op::i32x4_extend_low_i16x8_s::new)?,
            O::I32x4ExtendHighI16x8S => self.wide_unary(op::i32x4_extend_high_i16x8_s::new)?,
            O::I32x4ExtendLowI16x8U => self.wide_unary(op::i32x4_extend_low_i16x8_u::new)?,
            O::I32x4ExtendHighI16x8U => self.wide_unary(op::i32x4_extend_high_i16x8_u::new)?,
            O::I64x2ExtendLowI32x4S => self.wide_unary(op::i64x2_extend_low_i32x4_s::new)?,
            O::I64x2ExtendHighI32x4S => self.wide_unary(op::i64x2_extend_high_i32x4_s::new)?,
            O::I64x2ExtendLowI32x4U => self.wide_unary(op::i64x2_extend_low_i32x4_u::new)?,
            O::I64x2ExtendHighI32x4U => self.wide_unary(op::i64x2_extend_high_i32x4_u::new)?,
            O::I16x8ExtAddPairwiseI8x16S => {
                self.wide_unary(op::i16x8_extadd_pairwise_i8x16_s::new)?
            }
            O::I16x8ExtAddPairwiseI8x16U => {
                self.wide_unary(op::i16x8_extadd_pairwise_i8x16_u::new)?
            }
            O::I32x4ExtAddPairwiseI16x8S => {
                self.wide_unary(op::i32x4_extadd_pairwise_i16x8_s::new)?
            }
            O::I32x4ExtAddPairwiseI16x8U => {
                self.wide_unary(op::i32x4_extadd_pairwise_i16x8_u::new)?
            }
        }
        Ok(())
    }

    pub(super) fn vector_float_operator(&mut self, operator: VectorFloat) -> Outcome {
        use VectorFloat as O;
        match operator {
            O::F32x4PMin => self.wide_binary(op::f32x4_pmin::new)?,
            O::F32x4PMax => self.wide_binary(op::f32x4_pmax::new)?,
            O::F64x2PMin => self.wide_binary(op::f64x2_pmin::new)?,
            O::F64x2PMax => self.wide_binary(op::f64x2_pmax::new)?,
            O::F32x4Add => self.wide_float_binary(op::f32x4_add::new, false)?,
            O::F32x4Sub => self.wide_float_binary(op::f32x4_sub::new, false)?,
            O::F32x4Mul => self.wide_float_binary(op::f32x4_mul::new, false)?,
            O::F32x4Div => self.wide_float_binary(op::f32x4_div::new, false)?,
            O::F32x4Min => self.wide_float_binary(op::f32x4_min::new, false)?,
            O::F32x4Max => self.wide_float_binary(op::f32x4_max::new, false)?,
            O::F64x2Add => self.wide_float_binary(op::f64x2_add::new, true)?,
            O::F64x2Sub => self.wide_float_binary(op::f64x2_sub::new, true)?,
            O::F64x2Mul => self.wide_float_binary(op::f64x2_mul::new, true)?,
            O::F64x2Div => self.wide_float_binary(op::f64x2_div::new, true)?,
            O::F64x2Min => self.wide_float_binary(op::f64x2_min::new, true)?,
            O::F64x2Max => self.wide_float_binary(op::f64x2_max::new, true)?,
            O::F32x4Abs => self.wide_unary(op::f32x4_abs::new)?,
            O::F32x4Neg => self.wide_unary(op::f32x4_neg::new)?,
            O::F64x2Abs => self.wide_unary(op::f64x2_abs::new)?,
            O::F64x2Neg => self.wide_unary(op::f64x2_neg::new)?,
            O::F32x4Ceil => self.wide_float_unary(op::f32x4_ceil::new, false)?,
            O::F32x4Floor => self.wide_float_unary(op::f32x4_floor::new, false)?,
            O::F32x4Trunc => self.wide_float_unary(op::f32x4_trunc::new, false)?,
            O::F32x4Nearest => self.wide_float_unary(op::f32x4_nearest::new, false)?,
            O::F32x4Sqrt => self.wide_float_unary(op::f32x4_sqrt::new, false)?,
            O::F64x2Ceil => self.wide_float_unary(op::f64x2_ceil::new, true)?,
            O::F64x2Floor => self.wide_float_unary(op::f64x2_floor::new, true)?,
            O::F64x2Trunc => self.wide_float_unary(op::f64x2_trunc::new, true)?,
            O::F64x2Nearest => self.wide_float_unary(op::f64x2_nearest::new, true)?,
            O::F64x2Sqrt => self.wide_float_unary(op::f64x2_sqrt::new, true)?,
        }
        Ok(())
    }

    pub(super) fn vector_conversion_operator(&mut self, operator: VectorConversion) -> Outcome {
        use VectorConversion as O;
        match operator {
            O::I32x4TruncSatF32x4S => self.wide_unary(op::i32x4_trunc_sat_f32x4_s::new)?,
            O::I32x4TruncSatF32x4U => self.wide_unary(op::i32x4_trunc_sat_f32x4_u::new)?,
            O::F32x4ConvertI32x4S => self.wide_unary(op::f32x4_convert_i32x4_s::new)?,
            O::F32x4ConvertI32x4U => self.wide_unary(op::f32x4_convert_i32x4_u::new)?,
            O::I32x4TruncSatF64x2SZero => self.wide_unary(op::i32x4_trunc_sat_f64x2_s_zero::new)?,
            O::I32x4TruncSatF64x2UZero => self.wide_unary(op::i32x4_trunc_sat_f64x2_u_zero::new)?,
            O::F64x2ConvertLowI32x4S => self.wide_unary(op::f64x2_convert_low_i32x4_s::new)?,
            O::F64x2ConvertLowI32x4U => self.wide_unary(op::f64x2_convert_low_i32x4_u::new)?,
            O::I32x4RelaxedTruncF32x4S => self.wide_unary(op::i32x4_relaxed_trunc_f32x4_s::new)?,
            O::I32x4RelaxedTruncF32x4U => self.wide_unary(op::i32x4_relaxed_trunc_f32x4_u::new)?,
            O::I32x4RelaxedTruncF64x2SZero => {
                self.wide_unary(op::i32x4_relaxed_trunc_f64x2_s_zero::new)?
            }
            O::I32x4RelaxedTruncF64x2UZero => {
                self.wide_unary(op::i32x4_relaxed_trunc_f64x2_u_zero::new)?
            }
            O::F32x4DemoteF64x2Zero => {
                self.wide_float_unary(op::f32x4_demote_f64x2_zero::new, false)?
            }
            O::F64x2PromoteLowF32x4 => {
                self.wide_float_unary(op::f64x2_promote_low_f32x4::new, true)?
            }
        }
        Ok(())
    }

    fn wide_unary<I: Instruction>(&mut self, make: impl Fn(DW, SW) -> I) -> Outcome {
        let a = self.pop_wide()?;
        let d = DW(self.push_wide());
        self.emit(make(d, a));
        Ok(())
    }

    fn wide_binary<I: Instruction>(&mut self, make: impl Fn(DW, SW, SW) -> I) -> Outcome {
        let b = self.pop_wide()?;
        let a = self.pop_wide()?;
        let d = DW(self.push_wide());
        self.emit(make(d, a, b));
        Ok(())
    }

    fn wide_ternary<I: Instruction>(&mut self, make: impl Fn(DW, SW, SW, SW) -> I) -> Outcome {
        let c = self.pop_wide()?;
        let b = self.pop_wide()?;
        let a = self.pop_wide()?;
        let d = DW(self.push_wide());
        self.emit(make(d, a, b, c));
        Ok(())
    }

    fn wide_float_unary<I: Instruction>(
        &mut self,
        make: impl Fn(DW, SW) -> I,
        is64: bool,
    ) -> Outcome {
        self.wide_unary(make)?;
        self.wide_canonical(is64);
        Ok(())
    }

    fn wide_float_binary<I: Instruction>(
        &mut self,
        make: impl Fn(DW, SW, SW) -> I,
        is64: bool,
    ) -> Outcome {
        self.wide_binary(make)?;
        self.wide_canonical(is64);
        Ok(())
    }

    fn wide_float_ternary<I: Instruction>(
        &mut self,
        make: impl Fn(DW, SW, SW, SW) -> I,
        is64: bool,
    ) -> Outcome {
        self.wide_ternary(make)?;
        self.wide_canonical(is64);
        Ok(())
    }

    /// Gives NaNs in the lanes of the vector on top the bits that all are to have.
    fn wide_canonical(&mut self, is64: bool) {
        if !self.env.options.canonical_nans {
            return;
        }
        let Some(slot) = self.b.stack.last().map(|e| e.slot) else { return };
        if is64 {
            self.emit(op::f64x2_canonical { d: DW(slot), a: SW(slot) });
        } else {
            self.emit(op::f32x4_canonical { d: DW(slot), a: SW(slot) });
        }
    }

    fn wide_shift<I: Instruction>(&mut self, make: impl Fn(DW, SW, S) -> I) -> Outcome {
        let b = self.pop_slot()?;
        let a = self.pop_wide()?;
        let d = DW(self.push_wide());
        self.emit(make(d, a, b));
        Ok(())
    }

    fn wide_test<I: Instruction>(&mut self, make: impl Fn(D, SW) -> I) -> Outcome {
        let a = self.pop_wide()?;
        let d = D(self.push_temp());
        self.emit(make(d, a));
        Ok(())
    }

    fn wide_splat<I: Instruction>(&mut self, make: impl Fn(DW, S) -> I) -> Outcome {
        let a = self.pop_slot()?;
        let d = DW(self.push_wide());
        self.emit(make(d, a));
        Ok(())
    }

    fn wide_extract<I: Instruction>(
        &mut self,
        lane: u8,
        make: impl Fn(D, SW, U16) -> I,
    ) -> Outcome {
        let a = self.pop_wide()?;
        let d = D(self.push_temp());
        self.emit(make(d, a, U16(lane.into())));
        Ok(())
    }

    fn wide_replace<I: Instruction>(
        &mut self,
        lane: u8,
        make: impl Fn(DW, SW, S, U16) -> I,
    ) -> Outcome {
        let b = self.pop_slot()?;
        let a = self.pop_wide()?;
        let d = DW(self.push_wide());
        self.emit(make(d, a, b, U16(lane.into())));
        Ok(())
    }

    fn shuffle(&mut self, lanes: [u8; 16]) -> Outcome {
        let lanes = V128(u128::from_le_bytes(lanes));
        self.wide_binary(|d, a, b| op::i8x16_shuffle { d, a, b, lanes })
    }

    fn load_wide<I: Instruction>(
        &mut self,
        memarg: &MemArg,
        make: impl Fn(DW, S, U32) -> I,
    ) -> Outcome {
        let place = self.place(memarg, false)?;
        let d = DW(self.push_wide());
        self.access(place, make(d, place.a, place.offset));
        Ok(())
    }

    fn load_vector(&mut self, memarg: &MemArg) -> Outcome {
        let place = self.place(memarg, true)?;
        let d = DW(self.push_wide());
        let (a, offset) = (place.a, place.offset);
        match place.sum {
            Sum::Slot(b) => self.access(place, op::v128_load_sum { d, a, b, offset }),
            Sum::Number(by) => self.access(place, op::v128_load_plus { d, a, by, offset }),
            Sum::Index(b, shift) => {
                self.access(place, op::v128_load_index { d, a, b, shift, offset });
            }
            Sum::Nothing => self.access(place, op::v128_load { d, a, offset }),
        }
        Ok(())
    }

    fn store_vector(&mut self, memarg: &MemArg) -> Outcome {
        let value = self.pop_wide()?;
        let place = self.place(memarg, true)?;
        let (a, offset) = (place.a, place.offset);
        match place.sum {
            Sum::Slot(b) => self.access(place, op::v128_store_sum { a, b, value, offset }),
            Sum::Number(by) => self.access(place, op::v128_store_plus { a, by, value, offset }),
            Sum::Index(b, shift) => {
                self.access(place, op::v128_store_index { a, b, shift, value, offset });
            }
            Sum::Nothing => self.access(place, op::v128_store { a, value, offset }),
        }
        Ok(())
    }

    fn load_lane<I: Instruction>(
        &mut self,
        memarg: &MemArg,
        lane: u8,
        make: impl Fn(DW, S, SW, U32, U16) -> I,
    ) -> Outcome {
        let vector = self.pop_wide()?;
        let place = self.place(memarg, false)?;
        let d = DW(self.push_wide());
        self.access(place, make(d, place.a, vector, place.offset, U16(lane.into())));
        Ok(())
    }

    fn store_lane<I: Instruction>(
        &mut self,
        memarg: &MemArg,
        lane: u8,
        make: impl Fn(S, SW, U32, U16) -> I,
    ) -> Outcome {
        let vector = self.pop_wide()?;
        let place = self.place(memarg, false)?;
        self.access(place, make(place.a, vector, place.offset, U16(lane.into())));
        Ok(())
    }
}
