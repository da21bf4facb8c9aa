//! Where compiled functions have references to objects, for the collector: by the return addresses of calls.

use super::TextOffset;
use std::ops::Range;

wardian_types::index_types! {
    /// A place in a frame: how many bytes it is above the stack pointer.
    pub struct SpOffset;
}

/// Where a function has references to objects while it waits in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackMap {
    /// The return address of the call.
    pub offset: TextOffset,
    /// Bytes from the stack pointer at the call to the frame pointer.
    pub frame: u32,
    /// Where the references are, counted from the stack pointer; four bytes each.
    pub slots: Vec<SpOffset>,
}

/// The references of a frame that waits in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct References<'a> {
    /// Bytes from the stack pointer at the call to the frame pointer.
    pub(crate) frame: u32,
    /// Where the references are, counted from the stack pointer; four bytes each.
    pub(crate) slots: &'a [SpOffset],
}

/// The stack maps of a module's functions, as arrays sorted by offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StackMaps {
    offsets: Vec<u32>,
    frames: Vec<u32>,
    /// Where the slots of each end in `slots`.
    ends: Vec<u32>,
    slots: Vec<SpOffset>,
}

impl StackMaps {
    /// Adds the next one, of a function that begins at `start`.
    pub(crate) fn push(&mut self, map: &StackMap, start: TextOffset) {
        self.offsets.push(map.offset.within(start).as_u32());
        self.frames.push(map.frame);
        self.slots.extend(&map.slots);
        self.ends.push(self.slots.len() as u32);
    }

    fn get(&self, i: usize) -> References<'_> {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        let slots = &self.slots[start as usize..self.ends[i] as usize];
        References { frame: self.frames[i], slots }
    }

    pub(crate) fn at(&self, offset: TextOffset) -> Option<References<'_>> {
        self.offsets.binary_search(&offset.as_u32()).ok().map(|i| self.get(i))
    }

    /// Those of the function in this range.
    pub(crate) fn extract(&self, range: Range<TextOffset>) -> Vec<StackMap> {
        let Range { start: first, end: last } = range;
        let start = self.offsets.partition_point(|o| *o < first.as_u32());
        // The last instruction may be a call, so that the return address is the function's end.
        let end = self.offsets.partition_point(|o| *o <= last.as_u32());
        let map = |i| {
            let References { frame, slots } = self.get(i);
            let offset = TextOffset::from_u32(self.offsets[i] - first.as_u32());
            StackMap { offset, frame, slots: slots.to_vec() }
        };
        (start..end.max(start)).map(map).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    pub(crate) fn slots(&self) -> &[SpOffset] {
        &self.slots
    }

    /// Bytes of all columns.
    pub(crate) fn stored_len(&self) -> usize {
        12 * self.len() + 4 * self.slots.len()
    }

    /// All but the slots.
    pub(crate) fn columns(&self) -> [&[u32]; 3] {
        [&self.offsets, &self.frames, &self.ends]
    }

    pub(crate) fn from_columns([offsets, frames, ends, slots]: [Vec<u32>; 4]) -> StackMaps {
        let slots = slots.into_iter().map(SpOffset::from_u32).collect();
        StackMaps { offsets, frames, ends, slots }
    }

    /// Whether look-ups in it do not panic.
    pub(crate) fn is_sound(&self) -> bool {
        let last = self.ends.last().map_or(0, |end| *end as usize);
        self.offsets.is_sorted() && self.ends.is_sorted() && last == self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{References, SpOffset, StackMap, StackMaps};
    use crate::compiled::TextOffset;

    #[test]
    fn maps_are_found_by_return_address() {
        let at = TextOffset::from_u32;
        let map = |offset, slots: &[u32]| StackMap {
            offset: at(offset),
            frame: 32,
            slots: slots.iter().copied().map(SpOffset::from_u32).collect(),
        };
        let [eight, twelve, sixteen] = [8, 12, 16].map(SpOffset::from_u32);
        let mut maps = StackMaps::default();
        maps.push(&map(4, &[8, 12]), at(0));
        maps.push(&map(20, &[]), at(0));
        maps.push(&map(4, &[16]), at(32));
        assert_eq!(maps.at(at(4)), Some(References { frame: 32, slots: &[eight, twelve] }));
        assert_eq!(maps.at(at(20)), Some(References { frame: 32, slots: &[] }));
        assert_eq!(maps.at(at(36)), Some(References { frame: 32, slots: &[sixteen] }));
        assert_eq!(maps.at(at(32)), None);
        assert_eq!(maps.extract(at(0)..at(20)), [map(4, &[8, 12]), map(20, &[])]);
        assert_eq!(maps.extract(at(32)..at(40)), [map(4, &[16])]);
        assert!(maps.is_sound());
        let [mut offsets, frames, ends] = maps.columns().map(<[u32]>::to_vec);
        let slots = maps.slots().iter().map(|slot| slot.as_u32()).collect();
        assert!(
            !StackMaps::from_columns([offsets.clone(), frames.clone(), ends.clone(), vec![]])
                .is_sound()
        );
        offsets.reverse();
        assert!(!StackMaps::from_columns([offsets, frames, ends, slots]).is_sound());
    }
}
