//! Rust's abstract machine, as the interpreter Miri runs it: it finds undefined behaviour, and has no pages, no signals
//! and no processes. Guests are interpreted, and memories are checked.
//!
//! Address space is memory of the allocator's, the beginning of each reservation, and accessible at once.

use crate::addr::{DataAddr, StackAddr};
use crate::object::Object;
use crate::torture::Point;
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

/// Whether accessible pages take memory only once they are used.
pub(crate) const LAZY_PAGES: bool = true;

/// How much of a reservation there is: more would take too long.
const MOST: usize = 16 << 20;

/// Where the accessible part of each reservation begins and ends.
static RESERVED: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    4096
}

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.min(MOST), page_size()).ok().filter(|layout| layout.size() > 0)
}

/// Reserves address space.
pub(crate) fn reserve(size: usize) -> io::Result<*mut u8> {
    let layout = layout(size).ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: the size is not zero.
    let base = unsafe { std::alloc::alloc_zeroed(layout) };
    if base.is_null() {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    reserved().insert(base.addr(), base.addr() + layout.size());
    Ok(base)
}

fn reserved() -> MutexGuard<'static, BTreeMap<usize, usize>> {
    RESERVED.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Gives a reservation back.
///
/// # Safety
///
/// It is one of [`reserve`], of this size, and nobody uses it any more.
pub(crate) unsafe fn release(base: *mut u8, size: usize) {
    if let Some(layout) = layout(size) {
        reserved().remove(&base.addr());
        // SAFETY: the caller's promise.
        unsafe { std::alloc::dealloc(base, layout) };
    }
}

/// Whether there are these pages: they are accessible from the beginning.
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn allow_access(at: *mut u8, len: usize) -> io::Result<()> {
    let reserved = reserved();
    let end = reserved.range(..=at.addr()).next_back().map_or(0, |(_, end)| *end);
    if at.addr() + len <= end { Ok(()) } else { Err(io::ErrorKind::OutOfMemory.into()) }
}

/// Makes pages zero. They stay accessible.
///
/// # Safety
///
/// They are part of a reservation of the caller's, and nothing refers to them.
pub(crate) unsafe fn empty(at: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { at.write_bytes(0, len) };
    Ok(())
}

/// Makes pages zero.
///
/// # Safety
///
/// As for [`empty`].
pub(crate) unsafe fn discard(at: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { empty(at, len) }
}

/// There are none.
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn refuse_huge_pages(_: *mut u8, _: usize) {}

/// # Errors
///
/// As for [`allow_access`].
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn make_writable(at: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: there is nothing to promise.
    unsafe { allow_access(at, len) }
}

/// # Errors
///
/// Always: machine code cannot be run.
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn make_executable(_: *mut u8, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// # Errors
///
/// Always: memory is no view of a file.
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn show_private(_: *mut u8, _: usize, _: (&File, u64)) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// # Errors
///
/// As for [`show_private`].
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn show_shared(_: *mut u8, _: usize, _: (&File, u64)) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// # Errors
///
/// As for [`show_private`].
pub(crate) fn allocate(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes a file; there must be none.
///
/// # Errors
///
/// There is one, or it cannot be made.
pub fn private_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

/// # Errors
///
/// Always: no profiler looks for that.
pub fn map_executable(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Processes do not fork.
pub(crate) fn forks() -> u64 {
    0
}

/// Processes do not fork.
///
/// # Safety
///
/// None: the function is never called.
pub(crate) unsafe fn at_fork(
    _: Option<extern "C" fn()>,
    _: Option<extern "C" fn()>,
    _: Option<extern "C" fn()>,
) {
}

/// The stack of this thread has no addresses that mean anything.
pub(super) fn stack_bounds() -> Range<StackAddr> {
    StackAddr::NULL..StackAddr::MAX
}

/// Nanoseconds on the monotonic clock.
pub(crate) fn nanoseconds() -> u64 {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    BEGUN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// There is no such clock; time goes on all the same.
pub fn thread_nanoseconds() -> u64 {
    nanoseconds()
}

/// There is no kernel.
pub(crate) fn thread_kernel_nanoseconds() -> u64 {
    0
}

/// What a system would answer if it refused this.
pub(crate) fn refusal(point: Point) -> io::Error {
    let kind = match point {
        Point::Map | Point::Protect | Point::Discard | Point::Allocate | Point::Thread => {
            io::ErrorKind::OutOfMemory
        }
        Point::MemoryFile | Point::Event => io::ErrorKind::ResourceBusy,
        Point::File | Point::Compile => io::ErrorKind::Other,
    };
    kind.into()
}

/// Whether an error says that memory is used up.
pub(crate) fn is_out_of_memory(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
}

/// The error as it is.
pub(crate) fn explain(error: io::Error) -> io::Error {
    error
}

/// There is no limit.
pub(crate) fn mappings() -> Result<String, String> {
    Ok("no limit".into())
}

/// There is no limit.
pub(crate) fn address_space() -> Result<String, String> {
    Ok("no limit".into())
}

/// Nothing is read: to read what is not there would be undefined behaviour.
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn copy(_: DataAddr, _: &mut [u8]) -> bool {
    false
}

/// There is no barrier for other threads: what an entry in progress may miss now, it has published after a moment.
pub(crate) fn barrier() {
    std::thread::sleep(Duration::from_micros(50));
}

/// # Errors
///
/// Always.
pub(crate) fn barriers() -> Result<String, String> {
    Err("there are none".into())
}

/// There are no objects.
pub(crate) fn object_at(_: crate::addr::CodeAddr) -> Object {
    Object::default()
}
