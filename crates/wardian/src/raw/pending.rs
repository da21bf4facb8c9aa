//! Why the guest of a store is being left: one place for all that ends a guest, or makes it continue elsewhere, on the
//! way between where that is decided and the code that runs the entry.
//!
//! ```text
//!   host function, builtin ── fail(error), restore(..), polled() ──> PendingExit
//!   the entry is left      ── exit.rs looks at it                ──> an error for the caller, or the guest is resumed
//! ```
//!
//! Reasons that come from other threads are bits of the interrupt word instead: see [`super::exit`].

use super::snapshot::SnapshotData;
use super::store::StoreData;
use crate::{Error, ErrorKind};
use std::sync::Arc;
use wardian_vm::contain::drop_contained;
use wardian_vm::layout::StoreCtx;

/// What is pending in a store.
#[derive(Default)]
pub(super) struct PendingExit {
    /// With what the innermost guest ends: a trap, the error or the panic of a host function, an exit, a stop, an
    /// exception, or that it is suspended.
    error: Option<Error>,
    /// The code of an exit that is on its way to the outermost call.
    exit_code: u32,
    /// A snapshot that is on its way to the entry that it was taken in.
    restore: Option<PendingRestore>,
    /// Compiled code has asked whether a checkpoint is wanted, and the guest is being left for it.
    polled: bool,
}

/// A snapshot on its way back.
pub(super) struct PendingRestore {
    pub(super) snapshot: Arc<SnapshotData>,
    /// What the host function returns this time, as guests hold it.
    pub(super) results: Vec<u64>,
}

impl PendingExit {
    /// Ends the guest with an error. It takes the place of an earlier one.
    pub(super) fn fail(&mut self, error: Error) {
        drop_contained(self.error.replace(error));
    }

    /// The error with which the guest ends, which is then no longer pending.
    pub(super) fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }

    pub(super) fn has_error(&self) -> bool {
        self.error.is_some()
    }

    /// Whether the error ends the outer guests too.
    pub(super) fn is_sticky(&self) -> bool {
        self.error.as_ref().is_some_and(Error::is_sticky)
    }

    /// Whether the guest is left because it is suspended.
    pub(super) fn is_suspension(&self) -> bool {
        self.error.as_ref().is_some_and(|error| matches!(error.kind(), ErrorKind::Suspended))
    }

    /// Forgets the error, which something else has overruled.
    pub(super) fn discard_error(&mut self) {
        drop_contained(self.error.take());
    }

    /// Ends all guests of the store with this code.
    pub(super) fn exit(&mut self, code: u32) {
        self.exit_code = code;
    }

    pub(super) fn exit_code(&self) -> u32 {
        self.exit_code
    }

    /// Has a snapshot put back.
    pub(super) fn restore(&mut self, snapshot: Arc<SnapshotData>, results: Vec<u64>) {
        self.restore = Some(PendingRestore { snapshot, results });
    }

    /// The snapshot that is to be put back.
    pub(super) fn restoring(&self) -> Option<&PendingRestore> {
        self.restore.as_ref()
    }

    /// The snapshot that is to be put back into the entry with this serial, if it is one of it.
    pub(super) fn take_restore(&mut self, serial: u64) -> Option<PendingRestore> {
        self.restore.take_if(|restore| restore.snapshot.serial() == serial)
    }

    pub(super) fn cancel_restore(&mut self) {
        self.restore = None;
    }

    /// Notes that compiled code asks whether a checkpoint is wanted.
    pub(super) fn poll(&mut self) {
        self.polled = true;
    }

    pub(super) fn take_poll(&mut self) -> bool {
        std::mem::take(&mut self.polled)
    }
}

/// Says for as long as it lives which store a context belongs to: builtins, host functions and limiters find the store
/// by this address. Calls nest, so the owner before comes back afterwards, also if a panic unwinds.
pub(super) struct Owner {
    ctx: *mut StoreCtx,
    outer: usize,
}

impl Owner {
    /// # Safety
    ///
    /// The store is valid and nobody refers to it while guests run, as for [`StoreData::invoke`]; its context outlives
    /// the guard.
    #[inline]
    pub(super) unsafe fn enter<T>(this: *mut StoreData<T>) -> Owner {
        // SAFETY: the caller's promise.
        unsafe {
            let ctx = (*this).inner.ctx();
            let outer = std::mem::replace(&mut (*ctx).owner, this as usize);
            Owner { ctx, outer }
        }
    }
}

impl Drop for Owner {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the promise of `enter`.
        unsafe { (*self.ctx).owner = self.outer };
    }
}
