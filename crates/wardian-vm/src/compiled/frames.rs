//! Where compiled frames have their instance, locals and operands at points where they can be captured.
//!
//! ```text
//!   frame pointer ──> ┌──────────────────┐
//!                     │ saved, spilled   │
//!                     ├──────────────────┤
//!                     │ operands         │  8 bytes for each slot, the lowest first
//!                     ├──────────────────┤
//!                     │ locals           │  the instance, then a cell for each local that is ever live at a point
//!                     └──────────────────┘
//! ```
//!
//! A point is a call that has not returned, or an operator before which the function asks whether somebody wants a
//! checkpoint. A bit for each cell says whether its local is live there. What is live was stored before.

use super::CompiledIndex;
use crate::addr::FpOffset;
use std::ops::Range;
use wardian_types::{CodeOffset, IndexVec, LocalIndex, OperandIndex};

/// The points of a compiled function; none if it cannot be captured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameTable {
    /// The cell of the instance.
    pub instance: FpOffset,
    /// The first operand.
    pub operands: FpOffset,
    /// Which local each cell has, and where it lies.
    pub cells: IndexVec<CellIndex, (LocalIndex, CellOffset)>,
    /// In ascending order of offset and side.
    pub points: Vec<FramePoint>,
}

wardian_types::index_types! {
    /// A place in a function's frame where it stores a local.
    pub struct CellIndex;

    /// Where a cell lies: bytes behind that of the instance, or where operands are stored, behind the first of those.
    pub struct CellOffset;

    /// A point of a table.
    struct PointIndex;
}

/// A point of a function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FramePoint {
    /// The operator.
    pub offset: CodeOffset,
    /// Whether it is the next to be executed, rather than a call that has not returned.
    pub before: bool,
    /// The cells that are live, in ascending order.
    pub live: Vec<CellIndex>,
    /// Which of the frame's operands are exceptions that open `catch` blocks have caught.
    pub caught: Vec<OperandIndex>,
}

/// A table's words before the cells: instance, operands, how many cells, points and words in lists of `caught`.
const HEADER: usize = 5;
/// A point's words before its bits: offset; side, and where its list of `caught` begins.
const POINT: usize = 2;

impl FrameTable {
    /// The table as words, to which [`CapturedFrame`] is a view.
    pub(crate) fn to_words(&self, words: &mut Vec<u32>) {
        if self.points.is_empty() {
            return;
        }
        let mut caught = Vec::new();
        let (cells, points) = (self.cells.len() as u32, self.points.len() as u32);
        let start = words.len();
        words.extend([
            self.instance.as_i32() as u32,
            self.operands.as_i32() as u32,
            cells,
            points,
            0,
        ]);
        self.cells.iter().for_each(|(local, at)| words.extend([local.as_u32(), at.as_u32()]));
        let bits = self.cells.len().div_ceil(32);
        for point in &self.points {
            let mut list = 0;
            if !point.caught.is_empty() {
                list = caught.len() as u32 + 1;
                caught.push(point.caught.len() as u32);
                caught.extend(point.caught.iter().map(|operand| operand.as_u32()));
            }
            words.extend([point.offset.as_u32(), list << 1 | u32::from(point.before)]);
            let set = words.len();
            words.resize(set + bits, 0);
            point
                .live
                .iter()
                .for_each(|cell| words[set + cell.index() / 32] |= 1 << (cell.index() % 32));
        }
        words[start + HEADER - 1] = caught.len() as u32;
        words.extend(caught);
    }

    /// The table of which these are the words.
    pub(crate) fn from_words(words: &[u32]) -> FrameTable {
        let Some(view) = View::new(words) else { return FrameTable::default() };
        let points = PointIndex::range(PointIndex::FIRST..view.points);
        let points = points.filter_map(|point| view.point(point));
        FrameTable {
            instance: view.instance,
            operands: view.operands,
            cells: view.cells().collect(),
            points: points
                .map(|point| FramePoint {
                    offset: point.offset,
                    before: point.before,
                    live: point.live().collect(),
                    caught: point.caught().collect(),
                })
                .collect(),
        }
    }
}

/// The words of a table, taken apart. Whatever they say, nothing here panics.
#[derive(Clone, Copy)]
struct View<'a> {
    instance: FpOffset,
    operands: FpOffset,
    cells: &'a [u32],
    /// The one behind the last.
    points: PointIndex,
    /// How many words each takes.
    stride: usize,
    words: &'a [u32],
    caught: &'a [u32],
}

impl<'a> View<'a> {
    fn new(words: &'a [u32]) -> Option<View<'a>> {
        let (header, rest) = words.split_at_checked(HEADER)?;
        let [instance, operands, cells, points, caught] = *header else { return None };
        let (cells, rest) = rest.split_at_checked((cells as usize).checked_mul(2)?)?;
        let stride = POINT + (cells.len() / 2).div_ceil(32);
        let (words, rest) = rest.split_at_checked((points as usize).checked_mul(stride)?)?;
        (rest.len() == caught as usize).then_some(View {
            instance: FpOffset::from_i32(instance as i32),
            operands: FpOffset::from_i32(operands as i32),
            cells,
            points: PointIndex::from_u32(points),
            stride,
            words,
            caught: rest,
        })
    }

    fn cells(self) -> impl Iterator<Item = (LocalIndex, CellOffset)> + 'a {
        let cells = self.cells.as_chunks::<2>().0.iter();
        cells.map(|[local, at]| (LocalIndex::from_u32(*local), CellOffset::from_u32(*at)))
    }

    fn key(&self, point: PointIndex) -> Option<(u32, bool)> {
        let words = self.words.get(point.index() * self.stride..)?;
        Some((*words.first()?, *words.get(1)? & 1 != 0))
    }

    fn point(self, point: PointIndex) -> Option<CapturedFrame<'a>> {
        let start = point.index() * self.stride;
        let words = self.words.get(start..start + self.stride)?;
        let ([offset, side], bits) = words.split_first_chunk::<POINT>()?;
        let caught = match (side >> 1).checked_sub(1) {
            None => &[][..],
            Some(list) => {
                let (len, list) = self.caught.get(list as usize..)?.split_first()?;
                list.get(..*len as usize)?
            }
        };
        Some(CapturedFrame {
            view: self,
            offset: CodeOffset::from_u32(*offset),
            before: side & 1 != 0,
            bits,
            caught,
        })
    }
}

/// Where a compiled frame at a point has its values.
#[derive(Clone, Copy)]
pub struct CapturedFrame<'a> {
    view: View<'a>,
    /// The operator.
    pub offset: CodeOffset,
    /// As [`FramePoint::before`].
    pub before: bool,
    bits: &'a [u32],
    caught: &'a [u32],
}

impl std::fmt::Debug for CapturedFrame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CapturedFrame")
            .field("offset", &self.offset)
            .field("before", &self.before)
            .finish_non_exhaustive()
    }
}

impl<'a> CapturedFrame<'a> {
    /// The point at an operator, on this side of it, in the table of which these are the words.
    pub(crate) fn find(
        words: &'a [u32],
        offset: CodeOffset,
        before: bool,
    ) -> Option<CapturedFrame<'a>> {
        let view = View::new(words)?;
        let Range { mut start, mut end } = PointIndex::FIRST..view.points;
        while start < end {
            let middle = start.add((end.as_u32() - start.as_u32()) / 2);
            match view.key(middle)?.cmp(&(offset.as_u32(), before)) {
                std::cmp::Ordering::Less => start = middle.add(1),
                std::cmp::Ordering::Equal => return view.point(middle),
                std::cmp::Ordering::Greater => end = middle,
            }
        }
        None
    }

    /// The live cells, in ascending order.
    fn live(self) -> impl Iterator<Item = CellIndex> + 'a {
        let cells = (0..self.view.cells.len() as u32 / 2).map(CellIndex::from_u32);
        cells.filter(move |cell| {
            let bits = self.bits.get(cell.index() / 32);
            bits.is_some_and(|bits| bits & 1 << (cell.index() % 32) != 0)
        })
    }

    /// As [`FramePoint::caught`].
    pub fn caught(&self) -> impl ExactSizeIterator<Item = OperandIndex> + use<'a> {
        self.caught.iter().copied().map(OperandIndex::from_u32)
    }

    /// Whether an operand is one of them.
    pub fn is_caught(&self, operand: OperandIndex) -> bool {
        self.caught.binary_search(&operand.as_u32()).is_ok()
    }

    /// Where its instance is.
    pub fn instance(&self) -> FpOffset {
        self.view.instance
    }

    /// Its live locals, and where they are.
    pub fn locals(self) -> impl Iterator<Item = (LocalIndex, FpOffset)> + 'a {
        self.live().filter_map(move |cell| {
            let words = self.view.cells.get(2 * cell.index()..)?;
            let (local, at) = (*words.first()?, *words.get(1)?);
            Some((LocalIndex::from_u32(local), self.view.instance.above(at)))
        })
    }

    /// Where its operands begin: each takes one slot of eight bytes, a vector two.
    pub fn operands(&self) -> FpOffset {
        self.view.operands
    }
}

/// The tables of a module's functions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameTables {
    /// Where the words of each function end; nothing if no function has any.
    pub(crate) ends: Vec<u32>,
    pub(crate) words: Vec<u32>,
}

impl FrameTables {
    /// Adds that of the next function.
    pub(crate) fn push(&mut self, table: &FrameTable, function: CompiledIndex) {
        if table.points.is_empty() && self.ends.is_empty() {
            return;
        }
        // Those before had none.
        self.ends.resize(function.index(), 0);
        table.to_words(&mut self.words);
        self.ends.push(self.words.len() as u32);
    }

    /// The words of a function.
    pub(crate) fn of(&self, function: CompiledIndex) -> &[u32] {
        let end = |at: usize| self.ends.get(at).map_or(0, |end| *end as usize);
        let start = function.index().checked_sub(1).map_or(0, end);
        self.words.get(start..end(function.index())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{CapturedFrame, CellIndex, CellOffset, FramePoint, FrameTable, FrameTables};
    use crate::addr::FpOffset;
    use crate::compiled::CompiledIndex;
    use wardian_types::{CodeOffset, LocalIndex, OperandIndex};

    fn table() -> FrameTable {
        let point = |offset, before, live: &[u32], caught: &[u32]| FramePoint {
            offset: CodeOffset::from_u32(offset),
            before,
            live: live.iter().copied().map(CellIndex::from_u32).collect(),
            caught: caught.iter().copied().map(OperandIndex::from_u32).collect(),
        };
        FrameTable {
            instance: FpOffset::from_i32(-400),
            operands: FpOffset::from_i32(-64),
            cells: (0..40)
                .map(|cell| (LocalIndex::from_u32(cell + 3), CellOffset::from_u32(8 * (cell + 1))))
                .collect(),
            points: vec![
                point(7, false, &[0, 31, 32, 39], &[]),
                point(7, true, &[], &[1, 4]),
                point(20, false, &[2], &[0]),
            ],
        }
    }

    #[test]
    fn points_are_found_by_operator_and_side() {
        let mut tables = FrameTables::default();
        let none = FrameTable::default();
        [&none, &table(), &none, &table()].into_iter().enumerate().for_each(|(i, table)| {
            tables.push(table, CompiledIndex::from_usize(i));
        });
        for function in 0..5 {
            let words = tables.of(CompiledIndex::from_u32(function));
            let expected = if matches!(function, 1 | 3) { table() } else { none.clone() };
            assert_eq!(FrameTable::from_words(words), expected, "{function}");
            let found =
                |offset, before| CapturedFrame::find(words, CodeOffset::from_u32(offset), before);
            assert_eq!(found(7, false).is_some(), matches!(function, 1 | 3));
            assert!(found(8, false).is_none() && found(20, true).is_none());
        }
        let find = |function, offset, before| {
            let words = tables.of(CompiledIndex::from_u32(function));
            CapturedFrame::find(words, CodeOffset::from_u32(offset), before)
        };
        let found = find(1, 7, false).expect("it is there");
        let locals: Vec<_> =
            found.locals().map(|(local, at)| (local.as_u32(), at.as_i32())).collect();
        assert_eq!(locals, [(3, -392), (34, -144), (35, -136), (42, -80)]);
        assert_eq!(
            (found.instance().as_i32(), found.operands().as_i32(), found.caught),
            (-400, -64, &[][..])
        );
        let found = find(3, 7, true).expect("it is there");
        assert_eq!((found.locals().count(), found.caught), (0, &[1, 4][..]));
    }

    #[test]
    fn damaged_words_do_no_harm() {
        let mut words = Vec::new();
        table().to_words(&mut words);
        for at in 0..words.len() {
            for other in [0, 1, 7, 1 << 31, u32::MAX] {
                let mut damaged = words.clone();
                damaged[at] = other;
                for words in [&damaged[..], &damaged[..at]] {
                    FrameTable::from_words(words);
                    if let Some(found) = CapturedFrame::find(words, CodeOffset::from_u32(7), true) {
                        found.locals().count();
                    }
                }
            }
        }
    }
}
