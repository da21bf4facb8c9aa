//! Global variables.

use crate::error::UsageKind;
use crate::handles::Global;
use crate::raw::store::StoreInner;
use crate::store::{check_store, same_store};
use crate::value::Val;
use crate::{AsContext, AsContextMut, Error, Result};
use wardian_types::GlobalType;

impl Global {
    /// A global of the host's.
    ///
    /// # Errors
    ///
    /// The value is not of the type, or a function of another store.
    pub fn new(mut store: impl AsContextMut, ty: GlobalType, value: Val) -> Result<Global> {
        let store = store.as_context_mut();
        let inner = &mut store.0.inner;
        check_value(inner, &ty, &value)?;
        let at = inner.add_global(&ty, &value)?;
        Ok(Global { store: inner.id(), at, ty })
    }

    /// Its type.
    pub fn ty(&self) -> GlobalType {
        self.ty
    }

    /// Its value.
    ///
    /// # Panics
    ///
    /// It belongs to another store.
    pub fn get(&self, store: impl AsContext) -> Val {
        let store = store.as_context();
        same_store(&store.0.inner, self.store);
        store.0.inner.global_get(self)
    }

    /// Sets its value.
    ///
    /// # Errors
    ///
    /// It is immutable, or the value is not of its type.
    pub fn set(&self, mut store: impl AsContextMut, value: Val) -> Result<()> {
        let store = store.as_context_mut();
        check_store(&store.0.inner, self.store)?;
        if !self.ty.mutable {
            return Err(Error::usage(UsageKind::Type, "the global is immutable"));
        }
        check_value(&store.0.inner, &self.ty, &value)?;
        store.0.inner.global_set(self, &value)
    }
}

pub(crate) fn check_value(store: &StoreInner, ty: &GlobalType, value: &Val) -> Result<()> {
    store
        .check_value(value, ty.content)
        .map_err(|found| Error::usage(UsageKind::Type, format!("a {found} is no value of a {ty}")))
}
