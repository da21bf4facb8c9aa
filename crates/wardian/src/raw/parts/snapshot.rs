//! What a snapshot of a guest's stack holds.

use super::state::StateCapture;
use crate::extension::Extension;
use wardian_types::{FuncType, ValType};
use wardian_vm::activation::Standing;

/// What a snapshot holds.
pub(crate) struct SnapshotData {
    pub(in crate::raw) store: u64,
    /// The entry that it was taken in.
    pub(in crate::raw) serial: u64,
    /// Where the guest stood.
    pub(in crate::raw) standing: Standing,
    /// Its frames, compiled ones and interpreted ones: where they lay, and what they were.
    pub(in crate::raw) frames: [(usize, Box<[u64]>); 2],
    /// Where the results of the host function go that took it: in the bytes.
    pub(in crate::raw) slots: usize,
    /// The signature of that function.
    pub(in crate::raw) ty: FuncType,
    /// Calls that listeners know of, as [`crate::raw::listen`] keeps them.
    pub(in crate::raw) open: Extension,
    /// When it was taken: see [`super::timeline::Timeline`].
    pub(in crate::raw) time: u64,
    /// Boxed, since most snapshots have none and would be made and moved with room for it.
    pub(in crate::raw) state: Option<Box<StateCapture>>,
}

impl SnapshotData {
    /// The entry that it was taken in.
    pub(in crate::raw) fn serial(&self) -> u64 {
        self.serial
    }

    /// Types of the results with which it is to be restored.
    pub(crate) fn result_types(&self) -> &[ValType] {
        self.ty.results()
    }
}
