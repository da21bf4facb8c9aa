//! How many instances of a store are closed, and what it shares with those who close them.

use crate::call::closing::Shared;
use std::sync::Arc;

/// The state of closing in a store.
#[derive(Default)]
pub(crate) struct Closings {
    closed: usize,
    /// Once somebody can close instances.
    shared: Option<Arc<Shared>>,
}

impl Closings {
    /// How many instances are closed now.
    #[inline]
    pub(crate) fn closed(&self) -> usize {
        self.closed
    }

    /// Counts an instance that was closed.
    pub(crate) fn count_closed(&mut self) {
        self.closed += 1;
    }

    /// Counts an instance that was closed and is open again.
    pub(crate) fn count_opened(&mut self) {
        self.closed -= 1;
    }

    /// What the store shares with other threads, if anybody has needed it.
    pub(crate) fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.as_ref()
    }

    /// Sets what it shares; it stays.
    pub(crate) fn share(&mut self, shared: Arc<Shared>) {
        debug_assert!(self.shared.is_none(), "others have the one of before");
        self.shared = Some(shared);
    }
}
