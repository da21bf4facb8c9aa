//! Accesses to fields of structs and elements of arrays.

use super::stack::{Entry, Value};
use super::updates::Place;
use super::{Body, Outcome};
use crate::op;
use crate::operand::{D, D32, D64, DW, I32, S, SW, U32};
use crate::translation::TranslateError;
use wardian_types::{FieldIndex, FieldType, StorageType, TypeIndex, ValType};

/// How a field lies in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    B8,
    B16,
    B32,
    B64,
    F32,
    F64,
    B128,
    /// A handle that stands for a function.
    Func,
}

impl Stored {
    pub(super) fn of(storage: StorageType) -> Stored {
        match storage {
            StorageType::Val(ValType::F32) => Stored::F32,
            StorageType::Val(ValType::F64) => Stored::F64,
            StorageType::Val(ValType::Ref(r)) if r.is_func() => Stored::Func,
            _ => match storage.size() {
                1 => Stored::B8,
                2 => Stored::B16,
                4 => Stored::B32,
                8 => Stored::B64,
                _ => Stored::B128,
            },
        }
    }

    /// What a store of this constant writes, if an instruction can have it as an operand.
    fn immediate(self, value: Value) -> Option<I32> {
        let Value::Const(bits) = value else { return None };
        match self {
            Stored::B64 | Stored::F64 => i32::try_from(bits as i64).ok().map(I32),
            // Null has the handle zero.
            Stored::Func => (bits == 0).then_some(I32(0)),
            Stored::B128 => None,
            _ => Some(I32(bits as i32)),
        }
    }
}

/// Emits one of the instructions that read, by how a field is stored.
macro_rules! get {
    ($body:ident, $stored:expr, $signed:expr, $d:ident, $s8:ident $u8:ident $s16:ident $u16:ident
        $w32:ident $w64:ident $f32:ident $f64:ident $func:ident, $wide:expr,
        { $($field:ident: $value:expr),* }) => {
        match $stored {
            Stored::B8 if $signed => $body.emit(op::$s8 { d: D($d), $($field: $value),* }),
            Stored::B8 => $body.emit(op::$u8 { d: D($d), $($field: $value),* }),
            Stored::B16 if $signed => $body.emit(op::$s16 { d: D($d), $($field: $value),* }),
            Stored::B16 => $body.emit(op::$u16 { d: D($d), $($field: $value),* }),
            Stored::B32 => $body.emit(op::$w32 { d: D($d), $($field: $value),* }),
            Stored::B64 => $body.emit(op::$w64 { d: D($d), $($field: $value),* }),
            Stored::F32 => $body.emit(op::$f32 { d: D32($d), $($field: $value),* }),
            Stored::F64 => $body.emit(op::$f64 { d: D64($d), $($field: $value),* }),
            Stored::Func => $body.emit(op::$func { d: D($d), $($field: $value),* }),
            Stored::B128 => $wide,
        }
    };
}

/// Emits one of the instructions that write, by the size of the field.
macro_rules! set {
    ($body:ident, $stored:expr, $w8:ident $w16:ident $w32:ident $w64:ident, $func:expr, $wide:expr,
        { $($field:ident: $value:expr),* }) => {
        match $stored {
            Stored::B8 => $body.emit(op::$w8 { $($field: $value),* }),
            Stored::B16 => $body.emit(op::$w16 { $($field: $value),* }),
            Stored::B32 | Stored::F32 => $body.emit(op::$w32 { $($field: $value),* }),
            Stored::B64 | Stored::F64 => $body.emit(op::$w64 { $($field: $value),* }),
            Stored::Func => $func,
            Stored::B128 => $wide,
        }
    };
}

impl Body<'_> {
    /// The type of a struct's field, and where it lies in the object.
    fn field(&self, ty: TypeIndex, field: FieldIndex) -> Outcome<(FieldType, U32)> {
        let info = self.env.info;
        let known = info.types.get(ty).and_then(|ty| ty.structure());
        let known = known.and_then(|ty| ty.fields().get(field.index()));
        let offset = info.struct_layout(ty).and_then(|l| l.offsets.get(field.index()));
        match (known, offset) {
            (Some(known), Some(offset)) => Ok((*known, U32(offset.as_u32()))),
            _ => Err(TranslateError::new("there is no such field")),
        }
    }

    pub(super) fn element(&self, ty: TypeIndex) -> Outcome<FieldType> {
        let ty = self.env.info.types.get(ty).and_then(|ty| ty.array());
        ty.map(|ty| ty.0).ok_or_else(|| TranslateError::new("there is no such array type"))
    }

    pub(super) fn struct_get(&mut self, ty: TypeIndex, field: FieldIndex, signed: bool) -> Outcome {
        let (field, offset) = self.field(ty, field)?;
        let stored = Stored::of(field.storage);
        let object = self.pop_slot()?;
        let d = self.push_value(field.storage.unpacked());
        if self.just_written(Place::Field { object, offset }, stored, signed, d) {
            return Ok(());
        }
        get!(self, stored, signed, d, field_get8_s field_get8_u field_get16_s field_get16_u
            field_get32 field_get64 field_get_f32 field_get_f64 field_get_func,
            self.emit(op::field_get128 { d: DW(d), object, offset }),
            { object: object, offset: offset });
        Ok(())
    }

    pub(super) fn struct_set(&mut self, ty: TypeIndex, field: FieldIndex) -> Outcome {
        let (field, offset) = self.field(ty, field)?;
        let value = self.pop()?;
        let object = self.pop()?;
        let d = object.slot;
        if let Some(slot) = self.slot_if_any(&object)
            && self.update(
                Place::Field { object: S(slot), offset },
                Stored::of(field.storage),
                &value,
                d,
            )
        {
            self.note_write();
            return Ok(());
        }
        let object = S(self.slot_of(&object));
        self.set_field(object, &value, offset, field.storage);
        self.note_write();
        Ok(())
    }

    /// Writes a field of an object.
    pub(super) fn set_field(
        &mut self,
        object: S,
        value: &Entry,
        offset: U32,
        storage: StorageType,
    ) {
        let stored = Stored::of(storage);
        if let Some(value) = stored.immediate(value.value) {
            set!(self, stored, field_set8_imm field_set16_imm field_set32_imm field_set64_imm,
                self.emit(op::field_set32_imm { object, value, offset }), (),
                { object: object, value: value, offset: offset });
            return;
        }
        let slot = self.slot_of(value);
        let value = S(slot);
        set!(self, stored, field_set8 field_set16 field_set32 field_set64,
            self.emit(op::field_set_func { object, value, offset }),
            self.emit(op::field_set128 { object, value: SW(slot), offset }),
            { object: object, value: value, offset: offset });
    }

    /// Writes a field of an object, and leaves the object in a slot; if there is an instruction for it.
    pub(super) fn init_field(
        &mut self,
        d: D,
        object: S,
        value: &Entry,
        offset: U32,
        storage: StorageType,
    ) -> bool {
        let stored = Stored::of(storage);
        if matches!(stored, Stored::Func | Stored::B128) {
            return false;
        }
        if let Some(value) = stored.immediate(value.value) {
            set!(self, stored, field_init8_imm field_init16_imm field_init32_imm field_init64_imm,
                (), (), { d: d, object: object, value: value, offset: offset });
        } else {
            let value = S(self.slot_of(value));
            set!(self, stored, field_init8 field_init16 field_init32 field_init64,
                (), (), { d: d, object: object, value: value, offset: offset });
        }
        true
    }

    pub(super) fn array_get(&mut self, ty: TypeIndex, signed: bool) -> Outcome {
        let stored = Stored::of(self.element(ty)?.storage);
        let entry = self.pop()?;
        if stored != Stored::B128
            && let Some((index, by)) = self.last_sum(&entry)
        {
            let array = self.pop_slot()?;
            let d = self.push_value(self.element(ty)?.storage.unpacked());
            get!(self, stored, signed, d, element_get8_s_plus element_get8_u_plus
                element_get16_s_plus element_get16_u_plus element_get32_plus element_get64_plus
                element_get_f32_plus element_get_f64_plus element_get_func_plus, (),
                { array: array, index: index, by: by });
            return Ok(());
        }
        let index = S(self.slot_of(&entry));
        let array = self.pop_slot()?;
        let d = self.push_value(self.element(ty)?.storage.unpacked());
        if self.just_written(Place::Element { array, index }, stored, signed, d) {
            return Ok(());
        }
        get!(self, stored, signed, d, element_get8_s element_get8_u element_get16_s element_get16_u
            element_get32 element_get64 element_get_f32 element_get_f64 element_get_func,
            self.emit(op::element_get128 { d: DW(d), array, index }),
            { array: array, index: index });
        Ok(())
    }

    pub(super) fn array_set(&mut self, ty: TypeIndex) -> Outcome {
        let storage = self.element(ty)?.storage;
        let value = self.pop()?;
        let index = self.pop()?;
        let array = self.pop()?;
        if let (Some(array_slot), Some(index)) =
            (self.slot_if_any(&array), self.slot_if_any(&index))
            && self.update(
                Place::Element { array: S(array_slot), index: S(index) },
                Stored::of(storage),
                &value,
                array.slot,
            )
        {
            self.note_write();
            return Ok(());
        }
        let index = S(self.slot_of(&index));
        let array = S(self.slot_of(&array));
        self.set_element(array, index, &value, storage);
        self.note_write();
        Ok(())
    }

    /// Writes an element of an array.
    pub(super) fn set_element(&mut self, array: S, index: S, value: &Entry, storage: StorageType) {
        let stored = Stored::of(storage);
        if let Some(value) = stored.immediate(value.value) {
            set!(self, stored, element_set8_imm element_set16_imm element_set32_imm element_set64_imm,
                self.emit(op::element_set32_imm { array, index, value }), (),
                { array: array, index: index, value: value });
            return;
        }
        let slot = self.slot_of(value);
        let value = S(slot);
        set!(self, stored, element_set8 element_set16 element_set32 element_set64,
            self.emit(op::element_set_func { array, index, value }),
            self.emit(op::element_set128 { array, index, value: SW(slot) }),
            { array: array, index: index, value: value });
    }
}
