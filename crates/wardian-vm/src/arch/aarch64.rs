//! Switching stacks on 64-bit ARM (AAPCS64).
//!
//! ```text
//!  embedder's stack                          wasm stack
//!  ┌──────────────────────────┐              ┌──────────────────────────┐ sp given to enter
//!  │ frame of Rust caller     │              │ store, padding           │
//!  │ x19..x30, d8..d15        │  pushed by   │ frame of the trampoline  │
//!  │ previous host_sp, padding│  enter       │ frames of guest functions│
//!  ├──────────────────────────┤ <- host_sp   │ frame of host trampoline │
//!  │ frames of host function  │              │ x19..x30, d8..d15        │
//!  └──────────────────────────┘              └──────────────────────────┘ <- wasm_sp
//! ```
//!
//! See `x86_64.rs` for the why; the verbs are the same. `x19 = store` and `x0 = status` leave.

use super::status;
use crate::addr::{CodeAddr, StackAddr, VmCtxPtr};
use crate::entries::EntryIndex;
use crate::layout::{Builtin, HostFunc, InterpretedFunc, InterpretedIndex, StoreCtx};
use std::arch::naked_asm;
use std::mem::offset_of;
use wardian_types::ValType;

mod caches;
mod landing;
mod poll;
mod registers;

pub(crate) use caches::publish_instructions;
pub(crate) use landing::{CALLEE_SAVED, saved_by_stub, write_landing};
pub(crate) use registers::{Registers, return_address};

/// Whether guests can be compiled for this processor.
pub(crate) const COMPILED_CODE: bool = true;

/// A store across two pages may be made as several, of which the first has been done when another faults.
pub(crate) const STORES_IN_PARTS: bool = true;

/// Calls `trampoline(ctx, code, args)` on the wasm stack at `sp`; returns a status.
///
/// # Safety
///
/// As on x86-64.
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

macro_rules! save {
    () => {
        "stp x29, x30, [sp, #-176]!
         stp x19, x20, [sp, #16]
         stp x21, x22, [sp, #32]
         stp x23, x24, [sp, #48]
         stp x25, x26, [sp, #64]
         stp x27, x28, [sp, #80]
         stp d8, d9, [sp, #96]
         stp d10, d11, [sp, #112]
         stp d12, d13, [sp, #128]
         stp d14, d15, [sp, #144]
         ldr x9, [x0]
         str x9, [sp, #160]
         mov x9, sp
         str x9, [x0]"
    };
}

#[unsafe(naked)]
unsafe extern "C" fn enter_naked(
    _store: *mut StoreCtx,
    _ctx: VmCtxPtr,
    _code: CodeAddr,
    _args: *mut u64,
    _trampoline: CodeAddr,
    _sp: StackAddr,
) -> u64 {
    naked_asm!(
        save!(),
        "mov sp, x5",
        "str x0, [sp, #-16]!",
        "mov x0, x1",
        "mov x1, x2",
        "mov x2, x3",
        // A zero frame pointer ends the chain of this entry.
        "mov x29, xzr",
        "blr x4",
        "ldr x19, [sp]",
        "mov x0, xzr",
        "b {exit}",
        exit = sym exit,
    )
}

/// Continues a wasm stack at `wasm_sp`.
///
/// # Safety
///
/// As on x86-64.
#[inline(never)]
pub(crate) unsafe fn resume(store: *mut StoreCtx) -> u64 {
    // SAFETY: the caller's promise is the same.
    unsafe { resume_naked(store) }
}

#[unsafe(naked)]
unsafe extern "C" fn resume_naked(_store: *mut StoreCtx) -> u64 {
    naked_asm!(
        save!(),
        "ldr x9, [x0, #{wasm_sp}]",
        "mov sp, x9",
        // If a builtin's stub left it, this is what the builtin returned.
        "ldr x0, [x0, #{result}]",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #160",
        "ret",
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        result = const offset_of!(StoreCtx, result),
    )
}

/// Calls `trampoline(ctx, code, args)` for the interpreted frame at the store's `interp_fp`.
///
/// # Safety
///
/// As on x86-64.
#[inline(never)]
pub(crate) unsafe fn enter_segment(
    store: *mut StoreCtx,
    ctx: VmCtxPtr,
    code: CodeAddr,
    args: *mut u64,
    trampoline: CodeAddr,
    sp: StackAddr,
) -> u64 {
    // SAFETY: the caller's promise is the same.
    unsafe { enter_segment_naked(store, ctx, code, args, trampoline, sp) }
}

#[unsafe(naked)]
unsafe extern "C" fn enter_segment_naked(
    _store: *mut StoreCtx,
    _ctx: VmCtxPtr,
    _code: CodeAddr,
    _args: *mut u64,
    _trampoline: CodeAddr,
    _sp: StackAddr,
) -> u64 {
    naked_asm!(
        save!(),
        "mov sp, x5",
        "ldr x29, [x0, #{interp_fp}]",
        "stp x0, x29, [sp, #-16]!",
        "mov x0, x1",
        "mov x1, x2",
        "mov x2, x3",
        "blr x4",
        "ldp x19, x0, [sp]",
        "mov x9, sp",
        "str x9, [x19, #{wasm_sp}]",
        "b {exit}",
        interp_fp = const offset_of!(StoreCtx, interp_fp),
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        exit = sym exit,
    )
}

/// In: `x19` = store, `x0` = status. Drops the wasm frames and returns from `enter`.
#[unsafe(naked)]
unsafe extern "C" fn exit() {
    naked_asm!(
        "ldr x9, [x19]",
        "mov sp, x9",
        "ldr x9, [sp, #160]",
        "str x9, [x19]",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #176",
        "ret",
    )
}

/// How far above `wasm_sp` the frame record of the caller lies: it is the lowest.
pub(crate) const RECORD: usize = 0;

/// Guest calls host: `x0` = host function, `x1` = slots.
#[unsafe(naked)]
unsafe extern "C" fn host_stub_naked() {
    naked_asm!(
        "stp x29, x30, [sp, #-160]!",
        "mov x29, sp",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "ldr x19, [x0]",
        "str x29, [x19, #{wasm_sp}]",
        "ldr x9, [x19]",
        "mov sp, x9",
        "ldr x9, [x0, #{dispatch}]",
        "blr x9",
        "ldr x9, [x19, #{interrupt}]",
        "orr x0, x0, x9",
        "cbnz x0, 2f",
        "ldr x9, [x19, #{wasm_sp}]",
        "mov sp, x9",
        "ldp x19, x20, [sp, #16]",
        "ldp x29, x30, [sp], #160",
        "ret",
        "2:",
        "mov x0, #1",
        "b {exit}",
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        interrupt = const offset_of!(StoreCtx, interrupt),
        dispatch = const offset_of!(crate::layout::HostFunc, dispatch),
        exit = sym exit,
    )
}

/// Guest calls an interpreted function: `x0` = [`InterpretedFunc`], `x1` = slots. As on x86-64.
#[unsafe(naked)]
unsafe extern "C" fn interpreted_stub_naked() {
    naked_asm!(
        "stp x29, x30, [sp, #-160]!",
        "mov x29, sp",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "ldr x19, [x0]",
        "str x29, [x19, #{wasm_sp}]",
        "str x0, [x19, #{callee}]",
        "str x1, [x19, #{callee_slots}]",
        "mov x0, #{interpret}",
        "b {exit}",
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        callee = const offset_of!(StoreCtx, callee),
        callee_slots = const offset_of!(StoreCtx, callee_slots),
        interpret = const status::INTERPRET,
        exit = sym exit,
    )
}

/// Keeps all that the Tail convention passes in registers, `x8`, which is the address for results that do
/// not fit into registers, and `x16`, on the wasm stack.
macro_rules! keep_arguments {
    () => {
        "stp x29, x30, [sp, #-224]!
         mov x29, sp
         stp x0, x1, [sp, #16]
         stp x2, x3, [sp, #32]
         stp x4, x5, [sp, #48]
         stp x6, x7, [sp, #64]
         stp x16, x8, [sp, #80]
         stp q0, q1, [sp, #96]
         stp q2, q3, [sp, #128]
         stp q4, q5, [sp, #160]
         stp q6, q7, [sp, #192]"
    };
}

/// Takes back what `keep_arguments` kept.
macro_rules! restore_arguments {
    () => {
        "ldp x0, x1, [sp, #16]
         ldp x2, x3, [sp, #32]
         ldp x4, x5, [sp, #48]
         ldp x6, x7, [sp, #64]
         ldp x16, x8, [sp, #80]
         ldp q0, q1, [sp, #96]
         ldp q2, q3, [sp, #128]
         ldp q4, q5, [sp, #160]
         ldp q6, q7, [sp, #192]
         ldp x29, x30, [sp], #224"
    };
}

/// Bytes of each function that has a frame while the runtime prepares the callee, as on x86-64.
const GLUE: usize = 256;

/// Whether an address is in code that calls the runtime to prepare a callee.
pub(crate) fn is_preparing(pc: CodeAddr) -> bool {
    let glue = [
        CodeAddr::of(interpreted_entry_naked as *const ()),
        CodeAddr::of(host_entry_naked as *const ()),
    ];
    glue.iter().any(|start| pc.bytes_from(*start) < GLUE)
}

/// Guest calls an interpreted function: `x2` = instance (the Tail convention's first parameter), `w16` =
/// position in its table of interpreted functions. As on x86-64.
#[unsafe(naked)]
unsafe extern "C" fn interpreted_entry_naked() {
    naked_asm!(
        "3:",
        "ldr x17, [x2, #{interpreted}]",
        "ldr x17, [x17, x16, lsl #3]",
        "cbz x17, 2f",
        "mov x2, x17",
        "ldr x17, [x17, #{trampoline}]",
        "br x17",
        "2:",
        keep_arguments!(),
        "mov x0, x2",
        "mov w1, w16",
        "bl {prepare}",
        restore_arguments!(),
        "b 3b",
        ".skip {glue} - (. - 3b), 0",
        glue = const GLUE,
        interpreted = const crate::layout::instance::INTERPRETED,
        trampoline = const offset_of!(InterpretedFunc, trampoline),
        prepare = sym builtin_stub_naked::<{ Builtin::Prepare as usize }>,
    )
}

/// Guest calls a host function whose signature may have no trampoline yet: `x2` = [`HostFunc`].
#[unsafe(naked)]
unsafe extern "C" fn host_entry_naked() {
    naked_asm!(
        "3:",
        "ldr x17, [x2, #{trampoline}]",
        "cbz x17, 2f",
        "br x17",
        "2:",
        keep_arguments!(),
        "mov x0, x2",
        "bl {prepare}",
        restore_arguments!(),
        "b 3b",
        ".skip {glue} - (. - 3b), 0",
        glue = const GLUE,
        trampoline = const offset_of!(HostFunc, trampoline),
        prepare = sym builtin_stub_naked::<{ Builtin::PrepareHost as usize }>,
    )
}

/// Address of the code by which a guest calls host functions whose signature may have no trampoline yet.
pub(crate) fn host_entry(_in_memory: bool) -> CodeAddr {
    CodeAddr::of(host_entry_naked as *const ())
}

/// Guest calls a function of a closed instance: `x2` = instance.
#[unsafe(naked)]
unsafe extern "C" fn closed_naked() {
    naked_asm!(
        "mov x0, x2",
        "b {closed}",
        closed = sym builtin_stub_naked::<{ Builtin::Closed as usize }>,
    )
}

/// Address of the code by which a guest calls functions of closed instances.
pub(crate) fn closed_stub(_in_memory: bool) -> CodeAddr {
    CodeAddr::of(closed_naked as *const ())
}

/// Here the address for results that do not fit into registers has a register of its own, and parameters
/// are where they always are.
pub(crate) fn returns_in_memory(_results: &[ValType]) -> bool {
    false
}

/// How many entries [`interpreted_entries`] makes: with the address behind them they fill pages.
pub(crate) const ENTRIES: u32 = 4095;

/// Where one of the entries begins.
pub(crate) fn entry_offset(index: EntryIndex) -> usize {
    index.index() * 16
}

/// Code by which compiled code calls interpreted functions of any instance: for every second position from
/// the first one, sets the position and jumps to the common part.
pub(crate) fn interpreted_entries(first: InterpretedIndex, _in_memory: bool) -> Vec<u8> {
    let mut code = Vec::with_capacity(entry_offset(EntryIndex::from_u32(ENTRIES)) + 8);
    for i in 0..ENTRIES {
        let position = first.as_u32() + 2 * i;
        // The address follows the last one, counted in words from the load.
        let distance = ((ENTRIES - i) * 16 - 8) / 4;
        let words = [
            0x5280_0010 | ((position & 0xffff) << 5), // movz w16, position
            0x72a0_0010 | ((position >> 16) << 5),    // movk w16, position >> 16, lsl 16
            0x5800_0011 | (distance << 5),            // ldr x17, address
            0xd61f_0220,                              // br x17
        ];
        words.iter().for_each(|word| code.extend_from_slice(&word.to_le_bytes()));
    }
    code.extend_from_slice(&(interpreted_entry_naked as *const () as u64).to_le_bytes());
    code
}

/// Address of the code by which trampolines leave to the interpreter.
pub(crate) fn interpreted_stub() -> CodeAddr {
    CodeAddr::of(interpreted_stub_naked as *const ())
}

/// Here the Tail convention passes parameters in other registers than C, so a trampoline is needed.
pub(crate) fn direct_stub(_params: usize) -> Option<CodeAddr> {
    None
}

/// Guest calls builtin `N`: `x0` = instance, arguments in the registers of the C convention.
#[unsafe(naked)]
unsafe extern "C" fn builtin_stub_naked<const N: usize>() {
    naked_asm!(
        "stp x29, x30, [sp, #-160]!",
        "mov x29, sp",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "ldr x19, [x0]",
        "str x29, [x19, #{wasm_sp}]",
        "ldr x9, [x19]",
        "mov sp, x9",
        "ldr x9, [x19, #{builtins}]",
        "ldr x9, [x9, #8 * {n}]",
        "blr x9",
        // For a guest that is resumed because it was interrupted in vain.
        "str x0, [x19, #{result}]",
        "ldr x9, [x19, #{end}]",
        "ldr x10, [x19, #{interrupt}]",
        "orr x9, x9, x10",
        "cbnz x9, 2f",
        "ldr x9, [x19, #{wasm_sp}]",
        "mov sp, x9",
        "ldp x19, x20, [sp, #16]",
        "ldp x29, x30, [sp], #160",
        "ret",
        "2:",
        "mov x0, #1",
        "b {exit}",
        n = const N,
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        interrupt = const offset_of!(StoreCtx, interrupt),
        builtins = const offset_of!(StoreCtx, builtins),
        end = const offset_of!(StoreCtx, exit),
        result = const offset_of!(StoreCtx, result),
        exit = sym exit,
    )
}

/// Guest calls builtin `N` as it calls functions, by the Tail convention, so that it can catch what that throws: `x2`
/// = instance, up to two arguments in the next registers.
#[unsafe(naked)]
unsafe extern "C" fn throwing_stub_naked<const N: usize>() {
    naked_asm!(
        "mov x0, x2",
        "mov x1, x3",
        "mov x2, x4",
        "b {builtin}",
        builtin = sym builtin_stub_naked::<N>,
    )
}

/// The guest notifies listeners, by builtin `N`: `x0` = [`crate::layout::Listened`]. As on x86-64.
#[unsafe(naked)]
unsafe extern "C" fn listen_stub_naked<const N: usize>() {
    naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "ldr x9, [x0]",
        "str x29, [x9, #{wasm_sp}]",
        "ldr x10, [x9]",
        "mov sp, x10",
        "ldr x9, [x9, #{builtins}]",
        "ldr x9, [x9, #8 * {n}]",
        "blr x9",
        "cbnz x0, 2f",
        "mov sp, x29",
        "ldp x29, x30, [sp], #16",
        "ret",
        "2:",
        "mov x19, x0",
        "mov x0, #1",
        "b {exit}",
        n = const N,
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        builtins = const offset_of!(StoreCtx, builtins),
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
    const THROW: usize = Builtin::Throw as usize;
    const THROW_REF: usize = Builtin::ThrowRef as usize;
    stubs[THROW] = CodeAddr::of(throwing_stub_naked::<THROW> as *const ());
    stubs[THROW_REF] = CodeAddr::of(throwing_stub_naked::<THROW_REF> as *const ());
    stubs
}
