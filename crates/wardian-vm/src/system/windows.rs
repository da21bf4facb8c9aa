//! Windows. Memories are checked, and nothing comes as a signal or an exception: compiled code checks everything, too.
//!
//! Address space is reserved, and committed where it is to be accessible. What is committed counts against what the
//! system has, whether it is used or not.

use crate::addr::{DataAddr, StackAddr};
use crate::object::Object;
use crate::torture::Point;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::OnceLock;
use windows_sys::Win32::Foundation::{
    ERROR_COMMITMENT_LIMIT, ERROR_IO_DEVICE, ERROR_NOT_ENOUGH_MEMORY, ERROR_TOO_MANY_OPEN_FILES,
    FILETIME,
};
use windows_sys::Win32::System::Diagnostics::Debug::{FlushInstructionCache, ReadProcessMemory};
use windows_sys::Win32::System::LibraryLoader::{
    GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
    GetModuleFileNameW, GetModuleHandleExW,
};
use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_DECOMMIT, MEM_RELEASE, MEM_RESERVE, PAGE_EXECUTE_READ, PAGE_NOACCESS,
    PAGE_READWRITE, VirtualAlloc, VirtualFree, VirtualProtect,
};
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, SYSTEM_INFO};
use windows_sys::Win32::System::Threading::{
    CreateEventW, FlushProcessWriteBuffers, GetCurrentProcess, GetCurrentThread,
    GetCurrentThreadStackLimits, GetThreadTimes, ResetEvent, SetEvent,
};

/// Whether accessible pages take memory only once they are used: they are committed.
pub(crate) const LAZY_PAGES: bool = false;

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        // SAFETY: a record of numbers and addresses may be zero; the system fills it.
        let info = unsafe {
            let mut info: SYSTEM_INFO = std::mem::zeroed();
            GetSystemInfo(&mut info);
            info
        };
        info.dwPageSize as usize
    })
}

/// The outcome of a call that returns zero if it failed.
fn done(result: i32) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reserves address space, without rights.
pub(crate) fn reserve(size: usize) -> io::Result<*mut u8> {
    // SAFETY: a new reservation at an address of the system's choice.
    let base = unsafe { VirtualAlloc(ptr::null(), size, MEM_RESERVE, PAGE_NOACCESS) };
    if base.is_null() { Err(io::Error::last_os_error()) } else { Ok(base.cast()) }
}

/// Gives a reservation back.
///
/// # Safety
///
/// It is one of [`reserve`], and nobody uses it any more.
pub(crate) unsafe fn release(base: *mut u8, _size: usize) {
    // SAFETY: the caller's promise. A size is not given: all of the reservation goes.
    unsafe { VirtualFree(base.cast(), 0, MEM_RELEASE) };
}

/// Makes pages readable and writable. What is accessible already keeps its contents.
///
/// # Safety
///
/// They are part of a reservation of the caller's.
pub(crate) unsafe fn allow_access(at: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: inside of a reservation; giving rights breaks nobody's assumptions.
    let base = unsafe { VirtualAlloc(at.cast(), len, MEM_COMMIT, PAGE_READWRITE) };
    if base.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Replaces pages by fresh, inaccessible, empty ones.
///
/// # Safety
///
/// They are part of a reservation of the caller's, and nothing refers to them.
pub(crate) unsafe fn empty(at: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    done(unsafe { VirtualFree(at.cast(), len, MEM_DECOMMIT) })
}

/// Makes pages zero again. They stay committed: the system might not commit them a second time, and their owner goes on
/// using them.
///
/// # Safety
///
/// They are accessible, part of a reservation of the caller's, and nobody relies on the contents.
pub(crate) unsafe fn discard(at: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { at.write_bytes(0, len) };
    Ok(())
}

/// There are none unless they are asked for.
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn refuse_huge_pages(_: *mut u8, _: usize) {}

/// Makes pages readable and writable.
///
/// # Safety
///
/// As for [`empty`].
pub(crate) unsafe fn make_writable(at: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { allow_access(at, len) }
}

/// Makes pages that were writable executable.
///
/// # Safety
///
/// As for [`empty`].
pub(crate) unsafe fn make_executable(at: *mut u8, len: usize) -> io::Result<()> {
    let mut before = 0;
    // SAFETY: the caller's promise. The second call changes nothing.
    unsafe {
        done(VirtualProtect(at.cast(), len, PAGE_EXECUTE_READ, &mut before))?;
        done(FlushInstructionCache(GetCurrentProcess(), at.cast(), len))
    }
}

/// # Errors
///
/// Always: a view cannot take the place of a part of a reservation.
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn show_private(_: *mut u8, _: usize, _: (&File, u64)) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "memories that show files need a Unix system"))
}

/// # Errors
///
/// As for [`show_private`].
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn show_shared(at: *mut u8, len: usize, place: (&File, u64)) -> io::Result<()> {
    // SAFETY: there is nothing to promise.
    unsafe { show_private(at, len, place) }
}

/// # Errors
///
/// As for [`show_private`]: nothing shows files.
pub(crate) fn allocate(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "memories that show files need a Unix system"))
}

/// Makes a file; there must be none. Who can read it is decided by its folder.
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

/// What is waited for together with other handles.
#[derive(Debug)]
pub(crate) struct Event(OwnedHandle);

impl Event {
    /// One that is set, or not.
    pub(crate) fn new(set: bool) -> io::Result<Event> {
        // SAFETY: an event without a name, that stays set until it is reset; the handle is nobody else's.
        unsafe {
            let handle = CreateEventW(ptr::null(), 1, i32::from(set), ptr::null());
            if handle.is_null() {
                return Err(io::Error::last_os_error());
            }
            Ok(Event(OwnedHandle::from_raw_handle(handle)))
        }
    }

    /// Lets those that wait for it continue.
    pub(crate) fn set(&self) {
        // SAFETY: the handle is one of an event.
        unsafe { SetEvent(self.0.as_raw_handle()) };
    }

    /// Lets others wait for it again.
    pub(crate) fn clear(&self) {
        // SAFETY: the handle is one of an event.
        unsafe { ResetEvent(self.0.as_raw_handle()) };
    }
}

impl AsHandle for Event {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

/// The stack of this thread.
pub(super) fn stack_bounds() -> Range<StackAddr> {
    let (mut low, mut high) = (0, 0);
    // SAFETY: valid places for the results.
    unsafe { GetCurrentThreadStackLimits(&mut low, &mut high) };
    StackAddr::from_usize(low)..StackAddr::from_usize(high)
}

/// Nanoseconds on the monotonic clock.
pub(crate) fn nanoseconds() -> u64 {
    static FREQUENCY: OnceLock<i64> = OnceLock::new();
    let frequency = *FREQUENCY.get_or_init(|| {
        let mut frequency = 0;
        // SAFETY: a valid place for the result.
        unsafe { QueryPerformanceFrequency(&mut frequency) };
        frequency.max(1)
    });
    let mut count = 0;
    // SAFETY: a valid place for the result.
    unsafe { QueryPerformanceCounter(&mut count) };
    (count as i128 * 1_000_000_000 / i128::from(frequency)) as u64
}

/// Nanoseconds of processor time that this thread has used up.
pub fn thread_nanoseconds() -> u64 {
    let mut times = [FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 }; 4];
    let [created, ended, system, user] = &mut times;
    // SAFETY: valid places for the results.
    unsafe { GetThreadTimes(GetCurrentThread(), created, ended, system, user) };
    let hundreds = |t: &FILETIME| u64::from(t.dwHighDateTime) << 32 | u64::from(t.dwLowDateTime);
    (hundreds(system) + hundreds(user)) * 100
}

/// Which part of it was in the kernel is not read here, for no samples are taken.
pub(crate) fn thread_kernel_nanoseconds() -> u64 {
    0
}

/// What the system would answer if it refused this.
pub(crate) fn refusal(point: Point) -> io::Error {
    let code = match point {
        Point::Map | Point::Protect | Point::Discard | Point::Allocate | Point::Thread => {
            ERROR_NOT_ENOUGH_MEMORY
        }
        Point::MemoryFile | Point::Event => ERROR_TOO_MANY_OPEN_FILES,
        Point::File | Point::Compile => ERROR_IO_DEVICE,
    };
    io::Error::from_raw_os_error(code as i32)
}

/// Whether an error says that memory is used up.
pub(crate) fn is_out_of_memory(error: &io::Error) -> bool {
    let codes = [ERROR_NOT_ENOUGH_MEMORY, ERROR_COMMITMENT_LIMIT];
    codes.iter().any(|code| error.raw_os_error() == Some(*code as i32))
}

/// The system's own words.
pub(crate) fn explain(error: io::Error) -> io::Error {
    error
}

/// There is no limit but address space.
pub(crate) fn mappings() -> Result<String, String> {
    Ok("no limit".into())
}

/// There is no limit for a process.
pub(crate) fn address_space() -> Result<String, String> {
    if usize::BITS < 64 { Err("addresses of 32 bits".into()) } else { Ok("no limit".into()) }
}

/// Copies bytes of this process, which may not be there. Says whether they are.
///
/// # Safety
///
/// What is there may be read, whoever changes it meanwhile.
pub(crate) unsafe fn copy(from: DataAddr, into: &mut [u8]) -> bool {
    let (mut copied, len) = (0, into.len());
    // SAFETY: the system writes to `into` and to `copied`, and reads what the caller allows; it returns an error rather
    // than fault.
    let done = unsafe {
        let at = from.as_ptr::<std::ffi::c_void>().cast_const();
        ReadProcessMemory(GetCurrentProcess(), at, into.as_mut_ptr().cast(), len, &mut copied)
    };
    done != 0 && copied == len
}

/// Makes every thread of the process pass a memory barrier, so that threads which enter guest code
/// need none of their own (see [`crate::activation`]).
pub(crate) fn barrier() {
    // SAFETY: it has no arguments, and touches no memory of ours.
    unsafe { FlushProcessWriteBuffers() };
}

/// What there is of barriers, in words.
pub(crate) fn barriers() -> Result<String, String> {
    Ok("FlushProcessWriteBuffers".into())
}

/// The object in which an address lies; an empty one if there is none, or if it is the program.
pub(crate) fn object_at(address: crate::addr::CodeAddr) -> Object {
    let flags =
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    let mut name = vec![0_u16; 32 << 10];
    // SAFETY: with these flags the second argument is any address. The name's buffer is as long as is said.
    let length = unsafe {
        let mut module = ptr::null_mut();
        if GetModuleHandleExW(flags, address.as_usize() as *const u16, &mut module) == 0 {
            return Object::default();
        }
        GetModuleFileNameW(module, name.as_mut_ptr(), name.len() as u32)
    };
    let path = PathBuf::from(OsString::from_wide(&name[..length as usize]));
    let program = std::env::current_exe().is_ok_and(|program| program == path);
    Object { path: (!program && length > 0).then_some(path), build_id: None }
}
