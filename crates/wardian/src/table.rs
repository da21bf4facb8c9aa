//! Tables.

use crate::error::{LimitKind, UsageKind};
use crate::handles::Table;
use crate::store::{check_store, same_store};
use crate::value::Val;
use crate::{AsContext, AsContextMut, Error, Result};
use wardian_types::{TableType, ValType};

impl Table {
    /// A table of the host's, full of `init`.
    ///
    /// # Errors
    ///
    /// `init` is not of the element type, the table is too large, or the store's limits refuse it.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Val) -> Result<Table> {
        let store = store.as_context_mut();
        let (inner, limiter) = store.0.split();
        let init = inner.element(&ty, &init)?;
        if ty.max.is_some_and(|max| max < ty.min) {
            return Err(Error::usage(UsageKind::Type, format!("there can be no {ty}")));
        }
        let index = inner.add_table(&ty, None, limiter)?;
        if init != 0 {
            inner.tables[index as usize].elements_mut().fill(init);
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
        let table = &store.0.inner.tables[self.index as usize];
        TableType { min: table.len() as u64, ..table.ty }
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
        store.0.inner.table_get(self.index, index)
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
        inner.table_set(self.index, index, &value)
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
        let ty = inner.tables[self.index as usize].ty;
        let init = inner.element(&ty, &init)?;
        let table = &mut inner.tables[self.index as usize];
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

impl crate::raw::store::StoreInner {
    /// Sets an element of a table to a value.
    pub(crate) fn table_set(&mut self, table: u32, index: u64, value: &Val) -> Result<()> {
        let ty = self.tables[table as usize].ty;
        let value = self.element(&ty, value)?;
        let elements = self.tables[table as usize].elements_mut();
        let len = elements.len();
        let element = usize::try_from(index).ok().and_then(|i| elements.get_mut(i));
        let element = element.ok_or_else(|| {
            Error::usage(
                UsageKind::OutOfBounds,
                format!("element {index} is not inside a table of {len}"),
            )
        })?;
        *element = value;
        Ok(())
    }

    /// A value as an element of a table.
    fn element(&mut self, ty: &TableType, value: &Val) -> Result<u64> {
        self.check_value(value, ValType::Ref(ty.element)).map_err(|found| {
            Error::usage(UsageKind::Type, format!("a {found} is no element of a {ty}"))
        })?;
        let mut slots = [0; 2];
        self.write_value(value, &mut slots)?;
        Ok(slots[0])
    }
}
