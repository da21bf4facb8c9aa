//! References to the embedder's values, as guests hold them: handles with a generation.

use std::any::Any;
use std::sync::Arc;
use wardian_types::IndexVec;
use wardian_vm::contain::drop_contained;

/// A value of the embedder's.
pub type Value = Arc<dyn Any + Send + Sync>;

/// The values behind the handles of a store.
///
/// A handle is `generation << 32 | position + 1`; zero is null. A slot that is freed gets a new
/// generation, so an old handle finds nothing. Generations have 31 bits.
#[derive(Default)]
pub struct ExternRefs {
    slots: IndexVec<Position, Slot>,
    free: Vec<Position>,
    /// Number of live values at which to look for those that nobody holds.
    threshold: usize,
}

wardian_types::index_types! {
    /// Where a handle leads to.
    struct Position;
}

struct Slot {
    generation: u32,
    value: Option<Value>,
    marked: bool,
}

/// Fewer values than this are not worth a collection.
const LEAST: usize = 1024;

impl ExternRefs {
    /// A handle for a value.
    pub fn insert(&mut self, value: Value) -> u64 {
        let position = self
            .free
            .pop()
            .unwrap_or_else(|| self.slots.push(Slot { generation: 1, value: None, marked: false }));
        let slot = &mut self.slots[position];
        slot.value = Some(value);
        u64::from(slot.generation) << 32 | (u64::from(position.as_u32()) + 1)
    }

    fn position(&self, handle: u64) -> Option<Position> {
        let position = Position::from_u32((handle as u32).checked_sub(1)?);
        let slot = self.slots.get(position)?;
        (u64::from(slot.generation) == handle >> 32 && slot.value.is_some()).then_some(position)
    }

    /// The value of a handle; `None` for null, and for what is no handle of this store's.
    pub fn get(&self, handle: u64) -> Option<&Value> {
        self.slots[self.position(handle)?].value.as_ref()
    }

    /// Whether there are none at all.
    pub fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    /// Whether a collection is due.
    pub fn is_full(&self) -> bool {
        self.slots.len() - self.free.len() > self.threshold.max(LEAST)
    }

    /// Notes that a word is held somewhere; words that are no handles do not matter.
    pub fn mark(&mut self, word: u64) {
        if let Some(position) = self.position(word) {
            self.slots[position].marked = true;
        }
    }

    /// Drops all values: the store is being dropped.
    pub fn clear(&mut self) {
        self.free.clear();
        for slot in std::mem::take(&mut self.slots) {
            drop_contained(slot.value);
        }
    }

    /// Frees all values that were not marked since the last time.
    pub(crate) fn sweep(&mut self) {
        for position in self.slots.indices() {
            let slot = &mut self.slots[position];
            if std::mem::take(&mut slot.marked) {
                continue;
            }
            if let Some(value) = slot.value.take() {
                slot.generation = ((slot.generation + 1) & (u32::MAX >> 1)).max(1);
                self.free.push(position);
                drop_contained(value);
            }
        }
        self.threshold = 2 * (self.slots.len() - self.free.len());
    }
}
