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
//!
//! Where a signal handler finds the thread, and what of the innermost entry it can walk:
//!
//! ```text
//!   sp on the wasm stack, pc in guest code     from the registers
//!   sp on the wasm stack, pc in a stub         host; from the registers
//!   sp on the embedder's stack
//!     address of the activation ─┐
//!     host_sp, if entered        ├ sp below both: the guest waits in a call into the host; from wasm_sp
//!     frames of the host function┘
//!     otherwise the entry has not begun or has ended: host; the entry around it, from its outer_sp
//! ```
//!
//! `enter` puts `host_sp` right below the frame that holds the activation, in the instruction before
//! it leaves the embedder's stack, and takes it back right after it has returned there: so it tells
//! exactly whether the innermost entry is open, where the list alone is early or late.

use crate::activation::Activation;
use crate::arch::{self, Registers};
use crate::code_memory;
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
    /// The same, but the return address is known.
    Return { address: usize, fp: usize },
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

    /// The frames of a guest whose thread a signal interrupted, wherever that was; none if it is in
    /// no guest. The flag tells whether the host was at work, for the innermost guest.
    ///
    /// For a few instructions, in which a function has not yet made its frame or a stub has not yet
    /// noted where the guest stands, the innermost frame or its caller is left out: at a tail call, in
    /// the short ways of `memory.copy`, in transitions.
    ///
    /// # Safety
    ///
    /// To be called by a signal handler, on the thread that runs guests of `store`, with the registers
    /// of the interrupted thread, which was not on its stack for signals. `in_code` tells whether the
    /// program counter lies in compiled code.
    pub(crate) unsafe fn at_signal(
        store: &'a StoreCtx,
        registers: &Registers<'_>,
        in_code: bool,
    ) -> Option<(bool, Frames<'a>)> {
        // SAFETY: activations on the list are alive, also between the instructions of who changes it:
        // see `activation::set_activation`.
        let entry = unsafe { store.activation.as_ref()? };
        let (sp, fp) = (registers.sp(), registers.fp());
        let outward = |from: &Activation| (from.previous, from.outer_sp);
        let (outer, outer_sp) = outward(entry);
        let mut frames = Frames { store, current: None, outer, outer_sp };
        if (store.guard_start..=store.stack_top).contains(&sp) {
            let address = if frames.on_stack(sp) {
                // SAFETY: only compiled code and stubs run on the wasm stack; the word at `sp` and the
                // one above it lie on it.
                unsafe { registers.unframed() }
            } else {
                None
            };
            let caller = match address {
                // That of the outermost frame, a trampoline's, is ours.
                Some(address) if !code_memory::contains(address) => Caller::Record(0),
                Some(address) => Caller::Return { address, fp },
                None => Caller::Record(fp),
            };
            frames.current = match in_code {
                true => Some((registers.pc(), caller)),
                false => frames.outward(caller),
            };
            return Some((!in_code, frames));
        }
        let address = std::ptr::from_ref(entry) as usize;
        let entered = sp < store.host_sp && store.host_sp < address;
        let stands = if entered { store.wasm_sp } else { outer_sp };
        if stands == 0 {
            return None;
        }
        if !entered {
            // SAFETY: as above.
            (frames.outer, frames.outer_sp) = unsafe { outer.as_ref() }.map_or((outer, 0), outward);
        }
        frames.current = frames.record(stands + arch::RECORD);
        Some((true, frames))
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
        (next != 0 && next > fp).then_some((pc.wrapping_sub(1), Caller::Record(next)))
    }
}

impl Frames<'_> {
    fn outward(&self, caller: Caller) -> Option<(usize, Caller)> {
        match caller {
            Caller::Record(fp) => self.record(fp),
            Caller::Slot { slot, fp } if self.on_stack(slot) => {
                // SAFETY: the slot lies on the wasm stack.
                let pc = unsafe { *(slot as *const usize) };
                Some((pc.wrapping_sub(1), Caller::Record(fp)))
            }
            Caller::Slot { .. } => None,
            Caller::Return { address, fp } => Some((address.wrapping_sub(1), Caller::Record(fp))),
        }
    }
}

impl Iterator for Frames<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if let Some((pc, caller)) = self.current {
            self.current = self.outward(caller);
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
