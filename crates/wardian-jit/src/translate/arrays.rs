//! Arrays. Accesses to elements and short fills are inline; long operations are builtins.

use super::objects::Extend;
use super::state::{Fail, Outcome, Region, Translator, user};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use wardian_module::operators::Array;
use wardian_types::{Index, StorageType, TrapCode, TypeIndex};
use wardian_vm::heap::shape::{self, first_element};
use wardian_vm::layout::Builtin;

/// The maximum number of elements that an inline loop fills.
const SHORT: i64 = 32;

impl Translator<'_, '_> {
    pub(super) fn array_operator(&mut self, operator: Array) -> Outcome {
        use Array as O;
        match operator {
            O::ArrayNew { array_type_index: ty } => {
                let (value, length) = self.pop2()?;
                let storage = self.element(ty)?;
                let array = self.new_array(ty, length)?;
                if self.as_const(value) != Some(0) {
                    let start = self.iconst(types::I32, 0);
                    self.fill_elements(storage, array, start, value, length);
                }
                self.push(array);
            }
            O::ArrayNewDefault { array_type_index: ty } => {
                let length = self.pop()?;
                let array = self.new_array(ty, length)?;
                self.push(array);
            }
            O::ArrayNewFixed { array_type_index: ty, array_size } => {
                self.array_new_fixed(ty, array_size)?;
            }
            O::ArrayNewData { array_type_index, array_data_index } => {
                self.new_from_segment(Builtin::ArrayNewData, array_type_index, array_data_index)?;
            }
            O::ArrayNewElem { array_type_index, array_elem_index } => {
                self.new_from_segment(Builtin::ArrayNewElem, array_type_index, array_elem_index)?;
            }
            O::ArrayGet { array_type_index } | O::ArrayGetU { array_type_index } => {
                self.array_get(array_type_index, Extend::Zero)?;
            }
            O::ArrayGetS { array_type_index } => {
                self.array_get(array_type_index, Extend::Sign)?;
            }
            O::ArraySet { array_type_index } => {
                let (array, index, value) = self.pop3()?;
                let storage = self.element(array_type_index)?;
                let value = self.stored_value(storage, value);
                let address = self.element_at(storage, array, index);
                let flags = self.heap_flags(Region::Heap);
                self.store_field(storage, flags, value, address, first_element(storage.size()));
            }
            O::ArrayLen => {
                let array = self.pop()?;
                let length = self.array_length(array);
                self.push(length);
            }
            O::ArrayFill { array_type_index } => self.array_fill(array_type_index)?,
            O::ArrayCopy { .. } => self.array_copy()?,
            O::ArrayInitData { array_data_index, .. } => {
                self.init_from_segment(Builtin::ArrayInitData, array_data_index)?;
            }
            O::ArrayInitElem { array_elem_index, .. } => {
                self.init_from_segment(Builtin::ArrayInitElem, array_elem_index)?;
            }
        }
        Ok(())
    }

    fn element(&self, ty: TypeIndex) -> Outcome<StorageType> {
        let ty = self.env.info.types.get(ty).and_then(|ty| ty.array());
        ty.map(|ty| ty.0.storage).ok_or_else(|| Fail("it is no array".into()))
    }

    /// An array of zeroes.
    fn new_array(&mut self, ty: TypeIndex, length: Value) -> Outcome<Value> {
        let element = i64::from(self.element(ty)?.size());
        let wide = self.b.ins().uextend(types::I64, length);
        let bytes = self.b.ins().imul_imm_s(wide, element);
        let rounding =
            i64::from(first_element(element as u32).as_u32()) + i64::from(shape::ALIGN) - 1;
        let size = self.b.ins().iadd_imm_s(bytes, rounding);
        let size = self.b.ins().band_imm_s(size, -i64::from(shape::ALIGN));
        let number = self.type_number(ty)?;
        let ty = self.index(ty);
        Ok(self.allocate(size, [number, length], (Builtin::ArrayNew, &[ty, wide])))
    }

    fn array_new_fixed(&mut self, ty: TypeIndex, count: u32) -> Outcome {
        let storage = self.element(ty)?;
        let start = self.height_below(count as usize)?;
        let values = self.stack[start..].to_vec();
        let length = self.iconst(types::I32, i64::from(count));
        let array = self.new_array(ty, length)?;
        let mut address = None;
        let mut offset = first_element(storage.size());
        for value in values {
            if self.as_const(value) != Some(0) {
                let value = self.stored_value(storage, value);
                let address = *address.get_or_insert_with(|| self.object(array));
                let flags = self.heap_flags(Region::Heap);
                self.store_field(storage, flags, value, address, offset);
            }
            offset = offset.add(storage.size().into());
        }
        self.stack.truncate(start);
        self.push(array);
        Ok(())
    }

    /// The length; traps if the reference is null.
    fn array_length(&mut self, array: Value) -> Value {
        let mut flags = self.heap_flags(Region::Headers);
        if self.env.tunables.signals {
            flags = flags.with_trap_code(Some(user(TrapCode::NullArrayReference)));
        } else {
            self.trap_if_zero(array, TrapCode::NullArrayReference);
        }
        let address = self.object(array);
        self.b.ins().load(types::I32, flags, address, shape::LENGTH as i32)
    }

    /// The address of an element, less the offset of the first one; traps if there is none at this index.
    fn element_at(&mut self, storage: StorageType, array: Value, index: Value) -> Value {
        let length = self.array_length(array);
        let beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, length);
        self.trap_if(beyond, TrapCode::ArrayOutOfBounds);
        let address = self.element_address_in(storage, array, index);
        self.guard_speculation(Some(beyond), address)
    }

    /// The same for an index that has been checked.
    fn element_address_in(&mut self, storage: StorageType, array: Value, index: Value) -> Value {
        let address = self.object(array);
        let index = self.b.ins().uextend(types::I64, index);
        let shift = i64::from(storage.size().trailing_zeros());
        let offset = self.b.ins().ishl_imm_u(index, shift);
        self.b.ins().iadd(address, offset)
    }

    fn array_get(&mut self, ty: TypeIndex, extend: Extend) -> Outcome {
        let (array, index) = self.pop2()?;
        let storage = self.element(ty)?;
        let address = self.element_at(storage, array, index);
        let flags = self.heap_flags(Region::Heap);
        self.load_field(storage, extend, flags, address, first_element(storage.size()));
        Ok(())
    }

    /// Traps unless `length` elements from `index` on are in an array, whose length it returns.
    fn check_range(&mut self, array: Value, index: Value, length: Value) {
        let have = self.array_length(array);
        let have = self.b.ins().uextend(types::I64, have);
        let (index, length) =
            (self.b.ins().uextend(types::I64, index), self.b.ins().uextend(types::I64, length));
        let end = self.b.ins().iadd(index, length);
        let beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, have);
        self.trap_if(beyond, TrapCode::ArrayOutOfBounds);
    }

    fn array_fill(&mut self, ty: TypeIndex) -> Outcome {
        let length = self.pop()?;
        let (array, index, value) = self.pop3()?;
        let storage = self.element(ty)?;
        self.check_range(array, index, length);
        self.fill_elements(storage, array, index, value, length);
        Ok(())
    }

    /// Fills elements that are inside of the array: a few by a loop; of many the first, which the runtime repeats.
    fn fill_elements(
        &mut self,
        storage: StorageType,
        array: Value,
        index: Value,
        value: Value,
        length: Value,
    ) {
        let value = self.stored_value(storage, value);
        let size = storage.size();
        let (few, many) = (self.b.create_block(), self.b.create_block());
        let (round, done) = (self.b.create_block(), self.b.create_block());
        let short = self.b.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, length, SHORT);
        self.b.ins().brif(short, few, &[], many, &[]);

        self.enter(few);
        let from = self.element_address_in(storage, array, index);
        let wide = self.b.ins().uextend(types::I64, length);
        let bytes = self.b.ins().imul_imm_s(wide, i64::from(size));
        let end = self.b.ins().iadd(from, bytes);
        let at = self.b.append_block_param(round, types::I64);
        let none = self.b.ins().icmp_imm_s(IntCC::Equal, length, 0);
        self.b.ins().brif(none, done, &[], round, &[from.into()]);
        self.b.switch_to_block(round);
        let flags = self.heap_flags(Region::Heap);
        self.store_field(storage, flags, value, at, first_element(size));
        let next = self.b.ins().iadd_imm_s(at, i64::from(size));
        let more = self.b.ins().icmp(IntCC::UnsignedLessThan, next, end);
        self.b.ins().brif(more, round, &[next.into()], done, &[]);
        self.b.seal_block(round);

        self.enter(many);
        let at = self.element_address_in(storage, array, index);
        let flags = self.heap_flags(Region::Heap);
        self.store_field(storage, flags, value, at, first_element(size));
        let args = [array, index, length].map(|v| self.extend(v));
        self.builtin(Builtin::ArrayRepeat, &args);
        self.b.ins().jump(done, &[]);
        self.enter(done);
    }

    fn array_copy(&mut self) -> Outcome {
        let length = self.pop()?;
        let (from, from_index) = self.pop2()?;
        let (to, to_index) = self.pop2()?;
        self.trap_if_zero(to, TrapCode::NullArrayReference);
        self.trap_if_zero(from, TrapCode::NullArrayReference);
        let args = [to, to_index, from, from_index, length].map(|v| self.extend(v));
        self.builtin(Builtin::ArrayCopy, &args);
        Ok(())
    }

    fn new_from_segment(
        &mut self,
        builtin: Builtin,
        ty: TypeIndex,
        segment: impl Index,
    ) -> Outcome {
        let (from, length) = self.pop2()?;
        let (ty, segment) = (self.index(ty), self.index(segment));
        let (from, length) = (self.extend(from), self.extend(length));
        let array = self.builtin(builtin, &[ty, segment, from, length]);
        self.push_reference(array);
        Ok(())
    }

    fn init_from_segment(&mut self, builtin: Builtin, segment: impl Index) -> Outcome {
        let (index, from, length) = self.pop3()?;
        let array = self.pop()?;
        self.trap_if_zero(array, TrapCode::NullArrayReference);
        let segment = self.index(segment);
        let args = [array, index, from, length].map(|v| self.extend(v));
        self.builtin(builtin, &[args[0], args[1], segment, args[2], args[3]]);
        Ok(())
    }
}
