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
//! Interpreted frames have their own chain, above the wasm stack: see [`crate::interpreted`]. The two chains
//! are linked: where an interpreted frame called compiled code, the trampoline's frame pointer is the
//! interpreted frame; where compiled code called an interpreted function, that function's boundary has the
//! position of the caller. The program counters of interpreted frames are addresses in their bytecode.
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
//! `enter` sets `host_sp` to the address right below the frame that holds the activation, in the instruction
//! before it leaves the embedder's stack, and resets it right after it has returned there: so it shows
//! exactly whether the innermost entry is open, where the list alone is early or late.

use crate::addr::{CodeAddr, StackAddr};
use crate::arch::{self, Registers, ReturnAddress};
use crate::code_memory;
use crate::heap::HeapRef;
use crate::interpreted::{Boundary, CallerLink, FrameSlot, Function, frame};
use crate::layout::{Activation, StoreCtx, WasmSp};
use std::ops::Range;

/// The frames of one store, innermost first, through all its entries.
///
/// Frames of trampolines are among them: who looks a program counter up in the modules' code finds
/// none for those.
#[derive(Debug)]
pub struct Frames<'a> {
    store: &'a StoreCtx,
    /// What to give next.
    current: Option<Position>,
    /// The slots of the frame that was given last, if it is interpreted.
    slots: Option<StackAddr>,
    /// Its frame pointer, if it is compiled and has its record.
    fp: Option<StackAddr>,
    /// The entry around the current one: its activation, and where its stack stood.
    outer: *const Activation,
    outer_sp: WasmSp,
    outer_fp: StackAddr,
}

/// A frame: its program counter, where its caller is found, and where its slots are if it is interpreted.
#[derive(Clone, Copy, Debug)]
struct Position {
    pc: CodeAddr,
    caller: Caller,
    slots: Option<StackAddr>,
}

impl Position {
    fn compiled(pc: CodeAddr, caller: Caller) -> Position {
        Position { pc, caller, slots: None }
    }
}

/// What a compiled function has at its frame pointer.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct FrameRecord {
    /// Its caller's frame pointer.
    pub(crate) fp: StackAddr,
    /// Where it returns to.
    pub(crate) pc: CodeAddr,
}

#[derive(Clone, Copy, Debug)]
enum Caller {
    /// The interpreted frame at this address, which waits in a call.
    Frame(StackAddr),
    /// Through the frame record at this address.
    Record(StackAddr),
    /// The function has no record yet: its return address is in this slot, the frame pointer is
    /// still its caller's.
    Slot { slot: StackAddr, fp: StackAddr },
    /// The same, but the return address is known.
    Return { address: CodeAddr, fp: StackAddr },
}

/// The address; how it was computed is hidden from the compiler, which would replace it by an equal one.
fn forget_origin(address: StackAddr) -> StackAddr {
    let mut number = address.as_usize();
    // SAFETY: nothing is done.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) number, options(pure, nomem, nostack, preserves_flags));
    }
    StackAddr::from_usize(number)
}

/// A step of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame, as an address inside the instruction that it is at: the call, or what faulted.
    Frame(CodeAddr),
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
        let mut frames = unsafe { Frames::around(store, activation) };
        frames.current = frames.standing(store.wasm_sp, store.interp_fp);
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
        function_start: impl FnOnce(CodeAddr) -> Option<CodeAddr>,
    ) -> Frames<'a> {
        let (pc, fp) = (store.trap_pc, store.trap_fp);
        let mut frames = Frames::after(store);
        if pc.is_null() {
            frames.current = frames.interpreted(store.ended_fp, true);
            return frames;
        }
        let known = function_start(pc).and_then(|start| {
            arch::return_address(pc.bytes_from(start), store.trap_sp, store.trap_link)
        });
        let caller = match known {
            Some(ReturnAddress::At(slot)) => Caller::Slot { slot, fp },
            // That of the outermost frame, a trampoline's, is ours.
            Some(ReturnAddress::Is(address)) if code_memory::contains(address) => {
                Caller::Return { address, fp }
            }
            Some(ReturnAddress::Is(_)) | None => Caller::Record(fp),
        };
        frames.current = Some(Position::compiled(pc, caller));
        frames
    }

    /// The frames of a guest that has just been ended by a call into the host: its entry is off the list
    /// already, but nothing has run on its stack since.
    ///
    /// # Safety
    ///
    /// The latest entry of `store` ended with [`crate::activation::Outcome::Ended`], and no other began
    /// since.
    pub unsafe fn at_end(store: &'a StoreCtx) -> Frames<'a> {
        let mut frames = Frames::after(store);
        frames.current = frames.standing(store.ended_sp, store.ended_fp);
        frames
    }

    /// The walk that begins with what is around an entry that has ended.
    fn after(store: &'a StoreCtx) -> Frames<'a> {
        let (outer, outer_sp, outer_fp) = (store.activation, store.wasm_sp, store.interp_fp);
        Frames { store, current: None, slots: None, fp: None, outer, outer_sp, outer_fp }
    }

    /// The walk that begins with the entry around an activation.
    ///
    /// # Safety
    ///
    /// The activation is on the store's list, or null.
    unsafe fn around(store: &'a StoreCtx, activation: *const Activation) -> Frames<'a> {
        // SAFETY: the caller's promise.
        let (outer, outer_sp, outer_fp) = match unsafe { activation.as_ref() } {
            Some(a) => (a.previous, a.outer_sp, a.outer_fp),
            None => (std::ptr::null(), WasmSp::NONE, StackAddr::NULL),
        };
        Frames { store, current: None, slots: None, fp: None, outer, outer_sp, outer_fp }
    }

    /// The frames of a guest whose thread a signal interrupted, wherever that was; none if it is in no guest.
    /// The flag says whether the host was at work, for the innermost guest.
    ///
    /// For a few instructions, in which a function has not yet made its frame or a stub has not yet
    /// noted where the guest stands, the innermost frame or its caller is left out: at a tail call, in
    /// the short ways of `memory.copy`, in transitions.
    ///
    /// # Safety
    ///
    /// To be called by a signal handler, on the thread that runs guests of `store`, with the registers of the
    /// interrupted thread, which was not on its stack for signals. `in_code` says whether the program counter
    /// is in compiled code.
    #[allow(dead_code, reason = "nobody asks for samples where there are no signals")]
    pub(crate) unsafe fn at_signal(
        store: &'a StoreCtx,
        registers: &Registers<'_>,
        in_code: bool,
    ) -> Option<(bool, Frames<'a>)> {
        // SAFETY: activations on the list are alive, also between the instructions of who changes it:
        // see `activation::set_activation`.
        let entry = unsafe { store.activation.as_ref()? };
        let (sp, fp) = (registers.sp(), registers.fp());
        // SAFETY: as above.
        let mut frames = unsafe { Frames::around(store, entry) };
        if (store.guard_start..=store.stack_top).contains(&sp) {
            let address = if frames.on_stack(sp) {
                // SAFETY: only compiled code and stubs run on the wasm stack; the word at `sp` and the one
                // above are on it.
                unsafe { registers.unframed() }
            } else {
                None
            };
            let caller = match address {
                // That of the outermost frame, a trampoline's, is ours.
                Some(address) if !code_memory::contains(address) => Caller::Record(StackAddr::NULL),
                Some(address) => Caller::Return { address, fp },
                None => Caller::Record(fp),
            };
            frames.current = match in_code {
                true => Some(Position::compiled(registers.pc(), caller)),
                false => frames.outward(caller),
            };
            return Some((!in_code, frames));
        }
        let address = StackAddr::of(entry);
        let entered = sp < store.host_sp && store.host_sp < address;
        let runs = entry.interpreting.get() && !entered;
        if runs && store.interp_sp.is_null() {
            frames.current = frames.interpreted(store.interp_fp, true);
            return Some((false, frames));
        }
        if entered || runs {
            frames.current = frames.standing(store.wasm_sp, store.interp_fp);
        }
        // The innermost entry may have no frame yet, or none any more.
        if !entered && frames.current.is_none() {
            let (sp, fp) = (frames.outer_sp, frames.outer_fp);
            if sp.is_none() {
                return None;
            }
            // SAFETY: as above.
            frames = unsafe { Frames::around(store, frames.outer) };
            frames.current = frames.standing(sp, fp);
        }
        Some((true, frames))
    }

    /// Where a guest that waits in a call into the host stands.
    fn standing(&self, wasm_sp: WasmSp, fp: StackAddr) -> Option<Position> {
        if wasm_sp.is_interpreted() {
            self.interpreted(fp, false)
        } else {
            self.record(wasm_sp.sp().above(arch::RECORD))
        }
    }

    fn in_slots(&self, address: StackAddr) -> bool {
        let (start, end) = (self.store.stack_top, self.store.interp_limit);
        address.is_aligned_to(8) && address.is_within(start, end, 8 * frame::HEADER)
    }

    /// The interpreted frame at `fp`, or the next one outwards that is not being run by compiled code.
    /// `exact` says that its ip is an instruction's address, not that of the instruction behind a call.
    fn interpreted(&self, mut fp: StackAddr, mut exact: bool) -> Option<Position> {
        while self.in_slots(fp) {
            // SAFETY: a frame's header is in the part of the mapping for interpreted frames. Whatever it
            // holds, only addresses there and on the wasm stack are followed.
            let (previous, ip, function) = unsafe {
                let word = |at| *fp.as_ptr::<usize>().offset(at);
                (word(frame::PREVIOUS), word(frame::IP), word(frame::FUNCTION))
            };
            let caller = self.caller_of(fp, CallerLink::from_word(previous));
            if ip != 0 {
                // SAFETY: a frame that is not moved has a function, which outlives it.
                let begins = || unsafe { (*(function as *const Function)).entry as usize == ip };
                let pc = if exact || begins() { ip } else { ip - 1 };
                let pc = CodeAddr::from_usize(pc);
                return Some(Position { pc, caller, slots: Some(fp) });
            }
            match caller {
                Caller::Frame(outer) => (fp, exact) = (outer, false),
                caller => return self.outward(caller),
            }
        }
        None
    }

    /// Who called the interpreted frame at `fp`, from its header.
    fn caller_of(&self, fp: StackAddr, previous: CallerLink) -> Caller {
        let outer = previous.address();
        if outer >= fp || !self.in_slots(outer) {
            return Caller::Record(StackAddr::NULL);
        }
        if !previous.is_boundary() {
            return Caller::Frame(outer);
        }
        // SAFETY: in the part of the mapping for interpreted frames.
        match unsafe { (*outer.as_ptr::<Boundary>()).wasm_sp } {
            WasmSp::NONE => Caller::Record(StackAddr::NULL),
            caller => Caller::Record(caller.sp().above(arch::RECORD)),
        }
    }

    fn on_stack(&self, address: StackAddr) -> bool {
        let (start, end) = (self.store.guard_end, self.store.stack_top);
        address.is_aligned_to(8) && address.is_within(start, end, 16)
    }

    /// The caller whose frame record is at `fp`; none where the chain ends.
    fn record(&self, fp: StackAddr) -> Option<Position> {
        if !self.on_stack(fp) {
            return None;
        }
        // SAFETY: two words on the accessible part of the wasm stack, where by the promise of the
        // constructors frames lie. Whatever they hold, only addresses on the stack are followed.
        let FrameRecord { fp: next, pc } = unsafe { *fp.as_ptr() };
        // The record that says zero, or leads to an interpreted frame, is the entry trampoline's: its
        // return address is ours.
        if next >= self.store.stack_top {
            return self.interpreted(next, false);
        }
        let caller = Caller::Record(next);
        (next > fp).then_some(Position::compiled(pc.before(), caller))
    }
}

impl Frames<'_> {
    /// Skips the next frames as long as they are compiled ones whose program counters are in `code`, and
    /// their callers are compiled as well; returns how many they were.
    ///
    /// A stack that has overflowed has tens of thousands of frames, mostly of one size. Where a frame ends
    /// is guessed to be as far as the last time, so that the processor does not wait for each load before
    /// it begins with the next one.
    pub fn skip_in(&mut self, code: &Range<CodeAddr>) -> usize {
        let Some(Position { mut pc, caller: Caller::Record(mut fp), slots: None }) = self.current
        else {
            return 0;
        };
        let (mut skipped, mut size) = (0, 0);
        while code.contains(&pc) && self.on_stack(fp) {
            // SAFETY: as in `record`.
            let FrameRecord { fp: next, pc: address } = unsafe { *fp.as_ptr() };
            // The end of a chain is for `record`.
            if next <= fp || next >= self.store.stack_top {
                break;
            }
            let guess = forget_origin(fp.above(size));
            if next == guess {
                fp = guess;
            } else {
                (size, fp) = (next.bytes_from(fp), next);
            }
            pc = address.before();
            skipped += 1;
        }
        self.current = Some(Position::compiled(pc, Caller::Record(fp)));
        skipped
    }

    /// A slot of the frame that was given last, counted from where its header begins: see
    /// [`crate::interpreted::FrameLayout`]. None if compiled code runs the frame.
    pub fn slot(&self, slot: FrameSlot) -> Option<u64> {
        let address = self.slots?.offset(slot.as_isize() * 8);
        let inside = self.store.stack_top..self.store.interp_limit;
        // SAFETY: in the part of the mapping for interpreted frames, and aligned as frames are; what it
        // holds is any word.
        inside.contains(&address).then(|| unsafe { *address.as_ptr() })
    }

    /// The slots of the frame that was given last, parameters included; none if it is not interpreted.
    pub fn slots(&self) -> Range<FrameSlot> {
        let Some(fp) = self.slots else { return FrameSlot::default()..FrameSlot::default() };
        // SAFETY: an interpreted frame has a function, which outlives it.
        let function = unsafe {
            let function = *fp.as_ptr::<usize>().offset(frame::FUNCTION);
            &*(function as *const Function)
        };
        let [start, end] = [-(function.param_slots as i32), function.frame_slots as i32];
        FrameSlot::from_i32(start)..FrameSlot::from_i32(end)
    }

    /// Where the record of the frame lies that was given last, if it is compiled.
    pub fn frame_pointer(&self) -> Option<StackAddr> {
        self.fp
    }

    /// The interpreted frame that was given last; none if it is compiled.
    pub fn interpreted_frame(&self) -> Option<StackAddr> {
        self.slots
    }

    /// A word in a frame that was given, at an address on the wasm stack; none elsewhere.
    pub fn word_at(&self, address: StackAddr) -> Option<u64> {
        let inside = address.is_aligned_to(8)
            && address >= self.store.guard_end
            && address < self.store.stack_top;
        // SAFETY: eight bytes of the accessible part of the wasm stack, as in `reference_at`.
        inside.then(|| unsafe { *address.as_ptr() })
    }

    /// A reference in a frame that was given, at an address on the wasm stack; none elsewhere.
    pub fn reference_at(&self, address: StackAddr) -> Option<HeapRef> {
        let inside = address.is_aligned_to(4)
            && address >= self.store.guard_end
            && address < self.store.stack_top;
        // SAFETY: four bytes of the accessible part of the wasm stack, where frames lie as the constructors
        // promise; what they hold is any word.
        inside.then(|| unsafe { *address.as_ptr() })
    }

    fn outward(&self, caller: Caller) -> Option<Position> {
        match caller {
            Caller::Frame(fp) => self.interpreted(fp, false),
            Caller::Record(fp) => self.record(fp),
            Caller::Slot { slot, fp } if self.on_stack(slot) => {
                // SAFETY: the slot is on the wasm stack.
                let pc = unsafe { *slot.as_ptr::<CodeAddr>() };
                Some(Position::compiled(pc.before(), Caller::Record(fp)))
            }
            Caller::Slot { .. } => None,
            Caller::Return { address, fp } => {
                Some(Position::compiled(address.before(), Caller::Record(fp)))
            }
        }
    }
}

impl Iterator for Frames<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        (self.slots, self.fp) = (None, None);
        if let Some(Position { pc, caller, slots }) = self.current {
            self.current = self.outward(caller);
            self.slots = slots;
            if let (Caller::Record(fp), None) = (caller, slots) {
                self.fp = Some(fp);
            }
            return Some(Step::Frame(pc));
        }
        if self.outer_sp.is_none() {
            return None;
        }
        let current = self.standing(self.outer_sp, self.outer_fp);
        // SAFETY: activations on the list are alive.
        *self = unsafe { Frames::around(self.store, self.outer) };
        self.current = current;
        Some(Step::Host)
    }
}
