//! Values, and the Rust types for them in signatures.

use crate::error::BoxedError;
use crate::raw::store::StoreInner;
use crate::{Error, Exception, Func, Result, gc::AnyRef};
use std::any::Any;
use std::fmt;
use std::sync::Arc;
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

/// A value of the embedder's that guests can hold but not look into. Cheap to clone.
///
/// A guest may also convert a reference to one of its objects to an `externref`: then the value is an [`AnyRef`].
#[derive(Clone)]
pub struct ExternRef(Arc<dyn Any + Send + Sync>);

impl ExternRef {
    /// A reference to `value`.
    pub fn new(value: impl Any + Send + Sync) -> ExternRef {
        ExternRef(Arc::new(value))
    }

    /// The value.
    pub fn data(&self) -> &(dyn Any + Send + Sync) {
        &*self.0
    }

    /// Whether both refer to the same value.
    pub fn same(a: &ExternRef, b: &ExternRef) -> bool {
        match (a.0.downcast_ref::<AnyRef>(), b.0.downcast_ref::<AnyRef>()) {
            (Some(a), Some(b)) => AnyRef::ref_eq(a, b),
            _ => Arc::ptr_eq(&a.0, &b.0),
        }
    }
}

impl fmt::Debug for ExternRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExternRef({:p})", self.0)
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

/// A Rust type for a WebAssembly value type in typed functions: `i32`, `u32`, `i64`, `u64`, `f32`, `f64`,
/// `u128` (for `v128`), `Option<Func>`, `Option<ExternRef>`, `Option<Exception>`; and of garbage collection
/// [`AnyRef`], [`crate::gc::EqRef`], [`crate::gc::StructRef`], [`crate::gc::ArrayRef`], [`crate::gc::I31`], and `Option` of
/// these.
///
/// Sealed: nobody else can implement it.
pub trait WasmTy: sealed::Ty {}

pub(crate) mod sealed {
    use super::{Result, StoreInner, ValType};

    pub trait Ty: Sized + Send {
        const TYPE: ValType;
        fn to_slots(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()>;
        /// The slots hold a value of this type, from a guest of this store.
        fn from_slots(store: &StoreInner, slots: &[u64]) -> Self;
    }

    pub trait List: Sized {
        const SLOTS: usize;
        /// Whether handles to values of the embedder's or to exceptions are among them.
        const HAS_EXTERNS: bool;
        fn types() -> Vec<ValType>;
        fn write_list(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()>;
        fn read_list(store: &StoreInner, slots: &[u64]) -> Self;
    }
}

macro_rules! number {
    ($($rust:ty, $wasm:ident, $to:expr, $from:expr;)*) => {$(
        impl WasmTy for $rust {}
        impl sealed::Ty for $rust {
            const TYPE: ValType = ValType::$wasm;
            #[inline]
            fn to_slots(self, _: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
                slots[0] = ($to)(self);
                Ok(())
            }
            #[inline]
            fn from_slots(_: &StoreInner, slots: &[u64]) -> Self {
                ($from)(slots[0])
            }
        }
    )*};
}

number! {
    i32, I32, |v| u64::from(v as u32), |s| s as i32;
    u32, I32, u64::from, |s| s as u32;
    i64, I64, |v| v as u64, |s| s as i64;
    u64, I64, |v| v, |s| s;
    f32, F32, |v: f32| u64::from(v.to_bits()), |s| f32::from_bits(s as u32);
    f64, F64, f64::to_bits, f64::from_bits;
}

impl WasmTy for u128 {}
impl sealed::Ty for u128 {
    const TYPE: ValType = ValType::V128;
    #[inline]
    fn to_slots(self, _: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        slots[0] = self as u64;
        slots[1] = (self >> 64) as u64;
        Ok(())
    }
    #[inline]
    fn from_slots(_: &StoreInner, slots: &[u64]) -> Self {
        u128::from(slots[0]) | u128::from(slots[1]) << 64
    }
}

impl WasmTy for Option<Func> {}
impl sealed::Ty for Option<Func> {
    const TYPE: ValType = ValType::FUNCREF;
    fn to_slots(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        slots[0] = store.func_to_reference(self.as_ref())?;
        Ok(())
    }
    fn from_slots(store: &StoreInner, slots: &[u64]) -> Self {
        crate::raw::host::func_in_slot(store, slots)
    }
}

impl WasmTy for Option<ExternRef> {}
impl sealed::Ty for Option<ExternRef> {
    const TYPE: ValType = ValType::EXTERNREF;
    fn to_slots(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        slots[0] = store.extern_to_handle(self.as_ref())?;
        Ok(())
    }
    fn from_slots(store: &StoreInner, slots: &[u64]) -> Self {
        store.extern_of_word(slots[0])
    }
}

impl WasmTy for Option<Exception> {}
impl sealed::Ty for Option<Exception> {
    const TYPE: ValType = ValType::EXNREF;
    fn to_slots(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        slots[0] = self.map_or(Ok(0), |exception| store.exception_to_handle(&exception))?;
        Ok(())
    }
    fn from_slots(store: &StoreInner, slots: &[u64]) -> Self {
        store.exception_of(slots[0])
    }
}

/// Parameters of a typed function: a [`WasmTy`], or a tuple of up to 16 of them.
pub trait WasmParams: sealed::List + Send {}
/// Results of a typed function: nothing, a [`WasmTy`], or a tuple of up to 16 of them.
pub trait WasmResults: sealed::List + Send {}
/// Parameters of a host function.
pub trait HostParams: WasmParams {}
impl<P: WasmParams> HostParams for P {}

/// Whether guests hold values of a type as handles, which are collected.
const fn is_handle(ty: ValType) -> bool {
    matches!(ty, ValType::Ref(r) if r.is_extern() || r.is_exn())
}

impl<V: WasmTy> WasmParams for V {}
impl<V: WasmTy> WasmResults for V {}
impl<V: WasmTy> sealed::List for V {
    const SLOTS: usize = V::TYPE.slots();
    const HAS_EXTERNS: bool = is_handle(V::TYPE);
    fn types() -> Vec<ValType> {
        vec![V::TYPE]
    }
    #[inline]
    fn write_list(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        self.to_slots(store, slots)
    }
    #[inline]
    fn read_list(store: &StoreInner, slots: &[u64]) -> Self {
        V::from_slots(store, slots)
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {$(
        impl<$($name: WasmTy),*> WasmParams for ($($name,)*) {}
        impl<$($name: WasmTy),*> WasmResults for ($($name,)*) {}
        #[allow(
            non_snake_case,
            unused_variables,
            unused_mut,
            unused_assignments,
            clippy::unused_unit,
            reason = "for the empty tuple"
        )]
        impl<$($name: WasmTy),*> sealed::List for ($($name,)*) {
            const SLOTS: usize = 0 $(+ $name::TYPE.slots())*;
            const HAS_EXTERNS: bool = false $(|| is_handle($name::TYPE))*;
            fn types() -> Vec<ValType> {
                vec![$($name::TYPE),*]
            }
            #[inline]
            fn write_list(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
                let ($($name,)*) = self;
                let mut at = 0;
                $(
                    $name.to_slots(store, &mut slots[at..])?;
                    at += $name::TYPE.slots();
                )*
                Ok(())
            }
            #[inline]
            fn read_list(store: &StoreInner, slots: &[u64]) -> Self {
                let mut at = 0;
                $(
                    let $name = $name::from_slots(store, &slots[at..]);
                    at += $name::TYPE.slots();
                )*
                ($($name,)*)
            }
        }
    )*};
}

tuples! {
    ()
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
    (A B C D E F G)
    (A B C D E F G H)
    (A B C D E F G H I)
    (A B C D E F G H I J)
    (A B C D E F G H I J K)
    (A B C D E F G H I J K L)
    (A B C D E F G H I J K L M)
    (A B C D E F G H I J K L M N)
    (A B C D E F G H I J K L M N O)
    (A B C D E F G H I J K L M N O P)
}

/// What a host function may return: results, or a `Result` of them with any error that can be boxed, so that `?` works
/// in it: [`Error`], [`std::io::Error`], `anyhow::Error`, `Box<dyn Error + Send + Sync>`, a `String`. What it becomes
/// says [`Error::host`].
///
/// ```
/// use wardian::{Caller, Engine, Linker};
/// let mut linker: Linker<String> = Linker::new(&Engine::default());
/// linker.func_wrap("host", "size", |caller: Caller<'_, String>| -> Result<i64, std::io::Error> {
///     Ok(std::fs::metadata(caller.data())?.len() as i64)
/// })?;
/// # Ok::<(), wardian::Error>(())
/// ```
pub trait HostResults {
    #[doc(hidden)]
    type Values: WasmResults;
    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Values>;
}

impl<V: WasmResults> HostResults for V {
    type Values = V;
    #[inline]
    fn into_result(self) -> Result<V> {
        Ok(self)
    }
}

impl<V: WasmResults, E: Into<BoxedError>> HostResults for Result<V, E> {
    type Values = V;
    #[inline]
    fn into_result(self) -> Result<V> {
        self.map_err(Error::host)
    }
}
