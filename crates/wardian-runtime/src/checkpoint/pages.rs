//! The contents of memories in checkpoints: chunks, compressed or as they are.

use super::state::Item;
use crate::value::SharedMemory;
use crate::{Error, Result};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use wardian_module::{ConstOp, Module, ModuleInfo, SegmentMode};
use wardian_types::MemoryIndex;

/// Bytes of a chunk; the last one of a memory may be shorter.
pub const CHUNK: usize = 64 << 10;

/// BLAKE3 of something.
pub type Hash = [u8; 32];

/// Which part of a memory a chunk is: how many chunks there are before it, stored or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkIndex(u64);

impl ChunkIndex {
    /// The chunk with this number.
    pub const fn from_u64(index: u64) -> ChunkIndex {
        ChunkIndex(index)
    }

    /// The chunk that a byte of the memory is in.
    pub const fn of_byte(at: u64) -> ChunkIndex {
        ChunkIndex(at / CHUNK as u64)
    }

    /// Its number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Where it begins in the memory; none if no memory has it.
    pub const fn start(self) -> Option<u64> {
        self.0.checked_mul(CHUNK as u64)
    }

    /// Which bytes it is of a memory with `len` bytes.
    ///
    /// # Errors
    ///
    /// It is behind them.
    pub fn range_in(self, len: usize) -> Result<Range<usize>> {
        let start = self.start().and_then(|start| usize::try_from(start).ok());
        let start = start.filter(|start| *start < len);
        let start = start.ok_or_else(|| Error::damaged("a part of a memory is outside of it"))?;
        Ok(start..len.min(start + CHUNK))
    }

    /// All chunks from the first one on.
    pub fn all() -> impl Iterator<Item = ChunkIndex> {
        (0..).map(ChunkIndex)
    }
}

/// A part of a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk<B = Arc<[u8]>> {
    /// Which part.
    pub index: ChunkIndex,
    /// How it is stored.
    pub packing: Packing,
    /// Of its bytes before they were packed; zeroes if all of them are zero.
    pub hash: Hash,
    /// What is stored.
    pub packed: B,
}

/// How the bytes of a chunk are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// All are zero, and nothing is stored.
    Zero = 0,
    /// As they are.
    Plain = 1,
    /// Compressed with LZ4.
    Lz4 = 2,
}

impl Packing {
    /// The packing with this number.
    pub fn from_byte(byte: u8) -> Option<Packing> {
        [Packing::Zero, Packing::Plain, Packing::Lz4].into_iter().find(|p| *p as u8 == byte)
    }
}

/// What a memory has before anything is written to it: what the active data segments of its module put there whose
/// offsets are constants, and zeroes.
#[derive(Default)]
pub struct Base<'a> {
    /// By chunk, in the order in which they are written: where in the memory, and what.
    segments: HashMap<ChunkIndex, Vec<(usize, &'a [u8])>>,
}

impl<'a> Base<'a> {
    /// That of a memory by its name in an instance of the module. One that the embedder gave is zero.
    pub fn of(module: &'a Module, item: Item) -> Base<'a> {
        let index = item.index::<MemoryIndex>();
        match index.as_u32() >= module.info().imported_memories {
            true => Base::new(module.info(), module.bytes(), index),
            false => Base::default(),
        }
    }

    fn new(info: &ModuleInfo, bytes: &'a [u8], memory: MemoryIndex) -> Base<'a> {
        let mut base = Base::default();
        let Some(ty) = info.memories.get(memory) else { return base };
        let size = ty.min.checked_shl(ty.page_size_log2.into()).unwrap_or(0);
        for segment in &info.data {
            let SegmentMode::Active { index, offset } = &segment.mode else { continue };
            let start = match offset.ops[..] {
                [ConstOp::I32(offset)] => u64::from(offset as u32),
                [ConstOp::I64(offset)] => offset as u64,
                _ => continue,
            };
            let data = &bytes[segment.range.clone()];
            let end = start.checked_add(data.len() as u64).filter(|end| *end <= size);
            let (Some(end), true) = (end, *index == memory && !data.is_empty()) else { continue };
            for chunk in ChunkIndex::of_byte(start).0..=ChunkIndex::of_byte(end - 1).0 {
                base.segments.entry(ChunkIndex(chunk)).or_default().push((start as usize, data));
            }
        }
        base
    }

    /// Whether a chunk has what it had at first.
    fn is(&self, index: ChunkIndex, chunk: &[u8]) -> bool {
        if !self.segments.contains_key(&index) {
            return is_zero(chunk);
        }
        let mut first = vec![0; chunk.len()];
        self.put(index, &mut first);
        first == chunk
    }

    /// Makes chunks what they were at first. What is that already is not written, so that pages which nobody has
    /// written take no room.
    pub fn restore(&self, bytes: &mut [u8]) {
        for (index, chunk) in ChunkIndex::all().zip(bytes.chunks_mut(CHUNK)) {
            if self.segments.contains_key(&index) {
                if !self.is(index, chunk) {
                    chunk.fill(0);
                    self.put(index, chunk);
                }
            } else {
                zero(chunk);
            }
        }
    }

    /// What a chunk has at first.
    pub fn read(&self, index: ChunkIndex, chunk: &mut [u8]) {
        chunk.fill(0);
        self.put(index, chunk);
    }

    /// The chunks that are not zero at first.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkIndex> + '_ {
        self.segments.keys().copied()
    }

    /// Writes the segments into a chunk.
    fn put(&self, index: ChunkIndex, chunk: &mut [u8]) {
        let begin = index.0 as usize * CHUNK;
        for (start, data) in self.segments.get(&index).into_iter().flatten() {
            let from = (*start).max(begin);
            let to = (start + data.len()).min(begin + chunk.len());
            if from < to {
                chunk[from - begin..to - begin].copy_from_slice(&data[from - start..to - start]);
            }
        }
    }
}

/// The hashes of the chunks of a memory which are not as they were at first.
pub type ChunkHashes = HashMap<ChunkIndex, Hash>;

/// The bytes of a memory.
pub enum Bytes<'a> {
    /// Those of a memory of one store.
    Own(&'a [u8]),
    /// Of a shared memory so many.
    Shared(&'a SharedMemory, usize),
}

impl<'a> Bytes<'a> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Bytes::Own(bytes) => bytes.len(),
            Bytes::Shared(_, len) => *len,
        }
    }

    /// Those of a chunk, of a shared memory as a copy.
    fn chunk(&self, index: ChunkIndex) -> Cow<'a, [u8]> {
        let start = index.0 as usize * CHUNK;
        let end = self.len().min(start + CHUNK);
        match self {
            Bytes::Own(bytes) => Cow::Borrowed(&bytes[start..end]),
            Bytes::Shared(memory, _) => {
                let mut copy = vec![0; end - start];
                // A shared memory never becomes smaller.
                memory.read(start, &mut copy).expect("it is inside of the memory");
                Cow::Owned(copy)
            }
        }
    }
}

/// What is stored of a memory.
pub struct Contents<'a> {
    /// The bytes.
    pub bytes: Bytes<'a>,
    /// What the module puts there.
    pub base: Base<'a>,
    /// Of the parent, if the memory is stored as what has changed since.
    pub parent: Option<&'a ChunkHashes>,
    /// Says which chunks are known to be those of the parent.
    pub unchanged: Option<Unchanged>,
    /// Whether chunks are compressed.
    pub compress: bool,
}

/// Says of which chunks it is known that they are as in the parent.
pub type Unchanged = Box<dyn Fn(ChunkIndex) -> bool + Sync>;

impl<'a> Contents<'a> {
    /// A chunk, if it is to be stored.
    pub fn chunk(&self, index: ChunkIndex) -> Option<Chunk<Cow<'a, [u8]>>> {
        if self.parent.is_some() && self.unchanged.as_ref().is_some_and(|is| is(index)) {
            return None;
        }
        let chunk = self.bytes.chunk(index);
        let before = self.parent.and_then(|parent| parent.get(&index));
        let is_zero = is_zero(&chunk);
        if before.is_none() {
            let has_data = self.base.segments.contains_key(&index);
            if if has_data { self.base.is(index, &chunk) } else { is_zero } {
                return None;
            }
        }
        let hash = if is_zero { Hash::default() } else { *blake3::hash(&chunk).as_bytes() };
        if before == Some(&hash) {
            return None;
        }
        if is_zero {
            return Some(Chunk { index, packing: Packing::Zero, hash, packed: Cow::Borrowed(&[]) });
        }
        if self.compress {
            let packed = lz4_flex::block::compress(&chunk);
            if packed.len() < chunk.len() {
                let packed = Cow::Owned(packed);
                return Some(Chunk { index, packing: Packing::Lz4, hash, packed });
            }
        }
        Some(Chunk { index, packing: Packing::Plain, hash, packed: chunk })
    }
}

impl Chunk<Cow<'_, [u8]>> {
    /// The same with bytes of its own.
    pub fn into_owned(self) -> Chunk {
        let Chunk { index, packing, hash, packed } = self;
        Chunk { index, packing, hash, packed: Arc::from(packed) }
    }
}

impl<B: AsRef<[u8]>> Chunk<B> {
    /// Writes the chunk to a place of its size.
    ///
    /// # Errors
    ///
    /// It is damaged.
    pub fn unpack_alone(&self, target: &mut [u8]) -> Result<()> {
        match self.packing {
            Packing::Zero => zero(target),
            Packing::Plain if self.packed.as_ref().len() == target.len() => {
                target.copy_from_slice(self.packed.as_ref());
            }
            Packing::Plain => return Err(wrong_size()),
            Packing::Lz4 => decompress(self.packed.as_ref(), target)?,
        }
        Ok(())
    }
}

/// Unpacks a chunk.
///
/// # Errors
///
/// It is damaged.
pub fn decompress(packed: &[u8], target: &mut [u8]) -> Result<()> {
    match lz4_flex::block::decompress_into(packed, target) {
        Ok(len) if len == target.len() => Ok(()),
        _ => Err(wrong_size()),
    }
}

/// The error of a chunk whose contents are not as many as they are to be.
pub fn wrong_size() -> crate::Error {
    Error::damaged("a part of a memory does not have the size that it should have")
}

/// Fills with zeroes what is not zero, so that pages that nobody has written take no room.
pub fn zero(bytes: &mut [u8]) {
    for part in bytes.chunks_mut(4096) {
        if !is_zero(part) {
            part.fill(0);
        }
    }
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Lines at a time, which the compiler makes vectors of.
    bytes.chunks(64).all(|line| line.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::super::packing::pack;
    use super::{Base, Bytes, CHUNK, Chunk, ChunkHashes, ChunkIndex, Contents, Packing};

    fn sample(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut state = 1u32;
        for (i, byte) in bytes.iter_mut().enumerate() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Chunks of noise, of text, and of zeroes.
            *byte = [state.to_le_bytes()[3], b'a' + (i % 7) as u8, 0][i / CHUNK % 3];
        }
        bytes
    }

    /// Writes a chunk into its memory.
    fn unpack(chunk: &Chunk, memory: &mut [u8]) -> crate::Result<()> {
        let range = chunk.index.range_in(memory.len())?;
        chunk.unpack_alone(&mut memory[range])
    }

    fn packed(contents: &Contents<'_>, threads: usize) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        pack(contents, threads, |batch| {
            chunks.extend(batch.into_iter().map(Chunk::into_owned));
            Ok(())
        })
        .unwrap();
        assert!(chunks.is_sorted_by_key(|chunk| chunk.index));
        chunks
    }

    fn base(data: &[(usize, &'static [u8])]) -> Base<'static> {
        let mut base = Base::default();
        for (start, data) in data {
            for chunk in start / CHUNK..=(start + data.len() - 1) / CHUNK {
                base.segments.entry(ChunkIndex(chunk as u64)).or_default().push((*start, data));
            }
        }
        base
    }

    #[test]
    fn memories_come_back_whatever_was_there() {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 40 * CHUNK + 17, 300 * CHUNK] {
            let bytes = sample(len);
            for (threads, compress) in [(1, false), (3, true), (3, false)] {
                let contents = Contents {
                    bytes: Bytes::Own(&bytes),
                    base: Base::default(),
                    parent: None,
                    unchanged: None,
                    compress,
                };
                let chunks = packed(&contents, threads);
                assert!(
                    chunks.iter().all(|chunk| chunk.index.as_u64() % 3 != 2),
                    "zeroes take no room"
                );
                for before in [0, 0xa5] {
                    let mut target = vec![before; len];
                    Base::default().restore(&mut target);
                    chunks.iter().for_each(|chunk| unpack(chunk, &mut target).unwrap());
                    assert!(target == bytes, "{len} bytes");
                }
            }
        }
    }

    #[test]
    fn what_the_module_puts_there_takes_no_room() {
        // The second overlaps the first; the third reaches over the end of a chunk.
        let segments: [(usize, &[u8]); 3] =
            [(3, b"hello"), (6, b"XY"), (2 * CHUNK - 2, b"over the end")];
        let mut bytes = vec![0; 4 * CHUNK];
        base(&segments).restore(&mut bytes);
        assert_eq!(&bytes[..10], b"\0\0\0helXY\0\0");
        assert_eq!(&bytes[2 * CHUNK - 2..2 * CHUNK + 10], b"over the end");
        let chunks = |bytes: &[u8]| {
            let contents = Contents {
                bytes: Bytes::Own(bytes),
                base: base(&segments),
                parent: None,
                unchanged: None,
                compress: true,
            };
            packed(&contents, 1)
        };
        assert_eq!(chunks(&bytes), []);
        bytes[2 * CHUNK..].fill(0);
        bytes[7] = 9;
        let stored = chunks(&bytes);
        let kinds: Vec<_> =
            stored.iter().map(|chunk| (chunk.index.as_u64(), chunk.packing)).collect();
        assert_eq!(kinds, [(0, Packing::Lz4), (2, Packing::Zero)]);
        let mut target = vec![7; 4 * CHUNK];
        base(&segments).restore(&mut target);
        stored.iter().for_each(|chunk| unpack(chunk, &mut target).unwrap());
        assert!(target == bytes);
    }

    #[test]
    fn only_what_differs_from_the_parent_is_stored() {
        let old = sample(9 * CHUNK + 5);
        let whole = Contents {
            bytes: Bytes::Own(&old),
            base: Base::default(),
            parent: None,
            unchanged: None,
            compress: true,
        };
        let whole = packed(&whole, 1);
        let hashes: ChunkHashes = whole.iter().map(|chunk| (chunk.index, chunk.hash)).collect();
        let mut new = old.clone();
        new.resize(10 * CHUNK, 0);
        new[CHUNK + 1] ^= 1;
        new[2 * CHUNK] = 1;
        new[3 * CHUNK..4 * CHUNK].fill(0);
        let contents = Contents {
            bytes: Bytes::Own(&new),
            base: Base::default(),
            parent: Some(&hashes),
            unchanged: None,
            compress: true,
        };
        let stored = packed(&contents, 1);
        let kinds: Vec<_> =
            stored.iter().map(|chunk| (chunk.index.as_u64(), chunk.packing)).collect();
        assert_eq!(kinds[..3], [(1, Packing::Lz4), (2, Packing::Lz4), (3, Packing::Zero)]);
        // The last one has become longer.
        assert_eq!(stored.last().unwrap().index, ChunkIndex::from_u64(9));
        let mut target = vec![0; 10 * CHUNK];
        for chunk in
            whole.iter().filter(|chunk| chunk.index < ChunkIndex::from_u64(9)).chain(&stored)
        {
            unpack(chunk, &mut target).unwrap();
        }
        assert!(target == new);
    }

    #[test]
    fn damaged_chunks_are_refused() {
        let bytes = sample(3 * CHUNK);
        let contents = Contents {
            bytes: Bytes::Own(&bytes),
            base: Base::default(),
            parent: None,
            unchanged: None,
            compress: true,
        };
        let good = packed(&contents, 1);
        let mut target = vec![0; 3 * CHUNK];
        let outside = Chunk { index: ChunkIndex::from_u64(3), ..good[0].clone() };
        let far = Chunk { index: ChunkIndex::from_u64(u64::MAX), ..good[0].clone() };
        let short = Chunk { packed: good[1].packed[..9].into(), ..good[1].clone() };
        let plain = Chunk { packing: Packing::Plain, ..good[1].clone() };
        for chunk in [outside, far, short, plain] {
            assert!(unpack(&chunk, &mut target).is_err());
        }
    }
}
