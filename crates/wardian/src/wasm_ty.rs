//! The Rust types that stand for values in signatures.

use crate::error::{BoxedError, Error, Result};
use crate::exception::Exception;
use crate::handles::{ExternRef, Func};
use wardian_runtime::store::typed;
use wardian_runtime::value;

/// A Rust type for a WebAssembly value type in typed functions: `i32`, `u32`, `i64`, `u64`, `f32`, `f64`,
/// `u128` (for `v128`), `Option<Func>`, `Option<ExternRef>`, `Option<Exception>`; and of garbage collection
/// [`crate::gc::AnyRef`], [`crate::gc::EqRef`], [`crate::gc::StructRef`], [`crate::gc::ArrayRef`], [`crate::gc::I31`], and `Option` of
/// these.
///
/// Sealed: nobody else can implement it.
pub trait WasmTy: sealed::Ty {}

pub(crate) mod sealed {
    use wardian_runtime::store::typed;

    pub trait Ty: Sized + Send {
        /// The same as the runtime knows it.
        type Raw: typed::Ty;
        fn into_raw(self) -> Self::Raw;
        fn from_raw(raw: Self::Raw) -> Self;
    }

    pub trait List: Sized {
        /// The same as the runtime knows it.
        type Raw: typed::List;
        fn into_raw(self) -> Self::Raw;
        fn from_raw(raw: Self::Raw) -> Self;
    }
}

macro_rules! number {
    ($($rust:ty)*) => {$(
        impl WasmTy for $rust {}
        impl sealed::Ty for $rust {
            type Raw = $rust;
            #[inline]
            fn into_raw(self) -> $rust {
                self
            }
            #[inline]
            fn from_raw(raw: $rust) -> $rust {
                raw
            }
        }
    )*};
}

number! { i32 u32 i64 u64 f32 f64 u128 }

impl WasmTy for Option<Func> {}
impl sealed::Ty for Option<Func> {
    type Raw = Option<value::Func>;
    fn into_raw(self) -> Self::Raw {
        self.map(Into::into)
    }
    fn from_raw(raw: Self::Raw) -> Self {
        raw.map(Into::into)
    }
}

impl WasmTy for Option<ExternRef> {}
impl sealed::Ty for Option<ExternRef> {
    type Raw = Option<value::ExternRef>;
    fn into_raw(self) -> Self::Raw {
        self.map(Into::into)
    }
    fn from_raw(raw: Self::Raw) -> Self {
        raw.map(Into::into)
    }
}

impl WasmTy for Option<Exception> {}
impl sealed::Ty for Option<Exception> {
    type Raw = Option<wardian_runtime::exception::Exception>;
    fn into_raw(self) -> Self::Raw {
        self.map(Into::into)
    }
    fn from_raw(raw: Self::Raw) -> Self {
        raw.map(|exception| Exception::of(&exception).clone())
    }
}

/// The types of a list.
pub(crate) fn types<L: sealed::List>() -> Vec<wardian_types::ValType> {
    <L::Raw as typed::List>::types()
}

/// Parameters of a typed function: a [`WasmTy`], or a tuple of up to 16 of them.
pub trait WasmParams: sealed::List + Send {}

/// Results of a typed function: nothing, a [`WasmTy`], or a tuple of up to 16 of them.
pub trait WasmResults: sealed::List + Send {}

/// Parameters of a host function.
pub trait HostParams: WasmParams {}

impl<P: WasmParams> HostParams for P {}

impl<V: WasmTy> WasmParams for V {}

impl<V: WasmTy> WasmResults for V {}

impl<V: WasmTy> sealed::List for V {
    type Raw = V::Raw;
    #[inline]
    fn into_raw(self) -> V::Raw {
        sealed::Ty::into_raw(self)
    }
    #[inline]
    fn from_raw(raw: V::Raw) -> V {
        sealed::Ty::from_raw(raw)
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {$(
        impl<$($name: WasmTy),*> WasmParams for ($($name,)*) {}
        impl<$($name: WasmTy),*> WasmResults for ($($name,)*) {}
        #[allow(non_snake_case, clippy::unused_unit, reason = "for the empty tuple")]
        impl<$($name: WasmTy),*> sealed::List for ($($name,)*) {
            type Raw = ($($name::Raw,)*);
            #[inline]
            fn into_raw(self) -> Self::Raw {
                let ($($name,)*) = self;
                ($(sealed::Ty::into_raw($name),)*)
            }
            #[inline]
            fn from_raw(raw: Self::Raw) -> Self {
                let ($($name,)*) = raw;
                ($(sealed::Ty::from_raw($name),)*)
            }
        }
    )*};
}

wardian_runtime::lists!(tuples);

/// What a host function may return: results, or a `Result` of them with any error that can be boxed, so that `?` works
/// in it: [`Error`], [`std::io::Error`], `anyhow::Error`, `Box<dyn Error + Send + Sync>`, a `String`. [`Error::host`] says
/// what such an error becomes.
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
