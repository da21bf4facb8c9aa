//! Operators on whole arrays. Where they take long they look at whether the guest is to stop.

use crate::error::StopReason;
use crate::gc::objects::Layout;
use crate::ids::InstanceId;
use crate::store::inner::StoreInner;
use crate::{Error, ErrorKind, Result};
use wardian_types::{
    DataIndex, ElemIndex, ObjectOffset, StorageType, TrapCode, TypeIndex, TypeNumber,
};
use wardian_vm::heap::HeapRef;
use wardian_vm::heap::shape::element_at;

/// Bytes that are moved between two looks at the interrupt word.
const CHUNK: u64 = 8 << 20;

/// An array and its elements.
#[derive(Clone, Copy)]
struct Elements {
    array: HeapRef,
    /// Bytes of an element.
    size: u32,
    length: u32,
}

impl Elements {
    fn offset(&self, index: u32) -> ObjectOffset {
        element_at(self.size, index)
    }

    fn check(&self, index: u64, length: u64) -> Result<()> {
        let inside = index.checked_add(length).is_some_and(|end| end <= u64::from(self.length));
        if inside { Ok(()) } else { Err(Error::from(TrapCode::ArrayOutOfBounds)) }
    }
}

impl StoreInner {
    fn elements(&self, array: u64) -> Result<Elements> {
        let null = || Error::from(TrapCode::NullArrayReference);
        let array = HeapRef::in_low_half(array);
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
    fn element_bytes(&self, of: Elements, index: u32, bytes: u64) -> Result<*mut u8> {
        let at = self.heap().and_then(|heap| heap.bytes(of.array, of.offset(index), bytes));
        at.ok_or_else(|| Error::from(TrapCode::ArrayOutOfBounds))
    }

    /// Copies an element over those behind it, for a guest: a guest that is to stop does so between chunks.
    pub(crate) fn array_repeat(&mut self, array: u64, index: u64, length: u64) -> Result<()> {
        self.repeat(array, index, length, || self.interrupted()).map(drop)
    }

    /// Copies the first element of a new array over the others. The store's deadline and its cancellation end
    /// that.
    pub(crate) fn fill_new_array(&mut self, array: HeapRef, length: u32) -> Result<()> {
        let stop = self.stop_check();
        if self.repeat(array.as_word(), 0, length.into(), || stop().is_some())? {
            return Ok(());
        }
        let reason = stop().unwrap_or(StopReason::Cancelled);
        Err(Error::new(ErrorKind::Stopped(reason)))
    }

    /// Copies an element over those behind it. Returns false if it was stopped before all were written.
    fn repeat(&self, array: u64, index: u64, length: u64, stop: impl Fn() -> bool) -> Result<bool> {
        let of = self.elements(array)?;
        of.check(index, length)?;
        let (size, total) = (u64::from(of.size), length * u64::from(of.size));
        let at = self.element_bytes(of, index as u32, total)?;
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
        [to, to_index, from, from_index, length]: [u64; 5],
    ) -> Result<()> {
        let (to, from) = (self.elements(to)?, self.elements(from)?);
        to.check(to_index, length)?;
        from.check(from_index, length)?;
        let total = length * u64::from(to.size.min(from.size));
        if total == 0 {
            return Ok(());
        }
        let target = self.element_bytes(to, to_index as u32, total)?;
        let source = self.element_bytes(from, from_index as u32, total)?;
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

    /// `array.init_data`: `[index, from, length]`.
    pub(crate) fn array_init_data(
        &mut self,
        instance: InstanceId,
        array: u64,
        segment: DataIndex,
        [index, from, length]: [u64; 3],
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
        let end = from.checked_add(total).filter(|end| *end <= bytes.len() as u64);
        let end = end.ok_or_else(|| Error::from(TrapCode::MemoryOutOfBounds))?;
        let bytes = &bytes[from as usize..end as usize];
        if !bytes.is_empty() {
            let at = self.element_bytes(of, index as u32, total)?;
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
        segment: DataIndex,
        from: u64,
        length: u64,
    ) -> Result<u64> {
        // Before anything is allocated: a length that the segment does not have may be huge.
        let data = &self.entities[instance];
        let range = &data.module().decoded.info().data[segment].range;
        let have = if data.segments().has_dropped_data(segment) { 0 } else { range.len() as u64 };
        let number = self.type_number(instance, ty);
        let size = match self.known_object_type(number).map(|ty| &ty.layout) {
            Some(Layout::Array(size)) => u64::from(*size),
            _ => return Err(super::unknown_type(number)),
        };
        if from.checked_add(length * size).is_none_or(|end| end > have) {
            return Err(TrapCode::MemoryOutOfBounds.into());
        }
        let array = self.new_array(instance, ty, length as u32)?.as_word();
        self.array_init_data(instance, array, segment, [0, from, length])?;
        Ok(array)
    }

    /// `array.init_elem`: `[index, from, length]`.
    pub(crate) fn array_init_elem(
        &mut self,
        instance: InstanceId,
        array: u64,
        segment: ElemIndex,
        [index, from, length]: [u64; 3],
    ) -> Result<()> {
        let of = self.elements(array)?;
        of.check(index, length)?;
        self.check_segment(instance, segment, from, length)?;
        let storage =
            self.storage(of.array).ok_or_else(|| super::unknown_type(TypeNumber::from_u32(0)))?;
        let module = self.entities[instance].module().clone();
        let info = module.decoded.info();
        for i in 0..length {
            if i.is_multiple_of(1 << 14) && self.interrupted() {
                break;
            }
            let value = self.segment_element(instance, info, segment, (from + i) as usize)?;
            self.store_field(of.array, of.offset((index + i) as u32), storage, [value, 0]);
        }
        Ok(())
    }

    /// `array.new_elem`
    pub(crate) fn array_new_elem(
        &mut self,
        instance: InstanceId,
        ty: TypeIndex,
        segment: ElemIndex,
        from: u64,
        length: u64,
    ) -> Result<u64> {
        self.check_segment(instance, segment, from, length)?;
        let array = self.new_array(instance, ty, length as u32)?.as_word();
        self.array_init_elem(instance, array, segment, [0, from, length])?;
        Ok(array)
    }

    fn check_segment(
        &self,
        instance: InstanceId,
        segment: ElemIndex,
        from: u64,
        length: u64,
    ) -> Result<()> {
        let data = &self.entities[instance];
        let items = &data.module().decoded.info().elements[segment].items;
        let have =
            if data.segments().has_dropped_elements(segment) { 0 } else { items.len() as u64 };
        if from.checked_add(length).is_none_or(|end| end > have) {
            return Err(TrapCode::TableOutOfBounds.into());
        }
        Ok(())
    }
}
