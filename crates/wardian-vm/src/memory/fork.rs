//! Forks of memories: another memory with the same contents, of which both write pages of their own.
//!
//! ```text
//!   parent     ┌──────┬───────┬──────────────┐         child    ┌──────┬ ─ ─ ─ ┬─────────────────┐
//!              │ view │ own   │ view         │    ──>           │ view │ copy  │ view            │
//!              └──────┴───────┴──────────────┘                  └──────┴ ─ ─ ─ ┴─────────────────┘
//!   range      ┌─────────────────────────────┐   shown by both, and written by nobody as long as that is so
//! ```
//!
//! - The **first fork** of a memory copies its written pages to a range of a file, as the first capture does. A memory
//!   that was made to be forked ([`EngineMemory::new_forkable`]) writes to its range from the start, and nothing is
//!   copied: both memories become private views of it.
//! - **Later forks** copy the pages that the parent has written since to the child, as long as they are few. If they are
//!   many, or if nobody else shows the range, they are written to the range, or to a new one.
//!
//! A child is forked like its parent, and the range goes with the last memory that shows it.

use super::capture::{Captured, torn};
use super::{EngineMemory, Memory, MemoryError, MemoryImage, byte_limit, size_in_bytes};
use crate::mapping::Mapping;
use crate::system::{MAPS_FILES, written};
use crate::torture::{self, Point};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use wardian_types::MemoryType;

/// A memory up to so many bytes is copied: that takes less time than calls of the system.
const COPIED: usize = 128 << 10;

impl Memory {
    /// Makes `child`, a memory of the same size that nobody uses yet, what this one is.
    ///
    /// # Errors
    ///
    /// The system has no memory. Then the contents of the child are of no use; this memory is as before.
    pub fn fork_into(&mut self, child: &mut Memory) -> io::Result<()> {
        debug_assert_eq!(self.len(), child.len());
        match (self, child) {
            (Memory::Engine(parent), Memory::Engine(child))
                if MAPS_FILES && parent.len() > COPIED =>
            {
                parent.fork_into(child)
            }
            (parent, child) => {
                torture::check(Point::Allocate)?;
                copy_changed(parent.bytes(), child.bytes_mut());
                Ok(())
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are accessible, and only the owner uses the memory.
        unsafe { std::slice::from_raw_parts(self.base(), self.len()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.base(), self.len()) }
    }
}

/// Copies the pages that differ, so that others take no memory.
fn copy_changed(from: &[u8], to: &mut [u8]) {
    let page = crate::system::page_size();
    for (from, to) in from.chunks(page).zip(to.chunks_mut(page)) {
        if from != to {
            to.copy_from_slice(from);
        }
    }
}

impl EngineMemory {
    /// As [`EngineMemory::new`], of a memory whose first fork copies nothing but what the image brings along.
    ///
    /// # Errors
    ///
    /// As there; or the system has no file in memory.
    pub fn new_forkable(
        ty: &MemoryType,
        guarded: bool,
        image: Option<Arc<MemoryImage>>,
    ) -> Result<EngineMemory, MemoryError> {
        let len = size_in_bytes(ty, ty.min).ok_or(MemoryError::TooLarge(ty.min))?;
        let mut memory = EngineMemory::reserve(ty, guarded, byte_limit(ty), len)?;
        let brought = image.as_ref().map_or(0, |image| image.len());
        if MAPS_FILES {
            memory.captured = Some(Captured::written_through(memory.most(), brought)?);
        }
        memory.show(image, len)?;
        Ok(memory)
    }

    fn fork_into(&mut self, child: &mut EngineMemory) -> io::Result<()> {
        self.end_tracking();
        child.end_tracking();
        let mut captured = self.take_captured()?;
        let done = self.fork_from(&mut captured, child);
        self.captured = Some(captured);
        done
    }

    fn fork_from(&mut self, captured: &mut Captured, child: &mut EngineMemory) -> io::Result<()> {
        if captured.torn {
            return Err(torn());
        }
        let own = match self.few_own_pages(captured) {
            Some(own) if !captured.pages.is_own() => own,
            _ => {
                self.write_back(captured)?;
                Vec::new()
            }
        };
        child.show_fork(captured)?;
        for run in own {
            // SAFETY: both memories are so large, and the borrows are exclusive.
            unsafe {
                let from = self.base().add(run.start);
                std::ptr::copy_nonoverlapping(from, child.base().add(run.start), run.len());
            }
        }
        Ok(())
    }

    /// The pages that differ from the range, if they are known and few enough to be copied to each child.
    fn few_own_pages(&self, captured: &Captured) -> Option<Vec<Range<usize>>> {
        if !captured.in_step || captured.written_through {
            return None;
        }
        let own = written(self.base(), self.accessible)?.runs;
        let bytes: usize = own.iter().map(Range::len).sum();
        (bytes <= (self.accessible / 16).max(1 << 20)).then_some(own)
    }

    /// Makes this memory, which nobody uses yet, a view of the range of another one.
    fn show_fork(&mut self, parent: &Captured) -> io::Result<()> {
        let mut captured = parent.forked(self.brought().min(self.accessible));
        // SAFETY: nobody relies on what the memory has.
        unsafe {
            self.show_range(&mut captured, self.accessible)?;
            let (shown, rest) = (captured.view, self.accessible - captured.view);
            if self.captured.as_ref().is_some_and(|own| own.written_through) {
                self.mapping.clear(shown, rest)?;
                self.mapping.make_accessible(shown, rest)?;
            } else {
                self.mapping.discard(shown, rest)?;
            }
        }
        (self.image, self.shown) = (None, 0);
        self.captured = Some(captured);
        Ok(())
    }

    /// Makes more pages accessible, which are zero, so that `want` bytes are.
    pub(super) fn make_accessible(&mut self, want: usize) -> io::Result<()> {
        let (start, len) = (self.accessible, want - self.accessible);
        match &mut self.captured {
            Some(captured) if captured.written_through && len > 0 => {
                captured.write_through(&self.mapping, start, len)?;
            }
            _ => self.mapping.make_accessible(start, len)?,
        }
        self.accessible = want;
        Ok(())
    }

    /// Makes a memory that writes to its range a private view of it.
    pub(super) fn end_write_through(&mut self, captured: &mut Captured) -> io::Result<()> {
        // SAFETY: the accessible bytes can be read, and the borrow of the memory is exclusive.
        let bytes = unsafe { std::slice::from_raw_parts(self.base(), self.accessible) };
        let brought = captured.foreign.min(self.accessible);
        // What the module brought along is in another file.
        captured.pages.update(bytes, std::slice::from_ref(&(0..brought)))?;
        let former = self.mapping.move_pages(brought, self.accessible - brought).ok();
        // SAFETY: the range has the contents of the memory, so nothing changes by showing it.
        unsafe { self.show_range(captured, self.accessible)? };
        former.into_iter().for_each(Mapping::drop_aside);
        captured.written_through = false;
        self.image = None;
        Ok(())
    }
}
