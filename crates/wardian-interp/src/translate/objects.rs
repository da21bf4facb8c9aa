//! Structs, arrays, integers of 31 bits, and casts.

use super::emit::Chain;
use super::stack::Value;
use super::{Body, Outcome};
use crate::operand::{D, DW, Far, S, SW, U16, U32};
use crate::translation::TranslateError;
use crate::{cast, op};
use wardian_types::{FieldType, HeapType, RefType, StorageType, TrapCode, TypeIndex, ValType};
use wardian_vm::heap::shape;
use wardian_vm::layout::Builtin;
use wasmparser::Operator;

/// Emits one of the instructions that access a field or an element, by how it is stored.
macro_rules! access {
    ($body:ident, $storage:expr, $signed:expr, $wide:expr,
        $s8:ident $u8:ident $s16:ident $u16:ident $w32:ident $w64:ident $func:ident $w128:ident,
        { $($field:ident: $value:expr),* }) => {
        match Stored::of($storage) {
            Stored::B8 if $signed => $body.emit(op::$s8 { $($field: $value),* }),
            Stored::B8 => $body.emit(op::$u8 { $($field: $value),* }),
            Stored::B16 if $signed => $body.emit(op::$s16 { $($field: $value),* }),
            Stored::B16 => $body.emit(op::$u16 { $($field: $value),* }),
            Stored::B32 => $body.emit(op::$w32 { $($field: $value),* }),
            Stored::B64 => $body.emit(op::$w64 { $($field: $value),* }),
            Stored::Func => $body.emit(op::$func { $($field: $value),* }),
            Stored::B128 => $wide,
        }
    };
}

/// How a field lies in an object.
#[derive(Clone, Copy)]
enum Stored {
    B8,
    B16,
    B32,
    B64,
    B128,
    /// A handle that stands for a function.
    Func,
}

impl Stored {
    fn of(storage: StorageType) -> Stored {
        match storage {
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
}

impl Body<'_> {
    pub(super) fn object_operator(&mut self, operator: &Operator<'_>) -> Outcome<bool> {
        match *operator {
            Operator::StructNew { struct_type_index } => self.struct_new(struct_type_index)?,
            Operator::StructNewDefault { struct_type_index } => {
                self.allocate_struct(struct_type_index)?;
            }
            Operator::StructGet { struct_type_index, field_index }
            | Operator::StructGetU { struct_type_index, field_index } => {
                self.struct_get(struct_type_index, field_index, false)?;
            }
            Operator::StructGetS { struct_type_index, field_index } => {
                self.struct_get(struct_type_index, field_index, true)?;
            }
            Operator::StructSet { struct_type_index, field_index } => {
                let (field, offset) = self.field(struct_type_index, field_index)?;
                let value = self.pop_slot()?;
                let object = self.pop_slot()?;
                self.set_field(object, value, offset, field.storage);
            }
            Operator::RefEq => {
                let (imm, left) = (op::i64_eq_imm::new, op::i64_eq_imm::new);
                self.comparison(op::i64_eq::new, imm, left, true)?;
            }
            Operator::RefI31 => {
                self.unary(op::ref_i31::new)?;
                self.mark_reference();
            }
            Operator::I31GetS => self.unary(op::i31_get_s::new)?,
            Operator::I31GetU => self.unary(op::i31_get_u::new)?,
            Operator::AnyConvertExtern => self.convert(Builtin::AnyFromExtern, true)?,
            Operator::ExternConvertAny => self.convert(Builtin::ExternFromAny, false)?,
            Operator::RefTestNonNull { hty } => self.ref_test(hty, false)?,
            Operator::RefTestNullable { hty } => self.ref_test(hty, true)?,
            Operator::RefCastNonNull { hty } => self.ref_cast(hty, false)?,
            Operator::RefCastNullable { hty } => self.ref_cast(hty, true)?,
            Operator::BrOnCast { relative_depth, to_ref_type, .. } => {
                self.br_on_cast(relative_depth, to_ref_type, false)?;
            }
            Operator::BrOnCastFail { relative_depth, to_ref_type, .. } => {
                self.br_on_cast(relative_depth, to_ref_type, true)?;
            }
            _ => return self.array_operator(operator),
        }
        Ok(true)
    }

    fn array_operator(&mut self, operator: &Operator<'_>) -> Outcome<bool> {
        match *operator {
            Operator::ArrayNew { array_type_index } => self.array_new(array_type_index)?,
            Operator::ArrayNewDefault { array_type_index } => {
                let len = self.pop_far()?;
                self.allocate_array(array_type_index, len)?;
            }
            Operator::ArrayNewFixed { array_type_index, array_size } => {
                self.array_new_fixed(array_type_index, array_size)?;
            }
            Operator::ArrayNewData { array_type_index, array_data_index } => {
                self.new_from_segment(Builtin::ArrayNewData, array_type_index, array_data_index)?;
            }
            Operator::ArrayNewElem { array_type_index, array_elem_index } => {
                self.new_from_segment(Builtin::ArrayNewElem, array_type_index, array_elem_index)?;
            }
            Operator::ArrayGet { array_type_index } | Operator::ArrayGetU { array_type_index } => {
                self.array_get(array_type_index, false)?;
            }
            Operator::ArrayGetS { array_type_index } => self.array_get(array_type_index, true)?,
            Operator::ArraySet { array_type_index } => {
                let element = self.element(array_type_index)?;
                let value = self.pop_slot()?;
                let index = self.pop_slot()?;
                let array = self.pop_slot()?;
                self.set_element(array, index, value, element.storage);
            }
            Operator::ArrayLen => self.unary(op::array_len::new)?,
            Operator::ArrayFill { array_type_index } => self.array_fill(array_type_index)?,
            Operator::ArrayCopy { .. } => {
                let (f, e) = (self.pop_far()?, self.pop_far()?);
                let (c, b, a) = (self.pop_far()?, self.pop_far()?, self.pop_far()?);
                self.not_null(a);
                self.not_null(c);
                // As the builtin takes them: array to, index, array from, index, length.
                let (which, narrow, top) = self.builtin(Builtin::ArrayCopy, false);
                self.append(op::builtin_rrrrr { which, narrow, top, d: top, a, b, c, e, f });
                self.safepoint();
            }
            Operator::ArrayInitData { array_data_index, .. } => {
                self.init_from_segment(Builtin::ArrayInitData, array_data_index)?;
            }
            Operator::ArrayInitElem { array_elem_index, .. } => {
                self.init_from_segment(Builtin::ArrayInitElem, array_elem_index)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The type of a struct's field, and where it lies in the object.
    fn field(&self, ty: u32, field: u32) -> Outcome<(FieldType, U32)> {
        let info = self.env.info;
        let known = info.types.get(ty as usize).and_then(|ty| ty.structure());
        let known = known.and_then(|ty| ty.fields().get(field as usize));
        let offset = info.struct_layout(ty).and_then(|l| l.offsets.get(field as usize));
        match (known, offset) {
            (Some(known), Some(offset)) => Ok((*known, U32(*offset))),
            _ => Err(TranslateError::new("there is no such field")),
        }
    }

    fn element(&self, ty: u32) -> Outcome<FieldType> {
        let ty = self.env.info.types.get(ty as usize).and_then(|ty| ty.array());
        ty.map(|ty| ty.0).ok_or_else(|| TranslateError::new("there is no such array type"))
    }

    fn struct_get(&mut self, ty: u32, field: u32, signed: bool) -> Outcome {
        let (field, offset) = self.field(ty, field)?;
        let object = self.pop_slot()?;
        let d = self.push_value(field.storage.unpacked());
        access!(self, field.storage, signed,
            self.emit(op::field_get128 { d: DW(d), object, offset }),
            field_get8_s field_get8_u field_get16_s field_get16_u field_get32 field_get64
            field_get_func field_get128,
            { d: D(d), object: object, offset: offset });
        Ok(())
    }

    fn set_field(&mut self, object: S, value: S, offset: U32, storage: StorageType) {
        access!(self, storage, false,
            self.emit(op::field_set128 { object, value: SW(value.0), offset }),
            field_set8 field_set8 field_set16 field_set16 field_set32 field_set64 field_set_func
            field_set128,
            { object: object, value: value, offset: offset });
    }

    fn array_get(&mut self, ty: u32, signed: bool) -> Outcome {
        let element = self.element(ty)?;
        let index = self.pop_slot()?;
        let array = self.pop_slot()?;
        let d = self.push_value(element.storage.unpacked());
        access!(self, element.storage, signed,
            self.emit(op::element_get128 { d: DW(d), array, index }),
            element_get8_s element_get8_u element_get16_s element_get16_u element_get32
            element_get64 element_get_func element_get128,
            { d: D(d), array: array, index: index });
        Ok(())
    }

    fn set_element(&mut self, array: S, index: S, value: S, storage: StorageType) {
        access!(self, storage, false,
            self.emit(op::element_set128 { array, index, value: SW(value.0) }),
            element_set8 element_set8 element_set16 element_set16 element_set32 element_set64
            element_set_func element_set128,
            { array: array, index: index, value: value });
    }

    /// Pushes a struct, all zero.
    fn allocate_struct(&mut self, ty: u32) -> Outcome {
        let layout = self.env.info.struct_layout(ty);
        let layout = layout.ok_or_else(|| TranslateError::new("there is no such struct type"))?;
        let d = Far(self.push_reference());
        let top = self.free();
        self.append(op::struct_new { top, d, ty: U32(ty), size: U32(layout.size) });
        self.safepoint();
        Ok(())
    }

    fn struct_new(&mut self, ty: u32) -> Outcome {
        let known = self.env.info.types.get(ty as usize).and_then(|ty| ty.structure());
        let known = known.ok_or_else(|| TranslateError::new("there is no such struct type"))?;
        let fields = known.fields();
        let first = self.below(fields.len())?;
        // The values stay on the operand stack, so that the collector finds them.
        self.allocate_struct(ty)?;
        let object = S(self.slot_at(first + fields.len()));
        for (at, field) in (0u32..).zip(fields) {
            let entry = self.b.stack[first + at as usize];
            if entry.value != Value::Const(0) {
                let value = S(self.slot_of(&entry));
                let (_, offset) = self.field(ty, at)?;
                self.set_field(object, value, offset, field.storage);
            }
        }
        self.keep_top(first, object)
    }

    /// Pops all operands from this position on, and pushes the reference in a slot above.
    fn keep_top(&mut self, first: usize, object: S) -> Outcome {
        self.truncate(first);
        let d = self.push_reference();
        self.copy(d, object.0, false);
        Ok(())
    }

    /// Pushes an array, all zero.
    fn allocate_array(&mut self, ty: u32, len: Far) -> Outcome {
        self.element(ty)?;
        let d = Far(self.push_reference());
        let (which, _, top) = self.builtin(Builtin::ArrayNew, true);
        let narrow = U16(1);
        self.append(op::builtin_ir { which, narrow, top, d, i: U32(ty), a: len });
        self.safepoint();
        Ok(())
    }

    fn array_new(&mut self, ty: u32) -> Outcome {
        let element = self.element(ty)?;
        let first = self.below(2)?;
        let is_zero = self.b.stack[first].value == Value::Const(0);
        self.flush_from(first);
        let len = Far(self.slot_at(first + 1));
        let value = S(self.slot_at(first));
        self.allocate_array(ty, len)?;
        let array = Far(self.slot_at(first + 2));
        if !is_zero {
            let mut skip = Chain::default();
            self.branch_on_slot(len.0, true);
            self.link(&mut skip);
            let offset = U32(shape::first_element(element.storage.size()));
            self.set_field(S(array.0), value, offset, element.storage);
            let zero = Far(self.push_zero());
            self.repeat(array, zero, len);
            self.pop()?;
            self.bind(skip);
        }
        self.keep_top(first, S(array.0))
    }

    /// A zero in a slot of its own, pushed.
    fn push_zero(&mut self) -> i32 {
        let slot = self.push_temp();
        self.constant(slot, 0);
        slot
    }

    /// Copies an element over those behind it.
    fn repeat(&mut self, a: Far, b: Far, c: Far) {
        let (which, narrow, top) = self.builtin(Builtin::ArrayRepeat, false);
        self.append(op::builtin_rrr { which, narrow, top, d: top, a, b, c });
        self.safepoint();
    }

    fn array_new_fixed(&mut self, ty: u32, count: u32) -> Outcome {
        let element = self.element(ty)?;
        let first = self.below(count as usize)?;
        let len = Far(self.push_temp());
        self.constant(len.0, count.into());
        self.allocate_array(ty, len)?;
        let array = S(self.slot_at(first + count as usize + 1));
        let size = element.storage.size();
        for at in 0..count {
            let entry = self.b.stack[first + at as usize];
            if entry.value != Value::Const(0) {
                let value = S(self.slot_of(&entry));
                let offset = U32(shape::first_element(size) + size * at);
                self.set_field(array, value, offset, element.storage);
            }
        }
        self.keep_top(first, array)
    }

    fn array_fill(&mut self, ty: u32) -> Outcome {
        let element = self.element(ty)?;
        let first = self.below(4)?;
        self.flush_from(first);
        let [array, index, value, len] = [0, 1, 2, 3].map(|at| self.slot_at(first + at));
        self.emit(op::array_range { array: S(array), index: S(index), len: S(len) });
        let mut skip = Chain::default();
        self.branch_on_slot(len, true);
        self.link(&mut skip);
        self.set_element(S(array), S(index), S(value), element.storage);
        self.repeat(Far(array), Far(index), Far(len));
        self.bind(skip);
        self.truncate(first);
        Ok(())
    }

    fn not_null(&mut self, a: Far) {
        self.append(op::trap_if_null { a, code: U16(TrapCode::NullArrayReference as u16) });
    }

    fn new_from_segment(&mut self, builtin: Builtin, ty: u32, segment: u32) -> Outcome {
        let (b, a) = (self.pop_far()?, self.pop_far()?);
        let d = Far(self.push_reference());
        let (which, narrow, top) = self.builtin(builtin, true);
        let (i, j) = (U32(ty), U32(segment));
        self.append(op::builtin_iirr { which, narrow, top, d, i, j, a, b });
        self.safepoint();
        Ok(())
    }

    fn init_from_segment(&mut self, builtin: Builtin, segment: u32) -> Outcome {
        let (e, c) = (self.pop_far()?, self.pop_far()?);
        let (b, a) = (self.pop_far()?, self.pop_far()?);
        self.not_null(a);
        let (which, narrow, top) = self.builtin(builtin, false);
        self.append(op::builtin_rrirr { which, narrow, top, d: top, a, b, i: U32(segment), c, e });
        self.safepoint();
        Ok(())
    }

    fn convert(&mut self, builtin: Builtin, to_any: bool) -> Outcome {
        let a = self.pop_far()?;
        let d = Far(if to_any { self.push_reference() } else { self.push_temp() });
        let (which, narrow, top) = self.builtin(builtin, to_any);
        self.append(op::builtin_r { which, narrow, top, d, a });
        self.safepoint();
        Ok(())
    }

    /// How a reference is compared with a type: the type's index, its depth, and what of [`cast`].
    fn test(&self, ty: RefType) -> Outcome<(U32, U16, U16)> {
        let index = match ty.heap.named() {
            None => return Ok((U32(0), U16(0), U16(cast::what(ty, false)))),
            Some(TypeIndex::Module(index)) => index,
            Some(_) => return Err(TranslateError::new("a type has no index in the module")),
        };
        let info = self.env.info;
        let known = info.types.get(index as usize).zip(info.type_depth(index));
        let (known, depth) = known.ok_or_else(|| TranslateError::new("there is no such type"))?;
        let depth = U16(u16::try_from(depth).unwrap_or(u16::MAX));
        Ok((U32(index), depth, U16(cast::what(ty, known.is_final))))
    }

    fn heap_type(&self, ty: wasmparser::HeapType) -> Outcome<HeapType> {
        self.env.info.heap_type(ty).map_err(|e| TranslateError::new(e.to_string()))
    }

    fn ref_test(&mut self, ty: wasmparser::HeapType, nullable: bool) -> Outcome {
        let heap = self.heap_type(ty)?;
        let (ty, depth, what) = self.test(RefType { nullable, heap })?;
        let a = self.pop_far()?;
        let d = Far(self.push_temp());
        let top = self.free();
        self.append(op::ref_test { top, d, a, ty, depth, what });
        Ok(())
    }

    fn ref_cast(&mut self, ty: wasmparser::HeapType, nullable: bool) -> Outcome {
        let heap = self.heap_type(ty)?;
        let (ty, depth, what) = self.test(RefType { nullable, heap })?;
        let a = Far(self.reference()?);
        let top = self.free();
        self.append(op::ref_cast { top, a, ty, depth, what });
        Ok(())
    }

    /// The branch takes the reference, which also stays on the operand stack without the branch.
    fn br_on_cast(&mut self, depth: u32, to: wasmparser::RefType, negate: bool) -> Outcome {
        let frame = self.frame(depth)?;
        let to = self.env.info.ref_type(to).map_err(|e| TranslateError::new(e.to_string()))?;
        let (ty, depth, what) = self.test(to)?;
        let a = Far(self.reference()?);
        let d = self.free();
        self.reserve(2);
        let top = Far(d.0 + 1);
        self.append(op::ref_test { top, d, a, ty, depth, what });
        self.branch_if(frame, d.0, negate)
    }
}
