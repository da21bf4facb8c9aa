//! The stack that the guests of a store run on.

use crate::{Error, Result};
use wardian_vm::layout::StoreCtx;
use wardian_vm::stack::{StackPool, WasmStack};

/// The stack of a store, once a guest needs one, and what is known of the guests that ran on it.
#[derive(Default)]
pub(crate) struct GuestStack {
    stack: Option<WasmStack>,
    /// Whether a guest may have used much of it.
    deep: bool,
    has_run: bool,
}

impl GuestStack {
    /// Whether there is one.
    #[inline]
    pub(crate) fn is_attached(&self) -> bool {
        self.stack.is_some()
    }

    /// Takes one from a pool. No guest of the store with this context runs.
    ///
    /// # Errors
    ///
    /// There is no memory.
    #[cold]
    pub(crate) fn attach(&mut self, pool: &StackPool, ctx: &mut StoreCtx) -> Result<()> {
        let stack = pool.take().map_err(no_memory)?;
        self.put(stack, pool, ctx);
        Ok(())
    }

    /// The same with so many bytes of slots for interpreted frames.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn attach_with_slots(
        &mut self,
        pool: &StackPool,
        slots: usize,
        ctx: &mut StoreCtx,
    ) -> Result<()> {
        let stack = pool.take_with_slots(slots).map_err(no_memory)?;
        self.put(stack, pool, ctx);
        Ok(())
    }

    fn put(&mut self, stack: WasmStack, pool: &StackPool, ctx: &mut StoreCtx) {
        stack.attach(ctx);
        if let Some(before) = self.stack.replace(stack) {
            pool.give_back(before, self.deep);
        }
    }

    /// Notes that a guest begins to run.
    #[inline]
    pub(crate) fn note_run(&mut self) {
        self.has_run = true;
    }

    /// Whether a guest has run. Then any memory may have been written to: guests reach those of other instances
    /// through their functions.
    pub(crate) fn has_run(&self) -> bool {
        self.has_run
    }

    /// Notes that a guest may have used much of it.
    pub(crate) fn note_deep(&mut self) {
        self.deep = true;
    }

    /// Gives it back to the pool that it is from; the store goes.
    pub(crate) fn give_back(&mut self, pool: &StackPool) {
        if let Some(stack) = self.stack.take() {
            pool.give_back(stack, self.deep);
        }
    }
}

fn no_memory(error: std::io::Error) -> Error {
    Error::system("no memory for a guest's stack", error)
}
