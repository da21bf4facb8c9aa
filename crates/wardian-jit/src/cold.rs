//! Finds the blocks from which nothing but traps can be reached, and has them placed behind all others.
//!
//! Compilers of guests lead failed checks (of an index, of an assertion) through a few blocks that prepare the
//! arguments of a function that never returns, and end in `unreachable`. The block with the `unreachable` is cold
//! already. Its predecessors are not, and lie in the middle of loops: there they make the fall-through of the check
//! a taken branch, and count as loop code when the register allocator chooses what to spill.

use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, Function};
use std::collections::HashMap;

/// Marks each block as cold all of whose successors are cold. The order of blocks is all that changes. Gives how many
/// blocks were marked.
///
/// A loop is not marked, whatever it leads to, nor is the block that the function begins with.
pub(crate) fn mark(func: &mut Function) -> usize {
    let entry = func.layout.entry_block();
    let mut done: Vec<Block> =
        func.layout.blocks().filter(|block| func.is_effectively_cold(*block)).collect();
    if done.is_empty() {
        return 0;
    }
    let graph = ControlFlowGraph::with_function(func);
    // Successors of a block that are not known to be cold.
    let mut others: HashMap<Block, usize> = HashMap::new();
    let mut marked = 0;
    while let Some(block) = done.pop() {
        for before in graph.pred_iter(block).map(|edge| edge.block) {
            if Some(before) == entry || func.is_effectively_cold(before) {
                continue;
            }
            let left = others.entry(before).or_insert_with(|| graph.succ_iter(before).count());
            *left = left.saturating_sub(1);
            if *left == 0 {
                func.layout.set_cold(before);
                marked += 1;
                done.push(before);
            }
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_codegen::cursor::{Cursor, FuncCursor};
    use cranelift_codegen::ir::{InstBuilder, TrapCode, types};

    /// Each block branches to the blocks given here, returns if there are none, and traps if it is given `None`.
    fn marked(graph: &[Option<&[usize]>]) -> Vec<usize> {
        let mut func = Function::new();
        let blocks: Vec<Block> = graph.iter().map(|_| func.dfg.make_block()).collect();
        let mut at = FuncCursor::new(&mut func);
        for (block, leads_to) in blocks.iter().zip(graph) {
            at.insert_block(*block);
            match leads_to {
                None => drop(at.ins().trap(TrapCode::unwrap_user(1))),
                Some([]) => drop(at.ins().return_(&[])),
                Some([to]) => drop(at.ins().jump(blocks[*to], &[])),
                Some([yes, no, ..]) => {
                    let condition = at.ins().iconst(types::I32, 1);
                    at.ins().brif(condition, blocks[*yes], &[], blocks[*no], &[]);
                }
            }
        }
        let count = mark(&mut func);
        let cold: Vec<usize> =
            (0..blocks.len()).filter(|i| func.layout.is_cold(blocks[*i])).collect();
        assert_eq!(cold.len(), count);
        cold
    }

    #[test]
    fn what_leads_to_traps_alone_is_cold() {
        type Case<'a> = (&'a str, &'a [Option<&'a [usize]>], &'a [usize]);
        let cases: [Case<'_>; 8] = [
            ("nothing traps", &[Some(&[1]), Some(&[])], &[]),
            ("a path to a trap", &[Some(&[1, 3]), Some(&[2]), None, Some(&[])], &[1]),
            ("one of two ways returns", &[Some(&[1]), Some(&[2, 3]), None, Some(&[])], &[]),
            ("both ways trap", &[Some(&[1, 4]), Some(&[2, 3]), None, None, Some(&[])], &[1]),
            ("twice the same way", &[Some(&[1, 3]), Some(&[2, 2]), None, Some(&[])], &[1]),
            ("a loop before a trap", &[Some(&[1, 3]), Some(&[1, 2]), None, Some(&[])], &[]),
            ("an endless loop", &[Some(&[1, 2]), Some(&[1]), None], &[]),
            ("the beginning", &[Some(&[1]), None], &[]),
        ];
        for (what, graph, cold) in cases {
            assert_eq!(marked(graph), cold, "{what}");
        }
    }
}
