//! The state of all instances of a store, as snapshots and images keep it: memories, globals, tables, objects, and
//! which segments were dropped.

use crate::error::{LimitError, LimitKind, UsageKind};
use crate::limiter::Limiter;
use crate::store::inner::StoreInner;
use crate::store::instance::MemoryRef;
use crate::store::state::StateCapture;
use crate::{Error, ErrorKind, Result};
use std::ptr::NonNull;
use wardian_types::GlobalIndex;

impl StoreInner {
    /// Notes the state of all instances.
    pub(crate) fn capture_state(&mut self) -> Result<StateCapture> {
        let shared = self.entities.instances().iter().any(|instance| {
            instance.memories().iter().any(|memory| matches!(memory, MemoryRef::Shared(_)))
        });
        if shared {
            return Err(Error::usage(
                UsageKind::State,
                "neither a snapshot nor an image can keep the contents of a shared memory: other threads change it \
                 at any time",
            ));
        }
        let globals = self.mutable_globals().into_iter().map(|at| {
            // SAFETY: globals live as long as the store and have 16 bytes; their guest waits.
            unsafe { (at, [at.read(), at.add(1).read()]) }
        });
        let globals = globals.collect();
        Ok(StateCapture {
            globals,
            tables: self.entities.tables().iter().map(|table| table.capture()).collect(),
            heap: self.capture_heap(),
            dropped: self
                .entities
                .instances()
                .iter()
                .map(|instance| instance.segments().dropped().clone())
                .collect(),
            memories: self.entities.memories_mut().map(|m| m.capture()).collect::<Result<_>>()?,
        })
    }

    /// Those that instances define, and all of the host's.
    fn mutable_globals(&mut self) -> Vec<NonNull<u64>> {
        let mut found: Vec<NonNull<u64>> = self.entities.globals_mut().addresses().collect();
        for instance in self.entities.instances() {
            let count = instance.module().decoded.info().globals.len() as u32;
            for (at, ty) in (0..count).map(|i| instance.global(GlobalIndex::from_u32(i))) {
                if ty.mutable {
                    found.push(at);
                }
            }
        }
        // Imported ones were found more than once.
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Brings the state back. If it cannot be, nothing is changed, unless the system fails half-way.
    ///
    /// The limiter is notified of what becomes smaller, and asked about what becomes larger again.
    pub(crate) fn restore_state(
        &mut self,
        state: &StateCapture,
        limiter: Option<&mut dyn Limiter>,
    ) -> Result<()> {
        for (memory, capture) in self.entities.memories().iter().zip(&state.memories) {
            memory.check_restore(capture)?;
        }
        self.check_heap(state.heap.as_ref())?;
        let Some(limiter) = limiter else { return self.put_back(state).map_err(in_between) };
        let plan = self.changes(state);
        announce(&plan, limiter)?;
        let done = self.put_back(state);
        if done.is_err() {
            // What was announced may have happened to some, and not to others.
            self.changes(state).iter().for_each(|change| change.take_back(limiter));
        }
        done.map_err(in_between)
    }

    /// The memories and tables whose size is not what it was.
    fn changes(&self, state: &StateCapture) -> Vec<Change> {
        let memories =
            self.entities.memories().iter().zip(&state.memories).map(|(memory, capture)| Change {
                table: false,
                now: memory.len(),
                then: capture.len(),
                most: memory.most(),
            });
        let tables = self.entities.tables().iter().zip(&state.tables).map(|(table, capture)| {
            Change { table: true, now: table.len(), then: capture.len(), most: table.most() }
        });
        memories.chain(tables).filter(|change| change.now != change.then).collect()
    }

    fn put_back(&mut self, state: &StateCapture) -> Result<()> {
        self.restore_heap(state.heap.as_ref())?;
        for (memory, capture) in self.entities.memories_mut().zip(&state.memories) {
            memory.restore(capture)?;
        }
        for (at, words) in &state.globals {
            // SAFETY: as in `capture_state`; code that knows a global's value reads it anew after
            // every call, in one of which the guest is.
            unsafe {
                at.write(words[0]);
                at.add(1).write(words[1]);
            }
        }
        for (table, elements) in self.entities.tables_mut().zip(&state.tables) {
            table.restore(elements)?;
        }
        for (instance, dropped) in self.entities.instances_mut().zip(&state.dropped) {
            instance.segments_mut().set_dropped(dropped);
        }
        Ok(())
    }
}

/// The error of a restore that failed half-way.
fn in_between(error: Error) -> Error {
    let message = format!(
        "{error}; the store is partly in the state of now and partly in the earlier one: drop it"
    );
    Error::new(ErrorKind::Limit(LimitError::new(LimitKind::System, message, Some(error.into()))))
}

/// A memory or table that a restore makes smaller or larger.
struct Change {
    table: bool,
    /// Bytes or elements.
    now: usize,
    then: usize,
    /// What the type allows.
    most: Option<usize>,
}

impl Change {
    fn shrunk(&self, limiter: &mut dyn Limiter) {
        match self.table {
            true => limiter.table_shrunk(self.now, self.then),
            false => limiter.memory_shrunk(self.now, self.then),
        }
    }

    /// Asks for a growth, from the size now or from that then.
    fn grow(&self, limiter: &mut dyn Limiter) -> Result<bool> {
        let (small, large) = (self.now.min(self.then), self.now.max(self.then));
        match self.table {
            true => limiter.table_growing(small, large, self.most),
            false => limiter.memory_growing(small, large, self.most),
        }
    }

    fn grow_failed(&self, limiter: &mut dyn Limiter) {
        match self.table {
            true => limiter.table_grow_failed(self.now, self.then),
            false => limiter.memory_grow_failed(self.now, self.then),
        }
    }

    fn take_back(&self, limiter: &mut dyn Limiter) {
        if self.then < self.now {
            // It had that much a moment ago.
            let _ = self.grow(limiter);
        } else {
            self.grow_failed(limiter);
        }
    }
}

/// Notifies the limiter of all of it: first of what is released, since the rest may need it. After a refusal
/// the limiter is as before.
fn announce(plan: &[Change], limiter: &mut dyn Limiter) -> Result<()> {
    let (smaller, larger): (Vec<&Change>, Vec<&Change>) = plan.iter().partition(|c| c.then < c.now);
    smaller.iter().for_each(|change| change.shrunk(limiter));
    for (i, change) in larger.iter().enumerate() {
        let allowed = change.grow(limiter);
        if matches!(allowed, Ok(true)) {
            continue;
        }
        larger[..i].iter().chain(&smaller).for_each(|granted| granted.take_back(limiter));
        allowed?;
        return Err(Error::limit(
            LimitKind::Store,
            "the store's limits refuse the state of a snapshot or image, in which a memory or a table is larger",
        ));
    }
    Ok(())
}
