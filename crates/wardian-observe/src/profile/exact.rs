//! Exact profiles: a listener of every call.
//!
//! A listener is notified millions of times a second, so it does as little as possible: it finds its place in
//! its store's [`Tree`] without locks, and reads a clock only where that is worth it ([`time`]). Everything
//! else is left to the end.

mod ticks;
mod time;
mod tree;

use super::profiler::Functions;
use super::stacks::{ROOT, StackTable};
use crate::symbols::Place;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use time::Timing;
use tree::{OTHER, Tree};

pub(crate) use tree::Limits;
use wardian::{
    listener::{AbortReason, Call, FunctionListener},
    stack::StackIterator,
};

/// With fewer trees none are emptied.
const MANY_TREES: usize = 64;
/// So many trees may be kept by listeners, in use or not.
const HOMES: usize = 64;

/// The calls of all stores.
pub(crate) struct Calls {
    /// A number that no other has.
    id: u64,
    timing: Timing,
    limits: Limits,
    /// Nodes in use, in all trees.
    used: Arc<AtomicUsize>,
    /// Whether nothing more is recorded. Changes while `stores` is locked.
    ended: AtomicBool,
    stores: Mutex<Stores>,
}

struct Stores {
    trees: HashMap<u64, Arc<Tree>>,
    /// When there are so many, or they have so many nodes, those that are not in use are emptied into one.
    many: usize,
    many_nodes: usize,
    /// The first stores.
    homes: Vec<u64>,
    /// What was counted for stores whose trees were emptied. Children are of functions' numbers.
    retired: Merged,
}

impl Calls {
    pub(crate) fn new(limits: Limits, every_call: bool) -> Calls {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Calls {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            timing: Timing::new(every_call),
            limits,
            used: Arc::default(),
            ended: AtomicBool::new(false),
            stores: Mutex::new(Stores {
                trees: HashMap::new(),
                many: MANY_TREES,
                many_nodes: limits.nodes / 2,
                homes: Vec::new(),
                retired: Merged::new(limits.nodes),
            }),
        }
    }

    /// Ends these, whatever listeners are still attached: calls that begin now are counted in other trees.
    pub(crate) fn renew(&self) -> Calls {
        let next = Calls::new(self.limits, self.timing.times_every_call());
        next.stores().retired = self.end();
        next
    }

    /// Nothing more is recorded, whatever listeners are still attached. Returns what was counted.
    pub(crate) fn end(&self) -> Merged {
        let now = self.timing.clock.raw();
        let stores = &mut *self.stores();
        self.ended.store(true, Ordering::Relaxed);
        for (_, tree) in stores.trees.drain() {
            stores.retired.add(&tree, now);
            tree.end();
        }
        self.timing.stop();
        std::mem::replace(&mut stores.retired, Merged::new(self.limits.nodes))
    }

    fn stores(&self) -> MutexGuard<'_, Stores> {
        self.stores.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The tree of a store; none if nothing more is recorded. Only for the thread that runs the store's
    /// guest.
    #[cold]
    fn tree(&self, store: u64) -> Option<Arc<Tree>> {
        let stores = &mut *self.stores();
        if self.ended.load(Ordering::Relaxed) {
            return None;
        }
        if stores.trees.get(&store).is_some_and(|tree| tree.is_retired()) {
            stores.trees.remove(&store);
        }
        if !stores.trees.contains_key(&store) {
            stores.make_room(&self.used, self.limits.nodes);
        }
        let new = || Arc::new(Tree::new(self.limits, self.used.clone()));
        Some(stores.trees.entry(store).or_insert_with(new).clone())
    }

    /// Whether a store's tree may be kept by listeners.
    fn is_home(&self, store: u64) -> bool {
        let homes = &mut self.stores().homes;
        let known = homes.contains(&store);
        if !known && homes.len() < HOMES {
            homes.push(store);
        }
        known || homes.last() == Some(&store)
    }

    /// All that was counted so far, with functions as places.
    pub(crate) fn table(&self, functions: &Functions) -> StackTable {
        let now = self.timing.clock.raw();
        let stores = self.stores();
        let mut merged = Merged::new(self.limits.nodes);
        merged.add_merged(&stores.retired);
        stores.trees.values().for_each(|tree| merged.add(tree, now));
        merged.table(|func| functions.place(func), |raw| self.timing.nanoseconds(raw))
    }
}

impl Stores {
    /// For one more tree. Looks through all only when they have become many more since the last time, or
    /// half of the nodes that were left then are used: it may be that all are in use.
    fn make_room(&mut self, used: &AtomicUsize, max_nodes: usize) {
        let nodes = || used.load(Ordering::Relaxed);
        let trees = self.trees.len();
        if trees < MANY_TREES || trees < self.many && nodes() < self.many_nodes {
            return;
        }
        self.retire_idle();
        self.many = MANY_TREES.max(2 * self.trees.len());
        self.many_nodes = nodes() + (max_nodes.saturating_sub(nodes()) / 2).max(1);
    }

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
pub(crate) struct Merged {
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
            // Until the end, places are the numbers of functions.
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
    fn table(mut self, place: impl Fn(u32) -> Place, time: impl Fn(u64) -> u64) -> StackTable {
        self.fit();
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

    /// Makes calls take no more time than those that made them: times of short calls are estimates.
    fn fit(&mut self) {
        let nodes = &mut self.table.nodes;
        let mut inner = vec![0u64; nodes.len()];
        for node in &nodes[1..] {
            inner[node.parent as usize] =
                inner[node.parent as usize].saturating_add(node.values[1]);
        }
        for at in 1..nodes.len() {
            let parent = nodes[at].parent as usize;
            // Parents stand first, so this one fits already.
            let (outer, inner) = (nodes[parent].values[1], inner[parent]);
            if parent != ROOT as usize && inner > outer {
                let fitted = u128::from(nodes[at].values[1]) * u128::from(outer);
                nodes[at].values[1] = (fitted / u128::from(inner)) as u64;
            }
        }
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
    /// The first store that called it, and its tree, if it may be kept: mostly there is no other.
    home: OnceLock<Option<(u64, Arc<Tree>)>>,
}

/// The tree that this thread last used.
struct Last {
    /// The numbers of the profile and of the store: none is zero.
    of: Cell<(u64, u64)>,
    tree: RefCell<Option<Arc<Tree>>>,
}

thread_local! {
    static LAST: Last = const { Last { of: Cell::new((0, 0)), tree: RefCell::new(None) } };
}

impl CallListener {
    pub(crate) fn new(calls: &Arc<Calls>, func: u32) -> CallListener {
        calls.timing.start();
        CallListener { calls: calls.clone(), func, hint: AtomicU32::new(0), home: OnceLock::new() }
    }

    /// Visits the tree of a store, and another one if the visit returns that this one was emptied. None is
    /// visited if nothing more is recorded.
    #[inline(always)]
    fn with_tree(&self, store: u64, visit: impl Fn(&Tree) -> bool) {
        if let Some(Some((home, tree))) = self.home.get()
            && *home == store
            && visit(tree)
        {
            return;
        }
        self.with_other_tree(store, visit);
    }

    /// [`CallListener::with_tree`], if the store is not the first that called the function.
    #[inline(never)]
    fn with_other_tree(&self, store: u64, visit: impl Fn(&Tree) -> bool) {
        self.home.get_or_init(|| {
            let is_home = self.calls.is_home(store);
            let tree = is_home.then(|| self.calls.tree(store)).flatten();
            tree.map(|tree| (store, tree))
        });
        LAST.with(|last| {
            if last.of.get() == (self.calls.id, store)
                && last.tree.borrow().as_ref().is_some_and(|tree| visit(tree))
            {
                return;
            }
            if let Some(tree) = self.change(last, store) {
                visit(&tree);
            }
        });
    }

    #[cold]
    fn change(&self, last: &Last, store: u64) -> Option<Arc<Tree>> {
        // Without a lock: there may be many such calls from now on.
        if self.calls.ended.load(Ordering::Relaxed) {
            return None;
        }
        let tree = self.calls.tree(store)?;
        last.of.set((self.calls.id, store));
        last.tree.replace(Some(tree.clone()));
        Some(tree)
    }

    #[inline]
    fn enter(&self, call: &Call<'_>, count: u64) {
        let timing = &self.calls.timing;
        self.with_tree(call.store_id(), |tree| tree.enter(self.func, &self.hint, count, timing));
    }

    #[inline]
    fn leave(&self, call: &Call<'_>) {
        let timing = &self.calls.timing;
        self.with_tree(call.store_id(), |tree| tree.leave(self.func, timing));
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
