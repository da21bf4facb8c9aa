//! Addresses on a stack that a guest keeps in its memory, copied with each sample.
//!
//! ```text
//!   global ──> sp ┌────────────┐
//!                 │ a word     │  left out: it is none of the addresses that are looked for
//!                 │ an address │  copied, with where it is
//!                 │ ...        │  up to a bound
//! ```
//!
//! What they mean is found out later, by who knows the guest's language. As for a [chain](super::chain), all of it
//! comes from the guest and may be anything, and the kernel does the copying.

use super::chain::{Bytes, MAX_LINKS};
use crate::addr::DataAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use wardian_types::GuestAddr;

/// Bytes of the stack that are looked through.
const SCANNED: usize = 16 << 10;
/// Bytes that are copied at once. They are on the stack for signals.
const WINDOW: usize = 2048;

/// Which words of a stack are copied, and where it begins.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    /// Address of a global.
    pointer: DataAddr,
    /// Words with these values are copied.
    words: (u32, u32),
}

impl Scan {
    /// Of the stack from the address that a global has, words of 64 bits with these values.
    ///
    /// # Safety
    ///
    /// Whenever words are copied, `pointer` is valid for reads.
    pub unsafe fn new(pointer: *const u32, words: Range<u32>) -> Scan {
        Scan { pointer: DataAddr::of(pointer), words: (words.start, words.end) }
    }

    /// The stack pointer, in the upper half of a word; then the addresses that are found: each in the lower half, and where
    /// it is in the upper one. Ends after [`MAX_LINKS`] words, or where the memory does.
    pub fn links(&self, bytes: &Bytes) -> impl Iterator<Item = u64> {
        // SAFETY: the promise of `new`; globals are aligned. The guest that writes it is the thread that is interrupted.
        let sp = unsafe { (*self.pointer.as_ptr::<AtomicU32>()).load(Ordering::Relaxed) };
        let (scan, bytes) = (*self, *bytes);
        let (mut window, mut begin, mut at, mut filled) = ([0; WINDOW], sp as usize, 0, 0);
        let step = move || {
            loop {
                if at == filled {
                    begin += filled;
                    if begin - sp as usize >= SCANNED || !sp.is_multiple_of(8) {
                        return None;
                    }
                    filled = bytes.len().saturating_sub(begin).min(WINDOW) / 8 * 8;
                    at = 0;
                    if filled == 0
                        || !bytes.copy(GuestAddr::from_u64(begin as u64), window.get_mut(..filled)?)
                    {
                        return None;
                    }
                }
                let word = u64::from_le_bytes(*window.get(at..)?.first_chunk()?);
                let address = u32::try_from(begin + at).ok()?;
                at += 8;
                if (u64::from(scan.words.0)..u64::from(scan.words.1)).contains(&word) {
                    return Some(u64::from(address) << 32 | word);
                }
            }
        };
        std::iter::once(u64::from(sp) << 32).chain(std::iter::from_fn(step)).take(MAX_LINKS)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, MAX_LINKS, SCANNED, Scan};
    use std::sync::atomic::AtomicUsize;

    /// Addresses from 100 up to 199 on a stack from `sp` on: where each is, and which.
    fn found(words: &[u64], sp: u32) -> Vec<(u32, u32)> {
        let len = AtomicUsize::new(8 * words.len());
        // SAFETY: all of them outlive the call.
        let (bytes, scan) = unsafe {
            (Bytes::new(words.as_ptr().cast(), &len), Scan::new(&raw const sp, 100..200))
        };
        let mut links = scan.links(&bytes).map(|word| ((word >> 32) as u32, word as u32));
        assert_eq!(links.next(), Some((sp, 0)));
        links.collect()
    }

    #[test]
    fn addresses_are_found_from_the_stack_pointer_on() {
        let words = [150, 99, 100, 1 << 32 | 150, 200, 199, u64::MAX];
        assert_eq!(found(&words, 0), [(0, 150), (16, 100), (40, 199)]);
        assert_eq!(found(&words, 8), [(16, 100), (40, 199)]);
        assert_eq!(found(&words, 48), []);
    }

    #[test]
    fn wild_stacks_end() {
        for sp in [4, 7, 8, 16, 1 << 20, u32::MAX, u32::MAX - 7] {
            assert_eq!(found(&[150], sp), [], "{sp}");
        }
        assert_eq!(found(&vec![150; 10_000], 0).len(), MAX_LINKS - 1);
        let mut far = vec![0; 10_000];
        far[SCANNED / 8 - 1] = 150;
        far[SCANNED / 8] = 150;
        assert_eq!(found(&far, 0), [(SCANNED as u32 - 8, 150)]);
    }
}
