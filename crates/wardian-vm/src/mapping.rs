//! Address space: reserved without rights, made accessible piece by piece, released on drop.

use crate::system::{self, explain};
use crate::torture::{self, Point};
use std::fs::File;
use std::io;

/// A reservation of address space.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: *mut u8,
    size: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; it is only used through its owner.
unsafe impl Send for Mapping {}
// SAFETY: shared references only give the address and the size.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Reserves `size` bytes, rounded up to pages; none is accessible yet.
    ///
    /// # Errors
    ///
    /// The system has no such range of address space left.
    pub(crate) fn reserve(size: usize) -> io::Result<Mapping> {
        let size = round_up(size.max(1)).ok_or_else(too_large)?;
        torture::check(Point::Map)?;
        Mapping::map(size).map_err(explain)
    }

    /// As [`Mapping::reserve`], for who can do with less: without an error, whose explanation takes time where there are
    /// many mappings.
    pub(crate) fn reserve_if_possible(size: usize) -> Option<Mapping> {
        torture::check(Point::Map).ok()?;
        Mapping::map(round_up(size.max(1))?).ok()
    }

    fn map(size: usize) -> io::Result<Mapping> {
        Ok(Mapping { base: system::reserve(size)?, size })
    }

    /// First byte.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base
    }

    /// Bytes reserved.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    fn check(&self, start: usize, len: usize) -> io::Result<()> {
        let fits = start.checked_add(len).is_some_and(|end| end <= self.size);
        if fits { Ok(()) } else { Err(too_large()) }
    }

    /// Makes `[start, start + len)` readable and writable; both are multiples of the page size.
    ///
    /// # Errors
    ///
    /// The range is not inside the reservation, or the system refuses to commit the memory.
    pub(crate) fn make_accessible(&self, start: usize, len: usize) -> io::Result<()> {
        self.check(start, len)?;
        if len == 0 {
            return Ok(());
        }
        torture::check(Point::Protect)?;
        // SAFETY: inside our reservation; giving rights breaks nobody's assumptions.
        unsafe { system::allow_access(self.base.add(start), len) }.map_err(explain)
    }

    /// Replaces `[start, start + len)` by fresh, inaccessible, empty pages.
    ///
    /// # Safety
    ///
    /// Nothing may refer to the range any more.
    ///
    /// # Errors
    ///
    /// As for [`Self::make_accessible`].
    pub(crate) unsafe fn clear(&self, start: usize, len: usize) -> io::Result<()> {
        self.check(start, len)?;
        if len == 0 {
            return Ok(());
        }
        torture::check(Point::Map)?;
        // SAFETY: inside our reservation, and unused by the caller's promise.
        unsafe { system::empty(self.base.add(start), len) }.map_err(explain)
    }

    /// Drops what was written to `[start, start + len)`: private pages of a file show the file
    /// again, others zeroes.
    ///
    /// # Safety
    ///
    /// Nothing may rely on the contents any more.
    ///
    /// # Errors
    ///
    /// As for [`Self::make_accessible`].
    pub(crate) unsafe fn discard(&self, start: usize, len: usize) -> io::Result<()> {
        self.check(start, len)?;
        if len == 0 {
            return Ok(());
        }
        torture::check(Point::Discard)?;
        // SAFETY: inside our reservation, and nobody relies on the contents.
        unsafe { system::discard(self.base.add(start), len) }.map_err(explain)
    }

    /// Moves the pages of `[start, start + len)`, which is a shared view of a file, to another mapping. The range stays
    /// the same view, with no pages until they are used again. So it can be replaced at once, and the pages be unmapped
    /// later, which takes long where they are many.
    ///
    /// # Errors
    ///
    /// The system has no room, or cannot do this. Then nothing has changed.
    pub(crate) fn move_pages(&self, start: usize, len: usize) -> io::Result<Mapping> {
        self.check(start, len)?;
        // Whole tables of pages are moved if both addresses are the same within what a table maps.
        const TABLE: usize = 2 << 20;
        let target = Mapping::reserve(len + TABLE)?;
        let from = self.base.wrapping_add(start);
        let offset = (from as usize).wrapping_sub(target.base as usize) % TABLE;
        torture::check(Point::Map)?;
        // SAFETY: both ranges are inside of our reservations. What was seen in the old range is still seen there, since
        // the pages are the file's; nobody uses the new one.
        unsafe {
            system::move_pages(from.cast(), len, target.base.add(offset).cast())?;
        }
        Ok(target)
    }

    /// Drops the mapping, on a thread of its own if that takes long.
    pub(crate) fn drop_aside(self) {
        const LONG: usize = 4 << 20;
        /// Bytes of pages that are unmapped at once: meanwhile nobody else can map anything.
        const PIECE: usize = 256 << 10;
        if self.size < LONG {
            return;
        }
        let thread = std::thread::Builder::new().name("wardian-unmap".into()).stack_size(64 << 10);
        // Without a thread it is dropped here.
        let _ = thread.spawn(move || {
            for start in (0..self.size).step_by(PIECE) {
                // SAFETY: nobody uses the mapping.
                let _ = unsafe { self.discard(start, PIECE.min(self.size - start)) };
            }
        });
    }

    /// Asks the system not to use huge pages for `[start, start + len)`, if it has any.
    pub(crate) fn refuse_huge_pages(&self, start: usize, len: usize) {
        const HUGE: usize = 2 << 20;
        if len < HUGE || self.check(start, len).is_err() {
            return;
        }
        // SAFETY: inside our reservation; the advice changes no contents.
        unsafe { system::refuse_huge_pages(self.base.add(start), len) };
    }

    /// Shows `len` bytes of a file from `offset` on, copy-on-write, at `start`.
    ///
    /// # Safety
    ///
    /// Nothing may refer to the range, and the file must never shrink.
    ///
    /// # Errors
    ///
    /// As for [`Self::make_accessible`].
    pub(crate) unsafe fn map_file(
        &self,
        start: usize,
        len: usize,
        place: (&File, u64),
    ) -> io::Result<()> {
        self.check(start, len)?;
        if len == 0 {
            return Ok(());
        }
        torture::check(Point::Map)?;
        // SAFETY: inside our reservation, and unused by the caller's promise.
        unsafe { system::show_private(self.base.add(start), len, place) }.map_err(explain)
    }

    /// Shows `len` bytes of a file from `offset` on at `start`, so that what is written goes to the file.
    ///
    /// # Safety
    ///
    /// Nothing may refer to the range, and the file must have these bytes as long as it is used.
    ///
    /// # Errors
    ///
    /// As for [`Self::make_accessible`].
    pub(crate) unsafe fn map_shared(
        &self,
        start: usize,
        len: usize,
        place: (&File, u64),
    ) -> io::Result<()> {
        self.check(start, len)?;
        if len == 0 {
            return Ok(());
        }
        torture::check(Point::Map)?;
        // SAFETY: inside our reservation, and unused by the caller's promise.
        unsafe { system::show_shared(self.base.add(start), len, place) }.map_err(explain)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: ours, and nobody uses it after its owner.
        unsafe { system::release(self.base, self.size) }
    }
}

/// Rounds up to the system's pages.
pub(crate) fn round_up(size: usize) -> Option<usize> {
    size.checked_next_multiple_of(system::page_size())
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, "more address space than there is")
}
