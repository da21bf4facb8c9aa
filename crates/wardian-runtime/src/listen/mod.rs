//! Notifying listeners.
//!
//! ```text
//!   guest ── wrapper ── stub, which switches stacks ── before / after / tail (here) ── listeners
//!   guest ── stub ── dispatch (here) ── before, the host function's own dispatch, after or abort
//!
//!   Listening::open    [outermost ... innermost]   calls that have begun and not ended
//! ```
//!
//! **Invariant.** A call is in `open` from its `before` to its ending, whichever code finds out that
//! it ended: the wrapper, the dispatch of a host function, or the entry that was left, which ends all
//! that began in it. Nothing is ever inferred from program counters.
#![allow(unsafe_code, reason = "it is called by guests")]

pub mod attach;
mod ended;
pub mod hook;
pub mod listener;
pub mod listening;
mod live;
mod restored;

use crate::Error;
use crate::listen::hook::{Hook, HostTarget, OpenCall, OpenHost, Target};
use crate::listen::listener::Listener;
use crate::store::host::Dispatch;
use crate::store::inner::StoreInner;
pub(crate) use ended::keep_first;
use live::Event;
pub use live::LiveCall;
pub(crate) use restored::ResumedCall;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wardian_types::ValType;
use wardian_vm::activation;
use wardian_vm::addr::{StackAddr, VmCtxPtr};
use wardian_vm::contain::discard;
use wardian_vm::interrupt::reason;
use wardian_vm::layout::{HostFunc, StoreCtx};

type Panic = Box<dyn Any + Send>;

/// Which listeners of a call have been notified that it began: of those after the 64th all.
const ALL: u64 = u64::MAX;

fn was_notified(notified: u64, position: usize) -> bool {
    position >= 64 || notified & (1 << position) != 0
}

/// Notes that a call begins, and notifies listeners.
///
/// # Safety
///
/// `inner` is the store of the hook, whose guest is calling; the slots hold the function's
/// parameters. `frame` is as in [`OpenCall`].
#[inline(always)]
unsafe fn begin(
    inner: *mut StoreInner,
    hook: *const Hook,
    slots: *const u64,
    caller: VmCtxPtr,
    frame: StackAddr,
) -> Result<(), Panic> {
    // SAFETY: the caller's promise. `open` is not touched while listeners run: they get the store
    // read-only, and cannot enter guests.
    unsafe {
        let id = (*inner).listening.next_number();
        let listeners = Arc::as_ptr(&(*hook).listeners);
        (*inner).listening.open.push(OpenCall {
            hook,
            listeners,
            caller,
            id,
            frame,
            notified: ALL,
        });
        // One listener is what there mostly is, and worth a shorter way.
        let only = match (*hook).only {
            Some(only) if only.active.as_ref().load(Ordering::Relaxed) => only.listener.as_ref(),
            _ => return begin_many(inner, hook, slots),
        };
        let store = &*inner;
        let open = store.listening.open.as_ptr().add(store.listening.open.len() - 1);
        let call = LiveCall { store, call: &*open, event: Event::begins(slots) };
        let params = std::slice::from_raw_parts(slots, (*hook).params);
        let done = catch_unwind(AssertUnwindSafe(|| only.before(&call, params)));
        if done.is_err() {
            (*inner).set_notified(0);
        }
        done
    }
}

/// [`begin`] for any number of listeners, after the call was noted.
///
/// # Safety
///
/// As there.
#[inline(never)]
unsafe fn begin_many(
    inner: *mut StoreInner,
    hook: *const Hook,
    slots: *const u64,
) -> Result<(), Panic> {
    // SAFETY: as in `begin`.
    unsafe {
        let (store, hook) = (&*inner, &*hook);
        let open = store.listening.open.as_ptr().add(store.listening.open.len() - 1);
        let call = LiveCall { store, call: &*open, event: Event::begins(slots) };
        let converted;
        let mut params = std::slice::from_raw_parts(slots, hook.params);
        if hook.has_funcrefs {
            converted = handles(store, hook.target.ty().params(), params);
            params = &converted;
        }
        let mut notified = 0;
        let done = catch_unwind(AssertUnwindSafe(|| {
            let mut bit = 1u64;
            for entry in &(*(*open).listeners).0 {
                if entry.is_active() {
                    entry.listener.before(&call, params);
                    notified |= bit;
                }
                bit <<= 1;
            }
        }));
        (*inner).set_notified(notified);
        done
    }
}

/// References in slots as handles.
///
/// # Safety
///
/// The slots hold values of these types from a guest of the store.
#[cold]
unsafe fn handles(store: &StoreInner, types: &[ValType], slots: &[u64]) -> Vec<u64> {
    let mut slots = slots.to_vec();
    // SAFETY: the caller's promise.
    unsafe { crate::call::host::to_handles(store, types, &mut slots) };
    slots
}

/// Notifies all listeners that were notified of a call's beginning. All are notified, even if one panics; the
/// first panic is returned.
#[inline]
fn notify(
    store: &StoreInner,
    call: &OpenCall,
    event: Event,
    notify: impl Fn(&dyn Listener, &LiveCall<'_>),
) -> Result<(), Panic> {
    // SAFETY: listeners live as long as calls are open.
    let entries = unsafe { &(*call.listeners).0 };
    let seen = LiveCall { store, call, event };
    let mut position = 0;
    let mut some = || {
        catch_unwind(AssertUnwindSafe(|| {
            while let Some(entry) = entries.get(position) {
                position += 1;
                if was_notified(call.notified, position - 1) {
                    notify(&*entry.listener, &seen);
                }
            }
        }))
    };
    let first = some();
    if first.is_err() {
        while let Err(panic) = some() {
            discard(panic);
        }
    }
    first
}

/// Ends the innermost open call, which returns.
///
/// # Safety
///
/// As for [`begin`]; the slots hold the function's results.
#[inline(always)]
unsafe fn returned(
    inner: *mut StoreInner,
    hook: *const Hook,
    slots: *const u64,
) -> Result<(), Panic> {
    // SAFETY: the caller's promise.
    unsafe {
        let store = &*inner;
        let Some(open) = store.listening.open.last() else { return Ok(()) };
        debug_assert!(std::ptr::eq(open.hook, hook), "calls end in order");
        let same = std::ptr::eq(open.listeners, Arc::as_ptr(&(*hook).listeners));
        let done = match (*hook).only {
            Some(only) if same && open.notified == ALL => {
                let call = LiveCall { store, call: open, event: Event::returns(slots) };
                let results = std::slice::from_raw_parts(slots, (*hook).results);
                let only = only.listener.as_ref();
                catch_unwind(AssertUnwindSafe(|| only.after(&call, results)))
            }
            _ => returned_many(store, open, slots),
        };
        let open = &mut (*inner).listening.open;
        open.truncate(open.len() - 1);
        done
    }
}

/// Notifies any number of listeners that a call returns.
///
/// # Safety
///
/// As for [`returned`].
#[inline(never)]
unsafe fn returned_many(
    store: &StoreInner,
    open: &OpenCall,
    slots: *const u64,
) -> Result<(), Panic> {
    // SAFETY: as there.
    unsafe {
        let hook = &*open.hook;
        let converted;
        let mut results = std::slice::from_raw_parts(slots, hook.results);
        if hook.has_funcrefs {
            converted = handles(store, hook.target.ty().results(), results);
            results = &converted;
        }
        notify(store, open, Event::returns(slots), |listener, call| listener.after(call, results))
    }
}

/// The answer to a wrapper's stub: zero to continue, or the store to leave the guest.
///
/// # Safety
///
/// `ctx` is the context of the store `inner`.
#[inline]
unsafe fn answer(ctx: *mut StoreCtx, inner: *mut StoreInner, done: Result<(), Panic>) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        if let Err(panic) = done {
            (*inner).fail(Error::panic(panic));
            return ctx as u64;
        }
        // Deferred work is done at transitions from which the guest can be resumed.
        let word = (*ctx).interrupt.load(Ordering::Relaxed);
        if word & !reason::DEFERRED == 0 { 0 } else { ctx as u64 }
    }
}

/// # Safety
///
/// `hook` is a hook of a store whose guest is calling.
#[inline]
unsafe fn store_of(hook: *const Hook) -> (*mut StoreCtx, *mut StoreInner) {
    // SAFETY: while a guest runs `owner` is its store; `inner` is the first field, whatever `T` is.
    unsafe {
        let ctx = (*hook).vm.store;
        (ctx, (*ctx).owner.as_ptr::<StoreInner>())
    }
}

pub(crate) unsafe extern "C" fn before(
    hook: *const Hook,
    slots: *const u64,
    caller: VmCtxPtr,
) -> u64 {
    // SAFETY: called by wrappers only, with the hook of their function and its parameters.
    unsafe {
        let (ctx, inner) = store_of(hook);
        // The stub has noted where it stands, right below the frame of the wrapper.
        let frame = activation::calling_frame(ctx);
        let done = begin(inner, hook, slots, caller, frame);
        answer(ctx, inner, done)
    }
}

/// [`before`] for a function that is about to be interpreted, in the frame at `frame`.
///
/// # Safety
///
/// As there.
pub(crate) unsafe fn before_interpreted(
    hook: *const Hook,
    slots: *const u64,
    caller: VmCtxPtr,
    frame: StackAddr,
) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let (ctx, inner) = store_of(hook);
        let done = begin(inner, hook, slots, caller, frame);
        answer(ctx, inner, done)
    }
}

pub(crate) unsafe extern "C" fn after(hook: *const Hook, slots: *const u64) -> u64 {
    // SAFETY: as for `before`, with the results.
    unsafe {
        let (ctx, inner) = store_of(hook);
        let done = returned(inner, hook, slots);
        answer(ctx, inner, done)
    }
}

pub(crate) unsafe extern "C" fn tail(hook: *const Hook) -> u64 {
    // SAFETY: as for `before`.
    unsafe {
        let (ctx, inner) = store_of(hook);
        let done = match (*inner).listening.open.pop() {
            Some(call) => notify(&*inner, &call, Event::TAIL_CALLS, |listener, call| {
                listener.after(call, &[])
            }),
            None => Ok(()),
        };
        answer(ctx, inner, done)
    }
}

/// Replaces the dispatch in the record of a host function that is listened to.
pub(crate) unsafe extern "C" fn dispatch(host: *mut HostFunc, slots: *mut u64) -> u64 {
    // SAFETY: `attach` put a hook into the record, together with this function.
    unsafe {
        let hook = (*host).data.as_ptr::<Hook>();
        let (ctx, inner) = store_of(hook);
        let Target::Host(target) = &(*hook).target else { return 0 };
        let caller = match (*host).caller {
            VmCtxPtr::NULL => (*ctx).indirect_caller,
            caller => caller,
        };
        let depth = (*inner).listening.open.len();
        let begun = begin(inner, hook, slots, caller, StackAddr::NULL);
        if begun.map_err(|panic| fail(inner, panic)).is_err() {
            return 1;
        }
        let (id, serial) = ((&(*inner).listening.open)[depth].id, activation::serial(ctx));
        (*inner).listening.open_hosts.push(OpenHost { id, serial, waits: std::ptr::null_mut() });
        // What the function is really called with; the record may change while it runs.
        let mut original = (*inner).host_record(&*host, target);
        let run: Dispatch = std::mem::transmute(target.dispatch.to_function());
        if run(&mut original, slots) == 0 {
            (*inner).listening.open_hosts.pop();
            return match returned(inner, hook, slots) {
                Ok(()) => 0,
                Err(panic) => {
                    fail(inner, panic);
                    1
                }
            };
        }
        if !(*inner).pending.is_suspension() {
            (*inner).abort_pending(depth);
        } else if let Some(host) = (*inner).listening.open_hosts.last_mut() {
            host.waits = slots;
        }
        1
    }
}

/// # Safety
///
/// `inner` is the store whose guest is calling.
unsafe fn fail(inner: *mut StoreInner, panic: Panic) {
    // SAFETY: the caller's promise.
    unsafe { (*inner).fail(Error::panic(panic)) }
}

impl StoreInner {
    /// Notes which listeners were notified of the beginning of the innermost call.
    #[cold]
    fn set_notified(&mut self, notified: u64) {
        if let Some(call) = self.listening.open.last_mut() {
            call.notified = notified;
        }
    }

    fn host_record(&self, host: &HostFunc, target: &HostTarget) -> HostFunc {
        HostFunc {
            store: host.store,
            caller: host.caller,
            dispatch: target.dispatch,
            data: target.data,
            nested: 0.into(),
            stub: host.stub,
            definition: host.definition,
            trampoline: host.trampoline,
        }
    }
}
