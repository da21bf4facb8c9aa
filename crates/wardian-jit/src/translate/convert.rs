//! Conversions between scalar types.

use super::state::{Outcome, Translator};
use super::variable::{f32_bits, f64_bits};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{
    InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value, types,
};
use types::{F32, F64, I8, I16, I32, I64};
use wardian_module::operators::Conversion;
use wardian_types::TrapCode;

impl Translator<'_, '_> {
    pub(super) fn conversion_operator(&mut self, operator: Conversion) -> Outcome {
        use Conversion as O;
        match operator {
            O::I32WrapI64 => self.unary(|i, x| i.ireduce(I32, x))?,
            O::I64ExtendI32S => self.unary(|i, x| i.sextend(I64, x))?,
            O::I64ExtendI32U => self.unary(|i, x| i.uextend(I64, x))?,
            O::I32Extend8S => self.sign_extend(I8, I32)?,
            O::I32Extend16S => self.sign_extend(I16, I32)?,
            O::I64Extend8S => self.sign_extend(I8, I64)?,
            O::I64Extend16S => self.sign_extend(I16, I64)?,
            O::I64Extend32S => self.sign_extend(I32, I64)?,
            O::I32ReinterpretF32 => self.reinterpret(I32)?,
            O::I64ReinterpretF64 => self.reinterpret(I64)?,
            O::F32ReinterpretI32 => self.reinterpret(F32)?,
            O::F64ReinterpretI64 => self.reinterpret(F64)?,
            O::F32DemoteF64 => self.unary(|i, x| i.fdemote(F32, x))?,
            O::F64PromoteF32 => self.unary(|i, x| i.fpromote(F64, x))?,
            O::F32ConvertI32S | O::F32ConvertI64S => self.unary(|i, x| i.fcvt_from_sint(F32, x))?,
            O::F32ConvertI32U | O::F32ConvertI64U => self.convert_unsigned(F32)?,
            O::F64ConvertI32S | O::F64ConvertI64S => self.unary(|i, x| i.fcvt_from_sint(F64, x))?,
            O::F64ConvertI32U | O::F64ConvertI64U => self.convert_unsigned(F64)?,
            O::I32TruncSatF32S | O::I32TruncSatF64S => self.saturate(I32, true)?,
            O::I32TruncSatF32U | O::I32TruncSatF64U => self.saturate(I32, false)?,
            O::I64TruncSatF32S | O::I64TruncSatF64S => self.saturate(I64, true)?,
            O::I64TruncSatF32U | O::I64TruncSatF64U => self.saturate(I64, false)?,
            O::I32TruncF32S | O::I32TruncF64S => self.truncate(I32, true)?,
            O::I32TruncF32U | O::I32TruncF64U => self.truncate(I32, false)?,
            O::I64TruncF32S | O::I64TruncF64S => self.truncate(I64, true)?,
            O::I64TruncF32U | O::I64TruncF64U => self.truncate(I64, false)?,
        }
        Ok(())
    }

    fn sign_extend(&mut self, from: Type, to: Type) -> Outcome {
        let x = self.pop()?;
        let narrow = self.b.ins().ireduce(from, x);
        let value = self.b.ins().sextend(to, narrow);
        self.push(value);
        Ok(())
    }

    fn reinterpret(&mut self, to: Type) -> Outcome {
        self.unary(|i, x| i.bitcast(to, MemFlagsData::new(), x))
    }

    /// What is known not to have its highest bit is converted as if it were signed, without a branch. Random numbers are
    /// mostly made in that way, of an integer that was shifted.
    fn convert_unsigned(&mut self, to: Type) -> Outcome {
        let x = self.pop()?;
        let value = match self.has_no_sign(x) {
            true => self.b.ins().fcvt_from_sint(to, x),
            false => self.b.ins().fcvt_from_uint(to, x),
        };
        self.push(value);
        Ok(())
    }

    /// Whether the highest bit of an integer is known to be zero.
    fn has_no_sign(&self, value: Value) -> bool {
        let bits = u64::from(self.b.func.dfg.value_type(value).bits());
        match self.defining(value) {
            Some(&InstructionData::Binary { opcode: Opcode::Ushr, args: [_, by] }) => {
                self.as_const(by).is_some_and(|by| by % bits != 0)
            }
            Some(&InstructionData::Binary { opcode: Opcode::Band, args }) => {
                args.iter().any(|x| self.as_const(*x).is_some_and(|x| x >> (bits - 1) == 0))
            }
            Some(InstructionData::Unary { opcode: Opcode::Uextend, .. }) => true,
            _ => false,
        }
    }

    fn saturate(&mut self, to: Type, signed: bool) -> Outcome {
        if signed {
            self.unary(|i, x| i.fcvt_to_sint_sat(to, x))
        } else {
            self.unary(|i, x| i.fcvt_to_uint_sat(to, x))
        }
    }

    fn truncate(&mut self, to: Type, signed: bool) -> Outcome {
        if self.env.tunables.signals {
            return if signed {
                self.unary(|i, x| i.fcvt_to_sint(to, x))
            } else {
                self.unary(|i, x| i.fcvt_to_uint(to, x))
            };
        }
        let x = self.pop()?;
        let nan = self.b.ins().fcmp(FloatCC::Unordered, x, x);
        self.trap_if(nan, TrapCode::BadConversionToInteger);
        let from = self.b.func.dfg.value_type(x);
        let (low, low_cc, high) = range(from, to, signed);
        let low = self.float(from, low);
        let high = self.float(from, high);
        let below = self.b.ins().fcmp(low_cc, x, low);
        self.trap_if(below, TrapCode::IntegerOverflow);
        let above = self.b.ins().fcmp(FloatCC::GreaterThanOrEqual, x, high);
        self.trap_if(above, TrapCode::IntegerOverflow);
        self.push(x);
        self.saturate(to, signed)
    }

    fn float(&mut self, ty: Type, value: f64) -> Value {
        if ty == F32 {
            self.b.ins().f32const(f32_bits((value as f32).to_bits()))
        } else {
            self.b.ins().f64const(f64_bits(value.to_bits()))
        }
    }
}

/// Which floats have no integer: below the first by the comparison, or not less than the last.
fn range(from: Type, to: Type, signed: bool) -> (f64, FloatCC, f64) {
    let bits = if to == I32 { 32 } else { 64 };
    if !signed {
        return (-1.0, FloatCC::LessThanOrEqual, 2f64.powi(bits));
    }
    let high = 2f64.powi(bits - 1);
    if from == F64 && bits == 32 {
        // -2147483648.5 still truncates into range: a double can represent it beside the next integer.
        (-high - 1.0, FloatCC::LessThanOrEqual, high)
    } else {
        (-high, FloatCC::LessThan, high)
    }
}
