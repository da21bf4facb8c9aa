//! Which instruction each operator becomes.

use super::numeric::Right;
use super::{Body, Outcome};
use crate::op;
use crate::operand::Far;
use crate::translation::TranslateError;
use wardian_module::operators::{
    Atomic, AtomicUpdate, Comparison, Conversion, Float, Group, Integer, Local,
};
use wasmparser::Operator;

macro_rules! integer {
    ($body:ident, $name:ident, $imm:ident, $right:ident, $is64:literal) => {
        $body.integer(op::$name::new, op::$imm::new, Right::$right, $is64)?
    };
}

macro_rules! comparison {
    ($body:ident, $name:ident, $imm:ident, $left:ident, $is64:literal) => {
        $body.comparison(op::$name::new, op::$imm::new, op::$left::new, $is64)?
    };
    ($body:ident, swapped $name:ident, $imm:ident, $left:ident, $is64:literal) => {
        $body.comparison(|d, a, b| op::$name::new(d, b, a), op::$imm::new, op::$left::new, $is64)?
    };
}

impl Body<'_> {
    pub(super) fn live_operator(&mut self, operator: Operator<'_>) -> Outcome {
        match Group::from(operator) {
            Group::Local(operator) => self.local_operator(operator),
            Group::Global(operator) => self.global_operator(operator),
            Group::Control(operator) => self.control_operator(operator),
            Group::Call(operator) => self.call_operator(operator),
            Group::Exception(operator) => self.exception_operator(operator),
            Group::Memory(operator) => self.memory_operator(operator),
            Group::Bulk(operator) => self.bulk_operator(operator),
            Group::Table(operator) => self.table_operator(operator),
            Group::Integer(operator) => self.integer_operator(operator),
            Group::Comparison(operator) => self.comparison_operator(operator),
            Group::Float(operator) => self.float_operator(operator),
            Group::Conversion(operator) => self.conversion_operator(operator),
            Group::Object(operator) => self.object_operator(operator),
            Group::Array(operator) => self.array_operator(operator),
            Group::Cast(operator) => self.cast_operator(operator),
            Group::Atomic(operator) => self.atomic_operator(operator),
            Group::AtomicUpdate(operator) => self.atomic_update_operator(operator),
            Group::VectorMemory(operator) => self.vector_memory_operator(operator),
            Group::Lane(operator) => self.lane_operator(operator),
            Group::VectorBits(operator) => self.vector_bit_operator(operator),
            Group::VectorComparison(operator) => self.vector_comparison_operator(operator),
            Group::VectorInteger(operator) => self.vector_integer_operator(operator),
            Group::VectorFloat(operator) => self.vector_float_operator(operator),
            Group::VectorWidening(operator) => self.vector_widening_operator(operator),
            Group::VectorConversion(operator) => self.vector_conversion_operator(operator),
            Group::VectorRelaxed(operator) => self.vector_relaxed_operator(operator),
            Group::Unsupported(operator) => {
                Err(TranslateError::new(format!("{operator:?} is not supported")))
            }
        }
    }

    fn local_operator(&mut self, operator: Local) -> Outcome {
        use Local as O;
        match operator {
            O::LocalGet { local_index } => {
                return self.push_local(local_index);
            }
            O::LocalSet { local_index } => {
                return self.set_local(local_index);
            }
            O::LocalTee { local_index } => {
                self.set_local(local_index)?;
                return self.push_local(local_index);
            }
            O::I32Const { value } => self.push_const(u64::from(value as u32)),
            O::I64Const { value } => self.push_const(value as u64),
            O::F32Const { value } => self.push_const(u64::from(value.bits())),
            O::F64Const { value } => self.push_const(value.bits()),
            O::V128Const { value } => self.vector(u128::from_le_bytes(*value.bytes())),
            O::Drop => {
                self.pop()?;
            }
            O::Nop => {}
            O::Select | O::TypedSelect { .. } => return self.select(),
        }
        Ok(())
    }

    fn add128<I: op::Instruction>(
        &mut self,
        make: impl FnOnce(Far, Far, Far, Far, Far) -> I,
    ) -> Outcome {
        let (e, c) = (self.pop_far()?, self.pop_far()?);
        let (b, a) = (self.pop_far()?, self.pop_far()?);
        let d = Far(self.push_temp());
        self.push_temp();
        self.append(make(d, a, b, c, e));
        Ok(())
    }

    fn mul_wide<I: op::Instruction>(&mut self, make: impl FnOnce(Far, Far, Far) -> I) -> Outcome {
        let (b, a) = (self.pop_far()?, self.pop_far()?);
        let d = Far(self.push_temp());
        self.push_temp();
        self.append(make(d, a, b));
        Ok(())
    }

    pub(super) fn integer_operator(&mut self, operator: Integer) -> Outcome {
        use Integer as O;
        match operator {
            O::I32Add => self.add32()?,
            O::I64Add => self.add64()?,
            O::I64Add128 => self.add128(|d, a, b, c, e| op::i64_add128 { d, a, b, c, e })?,
            O::I64Sub128 => self.add128(|d, a, b, c, e| op::i64_sub128 { d, a, b, c, e })?,
            O::I64MulWideS => self.mul_wide(|d, a, b| op::i64_mul_wide_s { d, a, b })?,
            O::I64MulWideU => self.mul_wide(|d, a, b| op::i64_mul_wide_u { d, a, b })?,
            O::I32Sub => integer!(self, i32_sub, i32_add_imm, Negated, false),
            O::I32Mul => integer!(self, i32_mul, i32_mul_imm, Commutes, false),
            O::I32DivS => integer!(self, i32_div_s, i32_div_s_imm, SignedDivisor, false),
            O::I32DivU => integer!(self, i32_div_u, i32_div_u_imm, Divisor, false),
            O::I32RemS => integer!(self, i32_rem_s, i32_rem_s_imm, SignedDivisor, false),
            O::I32RemU => integer!(self, i32_rem_u, i32_rem_u_imm, Divisor, false),
            O::I32And => self.and32()?,
            O::I32Or => self.or32()?,
            O::I32Xor => self.xor32()?,
            O::I32Shl => integer!(self, i32_shl, i32_shl_imm, Plain, false),
            O::I32ShrS => integer!(self, i32_shr_s, i32_shr_s_imm, Plain, false),
            O::I32ShrU => integer!(self, i32_shr_u, i32_shr_u_imm, Plain, false),
            O::I32Rotl => integer!(self, i32_rotl, i32_rotl_imm, Plain, false),
            O::I32Rotr => integer!(self, i32_rotr, i32_rotl_imm, Negated, false),
            O::I32Clz => self.unary(op::i32_clz::new)?,
            O::I32Ctz => self.unary(op::i32_ctz::new)?,
            O::I32Popcnt => self.unary(op::i32_popcnt::new)?,
            O::I64Sub => integer!(self, i64_sub, i64_add_imm, Negated, true),
            O::I64Mul => self.mul64()?,
            O::I64DivS => integer!(self, i64_div_s, i64_div_s_imm, SignedDivisor, true),
            O::I64DivU => integer!(self, i64_div_u, i64_div_u_imm, Divisor, true),
            O::I64RemS => integer!(self, i64_rem_s, i64_rem_s_imm, SignedDivisor, true),
            O::I64RemU => integer!(self, i64_rem_u, i64_rem_u_imm, Divisor, true),
            O::I64And => self.and64()?,
            O::I64Or => self.or64()?,
            O::I64Xor => self.xor64()?,
            O::I64Shl => integer!(self, i64_shl, i64_shl_imm, Plain, true),
            O::I64ShrS => integer!(self, i64_shr_s, i64_shr_s_imm, Plain, true),
            O::I64ShrU => integer!(self, i64_shr_u, i64_shr_u_imm, Plain, true),
            O::I64Rotl => integer!(self, i64_rotl, i64_rotl_imm, Plain, true),
            O::I64Rotr => integer!(self, i64_rotr, i64_rotl_imm, Negated, true),
            O::I64Clz => self.unary(op::i64_clz::new)?,
            O::I64Ctz => self.unary(op::i64_ctz::new)?,
            O::I64Popcnt => self.unary(op::i64_popcnt::new)?,
        }
        Ok(())
    }

    pub(super) fn comparison_operator(&mut self, operator: Comparison) -> Outcome {
        use Comparison as O;
        match operator {
            O::I32Eqz => self.is_zero(true)?,
            O::I64Eqz => self.is_zero(false)?,
            O::I32Eq => comparison!(self, i32_eq, i32_eq_imm, i32_eq_imm, false),
            O::I32Ne => comparison!(self, i32_ne, i32_ne_imm, i32_ne_imm, false),
            O::I32LtS => comparison!(self, i32_lt_s, i32_lt_s_imm, i32_gt_s_imm, false),
            O::I32LtU => comparison!(self, i32_lt_u, i32_lt_u_imm, i32_gt_u_imm, false),
            O::I32GtS => comparison!(self, swapped i32_lt_s, i32_gt_s_imm, i32_lt_s_imm, false),
            O::I32GtU => comparison!(self, swapped i32_lt_u, i32_gt_u_imm, i32_lt_u_imm, false),
            O::I32LeS => comparison!(self, i32_le_s, i32_le_s_imm, i32_ge_s_imm, false),
            O::I32LeU => comparison!(self, i32_le_u, i32_le_u_imm, i32_ge_u_imm, false),
            O::I32GeS => comparison!(self, swapped i32_le_s, i32_ge_s_imm, i32_le_s_imm, false),
            O::I32GeU => comparison!(self, swapped i32_le_u, i32_ge_u_imm, i32_le_u_imm, false),
            O::F32Eq => self.binary(op::f32_eq::new)?,
            O::F32Ne => self.binary(op::f32_ne::new)?,
            O::F32Lt => self.binary(op::f32_lt::new)?,
            O::F32Le => self.binary(op::f32_le::new)?,
            O::F32Gt => self.binary(|d, a, b| op::f32_lt::new(d, b, a))?,
            O::F32Ge => self.binary(|d, a, b| op::f32_le::new(d, b, a))?,
            O::I64Eq => comparison!(self, i64_eq, i64_eq_imm, i64_eq_imm, true),
            O::I64Ne => comparison!(self, i64_ne, i64_ne_imm, i64_ne_imm, true),
            O::I64LtS => comparison!(self, i64_lt_s, i64_lt_s_imm, i64_gt_s_imm, true),
            O::I64LtU => comparison!(self, i64_lt_u, i64_lt_u_imm, i64_gt_u_imm, true),
            O::I64GtS => comparison!(self, swapped i64_lt_s, i64_gt_s_imm, i64_lt_s_imm, true),
            O::I64GtU => comparison!(self, swapped i64_lt_u, i64_gt_u_imm, i64_lt_u_imm, true),
            O::I64LeS => comparison!(self, i64_le_s, i64_le_s_imm, i64_ge_s_imm, true),
            O::I64LeU => comparison!(self, i64_le_u, i64_le_u_imm, i64_ge_u_imm, true),
            O::I64GeS => comparison!(self, swapped i64_le_s, i64_ge_s_imm, i64_le_s_imm, true),
            O::I64GeU => comparison!(self, swapped i64_le_u, i64_ge_u_imm, i64_le_u_imm, true),
            O::F64Eq => self.binary(op::f64_eq::new)?,
            O::F64Ne => self.binary(op::f64_ne::new)?,
            O::F64Lt => self.binary(op::f64_lt::new)?,
            O::F64Le => self.binary(op::f64_le::new)?,
            O::F64Gt => self.binary(|d, a, b| op::f64_lt::new(d, b, a))?,
            O::F64Ge => self.binary(|d, a, b| op::f64_le::new(d, b, a))?,
        }
        Ok(())
    }

    pub(super) fn float_operator(&mut self, operator: Float) -> Outcome {
        use Float as O;
        match operator {
            O::F32Add if self.product32(false)? => {}
            O::F32Add => self.float_binary(op::f32_add::new, false)?,
            O::F32Sub if self.product32(true)? => {}
            O::F32Sub => self.float_binary(op::f32_sub::new, false)?,
            O::F32Mul => self.float_binary(op::f32_mul::new, false)?,
            O::F32Div => self.float_binary(op::f32_div::new, false)?,
            O::F32Min => self.float_binary(op::f32_min::new, false)?,
            O::F32Max => self.float_binary(op::f32_max::new, false)?,
            O::F32Copysign => self.binary(op::f32_copysign::new)?,
            O::F32Abs => self.unary(op::f32_abs::new)?,
            O::F32Neg => self.unary(op::f32_neg::new)?,
            O::F32Ceil => self.float_unary(op::f32_ceil::new, false)?,
            O::F32Floor => self.float_unary(op::f32_floor::new, false)?,
            O::F32Trunc => self.float_unary(op::f32_trunc::new, false)?,
            O::F32Nearest => self.float_unary(op::f32_nearest::new, false)?,
            O::F32Sqrt => self.float_unary(op::f32_sqrt::new, false)?,
            O::F64Add if self.product64(false)? => {}
            O::F64Add => self.double(op::f64_add::new, op::f64_add_imm::new)?,
            O::F64Sub if self.product64(true)? => {}
            O::F64Sub => self.double(op::f64_sub::new, op::f64_sub_imm::new)?,
            O::F64Mul => self.double(op::f64_mul::new, op::f64_mul_imm::new)?,
            O::F64Div => self.double(op::f64_div::new, op::f64_div_imm::new)?,
            O::F64Min => self.float_binary(op::f64_min::new, true)?,
            O::F64Max => self.float_binary(op::f64_max::new, true)?,
            O::F64Copysign => self.binary(op::f64_copysign::new)?,
            O::F64Abs => self.unary(op::f64_abs::new)?,
            O::F64Neg => self.unary(op::f64_neg::new)?,
            O::F64Ceil => self.float_unary(op::f64_ceil::new, true)?,
            O::F64Floor => self.float_unary(op::f64_floor::new, true)?,
            O::F64Trunc => self.float_unary(op::f64_trunc::new, true)?,
            O::F64Nearest => self.float_unary(op::f64_nearest::new, true)?,
            O::F64Sqrt => self.float_unary(op::f64_sqrt::new, true)?,
        }
        Ok(())
    }

    pub(super) fn conversion_operator(&mut self, operator: Conversion) -> Outcome {
        use Conversion as O;
        match operator {
            // A slot holds 32 bits zero-extended, whatever they mean.
            O::I64ExtendI32U
            | O::I32ReinterpretF32
            | O::I64ReinterpretF64
            | O::F32ReinterpretI32
            | O::F64ReinterpretI64 => {}
            O::F32DemoteF64 => self.float_unary(op::f32_demote_f64::new, false)?,
            O::F64PromoteF32 => self.float_unary(op::f64_promote_f32::new, true)?,
            O::I32WrapI64 => self.unary(op::i32_wrap_i64::new)?,
            O::I64ExtendI32S => self.unary(op::i64_extend_i32_s::new)?,
            O::I32Extend8S => self.unary(op::i32_extend8_s::new)?,
            O::I32Extend16S => self.unary(op::i32_extend16_s::new)?,
            O::I64Extend8S => self.unary(op::i64_extend8_s::new)?,
            O::I64Extend16S => self.unary(op::i64_extend16_s::new)?,
            O::I64Extend32S => self.unary(op::i64_extend32_s::new)?,
            O::F32ConvertI32S => self.unary(op::f32_convert_i32_s::new)?,
            O::F32ConvertI32U => self.unary(op::f32_convert_i32_u::new)?,
            O::F32ConvertI64S => self.unary(op::f32_convert_i64_s::new)?,
            O::F32ConvertI64U => self.unary(op::f32_convert_i64_u::new)?,
            O::F64ConvertI32S => self.unary(op::f64_convert_i32_s::new)?,
            O::F64ConvertI32U => self.unary(op::f64_convert_i32_u::new)?,
            O::F64ConvertI64S => self.unary(op::f64_convert_i64_s::new)?,
            O::F64ConvertI64U => self.unary(op::f64_convert_i64_u::new)?,
            O::I32TruncF32S => self.unary(op::i32_trunc_f32_s::new)?,
            O::I32TruncF32U => self.unary(op::i32_trunc_f32_u::new)?,
            O::I32TruncF64S => self.unary(op::i32_trunc_f64_s::new)?,
            O::I32TruncF64U => self.unary(op::i32_trunc_f64_u::new)?,
            O::I64TruncF32S => self.unary(op::i64_trunc_f32_s::new)?,
            O::I64TruncF32U => self.unary(op::i64_trunc_f32_u::new)?,
            O::I64TruncF64S => self.unary(op::i64_trunc_f64_s::new)?,
            O::I64TruncF64U => self.unary(op::i64_trunc_f64_u::new)?,
            O::I32TruncSatF32S => self.unary(op::i32_trunc_sat_f32_s::new)?,
            O::I32TruncSatF32U => self.unary(op::i32_trunc_sat_f32_u::new)?,
            O::I32TruncSatF64S => self.unary(op::i32_trunc_sat_f64_s::new)?,
            O::I32TruncSatF64U => self.unary(op::i32_trunc_sat_f64_u::new)?,
            O::I64TruncSatF32S => self.unary(op::i64_trunc_sat_f32_s::new)?,
            O::I64TruncSatF32U => self.unary(op::i64_trunc_sat_f32_u::new)?,
            O::I64TruncSatF64S => self.unary(op::i64_trunc_sat_f64_s::new)?,
            O::I64TruncSatF64U => self.unary(op::i64_trunc_sat_f64_u::new)?,
        }
        Ok(())
    }

    pub(super) fn atomic_operator(&mut self, operator: Atomic) -> Outcome {
        use Atomic as O;
        match &operator {
            O::AtomicFence { .. } => self.append(op::fence {}),
            O::MemoryAtomicNotify { memarg } => self.notify(memarg)?,
            O::MemoryAtomicWait32 { memarg } => self.wait(memarg, 4)?,
            O::MemoryAtomicWait64 { memarg } => self.wait(memarg, 8)?,
            O::I32AtomicRmwCmpxchg { memarg } | O::I64AtomicRmw32CmpxchgU { memarg } => {
                self.atomic_exchange(memarg, op::rmw32_cmpxchg::new)?;
            }
            O::I64AtomicRmwCmpxchg { memarg } => {
                self.atomic_exchange(memarg, op::rmw64_cmpxchg::new)?;
            }
            O::I32AtomicRmw8CmpxchgU { memarg } | O::I64AtomicRmw8CmpxchgU { memarg } => {
                self.atomic_exchange(memarg, op::rmw8_cmpxchg::new)?;
            }
            O::I32AtomicRmw16CmpxchgU { memarg } | O::I64AtomicRmw16CmpxchgU { memarg } => {
                self.atomic_exchange(memarg, op::rmw16_cmpxchg::new)?;
            }
            O::I32AtomicLoad { memarg } | O::I64AtomicLoad32U { memarg } => {
                self.atomic_load(memarg, op::atomic_load32::new)?;
            }
            O::I64AtomicLoad { memarg } => self.atomic_load(memarg, op::atomic_load64::new)?,
            O::I32AtomicLoad8U { memarg } | O::I64AtomicLoad8U { memarg } => {
                self.atomic_load(memarg, op::atomic_load8::new)?;
            }
            O::I32AtomicLoad16U { memarg } | O::I64AtomicLoad16U { memarg } => {
                self.atomic_load(memarg, op::atomic_load16::new)?;
            }
            O::I32AtomicStore { memarg } | O::I64AtomicStore32 { memarg } => {
                self.atomic_store(memarg, op::atomic_store32::new)?;
            }
            O::I64AtomicStore { memarg } => self.atomic_store(memarg, op::atomic_store64::new)?,
            O::I32AtomicStore8 { memarg } | O::I64AtomicStore8 { memarg } => {
                self.atomic_store(memarg, op::atomic_store8::new)?;
            }
            O::I32AtomicStore16 { memarg } | O::I64AtomicStore16 { memarg } => {
                self.atomic_store(memarg, op::atomic_store16::new)?;
            }
        }
        Ok(())
    }

    pub(super) fn atomic_update_operator(&mut self, operator: AtomicUpdate) -> Outcome {
        use AtomicUpdate as O;
        match &operator {
            O::I32AtomicRmwAdd { memarg } | O::I64AtomicRmw32AddU { memarg } => {
                self.atomic_update(memarg, op::rmw32_add::new)?;
            }
            O::I64AtomicRmwAdd { memarg } => self.atomic_update(memarg, op::rmw64_add::new)?,
            O::I32AtomicRmw8AddU { memarg } | O::I64AtomicRmw8AddU { memarg } => {
                self.atomic_update(memarg, op::rmw8_add::new)?;
            }
            O::I32AtomicRmw16AddU { memarg } | O::I64AtomicRmw16AddU { memarg } => {
                self.atomic_update(memarg, op::rmw16_add::new)?;
            }
            O::I32AtomicRmwSub { memarg } | O::I64AtomicRmw32SubU { memarg } => {
                self.atomic_update(memarg, op::rmw32_sub::new)?;
            }
            O::I64AtomicRmwSub { memarg } => self.atomic_update(memarg, op::rmw64_sub::new)?,
            O::I32AtomicRmw8SubU { memarg } | O::I64AtomicRmw8SubU { memarg } => {
                self.atomic_update(memarg, op::rmw8_sub::new)?;
            }
            O::I32AtomicRmw16SubU { memarg } | O::I64AtomicRmw16SubU { memarg } => {
                self.atomic_update(memarg, op::rmw16_sub::new)?;
            }
            O::I32AtomicRmwAnd { memarg } | O::I64AtomicRmw32AndU { memarg } => {
                self.atomic_update(memarg, op::rmw32_and::new)?;
            }
            O::I64AtomicRmwAnd { memarg } => self.atomic_update(memarg, op::rmw64_and::new)?,
            O::I32AtomicRmw8AndU { memarg } | O::I64AtomicRmw8AndU { memarg } => {
                self.atomic_update(memarg, op::rmw8_and::new)?;
            }
            O::I32AtomicRmw16AndU { memarg } | O::I64AtomicRmw16AndU { memarg } => {
                self.atomic_update(memarg, op::rmw16_and::new)?;
            }
            O::I32AtomicRmwOr { memarg } | O::I64AtomicRmw32OrU { memarg } => {
                self.atomic_update(memarg, op::rmw32_or::new)?;
            }
            O::I64AtomicRmwOr { memarg } => self.atomic_update(memarg, op::rmw64_or::new)?,
            O::I32AtomicRmw8OrU { memarg } | O::I64AtomicRmw8OrU { memarg } => {
                self.atomic_update(memarg, op::rmw8_or::new)?;
            }
            O::I32AtomicRmw16OrU { memarg } | O::I64AtomicRmw16OrU { memarg } => {
                self.atomic_update(memarg, op::rmw16_or::new)?;
            }
            O::I32AtomicRmwXor { memarg } | O::I64AtomicRmw32XorU { memarg } => {
                self.atomic_update(memarg, op::rmw32_xor::new)?;
            }
            O::I64AtomicRmwXor { memarg } => self.atomic_update(memarg, op::rmw64_xor::new)?,
            O::I32AtomicRmw8XorU { memarg } | O::I64AtomicRmw8XorU { memarg } => {
                self.atomic_update(memarg, op::rmw8_xor::new)?;
            }
            O::I32AtomicRmw16XorU { memarg } | O::I64AtomicRmw16XorU { memarg } => {
                self.atomic_update(memarg, op::rmw16_xor::new)?;
            }
            O::I32AtomicRmwXchg { memarg } | O::I64AtomicRmw32XchgU { memarg } => {
                self.atomic_update(memarg, op::rmw32_xchg::new)?;
            }
            O::I64AtomicRmwXchg { memarg } => self.atomic_update(memarg, op::rmw64_xchg::new)?,
            O::I32AtomicRmw8XchgU { memarg } | O::I64AtomicRmw8XchgU { memarg } => {
                self.atomic_update(memarg, op::rmw8_xchg::new)?;
            }
            O::I32AtomicRmw16XchgU { memarg } | O::I64AtomicRmw16XchgU { memarg } => {
                self.atomic_update(memarg, op::rmw16_xchg::new)?;
            }
        }
        Ok(())
    }
}
