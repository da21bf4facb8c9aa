//! Files without a name, whose pages memories show.
//!
//! Best is a file in memory. Systems and containers without `memfd_create` have folders in which a file can be made
//! that never has a name: those in memory come first. What is written there counts against the folder's space, and a
//! folder on a disk may be slow, but the file behaves the same.

use crate::torture::{self, Point};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use std::fs::File;
use std::io;

/// A file with no bytes, which goes when nobody has it open or shows it.
///
/// # Errors
///
/// The system refused all ways; the error is that of the first.
pub(crate) fn memory_file(name: &str) -> io::Result<File> {
    torture::check(Point::MemoryFile)?;
    in_memory(name).or_else(|error| match error.kind() {
        // A limit of the process, which the other ways have in common.
        _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => Err(error),
        _ => on_disk().map(|(_, file)| file).map_err(|_| error),
    })
}

/// A file in memory.
fn in_memory(name: &str) -> io::Result<File> {
    Ok(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?.into())
}

/// A file in memory that can be sealed.
///
/// # Errors
///
/// The system has none.
pub(crate) fn sealable_file(name: &str) -> io::Result<File> {
    torture::check(Point::MemoryFile)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(rustix::fs::memfd_create(name, flags)?.into())
}

/// What a sealed file lacks: the ways to change it and to cut it off.
const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK);

/// Makes sure that nobody can change a file in memory any more.
///
/// # Errors
///
/// It cannot be sealed, or somebody shows it to write to it.
pub(crate) fn seal(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fcntl_add_seals(file, SEALS | SealFlags::GROW)?)
}

/// Whether nobody can change what a file has, or cut it off.
pub(crate) fn is_sealed(file: &File) -> bool {
    rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SEALS))
}

/// A file in a folder, and the folder.
fn on_disk() -> io::Result<(String, File)> {
    let temporary = std::env::temp_dir();
    let folders = ["/dev/shm", temporary.to_str().unwrap_or("/tmp"), "/var/tmp"];
    let mut error = io::Error::from(io::ErrorKind::NotFound);
    for folder in folders {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => return Ok((folder.to_owned(), file.into())),
            Err(why) => error = why.into(),
        }
    }
    Err(error)
}

/// What files without a name there are, in words.
///
/// # Errors
///
/// There are none in memory.
pub(crate) fn memory_files() -> Result<String, String> {
    let Err(error) = in_memory("wardian-probe") else { return Ok("memfd_create".into()) };
    Err(match on_disk() {
        Ok((folder, _)) => format!("memfd_create: {error}; files without a name in {folder}"),
        Err(other) => format!("memfd_create: {error}; files without a name: {other}"),
    })
}

/// What is done without files in memory.
pub(crate) const FILES_INSTEAD: &str = "files without a name in /dev/shm or the folder for temporary files; without those too, \
                                        instances copy their data, and memories cannot be captured";
