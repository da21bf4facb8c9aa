//! Android: Linux with the C library bionic.

use std::ffi::{c_int, c_void};
use std::io;

/// As on Linux.
pub(crate) fn errno() -> *mut c_int {
    // SAFETY: may be called at any time, in signal handlers too.
    unsafe { libc::__errno() }
}

/// As on Linux; not used here, for the call came to Linux later than to many of these systems. Pages are then unmapped
/// where they are, which takes longer.
///
/// # Errors
///
/// Always: it cannot be done.
///
/// # Safety
///
/// As on Linux.
pub(crate) unsafe fn move_pages(_: *mut c_void, _: usize, _: *mut c_void) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
