//! Fields of objects: reading and writing them, and how they hold functions and values of the embedder's.
//!
//! | type of a field | what it holds |
//! |---|---|
//! | `any` and below | the reference, 4 bytes |
//! | functions | one more than the position in the store's functions, 4 bytes; zero for null |
//! | `extern` | the handle, 8 bytes |
//! | numbers | the bytes, little endian |

use crate::ids::InstanceId;
use crate::limiter::Limiter;
use crate::store::inner::StoreInner;
use crate::{Error, Result};
use wardian_types::{ObjectOffset, StorageType, TrapCode, TypeIndex, TypeNumber, ValType};
use wardian_vm::heap::shape::{EXTERN_BOX, EXTERN_BOX_TYPE, HEADER};
use wardian_vm::heap::{FuncHandle, HeapRef};

/// Where an object that stands for a value of the embedder's has the handle.
pub(super) const BOXED: ObjectOffset = ObjectOffset::from_u32(HEADER);

impl StoreInner {
    /// Writes the low bytes of a word to a field that is known to be inside the object.
    pub(super) fn write_field<V: Copy>(&self, object: HeapRef, offset: ObjectOffset, value: V) {
        let at = self.heap().and_then(|heap| heap.bytes(object, offset, size_of::<V>() as u64));
        if let Some(at) = at {
            // SAFETY: inside of what was allocated; objects are read and written only through raw pointers.
            unsafe { at.cast::<V>().write_unaligned(value) };
        }
    }

    fn read_field<V: Copy + Default>(&self, object: HeapRef, offset: ObjectOffset) -> V {
        let at = self.heap().and_then(|heap| heap.bytes(object, offset, size_of::<V>() as u64));
        // SAFETY: as above; `V` is a number.
        at.map_or(V::default(), |at| unsafe { at.cast::<V>().read_unaligned() })
    }

    /// Writes a value, as guests hold it, to a field.
    pub(crate) fn store_field(
        &self,
        object: HeapRef,
        offset: ObjectOffset,
        ty: StorageType,
        slots: [u64; 2],
    ) {
        match (ty, slots[0]) {
            (StorageType::I8, word) => self.write_field(object, offset, word as u8),
            (StorageType::I16, word) => self.write_field(object, offset, word as u16),
            (StorageType::Val(ValType::V128), word) => {
                self.write_field(object, offset, u128::from(slots[1]) << 64 | u128::from(word));
            }
            (StorageType::Val(ValType::Ref(r)), word) if r.is_func() => {
                self.write_field(object, offset, self.func_in_object(word));
            }
            (ty, word) if ty.size() == 4 => self.write_field(object, offset, word as u32),
            (_, word) => self.write_field(object, offset, word),
        }
    }

    /// Reads a field as guests hold its value; packed ones are extended with zeroes.
    pub(super) fn load_field(
        &self,
        object: HeapRef,
        offset: ObjectOffset,
        ty: StorageType,
    ) -> [u64; 2] {
        let word = match ty {
            StorageType::I8 => u64::from(self.read_field::<u8>(object, offset)),
            StorageType::I16 => u64::from(self.read_field::<u16>(object, offset)),
            StorageType::Val(ValType::V128) => {
                let value = self.read_field::<u128>(object, offset);
                return [value as u64, (value >> 64) as u64];
            }
            StorageType::Val(ValType::Ref(r)) if r.is_func() => {
                self.func_from_object(self.read_field(object, offset))
            }
            ty if ty.size() == 4 => u64::from(self.read_field::<u32>(object, offset)),
            _ => self.read_field(object, offset),
        };
        [word, 0]
    }

    /// The word in an object for a reference to a function.
    fn func_in_object(&self, reference: u64) -> FuncHandle {
        // SAFETY: a reference as guests hold it, from a guest of this store or from `write_value`.
        let func = unsafe { self.func_of_reference(reference) };
        func.map_or(FuncHandle::NULL, FuncHandle::of)
    }

    fn func_from_object(&self, handle: FuncHandle) -> u64 {
        let func = handle.func().filter(|func| self.entities.funcs().get(*func).is_some());
        func.map_or(0, |func| self.reference_to(func))
    }

    /// `any.convert_extern`
    pub(crate) fn any_from_extern(&mut self, handle: u64) -> Result<u64> {
        // SAFETY: a guest runs, and this is the only use of the limiter.
        let limiter = unsafe { self.running_limiter() };
        self.any_from_extern_limited(handle, limiter)
    }

    /// As [`Self::any_from_extern`], also where no guest runs.
    pub(crate) fn any_from_extern_limited(
        &mut self,
        handle: u64,
        limiter: Option<&mut dyn Limiter>,
    ) -> Result<u64> {
        if handle >> 32 == 0 {
            return Ok(handle);
        }
        // The handle is in no place where a collection of values would look for it. None is due here: those are
        // made where handles enter the store.
        self.allocate_box(handle, limiter).map(HeapRef::as_word)
    }

    /// `extern.convert_any`
    pub(crate) fn extern_from_any(&self, word: u64) -> u64 {
        let object = HeapRef::in_low_half(word);
        let is_object = word != 0 && !object.is_integer();
        let header = self.heap().filter(|_| is_object).and_then(|heap| heap.header(object));
        match header {
            Some((EXTERN_BOX_TYPE, EXTERN_BOX)) => self.read_field(object, BOXED),
            _ => word,
        }
    }

    /// Whether a reference that is not null is to something of a type of an instance's module.
    pub(crate) fn is_of_module_type(
        &self,
        instance: InstanceId,
        reference: u64,
        ty: TypeIndex,
    ) -> Result<bool> {
        let module = self.entities[instance].module();
        let number = module.signatures[ty];
        let declared = module.decoded.info().types.get(ty);
        let declared = declared.ok_or_else(|| Error::from(TrapCode::CastFailure))?;
        if declared.func().is_some() {
            // SAFETY: validation: the operand of a cast to a function type is a reference to a function.
            let func = unsafe { self.func_of_reference(reference) };
            let found = func.map(|func| self.vm_func(func).sig);
            return Ok(found.is_some_and(|sig| self.engine().signatures().is_subtype(sig, number)));
        }
        Ok(self.is_object_of(HeapRef::in_low_half(reference), number))
    }

    /// Whether a reference is to an object of a type or one of its subtypes.
    pub(crate) fn is_object_of(&self, reference: HeapRef, number: TypeNumber) -> bool {
        let found = (!reference.is_integer()).then(|| self.object_type(reference)).flatten();
        found.is_some_and(|ty| ty.signature.display().contains(&number))
    }
}
