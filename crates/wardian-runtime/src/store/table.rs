//! A table of a store.

use crate::limiter::Limiter;
use crate::{Error, Result};
use std::ops::Range;
use std::ptr::NonNull;
use wardian_types::TableType;
use wardian_vm::layout::VmTable;
use wardian_vm::table::TableElements;

/// A table of a store. Its elements are references as guests hold them.
pub struct TableData {
    ty: TableType,
    elements: TableElements,
    vm: NonNull<VmTable>,
    own: bool,
}

/// The elements of a table at a moment.
pub struct TableCapture {
    len: usize,
    /// The parts that have an element other than null, and their first indices.
    parts: Vec<(usize, Box<[u64]>)>,
}

/// Elements in a part of a capture: those of a page.
const PART: usize = 512;

impl TableData {
    /// A table whose bounds are written to `vm`, or, of the host's, to a place of its own.
    pub(crate) fn new(
        ty: &TableType,
        elements: TableElements,
        vm: Option<NonNull<VmTable>>,
    ) -> TableData {
        let own = vm.is_none();
        let vm = vm.unwrap_or_else(|| {
            NonNull::from(Box::leak(Box::new(VmTable { base: std::ptr::null_mut(), len: 0 })))
        });
        let mut data = TableData { ty: *ty, elements, vm, own };
        data.publish();
        data
    }

    pub(crate) fn publish(&mut self) {
        // SAFETY: `vm` lives as long as the store, and no guest reads it at this moment.
        unsafe {
            let vm = self.vm.as_ptr();
            (*vm).base = self.elements.base();
            (*vm).len = self.elements.len() as u64;
        }
    }

    /// Its type.
    pub fn ty(&self) -> TableType {
        self.ty
    }

    /// Says that its minimum is another one: that of the table that it is made like.
    pub(crate) fn set_type(&mut self, ty: TableType) {
        self.ty = ty;
    }

    pub(crate) fn vm(&self) -> NonNull<VmTable> {
        self.vm
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// The most elements that its type allows.
    pub(crate) fn most(&self) -> Option<usize> {
        limit_in_elements(&self.ty)
    }

    /// The elements. Guests write them in place through the address in `vm`, so this borrows
    /// through it too.
    pub fn elements(&self) -> &[u64] {
        // SAFETY: `publish` gave the elements' own address and length; guests do not run now.
        unsafe {
            let vm = self.vm.as_ptr();
            std::slice::from_raw_parts((*vm).base, (*vm).len as usize)
        }
    }

    /// The elements, to be changed.
    pub fn elements_mut(&mut self) -> &mut [u64] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe {
            let vm = self.vm.as_ptr();
            std::slice::from_raw_parts_mut((*vm).base, (*vm).len as usize)
        }
    }

    /// Grows by `delta` null elements; returns which ones are new. `Ok(None)` if that is not allowed or
    /// possible.
    pub fn grow(
        &mut self,
        delta: u64,
        mut limiter: Option<&mut dyn Limiter>,
    ) -> Result<Option<Range<usize>>> {
        let before = self.len();
        let limit = self.ty.max.unwrap_or(u64::MAX).min(MAX_ELEMENTS);
        let wanted = (before as u64).checked_add(delta).filter(|w| *w <= limit);
        let Some(wanted) = wanted.map(|w| w as usize) else { return Ok(None) };
        if let Some(limiter) = &mut limiter
            && !limiter.table_growing(before, wanted, limit_in_elements(&self.ty))?
        {
            return Ok(None);
        }
        if self.elements.grow(wanted).is_err() {
            if let Some(limiter) = limiter {
                limiter.table_grow_failed(before, wanted);
            }
            return Ok(None);
        }
        self.publish();
        Ok(Some(before..wanted))
    }

    /// Copies the elements.
    pub(crate) fn capture(&self) -> TableCapture {
        let parts = self.elements().chunks(PART).enumerate();
        let parts = parts.filter(|(_, part)| part.iter().any(|element| *element != 0));
        let parts = parts.map(|(i, part)| (i * PART, part.into())).collect();
        TableCapture { len: self.len(), parts }
    }

    /// Restores captured elements. The length becomes that of the capture.
    ///
    /// # Errors
    ///
    /// The system has no memory; then elements may be lost.
    pub(crate) fn restore(&mut self, capture: &TableCapture) -> Result<()> {
        // SAFETY: slices of the elements borrow the table, as this does.
        let done = unsafe { self.elements.clear(capture.len.min(self.len())) }
            .and_then(|()| self.elements.grow(capture.len));
        self.publish();
        done.map_err(|e| Error::system("cannot bring back the elements of a table", e))?;
        let elements = self.elements_mut();
        for (at, part) in &capture.parts {
            elements[*at..at + part.len()].copy_from_slice(part);
        }
        Ok(())
    }
}

impl TableCapture {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All elements that are not null, and some that are.
    pub(crate) fn elements(&self) -> impl Iterator<Item = u64> {
        self.parts.iter().flat_map(|(_, part)| part.iter().copied())
    }
}

impl Drop for TableData {
    fn drop(&mut self) {
        if self.own {
            // SAFETY: leaked from a box in `new`, and tables go only with their store.
            drop(unsafe { Box::from_raw(self.vm.as_ptr()) });
        }
    }
}

/// Elements that a table may have at most, whatever its type says: 80 MB.
pub(crate) const MAX_ELEMENTS: u64 = 10_000_000;

pub(crate) fn limit_in_elements(ty: &TableType) -> Option<usize> {
    ty.max.map(|max| usize::try_from(max).unwrap_or(usize::MAX))
}
