//! Listeners, and the stack of the guest that calls.

use super::{or_trap, text};
use crate::reference::{Reference, What};
use crate::store::Handle;
use crate::trap::Frame;
use crate::vector::Vector;
use crate::{give, take};
use std::ffi::{CString, c_char, c_void};
use wardian::{
    Error,
    listener::{AbortReason, Attachment, Call, FunctionFilter},
    stack::StackIterator,
};

type OfSlots = unsafe extern "C" fn(*mut c_void, *const Call<'static>, *const u64, usize);

/// `wardian_listener_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Callbacks {
    before: Option<OfSlots>,
    after: Option<OfSlots>,
    abort: Option<unsafe extern "C" fn(*mut c_void, *const Call<'static>, *const c_char)>,
    resumed: Option<unsafe extern "C" fn(*mut c_void, *const Call<'static>)>,
}

struct Listener {
    callbacks: Callbacks,
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

/// A call for C, which uses it until its callback returns.
fn lent(call: &Call<'_>) -> *const Call<'static> {
    std::ptr::from_ref(call).cast()
}

impl wardian::listener::FunctionListener for Listener {
    fn before(&self, call: &Call<'_>, params: &[u64], _: &mut StackIterator<'_>) {
        if let Some(before) = self.callbacks.before {
            // SAFETY: the function takes these, as C has said.
            unsafe { before(self.environment, lent(call), params.as_ptr(), params.len()) }
        }
    }

    fn after(&self, call: &Call<'_>, results: &[u64]) {
        if let Some(after) = self.callbacks.after {
            // SAFETY: as above.
            unsafe { after(self.environment, lent(call), results.as_ptr(), results.len()) }
        }
    }

    fn abort(&self, call: &Call<'_>, reason: &AbortReason<'_>) {
        if let Some(abort) = self.callbacks.abort {
            let reason = CString::new(reason.to_string().replace('\0', " ")).unwrap_or_default();
            // SAFETY: as above.
            unsafe { abort(self.environment, lent(call), reason.as_ptr()) }
        }
    }

    fn resumed(&self, call: &Call<'_>) {
        if let Some(resumed) = self.callbacks.resumed {
            // SAFETY: as above.
            unsafe { resumed(self.environment, lent(call)) }
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
        let listener = Listener { callbacks: *callbacks, environment, finalizer };
        let store = &(*instance).store;
        let attach = || {
            let What::Instance(instance) = (*instance).what else {
                return Err(Error::host("it is no instance"));
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
pub unsafe extern "C" fn wardian_call_id(call: *const Call<'static>) -> u64 {
    // SAFETY: see the crate's documentation.
    unsafe { (*call).id() }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_call_func_index(call: *const Call<'static>) -> u32 {
    // SAFETY: see the crate's documentation.
    unsafe { (*call).definition().index().unwrap_or(u32::MAX) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_call_is_tail_call(call: *const Call<'static>) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe { (*call).is_tail_call() }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_call_name(call: *const Call<'static>, out: *mut Vector<u8>) {
    // SAFETY: see the crate's documentation.
    unsafe { out.write(Vector::new((*call).definition().display_name().into_bytes())) }
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
