//! Global variables.

use crate::error::UsageKind;
use crate::handles::Global;
use crate::store::{check_store, same_store};
use crate::value::Val;
use crate::{AsContext, AsContextMut, Error, Result};
use wardian_runtime::store::inner::StoreInner;
use wardian_runtime::value;
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
        let value = value.into();
        check_value(inner, &ty, &value)?;
        Ok(Global(inner.add_global(&ty, &value)?))
    }

    /// Its type.
    pub fn ty(&self) -> GlobalType {
        self.0.ty()
    }

    /// Its value.
    ///
    /// # Panics
    ///
    /// It belongs to another store.
    pub fn get(&self, store: impl AsContext) -> Val {
        let store = store.as_context();
        same_store(&store.0.inner, self.0.store());
        store.0.inner.global_get(&self.0).into()
    }

    /// Sets its value.
    ///
    /// # Errors
    ///
    /// It is immutable, or the value is not of its type.
    pub fn set(&self, mut store: impl AsContextMut, value: Val) -> Result<()> {
        let store = store.as_context_mut();
        check_store(&store.0.inner, self.0.store())?;
        if !self.0.ty().mutable {
            return Err(Error::usage(UsageKind::Type, "the global is immutable"));
        }
        let value = value.into();
        check_value(&store.0.inner, &self.0.ty(), &value)?;
        Ok(store.0.inner.global_set(&self.0, &value)?)
    }
}

/// Checks that a value is one of a global's type.
pub(crate) fn check_value(store: &StoreInner, ty: &GlobalType, value: &value::Val) -> Result<()> {
    store
        .check_value(value, ty.content)
        .map_err(|found| Error::usage(UsageKind::Type, format!("a {found} is no value of a {ty}")))
}
