//! Processors for which no code is generated: guests are interpreted, by Rust code that stays on the embedder's stack.
//!
//! ```text
//!  embedder's stack                          wasm stack of the store
//!  ┌──────────────────────────┐              ┌──────────────────────────┐
//!  │ frame of Rust caller     │              │ never used               │
//!  │ activation::run          │              ├──────────────────────────┤ <- stack_top, wasm_sp of an entry
//!  │ the loop of the runtime  │  reads and   │ interpreted frame        │
//!  │ the executor             │ ──────────>  │ interpreted frame        │    grow up; slots of eight bytes
//!  │ host function, builtin   │  writes      │ ...                      │
//!  └──────────────────────────┘              └──────────────────────────┘ <- interp_limit
//! ```
//!
//! The stack pointer is never switched, so there is no assembly here, and nothing depends on the width of a pointer or
//! on how a processor calls. A guest is entered with [`super::status::START`] and resumed with [`super::status::RESUME`]; both lead to
//! the store's `interpret` (`crate::activation`), before any verb of this file. What a resumed guest needs is in
//! its frames, as everywhere: what the executor had on the embedder's stack is gone when it returns.
//!
//! **Why the verbs that enter code cannot be reached.** Each needs the address of code: of a compiled function, a
//! trampoline, an entry. Such addresses come from an engine that compiles, and there is none where
//! [`crate::code_memory::may_execute`] fails, as it always does here. The other source are the addresses below, of [`no_code`], which
//! stand where compiled code would read what to call; interpreted code decides by the target words beside them. An
//! engine that was wrong about this would get to a Rust function that ends the process with a message: no undefined
//! behaviour, and no silent one.
//!
//! **Signals.** Faults are never those of guests: the executor checks each access, and its frames against
//! `interp_limit`. So a handler needs no register; all of them read as zero, which is no address of code and not on a
//! wasm stack. Samples are of interpreted frames, which the store leads to. A handler that interrupts another one
//! cannot be recognised by the stack pointer here and samples all the same, which is right: the fields of the store
//! that lead to the frames are those that the executor wrote before the first of the handlers came.

use super::ReturnAddress;
pub(crate) use super::unread::Registers;
use crate::addr::{CodeAddr, StackAddr, VmCtxPtr};
use crate::callee_saved::CalleeSaved;
use crate::entries::EntryIndex;
use crate::layout::{Builtin, InterpretedIndex, StoreCtx, WasmSp};
use wardian_types::ValType;

/// Whether guests can be compiled for this processor.
pub(crate) const COMPILED_CODE: bool = false;

/// What stands where compiled code would find an address to call.
extern "C" fn no_code() -> ! {
    // A panic would be allowed to unwind to a caller that is no Rust code.
    let why = "wardian: code for this processor was called, but there is none; this is a bug\n";
    let _ = std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes());
    std::process::abort()
}

fn address() -> CodeAddr {
    CodeAddr::of(no_code as *const ())
}

/// # Safety
///
/// None: ends the process.
pub(crate) unsafe fn enter(
    _store: *mut StoreCtx,
    _ctx: VmCtxPtr,
    _code: CodeAddr,
    _args: *mut u64,
    _trampoline: CodeAddr,
    _sp: StackAddr,
) -> u64 {
    no_code()
}

/// # Safety
///
/// None: ends the process.
pub(crate) unsafe fn enter_segment(
    _store: *mut StoreCtx,
    _ctx: VmCtxPtr,
    _code: CodeAddr,
    _args: *mut u64,
    _trampoline: CodeAddr,
    _sp: StackAddr,
) -> u64 {
    no_code()
}

/// # Safety
///
/// None: ends the process.
pub(crate) unsafe fn resume(_store: *mut StoreCtx) -> u64 {
    no_code()
}

/// # Safety
///
/// None: ends the process.
pub(crate) unsafe fn write_landing(
    _store: *mut StoreCtx,
    _sp: StackAddr,
    _fp: StackAddr,
    _pc: CodeAddr,
    _payload: u64,
    _kept: &CalleeSaved,
) -> WasmSp {
    no_code()
}

/// No compiled code, so no registers of it.
pub(crate) const CALLEE_SAVED: [u8; 0] = [];

/// # Safety
///
/// None.
pub(crate) unsafe fn saved_by_stub(_stands: WasmSp) -> CalleeSaved {
    []
}

/// Where a frame record would be, if there were compiled frames: their chain is empty.
pub(crate) const RECORD: usize = 0;
/// How many entries [`interpreted_entries`] would make.
pub(crate) const ENTRIES: u32 = 1 << 16;
/// No store of compiled code.
pub(crate) const STORES_IN_PARTS: bool = false;

pub(crate) fn host_stub() -> CodeAddr {
    address()
}

pub(crate) fn host_entry(_in_memory: bool) -> CodeAddr {
    address()
}

pub(crate) fn closed_stub(_in_memory: bool) -> CodeAddr {
    address()
}

pub(crate) fn interpreted_stub() -> CodeAddr {
    address()
}

pub(crate) fn direct_stub(_params: usize) -> Option<CodeAddr> {
    None
}

pub(crate) fn builtin_stubs() -> [CodeAddr; Builtin::COUNT] {
    [address(); Builtin::COUNT]
}

pub(crate) fn is_preparing(_pc: CodeAddr) -> bool {
    false
}

pub(crate) fn returns_in_memory(_results: &[ValType]) -> bool {
    false
}

/// No code: nobody compiled calls an interpreted function.
pub(crate) fn interpreted_entries(_first: InterpretedIndex, _in_memory: bool) -> Vec<u8> {
    Vec::new()
}

pub(crate) fn entry_offset(_index: EntryIndex) -> usize {
    0
}

pub(crate) fn return_address(
    _offset: usize,
    _sp: StackAddr,
    _link: CodeAddr,
) -> Option<ReturnAddress> {
    None
}

/// Nothing is ever published.
pub(crate) fn publish_instructions(_start: CodeAddr, _len: usize) {}
