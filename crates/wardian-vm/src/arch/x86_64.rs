//! Switching stacks on x86-64. Guests and stubs speak System V; under Windows the stubs translate where they call Rust.
//!
//! ```text
//!  embedder's stack                          wasm stack
//!  ┌──────────────────────────┐              ┌──────────────────────────┐ sp given to enter
//!  │ frame of Rust caller     │              │ store, padding           │
//!  │ return address           │              │ return into enter        │
//!  │ rbp rbx r12 r13 r14 r15  │  pushed by   │ frame of the trampoline  │
//!  │ previous host_sp         │  enter       │ frames of guest functions│
//!  ├──────────────────────────┤ <- host_sp   │ frame of host trampoline │
//!  │ frames of host function  │              │ return address           │
//!  │ or builtin (Rust)        │              │ rbp rbx r12 r13 r14 r15  │ pushed by a stub
//!  │                          │              │ six slots                │
//!  └──────────────────────────┘              └──────────────────────────┘ <- wasm_sp
//! ```
//!
//! Guest code preserves the callee-saved registers of C, so a stub, by which a guest calls the host, saves them on the
//! wasm stack: all of a guest's state at a call is then in `[wasm_sp, sp given to enter)`. On the way back
//! they need not be read again, because Rust kept them too, except for `rbx`, which the stub itself uses;
//! only `resume` reads them all. Even the stack pointer is restored from `rbp`: to read it from memory, just
//! written, would cost a nanosecond.
//!
//! Most host functions have a few integer parameters and at most one result: those are called
//! through a `direct` stub, which does the work of the trampoline too. It saves a call and its return.
//!
//! Leaving (`exit`) needs only `rbx = store` and `rax = status`: it drops the wasm frames by taking
//! `host_sp` again. Signal handlers leave in the same way from any instruction of guest code.

use super::ReturnAddress;
use crate::addr::{CodeAddr, StackAddr, VmCtxPtr};
use crate::callee_saved::CalleeSaved;
use crate::layout::{Builtin, StoreCtx, WasmSp};
use std::arch::naked_asm;
use std::mem::offset_of;

mod cfi;
mod convention;

/// Puts the callee-saved registers, and the host stack pointer before, on the embedder's stack; `rdi` = store.
macro_rules! keep_host {
    () => {
        ".cfi_startproc
         .cfi_signal_frame
         push rbp
         .cfi_def_cfa_offset 16
         push rbx
         .cfi_def_cfa_offset 24
         push r12
         .cfi_def_cfa_offset 32
         push r13
         .cfi_def_cfa_offset 40
         push r14
         .cfi_def_cfa_offset 48
         push r15
         .cfi_def_cfa_offset 56
         push qword ptr [rdi]
         .cfi_def_cfa_offset 64
         .cfi_offset rbp, -16
         .cfi_offset rbx, -24
         .cfi_offset r12, -32
         .cfi_offset r13, -40
         .cfi_offset r14, -48
         .cfi_offset r15, -56
         mov [rdi], rsp"
    };
}

/// Makes a frame on the wasm stack with the callee-saved registers, and six slots. The last is written to: if the
/// stack ends here that must show now, in a stub, and not when the host, on its own stack, writes a
/// result.
macro_rules! keep_guest {
    () => {
        ".cfi_startproc
         .cfi_signal_frame
         push rbp
         .cfi_def_cfa_offset 16
         .cfi_offset rbp, -16
         mov rbp, rsp
         .cfi_def_cfa_register rbp
         push rbx
         push r12
         push r13
         push r14
         push r15
         .cfi_offset rbx, -24
         .cfi_offset r12, -32
         .cfi_offset r13, -40
         .cfi_offset r14, -48
         .cfi_offset r15, -56
         sub rsp, 40
         push rax"
    };
}

/// Takes the embedder's stack; `rdi` = what begins with the store, which goes to `rbx`.
macro_rules! to_host {
    () => {
        concat!(
            "mov rbx, [rdi]
             mov [rbx + {wasm_sp}], rsp
             mov rsp, [rbx]\n",
            cfi::note_entry!()
        )
    };
}

/// Goes back into the guest if the flags say zero, else leaves it.
macro_rules! to_guest {
    () => {
        "jnz 2f
         mov rbx, [rbp - 8]
         .cfi_remember_state
         leave
         .cfi_def_cfa rsp, 8
         ret
         2:
         .cfi_restore_state
         mov eax, 1
         jmp {exit}
         .cfi_endproc"
    };
}

mod bytes;
mod interpreted;
mod poll;
#[cfg(unix)]
mod registers;

#[cfg(windows)]
pub(crate) use super::unread::Registers;
#[cfg(unix)]
pub(crate) use registers::Registers;

pub(crate) use interpreted::{
    ENTRIES, closed_stub, enter_segment, entry_offset, host_entry, interpreted_entries,
    interpreted_stub, is_preparing, returns_in_memory,
};

/// Calls `trampoline(ctx, code, args)` on the wasm stack at `sp`; returns a status.
///
/// # Safety
///
/// `store` must be valid and its wasm stack have room below `sp`, which is a multiple of 16;
/// `trampoline`, `code`, `ctx` and `args` must fit each other as the layout says.
// Naked functions may be dropped by link-time optimisation when they are referred to from other
// crates (rust issue 148307); the wrapper keeps every reference in this module.
#[inline(never)]
pub(crate) unsafe fn enter(
    store: *mut StoreCtx,
    ctx: VmCtxPtr,
    code: CodeAddr,
    args: *mut u64,
    trampoline: CodeAddr,
    sp: StackAddr,
) -> u64 {
    // SAFETY: the caller's promise is the same.
    unsafe { enter_naked(store, ctx, code, args, trampoline, sp) }
}

#[unsafe(naked)]
unsafe extern "sysv64" fn enter_naked(
    _store: *mut StoreCtx,
    _ctx: VmCtxPtr,
    _code: CodeAddr,
    _args: *mut u64,
    _trampoline: CodeAddr,
    _sp: StackAddr,
) -> u64 {
    naked_asm!(
        keep_host!(),
        "mov rsp, r9",
        cfi::entry_by_store!("rdi"),
        "push rdi",
        "push rdi",
        cfi::entry_by_stack!(),
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        // A zero frame pointer ends the chain of this entry.
        "xor ebp, ebp",
        "call r8",
        "mov rbx, [rsp]",
        "xor eax, eax",
        "jmp {exit}",
        ".cfi_endproc",
        exit = sym exit,
    )
}

/// Continues a wasm stack at `wasm_sp`, left by a host function that asked to be suspended.
///
/// # Safety
///
/// The stack must have been left so, in this store, and not been resumed since.
#[inline(never)]
pub(crate) unsafe fn resume(store: *mut StoreCtx) -> u64 {
    // SAFETY: the caller's promise is the same.
    unsafe { resume_naked(store) }
}

#[unsafe(naked)]
unsafe extern "sysv64" fn resume_naked(_store: *mut StoreCtx) -> u64 {
    naked_asm!(
        keep_host!(),
        "mov rsp, [rdi + {wasm_sp}]",
        cfi::entry_by_store!("rdi"),
        // If a direct stub or a builtin's left it, these are its result; otherwise nobody looks.
        "mov rax, [rsp]",
        "movsd xmm0, [rsp]",
        "add rsp, 48",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        ".cfi_endproc",
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
    )
}

/// Size of the frame that a stub makes, with its return address.
const STUB: usize = RECORD + 16;

/// See [`crate::callee_saved`]: `rbx`, `r12` to `r15`. A stub saves them in descending order of addresses.
pub(crate) const CALLEE_SAVED: [u8; 5] = [3, 12, 13, 14, 15];

/// The values of [`CALLEE_SAVED`] that a stub has saved when the guest stands there.
///
/// # Safety
///
/// A guest stands there, left by a stub that saves them: any but those that notify listeners.
pub(crate) unsafe fn saved_by_stub(stands: WasmSp) -> CalleeSaved {
    // SAFETY: the caller's promise.
    std::array::from_fn(|i| unsafe { *stands.sp().above(RECORD).as_ptr::<usize>().sub(i + 1) })
}

/// Writes the frame of a stub right below `sp`: [`resume`] leaves it to `pc`, with this stack pointer, the
/// frame pointer `fp`, these values in the callee-saved registers, and `payload` in `rax`. Returns where the
/// guest stands then.
///
/// # Safety
///
/// The stack below `sp` is free and can be written.
pub(crate) unsafe fn write_landing(
    _store: *mut StoreCtx,
    sp: StackAddr,
    fp: StackAddr,
    pc: CodeAddr,
    payload: u64,
    kept: &CalleeSaved,
) -> WasmSp {
    const AT: usize = RECORD / size_of::<usize>();
    let start = sp.below(STUB);
    let mut frame = [0; STUB / size_of::<usize>()];
    frame[0] = payload as usize;
    for (i, value) in kept.iter().enumerate() {
        frame[AT - 1 - i] = *value;
    }
    frame[AT] = fp.as_usize();
    frame[AT + 1] = pc.as_usize();
    // SAFETY: the caller's promise.
    unsafe { start.as_ptr::<[usize; STUB / size_of::<usize>()]>().write(frame) };
    WasmSp::compiled(start)
}

/// In: `rbx` = store, `rax` = status. Drops the wasm frames and returns from `enter`.
#[unsafe(naked)]
unsafe extern "C" fn exit() {
    naked_asm!(
        ".cfi_startproc
         .cfi_signal_frame",
        cfi::entry_by_store!("rbx"),
        ".cfi_offset rbp, -16
         .cfi_offset rbx, -24
         .cfi_offset r12, -32
         .cfi_offset r13, -40
         .cfi_offset r14, -48
         .cfi_offset r15, -56
         mov rsp, [rbx]
         .cfi_def_cfa rsp, 64
         pop qword ptr [rbx]
         .cfi_def_cfa_offset 56
         pop r15
         .cfi_def_cfa_offset 48
         pop r14
         .cfi_def_cfa_offset 40
         pop r13
         .cfi_def_cfa_offset 32
         pop r12
         .cfi_def_cfa_offset 24
         pop rbx
         .cfi_def_cfa_offset 16
         pop rbp
         .cfi_def_cfa_offset 8
         ret
         .cfi_endproc",
    )
}

/// How far above `wasm_sp` the frame record of the caller lies: slots and five registers.
pub(crate) const RECORD: usize = 48 + 40;

/// Guest calls host: `rdi` = [`crate::layout::HostFunc`], `rsi` = slots.
#[unsafe(naked)]
unsafe extern "C" fn host_stub_naked() {
    naked_asm!(
        keep_guest!(),
        to_host!(),
        convention::call_host!("[rdi + {dispatch}]"),
        // A host function that succeeds still ends the guest if it is to be stopped.
        "or rax, [rbx + {interrupt}]",
        to_guest!(),
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        interrupt = const offset_of!(StoreCtx, interrupt),
        dispatch = const offset_of!(crate::layout::HostFunc, dispatch),
        exit = sym exit,
    )
}

/// Guest calls a host function with `N` integer parameters and at most one result: in the Tail
/// convention, whose registers are those of C.
#[unsafe(naked)]
unsafe extern "C" fn direct_stub_naked<const N: usize>() {
    naked_asm!(
        keep_guest!(),
        ".if {n} > 0",
        "mov [rsp], rsi",
        ".endif",
        ".if {n} > 1",
        "mov [rsp + 8], rdx",
        ".endif",
        ".if {n} > 2",
        "mov [rsp + 16], rcx",
        ".endif",
        ".if {n} > 3",
        "mov [rsp + 24], r8",
        ".endif",
        ".if {n} > 4",
        "mov [rsp + 32], r9",
        ".endif",
        "mov rsi, rsp",
        to_host!(),
        convention::call_host!("[rdi + {dispatch}]"),
        "or rax, [rbx + {interrupt}]",
        // The result is in one of the two, if there is one; neither changes the flags.
        "mov rax, [rbp - {record}]",
        "movsd xmm0, [rbp - {record}]",
        to_guest!(),
        n = const N,
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        interrupt = const offset_of!(StoreCtx, interrupt),
        dispatch = const offset_of!(crate::layout::HostFunc, dispatch),
        record = const RECORD,
        exit = sym exit,
    )
}

/// Address of the code by which a guest calls a host function with so many parameters, all of them
/// integers or references, and at most one result that is no vector.
#[inline(never)]
pub(crate) fn direct_stub(params: usize) -> Option<CodeAddr> {
    let stub = match params {
        0 => direct_stub_naked::<0> as *const (),
        1 => direct_stub_naked::<1> as *const (),
        2 => direct_stub_naked::<2> as *const (),
        3 => direct_stub_naked::<3> as *const (),
        4 => direct_stub_naked::<4> as *const (),
        5 => direct_stub_naked::<5> as *const (),
        _ => return None,
    };
    Some(CodeAddr::of(stub))
}

/// Guest calls builtin `N`: `rdi` = instance, arguments in the registers of the C convention.
#[unsafe(naked)]
unsafe extern "C" fn builtin_stub_naked<const N: usize>() {
    naked_asm!(
        keep_guest!(),
        to_host!(),
        "mov rax, [rbx + {builtins}]",
        convention::call_host!("[rax + 8 * {n}]"),
        // For a guest that is resumed because it was interrupted in vain.
        "mov [rbp - {record}], rax",
        "mov rcx, [rbx + {end}]",
        "or rcx, [rbx + {interrupt}]",
        to_guest!(),
        n = const N,
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        interrupt = const offset_of!(StoreCtx, interrupt),
        builtins = const offset_of!(StoreCtx, builtins),
        end = const offset_of!(StoreCtx, exit),
        record = const RECORD,
        exit = sym exit,
    )
}

/// The guest notifies listeners, by builtin `N`: `rdi` = [`crate::layout::Listened`]. Listeners neither enter
/// guests nor suspend this one, so callee-saved registers keep their values; `wasm_sp` is such that the frame
/// record is where other stubs have theirs. The builtin returns zero, or the store if the guest is to end.
#[unsafe(naked)]
unsafe extern "C" fn listen_stub_naked<const N: usize>() {
    naked_asm!(
        ".cfi_startproc
         .cfi_signal_frame
         push rbp
         .cfi_def_cfa_offset 16
         .cfi_offset rbp, -16
         mov rbp, rsp
         .cfi_def_cfa_register rbp
         mov rax, [rdi]
         lea r11, [rsp - {record}]
         mov [rax + {wasm_sp}], r11
         mov rsp, [rax]",
        cfi::note_entry!(),
        "mov rax, [rax + {builtins}]",
        convention::call_host!("[rax + 8 * {n}]"),
        "test rax, rax
         jnz 2f
         .cfi_remember_state
         leave
         .cfi_def_cfa rsp, 8
         ret
         2:
         .cfi_restore_state
         mov rbx, rax
         mov eax, 1
         jmp {exit}
         .cfi_endproc",
        n = const N,
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        builtins = const offset_of!(StoreCtx, builtins),
        record = const RECORD,
        exit = sym exit,
    )
}

const BEFORE: usize = Builtin::ListenBefore as usize;
const AFTER: usize = Builtin::ListenAfter as usize;
const TAIL: usize = Builtin::ListenTail as usize;

/// Address of the code by which a guest calls a host function.
#[inline(never)]
pub(crate) fn host_stub() -> CodeAddr {
    CodeAddr::of(host_stub_naked as *const ())
}

/// Addresses of the code by which a guest calls each builtin.
#[inline(never)]
pub(crate) fn builtin_stubs() -> [CodeAddr; Builtin::COUNT] {
    macro_rules! stubs {
        ($($n:literal)*) => { [$(CodeAddr::of(builtin_stub_naked::<$n> as *const ())),*] };
    }
    let mut stubs = stubs!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24
        25 26 27 28 29 30 31 32 33 34 35 36 37 38);
    stubs[BEFORE] = CodeAddr::of(listen_stub_naked::<BEFORE> as *const ());
    stubs[AFTER] = CodeAddr::of(listen_stub_naked::<AFTER> as *const ());
    stubs[TAIL] = CodeAddr::of(listen_stub_naked::<TAIL> as *const ());
    stubs[Builtin::Checkpoint as usize] = poll::checkpoint_stub();
    stubs[Builtin::MoveBytes as usize] = bytes::move_stub();
    stubs[Builtin::FillBytes as usize] = bytes::fill_stub();
    stubs
}

/// Size of `push rbp; mov rbp, rsp`, with which every function begins.
const PROLOGUE: usize = 4;

/// A function's return address if `offset` bytes of it have run and it has not yet set up its frame: then the
/// frame pointer is still its caller's.
pub(crate) fn return_address(
    offset: usize,
    sp: StackAddr,
    _link: CodeAddr,
) -> Option<ReturnAddress> {
    match offset {
        0 => Some(ReturnAddress::At(sp)),
        1..PROLOGUE => Some(ReturnAddress::At(sp.above(8))),
        _ => None,
    }
}

/// Makes new code visible to all cores, which here is so once it is written: they keep their instruction caches
/// coherent, and the change of rights before it interrupts those that run this process.
pub(crate) fn publish_instructions(_start: CodeAddr, _len: usize) {}

/// Whether guests can be compiled for this processor.
pub(crate) const COMPILED_CODE: bool = true;

/// Faults are precise: a store across two pages writes neither if one of them is missing.
pub(crate) const STORES_IN_PARTS: bool = false;
