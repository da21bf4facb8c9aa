//! `br_table`: a jump through a table, or a few comparisons.

use super::state::{Fail, Outcome, Translator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, InstBuilder, JumpTableData, Value, types};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use wasmparser::BrTable;

/// How many comparisons are made at most instead of a jump through a table. With many the
/// processor predicts one jump better than the branches.
const MOST_COMPARISONS: usize = 2;

/// Indices below `end`, and not below the end of the run before, branch to `depth`.
struct Run {
    end: u32,
    depth: u32,
}

impl Translator<'_, '_> {
    pub(super) fn br_table(&mut self, table: &BrTable<'_>) -> Outcome {
        let index = self.pop()?;
        if self.b.func.dfg.value_type(index) != types::I32 {
            return Err(Fail("br_table needs an i32".into()));
        }
        let (_, count) = self.target(table.default())?;
        let args = self.branch_args(count)?;
        match runs(table)? {
            Some(runs) if self.env.tunables.shaping.short_tables => {
                self.compare_index(index, &runs, table.default(), &args)?;
            }
            _ => self.jump_by_index(index, table, &args)?,
        }
        self.reachable = false;
        Ok(())
    }

    /// The block of a branch that has to take `count` operands.
    fn same_arity(&mut self, depth: u32, count: usize) -> Outcome<Block> {
        let (block, arity) = self.target(depth)?;
        if arity != count {
            return Err(Fail("the targets of a br_table differ".into()));
        }
        Ok(block)
    }

    /// Indices past the last run come first, as where the code jumps through a table: often that is what most
    /// indices are. No address is made of the index, so nothing has to be guarded against speculation.
    fn compare_index(
        &mut self,
        index: Value,
        runs: &[Run],
        default: u32,
        args: &[BlockArg],
    ) -> Outcome {
        let otherwise = self.same_arity(default, args.len())?;
        let Some((last, before)) = runs.split_last() else {
            self.b.ins().jump(otherwise, args);
            return Ok(());
        };
        self.branch_where(IntCC::UnsignedGreaterThanOrEqual, index, last.end, otherwise, args);
        for Run { end, depth } in before {
            let target = self.same_arity(*depth, args.len())?;
            self.branch_where(IntCC::UnsignedLessThan, index, *end, target, args);
        }
        let target = self.same_arity(last.depth, args.len())?;
        self.b.ins().jump(target, args);
        Ok(())
    }

    /// Branches if the index compares so, and continues otherwise.
    fn branch_where(
        &mut self,
        cond: IntCC,
        index: Value,
        with: u32,
        target: Block,
        args: &[BlockArg],
    ) {
        let holds = self.b.ins().icmp_imm_u(cond, index, i64::from(with));
        let next = self.b.create_block();
        self.b.ins().brif(holds, target, args, next, &[]);
        self.enter(next);
    }

    fn jump_by_index(&mut self, index: Value, table: &BrTable<'_>, args: &[BlockArg]) -> Outcome {
        // Entries that carry operands go through one block for each depth: a table of thousands
        // of entries would otherwise carry the operands in each of them.
        let mut hops: HashMap<u32, Block> = HashMap::new();
        let mut order = Vec::new();
        let mut calls = Vec::with_capacity(table.len() as usize);
        for depth in table.targets().chain([Ok(table.default())]) {
            let depth = depth?;
            let block = self.same_arity(depth, args.len())?;
            let block = if args.is_empty() {
                block
            } else {
                match hops.entry(depth) {
                    Entry::Occupied(hop) => *hop.get(),
                    Entry::Vacant(slot) => {
                        let hop = *slot.insert(self.b.create_block());
                        order.push((hop, block));
                        hop
                    }
                }
            };
            calls.push(BlockCall::new(block, [], &mut self.b.func.dfg.value_lists));
        }
        let Some(default) = calls.pop() else { return Ok(()) };
        let jump_table = self.b.create_jump_table(JumpTableData::new(default, &calls));
        self.b.ins().br_table(index, jump_table);
        for (hop, block) in order {
            self.enter(hop);
            self.b.ins().jump(block, args);
        }
        Ok(())
    }
}

/// Neighbouring entries with one target, in the order of their indices, without those at the end that
/// are as the default; none if there are too many to be compared with.
fn runs(table: &BrTable<'_>) -> Outcome<Option<Vec<Run>>> {
    let mut runs: Vec<Run> = Vec::new();
    for (end, depth) in (1..).zip(table.targets()) {
        let depth = depth?;
        // Of one run more, the last may be as the default.
        let full = runs.len() > MOST_COMPARISONS;
        match runs.last_mut() {
            Some(run) if run.depth == depth => run.end = end,
            _ if full => return Ok(None),
            _ => runs.push(Run { end, depth }),
        }
    }
    if runs.last().is_some_and(|run| run.depth == table.default()) {
        runs.pop();
    }
    Ok((runs.len() <= MOST_COMPARISONS).then_some(runs))
}
