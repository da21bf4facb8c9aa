//! Structs.

use super::{EqRef, of_module, of_type};
use crate::handles::AnyRef;
use crate::store::check_store;
use crate::value::Val;
use crate::{AsContext, AsContextMut, Module, Result};
use wardian_types::{CompositeType, FieldIndex, StructType, TypeNumber};

/// A struct that a guest or the embedder has allocated. See [`AnyRef`].
#[derive(Clone, Debug)]
pub struct StructRef(pub(super) AnyRef);

/// A type of structs, ready to allocate in a store.
#[derive(Clone, Debug)]
pub struct StructRefPre {
    store: u64,
    number: TypeNumber,
}

impl StructRefPre {
    /// Structs of a type that has no supertype. Guests see them as what their module declares with the same fields as a
    /// final type on its own.
    ///
    /// # Errors
    ///
    /// The type names one that the engine does not have, or there is no memory for a heap.
    pub fn new(mut store: impl AsContextMut, ty: StructType) -> Result<StructRefPre> {
        let (store, number) = of_type(&mut store, CompositeType::Struct(ty))?;
        Ok(StructRefPre { store, number })
    }

    /// Structs of the type that a module declares with this index.
    ///
    /// # Errors
    ///
    /// It declares no struct there, it is of another engine, or there is no memory for a heap.
    pub fn of_module(
        mut store: impl AsContextMut,
        module: &Module,
        index: u32,
    ) -> Result<StructRefPre> {
        let is_struct = |ty: &wardian_types::SubType| ty.structure().is_some();
        let (store, number) = of_module(&mut store, module, index, is_struct, "struct")?;
        Ok(StructRefPre { store, number })
    }
}

impl StructRef {
    /// A struct with these fields.
    ///
    /// # Errors
    ///
    /// The values are not those of the type's fields, or of another store; or there is no memory.
    pub fn new(
        mut store: impl AsContextMut,
        ty: &StructRefPre,
        fields: &[Val],
    ) -> Result<StructRef> {
        let store = store.as_context_mut();
        check_store(&store.0.inner, ty.store)?;
        let fields: Vec<_> = fields.iter().cloned().map(Into::into).collect();
        Ok(StructRef(AnyRef(store.0.make_struct(ty.number, Some(&fields))?)))
    }

    /// A struct whose fields are zero or null.
    ///
    /// # Errors
    ///
    /// A field's type excludes null, or there is no memory.
    pub fn new_default(mut store: impl AsContextMut, ty: &StructRefPre) -> Result<StructRef> {
        let store = store.as_context_mut();
        check_store(&store.0.inner, ty.store)?;
        Ok(StructRef(AnyRef(store.0.make_struct(ty.number, None)?)))
    }

    /// Its type, without supertypes.
    ///
    /// # Errors
    ///
    /// It is of another store, or gone: a snapshot that is older than the object was restored.
    pub fn ty(&self, store: impl AsContext) -> Result<StructType> {
        let store = store.as_context();
        let inner = &store.0.inner;
        let ty = inner.object_type(inner.reference_of(&self.0.0)?);
        let fields = ty.map(|ty| ty.fields().to_vec()).unwrap_or_default();
        Ok(StructType::new(fields))
    }

    /// A field. Those of fewer than 32 bits are extended with zeroes.
    ///
    /// # Errors
    ///
    /// There is no such field, or as for [`StructRef::ty`].
    pub fn field(&self, store: impl AsContext, index: usize) -> Result<Val> {
        let index = FieldIndex::saturating_from_usize(index);
        Ok(store.as_context().0.inner.get_field(&self.0.0, index)?.into())
    }

    /// All fields, as [`StructRef::field`] gives them.
    ///
    /// # Errors
    ///
    /// As for [`StructRef::ty`].
    pub fn fields(&self, store: impl AsContext) -> Result<Vec<Val>> {
        let store = store.as_context();
        let count = self.ty(store.reborrow())?.fields().len();
        (0..count).map(|index| self.field(store.reborrow(), index)).collect()
    }

    /// Sets a field.
    ///
    /// # Errors
    ///
    /// There is no such field, it cannot be set, or the value is of another type or store; or as for
    /// [`StructRef::ty`].
    pub fn set_field(&self, mut store: impl AsContextMut, index: usize, value: Val) -> Result<()> {
        let index = FieldIndex::saturating_from_usize(index);
        Ok(store.as_context_mut().0.inner.set_field(&self.0.0, index, &value.into())?)
    }

    /// The same struct as a reference to anything.
    pub fn to_anyref(&self) -> AnyRef {
        self.0.clone()
    }

    /// The same struct as a reference to something that can be compared.
    pub fn to_eqref(&self) -> EqRef {
        EqRef(self.0.clone())
    }
}
