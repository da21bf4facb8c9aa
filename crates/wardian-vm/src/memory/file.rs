//! A memory whose bytes are a file's.

use super::custom::LinearMemory;
use crate::mapping::{Mapping, round_up};
use crate::system;
use crate::torture::{self, Point};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Deref;
use std::path::Path;

/// A memory that shows a file: what the guest writes is in the file, and survives the process, even if
/// that is killed. It never moves, and its code has checks.
///
/// The minimum shows what the file has there, zeroes past its end. To see again all of a memory that grew,
/// ask for a memory with the file's length as its minimum. What a file has past the size is overwritten by
/// zeroes when the memory grows over it.
///
/// The file is locked as long as the memory lives, so that no second memory shows the same bytes. That
/// lock binds only those who ask for it: as with every file that is mapped, programs that change the
/// file nevertheless change bytes under the hands of who reads them, and shortening it makes the next
/// access to what is gone a fault. Keep the file in a folder that no guest can write to.
#[derive(Debug)]
pub struct FileMemory {
    mapping: Mapping,
    file: LockedFile,
    /// Bytes with rights, a multiple of the system's pages.
    accessible: usize,
    size: usize,
    maximum: usize,
}

impl FileMemory {
    /// A memory of `minimum` bytes that shows the file at `path`, which is made if there is none, and
    /// grows to at most `maximum` bytes.
    ///
    /// # Safety
    ///
    /// As long as the memory lives nobody else may change the file or make it shorter: no other
    /// program, no other mapping, no guest (through a folder that WASI gives it). Its lock stops only
    /// those who ask for it.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, made longer or mapped; another memory shows it; there is no range
    /// of addresses for the maximum.
    pub unsafe fn open(
        path: impl AsRef<Path>,
        minimum: usize,
        maximum: usize,
    ) -> io::Result<Box<dyn LinearMemory>> {
        torture::check(Point::File)?;
        // An own description of the file, so that its lock is nobody else's.
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file"));
        }
        let file = LockedFile::new(file)?;
        let maximum = maximum.max(minimum);
        let mapping = Mapping::reserve(maximum)?;
        let mut memory = FileMemory { mapping, file, accessible: 0, size: minimum, maximum };
        memory.show(minimum)?;
        Ok(Box::new(memory))
    }

    /// Makes `size` bytes accessible. What the file has there stays.
    fn show(&mut self, size: usize) -> io::Result<()> {
        let want = round_up(size).ok_or(io::ErrorKind::OutOfMemory)?;
        if want <= self.accessible {
            return Ok(());
        }
        let more = want - self.accessible;
        let length = self.file.metadata()?.len();
        if length < want as u64 {
            torture::check(Point::File)?;
            self.file.set_len(want as u64)?;
        }
        // Room on the disk now: without it a write would be a fault some day.
        let room = torture::check(Point::File)
            .and_then(|()| system::allocate(&self.file, self.accessible as u64, more as u64));
        let shown = match room {
            Err(error) => Err(error),
            // SAFETY: nothing is there yet, and the file, which is locked, is long enough.
            _ => unsafe { self.mapping.map_shared(self.accessible, more, self.place()) },
        };
        if let Err(error) = shown {
            if length < want as u64 {
                let _ = self.file.set_len(length);
            }
            return Err(error);
        }
        self.accessible = want;
        Ok(())
    }

    /// Where in the file the bytes are that are shown next.
    fn place(&self) -> (&File, u64) {
        (&*self.file, self.accessible as u64)
    }

    fn grow(&mut self, size: usize) -> io::Result<()> {
        let shown = self.accessible as u64;
        if size > self.accessible && self.file.metadata()?.len() > shown {
            self.file.set_len(shown)?;
        }
        let before = self.accessible;
        self.show(size)?;
        if size > self.size {
            let rest = before.min(size) - self.size;
            // SAFETY: accessible, and not part of the memory before it has grown.
            unsafe { self.mapping.base().add(self.size).write_bytes(0, rest) };
            self.size = size;
        }
        Ok(())
    }
}

// SAFETY: 1: a mapping starts at a page, and `accessible` bytes of it show the file, whose blocks are
// there. 2: the lock keeps other memories away; who ignores locks does what could be done to every
// mapped file. 3, 4: the base never changes; rights only come. 5: there is none.
unsafe impl LinearMemory for FileMemory {
    fn base(&self) -> *mut u8 {
        self.mapping.base()
    }

    fn capacity(&self) -> usize {
        self.accessible
    }

    fn never_moves(&self) -> bool {
        true
    }

    fn reallocate(&mut self, size: usize) -> Option<*mut u8> {
        if size > self.maximum {
            return None;
        }
        self.grow(size).ok()?;
        Some(self.mapping.base())
    }

    fn free(self: Box<Self>) {}
}

/// A file that is locked until this is dropped, by the process that locked it.
#[derive(Debug)]
struct LockedFile {
    file: File,
    process: u32,
}

impl LockedFile {
    fn new(file: File) -> io::Result<LockedFile> {
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                "the file is locked: another memory shows it",
            ),
            TryLockError::Error(error) => error,
        })?;
        Ok(LockedFile { file, process: std::process::id() })
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for LockedFile {
    /// Unlocks the file. Closing it is not enough: a process that another thread starts has a copy of
    /// the descriptor until it executes its program, and the lock stays until the last copy is closed.
    ///
    /// A child process that was forked with the memory shares the lock, and leaves it to its parent.
    fn drop(&mut self) {
        if self.process == std::process::id() {
            let _ = self.file.unlock();
        }
    }
}
