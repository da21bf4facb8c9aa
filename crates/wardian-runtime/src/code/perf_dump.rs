//! What `perf inject --jit` reads: compiled code with its bytes, a record for each function, as the code is compiled.
//!
//! ```text
//!   head │ record of a function: when, where, how large, name, code │ record │ …
//! ```
//!
//! The format is that of the kernel's `tools/perf/Documentation/jitdump-specification.txt`, version 1, in the byte order of
//! the machine. The file is `/tmp/jit-PID.dump`, one for a process, made as [`super::perf_map`] makes its own. `perf record`
//! notes which files a process maps as executable, and so finds it.

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
const MAGIC: u32 = 0x4a69_5444;
const VERSION: u32 = 1;
/// Bytes of the head.
const HEAD: u32 = 40;
/// The number of the processor in files of the format ELF.
const MACHINE: u32 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
/// A record of code, and its bytes without name and code.
const CODE: u32 = 0;
const RECORD: usize = 56;

/// The file of this process.
static DUMP: Mutex<Option<Dump>> = Mutex::new(None);

struct Dump {
    file: File,
    written: usize,
    /// Functions so far.
    count: u64,
}

/// Makes the file of this process, unless there is one.
///
/// # Errors
///
/// The file cannot be written, or cannot be mapped as executable; the error names it.
pub(crate) fn open() -> io::Result<()> {
    let mut dump = DUMP.lock().unwrap_or_else(PoisonError::into_inner);
    if dump.is_none() {
        let path = format!("/tmp/jit-{}.dump", std::process::id());
        *dump = Some(Dump::new(Path::new(&path)).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot write {path}: {error}"))
        })?);
    }
    Ok(())
}

/// Adds functions of a module, by their indices, with where their code lies and its bytes.
pub(crate) fn add<'c>(
    module: &Module,
    functions: impl Iterator<Item = (FuncIndex, Range<CodeAddr>, &'c [u8])>,
) {
    let mut dump = DUMP.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(current) = &mut *dump else { return };
    let mut records = Vec::new();
    for (func, range, code) in functions.filter(|(_, _, code)| !code.is_empty()) {
        record(&mut records, &module.display_name(func), range.start, code, current.count);
        current.count += 1;
    }
    current.written += records.len();
    // A disk that is full takes functions from perf, and nothing from the guest.
    if current.written > MOST || current.file.write_all(&records).is_err() {
        *dump = None;
    }
}

impl Dump {
    fn new(path: &Path) -> io::Result<Dump> {
        let gone = remove_file(path);
        if let Err(error) = gone
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = wardian_vm::private_file(path)?;
        let mut head = Vec::new();
        for word in [MAGIC, VERSION, HEAD, MACHINE, 0, std::process::id()] {
            head.extend(word.to_ne_bytes());
        }
        head.extend(wardian_vm::samples::now().to_ne_bytes());
        head.extend(0u64.to_ne_bytes());
        file.write_all(&head)?;
        wardian_vm::map_executable(&file)?;
        Ok(Dump { file, written: head.len(), count: 0 })
    }
}

/// Writes the record of a function.
fn record(records: &mut Vec<u8>, name: &str, start: CodeAddr, code: &[u8], number: u64) {
    let name = &name[..name.floor_char_boundary(NAME)];
    // It ends with a zero.
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let Ok(size) = u32::try_from(RECORD + name.len() + 1 + code.len()) else { return };
    for word in [CODE, size] {
        records.extend(word.to_ne_bytes());
    }
    records.extend(wardian_vm::samples::now().to_ne_bytes());
    // The process, and a thread of it: which one compiled is of no interest.
    for word in [std::process::id(); 2] {
        records.extend(word.to_ne_bytes());
    }
    let start = start.as_usize() as u64;
    for word in [start, start, code.len() as u64, number] {
        records.extend(word.to_ne_bytes());
    }
    records.extend(name.as_bytes());
    records.push(0);
    records.extend(code);
}
