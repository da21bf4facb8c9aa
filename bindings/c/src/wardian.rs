//! What `wardian.h` adds.

mod allocator;
mod config;
pub(crate) mod errors;
mod instantiation;
mod linker;
mod listener;
mod memory;
mod profile;
mod resume;
mod snapshot;
mod stores;
mod threads;
mod wasi;

use crate::reference::Reference;
use crate::store::Handle;
use std::ffi::{CStr, c_char};
use wardian::Result;

/// The result of what may fail. The place for a trap gets one, or null.
///
/// # Safety
///
/// The place is null, or valid.
pub(crate) unsafe fn or_trap<V>(
    store: &Handle,
    out: *mut *mut Reference,
    done: Result<V>,
) -> Option<V> {
    // SAFETY: the caller's promise.
    let out = unsafe { out.as_mut() };
    let (value, trap) = match done {
        Ok(value) => (Some(value), std::ptr::null_mut()),
        Err(error) => (None, crate::trap::trap(store, error)),
    };
    match out {
        Some(out) => *out = trap,
        // SAFETY: it was made just now, and nobody has it.
        None => drop(unsafe { crate::take(trap) }),
    }
    value
}

/// A trap of what has failed.
fn trap_of(store: &Handle, done: Result<()>) -> *mut Reference {
    done.map_or_else(|error| crate::trap::trap(store, error), |()| std::ptr::null_mut())
}

/// A text that ends with a zero.
///
/// # Safety
///
/// As for [`CStr::from_ptr`].
unsafe fn text<'a>(text: *const c_char) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| errors::misuse("a name is not UTF-8"))
}

#[unsafe(no_mangle)]
pub extern "C" fn wardian_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
