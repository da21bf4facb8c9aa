//! Rust types whose values lie in slots: those of typed calls, in both directions.

use crate::Result;
use crate::exception::Exception;
use crate::store::inner::StoreInner;
use crate::value::{AnyRef, ExternRef, Func};
use std::marker::PhantomData;
use wardian_types::{HeapType, RefType, ValType};

mod sealed {
    /// Only types of this file: what they read is what [`super::Ty::TYPE`] says.
    pub trait Sealed {}
}

/// A Rust type that stands for a type of values.
pub trait Ty: Sized + Send + sealed::Sealed + 'static {
    /// The type in signatures.
    const TYPE: ValType;
    /// Writes a value as guests hold it.
    ///
    /// # Errors
    ///
    /// It belongs to another store.
    fn to_slots(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()>;
    /// Reads a value.
    ///
    /// # Safety
    ///
    /// The slots hold a value of [`Self::TYPE`] from a guest of the store.
    unsafe fn from_slots(store: &StoreInner, slots: &[u64]) -> Self;
}

/// Values that lie one after the other.
pub trait List: Sized + Send + sealed::Sealed + 'static {
    /// How many slots they have.
    const SLOTS: usize;
    /// Whether among them are handles, for which there may be a collection.
    const HAS_EXTERNS: bool;
    /// Their types.
    fn types() -> Vec<ValType>;
    /// Writes them as guests hold them.
    ///
    /// # Errors
    ///
    /// One belongs to another store.
    fn write_list(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()>;
    /// Reads them.
    ///
    /// # Safety
    ///
    /// The slots hold values of [`Self::types`] from a guest of the store.
    unsafe fn read_list(store: &StoreInner, slots: &[u64]) -> Self;
}

macro_rules! number {
    ($($rust:ty, $wasm:ident, $to:expr, $from:expr;)*) => {$(
        impl sealed::Sealed for $rust {}
        impl Ty for $rust {
            const TYPE: ValType = ValType::$wasm;
            #[inline]
            fn to_slots(self, _: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
                slots[0] = ($to)(self);
                Ok(())
            }
            #[inline]
            unsafe fn from_slots(_: &StoreInner, slots: &[u64]) -> Self {
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

impl sealed::Sealed for u128 {}
impl Ty for u128 {
    const TYPE: ValType = ValType::V128;
    #[inline]
    fn to_slots(self, _: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        slots[0] = self as u64;
        slots[1] = (self >> 64) as u64;
        Ok(())
    }
    #[inline]
    unsafe fn from_slots(_: &StoreInner, slots: &[u64]) -> Self {
        u128::from(slots[0]) | u128::from(slots[1]) << 64
    }
}

impl sealed::Sealed for Option<Func> {}
impl Ty for Option<Func> {
    const TYPE: ValType = ValType::FUNCREF;
    fn to_slots(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        slots[0] = store.func_to_reference(self.as_ref())?;
        Ok(())
    }
    unsafe fn from_slots(store: &StoreInner, slots: &[u64]) -> Self {
        // SAFETY: the caller's promise.
        unsafe { store.func_from_reference(slots[0]) }
    }
}

impl sealed::Sealed for Option<ExternRef> {}
impl Ty for Option<ExternRef> {
    const TYPE: ValType = ValType::EXTERNREF;
    fn to_slots(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        slots[0] = store.extern_to_handle(self.as_ref())?;
        Ok(())
    }
    unsafe fn from_slots(store: &StoreInner, slots: &[u64]) -> Self {
        store.extern_of_word(slots[0])
    }
}

impl sealed::Sealed for Option<Exception> {}
impl Ty for Option<Exception> {
    const TYPE: ValType = ValType::EXNREF;
    fn to_slots(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        slots[0] = self.map_or(Ok(0), |exception| store.exception_to_handle(&exception))?;
        Ok(())
    }
    unsafe fn from_slots(store: &StoreInner, slots: &[u64]) -> Self {
        store.exception_of(slots[0])
    }
}

/// A type of objects: what a reference to one is declared as.
pub trait Heap: Send + sealed::Sealed + 'static {
    /// The type.
    const TYPE: HeapType;
}

/// A reference to an object of such a type.
pub struct Ref<H>(pub AnyRef, PhantomData<H>);

impl<H> Ref<H> {
    /// The reference.
    pub fn new(any: AnyRef) -> Ref<H> {
        Ref(any, PhantomData)
    }
}

macro_rules! heaps {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl sealed::Sealed for $name {}
        impl Heap for $name {
            const TYPE: HeapType = HeapType::$name;
        }
    )*};
}

heaps! {
    /// `any`
    Any;
    /// `eq`
    Eq;
    /// `struct`
    Struct;
    /// `array`
    Array;
}

impl<H: Heap> sealed::Sealed for Ref<H> {}
impl<H: Heap> Ty for Ref<H> {
    const TYPE: ValType = ValType::Ref(RefType { nullable: false, heap: H::TYPE });
    fn to_slots(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        slots[0] = store.reference_of(&self.0)?.as_word();
        Ok(())
    }
    unsafe fn from_slots(store: &StoreInner, slots: &[u64]) -> Self {
        Ref::new(store.hold(slots[0]).expect("a reference that is not null"))
    }
}

impl<H: Heap> sealed::Sealed for Option<Ref<H>> {}
impl<H: Heap> Ty for Option<Ref<H>> {
    const TYPE: ValType = ValType::Ref(RefType { nullable: true, heap: H::TYPE });
    fn to_slots(self, store: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        slots[0] = match &self {
            Some(any) => store.reference_of(&any.0)?.as_word(),
            None => 0,
        };
        Ok(())
    }
    unsafe fn from_slots(store: &StoreInner, slots: &[u64]) -> Self {
        store.hold(slots[0]).map(Ref::new)
    }
}

/// An integer of 31 bits.
#[derive(Clone, Copy)]
pub struct I31(pub u32);

impl sealed::Sealed for I31 {}
impl Ty for I31 {
    const TYPE: ValType = ValType::Ref(RefType { nullable: false, heap: HeapType::I31 });
    fn to_slots(self, _: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        slots[0] = u64::from(self.0) << 1 | 1;
        Ok(())
    }
    unsafe fn from_slots(_: &StoreInner, slots: &[u64]) -> Self {
        I31(slots[0] as u32 >> 1)
    }
}

impl sealed::Sealed for Option<I31> {}
impl Ty for Option<I31> {
    const TYPE: ValType = ValType::Ref(RefType { nullable: true, heap: HeapType::I31 });
    fn to_slots(self, _: &mut StoreInner, slots: &mut [u64]) -> Result<()> {
        slots[0] = self.map_or(0, |value| u64::from(value.0) << 1 | 1);
        Ok(())
    }
    unsafe fn from_slots(_: &StoreInner, slots: &[u64]) -> Self {
        (slots[0] != 0).then_some(I31(slots[0] as u32 >> 1))
    }
}

/// Whether guests hold values of a type as handles, which are collected.
const fn is_handle(ty: ValType) -> bool {
    matches!(ty, ValType::Ref(r) if r.is_extern() || r.is_exn())
}

impl<V: Ty> List for V {
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
    unsafe fn read_list(store: &StoreInner, slots: &[u64]) -> Self {
        // SAFETY: the caller's promise.
        unsafe { V::from_slots(store, slots) }
    }
}

/// Calls a macro with the names of the types of each list that there can be. None is called `F`, which is free for a
/// function.
#[doc(hidden)]
#[macro_export]
macro_rules! lists {
    ($of:ident) => {
        $of! {
            ()
            (A)
            (A B)
            (A B C)
            (A B C D)
            (A B C D E)
            (A B C D E G)
            (A B C D E G H)
            (A B C D E G H I)
            (A B C D E G H I J)
            (A B C D E G H I J K)
            (A B C D E G H I J K L)
            (A B C D E G H I J K L M)
            (A B C D E G H I J K L M N)
            (A B C D E G H I J K L M N O)
            (A B C D E G H I J K L M N O P)
            (A B C D E G H I J K L M N O P Q)
        }
    };
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {$(
        impl<$($name: Ty),*> sealed::Sealed for ($($name,)*) {}
        #[allow(
            non_snake_case,
            unused_variables,
            unused_mut,
            unused_assignments,
            clippy::unused_unit,
            reason = "for the empty tuple"
        )]
        impl<$($name: Ty),*> List for ($($name,)*) {
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
            unsafe fn read_list(store: &StoreInner, slots: &[u64]) -> Self {
                let mut at = 0;
                $(
                    // SAFETY: the caller's promise: each lies behind those before it.
                    let $name = unsafe { $name::from_slots(store, &slots[at..]) };
                    at += $name::TYPE.slots();
                )*
                ($($name,)*)
            }
        }
    )*};
}

crate::lists!(tuples);
