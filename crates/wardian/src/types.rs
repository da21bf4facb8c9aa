//! Types of garbage-collected objects, and how types are declared and compared.
//!
//! The types that every module has ([`ValType`](crate::ValType), [`FuncType`](crate::FuncType),
//! [`MemoryType`](crate::MemoryType) and their like) are in the root of the crate.

pub use wardian_types::{
    ArrayType, CompositeType, DeclaredType, FieldType, Hierarchy, StorageType, StructType, SubType,
    TypeIndex, TypeKind, TypeNumber,
};
