//! Exact profiles: a listener of every call.
//!
//! A listener is told millions of times a second, so it does as little as can be: it reads a clock that
//! needs no system call, and finds its place in its store's [`Tree`] without locks. All else is left to
//! the end.

mod tree;

use super::profiler::Functions;
use super::stacks::{ROOT, StackTable};
use crate::symbols::Place;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tree::{OTHER, Tree};
use wardian::{AbortReason, Call, FunctionListener, StackIterator};

/// When there are so many trees, those that are not in use are emptied into one.
const MANY_TREES: usize = 64;

/// The calls of all stores.
pub(crate) struct Calls {
    /// A number that no other has.
    id: u64,
    clock: quanta::Clock,
    max_nodes: usize,
    /// Nodes in use, in all trees.
    used: Arc<AtomicUsize>,
    stores: Mutex<Stores>,
}

struct Stores {
    trees: HashMap<u64, Arc<Tree>>,
    /// What was counted for stores whose trees were emptied. Children are of functions' numbers.
    retired: Merged,
}

impl Calls {
    pub(crate) fn new(max_nodes: usize) -> Calls {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Calls {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            clock: quanta::Clock::new(),
            max_nodes,
            used: Arc::default(),
            stores: Mutex::new(Stores { trees: HashMap::new(), retired: Merged::new(max_nodes) }),
        }
    }

    fn stores(&self) -> MutexGuard<'_, Stores> {
        self.stores.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The tree of a store. Only for the thread that runs the store's guest.
    #[cold]
    fn tree(&self, store: u64) -> Arc<Tree> {
        let stores = &mut *self.stores();
        if stores.trees.get(&store).is_some_and(|tree| tree.is_retired()) {
            stores.trees.remove(&store);
        }
        if !stores.trees.contains_key(&store) && stores.trees.len() >= MANY_TREES {
            stores.retire_idle();
        }
        let new = || Arc::new(Tree::new(self.max_nodes, self.used.clone()));
        stores.trees.entry(store).or_insert_with(new).clone()
    }

    /// All that was counted so far, with functions as places.
    pub(crate) fn table(&self, functions: &Functions) -> StackTable {
        let now = self.clock.raw();
        let stores = self.stores();
        let mut merged = Merged::new(self.max_nodes);
        merged.add_merged(&stores.retired);
        stores.trees.values().for_each(|tree| merged.add(tree, now));
        let to_nanoseconds = |raw| self.clock.delta_as_nanos(0, raw);
        merged.table(|func| functions.place(func), to_nanoseconds)
    }
}

impl Stores {
    fn retire_idle(&mut self) {
        let retired = &mut self.retired;
        self.trees.retain(|_, tree| {
            let idle = tree.retire();
            if idle {
                retired.add(tree, 0);
                tree.release();
            }
            !idle
        });
    }
}

/// Counts and raw times of trees together.
struct Merged {
    table: StackTable,
}

impl Merged {
    fn new(max_nodes: usize) -> Merged {
        Merged { table: StackTable::new(max_nodes) }
    }

    fn add(&mut self, tree: &Tree, now: u64) {
        self.table.overflow += tree.overflow();
        let mut to = vec![ROOT];
        for node in tree.nodes(now) {
            // Numbers of functions stand in for places until the end.
            let place = Place::numbered(node.func);
            let at = self.table.child(to[node.parent], place);
            self.table.add(at, 0, node.calls);
            self.table.add(at, 1, node.total);
            to.push(at);
        }
    }

    fn add_merged(&mut self, other: &Merged) {
        self.table.overflow += other.table.overflow;
        let mut to = vec![ROOT];
        for node in &other.table.nodes[1..] {
            let at = self.table.child(to[node.parent as usize], node.place);
            self.table.add(at, 0, node.values[0]);
            self.table.add(at, 1, node.values[1]);
            to.push(at);
        }
    }

    /// With real places, and each node's own time.
    fn table(self, place: impl Fn(u32) -> Place, time: impl Fn(u64) -> u64) -> StackTable {
        let mut table = self.table;
        // Parents stand first, so what is taken from them is what children had in all.
        for at in 1..table.nodes.len() as u32 {
            let node = *table.get(at);
            table.subtract(node.parent, 1, node.values[1]);
        }
        for node in &mut table.nodes[1..] {
            node.values[1] = time(node.values[1]);
            node.place = node.place.number().map_or(Place::Other, &place);
        }
        table
    }
}

impl Place {
    /// A place that only has a number.
    fn numbered(func: u32) -> Place {
        match func {
            OTHER => Place::Other,
            func => Place::Code { module: crate::symbols::ModuleId::NONE, func, offset: None },
        }
    }

    fn number(self) -> Option<u32> {
        if let Place::Code { func, .. } = self { Some(func) } else { None }
    }
}

/// Listens to one function.
pub(crate) struct CallListener {
    calls: Arc<Calls>,
    func: u32,
    /// The node where it was last found: a guess.
    hint: AtomicU32,
}

/// The tree that this thread last used.
struct Last {
    calls: u64,
    store: u64,
    tree: Option<Arc<Tree>>,
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last { calls: 0, store: 0, tree: None }) };
}

impl CallListener {
    pub(crate) fn new(calls: &Arc<Calls>, func: u32) -> CallListener {
        CallListener { calls: calls.clone(), func, hint: AtomicU32::new(0) }
    }

    #[inline]
    fn with_tree<R>(&self, store: u64, visit: impl FnOnce(&Tree) -> R) -> R {
        LAST.with_borrow_mut(|last| {
            if last.calls != self.calls.id || last.store != store || last.tree.is_none() {
                self.change(last, store);
            }
            match &last.tree {
                Some(tree) => visit(tree),
                None => visit(&self.calls.tree(store)),
            }
        })
    }

    #[cold]
    fn change(&self, last: &mut Last, store: u64) {
        *last = Last { calls: self.calls.id, store, tree: Some(self.calls.tree(store)) };
    }

    #[inline]
    fn enter(&self, call: &Call<'_>, count: u64) {
        let store = call.store_id();
        let enter = |tree: &Tree| tree.enter(self.func, &self.hint, count, &self.calls.clock);
        if !self.with_tree(store, enter) {
            // The tree was emptied since this thread last used it.
            LAST.with_borrow_mut(|last| self.change(last, store));
            self.with_tree(store, enter);
        }
    }

    #[inline]
    fn leave(&self, call: &Call<'_>) {
        let now = self.calls.clock.raw();
        self.with_tree(call.store_id(), |tree| tree.leave(self.func, now));
    }
}

impl FunctionListener for CallListener {
    #[inline]
    fn before(&self, call: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {
        self.enter(call, 1);
    }

    #[inline]
    fn after(&self, call: &Call<'_>, _: &[u64]) {
        self.leave(call);
    }

    fn abort(&self, call: &Call<'_>, _: &AbortReason<'_>) {
        self.leave(call);
    }

    fn resumed(&self, call: &Call<'_>) {
        self.enter(call, 0);
    }
}
