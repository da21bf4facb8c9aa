//! Unwinding the innermost entry of a store to the frame in which an exception is caught.
//!
//! ```text
//!   wasm stack, compiled frames                  slots, interpreted frames
//!   ┌──────────────────────────┐ stack_top       ┌──────────────────────────┐
//!   │ trampoline of the entry  │                 │ boundary, wasm_sp = 0    │
//!   │ frame that catches       │ <- fp           │ frame that catches       │ <- fp
//!   │ ........................ │ <- fp - size    │ frames that are left     │
//!   │ landing: pc, fp, payload │                 └──────────────────────────┘
//!   │ frames that are left     │
//!   └──────────────────────────┘ <- wasm_sp
//! ```
//!
//! A walk looks at one frame after the other, the innermost first, and changes nothing. Once a frame is found
//! the guest is prepared to be resumed in it, as if it had called the host there: an interpreted frame gets
//! the address of its handler as ip; for a compiled one, the frame of a stub is written below it, which
//! [`crate::segment::resume`] leaves to the handler. So the code that runs the entry resumes it as it does
//! otherwise.
//!
//! Where an exception is caught, compiled code finds the callee-saved registers as they were at the call:
//! `callee_saved.rs` says how. The stack and frame pointers follow from the frame.

pub use crate::callee_saved::{CALLEE_SAVED, Saved, SavedIndex};

use crate::addr::{CodeAddr, SlotsPtr, StackAddr};
use crate::arch;
use crate::callee_saved::CalleeSaved;
use crate::frames::FrameRecord;
use crate::interpreted::{Boundary, CallerLink, Function, frame};
use crate::layout::{StoreCtx, WasmSp};
use crate::segment::LINK;

/// A frame of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A compiled frame, of a function or of a trampoline.
    Compiled {
        /// The return address of the call that it waits in.
        pc: CodeAddr,
        /// Its frame pointer.
        fp: StackAddr,
    },
    /// An interpreted frame.
    Interpreted {
        /// Its address.
        fp: StackAddr,
    },
}

/// A walk through the frames of the innermost entry, from the innermost frame outwards.
#[derive(Clone, Copy, Debug)]
pub struct Unwinding {
    at: At,
    /// The slots that the compiled code at hand was entered with.
    args: SlotsPtr,
    /// The slots that the entry was entered with.
    entry_args: SlotsPtr,
    /// Where the slots of interpreted frames end that are further out than the compiled code at hand.
    slots_end: StackAddr,
    stack_top: StackAddr,
    /// What is known of the callee-saved registers, in the compiled code at hand.
    known: Known,
}

/// What those registers held at a call further in, or the one at hand.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// What the stub has saved by which the guest has left compiled code; it stands there.
    Stub(WasmSp),
    /// The call to whose frame the frame record leads.
    Call { record: StackAddr, kept: CalleeSaved },
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// The compiled frame that the frame record at this address leads to.
    Compiled { record: StackAddr },
    /// An interpreted frame; below `sp` the wasm stack is free when it is the innermost.
    Interpreted { fp: StackAddr, sp: StackAddr },
    /// The entry ends here.
    End,
}

impl Unwinding {
    /// Begins with the frame that waits in a call of the host.
    ///
    /// # Safety
    ///
    /// The store is valid and used by no other thread. A guest of it waits in a call of a host function or
    /// of the runtime, and stays there while this is used.
    pub unsafe fn begin(store: *const StoreCtx) -> Unwinding {
        // SAFETY: the caller's promise; the activation is that of the guest.
        unsafe {
            let ctx = &*store;
            let at = match ctx.wasm_sp.is_interpreted() {
                false => At::Compiled { record: ctx.wasm_sp.sp().above(arch::RECORD) },
                true => At::Interpreted { fp: ctx.interp_fp, sp: ctx.wasm_sp.aligned() },
            };
            let mut walk = Unwinding {
                at,
                args: ctx.args,
                entry_args: (*ctx.activation).args.get(),
                slots_end: ctx.interp_sp,
                stack_top: ctx.stack_top,
                known: Known::Stub(ctx.wasm_sp),
            };
            walk.settle();
            walk
        }
    }

    /// The frame at hand; none where the entry ends.
    ///
    /// # Safety
    ///
    /// As for [`Unwinding::begin`].
    pub unsafe fn place(&self) -> Option<Place> {
        match self.at {
            At::Compiled { record } => {
                // SAFETY: a frame record on the wasm stack.
                let FrameRecord { fp, pc } = unsafe { read_record(record) };
                Some(Place::Compiled { pc, fp })
            }
            At::Interpreted { fp, .. } => Some(Place::Interpreted { fp }),
            At::End => None,
        }
    }

    /// Continues with the caller of the frame at hand.
    ///
    /// # Safety
    ///
    /// As for [`Unwinding::begin`].
    pub unsafe fn outward(&mut self) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.at {
                At::Compiled { record } => {
                    self.at = At::Compiled { record: *record.as_ptr() };
                }
                At::Interpreted { fp, sp } => self.leave_interpreted(fp, sp),
                At::End => {}
            }
            self.settle();
        }
    }

    /// Continues with the caller of the interpreted frame at `fp`.
    unsafe fn leave_interpreted(&mut self, fp: StackAddr, sp: StackAddr) {
        // SAFETY: the caller's promise: it is a frame, and what it leads to is a frame or a boundary.
        unsafe {
            let previous = CallerLink::from_word(*fp.as_ptr::<usize>().offset(frame::PREVIOUS));
            let outer = previous.address();
            if !previous.is_boundary() {
                self.at = At::Interpreted { fp: outer, sp };
                return;
            }
            let Boundary { wasm_sp, args, .. } = *outer.as_ptr();
            if wasm_sp.is_none() {
                self.at = At::End;
                return;
            }
            self.args = if args.is_null() { self.entry_args } else { args };
            self.slots_end = outer;
            self.known = Known::Stub(wasm_sp);
            self.at = At::Compiled { record: wasm_sp.sp().above(arch::RECORD) };
        }
    }

    /// Skips what is no frame in which a function waits: the ends of segments, and interpreted frames whose
    /// work compiled code does.
    unsafe fn settle(&mut self) {
        // SAFETY: the caller's promise.
        unsafe {
            loop {
                match self.at {
                    At::Compiled { record } => match *record.as_ptr::<StackAddr>() {
                        StackAddr::NULL => self.at = At::End,
                        // The record of the trampoline of a segment: an interpreted frame has entered it.
                        fp if fp >= self.stack_top => {
                            let sp = record.above(size_of::<FrameRecord>() + LINK);
                            self.at = At::Interpreted { fp, sp };
                        }
                        _ => return,
                    },
                    At::Interpreted { fp: StackAddr::NULL, .. } => self.at = At::End,
                    At::Interpreted { fp, sp } => {
                        if *fp.as_ptr::<usize>().offset(frame::IP) != 0 {
                            return;
                        }
                        self.leave_interpreted(fp, sp);
                    }
                    At::End => return,
                }
            }
        }
    }

    /// Whether a frame is one of those that are left when the guest is resumed in the frame at hand. It is given
    /// by its frame pointer, or its address if it is interpreted, and belongs to the entry or to one around
    /// it.
    ///
    /// # Safety
    ///
    /// As for [`Unwinding::begin`].
    pub unsafe fn leaves(&self, frame: StackAddr) -> bool {
        let is_interpreted = frame >= self.stack_top;
        match self.at {
            At::Compiled { .. } if is_interpreted => frame >= self.slots_end,
            At::Compiled { record } => {
                // SAFETY: the caller's promise: it is the record of the frame at hand.
                frame < unsafe { *record.as_ptr::<StackAddr>() }
            }
            At::Interpreted { fp, sp } => match is_interpreted {
                true => frame > fp,
                false => frame < sp,
            },
            At::End => true,
        }
    }

    /// Prepares the guest to be resumed in the frame at hand, which is compiled: it will continue at `pc`,
    /// with `payload` in the first register for payloads. `size` is how far the stack pointer is below the
    /// frame pointer there; `saved` says which registers the function around an address saves.
    ///
    /// # Safety
    ///
    /// As for [`Unwinding::begin`]; `pc` is the handler of the call that the frame waits in, and `saved` is
    /// right for all compiled code. Nothing of the frames that are left is used again.
    pub unsafe fn land_compiled(
        &mut self,
        store: *mut StoreCtx,
        size: u32,
        pc: CodeAddr,
        payload: u64,
        saved: impl FnMut(CodeAddr) -> Saved,
    ) {
        let At::Compiled { record } = self.at else { return };
        // SAFETY: the caller's promise. There is room for the frame of a stub below the frame at hand: it has
        // called something that called the host by a stub. That has been read when the landing is written.
        unsafe {
            let kept = self.kept(saved);
            let fp = *record.as_ptr::<StackAddr>();
            let sp = fp.below(size as usize);
            (*store).wasm_sp = arch::write_landing(store, sp, fp, pc, payload, &kept);
            (*store).interp_sp = self.slots_end;
            (*store).args = self.args;
        }
    }

    /// What a register held at the call in which the frame at hand, which is compiled, waits. `saved` says which registers the
    /// function around an address saves.
    ///
    /// # Safety
    ///
    /// As for [`Unwinding::begin`]; `saved` is right for all compiled code.
    pub unsafe fn register(
        &mut self,
        at: SavedIndex,
        saved: impl FnMut(CodeAddr) -> Saved,
    ) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.kept(saved) }.get(at.index()).copied().unwrap_or_default()
    }

    /// What all of these held.
    ///
    /// # Safety
    ///
    /// As for [`Unwinding::register`].
    unsafe fn kept(&mut self, mut saved: impl FnMut(CodeAddr) -> Saved) -> CalleeSaved {
        // SAFETY: the caller's promise. Frames between the stub and the one at hand are compiled, and wait in
        // calls: an interpreted one would have been entered from, or left by, another stub.
        unsafe {
            let (mut record, mut kept) = match self.known {
                Known::Stub(stub) => (stub.sp().above(arch::RECORD), arch::saved_by_stub(stub)),
                Known::Call { record, kept } => (record, kept),
            };
            let At::Compiled { record: end } = self.at else { return kept };
            while record != end {
                let FrameRecord { fp, pc } = read_record(record);
                saved(pc).restore(&mut kept, fp);
                record = fp;
            }
            self.known = Known::Call { record, kept };
            kept
        }
    }

    /// Prepares the guest to be resumed in the frame at hand, which is interpreted: it will continue at `ip`.
    ///
    /// # Safety
    ///
    /// As for [`Unwinding::land_compiled`]; `ip` is an instruction of the frame's function.
    pub unsafe fn land_interpreted(&self, store: *mut StoreCtx, ip: CodeAddr) {
        let At::Interpreted { fp, sp } = self.at else { return };
        // SAFETY: the caller's promise.
        unsafe {
            let words = fp.as_ptr::<usize>();
            *words.offset(frame::IP) = ip.as_usize();
            let function = *words.offset(frame::FUNCTION) as *const Function;
            (*store).interp_fp = fp;
            (*store).interp_sp = fp.above(8 * (*function).frame_slots as usize);
            (*store).wasm_sp = WasmSp::interpreted(sp);
        }
    }
}

/// The frame record there.
///
/// # Safety
///
/// There is one.
unsafe fn read_record(record: StackAddr) -> FrameRecord {
    // SAFETY: the caller's promise.
    unsafe { *record.as_ptr() }
}
