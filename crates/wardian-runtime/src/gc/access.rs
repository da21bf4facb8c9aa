//! What the embedder does with objects: everything is checked, and a reference is only taken from a root.

use crate::code::signatures::Signature;
use crate::error::{LimitKind, UsageKind};
use crate::gc::objects::Referent;
use crate::gc::objects::{Layout, ObjectType};
use crate::gc::roots::Root;
use crate::limiter::Limiter;
use crate::store::inner::{Embedder, StoreData, StoreInner};
use crate::value::Val;
use crate::value::{AnyRef, ExternRef};
use crate::{Error, Result};
use std::sync::Arc;
use wardian_types::{
    ArrayElementIndex, DeclaredType, FieldIndex, FieldType, HeapType, ObjectOffset, TypeNumber,
    ValType,
};
use wardian_vm::heap::HeapRef;
use wardian_vm::heap::shape::{EXTERN_BOX, EXTERN_BOX_TYPE, element_at};

/// The elements of a new array.
#[derive(Clone, Copy)]
pub enum Initial<'a> {
    /// So many, zero or null.
    Default(u32),
    /// So many, all of them this.
    All(u32, &'a Val),
    /// These.
    Each(&'a [Val]),
}

impl StoreInner {
    /// A root of an integer of 31 bits; the highest bit of the number is ignored.
    pub fn hold_i31(&self, number: u32) -> AnyRef {
        AnyRef { store: self.id(), root: self.gc.roots().add(HeapRef::of_integer(number)) }
    }

    /// A root of a reference as guests hold it; none of null.
    pub(crate) fn hold(&self, word: u64) -> Option<AnyRef> {
        let word = HeapRef::in_low_half(word);
        (!word.is_null()).then(|| AnyRef { store: self.id(), root: self.gc.roots().add(word) })
    }

    /// A root of what a raw slot of the embedder's means: an object or an integer of 31 bits.
    pub fn of_slot(&self, slot: u64) -> Option<AnyRef> {
        if slot & 1 == 1 && slot >> 32 == 0 {
            return self.hold(slot);
        }
        let root = self.gc.roots().of_slot(slot)?;
        Some(AnyRef { store: self.id(), root })
    }

    /// A reference of a type as guests hold it, for a raw slot that means an object or an integer; none if it means
    /// no such value.
    pub(crate) fn word_of_slot(&self, slot: u64, heap: HeapType) -> Option<u64> {
        let word = self.of_slot(slot)?.root.word()?;
        (heap == HeapType::Extern || self.is_of_heap_type(word, heap)).then_some(word.as_word())
    }

    /// Makes slots that a guest has filled such as raw slots are, where they refer to objects. Those are alive as long
    /// as what this returns.
    pub(crate) fn hold_in_slots(&self, types: &[ValType], slots: &mut [u64]) -> Vec<AnyRef> {
        let (mut at, mut held) = (0, Vec::new());
        for ty in types {
            let slot = &mut slots[at];
            at += ty.slots();
            // A handle of the embedder's value has a generation in its upper half.
            if (ty.is_any_ref() || ty.is_extern_ref())
                && *slot >> 32 == 0
                && let Some(value) = self.hold(*slot)
            {
                *slot = value.root.slot();
                held.push(value);
            }
        }
        held
    }

    /// The reference of a root of this store.
    pub fn reference_of(&self, value: &AnyRef) -> Result<HeapRef> {
        if value.store != self.id() {
            return Err(Error::usage(
                UsageKind::OtherStore,
                "a reference to an object of another store",
            ));
        }
        self.reference_of_root(&value.root)
    }

    fn reference_of_root(&self, root: &Arc<Root>) -> Result<HeapRef> {
        root.word().ok_or_else(|| {
            Error::usage(UsageKind::State,
                "a reference to an object that is gone: a snapshot with state was restored that is older than the \
                 object",
            )
        })
    }

    /// What a reference refers to.
    pub fn referent(&self, value: &AnyRef) -> Result<Referent> {
        self.referent_of(self.reference_of(value)?)
    }

    pub(super) fn referent_of(&self, word: HeapRef) -> Result<Referent> {
        if let Some(integer) = word.integer() {
            return Ok(Referent::Integer(integer));
        }
        let unknown = || Error::usage(UsageKind::Type, "a reference to what is no object");
        let (number, length) =
            self.heap().and_then(|heap| heap.header(word)).ok_or_else(unknown)?;
        if (number, length) == (EXTERN_BOX_TYPE, EXTERN_BOX) {
            return Ok(Referent::Extern);
        }
        let ty = self.object_type(word).ok_or_else(unknown)?;
        Ok(match ty.layout {
            Layout::Struct(_) => Referent::Struct { number },
            Layout::Array(_) => Referent::Array { number, length },
        })
    }

    /// Whether a value is one of a type.
    pub(crate) fn is_any_of(&self, value: &AnyRef, heap: HeapType) -> bool {
        self.reference_of(value).is_ok_and(|word| self.is_of_heap_type(word, heap))
    }

    /// Whether a reference that is not null is of a type.
    pub(crate) fn is_of_heap_type(&self, word: HeapRef, heap: HeapType) -> bool {
        let Ok(referent) = self.referent_of(word) else { return false };
        match heap {
            HeapType::Any => true,
            HeapType::Eq => referent != Referent::Extern,
            HeapType::I31 => matches!(referent, Referent::Integer(_)),
            HeapType::Struct => matches!(referent, Referent::Struct { .. }),
            HeapType::Array => matches!(referent, Referent::Array { .. }),
            HeapType::ConcreteStruct(DeclaredType::Engine(of))
            | HeapType::ConcreteArray(DeclaredType::Engine(of)) => self.is_object_of(word, of),
            _ => false,
        }
    }

    /// The most precise type of a value.
    pub fn heap_type_of(&self, value: &AnyRef) -> Result<HeapType> {
        Ok(match self.referent(value)? {
            Referent::Integer(_) => HeapType::I31,
            Referent::Struct { number } => HeapType::ConcreteStruct(DeclaredType::Engine(number)),
            Referent::Array { number, .. } => HeapType::ConcreteArray(DeclaredType::Engine(number)),
            Referent::Extern => HeapType::Any,
        })
    }

    /// A value of the embedder's as guests hold it. One that holds a reference to an object is what
    /// `extern.convert_any` makes of that.
    pub(crate) fn extern_to_word(&mut self, value: &ExternRef) -> Result<u64> {
        match value {
            ExternRef::Object(any) => self.reference_of(any).map(HeapRef::as_word),
            ExternRef::Value(value) => Ok(self.externrefs.insert(value.clone())),
        }
    }

    /// The value behind an `externref` as guests hold it.
    pub(crate) fn extern_of_word(&self, word: u64) -> Option<ExternRef> {
        if word >> 32 == 0 {
            return self.hold(word).map(ExternRef::Object);
        }
        self.externrefs.get(word).cloned().map(ExternRef::Value)
    }

    /// The value of the embedder's that `any.convert_extern` made a reference to an object of.
    pub fn unboxed(&self, value: &AnyRef) -> Result<Option<ExternRef>> {
        if self.referent(value)? != Referent::Extern {
            return Ok(None);
        }
        let word = self.extern_from_any(self.reference_of(value)?.as_word());
        Ok(self.extern_of_word(word))
    }

    /// Number and type of a field, or of the elements of an array.
    fn field_at(&self, object: HeapRef, index: FieldIndex) -> Result<(ObjectOffset, FieldType)> {
        let missing = |have: usize| {
            Error::usage(
                UsageKind::NotFound,
                format!("there is no field or element {index}: the object has {have}"),
            )
        };
        let ty = self.object_type(object).ok_or_else(|| missing(0))?;
        let fields = ty.fields();
        match &ty.layout {
            Layout::Struct(layout) => {
                let field = fields.get(index.index()).ok_or_else(|| missing(fields.len()))?;
                Ok((layout.offsets[index.index()], *field))
            }
            Layout::Array(size) => {
                let length = self.heap().and_then(|heap| heap.header(object)).map_or(0, |h| h.1);
                if index.as_u32() >= length {
                    return Err(missing(length as usize));
                }
                Ok((element_at(*size, ArrayElementIndex::from_u32(index.as_u32())), fields[0]))
            }
        }
    }

    /// A field of a struct, or an element of an array.
    pub fn get_field(&self, object: &AnyRef, index: FieldIndex) -> Result<Val> {
        let object = self.reference_of(object)?;
        let (offset, field) = self.field_at(object, index)?;
        let slots = self.load_field(object, offset, field.storage);
        // SAFETY: what a field holds was stored as a value of its type.
        Ok(unsafe { self.read_value(field.storage.unpacked(), &slots) })
    }

    /// Sets a field of a struct, or an element of an array.
    pub fn set_field(&mut self, object: &AnyRef, index: FieldIndex, value: &Val) -> Result<()> {
        let object = self.reference_of(object)?;
        let (offset, field) = self.field_at(object, index)?;
        if !field.mutable {
            return Err(Error::usage(
                UsageKind::Type,
                format!("field or element {index} of type {field} cannot be set"),
            ));
        }
        self.check_field(value, field, index)?;
        self.put_field(object, offset, field, value)
    }

    /// The fields of a struct or the elements of an array, with their types, as guests hold them.
    pub(crate) fn fields_of(&self, object: &AnyRef) -> Result<Vec<(ValType, [u64; 2])>> {
        let word = self.reference_of(object)?;
        let count = match self.referent(object)? {
            Referent::Array { length, .. } => length as usize,
            _ => self.object_type(word).map_or(0, |ty| ty.fields().len()),
        };
        let field = |index: usize| {
            let index = FieldIndex::from_usize(index);
            let (offset, field) = self.field_at(word, index)?;
            Ok((field.storage.unpacked(), self.load_field(word, offset, field.storage)))
        };
        (0..count).map(field).collect()
    }

    /// An object of a type with so many fields or elements, all zero. The caller fills it before a guest sees it.
    pub(crate) fn allocate_of(
        &mut self,
        number: TypeNumber,
        count: usize,
        limiter: Option<&mut dyn Limiter>,
    ) -> Result<AnyRef> {
        let ty = self.known(number)?;
        let object = match ty.layout {
            Layout::Struct(_) if ty.fields().len() != count => {
                return Err(Error::usage(
                    UsageKind::Type,
                    "a struct with another number of fields than its type",
                ));
            }
            Layout::Struct(_) => self.allocate_struct(number, limiter)?,
            Layout::Array(_) => {
                let count = u32::try_from(count);
                let count = count.map_err(|_| {
                    Error::limit(LimitKind::Engine, "an array of too many elements")
                })?;
                self.allocate_array(number, count, limiter)?
            }
        };
        self.held(object)
    }

    /// The type of a field or of an element.
    pub(crate) fn field_type(&self, object: &AnyRef, index: FieldIndex) -> Result<ValType> {
        let object = self.reference_of(object)?;
        Ok(self.field_at(object, index)?.1.storage.unpacked())
    }

    /// Sets a field or an element of a new object to a value of its type as guests hold it.
    pub(crate) fn fill_field(
        &mut self,
        object: &AnyRef,
        index: FieldIndex,
        slots: [u64; 2],
    ) -> Result<()> {
        let object = self.reference_of(object)?;
        let (offset, field) = self.field_at(object, index)?;
        self.store_field(object, offset, field.storage, slots);
        Ok(())
    }

    fn check_field(&self, value: &Val, field: FieldType, index: FieldIndex) -> Result<()> {
        self.check_value(value, field.storage.unpacked()).map_err(|found| {
            Error::usage(
                UsageKind::Type,
                format!("field or element {index} of type {field} cannot be {found}"),
            )
        })
    }

    fn put_field(
        &mut self,
        object: HeapRef,
        offset: ObjectOffset,
        field: FieldType,
        value: &Val,
    ) -> Result<()> {
        let mut slots = [0; 2];
        self.write_value(value, &mut slots)?;
        self.store_field(object, offset, field.storage, slots);
        Ok(())
    }

    fn known(&self, number: TypeNumber) -> Result<&ObjectType> {
        self.known_object_type(number).ok_or_else(|| super::unknown_type(number))
    }
}

impl<T: Embedder> StoreData<T> {
    /// A struct with these fields; none for the defaults.
    pub fn make_struct(&mut self, number: TypeNumber, values: Option<&[Val]>) -> Result<AnyRef> {
        let (inner, limiter) = self.split();
        let fields = inner.known(number)?.fields().to_vec();
        match values {
            None => check_defaults(&fields)?,
            Some(values) if values.len() != fields.len() => {
                let (have, given) = (fields.len(), values.len());
                return Err(Error::usage(
                    UsageKind::Type,
                    format!("a struct with {have} fields got {given} values"),
                ));
            }
            Some(values) => {
                for (index, (value, field)) in values.iter().zip(&fields).enumerate() {
                    inner.check_field(value, *field, FieldIndex::from_usize(index))?;
                    inner.check_of_store(value)?;
                }
            }
        }
        let object = inner.allocate_struct(number, limiter)?;
        let held = inner.held(object)?;
        for (index, value) in values.unwrap_or_default().iter().enumerate() {
            let (offset, field) = inner.field_at(object, FieldIndex::from_usize(index))?;
            inner.put_field(object, offset, field, value)?;
        }
        Ok(held)
    }

    /// An array of these elements.
    pub fn make_array(&mut self, number: TypeNumber, elements: Initial<'_>) -> Result<AnyRef> {
        let (inner, limiter) = self.split();
        let fields = inner.known(number)?.fields().to_vec();
        let (length, values) = match elements {
            Initial::Default(length) => {
                check_defaults(&fields)?;
                (length, &[][..])
            }
            Initial::All(length, value) => (length, std::slice::from_ref(value)),
            Initial::Each(values) => {
                let too_many = |_| {
                    Error::limit(
                        LimitKind::Engine,
                        format!("an array of {} elements", values.len()),
                    )
                };
                (u32::try_from(values.len()).map_err(too_many)?, values)
            }
        };
        for (index, value) in values.iter().enumerate() {
            inner.check_field(value, fields[0], FieldIndex::from_usize(index))?;
            inner.check_of_store(value)?;
        }
        let object = inner.allocate_array(number, length, limiter)?;
        let held = inner.held(object)?;
        for (index, value) in values.iter().enumerate().take(length as usize) {
            let (offset, field) = inner.field_at(object, FieldIndex::from_usize(index))?;
            inner.put_field(object, offset, field, value)?;
        }
        if matches!(elements, Initial::All(..)) && length > 1 {
            inner.fill_new_array(object, length)?;
        }
        Ok(held)
    }

    /// `any.convert_extern`
    pub fn make_box(&mut self, value: &ExternRef) -> Result<AnyRef> {
        let (inner, limiter) = self.split();
        let handle = match value {
            ExternRef::Object(any) => {
                inner.reference_of(any)?;
                return Ok(any.clone());
            }
            ExternRef::Value(value) => inner.externrefs.insert(value.clone()),
        };
        let object = inner.allocate_box(handle, limiter)?;
        inner.held(object)
    }

    /// The number of a type of objects, which the store has from now on.
    pub fn add_type(&mut self, signature: &Signature) -> Result<TypeNumber> {
        self.inner.add_object_type(signature)?;
        Ok(signature.number())
    }
}

impl StoreInner {
    fn held(&self, object: HeapRef) -> Result<AnyRef> {
        self.hold(object.as_word()).ok_or_else(|| super::unknown_type(TypeNumber::from_u32(0)))
    }

    /// Refuses what is of another store, before anything is allocated.
    fn check_of_store(&self, value: &Val) -> Result<()> {
        match value {
            Val::AnyRef(Some(any)) => self.reference_of(any).map(drop),
            Val::FuncRef(func) => self.func_to_reference(func.as_ref()).map(drop),
            Val::ExternRef(Some(ExternRef::Object(any))) => self.reference_of(any).map(drop),
            _ => Ok(()),
        }
    }
}

fn check_defaults(fields: &[FieldType]) -> Result<()> {
    let without = |field: &&FieldType| matches!(field.storage.unpacked(), wardian_types::ValType::Ref(r) if !r.nullable);
    match fields.iter().find(without) {
        Some(field) => {
            Err(Error::usage(UsageKind::Type, format!("a field of type {field} has no default")))
        }
        None => Ok(()),
    }
}
