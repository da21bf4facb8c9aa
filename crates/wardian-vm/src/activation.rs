//! Entering guest code and leaving it.
//!
//! ```text
//!   store ── activation ──> inner entry ── previous ──> outer entry ──> null
//!                           outer_sp: where the outer guest's stack stood when it called the host
//! ```
//!
//! All entries of a store share one wasm stack: an inner entry begins where the outer guest stopped to call
//! the host, so the whole state of a store's guests is `[wasm_sp, stack_top)` for compiled frames and
//! `[stack_top, interp_sp)` for interpreted ones.

mod fresh;
mod suspended;

use crate::addr::{CodeAddr, CtxOffset, SlotsPtr, StackAddr, VmCtxPtr};
use crate::arch;
pub use crate::arch::status;
pub use crate::layout::{Activation, WasmSp};
use crate::layout::{StoreCtx, instance};
use crate::signals;
use crate::system::thread::{self, Unready};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};
pub use suspended::{Standing, Suspended};

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

/// Calls guest code: `trampoline(ctx, code, args)` on the store's wasm stack.
///
/// # Safety
///
/// `store` is valid, initialised, used by no other thread, and has a stack; `ctx`, `code`, `args`
/// and `trampoline` fit each other as [`crate::layout`] says, and stay valid until this returns.
#[inline(always)]
pub unsafe fn enter(
    store: *mut StoreCtx,
    ctx: VmCtxPtr,
    code: CodeAddr,
    args: *mut u64,
    trampoline: CodeAddr,
) -> Outcome {
    // SAFETY: by the promise above the store is ours for the whole call. `outer_sp` is where its guest called
    // the host, so that everything below is free; a fresh store begins at the top.
    unsafe {
        let outer_sp = (*store).wasm_sp;
        let sp = entry_sp(store, outer_sp);
        let outer_args = (*store).args;
        let outer_entry = (*store).entry_sp;
        (*store).args = SlotsPtr::of(args);
        (*store).entry_sp = sp;
        let root = Root { ctx, serial: 0 };
        let outcome =
            run(store, outer_sp, root, |store| arch::enter(store, ctx, code, args, trampoline, sp));
        (*store).args = outer_args;
        (*store).entry_sp = outer_entry;
        outcome
    }
}

/// Calls guest code by way of the interpreter, which finds what to call in the store's `call`.
///
/// # Safety
///
/// As for [`enter`]; the store's `interpret` is set, and knows what to do.
pub unsafe fn enter_interpreted(store: *mut StoreCtx, ctx: VmCtxPtr, args: *mut u64) -> Outcome {
    // SAFETY: as in `enter`.
    unsafe {
        let outer_sp = (*store).wasm_sp;
        let sp = entry_sp(store, outer_sp);
        let outer_args = (*store).args;
        let outer_entry = (*store).entry_sp;
        (*store).args = SlotsPtr::of(args);
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
unsafe fn entry_sp(store: *const StoreCtx, outer_sp: WasmSp) -> StackAddr {
    // SAFETY: the caller's promise.
    if outer_sp.is_none() { unsafe { (*store).stack_top } } else { outer_sp.aligned() }
}

/// What stays the same when an entry is left and resumed.
#[derive(Clone, Copy, Debug)]
struct Root {
    ctx: VmCtxPtr,
    serial: u64,
}

/// The slots that the innermost compiled code was entered with, if an interpreted frame did that.
///
/// # Safety
///
/// The store is valid, and the activation is its innermost.
unsafe fn segment_args(store: *const StoreCtx, activation: &Activation) -> SlotsPtr {
    // SAFETY: the caller's promise.
    let args = unsafe { (*store).args };
    let of_entry = activation.args.get();
    if of_entry.is_null() || of_entry == args { SlotsPtr::NULL } else { args }
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
pub unsafe fn calling_frame(store: *const StoreCtx) -> StackAddr {
    // SAFETY: the frame record of the stub, which leads to that of the function.
    unsafe { *(*store).wasm_sp.sp().above(arch::RECORD).as_ptr() }
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
pub unsafe fn contexts(activation: *const Activation) -> impl Iterator<Item = VmCtxPtr> + Clone {
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
unsafe fn activation(store: *const StoreCtx, outer_sp: WasmSp, root: Root) -> Activation {
    // SAFETY: the caller's promise.
    let store = unsafe { &*store };
    Activation {
        previous: store.activation,
        outer_sp,
        outer_fp: store.interp_fp,
        slots: store.interp_sp,
        args: Cell::new(SlotsPtr::NULL),
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
    outer_sp: WasmSp,
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
        // The thread that interrupts sets the word, makes every processor pass a barrier, and reads the
        // thread: so either it sees this thread, or this thread sees the word. The fence costs nothing here;
        // it only keeps the compiler from swapping the two. Who sees the address is to see the handle, which may be new.
        (*store).thread.store(thread.as_usize(), Ordering::Release);
        // Likewise for a thread that closes the instance.
        if outer.is_null() {
            (*store).root.store(root.ctx.as_usize(), Ordering::Relaxed);
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
                (*store).ended_args = SlotsPtr::NULL;
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
    // SAFETY: the caller's promise. A guest for which a handler was found is prepared to be resumed.
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
    // SAFETY: the caller's promise; the code that makes such a status possible has set `interpret`.
    unsafe {
        if activation.args.get().is_null() {
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

/// Counts nested entries through a context, for threads that close the instance.
///
/// # Safety
///
/// It is a context, and only the thread that has its store does this.
#[cold]
unsafe fn count_nested(ctx: VmCtxPtr, more: i64) {
    // SAFETY: every context has the counter at this offset, and nobody else writes it.
    let nested = unsafe { &*ctx.word::<AtomicU64>(CtxOffset::of(instance::NESTED)) };
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
