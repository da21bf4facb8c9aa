//! Profiles of memory: listeners of allocators, and of functions that make memories grow.
//!
//! Allocators call each other: of nested calls only the outermost counts. A function that can grow a memory
//! is recognised by its code; what the memory grew by during its call, less what it grew by in such functions
//! that it called, is its own.

mod allocators;
mod grows;

use super::stacks::StackTable;
use crate::symbols::{Place, Symbols};
use allocators::Role;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use wardian::{
    AsContextMut, Instance,
    close::{CloseNotifyFunc, ClosingInstance},
    inspect::{FunctionDefinition, InternalModule},
    listener::{AbortReason, Call, FunctionListener},
    stack::StackIterator,
};

const ALLOC_OBJECTS: usize = 0;
const ALLOC_SPACE: usize = 1;
const INUSE_OBJECTS: usize = 2;
const INUSE_SPACE: usize = 3;
const GROWN_SPACE: usize = 4;

/// The memory of all stores.
pub(crate) struct Memories {
    max_frames: usize,
    max_allocations: usize,
    /// Nothing more is recorded.
    ended: AtomicBool,
    state: Mutex<State>,
}

/// What was seen.
pub(crate) struct State {
    pub(crate) table: StackTable,
    pub(crate) symbols: Symbols,
    pub(crate) truncated: u64,
    /// Open calls of listened functions, by store.
    open: HashMap<u64, OpenCalls>,
    /// By address.
    live: HashMap<(Space, u64), Allocation>,
    /// Allocations that there was no room for in `live`.
    unwatched: u64,
    /// Frees of what was allocated before, or is not watched.
    unknown_frees: u64,
    allocators: BTreeSet<String>,
}

/// Whose addresses they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Space {
    Own(Instance),
    /// Of a shared memory, which several stores have in common.
    Shared(u64),
    Unknown,
}

/// The open calls of a store, the outermost first.
#[derive(Default)]
struct OpenCalls {
    calls: Vec<Open>,
    /// How many of them are allocators'.
    allocating: usize,
}

#[derive(Clone, Copy)]
struct Allocation {
    stack: u32,
    size: u64,
}

/// An open call of a function that is listened to.
#[derive(Default)]
struct Open {
    /// The call's number.
    id: u64,
    /// It is an allocator's.
    allocates: bool,
    /// What it will allocate if it succeeds, and what it frees then.
    request: Option<Request>,
    /// The stack, and bytes of all memories, when it began.
    growth: Option<(u32, u64)>,
    /// By how many bytes memories grew in such functions that it called.
    inner_growth: u64,
}

#[derive(Clone, Copy)]
struct Request {
    stack: u32,
    size: u64,
    old: Option<Old>,
}

/// What a reallocation moves. From its beginning on it is not looked for: as soon as it is freed another
/// thread may be given its address.
#[derive(Clone, Copy)]
struct Old {
    address: u64,
    allocation: Option<Allocation>,
}

impl Memories {
    pub(crate) fn new(max_frames: usize, max_stacks: usize, max_allocations: usize) -> Memories {
        let state = State {
            table: StackTable::new(max_stacks),
            symbols: Symbols::default(),
            truncated: 0,
            open: HashMap::new(),
            live: HashMap::new(),
            unwatched: 0,
            unknown_frees: 0,
            allocators: BTreeSet::new(),
        };
        Memories { max_frames, max_allocations, ended: false.into(), state: Mutex::new(state) }
    }

    /// Whether calls that begin from now on are recorded.
    pub(crate) fn record(&self, on: bool) {
        self.ended.store(!on, Ordering::Relaxed);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The listener of a function, if it allocates or can grow a memory.
    pub(crate) fn listener(
        self: &Arc<Self>,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>> {
        let role = Role::of(definition);
        let grows = grows::can_grow(definition);
        if role.is_none() && !grows {
            return None;
        }
        if let Some(name) = definition.demangled_name().filter(|_| role.is_some()) {
            self.state().allocators.insert(name);
        }
        Some(Arc::new(MemoryListener { memories: Arc::downgrade(self), role, grows }))
    }

    /// What was allocated in this instance stays in use when it is closed, but is no longer looked for.
    pub(crate) fn forget_with(self: &Arc<Self>, store: impl AsContextMut, instance: Instance) {
        let memories = Arc::downgrade(self);
        let forget = move |closing: &ClosingInstance, _: u32| {
            if let Some(memories) = memories.upgrade() {
                let gone = Space::Own(closing.instance());
                memories.state().live.retain(|(space, _), _| *space != gone);
            }
        };
        instance.notify_close(store, CloseNotifyFunc(forget));
    }

    /// What a reader should know.
    pub(crate) fn notes(&self, state: &State) -> Vec<String> {
        let mut notes = Vec::new();
        let names: Vec<_> = state.allocators.iter().map(String::as_str).collect();
        notes.push(match names.as_slice() {
            [] => "No function has the name of an allocator, so only growth of linear memories is \
                   shown."
                .to_owned(),
            names => format!("Allocations are those of {}.", names.join(", ")),
        });
        if state.unwatched > 0 {
            notes.push(format!(
                "{} allocations were not watched until they were freed, so they are missing in what \
                 is in use: more than {} were in use at once.",
                state.unwatched, self.max_allocations
            ));
        }
        if state.unknown_frees > 0 {
            notes.push(format!(
                "{} times memory was freed whose allocation had not been seen.",
                state.unknown_frees
            ));
        }
        notes
    }
}

struct MemoryListener {
    // What was seen holds modules, and modules hold their listeners.
    memories: Weak<Memories>,
    role: Option<Role>,
    grows: bool,
}

impl FunctionListener for MemoryListener {
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        let Some(memories) = self.memories.upgrade() else { return };
        if memories.ended.load(Ordering::Relaxed) {
            return;
        }
        let state = &mut *memories.state();
        let store = call.store_id();
        let is_inner = state.open.get(&store).is_some_and(|open| open.allocating > 0);
        let role = self.role.filter(|_| !is_inner);
        let mut open = Open::of(call, self.role);
        let request = role.and_then(|role| role.request(params));
        if let Some((None, Some(old))) = request {
            state.free(space(call), old);
        }
        let wanted = request.and_then(|(size, old)| Some((size?, old)));
        if wanted.is_some() || self.grows {
            let (function, caller) = state.walk(stack, memories.max_frames);
            open.request = wanted.map(|(size, old)| {
                let old = old.filter(|old| *old != 0);
                let old = old.map(|address| state.take(space(call), address));
                Request { stack: caller, size, old }
            });
            open.growth = self.grows.then(|| (function, bytes(call.module())));
        }
        state.open.entry(store).or_default().push(open);
    }

    fn after(&self, call: &Call<'_>, results: &[u64]) {
        let Some(memories) = self.memories.upgrade() else { return };
        let state = &mut *memories.state();
        let Some(request) = state.close(call).and_then(|open| open.request) else { return };
        // A tail call's results are its successor's.
        let address = results.first().copied().filter(|_| !call.is_tail_call());
        let address =
            address.map(|address| self.role.map_or(address, |role| role.address(address)));
        if let Some(old) = request.old {
            match address {
                Some(address) if address != 0 || request.size == 0 => state.moved(old),
                _ => state.put_back(space(call), old),
            }
        }
        if let Some(address) = address.filter(|address| *address != 0) {
            state.allocate(space(call), address, request, memories.max_allocations);
        }
    }

    fn abort(&self, call: &Call<'_>, _: &AbortReason<'_>) {
        let Some(memories) = self.memories.upgrade() else { return };
        let state = &mut *memories.state();
        let request = state.close(call).and_then(|open| open.request);
        if let Some(old) = request.and_then(|request| request.old) {
            state.put_back(space(call), old);
        }
    }

    fn resumed(&self, call: &Call<'_>) {
        // What it asked for is no longer known.
        let open = Open::of(call, self.role);
        if let Some(memories) = self.memories.upgrade() {
            memories.state().open.entry(call.store_id()).or_default().push(open);
        }
    }
}

impl Open {
    fn of(call: &Call<'_>, role: Option<Role>) -> Open {
        Open { id: call.id(), allocates: role.is_some(), ..Open::default() }
    }
}

impl OpenCalls {
    fn push(&mut self, open: Open) {
        self.allocating += usize::from(open.allocates);
        self.calls.push(open);
    }

    /// Ends the innermost call, if it is this one: others began when nothing was recorded.
    fn pop(&mut self, id: u64) -> Option<Open> {
        let open = self.calls.pop_if(|open| open.id == id)?;
        self.allocating -= usize::from(open.allocates);
        Some(open)
    }
}

impl State {
    /// The stack of a call's beginning: with the function that is called, and that of its caller.
    fn walk(&mut self, stack: &mut StackIterator<'_>, max_frames: usize) -> (u32, u32) {
        let mut places = Vec::new();
        while stack.next() {
            if places.len() > max_frames {
                self.truncated += 1;
                break;
            }
            if stack.crossed_host() {
                places.push(Place::Host);
            }
            let function = stack.function();
            let definition = function.definition();
            let offset = function.source_offset_for_pc(stack.program_counter());
            places.push(match (definition.module(), definition.index()) {
                (Some(module), Some(func)) => {
                    let module = self.symbols.module(&module);
                    Place::Code { module, func, offset }
                }
                _ => Place::Host,
            });
        }
        let callers = places.iter().skip(1).rev().copied();
        let caller = self.table.stack(callers);
        let function = places.first().map_or(caller, |place| self.table.child(caller, *place));
        (function, caller)
    }

    /// Ends the innermost open call, and counts what it made memories grow by.
    fn close(&mut self, call: &Call<'_>) -> Option<Open> {
        let store = call.store_id();
        let calls = self.open.get_mut(&store)?;
        let open = calls.pop(call.id())?;
        let mut grown = open.inner_growth;
        if let Some((stack, before)) = open.growth {
            let all = bytes(call.module()).saturating_sub(before);
            self.table.add(stack, GROWN_SPACE, all.saturating_sub(open.inner_growth));
            grown = all;
        }
        match calls.calls.last_mut() {
            Some(outer) => outer.inner_growth += grown,
            None => drop(self.open.remove(&store)),
        }
        Some(open)
    }

    fn allocate(&mut self, space: Space, address: u64, request: Request, max: usize) {
        let Request { stack, size, .. } = request;
        self.table.add(stack, ALLOC_OBJECTS, 1);
        self.table.add(stack, ALLOC_SPACE, size);
        if self.live.len() >= max && !self.live.contains_key(&(space, address)) {
            self.unwatched += 1;
            return;
        }
        self.table.add(stack, INUSE_OBJECTS, 1);
        self.table.add(stack, INUSE_SPACE, size);
        // One that was freed in some way that was not seen.
        if let Some(before) = self.live.insert((space, address), Allocation { stack, size }) {
            self.ended(before);
        }
    }

    /// Looks no longer for an allocation.
    fn take(&mut self, space: Space, address: u64) -> Old {
        Old { address, allocation: self.live.remove(&(space, address)) }
    }

    /// It is still where it was.
    fn put_back(&mut self, space: Space, old: Old) {
        if let Some(allocation) = old.allocation {
            self.live.insert((space, old.address), allocation);
        }
    }

    /// It is no longer in use.
    fn moved(&mut self, old: Old) {
        match old.allocation {
            Some(allocation) => self.ended(allocation),
            None => self.unknown_frees += 1,
        }
    }

    fn free(&mut self, space: Space, address: u64) {
        match self.live.remove(&(space, address)) {
            Some(allocation) => self.ended(allocation),
            None if address != 0 => self.unknown_frees += 1,
            None => {}
        }
    }

    fn ended(&mut self, allocation: Allocation) {
        self.table.subtract(allocation.stack, INUSE_OBJECTS, 1);
        self.table.subtract(allocation.stack, INUSE_SPACE, allocation.size);
    }
}

/// Whose addresses a call's are: its instance's, or those that the threads of a program have in common.
fn space(call: &Call<'_>) -> Space {
    let Some(module) = call.module() else { return Space::Unknown };
    let shared = module.memory(0).and_then(|memory| Some(memory.shared()?.id()));
    match (shared, module.instance()) {
        (Some(id), _) => Space::Shared(id),
        (None, Some(instance)) => Space::Own(instance),
        (None, None) => Space::Unknown,
    }
}

/// Bytes of all memories of an instance.
fn bytes(instance: Option<InternalModule<'_>>) -> u64 {
    let Some(instance) = instance else { return 0 };
    let memories = (0..instance.num_memories() as u32).filter_map(|i| instance.memory(i));
    memories.map(|memory| memory.len() as u64).sum()
}
