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
//! and get numbers that may be a call behind. Node indices are published by nothing, so a reader takes
//! only those below `len` (release and acquire).
//!
//! **Retirement.** `state` tells whether a call is open. The outermost call takes it from idle to open,
//! whoever retires the tree from idle to retired; who comes second sees it and goes elsewhere. A tree that
//! is not to be used any more while a call is open is retired by the next outermost call.

use super::time::{CallTime, Timing, Watch};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// No node: the root is nobody's child.
const NONE: u32 = 0;
const ROOT: u32 = 0;
/// Stands for functions that there was no node for.
pub(super) const OTHER: u32 = u32::MAX;

const IDLE: u8 = 0;
const OPEN: u8 = 1;
const RETIRED: u8 = 2;

const CHUNK_BITS: u32 = 10;
const CHUNK: usize = 1 << CHUNK_BITS;

pub(super) struct Tree {
    /// Made one by one, so that nodes never move.
    chunks: Box<[OnceLock<Box<[Node]>>]>,
    len: AtomicU32,
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

impl Tree {
    pub(super) fn new(limits: Limits, used: Arc<AtomicUsize>) -> Tree {
        // Each node can have one `<other>`, and there is the root.
        let chunks = (2 * limits.nodes + 2).div_ceil(CHUNK);
        let tree = Tree {
            chunks: (0..chunks).map(|_| OnceLock::new()).collect(),
            len: 1.into(),
            current: ROOT.into(),
            watch: Watch::default(),
            state: IDLE.into(),
            ended: false.into(),
            over: 0.into(),
            overflow: 0.into(),
            used,
            limits,
        };
        tree.make_room(0);
        tree
    }

    fn make_room(&self, node: u32) {
        self.chunks[node as usize >> CHUNK_BITS]
            .get_or_init(|| (0..CHUNK).map(|_| Node::default()).collect());
    }

    #[inline]
    fn node(&self, node: u32) -> &Node {
        let chunk = self.chunks[node as usize >> CHUNK_BITS].get();
        &chunk.expect("made before its nodes")[node as usize & (CHUNK - 1)]
    }

    /// A call begins, or goes on, which `count` tells. False if the tree is retired.
    ///
    /// Not inlined, so that finding the tree is.
    #[inline(never)]
    pub(super) fn enter(&self, func: u32, hint: &AtomicU32, count: u64, timing: &Timing) -> bool {
        let current = get(&self.current);
        if current == ROOT && !self.open() {
            return false;
        }
        // What it is mostly is known without following the tree, which the processor would wait for.
        let mut child = get(hint);
        if !self.is_child(child, current, func) {
            child = get(&self.node(current).first);
            if child == NONE || get(&self.node(child).func) != func {
                match self.find(current, func) {
                    Some(found) => child = found,
                    None => return self.enter_other(count, timing),
                }
            }
            set(hint, child);
        }
        let node = self.node(child);
        add(&node.calls, count);
        set(&self.current, child);
        node.time.begin(timing, &self.watch);
        true
    }

    /// The innermost call ends.
    #[inline(never)]
    pub(super) fn leave(&self, func: u32, timing: &Timing) {
        let current = get(&self.current);
        let node = self.node(current);
        if get(&node.func) != func {
            return self.leave_other(timing);
        }
        self.close(node, timing);
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

    #[inline]
    fn is_child(&self, child: u32, parent: u32, func: u32) -> bool {
        // A hint may come from the tree of another store.
        child != NONE && child < get(&self.len) && {
            let node = self.node(child);
            get(&node.func) == func && get(&node.parent) == parent
        }
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
        if parent != ROOT && get(&of.func) == OTHER {
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
        let made = get(&self.len);
        if made as usize >= self.chunks.len() << CHUNK_BITS {
            return None;
        }
        self.make_room(made);
        let (of, node) = (self.node(parent), self.node(made));
        set(&node.func, func);
        set(&node.parent, parent);
        set(&node.depth, get(&of.depth) + 1);
        set(&node.next, get(&of.first));
        set(&of.first, made);
        self.len.store(made + 1, Ordering::Release);
        Some(made)
    }

    /// A call begins that there is no node for: it is counted with all that it calls.
    #[cold]
    fn enter_other(&self, count: u64, timing: &Timing) -> bool {
        let current = get(&self.current);
        self.overflow.fetch_add(count, Ordering::Relaxed);
        self.over.fetch_add(1, Ordering::Relaxed);
        if current != ROOT && get(&self.node(current).func) == OTHER {
            add(&self.node(current).calls, count);
        } else if let Some(other) = self.find(current, OTHER) {
            let node = self.node(other);
            add(&node.calls, count);
            set(&self.current, other);
            node.time.begin(timing, &self.watch);
        }
        true
    }

    #[cold]
    fn leave_other(&self, timing: &Timing) {
        let node = self.node(get(&self.current));
        if get(&node.func) != OTHER || self.over.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self.over.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.close(node, timing);
        }
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

    /// Gives back its share of the nodes, once it is retired.
    pub(super) fn release(&self) {
        let others = |node: &u32| get(&self.node(*node).func) == OTHER;
        let len = get(&self.len);
        let counted = len as usize - 1 - (1..len).filter(others).count();
        self.used.fetch_sub(counted, Ordering::Relaxed);
    }

    /// Calls that there was no node for.
    pub(super) fn overflow(&self) -> u64 {
        self.overflow.load(Ordering::Relaxed)
    }

    /// All nodes but the root, parents first; those of open calls with their time until now.
    pub(super) fn nodes(&self, now: u64) -> Vec<Counted> {
        let len = self.len.load(Ordering::Acquire);
        let mut open = vec![false; len as usize];
        let mut at = get(&self.current);
        while at != ROOT && at < len {
            open[at as usize] = true;
            at = get(&self.node(at).parent);
        }
        let counted = |at: u32| {
            let node = self.node(at);
            let so_far = if open[at as usize] { node.time.open(now) } else { 0 };
            Counted {
                parent: get(&node.parent) as usize,
                func: get(&node.func),
                calls: node.calls.load(Ordering::Relaxed),
                total: node.time.total().saturating_add(so_far),
            }
        };
        (1..len).map(counted).collect()
    }
}
