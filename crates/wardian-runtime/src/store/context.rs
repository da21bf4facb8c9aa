//! What code of guests gets from a store: the store's context, and the stack that it runs on.

use crate::{Error, Result};
use std::ptr::NonNull;
use wardian_vm::layout::StoreCtx;
use wardian_vm::stack::{StackPool, WasmStack};

/// The context of a store with the stack whose bounds it has, once a guest needs one, and what is known of the guests
/// that ran on it.
pub(crate) struct Context {
    /// From a box, which this owns.
    ctx: NonNull<StoreCtx>,
    stack: Option<WasmStack>,
    /// Whether a guest may have used much of it.
    deep: bool,
    has_run: bool,
}

impl Context {
    /// A context without a stack.
    pub(crate) fn new(ctx: StoreCtx) -> Context {
        let ctx = NonNull::from(Box::leak(Box::new(ctx)));
        Context { ctx, stack: None, deep: false, has_run: false }
    }

    /// The context, which stays in its place as long as this.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut StoreCtx {
        self.ctx.as_ptr()
    }

    /// Whether there is a stack.
    #[inline]
    pub(crate) fn has_stack(&self) -> bool {
        self.stack.is_some()
    }

    /// Whether there is a stack with room for interpreted frames.
    pub(crate) fn has_slots(&self) -> bool {
        // SAFETY: the context is valid as long as this.
        let ctx = unsafe { self.ctx.as_ref() };
        ctx.interp_limit > ctx.stack_top
    }

    /// Takes a stack from a pool.
    ///
    /// # Errors
    ///
    /// There is no memory.
    ///
    /// # Safety
    ///
    /// No guest of the store runs, and nothing is on the stack that it has had so far.
    #[cold]
    pub(crate) unsafe fn attach(&mut self, pool: &StackPool) -> Result<()> {
        let stack = pool.take().map_err(no_memory)?;
        // SAFETY: the caller's promise.
        unsafe { self.put(stack, pool) };
        Ok(())
    }

    /// The same with so many bytes of slots for interpreted frames.
    ///
    /// # Errors
    ///
    /// There is no memory.
    ///
    /// # Safety
    ///
    /// As for [`Context::attach`].
    pub(crate) unsafe fn attach_with_slots(
        &mut self,
        pool: &StackPool,
        slots: usize,
    ) -> Result<()> {
        let stack = pool.take_with_slots(slots).map_err(no_memory)?;
        // SAFETY: the caller's promise.
        unsafe { self.put(stack, pool) };
        Ok(())
    }

    /// # Safety
    ///
    /// As for [`Context::attach`].
    unsafe fn put(&mut self, stack: WasmStack, pool: &StackPool) {
        // SAFETY: the context is valid as long as this, and no guest uses it.
        stack.attach(unsafe { self.ctx.as_mut() });
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

    /// Notes that a guest may have used much of the stack.
    pub(crate) fn note_deep(&mut self) {
        self.deep = true;
    }

    /// Gives the stack back to the pool that it is from; the store goes.
    pub(crate) fn give_back_stack(&mut self, pool: &StackPool) {
        if let Some(stack) = self.stack.take() {
            pool.give_back(stack, self.deep);
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it is from a box. No guest runs, and nothing that other threads have refers to it any more: the store
        // has detached that.
        drop(unsafe { Box::from_raw(self.ctx.as_ptr()) });
    }
}

fn no_memory(error: std::io::Error) -> Error {
    Error::system("no memory for a guest's stack", error)
}
