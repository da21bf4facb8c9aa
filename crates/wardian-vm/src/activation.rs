//! Entering guest code and leaving it.
//!
//! ```text
//!   store ── activation ──> inner entry ── previous ──> outer entry ──> null
//!                           outer_sp: where the outer guest's stack stood when it called the host
//! ```
//!
//! All entries of a store share one wasm stack: an inner entry begins where the outer guest stopped
//! to call the host, so the whole of a store's guests is `[wasm_sp, stack_top)` for compiled frames
//! and `[stack_top, interp_sp)` for interpreted ones. The lowest bit of `wasm_sp` tells that the
//! innermost frame of all is an interpreted one.

use crate::arch;
pub use crate::arch::status;
use crate::layout::{StoreCtx, instance};
use crate::signals;
use crate::thread::{self, Unready};
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

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
    /// Not entered: the system has no memory for the thread's signal stack.
    NoSignalStack,
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
    /// `interp_fp` of the entry around this one, where its `wasm_sp` says that it counts.
    pub outer_fp: usize,
    /// Where the interpreted frames of this entry begin.
    pub slots: usize,
    /// The slots that it was entered with, once interpreted code has run in it.
    pub args: Cell<usize>,
    /// Whether there is interpreted code in it: then, while no compiled code of it runs, its innermost
    /// frame is where the store says, wherever the stack pointer is.
    pub interpreting: Cell<bool>,
    /// Its number among all entries of the store, which is never used again; zero as long as nobody
    /// asked: see [`serial`].
    serial: Cell<u64>,
    /// The context that the guest was entered with.
    pub ctx: usize,
}

/// Calls guest code: `trampoline(ctx, code, args)` on the store's wasm stack.
///
/// # Safety
///
/// `store` is valid, initialised, used by no other thread, and has a stack; `ctx`, `code`, `args`
/// and `trampoline` fit each other as [`crate::layout`] says, and stay valid until this returns.
#[inline(always)]
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
        let sp = entry_sp(store, outer_sp);
        let outer_args = (*store).args;
        let outer_entry = (*store).entry_sp;
        (*store).args = args as usize;
        (*store).entry_sp = sp;
        let root = Root { ctx, serial: 0 };
        let outcome =
            run(store, outer_sp, root, |store| arch::enter(store, ctx, code, args, trampoline, sp));
        (*store).args = outer_args;
        (*store).entry_sp = outer_entry;
        outcome
    }
}

/// [`StoreCtx::wasm_sp`] with this bit: the innermost frame is an interpreted one.
pub const INTERPRETED: usize = 1;

/// Calls guest code by way of the interpreter, which finds what to call in the store's `call`.
///
/// # Safety
///
/// As for [`enter`]; the store's `interpret` is set, and knows what to do.
pub unsafe fn enter_interpreted(store: *mut StoreCtx, ctx: usize, args: *mut u64) -> Outcome {
    // SAFETY: as in `enter`.
    unsafe {
        let outer_sp = (*store).wasm_sp;
        let sp = entry_sp(store, outer_sp);
        let outer_args = (*store).args;
        let outer_entry = (*store).entry_sp;
        (*store).args = args as usize;
        (*store).entry_sp = sp;
        let root = Root { ctx, serial: 0 };
        let outcome = run(store, outer_sp, root, |_| status::START);
        (*store).args = outer_args;
        (*store).entry_sp = outer_entry;
        outcome
    }
}

/// Where the stack of an entry begins if the guest around it stood at `outer_sp`.
///
/// # Safety
///
/// The store is valid.
unsafe fn entry_sp(store: *const StoreCtx, outer_sp: usize) -> usize {
    // SAFETY: the caller's promise.
    if outer_sp == 0 { unsafe { (*store).stack_top } } else { outer_sp & !15 }
}

/// What stays the same when an entry is left and gone on with.
#[derive(Clone, Copy, Debug)]
struct Root {
    ctx: usize,
    serial: u64,
}

/// A guest that was left while it was calling a host function or builtin. Its frames are still on
/// the wasm stack, at and above `wasm_sp`, and in `slots`; what lies beyond is free.
#[derive(Clone, Copy, Debug)]
pub struct Suspended {
    /// With the bit that tells that the innermost frame is interpreted.
    wasm_sp: usize,
    outer_sp: usize,
    entry_sp: usize,
    /// The innermost interpreted frame, if it is the innermost of all.
    fp: usize,
    /// Where its interpreted frames lie.
    slots: (usize, usize),
    /// As [`StoreCtx::ended_args`].
    args: usize,
    root: Root,
}

/// Where a guest stands, within its entry: what a copy of its frames has to keep beside them.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    wasm_sp: usize,
    fp: usize,
    slots_end: usize,
    args: usize,
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
    pub unsafe fn ended(store: *mut StoreCtx, ctx: usize) -> Suspended {
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

    /// The number of the entry.
    #[inline]
    pub fn serial(&self) -> u64 {
        self.root.serial
    }

    /// The frames as bytes: compiled ones, from where the guest stands to where its entry began, and
    /// interpreted ones.
    pub fn frames(&self) -> [std::ops::Range<usize>; 2] {
        [self.wasm_sp & !INTERPRETED..self.entry_sp, self.slots.0..self.slots.1]
    }

    /// Where the guest stands.
    pub fn standing(&self) -> Standing {
        Standing { wasm_sp: self.wasm_sp, fp: self.fp, slots_end: self.slots.1, args: self.args }
    }

    /// The same entry, its frames cut back or extended to those of another moment.
    pub fn moved_to(self, standing: Standing) -> Suspended {
        let Standing { wasm_sp, fp, slots_end, args } = standing;
        debug_assert!(wasm_sp & !INTERPRETED <= self.entry_sp && self.slots.0 <= slots_end);
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
            let outer = (store, (*store).activation, (*store).wasm_sp, (*store).args);
            let _restore = OnDrop(|| {
                let (store, outer, wasm_sp, args) = outer;
                (*store).wasm_sp = wasm_sp;
                (*store).args = args;
                leave_interpreted(store, &activation);
                set_activation(store, outer);
            });
            set_activation(store, &activation);
            (*store).wasm_sp = self.wasm_sp;
            self.stand(store);
            work()
        }
    }

    /// Goes on in the guest, after the call of its host function.
    ///
    /// # Safety
    ///
    /// As for [`Self::as_host`]; the frames in [`Self::frames`] are such as a guest of this entry
    /// left them, the slots of that host function hold its results, and `args` is valid for the
    /// results of the guest.
    pub unsafe fn resume(&self, store: *mut StoreCtx, args: *mut u64) -> Outcome {
        // SAFETY: by the promise above the frames at `wasm_sp` are as they were left.
        unsafe {
            let outer_args = (*store).args;
            let outer_entry = (*store).entry_sp;
            (*store).args = args as usize;
            (*store).entry_sp = self.entry_sp;
            let outcome = run(store, self.outer_sp, self.root, |store| {
                (*store).wasm_sp = self.wasm_sp;
                if self.slots.0 == self.slots.1 {
                    return arch::resume(store);
                }
                self.stand(store);
                status::RESUME
            });
            (*store).args = outer_args;
            (*store).entry_sp = outer_entry;
            outcome
        }
    }

    /// Throws the store's exception in the guest, by the call of its host function.
    ///
    /// # Safety
    ///
    /// As for [`Self::resume`], but that the host function has no results.
    pub unsafe fn throw(&self, store: *mut StoreCtx, args: *mut u64) -> Outcome {
        // SAFETY: as there.
        unsafe {
            let outer_args = (*store).args;
            let outer_entry = (*store).entry_sp;
            (*store).args = args as usize;
            (*store).entry_sp = self.entry_sp;
            let outcome = run(store, self.outer_sp, self.root, |store| {
                (*store).wasm_sp = self.wasm_sp;
                if self.slots.0 == self.slots.1 {
                    return status::ENDED;
                }
                self.stand(store);
                status::THROW
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
            if self.args != 0 {
                (*store).args = self.args;
            }
        }
    }
}

/// The slots that the innermost compiled code was entered with, if an interpreted frame did that; else
/// zero.
///
/// # Safety
///
/// The store is valid, and the activation is its innermost.
unsafe fn segment_args(store: *const StoreCtx, activation: &Activation) -> usize {
    // SAFETY: the caller's promise.
    let args = unsafe { (*store).args };
    let of_entry = activation.args.get();
    if of_entry == 0 || of_entry == args { 0 } else { args }
}

/// Gives up the interpreted frames of an entry.
///
/// # Safety
///
/// The store is valid, and the activation is its innermost.
unsafe fn leave_interpreted(store: *mut StoreCtx, activation: &Activation) {
    // SAFETY: the caller's promise.
    unsafe {
        (*store).interp_fp = activation.outer_fp;
        (*store).interp_sp = activation.slots;
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The number of the innermost entry, which is never zero.
///
/// # Safety
///
/// The store is valid and used by no other thread, and a guest of it is open.
pub unsafe fn serial(store: *mut StoreCtx) -> u64 {
    // SAFETY: activations on the list are alive.
    unsafe {
        let serial = &(*(*store).activation).serial;
        if serial.get() == 0 {
            (*store).entries += 1;
            serial.set((*store).entries);
        }
        serial.get()
    }
}

/// The frame pointer of the compiled function that calls the runtime by a stub.
///
/// # Safety
///
/// The store is valid and used by no other thread, and its guest has called so.
#[inline]
pub unsafe fn calling_frame(store: *const StoreCtx) -> usize {
    // SAFETY: the frame record of the stub, which leads to that of the function.
    unsafe { *(((*store).wasm_sp + arch::RECORD) as *const usize) }
}

/// Whether the entry with this number is still on the store's list.
///
/// # Safety
///
/// The store is valid and used by no other thread.
pub unsafe fn is_open(store: *const StoreCtx, serial: u64) -> bool {
    // SAFETY: activations on the list are alive.
    unsafe {
        let mut next = (*store).activation;
        while let Some(activation) = next.as_ref() {
            if activation.serial.get() == serial {
                return true;
            }
            next = activation.previous;
        }
    }
    false
}

/// The contexts that guests were entered with, from the innermost entry outwards.
///
/// # Safety
///
/// The activation is the store's latest or null, and the list is not changed while this is used.
pub unsafe fn contexts(activation: *const Activation) -> impl Iterator<Item = usize> + Clone {
    // SAFETY: activations on the list are alive.
    let first = unsafe { activation.as_ref() };
    // SAFETY: as above.
    std::iter::successors(first, |a| unsafe { a.previous.as_ref() }).map(|a| a.ctx)
}

/// How deeply entries of the store are nested now: the number of the innermost, or zero.
///
/// # Safety
///
/// The store is valid and used by no other thread.
pub unsafe fn depth(store: *const StoreCtx) -> u64 {
    // SAFETY: activations on the list are alive.
    unsafe { contexts((*store).activation).count() as u64 }
}

/// The next activation on the store's list.
///
/// # Safety
///
/// The store is valid and used by no other thread.
#[inline]
unsafe fn activation(store: *const StoreCtx, outer_sp: usize, root: Root) -> Activation {
    // SAFETY: the caller's promise.
    let store = unsafe { &*store };
    Activation {
        previous: store.activation,
        outer_sp,
        outer_fp: store.interp_fp,
        slots: store.interp_sp,
        args: Cell::new(0),
        interpreting: Cell::new(false),
        serial: Cell::new(root.serial),
        ctx: root.ctx,
    }
}

/// Makes an activation the innermost. A signal handler that walks the stack may come between any two
/// instructions here: it must not see the list before what is on it is written, nor after it is gone,
/// nor the outer entry as the innermost with the stack pointer of the inner one. The fences cost no
/// instruction. See [`crate::frames`].
///
/// # Safety
///
/// The store is valid and used by no other thread; the activation stays until another is set.
#[inline]
unsafe fn set_activation(store: *mut StoreCtx, activation: *const Activation) {
    compiler_fence(Ordering::SeqCst);
    // SAFETY: the caller's promise.
    unsafe { (*store).activation = activation };
    compiler_fence(Ordering::SeqCst);
}

// Each of its few callers is better off with a copy: what it switches with stays in registers.
#[inline(always)]
unsafe fn run(
    store: *mut StoreCtx,
    outer_sp: usize,
    root: Root,
    switch: impl FnOnce(*mut StoreCtx) -> u64,
) -> Outcome {
    // SAFETY: the callers' promise; `activation` is taken off the list again before it goes.
    unsafe {
        let thread = match thread::current() {
            Ok(thread) => thread,
            Err(Unready::StackExhausted) => return Outcome::HostStackExhausted,
            Err(Unready::NoSignalStack) => return Outcome::NoSignalStack,
        };
        let activation = activation(store, outer_sp, root);
        let outer = activation.previous;
        set_activation(store, &activation);
        // Whoever interrupts sets the word, makes every processor pass a barrier, and reads the
        // thread: so either it sees this thread, or this thread sees the word. The fence costs
        // nothing here; it only keeps the compiler from swapping the two.
        (*store).thread.store(thread, Ordering::Relaxed);
        // Likewise for whoever closes the instance.
        if outer.is_null() {
            (*store).root.store(root.ctx, Ordering::Relaxed);
        } else {
            count_nested(root.ctx, 1);
        }
        compiler_fence(Ordering::SeqCst);
        let outcome = if (*store).interrupt.load(Ordering::Relaxed) == 0 {
            let previous = signals::set_current(store);
            let mut status = switch(store);
            if status == status::ENDED && (*store).thrown != 0 {
                status = catch(store);
            }
            if status > status::INTERRUPTED {
                status = interpret(store, &activation, status);
            } else if status != status::RETURNED {
                (*store).ended_slots = (*store).interp_sp;
                (*store).ended_args = 0;
            }
            signals::set_current(previous);
            if status != status::RETURNED {
                (*store).ended_sp = (*store).wasm_sp;
                (*store).ended_serial = activation.serial.get();
            }
            Outcome::from_status(status)
        } else {
            Outcome::Refused
        };
        if outer.is_null() {
            (*store).thread.store(0, Ordering::Relaxed);
        } else {
            count_nested(root.ctx, -1);
        }
        (*store).wasm_sp = outer_sp;
        set_activation(store, outer);
        outcome
    }
}

/// Resumes a guest that has thrown an exception where that is caught, as long as it throws any. All of its
/// frames are compiled.
///
/// # Safety
///
/// As for [`run`].
#[cold]
unsafe fn catch(store: *mut StoreCtx) -> u64 {
    // SAFETY: the caller's promise. A guest that was made to stand somewhere can be resumed there.
    unsafe {
        let mut status = status::ENDED;
        while status == status::ENDED
            && (*store).thrown != 0
            && (*store).unwind.is_some_and(|unwind| unwind(store))
        {
            status = arch::resume(store);
        }
        status
    }
}

/// Runs an entry in which there is interpreted code, to its end.
///
/// # Safety
///
/// As for [`run`]; the activation is the innermost.
#[cold]
unsafe fn interpret(store: *mut StoreCtx, activation: &Activation, why: u64) -> u64 {
    // SAFETY: the caller's promise; whoever makes such a status possible has set `interpret`.
    unsafe {
        if activation.args.get() == 0 {
            activation.args.set((*store).args);
        }
        let Some(interpret) = (*store).interpret else { return status::ENDED };
        activation.interpreting.set(true);
        let status = interpret(store, why);
        activation.interpreting.set(false);
        (*store).ended_fp = (*store).interp_fp;
        (*store).ended_slots = (*store).interp_sp;
        (*store).ended_args = segment_args(store, activation);
        leave_interpreted(store, activation);
        status
    }
}

/// Counts nested entries through a context, for whoever closes the instance.
///
/// # Safety
///
/// It is a context, and only the thread that has its store does this.
#[cold]
unsafe fn count_nested(ctx: usize, more: i64) {
    // SAFETY: every context has the counter at this offset, and nobody else writes it.
    let nested = unsafe { &*((ctx + instance::NESTED as usize) as *const AtomicU64) };
    nested.store(nested.load(Ordering::Relaxed).wrapping_add_signed(more), Ordering::Relaxed);
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
            root: 0.into(),
            entries: 0,
            ended_sp: 0,
            ended_serial: 0,
            result: 0,
            samples: 0.into(),
            interp_fp: 0,
            interp_sp: 0,
            interp_limit: 0,
            trap_code: 0,
            ended_fp: 0,
            ended_slots: 0,
            ended_args: 0,
            callee: 0,
            callee_slots: 0,
            call: Default::default(),
            interpret: None,
            thrown: 0,
            caught: 0,
            caught_by: 0,
            unwind: None,
            fuel: 0,
            refused: Default::default(),
            heap: Default::default(),
            displays: 0,
            func_records: ptr::null(),
            func_record_count: 0,
        }
    }
}
