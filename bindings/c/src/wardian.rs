//! What `wardian.h` adds.

mod config;
mod linker;
mod resume;
mod stores;
mod wasi;

use crate::reference::Reference;
use crate::store::Handle;
use std::ffi::{CStr, c_char};
use wardian::{Error, Result};

/// The result of what may fail, where there is a place for a trap.
///
/// # Safety
///
/// The place is null, or valid.
unsafe fn or_trap<V>(store: &Handle, out: *mut *mut Reference, done: Result<V>) -> Option<V> {
    match done {
        Ok(value) => Some(value),
        Err(error) => {
            // SAFETY: the caller's promise.
            if let Some(out) = unsafe { out.as_mut() } {
                *out = crate::trap::trap(store, error);
            }
            None
        }
    }
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
    text.to_str().map_err(|_| Error::host("a name is not UTF-8"))
}

#[unsafe(no_mangle)]
pub extern "C" fn wardian_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
