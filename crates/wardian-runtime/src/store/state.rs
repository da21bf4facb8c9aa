//! The state of all instances of a store at a moment.

use super::segments::Dropped;
use super::table::TableCapture;
use crate::gc::timeline::HeapCapture;
use crate::ids::InstanceId;
use std::ptr::NonNull;
use wardian_types::IndexVec;
use wardian_vm::memory::MemoryCapture;

/// Memories, globals and tables of a store at a moment. Restoring it does not touch instances that were made later.
pub struct StateCapture {
    pub(crate) memories: Vec<MemoryCapture>,
    /// Two words for each mutable global, by address.
    pub(crate) globals: Vec<(NonNull<u64>, [u64; 2])>,
    pub(crate) tables: Vec<TableCapture>,
    pub(crate) heap: Option<HeapCapture>,
    /// For each instance which element and data segments were dropped.
    pub(crate) dropped: IndexVec<InstanceId, Dropped>,
}

// SAFETY: the addresses are only used with the store that the globals belong to.
unsafe impl Send for StateCapture {}

// SAFETY: as above.
unsafe impl Sync for StateCapture {}

impl StateCapture {
    /// All words that may be references.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        let globals = self.globals.iter().flat_map(|(_, words)| words);
        let tables = self.tables.iter().flat_map(TableCapture::elements);
        let heap = self.heap.iter().flat_map(HeapCapture::words);
        globals.copied().chain(tables).chain(heap)
    }
}
