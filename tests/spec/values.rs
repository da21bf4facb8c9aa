//! Values of test scripts as Wardian's, and the comparison of results.

use wardian::{ExternRef, Val};
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::{WastArg, WastRet};

/// An argument.
pub(crate) fn argument(arg: &WastArg<'_>) -> Result<Val, String> {
    let WastArg::Core(arg) = arg else { return Err("an argument of a component".into()) };
    Ok(match arg {
        WastArgCore::I32(v) => Val::I32(*v),
        WastArgCore::I64(v) => Val::I64(*v),
        WastArgCore::F32(v) => Val::F32(v.bits),
        WastArgCore::F64(v) => Val::F64(v.bits),
        WastArgCore::V128(v) => Val::V128(u128::from_le_bytes(v.to_le_bytes())),
        WastArgCore::RefNull(HeapType::Abstract { ty: AbstractHeapType::Func, .. }) => {
            Val::FuncRef(None)
        }
        WastArgCore::RefNull(HeapType::Abstract { ty: AbstractHeapType::Exn, .. }) => {
            Val::ExnRef(None)
        }
        WastArgCore::RefNull(_) => Val::ExternRef(None),
        WastArgCore::RefExtern(n) => Val::ExternRef(Some(ExternRef::new(*n))),
        other => return Err(format!("argument {other:?} is not supported")),
    })
}

/// Compares a result with what the script expects.
pub(crate) fn matches(expected: &WastRet<'_>, found: &Val) -> bool {
    match expected {
        WastRet::Core(expected) => core_matches(expected, found),
        _ => false,
    }
}

fn core_matches(expected: &WastRetCore<'_>, found: &Val) -> bool {
    match (expected, found) {
        (WastRetCore::I32(e), Val::I32(f)) => e == f,
        (WastRetCore::I64(e), Val::I64(f)) => e == f,
        (WastRetCore::F32(e), Val::F32(f)) => f32_matches(e, *f),
        (WastRetCore::F64(e), Val::F64(f)) => f64_matches(e, *f),
        (WastRetCore::V128(e), Val::V128(f)) => v128_matches(e, *f),
        (
            WastRetCore::RefNull(_),
            Val::FuncRef(None) | Val::ExternRef(None) | Val::ExnRef(None),
        ) => true,
        (WastRetCore::RefExtern(None), Val::ExternRef(Some(_))) => true,
        (WastRetCore::RefExtern(Some(e)), Val::ExternRef(Some(f))) => {
            f.data().downcast_ref::<u32>() == Some(e)
        }
        (WastRetCore::RefFunc(None), Val::FuncRef(Some(_))) => true,
        (WastRetCore::Either(all), found) => all.iter().any(|e| core_matches(e, found)),
        _ => false,
    }
}

fn f32_matches(expected: &NanPattern<wast::token::F32>, found: u32) -> bool {
    match expected {
        NanPattern::CanonicalNan => found & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => found & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(v) => v.bits == found,
    }
}

fn f64_matches(expected: &NanPattern<wast::token::F64>, found: u64) -> bool {
    match expected {
        NanPattern::CanonicalNan => found & 0x7fff_ffff_ffff_ffff == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => found & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(v) => v.bits == found,
    }
}

fn v128_matches(expected: &V128Pattern, found: u128) -> bool {
    let bytes = found.to_le_bytes();
    let lane = |size: usize, i: usize| {
        let mut lane = [0; 8];
        lane[..size].copy_from_slice(&bytes[i * size..(i + 1) * size]);
        u64::from_le_bytes(lane)
    };
    match expected {
        V128Pattern::I8x16(e) => {
            e.iter().enumerate().all(|(i, e)| lane(1, i) == u64::from(*e as u8))
        }
        V128Pattern::I16x8(e) => {
            e.iter().enumerate().all(|(i, e)| lane(2, i) == u64::from(*e as u16))
        }
        V128Pattern::I32x4(e) => {
            e.iter().enumerate().all(|(i, e)| lane(4, i) == u64::from(*e as u32))
        }
        V128Pattern::I64x2(e) => e.iter().enumerate().all(|(i, e)| lane(8, i) == *e as u64),
        V128Pattern::F32x4(e) => {
            e.iter().enumerate().all(|(i, e)| f32_matches(e, lane(4, i) as u32))
        }
        V128Pattern::F64x2(e) => e.iter().enumerate().all(|(i, e)| f64_matches(e, lane(8, i))),
    }
}
