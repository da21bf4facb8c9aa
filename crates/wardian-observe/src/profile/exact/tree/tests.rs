//! Trees by themselves.

use super::{CHUNKS, FIRST_CHUNK, Limits, OTHER, ROOT, Tree, after, chunk_len, index_of, numbers};
use crate::profile::exact::time::Timing;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

const LIMITS: Limits = Limits { nodes: 1000, depth: 100 };

struct Guest {
    tree: Tree,
    timing: Timing,
    hint: AtomicU32,
}

impl Guest {
    fn new(limits: Limits) -> Guest {
        let (tree, timing) = (Tree::new(limits, Arc::default()), Timing::new(true));
        Guest { tree, timing, hint: AtomicU32::new(0) }
    }

    fn enter(&self, func: u32) -> bool {
        self.tree.enter(func, &self.hint, 1, &self.timing)
    }

    fn leave(&self, func: u32) -> bool {
        self.tree.leave(func, &self.timing)
    }

    /// Parents, functions and calls.
    fn nodes(&self) -> Vec<(usize, u32, u64)> {
        self.tree.nodes(0).iter().map(|n| (n.parent, n.func, n.calls)).collect()
    }
}

#[test]
fn numbers_tell_chunk_and_place() {
    let many = FIRST_CHUNK << 12;
    let end = (0..many).fold(ROOT, |node, _| after(node));
    let indices = numbers(end).map(index_of);
    assert!(indices.eq(1..many));
    let room: usize = (0..CHUNKS).map(chunk_len).sum();
    assert!(room >= (2 << 28) + 2, "{room}");
}

#[test]
fn more_nodes_than_a_chunk_has() {
    let guest = Guest::new(Limits { nodes: 5000, depth: 3 });
    assert!(guest.enter(0));
    for func in (1..4000).chain(1..4000) {
        assert!(guest.enter(func));
        guest.leave(func);
    }
    guest.leave(0);
    let nodes = guest.nodes();
    assert_eq!((nodes.len(), nodes[0], nodes[3999]), (4000, (0, 0, 1), (1, 3999, 2)));
    assert!(guest.tree.retire());
}

#[test]
fn ends_that_had_no_beginning_are_nothing() {
    let guest = Guest::new(LIMITS);
    // Of a call that began before there was the listener: function 0 is one like others.
    guest.leave(0);
    guest.leave(OTHER - 1);
    assert!(guest.enter(0) && guest.enter(1));
    guest.leave(0);
    guest.leave(1);
    guest.leave(0);
    guest.leave(0);
    assert_eq!(guest.nodes(), [(0, 0, 1), (1, 1, 1)]);
    assert!(guest.tree.retire() && !guest.enter(0));
}

#[test]
fn recursion_is_counted_beyond_the_greatest_depth() {
    let guest = Guest::new(LIMITS);
    for _ in 0..2 {
        (0..20_000).for_each(|_| assert!(guest.enter(7)));
        (0..20_000).for_each(|_| assert!(guest.leave(7)));
    }
    let nodes = guest.nodes();
    assert_eq!((nodes.len(), nodes[99], nodes[100]), (101, (99, 7, 2), (100, OTHER, 2 * 19_900)));
    assert_eq!(guest.tree.overflow(), 2 * 19_900);
    assert!(guest.tree.retire(), "nothing is left open");
}

#[test]
fn trees_end_when_their_calls_do() {
    let guest = Guest::new(LIMITS);
    assert!(guest.enter(1));
    guest.tree.end();
    assert!(guest.enter(2));
    guest.leave(2);
    guest.leave(1);
    assert!(!guest.enter(1) && guest.tree.is_retired());
    assert!(!guest.leave(1), "it is that of a call in another tree");
    assert_eq!(guest.nodes(), [(0, 1, 1), (1, 2, 1)]);
}
