//! One bit for each eight bytes of a heap, kept outside of it.

use super::HeapRef;
use crate::torture::{self, Point};

/// Bits by the offset of an object.
#[derive(Debug, Default)]
pub(super) struct Bits {
    words: Vec<u64>,
}

/// Bytes of the heap for which a word has bits.
const PER_WORD: usize = 64 * 8;

impl Bits {
    /// Makes room for a heap of `end` bytes; false if the system has no memory.
    pub(super) fn reserve(&mut self, end: usize) -> bool {
        let wanted = end.div_ceil(PER_WORD);
        let more = wanted.saturating_sub(self.words.len());
        if torture::fails(Point::Allocate) || self.words.try_reserve_exact(more).is_err() {
            return false;
        }
        self.words.resize(wanted.max(self.words.len()), 0);
        true
    }

    pub(super) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Sets the bit of an object; returns whether it was clear.
    #[inline]
    pub(super) fn set(&mut self, object: HeapRef) -> bool {
        let bit = 1 << (object.as_u32() / 8 % 64);
        let word = &mut self.words[object.as_u32() as usize / PER_WORD];
        let clear = *word & bit == 0;
        *word |= bit;
        clear
    }

    /// Sets the bits of all bytes from `start` to `end`, multiples of eight.
    #[inline]
    pub(super) fn set_range(&mut self, start: usize, end: usize) {
        let (mut at, last) = (start / 8, end / 8);
        while at < last {
            let count = (64 - at % 64).min(last - at);
            let ones = if count == 64 { u64::MAX } else { ((1 << count) - 1) << (at % 64) };
            self.words[at / 64] |= ones;
            at += count;
        }
    }

    /// The bit of an object.
    pub(super) fn get(&self, object: HeapRef) -> bool {
        let word = self.words.get(object.as_u32() as usize / PER_WORD);
        word.is_some_and(|word| word >> (object.as_u32() / 8 % 64) & 1 == 1)
    }

    /// How many bits are set below `end`.
    pub(super) fn count(&self, end: usize) -> usize {
        let words = self.words.iter().take(end.div_ceil(PER_WORD));
        words.map(|word| word.count_ones() as usize).sum()
    }

    /// The first offset from `start` on whose bit is as wanted; `end` if there is none before.
    pub(super) fn find(&self, wanted: bool, start: usize, end: usize) -> usize {
        let (mut at, last) = (start / 8, end / 8);
        while at < last {
            let word = self.words[at / 64];
            let word = (if wanted { word } else { !word }) >> (at % 64);
            if word != 0 {
                return ((at + word.trailing_zeros() as usize) * 8).min(end);
            }
            at = (at / 64 + 1) * 64;
        }
        end
    }
}
