//! Taking checkpoints: into memory, or straight to a writer.

use super::format::Writer;
use super::index::Index;
use super::options::CheckpointOptions;
use super::packing::{Batch, pack};
use super::pages::{Base, Bytes, Chunk, ChunkHashes, Contents};
use super::state::ModuleState;
use super::{Checkpoint, CheckpointIndex, ModuleBytes};
use crate::error::CheckpointErrorKind;
use crate::module::ModuleInner;
use crate::raw::checkpoint::{Captured, Purpose, Standing};
use crate::raw::store::{StoreData, StoreInner};
use crate::{AsContextMut, Caller, Error, Result, Store};
use std::io::Write;
use std::sync::Arc;

impl<T: 'static> Store<T> {
    /// Takes a checkpoint of the store, in which no guest runs.
    ///
    /// # Errors
    ///
    /// Something in the store cannot be written down: see [`Checkpoint`].
    pub fn checkpoint(&mut self, options: &CheckpointOptions) -> Result<Checkpoint> {
        self.0.take_checkpoint(Standing::Idle, options)
    }

    /// As [`Store::checkpoint`], but writes it at once, so that no second copy of the memories is made: only what is
    /// being compressed is in memory besides. Returns what [`CheckpointOptions::since`] takes.
    ///
    /// # Errors
    ///
    /// As there; or those of the writer.
    pub fn checkpoint_to(
        &mut self,
        options: &CheckpointOptions,
        to: impl Write,
    ) -> Result<CheckpointIndex> {
        self.0.write_checkpoint(Standing::Idle, options, to)
    }

    /// Adds state of the embedder's to every checkpoint of this store, from the store's data: names with bytes, to be
    /// read with [`Checkpoint::host_state`]. An error ends the checkpoint.
    pub fn host_state_with(
        &mut self,
        state: impl FnMut(&mut T) -> Result<Vec<(String, Vec<u8>)>> + Send + Sync + 'static,
    ) {
        self.0.host_state = Some(Box::new(state));
    }
}

impl<T: 'static> Caller<'_, T> {
    /// Takes a checkpoint of the store and of the guest that calls this host function. When it is resumed, the host
    /// function is called again with the same arguments, or returns results that are given instead: see
    /// [`super::Resumed`].
    ///
    /// # Errors
    ///
    /// Something in the store cannot be written down: see [`Checkpoint`].
    pub fn checkpoint(&mut self, options: &CheckpointOptions) -> Result<Checkpoint> {
        let call = self.host_call();
        self.as_context_mut().0.take_checkpoint(Standing::HostCall(call), options)
    }

    /// As [`Caller::checkpoint`], but writes it at once: see [`Store::checkpoint_to`].
    ///
    /// # Errors
    ///
    /// As there; or those of the writer.
    pub fn checkpoint_to(
        &mut self,
        options: &CheckpointOptions,
        to: impl Write,
    ) -> Result<CheckpointIndex> {
        let call = self.host_call();
        self.as_context_mut().0.write_checkpoint(Standing::HostCall(call), options, to)
    }
}

impl<T> StoreData<T> {
    pub(super) fn take_checkpoint(
        &mut self,
        standing: Standing,
        options: &CheckpointOptions,
    ) -> Result<Checkpoint> {
        let plan = self.plan(standing, options)?;
        let count = plan.captured.state.memories.len();
        let mut memories = Vec::with_capacity(count);
        let mut hashes = Vec::with_capacity(memories.capacity());
        for number in 0..count {
            let mut chunks = Vec::new();
            let mut known = ChunkHashes::new();
            self.inner.pack_memory(&plan, number, |batch| {
                known.extend(batch.iter().map(|chunk| (chunk.index, chunk.hash)));
                chunks.extend(batch.into_iter().map(Chunk::into_owned));
                Ok(())
            })?;
            memories.push(chunks);
            hashes.push(known);
        }
        let Captured { state, .. } = plan.captured;
        let mut checkpoint = Checkpoint {
            state,
            modules: plan.modules,
            memories,
            key: plan.options.key.clone(),
            root: None,
            index: None,
        };
        if let Some(parent) = &options.since {
            // Without its parent it could not be found out later.
            let root = checkpoint.hash()?;
            let embedded = checkpoint.embedded();
            let index = Index::after(Some(&parent.0), &checkpoint.state, embedded, hashes, root);
            checkpoint.index = Some(CheckpointIndex(Arc::new(index)));
        }
        Ok(checkpoint)
    }

    pub(super) fn write_checkpoint(
        &mut self,
        standing: Standing,
        options: &CheckpointOptions,
        to: impl Write,
    ) -> Result<CheckpointIndex> {
        let plan = self.plan(standing, options)?;
        let state = &plan.captured.state;
        let mut writer = Writer::begin(to, plan.options.key.as_ref(), state, &plan.modules)?;
        let mut hashes = Vec::with_capacity(state.memories.len());
        for number in 0..state.memories.len() {
            let mut known = ChunkHashes::new();
            self.inner.pack_memory(&plan, number, |batch| {
                known.extend(batch.iter().map(|chunk| (chunk.index, chunk.hash)));
                writer.chunks(number as u32, &batch)
            })?;
            hashes.push(known);
        }
        let root = writer.end()?;
        let embedded = super::embedded(state, &plan.modules);
        let index = Index::after(plan.parent(), state, embedded, hashes, root);
        Ok(CheckpointIndex(Arc::new(index)))
    }

    /// Captures everything but the contents of memories.
    fn plan<'o>(&mut self, standing: Standing, options: &'o CheckpointOptions) -> Result<Plan<'o>> {
        let mut host = options.state.clone();
        if let Some(more) = &mut self.host_state {
            host.extend(more(&mut self.data)?);
        }
        let purpose = Purpose::Checkpoint(options.shared);
        let mut captured = self.inner.capture(standing, purpose)?;
        let state = &mut captured.state;
        state.modules = captured.modules.iter().map(module_state).collect();
        state.host = host;
        state.keyed = options.key.is_some();
        let parent = options.since.as_ref().map(|since| &*since.0);
        if let Some(parent) = parent {
            if parent.keyed != state.keyed {
                return Err(Error::checkpoint(
                    CheckpointErrorKind::Key,
                    "a checkpoint and its parent are to have the same key",
                ));
            }
            state.parent = Some(parent.root);
            for at in 0..state.memories.len() {
                let memory = &state.memories[at];
                let module = state.module_of(memory.item);
                // Of shared memories nothing is left out.
                let is_own = at < captured.memories.len();
                let known = is_own && parent.memory(memory.item, memory.len, &module).is_some();
                state.memories[at].on_parent = known;
            }
        }
        let is_embedded = |hash| parent.is_some_and(|parent| parent.embedded.contains(hash));
        let modules =
            captured.modules.iter().zip(&captured.state.modules).map(|(module, state)| {
                let embed = options.embed && !is_embedded(&state.hash);
                ModuleBytes { bytes: embed.then(|| Arc::from(module.decoded.bytes())) }
            });
        let modules = modules.collect();
        Ok(Plan { captured, modules, options })
    }
}

fn module_state(module: &Arc<ModuleInner>) -> ModuleState {
    ModuleState {
        hash: *blake3::hash(module.decoded.bytes()).as_bytes(),
        name: module.decoded.name().map(str::to_owned),
    }
}

/// A checkpoint that is being taken.
struct Plan<'o> {
    captured: Captured,
    modules: Vec<ModuleBytes>,
    options: &'o CheckpointOptions,
}

impl Plan<'_> {
    fn parent(&self) -> Option<&Index> {
        self.options.since.as_ref().map(|since| &*since.0)
    }
}

impl StoreInner {
    /// The bytes of the memory at a position in the state: the shared ones come last.
    fn contents_of<'a>(&'a self, captured: &'a Captured, number: usize) -> Bytes<'a> {
        match captured.memories.get(number) {
            Some(own) => Bytes::Own(self.memories[*own].bytes()),
            None => {
                let shared = &captured.shared_memories[number - captured.memories.len()];
                Bytes::Shared(shared, captured.state.memories[number].len as usize)
            }
        }
    }

    /// Packs the memory at a position in the state.
    fn pack_memory<'a>(
        &'a self,
        plan: &'a Plan<'_>,
        number: usize,
        take: impl FnMut(Batch<'a>) -> Result<()>,
    ) -> Result<()> {
        let memory = &plan.captured.state.memories[number];
        let parent = plan.parent().filter(|_| memory.on_parent);
        let module = plan.captured.state.module_of(memory.item);
        let parent = parent.and_then(|p| p.memory(memory.item, memory.len, &module));
        let contents = Contents {
            bytes: self.contents_of(&plan.captured, number),
            base: Base::of(
                &self.instances[memory.item.instance as usize].module.decoded,
                memory.item,
            ),
            parent: parent.map(|parent| &parent.chunks),
            compress: plan.options.compress,
        };
        pack(&contents, self.engine().config().threads, take)
    }
}
