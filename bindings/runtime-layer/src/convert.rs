//! Types and values of the interface as those of Wardian, and back.

use crate::{Engine, ExternRef, Func, Global, Memory, Table};
use wasm_runtime_layer::backend::{Extern, Ref, Val};
use wasm_runtime_layer::{
    ExternType, FuncType, GlobalType, MemoryType, RefType, TableType, ValType,
};

pub(crate) fn value_type(ty: ValType) -> wardian::ValType {
    match ty {
        ValType::I32 => wardian::ValType::I32,
        ValType::I64 => wardian::ValType::I64,
        ValType::F32 => wardian::ValType::F32,
        ValType::F64 => wardian::ValType::F64,
        ValType::V128 => wardian::ValType::V128,
        ValType::FuncRef => wardian::ValType::FUNCREF,
        ValType::ExternRef => wardian::ValType::EXTERNREF,
    }
}

/// None of a type that the interface does not have.
pub(crate) fn from_value_type(ty: wardian::ValType) -> Option<ValType> {
    Some(match ty {
        wardian::ValType::I32 => ValType::I32,
        wardian::ValType::I64 => ValType::I64,
        wardian::ValType::F32 => ValType::F32,
        wardian::ValType::F64 => ValType::F64,
        wardian::ValType::V128 => ValType::V128,
        ty if ty == wardian::ValType::FUNCREF => ValType::FuncRef,
        ty if ty == wardian::ValType::EXTERNREF => ValType::ExternRef,
        _ => return None,
    })
}

pub(crate) fn func_type(ty: &FuncType) -> wardian::FuncType {
    let types = |types: &[ValType]| types.iter().copied().map(value_type).collect::<Vec<_>>();
    wardian::FuncType::new(types(ty.params()), types(ty.results()))
}

pub(crate) fn from_func_type(ty: &wardian::FuncType) -> Option<FuncType> {
    let types = |types: &[wardian::ValType]| {
        types.iter().copied().map(from_value_type).collect::<Option<Vec<_>>>()
    };
    Some(FuncType::new(types(ty.params())?, types(ty.results())?))
}

pub(crate) fn from_global_type(ty: wardian::GlobalType) -> Option<GlobalType> {
    Some(GlobalType::new(from_value_type(ty.content)?, ty.mutable))
}

pub(crate) fn memory_type(ty: MemoryType) -> wardian::MemoryType {
    let (min, max) = (ty.initial_pages(), ty.maximum_pages());
    wardian::MemoryType::new(min.into(), max.map(u64::from))
}

pub(crate) fn from_memory_type(ty: wardian::MemoryType) -> Option<MemoryType> {
    // A maximum that is too large for the interface is none that it can reach.
    let max = ty.max.and_then(|max| u32::try_from(max).ok());
    (!ty.shared).then_some(MemoryType::new(u32::try_from(ty.min).ok()?, max))
}

pub(crate) fn table_type(ty: TableType) -> wardian::TableType {
    let element = match ty.element() {
        RefType::FuncRef => wardian::RefType::FUNC,
        RefType::ExternRef => wardian::RefType::EXTERN,
    };
    let max = ty.maximum().map(u64::from);
    wardian::TableType { element, min: ty.minimum().into(), max, table64: false }
}

pub(crate) fn from_table_type(ty: wardian::TableType) -> Option<TableType> {
    let element = match from_value_type(wardian::ValType::Ref(ty.element))? {
        ValType::FuncRef => RefType::FuncRef,
        _ => RefType::ExternRef,
    };
    let max = ty.max.and_then(|max| u32::try_from(max).ok());
    Some(TableType::new(element, u32::try_from(ty.min).ok()?, max))
}

pub(crate) fn from_extern_type(ty: wardian::ExternType) -> Option<ExternType> {
    Some(match ty {
        wardian::ExternType::Func(ty) => from_func_type(&ty)?.into(),
        wardian::ExternType::Global(ty) => from_global_type(ty)?.into(),
        wardian::ExternType::Memory(ty) => from_memory_type(ty)?.into(),
        wardian::ExternType::Table(ty) => from_table_type(ty)?.into(),
        _ => return None,
    })
}

pub(crate) fn value(value: &Val<Engine>) -> wardian::Val {
    match value {
        Val::I32(v) => (*v).into(),
        Val::I64(v) => (*v).into(),
        Val::F32(v) => (*v).into(),
        Val::F64(v) => (*v).into(),
        Val::V128(v) => (*v).into(),
        Val::FuncRef(func) => func.as_ref().map(|func| func.0).into(),
        Val::ExternRef(value) => value.as_ref().map(|value| value.0.clone()).into(),
    }
}

/// None of a value whose type the interface does not have.
pub(crate) fn from_value(value: &wardian::Val) -> Option<Val<Engine>> {
    Some(match value {
        wardian::Val::I32(v) => Val::I32(*v),
        wardian::Val::I64(v) => Val::I64(*v),
        wardian::Val::F32(bits) => Val::F32(f32::from_bits(*bits)),
        wardian::Val::F64(bits) => Val::F64(f64::from_bits(*bits)),
        wardian::Val::V128(v) => Val::V128(*v),
        wardian::Val::FuncRef(func) => Val::FuncRef(func.map(Func)),
        wardian::Val::ExternRef(value) => Val::ExternRef(value.clone().map(ExternRef)),
        _ => return None,
    })
}

pub(crate) fn reference(reference: &Ref<Engine>) -> wardian::Val {
    value(&Val::from(reference.clone()))
}

pub(crate) fn from_reference(value: &wardian::Val) -> Option<Ref<Engine>> {
    match from_value(value)? {
        Val::FuncRef(func) => Some(Ref::FuncRef(func)),
        Val::ExternRef(value) => Some(Ref::ExternRef(value)),
        _ => None,
    }
}

pub(crate) fn item(item: &Extern<Engine>) -> wardian::Extern {
    match item {
        Extern::Func(func) => func.0.into(),
        Extern::Global(global) => global.0.into(),
        Extern::Memory(memory) => memory.0.into(),
        Extern::Table(table) => table.0.into(),
    }
}

pub(crate) fn from_item(item: wardian::Extern) -> Option<Extern<Engine>> {
    Some(match item {
        wardian::Extern::Func(func) => Extern::Func(Func(func)),
        wardian::Extern::Global(global) => Extern::Global(Global(global)),
        wardian::Extern::Memory(memory) => Extern::Memory(Memory(memory)),
        wardian::Extern::Table(table) => Extern::Table(Table(table)),
        _ => return None,
    })
}
