//! Entering guest code and leaving it.
//!
//! ```text
//!   store ── activation ──> inner entry ── previous ──> outer entry ──> null
//!                           outer_sp: where the outer guest's stack stood when it called the host
//! ```
//!
//! All entries of a store share one wasm stack: an inner entry begins where the outer guest stopped
//! to call the host, so the whole of a store's guests is `[wasm_sp, stack_top)`.

use crate::arch::{self, status};
use crate::layout::StoreCtx;
use crate::{signals, thread};
use std::ptr;
use std::sync::atomic::{Ordering, compiler_fence};

/// How an entry ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function returned; its results are in the slots.
    Returned,
    /// A host function or builtin ended it, or a transition saw the interrupt word.
    Ended,
    /// A trap; where, is in the store.
    Trapped,
    /// Stopped by signal on request.
    Interrupted,
    /// Too little of the embedder's stack is left to enter.
    HostStackExhausted,
    /// Not entered: the interrupt word was set.
    Refused,
}

/// One entry into guest code. It lives on the embedder's stack.
#[derive(Debug)]
pub struct Activation {
    /// The entry around this one.
    pub previous: *const Activation,
    /// `wasm_sp` of the entry around this one: zero if there is none.
    pub outer_sp: usize,
    /// How deeply it is nested: 1 for an outermost entry.
    pub id: u64,
}

/// Calls guest code: `trampoline(ctx, code, args)` on the store's wasm stack.
///
/// # Safety
///
/// `store` is valid, initialised, used by no other thread, and has a stack; `ctx`, `code`, `args`
/// and `trampoline` fit each other as [`crate::layout`] says, and stay valid until this returns.
#[inline]
pub unsafe fn enter(
    store: *mut StoreCtx,
    ctx: usize,
    code: usize,
    args: *mut u64,
    trampoline: usize,
) -> Outcome {
    // SAFETY: by the promise above the store is ours for the whole call. `outer_sp` is where its
    // guest called the host, so that what lies below is free; a fresh store begins at the top.
    unsafe {
        let outer_sp = (*store).wasm_sp;
        let sp = if outer_sp == 0 { (*store).stack_top } else { outer_sp & !15 };
        let outer_args = (*store).args;
        let outer_entry = (*store).entry_sp;
        (*store).args = args as usize;
        (*store).entry_sp = sp;
        let outcome =
            run(store, outer_sp, |store| arch::enter(store, ctx, code, args, trampoline, sp));
        (*store).args = outer_args;
        (*store).entry_sp = outer_entry;
        outcome
    }
}

/// A guest whose host function could not answer yet. Its frames stay on the wasm stack, at and above
/// `wasm_sp`; what lies below is free.
#[derive(Debug)]
pub struct Suspended {
    wasm_sp: usize,
    outer_sp: usize,
    entry_sp: usize,
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
            let outer_sp = (*(*store).activation).outer_sp;
            Suspended { wasm_sp: (*store).wasm_sp, outer_sp, entry_sp: (*store).entry_sp }
        }
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
            let previous = (*store).activation;
            let id = if previous.is_null() { 1 } else { (*previous).id + 1 };
            let activation = Activation { previous, outer_sp: self.outer_sp, id };
            let outer = (store, (*store).activation, (*store).wasm_sp);
            let _restore = OnDrop(|| {
                let (store, activation, wasm_sp) = outer;
                (*store).activation = activation;
                (*store).wasm_sp = wasm_sp;
            });
            (*store).activation = &activation;
            (*store).wasm_sp = self.wasm_sp;
            work()
        }
    }

    /// Goes on in the guest, after the call of its host function.
    ///
    /// # Safety
    ///
    /// As for [`Self::as_host`]; the slots of that host function hold its results, and `args` is
    /// valid for the results of the guest.
    pub unsafe fn resume(self, store: *mut StoreCtx, args: *mut u64) -> Outcome {
        // SAFETY: by the promise above the frames at `wasm_sp` are as they were left.
        unsafe {
            let outer_args = (*store).args;
            let outer_entry = (*store).entry_sp;
            (*store).args = args as usize;
            (*store).entry_sp = self.entry_sp;
            (*store).wasm_sp = self.wasm_sp;
            let outcome = run(store, self.outer_sp, |store| arch::resume(store));
            (*store).args = outer_args;
            (*store).entry_sp = outer_entry;
            outcome
        }
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// How deeply entries of the store are nested now: the number of the innermost, or zero.
///
/// # Safety
///
/// The store is valid and used by no other thread.
pub unsafe fn depth(store: *const StoreCtx) -> u64 {
    // SAFETY: activations on the list are alive.
    unsafe { (*store).activation.as_ref().map_or(0, |a| a.id) }
}

#[inline]
unsafe fn run(
    store: *mut StoreCtx,
    outer_sp: usize,
    switch: impl FnOnce(*mut StoreCtx) -> u64,
) -> Outcome {
    // SAFETY: the callers' promise; `activation` is taken off the list again before it goes.
    unsafe {
        let Some(thread) = thread::current() else { return Outcome::HostStackExhausted };
        let outer = (*store).activation;
        let id = if outer.is_null() { 1 } else { (*outer).id + 1 };
        let activation = Activation { previous: outer, outer_sp, id };
        (*store).activation = &activation;
        // Whoever interrupts sets the word, makes every processor pass a barrier, and reads the
        // thread: so either it sees this thread, or this thread sees the word. The fence costs
        // nothing here; it only keeps the compiler from swapping the two.
        (*store).thread.store(thread, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        let outcome = if (*store).interrupt.load(Ordering::Relaxed) == 0 {
            let previous = signals::set_current(store);
            let status = switch(store);
            signals::set_current(previous);
            Outcome::from_status(status)
        } else {
            Outcome::Refused
        };
        if outer.is_null() {
            (*store).thread.store(0, Ordering::Relaxed);
        }
        (*store).activation = outer;
        (*store).wasm_sp = outer_sp;
        outcome
    }
}

impl Outcome {
    #[inline]
    fn from_status(status: u64) -> Outcome {
        match status {
            status::RETURNED => Outcome::Returned,
            status::TRAPPED => Outcome::Trapped,
            status::INTERRUPTED => Outcome::Interrupted,
            other => {
                debug_assert_eq!(other, status::ENDED);
                Outcome::Ended
            }
        }
    }
}

impl Default for StoreCtx {
    fn default() -> Self {
        StoreCtx {
            host_sp: 0,
            wasm_sp: 0,
            interrupt: 0.into(),
            stack_limit: 0,
            args: 0,
            indirect_caller: 0,
            exit: 0,
            trap_pc: 0,
            trap_fp: 0,
            trap_addr: 0,
            guard_start: 0,
            guard_end: 0,
            stack_top: 0,
            entry_sp: 0,
            owner: 0,
            builtins: ptr::null(),
            trap_sp: 0,
            activation: ptr::null(),
            thread: 0.into(),
        }
    }
}
