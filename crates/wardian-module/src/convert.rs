//! The parser's types as ours.

use crate::{ConstExpr, ConstOp, DecodeError, ModuleInfo};
use wardian_types::{
    ArrayType, CompositeType, DeclaredType, FieldType, FuncIndex, FuncType, GlobalIndex,
    GlobalType, HeapType, MemoryType, ModuleOffset, RefType, StorageType, StructType, SubType,
    TableType, TypeIndex, TypeKind, ValType,
};
use wasmparser::{AbstractHeapType, CompositeInnerType, Operator, UnpackedIndex};

impl ModuleInfo {
    /// A value type of the parser as ours. Types that it names are those of the module's type section.
    ///
    /// # Errors
    ///
    /// It is of a kind that Wardian does not have.
    pub fn val_type(&self, ty: wasmparser::ValType) -> Result<ValType, DecodeError> {
        Ok(match ty {
            wasmparser::ValType::I32 => ValType::I32,
            wasmparser::ValType::I64 => ValType::I64,
            wasmparser::ValType::F32 => ValType::F32,
            wasmparser::ValType::F64 => ValType::F64,
            wasmparser::ValType::V128 => ValType::V128,
            wasmparser::ValType::Ref(r) => ValType::Ref(self.ref_type(r)?),
        })
    }

    /// A reference type of the parser as ours: see [`ModuleInfo::val_type`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn ref_type(&self, ty: wasmparser::RefType) -> Result<RefType, DecodeError> {
        let heap = self.heap_type(ty.heap_type())?;
        Ok(RefType { nullable: ty.is_nullable(), heap })
    }

    /// A heap type of the parser as ours: see [`ModuleInfo::val_type`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn heap_type(&self, ty: wasmparser::HeapType) -> Result<HeapType, DecodeError> {
        use wasmparser::HeapType as H;
        Ok(match ty {
            H::Abstract { shared: false, ty: AbstractHeapType::Func } => HeapType::Func,
            H::Abstract { shared: false, ty: AbstractHeapType::NoFunc } => HeapType::NoFunc,
            H::Abstract { shared: false, ty: AbstractHeapType::Extern } => HeapType::Extern,
            H::Abstract { shared: false, ty: AbstractHeapType::NoExtern } => HeapType::NoExtern,
            H::Abstract { shared: false, ty: AbstractHeapType::Exn } => HeapType::Exn,
            H::Abstract { shared: false, ty: AbstractHeapType::NoExn } => HeapType::NoExn,
            H::Abstract { shared: false, ty: AbstractHeapType::Any } => HeapType::Any,
            H::Abstract { shared: false, ty: AbstractHeapType::Eq } => HeapType::Eq,
            H::Abstract { shared: false, ty: AbstractHeapType::I31 } => HeapType::I31,
            H::Abstract { shared: false, ty: AbstractHeapType::Struct } => HeapType::Struct,
            H::Abstract { shared: false, ty: AbstractHeapType::Array } => HeapType::Array,
            H::Abstract { shared: false, ty: AbstractHeapType::None } => HeapType::None,
            H::Concrete(UnpackedIndex::Module(index)) => {
                let of = DeclaredType::Module(TypeIndex::from_u32(index));
                match self.kinds.get(TypeIndex::from_u32(index)) {
                    Some(TypeKind::Func) => HeapType::Concrete(of),
                    Some(TypeKind::Struct) => HeapType::ConcreteStruct(of),
                    Some(TypeKind::Array) => HeapType::ConcreteArray(of),
                    None => {
                        let message = format!("unknown type {index}: type index out of bounds");
                        return Err(DecodeError::new(message, None));
                    }
                }
            }
            _ => {
                let message = format!("type {ty:?} is not supported");
                return Err(DecodeError::new(message, None));
            }
        })
    }

    /// A declared type of the parser as ours. The kinds of its group are known.
    pub(crate) fn sub_type(&self, ty: &wasmparser::SubType) -> Result<SubType, DecodeError> {
        let composite = match &ty.composite_type.inner {
            CompositeInnerType::Func(ty) => {
                let list = |types: &[wasmparser::ValType]| {
                    types.iter().map(|t| self.val_type(*t)).collect::<Result<Vec<_>, _>>()
                };
                CompositeType::Func(FuncType::new(list(ty.params())?, list(ty.results())?))
            }
            CompositeInnerType::Struct(ty) => {
                let fields = ty.fields.iter().map(|field| self.field_type(field));
                CompositeType::Struct(StructType::new(fields.collect::<Result<Vec<_>, _>>()?))
            }
            CompositeInnerType::Array(ty) => {
                CompositeType::Array(ArrayType(self.field_type(&ty.0)?))
            }
            other => {
                let message = format!("type {other:?} is not supported");
                return Err(DecodeError::new(message, None));
            }
        };
        let supertype = match ty.supertype_idxs.first().map(|index| index.unpack()) {
            Some(UnpackedIndex::Module(index)) => {
                Some(DeclaredType::Module(TypeIndex::from_u32(index)))
            }
            None => None,
            Some(other) => {
                let message = format!("supertype {other} is not supported");
                return Err(DecodeError::new(message, None));
            }
        };
        Ok(SubType { is_final: ty.is_final, supertype, composite })
    }

    fn field_type(&self, ty: &wasmparser::FieldType) -> Result<FieldType, DecodeError> {
        let storage = match ty.element_type {
            wasmparser::StorageType::I8 => StorageType::I8,
            wasmparser::StorageType::I16 => StorageType::I16,
            wasmparser::StorageType::Val(ty) => StorageType::Val(self.val_type(ty)?),
        };
        Ok(FieldType { mutable: ty.mutable, storage })
    }
}

/// The kind of a declared type of the parser.
pub(crate) fn type_kind(ty: &wasmparser::SubType) -> TypeKind {
    match ty.composite_type.inner {
        CompositeInnerType::Struct(_) => TypeKind::Struct,
        CompositeInnerType::Array(_) => TypeKind::Array,
        _ => TypeKind::Func,
    }
}

pub(crate) fn table_type(
    info: &ModuleInfo,
    ty: &wasmparser::TableType,
) -> Result<TableType, DecodeError> {
    Ok(TableType {
        element: info.ref_type(ty.element_type)?,
        min: ty.initial,
        max: ty.maximum,
        table64: ty.table64,
    })
}

pub(crate) fn memory_type(ty: &wasmparser::MemoryType) -> MemoryType {
    MemoryType {
        min: ty.initial,
        max: ty.maximum,
        memory64: ty.memory64,
        shared: ty.shared,
        // The parser accepts no exponent above 16.
        page_size_log2: ty.page_size_log2.unwrap_or(16) as u8,
    }
}

pub(crate) fn global_type(
    info: &ModuleInfo,
    ty: &wasmparser::GlobalType,
) -> Result<GlobalType, DecodeError> {
    Ok(GlobalType { content: info.val_type(ty.content_type)?, mutable: ty.mutable })
}

pub(crate) fn const_expr(expr: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr, DecodeError> {
    // Nearly all have one operator, and there are modules with 100,000 segments.
    let mut ops = Vec::with_capacity(1);
    let mut reader = expr.get_operators_reader();
    loop {
        let offset = ModuleOffset::from_u64(reader.original_position());
        let op = match reader.read().map_err(DecodeError::parser)? {
            Operator::I32Const { value } => ConstOp::I32(value),
            Operator::I64Const { value } => ConstOp::I64(value),
            Operator::F32Const { value } => ConstOp::F32(value.bits()),
            Operator::F64Const { value } => ConstOp::F64(value.bits()),
            Operator::V128Const { value } => ConstOp::V128(value.i128() as u128),
            Operator::RefNull { .. } => ConstOp::RefNull,
            Operator::RefFunc { function_index } => {
                ConstOp::RefFunc(FuncIndex::from_u32(function_index))
            }
            Operator::GlobalGet { global_index } => {
                ConstOp::GlobalGet(GlobalIndex::from_u32(global_index))
            }
            Operator::I32Add => ConstOp::I32Add,
            Operator::I32Sub => ConstOp::I32Sub,
            Operator::I32Mul => ConstOp::I32Mul,
            Operator::I64Add => ConstOp::I64Add,
            Operator::I64Sub => ConstOp::I64Sub,
            Operator::I64Mul => ConstOp::I64Mul,
            Operator::StructNew { struct_type_index } => {
                ConstOp::StructNew(TypeIndex::from_u32(struct_type_index))
            }
            Operator::StructNewDefault { struct_type_index } => {
                ConstOp::StructNewDefault(TypeIndex::from_u32(struct_type_index))
            }
            Operator::ArrayNew { array_type_index } => {
                ConstOp::ArrayNew(TypeIndex::from_u32(array_type_index))
            }
            Operator::ArrayNewDefault { array_type_index } => {
                ConstOp::ArrayNewDefault(TypeIndex::from_u32(array_type_index))
            }
            Operator::ArrayNewFixed { array_type_index, array_size } => ConstOp::ArrayNewFixed {
                ty: TypeIndex::from_u32(array_type_index),
                len: array_size,
            },
            Operator::RefI31 => ConstOp::RefI31,
            Operator::AnyConvertExtern => ConstOp::AnyConvertExtern,
            Operator::ExternConvertAny => ConstOp::ExternConvertAny,
            Operator::End => return Ok(ConstExpr { ops }),
            other => {
                let message = format!("{other:?} in a constant expression is not supported");
                return Err(DecodeError::new(message, Some(offset)));
            }
        };
        ops.push(op);
    }
}
