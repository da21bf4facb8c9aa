//! Which arrows are drawn.

use super::super::{Graph, Node};
use petgraph::graphmap::DiGraphMap;
use petgraph::visit::DfsPostOrder;
use std::cmp::Reverse;
use std::collections::HashMap;

/// How many ranks of boxes all arrows may pass together. The time to find places for them grows with its
/// square; whatever guests are like, it is to be a few seconds.
const RANKS: usize = 600;

/// An arrow, and the number of its calls.
type Call = ((Node, Node), usize);

/// The arrows of most calls, as many as there can be, and how many more there are. None leads from a box to
/// itself.
pub(super) fn arrows(graph: &Graph<'_>) -> (Vec<Call>, usize) {
    let others = graph.calls.iter().filter(|((from, to), _)| from != to);
    let mut calls: Vec<Call> = others.map(|(ends, count)| (*ends, *count)).collect();
    calls.sort_by_key(|(ends, count)| (Reverse(*count), *ends));
    let all = calls.len();
    // As many arrows pass that many ranks at least.
    calls.truncate(RANKS);
    while passed(&calls) > RANKS {
        // Fewer arrows may mean fewer ranks, so it is found by trying.
        calls.truncate(calls.len() * 7 / 8);
    }
    let left_out = all - calls.len();
    (calls, left_out)
}

/// How many ranks these arrows pass, if every box stands behind those that call it.
fn passed(calls: &[Call]) -> usize {
    let mut graph = DiGraphMap::<Node, ()>::new();
    for ((from, to), _) in calls {
        graph.add_edge(*from, *to, ());
    }
    let mut order = Vec::new();
    let mut search = DfsPostOrder::empty(&graph);
    for node in graph.nodes() {
        search.move_to(node);
        while let Some(node) = search.next(&graph) {
            order.push(node);
        }
    }
    order.reverse();
    let position: HashMap<Node, usize> = order.iter().copied().zip(0..).collect();
    let mut ranks: HashMap<Node, usize> = HashMap::new();
    for from in &order {
        let next = ranks.get(from).copied().unwrap_or_default() + 1;
        // Arrows against the order make circles: they do not count.
        for to in graph.neighbors(*from).filter(|to| position[to] > position[from]) {
            let rank = ranks.entry(to).or_default();
            *rank = next.max(*rank);
        }
    }
    let rank = |node| ranks.get(node).copied().unwrap_or_default();
    calls.iter().map(|((from, to), _)| rank(from).abs_diff(rank(to)).max(1)).sum()
}
