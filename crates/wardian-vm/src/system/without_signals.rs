//! Systems without signals: interpreted and compiled code checks everything, and looks at the interrupt word at calls
//! and at loop headers.

pub(crate) mod thread;

use crate::layout::StoreCtx;

/// Whether there are signals: elsewhere guests have checks, and look whether they are to stop.
pub const AVAILABLE: bool = false;

/// There is none.
pub const DEFAULT_INTERRUPT_SIGNAL: i32 = 0;

/// Installs nothing; no signal can be used.
pub fn install(_interrupt: i32) -> bool {
    false
}

/// There is nothing to put on top.
pub fn reclaim() {}

/// The store that a thread runs matters to handlers only.
#[inline]
pub(crate) fn set_current(_store: *mut StoreCtx) -> *mut StoreCtx {
    std::ptr::null_mut()
}

/// There is none: guests look whether they are to stop.
pub(crate) fn interrupt_signal() -> i32 {
    0
}

/// Whether the signals by which traps come can be used, in words.
///
/// # Errors
///
/// Always.
pub(crate) fn disposition() -> Result<String, String> {
    Err("this system has none".into())
}

/// What is done without signals.
pub(crate) const INSTEAD: &str =
    "guests have checks, and look whether they are to stop; no samples are taken";
