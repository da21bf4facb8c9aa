//! Operators on whole arrays. Where they take long they look at whether the guest is to stop.

use crate::error::StopReason;
use crate::gc::objects::Layout;
use crate::ids::InstanceId;
use crate::store::inner::StoreInner;
use crate::{Error, ErrorKind, Result};
use wardian_types::{
    ArrayElementIndex, DataIndex, DataOffset, ElemIndex, Index, ObjectOffset, SegmentElementIndex,
    StorageType, TrapCode, TypeIndex, TypeNumber,
};
use wardian_vm::heap::HeapRef;
use wardian_vm::heap::shape::element_at;

/// Bytes that are moved between two looks at the interrupt word.
const CHUNK: u64 = 8 << 20;
/// The same in elements that come from expressions.
const ELEMENTS_CHUNK: u32 = 1 << 14;

/// An array and its elements.
#[derive(Clone, Copy)]
struct Elements {
    array: HeapRef,
    /// Bytes of an element.
    size: u32,
    length: u32,
}

impl Elements {
    fn offset(&self, index: ArrayElementIndex) -> ObjectOffset {
        element_at(self.size, index)
    }

    fn check(&self, index: ArrayElementIndex, length: u64) -> Result<()> {
        let inside = index.checked_range(length, self.length as usize).is_some();
        if inside { Ok(()) } else { Err(Error::from(TrapCode::ArrayOutOfBounds)) }
    }
}

impl StoreInner {
    fn elements(&self, array: HeapRef) -> Result<Elements> {
        let null = || Error::from(TrapCode::NullArrayReference);
        let (_, length) = self.heap().and_then(|heap| heap.header(array)).ok_or_else(null)?;
        match self.object_type(array).ok_or_else(null)?.layout {
            Layout::Array(size) => Ok(Elements { array, size, length }),
            Layout::Struct(_) => Err(null()),
        }
    }

    fn storage(&self, array: HeapRef) -> Option<StorageType> {
        self.object_type(array)?.fields().first().map(|field| field.storage)
    }

    /// The bytes of elements; they are inside.
    fn element_bytes(&self, of: Elements, index: ArrayElementIndex, bytes: u64) -> Result<*mut u8> {
        let at = self.heap().and_then(|heap| heap.bytes(of.array, of.offset(index), bytes));
        at.ok_or_else(|| Error::from(TrapCode::ArrayOutOfBounds))
    }

    /// Copies an element over those behind it, for a guest: a guest that is to stop does so between chunks.
    pub(crate) fn array_repeat(
        &mut self,
        of: (HeapRef, ArrayElementIndex),
        length: u64,
    ) -> Result<()> {
        self.repeat(of, length, || self.interrupted()).map(drop)
    }

    /// Copies the first element of a new array over the others. The store's deadline and its cancellation end
    /// that.
    pub(crate) fn fill_new_array(&mut self, array: HeapRef, length: u32) -> Result<()> {
        let stop = self.stop_check();
        if self.repeat((array, ArrayElementIndex::FIRST), length.into(), || stop().is_some())? {
            return Ok(());
        }
        let reason = stop().unwrap_or(StopReason::Cancelled);
        Err(Error::new(ErrorKind::Stopped(reason)))
    }

    /// Copies an element over those behind it. Returns false if it was stopped before all were written.
    fn repeat(
        &self,
        (array, index): (HeapRef, ArrayElementIndex),
        length: u64,
        stop: impl Fn() -> bool,
    ) -> Result<bool> {
        let of = self.elements(array)?;
        of.check(index, length)?;
        let (size, total) = (u64::from(of.size), length * u64::from(of.size));
        let at = self.element_bytes(of, index, total)?;
        let mut done = size.min(total);
        while done < total {
            let more = done.min(total - done).min(CHUNK);
            // A multiple of the element's size behind the beginning there is the same as at the beginning.
            let more = (more / size).max(1) * size;
            // SAFETY: both ranges lie inside of `total` bytes and do not overlap, since `more` is at most `done`.
            unsafe { std::ptr::copy_nonoverlapping(at, at.add(done as usize), more as usize) };
            done += more;
            if done < total && stop() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `array.copy`
    pub(crate) fn array_copy(
        &mut self,
        (to, to_index): (HeapRef, ArrayElementIndex),
        (from, from_index): (HeapRef, ArrayElementIndex),
        length: u64,
    ) -> Result<()> {
        let (to, from) = (self.elements(to)?, self.elements(from)?);
        to.check(to_index, length)?;
        from.check(from_index, length)?;
        let total = length * u64::from(to.size.min(from.size));
        if total == 0 {
            return Ok(());
        }
        let target = self.element_bytes(to, to_index, total)?;
        let source = self.element_bytes(from, from_index, total)?;
        // Overlapping ranges are copied from the end that is not overwritten first.
        let backwards = target as usize > source as usize;
        let mut done = 0;
        while done < total {
            let more = CHUNK.min(total - done);
            let at = if backwards { total - done - more } else { done } as usize;
            // SAFETY: inside of both ranges, which are in the heap.
            unsafe { std::ptr::copy(source.add(at), target.add(at), more as usize) };
            done += more;
            if self.interrupted() {
                break;
            }
        }
        Ok(())
    }

    /// `array.init_data`
    pub(crate) fn array_init_data(
        &mut self,
        instance: InstanceId,
        (array, index): (HeapRef, ArrayElementIndex),
        (segment, from): (DataIndex, DataOffset),
        length: u64,
    ) -> Result<()> {
        let of = self.elements(array)?;
        of.check(index, length)?;
        let total = length * u64::from(of.size);
        let data = &self.entities[instance];
        let module = data.module().clone();
        let bytes: &[u8] = match data.segments().has_dropped_data(segment) {
            true => &[],
            false => {
                let range = module.decoded.info().data[segment].range.clone();
                &module.decoded.bytes()[range]
            }
        };
        let range = from.checked_range(total, bytes.len());
        let bytes = &bytes[range.ok_or_else(|| Error::from(TrapCode::MemoryOutOfBounds))?];
        if !bytes.is_empty() {
            let at = self.element_bytes(of, index, total)?;
            // SAFETY: `total` bytes of the heap, and as many of the module, which lie elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
        }
        Ok(())
    }

    /// `array.new_data`
    pub(crate) fn array_new_data(
        &mut self,
        instance: InstanceId,
        ty: TypeIndex,
        (segment, from): (DataIndex, DataOffset),
        length: u64,
    ) -> Result<u64> {
        // Before anything is allocated: a length that the segment does not have may be huge.
        let data = &self.entities[instance];
        let range = &data.module().decoded.info().data[segment].range;
        let have = if data.segments().has_dropped_data(segment) { 0 } else { range.len() };
        let number = self.type_number(instance, ty);
        let size = match self.known_object_type(number).map(|ty| &ty.layout) {
            Some(Layout::Array(size)) => u64::from(*size),
            _ => return Err(super::unknown_type(number)),
        };
        if from.checked_range(length * size, have).is_none() {
            return Err(TrapCode::MemoryOutOfBounds.into());
        }
        let array = self.new_array(instance, ty, length as u32)?;
        let to = (array, ArrayElementIndex::FIRST);
        self.array_init_data(instance, to, (segment, from), length)?;
        Ok(array.as_word())
    }

    /// `array.init_elem`
    pub(crate) fn array_init_elem(
        &mut self,
        instance: InstanceId,
        (array, index): (HeapRef, ArrayElementIndex),
        (segment, from): (ElemIndex, SegmentElementIndex),
        length: u64,
    ) -> Result<()> {
        let of = self.elements(array)?;
        of.check(index, length)?;
        self.check_segment(instance, (segment, from), length)?;
        let storage =
            self.storage(of.array).ok_or_else(|| super::unknown_type(TypeNumber::from_u32(0)))?;
        let module = self.entities[instance].module().clone();
        let info = module.decoded.info();
        for i in 0..length as u32 {
            if i.is_multiple_of(ELEMENTS_CHUNK) && self.interrupted() {
                break;
            }
            let value = self.segment_element(instance, info, segment, from.add(i))?;
            self.store_field(of.array, of.offset(index.add(i)), storage, [value, 0]);
        }
        Ok(())
    }

    /// `array.new_elem`
    pub(crate) fn array_new_elem(
        &mut self,
        instance: InstanceId,
        ty: TypeIndex,
        (segment, from): (ElemIndex, SegmentElementIndex),
        length: u64,
    ) -> Result<u64> {
        self.check_segment(instance, (segment, from), length)?;
        let array = self.new_array(instance, ty, length as u32)?;
        let to = (array, ArrayElementIndex::FIRST);
        self.array_init_elem(instance, to, (segment, from), length)?;
        Ok(array.as_word())
    }

    fn check_segment(
        &self,
        instance: InstanceId,
        (segment, from): (ElemIndex, SegmentElementIndex),
        length: u64,
    ) -> Result<()> {
        let data = &self.entities[instance];
        let items = &data.module().decoded.info().elements[segment].items;
        let have = if data.segments().has_dropped_elements(segment) { 0 } else { items.len() };
        if from.checked_range(length, have).is_none() {
            return Err(TrapCode::TableOutOfBounds.into());
        }
        Ok(())
    }
}
