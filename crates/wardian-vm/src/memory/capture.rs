//! The contents of memories at a moment, to come back to: see [`super::pages`] for where they are kept.

use super::page_file::PageRange;
use super::pages::{Pages, Version};
use super::{CustomMemory, EngineMemory};
use crate::mapping::{Mapping, round_up};
use crate::system::{MAPS_FILES, Written, written};
use crate::torture::{self, Point};
use std::io;
use std::sync::Arc;

/// The contents of a memory at a moment. It takes memory for the pages in which it differs from the latest capture
/// of the same memory, and nothing once the memory is gone.
#[derive(Debug)]
pub struct MemoryCapture {
    len: usize,
    contents: Contents,
}

#[derive(Debug)]
enum Contents {
    /// Of a memory of the engine's.
    Pages(Version),
    /// A copy, of a memory of the embedder's; of every memory where none is a view of a file.
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

/// What a memory that was captured has for it.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) pages: Pages,
    /// Bytes from the base on that are a private view of the range; after them the range is zero, and the memory
    /// has pages that were zero when it was captured.
    pub(super) view: usize,
    /// Whether the pages that nobody has written since are what the range is.
    pub(super) in_step: bool,
    /// Whether what is written goes to the range: see [`super::fork`]. Then what is foreign is what a module brought
    /// along.
    pub(super) written_through: bool,
    /// Bytes from the base on that are a view of another file: what a module brought along, or a former range.
    pub(super) foreign: usize,
    /// That range. It goes once the memory shows it no more.
    former: Vec<Arc<PageRange>>,
    /// Whether a restore failed half-way: then nobody knows what the memory is.
    pub(super) torn: bool,
}

impl Captured {
    fn new(size: usize, foreign: usize) -> io::Result<Captured> {
        Ok(Captured::of(Pages::new(size)?, foreign))
    }

    fn of(pages: Pages, foreign: usize) -> Captured {
        Captured {
            pages,
            view: 0,
            in_step: false,
            written_through: false,
            foreign,
            former: Vec::new(),
            torn: false,
        }
    }

    /// Of a memory that is to write to its range.
    pub(super) fn written_through(size: usize, foreign: usize) -> io::Result<Captured> {
        Ok(Captured { written_through: true, ..Captured::new(size, foreign)? })
    }

    /// Of another memory, which is to show the same range.
    pub(super) fn forked(&self, foreign: usize) -> Captured {
        Captured::of(Pages::sharing(self.pages.range().clone()), foreign)
    }

    /// Makes `[start, start + len)`, which is empty, the memory's view of its range.
    pub(super) fn write_through(
        &mut self,
        mapping: &Mapping,
        start: usize,
        len: usize,
    ) -> io::Result<()> {
        let place = self.pages.range().place(start);
        // SAFETY: nobody refers to what is empty. The file does not shrink.
        unsafe { mapping.map_shared(start, len, place)? };
        self.pages.set_end(start + len)
    }

    /// The memory has moved, and shows no file any more.
    pub(super) fn moved(&mut self) {
        (self.view, self.foreign, self.in_step) = (0, 0, false);
        self.former.clear();
    }

    /// The range is another one now, which the memory does not show yet. It still shows the former one.
    fn renewed(&mut self, former: Arc<PageRange>) {
        (self.foreign, self.view, self.in_step) = (self.view.max(self.foreign), 0, false);
        self.former.push(former);
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.pages.kept()
    }
}

/// Whether a page has only zeroes.
pub(super) fn is_zero(page: &[u8]) -> bool {
    let words = page.chunks(64);
    // Whole lines at a time, which the compiler makes vectors of.
    words.clone().all(|line| line.iter().fold(0, |all, byte| all | byte) == 0)
}

impl EngineMemory {
    /// As [`super::Memory::capture`]. The memory becomes a view of what was captured.
    pub(super) fn capture(&mut self) -> io::Result<MemoryCapture> {
        if !MAPS_FILES {
            // SAFETY: the bytes of the memory can be read, and the borrow is exclusive.
            return copied(unsafe { std::slice::from_raw_parts(self.base(), self.len) });
        }
        self.end_tracking();
        let mut captured = self.take_captured()?;
        let done = self.write_back(&mut captured);
        let version = done.map(|()| captured.pages.version());
        self.captured = Some(captured);
        Ok(MemoryCapture { len: self.len, contents: Contents::Pages(version?) })
    }

    /// What the memory has for captures, to be put back.
    pub(super) fn take_captured(&mut self) -> io::Result<Captured> {
        debug_assert_eq!(round_up(self.len), Some(self.accessible));
        match self.captured.take() {
            Some(captured) => Ok(captured),
            None => Captured::new(self.most(), self.brought()),
        }
    }

    /// Bytes from the base on that are views of files, if the memory was never captured.
    pub(super) fn brought(&self) -> usize {
        self.image.as_ref().map_or(0, |image| image.len()).max(self.shown)
    }

    /// The most bytes that it can have without moving, whole pages.
    pub(super) fn most(&self) -> usize {
        let most = usize::try_from(self.maximum).unwrap_or(usize::MAX).min(self.mapping.size());
        round_up(most).unwrap_or(self.accessible).max(self.accessible)
    }

    /// Makes the range what the memory is, and the memory a view of it. If that fails, the contents of the memory are
    /// as before.
    pub(super) fn write_back(&mut self, captured: &mut Captured) -> io::Result<()> {
        if captured.torn {
            return Err(torn());
        }
        if captured.written_through {
            return self.end_write_through(captured);
        }
        // Also of a range that is replaced now: the new one is the same.
        let in_step = captured.in_step;
        if let Some(former) = captured.pages.renew(self.most())? {
            captured.renewed(former);
        }
        let own = written(self.base(), self.accessible);
        let read = own.as_ref().map_or(0, |own| own.read);
        let runs = match (own.map(|own| own.runs), in_step) {
            (Some(own), true) => own,
            // What a module brought along is in no page of the memory's own; the rest of it was zero.
            (Some(own), false) if captured.pages.range().end() == 0 => {
                let brought = captured.foreign.min(self.accessible);
                let rest = own.iter().map(|run| run.start.max(brought)..run.end);
                std::iter::once(0..brought).chain(rest).filter(|run| !run.is_empty()).collect()
            }
            _ => std::iter::once(0..self.accessible).collect(),
        };
        // SAFETY: the accessible bytes can be read, and the borrow is exclusive.
        let bytes = unsafe { std::slice::from_raw_parts(self.base(), self.accessible) };
        captured.pages.update(bytes, &runs)?;
        // SAFETY: the range has the contents of the memory, so nothing changes by showing it.
        unsafe {
            self.show_range(captured, self.accessible)?;
            self.drop_own(&Written { runs, read })?;
        }
        (self.image, self.shown) = (None, 0);
        Ok(())
    }

    /// Makes the first bytes, of `len`, a view of the range: at least those outside of which the range is zero, and
    /// those that are a view of another file.
    ///
    /// # Safety
    ///
    /// Nobody relies on the contents of bytes that the memory does not show yet.
    pub(super) unsafe fn show_range(&self, captured: &mut Captured, len: usize) -> io::Result<()> {
        let range = captured.pages.range();
        let end = range.end().max(captured.foreign).min(len);
        if end > captured.view {
            let start = captured.view;
            // SAFETY: the caller's promise. The file does not shrink. The range is changed only while this memory alone
            // shows it, no guest of it runs and nobody refers to the contents.
            unsafe { self.mapping.map_file(start, end - start, range.place(start))? };
            captured.view = end;
        }
        (captured.in_step, captured.foreign) = (true, 0);
        captured.former.clear();
        Ok(())
    }

    /// Drops pages of the memory's own, as far as they are among the written ones, and maybe others.
    ///
    /// # Safety
    ///
    /// Nobody relies on what they hold.
    unsafe fn drop_own(&self, written: &Written) -> io::Result<()> {
        let runs = &written.runs;
        let Some((first, last)) = runs.first().zip(runs.last()) else { return Ok(()) };
        // A call takes as long as the system needs to drop some pages of a file that were read, of which it keeps
        // what it knows when it drops others.
        let in_one = written.read / PAGES_READ <= runs.len();
        // SAFETY: the caller's promise.
        unsafe {
            if in_one && runs.len() > 1 {
                return self.mapping.discard(first.start, last.end - first.start);
            }
            runs.iter().try_for_each(|run| self.mapping.discard(run.start, run.len()))
        }
    }

    /// As [`super::Memory::restore`].
    ///
    /// # Safety
    ///
    /// As there.
    pub(super) unsafe fn restore(&mut self, capture: &MemoryCapture) -> io::Result<()> {
        self.end_tracking();
        let version = match &capture.contents {
            Contents::Pages(version) => version,
            // SAFETY: the caller's promise.
            Contents::Bytes(bytes) if !MAPS_FILES => return unsafe { self.put_back(bytes) },
            Contents::Bytes(_) => return Err(other_memory()),
        };
        let Some(mut captured) = self.captured.take_if(|c| c.pages.has(version)) else {
            return Err(other_memory());
        };
        // SAFETY: the caller's promise.
        let done = unsafe { self.return_to(&mut captured, version, capture.len) };
        self.captured = Some(captured);
        let size = round_up(self.len).unwrap_or(self.accessible);
        if done.is_err() && self.accessible > size {
            // SAFETY: past the size of the memory.
            unsafe { self.mapping.clear(size, self.accessible - size)? };
            self.accessible = size;
        }
        done
    }

    /// Makes a copy the contents. If that fails, nothing has changed.
    ///
    /// # Safety
    ///
    /// As for [`super::Memory::restore`].
    unsafe fn put_back(&mut self, bytes: &[u8]) -> io::Result<()> {
        let want = round_up(bytes.len()).ok_or(io::ErrorKind::OutOfMemory)?;
        if want > self.mapping.size() || bytes.len() as u64 > self.maximum() {
            return Err(other_memory());
        }
        if want > self.accessible {
            self.mapping.make_accessible(self.accessible, want - self.accessible)?;
        } else {
            // SAFETY: nobody relies on a larger size, by the caller's promise.
            unsafe { self.mapping.clear(want, self.accessible - want)? };
        }
        (self.accessible, self.len) = (want, bytes.len());
        // SAFETY: so many bytes are accessible, and nobody refers to them. What is after them in the last page is no
        // longer the guest's, and zero if it is again.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.base(), bytes.len());
            self.base().add(bytes.len()).write_bytes(0, want - bytes.len());
        }
        Ok(())
    }

    /// # Safety
    ///
    /// As for [`super::Memory::restore`].
    unsafe fn return_to(
        &mut self,
        captured: &mut Captured,
        version: &Version,
        len: usize,
    ) -> io::Result<()> {
        let want = round_up(len).ok_or(io::ErrorKind::OutOfMemory)?;
        if want > self.mapping.size() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if captured.torn {
            return Err(torn());
        }
        if want > self.accessible {
            self.mapping.make_accessible(self.accessible, want - self.accessible)?;
            self.accessible = want;
        }
        captured.torn = true;
        if let Some(former) = captured.pages.return_to(version)? {
            captured.renewed(former);
        }
        // SAFETY: nobody relies on the contents, nor on a larger size, by the caller's promise.
        unsafe {
            if captured.in_step {
                self.discard_all(want)?;
            } else {
                // From the end of what is shown on the memory has pages of its own only.
                let shown = captured.pages.range().end().max(captured.foreign).min(want);
                self.mapping.discard(shown, want - shown)?;
            }
            if self.accessible > want {
                self.mapping.clear(want, self.accessible - want)?;
                captured.view = captured.view.min(want);
                (self.accessible, self.len) = (want, len);
            }
            self.show_range(captured, want)?;
        }
        captured.torn = false;
        self.len = len;
        Ok(())
    }

    /// Drops all pages of the memory's own in the first `len` bytes.
    ///
    /// # Safety
    ///
    /// Nobody relies on what they hold.
    unsafe fn discard_all(&self, len: usize) -> io::Result<()> {
        // A look at which were written takes longer than dropping all of a small memory.
        let written = if len > SMALL { written(self.base(), len) } else { None };
        // SAFETY: the caller's promise.
        unsafe {
            match written {
                Some(written) => self.drop_own(&written),
                None => self.mapping.discard(0, len),
            }
        }
    }
}

/// Bytes of pages that are dropped in the time of a call: measured, 8 pages.
const PAGES_READ: usize = 8 * 4096;

/// Bytes of a memory of which all pages are dropped, whether written or not.
const SMALL: usize = 4 << 20;

impl CustomMemory {
    /// As [`super::Memory::capture`]: a plain copy.
    pub(super) fn capture(&mut self) -> io::Result<MemoryCapture> {
        copied(self.bytes())
    }

    /// As [`super::Memory::restore`].
    ///
    /// # Safety
    ///
    /// As there.
    pub(super) unsafe fn restore(&mut self, capture: &MemoryCapture) -> io::Result<()> {
        let Contents::Bytes(bytes) = &capture.contents else { return Err(other_memory()) };
        // SAFETY: the caller's promise.
        unsafe { self.put_back(bytes) }
    }
}

/// A capture that is a plain copy.
fn copied(memory: &[u8]) -> io::Result<MemoryCapture> {
    let mut bytes = Vec::new();
    torture::check(Point::Allocate)?;
    bytes.try_reserve_exact(memory.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.extend_from_slice(memory);
    Ok(MemoryCapture { len: bytes.len(), contents: Contents::Bytes(bytes) })
}

pub(super) fn torn() -> io::Error {
    io::Error::other("an earlier state of it was brought back in part only")
}

fn other_memory() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the capture is one of another memory")
}
