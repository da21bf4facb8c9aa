//! What an image of a store holds.

use super::state::StateCapture;
use crate::call::closing::CloseNotifier;
use std::sync::Arc;

/// What an image holds.
pub struct ImageData {
    pub(crate) store: u64,
    pub(crate) state: StateCapture,
    pub(crate) fuel: i64,
    /// For each instance that was not closed, whom its closing notifies.
    pub(crate) open: Vec<Option<Vec<Arc<dyn CloseNotifier>>>>,
}

impl ImageData {
    /// All words that may be references.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        self.state.words()
    }
}
