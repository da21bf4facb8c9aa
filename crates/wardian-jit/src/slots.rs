//! Values in raw slots of 64 bits: an `i32` or `f32` in the lower half of one, a vector in two.

use crate::translate::clif_type;
use cranelift_codegen::ir::types::{F32, I32, I64};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Value};
use cranelift_frontend::FunctionBuilder;
use wardian_types::ValType;

/// Slots are multiples of eight bytes, in the machine's byte order for host and guest alike.
fn slot_flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap().with_endianness(Endianness::Little)
}

/// Loads values of these types, one after the other.
pub(crate) fn load_slots(
    b: &mut FunctionBuilder<'_>,
    tys: &[ValType],
    slots: Value,
    out: &mut Vec<Value>,
) {
    let mut offset = 0;
    for ty in tys {
        out.push(b.ins().load(clif_type(*ty), slot_flags(), slots, offset));
        offset += ty.slots() as i32 * 8;
    }
}

/// Stores values, those of 32 bits zero-extended to the whole slot.
pub(crate) fn store_slots(
    b: &mut FunctionBuilder<'_>,
    tys: &[ValType],
    slots: Value,
    values: &[Value],
) {
    let mut offset = 0;
    for (ty, value) in tys.iter().zip(values) {
        let value = match b.func.dfg.value_type(*value) {
            F32 => {
                let bits = b.ins().bitcast(I32, MemFlagsData::new(), *value);
                b.ins().uextend(I64, bits)
            }
            I32 => b.ins().uextend(I64, *value),
            _ => *value,
        };
        b.ins().store(slot_flags(), value, slots, offset);
        offset += ty.slots() as i32 * 8;
    }
}
