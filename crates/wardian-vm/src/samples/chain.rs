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

wardian_types::index_types! {
    /// A field of a record, or of another structure of the guest's: bytes from where that begins.
    pub struct FieldOffset;
}

/// How a chain is found, and what its records are like. Pointers have 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Where the first step begins.
    pub start: GuestAddr,
    /// The fields at which a pointer is read: the first from `start` on, each further one from the pointer before on, the
    /// last of which is the address of the first record.
    pub path: [FieldOffset; MAX_PATH],
    /// How many of these count.
    pub steps: usize,
    /// The first word that is copied.
    pub first: FieldOffset,
    /// The second one, whose lowest bit is replaced by the mark.
    pub second: FieldOffset,
    /// Where the next record is.
    pub next: Next,
    /// Which records are marked; none if none are.
    pub mark: Option<Mark>,
}

/// Where the next record of a chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Where a pointer in the record leads; null is the end.
    At(FieldOffset),
    /// So many bytes further on, up to the end.
    Behind(u32, End),
}

/// Where records end that lie one behind the other. Fields are those of what the last pointer but one of the path leads to,
/// or of what is at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// A pointer.
    pub base: FieldOffset,
    /// How many words are from there to the end.
    pub words: FieldOffset,
    /// Bytes before the end that are no records.
    pub spare: u32,
}

/// Which records are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where the byte is that says it.
    pub byte: MarkByte,
    /// Bits of the byte that do not count.
    pub ignored: u8,
    /// The smallest value of the others at which a record is marked.
    pub least: u8,
}

/// Where the byte is that says whether a record is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkByte {
    /// In the record.
    In(FieldOffset),
    /// Where a pointer in the record leads.
    Behind(FieldOffset),
}

impl MarkByte {
    /// Bytes of a record up to the end of what is read there.
    const fn end(self) -> usize {
        match self {
            MarkByte::In(byte) => byte.index().saturating_add(1),
            MarkByte::Behind(pointer) => pointer.index().saturating_add(WORD),
        }
    }
}

/// Bytes of a word or a pointer.
const WORD: usize = 4;

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
        let mut word = [0; WORD];
        self.copy(at, &mut word).then(|| u32::from_le_bytes(word))
    }

    fn pointer(&self, at: GuestAddr) -> Option<GuestAddr> {
        Some(pointer(self.word(at)?))
    }
}

/// The address of a field of what is at an address.
fn field(of: GuestAddr, offset: FieldOffset) -> Option<GuestAddr> {
    of.checked_add(offset.as_u32().into())
}

/// The address that a pointer of 32 bits has.
fn pointer(word: u32) -> GuestAddr {
    GuestAddr::from_u64(word.into())
}

impl Chain {
    /// Whether records have everything where it can be copied.
    pub fn is_valid(&self) -> bool {
        let stride = match self.next {
            Next::At(_) => 0,
            Next::Behind(stride, _) => stride as usize,
        };
        self.steps <= MAX_PATH && self.read_bytes() <= RECORD && stride <= RECORD
    }

    /// Bytes of a record up to the end of what is read of it.
    fn read_bytes(&self) -> usize {
        let next = match self.next {
            Next::At(pointer) => pointer,
            Next::Behind(..) => FieldOffset::FIRST,
        };
        let words = self.first.max(self.second).max(next).index().saturating_add(WORD);
        words.max(self.mark.map_or(0, |mark| mark.byte.end()))
    }

    /// The words of the records, the first one in the upper half; ends where the chain does, after
    /// [`MAX_LINKS`], or where it leads out of the memory.
    pub fn links(&self, bytes: &Bytes) -> impl Iterator<Item = u64> {
        let (chain, bytes) = (*self, *bytes);
        let (mut at, mut before) = (Some(chain.start), Some(chain.start));
        for offset in &chain.path[..chain.steps.min(MAX_PATH)] {
            before = at;
            at = at.and_then(|at| field(at, *offset)).and_then(|at| bytes.pointer(at));
        }
        let (end, is_array) = match chain.next {
            Next::At(_) => (Some(pointer(u32::MAX)), false),
            Next::Behind(_, end) => (before.and_then(|from| end.address(&bytes, from)), true),
        };
        let (mut records, mut marks) = (Window::<WINDOW>::new(), Window::<MARKS>::new());
        // What is behind the last field that is needed may be out of the memory.
        let length = chain.read_bytes();
        let step = move || {
            let address = at.filter(|at| at.as_u64() != 0 && Some(*at) < end)?;
            let record = records.get(&bytes, address, length, is_array)?;
            let word = |field: FieldOffset| {
                let field = record.get(field.index()..)?.first_chunk()?;
                Some(u32::from_le_bytes(*field))
            };
            at = match chain.next {
                Next::At(next) => word(next).map(pointer),
                Next::Behind(stride, _) => address.checked_add(stride.into()),
            };
            let marked = match chain.mark {
                None => false,
                Some(Mark { byte, ignored, least }) => {
                    let byte = match byte {
                        MarkByte::In(byte) => *record.get(byte.index())?,
                        // A record whose mark cannot be read has none.
                        MarkByte::Behind(at) => {
                            marks.get(&bytes, pointer(word(at)?), 1, false).map_or(0, |m| m[0])
                        }
                    };
                    byte & !ignored >= least
                }
            };
            let second = word(chain.second)? & !1 | u32::from(marked);
            Some(u64::from(word(chain.first)?) << 32 | u64::from(second))
        };
        std::iter::from_fn(step).take(MAX_LINKS)
    }
}

impl End {
    /// The address behind the last record, by the fields of what is at `from`.
    fn address(&self, bytes: &Bytes, from: GuestAddr) -> Option<GuestAddr> {
        let word = |offset| bytes.word(field(from, offset)?);
        let size = word(self.words)?.checked_mul(WORD as u32)?;
        word(self.base)?.checked_add(size)?.checked_sub(self.spare).map(pointer)
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
    use super::{Bytes, Chain, End, FieldOffset, MAX_LINKS, Mark, MarkByte, Next};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use wardian_types::GuestAddr;

    const CHAIN: Chain = Chain {
        start: GuestAddr::from_u64(8),
        path: fields([4, 0, 0, 0]),
        steps: 1,
        first: field(0),
        second: field(4),
        next: Next::At(field(8)),
        mark: Some(MARK),
    };
    const MARK: Mark = Mark { byte: MarkByte::In(field(12)), ignored: 0, least: 2 };

    const fn field(bytes: u32) -> FieldOffset {
        FieldOffset::from_u32(bytes)
    }

    const fn fields([a, b, c, d]: [u32; 4]) -> [FieldOffset; 4] {
        [field(a), field(b), field(c), field(d)]
    }

    fn behind(stride: u32, [base, words, spare]: [u32; 3]) -> Next {
        Next::Behind(stride, End { base: field(base), words: field(words), spare })
    }

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
        let other = Chain { mark: Some(Mark { ignored: 2, ..MARK }), ..CHAIN };
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
            path: fields([0, 8, 0, 0]),
            steps: 2,
            first: field(0),
            second: field(0),
            next: behind(8, [0, 4, 0]),
            mark: Some(Mark { byte: MarkByte::Behind(field(4)), ignored: !4, least: 1 }),
            ..CHAIN
        };
        // The second pointer leads nowhere, and what is behind the end is no record.
        assert_eq!(links(&array, &memory), [0x7_0000_0007, 0x8_0000_0008]);
        memory.1.store(44, Ordering::Relaxed);
        assert_eq!(links(&array, &memory), [0x7_0000_0007]);
        let longer = bytes(&[0, 0x4, 16, 0, 32, u32::MAX, 36, 0, 0, 7, 4, 8, 0, 0x99, 4]);
        assert_eq!(links(&array, &longer), [0; 0]);
        let one = Chain { next: behind(8, [0, 4, 8]), ..array };
        assert_eq!(links(&one, &bytes(&memory.0)), [0x7_0000_0007]);
        let one = Chain { next: behind(8, [8, 12, 0]), ..array };
        assert_eq!(links(&one, &memory), [0; 0]);
        assert!(array.is_valid() && !Chain { next: behind(65, [0, 4, 0]), ..array }.is_valid());
        let far = Some(Mark { byte: MarkByte::Behind(field(u32::MAX)), ..MARK });
        assert!(!Chain { mark: far, ..array }.is_valid());
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
        assert!(CHAIN.is_valid() && !Chain { first: field(61), ..CHAIN }.is_valid());
        assert!(!Chain { second: field(u32::MAX - 1), ..CHAIN }.is_valid());
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
