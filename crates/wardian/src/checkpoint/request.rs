//! Asking for checkpoints from other threads.

use super::{Checkpoint, CheckpointIndex, CheckpointOptions};
use crate::raw::checkpoint::Standing;
use crate::raw::store::{StoreData, StoreInner};
use crate::{AsContextMut, Caller, Error, ErrorKind, Result, StopReason, Store};
use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use wardian_vm::contain::{discard, drop_contained};
use wardian_vm::interrupt::Interrupter;

/// What becomes of a guest of which a checkpoint was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCheckpoint {
    /// It continues.
    Resume,
    /// Its call ends with [`StopReason::Checkpoint`].
    End,
}

/// What becomes of a checkpoint that was asked for.
enum Done {
    Taken(Box<dyn FnOnce(Result<Checkpoint>) -> AfterCheckpoint + Send>),
    Written(
        Box<dyn Write + Send>,
        Box<dyn FnOnce(Result<CheckpointIndex>) -> AfterCheckpoint + Send>,
    ),
}

/// A checkpoint that somebody waits for.
struct Wanted {
    options: CheckpointOptions,
    done: Done,
}

/// The checkpoints of a store that somebody waits for; none once the store is gone.
pub(crate) struct Requests(Mutex<Option<VecDeque<Wanted>>>);

impl Default for Requests {
    fn default() -> Self {
        Requests(Mutex::new(Some(VecDeque::new())))
    }
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Wanted>>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn first(&self) -> Option<Wanted> {
        self.lock().as_mut()?.pop_front()
    }

    fn len(&self) -> usize {
        self.lock().as_ref().map_or(0, VecDeque::len)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives it back if the store is gone.
    fn add(&self, wanted: Wanted) -> Result<(), Wanted> {
        match self.lock().as_mut() {
            Some(queue) => queue.push_back(wanted),
            None => return Err(wanted),
        }
        Ok(())
    }

    /// The store goes.
    pub(crate) fn close(&self) {
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
    requests: Arc<Requests>,
    interrupter: Arc<Interrupter>,
}

impl fmt::Debug for CheckpointRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointRequest").finish_non_exhaustive()
    }
}

impl CheckpointRequest {
    /// Asks for a checkpoint, and returns at once. The guest's thread takes it at the guest's next safepoint: a call
    /// or the beginning of a loop's body. It then calls `done`, which says whether the guest is to continue. Until then
    /// the guest stands still.
    ///
    /// A host function that the guest is calling, and an operation on much memory, are finished before; but one that
    /// waits with a [`crate::cancel::RepeatableInterrupt`], as those of WASI do, is called again afterwards, and one that is
    /// asynchronous and has said so ([`Caller::set_repeatable`]) continues to wait. If no guest runs, the request waits
    /// for the next call of one: [`Store::checkpoint`] is for idle stores. If the store is gone, `done` is dropped.
    ///
    /// `done` gets an error if the guest cannot be written down where it is: see [`Checkpoint`]. A panic of `done`
    /// ends there, and the guest continues.
    pub fn request(
        &self,
        options: CheckpointOptions,
        done: impl FnOnce(Result<Checkpoint>) -> AfterCheckpoint + Send + 'static,
    ) {
        self.add(Wanted { options, done: Done::Taken(Box::new(done)) });
    }

    /// As [`CheckpointRequest::request`], but the guest's thread writes the checkpoint at once, so that no second copy
    /// of the memories is made: see [`Store::checkpoint_to`]. The guest stands still until all is written.
    pub fn request_to(
        &self,
        options: CheckpointOptions,
        to: impl Write + Send + 'static,
        done: impl FnOnce(Result<CheckpointIndex>) -> AfterCheckpoint + Send + 'static,
    ) {
        self.add(Wanted { options, done: Done::Written(Box::new(to), Box::new(done)) });
    }

    fn add(&self, wanted: Wanted) {
        if self.requests.add(wanted).is_ok() {
            self.interrupter.request_checkpoint();
        }
    }
}

impl<T: 'static> Store<T> {
    /// What asks for checkpoints of this store from other threads.
    pub fn checkpoint_request(&mut self) -> CheckpointRequest {
        let inner = &mut self.0.inner;
        let interrupter = inner.interrupter().clone();
        let requests = inner.checkpoint_requests.get_or_insert_default().clone();
        CheckpointRequest { requests, interrupter }
    }
}

impl<T: 'static> Caller<'_, T> {
    /// Sets whether this call, of an asynchronous host function, can be made again. If so, a checkpoint that another
    /// thread requests while the function waits wakes its task and is taken at once, and whoever resumes it calls the
    /// function with the same arguments. Otherwise the request is served when the guest next runs.
    ///
    /// The function must not have changed anything while this is set. It has no effect in host functions that are not
    /// asynchronous: see [`Caller::take_requested_checkpoints`].
    ///
    /// ```
    /// # use wardian::{Caller, Engine, Linker};
    /// # async fn receive() -> u32 { 0 }
    /// # let mut linker = Linker::<u32>::new(&Engine::default());
    /// linker.func_wrap_async("queue", "receive", |mut caller: Caller<'_, u32>, (): ()| {
    ///     Box::pin(async move {
    ///         caller.set_repeatable(true);
    ///         let message = receive().await;
    ///         caller.set_repeatable(false);
    ///         *caller.data_mut() = message;
    ///         message
    ///     })
    /// })?;
    /// # Ok::<(), wardian::Error>(())
    /// ```
    pub fn set_repeatable(&mut self, on: bool) {
        let call = self.host_call();
        let inner = self.inner_mut();
        // Also the destructor of another future may do this.
        if call.serial() != 0 && !inner.is_idle() && inner.is_innermost(call.serial()) {
            inner.suspension.set_repeatable(on.then_some(call));
        }
    }

    /// Takes the checkpoints that other threads wait for, in this call of a host function that waits and can be called
    /// again: whoever resumes one of them calls it with the same arguments. The function must not have changed
    /// anything yet. Returns whether there was one, after which the function is to wait again.
    ///
    /// # Errors
    ///
    /// The guest is to end: return the error.
    pub fn take_requested_checkpoints(&mut self) -> Result<bool> {
        let call = self.host_call();
        if !self.inner().has_checkpoint_requests() {
            return Ok(false);
        }
        self.as_context_mut().0.serve_checkpoints(Standing::HostCall(call))?;
        Ok(true)
    }
}

impl StoreInner {
    /// Whether somebody waits for a checkpoint.
    pub(crate) fn has_checkpoint_requests(&self) -> bool {
        self.checkpoint_requests.as_ref().is_some_and(|requests| !requests.is_empty())
    }
}

impl<T> StoreData<T> {
    /// Takes the checkpoints that somebody waits for. An error ends the guest.
    #[cold]
    pub(crate) fn serve_checkpoints(&mut self, standing: Standing) -> Result<()> {
        if !self.inner.stands_at_point(standing) {
            // At its next safepoint the guest sees that a checkpoint is still wanted.
            return Ok(());
        }
        let requests = self.inner.checkpoint_requests.clone();
        self.inner.interrupter().forget_checkpoint();
        let mut after = AfterCheckpoint::Resume;
        // Requests that come meanwhile are for the next time: who asks again and again must not keep a guest from ending.
        let count = requests.as_ref().map_or(0, |requests| requests.len());
        for _ in 0..count {
            let next = requests.as_ref().and_then(|requests| requests.first());
            let Some(Wanted { options, done }) = next else { break };
            let work = || match done {
                Done::Taken(done) => done(self.take_checkpoint(standing, &options)),
                Done::Written(to, done) => done(self.write_checkpoint(standing, &options, to)),
            };
            match catch_unwind(AssertUnwindSafe(work)) {
                Ok(AfterCheckpoint::End) => after = AfterCheckpoint::End,
                Ok(AfterCheckpoint::Resume) => {}
                Err(panic) => discard(panic),
            }
        }
        match after {
            AfterCheckpoint::Resume => Ok(()),
            AfterCheckpoint::End => Err(Error::new(ErrorKind::Stopped(StopReason::Checkpoint))),
        }
    }
}
