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
/// Where there are no signals, code compares the stack pointer with a limit after it has made its
/// frame, which may take 128 KiB; trampolines and stubs do not compare at all. This much is mapped
/// below the limit, in addition to the size asked for.
const RED_ZONE: usize = 192 << 10;

/// The smallest stack.
const LEAST: usize = 64 << 10;

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
        let size = round_up(size.max(LEAST)).unwrap_or(usize::MAX - GUARD);
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
    /// A pool of stacks of `size` bytes. `checked` tells that code compares with the stack's limit,
    /// because there are no signals.
    pub fn new(size: usize, checked: bool) -> StackPool {
        let size = if checked { size.saturating_add(RED_ZONE) } else { size };
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
