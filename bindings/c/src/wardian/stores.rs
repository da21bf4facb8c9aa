//! Modules, limits and stops.

use crate::reference::Reference;
use crate::store::Handle;
use crate::vector::Vector;
use crate::{give, module, take};
use std::time::Duration;
use wardian::{Module, cancel::CancelToken};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_module_new(
    store: *mut Handle,
    bytes: *const Vector<u8>,
    trap_out: *mut *mut Reference,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    unsafe {
        let (store, bytes) = (&*store, (*bytes).as_slice());
        let made = super::or_trap(store, trap_out, Module::new(&store.engine(), bytes));
        made.map_or(std::ptr::null_mut(), |made| module::reference(store, made))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_store_limit_memory(store: *mut Handle, bytes: usize) {
    // SAFETY: see the crate's documentation.
    unsafe { (*store).with(|mut context| context.data_mut().limits.memory_bytes = bytes) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_store_set_fuel(store: *mut Handle, fuel: u64) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe { (*store).with(|mut context| context.set_fuel(fuel).is_ok()) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_store_fuel(store: *const Handle) -> u64 {
    // SAFETY: see the crate's documentation.
    unsafe { (*store).with(|context| context.fuel().unwrap_or(0)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_store_set_timeout(store: *mut Handle, milliseconds: u64) {
    // SAFETY: see the crate's documentation.
    unsafe { (*store).idle(|store| store.set_timeout(Duration::from_millis(milliseconds))) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_store_clear_stops(store: *mut Handle) {
    // SAFETY: see the crate's documentation.
    unsafe {
        (*store).idle(|store| {
            store.set_deadline(None);
            store.clear_cancellation();
        })
    };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_cancel_token_new(store: *mut Handle) -> *mut CancelToken {
    // SAFETY: see the crate's documentation.
    let token = unsafe { (*store).idle(|store| store.cancel_token()) };
    token.map_or(std::ptr::null_mut(), give)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_cancel_token_delete(token: *mut CancelToken) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(token) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_cancel(token: *const CancelToken) {
    // SAFETY: see the crate's documentation.
    unsafe { (*token).cancel() }
}
