//! What interpreted code shares with compiled code and with the runtime.
//!
//! ```text
//!   one mapping, one store
//!   guard_start  guard_end                     stack_top                      slots_end
//!   ┌───────────┬──────────────────────────────┬──────────────────────────────┐
//!   │ no rights │     <- compiled frames, down │ interpreted frames, up ->    │
//!   └───────────┴──────────────────────────────┴──────────────────────────────┘
//!
//!   an interpreted frame, in slots of eight bytes; registers are numbered from fp, with sign
//!                          fp
//!   ┌──────────────────────┬──────────┬────┬──────────┬───────┬────────┬──────────────────────────┐
//!   │ parameters           │ previous │ ip │ function │ vmctx │ locals │ operand stack            │
//!   └──────────────────────┴──────────┴────┴──────────┴───────┴────────┴──────────────────────────┘
//!    -n ...             -1   0          1    2          3       4 ...
//!                                                                          ┌────────────┬──────────
//!   a call: the arguments on top of the caller's operand stack             │ parameters │ previous
//!   are the parameters of the callee; its results lie from where           └────────────┴──────────
//!   its first parameter lay                                                              fp of callee
//! ```
//!
//! Values of 32 bits are zero-extended to their slot; `v128` takes two slots, low half first. That is
//! also how host functions and trampolines have their slots, so a range of the operand stack serves
//! as those.
//!
//! `previous` is the caller's fp; its low bits are flags for the code that returns: see [`flag`]. `ip` is
//! where the frame is resumed, written whenever other code may look at the frame or run: before calls, at
//! loop headers, at traps. Nothing in a frame points to the embedder's stack.

mod slot;

pub use slot::FrameSlot;

use crate::addr::{CodeAddr, CtxOffset, SlotsPtr, StackAddr, VmCtxPtr};
use crate::layout::{StoreCtx, WasmSp};
use std::sync::atomic::{AtomicI32, AtomicU64};
use wardian_types::{DefinedFuncIndex, IndexVec, LocalIndex, ValType};

/// Positions of the words of a frame's header, in slots from fp.
pub mod header {
    /// The caller's fp, with flags in the low bits.
    pub const PREVIOUS: isize = 0;
    /// Where the frame is resumed: address of an instruction.
    pub const IP: isize = 1;
    /// The [`super::Function`].
    pub const FUNCTION: isize = 2;
    /// The instance.
    pub const VMCTX: isize = 3;
}

/// The same for who reads the header as pointers: in words of a pointer's size from fp. Each is the first in its slot;
/// the rest of a slot says nothing where pointers are smaller.
pub mod frame {
    use super::header;
    /// Words of a slot.
    const SLOT: isize = (8 / size_of::<usize>()) as isize;
    /// [`header::PREVIOUS`]
    pub const PREVIOUS: isize = header::PREVIOUS * SLOT;
    /// [`header::IP`]
    pub const IP: isize = header::IP * SLOT;
    /// [`header::FUNCTION`]
    pub const FUNCTION: isize = header::FUNCTION * SLOT;
    /// [`header::VMCTX`]
    pub const VMCTX: isize = header::VMCTX * SLOT;
    /// Slots of a header: locals begin here.
    pub const HEADER: usize = 4;
}

/// Flags in the word `previous` of a frame.
pub mod flag {
    /// All flags.
    pub const MASK: usize = 7;
    /// Who called is no interpreted frame: the word is the address of a [`super::Boundary`].
    pub const BOUNDARY: usize = 1;
    /// Listeners are to be notified when the frame ends.
    pub const LISTENED: usize = 2;
    /// The caller's instance is another one, or may be.
    pub const OTHER_INSTANCE: usize = 4;
}

/// The word `previous` of a frame: its caller, with flags for the code that returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct CallerLink(usize);

impl CallerLink {
    /// The word in a frame.
    #[inline(always)]
    pub const fn from_word(word: usize) -> CallerLink {
        CallerLink(word)
    }

    /// The word for a frame.
    #[inline(always)]
    pub const fn as_word(self) -> usize {
        self.0
    }

    /// An interpreted frame calls a function of its own instance.
    #[inline(always)]
    pub fn same_instance(fp: *const u64) -> CallerLink {
        CallerLink(fp.expose_provenance())
    }

    /// An interpreted frame calls; the callee's instance is another one, or may be.
    #[inline(always)]
    pub fn other_instance(fp: *const u64) -> CallerLink {
        CallerLink::same_instance(fp).from_other_instance()
    }

    /// Compiled code or the embedder calls.
    #[inline(always)]
    pub fn boundary(boundary: *const Boundary) -> CallerLink {
        CallerLink(boundary.expose_provenance() | flag::BOUNDARY)
    }

    /// The same, where listeners are to be notified when the frame ends.
    #[inline(always)]
    pub const fn listened(self) -> CallerLink {
        CallerLink(self.0 | flag::LISTENED)
    }

    /// The calling frame, if it is interpreted, of the same instance, and no listeners are to be notified.
    #[inline(always)]
    pub const fn plain(self) -> Option<StackAddr> {
        if self.0 & flag::MASK == 0 { Some(StackAddr::from_usize(self.0)) } else { None }
    }

    /// The same, but that the caller's instance is another one, or may be.
    #[inline(always)]
    pub const fn from_other_instance(self) -> CallerLink {
        CallerLink(self.0 | flag::OTHER_INSTANCE)
    }

    /// The same, but that no listeners are to be notified.
    #[inline(always)]
    pub const fn unlistened(self) -> CallerLink {
        CallerLink(self.0 & !flag::LISTENED)
    }

    /// Where the caller is: its frame, or a [`Boundary`].
    #[inline(always)]
    pub const fn address(self) -> StackAddr {
        StackAddr::from_usize(self.0 & !flag::MASK)
    }

    /// Whether that is a boundary.
    #[inline(always)]
    pub const fn is_boundary(self) -> bool {
        self.0 & flag::BOUNDARY != 0
    }

    /// Whether listeners are to be notified when the frame ends.
    #[inline(always)]
    pub const fn is_listened(self) -> bool {
        self.0 & flag::LISTENED != 0
    }
}

/// What a call finds: a word of 64 bits whose low bits say what the rest points to. Zero: nobody has called yet, so ask
/// [`Service::Resolve`] and its kin.
pub mod target {
    /// The bits of the kind.
    pub const KIND: u64 = 7;
    /// A [`super::Function`] to interpret.
    pub const INTERPRETED: u64 = 1;
    /// A function to be called by the runtime: compiled, listened to, or closed.
    pub const RUNTIME: u64 = 2;
    /// A host function: the context of the call is its [`crate::layout::HostFunc`], and the rest of the word
    /// is eight times the number of slots that it needs for parameters and results.
    pub const HOST: u64 = 3;
}

/// A function translated for the interpreter: what the executor reads of it when it is called. It
/// never moves. Aligned so that the low bits of its address are free: see [`target`].
#[repr(C, align(8))]
#[derive(Debug)]
pub struct Function {
    /// Its first instruction.
    pub entry: *const u16,
    /// Slots from fp that a frame may use, with room for what its calls need.
    pub frame_slots: u32,
    /// Slots of its parameters.
    pub param_slots: u32,
    /// Slots of its results.
    pub result_slots: u32,
    /// Where the instance has the `*mut VmMemory` of memory 0; none if there is no memory.
    pub memory0: CtxOffset,
    /// Counts down with calls and loops; below zero, the runtime is asked.
    pub countdown: AtomicI32,
    /// Which function of the module it is.
    pub defined: DefinedFuncIndex,
    /// For each of its calls through tables and references words that say what it called; null if nobody wants to know.
    pub targets: *const AtomicU64,
}

/// What follows the return of an interpreted frame that no interpreted frame called.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Boundary {
    /// Where the compiled caller stands on the wasm stack; none if the embedder called.
    pub wasm_sp: WasmSp,
    /// Where it has slots for the results.
    pub slots: SlotsPtr,
    /// Slots of the compiled segment's own entry; null for those of the activation.
    pub args: SlotsPtr,
    /// Number of slots of the results.
    pub result_slots: usize,
}

impl Boundary {
    /// The embedder called, and its slots are those of the entry.
    pub const fn of_embedder(result_slots: usize) -> Boundary {
        let slots = SlotsPtr::NULL;
        Boundary { wasm_sp: WasmSp::NONE, slots, args: slots, result_slots }
    }
}

/// What an executor returns with.
pub mod exit {
    /// A frame with [`super::flag::BOUNDARY`] or [`super::flag::LISTENED`] returned. Its results lie
    /// where its first parameter lay, and may have overwritten its header: of the store's `call`, `target`
    /// is the word `previous`, `code` the function, `ctx` the instance, `slots` where the results are.
    pub const RETURN: u64 = 1;
    /// A call of the runtime: [`super::StoreCtx::call`] says which; the frame's ip is behind the call.
    pub const CALL: u64 = 2;
    /// A trap: `trap_code` says which, the frame's ip is that of the instruction.
    pub const TRAP: u64 = 3;
    /// A host function or builtin ended the guest, or the interrupt word is set: the frame's ip is where it
    /// can be resumed.
    pub const ENDED: u64 = 4;
    /// A loop is to continue in compiled code: [`super::StoreCtx::call`]'s `code` is what the runtime answered
    /// to [`super::Service::Hot`]; the frame's ip is at the loop's header.
    pub const ENTER_LOOP: u64 = 5;
}

/// A call that the executor leaves to the runtime.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PendingCall {
    /// The target word.
    pub target: u64,
    /// Context of the callee.
    pub ctx: VmCtxPtr,
    /// Code of the callee, as compiled code would call it; zero where it is to be found in the instance.
    pub code: CodeAddr,
    /// Position among the functions that the module defines, where the instance's own function is called.
    pub defined: u64,
    /// Arguments, and room for results.
    pub slots: SlotsPtr,
    /// Whether the call is a tail call: the arguments lie where the frame's parameters lay, or above.
    pub tail: u64,
    /// Slots of the arguments.
    pub arg_slots: u64,
}

/// What the interpreter asks of the runtime besides [`crate::layout::Builtin`]s: functions
/// `extern "C" fn(vmctx, ...) -> u64` that stand behind those in the same table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Service {
    /// `(defined function) -> target`, and writes it to the instance's table of targets.
    Resolve = crate::layout::Builtin::COUNT,
    /// `(imported function) -> target`, and writes it to the import.
    ResolveImport,
    /// `(*VmFunc) -> target`, and writes it there.
    ResolveRef,
    /// `(fp, header)`: a countdown is below zero. At a loop's header, `header` is its offset in the code section, plus one; at
    /// the beginning of a function it is zero. Returns zero to continue interpreting, and has set the countdown anew.
    Hot,
}

/// How many services there are.
pub const SERVICES: usize = 4;

/// Where values are in the frames of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameLayout {
    /// First slot of each local, parameters first.
    pub locals: IndexVec<LocalIndex, FrameSlot>,
    /// First slot of the operand stack: value by value, from the bottom, each takes its slots.
    pub stack: FrameSlot,
    /// Slots of the parameters.
    pub params: u32,
}

impl FrameLayout {
    /// The layout for these parameters, and further locals.
    pub fn new(params: &[ValType], locals: impl IntoIterator<Item = ValType>) -> FrameLayout {
        let param_slots: usize = params.iter().map(|t| t.slots()).sum();
        let mut slots = IndexVec::with_capacity(params.len());
        let mut next = FrameSlot::from_i32(-(param_slots as i32));
        for ty in params {
            slots.push(next);
            next = next.add(ty.slots() as i32);
        }
        next = FrameSlot::from_i32(frame::HEADER as i32);
        for ty in locals {
            slots.push(next);
            next = next.add(ty.slots() as i32);
        }
        FrameLayout { locals: slots, stack: next, params: param_slots as u32 }
    }
}

/// Runs interpreted code and whatever it calls until the innermost entry ends. Begins with what a
/// [`crate::activation::status`] says, and returns such a status.
pub type Interpret = unsafe extern "C" fn(*mut StoreCtx, u64) -> u64;
