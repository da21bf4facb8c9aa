//! What Unix systems have in common.

pub mod signals;
pub(crate) mod thread;

use crate::torture::Point;
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether accessible pages take memory only once they are used.
pub(crate) const LAZY_PAGES: bool = true;

/// Bytes of a page.
#[inline]
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

/// Reserves address space: private, without rights.
pub(crate) fn reserve(size: usize) -> io::Result<*mut u8> {
    // SAFETY: a new private mapping at an address of the system's choice.
    let base = unsafe {
        rustix::mm::mmap_anonymous(
            ptr::null_mut(),
            size,
            ProtFlags::empty(),
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )
    }?;
    Ok(base.cast())
}

/// Gives a reservation back.
///
/// # Safety
///
/// It is one of [`reserve`], of this size, and nobody uses it any more.
pub(crate) unsafe fn release(base: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    let _ = unsafe { rustix::mm::munmap(base.cast(), size) };
}

/// Makes pages readable and writable.
///
/// # Safety
///
/// They are part of a reservation of the caller's.
pub(crate) unsafe fn allow_access(at: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: inside of a reservation; giving rights breaks nobody's assumptions.
    unsafe {
        rustix::mm::mprotect(at.cast(), len, MprotectFlags::READ | MprotectFlags::WRITE)?;
    }
    Ok(())
}

/// Replaces pages by fresh, inaccessible, empty ones.
///
/// # Safety
///
/// They are part of a reservation of the caller's, and nothing refers to them.
pub(crate) unsafe fn empty(at: *mut u8, len: usize) -> io::Result<()> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::mmap_anonymous(at.cast(), len, ProtFlags::empty(), flags)? };
    Ok(())
}

/// Makes pages, which have no rights or are executable, readable and writable.
///
/// # Safety
///
/// As for [`empty`].
pub(crate) unsafe fn make_writable(at: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        rustix::mm::mprotect(at.cast(), len, MprotectFlags::READ | MprotectFlags::WRITE)?;
    }
    Ok(())
}

/// Makes pages that were writable executable.
///
/// # Safety
///
/// As for [`empty`].
pub(crate) unsafe fn make_executable(at: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        rustix::mm::mprotect(at.cast(), len, MprotectFlags::READ | MprotectFlags::EXEC)?;
    }
    Ok(())
}

/// Shows `len` bytes of a file from `offset` on, copy-on-write.
///
/// # Safety
///
/// As for [`empty`], and the file never shrinks.
pub(crate) unsafe fn show_private(
    at: *mut u8,
    len: usize,
    (file, offset): (&File, u64),
) -> io::Result<()> {
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::mmap(at.cast(), len, rights, flags, file.as_fd(), offset)? };
    Ok(())
}

/// Shows `len` bytes of a file from `offset` on, so that what is written goes to the file.
///
/// # Safety
///
/// As for [`empty`], and the file has these bytes as long as it is shown.
pub(crate) unsafe fn show_shared(
    at: *mut u8,
    len: usize,
    (file, offset): (&File, u64),
) -> io::Result<()> {
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::SHARED | MapFlags::FIXED;
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::mmap(at.cast(), len, rights, flags, file.as_fd(), offset)? };
    Ok(())
}

/// Room on the disk for a part of a file; nothing if the system cannot say.
pub(crate) fn allocate(file: &File, start: u64, len: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), start, len) {
        Err(error) if error != Errno::OPNOTSUPP => Err(error.into()),
        _ => Ok(()),
    }
}

/// Makes a file that only its user can read; there must be none.
///
/// # Errors
///
/// There is one, or it cannot be made.
pub fn private_file(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Shows the beginning of a file as executable memory for as long as the process lives, by which profilers of the system
/// notice the file. Nothing is executed there.
///
/// # Errors
///
/// Those of the system: the file is on a file system from which nothing can be executed, for instance.
pub fn map_executable(file: &File) -> io::Result<()> {
    let rights = ProtFlags::READ | ProtFlags::EXEC;
    let (anywhere, len) = (std::ptr::null_mut(), crate::system::page_size());
    // SAFETY: a new mapping takes the place of none, and nobody refers to it.
    unsafe { rustix::mm::mmap(anywhere, len, rights, MapFlags::PRIVATE, file.as_fd(), 0)? };
    Ok(())
}

/// How often the process, or one that it was forked from, has forked since this was first asked.
pub(crate) fn forks() -> u64 {
    static FORKS: AtomicU64 = AtomicU64::new(0);
    static COUNTED: Once = Once::new();
    extern "C" fn count() {
        FORKS.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: the handler changes an atomic number.
    COUNTED.call_once(|| unsafe { at_fork(Some(count), None, None) });
    FORKS.load(Ordering::SeqCst)
}

/// What a fork calls.
type AtFork = Option<extern "C" fn()>;

/// Has functions called by each fork of this process from now on: before it, after it in this process, and in the child.
///
/// # Safety
///
/// The functions do nothing but use atomic variables and values of the thread that are not dropped, read clocks, and sleep.
pub(crate) unsafe fn at_fork(before: AtFork, in_parent: AtFork, in_child: AtFork) {
    type Handler = Option<unsafe extern "C" fn()>;
    let handler = |act: AtFork| -> Handler { Some(act?) };
    // SAFETY: the functions are there as long as the process; the caller's promise.
    let _ = unsafe { libc::pthread_atfork(handler(before), handler(in_parent), handler(in_child)) };
}

/// Nanoseconds on the monotonic clock.
pub(crate) fn nanoseconds() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of processor time that this thread has used up.
pub fn thread_nanoseconds() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Nanoseconds on a clock of the system. `clock_gettime` may be called in signal handlers.
fn clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the result; both clocks exist everywhere.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What the system would answer if it refused this.
pub(crate) fn refusal(point: Point) -> io::Error {
    let errno = match point {
        Point::Map | Point::Protect | Point::Discard | Point::Allocate => Errno::NOMEM,
        Point::MemoryFile | Point::Event => Errno::MFILE,
        Point::Thread => Errno::AGAIN,
        Point::File | Point::Compile => Errno::IO,
    };
    errno.into()
}

/// Whether an error says that memory is used up.
pub(crate) fn is_out_of_memory(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NOMEM.raw_os_error())
}

/// The limit of the process's address space, in words.
///
/// # Errors
///
/// It is less than what the reservations of a guest take.
pub(crate) fn address_space() -> Result<String, String> {
    /// Memory, heap, code and stack.
    const ENOUGH: u64 = 16 << 30;
    match rustix::process::getrlimit(rustix::process::Resource::As).current {
        _ if usize::BITS < 64 => Err("addresses of 32 bits".into()),
        None => Ok("no limit".to_owned()),
        Some(limit) if limit < ENOUGH => Err(format!("limited to {limit} bytes (RLIMIT_AS)")),
        Some(limit) => Ok(format!("limited to {limit} bytes (RLIMIT_AS)")),
    }
}
