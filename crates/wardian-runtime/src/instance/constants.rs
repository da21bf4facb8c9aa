//! Constant expressions: initial values of globals and tables, elements and offsets of segments.

use crate::ids::InstanceId;
use crate::instance::instantiate::reborrow;
use crate::limiter::Limiter;
use crate::store::inner::StoreInner;
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;
use wardian_module::{ConstExpr, ConstOp, ElementItems, ModuleInfo};
use wardian_types::{
    ArrayElementIndex, ElemIndex, FieldType, GlobalIndex, SegmentElementIndex, TypeIndex,
    TypeNumber, ValType,
};
use wardian_vm::heap::shape::{element_at, first_element};

type Limit<'a, 'b> = &'a mut Option<&'b mut dyn Limiter>;

impl StoreInner {
    /// The value of a constant expression, as guests hold it.
    ///
    /// # Errors
    ///
    /// There is no room for an object, or somebody stopped the store.
    pub(crate) fn evaluate(
        &mut self,
        instance: InstanceId,
        expr: &ConstExpr,
        limiter: Limit<'_, '_>,
    ) -> Result<[u64; 2]> {
        // The collector looks at the operands.
        let base = self.gc.operands().height();
        let mut done = Ok(());
        for op in &expr.ops {
            done = self.constant(instance, *op, limiter);
            if done.is_err() {
                break;
            }
        }
        let value = self.pop_constant();
        self.gc.operands().truncate(base);
        done.map(|()| value)
    }

    fn constant(
        &mut self,
        instance: InstanceId,
        op: ConstOp,
        limiter: Limit<'_, '_>,
    ) -> Result<()> {
        let value = match op {
            ConstOp::I32(v) => [u64::from(v as u32), 0],
            ConstOp::I64(v) => [v as u64, 0],
            ConstOp::F32(bits) => [u64::from(bits), 0],
            ConstOp::F64(bits) => [bits, 0],
            ConstOp::V128(v) => [v as u64, (v >> 64) as u64],
            ConstOp::RefNull => [0, 0],
            ConstOp::RefFunc(func) => {
                let func = self.instance_func(instance, func);
                [self.reference_to(func), 0]
            }
            ConstOp::GlobalGet(index) => self.read_global(instance, index),
            ConstOp::RefI31 => [u64::from((self.pop_constant()[0] as u32) << 1 | 1), 0],
            ConstOp::AnyConvertExtern => {
                let handle = self.pop_constant()[0];
                [self.any_from_extern_limited(handle, reborrow(limiter))?, 0]
            }
            ConstOp::ExternConvertAny => {
                let word = self.pop_constant()[0];
                [self.extern_from_any(word), 0]
            }
            ConstOp::StructNew(ty) => self.constant_struct(instance, ty, false, limiter)?,
            ConstOp::StructNewDefault(ty) => self.constant_struct(instance, ty, true, limiter)?,
            ConstOp::ArrayNew(ty) => {
                let len = self.pop_constant()[0] as u32;
                self.constant_array(instance, ty, len, limiter)?
            }
            ConstOp::ArrayNewDefault(ty) => {
                let (len, number) = (self.pop_constant()[0], self.number_of(instance, ty));
                [self.allocate_array(number, len as u32, reborrow(limiter))?.as_word(), 0]
            }
            ConstOp::ArrayNewFixed { ty, len } => self.fixed_array(instance, ty, len, limiter)?,
            op => {
                let (b, a) = (self.pop_constant(), self.pop_constant());
                [arithmetic(op, a[0], b[0]), 0]
            }
        };
        self.gc.operands().push(value);
        Ok(())
    }

    /// The uppermost operand. Validation: there is one.
    fn pop_constant(&mut self) -> [u64; 2] {
        self.gc.operands().pop()
    }

    fn number_of(&self, instance: InstanceId, ty: TypeIndex) -> TypeNumber {
        self.entities[instance].module().signatures[ty]
    }

    fn constant_struct(
        &mut self,
        instance: InstanceId,
        ty: TypeIndex,
        default: bool,
        limiter: Limit<'_, '_>,
    ) -> Result<[u64; 2]> {
        let number = self.number_of(instance, ty);
        let object = self.allocate_struct(number, reborrow(limiter))?;
        if default {
            return Ok([object.as_word(), 0]);
        }
        let module = self.entities[instance].module().clone();
        let info = module.decoded.info();
        let fields = info.types[ty].structure().map_or(&[][..], |ty| ty.fields());
        let offsets = info.struct_layout(ty).map_or(&[][..], |layout| &layout.offsets);
        let first = self.gc.operands().below(fields.len());
        for (i, (field, offset)) in fields.iter().zip(offsets).enumerate() {
            let value = self.gc.operands().above(first)[i];
            self.store_field(object, *offset, field.storage, value);
        }
        self.gc.operands().truncate(first);
        Ok([object.as_word(), 0])
    }

    /// What the elements of an array type of the instance's module are.
    fn element_of(&self, instance: InstanceId, ty: TypeIndex) -> Result<FieldType> {
        let info = self.entities[instance].module().decoded.info();
        let element = info.types[ty].array().map(|ty| ty.0);
        element.ok_or_else(|| {
            Error::new(ErrorKind::Internal(format!("type {ty} of a constant is no array")))
        })
    }

    fn constant_array(
        &mut self,
        instance: InstanceId,
        ty: TypeIndex,
        len: u32,
        limiter: Limit<'_, '_>,
    ) -> Result<[u64; 2]> {
        let (number, element) = (self.number_of(instance, ty), self.element_of(instance, ty)?);
        let array = self.allocate_array(number, len, reborrow(limiter))?;
        let value = self.pop_constant();
        if len > 0 {
            let first = first_element(element.storage.size());
            self.store_field(array, first, element.storage, value);
            self.fill_new_array(array, len)?;
        }
        Ok([array.as_word(), 0])
    }

    fn fixed_array(
        &mut self,
        instance: InstanceId,
        ty: TypeIndex,
        len: u32,
        limiter: Limit<'_, '_>,
    ) -> Result<[u64; 2]> {
        let (number, element) = (self.number_of(instance, ty), self.element_of(instance, ty)?);
        let array = self.allocate_array(number, len, reborrow(limiter))?;
        let size = element.storage.size();
        let first = self.gc.operands().below(len as usize);
        let elements = ArrayElementIndex::FIRST..ArrayElementIndex::from_u32(len);
        for i in ArrayElementIndex::range(elements) {
            let value = self.gc.operands().above(first)[i.index()];
            self.store_field(array, element_at(size, i), element.storage, value);
        }
        self.gc.operands().truncate(first);
        Ok([array.as_word(), 0])
    }

    fn read_global(&self, instance: InstanceId, index: GlobalIndex) -> [u64; 2] {
        let (at, ty) = self.entities[instance].global(index);
        // SAFETY: globals live as long as the store, and have 16 bytes.
        unsafe {
            let high = if ty.content == ValType::V128 { at.add(1).read() } else { 0 };
            let low = at.read();
            match ty.content {
                ValType::I32 | ValType::F32 => [low & u64::from(u32::MAX), 0],
                _ => [low, high],
            }
        }
    }

    /// Evaluates the element segments that make objects: each use of such a segment finds the same ones.
    pub(crate) fn evaluate_segments(
        &mut self,
        instance: InstanceId,
        info: &ModuleInfo,
        limiter: Limit<'_, '_>,
    ) -> Result<()> {
        for (segment, elements) in info.elements.iter().enumerate() {
            let ElementItems::Expressions(expressions) = &elements.items else { continue };
            if !expressions.iter().any(makes_object) {
                continue;
            }
            let base = self.gc.operands().height();
            for expression in expressions {
                // They are kept as operands until all are known.
                match self.evaluate(instance, expression, limiter) {
                    Ok(value) => self.gc.operands().push(value),
                    Err(error) => {
                        self.gc.operands().truncate(base);
                        return Err(error);
                    }
                }
            }
            let values: Arc<[u64]> = self.gc.operands().above(base).iter().map(|v| v[0]).collect();
            self.gc.operands().truncate(base);
            let segment = ElemIndex::from_usize(segment);
            self.entities[instance].segments_mut().set_objects(segment, values);
        }
        Ok(())
    }

    /// An element of a segment, as guests hold it; the segment has not been dropped.
    pub(crate) fn segment_element(
        &mut self,
        instance: InstanceId,
        info: &ModuleInfo,
        segment: ElemIndex,
        element: SegmentElementIndex,
    ) -> Result<u64> {
        let at = element.index();
        if let Some(values) = self.entities[instance].segments().objects(segment) {
            return Ok(values[at]);
        }
        Ok(match &info.elements[segment].items {
            ElementItems::Functions(functions) => {
                let func = self.instance_func(instance, functions[at]);
                self.reference_to(func)
            }
            ElementItems::Expressions(expressions) => {
                self.evaluate(instance, &expressions[at], &mut None)?[0]
            }
        })
    }
}

fn makes_object(expr: &ConstExpr) -> bool {
    let of_heap = |op: &ConstOp| {
        matches!(
            op,
            ConstOp::StructNew(_)
                | ConstOp::StructNewDefault(_)
                | ConstOp::ArrayNew(_)
                | ConstOp::ArrayNewDefault(_)
                | ConstOp::ArrayNewFixed { .. }
                | ConstOp::AnyConvertExtern
        )
    };
    expr.ops.iter().any(of_heap)
}

fn arithmetic(op: ConstOp, a: u64, b: u64) -> u64 {
    let narrow = |v: u32| u64::from(v);
    let (a32, b32) = (a as u32, b as u32);
    match op {
        ConstOp::I32Add => narrow(a32.wrapping_add(b32)),
        ConstOp::I32Sub => narrow(a32.wrapping_sub(b32)),
        ConstOp::I32Mul => narrow(a32.wrapping_mul(b32)),
        ConstOp::I64Add => a.wrapping_add(b),
        ConstOp::I64Sub => a.wrapping_sub(b),
        ConstOp::I64Mul => a.wrapping_mul(b),
        _ => unreachable!("the caller handles what is no arithmetic"),
    }
}
