//! The state of all instances of a store, as a snapshot may keep it: memories, globals, tables, and
//! which segments were dropped.

use super::instance::MemoryRef;
use super::store::StoreInner;
use crate::{Error, Result};
use std::ptr::NonNull;
use wardian_vm::memory::MemoryCapture;

/// Memories, globals and tables of a store at a moment. What is made in the store later is not
/// touched when this is brought back.
pub(crate) struct StateCapture {
    memories: Vec<MemoryCapture>,
    /// Two words for each mutable global, by address.
    globals: Vec<(NonNull<u64>, [u64; 2])>,
    tables: Vec<Vec<u64>>,
    /// For each instance which element and data segments were dropped.
    dropped: Vec<(Vec<bool>, Vec<bool>)>,
}

// SAFETY: the addresses are only used with the store that the globals belong to.
unsafe impl Send for StateCapture {}
// SAFETY: as above.
unsafe impl Sync for StateCapture {}

impl StateCapture {
    /// All words that may be references.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        let globals = self.globals.iter().flat_map(|(_, words)| words);
        globals.chain(self.tables.iter().flatten()).copied()
    }
}

impl StoreInner {
    /// Notes the state of all instances.
    pub(super) fn capture_state(&mut self) -> Result<StateCapture> {
        let shared = self.instances.iter().any(|instance| {
            instance.memories.iter().any(|memory| matches!(memory, MemoryRef::Shared(_)))
        });
        if shared {
            return Err(Error::usage(
                "a snapshot cannot keep the contents of a shared memory: other threads change it \
                 at any time",
            ));
        }
        let globals = self.mutable_globals().into_iter().map(|at| {
            // SAFETY: globals live as long as the store and have 16 bytes; their guest waits.
            unsafe { (at, [at.read(), at.add(1).read()]) }
        });
        let globals = globals.collect();
        Ok(StateCapture {
            globals,
            tables: self.tables.iter().map(|table| table.elements().to_vec()).collect(),
            dropped: self
                .instances
                .iter()
                .map(|i| (i.dropped_elements.clone(), i.dropped_data.clone()))
                .collect(),
            memories: self.memories.iter_mut().map(|m| m.capture()).collect::<Result<_>>()?,
        })
    }

    fn mutable_globals(&self) -> Vec<NonNull<u64>> {
        let mut found = Vec::new();
        for instance in &self.instances {
            let count = instance.module.decoded.info().globals.len() as u32;
            for (at, ty) in (0..count).map(|i| instance.global(i)) {
                if ty.mutable {
                    found.push(at);
                }
            }
        }
        // Imported ones were found more than once.
        found.sort();
        found.dedup();
        found
    }

    /// Brings the state back. If it cannot be, nothing is changed, unless the system fails half-way.
    pub(super) fn restore_state(&mut self, state: &StateCapture) -> Result<()> {
        for (memory, capture) in self.memories.iter().zip(&state.memories) {
            memory.check_restore(capture)?;
        }
        for (memory, capture) in self.memories.iter_mut().zip(&state.memories) {
            memory.restore(capture)?;
        }
        for (at, words) in &state.globals {
            // SAFETY: as in `capture_state`; code that knows a global's value reads it anew after
            // every call, in one of which the guest is.
            unsafe {
                at.write(words[0]);
                at.add(1).write(words[1]);
            }
        }
        for (table, elements) in self.tables.iter_mut().zip(&state.tables) {
            table.restore(elements);
        }
        for (instance, (elements, data)) in self.instances.iter_mut().zip(&state.dropped) {
            instance.dropped_elements.clone_from(elements);
            instance.dropped_data.clone_from(data);
        }
        Ok(())
    }
}
