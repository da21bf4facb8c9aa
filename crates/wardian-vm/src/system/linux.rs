//! Linux, with the C libraries of GNU and musl.

use rustix::mm::MremapFlags;
use std::ffi::{c_int, c_void};
use std::io;

/// Where this thread has the number of its last error.
pub(crate) fn errno() -> *mut c_int {
    // SAFETY: may be called at any time, in signal handlers too.
    unsafe { libc::__errno_location() }
}

/// Moves the pages of `[from, from + len)` to `to`. The range stays mapped as it is, without pages.
///
/// # Errors
///
/// The system has no room, or cannot do this. Then nothing has changed.
///
/// # Safety
///
/// Both ranges are mapped by the caller, and nobody uses the one at `to`.
pub(crate) unsafe fn move_pages(from: *mut c_void, len: usize, to: *mut c_void) -> io::Result<()> {
    let flags = MremapFlags::MAYMOVE | MremapFlags::DONTUNMAP;
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::mremap_fixed(from, len, len, flags, to) }?;
    Ok(())
}
