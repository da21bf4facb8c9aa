//! Values of garbage collection: structs, arrays, integers of 31 bits.

mod array;
mod stats;
mod structure;

use crate::error::UsageKind;
pub use crate::handles::AnyRef;

use crate::handles::ExternRef;
use crate::wasm_ty::{WasmTy, sealed};
use crate::{AsContext, AsContextMut, Error, Result};
pub use array::{ArrayRef, ArrayRefPre};
pub use stats::GcStats;
pub use structure::{StructRef, StructRefPre};
use wardian_runtime::gc::objects::Referent;
use wardian_runtime::store::typed;
use wardian_types::{HeapType, TypeIndex, TypeNumber};

/// A value that guests can compare with `ref.eq`: a struct, an array or an integer of 31 bits (`eqref` without
/// null).
#[derive(Clone, Debug)]
pub struct EqRef(AnyRef);

/// An integer of 31 bits, as guests hold it in place of a reference (`i31`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct I31(u32);

impl I31 {
    /// The number, if it has 31 bits.
    pub fn new_u32(value: u32) -> Option<I31> {
        (value >> 31 == 0).then_some(I31(value))
    }

    /// The number, if it has 31 bits with its sign.
    pub fn new_i32(value: i32) -> Option<I31> {
        (value << 1 >> 1 == value).then_some(I31::wrapping_i32(value))
    }

    /// The number without its highest bit.
    pub fn wrapping_u32(value: u32) -> I31 {
        I31(value << 1 >> 1)
    }

    /// The same of a signed number.
    pub fn wrapping_i32(value: i32) -> I31 {
        I31::wrapping_u32(value as u32)
    }

    /// The number without a sign, as `i31.get_u` gives it.
    pub fn get_u32(self) -> u32 {
        self.0
    }

    /// The number with its sign, as `i31.get_s` gives it.
    pub fn get_i32(self) -> i32 {
        (self.0 << 1) as i32 >> 1
    }
}

impl AnyRef {
    /// An integer of 31 bits.
    pub fn from_i31(store: impl AsContext, value: I31) -> AnyRef {
        let store = store.as_context();
        AnyRef(store.0.inner.hold_i31(value.0))
    }

    /// Makes a value of the embedder's one that guests hold as `anyref`, as `any.convert_extern` does.
    ///
    /// # Errors
    ///
    /// There is no memory for the object that holds it.
    pub fn convert_extern(mut store: impl AsContextMut, value: &ExternRef) -> Result<AnyRef> {
        Ok(AnyRef(store.as_context_mut().0.make_box(&value.clone().into())?))
    }

    /// The value as guests hold it in an `externref`, as `extern.convert_any` makes it: of a value of the embedder's
    /// itself, of others one whose data is this reference.
    ///
    /// # Errors
    ///
    /// It is of another store.
    pub fn convert_any(&self, store: impl AsContext) -> Result<ExternRef> {
        let unboxed = store.as_context().0.inner.unboxed(&self.0)?;
        Ok(unboxed.map_or_else(|| ExternRef::new(self.clone()), ExternRef::from))
    }

    /// The integer, if it is one.
    pub fn as_i31(&self) -> Option<I31> {
        self.0.root.word()?.integer().map(I31)
    }

    /// The value, if it can be compared.
    ///
    /// # Errors
    ///
    /// It is of another store, or gone: a snapshot that is older than the object was restored.
    pub fn as_eq(&self, store: impl AsContext) -> Result<Option<EqRef>> {
        let referent = store.as_context().0.inner.referent(&self.0)?;
        Ok((referent != Referent::Extern).then(|| EqRef(self.clone())))
    }

    /// The struct, if it is one.
    ///
    /// # Errors
    ///
    /// As for [`AnyRef::as_eq`].
    pub fn as_struct(&self, store: impl AsContext) -> Result<Option<StructRef>> {
        let referent = store.as_context().0.inner.referent(&self.0)?;
        let is_struct = matches!(referent, Referent::Struct { .. });
        Ok(is_struct.then(|| StructRef(self.clone())))
    }

    /// The array, if it is one.
    ///
    /// # Errors
    ///
    /// As for [`AnyRef::as_eq`].
    pub fn as_array(&self, store: impl AsContext) -> Result<Option<ArrayRef>> {
        let referent = store.as_context().0.inner.referent(&self.0)?;
        let is_array = matches!(referent, Referent::Array { .. });
        Ok(is_array.then(|| ArrayRef(self.clone())))
    }

    /// The most precise type of the value.
    ///
    /// # Errors
    ///
    /// As for [`AnyRef::as_eq`].
    pub fn ty(&self, store: impl AsContext) -> Result<HeapType> {
        Ok(store.as_context().0.inner.heap_type_of(&self.0)?)
    }

    /// The reference as a raw slot holds it: see [`crate::Func::new_raw`]. It means this value as long as somebody has
    /// this reference or a clone of it; later it is refused, and never means another one.
    ///
    /// # Errors
    ///
    /// As for [`AnyRef::as_eq`].
    pub fn to_raw(&self, store: impl AsContext) -> Result<u64> {
        store.as_context().0.inner.reference_of(&self.0)?;
        Ok(self.0.root.slot())
    }

    /// The value that a raw slot holds, of a parameter that refers to objects or of [`AnyRef::to_raw`]. None of null,
    /// and of what means nothing in this store now.
    ///
    /// ```
    /// use wardian::{Caller, Engine, ExternType, Func, Instance, Module, Store, gc::AnyRef};
    ///
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module
    ///     (type $point (struct (field i32)))
    ///     (import "h" "read" (func $read (param (ref $point)) (result i32)))
    ///     (func (export "run") (result i32) (call $read (struct.new $point (i32.const 7)))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let Some((_, _, ExternType::Func(ty))) = module.imports().next() else { panic!() };
    /// let read = Func::new_raw(&mut store, ty, |caller: Caller<'_, ()>, slots| {
    ///     let object = AnyRef::from_raw(&caller, slots[0]).expect("no null comes here");
    ///     let point = object.as_struct(&caller)?.expect("the type says so");
    ///     slots[0] = point.field(&caller, 0)?.i32().unwrap_or_default() as u64;
    ///     Ok(())
    /// });
    /// let instance = Instance::new(&mut store, &module, &[read.into()])?;
    /// assert_eq!(instance.typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())?, 7);
    /// # Ok::<(), wardian::Error>(())
    /// ```
    pub fn from_raw(store: impl AsContext, slot: u64) -> Option<AnyRef> {
        store.as_context().0.inner.of_slot(slot).map(AnyRef)
    }

    /// Whether both are the same integer, or refer to the same object.
    pub fn ref_eq(a: &AnyRef, b: &AnyRef) -> bool {
        let (word, other) = (a.0.root.word(), b.0.root.word());
        let is_integer = word.is_some_and(|word| word.is_integer());
        word.is_some() && word == other && (is_integer || a.0.store == b.0.store)
    }
}

impl EqRef {
    /// The same value as a reference to anything.
    pub fn to_anyref(&self) -> AnyRef {
        self.0.clone()
    }
}

impl From<EqRef> for AnyRef {
    fn from(value: EqRef) -> AnyRef {
        value.0
    }
}

impl From<StructRef> for AnyRef {
    fn from(value: StructRef) -> AnyRef {
        value.0
    }
}

impl From<ArrayRef> for AnyRef {
    fn from(value: ArrayRef) -> AnyRef {
        value.0
    }
}

impl From<StructRef> for EqRef {
    fn from(value: StructRef) -> EqRef {
        EqRef(value.0)
    }
}

impl From<ArrayRef> for EqRef {
    fn from(value: ArrayRef) -> EqRef {
        EqRef(value.0)
    }
}

/// Implements [`WasmTy`] for a reference and for one that may be null.
macro_rules! reference {
    ($($rust:ty, $heap:ident, |$value:ident| $any:expr, |$held:ident| $from:expr;)*) => {$(
        impl WasmTy for $rust {}
        impl sealed::Ty for $rust {
            type Raw = typed::Ref<typed::$heap>;
            fn into_raw(self) -> Self::Raw {
                let $value = self;
                typed::Ref::new($any.0)
            }
            fn from_raw(raw: Self::Raw) -> Self {
                let $held = AnyRef(raw.0);
                $from
            }
        }
        impl WasmTy for Option<$rust> {}
        impl sealed::Ty for Option<$rust> {
            type Raw = Option<typed::Ref<typed::$heap>>;
            fn into_raw(self) -> Self::Raw {
                self.map(sealed::Ty::into_raw)
            }
            fn from_raw(raw: Self::Raw) -> Self {
                raw.map(sealed::Ty::from_raw)
            }
        }
    )*};
}

reference! {
    AnyRef, Any, |value| value, |held| held;
    EqRef, Eq, |value| value.0, |held| EqRef(held);
    StructRef, Struct, |value| value.0, |held| StructRef(held);
    ArrayRef, Array, |value| value.0, |held| ArrayRef(held);
}

impl WasmTy for I31 {}

impl sealed::Ty for I31 {
    type Raw = typed::I31;
    fn into_raw(self) -> Self::Raw {
        typed::I31(self.0)
    }
    fn from_raw(raw: Self::Raw) -> Self {
        I31(raw.0)
    }
}

impl WasmTy for Option<I31> {}

impl sealed::Ty for Option<I31> {
    type Raw = Option<typed::I31>;
    fn into_raw(self) -> Self::Raw {
        self.map(sealed::Ty::into_raw)
    }
    fn from_raw(raw: Self::Raw) -> Self {
        raw.map(sealed::Ty::from_raw)
    }
}

/// The type with this index of a module, as one of a store's.
fn of_module(
    store: &mut impl AsContextMut,
    module: &crate::Module,
    index: u32,
    is_right: impl Fn(&wardian_types::SubType) -> bool,
    what: &str,
) -> Result<(u64, TypeNumber)> {
    let store = store.as_context_mut();
    let found = module.0.decoded.info().types.get(TypeIndex::from_u32(index));
    if !found.is_some_and(is_right) {
        let found = found.map_or("there is none".to_owned(), ToString::to_string);
        return Err(Error::usage(
            UsageKind::Type,
            format!("type {index} of the module is no {what}: {found}"),
        ));
    }
    if !crate::Engine::same(store.engine(), module.engine()) {
        return Err(Error::usage(
            UsageKind::OtherEngine,
            "the module is of another engine than the store",
        ));
    }
    let signature = module.0.signature(TypeIndex::from_u32(index)).clone();
    store.0.inner.keep_signature(signature.clone());
    Ok((store.0.inner.id(), store.0.add_type(&signature)?))
}

/// A type of the embedder's, as one of a store's.
fn of_type(
    store: &mut impl AsContextMut,
    composite: wardian_types::CompositeType,
) -> Result<(u64, TypeNumber)> {
    let store = store.as_context_mut();
    let ty = wardian_types::SubType::plain(composite);
    let group = store.engine().inner().signatures().of_group(&[ty])?;
    let missing = || Error::usage(UsageKind::Type, "the type is none");
    let signature = group.first().ok_or_else(missing)?.clone();
    store.0.inner.keep_signature(signature.clone());
    Ok((store.0.inner.id(), store.0.add_type(&signature)?))
}
