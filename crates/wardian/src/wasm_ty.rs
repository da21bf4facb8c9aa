//! The Rust types that stand for values in signatures.

use crate::error::{BoxedError, Error, Result};
use crate::exception::Exception;
use crate::handles::{ExternRef, Func};
use crate::raw::store::StoreInner;
use wardian_types::ValType;

/// A Rust type for a WebAssembly value type in typed functions: `i32`, `u32`, `i64`, `u64`, `f32`, `f64`,
/// `u128` (for `v128`), `Option<Func>`, `Option<ExternRef>`, `Option<Exception>`; and of garbage collection
/// [`crate::gc::AnyRef`], [`crate::gc::EqRef`], [`crate::gc::StructRef`], [`crate::gc::ArrayRef`], [`crate::gc::I31`], and `Option` of
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
