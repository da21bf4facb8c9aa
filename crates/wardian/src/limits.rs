//! Limits of what a store may use.

use crate::Result;

/// Decides what the guests of a store get. See [`crate::Store::limiter`].
///
/// A `false` makes the guest's `memory.grow` or `table.grow` return -1, and an instantiation fail;
/// an `Err` ends the guest with that error.
pub trait ResourceLimiter {
    /// A memory of `current` bytes is to have `desired`; its type allows `maximum`. A new memory
    /// grows from zero. Growing by nothing is always allowed.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool>;

    /// A table of `current` elements is to have `desired`; its type allows `maximum`.
    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool>;

    /// A growth that [`Self::memory_growing`] allowed did not happen: the system has no memory,
    /// or the memory's allocator refuses. For those who count.
    fn memory_grow_failed(&mut self, _current: usize, _desired: usize) {}

    /// A memory of `current` bytes has only `left` now: a snapshot from before it grew was restored;
    /// or it is gone, and `left` is zero, because an instantiation failed after it was made, or
    /// because its store goes. For those who count.
    ///
    /// Of a shared memory only a failed instantiation is reported, since others may still use it
    /// when the store goes.
    fn memory_shrunk(&mut self, _current: usize, _left: usize) {}

    /// A growth that [`Self::table_growing`] allowed did not happen.
    fn table_grow_failed(&mut self, _current: usize, _desired: usize) {}

    /// A table of `current` elements has only `left` now, for the reasons that
    /// [`Self::memory_shrunk`] names.
    fn table_shrunk(&mut self, _current: usize, _left: usize) {}

    /// How many instances the store may have.
    fn instances(&self) -> usize {
        10_000
    }

    /// How many memories the store may have.
    fn memories(&self) -> usize {
        10_000
    }

    /// How many tables the store may have.
    fn tables(&self) -> usize {
        10_000
    }
}

/// Bytes of a table's element.
const ELEMENT: usize = size_of::<u64>();

/// Fixed limits of a store. The size of compiled code is limited per engine: see [`crate::Config::code_limit`].
///
/// ```
/// use wardian::{Engine, Instance, Module, Store, limits::StoreLimits};
/// let engine = Engine::default();
/// let limits = StoreLimits { memory_bytes: 64 << 10, ..StoreLimits::default() };
/// let mut store = Store::new(&engine, limits);
/// store.limiter(|limits| limits);
/// let module = Module::new(&engine, "(module (memory 2))")?;
/// assert!(Instance::new(&mut store, &module, &[]).is_err());
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "StoreLimitsBuilder", alias = "WithMemoryLimitPages")]
pub struct StoreLimits {
    /// Bytes of all memories together.
    pub memory_bytes: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Bytes of all tables together; an element has eight.
    pub table_bytes: usize,
    /// Instances in the store.
    pub instances: usize,
    /// Memories in the store.
    pub memories: usize,
    /// Tables in the store.
    pub tables: usize,
    /// Bytes of memories granted so far, without those that were released.
    pub used_bytes: usize,
    /// The same of tables.
    pub used_table_bytes: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            memory_bytes: usize::MAX,
            table_elements: usize::MAX,
            table_bytes: usize::MAX,
            instances: 10_000,
            memories: 10_000,
            tables: 10_000,
            used_bytes: 0,
            used_table_bytes: 0,
        }
    }
}

impl ResourceLimiter for StoreLimits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let more = desired.saturating_sub(current);
        let Some(used) = self.used_bytes.checked_add(more).filter(|u| *u <= self.memory_bytes)
        else {
            return Ok(false);
        };
        self.used_bytes = used;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, current: usize, desired: usize) {
        self.memory_shrunk(desired, current);
    }

    fn memory_shrunk(&mut self, current: usize, left: usize) {
        self.used_bytes = self.used_bytes.saturating_sub(current.saturating_sub(left));
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let more = desired.saturating_sub(current).checked_mul(ELEMENT);
        let used = more.and_then(|more| self.used_table_bytes.checked_add(more));
        let Some(used) = used.filter(|u| *u <= self.table_bytes) else { return Ok(false) };
        if desired > self.table_elements {
            return Ok(false);
        }
        self.used_table_bytes = used;
        Ok(true)
    }

    fn table_grow_failed(&mut self, current: usize, desired: usize) {
        self.table_shrunk(desired, current);
    }

    fn table_shrunk(&mut self, current: usize, left: usize) {
        let less = current.saturating_sub(left).saturating_mul(ELEMENT);
        self.used_table_bytes = self.used_table_bytes.saturating_sub(less);
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.memories
    }

    fn tables(&self) -> usize {
        self.tables
    }
}
