//! Apple's systems. Never run: see docs/platforms.md.

use crate::addr::{DataAddr, StackAddr};
use crate::object::Object;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;

/// Which part of a thread's time that is, is not read here.
pub(crate) fn thread_kernel_nanoseconds() -> u64 {
    0
}

/// Makes pages zero again.
///
/// # Safety
///
/// They are accessible, part of a reservation of the caller's, no view of a file, and nobody relies on the contents.
pub(crate) unsafe fn discard(at: *mut u8, len: usize) -> io::Result<()> {
    // Advice keeps the contents here. A new mapping takes the place of the old one at once.
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::mmap_anonymous(at.cast(), len, rights, flags)? };
    Ok(())
}

/// There are none unless they are asked for.
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn refuse_huge_pages(_: *mut u8, _: usize) {}

/// What is waited for together with file descriptors: a pipe, of which others see the end that is read.
#[derive(Debug)]
pub(crate) struct Event {
    read: OwnedFd,
    write: OwnedFd,
}

impl Event {
    /// One that is set, or not.
    pub(crate) fn new(set: bool) -> io::Result<Event> {
        let (read, write) = rustix::pipe::pipe()?;
        for end in [&read, &write] {
            rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(end, true)?;
        }
        let event = Event { read, write };
        if set {
            event.set();
        }
        Ok(event)
    }

    /// Makes it readable.
    pub(crate) fn set(&self) {
        // It is readable already if this fails.
        let _ = rustix::io::write(&self.write, &[1]);
    }

    /// Makes it not readable.
    pub(crate) fn clear(&self) {
        let mut bytes = [0; 64];
        while rustix::io::read(&self.read, &mut bytes).is_ok_and(|read| read == bytes.len()) {}
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

/// The system's own words.
pub(crate) fn explain(error: io::Error) -> io::Error {
    error
}

/// No limit is known.
pub(crate) fn mappings() -> Result<String, String> {
    Ok("the limit is not known".into())
}

/// Copies nothing, so that no chain of calls is followed: the system has no call for it that a signal handler may make.
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn copy(_: DataAddr, _: &mut [u8]) -> bool {
    false
}

/// The stack of this thread: its lowest address, and its size.
pub(crate) fn thread_stack() -> Option<(StackAddr, usize)> {
    // SAFETY: both may be asked of the thread that runs.
    let (high, size) = unsafe {
        let this = libc::pthread_self();
        (libc::pthread_get_stackaddr_np(this) as usize, libc::pthread_get_stacksize_np(this))
    };
    Some((StackAddr::from_usize(high.checked_sub(size)?), size))
}

/// The signals' numbers end here.
pub(super) fn last_signal() -> libc::c_int {
    31
}

/// Waits for a moment, in which a thread that enters guest code has published what it writes: the system has no barrier
/// for all threads.
pub(crate) fn barrier() {
    std::thread::sleep(std::time::Duration::from_micros(50));
}

/// # Errors
///
/// Always.
pub(crate) fn barriers() -> Result<String, String> {
    Err("none on this system".into())
}

/// The object in which an address lies; an empty one if there is none, or if it is the program.
pub(crate) fn object_at(address: crate::addr::CodeAddr) -> Object {
    // SAFETY: a record of pointers may be zero; the system fills it, with names that stay.
    let path = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(address.as_usize() as *const _, &mut info) == 0 || info.dli_fname.is_null()
        {
            return Object::default();
        }
        std::path::PathBuf::from(OsStr::from_bytes(CStr::from_ptr(info.dli_fname).to_bytes()))
    };
    let program = std::env::current_exe().is_ok_and(|program| program == path);
    Object { path: (!program).then_some(path), build_id: None }
}
