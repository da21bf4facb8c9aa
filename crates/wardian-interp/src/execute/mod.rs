//! The executor: a handler for each instruction, which ends by going to the next one's.
//!
//! ```text
//!   registers that go from handler to handler        memory
//!   ip      the instruction                          fp ──> previous | ip | function | vmctx | locals …
//!   fp      the frame                                vmctx ──> store, globals, targets of calls …
//!   base    first byte of memory 0                   store ──> interrupt, interp_fp (always this fp) …
//!   len     its length, or an old one
//!   vmctx   the instance
//!   acc …   what the last instruction wrote
//! ```
//!
//! In an optimised build the last call of a handler is a jump, so the machine's stack stays as it is
//! however long code runs. That needs handlers whose last call gets no more than registers hold and whose own frame
//! nobody points to; what is rare is in handlers of its own, marked cold, so that the others need no
//! frame at all. In other builds a handler returns to a loop that calls the next: see [`State::go`].

mod accumulated;
mod addresses;
mod arithmetic;
mod atomic;
mod builtins;
mod calls;
mod casts;
mod control;
mod fetch;
mod fields;
#[cfg(test)]
mod jump_tests;
mod latches;
mod memory;
mod moves;
mod numeric;
mod objects;
mod returns;
mod shifted;
#[cfg(target_arch = "x86_64")]
mod sse;
mod state;
mod tail_calls;
mod vectors;
mod wide;

#[cfg(all(tail_dispatch, not(debug_assertions)))]
use crate::op::HEAD;
use crate::op::Opcode;
use crate::table::instructions;
use state::{Handler, State};
use wardian_vm::addr::VmCtxPtr;
use wardian_vm::interpreted::header;
use wardian_vm::layout::StoreCtx;

/// The handlers by their names.
mod handlers {
    pub(super) use super::accumulated::*;
    pub(super) use super::addresses::*;
    pub(super) use super::arithmetic::*;
    pub(super) use super::atomic::*;
    pub(super) use super::builtins::*;
    pub(super) use super::calls::*;
    pub(super) use super::casts::*;
    pub(super) use super::control::*;
    pub(super) use super::fields::*;
    pub(super) use super::latches::*;
    pub(super) use super::memory::*;
    pub(super) use super::moves::*;
    pub(super) use super::objects::*;
    pub(super) use super::returns::*;
    pub(super) use super::shifted::*;
    #[cfg(target_arch = "x86_64")]
    pub(super) use super::sse::*;
    pub(super) use super::tail_calls::*;
    pub(super) use super::vectors::*;
    pub(super) use super::wide::*;
}

macro_rules! table {
    ($($shape:tt => $($name:ident)+;)*) => {
        /// The handlers, in the order of the opcodes.
        static HANDLERS: [Handler; Opcode::ALL.len()] = [$($(Handler(handlers::$name),)+)*];
    };
}

instructions!(table);

/// Puts the handlers' addresses in the place of numbers.
#[cfg(all(tail_dispatch, not(debug_assertions)))]
pub(crate) fn link(code: &mut [u16]) {
    let mut at = 0;
    while at < code.len() {
        let opcode = usize::from(code[at]);
        let address = HANDLERS[opcode].0 as usize as u64;
        for (i, unit) in code[at..at + HEAD].iter_mut().enumerate() {
            *unit = (address >> (16 * i)) as u16;
        }
        at += usize::from(Opcode::LENGTHS[opcode]);
    }
}

/// The instruction that begins here, in linked code.
#[cfg(all(tail_dispatch, not(debug_assertions)))]
pub(crate) fn opcode(code: &[u16]) -> Opcode {
    use std::collections::HashMap;
    use std::sync::LazyLock;
    static OPCODES: LazyLock<HashMap<u64, Opcode>> = LazyLock::new(|| {
        let addresses = HANDLERS.iter().map(|handler| handler.0 as usize as u64);
        // The compiler may merge handlers that do the same: then the first name is used for all.
        addresses.zip(Opcode::ALL.iter().copied()).rev().collect()
    });
    let units = code[..HEAD].iter().rev();
    OPCODES[&units.fold(0, |address, unit| address << 16 | u64::from(*unit))]
}

/// Code is run as the translator wrote it.
#[cfg(not(all(tail_dispatch, not(debug_assertions))))]
pub(crate) fn link(_code: &mut [u16]) {}

/// The instruction that begins here.
#[cfg(not(all(tail_dispatch, not(debug_assertions))))]
pub(crate) fn opcode(code: &[u16]) -> Opcode {
    Opcode::ALL[usize::from(code[0])]
}

/// Runs interpreted code from the frame that the store says is innermost, until it returns to whoever is
/// no interpreted code, or something else needs the runtime. Returns one of
/// [`wardian_vm::interpreted::exit`].
///
/// # Safety
///
/// `store` runs on this thread. Its `interp_fp` is a frame of code that a [`crate::Translator`] made for
/// the module of the frame's instance, and the frame's ip is in that code.
pub unsafe extern "C" fn execute(store: *mut StoreCtx) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let fp = (*store).interp_fp.as_ptr::<u64>();
        let state = State {
            at: std::ptr::null(),
            ip: *fp.offset(header::IP) as *const u16,
            fp,
            base: std::ptr::dangling_mut(),
            len: 0,
            vmctx: VmCtxPtr::from_usize(*fp.offset(header::VMCTX) as usize),
            acc: 0,
            double: 0.0,
            single: 0.0,
            #[cfg(not(all(tail_dispatch, not(debug_assertions))))]
            place: std::ptr::null_mut(),
        };
        run(state.with_memory0())
    }
}

/// # Safety
///
/// The state is that of a frame.
#[cfg(all(tail_dispatch, not(debug_assertions)))]
unsafe fn run(state: State) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { state.go() }
}

/// # Safety
///
/// The state is that of a frame.
#[cfg(not(all(tail_dispatch, not(debug_assertions))))]
unsafe fn run(mut state: State) -> u64 {
    loop {
        let State { ip, fp, base, len, vmctx, acc, double, single, .. } = state;
        // SAFETY: the caller's promise, and every handler leaves a state of which it is true again.
        let status = unsafe {
            let handler = HANDLERS[usize::from(*ip)];
            (handler.0)(ip, fp, base, len, vmctx, acc, double, single, &raw mut state)
        };
        if status != state::CONTINUE {
            return status;
        }
    }
}

// SAFETY: its code and its record are written before it is shared, but for the countdown, which is
// atomic; the address in the record is that of the code, which lives as long.
unsafe impl Send for crate::Translation {}
// SAFETY: as above.
unsafe impl Sync for crate::Translation {}
