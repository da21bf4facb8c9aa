//! Where the text of a function is to begin, so that its loops lie in as few lines of the instruction cache as they can.
//!
//! ```text
//!   a line of 64 bytes              the next line
//!   ├───────────────────────────────┼───────────────────────────────┤
//!                              [ loop ]                                at the beginning of a line: two lines each time
//!                                              [ loop ]                16 bytes further: one
//! ```
//!
//! Processors fetch code, and keep what they have decoded, by such lines. A loop of a few instructions that crosses into one
//! more line than it needs can take twice as long on some of them. Cranelift does not align blocks: so functions are placed
//! instead, at one of four distances from the beginning of a line.

use std::collections::BTreeMap;
use std::ops::Range;
use wardian_vm::compiled::CompiledFunction;

/// Bytes of a line.
pub(crate) const LINE: u32 = 64;
/// The distances that are tried are multiples of this.
const STEP: u32 = CompiledFunction::LEAST_ALIGN;
/// Longer loops take many lines wherever they begin.
const LONGEST: u32 = 256;
/// A loop counts for so many of those that are around it.
const WEIGHT: u64 = 8;
/// Loops that lie deeper count as if they lay here.
const DEEPEST: u32 = 4;
/// Functions with more loops than that are placed without a search.
const MOST_LOOPS: usize = 1000;

/// How many bytes behind the beginning of a line a function is to begin, by where its blocks begin, the edges between them
/// (both as offsets in its text), and the length of its code.
pub(crate) fn place(block_starts: &[u32], edges: &[(u32, u32)], len: u32) -> u32 {
    let loops = loops(block_starts, edges, len);
    if loops.is_empty() || loops.len() > MOST_LOOPS {
        return 0;
    }
    let weighted: Vec<(Range<u32>, u64)> = loops
        .iter()
        .filter(|range| range.end - range.start <= LONGEST)
        .map(|range| (range.clone(), WEIGHT.pow(depth(range, &loops))))
        .collect();
    let cost = |lead: u32| -> u64 {
        weighted.iter().map(|(range, weight)| weight * u64::from(lines_too_many(range, lead))).sum()
    };
    (0..LINE / STEP).map(|step| step * STEP).min_by_key(|lead| cost(*lead)).unwrap_or(0)
}

/// The ranges of code from where a jump backwards leads to the end of the block that jumps, the shortest for each beginning.
fn loops(block_starts: &[u32], edges: &[(u32, u32)], len: u32) -> Vec<Range<u32>> {
    let mut ends: BTreeMap<u32, u32> = BTreeMap::new();
    for &(from, to) in edges.iter().filter(|(from, to)| to <= from) {
        let next = block_starts.partition_point(|start| *start <= from);
        let end = block_starts.get(next).copied().unwrap_or(len);
        let shortest = ends.entry(to).or_insert(end);
        *shortest = end.min(*shortest);
    }
    ends.into_iter().map(|(start, end)| start..end).collect()
}

/// How many other loops a loop lies in.
fn depth(range: &Range<u32>, loops: &[Range<u32>]) -> u32 {
    let around = |other: &&Range<u32>| {
        other.start <= range.start && other.end >= range.end && *other != range
    };
    (loops.iter().filter(around).count() as u32).min(DEEPEST)
}

/// How many lines a range of a text that begins there touches, without those that it needs for its length.
fn lines_too_many(range: &Range<u32>, lead: u32) -> u32 {
    let touched = (range.end + lead).div_ceil(LINE) - (range.start + lead) / LINE;
    touched.saturating_sub((range.end - range.start).div_ceil(LINE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_touch_few_lines() {
        // Where blocks begin, edges, the length, and where the function is to begin.
        type Case = (&'static [u32], &'static [(u32, u32)], u32, u32);
        let cases: &[Case] = &[
            (&[0], &[], 100, 0),
            (&[0, 10, 30], &[(0, 10), (10, 10), (10, 30)], 40, 0),
            // From 50 to 70.
            (&[0, 50, 70], &[(0, 50), (50, 50), (50, 70)], 80, 16),
            // The inner one, from 60 to 70, counts for more than that around it, from 0 to 80.
            (&[0, 60, 70], &[(0, 60), (60, 60), (60, 70), (70, 0)], 80, 16),
            // The last block ends with the code.
            (&[0, 40], &[(0, 40), (40, 40)], 90, 32),
            // Blocks in between.
            (&[0, 40, 50, 60], &[(0, 40), (40, 50), (50, 60), (60, 40)], 90, 32),
            // Longer than is looked at.
            (&[0, 40], &[(0, 40), (40, 40)], 400, 0),
        ];
        for (starts, edges, len, lead) in cases {
            assert_eq!(place(starts, edges, *len), *lead, "{starts:?} {edges:?} {len}");
        }
    }

    #[test]
    fn a_loop_that_fits_into_a_line_does() {
        for start in 0..200 {
            for len in 1..=LINE - STEP + 1 {
                let (starts, edges) = ([0, start, start + len], [(start, start)]);
                let lead = place(&starts, &edges, start + len);
                assert_eq!(lines_too_many(&(start..start + len), lead), 0, "{start} {len}");
            }
        }
    }
}
