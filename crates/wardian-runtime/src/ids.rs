//! What identifies the parts of a store. A module's indices are other types: see [`wardian_types`].

pub use wardian_vm::layout::{FuncId, InstanceId, InterpretedIndex};

wardian_types::index_types! {
    /// A memory of a store, which is not shared.
    pub struct MemoryId;

    /// A table of a store.
    pub struct TableId;

    /// A tag of a store.
    pub struct TagId;
}
