//! Walking the frames of a guest.
//!
//! ```text
//!   fp ──> ┌────────────────┐
//!          │ caller's fp    │  zero in the first frame of an entry
//!          │ return address │
//!          └────────────────┘
//! ```
//!
//! Every function keeps a frame pointer, so the walk reads two words a frame and allocates nothing.

use crate::activation::Activation;
use crate::arch;
use crate::layout::StoreCtx;

/// The frames of one store, innermost first, through all its entries.
///
/// Frames of trampolines are among them: who looks a program counter up in the modules' code finds
/// none for those.
#[derive(Debug)]
pub struct Frames<'a> {
    store: &'a StoreCtx,
    /// Program counter to give next, and where its caller is found.
    current: Option<(usize, Caller)>,
    /// The entry around the current one: its activation, and where its stack stood.
    outer: *const Activation,
    outer_sp: usize,
}

#[derive(Clone, Copy, Debug)]
enum Caller {
    /// Through the frame record at this address.
    Record(usize),
    /// The function has no record yet: its return address is in this slot, the frame pointer is
    /// still its caller's.
    Slot { slot: usize, fp: usize },
}

/// A step of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame, as an address inside the instruction that it is at: the call, or what faulted.
    Frame(usize),
    /// An entry ends here: what follows called it through a host function.
    Host,
}

impl<'a> Frames<'a> {
    /// The frames at a call into the host: the innermost one is that which called.
    ///
    /// # Safety
    ///
    /// A guest of `store` is suspended in a call to a host function or builtin, and stays so while
    /// the frames are walked.
    pub unsafe fn at_host_call(store: &'a StoreCtx) -> Frames<'a> {
        let activation = store.activation;
        // SAFETY: activations on the list are alive.
        let (outer, outer_sp) = match unsafe { activation.as_ref() } {
            Some(a) => (a.previous, a.outer_sp),
            None => (std::ptr::null(), 0),
        };
        let mut frames = Frames { store, current: None, outer, outer_sp };
        frames.current = frames.record(store.wasm_sp + arch::RECORD);
        frames
    }

    /// The frames of a guest that has just ended with a trap or an interrupt: its entry is off the
    /// list already, but nothing has run on its stack since.
    ///
    /// `function_start` gives the first address of the function around a program counter.
    ///
    /// # Safety
    ///
    /// The latest entry of `store` ended with [`crate::activation::Outcome::Trapped`] or
    /// `Interrupted`, and no other began since.
    pub unsafe fn at_trap(
        store: &'a StoreCtx,
        function_start: impl FnOnce(usize) -> Option<usize>,
    ) -> Frames<'a> {
        let (pc, fp) = (store.trap_pc, store.trap_fp);
        let slot = function_start(pc)
            .and_then(|start| arch::return_address_slot(pc - start, store.trap_sp));
        let caller = match slot {
            Some(slot) => Caller::Slot { slot, fp },
            None => Caller::Record(fp),
        };
        Frames {
            store,
            current: Some((pc, caller)),
            outer: store.activation,
            outer_sp: store.wasm_sp,
        }
    }

    fn on_stack(&self, address: usize) -> bool {
        address.is_multiple_of(8)
            && address >= self.store.guard_end
            && address + 16 <= self.store.stack_top
    }

    /// The caller whose frame record lies at `fp`; none where the chain ends.
    fn record(&self, fp: usize) -> Option<(usize, Caller)> {
        if !self.on_stack(fp) {
            return None;
        }
        // SAFETY: two words on the accessible part of the wasm stack, where by the promise of the
        // constructors frames lie. Whatever they hold, only addresses on the stack are followed.
        let (next, pc) = unsafe { (*(fp as *const usize), *((fp + 8) as *const usize)) };
        // The record that says zero is the entry trampoline's: its return address is ours.
        (next != 0 && next > fp).then_some((pc - 1, Caller::Record(next)))
    }
}

impl Iterator for Frames<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if let Some((pc, caller)) = self.current {
            self.current = match caller {
                Caller::Record(fp) => self.record(fp),
                Caller::Slot { slot, fp } if self.on_stack(slot) => {
                    // SAFETY: the slot lies on the wasm stack.
                    let pc = unsafe { *(slot as *const usize) };
                    Some((pc - 1, Caller::Record(fp)))
                }
                Caller::Slot { .. } => None,
            };
            return Some(Step::Frame(pc));
        }
        if self.outer_sp == 0 {
            return None;
        }
        self.current = self.record(self.outer_sp + arch::RECORD);
        // SAFETY: activations on the list are alive.
        (self.outer, self.outer_sp) = match unsafe { self.outer.as_ref() } {
            Some(a) => (a.previous, a.outer_sp),
            None => (std::ptr::null(), 0),
        };
        Some(Step::Host)
    }
}
