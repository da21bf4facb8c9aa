//! The heap of a store: objects that guests allocate and that a collector frees.
//!
//! ```text
//!   base       START            next      limit        fresh        committed            4 GiB
//!    ┌─────────┬─────────────────┬─────────┬────────────┬────────────┬────────────────────┬───────┐
//!    │ guard   │ objects         │ window  │ objects    │ never used │ reserved           │ guard │
//!    └─────────┴─────────────────┴─────────┴────────────┴────────────┴────────────────────┴───────┘
//! ```
//!
//! A reference is the offset of an object from the base, a multiple of [`shape::ALIGN`]. All 32-bit offsets lie
//! in the reservation, so whatever the heap holds, no reference leads out of it. Where pointers have 32 bits the
//! reservation is smaller, and [`HeapRef::bytes_from_base`] drops the bits that lead out of it.
//!
//! Allocation moves [`HeapWords::next`] through a window of zeroes up to [`HeapWords::limit`]. When that is used
//! up, [`Heap::take`] finds the next window: a free run between objects that the last collection found alive, or
//! memory that was never used. A collection marks ([`Heap::root`], [`Heap::trace`]) and moves nothing. Its two sets of
//! bits lie outside the heap: which objects were seen, and which bytes they cover. Windows are found in the second
//! one, so that dead objects are never read, and nothing needs to be able to walk from object to object.
//!
//! The collector trusts no byte in the heap: an offset, a type number or a length that makes no sense is ignored.

mod bits;
mod displays;
mod image;
mod mark;
mod reference;
pub mod shape;
#[cfg(test)]
mod tests;

use crate::mapping::{Mapping, round_up};
use bits::Bits;
pub use displays::Displays;
pub use image::HeapImage;
pub use mark::Traced;
pub use reference::{FuncHandle, HeapRef};
pub use shape::{Holds, Shape, Shapes};
use std::io;
use std::time::Duration;
use wardian_types::{ObjectOffset, TypeNumber};

/// Bytes that references can reach, a power of two: all that 32 bits say, where there is so much address space.
pub const REACH: usize = if usize::BITS > 32 { (1_u64 << 32) as usize } else { 256 << 20 };

/// Offset of the first object. Below it nothing is accessible.
pub const START: usize = 64 << 10;
/// Inaccessible bytes behind the reach of references, more than the largest struct has.
pub const GUARD: usize = 256 << 10;
/// A window is at most so long, so that the zeroes that were just written are in the processor's cache.
const WINDOW: usize = 32 << 10;
/// Runs that are shorter stay unused until what lies beside them is free as well.
const LEAST_RUN: usize = 32;
/// Runs of so many bytes are emptied by the system rather than filled with zeroes.
const DISCARD: usize = 1 << 20;

/// The words of a store's context by which code allocates.
#[repr(C)]
#[derive(Debug)]
pub struct HeapWords {
    /// First byte of the reservation; null as long as the store has no heap.
    pub base: *mut u8,
    /// Offset of the next object.
    pub next: u64,
    /// End of the window.
    pub limit: u64,
}

impl Default for HeapWords {
    fn default() -> Self {
        HeapWords { base: std::ptr::null_mut(), next: 0, limit: 0 }
    }
}

/// What is known of a heap and its collections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeapStats {
    /// Bytes that the heap has now, used or not.
    pub capacity: usize,
    /// Bytes of the objects that the last collection found alive.
    pub live_bytes: usize,
    /// How many they were.
    pub live_objects: usize,
    /// Bytes allocated since the store was made, rounded up to windows.
    pub allocated_bytes: u64,
    /// How many collections there were.
    pub collections: u64,
    /// How long they took together.
    pub total_pause: Duration,
    /// How long the longest took.
    pub longest_pause: Duration,
    /// How long the last one took.
    pub last_pause: Duration,
}

/// The heap of a store.
#[derive(Debug)]
pub struct Heap {
    mapping: Mapping,
    /// End of the accessible bytes.
    committed: usize,
    /// From here on nothing was ever written.
    fresh: usize,
    /// Where to look for the next free run; `fresh` if there is none.
    sweep: usize,
    marks: Bits,
    covered: Bits,
    pending: mark::Pending,
    stats: HeapStats,
    /// Fills what is freed with a pattern, for tests.
    poison: bool,
}

impl Heap {
    /// Reserves an empty heap and writes its base to `words`.
    ///
    /// # Errors
    ///
    /// The system has no address space left.
    pub fn new(words: &mut HeapWords) -> io::Result<Heap> {
        let mapping = Mapping::reserve(REACH + GUARD)?;
        *words = HeapWords { base: mapping.base(), next: 0, limit: 0 };
        Ok(Heap {
            mapping,
            committed: START,
            fresh: START,
            sweep: START,
            marks: Bits::default(),
            covered: Bits::default(),
            pending: mark::Pending::default(),
            stats: HeapStats::default(),
            poison: false,
        })
    }

    /// Makes collections overwrite what they free, so that a reference that was forgotten is noticed.
    pub fn set_poison(&mut self, poison: bool) {
        self.poison = poison;
    }

    /// Bytes that the heap has.
    pub fn capacity(&self) -> usize {
        self.committed - START
    }

    /// Bytes that a heap may have at most.
    pub const fn most() -> usize {
        REACH - START
    }

    /// Statistics.
    pub fn stats(&self) -> HeapStats {
        HeapStats { capacity: self.capacity(), ..self.stats }
    }

    /// Notes how long a collection took.
    pub fn note_pause(&mut self, pause: Duration) {
        self.stats.collections += 1;
        self.stats.total_pause += pause;
        self.stats.longest_pause = self.stats.longest_pause.max(pause);
        self.stats.last_pause = pause;
    }

    /// Gives the heap `capacity` bytes, rounded up to pages.
    ///
    /// # Errors
    ///
    /// More than a heap may have, or the system has no memory; then nothing has changed.
    pub fn grow(&mut self, capacity: usize) -> io::Result<()> {
        let end = capacity.checked_add(START).and_then(round_up).filter(|end| *end <= REACH);
        let end = end.ok_or(io::ErrorKind::OutOfMemory)?;
        if end <= self.committed {
            return Ok(());
        }
        if !self.marks.reserve(end) || !self.covered.reserve(end) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.mapping.make_accessible(self.committed, end - self.committed)?;
        self.committed = end;
        Ok(())
    }

    /// Room for an object of `size` bytes, a multiple of [`shape::ALIGN`], all zero: from the window, or from a new
    /// one. `None` if there is none without a collection or growth.
    pub fn take(&mut self, words: &mut HeapWords, size: u64) -> Option<HeapRef> {
        debug_assert!(size >= u64::from(shape::HEADER) && size.is_multiple_of(8));
        loop {
            let end = words.next.checked_add(size)?;
            if end <= words.limit {
                let at = HeapRef::in_low_half(words.next);
                words.next = end;
                return Some(at);
            }
            let wanted = usize::try_from(size).ok().filter(|size| *size <= REACH)?;
            if wanted > WINDOW {
                return self.take_large(wanted);
            }
            let (start, end) = self.next_run(wanted)?;
            self.stats.allocated_bytes += (end - start) as u64;
            if words.limit != start as u64 {
                words.next = start as u64;
            }
            words.limit = end as u64;
        }
    }

    /// As [`Self::take`], but what is left of the window is dropped, so that the next allocation comes here again.
    pub fn take_alone(&mut self, words: &mut HeapWords, size: u64) -> Option<HeapRef> {
        let at = self.take(words, size)?;
        if words.limit > words.next {
            // Memory of the window is zero: it goes back to where it came from.
            let (next, limit) = (words.next as usize, words.limit as usize);
            if limit == self.fresh {
                self.fresh = next;
                self.sweep = self.sweep.min(next);
            } else {
                self.sweep = next;
            }
            words.limit = words.next;
        }
        Some(at)
    }

    /// The next window of at least `size` bytes: zeroes.
    fn next_run(&mut self, size: usize) -> Option<(usize, usize)> {
        while self.sweep < self.fresh {
            let start = self.covered.find(false, self.sweep, self.fresh);
            let end = self.covered.find(true, start, self.fresh.min(start + WINDOW));
            self.sweep = end;
            if end - start >= size.max(LEAST_RUN) {
                self.empty(start, end);
                return Some((start, end));
            }
        }
        let start = self.fresh;
        let end = self.committed.min(start + WINDOW);
        if end - start < size {
            return None;
        }
        self.fresh = end;
        self.sweep = end;
        Some((start, end))
    }

    /// Room for an object that is larger than a window.
    fn take_large(&mut self, size: usize) -> Option<HeapRef> {
        let mut at = self.sweep;
        while at < self.fresh {
            let start = self.covered.find(false, at, self.fresh);
            let end = self.covered.find(true, start, self.fresh.min(start + size));
            if end - start >= size {
                self.covered.set_range(start, end);
                self.empty(start, end);
                self.stats.allocated_bytes += size as u64;
                return Some(HeapRef::at(start));
            }
            at = end;
        }
        let start = self.fresh;
        if self.committed - start < size {
            return None;
        }
        // What is free below stays findable: the new object is covered.
        self.covered.set_range(start, start + size);
        if self.sweep == self.fresh {
            self.sweep = start + size;
        }
        self.fresh = start + size;
        self.stats.allocated_bytes += size as u64;
        Some(HeapRef::at(start))
    }

    /// Fills a free run with zeroes.
    fn empty(&mut self, start: usize, end: usize) {
        let page = crate::system::page_size();
        let (first, last) = (start.next_multiple_of(page), end / page * page);
        if end - start >= DISCARD && first < last {
            // SAFETY: no live object is in a free run.
            if unsafe { self.mapping.discard(first, last - first) }.is_ok() {
                self.fill(start, first, 0);
                self.fill(last, end, 0);
                return;
            }
        }
        self.fill(start, end, 0);
    }

    /// Fills bytes that belong to no object.
    fn fill(&mut self, start: usize, end: usize, byte: u8) {
        assert!(START <= start && start <= end && end <= self.committed);
        // SAFETY: accessible bytes of our own mapping; no Rust reference into it exists.
        unsafe { std::ptr::write_bytes(self.mapping.base().add(start), byte, end - start) };
    }

    /// Whether an object of at least `size` bytes could begin at this offset.
    #[inline]
    fn fits(&self, at: HeapRef, size: u64) -> bool {
        at.as_u32() as usize >= START
            && at.as_u32().is_multiple_of(shape::ALIGN)
            && at.as_word() + size <= self.fresh as u64
    }

    /// The address of `len` bytes of an object, from `offset` of it on; `None` if the range lies outside of what was
    /// allocated.
    #[inline]
    pub fn bytes(&self, object: HeapRef, offset: ObjectOffset, len: u64) -> Option<*mut u8> {
        let end = offset.as_u64().checked_add(len)?;
        if !self.fits(object, end) {
            return None;
        }
        // SAFETY: in the mapping, as was just checked.
        Some(unsafe {
            self.mapping.base().add(object.as_u32() as usize + offset.as_u64() as usize)
        })
    }

    /// The two words of an object's header; `None` for what is no offset of an object.
    #[inline]
    pub fn header(&self, object: HeapRef) -> Option<(TypeNumber, u32)> {
        let at = self.bytes(object, ObjectOffset::default(), 8)?.cast::<u32>();
        // SAFETY: eight accessible bytes, aligned since objects are.
        unsafe { Some((TypeNumber::from_u32(at.read()), at.add(1).read())) }
    }
}
