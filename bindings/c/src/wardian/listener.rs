//! Listeners, and the stack of the guest that calls.

use super::errors::misuse;
use super::{or_trap, text};
use crate::reference::{Reference, What};
use crate::store::{Handle, WeakHandle};
use crate::trap::Frame;
use crate::value::Value;
use crate::vector::Vector;
use crate::{give, take};
use std::ffi::{CString, c_char, c_void};
use wardian::{
    Val, ValType,
    listener::{AbortReason, Attachment, Call, FunctionFilter},
    stack::StackIterator,
};

/// `wardian_call_t`: what a listener is notified of.
pub struct Notice<'a> {
    call: &'a Call<'a>,
    store: &'a WeakHandle,
    values: Values<'a>,
}

/// The values of a call that its listener can ask for.
#[derive(Clone, Copy)]
enum Values<'a> {
    None,
    Arguments(&'a [u64]),
    Results(&'a [u64]),
}

impl Notice<'_> {
    /// The value at a position.
    fn value(&self, index: usize) -> Option<Val> {
        let definition = self.call.definition();
        let (types, slots) = match self.values {
            Values::None => return None,
            Values::Arguments(slots) => (definition.param_types(), slots),
            // The results are those of the function that it has called.
            Values::Results(_) if self.call.is_tail_call() => return None,
            Values::Results(slots) => (definition.result_types(), slots),
        };
        let before = types.get(..index)?;
        let at: usize = before.iter().map(|ty| if *ty == ValType::V128 { 2 } else { 1 }).sum();
        let slot = slots.get(at).copied()?;
        Some(match types.get(index)? {
            ValType::I32 => Val::I32(slot as u32 as i32),
            ValType::I64 => Val::I64(slot as i64),
            ValType::F32 => Val::F32(slot as u32),
            ValType::F64 => Val::F64(slot),
            ValType::V128 => Val::V128(u128::from(slot)),
            ValType::Ref(_) => match self.values {
                Values::Arguments(_) => self.call.param(index)?,
                _ => self.call.result(index)?,
            },
        })
    }
}

type OfSlots = unsafe extern "C" fn(*mut c_void, *const Notice<'static>, *const u64, usize);

/// `wardian_listener_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Callbacks {
    before: Option<OfSlots>,
    after: Option<OfSlots>,
    abort: Option<unsafe extern "C" fn(*mut c_void, *const Notice<'static>, *const c_char)>,
    resumed: Option<unsafe extern "C" fn(*mut c_void, *const Notice<'static>)>,
}

struct Listener {
    callbacks: Callbacks,
    store: WeakHandle,
    environment: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
}

// SAFETY: it is called where its store is used, and C takes care of what it is given.
unsafe impl Send for Listener {}
// SAFETY: as above.
unsafe impl Sync for Listener {}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(finalizer) = self.finalizer {
            finalizer(self.environment);
        }
    }
}

impl Listener {
    /// Notifies C, which uses the notice until its function returns.
    fn notify(
        &self,
        call: &Call<'_>,
        values: Values<'_>,
        work: impl FnOnce(*const Notice<'static>),
    ) {
        let notice = Notice { call, store: &self.store, values };
        work(std::ptr::from_ref(&notice).cast());
    }
}

impl wardian::listener::FunctionListener for Listener {
    fn before(&self, call: &Call<'_>, params: &[u64], _: &mut StackIterator<'_>) {
        if let Some(before) = self.callbacks.before {
            self.notify(call, Values::Arguments(params), |call| {
                // SAFETY: the function takes these, as C has said.
                unsafe { before(self.environment, call, params.as_ptr(), params.len()) }
            });
        }
    }

    fn after(&self, call: &Call<'_>, results: &[u64]) {
        if let Some(after) = self.callbacks.after {
            self.notify(call, Values::Results(results), |call| {
                // SAFETY: as above.
                unsafe { after(self.environment, call, results.as_ptr(), results.len()) }
            });
        }
    }

    fn abort(&self, call: &Call<'_>, reason: &AbortReason<'_>) {
        if let Some(abort) = self.callbacks.abort {
            let reason = CString::new(reason.to_string().replace('\0', " ")).unwrap_or_default();
            self.notify(call, Values::None, |call| {
                // SAFETY: as above.
                unsafe { abort(self.environment, call, reason.as_ptr()) }
            });
        }
    }

    fn resumed(&self, call: &Call<'_>) {
        if let Some(resumed) = self.callbacks.resumed {
            // SAFETY: as above.
            self.notify(call, Values::None, |call| unsafe { resumed(self.environment, call) });
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_attach(
    instance: *const Reference,
    functions: *const c_char,
    callbacks: *const Callbacks,
    environment: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
    trap_out: *mut *mut Reference,
) -> *mut Attachment {
    // SAFETY: see the crate's documentation.
    unsafe {
        let store = &(*instance).store;
        let callbacks = *callbacks;
        let listener = Listener { callbacks, store: store.downgrade(), environment, finalizer };
        let attach = || {
            let What::Instance(instance) = (*instance).what else {
                return Err(misuse("it is no instance"));
            };
            let factory = FunctionFilter::name(text(functions)?).listen(listener);
            store.with(|context| instance.attach(context, factory))
        };
        or_trap(store, trap_out, attach()).map_or(std::ptr::null_mut(), give)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_detach(attachment: *mut Attachment) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(attachment) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_call_id(call: *const Notice<'static>) -> u64 {
    // SAFETY: see the crate's documentation.
    unsafe { (*call).call.id() }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_call_func_index(call: *const Notice<'static>) -> u32 {
    // SAFETY: see the crate's documentation.
    unsafe { (*call).call.definition().index().unwrap_or(u32::MAX) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_call_is_tail_call(call: *const Notice<'static>) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe { (*call).call.is_tail_call() }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_call_name(call: *const Notice<'static>, out: *mut Vector<u8>) {
    // SAFETY: see the crate's documentation.
    unsafe { out.write(Vector::new((*call).call.definition().display_name().into_bytes())) }
}

/// False past the last one, and where there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_call_value(
    call: *const Notice<'static>,
    index: usize,
    out: *mut Value,
) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe {
        let found = (*call).value(index).zip((*call).store.upgrade());
        let Some((value, store)) = found else { return false };
        out.write(Value::new(&store, &value));
        true
    }
}

/// The innermost call first; empty if no callback runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_stack(store: *const Handle, out: *mut Vector<*mut Frame>) {
    // SAFETY: see the crate's documentation.
    unsafe {
        let store = &*store;
        let backtrace = store.calling(|caller| caller.backtrace());
        let frames = backtrace.map(|backtrace| crate::trap::frames(store, &backtrace));
        let frames = frames.unwrap_or_default().into_iter().map(give).collect();
        out.write(Vector::new(frames));
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_frame_name(frame: *const Frame, out: *mut Vector<u8>) {
    // SAFETY: see the crate's documentation.
    unsafe { out.write(Vector::new((*frame).name().into_bytes())) }
}
