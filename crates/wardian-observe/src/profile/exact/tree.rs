//! The calls of one store, counted while they happen.
//!
//! ```text
//!   root ── first ──> run ── next ──> init             a node for each path of calls
//!                      └─ first ──> fib ── first ──> fib
//!   current: the node of the innermost open call
//! ```
//!
//! A path is open at most once at a time, so a node also has the times of its open call, and no stack is
//! needed.
//!
//! **Invariant: one writer.** Only the thread that runs the store's guest writes, and what moves a store
//! to another thread orders their writes; so relaxed loads and stores do. Others may read at any time,
//! and get numbers that may be a call behind. Node numbers are published by nothing, so a reader takes
//! only those below `end` (release and acquire).
//!
//! **Nodes** are in chunks, of which each has twice as many as the one before: stores are many, and most have
//! few paths. A node's number is that of its chunk in the upper bits and its place there in the lower ones,
//! so that no more is computed to find it than if all chunks were alike.
//!
//! **Retirement.** `state` says whether a call is open. The outermost call takes it from idle to open, the
//! thread that retires the tree from idle to retired; the second of them sees that and takes another tree. A
//! tree that is not to be used any more while a call is open is retired by the next outermost call.

use super::time::{CallTime, Timing, Watch};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// No node: the root is nobody's child.
const NONE: u32 = 0;
const ROOT: u32 = 0;
/// Takes the place of functions for which there was no node.
pub(super) const OTHER: u32 = u32::MAX;
/// The root's function: no function has this number.
const NO_FUNCTION: u32 = u32::MAX - 1;

const IDLE: u8 = 0;
const OPEN: u8 = 1;
const RETIRED: u8 = 2;

/// Bits of a node's number that are its place in its chunk.
const PLACE_BITS: u32 = 24;
/// Nodes of the first chunk.
const FIRST_CHUNK: usize = 16;
/// Chunks that are made at most: enough for all nodes that there can be, and an `<other>` for each.
const CHUNKS: usize = 52;

pub(super) struct Tree {
    /// Made one by one, so that nodes never move.
    chunks: [OnceLock<Box<[Node]>>; CHUNKS],
    /// The number of the next node.
    end: AtomicU32,
    current: AtomicU32,
    watch: Watch,
    state: AtomicU8,
    /// Whether it is to be retired once no call is open.
    ended: AtomicBool,
    /// Open calls for which `<other>`, then the current node, stands.
    over: AtomicU64,
    overflow: AtomicU64,
    /// Nodes in use in this and other trees, `<other>`s and roots aside.
    used: Arc<AtomicUsize>,
    limits: Limits,
}

/// How much of what is called gets nodes of its own; the rest is counted in `<other>`s.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Nodes of all trees together.
    pub(crate) nodes: usize,
    /// Calls within calls.
    pub(crate) depth: u32,
}

/// A path of calls.
#[derive(Default)]
struct Node {
    func: AtomicU32,
    parent: AtomicU32,
    /// The child that was last called.
    first: AtomicU32,
    /// The next child of the same parent.
    next: AtomicU32,
    /// How many calls the path has: none at the root.
    depth: AtomicU32,
    calls: AtomicU64,
    time: CallTime,
}

/// A node as others see it.
pub(super) struct Counted {
    pub(super) parent: usize,
    pub(super) func: u32,
    pub(super) calls: u64,
    pub(super) total: u64,
}

fn get(cell: &AtomicU32) -> u32 {
    cell.load(Ordering::Relaxed)
}

fn set(cell: &AtomicU32, value: u32) {
    cell.store(value, Ordering::Relaxed);
}

fn add(cell: &AtomicU64, more: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// So many chunks are each twice as long as the one before; the others are as long as the last of them.
const GROWING: usize = 21;

#[inline]
fn chunk_of(node: u32) -> usize {
    (node >> PLACE_BITS) as usize
}

#[inline]
fn place_of(node: u32) -> usize {
    (node & ((1 << PLACE_BITS) - 1)) as usize
}

fn chunk_len(chunk: usize) -> usize {
    FIRST_CHUNK << chunk.min(GROWING - 1)
}

/// The number that comes after another one.
fn after(node: u32) -> u32 {
    let chunk = chunk_of(node);
    let is_last = place_of(node) + 1 == chunk_len(chunk);
    if is_last { (chunk as u32 + 1) << PLACE_BITS } else { node + 1 }
}

/// How many nodes come before one.
fn index_of(node: u32) -> usize {
    (0..chunk_of(node)).map(chunk_len).sum::<usize>() + place_of(node)
}

/// The numbers before this one, but the root's.
fn numbers(end: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(after(ROOT)), |node| Some(after(*node)))
        .take_while(move |n| *n < end)
}

impl Tree {
    pub(super) fn new(limits: Limits, used: Arc<AtomicUsize>) -> Tree {
        let tree = Tree {
            chunks: [const { OnceLock::new() }; CHUNKS],
            end: after(ROOT).into(),
            current: ROOT.into(),
            watch: Watch::default(),
            state: IDLE.into(),
            ended: false.into(),
            over: 0.into(),
            overflow: 0.into(),
            used,
            limits,
        };
        tree.make_room(ROOT);
        set(&tree.node(ROOT).func, NO_FUNCTION);
        tree
    }

    fn make_room(&self, node: u32) {
        let chunk = chunk_of(node);
        self.chunks[chunk].get_or_init(|| (0..chunk_len(chunk)).map(|_| Node::default()).collect());
    }

    #[inline]
    fn node(&self, node: u32) -> &Node {
        let chunk = self.chunks[chunk_of(node)].get();
        &chunk.expect("made before its nodes")[place_of(node)]
    }

    /// A call begins, if `count` is true, or is resumed. False if the tree is retired.
    ///
    /// Not inlined, so that finding the tree is.
    #[inline(never)]
    pub(super) fn enter(&self, func: u32, hint: &AtomicU32, count: u64, timing: &Timing) -> bool {
        let current = get(&self.current);
        if current == ROOT && !self.open() {
            return false;
        }
        // What it is mostly is known without following the tree, which the processor would wait for.
        let hinted = get(hint);
        let (child, node) = match self.child(hinted, current, func) {
            Some(node) => (hinted, node),
            None => {
                let Some((child, node)) = self.first_or_other(current, func) else {
                    return self.enter_other(count, timing);
                };
                set(hint, child);
                (child, node)
            }
        };
        add(&node.calls, count);
        set(&self.current, child);
        node.time.begin(timing, &self.watch);
        true
    }

    /// The innermost call ends. False if the tree is retired, so that the call is another tree's.
    #[inline(never)]
    pub(super) fn leave(&self, func: u32, timing: &Timing) -> bool {
        let current = get(&self.current);
        let node = self.node(current);
        if get(&node.func) != func {
            return self.leave_other(timing);
        }
        self.close(node, timing);
        true
    }

    #[inline]
    fn close(&self, node: &Node, timing: &Timing) {
        node.time.end(timing, &self.watch);
        let parent = get(&node.parent);
        set(&self.current, parent);
        if parent == ROOT {
            self.state.store(IDLE, Ordering::Release);
        }
    }

    #[inline]
    fn open(&self) -> bool {
        let (success, failure) = (Ordering::Acquire, Ordering::Relaxed);
        if self.state.compare_exchange(IDLE, OPEN, success, failure).is_err() {
            return false;
        }
        let ended = self.ended.load(Ordering::Relaxed);
        if ended {
            self.state.store(RETIRED, Ordering::Release);
        }
        !ended
    }

    /// A node, if it is that of a function called by another node.
    #[inline]
    fn child(&self, child: u32, parent: u32, func: u32) -> Option<&Node> {
        // A hint may come from the tree of another store.
        if child == NONE || child >= get(&self.end) {
            return None;
        }
        let node = self.node(child);
        (get(&node.func) == func && get(&node.parent) == parent).then_some(node)
    }

    /// The child of this function, which mostly is the one that was last called.
    #[inline]
    fn first_or_other(&self, parent: u32, func: u32) -> Option<(u32, &Node)> {
        let first = get(&self.node(parent).first);
        if first != NONE {
            let node = self.node(first);
            if get(&node.func) == func {
                return Some((first, node));
            }
        }
        let found = self.find(parent, func)?;
        Some((found, self.node(found)))
    }

    /// Looks for a child, and puts it first; makes it if there is room.
    #[cold]
    fn find(&self, parent: u32, func: u32) -> Option<u32> {
        let of = self.node(parent);
        let (mut before, mut child) = (NONE, get(&of.first));
        while child != NONE {
            let node = self.node(child);
            if get(&node.func) == func {
                if before != NONE {
                    set(&self.node(before).next, get(&node.next));
                    set(&node.next, get(&of.first));
                    set(&of.first, child);
                }
                return Some(child);
            }
            (before, child) = (child, get(&node.next));
        }
        if get(&of.func) == OTHER {
            return None;
        }
        if func != OTHER {
            let used = self.used.load(Ordering::Relaxed);
            if used >= self.limits.nodes || get(&of.depth) >= self.limits.depth {
                return None;
            }
            self.used.fetch_add(1, Ordering::Relaxed);
        }
        self.make(parent, func)
    }

    fn make(&self, parent: u32, func: u32) -> Option<u32> {
        let made = get(&self.end);
        if chunk_of(made) >= CHUNKS {
            return None;
        }
        self.make_room(made);
        let (of, node) = (self.node(parent), self.node(made));
        set(&node.func, func);
        set(&node.parent, parent);
        set(&node.depth, get(&of.depth) + 1);
        set(&node.next, get(&of.first));
        set(&of.first, made);
        self.end.store(after(made), Ordering::Release);
        Some(made)
    }

    /// A call begins that there is no node for: it is counted with all that it calls.
    #[cold]
    fn enter_other(&self, count: u64, timing: &Timing) -> bool {
        let current = get(&self.current);
        add(&self.overflow, count);
        if get(&self.node(current).func) == OTHER {
            add(&self.over, 1);
            add(&self.node(current).calls, count);
        } else if let Some(other) = self.find(current, OTHER) {
            let node = self.node(other);
            add(&self.over, 1);
            add(&node.calls, count);
            set(&self.current, other);
            node.time.begin(timing, &self.watch);
        }
        true
    }

    #[cold]
    fn leave_other(&self, timing: &Timing) -> bool {
        let node = self.node(get(&self.current));
        let over = self.over.load(Ordering::Relaxed);
        if get(&node.func) != OTHER || over == 0 {
            return !self.is_retired();
        }
        self.over.store(over - 1, Ordering::Relaxed);
        if over == 1 {
            self.close(node, timing);
        }
        true
    }

    /// Takes the tree out of use, if no call is open.
    pub(super) fn retire(&self) -> bool {
        self.state.compare_exchange(IDLE, RETIRED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the tree out of use: now, or when the calls that are open have ended.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.retire();
    }

    pub(super) fn is_retired(&self) -> bool {
        self.state.load(Ordering::Relaxed) == RETIRED
    }

    /// Returns its share of the nodes, once it is retired.
    pub(super) fn release(&self) {
        let counts = |node: &u32| get(&self.node(*node).func) != OTHER;
        let counted = numbers(get(&self.end)).filter(counts).count();
        self.used.fetch_sub(counted, Ordering::Relaxed);
    }

    /// Calls that there was no node for.
    pub(super) fn overflow(&self) -> u64 {
        self.overflow.load(Ordering::Relaxed)
    }

    /// All nodes but the root, parents first; those of open calls with their time until now.
    pub(super) fn nodes(&self, now: u64) -> Vec<Counted> {
        let end = self.end.load(Ordering::Acquire);
        let mut open = HashSet::new();
        let mut at = get(&self.current);
        while at != ROOT && at < end {
            open.insert(at);
            at = get(&self.node(at).parent);
        }
        let counted = |at: u32| {
            let node = self.node(at);
            let so_far = if open.contains(&at) { node.time.open(now) } else { 0 };
            Counted {
                parent: index_of(get(&node.parent)),
                func: get(&node.func),
                calls: node.calls.load(Ordering::Relaxed),
                total: node.time.total().saturating_add(so_far),
            }
        };
        numbers(end).map(counted).collect()
    }
}

#[cfg(test)]
mod tests;
