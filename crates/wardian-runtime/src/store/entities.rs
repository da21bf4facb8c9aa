//! What the instances of a store are made of: instances, functions, memories, tables, and globals of the host's.

use super::functions::Functions;
use super::global::HostGlobals;
use super::instance::InstanceData;
use super::memory::MemoryData;
use super::table::TableData;
use crate::ids::{InstanceId, MemoryId, TableId};
use std::ops::{Index, IndexMut};
use wardian_types::IndexVec;

/// Entities by their numbers, which stay: nothing is ever taken out but what was added since a [`Mark`].
#[derive(Default)]
pub(crate) struct Entities {
    instances: IndexVec<InstanceId, InstanceData>,
    /// Those that are not shared.
    memories: IndexVec<MemoryId, MemoryData>,
    tables: IndexVec<TableId, TableData>,
    funcs: Functions,
    globals: HostGlobals,
    /// How many instances are closed.
    closed: usize,
}

/// How many memories and tables there were at a moment.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    memories: MemoryId,
    tables: TableId,
}

impl Entities {
    /// The instances.
    #[inline]
    pub(crate) fn instances(&self) -> &IndexVec<InstanceId, InstanceData> {
        &self.instances
    }

    /// The memories that are not shared.
    #[inline]
    pub(crate) fn memories(&self) -> &IndexVec<MemoryId, MemoryData> {
        &self.memories
    }

    /// The tables.
    #[inline]
    pub(crate) fn tables(&self) -> &IndexVec<TableId, TableData> {
        &self.tables
    }

    /// The functions.
    #[inline]
    pub(crate) fn funcs(&self) -> &Functions {
        &self.funcs
    }

    /// The functions, to which others are added.
    #[inline]
    pub(crate) fn funcs_mut(&mut self) -> &mut Functions {
        &mut self.funcs
    }

    /// The globals of the host's.
    pub(crate) fn globals(&self) -> &HostGlobals {
        &self.globals
    }

    /// The globals of the host's, to which others are added.
    pub(crate) fn globals_mut(&mut self) -> &mut HostGlobals {
        &mut self.globals
    }

    /// All instances, to be changed.
    pub(crate) fn instances_mut(&mut self) -> impl Iterator<Item = &mut InstanceData> {
        self.instances.iter_mut()
    }

    /// All memories that are not shared, to be changed.
    pub(crate) fn memories_mut(&mut self) -> impl Iterator<Item = &mut MemoryData> {
        self.memories.iter_mut()
    }

    /// The instances, and all memories that are not shared, to be changed.
    pub(crate) fn with_memories_mut(
        &mut self,
    ) -> (&IndexVec<InstanceId, InstanceData>, impl Iterator<Item = &mut MemoryData>) {
        (&self.instances, self.memories.iter_mut())
    }

    /// All tables, to be changed.
    pub(crate) fn tables_mut(&mut self) -> impl Iterator<Item = &mut TableData> {
        self.tables.iter_mut()
    }

    /// Adds an instance.
    pub(crate) fn add_instance(&mut self, instance: InstanceData) -> InstanceId {
        self.instances.push(instance)
    }

    /// How many instances are closed now.
    #[inline]
    pub(crate) fn closed_instances(&self) -> usize {
        self.closed
    }

    /// Notes whether an instance is closed, and with which code. Returns what was so before.
    pub(crate) fn set_closed(&mut self, instance: InstanceId, code: Option<u32>) -> Option<u32> {
        let before = self.instances[instance].set_closed(code);
        self.closed += usize::from(code.is_some());
        self.closed -= usize::from(before.is_some());
        before
    }

    /// Adds a memory.
    pub(crate) fn add_memory(&mut self, memory: MemoryData) -> MemoryId {
        self.memories.push(memory)
    }

    /// Adds a table.
    pub(crate) fn add_table(&mut self, table: TableData) -> TableId {
        self.tables.push(table)
    }

    /// What there is before an instance is made.
    pub(crate) fn mark(&self) -> Mark {
        Mark { memories: self.memories.next_index(), tables: self.tables.next_index() }
    }

    /// Takes out memories and tables that were added since then, of an instance that could not be made: nothing else refers
    /// to them. Gives the memories.
    pub(crate) fn give_up_since(&mut self, mark: Mark) -> Vec<MemoryData> {
        drop(self.tables.truncate(mark.tables));
        self.memories.truncate(mark.memories).collect()
    }

    /// Takes out all memories; the store goes.
    pub(crate) fn take_memories(&mut self) -> IndexVec<MemoryId, MemoryData> {
        std::mem::take(&mut self.memories)
    }
}

/// Looking items up by their numbers.
macro_rules! items {
    ($($id:ident $data:ident $field:ident;)*) => {$(
        impl Index<$id> for Entities {
            type Output = $data;

            #[inline]
            fn index(&self, id: $id) -> &$data {
                &self.$field[id]
            }
        }

        impl IndexMut<$id> for Entities {
            #[inline]
            fn index_mut(&mut self, id: $id) -> &mut $data {
                &mut self.$field[id]
            }
        }
    )*};
}

items! {
    InstanceId InstanceData instances;
    MemoryId MemoryData memories;
    TableId TableData tables;
}
