//! Making tables in a store, and their elements as values.

use crate::error::{LimitKind, UsageKind};
use crate::ids::TableId;
use crate::limiter::Limiter;
use crate::store::inner::StoreInner;
use crate::store::table::{MAX_ELEMENTS, TableData, limit_in_elements};
use crate::value::Val;
use crate::{Error, Result};
use std::ptr::NonNull;
use wardian_types::{TableElementIndex, TableType, ValType};
use wardian_vm::layout::VmTable;
use wardian_vm::table::TableElements;

impl StoreInner {
    /// Adds a table full of nulls. `vm` is where its bounds are to be written; none for a table of
    /// the host's.
    pub fn add_table(
        &mut self,
        ty: &TableType,
        vm: Option<NonNull<VmTable>>,
        mut limiter: Option<&mut dyn Limiter>,
    ) -> Result<TableId> {
        if ty.min > MAX_ELEMENTS {
            return Err(Error::limit(
                LimitKind::Engine,
                format!("a {ty} is larger than the {MAX_ELEMENTS} elements that a table may have"),
            ));
        }
        let len = ty.min as usize;
        if let Some(limiter) = &mut limiter
            && !limiter.table_growing(0, len, limit_in_elements(ty))?
        {
            return Err(Error::limit(
                LimitKind::Store,
                format!("the store's limits refuse a {ty}"),
            ));
        }
        let most = ty.max.unwrap_or(u64::MAX).min(MAX_ELEMENTS) as usize;
        let elements = match TableElements::new(len, most) {
            Ok(elements) => elements,
            Err(error) => {
                if let Some(limiter) = limiter {
                    limiter.table_grow_failed(0, len);
                }
                return Err(Error::system(format!("the system has no memory for a {ty}"), error));
            }
        };
        Ok(self.entities.add_table(TableData::new(ty, elements, vm)))
    }
}

impl StoreInner {
    /// An element of a table as a value.
    pub fn table_get(&self, table: TableId, index: TableElementIndex) -> Option<Val> {
        let table = &self.entities[table];
        let element = *table.elements().get(index.index()?)?;
        // SAFETY: elements come from guests or from `write_value`, and are of the table's type.
        Some(unsafe { self.read_value(ValType::Ref(table.ty().element), &[element]) })
    }
}

impl StoreInner {
    /// Sets an element of a table to a value.
    pub fn table_set(
        &mut self,
        table: TableId,
        index: TableElementIndex,
        value: &Val,
    ) -> Result<()> {
        let ty = self.entities[table].ty();
        let value = self.element(&ty, value)?;
        let elements = self.entities[table].elements_mut();
        let len = elements.len();
        let element = index.index().and_then(|i| elements.get_mut(i));
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
    pub fn element(&mut self, ty: &TableType, value: &Val) -> Result<u64> {
        self.check_value(value, ValType::Ref(ty.element)).map_err(|found| {
            Error::usage(UsageKind::Type, format!("a {found} is no element of a {ty}"))
        })?;
        let mut slots = [0; 2];
        self.write_value(value, &mut slots)?;
        Ok(slots[0])
    }
}
