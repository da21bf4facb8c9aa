//! Why the guest of a store is being left: one place for all that ends a guest, or makes it continue elsewhere, on the
//! way between where that is decided and the code that runs the entry.
//!
//! ```text
//!   host function, builtin ── fail(error), restore(..), polled() ──> PendingExit
//!   the entry is left      ── exit.rs looks at it                ──> an error for the caller, or the guest is resumed
//! ```
//!
//! Reasons that come from other threads are bits of the interrupt word instead: see [`crate::call::exit`].

use super::snapshot::SnapshotData;
use crate::{Error, ErrorKind};
use std::sync::Arc;
use wardian_vm::contain::drop_contained;

/// What is pending in a store.
#[derive(Default)]
pub(crate) struct PendingExit {
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
pub(crate) struct PendingRestore {
    pub(crate) snapshot: Arc<SnapshotData>,
    /// What the host function returns this time, as guests hold it.
    pub(crate) results: Vec<u64>,
}

impl PendingExit {
    /// Ends the guest with an error. It takes the place of an earlier one.
    pub(crate) fn fail(&mut self, error: Error) {
        drop_contained(self.error.replace(error));
    }

    /// The error with which the guest ends, which is then no longer pending.
    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }

    pub(crate) fn has_error(&self) -> bool {
        self.error.is_some()
    }

    /// Whether the error ends the outer guests too.
    pub(crate) fn is_sticky(&self) -> bool {
        self.error.as_ref().is_some_and(Error::is_sticky)
    }

    /// Whether the guest is left because it is suspended.
    pub(crate) fn is_suspension(&self) -> bool {
        self.error.as_ref().is_some_and(|error| matches!(error.kind(), ErrorKind::Suspended))
    }

    /// Forgets the error, which something else has overruled.
    pub(crate) fn discard_error(&mut self) {
        drop_contained(self.error.take());
    }

    /// Ends all guests of the store with this code.
    pub(crate) fn exit(&mut self, code: u32) {
        self.exit_code = code;
    }

    pub(crate) fn exit_code(&self) -> u32 {
        self.exit_code
    }

    /// Has a snapshot put back.
    pub(crate) fn restore(&mut self, snapshot: Arc<SnapshotData>, results: Vec<u64>) {
        self.restore = Some(PendingRestore { snapshot, results });
    }

    /// The snapshot that is to be put back.
    pub(crate) fn restoring(&self) -> Option<&PendingRestore> {
        self.restore.as_ref()
    }

    /// The snapshot that is to be put back into the entry with this serial, if it is one of it.
    pub(crate) fn take_restore(&mut self, serial: u64) -> Option<PendingRestore> {
        self.restore.take_if(|restore| restore.snapshot.serial() == serial)
    }

    pub(crate) fn cancel_restore(&mut self) {
        self.restore = None;
    }

    /// Notes that compiled code asks whether a checkpoint is wanted.
    pub(crate) fn poll(&mut self) {
        self.polled = true;
    }

    pub(crate) fn take_poll(&mut self) -> bool {
        std::mem::take(&mut self.polled)
    }
}
