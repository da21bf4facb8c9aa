//! Memories of core dumps: what is not zero.

use std::io::{self, Write};
use std::ops::Range;
use wardian::inspect::MemoryView;
use wasm_encoder::{ConstExpr, Encode, SectionId};

/// A memory, and which ranges of it hold something.
pub(super) struct DumpedMemory<'a> {
    view: MemoryView<'a>,
    ranges: Vec<Range<usize>>,
}

/// What is looked at, read and written at once.
const PIECE: usize = 4 << 10;
/// So many zeroes between two ranges are written rather than left out: readers take few segments.
const GAP: usize = 64 << 10;
/// Readers refuse modules with more than 100000 segments. A 32-bit memory has less than so many.
const MOST_SEGMENTS: usize = 65_536;

impl<'a> DumpedMemory<'a> {
    /// A memory among so many in the dump.
    pub(super) fn new(view: MemoryView<'a>, memories: usize) -> DumpedMemory<'a> {
        let most = MOST_SEGMENTS / memories.clamp(1, MOST_SEGMENTS);
        let (mut ranges, mut gap) = (find(&view, GAP), GAP);
        while ranges.len() > most {
            gap *= 2;
            ranges = merged(ranges, gap);
        }
        DumpedMemory { view, ranges }
    }

    pub(super) fn ty(&self) -> wasm_encoder::MemoryType {
        let ty = self.view.ty();
        let log2 = u32::from(ty.page_size_log2);
        wasm_encoder::MemoryType {
            minimum: ty.min,
            maximum: ty.max,
            memory64: ty.memory64,
            shared: ty.shared,
            page_size_log2: (log2 != 16).then_some(log2),
        }
    }

    /// What comes before the bytes of a segment.
    fn header(&self, index: u32, range: &Range<usize>) -> Vec<u8> {
        let mut bytes = Vec::new();
        match index {
            0 => bytes.push(0),
            index => {
                bytes.push(2);
                index.encode(&mut bytes);
            }
        }
        let offset = match self.view.ty().memory64 {
            true => ConstExpr::i64_const(range.start as i64),
            false => ConstExpr::i32_const(range.start as u32 as i32),
        };
        offset.encode(&mut bytes);
        bytes.extend(super::encoded_len(range.len()));
        bytes
    }

    fn write(&self, range: &Range<usize>, out: &mut impl Write) -> io::Result<()> {
        let mut piece = [0; PIECE];
        for start in range.clone().step_by(PIECE) {
            let piece = &mut piece[..PIECE.min(range.end - start)];
            self.view.read(start, piece).map_err(io::Error::other)?;
            out.write_all(piece)?;
        }
        Ok(())
    }
}

/// Ranges that are not zero, with at least `gap` zeroes between them.
fn find(view: &MemoryView<'_>, gap: usize) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut piece = [0; PIECE];
    // A shared memory may grow meanwhile, but does not shrink.
    let len = view.len();
    for start in (0..len).step_by(PIECE) {
        let end = len.min(start + PIECE);
        let piece = &mut piece[..end - start];
        if view.read(start, piece).is_err() || piece.iter().all(|byte| *byte == 0) {
            continue;
        }
        match ranges.last_mut() {
            Some(last) if start - last.end < gap => last.end = end,
            _ => ranges.push(start..end),
        }
    }
    ranges
}

/// The same ranges, with at least `gap` bytes between them.
fn merged(ranges: Vec<Range<usize>>, gap: usize) -> Vec<Range<usize>> {
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start - last.end < gap => last.end = range.end,
            _ => merged.push(range),
        }
    }
    merged
}

/// Whether the format has room for so much: sections have a size of 32 bits.
pub(super) fn check_size(memories: &[DumpedMemory<'_>]) -> io::Result<()> {
    let ranges = memories.iter().flat_map(|memory| &memory.ranges);
    // Headers of segments are small.
    let size: u64 = ranges.map(|range| range.len() as u64 + 32).sum();
    match u32::try_from(size) {
        Ok(_) => Ok(()),
        Err(_) => Err(io::Error::other("more than 4 GiB of memory do not fit into a core dump")),
    }
}

/// Writes the data section, whose size was checked.
pub(super) fn write_data(memories: &[DumpedMemory<'_>], out: &mut impl Write) -> io::Result<()> {
    let segments = || {
        let all = (0u32..).zip(memories);
        all.flat_map(|(i, memory)| memory.ranges.iter().map(move |range| (i, memory, range)))
    };
    let count = super::encoded_len(segments().count());
    let content = segments().map(|(i, memory, range)| memory.header(i, range).len() + range.len());
    let size = count.len() + content.sum::<usize>();
    out.write_all(&[SectionId::Data as u8])?;
    out.write_all(&super::encoded_len(size))?;
    out.write_all(&count)?;
    for (i, memory, range) in segments() {
        out.write_all(&memory.header(i, range))?;
        memory.write(range, out)?;
    }
    Ok(())
}
