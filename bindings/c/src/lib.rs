//! Wardian for C: the standard API of `wasm.h`, complete, and `wardian.h` for what is Wardian's own.
//!
//! ```text
//!   C                                   Rust
//!   wasm_store_t *      ──────────>     Handle: Arc<Cell>: the store, and the caller while a callback runs
//!   wasm_func_t *  ─┐
//!   wasm_memory_t * ├─────────────>     Reference: a handle, and what it refers to
//!   wasm_ref_t *   ─┘                   (one type for all, so that the casts of wasm.h are casts)
//!   wasm_functype_t * … ──────────>     Type (likewise)
//! ```
//!
//! # Safety
//!
//! What `wasm.h` asks of C holds for each function here, and is not said again at each: pointers come from this library,
//! are of the type that they are declared as, are not null unless said so, have not been deleted, and what is `own` is
//! given up. A store with all that refers to it is used by one thread at a time. `wardian.h` says what differs.
//!
//! No panic reaches C: guests and host functions report errors as traps, and a defect of the library ends the process
//! with a message, as `extern "C"` functions of Rust do.
#![allow(unsafe_code, reason = "the other side is C")]

mod instance;
mod items;
mod module;
mod reference;
mod store;
mod trap;
mod types;
mod value;
mod vector;
mod wardian;

/// Gives a value to C, which gives it back to [`take`].
fn give<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Takes back what was given to C; none of null.
///
/// # Safety
///
/// It came from [`give`], and was not taken back.
unsafe fn take<T>(pointer: *mut T) -> Option<Box<T>> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { Box::from_raw(pointer) })
}
