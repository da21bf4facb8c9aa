//! The contents of a heap at a moment, as a snapshot with state keeps them.

use super::{Heap, HeapWords, START};
use std::io;

/// A copy of what a heap held.
#[derive(Debug)]
pub struct HeapImage {
    /// Where memory began that had never been used.
    fresh: usize,
    /// Those parts that are not all zero, by where they begin.
    parts: Vec<(usize, Box<[u64]>)>,
}

/// Bytes of a part.
const PART: usize = 4096;

impl HeapImage {
    /// All words that the heap held and that are not zero, and some that are.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.parts.iter().flat_map(|(_, part)| part.iter().copied())
    }
}

impl Heap {
    /// Copies the contents.
    pub fn capture(&self) -> HeapImage {
        let mut parts = Vec::new();
        let mut at = START;
        while at < self.fresh {
            let len = PART.min(self.fresh - at);
            // SAFETY: accessible and aligned; the guest that could write them waits while this borrows the heap.
            let words = unsafe {
                std::slice::from_raw_parts(self.mapping.base().add(at).cast::<u64>(), len / 8)
            };
            if words.iter().any(|word| *word != 0) {
                parts.push((at, words.into()));
            }
            at += len;
        }
        HeapImage { fresh: self.fresh, parts }
    }

    /// Makes the contents those of an image of this heap. What is free is not known until the next collection.
    ///
    /// # Errors
    ///
    /// The system refuses to empty pages; then nothing has changed.
    pub fn restore(&mut self, words: &mut HeapWords, image: &HeapImage) -> io::Result<()> {
        // SAFETY: the contents are replaced; references to what is newer are made invalid by the caller.
        unsafe { self.mapping.discard(START, self.committed - START)? };
        for (at, part) in &image.parts {
            // SAFETY: the heap has never become smaller since these bytes were copied from it.
            unsafe {
                let to = self.mapping.base().add(*at).cast::<u64>();
                std::ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
            }
        }
        (words.next, words.limit) = (0, 0);
        self.fresh = image.fresh;
        self.sweep = image.fresh;
        Ok(())
    }
}
