//! Values of test scripts as Wardian's, and the comparison of results.

use wardian::{ExternRef, Func, Instance, Module, Store, Val};
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::{WastArg, WastRet};

/// Functions of a guest's that look at references.
#[derive(Clone, Copy)]
pub(crate) struct Objects {
    internalize: Func,
    externalize: Func,
    kind: Func,
}

impl Objects {
    /// None where the engine has no garbage collection.
    pub(crate) fn new(store: &mut Store<()>) -> Option<Objects> {
        let module = Module::new(store.engine(), GUEST).ok()?;
        let instance = Instance::new(&mut *store, &module, &[]).ok()?;
        let mut func = |name| instance.get_func(&mut *store, name);
        Some(Objects {
            internalize: func("internalize")?,
            externalize: func("externalize")?,
            kind: func("kind")?,
        })
    }

    fn call(func: Func, store: &mut Store<()>, value: Val) -> Result<Val, String> {
        let mut results = [Val::I32(0)];
        func.call(store, &[value], &mut results).map_err(|error| error.to_string())?;
        let [result] = results;
        Ok(result)
    }

    fn internalize(self, store: &mut Store<()>, value: Val) -> Result<Val, String> {
        Objects::call(self.internalize, store, value)
    }

    /// The kinds of a reference that is not null.
    fn matches(self, store: &mut Store<()>, expected: &WastRetCore<'_>, found: &Val) -> bool {
        let kind = Objects::call(self.kind, store, found.clone());
        let kind = kind.ok().and_then(|kind| kind.i32());
        match expected {
            WastRetCore::RefAny => true,
            WastRetCore::RefEq => matches!(kind, Some(1..=3)),
            WastRetCore::RefI31 => kind == Some(1),
            WastRetCore::RefStruct => kind == Some(2),
            WastRetCore::RefArray => kind == Some(3),
            WastRetCore::RefHost(n) => {
                match Objects::call(self.externalize, store, found.clone()) {
                    Ok(Val::ExternRef(Some(value))) => value.data().downcast_ref() == Some(n),
                    _ => false,
                }
            }
            _ => false,
        }
    }
}

const GUEST: &str = r#"(module
  (func (export "internalize") (param externref) (result anyref)
    (any.convert_extern (local.get 0)))
  (func (export "externalize") (param anyref) (result externref)
    (extern.convert_any (local.get 0)))
  (func (export "kind") (param anyref) (result i32)
    (if (ref.test (ref i31) (local.get 0)) (then (return (i32.const 1))))
    (if (ref.test (ref struct) (local.get 0)) (then (return (i32.const 2))))
    (if (ref.test (ref array) (local.get 0)) (then (return (i32.const 3))))
    (i32.const 0)))"#;

/// An argument.
pub(crate) fn argument(
    store: &mut Store<()>,
    objects: Option<Objects>,
    arg: &WastArg<'_>,
) -> Result<Val, String> {
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
        WastArgCore::RefNull(HeapType::Abstract { ty: AbstractHeapType::Extern, .. }) => {
            Val::ExternRef(None)
        }
        WastArgCore::RefNull(HeapType::Abstract { ty: AbstractHeapType::Exn, .. }) => {
            Val::ExnRef(None)
        }
        WastArgCore::RefNull(_) => Val::AnyRef(None),
        WastArgCore::RefHost(n) => {
            let value = Val::ExternRef(Some(ExternRef::new(*n)));
            objects.ok_or("the engine has no garbage collection")?.internalize(store, value)?
        }
        WastArgCore::RefExtern(n) => Val::ExternRef(Some(ExternRef::new(*n))),
    })
}

/// Compares a result with what the script expects.
pub(crate) fn matches(
    store: &mut Store<()>,
    objects: Option<Objects>,
    expected: &WastRet<'_>,
    found: &Val,
) -> bool {
    match (expected, found, objects) {
        (WastRet::Core(expected), Val::AnyRef(Some(_)), Some(objects)) => {
            objects.matches(store, expected, found)
        }
        (WastRet::Core(expected), ..) => core_matches(expected, found),
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
            Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None),
        ) => true,
        (WastRetCore::RefExtern(None), Val::ExternRef(Some(_))) => true,
        (WastRetCore::RefExtern(Some(e)), Val::ExternRef(Some(f))) => {
            f.data().downcast_ref::<u32>() == Some(e)
        }
        // A value of the embedder's that was converted twice.
        (WastRetCore::RefHost(e), Val::ExternRef(Some(f))) => {
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
