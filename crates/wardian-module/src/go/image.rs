//! The data segments of a module as the memory that they make.

use crate::{ConstOp, DataSegment, ModuleInfo, SegmentMode};
use std::ops::Range;
use wardian_types::GuestAddr;

/// No memory of a program of Go has this address; below it, no sum of an address and an offset overflows.
pub(super) const HIGHEST: GuestAddr = GuestAddr::from_u64(1 << 48);

/// Where active segments of memory 0 lie, in the order of their addresses.
#[derive(Debug)]
pub(super) struct Image(Vec<Part>);

#[derive(Debug)]
struct Part {
    address: GuestAddr,
    /// In the module's bytes.
    range: Range<usize>,
}

impl Image {
    pub(super) fn of(info: &ModuleInfo) -> Image {
        let mut parts: Vec<Part> = info.data.iter().filter_map(part).collect();
        parts.sort_by_key(|part| part.address);
        Image(parts)
    }

    /// Whether there is no data at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Addresses, multiples of eight, of the 64-bit words that are found wanted.
    pub(super) fn words<'a>(
        &'a self,
        bytes: &'a [u8],
        mut wanted: impl FnMut(u64) -> bool + 'a,
    ) -> impl Iterator<Item = GuestAddr> + 'a {
        let words = self.0.iter().flat_map(move |part| {
            let skip = (part.address.as_u64().wrapping_neg() % 8) as usize;
            let data = bytes.get(part.range.clone()).unwrap_or_default();
            let whole = data.get(skip..).unwrap_or_default().as_chunks().0;
            let first = part.address.saturating_add(skip as u64);
            let end = first.saturating_add(8 * whole.len() as u64);
            // A segment may begin and end within a word whose other bytes are zeroes.
            let edge = |at: GuestAddr| self.read(bytes, at).map(|word| (at, word));
            let before = first.as_u64().checked_sub(8).filter(|_| skip > 0);
            let before = before.map(GuestAddr::from_u64).and_then(edge);
            let after = Some(end).filter(|_| data.len() > skip + 8 * whole.len()).and_then(edge);
            let words = (0u64..).zip(whole);
            let words = words.map(move |(i, word)| (first.saturating_add(8 * i), *word));
            before.into_iter().chain(words).chain(after)
        });
        words.filter(move |(_, word)| wanted(u64::from_le_bytes(*word))).map(|(at, _)| at)
    }

    /// What is at an address, up to the end of its segment; nothing if there is none.
    pub(super) fn from<'a>(&self, bytes: &'a [u8], address: GuestAddr) -> &'a [u8] {
        let after = self.0.partition_point(|part| part.address <= address);
        let Some(part) = after.checked_sub(1).map(|at| &self.0[at]) else { return &[] };
        let data = bytes.get(part.range.clone()).unwrap_or_default();
        let skip = usize::try_from(address.bytes_from(part.address)).unwrap_or(usize::MAX);
        data.get(skip..).unwrap_or_default()
    }

    /// So many bytes. Linkers leave out zeroes, so what is in no segment is zero; past the last segment
    /// there is nothing.
    pub(super) fn read<const N: usize>(&self, bytes: &[u8], address: GuestAddr) -> Option<[u8; N]> {
        if let Some(found) = self.from(bytes, address).first_chunk() {
            return Some(*found);
        }
        let last = self.0.last()?;
        if address >= last.address.saturating_add(last.range.len() as u64) {
            return None;
        }
        let byte = |i: usize| {
            let at = address.saturating_add(i as u64);
            self.from(bytes, at).first().copied().unwrap_or(0)
        };
        Some(std::array::from_fn(byte))
    }
}

fn part(segment: &DataSegment) -> Option<Part> {
    let SegmentMode::Active { index, offset } = &segment.mode else { return None };
    if index.as_u32() != 0 {
        return None;
    }
    let address = match offset.ops[..] {
        [ConstOp::I32(at)] => u64::from(at.cast_unsigned()),
        [ConstOp::I64(at)] => at.cast_unsigned(),
        _ => return None,
    };
    let address = GuestAddr::from_u64(address);
    (!segment.range.is_empty() && address < HIGHEST)
        .then(|| Part { address, range: segment.range.clone() })
}
