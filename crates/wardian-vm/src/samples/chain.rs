//! A chain of records in a guest's memory, copied with each sample.
//!
//! An interpreter that runs inside a guest keeps the calls of its own language in such a chain. What is copied
//! says where the interpreted program is; what it means is looked up later, by who knows the interpreter.
//!
//! All addresses and pointers come from the guest and may be anything. They are compared with the size of its
//! memory, and the kernel does the copying, which fails where a direct access would fault: a sample may be taken
//! while the memory is being changed.

use crate::addr::DataAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use wardian_types::GuestAddr;

/// Records of a chain that are copied with a sample.
pub const MAX_LINKS: usize = 64;
/// Bytes of a record, from its address on, in which everything that is copied has to be.
pub const RECORD: usize = 64;
/// Pointers that lead to a chain, besides the first.
pub const MAX_PATH: usize = 4;

/// Bytes that are copied at once: records mostly lie close together, each further one before the one that leads to it.
/// They are on the stack for signals.
const WINDOW: usize = 2048;
/// The same of what pointers to marks lead to.
const MARKS: usize = 512;

/// How a chain is found, and what its records are like. Pointers have 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where the first step begins.
    pub start: GuestAddr,
    /// Offsets at which a pointer is read: the first from `start` on, each further one from the pointer before on, the
    /// last of which is the address of the first record.
    pub path: [u32; MAX_PATH],
    /// How many of the offsets count.
    pub steps: usize,
    /// Offset of the first word that is copied.
    pub first: u32,
    /// Offset of the second one, whose lowest bit is replaced by the mark.
    pub second: u32,
    /// Offset of the pointer to the next record, unless records lie one behind the other.
    pub next: u32,
    /// Bytes from a record to the next one, if they lie one behind the other; else zero.
    pub stride: u32,
    /// Where these end: offsets from the last pointer but one of the path, or from the start, at which there are a
    /// pointer, and how many words are from there to the end; and how many bytes before the end are no records.
    pub end: [u32; 3],
    /// Offset of a byte, and the smallest value at which a record is marked: above 255 for none.
    pub mark: (u32, u16),
    /// Bits of this byte that do not count.
    pub ignored: u8,
    /// Offset of a pointer to the byte of the mark, if that is not in the record itself.
    pub mark_behind: Option<u32>,
}

/// The bytes of a memory that does not move.
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    base: DataAddr,
    /// Address of an [`AtomicUsize`].
    len: DataAddr,
}

impl Bytes {
    /// Bytes from `base` on, as many as `len` says at the time.
    ///
    /// # Safety
    ///
    /// Whenever bytes are copied, `len` is valid, and so many bytes after `base` are memory of one guest, or have no
    /// rights.
    pub unsafe fn new(base: *const u8, len: *const AtomicUsize) -> Bytes {
        Bytes { base: DataAddr::of(base), len: DataAddr::of(len) }
    }

    /// How many there are now.
    pub fn len(&self) -> usize {
        // SAFETY: the promise of `new`.
        unsafe { (*self.len.as_ptr::<AtomicUsize>()).load(Ordering::Relaxed) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes. Says whether they are all there; if not, `into` may have some of them. May be called in a
    /// signal handler. The guest may be changing them.
    pub fn copy(&self, at: GuestAddr, into: &mut [u8]) -> bool {
        let Ok(at) = usize::try_from(at.as_u64()) else { return false };
        if at.checked_add(into.len()).is_none_or(|end| end > self.len()) {
            return false;
        }
        // SAFETY: the promise of `new`.
        unsafe { crate::system::copy(self.base.add(at), into) }
    }

    /// The pointer, or another word of 32 bits, at an address.
    fn word(&self, at: GuestAddr) -> Option<u32> {
        let mut word = [0; 4];
        self.copy(at, &mut word).then(|| u32::from_le_bytes(word))
    }

    fn pointer(&self, at: GuestAddr) -> Option<GuestAddr> {
        Some(pointer(self.word(at)?))
    }
}

/// The address that a pointer of 32 bits has.
fn pointer(word: u32) -> GuestAddr {
    GuestAddr::from_u64(word.into())
}

impl Chain {
    /// Whether records have everything where it can be copied.
    pub fn is_valid(&self) -> bool {
        let words = [self.first, self.second, self.next, self.mark_behind.unwrap_or(0)];
        self.steps <= MAX_PATH
            && words.iter().all(|at| (*at as usize).checked_add(4).is_some_and(|end| end <= RECORD))
            && (self.mark.0 as usize) < RECORD
            && self.stride as usize <= RECORD
    }

    /// The words of the records, the first one in the upper half; ends where the chain does, after
    /// [`MAX_LINKS`], or where it leads out of the memory.
    pub fn links(&self, bytes: &Bytes) -> impl Iterator<Item = u64> {
        let (chain, bytes) = (*self, *bytes);
        let (mut at, mut before) = (Some(chain.start), Some(chain.start));
        for offset in &chain.path[..chain.steps.min(MAX_PATH)] {
            before = at;
            at =
                at.and_then(|at| at.checked_add((*offset).into())).and_then(|at| bytes.pointer(at));
        }
        let end =
            if chain.stride > 0 { chain.end(&bytes, before) } else { Some(pointer(u32::MAX)) };
        let (mut records, mut marks) = (Window::<WINDOW>::new(), Window::<MARKS>::new());
        // What is behind the last field that is needed may be out of the memory.
        let mark_end = chain.mark_behind.map_or(chain.mark.0 + 1, |at| at + 4);
        let ends = [chain.first + 4, chain.second + 4, chain.next + 4, mark_end];
        let length = ends.into_iter().max().unwrap_or(0) as usize;
        let step = move || {
            let address = at.filter(|at| at.as_u64() != 0 && Some(*at) < end)?;
            let record = records.get(&bytes, address, length, chain.stride > 0)?;
            let word = |offset: u32| {
                let field = record.get(offset as usize..)?.first_chunk()?;
                Some(u32::from_le_bytes(*field))
            };
            at = match chain.stride {
                0 => word(chain.next).map(pointer),
                stride => address.checked_add(stride.into()),
            };
            let mark = match chain.mark_behind {
                // A record whose mark cannot be read has none.
                Some(at) => marks.get(&bytes, pointer(word(at)?), 1, false).map_or(0, |m| m[0]),
                None => *record.get(chain.mark.0 as usize)?,
            };
            let marked = u16::from(mark & !chain.ignored) >= chain.mark.1;
            let second = word(chain.second)? & !1 | u32::from(marked);
            Some(u64::from(word(chain.first)?) << 32 | u64::from(second))
        };
        std::iter::from_fn(step).take(MAX_LINKS)
    }

    /// Where records that lie one behind the other end.
    fn end(&self, bytes: &Bytes, from: Option<GuestAddr>) -> Option<GuestAddr> {
        let word = |offset: u32| bytes.word(from?.checked_add(offset.into())?);
        let [start, words, spare] = self.end;
        word(start)?.checked_add(word(words)?.checked_mul(4)?)?.checked_sub(spare).map(pointer)
    }
}

/// Bytes that were copied together.
struct Window<const SIZE: usize> {
    bytes: [u8; SIZE],
    begin: usize,
    filled: usize,
}

impl<const SIZE: usize> Window<SIZE> {
    fn new() -> Window<SIZE> {
        Window { bytes: [0; SIZE], begin: 0, filled: 0 }
    }

    /// Bytes at an address, copied with those behind them or before them.
    #[inline]
    fn get(&mut self, from: &Bytes, at: GuestAddr, length: usize, behind: bool) -> Option<&[u8]> {
        let at = usize::try_from(at.as_u64()).ok()?;
        let end = at.checked_add(length)?;
        if at < self.begin || end > self.begin + self.filled {
            let (begin, stop) = match behind {
                true => (at, at.checked_add(SIZE)?.min(from.len()).max(end)),
                false => (end.saturating_sub(SIZE), end),
            };
            (self.begin, self.filled) = (begin, stop - begin);
            if !from.copy(GuestAddr::from_u64(begin as u64), self.bytes.get_mut(..self.filled)?) {
                // A part of it is not there, perhaps.
                (self.begin, self.filled) = (at, length);
                if !from.copy(GuestAddr::from_u64(at as u64), self.bytes.get_mut(..length)?) {
                    self.filled = 0;
                    return None;
                }
            }
        }
        self.bytes.get(at - self.begin..end - self.begin)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Chain, MAX_LINKS};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use wardian_types::GuestAddr;

    const CHAIN: Chain = Chain {
        start: GuestAddr::from_u64(8),
        path: [4, 0, 0, 0],
        steps: 1,
        first: 0,
        second: 4,
        next: 8,
        mark: (12, 2),
        ignored: 0,
        stride: 0,
        end: [0; 3],
        mark_behind: None,
    };

    fn bytes(words: &[u32]) -> (Vec<u32>, Box<AtomicUsize>) {
        (words.to_vec(), Box::new(AtomicUsize::new(4 * words.len())))
    }

    fn links(chain: &Chain, (words, len): &(Vec<u32>, Box<AtomicUsize>)) -> Vec<u64> {
        // SAFETY: both outlive the call.
        let bytes = unsafe { Bytes::new(words.as_ptr().cast(), &**len) };
        chain.links(&bytes).collect()
    }

    #[test]
    fn records_are_followed_to_their_end() {
        // Two records, at 16 and at 32; the second has the mark.
        let memory = bytes(&[0, 0, 0, 16, 0x10, 0x21, 32, 1, 0x30, 0x40, 0, 2]);
        assert_eq!(links(&CHAIN, &memory), [0x10_0000_0020, 0x30_0000_0041]);
        // Of the mark only some bits count.
        let other = Chain { ignored: 2, ..CHAIN };
        assert_eq!(links(&other, &memory), [0x10_0000_0020, 0x30_0000_0040]);
        // The memory is shorter: what is out of it is not read.
        memory.1.store(44, Ordering::Relaxed);
        assert_eq!(links(&CHAIN, &memory), [0x10_0000_0020]);
        memory.1.store(12, Ordering::Relaxed);
        assert_eq!(links(&CHAIN, &memory), [0; 0]);
    }

    #[test]
    fn records_that_lie_one_behind_the_other_end_where_it_is_said() {
        // At 8 a pointer to what says where they are: from 32 on, the first at 36, up to 32 and 5 words. Each has a word,
        // and a pointer to a mark.
        let memory = bytes(&[0, 0x4, 16, 0, 32, 5, 36, 0, 0, 7, 4, 8, 0, 0x99, 4]);
        let array = Chain {
            path: [0, 8, 0, 0],
            steps: 2,
            first: 0,
            second: 0,
            next: 0,
            stride: 8,
            end: [0, 4, 0],
            mark_behind: Some(4),
            mark: (0, 1),
            ignored: !4,
            ..CHAIN
        };
        // The second pointer leads nowhere, and what is behind the end is no record.
        assert_eq!(links(&array, &memory), [0x7_0000_0007, 0x8_0000_0008]);
        memory.1.store(44, Ordering::Relaxed);
        assert_eq!(links(&array, &memory), [0x7_0000_0007]);
        let longer = bytes(&[0, 0x4, 16, 0, 32, u32::MAX, 36, 0, 0, 7, 4, 8, 0, 0x99, 4]);
        assert_eq!(links(&array, &longer), [0; 0]);
        let one = Chain { end: [0, 4, 8], ..array };
        assert_eq!(links(&one, &bytes(&memory.0)), [0x7_0000_0007]);
        let one = Chain { end: [8, 12, 0], ..array };
        assert_eq!(links(&one, &memory), [0; 0]);
        assert!(array.is_valid() && !Chain { stride: 65, ..array }.is_valid());
        assert!(!Chain { mark_behind: Some(u32::MAX), ..array }.is_valid());
    }

    #[test]
    fn a_ring_and_wild_pointers_end() {
        let ring = bytes(&[0, 0, 0, 16, 1, 2, 16, 0]);
        assert_eq!(links(&CHAIN, &ring).len(), MAX_LINKS);
        for wild in [u32::MAX, u32::MAX - 3, 1 << 31, 29, 0] {
            assert_eq!(links(&CHAIN, &bytes(&[0, 0, 0, 16, 1, 2, wild, 0])).len(), 1, "{wild}");
            assert_eq!(links(&CHAIN, &bytes(&[0, 0, 0, wild, 1, 2, 0, 0])).len(), 0, "{wild}");
        }
        let far = Chain { start: GuestAddr::from_u64(u32::MAX.into()), ..CHAIN };
        assert_eq!(links(&far, &ring).len(), 0);
        assert!(CHAIN.is_valid() && !Chain { first: 61, ..CHAIN }.is_valid());
        assert!(!Chain { second: u32::MAX - 1, ..CHAIN }.is_valid());
    }

    #[test]
    fn memory_without_rights_is_no_fault() {
        let page = crate::system::page_size();
        let mapping = crate::mapping::Mapping::reserve(page).unwrap();
        let len = AtomicUsize::new(page);
        // SAFETY: the mapping is there, and has no rights.
        let bytes = unsafe { Bytes::new(mapping.base(), &len) };
        assert!(!bytes.copy(GuestAddr::default(), &mut [0; 8]));
        assert_eq!(CHAIN.links(&bytes).count(), 0);
    }
}
