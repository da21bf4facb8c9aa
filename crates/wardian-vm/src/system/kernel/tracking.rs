//! Noting which pages are written from now on: the system protects them, and takes the protection away when they are
//! written (`userfaultfd` with asynchronous write protection, since Linux 6.7). Nobody waits for anything, and no right
//! is needed: only protection is asked for, and no event ever comes.

use super::written::written_since;
use crate::system::forks;
use crate::torture::{self, Point};
use rustix::fd::OwnedFd;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};
use rustix::mm::UserfaultfdFlags;
use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::sync::{Arc, RwLock};

/// Notes from now on what is written in `[base, base + len)`, whole pages: see [`written_tracked`].
///
/// # Errors
///
/// The system cannot, or may not. Then nothing has changed, but that a part may be noted.
pub(crate) fn track(base: *const u8, len: usize) -> io::Result<()> {
    torture::check(Point::Protect)?;
    let register = Register {
        range: FaultRange { start: base as u64, len: len as u64 },
        mode: WRITE_PROTECTION,
        ioctls: 0,
    };
    // SAFETY: only write protection is asked for, and it is taken away by the system when a page is written, so that
    // nobody sees a difference.
    unsafe { rustix::ioctl::ioctl(&handle()?.1, Call::<0, _>(register))? };
    // What was written before is nobody's question: it is protected by being found.
    written_since(base, len).map(drop)
}

/// What was written in `[base, base + len)`, which is tracked, since this was last asked, or since it is tracked.
///
/// # Errors
///
/// A part of it is not tracked: pages were mapped anew, or this is another process.
pub(crate) fn written_tracked(base: *const u8, len: usize) -> io::Result<Vec<Range<usize>>> {
    torture::check(Point::Protect)?;
    written_since(base, len)
}

/// Ends [`track`]. Parts that are not tracked any more are ignored.
pub(crate) fn untrack(base: *const u8, len: usize) {
    let range = FaultRange { start: base as u64, len: len as u64 };
    if let Ok(handle) = handle() {
        // SAFETY: the protection of the range is taken away, which nobody relies on.
        let _ = unsafe { rustix::ioctl::ioctl(&handle.1, Call::<1, _>(range)) };
    }
}

/// What the system is asked by, with the number of forks before it was made: it stays the one of that process.
type Handle = Arc<(u64, OwnedFd)>;

fn handle() -> io::Result<Handle> {
    static MADE: RwLock<Option<Handle>> = RwLock::new(None);
    let now = forks();
    let known = MADE.read().unwrap_or_else(|e| e.into_inner()).clone();
    if let Some(known) = known.filter(|known| known.0 == now) {
        return Ok(known);
    }
    let flags = UserfaultfdFlags::CLOEXEC
        | UserfaultfdFlags::NONBLOCK
        | UserfaultfdFlags::from_bits_retain(USER_MODE_ONLY);
    // SAFETY: the descriptor is ours alone, and is used for write protection of memories that say so.
    let made = unsafe { rustix::mm::userfaultfd(flags)? };
    let features = ASYNCHRONOUS | UNPOPULATED;
    // SAFETY: this only says what is asked for; the system refuses what it does not have.
    unsafe {
        rustix::ioctl::ioctl(&made, Call::<0x3f, _>(Api { api: VERSION, features, ioctls: 0 }))?
    };
    let made = Arc::new((now, made));
    *MADE.write().unwrap_or_else(|e| e.into_inner()) = Some(made.clone());
    Ok(made)
}

/// No events of writes by the system itself: whoever may trace nobody may ask for this.
const USER_MODE_ONLY: u32 = 1;
const VERSION: u64 = 0xaa;
const UNPOPULATED: u64 = 1 << 13;
const ASYNCHRONOUS: u64 = 1 << 15;
const WRITE_PROTECTION: u64 = 1 << 1;

/// `struct uffdio_api`.
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_range`.
#[repr(C)]
struct FaultRange {
    start: u64,
    len: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    range: FaultRange,
    mode: u64,
    ioctls: u64,
}

/// A call with this number, and its argument.
struct Call<const NUMBER: u8, T>(T);

// SAFETY: the three calls of this file are `UFFDIO_API`, `UFFDIO_REGISTER` and `UFFDIO_UNREGISTER` with the arguments
// that belong to them. The first two write to their arguments, which are ours.
unsafe impl<const NUMBER: u8, T> Ioctl for Call<NUMBER, T> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        const UNREGISTER: u8 = 1;
        match NUMBER {
            UNREGISTER => opcode::read::<T>(VERSION as u8, NUMBER),
            _ => opcode::read_write::<T>(VERSION as u8, NUMBER),
        }
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(&mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}
