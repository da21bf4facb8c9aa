//! Structs, integers of 31 bits, conversions; and what arrays share with them: allocation and fields.
//!
//! ```text
//!   allocate:    end = next + size                  object:   base + reference ──> number of the type, 4
//!                end > limit ──> the runtime (cold)                                length or kind, 4
//!                next = end; header                                                fields or elements
//! ```
//!
//! A reference is an `i32`. It is declared to Cranelift as one, so that it is on the stack during calls and
//! the collector finds it there. Addresses of objects are computed anew for each access.
//!
//! Null has no object, and the beginning of a heap is not accessible: the first access traps.

use super::state::{Fail, Outcome, Region, Translator, user};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Value, types};
use wardian_module::operators::Object;
use wardian_types::{
    FieldIndex, FieldType, ObjectOffset, StorageType, StructLayout, TrapCode, TypeIndex, ValType,
};
use wardian_vm::heap::{START, shape};
use wardian_vm::layout::{Builtin, func, instance, store_ctx};

/// How a packed field is extended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extend {
    Zero,
    Sign,
}

impl Translator<'_, '_> {
    pub(super) fn object_operator(&mut self, operator: Object) -> Outcome {
        use Object as O;
        match operator {
            O::StructNew { struct_type_index } => self.struct_new(struct_type_index)?,
            O::StructNewDefault { struct_type_index } => {
                let object = self.new_struct(struct_type_index)?;
                self.push(object);
            }
            O::StructGet { struct_type_index, field_index }
            | O::StructGetU { struct_type_index, field_index } => {
                self.struct_get(struct_type_index, field_index, Extend::Zero)?;
            }
            O::StructGetS { struct_type_index, field_index } => {
                self.struct_get(struct_type_index, field_index, Extend::Sign)?;
            }
            O::StructSet { struct_type_index, field_index } => {
                let value = self.pop()?;
                let reference = self.pop()?;
                let (offset, field) = self.field(struct_type_index, field_index)?;
                let null = TrapCode::NullStructReference;
                // The function's record is read before the object is accessed, and never traps.
                let value = self.stored_value(field.storage, value);
                let (address, flags) = self.first_access(reference, offset, null);
                self.store_field(field.storage, flags, value, address, offset);
            }
            O::RefI31 => {
                let value = self.pop()?;
                let value = self.b.ins().ishl_imm_u(value, 1);
                let value = self.b.ins().bor_imm_u(value, 1);
                self.push(value);
            }
            O::I31GetS | O::I31GetU => {
                let reference = self.pop()?;
                self.trap_if_zero(reference, TrapCode::NullI31Reference);
                let value = match operator {
                    O::I31GetS => self.b.ins().sshr_imm_u(reference, 1),
                    _ => self.b.ins().ushr_imm_u(reference, 1),
                };
                self.push(value);
            }
            O::RefEq => {
                let (x, y) = self.pop2()?;
                let equal = self.b.ins().icmp(IntCC::Equal, x, y);
                self.push_bool(equal);
            }
            O::AnyConvertExtern => self.any_convert_extern()?,
            O::ExternConvertAny => self.extern_convert_any()?,
        }
        Ok(())
    }

    // References.

    /// Declares a value as a reference to an object, if its type is one.
    pub(super) fn note_type(&mut self, ty: ValType, value: Value) {
        if is_object_ref(ty) {
            self.note_reference(value);
        }
    }

    /// Declares a value as a reference to an object: the collector will find it.
    pub(super) fn note_reference(&mut self, value: Value) {
        self.references.insert(value);
        self.b.declare_value_needs_stack_map(value);
    }

    /// Pushes what the runtime returned as a reference.
    pub(super) fn push_reference(&mut self, word: Value) {
        let reference = self.b.ins().ireduce(types::I32, word);
        self.note_reference(reference);
        self.push(reference);
    }

    /// The address of an object, for accesses that are known not to be through null.
    pub(super) fn object(&mut self, reference: Value) -> Value {
        let base = self.heap_base();
        let offset = self.b.ins().uextend(types::I64, reference);
        self.b.ins().iadd(base, offset)
    }

    /// Where the heap begins. In a module without types of objects that is not known before there is an
    /// object, which can be made in the middle of a function, by the host or by a conversion.
    fn heap_base(&mut self) -> Value {
        if self.env.has_objects {
            return self.load_fixed(types::I64, self.vmctx, instance::HEAP);
        }
        let store = self.store_ctx();
        self.load_trusted(types::I64, Region::Code, store, store_ctx::HEAP_BASE)
    }

    /// The address of an object, and the flags of the first access to it, which traps if the reference is null.
    pub(super) fn first_access(
        &mut self,
        reference: Value,
        offset: ObjectOffset,
        null: TrapCode,
    ) -> (Value, MemFlagsData) {
        let mut flags = self.heap_flags(Region::Heap);
        if self.env.tunables.signals && (offset.as_u32() as usize) < START - 16 {
            flags = flags.with_trap_code(Some(user(null)));
        } else {
            self.trap_if_zero(reference, null);
        }
        (self.object(reference), flags)
    }

    /// Flags of accesses to objects: vectors are not aligned to their size.
    pub(super) fn heap_flags(&mut self, region: Region) -> MemFlagsData {
        let region = self.region(region);
        let flags = MemFlagsData::new().with_notrap().with_endianness(Endianness::Little);
        flags.with_alias_region(Some(region))
    }

    /// The engine's number of a type of the module.
    pub(super) fn type_number(&mut self, index: TypeIndex) -> Outcome<Value> {
        let ids = self.load_fixed(types::I64, self.vmctx, instance::SIGNATURES);
        let offset = i32::try_from(u64::from(index.as_u32()) * 4)
            .map_err(|_| Fail("too many types".into()))?;
        Ok(self.load_fixed(types::I32, ids, offset))
    }

    // Allocation.

    /// Room for an object of `size` bytes, with its header; otherwise zero. `slow` is how the runtime makes it.
    pub(super) fn allocate(
        &mut self,
        size: Value,
        [number, length]: [Value; 2],
        slow: (Builtin, &[Value]),
    ) -> Value {
        let store = self.store_ctx();
        let next = self.load_trusted(types::I64, Region::HeapWords, store, store_ctx::HEAP_NEXT);
        let limit = self.load_trusted(types::I64, Region::HeapWords, store, store_ctx::HEAP_LIMIT);
        let end = self.b.ins().iadd(next, size);
        let full = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, limit);
        let (cold, fits, done) = (self.cold_block(), self.b.create_block(), self.b.create_block());
        let object = self.b.append_block_param(done, types::I32);
        self.b.ins().brif(full, cold, &[], fits, &[]);
        self.enter(fits);
        let flags = self.trusted(Region::HeapWords);
        self.b.ins().store(flags, end, store, store_ctx::HEAP_NEXT);
        let base = self.heap_base();
        let address = self.b.ins().iadd(base, next);
        let flags = self.heap_flags(Region::Headers);
        self.b.ins().store(flags, number, address, shape::TYPE as i32);
        self.b.ins().store(flags, length, address, shape::LENGTH as i32);
        let reference = self.b.ins().ireduce(types::I32, next);
        self.b.ins().jump(done, &[reference.into()]);
        self.enter(cold);
        let word = self.builtin(slow.0, slow.1);
        let reference = self.b.ins().ireduce(types::I32, word);
        self.b.ins().jump(done, &[reference.into()]);
        self.enter(done);
        self.note_reference(object);
        object
    }

    fn new_struct(&mut self, index: TypeIndex) -> Outcome<Value> {
        let size = i64::from(self.struct_layout(index)?.size);
        let number = self.type_number(index)?;
        let kind = self.iconst(types::I32, i64::from(shape::STRUCT));
        let (size, ty) = (self.iconst(types::I64, size), self.index(index));
        Ok(self.allocate(size, [number, kind], (Builtin::StructNew, &[ty])))
    }

    fn struct_new(&mut self, index: TypeIndex) -> Outcome {
        let fields = self.fields(index)?.to_vec();
        let start = self.height_below(fields.len())?;
        let values = self.stack[start..].to_vec();
        let object = self.new_struct(index)?;
        let offsets = self.struct_layout(index)?.offsets.clone();
        let mut address = None;
        for ((field, value), offset) in fields.iter().zip(values).zip(offsets) {
            // New objects are zero.
            if self.as_const(value) == Some(0) {
                continue;
            }
            let value = self.stored_value(field.storage, value);
            let address = *address.get_or_insert_with(|| self.object(object));
            let flags = self.heap_flags(Region::Heap);
            self.store_field(field.storage, flags, value, address, offset);
        }
        self.stack.truncate(start);
        self.push(object);
        Ok(())
    }

    // Fields.

    fn fields(&self, index: TypeIndex) -> Outcome<&[FieldType]> {
        let ty = self.env.info.types.get(index).and_then(|ty| ty.structure());
        ty.map(|ty| ty.fields()).ok_or_else(|| Fail(format!("type {index} is no struct")))
    }

    fn struct_layout(&mut self, index: TypeIndex) -> Outcome<&StructLayout> {
        let ty = self.env.info.types.get(index).and_then(|ty| ty.structure());
        let ty = ty.ok_or_else(|| Fail(format!("type {index} is no struct")))?;
        Ok(self.layouts.entry(index).or_insert_with(|| ty.layout()))
    }

    fn field(&mut self, ty: TypeIndex, field: FieldIndex) -> Outcome<(ObjectOffset, FieldType)> {
        let missing = || Fail(format!("type {ty} has no field {field}"));
        let found = self.fields(ty)?.get(field.index()).copied().ok_or_else(missing)?;
        let offset = self.struct_layout(ty)?.offsets.get(field.index()).copied();
        Ok((offset.ok_or_else(missing)?, found))
    }

    fn struct_get(&mut self, ty: TypeIndex, field: FieldIndex, extend: Extend) -> Outcome {
        let reference = self.pop()?;
        let (offset, field) = self.field(ty, field)?;
        let null = TrapCode::NullStructReference;
        let (address, flags) = self.first_access(reference, offset, null);
        self.load_field(field.storage, extend, flags, address, offset);
        Ok(())
    }

    /// Pushes a field.
    pub(super) fn load_field(
        &mut self,
        storage: StorageType,
        extend: Extend,
        flags: MemFlagsData,
        address: Value,
        offset: ObjectOffset,
    ) {
        let offset = offset.as_u32() as i32;
        let value = match (storage, extend) {
            (StorageType::I8, Extend::Zero) => {
                self.b.ins().uload8(types::I32, flags, address, offset)
            }
            (StorageType::I8, Extend::Sign) => {
                self.b.ins().sload8(types::I32, flags, address, offset)
            }
            (StorageType::I16, Extend::Zero) => {
                self.b.ins().uload16(types::I32, flags, address, offset)
            }
            (StorageType::I16, Extend::Sign) => {
                self.b.ins().sload16(types::I32, flags, address, offset)
            }
            (StorageType::Val(ValType::Ref(r)), _) if r.is_func() => {
                let handle = self.b.ins().load(types::I32, flags, address, offset);
                self.func_of_handle(handle)
            }
            (StorageType::Val(ty), _) => {
                let value = self.b.ins().load(super::clif_type(ty), flags, address, offset);
                self.note_type(ty, value);
                value
            }
        };
        self.push(value);
    }

    /// A value as it is stored in a field.
    pub(super) fn stored_value(&mut self, storage: StorageType, value: Value) -> Value {
        match storage {
            StorageType::Val(ValType::Ref(r)) if r.is_func() => self.handle_of_func(value),
            _ => value,
        }
    }

    /// Stores what [`Self::stored_value`] gave.
    pub(super) fn store_field(
        &mut self,
        storage: StorageType,
        flags: MemFlagsData,
        value: Value,
        address: Value,
        offset: ObjectOffset,
    ) {
        let offset = offset.as_u32() as i32;
        match storage {
            StorageType::I8 => self.b.ins().istore8(flags, value, address, offset),
            StorageType::I16 => self.b.ins().istore16(flags, value, address, offset),
            StorageType::Val(_) => self.b.ins().store(flags, value, address, offset),
        };
    }

    /// What objects hold for a reference to a function.
    fn handle_of_func(&mut self, reference: Value) -> Value {
        if self.as_const(reference) == Some(0) {
            return self.iconst(types::I32, 0);
        }
        let (some, done) = (self.b.create_block(), self.b.create_block());
        let handle = self.b.append_block_param(done, types::I32);
        let null = self.iconst(types::I32, 0);
        self.b.ins().brif(reference, some, &[], done, &[null.into()]);
        self.enter(some);
        let index = self.load_trusted(types::I32, Region::Code, reference, func::INDEX);
        let one_more = self.b.ins().iadd_imm_s(index, 1);
        self.b.ins().jump(done, &[one_more.into()]);
        self.enter(done);
        handle
    }

    /// The function of what an object holds: from the store's table, with a check.
    fn func_of_handle(&mut self, handle: Value) -> Value {
        let store = self.store_ctx();
        let handle = self.b.ins().uextend(types::I64, handle);
        let count =
            self.load_trusted(types::I64, Region::Code, store, store_ctx::FUNC_RECORD_COUNT);
        let beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, handle, count);
        self.trap_if(beyond, TrapCode::NullFunctionReference);
        let records = self.load_trusted(types::I64, Region::Code, store, store_ctx::FUNC_RECORDS);
        let scaled = self.b.ins().ishl_imm_u(handle, 3);
        let at = self.b.ins().iadd(records, scaled);
        self.load_trusted(types::I64, Region::Code, at, 0)
    }

    // Conversions.

    fn any_convert_extern(&mut self) -> Outcome {
        let handle = self.pop()?;
        let upper = self.b.ins().ushr_imm_u(handle, 32);
        let (boxed, done) = (self.cold_block(), self.b.create_block());
        let result = self.b.append_block_param(done, types::I32);
        let word = self.b.ins().ireduce(types::I32, handle);
        self.b.ins().brif(upper, boxed, &[], done, &[word.into()]);
        self.enter(boxed);
        let made = self.builtin(Builtin::AnyFromExtern, &[handle]);
        let made = self.b.ins().ireduce(types::I32, made);
        self.b.ins().jump(done, &[made.into()]);
        self.enter(done);
        self.note_reference(result);
        self.push(result);
        Ok(())
    }

    fn extern_convert_any(&mut self) -> Outcome {
        let reference = self.pop()?;
        let word = self.b.ins().uextend(types::I64, reference);
        let (object, unboxed, done) =
            (self.b.create_block(), self.cold_block(), self.b.create_block());
        let result = self.b.append_block_param(done, types::I64);
        let null = self.b.ins().icmp_imm_s(IntCC::Equal, reference, 0);
        let odd = self.b.ins().band_imm_u(reference, 1);
        let odd = self.b.ins().icmp_imm_s(IntCC::NotEqual, odd, 0);
        let plain = self.b.ins().bor(null, odd);
        self.b.ins().brif(plain, done, &[word.into()], object, &[]);
        self.enter(object);
        let address = self.object(reference);
        let flags = self.heap_flags(Region::Headers);
        let kind = self.b.ins().load(types::I32, flags, address, shape::LENGTH as i32);
        let wanted = self.iconst(types::I32, i64::from(shape::EXTERN_BOX));
        let is_box = self.b.ins().icmp(IntCC::Equal, kind, wanted);
        self.b.ins().brif(is_box, unboxed, &[], done, &[word.into()]);
        self.enter(unboxed);
        let handle = self.builtin(Builtin::ExternFromAny, &[word]);
        self.b.ins().jump(done, &[handle.into()]);
        self.enter(done);
        self.push(result);
        Ok(())
    }
}

/// Whether values of a type are references to objects, or may be.
pub(super) fn is_object_ref(ty: ValType) -> bool {
    matches!(ty, ValType::Ref(r) if r.is_any())
}
