//! What stops the guests of a store from outside.

use std::sync::Arc;
use wardian_vm::interrupt::{Interrupter, LinkedCall, reason};
use wardian_vm::layout::StoreCtx;

/// The store's stopping side, once somebody needs it, and the tokens of the calls that are open.
#[derive(Default)]
pub(crate) struct Stopping {
    interrupter: Option<Arc<Interrupter>>,
    /// Tokens that stop single calls, and how they are linked to the store; the innermost call's is the last.
    calls: Vec<(Arc<Interrupter>, Arc<LinkedCall>)>,
}

impl Stopping {
    /// The stopping side, made on first need.
    ///
    /// # Safety
    ///
    /// The context is that of the store, and is valid until [`Stopping::detach`] or for ever.
    pub(crate) unsafe fn interrupter(&mut self, ctx: *mut StoreCtx) -> &Arc<Interrupter> {
        self.interrupter.get_or_insert_with(|| {
            // SAFETY: the caller's promise.
            unsafe { Interrupter::new(ctx) }
        })
    }

    /// The same, if anybody has needed it.
    pub(crate) fn known(&self) -> Option<&Arc<Interrupter>> {
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
}
