//! What checkpoints are to have, and how they are read.

use super::CheckpointIndex;
use std::fmt;
use wardian_runtime::checkpoint::SharedMemories;

/// A key for BLAKE3.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What a checkpoint is to have.
#[derive(Clone, Debug)]
pub struct CheckpointOptions {
    pub(super) embed: bool,
    pub(super) compress: bool,
    pub(super) state: Vec<(String, Vec<u8>)>,
    pub(super) key: Option<Key>,
    pub(super) since: Option<CheckpointIndex>,
    pub(super) shared: SharedMemories,
    pub(super) for_children: bool,
    pub(super) mappable: bool,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        CheckpointOptions::new()
    }
}

impl CheckpointOptions {
    /// The modules, compressed memories, and no state of the embedder's.
    pub fn new() -> CheckpointOptions {
        CheckpointOptions {
            embed: true,
            compress: true,
            state: Vec::new(),
            key: None,
            since: None,
            shared: SharedMemories::default(),
            for_children: false,
            mappable: false,
        }
    }

    /// Whether the modules' bytes become part of the checkpoint (the default). Without them it has their hashes, and
    /// whoever resumes it gives the modules: [`super::ResumeOptions::with_module`].
    pub fn embed_modules(mut self, embed: bool) -> Self {
        self.embed = embed;
        self
    }

    /// Whether memories are compressed (the default). Without that it takes less time and more room.
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// What becomes of shared memories. Those that the embedder gave are asked for by the names of their imports when the
    /// checkpoint is resumed, as everything of the embedder's.
    pub fn shared_memories(mut self, shared: SharedMemories) -> Self {
        self.shared = shared;
        self
    }

    /// Whether memories are stored so that they can be mapped from a file that does not change, which takes almost no
    /// time: [`super::CheckpointReader::of_immutable`]. They are not compressed then. Not so by default.
    pub fn mappable(mut self, on: bool) -> Self {
        self.mappable = on;
        self
    }

    /// Adds state of the embedder's, to be read with [`super::Checkpoint::host_state`].
    pub fn with_host_state(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.state.push((name.into(), bytes.into()));
        self
    }

    /// Authenticates the checkpoint: only with the same key it can be read, and only who has the key can have made it.
    /// It is not encrypted. A checkpoint and its parents have the same key.
    pub fn with_key(mut self, key: [u8; 32]) -> Self {
        self.key = Some(Key(key));
        self
    }

    /// Stores of memories only what differs from an earlier checkpoint, the parent, which is needed to resume this
    /// one. Modules that it has are not stored again.
    ///
    /// ```
    /// use wardian::{checkpoint::CheckpointOptions, Engine, Error, Instance, Module, Store};
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (memory (export "m") 100))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let memory = Instance::new(&mut store, &module, &[])?.get_memory(&mut store, "m").expect("it is exported");
    /// memory.data_mut(&mut store).fill(7);
    /// let parent = store.checkpoint(&CheckpointOptions::new())?;
    /// memory.data_mut(&mut store)[5 << 16] = 8;
    /// let child = store.checkpoint(&CheckpointOptions::new().since(&parent.index()?))?;
    /// assert!(child.memories().next().expect("there is one").1 < 1000);
    /// assert_eq!(child.parent(), Some(&parent.hash()?));
    /// // Together they are as one that was taken as a whole.
    /// let whole = child.compact(|_| Ok(parent.clone()))?;
    /// assert_eq!(whole.parent(), None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn since(mut self, parent: &CheckpointIndex) -> Self {
        self.since = Some(parent.clone());
        self.for_children(true)
    }

    /// Whether the system is asked to note which pages of memories are written from now on, so that a checkpoint
    /// [`since`](CheckpointOptions::since) this one reads only these, and finds out by hashes whether others have changed
    /// only where that is not possible. The first write to each page afterwards takes a page fault. Not so by
    /// default, but for checkpoints that have a parent themselves.
    pub fn for_children(mut self, on: bool) -> Self {
        self.for_children = on;
        self
    }
}

/// How a checkpoint is read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    pub(super) key: Option<Key>,
}

impl ReadOptions {
    /// Of a checkpoint that was made without a key.
    pub fn new() -> ReadOptions {
        ReadOptions::default()
    }

    /// The key that the checkpoint was made with. One that was made without a key is refused then.
    pub fn with_key(mut self, key: [u8; 32]) -> Self {
        self.key = Some(Key(key));
        self
    }
}
