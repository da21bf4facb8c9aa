//! The parser's types as ours.

use crate::{ConstExpr, ConstOp, DecodeError};
use wardian_types::{GlobalType, HeapType, MemoryType, RefType, TableType, TypeIndex, ValType};
use wasmparser::{AbstractHeapType, Operator, UnpackedIndex};

/// A value type of the parser as ours. Types that it names are those of the module's type section.
///
/// # Errors
///
/// It is of a kind that Wardian does not have.
pub fn val_type(ty: wasmparser::ValType) -> Result<ValType, DecodeError> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(r) => ValType::Ref(ref_type(r)?),
    })
}

pub(crate) fn ref_type(ty: wasmparser::RefType) -> Result<RefType, DecodeError> {
    let heap = match ty.heap_type() {
        wasmparser::HeapType::Abstract { shared: false, ty: AbstractHeapType::Func } => {
            HeapType::Func
        }
        wasmparser::HeapType::Abstract { shared: false, ty: AbstractHeapType::Extern } => {
            HeapType::Extern
        }
        wasmparser::HeapType::Abstract { shared: false, ty: AbstractHeapType::NoFunc } => {
            HeapType::NoFunc
        }
        wasmparser::HeapType::Abstract { shared: false, ty: AbstractHeapType::NoExtern } => {
            HeapType::NoExtern
        }
        wasmparser::HeapType::Abstract { shared: false, ty: AbstractHeapType::Exn } => {
            HeapType::Exn
        }
        wasmparser::HeapType::Abstract { shared: false, ty: AbstractHeapType::NoExn } => {
            HeapType::NoExn
        }
        wasmparser::HeapType::Concrete(UnpackedIndex::Module(index)) => {
            HeapType::Concrete(TypeIndex::Module(index))
        }
        _ => return Err(DecodeError::unsupported(format!("type {ty} is not supported"), None)),
    };
    Ok(RefType { nullable: ty.is_nullable(), heap })
}

pub(crate) fn table_type(ty: &wasmparser::TableType) -> Result<TableType, DecodeError> {
    Ok(TableType {
        element: ref_type(ty.element_type)?,
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

pub(crate) fn global_type(ty: &wasmparser::GlobalType) -> Result<GlobalType, DecodeError> {
    Ok(GlobalType { content: val_type(ty.content_type)?, mutable: ty.mutable })
}

pub(crate) fn const_expr(expr: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr, DecodeError> {
    // Nearly all have one operator, and there are modules with 100,000 segments.
    let mut ops = Vec::with_capacity(1);
    let mut reader = expr.get_operators_reader();
    loop {
        let offset = reader.original_position();
        let op = match reader.read().map_err(DecodeError::parser)? {
            Operator::I32Const { value } => ConstOp::I32(value),
            Operator::I64Const { value } => ConstOp::I64(value),
            Operator::F32Const { value } => ConstOp::F32(value.bits()),
            Operator::F64Const { value } => ConstOp::F64(value.bits()),
            Operator::V128Const { value } => ConstOp::V128(value.i128() as u128),
            Operator::RefNull { .. } => ConstOp::RefNull,
            Operator::RefFunc { function_index } => ConstOp::RefFunc(function_index),
            Operator::GlobalGet { global_index } => ConstOp::GlobalGet(global_index),
            Operator::I32Add => ConstOp::I32Add,
            Operator::I32Sub => ConstOp::I32Sub,
            Operator::I32Mul => ConstOp::I32Mul,
            Operator::I64Add => ConstOp::I64Add,
            Operator::I64Sub => ConstOp::I64Sub,
            Operator::I64Mul => ConstOp::I64Mul,
            Operator::End => return Ok(ConstExpr { ops }),
            other => {
                let message = format!("{other:?} in a constant expression is not supported");
                return Err(DecodeError::unsupported(message, Some(offset)));
            }
        };
        ops.push(op);
    }
}
