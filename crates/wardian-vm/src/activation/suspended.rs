//! A guest that waits in a call of the host, and resuming it.
//!
//! ```text
//!   wasm stack      [wasm_sp, entry_sp)         compiled frames
//!   slots           [slots.0, slots.1)          interpreted frames
//! ```
//!
//! These ranges, and the few words beside them, are all of a suspended guest.

use super::{
    OnDrop, Outcome, Root, WasmSp, activation, entry_sp, leave_interpreted, run, segment_args,
    serial, set_activation,
};
use crate::addr::{SlotsPtr, StackAddr, VmCtxPtr};
use crate::arch::{self, status};
use crate::layout::StoreCtx;
use std::ops::Range;

/// A guest that was left while it was calling a host function or builtin. Its frames are still on the wasm
/// stack, at and above `wasm_sp`, and in `slots`; everything past them is free.
#[derive(Clone, Copy, Debug)]
pub struct Suspended {
    wasm_sp: WasmSp,
    outer_sp: WasmSp,
    entry_sp: StackAddr,
    /// The innermost interpreted frame, if it is the innermost of all.
    fp: StackAddr,
    /// Where its interpreted frames lie.
    slots: (StackAddr, StackAddr),
    /// As [`StoreCtx::ended_args`].
    args: SlotsPtr,
    root: Root,
}

/// Where a guest stands, within its entry: what a copy of its frames has to keep beside them.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    wasm_sp: WasmSp,
    fp: StackAddr,
    slots_end: StackAddr,
    args: SlotsPtr,
}

impl Suspended {
    /// Notes where a guest stands. To be called by the host function that is about to report an end.
    ///
    /// # Safety
    ///
    /// A guest of `store` is calling a host function.
    pub unsafe fn new(store: *mut StoreCtx) -> Suspended {
        // SAFETY: the store is valid by the promise; its activation is the one of that guest.
        unsafe {
            let activation = (*store).activation;
            let root = Root { ctx: (*activation).ctx, serial: serial(store) };
            Suspended {
                wasm_sp: (*store).wasm_sp,
                outer_sp: (*activation).outer_sp,
                entry_sp: (*store).entry_sp,
                fp: (*store).interp_fp,
                slots: ((*activation).slots, (*store).interp_sp),
                args: segment_args(store, &*activation),
                root,
            }
        }
    }

    /// The guest that has just ended with [`Outcome::Ended`], after the call by which it ended; it
    /// was entered with `ctx`.
    ///
    /// # Safety
    ///
    /// The latest entry of `store` ended so, and nothing has run on its stack since.
    pub unsafe fn ended(store: *mut StoreCtx, ctx: VmCtxPtr) -> Suspended {
        // SAFETY: the store is valid by the promise.
        unsafe {
            let outer_sp = (*store).wasm_sp;
            Suspended {
                wasm_sp: (*store).ended_sp,
                outer_sp,
                entry_sp: entry_sp(store, outer_sp),
                fp: (*store).ended_fp,
                slots: ((*store).interp_sp, (*store).ended_slots),
                args: (*store).ended_args,
                root: Root { ctx, serial: (*store).ended_serial },
            }
        }
    }

    /// A guest that did not come to be by an entry: its frames, all of them interpreted, were put into `slots`, the
    /// innermost at `fp`. It is resumed as if it had been left there.
    ///
    /// # Safety
    ///
    /// The store is valid, has a stack and no guest; the slots begin at its `interp_sp`, and `ctx` is the instance of
    /// the outermost frame.
    pub unsafe fn placed(
        store: *const StoreCtx,
        ctx: VmCtxPtr,
        fp: StackAddr,
        slots: Range<StackAddr>,
    ) -> Suspended {
        // SAFETY: the caller's promise.
        let entry_sp = unsafe { entry_sp(store, (*store).wasm_sp) };
        Suspended {
            wasm_sp: WasmSp::interpreted(entry_sp),
            outer_sp: WasmSp::NONE,
            entry_sp,
            fp,
            slots: (slots.start, slots.end),
            args: SlotsPtr::NULL,
            root: Root { ctx, serial: 0 },
        }
    }

    /// The innermost interpreted frame, if that is the innermost of all.
    pub fn innermost(&self) -> Option<StackAddr> {
        self.wasm_sp.is_interpreted().then_some(self.fp).filter(|fp| !fp.is_null())
    }

    /// The number of the entry.
    #[inline]
    pub fn serial(&self) -> u64 {
        self.root.serial
    }

    /// The frames as bytes: compiled ones, from where the guest stands to where its entry began, and
    /// interpreted ones.
    pub fn frames(&self) -> [Range<StackAddr>; 2] {
        [self.wasm_sp.sp()..self.entry_sp, self.slots.0..self.slots.1]
    }

    /// Where the guest stands.
    pub fn standing(&self) -> Standing {
        Standing { wasm_sp: self.wasm_sp, fp: self.fp, slots_end: self.slots.1, args: self.args }
    }

    /// The same entry, its frames cut back or extended to those of another moment.
    pub fn moved_to(self, standing: Standing) -> Suspended {
        let Standing { wasm_sp, fp, slots_end, args } = standing;
        debug_assert!(wasm_sp.sp() <= self.entry_sp && self.slots.0 <= slots_end);
        Suspended { wasm_sp, fp, slots: (self.slots.0, slots_end), args, ..self }
    }

    /// Runs `work` as the guest's host function: what it enters goes below the guest's frames.
    ///
    /// # Safety
    ///
    /// The store is valid and used by no other thread; the guest was suspended in it, in the same
    /// nesting of entries, and has not been resumed.
    pub unsafe fn as_host<R>(&self, store: *mut StoreCtx, work: impl FnOnce() -> R) -> R {
        // SAFETY: the promise above; what is changed is put back, also if `work` panics.
        unsafe {
            let activation = activation(store, self.outer_sp, self.root);
            let ctx = &*store;
            let outer = (store, ctx.activation, ctx.wasm_sp, ctx.entry_sp, ctx.args);
            let _restore = OnDrop(|| {
                let (store, outer, wasm_sp, entry_sp, args) = outer;
                (*store).wasm_sp = wasm_sp;
                (*store).entry_sp = entry_sp;
                (*store).args = args;
                leave_interpreted(store, &activation);
                set_activation(store, outer);
            });
            set_activation(store, &activation);
            (*store).wasm_sp = self.wasm_sp;
            (*store).entry_sp = self.entry_sp;
            self.stand(store);
            work()
        }
    }

    /// Resumes the guest after the call of its host function.
    ///
    /// # Safety
    ///
    /// As for [`Self::as_host`]; the frames in [`Self::frames`] are such as a guest of this entry
    /// left them, the slots of that host function hold its results, and `args` is valid for the
    /// results of the guest.
    pub unsafe fn resume(&self, store: *mut StoreCtx, args: *mut u64) -> Outcome {
        // SAFETY: by the promise above the frames at `wasm_sp` are as they were left.
        unsafe { self.run_again(store, args, |store| arch::resume(store), status::RESUME) }
    }

    /// Throws the store's exception in the guest, by the call of its host function.
    ///
    /// # Safety
    ///
    /// As for [`Self::resume`], but that the host function has no results.
    pub unsafe fn throw(&self, store: *mut StoreCtx, args: *mut u64) -> Outcome {
        // SAFETY: the caller's promise. An entry that ends with an exception is searched for a handler.
        unsafe { self.run_again(store, args, |_| status::ENDED, status::THROW) }
    }

    /// Resumes the entry: by `compiled` if all of its frames are compiled, otherwise by the interpreter,
    /// which gets `why`.
    ///
    /// # Safety
    ///
    /// As for [`Self::resume`].
    unsafe fn run_again(
        &self,
        store: *mut StoreCtx,
        args: *mut u64,
        compiled: impl FnOnce(*mut StoreCtx) -> u64,
        why: u64,
    ) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe {
            let outer_args = (*store).args;
            let outer_entry = (*store).entry_sp;
            (*store).args = SlotsPtr::of(args);
            (*store).entry_sp = self.entry_sp;
            let outcome = run(store, self.outer_sp, self.root, |store| {
                (*store).wasm_sp = self.wasm_sp;
                if self.slots.0 == self.slots.1 {
                    return compiled(store);
                }
                self.stand(store);
                why
            });
            (*store).args = outer_args;
            (*store).entry_sp = outer_entry;
            outcome
        }
    }

    /// Makes its interpreted frames those of the store.
    ///
    /// # Safety
    ///
    /// The store is valid, and the guest's entry the innermost.
    unsafe fn stand(&self, store: *mut StoreCtx) {
        // SAFETY: the caller's promise.
        unsafe {
            let activation = &*(*store).activation;
            debug_assert_eq!(activation.slots, self.slots.0);
            (*store).interp_fp = self.fp;
            (*store).interp_sp = self.slots.1;
            activation.args.set((*store).args);
            if !self.args.is_null() {
                (*store).args = self.args;
            }
        }
    }
}
