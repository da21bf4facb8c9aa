//! Value types, signatures, features and trap codes: the vocabulary that every other crate of
//! Wardian shares.
//!
//! This crate is a leaf: it has no unsafe code and depends on no other crate of the project.
//! Names follow the WebAssembly core specification, chapter "Structure: Types".

mod composite;
mod counts;
mod extern_type;
mod features;
mod function;
mod guest_addr;
mod index;
mod index_vec;
mod module_offset;
mod object_offset;
mod table_element;
mod trap;
mod value;
pub mod wasi;

pub use composite::{
    ArrayType, CompositeType, FieldType, StorageType, StructLayout, StructType, SubType, TypeKind,
};
pub use counts::Counts;
pub use extern_type::{ExternKind, ExternType, GlobalType, MemoryType, TableType, TagType};
pub use features::CoreFeatures;
pub use function::FuncType;
pub use guest_addr::GuestAddr;
pub use index::{
    ArrayElementIndex, CodeOffset, DataIndex, DataOffset, DefinedFuncIndex, DefinedGlobalIndex,
    DefinedTableIndex, ElemIndex, FieldIndex, FuncIndex, GlobalIndex, Index, LabelIndex,
    LocalIndex, MemoryIndex, OperandIndex, SegmentElementIndex, TableIndex, TagIndex, TypeIndex,
    TypeNumber,
};
pub use index_vec::IndexVec;
pub use module_offset::ModuleOffset;
pub use object_offset::ObjectOffset;
pub use table_element::TableElementIndex;
pub use trap::TrapCode;
pub use value::{DeclaredType, HeapType, Hierarchy, RefType, ValType};

/// Bytes in a WebAssembly page unless a memory says otherwise (custom page sizes).
pub const WASM_PAGE_SIZE: u64 = 65_536;
