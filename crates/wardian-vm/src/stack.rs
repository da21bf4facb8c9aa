//! Stacks for guests.
//!
//! ```text
//!   base          base + guard                                   top
//!   ┌─────────────┬──────────────────────────────────────────────┐
//!   │ guard, no   │  <- grows down                    frames     │
//!   │ rights      │                                              │
//!   └─────────────┴──────────────────────────────────────────────┘
//! ```
//!
//! Compiled code has no stack check in its prologues: frames larger than the guard touch each of
//! its pages in turn (Cranelift's inline probes), so an overflow always faults in the guard.

use crate::layout::StoreCtx;
use crate::mapping::{Mapping, round_up};
use std::io;
use std::sync::Mutex;

/// Inaccessible bytes below a stack. Compiled code probes at this distance.
pub const GUARD: usize = 64 << 10;
/// Where there are no signals, code compares with a limit this far above the guard, so that
/// trampolines and stubs, which do not compare, still fit.
const RED_ZONE: usize = 32 << 10;

/// A stack for the guests of a store.
#[derive(Debug)]
pub struct WasmStack {
    mapping: Mapping,
}

impl WasmStack {
    /// A stack of `size` bytes, rounded up to pages.
    ///
    /// # Errors
    ///
    /// No memory or address space is left.
    pub fn new(size: usize) -> io::Result<WasmStack> {
        let size = round_up(size.max(2 * RED_ZONE)).unwrap_or(usize::MAX - GUARD);
        let mapping = Mapping::reserve(size.saturating_add(GUARD))?;
        mapping.make_accessible(GUARD, size)?;
        Ok(WasmStack { mapping })
    }

    /// Usable bytes.
    pub fn size(&self) -> usize {
        self.mapping.size() - GUARD
    }

    /// Makes this the stack of a store.
    ///
    /// The store must not run a guest on another stack, and must not outlive this one.
    pub fn attach(&self, store: &mut StoreCtx) {
        let base = self.mapping.base() as usize;
        store.guard_start = base;
        store.guard_end = base + GUARD;
        store.stack_limit = base + GUARD + RED_ZONE;
        store.stack_top = base + self.mapping.size();
    }

    /// Gives back the pages below the first `keep` bytes, so that one deep recursion does not hold
    /// memory for ever.
    fn trim(&self, keep: usize) {
        let used = self.size().saturating_sub(keep);
        // SAFETY: the stack is in no store, so nothing lives on it.
        let _ = unsafe { self.mapping.discard(GUARD, used) };
    }
}

/// Stacks of one size, kept for reuse.
#[derive(Debug)]
pub struct StackPool {
    size: usize,
    free: Mutex<Vec<WasmStack>>,
}

/// Stacks kept at most, and the bytes of each that stay resident.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 64 << 10;

impl StackPool {
    /// A pool of stacks of `size` bytes.
    pub fn new(size: usize) -> StackPool {
        StackPool { size, free: Mutex::new(Vec::new()) }
    }

    /// A stack, used before or new.
    ///
    /// # Errors
    ///
    /// No memory or address space is left.
    pub fn take(&self) -> io::Result<WasmStack> {
        let kept = self.free.lock().unwrap_or_else(|e| e.into_inner()).pop();
        kept.map_or_else(|| WasmStack::new(self.size), Ok)
    }

    /// Keeps a stack for later. `deep` tells that more than a little of it may have been used.
    pub fn give_back(&self, stack: WasmStack, deep: bool) {
        if stack.size() < self.size {
            return;
        }
        if deep {
            stack.trim(KEPT_BYTES);
        }
        let mut free = self.free.lock().unwrap_or_else(|e| e.into_inner());
        if free.len() < KEPT {
            free.push(stack);
        }
    }
}
