//! Where a function of Go calls, and what the program counter of Go is there.

use super::GoPc;
use std::ops::Range;
use wardian_types::CodeOffset;
use wasmparser::{BinaryReader, FunctionBody, Operator};

/// A call: its offset in the module's code section, and Go's program counter, counted from the function's
/// entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallPoint {
    pub(super) offset: CodeOffset,
    pub(super) pc: GoPc,
}

/// The calls of the function with this body, in order. Before a call the code writes the address where it
/// returns to on the goroutine's stack, as a constant: the upper bits are the function's own address. The
/// call is the instruction before.
pub(super) fn points(
    bytes: &[u8],
    body: Range<usize>,
    code_section: usize,
    entry: u64,
) -> Box<[CallPoint]> {
    let Some(code) = bytes.get(body.clone()) else { return Box::default() };
    let first = body.start.saturating_sub(code_section) as u64;
    let reader = FunctionBody::new(BinaryReader::new(code, first));
    let Ok(mut operators) = reader.get_operators_reader() else { return Box::default() };
    let mut points = Vec::new();
    let mut returns_to = None;
    while let Ok((operator, at)) = operators.read_with_offset() {
        match operator {
            Operator::I64Const { value } => {
                let pc = value.cast_unsigned().checked_sub(entry).filter(|pc| *pc <= 0xffff);
                returns_to = pc.or(returns_to);
            }
            Operator::Call { .. } | Operator::CallIndirect { .. } => {
                let offset = u32::try_from(at).map(CodeOffset::from_u32);
                if let (Some(pc), Ok(offset)) = (returns_to.take(), offset) {
                    let pc = GoPc::from_u32((pc as u32).saturating_sub(1));
                    points.push(CallPoint { offset, pc });
                }
            }
            _ => {}
        }
    }
    points.into()
}

fn bytes(range: Range<CodeOffset>) -> usize {
    range.end.index() - range.start.index()
}

/// The call at an offset, or else the one that is nearest in the code, and whether it is the one asked for.
/// The entry if there is none.
pub(super) fn nearest(points: &[CallPoint], offset: CodeOffset) -> (GoPc, bool) {
    let after = points.partition_point(|point| point.offset < offset);
    let (before, after) = (after.checked_sub(1).map(|at| points[at]), points.get(after).copied());
    let point = match (before, after) {
        (_, Some(after)) if after.offset == offset => return (after.pc, true),
        (Some(before), Some(after))
            if bytes(before.offset..offset) <= bytes(offset..after.offset) =>
        {
            before
        }
        (_, Some(after)) => after,
        (Some(before), None) => before,
        (None, None) => return (GoPc::FIRST, false),
    };
    (point.pc, false)
}

#[cfg(test)]
mod tests {
    use super::{CallPoint, GoPc, nearest};
    use wardian_types::CodeOffset;

    #[test]
    fn the_nearest_call_counts() {
        let point =
            |offset, pc| CallPoint { offset: CodeOffset::from_u32(offset), pc: GoPc::from_u32(pc) };
        let points = [point(10, 1), point(20, 2)];
        let nearest = |points: &[CallPoint], offset| {
            let (pc, exact) = nearest(points, CodeOffset::from_u32(offset));
            (pc.as_u32(), exact)
        };
        for (offset, expected) in
            [(0, (1, false)), (10, (1, true)), (15, (1, false)), (16, (2, false)), (20, (2, true))]
        {
            assert_eq!(nearest(&points, offset), expected, "{offset}");
        }
        assert_eq!(nearest(&points, 1000), (2, false));
        assert_eq!(nearest(&[], 7), (0, false));
    }
}
