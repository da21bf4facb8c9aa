//! What a later checkpoint is compared with: the hashes of the chunks of an earlier one.

use std::fmt;
use std::sync::Arc;
use wardian_runtime::checkpoint::pages::{ChunkHashes, Hash};
use wardian_runtime::checkpoint::state::{Item, State};
use wardian_vm::memory::Mark;

/// The hashes of a checkpoint, without its contents: what [`crate::checkpoint::CheckpointOptions::since`] compares with. Clones share
/// the same.
#[derive(Clone)]
pub struct CheckpointIndex(pub(crate) Arc<Index>);

impl fmt::Debug for CheckpointIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointIndex").finish_non_exhaustive()
    }
}

impl CheckpointIndex {
    /// The root hash of the checkpoint, by which later ones name it: [`super::Checkpoint::hash`].
    pub fn hash(&self) -> &[u8; 32] {
        &self.0.root
    }
}

/// See [`CheckpointIndex`].
pub(crate) struct Index {
    pub(crate) root: Hash,
    /// Hashes of the modules that it or one of its parents has.
    pub(crate) embedded: Vec<Hash>,
    pub(crate) memories: Vec<IndexedMemory>,
    /// Whether it has a key, which must be that of its children.
    pub(crate) keyed: bool,
}

/// The chunks of a memory.
pub(crate) struct IndexedMemory {
    pub(crate) item: Item,
    pub(crate) len: u64,
    /// The hash of the module of its instance, which says what is missing.
    pub(crate) module: Hash,
    pub(crate) chunks: ChunkHashes,
    /// When it was taken, for the memory that it was taken of.
    pub(crate) mark: Option<Mark>,
}

/// What is stored of a memory in a checkpoint.
#[derive(Default)]
pub(crate) struct Stored {
    pub(crate) chunks: ChunkHashes,
    pub(crate) mark: Option<Mark>,
}

impl Index {
    /// The memory of a store that this one can be the parent of.
    pub(crate) fn memory(&self, item: Item, len: u64, module: &Hash) -> Option<&IndexedMemory> {
        let found = self.memories.iter().find(|memory| memory.item == item);
        found.filter(|memory| memory.len <= len && memory.module == *module)
    }

    /// The index of a checkpoint with this state, of which these chunks are stored.
    pub(crate) fn after(
        parent: Option<&Index>,
        state: &State,
        embedded: impl IntoIterator<Item = Hash>,
        stored: Vec<Stored>,
        root: Hash,
    ) -> Index {
        let mut modules: Vec<Hash> = embedded.into_iter().collect();
        modules.extend(parent.into_iter().flat_map(|parent| parent.embedded.iter().copied()));
        let memories = state.memories.iter().zip(stored).map(|(memory, stored)| {
            let module = state.module_of(memory.item);
            let before = parent.filter(|_| memory.on_parent);
            let before = before.and_then(|p| p.memory(memory.item, memory.len, &module));
            let mut chunks = before.map(|before| before.chunks.clone()).unwrap_or_default();
            chunks.extend(stored.chunks);
            let mark = stored.mark;
            IndexedMemory { item: memory.item, len: memory.len, module, chunks, mark }
        });
        Index { root, embedded: modules, memories: memories.collect(), keyed: state.keyed }
    }
}
