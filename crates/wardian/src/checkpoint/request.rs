//! Asking for checkpoints from other threads.

use super::{Checkpoint, CheckpointIndex, CheckpointOptions};
use crate::Result;
use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use wardian_runtime::store::inner::CheckpointRequests;
use wardian_vm::contain::drop_contained;
use wardian_vm::interrupt::Interrupter;

/// What becomes of a guest of which a checkpoint was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCheckpoint {
    /// It continues.
    Resume,
    /// Its call ends with [`crate::StopReason::Checkpoint`].
    End,
}

/// A checkpoint that somebody waits for, and what becomes of it.
pub(super) enum Wanted {
    Taken(CheckpointOptions, Box<dyn FnOnce(Result<Checkpoint>) -> AfterCheckpoint + Send>),
    Written(
        CheckpointOptions,
        Box<dyn Write + Send>,
        Box<dyn FnOnce(Result<CheckpointIndex>) -> AfterCheckpoint + Send>,
    ),
    /// Whoever asked takes it.
    Still(Box<dyn FnOnce(&mut Standstill<'_>) -> AfterCheckpoint + Send>),
}

/// A guest that stands still at a safepoint, for as long as this is borrowed.
///
/// Others may see to it meanwhile that nothing changes which it shares with them. What ends meanwhile, such as an
/// [`crate::listener::Attachment`], has ended when the guest continues.
pub struct Standstill<'a> {
    pub(super) take: &'a mut dyn FnMut(&CheckpointOptions) -> Result<Checkpoint>,
    pub(super) write:
        &'a mut dyn FnMut(&CheckpointOptions, &mut dyn Write) -> Result<CheckpointIndex>,
    /// Calls what it is given with the store, which is named where it is used: files that the store knows do not know
    /// the store.
    pub(super) with_store: &'a mut WithStore<'a>,
}

/// Calls what it is given with something whose type only the caller knows.
type WithStore<'a> = dyn FnMut(&mut dyn FnMut(&mut dyn Any)) + 'a;

impl fmt::Debug for Standstill<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standstill").finish_non_exhaustive()
    }
}

impl Standstill<'_> {
    /// Takes a checkpoint of the guest.
    ///
    /// # Errors
    ///
    /// Something in the store cannot be written down: see [`Checkpoint`].
    pub fn checkpoint(&mut self, options: &CheckpointOptions) -> Result<Checkpoint> {
        (self.take)(options)
    }

    /// As [`Standstill::checkpoint`], but writes it at once: see [`crate::Store::checkpoint_to`].
    ///
    /// # Errors
    ///
    /// As there; or those of the writer.
    pub fn checkpoint_to(
        &mut self,
        options: &CheckpointOptions,
        mut to: impl Write,
    ) -> Result<CheckpointIndex> {
        (self.write)(options, &mut to)
    }
}

/// The checkpoints of a store that somebody waits for; none once the store is gone.
pub(super) struct Requests(Mutex<Option<VecDeque<Wanted>>>);

impl Default for Requests {
    fn default() -> Self {
        Requests(Mutex::new(Some(VecDeque::new())))
    }
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Wanted>>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn first(&self) -> Option<Wanted> {
        self.lock().as_mut()?.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().as_ref().map_or(0, VecDeque::len)
    }

    /// Gives it back if the store is gone.
    pub(super) fn add(&self, wanted: Wanted) -> Result<(), Wanted> {
        match self.lock().as_mut() {
            Some(queue) => queue.push_back(wanted),
            None => return Err(wanted),
        }
        Ok(())
    }
}

impl CheckpointRequests for Requests {
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn close(&self) {
        let left = self.lock().take();
        // They are the embedder's, and may panic when they are dropped.
        left.into_iter().flatten().for_each(drop_contained);
    }
}

/// Asks for checkpoints of a store, from any thread. Clones ask the same store.
///
/// ```
/// use std::sync::mpsc;
/// use std::time::Duration;
/// use wardian::{
///     checkpoint::{AfterCheckpoint, CheckpointOptions}, Config, Engine, EngineKind, Error, Instance,
///     Module, StopReason, Store,
/// };
/// let engine = Engine::new(Config::new().engine(EngineKind::Interpreted))?;
/// let module = Module::new(&engine, r#"(module (func (export "run") (loop $l (br $l))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let run = instance.typed_func::<(), ()>(&mut store, "run")?;
///
/// let request = store.checkpoint_request();
/// let (sender, receiver) = mpsc::channel();
/// std::thread::spawn(move || {
///     std::thread::sleep(Duration::from_millis(20));
///     request.request(CheckpointOptions::new(), move |checkpoint| {
///         sender.send(checkpoint).expect("somebody waits");
///         AfterCheckpoint::End
///     });
/// });
/// let error = run.call(&mut store, ()).unwrap_err();
/// assert_eq!(error.stop_reason(), Some(StopReason::Checkpoint));
/// let checkpoint = receiver.recv().expect("it was sent")?;
/// assert_eq!(checkpoint.frames().len(), 1);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct CheckpointRequest {
    pub(super) requests: Arc<Requests>,
    pub(super) interrupter: Arc<Interrupter>,
}

impl fmt::Debug for CheckpointRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointRequest").finish_non_exhaustive()
    }
}

impl CheckpointRequest {
    /// Whether there can be guests to ask: false once the store is gone.
    pub fn is_active(&self) -> bool {
        self.interrupter.is_attached()
    }

    /// Asks for a checkpoint, and returns at once. The guest's thread takes it at the guest's next safepoint: a call
    /// or the beginning of a loop's body. It then calls `done`, which says whether the guest is to continue. Until then
    /// the guest stands still.
    ///
    /// A host function that the guest is calling, and an operation on much memory, are finished before; but one that
    /// waits with a [`crate::cancel::RepeatableInterrupt`], as those of WASI do, is called again afterwards, and one that is
    /// asynchronous and has said so ([`crate::Caller::set_repeatable`]) continues to wait, as a guest does that is in
    /// `memory.atomic.wait`. If no guest runs, the request waits
    /// for the next call of one: [`crate::Store::checkpoint`] is for idle stores. If the store is gone, `done` is dropped.
    ///
    /// `done` gets an error if the guest cannot be written down where it is: see [`Checkpoint`]. A panic of `done`
    /// ends there, and the guest continues.
    pub fn request(
        &self,
        options: CheckpointOptions,
        done: impl FnOnce(Result<Checkpoint>) -> AfterCheckpoint + Send + 'static,
    ) {
        self.add(Wanted::Taken(options, Box::new(done)));
    }

    /// As [`CheckpointRequest::request`], but the guest's thread writes the checkpoint at once, so that no second copy
    /// of the memories is made: see [`crate::Store::checkpoint_to`]. The guest stands still until all is written.
    pub fn request_to(
        &self,
        options: CheckpointOptions,
        to: impl Write + Send + 'static,
        done: impl FnOnce(Result<CheckpointIndex>) -> AfterCheckpoint + Send + 'static,
    ) {
        self.add(Wanted::Written(options, Box::new(to), Box::new(done)));
    }

    /// Has the guest stand still at its next safepoint, where its thread calls `work`, and returns at once. For those who
    /// attach listeners to a guest that runs ([`Standstill::attach`]), or take checkpoints of several guests that share
    /// memories: when all of them stand still, no memory changes, and each
    /// is written down by its own thread. `work` runs as long as the guest is to stand still, and is not interrupted: if it
    /// waits for others, it is to end that wait itself when one of them ends.
    ///
    /// See [`CheckpointRequest::request`] for where safepoints are.
    ///
    /// ```
    /// use std::sync::{Arc, Barrier, mpsc};
    /// use wardian::{
    ///     Engine, Instance, MemoryType, Module, SharedMemory, StopReason, Store,
    ///     checkpoint::{AfterCheckpoint, CheckpointOptions, SharedMemories, Standstill},
    /// };
    /// let engine = Engine::default();
    /// let memory = SharedMemory::new(&engine, MemoryType { shared: true, ..MemoryType::new(1, Some(1)) })?;
    /// let module = Module::new(&engine, r#"(module (import "h" "m" (memory 1 1 shared))
    ///     (func (export "run")
    ///         (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#)?;
    /// let (sender, receiver) = mpsc::channel();
    /// let all = Arc::new(Barrier::new(2));
    /// std::thread::scope(|scope| {
    ///     for _ in 0..2 {
    ///         let mut store = Store::new(&engine, ());
    ///         let instance = Instance::new(&mut store, &module, &[memory.clone().into()])?;
    ///         let run = instance.typed_func::<(), ()>(&mut store, "run")?;
    ///         let (sender, all) = (sender.clone(), all.clone());
    ///         store.checkpoint_request().request_standstill(move |still: &mut Standstill<'_>| {
    ///             all.wait();
    ///             let options = CheckpointOptions::new().shared_memories(SharedMemories::Leave);
    ///             sender.send(still.checkpoint(&options)).expect("somebody waits");
    ///             all.wait();
    ///             AfterCheckpoint::End
    ///         });
    ///         scope.spawn(move || {
    ///             let error = run.call(&mut store, ()).unwrap_err();
    ///             assert_eq!(error.stop_reason(), Some(StopReason::Checkpoint));
    ///         });
    ///     }
    ///     Ok::<(), wardian::Error>(())
    /// })?;
    /// for checkpoint in receiver.iter().take(2) {
    ///     assert_eq!(checkpoint?.frames().len(), 1);
    /// }
    /// # Ok::<(), wardian::Error>(())
    /// ```
    pub fn request_standstill(
        &self,
        work: impl FnOnce(&mut Standstill<'_>) -> AfterCheckpoint + Send + 'static,
    ) {
        self.add(Wanted::Still(Box::new(work)));
    }

    pub(super) fn add(&self, wanted: Wanted) {
        if self.requests.add(wanted).is_ok() {
            self.interrupter.request_checkpoint();
        }
    }
}
