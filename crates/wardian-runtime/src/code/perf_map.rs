//! The map by which `perf` names compiled code: a line for each function, as the code is compiled.
//!
//! The file is `/tmp/perf-PID.map`, one for a process. What is there of an earlier process of that number is replaced;
//! it is made anew, so that nobody else can have put a link there, and only its user can read it.

use std::fmt::Write as _;
use std::fs::{File, remove_file};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use wardian_module::Module;
use wardian_types::FuncIndex;
use wardian_vm::addr::CodeAddr;

/// Bytes of the file.
const MOST: usize = 256 << 20;
/// Bytes of a name.
const NAME: usize = 512;

/// The map of this process.
static MAP: Mutex<Option<Map>> = Mutex::new(None);

struct Map {
    file: File,
    written: usize,
}

/// Makes the map of this process, unless there is one.
///
/// # Errors
///
/// The file cannot be written; the error names it.
pub(crate) fn open() -> io::Result<()> {
    let mut map = MAP.lock().unwrap_or_else(PoisonError::into_inner);
    if map.is_none() {
        // The place is where perf looks, whatever the folder for temporary files is.
        let path = format!("/tmp/perf-{}.map", std::process::id());
        let problem = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot write {path}: {error}"))
        };
        let gone = remove_file(&path);
        if let Err(error) = gone
            && error.kind() != ErrorKind::NotFound
        {
            return Err(problem(error));
        }
        let file = wardian_vm::private_file(Path::new(&path));
        *map = Some(Map { file: file.map_err(problem)?, written: 0 });
    }
    Ok(())
}

/// Adds functions of a module, by their indices, with where their code lies.
pub(super) fn add(module: &Module, functions: &[(FuncIndex, Range<CodeAddr>)]) {
    let mut lines = String::new();
    for (func, range) in functions.iter().filter(|(_, range)| !range.is_empty()) {
        let name = module.display_name(*func);
        let name = &name[..name.floor_char_boundary(NAME)];
        let _ = write!(lines, "{:x} {:x} ", range.start.as_usize(), CodeAddr::bytes_in(range));
        // A name is all up to the end of the line.
        lines.extend(name.chars().map(|c| if c.is_control() { ' ' } else { c }));
        lines.push('\n');
    }
    let mut map = MAP.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(Map { file, written }) = &mut *map else { return };
    *written += lines.len();
    // A disk that is full takes names from perf, and nothing from the guest.
    if *written > MOST || file.write_all(lines.as_bytes()).is_err() {
        *map = None;
    }
}
