//! Tags of exceptions.

use crate::handles::Tag;
use crate::store::same_store;
use crate::{AsContext, AsContextMut, Result};
use wardian_types::TagType;

impl Tag {
    /// A tag of the host's, for modules to import, and for host functions to throw with.
    ///
    /// # Errors
    ///
    /// The engine has no number left for the type, or a reference in it is to a type of another engine.
    pub fn new(mut store: impl AsContextMut, ty: &TagType) -> Result<Tag> {
        let inner = &mut store.as_context_mut().0.inner;
        let index = inner.add_host_tag(&ty.ty)?;
        Ok(Tag { store: inner.id(), index })
    }

    /// Its type.
    ///
    /// # Panics
    ///
    /// It belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> TagType {
        let store = store.as_context();
        same_store(&store.0.inner, self.store);
        TagType { ty: store.0.inner.tag_type(self.index).clone() }
    }
}
