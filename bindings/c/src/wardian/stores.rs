//! Limits, stops, and what traps say.

use crate::reference::Reference;
use crate::store::Handle;
use crate::vector::Vector;
use crate::{give, module, take, trap};
use std::ffi::c_char;
use std::time::Duration;
use wardian::{Error, Module, StopReason, TrapCode, cancel::CancelToken};

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

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_stop(trap: *const Reference) -> u32 {
    // SAFETY: see the crate's documentation.
    match unsafe { (*trap).trap() }.and_then(|trap| trap.stop) {
        None => 0,
        Some(StopReason::Deadline) => 1,
        Some(StopReason::Fuel) => 3,
        Some(StopReason::Checkpoint) => 4,
        Some(_) => 2,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_code(trap: *const Reference) -> *const c_char {
    // SAFETY: see the crate's documentation.
    let code = unsafe { (*trap).trap() }.and_then(|trap| trap.code);
    code.map_or(std::ptr::null(), |code| name(code).as_ptr().cast())
}

/// The name of a trap, with a zero at its end.
fn name(code: TrapCode) -> &'static str {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex};
    // One for each kind of trap: they are few.
    static NAMES: LazyLock<Mutex<HashMap<&'static str, &'static str>>> =
        LazyLock::new(Mutex::default);
    let mut names = NAMES.lock().unwrap_or_else(|e| e.into_inner());
    let message = code.message();
    names.entry(message).or_insert_with(|| Box::leak(format!("{message}\0").into_boxed_str()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_exit_code(trap: *const Reference, out: *mut u32) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe {
        let code = (*trap).trap().and_then(|trap| trap.exit_code);
        if let (Some(code), Some(out)) = (code, out.as_mut()) {
            *out = code;
        }
        code.is_some()
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_exit(store: *mut Handle, code: u32) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    trap::trap(unsafe { &*store }, Error::exit(code))
}
