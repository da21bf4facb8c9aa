//! Snapshots of a guest's stack.
//!
//! ```text
//!   wasm stack of an entry                              snapshot
//!   ┌──────────────────────────┐ entry_sp               ┌──────────────┐
//!   │ frames of the guest      │      ── take ──>       │ the same     │
//!   │ frame of the host call   │      <── restore ──    │ bytes        │
//!   └──────────────────────────┘ wasm_sp                └──────────────┘
//! ```
//!
//! A snapshot is a copy of those bytes, put back at the same addresses: nothing in them points to
//! the embedder's stack. It is only ever put back into the entry that it was taken in, while that is
//! open, by the code that entered it, after all frames of the embedder's above have returned.

use crate::call::exit::{Next, RESTORING};
use crate::error::UsageKind;
use crate::store::host::HostCall;
use crate::store::inner::StoreInner;
use crate::store::pending::PendingRestore;
use crate::store::snapshot::SnapshotData;
use crate::{Error, Result};
use std::ops::Range;
use std::sync::Arc;
use wardian_types::FuncType;
use wardian_vm::activation::{self, Suspended};
use wardian_vm::addr::{SlotsPtr, StackAddr};

/// Where the frames lie, and what they are.
///
/// # Safety
///
/// The range is readable, and its bounds are aligned for words.
#[inline]
unsafe fn copy_frames(range: Range<StackAddr>) -> (StackAddr, Box<[u64]>) {
    let len = range.end.bytes_from(range.start) / 8;
    // SAFETY: the caller's promise.
    let words = unsafe { std::slice::from_raw_parts(range.start.as_ptr(), len) };
    (range.start, Box::from(words))
}

impl StoreInner {
    /// Whether the host function of a call could take a snapshot now. `serial` is [`HostCall::serial`]
    /// of the call, which is not passed whole: it would have to be in memory.
    pub fn can_snapshot(&mut self, serial: u64) -> bool {
        self.taken.allows_snapshots() && !self.is_idle() && self.is_innermost(serial)
    }

    /// Whether the guest that made the call with this serial is the innermost. The future of an asynchronous host
    /// function can be dropped, with its `Caller`, while another guest is; the frames on top of the
    /// stack, and the types of the results, are then not those of the call.
    pub fn is_innermost(&mut self, serial: u64) -> bool {
        // SAFETY: the context is valid and the store ours; a guest is open.
        serial == 0 || serial == unsafe { activation::serial(self.ctx()) }
    }

    /// Copies the frames of the guest that is in this call, of which [`Self::can_snapshot`] holds.
    pub fn take_snapshot(&mut self, call: HostCall, with_state: bool) -> Result<Arc<SnapshotData>> {
        let state = if with_state { Some(Box::new(self.capture_state()?)) } else { None };
        // SAFETY: the call is open: its `Caller` is borrowed by the snapshotter. In these two ranges lie
        // the guest's frames; their bounds are aligned.
        let (guest, frames, def, slots) = unsafe {
            let guest = Suspended::new(self.ctx());
            // Not by `map`, which the compiler does not inline here.
            let [compiled, interpreted] = guest.frames();
            let frames = [copy_frames(compiled), copy_frames(interpreted)];
            let (def, slots) = call.parts();
            (guest, frames, def, SlotsPtr::of(slots))
        };
        let snapshot = Arc::new(SnapshotData {
            store: self.id(),
            serial: guest.serial(),
            standing: guest.standing(),
            frames,
            slots,
            ty: def.ty.clone(),
            open: self.copy_open(guest.serial()),
            time: self.snapshot_time(),
            state,
        });
        if !self.externrefs.is_empty() || !self.exceptions.is_empty() || self.heap().is_some() {
            self.taken.keep_snapshot(&snapshot);
        }
        Ok(snapshot)
    }

    /// Whether a snapshot can be put back into a call that is open now.
    pub fn check_restore(&self, snapshot: &SnapshotData) -> Result<()> {
        if snapshot.store != self.id() {
            return Err(Error::usage(
                UsageKind::OtherStore,
                "a snapshot was restored in another store than it is of",
            ));
        }
        // SAFETY: the context is valid and the store ours.
        if !unsafe { activation::is_open(self.ctx(), snapshot.serial) } {
            return Err(Error::usage(
                UsageKind::State,
                "a snapshot was restored after the call of the guest had ended that it was taken \
                 in, or from another one",
            ));
        }
        match &snapshot.state {
            Some(_) => Ok(()),
            None => self.check_time(snapshot.time),
        }
    }

    /// Asks for a snapshot, which was checked, to be put back when the host function returns.
    pub fn request_restore(&mut self, snapshot: &Arc<SnapshotData>, results: Vec<u64>) {
        self.pending.restore(snapshot.clone(), results);
        self.set_word(RESTORING);
    }

    /// Whether a snapshot of this guest is to be restored.
    pub(crate) fn is_restoring(&self, guest: &Suspended) -> bool {
        self.pending.restoring().is_some_and(|r| r.snapshot.serial == guest.serial())
    }

    /// Puts the snapshot back that was asked for, if it belongs to the entry that has just ended.
    pub(crate) fn try_restore(&mut self, ended: Suspended) -> Option<Next> {
        if !self.may_restore() {
            return None;
        }
        let PendingRestore { snapshot, results } = self.pending.take_restore(ended.serial())?;
        self.pending.discard_error();
        self.clear_word(RESTORING);
        // SAFETY: as in `settle`.
        unsafe { (*self.ctx()).exit = 0 };
        if let Some(state) = &snapshot.state {
            // SAFETY: `after_entry` runs with `owner` set, and nobody else uses the limiter now.
            let limiter = unsafe { self.running_limiter() };
            if let Err(error) = self.restore_state(state, limiter) {
                return Some(Next::Fail(error));
            }
        }
        if let Err(panic) = self.restore_open(&snapshot.open) {
            return Some(Next::Fail(Error::panic(panic)));
        }
        let guest = ended.moved_to(snapshot.standing);
        // SAFETY: the entry is the one in which the bytes were copied from these addresses, so its part of
        // the stack is as large and belongs to nothing else now: all entries that began above it have ended.
        // The slots are in those bytes; the number of results was checked.
        unsafe {
            for (at, words) in &snapshot.frames {
                std::ptr::copy_nonoverlapping(words.as_ptr(), at.as_ptr(), words.len());
            }
            let slots = snapshot.slots.as_ptr();
            std::ptr::copy_nonoverlapping(results.as_ptr(), slots, results.len());
        }
        Some(Next::Resume(guest))
    }

    /// Forgets a restore into an entry that has ended otherwise: nobody is left who could do it.
    pub(crate) fn forget_overruled_restore(&mut self) {
        let Some(restoring) = self.pending.restoring() else { return };
        // SAFETY: the context is valid and the store ours.
        if !unsafe { activation::is_open(self.ctx(), restoring.snapshot.serial) } {
            self.pending.cancel_restore();
            self.clear_word(RESTORING);
        }
    }

    /// Notes the references that live snapshots hold, and the one that is being restored.
    pub(crate) fn mark_snapshots(&mut self) {
        let results = self.pending.restoring().map(|r| r.results.clone()).unwrap_or_default();
        results.into_iter().for_each(|word| self.mark_word(word));
        for snapshot in self.taken.snapshots() {
            let frames = snapshot.frames.iter().flat_map(|(_, words)| words.iter().copied());
            match &snapshot.state {
                // Its references are to objects of its own image of the heap.
                Some(state) => frames.chain(state.words()).for_each(|word| self.mark_handle(word)),
                None => frames.for_each(|word| self.mark_held(word)),
            }
        }
    }

    /// Makes raw slots for a restore such as guests hold them.
    pub fn results_for(&self, snapshot: &SnapshotData, mut slots: Vec<u64>) -> Result<Vec<u64>> {
        let types = snapshot.result_types();
        let wanted: usize = types.iter().map(|t| t.slots()).sum();
        if slots.len() != wanted {
            let ty = FuncType::new([], types.to_vec());
            let given = slots.len();
            return Err(Error::usage(
                UsageKind::Type,
                format!(
                    "a snapshot is restored with results as for {ty}: {wanted} slots, not {given}"
                ),
            ));
        }
        crate::call::host::normalize(self, types, &mut slots)?;
        Ok(slots)
    }
}
