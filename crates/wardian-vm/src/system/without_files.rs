//! Systems where memories are no views of files without a name: contents are copied, and nothing says which pages were
//! written.

use super::Written;
use std::fs::File;
use std::io;
use std::ops::Range;

/// Whether memories can be views of files that have no name.
pub(crate) const MAPS_FILES: bool = false;

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system has no files in memory")
}

/// # Errors
///
/// Always.
pub(crate) fn memory_file(_: &str) -> io::Result<File> {
    Err(unsupported())
}

/// # Errors
///
/// Always.
pub(crate) fn sealable_file(_: &str) -> io::Result<File> {
    Err(unsupported())
}

/// # Errors
///
/// Always: there is no such file.
pub(crate) fn seal(_: &File) -> io::Result<()> {
    Err(unsupported())
}

/// Files cannot be sealed.
pub(crate) fn is_sealed(_: &File) -> bool {
    false
}

/// # Errors
///
/// Always: there is no such file.
pub(crate) fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(unsupported())
}

/// # Errors
///
/// Always: there is no such file.
pub(crate) fn write_at(_: &File, _: &[u8], _: u64) -> io::Result<usize> {
    Err(unsupported())
}

/// There is no such file.
pub(crate) fn empty_file(_: &File, _: u64, _: u64) {}

/// There is no such file.
pub(crate) fn most_of_a_file() -> Option<u64> {
    None
}

/// # Errors
///
/// Always.
pub(crate) fn memory_files() -> Result<String, String> {
    Err("none on this system".into())
}

/// The system does not say.
pub(crate) fn written(_: *const u8, _: usize) -> Option<Written> {
    None
}

/// # Errors
///
/// Always.
pub(crate) fn track(_: *const u8, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// # Errors
///
/// Always: nothing is tracked.
pub(crate) fn written_tracked(_: *const u8, _: usize) -> io::Result<Vec<Range<usize>>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Nothing is tracked.
pub(crate) fn untrack(_: *const u8, _: usize) {}

/// # Errors
///
/// Always.
pub(crate) fn written_pages() -> Result<String, String> {
    Err("this system does not say which pages were written".into())
}

/// Contents are copied: nothing has to know what is left before it is used up.
pub(crate) fn room() -> Option<u64> {
    None
}

/// # Errors
///
/// Always: there are no views, so nothing has to be moved out of the way of one.
///
/// # Safety
///
/// None: nothing is touched.
pub(crate) unsafe fn move_pages(
    _: *mut std::ffi::c_void,
    _: usize,
    _: *mut std::ffi::c_void,
) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What is done without files in memory.
pub(crate) const FILES_INSTEAD: &str = "instances copy their data, and snapshots are copies";

/// What is done where nothing says which pages were written.
pub(crate) const WRITTEN_INSTEAD: &str = "snapshots copy all pages";
