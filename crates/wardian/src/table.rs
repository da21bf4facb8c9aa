//! Tables.

use crate::error::{LimitKind, UsageKind};
use crate::handles::Table;
use crate::store::{check_store, same_store};
use crate::value::Val;
use crate::{AsContext, AsContextMut, Error, Result};
use wardian_types::{TableElementIndex, TableType};

impl Table {
    /// A table of the host's, full of `init`.
    ///
    /// # Errors
    ///
    /// `init` is not of the element type, the table is too large, or the store's limits refuse it.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Val) -> Result<Table> {
        let store = store.as_context_mut();
        let (inner, limiter) = store.0.split();
        let init = inner.element(&ty, &init.into())?;
        if ty.max.is_some_and(|max| max < ty.min) {
            return Err(Error::usage(UsageKind::Type, format!("there can be no {ty}")));
        }
        let index = inner.add_table(&ty, None, limiter)?;
        if init != 0 {
            inner.table_mut(index).elements_mut().fill(init);
        }
        Ok(Table { store: inner.id(), index })
    }

    /// Its type, with the current length as minimum.
    ///
    /// # Panics
    ///
    /// It belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> TableType {
        let store = store.as_context();
        same_store(&store.0.inner, self.store);
        let table = store.0.inner.table(self.index);
        TableType { min: table.len() as u64, ..table.ty() }
    }

    /// How many elements it has.
    ///
    /// # Panics
    ///
    /// It belongs to another store.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.ty(store).min
    }

    /// An element; `None` if the index is out of bounds.
    ///
    /// # Panics
    ///
    /// It belongs to another store.
    pub fn get(&self, store: impl AsContext, index: u64) -> Option<Val> {
        let store = store.as_context();
        same_store(&store.0.inner, self.store);
        store.0.inner.table_get(self.index, TableElementIndex::from_u64(index)).map(Val::from)
    }

    /// Sets an element.
    ///
    /// # Errors
    ///
    /// The index is out of bounds, or the value is not of the element type.
    pub fn set(&self, mut store: impl AsContextMut, index: u64, value: Val) -> Result<()> {
        let store = store.as_context_mut();
        let inner = &mut store.0.inner;
        check_store(inner, self.store)?;
        let index = TableElementIndex::from_u64(index);
        Ok(inner.table_set(self.index, index, &value.into())?)
    }

    /// Grows by `delta` elements of value `init`; returns the length before.
    ///
    /// # Errors
    ///
    /// The size would exceed the type's maximum or the store's limits, or `init` is not of the element type.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64, init: Val) -> Result<u64> {
        let store = store.as_context_mut();
        check_store(&store.0.inner, self.store)?;
        let (inner, limiter) = store.0.split();
        let ty = inner.table(self.index).ty();
        let init = inner.element(&ty, &init.into())?;
        let table = inner.table_mut(self.index);
        let new = table.grow(delta, limiter)?;
        let new = new.ok_or_else(|| {
            Error::limit(LimitKind::Store, format!("the table cannot grow by {delta} elements"))
        })?;
        let before = new.start as u64;
        if init != 0 {
            table.elements_mut()[new].fill(init);
        }
        Ok(before)
    }
}
