//! Taking the checkpoints that other threads have asked for.

use super::request::{AfterCheckpoint, CheckpointRequest, Requests, Standstill, Wanted};
use super::take::{take_checkpoint, write_checkpoint};
use crate::attach::{Attachment, choose};
use crate::data::StoreData;
use crate::listener::FunctionListenerFactory;
use crate::{AsContextMut, Caller, Error, ErrorKind, Result, StopReason, Store};
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wardian_runtime::checkpoint::Standing;
use wardian_runtime::listen::hook::AttachmentState;
use wardian_runtime::store::inner::StoreInner;
use wardian_vm::contain::discard;

impl<T: 'static> Store<T> {
    /// What asks for checkpoints of this store from other threads.
    pub fn checkpoint_request(&mut self) -> CheckpointRequest {
        let interrupter = self.0.inner.interrupter().clone();
        let requests = known_requests(&self.0.inner).unwrap_or_else(|| {
            let made = Arc::<Requests>::default();
            self.0.set_checkpoint_requests(made.clone());
            made
        });
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
            inner.set_repeatable(on.then_some(call));
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
        serve(self.as_context_mut().0, Standing::HostCall(call))?;
        Ok(true)
    }
}

impl Standstill<'_> {
    /// Attaches listeners to functions of all instances of the guest's store, as [`crate::Instance::attach`] does for
    /// one. They are notified of calls that begin when the guest continues, and not of those that are open.
    ///
    /// # Errors
    ///
    /// As there. Then no instance has them.
    pub fn attach(&mut self, factory: impl FunctionListenerFactory) -> Result<Attachment> {
        let mut attached = None;
        (self.with_store)(&mut |store| {
            attached = store.downcast_mut().map(|store| attach_to_all(store, &factory));
        });
        attached.unwrap_or_else(|| {
            let message = "a guest that stands still has no store";
            Err(Error::new(ErrorKind::Internal(message.into())))
        })
    }
}

fn attach_to_all(
    store: &mut StoreInner,
    factory: &dyn FunctionListenerFactory,
) -> Result<Attachment> {
    // All are chosen before any is attached: a factory may panic.
    let chosen = store.instances().enumerated();
    let chosen = chosen.map(|(at, instance)| (at, choose(instance.module(), factory)));
    let chosen: Vec<_> = chosen.collect();
    let state = AttachmentState::lasting();
    for (index, chosen) in &chosen {
        if let Err(error) = store.attach(*index, chosen, &state) {
            state.active.store(false, Ordering::Release);
            store.sweep_attachments();
            return Err(error.into());
        }
    }
    Ok(Attachment::new(store.id(), state, store.shared()))
}

/// The requests of a store, once somebody has asked.
fn known_requests(store: &StoreInner) -> Option<Arc<Requests>> {
    let requests: Arc<dyn Any + Send + Sync> = store.checkpoint_requests()?.clone();
    requests.downcast().ok()
}

fn stand_still<T: 'static>(
    store: &mut StoreData<T>,
    standing: Standing,
    work: impl FnOnce(&mut Standstill<'_>) -> AfterCheckpoint,
) -> AfterCheckpoint {
    let store = RefCell::new(store);
    let after = work(&mut Standstill {
        take: &mut |options| take_checkpoint(&mut store.borrow_mut(), standing, options),
        write: &mut |options, to| write_checkpoint(&mut store.borrow_mut(), standing, options, to),
        with_store: &mut |work| work(&mut store.borrow_mut().inner),
    });
    store.borrow_mut().inner.run_deferred();
    after
}

/// Takes the checkpoints that somebody waits for. An error ends the guest.
#[cold]
pub(crate) fn serve<T: 'static>(
    store: &mut StoreData<T>,
    standing: Standing,
) -> wardian_runtime::Result<()> {
    if !store.inner.stands_at_point(standing) {
        // At its next safepoint the guest sees that a checkpoint is still wanted.
        return Ok(());
    }
    let requests = known_requests(&store.inner);
    store.inner.interrupter().forget_checkpoint();
    let mut after = AfterCheckpoint::Resume;
    // Requests that come meanwhile are for the next time: who asks again and again must not keep a guest from ending.
    let count = requests.as_ref().map_or(0, |requests| requests.len());
    for _ in 0..count {
        let next = requests.as_ref().and_then(|requests| requests.first());
        let Some(wanted) = next else { break };
        let work = || match wanted {
            Wanted::Taken(options, done) => done(take_checkpoint(store, standing, &options)),
            Wanted::Written(options, to, done) => {
                done(write_checkpoint(store, standing, &options, to))
            }
            Wanted::Still(work) => stand_still(store, standing, work),
        };
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(AfterCheckpoint::End) => after = AfterCheckpoint::End,
            Ok(AfterCheckpoint::Resume) => {}
            Err(panic) => discard(panic),
        }
    }
    match after {
        AfterCheckpoint::Resume => Ok(()),
        AfterCheckpoint::End => Err(Error::new(ErrorKind::Stopped(StopReason::Checkpoint)).into()),
    }
}
