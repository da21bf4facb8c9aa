//! What an image of a store holds.

use super::state::StateCapture;
use crate::close::CloseNotifier;
use std::sync::Arc;

/// What an image holds.
pub(crate) struct ImageData {
    pub(in crate::raw) store: u64,
    pub(in crate::raw) state: StateCapture,
    pub(in crate::raw) fuel: i64,
    /// For each instance that was not closed, whom its closing notifies.
    pub(in crate::raw) open: Vec<Option<Vec<Arc<dyn CloseNotifier>>>>,
}

impl ImageData {
    /// All words that may be references.
    pub(in crate::raw) fn words(&self) -> impl Iterator<Item = u64> {
        self.state.words()
    }
}
