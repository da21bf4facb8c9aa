//! What a store may use.

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

/// Fixed limits.
///
/// ```
/// use wardian::{Engine, Module, Store, StoreLimits, Instance};
/// let engine = Engine::default();
/// let limits = StoreLimits { memory_bytes: 64 << 10, ..StoreLimits::default() };
/// let mut store = Store::new(&engine, limits);
/// store.limiter(|limits| limits);
/// let module = Module::new(&engine, "(module (memory 2))")?;
/// assert!(Instance::new(&mut store, &module, &[]).is_err());
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StoreLimits {
    /// Bytes of all memories together.
    pub memory_bytes: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Instances in the store.
    pub instances: usize,
    /// Memories in the store.
    pub memories: usize,
    /// Tables in the store.
    pub tables: usize,
    /// Bytes granted so far.
    pub used_bytes: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            memory_bytes: usize::MAX,
            table_elements: usize::MAX,
            instances: 10_000,
            memories: 10_000,
            tables: 10_000,
            used_bytes: 0,
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
        self.used_bytes -= desired - current;
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        Ok(desired <= self.table_elements)
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
