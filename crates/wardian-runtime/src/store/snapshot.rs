//! What a snapshot of a guest's stack holds.

use super::state::StateCapture;
use crate::extension::Extension;
use wardian_types::{FuncType, ValType};
use wardian_vm::activation::Standing;
use wardian_vm::addr::{SlotsPtr, StackAddr};

/// What a snapshot holds.
pub struct SnapshotData {
    pub(crate) store: u64,
    /// The entry that it was taken in.
    pub(crate) serial: u64,
    /// Where the guest stood.
    pub(crate) standing: Standing,
    /// Its frames, compiled ones and interpreted ones: where they lay, and what they were.
    pub(crate) frames: [(StackAddr, Box<[u64]>); 2],
    /// Where the results of the host function go that took it: in the bytes.
    pub(crate) slots: SlotsPtr,
    /// The signature of that function.
    pub(crate) ty: FuncType,
    /// Calls that listeners know of, as [`crate::listen`] keeps them.
    pub(crate) open: Extension,
    /// When it was taken: see [`super::timeline::Timeline`].
    pub(crate) time: u64,
    /// Boxed, since most snapshots have none and would be made and moved with room for it.
    pub(crate) state: Option<Box<StateCapture>>,
}

impl SnapshotData {
    /// The entry that it was taken in.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Types of the results with which it is to be restored.
    pub fn result_types(&self) -> &[ValType] {
        self.ty.results()
    }
}
