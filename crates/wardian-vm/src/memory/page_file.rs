//! Room for pages of captures: ranges of files in memory.
//!
//! ```text
//!   file:  │ range of memory A │ range of memory B │ range of memory C │ ...     few files for many memories
//! ```
//!
//! A range takes memory only for the pages that are written to it. A range that is given up is emptied, and its
//! place in the file is not used again; a file goes with its last range.
//!
//! A range is written while its memory shows it. So a range that several memories share is not written, and after the
//! process has forked nobody writes to a file from before: the other process may show it. [`PageRange::is_ours`] says
//! whether that has happened.

use crate::system::{self, forks};
use crate::torture::{self, Point};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// A part of a file that one memory uses, or several that have been forked.
#[derive(Debug)]
pub(super) struct PageRange {
    file: Arc<PageFile>,
    start: u64,
    size: usize,
    /// Bytes from the start of the range on outside of which nothing was written.
    end: usize,
}

#[derive(Debug)]
struct PageFile {
    file: File,
    /// How often the process had forked when the file was made.
    forks: u64,
}

/// The file that ranges are taken from, and where its last range ends.
static CURRENT: Mutex<(Weak<PageFile>, u64)> = Mutex::new((Weak::new(), 0));

/// Where a file is full: 4096 ranges for memories of 4 GiB.
const FULL: u64 = 1 << 44;

impl PageRange {
    /// A range of `size` zero bytes, whole pages.
    pub(super) fn new(size: usize) -> io::Result<PageRange> {
        let mut current = CURRENT.lock().unwrap_or_else(|e| e.into_inner());
        let file = current.0.upgrade();
        let file = file.filter(|f| f.forks == forks() && current.1 + size as u64 <= FULL);
        let (file, start) = match file {
            Some(file) => (file, current.1),
            None => {
                let file = system::memory_file("wardian-pages")?;
                (Arc::new(PageFile { file, forks: forks() }), 0)
            }
        };
        let end = start + size as u64;
        // Past the limit the system would send a signal.
        let most = system::most_of_a_file();
        if most.is_some_and(|most| end > most) {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("the limit for sizes of files (RLIMIT_FSIZE) is below {end} bytes"),
            ));
        }
        torture::check(Point::MemoryFile)?;
        file.file.set_len(end)?;
        *current = (Arc::downgrade(&file), end);
        Ok(PageRange { file, start, size, end: 0 })
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Bytes from the start of the range on outside of which all bytes are zero.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Notes that bytes up to this one may be other than zero.
    pub(super) fn set_end(&mut self, end: usize) {
        self.end = self.end.max(end);
    }

    /// The file, and where in it a place of the range is.
    pub(super) fn place(&self, at: usize) -> (&File, u64) {
        (&self.file.file, self.start + at as u64)
    }

    /// Whether no other process can show the range, so that it may be written.
    pub(super) fn is_ours(&self) -> bool {
        self.file.forks == forks()
    }

    /// Reads bytes of the range.
    pub(super) fn read(&self, at: usize, bytes: &mut [u8]) -> io::Result<()> {
        debug_assert!(at + bytes.len() <= self.size);
        let there = self.end.saturating_sub(at).min(bytes.len());
        bytes[there..].fill(0);
        let mut done = 0;
        while done < there {
            let offset = self.start + (at + done) as u64;
            match system::read_at(&self.file.file, &mut bytes[done..there], offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => done += more,
            }
        }
        Ok(())
    }

    /// Writes bytes to the range, whole pages. If that fails, some may have been written.
    ///
    /// The caller has looked whether it is ours. If the process forks between, the other process has a memory that
    /// a thread was at work with which it does not have, and cannot use it.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        debug_assert!(at + bytes.len() <= self.size);
        torture::check(Point::MemoryFile)?;
        check_room(bytes.len())?;
        self.end = self.end.max(at + bytes.len());
        let mut done = 0;
        while done < bytes.len() {
            let offset = self.start + (at + done) as u64;
            done += system::write_at(&self.file.file, &bytes[done..], offset)?;
        }
        Ok(())
    }
}

impl Drop for PageRange {
    fn drop(&mut self) {
        // Another process may show it, or the file goes anyway.
        if self.end == 0 || !self.is_ours() || Arc::strong_count(&self.file) == 1 {
            return;
        }
        system::empty_file(&self.file.file, self.start, self.end as u64);
    }
}

/// Bytes of captures between two looks at how much memory the system has.
const LOOK_EVERY: usize = 8 << 20;
/// Memory that captures leave to others.
const RESERVE: u64 = 64 << 20;

/// An error before the system has no memory for `bytes` more: it would end the process rather than refuse.
pub(super) fn check_room(bytes: usize) -> io::Result<()> {
    static UNSEEN: AtomicUsize = AtomicUsize::new(0);
    if UNSEEN.fetch_add(bytes, Ordering::Relaxed) + bytes < LOOK_EVERY {
        return Ok(());
    }
    UNSEEN.store(0, Ordering::Relaxed);
    match system::room() {
        Some(there) if there < bytes as u64 + RESERVE => {
            // The next one looks again.
            UNSEEN.store(LOOK_EVERY, Ordering::Relaxed);
            Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                format!(
                    "the system has {} MiB of memory left, too little to keep more",
                    there >> 20
                ),
            ))
        }
        _ => Ok(()),
    }
}
