//! Checkpoints: a store with its guest as bytes, from which it is resumed elsewhere.

mod format;
pub(crate) mod pages;
mod request;
mod resume;
pub(crate) mod state;

use crate::raw::checkpoint::Standing;
use crate::raw::store::StoreData;
use crate::{AsContextMut, Caller, Module, Result, Store};
pub use format::is_checkpoint;
pub(crate) use request::Requests;
pub use request::{AfterCheckpoint, CheckpointRequest};
pub use resume::{PendingCall, ResumeOptions, Resumed};
use state::{At, State};
use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

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
/// use wardian::*;
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
/// Frames of interpreted code. A guest that is being run by compiled code is an error that names the function: guests
/// that are to be carried run in an engine made with [`crate::EngineKind::Interpreted`]. They can be resumed in every
/// engine. Refused, each with an error that says so, are also: guests that hold values of the embedder's
/// (`externref`), or functions of the embedder's that no instance imports; shared memories; a guest that was called by
/// a host function which another guest called, since what the host does in between is on its own stack.
///
/// # Safety of forged checkpoints
///
/// A checkpoint may come from anybody. Frames are checked against the modules: each is at a position at which a
/// guest can be resumed, its locals and operands are of the types that validation gives them there, and it fits the
/// frame that it calls. So a forged checkpoint can start a guest in a state that it would not have come to by itself,
/// but it cannot break out of the sandbox. The hash in the format finds accidents, not attackers.
#[derive(Clone)]
pub struct Checkpoint {
    pub(crate) state: State,
    /// By position in the state.
    pub(crate) modules: Vec<ModuleBytes>,
    pub(crate) memories: Vec<Vec<pages::Chunk>>,
}

/// A module's bytes, if they are part of the checkpoint.
#[derive(Clone, Default)]
pub(crate) struct ModuleBytes {
    pub(crate) bytes: Option<Arc<[u8]>>,
}

/// What a checkpoint is to have.
#[derive(Clone, Debug)]
pub struct CheckpointOptions {
    embed: bool,
    state: Vec<(String, Vec<u8>)>,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        CheckpointOptions::new()
    }
}

impl CheckpointOptions {
    /// The modules, and no state of the embedder's.
    pub fn new() -> CheckpointOptions {
        CheckpointOptions { embed: true, state: Vec::new() }
    }

    /// Whether the modules' bytes become part of the checkpoint (the default). Without them it has their hashes, and
    /// whoever resumes it gives the modules: [`ResumeOptions::with_module`].
    pub fn embed_modules(mut self, embed: bool) -> Self {
        self.embed = embed;
        self
    }

    /// Adds state of the embedder's, to be read with [`Checkpoint::host_state`].
    pub fn with_host_state(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.state.push((name.into(), bytes.into()));
        self
    }
}

impl<T: 'static> Store<T> {
    /// Takes a checkpoint of the store, in which no guest runs.
    ///
    /// # Errors
    ///
    /// Something in the store cannot be written down: see [`Checkpoint`].
    pub fn checkpoint(&mut self, options: &CheckpointOptions) -> Result<Checkpoint> {
        self.0.take_checkpoint(Standing::Idle, options)
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
    /// [`Resumed`].
    ///
    /// # Errors
    ///
    /// Something in the store cannot be written down: see [`Checkpoint`].
    pub fn checkpoint(&mut self, options: &CheckpointOptions) -> Result<Checkpoint> {
        let call = self.host_call();
        self.as_context_mut().0.take_checkpoint(Standing::HostCall(call), options)
    }
}

impl<T> StoreData<T> {
    fn take_checkpoint(
        &mut self,
        standing: Standing,
        options: &CheckpointOptions,
    ) -> Result<Checkpoint> {
        let mut state = options.state.clone();
        if let Some(host) = &mut self.host_state {
            state.extend(host(&mut self.data)?);
        }
        self.inner.checkpoint(standing, options.embed, state)
    }
}

impl Checkpoint {
    /// Writes the checkpoint, in the format of `docs/checkpoints.md`.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write(&self, to: impl Write) -> Result<()> {
        format::write(self, to)
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
    /// Those of the reader; or it reads no checkpoint, a damaged one, or one of another version of the format.
    pub fn read(from: impl Read) -> Result<Checkpoint> {
        format::read(from)
    }

    /// As [`Checkpoint::read`], of bytes.
    ///
    /// # Errors
    ///
    /// As there; or something follows the checkpoint.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Checkpoint> {
        let checkpoint = format::read(&mut bytes)?;
        match bytes.len() {
            0 => Ok(checkpoint),
            more => Err(format::damaged(format!("{more} bytes follow it"))),
        }
    }

    /// State of the embedder's: the first that was given under this name.
    pub fn host_state(&self, name: &str) -> Option<&[u8]> {
        let found = self.state.host.iter().find(|(n, _)| n == name);
        found.map(|(_, bytes)| bytes.as_slice())
    }

    /// The modules of the instances.
    pub fn modules(&self) -> impl ExactSizeIterator<Item = CheckpointModule<'_>> {
        self.state.modules.iter().zip(&self.modules).map(|(state, bytes)| CheckpointModule {
            name: state.name.as_deref(),
            hash: &state.hash,
            bytes: bytes.bytes.as_deref(),
        })
    }

    /// The frames of the guest, the innermost first; none if no guest was running.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = CheckpointFrame> {
        let frames = self.state.call.as_ref().map(|call| call.frames.as_slice());
        frames.unwrap_or_default().iter().map(|frame| CheckpointFrame {
            instance: frame.func.instance,
            module: self
                .state
                .instances
                .get(frame.func.instance as usize)
                .map_or(u32::MAX, |instance| instance.module),
            function: frame.func.index,
            offset: frame.offset,
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
            let module = known.ok_or_else(|| format::damaged("a frame has no module"))?;
            backtrace.frames.push(module.frame(frame.function, Some(frame.offset)));
        }
        Ok(backtrace)
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
        let bytes = self.modules.get(position).and_then(|module| module.bytes.as_deref());
        bytes.map(|bytes| Module::new(engine, bytes)).transpose()
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
