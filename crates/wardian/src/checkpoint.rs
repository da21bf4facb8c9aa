//! Checkpoints: a store with its guest as bytes, from which it is resumed elsewhere.

mod chain;
mod diff;
mod format;
mod immutable;
mod index;
mod options;
mod reader;
mod request;
mod resume;
mod serve;
mod take;

use crate::Error;
use crate::backtrace::Frame;
pub use crate::config::Checkpoints;
use crate::{Module, Result};
pub use diff::{
    CheckpointDiff, CheckpointItem, CheckpointValue, FramesDiff, GlobalDiff, MemoryDiff, TableDiff,
};
pub use format::is_checkpoint;
pub use index::CheckpointIndex;
use index::{Index, Stored};
use options::Key;
pub use options::{CheckpointOptions, ReadOptions};
pub use reader::CheckpointReader;
pub use request::{AfterCheckpoint, CheckpointRequest, Standstill};
pub use resume::{PendingCall, PendingWait, ResumeOptions, Resumed};
pub(crate) use serve::serve;
use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;
#[doc(inline)]
pub use wardian_runtime::checkpoint::SharedMemories;
use wardian_runtime::checkpoint::pages::{self, Hash};
use wardian_runtime::checkpoint::state::{At, MemoryNumber, State};
use wardian_types::{CodeOffset, FuncIndex};
pub use wardian_vm::memory::ImmutableFile;

/// The whole state of a store and of the guest that runs in it, as data.
///
/// A checkpoint is taken by a host function that the guest has called ([`Caller::checkpoint`]), or of a store in
/// which no guest runs ([`Store::checkpoint`]). It is resumed in another store, perhaps of another process on another
/// machine: [`Checkpoint::resume`]. Nothing in it depends on the engine, the build of Wardian or the processor.
///
/// What is in it: memories, tables, globals, dropped segments, objects and exceptions of the guest, fuel, the frames of
/// the guest with their locals and operands, the modules (unless [`CheckpointOptions::embed_modules`] says
/// otherwise), and state of the embedder's under names of its own. What is not: host functions, which are found again
/// by the names under which they are imported; the store's data; limits, deadlines, listeners.
///
/// ```
/// use wardian::{
///     checkpoint::{Checkpoint, CheckpointOptions, ResumeOptions}, Caller, Config, Engine,
///     EngineKind, Linker, Module, Result, Store, Val,
/// };
/// let engine = Engine::new(Config::new().engine(EngineKind::Interpreted))?;
/// let mut linker = Linker::<Option<Checkpoint>>::new(&engine);
/// // Returns 0 when it has taken a checkpoint, and 1 when the guest was resumed from it.
/// linker.func_wrap("host", "save", |mut caller: Caller<'_, Option<Checkpoint>>| -> Result<i32> {
///     let checkpoint = caller.checkpoint(&CheckpointOptions::new())?;
///     *caller.data_mut() = Some(checkpoint);
///     Ok(0)
/// })?;
/// let module = Module::new(&engine, r#"(module
///     (import "host" "save" (func $save (result i32)))
///     (func (export "run") (result i32) (local $before i32)
///         (local.set $before (i32.const 40))
///         (i32.add (local.get $before) (i32.mul (call $save) (i32.const 2)))))"#)?;
/// let mut store = Store::new(&engine, None);
/// let instance = linker.instantiate(&mut store, &module)?;
/// let run = instance.typed_func::<(), i32>(&mut store, "run")?;
/// assert_eq!(run.call(&mut store, ())?, 40);
/// let bytes = store.data().as_ref().expect("it was taken").to_bytes()?;
///
/// // Later, elsewhere:
/// let checkpoint = Checkpoint::from_bytes(&bytes)?;
/// let mut store = Store::new(&engine, None);
/// let resumed = checkpoint.resume(&mut store, &linker, &ResumeOptions::new())?;
/// assert_eq!(resumed.run_with(&mut store, &[Val::I32(1)])?, [Val::I32(42)]);
/// # Ok::<(), wardian::Error>(())
/// ```
///
/// # What can be written down
///
/// Frames of interpreted code, and of compiled code in an engine with [`crate::Config::checkpoints`]; otherwise a guest
/// that is being run by compiled code is an error that names the function. All can be resumed in every engine. Refused, each with an error that says so, are also: guests that hold values of the embedder's
/// (`externref`), or functions of the embedder's that no instance imports; shared memories, unless
/// [`CheckpointOptions::shared_memories`] says what becomes of them; a guest that was called by a host function which
/// another guest called, since what the host does in between is on its own stack.
///
/// # Safety of forged checkpoints
///
/// A checkpoint may come from anybody. Frames are checked against the modules: each is at a position at which a
/// guest can be resumed, its locals and operands are of the types that validation gives them there, and it fits the
/// frame that it calls. So a forged checkpoint can start a guest in a state that it would not have come to by itself,
/// but it cannot break out of the sandbox. The hash in the format finds accidents; with a key
/// ([`CheckpointOptions::with_key`]) it finds attackers.
///
/// # Without a copy in memory
///
/// [`Store::checkpoint_to`] and its siblings write a checkpoint while it is taken, and [`CheckpointReader`] reads one
/// into the memories of the store that it is resumed in. Neither has the memories a second time.
///
/// [`Store::checkpoint_to`]: crate::Store::checkpoint_to
/// [`Caller::checkpoint`]: crate::Caller::checkpoint
/// [`Store::checkpoint`]: crate::Store::checkpoint
#[derive(Clone)]
pub struct Checkpoint {
    state: State,
    /// By position in the state.
    modules: Vec<ModuleBytes>,
    memories: Vec<Vec<pages::Chunk>>,
    key: Option<Key>,
    /// Whether what is not packed can be mapped where it is stored.
    mappable: bool,
    /// The root hash, if it is known.
    root: Option<Hash>,
    /// Of one that has a parent or was taken for children, if that is known.
    index: Option<CheckpointIndex>,
}

/// A module's bytes, if they are part of the checkpoint.
#[derive(Clone, Default)]
pub(crate) struct ModuleBytes {
    pub(crate) bytes: Option<Arc<[u8]>>,
}

fn modules<'a>(
    state: &'a State,
    modules: &'a [ModuleBytes],
) -> impl ExactSizeIterator<Item = CheckpointModule<'a>> {
    state.modules.iter().zip(modules).map(|(state, bytes)| CheckpointModule {
        name: state.name.as_deref(),
        hash: &state.hash,
        bytes: bytes.bytes.as_deref(),
    })
}

fn module(
    modules: &[ModuleBytes],
    engine: &crate::Engine,
    position: usize,
) -> Result<Option<Module>> {
    let bytes = modules.get(position).and_then(|module| module.bytes.as_deref());
    bytes.map(|bytes| Module::new(engine, bytes)).transpose()
}

/// The hashes of the modules that are part of a checkpoint.
fn embedded(state: &State, modules: &[ModuleBytes]) -> Vec<Hash> {
    let embedded = state.modules.iter().zip(modules).filter(|(_, module)| module.bytes.is_some());
    embedded.map(|(state, _)| state.hash).collect()
}

impl Checkpoint {
    /// Writes the checkpoint, in the format of `docs/checkpoints.md`.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write(&self, to: impl Write) -> Result<()> {
        self.write_hashed(to).map(drop)
    }

    fn write_hashed(&self, to: impl Write) -> Result<Hash> {
        let (key, mappable) = (self.key.as_ref(), self.mappable);
        let mut writer = format::Writer::begin(to, key, &self.state, &self.modules, mappable)?;
        for (memory, chunks) in self.memories.iter().enumerate() {
            let memory = MemoryNumber::from_usize(memory);
            let together = format::together(mappable);
            for part in chunks.chunk_by(|one, next| {
                one.index.as_u64() / together == next.index.as_u64() / together
            }) {
                writer.chunks(memory, part)?;
            }
        }
        writer.end()
    }

    /// The root hash: BLAKE3 of all that the checkpoint says. A checkpoint that stores what has changed since this one
    /// names it by that.
    ///
    /// # Errors
    ///
    /// None that are known.
    pub fn hash(&self) -> Result<[u8; 32]> {
        match self.root {
            Some(root) => Ok(root),
            None => self.write_hashed(std::io::sink()),
        }
    }

    /// The root hash of the checkpoint that is needed to resume this one, which has only what has changed since:
    /// [`Checkpoint::compact`] joins them.
    pub fn parent(&self) -> Option<&[u8; 32]> {
        self.state.parent.as_ref()
    }

    /// What a later checkpoint of the same store is compared with, so that it stores only what has changed since:
    /// [`CheckpointOptions::since`].
    ///
    /// # Errors
    ///
    /// The checkpoint has a parent and was read: it has to be joined with that first.
    pub fn index(&self) -> Result<CheckpointIndex> {
        if let Some(index) = &self.index {
            return Ok(index.clone());
        }
        if self.state.parent.is_some() {
            return Err(chain::incremental());
        }
        let stored = self.memories.iter();
        let stored = stored.map(|chunks| {
            let chunks = chunks.iter().map(|c| (c.index, c.hash)).collect();
            Stored { chunks, mark: None }
        });
        let stored = stored.collect();
        let index = Index::after(None, &self.state, self.embedded(), stored, self.hash()?);
        Ok(CheckpointIndex(Arc::new(index)))
    }

    fn embedded(&self) -> Vec<Hash> {
        embedded(&self.state, &self.modules)
    }

    /// The checkpoint as bytes.
    ///
    /// # Errors
    ///
    /// None that are known; writing to memory does not fail.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a checkpoint. It may have been made by anybody.
    ///
    /// # Errors
    ///
    /// Those of the reader; or it reads no checkpoint, a damaged one, one that was made with a key, or one of another
    /// version of the format.
    pub fn read(from: impl Read) -> Result<Checkpoint> {
        Checkpoint::read_with(from, &ReadOptions::new())
    }

    /// As [`Checkpoint::read`], with a key for instance.
    ///
    /// # Errors
    ///
    /// As there; or it was made with another key, or with none and there is one.
    pub fn read_with(from: impl Read, options: &ReadOptions) -> Result<Checkpoint> {
        let mut reader = format::Reader::begin(from, options.key.as_ref())?;
        let mut memories = vec![Vec::new(); reader.state.memories.len()];
        let root = reader.chunks(|stored, source| {
            let (index, packing, hash) = (stored.index, stored.packing, stored.hash);
            let packed = source.packed(stored)?.into();
            memories[stored.memory.index()].push(pages::Chunk { index, packing, hash, packed });
            Ok(())
        })?;
        let format::Reader { state, modules, mappable, .. } = reader;
        let (key, root) = (options.key.clone(), Some(root));
        Ok(Checkpoint { state, modules, memories, key, mappable, root, index: None })
    }

    /// As [`Checkpoint::read`], of bytes.
    ///
    /// # Errors
    ///
    /// As there; or something follows the checkpoint.
    pub fn from_bytes(bytes: &[u8]) -> Result<Checkpoint> {
        Checkpoint::from_bytes_with(bytes, &ReadOptions::new())
    }

    /// As [`Checkpoint::from_bytes`], with a key for instance.
    ///
    /// # Errors
    ///
    /// As there; or it was made with another key, or with none and there is one.
    pub fn from_bytes_with(mut bytes: &[u8], options: &ReadOptions) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::read_with(&mut bytes, options)?;
        match bytes.len() {
            0 => Ok(checkpoint),
            more => Err(Error::damaged(format!("{more} bytes follow it"))),
        }
    }

    /// State of the embedder's: the first that was given under this name.
    pub fn host_state(&self, name: &str) -> Option<&[u8]> {
        self.state.host_state(name)
    }

    /// The modules of the instances.
    pub fn modules(&self) -> impl ExactSizeIterator<Item = CheckpointModule<'_>> {
        modules(&self.state, &self.modules)
    }

    /// The frames of the guest, the innermost first; none if no guest was running.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = CheckpointFrame> {
        let frames = self.state.call.as_ref().map(|call| call.frames.as_slice());
        frames.unwrap_or_default().iter().map(|frame| CheckpointFrame {
            instance: frame.func.instance().as_u32(),
            module: self
                .state
                .instances
                .get(frame.func.instance().index())
                .map_or(u32::MAX, |instance| instance.module.as_u32()),
            function: frame.func.index_number(),
            offset: frame.offset.as_u32(),
            called: frame.at != At::Before,
        })
    }

    /// The frames of the guest with the names of their functions, and source lines where the modules have debug
    /// information; empty if no guest was running.
    ///
    /// # Errors
    ///
    /// A module is not part of the checkpoint, or is not valid in this engine; or a frame names none.
    pub fn backtrace(&self, engine: &crate::Engine) -> Result<crate::Backtrace> {
        let mut modules = Vec::with_capacity(self.modules.len());
        for position in 0..self.modules.len() {
            modules.push(self.module(engine, position)?);
        }
        let mut backtrace = crate::Backtrace::default();
        for frame in self.frames() {
            let module = modules.get(frame.module as usize).and_then(Option::as_ref);
            let known = module.filter(|m| (frame.function as usize) < m.info().functions.len());
            let module = known.ok_or_else(|| Error::damaged("a frame has no module"))?;
            backtrace.frames.push(Frame::of(wardian_runtime::stack::backtrace::Frame::new(
                module.0.clone(),
                FuncIndex::from_u32(frame.function),
                Some(CodeOffset::from_u32(frame.offset)),
            )));
        }
        Ok(backtrace)
    }

    /// The same with the modules' bytes of another checkpoint, for those that it lacks: as checkpoints of other threads of
    /// the same program do.
    pub fn with_modules_of(&self, other: &Checkpoint) -> Checkpoint {
        let mut whole = self.clone();
        for (module, state) in whole.modules.iter_mut().zip(&self.state.modules) {
            let mut known = other.state.modules.iter().zip(&other.modules);
            if module.bytes.is_none()
                && let Some((_, found)) = known.find(|(known, _)| known.hash == state.hash)
            {
                *module = found.clone();
            }
        }
        whole
    }

    /// Sizes of the memories in bytes, and how many bytes their contents take in the checkpoint.
    pub fn memories(&self) -> impl ExactSizeIterator<Item = (u64, u64)> {
        self.state.memories.iter().zip(&self.memories).map(|(state, chunks)| {
            (state.len, chunks.iter().map(|chunk| chunk.packed.len() as u64).sum())
        })
    }

    /// The module at a position of [`Checkpoint::modules`], compiled by an engine; none if its bytes are not part of
    /// the checkpoint, or if there is no such position.
    ///
    /// # Errors
    ///
    /// As for [`Module::new`].
    pub fn module(&self, engine: &crate::Engine, position: usize) -> Result<Option<Module>> {
        module(&self.modules, engine, position)
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("modules", &self.modules.len())
            .field("instances", &self.state.instances.len())
            .field("frames", &self.frames().len())
            .finish_non_exhaustive()
    }
}

/// A module of a checkpoint.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct CheckpointModule<'a> {
    /// The name that the module has itself.
    pub name: Option<&'a str>,
    /// BLAKE3 of its bytes.
    pub hash: &'a [u8; 32],
    /// Its bytes, if they are part of the checkpoint.
    pub bytes: Option<&'a [u8]>,
}

impl fmt::Debug for CheckpointModule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointModule")
            .field("name", &self.name)
            .field("bytes", &self.bytes.map(<[u8]>::len))
            .finish_non_exhaustive()
    }
}

/// A frame of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointFrame {
    /// The position of its instance.
    pub instance: u32,
    /// The position of that one's module in [`Checkpoint::modules`].
    pub module: u32,
    /// The function's index in the module.
    pub function: u32,
    /// The offset of an operator in the module's code section: the call in which the frame waits, or the operator
    /// that is executed next.
    pub offset: u32,
    /// Whether it is a call that was made.
    pub called: bool,
}
