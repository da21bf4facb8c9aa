//! Tables of a store.

use super::store::StoreInner;
use crate::limits::ResourceLimiter;
use crate::{Error, Result, Val};
use std::ptr::NonNull;
use wardian_types::{TableType, ValType};
use wardian_vm::layout::VmTable;

/// Elements that a table may have at most, whatever its type says: 80 MB.
pub(crate) const MAX_ELEMENTS: u64 = 10_000_000;

/// A table of a store. Its elements are references as guests hold them.
pub(crate) struct TableData {
    pub(crate) ty: TableType,
    elements: Vec<u64>,
    vm: NonNull<VmTable>,
    own: bool,
}

impl StoreInner {
    /// Adds a table full of `init`. `vm` is where its bounds are to be written; none for a table of
    /// the host's.
    pub(crate) fn add_table(
        &mut self,
        ty: &TableType,
        init: u64,
        vm: Option<NonNull<VmTable>>,
        limiter: Option<&mut dyn ResourceLimiter>,
    ) -> Result<u32> {
        let refused = || Error::limit(format!("the store's limits refuse a {ty}"));
        if ty.min > MAX_ELEMENTS {
            return Err(Error::limit(format!(
                "a {ty} is larger than the {MAX_ELEMENTS} elements that a table may have"
            )));
        }
        let len = ty.min as usize;
        if let Some(limiter) = limiter {
            let max = ty.max.map(|m| usize::try_from(m).unwrap_or(usize::MAX));
            if !limiter.table_growing(0, len, max)? {
                return Err(refused());
            }
        }
        let mut elements = Vec::new();
        elements.try_reserve_exact(len).map_err(|_| refused())?;
        elements.resize(len, init);
        let own = vm.is_none();
        let vm = vm.unwrap_or_else(|| {
            NonNull::from(Box::leak(Box::new(VmTable { base: std::ptr::null_mut(), len: 0 })))
        });
        let mut data = TableData { ty: *ty, elements, vm, own };
        data.publish();
        self.tables.push(data);
        Ok(self.tables.len() as u32 - 1)
    }
}

impl TableData {
    fn publish(&mut self) {
        // SAFETY: `vm` lives as long as the store, and no guest reads it at this moment.
        unsafe {
            let vm = self.vm.as_ptr();
            (*vm).base = self.elements.as_mut_ptr();
            (*vm).len = self.elements.len() as u64;
        }
    }

    pub(crate) fn vm(&self) -> NonNull<VmTable> {
        self.vm
    }

    /// The elements. Guests write them in place through the address in `vm`, so this borrows
    /// through it too.
    pub(crate) fn elements(&self) -> &[u64] {
        // SAFETY: `publish` gave the vector's own address and length; guests do not run now.
        unsafe {
            let vm = self.vm.as_ptr();
            std::slice::from_raw_parts((*vm).base, (*vm).len as usize)
        }
    }

    pub(crate) fn elements_mut(&mut self) -> &mut [u64] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe {
            let vm = self.vm.as_ptr();
            std::slice::from_raw_parts_mut((*vm).base, (*vm).len as usize)
        }
    }

    /// Grows by `delta` elements of value `init`; returns the length before. `Ok(None)` if that is
    /// not allowed or possible.
    pub(crate) fn grow(
        &mut self,
        delta: u64,
        init: u64,
        limiter: Option<&mut dyn ResourceLimiter>,
    ) -> Result<Option<u64>> {
        let before = self.elements.len();
        let limit = self.ty.max.unwrap_or(u64::MAX).min(MAX_ELEMENTS);
        let wanted = (before as u64).checked_add(delta).filter(|w| *w <= limit);
        let Some(wanted) = wanted.map(|w| w as usize) else { return Ok(None) };
        if let Some(limiter) = limiter {
            let max = self.ty.max.map(|m| usize::try_from(m).unwrap_or(usize::MAX));
            if !limiter.table_growing(before, wanted, max)? {
                return Ok(None);
            }
        }
        if self.elements.try_reserve(wanted - before).is_err() {
            return Ok(None);
        }
        self.elements.resize(wanted, init);
        self.publish();
        Ok(Some(before as u64))
    }
}

impl TableData {
    /// Makes the elements those of an earlier moment. The table does not move.
    pub(super) fn restore(&mut self, elements: &[u64]) {
        // Tables only grow, so there are at least as many now.
        let len = elements.len().min(self.elements.len());
        self.elements_mut()[..len].copy_from_slice(&elements[..len]);
        self.elements.truncate(len);
        self.publish();
    }
}

impl Drop for TableData {
    fn drop(&mut self) {
        if self.own {
            // SAFETY: leaked from a box in `add_table`, and tables go only with their store.
            drop(unsafe { Box::from_raw(self.vm.as_ptr()) });
        }
    }
}

impl StoreInner {
    /// An element of a table as a value.
    pub(crate) fn table_get(&self, table: u32, index: u64) -> Option<Val> {
        let table = &self.tables[table as usize];
        let element = *table.elements().get(usize::try_from(index).ok()?)?;
        // SAFETY: elements come from guests or from `write_value`, and are of the table's type.
        Some(unsafe { self.read_value(ValType::Ref(table.ty.element), &[element]) })
    }
}
