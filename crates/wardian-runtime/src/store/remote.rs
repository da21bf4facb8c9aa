//! What other threads have of a store: by which they stop its guests, close its instances, and ask for checkpoints.

use crate::Result;
use crate::call::closing::Shared;
use std::any::Any;
use std::sync::Arc;
use wardian_vm::addr::OwnerPtr;
use wardian_vm::interrupt::{Interrupter, LinkedCall, reason};
use wardian_vm::layout::StoreCtx;

/// Checkpoints that other threads wait for.
pub trait CheckpointRequests: Any + Send + Sync {
    /// Whether nobody waits.
    fn is_empty(&self) -> bool;
    /// The store goes.
    fn close(&self);
}

/// What takes the checkpoints that somebody wants of a store with data of some type, whose address is passed, while its
/// guest is in an atomic wait.
pub type ServeCheckpoints = unsafe fn(OwnerPtr) -> Result<()>;

/// The store's side of what other threads have. Each part is made when somebody first needs it, and is the same from
/// then on until the store goes.
#[derive(Default)]
pub(crate) struct Remote {
    /// The stopping side.
    interrupter: Option<Arc<Interrupter>>,
    /// Tokens that stop single calls, and how they are linked to the store; the innermost call's is the last.
    calls: Vec<(Arc<Interrupter>, Arc<LinkedCall>)>,
    /// What it shares with those who close instances or end attachments.
    closing: Option<Arc<Shared>>,
    /// Checkpoints that are asked for, and what takes them.
    requests: Option<(Arc<dyn CheckpointRequests>, ServeCheckpoints)>,
}

impl Remote {
    /// The stopping side, made on first need.
    ///
    /// # Safety
    ///
    /// The context is that of the store, and is valid until [`Remote::detach`] or for ever.
    pub(crate) unsafe fn interrupter(&mut self, ctx: *mut StoreCtx) -> &Arc<Interrupter> {
        self.interrupter.get_or_insert_with(|| {
            // SAFETY: the caller's promise.
            unsafe { Interrupter::new(ctx) }
        })
    }

    /// The same, if anybody has needed it.
    pub(crate) fn known_interrupter(&self) -> Option<&Arc<Interrupter>> {
        self.interrupter.as_ref()
    }

    /// No other thread reaches the store's context from now on.
    pub(crate) fn detach(&self) {
        if let Some(interrupter) = &self.interrupter {
            interrupter.detach();
        }
    }

    /// Adds the token of a call that begins, and its link to the store.
    pub(crate) fn begin_call(&mut self, token: Arc<Interrupter>, call: Arc<LinkedCall>) {
        self.calls.push((token, call));
    }

    /// Takes out that of the innermost call that has one.
    pub(crate) fn end_call(&mut self) -> Option<(Arc<Interrupter>, Arc<LinkedCall>)> {
        self.calls.pop()
    }

    /// Whether the token of a call that is open was cancelled.
    pub(crate) fn is_call_cancelled(&self) -> bool {
        self.calls.iter().any(|(token, _)| token.reasons() & reason::CANCELLED != 0)
    }

    /// What the store shares with those who close its instances, if anybody has needed it.
    pub(crate) fn closing(&self) -> Option<&Arc<Shared>> {
        self.closing.as_ref()
    }

    /// Sets what it shares with them.
    pub(crate) fn share_closing(&mut self, shared: Arc<Shared>) {
        debug_assert!(self.closing.is_none(), "others have the one of before");
        self.closing = Some(shared);
    }

    /// What asks for checkpoints of the store, if anybody has.
    pub(crate) fn requests(&self) -> Option<&Arc<dyn CheckpointRequests>> {
        self.requests.as_ref().map(|(requests, _)| requests)
    }

    /// Sets what asks for checkpoints, and what takes them.
    ///
    /// # Safety
    ///
    /// `serve` is for the type of the store's data.
    pub(crate) unsafe fn set_requests(
        &mut self,
        requests: Arc<dyn CheckpointRequests>,
        serve: ServeCheckpoints,
    ) {
        self.requests = Some((requests, serve));
    }

    /// What takes the checkpoints that somebody wants, if anybody has asked for one.
    pub(crate) fn serve(&self) -> Option<ServeCheckpoints> {
        self.requests.as_ref().map(|(_, serve)| *serve)
    }

    /// Notifies those who wait for checkpoints that the store goes.
    pub(crate) fn close_requests(&mut self) {
        if let Some((requests, _)) = self.requests.take() {
            requests.close();
        }
    }
}
