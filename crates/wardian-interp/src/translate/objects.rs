//! Structs, arrays and integers of 31 bits. Accesses are in `fields`, tests in `casts`.

use super::emit::Chain;
use super::stack::Value;
use super::{Body, Outcome};
use crate::op;
use crate::operand::{D, Far, S, U16, U32};
use crate::translation::TranslateError;
use wardian_module::operators::{Array, Cast, Object};
use wardian_types::{
    ArrayElementIndex, Index, ObjectOffset, OperandIndex, StorageType, TrapCode, TypeIndex,
};
use wardian_vm::heap::shape;
use wardian_vm::interpreted::FrameSlot;
use wardian_vm::layout::Builtin;

impl Body<'_> {
    pub(super) fn object_operator(&mut self, operator: Object) -> Outcome {
        use Object as O;
        match operator {
            O::StructNew { struct_type_index } => self.struct_new(struct_type_index)?,
            O::StructNewDefault { struct_type_index } => {
                self.allocate_struct(struct_type_index)?;
            }
            O::StructGet { struct_type_index, field_index }
            | O::StructGetU { struct_type_index, field_index } => {
                self.struct_get(struct_type_index, field_index, false)?;
            }
            O::StructGetS { struct_type_index, field_index } => {
                self.struct_get(struct_type_index, field_index, true)?;
            }
            O::StructSet { struct_type_index, field_index } => {
                self.struct_set(struct_type_index, field_index)?;
            }
            O::RefEq => {
                let (imm, left) = (op::i64_eq_imm::new, op::i64_eq_imm::new);
                self.comparison(op::i64_eq::new, imm, left, true)?;
            }
            O::RefI31 => {
                self.unary(op::ref_i31::new)?;
                self.mark_reference();
            }
            O::I31GetS => self.unary(op::i31_get_s::new)?,
            O::I31GetU => self.unary(op::i31_get_u::new)?,
            O::AnyConvertExtern => self.convert(Builtin::AnyFromExtern, true)?,
            O::ExternConvertAny => self.convert(Builtin::ExternFromAny, false)?,
        }
        Ok(())
    }

    pub(super) fn cast_operator(&mut self, operator: Cast) -> Outcome {
        use Cast as O;
        match operator {
            O::RefTestNonNull { hty } => self.ref_test(hty, false)?,
            O::RefTestNullable { hty } => self.ref_test(hty, true)?,
            O::RefCastNonNull { hty } => self.ref_cast(hty, false)?,
            O::RefCastNullable { hty } => self.ref_cast(hty, true)?,
            O::BrOnCast { relative_depth, to_ref_type, .. } => {
                self.br_on_cast(relative_depth, to_ref_type, false)?;
            }
            O::BrOnCastFail { relative_depth, to_ref_type, .. } => {
                self.br_on_cast(relative_depth, to_ref_type, true)?;
            }
        }
        Ok(())
    }

    pub(super) fn array_operator(&mut self, operator: Array) -> Outcome {
        use Array as O;
        match operator {
            O::ArrayNew { array_type_index } => self.array_new(array_type_index)?,
            O::ArrayNewDefault { array_type_index } => {
                let len = self.pop_far()?;
                self.allocate_array(array_type_index, len)?;
            }
            O::ArrayNewFixed { array_type_index, array_size } => {
                self.array_new_fixed(array_type_index, array_size)?;
            }
            O::ArrayNewData { array_type_index, array_data_index } => {
                self.new_from_segment(Builtin::ArrayNewData, array_type_index, array_data_index)?;
            }
            O::ArrayNewElem { array_type_index, array_elem_index } => {
                self.new_from_segment(Builtin::ArrayNewElem, array_type_index, array_elem_index)?;
            }
            O::ArrayGet { array_type_index } | O::ArrayGetU { array_type_index } => {
                self.array_get(array_type_index, false)?;
            }
            O::ArrayGetS { array_type_index } => self.array_get(array_type_index, true)?,
            O::ArraySet { array_type_index } => self.array_set(array_type_index)?,
            O::ArrayLen => self.unary(op::array_len::new)?,
            O::ArrayFill { array_type_index } => self.array_fill(array_type_index)?,
            O::ArrayCopy { .. } => {
                let (f, e) = (self.pop_far()?, self.pop_far()?);
                let (c, b, a) = (self.pop_far()?, self.pop_far()?, self.pop_far()?);
                self.not_null(a);
                self.not_null(c);
                // As the builtin takes them: array to, index, array from, index, length.
                let (which, narrow, top) = self.builtin(Builtin::ArrayCopy, false);
                self.append(op::builtin_rrrrr { which, narrow, top, d: top, a, b, c, e, f });
                self.safepoint();
            }
            O::ArrayInitData { array_data_index, .. } => {
                self.init_from_segment(Builtin::ArrayInitData, array_data_index)?;
            }
            O::ArrayInitElem { array_elem_index, .. } => {
                self.init_from_segment(Builtin::ArrayInitElem, array_elem_index)?;
            }
        }
        Ok(())
    }

    /// Pushes a struct, all zero.
    fn allocate_struct(&mut self, ty: TypeIndex) -> Outcome {
        let layout = self.env.info.struct_layout(ty);
        let layout = layout.ok_or_else(|| TranslateError::new("there is no such struct type"))?;
        let d = Far(self.push_reference());
        let top = self.free();
        self.append(op::struct_new { top, d, ty: U32(ty.as_u32()), size: U32(layout.size) });
        self.safepoint();
        Ok(())
    }

    fn struct_new(&mut self, ty: TypeIndex) -> Outcome {
        let known = self.env.info.types.get(ty).and_then(|ty| ty.structure());
        let known = known.ok_or_else(|| TranslateError::new("there is no such struct type"))?;
        let fields = known.fields();
        let first = self.below(fields.len())?;
        // The values stay on the operand stack, so that the collector finds them.
        self.allocate_struct(ty)?;
        let offsets = self.env.info.struct_layout(ty).map(|layout| &layout.offsets[..]);
        let offsets = offsets.unwrap_or_default();
        let object = S(self.slot_at(first.add(fields.len() as u32)));
        let fields = fields.iter().map(|field| field.storage).zip(offsets.iter().copied());
        self.fill(first, object, fields)
    }

    /// Writes the operands from this one on to a new object, each as a field that is stored so and lies at that
    /// offset; then pops all operands from there on, and pushes the object.
    fn fill(
        &mut self,
        first: OperandIndex,
        object: S,
        fields: impl ExactSizeIterator<Item = (StorageType, ObjectOffset)>,
    ) -> Outcome {
        let is_zero = |body: &Self, at: u32| body.b.stack[first.add(at)].value == Value::Const(0);
        let last = (0..fields.len() as u32).rev().find(|at| !is_zero(self, *at));
        let mut is_moved = false;
        for (at, (storage, offset)) in (0..).zip(fields) {
            if is_zero(self, at) {
                continue;
            }
            let entry = self.b.stack[first.add(at)];
            let offset = U32(offset.as_u32());
            let d = D(self.slot_at(first));
            if Some(at) == last && self.init_field(d, object, &entry, offset, storage) {
                is_moved = true;
            } else {
                self.set_field(object, &entry, offset, storage);
            }
        }
        if !is_moved {
            return self.keep_top(first, object);
        }
        self.truncate(first);
        self.push_reference();
        Ok(())
    }

    /// Pops all operands from this one on, and pushes the reference in a slot above.
    fn keep_top(&mut self, first: OperandIndex, object: S) -> Outcome {
        self.truncate(first);
        let d = self.push_reference();
        self.copy(d, object.0, false);
        Ok(())
    }

    /// Pushes an array, all zero.
    fn allocate_array(&mut self, ty: TypeIndex, len: Far) -> Outcome {
        let size = self.element(ty)?.storage.size();
        let log2 = U16(size.trailing_zeros() as u16);
        let d = Far(self.push_reference());
        let top = self.free();
        self.append(op::array_new { top, d, ty: U32(ty.as_u32()), len, log2 });
        self.safepoint();
        Ok(())
    }

    fn array_new(&mut self, ty: TypeIndex) -> Outcome {
        let element = self.element(ty)?;
        let first = self.below(2)?;
        let value = self.b.stack[first];
        self.flush_from(first.add(1));
        let len = Far(self.slot_at(first.add(1)));
        self.allocate_array(ty, len)?;
        let array = Far(self.slot_at(first.add(2)));
        if value.value != Value::Const(0) {
            let mut skip = Chain::default();
            self.branch_on_slot(len.0, true);
            self.link(&mut skip);
            let offset = U32(shape::first_element(element.storage.size()).as_u32());
            self.set_field(S(array.0), &value, offset, element.storage);
            let zero = Far(self.push_zero());
            self.repeat(array, zero, len);
            self.pop()?;
            self.bind(skip);
        }
        self.keep_top(first, S(array.0))
    }

    /// A zero in a slot of its own, pushed.
    fn push_zero(&mut self) -> FrameSlot {
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

    fn array_new_fixed(&mut self, ty: TypeIndex, count: u32) -> Outcome {
        let element = self.element(ty)?;
        let first = self.below(count as usize)?;
        let len = Far(self.push_temp());
        self.constant(len.0, count.into());
        self.allocate_array(ty, len)?;
        // The length is no element.
        let size = element.storage.size();
        let offset = move |at| shape::element_at(size, ArrayElementIndex::from_u32(at));
        let object = S(self.slot_at(first.add(count + 1)));
        self.fill(first, object, (0..count).map(move |at| (element.storage, offset(at))))
    }

    fn array_fill(&mut self, ty: TypeIndex) -> Outcome {
        let element = self.element(ty)?;
        let first = self.below(4)?;
        self.flush_from(first);
        let [array, index, len] = [0, 1, 3].map(|at| self.slot_at(first.add(at)));
        let value = self.b.stack[first.add(2)];
        self.emit(op::array_range { array: S(array), index: S(index), len: S(len) });
        let mut skip = Chain::default();
        self.branch_on_slot(len, true);
        self.link(&mut skip);
        self.set_element(S(array), S(index), &value, element.storage);
        self.repeat(Far(array), Far(index), Far(len));
        self.bind(skip);
        self.truncate(first);
        Ok(())
    }

    fn not_null(&mut self, a: Far) {
        self.append(op::trap_if_null { a, code: U16(TrapCode::NullArrayReference as u16) });
    }

    fn new_from_segment(
        &mut self,
        builtin: Builtin,
        ty: TypeIndex,
        segment: impl Index,
    ) -> Outcome {
        let (b, a) = (self.pop_far()?, self.pop_far()?);
        let d = Far(self.push_reference());
        let (which, narrow, top) = self.builtin(builtin, true);
        let (i, j) = (U32(ty.as_u32()), U32(segment.index() as u32));
        self.append(op::builtin_iirr { which, narrow, top, d, i, j, a, b });
        self.safepoint();
        Ok(())
    }

    fn init_from_segment(&mut self, builtin: Builtin, segment: impl Index) -> Outcome {
        let (e, c) = (self.pop_far()?, self.pop_far()?);
        let (b, a) = (self.pop_far()?, self.pop_far()?);
        self.not_null(a);
        let (which, narrow, top) = self.builtin(builtin, false);
        self.append(op::builtin_rrirr {
            which,
            narrow,
            top,
            d: top,
            a,
            b,
            i: U32(segment.index() as u32),
            c,
            e,
        });
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
}
