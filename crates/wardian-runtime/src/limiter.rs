//! What a store may use, as the embedder decides.

use crate::Result;

/// Asked before memories and tables of a store grow: what `ResourceLimiter` of the embedding API says of each.
pub trait Limiter {
    /// Whether a memory may grow from so many bytes to so many.
    ///
    /// # Errors
    ///
    /// It may not, and the guest is to end.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool>;
    /// Whether a table may grow from so many elements to so many.
    ///
    /// # Errors
    ///
    /// It may not, and the guest is to end.
    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool>;
    /// A memory could not grow after all.
    fn memory_grow_failed(&mut self, current: usize, desired: usize);
    /// A memory is smaller, or gone.
    fn memory_shrunk(&mut self, current: usize, left: usize);
    /// A table could not grow after all.
    fn table_grow_failed(&mut self, current: usize, desired: usize);
    /// A table is smaller, or gone.
    fn table_shrunk(&mut self, current: usize, left: usize);
    /// Instances that the store may have.
    fn instances(&mut self) -> usize;
    /// Memories that the store may have.
    fn memories(&mut self) -> usize;
    /// Tables that the store may have.
    fn tables(&mut self) -> usize;
}

/// A limiter that remembers what it granted to an instance that is being made, to release it if that fails.
pub struct Granted<'a> {
    limiter: &'a mut dyn Limiter,
    memories: Vec<usize>,
    tables: Vec<usize>,
}

impl<'a> Granted<'a> {
    /// Asks this limiter, and notes what it grants.
    pub fn new<'l: 'a>(limiter: &'a mut (dyn Limiter + 'l)) -> Granted<'a> {
        Granted { limiter, memories: Vec::new(), tables: Vec::new() }
    }

    /// Nothing of it is left.
    pub(crate) fn give_back(self) {
        for bytes in self.memories {
            self.limiter.memory_shrunk(bytes, 0);
        }
        for elements in self.tables {
            self.limiter.table_shrunk(elements, 0);
        }
    }
}

impl Limiter for Granted<'_> {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let allowed = self.limiter.memory_growing(current, desired, maximum)?;
        self.memories.extend(allowed.then_some(desired));
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let allowed = self.limiter.table_growing(current, desired, maximum)?;
        self.tables.extend(allowed.then_some(desired));
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, current: usize, desired: usize) {
        // It was the last one.
        self.memories.pop();
        self.limiter.memory_grow_failed(current, desired);
    }

    fn table_grow_failed(&mut self, current: usize, desired: usize) {
        self.tables.pop();
        self.limiter.table_grow_failed(current, desired);
    }

    fn memory_shrunk(&mut self, current: usize, left: usize) {
        self.limiter.memory_shrunk(current, left);
    }

    fn table_shrunk(&mut self, current: usize, left: usize) {
        self.limiter.table_shrunk(current, left);
    }

    fn instances(&mut self) -> usize {
        self.limiter.instances()
    }

    fn memories(&mut self) -> usize {
        self.limiter.memories()
    }

    fn tables(&mut self) -> usize {
        self.limiter.tables()
    }
}
