//! Stacks for guests.
//!
//! ```text
//!   base          base + guard                     top
//!   ┌─────────────┬────────────────────────────────┬──────────────────────────────┐
//!   │ guard, no   │  <- grows down          frames │ interpreted frames           │
//!   │ rights      │                                │               grows up ->     │
//!   └─────────────┴────────────────────────────────┴──────────────────────────────┘
//! ```
//!
//! Compiled code has no stack check in its prologues: frames larger than the guard touch each of
//! its pages in turn (Cranelift's inline probes), so an overflow always faults in the guard.

use crate::addr::StackAddr;
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
    /// Bytes for interpreted frames, at the end.
    slots: usize,
}

impl WasmStack {
    /// A stack of `size` bytes, and as many as `slots` says for interpreted frames; both are rounded
    /// up to pages.
    ///
    /// # Errors
    ///
    /// No memory or address space is left.
    pub fn new(size: usize, slots: usize) -> io::Result<WasmStack> {
        let most = usize::MAX / 4;
        let size = round_up(size.max(LEAST)).unwrap_or(most).min(most);
        let slots = round_up(slots).unwrap_or(most).min(most);
        let mapping = Mapping::reserve(size + slots + GUARD)?;
        mapping.make_accessible(GUARD, size + slots)?;
        // The first frame is to take a page, not two megabytes.
        mapping.refuse_huge_pages(GUARD, size + slots);
        Ok(WasmStack { mapping, slots })
    }

    /// Usable bytes, without those for interpreted frames.
    pub fn size(&self) -> usize {
        self.mapping.size() - GUARD - self.slots
    }

    /// Makes this the stack of a store.
    ///
    /// The store must not run a guest on another stack, and must not outlive this one.
    pub fn attach(&self, store: &mut StoreCtx) {
        let base = StackAddr::of(self.mapping.base());
        store.guard_start = base;
        store.guard_end = base.above(GUARD);
        store.stack_limit = base.above(GUARD + RED_ZONE);
        store.stack_top = base.above(GUARD + self.size());
        store.interp_sp = store.stack_top;
        store.interp_limit = store.stack_top.above(self.slots);
    }

    /// Releases the pages past the first `keep` bytes in either direction, so that one deep recursion does
    /// not hold memory for ever.
    fn trim(&self, keep: usize) {
        let used = self.size().saturating_sub(keep);
        // SAFETY: the stack is in no store, so nothing lives on it.
        let _ = unsafe { self.mapping.discard(GUARD, used) };
        if self.slots > keep {
            // SAFETY: as above.
            let _ = unsafe { self.mapping.discard(GUARD + self.size() + keep, self.slots - keep) };
        }
    }
}

/// Stacks of one size, kept for reuse.
#[derive(Debug)]
pub struct StackPool {
    size: usize,
    /// The part of the size that is below the limit of checked code.
    red_zone: usize,
    slots: usize,
    free: Mutex<Vec<WasmStack>>,
}

/// Stacks kept at most, and the bytes of each that stay resident.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 64 << 10;

impl StackPool {
    /// A pool of stacks of `size` bytes, and `slots` for interpreted frames. `checked` says that compiled
    /// code compares with the stack's limit, because there are no signals.
    pub fn new(size: usize, slots: usize, checked: bool) -> StackPool {
        let red_zone = if checked { RED_ZONE } else { 0 };
        let size = size.saturating_add(red_zone);
        StackPool { size, red_zone, slots, free: Mutex::new(Vec::new()) }
    }

    /// A stack, used before or new.
    ///
    /// # Errors
    ///
    /// No memory or address space is left.
    pub fn take(&self) -> io::Result<WasmStack> {
        if crate::torture::tiny_stacks() {
            return WasmStack::new(LEAST + self.red_zone, self.slots);
        }
        let kept = self.free.lock().unwrap_or_else(|e| e.into_inner()).pop();
        kept.map_or_else(|| WasmStack::new(self.size, self.slots), Ok)
    }

    /// A new stack of the same size with at least `slots` bytes for interpreted frames.
    ///
    /// # Errors
    ///
    /// No memory or address space is left.
    pub fn take_with_slots(&self, slots: usize) -> io::Result<WasmStack> {
        WasmStack::new(self.size, self.slots.max(slots))
    }

    /// Keeps a stack for later. `deep` says that more than a little of it may have been used.
    pub fn give_back(&self, stack: WasmStack, deep: bool) {
        // Those that were made for one store are larger, or smaller.
        if stack.size() < self.size || stack.slots > round_up(self.slots).unwrap_or(self.slots) {
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
