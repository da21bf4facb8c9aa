//! Linux's kernel, whichever C library is above it.

mod anonymous_file;
mod objects;
mod room;
mod tracking;
pub(super) mod written;

pub(crate) use anonymous_file::{
    FILES_INSTEAD, is_sealed, memory_file, memory_files, seal, sealable_file,
};
pub(crate) use objects::object_at;
pub(crate) use room::room;
pub(crate) use tracking::{track, untrack, written_tracked};
#[cfg(test)]
pub(crate) use written::{WAYS, Ways};
pub(crate) use written::{WRITTEN_INSTEAD, written, written_pages};

use crate::addr::{DataAddr, StackAddr};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use rustix::mm::Advice;
use rustix::process::Resource;
use std::fs::File;
use std::io::{self, Read};
use std::sync::OnceLock;

/// Whether memories can be views of files that have no name.
pub(crate) const MAPS_FILES: bool = true;

/// Nanoseconds of this thread's processor time in the kernel: what the kernel estimates, mostly by where its timer interrupted
/// the thread. May be called in a signal handler.
pub(crate) fn thread_kernel_nanoseconds() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: a valid place for the result, all of whose values are valid as zeroes.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    usage.ru_stime.tv_sec as u64 * 1_000_000_000 + usage.ru_stime.tv_usec as u64 * 1000
}

/// Drops what was written to pages: private pages of a file show the file again, others zeroes.
///
/// # Safety
///
/// They are part of a reservation of the caller's, and nobody relies on the contents.
pub(crate) unsafe fn discard(at: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    Ok(unsafe { rustix::mm::madvise(at.cast(), len, Advice::LinuxDontNeed) }?)
}

/// Asks the system not to use huge pages, if it has any.
///
/// # Safety
///
/// They are part of a reservation of the caller's.
pub(crate) unsafe fn refuse_huge_pages(at: *mut u8, len: usize) {
    // SAFETY: the caller's promise; the advice changes no contents.
    let _ = unsafe { rustix::mm::madvise(at.cast(), len, Advice::LinuxNoHugepage) };
}

/// Reads bytes of a file; returns how many.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::pread(file, bytes, offset)?)
}

/// Writes bytes to a file; returns how many.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::pwrite(file, bytes, offset)?)
}

/// Makes bytes of a file zero, so that they take no memory.
pub(crate) fn empty_file(file: &File, start: u64, len: u64) {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let _ = rustix::fs::fallocate(file, flags, start, len);
}

/// The limit for sizes of files, past which the system would send a signal.
pub(crate) fn most_of_a_file() -> Option<u64> {
    rustix::process::getrlimit(Resource::Fsize).current
}

/// The error of a mapping. The system says of mappings that are too many that there is no memory.
pub(crate) fn explain(error: io::Error) -> io::Error {
    if error.raw_os_error() != Some(Errno::NOMEM.raw_os_error()) {
        return error;
    }
    let maps = count_mappings().unwrap_or_default();
    match most_mappings() {
        // One call may need two more.
        Some(most) if maps + 2 >= most => io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!(
                "the process has {maps} mappings, and the system allows {most} (vm.max_map_count)"
            ),
        ),
        _ => error,
    }
}

/// How many mappings a process may have.
fn most_mappings() -> Option<usize> {
    std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()
}

/// How many mappings the process has. The list takes megabytes where it is long, for which the allocator
/// would need one more mapping: so it is read in small pieces.
fn count_mappings() -> io::Result<usize> {
    let mut list = File::open("/proc/self/maps")?;
    let mut piece = [0; 4096];
    let mut count = 0;
    loop {
        match list.read(&mut piece)? {
            0 => return Ok(count),
            len => count += piece[..len].iter().filter(|byte| **byte == b'\n').count(),
        }
    }
}

/// How many mappings a process may have, in words.
///
/// # Errors
///
/// They are few.
pub(crate) fn mappings() -> Result<String, String> {
    /// What a process with some hundred instances needs.
    const ENOUGH: usize = 16 << 10;
    match most_mappings() {
        Some(most) if most < ENOUGH => Err(format!("vm.max_map_count is {most}")),
        Some(most) => Ok(format!("vm.max_map_count is {most}")),
        None => Ok("the limit is not known".into()),
    }
}

/// Copies bytes of this process, which may not be there. Says whether they are; if not, `into` may have some of them.
/// May be called in a signal handler.
///
/// # Safety
///
/// What is there may be read, whoever changes it meanwhile.
pub(crate) unsafe fn copy(from: DataAddr, into: &mut [u8]) -> bool {
    let len = into.len();
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: len };
    let remote = libc::iovec { iov_base: from.as_ptr(), iov_len: len };
    // SAFETY: the system writes to `into` and nowhere else, and reads what the caller allows; it
    // returns an error rather than raise a signal. `errno` is restored, for a handler may have
    // interrupted code that is about to read it.
    unsafe {
        let errno = super::errno();
        let before = *errno;
        let copied = libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0);
        *errno = before;
        copied == len as isize
    }
}

/// The stack of this thread: its lowest address, and its size.
pub(crate) fn thread_stack() -> Option<(StackAddr, usize)> {
    let mut low = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the attributes are initialised by `pthread_getattr_np` and destroyed once.
    unsafe {
        let mut attributes = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return None;
        }
        libc::pthread_attr_getstack(&attributes, &mut low, &mut size);
        libc::pthread_attr_destroy(&mut attributes);
    }
    Some((StackAddr::of(low), size))
}

/// The signals' numbers end here.
pub(super) fn last_signal() -> libc::c_int {
    libc::SIGRTMAX()
}

/// Makes every thread of the process pass a memory barrier, so that threads which enter guest code
/// need none of their own (see [`crate::activation`]).
pub(crate) fn barrier() {
    if !has_barrier() {
        // An old kernel. What an entry in progress may miss now, it has published after a moment.
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}

/// As [`barrier`], where the system does it. Returns whether it did.
fn has_barrier() -> bool {
    const REGISTER: libc::c_int = 1 << 4;
    const EXPEDITED: libc::c_int = 1 << 3;
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        membarrier(REGISTER);
    });
    membarrier(EXPEDITED)
}

/// Whether there is [`barrier`], in words.
///
/// # Errors
///
/// There is none.
pub(crate) fn barriers() -> Result<String, String> {
    match has_barrier() {
        true => Ok("membarrier, private and expedited".to_owned()),
        false => Err("membarrier is refused".to_owned()),
    }
}

/// Makes every thread of the process that runs pass a barrier for instructions, so that it executes none that it
/// has fetched before. Returns whether the system can do that (Linux 4.16); a thread that the system has run
/// something else on the processor of, or that has taken a signal, has passed one too.
#[allow(dead_code, reason = "some processors need it")]
pub(crate) fn synchronize_cores() -> bool {
    const REGISTER: libc::c_int = 1 << 6;
    const EXPEDITED: libc::c_int = 1 << 5;
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| membarrier(REGISTER)) && membarrier(EXPEDITED)
}

/// Whether the system did what this command of `membarrier` says.
fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: `membarrier` touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}
