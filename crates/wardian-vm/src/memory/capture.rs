//! The contents of memories at a moment, to come back to.
//!
//! ```text
//!   capture:  a file of the pages that are not zero;  the memory becomes a private view of it
//!             ┌───────┬───────────┬───────┐
//!             │ file  │ own pages │ file  │    what is written later goes to pages of its own
//!             └───────┴───────────┴───────┘
//!   restore:  own pages are dropped, and the file shows again
//! ```
//!
//! A capture is a file that nobody writes to any more, so that it can be shown at any time, by any
//! memory, as often as one likes.

use super::{CustomMemory, EngineMemory, MemoryImage};
use crate::mapping::round_up;
use crate::torture::{self, Point};
use rustix::fd::AsFd;
use std::io;
use std::sync::Arc;

/// The contents of a memory at a moment.
#[derive(Debug)]
pub struct MemoryCapture {
    len: usize,
    contents: Contents,
}

#[derive(Debug)]
enum Contents {
    /// Pages of a memory of the engine's; none if it had no bytes.
    Pages(Option<Arc<MemoryImage>>),
    /// A copy, of a memory of the embedder's.
    Bytes(Vec<u8>),
}

impl MemoryCapture {
    /// Size of the memory in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the memory had no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl MemoryImage {
    /// An image of `contents`, whole pages; those full of zeroes take no room.
    fn sparse(contents: &[u8]) -> io::Result<MemoryImage> {
        let image = MemoryImage::new(&[])?;
        torture::check(Point::MemoryFile)?;
        rustix::fs::ftruncate(&image.file, contents.len() as u64)?;
        let page = rustix::param::page_size();
        let mut at = 0;
        while at < contents.len() {
            let rest = contents[at..].chunks(page);
            let zeroes = page * rest.clone().take_while(|p| is_zero(p)).count();
            let start = at + zeroes;
            let written = rest.skip(zeroes / page).take_while(|p| !is_zero(p));
            let end = start + written.map(<[u8]>::len).sum::<usize>();
            let mut done = start;
            while done < end {
                done += rustix::io::pwrite(&image.file, &contents[done..end], done as u64)?;
            }
            at = end.max(start);
        }
        Ok(MemoryImage { len: contents.len(), ..image })
    }
}

/// Whether a page has only zeroes.
pub(super) fn is_zero(page: &[u8]) -> bool {
    let words = page.chunks(64);
    // Whole lines at a time, which the compiler makes vectors of.
    words.clone().all(|line| line.iter().fold(0, |all, byte| all | byte) == 0)
}

impl EngineMemory {
    /// As [`super::Memory::capture`]. The memory becomes a view of the capture.
    pub(super) fn capture(&mut self) -> io::Result<MemoryCapture> {
        let len = self.len;
        debug_assert_eq!(round_up(len), Some(self.accessible));
        if self.accessible == 0 {
            return Ok(MemoryCapture { len, contents: Contents::Pages(None) });
        }
        // SAFETY: the accessible bytes can be read, and the borrow is exclusive.
        let bytes = unsafe { std::slice::from_raw_parts(self.base(), self.accessible) };
        let image = Arc::new(MemoryImage::sparse(bytes)?);
        // SAFETY: `bytes` is used no more, and the file, which only the image has, shows the same.
        unsafe { self.mapping.map_file(0, image.len, image.file.as_fd())? };
        self.image = Some(image.clone());
        self.captured = true;
        Ok(MemoryCapture { len, contents: Contents::Pages(Some(image)) })
    }

    /// As [`super::Memory::restore`].
    ///
    /// # Safety
    ///
    /// As there.
    pub(super) unsafe fn restore(&mut self, capture: &MemoryCapture) -> io::Result<()> {
        let Contents::Pages(image) = &capture.contents else { return Err(other_kind()) };
        let want = image.as_ref().map_or(0, |i| i.len);
        if want > self.mapping.size() || capture.len as u64 > self.maximum {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the captured memory is larger than this one can be",
            ));
        }
        if let Some(image) = image {
            let same = self.image.as_ref().is_some_and(|i| Arc::ptr_eq(i, image));
            // SAFETY: nobody relies on the contents, by the caller's promise; the file is never
            // written again.
            unsafe {
                if same {
                    self.mapping.discard(0, want)?;
                } else {
                    self.mapping.map_file(0, want, image.file.as_fd())?;
                }
            }
            self.image = Some(image.clone());
            self.captured = true;
            self.accessible = self.accessible.max(want);
        }
        if self.accessible > want {
            // SAFETY: nobody relies on a larger size, by the caller's promise.
            unsafe { self.mapping.clear(want, self.accessible - want)? };
        }
        if want == 0 {
            self.image = None;
            self.captured = false;
        }
        self.accessible = want;
        self.len = capture.len;
        Ok(())
    }
}

impl CustomMemory {
    /// As [`super::Memory::capture`]: a plain copy.
    pub(super) fn capture(&mut self) -> io::Result<MemoryCapture> {
        let mut bytes = Vec::new();
        torture::check(Point::Allocate)?;
        bytes.try_reserve_exact(self.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.extend_from_slice(self.bytes());
        Ok(MemoryCapture { len: self.len(), contents: Contents::Bytes(bytes) })
    }

    /// As [`super::Memory::restore`].
    ///
    /// # Safety
    ///
    /// As there.
    pub(super) unsafe fn restore(&mut self, capture: &MemoryCapture) -> io::Result<()> {
        let Contents::Bytes(bytes) = &capture.contents else { return Err(other_kind()) };
        // SAFETY: the caller's promise.
        unsafe { self.put_back(bytes) }
    }
}

fn other_kind() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "the capture is of another kind of memory than this one",
    )
}
