//! Values.

use crate::exception::Exception;
use crate::handles::{AnyRef, ExternRef, Func};
use wardian_types::ValType;

/// A WebAssembly value. Floats are bits, so that NaNs keep their payload.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Val {
    /// A 32-bit integer.
    I32(i32),
    /// A 64-bit integer.
    I64(i64),
    /// A 32-bit float, as bits.
    F32(u32),
    /// A 64-bit float, as bits.
    F64(u64),
    /// A vector; lane 0 in the lowest bits.
    V128(u128),
    /// A reference to a function, or null.
    FuncRef(Option<Func>),
    /// A reference to a value of the embedder's, or null.
    ExternRef(Option<ExternRef>),
    /// A reference to a value of garbage collection, or null.
    AnyRef(Option<AnyRef>),
    /// A reference to an exception, or null.
    ExnRef(Option<Exception>),
}

/// Values are equal if they are of one type and have the same bits, so that a NaN equals itself and `-0.0` is not `0.0`;
/// references if they refer to the same, as [`ExternRef::same`], [`AnyRef::ref_eq`] and [`Exception::same`] say.
impl PartialEq for Val {
    fn eq(&self, other: &Val) -> bool {
        fn same<R>(a: &Option<R>, b: &Option<R>, same: fn(&R, &R) -> bool) -> bool {
            match (a, b) {
                (Some(a), Some(b)) => same(a, b),
                (a, b) => a.is_none() && b.is_none(),
            }
        }
        match (self, other) {
            (Val::I32(a), Val::I32(b)) => a == b,
            (Val::I64(a), Val::I64(b)) => a == b,
            (Val::F32(a), Val::F32(b)) => a == b,
            (Val::F64(a), Val::F64(b)) => a == b,
            (Val::V128(a), Val::V128(b)) => a == b,
            (Val::FuncRef(a), Val::FuncRef(b)) => a == b,
            (Val::ExternRef(a), Val::ExternRef(b)) => same(a, b, ExternRef::same),
            (Val::AnyRef(a), Val::AnyRef(b)) => same(a, b, AnyRef::ref_eq),
            (Val::ExnRef(a), Val::ExnRef(b)) => same(a, b, Exception::same),
            _ => false,
        }
    }
}

impl Eq for Val {}

#[doc(hidden)]
impl From<wardian_runtime::value::Val> for Val {
    #[inline]
    fn from(value: wardian_runtime::value::Val) -> Val {
        use wardian_runtime::value::Val as Found;
        match value {
            Found::I32(v) => Val::I32(v),
            Found::I64(v) => Val::I64(v),
            Found::F32(v) => Val::F32(v),
            Found::F64(v) => Val::F64(v),
            Found::V128(v) => Val::V128(v),
            Found::FuncRef(v) => Val::FuncRef(v.map(Func::from)),
            Found::ExternRef(v) => Val::ExternRef(v.map(ExternRef::from)),
            Found::AnyRef(v) => Val::AnyRef(v.map(AnyRef)),
            Found::ExnRef(v) => Val::ExnRef(v.map(|exception| Exception::of(&exception).clone())),
        }
    }
}

#[doc(hidden)]
impl From<Val> for wardian_runtime::value::Val {
    #[inline]
    fn from(value: Val) -> wardian_runtime::value::Val {
        use wardian_runtime::value::Val as Made;
        match value {
            Val::I32(v) => Made::I32(v),
            Val::I64(v) => Made::I64(v),
            Val::F32(v) => Made::F32(v),
            Val::F64(v) => Made::F64(v),
            Val::V128(v) => Made::V128(v),
            Val::FuncRef(v) => Made::FuncRef(v.map(Into::into)),
            Val::ExternRef(v) => Made::ExternRef(v.map(Into::into)),
            Val::AnyRef(v) => Made::AnyRef(v.map(|any| any.0)),
            Val::ExnRef(v) => Made::ExnRef(v.map(Into::into)),
        }
    }
}

impl Val {
    /// Its type.
    pub fn ty(&self) -> ValType {
        match self {
            Val::I32(_) => ValType::I32,
            Val::I64(_) => ValType::I64,
            Val::F32(_) => ValType::F32,
            Val::F64(_) => ValType::F64,
            Val::V128(_) => ValType::V128,
            Val::FuncRef(_) => ValType::FUNCREF,
            Val::ExternRef(_) => ValType::EXTERNREF,
            Val::AnyRef(_) => ValType::ANYREF,
            Val::ExnRef(_) => ValType::EXNREF,
        }
    }

    /// The zero or null of a type. For a type that excludes null it is null, which is not a value of the type.
    pub fn zero(ty: ValType) -> Val {
        match ty {
            ValType::I32 => Val::I32(0),
            ValType::I64 => Val::I64(0),
            ValType::F32 => Val::F32(0),
            ValType::F64 => Val::F64(0),
            ValType::V128 => Val::V128(0),
            ValType::Ref(r) if r.is_func() => Val::FuncRef(None),
            ValType::Ref(r) if r.is_any() => Val::AnyRef(None),
            ValType::Ref(r) if r.is_exn() => Val::ExnRef(None),
            ValType::Ref(_) => Val::ExternRef(None),
        }
    }

    /// The integer, if it is an `i32`.
    pub fn i32(&self) -> Option<i32> {
        if let Val::I32(v) = self { Some(*v) } else { None }
    }

    /// The integer, if it is an `i64`.
    pub fn i64(&self) -> Option<i64> {
        if let Val::I64(v) = self { Some(*v) } else { None }
    }

    /// The float, if it is an `f32`.
    pub fn f32(&self) -> Option<f32> {
        if let Val::F32(v) = self { Some(f32::from_bits(*v)) } else { None }
    }

    /// The float, if it is an `f64`.
    pub fn f64(&self) -> Option<f64> {
        if let Val::F64(v) = self { Some(f64::from_bits(*v)) } else { None }
    }
}

impl From<i32> for Val {
    fn from(v: i32) -> Val {
        Val::I32(v)
    }
}

impl From<i64> for Val {
    fn from(v: i64) -> Val {
        Val::I64(v)
    }
}

impl From<f32> for Val {
    fn from(v: f32) -> Val {
        Val::F32(v.to_bits())
    }
}

impl From<f64> for Val {
    fn from(v: f64) -> Val {
        Val::F64(v.to_bits())
    }
}

impl From<u128> for Val {
    fn from(v: u128) -> Val {
        Val::V128(v)
    }
}

impl From<Option<Func>> for Val {
    fn from(v: Option<Func>) -> Val {
        Val::FuncRef(v)
    }
}

impl From<Option<AnyRef>> for Val {
    fn from(v: Option<AnyRef>) -> Val {
        Val::AnyRef(v)
    }
}

impl From<Option<Exception>> for Val {
    fn from(v: Option<Exception>) -> Val {
        Val::ExnRef(v)
    }
}

impl From<Option<ExternRef>> for Val {
    fn from(v: Option<ExternRef>) -> Val {
        Val::ExternRef(v)
    }
}
