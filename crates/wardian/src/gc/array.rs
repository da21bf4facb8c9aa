//! Arrays.

use super::{EqRef, of_module, of_type};
use crate::handles::AnyRef;
use crate::store::check_store;
use crate::value::Val;
use crate::{AsContext, AsContextMut, Module, Result};
use wardian_runtime::gc::Initial;
use wardian_runtime::gc::objects::Referent;
use wardian_types::{ArrayType, CompositeType, FieldIndex, TypeNumber};

/// An array that a guest or the embedder has allocated. See [`AnyRef`].
///
/// ```
/// use wardian::{Engine, Store, Val, gc::{ArrayRef, ArrayRefPre}, types::{ArrayType, FieldType, StorageType}};
/// let mut store = Store::new(&Engine::default(), ());
/// let bytes = ArrayType(FieldType { mutable: true, storage: StorageType::I8 });
/// let ty = ArrayRefPre::new(&mut store, bytes)?;
/// let array = ArrayRef::new(&mut store, &ty, &Val::I32(300), 3)?;
/// assert_eq!(array.len(&store)?, 3);
/// assert_eq!(array.get(&store, 2)?.i32(), Some(44));
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ArrayRef(pub(super) AnyRef);

/// A type of arrays, ready to allocate in a store.
#[derive(Clone, Debug)]
pub struct ArrayRefPre {
    store: u64,
    number: TypeNumber,
}

impl ArrayRefPre {
    /// Arrays of a type that has no supertype. Guests see them as what their module declares with the same elements as
    /// a final type on its own.
    ///
    /// # Errors
    ///
    /// The type names one that the engine does not have, or there is no memory for a heap.
    pub fn new(mut store: impl AsContextMut, ty: ArrayType) -> Result<ArrayRefPre> {
        let (store, number) = of_type(&mut store, CompositeType::Array(ty))?;
        Ok(ArrayRefPre { store, number })
    }

    /// Arrays of the type that a module declares with this index.
    ///
    /// # Errors
    ///
    /// It declares no array there, it is of another engine, or there is no memory for a heap.
    pub fn of_module(
        mut store: impl AsContextMut,
        module: &Module,
        index: u32,
    ) -> Result<ArrayRefPre> {
        let is_array = |ty: &wardian_types::SubType| ty.array().is_some();
        let (store, number) = of_module(&mut store, module, index, is_array, "array")?;
        Ok(ArrayRefPre { store, number })
    }
}

impl ArrayRef {
    /// An array of `len` elements, all of them this value.
    ///
    /// # Errors
    ///
    /// The value is not of the elements' type, or of another store; or there is no memory.
    pub fn new(
        mut store: impl AsContextMut,
        ty: &ArrayRefPre,
        element: &Val,
        len: u32,
    ) -> Result<ArrayRef> {
        let store = store.as_context_mut();
        check_store(&store.0.inner, ty.store)?;
        let element = element.clone().into();
        let made = store.0.make_array(ty.number, Initial::All(len, &element))?;
        Ok(ArrayRef(AnyRef(made)))
    }

    /// An array of `len` elements that are zero or null.
    ///
    /// # Errors
    ///
    /// The elements' type excludes null, or there is no memory.
    pub fn new_default(
        mut store: impl AsContextMut,
        ty: &ArrayRefPre,
        len: u32,
    ) -> Result<ArrayRef> {
        let store = store.as_context_mut();
        check_store(&store.0.inner, ty.store)?;
        Ok(ArrayRef(AnyRef(store.0.make_array(ty.number, Initial::Default(len))?)))
    }

    /// An array of these elements.
    ///
    /// # Errors
    ///
    /// As for [`ArrayRef::new`].
    pub fn new_fixed(
        mut store: impl AsContextMut,
        ty: &ArrayRefPre,
        elements: &[Val],
    ) -> Result<ArrayRef> {
        let store = store.as_context_mut();
        check_store(&store.0.inner, ty.store)?;
        let elements: Vec<_> = elements.iter().cloned().map(Into::into).collect();
        Ok(ArrayRef(AnyRef(store.0.make_array(ty.number, Initial::Each(&elements))?)))
    }

    /// How many elements it has.
    ///
    /// # Errors
    ///
    /// It is of another store, or gone: a snapshot that is older than the object was restored.
    pub fn len(&self, store: impl AsContext) -> Result<u32> {
        match store.as_context().0.inner.referent(&self.0.0)? {
            Referent::Array { length, .. } => Ok(length),
            _ => Ok(0),
        }
    }

    /// An element. Those of fewer than 32 bits are extended with zeroes.
    ///
    /// # Errors
    ///
    /// There is no such element, or as for [`ArrayRef::len`].
    pub fn get(&self, store: impl AsContext, index: u32) -> Result<Val> {
        Ok(store.as_context().0.inner.get_field(&self.0.0, FieldIndex::from_u32(index))?.into())
    }

    /// Sets an element.
    ///
    /// # Errors
    ///
    /// There is no such element, it cannot be set, or the value is of another type or store; or as for
    /// [`ArrayRef::len`].
    pub fn set(&self, mut store: impl AsContextMut, index: u32, value: Val) -> Result<()> {
        let store = store.as_context_mut();
        let index = FieldIndex::from_u32(index);
        Ok(store.0.inner.set_field(&self.0.0, index, &value.into())?)
    }

    /// The same array as a reference to anything.
    pub fn to_anyref(&self) -> AnyRef {
        self.0.clone()
    }

    /// The same array as a reference to something that can be compared.
    pub fn to_eqref(&self) -> EqRef {
        EqRef(self.0.clone())
    }
}
