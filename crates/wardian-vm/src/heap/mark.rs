//! Marking: which objects can be reached.

use super::shape::{EXTERN_BOX, EXTERN_BOX_TYPE, HEADER, Holds, Shape, Shapes, element_at};
use super::{Heap, HeapRef, HeapWords, START};
use crate::torture::{self, Point};
use wardian_types::{ArrayElementIndex, ObjectOffset, TypeNumber};

/// Objects that were seen and whose references were not.
///
/// It has a bound. An object that does not fit is found again by its mark: see [`Heap::refill`].
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Offsets of objects, and before one whose lowest bit is set the element from which on it is to be read.
    entries: Vec<u32>,
    most: usize,
    /// The lowest object that did not fit.
    lost: Option<HeapRef>,
}

/// Entries that there may always be.
const LEAST_PENDING: usize = 16 << 10;
/// Bytes of the heap for which there may be an entry more.
const BYTES_PER_PENDING: usize = 64;
/// Elements of an array that are read at once.
const PART: u32 = 512;
/// Objects read between two looks at whether to stop.
const POLL: u32 = 4096;
/// Places for shapes that were found lately.
const KNOWN: usize = 64;
/// Bytes of an object that holds a handle.
const EXTERN_BOX_SIZE: u64 = 16;
/// What is written over freed memory, for tests.
const POISON: u8 = 0xdb;

impl Pending {
    #[inline]
    fn push(&mut self, object: HeapRef) {
        if self.make_room(1) {
            self.entries.push(object.as_u32());
        } else {
            self.lose(object);
        }
    }

    fn push_part(&mut self, object: HeapRef, from: ArrayElementIndex) {
        if self.make_room(2) {
            self.entries.extend([from.as_u32(), object.as_u32() | 1]);
        } else {
            self.lose(object);
        }
    }

    fn lose(&mut self, object: HeapRef) {
        self.lost = Some(self.lost.map_or(object, |lost| lost.min(object)));
    }

    #[inline]
    fn make_room(&mut self, count: usize) -> bool {
        self.entries.capacity() - self.entries.len() >= count || self.more(count)
    }

    #[cold]
    fn more(&mut self, count: usize) -> bool {
        let len = self.entries.len();
        if len + count > self.most || torture::fails(Point::Allocate) {
            return false;
        }
        let wanted = (len * 2).max(1024).min(self.most);
        self.entries.try_reserve_exact(wanted - len).is_ok()
    }
}

/// What [`Heap::trace`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traced {
    /// All that can be reached from the roots so far is marked.
    Done,
    /// It was stopped on request.
    Stopped,
}

impl Heap {
    /// Begins a collection: nothing is marked. The window is given up.
    pub fn begin(&mut self, words: &mut HeapWords) {
        words.next = 0;
        words.limit = 0;
        self.marks.clear();
        self.covered.clear();
        self.pending.entries.clear();
        self.pending.lost = None;
        self.pending.most = LEAST_PENDING.max(self.capacity() / BYTES_PER_PENDING);
        // Nothing is free as long as it is not known what lives.
        self.sweep = self.fresh;
    }

    /// Notes that a word is held. Words that are no references to objects do not matter.
    #[inline]
    pub fn root(&mut self, word: u64) {
        if let Some(object) = HeapRef::from_word(word) {
            self.mark(object);
        }
    }

    /// Notes that an object is held. What is no reference to one does not matter.
    #[inline]
    pub fn mark(&mut self, object: HeapRef) {
        if self.fits(object, u64::from(HEADER)) && self.marks.set(object) {
            self.pending.push(object);
        }
    }

    /// Marks all that can be reached from the roots. Handles found in objects are passed to `handle`; after that
    /// more roots may follow, and another trace.
    pub fn trace(
        &mut self,
        shapes: &impl Shapes,
        handle: &mut impl FnMut(u64),
        stop: &impl Fn() -> bool,
    ) -> Traced {
        let mut reader = Reader {
            shapes,
            handle,
            stop,
            known: [(TypeNumber::from_u32(0), None); KNOWN],
            count: 0,
        };
        loop {
            if self.drain(&mut reader) == Traced::Stopped {
                return Traced::Stopped;
            }
            let Some(lost) = self.pending.lost.take() else { return Traced::Done };
            if self.refill(lost, &mut reader) == Traced::Stopped {
                return Traced::Stopped;
            }
        }
    }

    fn drain<S: Shapes, H: FnMut(u64), P: Fn() -> bool>(
        &mut self,
        reader: &mut Reader<'_, S, H, P>,
    ) -> Traced {
        while let Some(entry) = self.pending.entries.pop() {
            let part = entry & 1 == 1;
            let from = if part { self.pending.entries.pop().unwrap_or(0) } else { 0 };
            let from = ArrayElementIndex::from_u32(from);
            self.read(HeapRef::from_u32(entry & !1), from, reader);
            if reader.is_stopped() {
                return Traced::Stopped;
            }
        }
        Traced::Done
    }

    /// Reads all marked objects from `lost` on again, since it is not known which of them were not read.
    fn refill<S: Shapes, H: FnMut(u64), P: Fn() -> bool>(
        &mut self,
        lost: HeapRef,
        reader: &mut Reader<'_, S, H, P>,
    ) -> Traced {
        let mut at = self.marks.find(true, lost.as_u32() as usize, self.fresh);
        while at < self.fresh {
            self.read(HeapRef::at(at), ArrayElementIndex::FIRST, reader);
            if self.drain(reader) == Traced::Stopped || reader.is_stopped() {
                return Traced::Stopped;
            }
            at = self.marks.find(true, at + 8, self.fresh);
        }
        Traced::Done
    }

    /// Covers an object, and marks what it refers to; of an array the elements from `from` on.
    fn read<'s, S: Shapes, H: FnMut(u64), P: Fn() -> bool>(
        &mut self,
        object: HeapRef,
        from: ArrayElementIndex,
        reader: &mut Reader<'s, S, H, P>,
    ) {
        let Some((number, length)) = self.header(object) else { return };
        let start = object.as_u32() as usize;
        if number == EXTERN_BOX_TYPE && length == EXTERN_BOX {
            self.cover(start, EXTERN_BOX_SIZE);
            self.report(object, ObjectOffset::from_u32(HEADER), reader);
            return;
        }
        let shape = reader.shape(number);
        let size =
            shape.and_then(|shape| shape.size(length)).filter(|size| self.fits(object, *size));
        let (Some(shape), Some(size)) = (shape, size) else {
            return self.cover(start, u64::from(HEADER));
        };
        if from == ArrayElementIndex::FIRST {
            self.cover(start, size);
        }
        match shape {
            Shape::Struct { references, handles, .. } => {
                for offset in references {
                    self.follow(object, *offset);
                }
                for offset in handles {
                    self.report(object, *offset, reader);
                }
            }
            Shape::Array { holds: Holds::Data, .. } => {}
            Shape::Array { element, holds } => {
                let end = length.min(from.as_u32().saturating_add(PART));
                let end = ArrayElementIndex::from_u32(end);
                if end.as_u32() < length {
                    self.pending.push_part(object, end);
                }
                for offset in ArrayElementIndex::range(from..end).map(|i| element_at(*element, i)) {
                    match holds {
                        Holds::References => self.follow(object, offset),
                        _ => self.report(object, offset, reader),
                    }
                }
            }
        }
    }

    #[inline]
    fn cover(&mut self, start: usize, size: u64) {
        self.covered.set_range(start, start + size as usize);
    }

    /// Marks what a field refers to.
    #[inline]
    fn follow(&mut self, object: HeapRef, offset: ObjectOffset) {
        if let Some(at) = self.bytes(object, offset, 4) {
            // SAFETY: four accessible bytes.
            self.mark(unsafe { at.cast::<HeapRef>().read_unaligned() });
        }
    }

    /// Reports a handle in an object. If its upper half is zero, it is a reference instead.
    fn report<S, H: FnMut(u64), P>(
        &mut self,
        object: HeapRef,
        offset: ObjectOffset,
        reader: &mut Reader<'_, S, H, P>,
    ) {
        let Some(at) = self.bytes(object, offset, 8) else { return };
        // SAFETY: eight accessible bytes.
        match unsafe { at.cast::<u64>().read_unaligned() } {
            word if word >> 32 == 0 => self.root(word),
            handle => (reader.handle)(handle),
        }
    }

    /// Ends a collection that was traced to its end: what is not marked is free.
    pub fn finish(&mut self) {
        self.sweep = START;
        self.stats.live_objects = self.marks.count(self.fresh);
        self.stats.live_bytes = 8 * self.covered.count(self.fresh);
        if self.poison {
            let mut at = START;
            while at < self.fresh {
                let start = self.covered.find(false, at, self.fresh);
                let end = self.covered.find(true, start, self.fresh);
                self.fill(start, end, POISON);
                at = end;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn limit_pending(&mut self, most: usize) {
        self.pending.most = most;
        self.pending.entries = Vec::new();
    }

    /// Whether the last collection saw an object at this offset.
    pub fn is_marked(&self, object: HeapRef) -> bool {
        self.fits(object, u64::from(HEADER)) && self.marks.get(object)
    }
}

/// What it takes to read objects.
struct Reader<'s, S, H, P> {
    shapes: &'s S,
    handle: H,
    stop: P,
    /// Shapes found lately.
    known: [(TypeNumber, Option<&'s Shape>); KNOWN],
    count: u32,
}

impl<'s, S: Shapes, H, P: Fn() -> bool> Reader<'s, S, H, P> {
    #[inline]
    fn shape(&mut self, number: TypeNumber) -> Option<&'s Shape> {
        let known = &mut self.known[number.index() % KNOWN];
        if known.0 != number || known.1.is_none() {
            *known = (number, self.shapes.shape(number));
        }
        known.1
    }

    #[inline]
    fn is_stopped(&mut self) -> bool {
        self.count = self.count.wrapping_add(1);
        self.count.is_multiple_of(POLL) && (self.stop)()
    }
}
