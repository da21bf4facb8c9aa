//! `br_table`: comparisons where a few decide, a table of addresses otherwise.
//!
//! ```text
//!   br_table 0 0 1 2          entries 0..2 lead to 0, entry 2 to 1, all others to 2:
//!
//!                             index < 2 ── yes ──> 0
//!                               └─ no ──> index < 3 ── yes ──> 1
//!                                           └─ no ──> 2
//! ```
//!
//! A jump through a table waits for the load of the address whenever it is mispredicted, so a few comparisons are cheaper.
//! Native compilers use comparisons for up to three cases, too.

use super::state::{Fail, Outcome, Translator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, InstBuilder, JumpTableData, Value, types};
use std::collections::{HashMap, hash_map::Entry};
use wardian_types::LabelIndex;
use wasmparser::BrTable;

/// The maximum number of ranges that comparisons distinguish.
const MOST_RANGES: usize = 3;

/// Entries that follow each other and lead to the same block.
struct Range {
    /// The first entry after them. The last range has all that follow.
    end: u32,
    block: Block,
}

impl Translator<'_, '_> {
    pub(super) fn br_table(&mut self, table: &BrTable<'_>) -> Outcome {
        let index = self.pop()?;
        if self.b.func.dfg.value_type(index) != types::I32 {
            return Err(Fail("br_table needs an i32".into()));
        }
        let (_, count) = self.target(LabelIndex::from_u32(table.default()))?;
        let args = self.branch_args(count)?;
        let mut blocks = Vec::with_capacity(table.len() as usize + 1);
        for depth in table.targets().chain([Ok(table.default())]) {
            let (block, arity) = self.target(LabelIndex::from_u32(depth?))?;
            if arity != count {
                return Err(Fail("the targets of a br_table differ".into()));
            }
            blocks.push(block);
        }
        match few_ranges(&blocks) {
            Some(ranges) => self.compare_index(index, &ranges, &args),
            None => self.jump_through_table(index, &blocks, &args),
        }
        self.reachable = false;
        Ok(())
    }

    /// Leads to the block of the range that the index is in, by a binary search.
    fn compare_index(&mut self, index: Value, ranges: &[Range], args: &[BlockArg]) {
        let (below, above) = ranges.split_at(ranges.len() / 2);
        let Some(last) = below.last() else {
            for range in above {
                self.b.ins().jump(range.block, args);
            }
            return;
        };
        let is_below = self.b.ins().icmp_imm_u(IntCC::UnsignedLessThan, index, i64::from(last.end));
        let [below, above] = [below, above].map(|ranges| match ranges {
            [range] => (range.block, args, &ranges[..0]),
            _ => (self.b.create_block(), &[][..], ranges),
        });
        self.b.ins().brif(is_below, below.0, below.1, above.0, above.1);
        for (block, _, ranges) in [below, above] {
            if !ranges.is_empty() {
                self.enter(block);
                self.compare_index(index, ranges, args);
            }
        }
    }

    /// Leads to the block of the entry, the last one being the default.
    fn jump_through_table(&mut self, index: Value, blocks: &[Block], args: &[BlockArg]) {
        // Entries that carry operands go through one block for each target: a table of thousands
        // of entries would otherwise carry the operands in each of them.
        let mut hops: HashMap<Block, Block> = HashMap::new();
        let mut order = Vec::new();
        let mut calls = Vec::with_capacity(blocks.len());
        for target in blocks {
            let block = match hops.entry(*target) {
                _ if args.is_empty() => *target,
                Entry::Occupied(hop) => *hop.get(),
                Entry::Vacant(slot) => {
                    let hop = *slot.insert(self.b.create_block());
                    order.push((hop, *target));
                    hop
                }
            };
            calls.push(BlockCall::new(block, [], &mut self.b.func.dfg.value_lists));
        }
        let Some(default) = calls.pop() else { return };
        let jump_table = self.b.create_jump_table(JumpTableData::new(default, &calls));
        self.b.ins().br_table(index, jump_table);
        for (hop, target) in order {
            self.enter(hop);
            self.b.ins().jump(target, args);
        }
    }
}

/// The ranges of entries with the same block, if they are few.
fn few_ranges(blocks: &[Block]) -> Option<Vec<Range>> {
    let mut ranges: Vec<Range> = Vec::new();
    for (end, block) in (1..).zip(blocks) {
        match ranges.last_mut() {
            Some(range) if range.block == *block => range.end = end,
            _ => ranges.push(Range { end, block: *block }),
        }
        if ranges.len() > MOST_RANGES {
            return None;
        }
    }
    Some(ranges)
}
