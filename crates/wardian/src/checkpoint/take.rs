//! Taking checkpoints: into memory, or straight to a writer.

use super::format::{Writer, together};
use super::index::{Index, IndexedMemory, Stored};
use super::options::CheckpointOptions;
use super::{Checkpoint, CheckpointIndex, ModuleBytes};
use crate::data::StoreData;
use crate::error::CheckpointErrorKind;
use crate::{AsContextMut, Caller, Error, Result, Store};
use std::io::Write;
use std::sync::Arc;
use wardian_runtime::checkpoint::packing::{Batch, pack};
use wardian_runtime::checkpoint::pages::{
    Base, Bytes, CHUNK, Chunk, ChunkHashes, Contents, Unchanged,
};
use wardian_runtime::checkpoint::state::{MemoryNumber, ModuleState};
use wardian_runtime::checkpoint::{Captured, Purpose, Standing};
use wardian_runtime::module::ModuleInner;
use wardian_runtime::store::inner::StoreInner;
use wardian_runtime::store::memory::MemoryData;
use wardian_vm::memory::{Mark, TRACKED_PART};

impl<T: 'static> Store<T> {
    /// Takes a checkpoint of the store, in which no guest runs.
    ///
    /// # Errors
    ///
    /// Something in the store cannot be written down: see [`Checkpoint`].
    pub fn checkpoint(&mut self, options: &CheckpointOptions) -> Result<Checkpoint> {
        take_checkpoint(&mut self.0, Standing::Idle, options)
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
        write_checkpoint(&mut self.0, Standing::Idle, options, to)
    }

    /// Adds state of the embedder's to every checkpoint of this store, from the store's data: names with bytes, to be
    /// read with [`Checkpoint::host_state`]. An error ends the checkpoint.
    pub fn host_state_with(
        &mut self,
        state: impl FnMut(&mut T) -> Result<Vec<(String, Vec<u8>)>> + Send + Sync + 'static,
    ) {
        self.0.data.host_state = Some(Box::new(state));
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
        take_checkpoint(self.as_context_mut().0, Standing::HostCall(call), options)
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
        write_checkpoint(self.as_context_mut().0, Standing::HostCall(call), options, to)
    }
}

pub(super) fn take_checkpoint<T: 'static>(
    store: &mut StoreData<T>,
    standing: Standing,
    options: &CheckpointOptions,
) -> Result<Checkpoint> {
    let plan = plan(store, standing, options)?;
    let count = plan.captured.state.memories.len();
    let mut memories = Vec::with_capacity(count);
    let mut hashes = Vec::with_capacity(memories.capacity());
    for number in MemoryNumber::range(MemoryNumber::FIRST..MemoryNumber::from_usize(count)) {
        let mut chunks = Vec::new();
        let mut known = ChunkHashes::new();
        pack_memory(&store.inner, &plan, number, |batch| {
            known.extend(batch.iter().map(|chunk| (chunk.index, chunk.hash)));
            chunks.extend(batch.into_iter().map(Chunk::into_owned));
            Ok(())
        })?;
        memories.push(chunks);
        hashes.push(Stored { chunks: known, mark: plan.mark(number) });
    }
    let Captured { state, .. } = plan.captured;
    let mut checkpoint = Checkpoint {
        state,
        modules: plan.modules,
        memories,
        key: plan.options.key.clone(),
        mappable: options.mappable,
        root: None,
        index: None,
    };
    if options.since.is_some() || options.for_children {
        // Without its parent, or without the marks, it could not be found out later.
        let root = checkpoint.hash()?;
        let embedded = checkpoint.embedded();
        let parent = options.since.as_ref().map(|since| &*since.0);
        let index = Index::after(parent, &checkpoint.state, embedded, hashes, root);
        checkpoint.index = Some(CheckpointIndex(Arc::new(index)));
    }
    Ok(checkpoint)
}

pub(super) fn write_checkpoint<T: 'static>(
    store: &mut StoreData<T>,
    standing: Standing,
    options: &CheckpointOptions,
    to: impl Write,
) -> Result<CheckpointIndex> {
    let plan = plan(store, standing, options)?;
    let state = &plan.captured.state;
    let (key, mappable) = (plan.options.key.as_ref(), options.mappable);
    let mut writer = Writer::begin(to, key, state, &plan.modules, mappable)?;
    let mut hashes = Vec::with_capacity(state.memories.len());
    let count = MemoryNumber::from_usize(state.memories.len());
    for number in MemoryNumber::range(MemoryNumber::FIRST..count) {
        let mut known = ChunkHashes::new();
        let mut part = Batch::new();
        pack_memory(&store.inner, &plan, number, |batch| {
            known.extend(batch.iter().map(|chunk| (chunk.index, chunk.hash)));
            if !mappable {
                return Ok(writer.chunks(number, &batch)?);
            }
            // Nothing of them is a copy.
            let place =
                |part: &Batch<'_>| part.first().map(|c| c.index.as_u64() / together(mappable));
            if !part.is_empty() && place(&part) != place(&batch) {
                writer.chunks(number, &std::mem::take(&mut part))?;
            }
            part.extend(batch);
            Ok(())
        })?;
        if !part.is_empty() {
            writer.chunks(number, &part)?;
        }
        hashes.push(Stored { chunks: known, mark: plan.mark(number) });
    }
    let root = writer.end()?;
    let embedded = super::embedded(state, &plan.modules);
    let index = Index::after(plan.parent(), state, embedded, hashes, root);
    Ok(CheckpointIndex(Arc::new(index)))
}

/// Captures everything but the contents of memories.
fn plan<'o, T: 'static>(
    store: &mut StoreData<T>,
    standing: Standing,
    options: &'o CheckpointOptions,
) -> Result<Plan<'o>> {
    let mut host = options.state.clone();
    let data = &mut store.data;
    if let Some(more) = &mut data.host_state {
        host.extend(more(&mut data.data)?);
    }
    let purpose = Purpose::Checkpoint(options.shared);
    let mut captured = store.inner.capture(standing, purpose)?;
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
    let modules = captured.modules.iter().zip(&captured.state.modules).map(|(module, state)| {
        let embed = options.embed && !is_embedded(&state.hash);
        ModuleBytes { bytes: embed.then(|| Arc::from(module.decoded.bytes())) }
    });
    let modules = modules.collect();
    let memories = captured.memories.iter();
    let marks = memories.map(|memory| match options.for_children {
        true => store.inner.memory_mut(*memory).mark(),
        false => None,
    });
    let marks = marks.collect();
    Ok(Plan { captured, modules, options, marks })
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
    /// Of the memories that are not shared.
    marks: Vec<Option<Mark>>,
}

impl Plan<'_> {
    /// The mark of the memory at a position in the state; none of a shared one.
    fn mark(&self, number: MemoryNumber) -> Option<Mark> {
        self.marks.get(number.index()).copied().flatten()
    }

    fn parent(&self) -> Option<&Index> {
        self.options.since.as_ref().map(|since| &*since.0)
    }
}

/// The bytes of the memory at a position in the state: the shared ones come last.
fn contents_of<'a>(
    store: &'a StoreInner,
    captured: &'a Captured,
    number: MemoryNumber,
) -> Bytes<'a> {
    match captured.memories.get(number.index()) {
        Some(own) => Bytes::Own(store.memory(*own).bytes()),
        None => {
            let shared = &captured.shared_memories[number.index() - captured.memories.len()];
            Bytes::Shared(shared, captured.state.memories[number.index()].len as usize)
        }
    }
}

/// Packs the memory at a position in the state.
fn pack_memory<'a>(
    store: &'a StoreInner,
    plan: &'a Plan<'_>,
    number: MemoryNumber,
    take: impl FnMut(Batch<'a>) -> wardian_runtime::Result<()>,
) -> Result<()> {
    let memory = &plan.captured.state.memories[number.index()];
    let parent = plan.parent().filter(|_| memory.on_parent);
    let module = plan.captured.state.module_of(memory.item);
    let parent = parent.and_then(|p| p.memory(memory.item, memory.len, &module));
    // Without a mark of this moment nothing is known of what was written last.
    let marked = parent.filter(|_| plan.mark(number).is_some());
    let own = plan.captured.memories.get(number.index()).map(|own| store.memory(*own));
    let contents = Contents {
        bytes: contents_of(store, &plan.captured, number),
        base: Base::of(&store.instance(memory.item.instance()).module().decoded, memory.item),
        parent: parent.map(|parent| &parent.chunks),
        unchanged: marked.zip(own).and_then(|(parent, data)| unchanged_since(data, parent)),
        compress: plan.options.compress && !plan.options.mappable,
    };
    Ok(pack(&contents, store.engine().settings().threads, take)?)
}

/// Says which chunks of a memory, which was marked just now, are known to be those of the parent. A chunk that the parent
/// has not or has a part of only is none.
fn unchanged_since(memory: &MemoryData, parent: &IndexedMemory) -> Option<Unchanged> {
    const { assert!(CHUNK == TRACKED_PART, "parts are chunks") };
    let is_changed = memory.changed_since(parent.mark?)?;
    let whole = parent.len / CHUNK as u64;
    Some(Box::new(move |index| index.as_u64() < whole && !is_changed(index.as_u64() as usize)))
}
