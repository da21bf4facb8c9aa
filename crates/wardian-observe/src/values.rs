//! Values of locals, from the raw slots of frames.

use wardian::{Frame, Val, ValType};

/// A value for each local of a frame, parameters first; none where it is not known: the function ran
/// compiled, or it is a reference.
pub(crate) fn locals(frame: &Frame) -> Vec<Option<Val>> {
    let types = frame.local_types();
    let Some(slots) = frame.locals() else { return vec![None; types.len()] };
    let mut slots = slots.iter().copied();
    types.into_iter().map(|ty| value(ty, &mut slots)).collect()
}

/// Takes a value out of the slots.
pub(crate) fn value(ty: ValType, slots: &mut impl Iterator<Item = u64>) -> Option<Val> {
    let low = slots.next()?;
    Some(match ty {
        ValType::I32 => Val::I32(low as u32 as i32),
        ValType::I64 => Val::I64(low as i64),
        ValType::F32 => Val::F32(low as u32),
        ValType::F64 => Val::F64(low),
        ValType::V128 => Val::V128(u128::from(low) | u128::from(slots.next()?) << 64),
        _ => return None,
    })
}
