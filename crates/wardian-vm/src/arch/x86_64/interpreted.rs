//! Where compiled and interpreted code meet, on x86-64.
//!
//! ```text
//!   enter_segment    interpreted frame ── its address, store │ trampoline │ compiled frames ...
//!   entries          compiled caller ── position ── record ── trampoline ── stub, which leaves
//! ```
//!
//! The stub leaves as a host function does that ends its guest, so that `resume` continues behind it.

use super::{builtin_stub_naked, cfi, exit};
use crate::addr::{CodeAddr, StackAddr, VmCtxPtr};
use crate::arch::status;
use crate::entries::EntryIndex;
use crate::layout::{Builtin, HostFunc, InterpretedFunc, InterpretedIndex, StoreCtx};
use std::arch::naked_asm;
use std::mem::offset_of;
use wardian_types::ValType;

/// Calls `trampoline(ctx, code, args)` as `enter` does, for the interpreted frame at the store's
/// `interp_fp`: the frame pointer leads there, and when the function returns the status is that
/// address.
///
/// # Safety
///
/// As for `enter`.
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
unsafe extern "sysv64" fn enter_segment_naked(
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
        "mov rbp, [rdi + {interp_fp}]",
        "push rbp",
        "push rdi",
        cfi::entry_by_stack!(),
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "call r8",
        "mov rbx, [rsp]",
        "mov [rbx + {wasm_sp}], rsp",
        "mov rax, [rsp + 8]",
        "jmp {exit}",
        ".cfi_endproc",
        interp_fp = const offset_of!(StoreCtx, interp_fp),
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        exit = sym exit,
    )
}

/// The guest calls an interpreted function: `rdi` = [`InterpretedFunc`], `rsi` = slots. Leaves; `resume`
/// continues behind it.
#[unsafe(naked)]
unsafe extern "C" fn interpreted_stub_naked() {
    naked_asm!(
        keep_guest!(),
        to_host!(),
        "mov [rbx + {callee}], rdi",
        "mov [rbx + {callee_slots}], rsi",
        "mov eax, {interpret}",
        "jmp {exit}",
        ".cfi_endproc",
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        callee = const offset_of!(StoreCtx, callee),
        callee_slots = const offset_of!(StoreCtx, callee_slots),
        interpret = const status::INTERPRET,
        exit = sym exit,
    )
}

/// Keeps all that the Tail convention passes in registers, and `rax`, on the wasm stack.
macro_rules! keep_arguments {
    () => {
        "push rbp
         .cfi_remember_state
         .cfi_def_cfa_offset 16
         .cfi_offset rbp, -16
         mov rbp, rsp
         .cfi_def_cfa_register rbp
         push rdi
         push rsi
         push rdx
         push rcx
         push r8
         push r9
         push rax
         sub rsp, 136
         movups [rsp], xmm0
         movups [rsp + 16], xmm1
         movups [rsp + 32], xmm2
         movups [rsp + 48], xmm3
         movups [rsp + 64], xmm4
         movups [rsp + 80], xmm5
         movups [rsp + 96], xmm6
         movups [rsp + 112], xmm7"
    };
}

/// Takes back what `keep_arguments` kept.
macro_rules! restore_arguments {
    () => {
        "movups xmm0, [rsp]
         movups xmm1, [rsp + 16]
         movups xmm2, [rsp + 32]
         movups xmm3, [rsp + 48]
         movups xmm4, [rsp + 64]
         movups xmm5, [rsp + 80]
         movups xmm6, [rsp + 96]
         movups xmm7, [rsp + 112]
         add rsp, 136
         pop rax
         pop r9
         pop r8
         pop rcx
         pop rdx
         pop rsi
         pop rdi
         pop rbp
         .cfi_restore_state"
    };
}

/// Bytes of each function that has a frame while the runtime prepares the callee: its code is padded to
/// this size, so that [`is_preparing`] knows where it ends.
const GLUE: usize = 256;

/// Whether an address is in code that calls the runtime to prepare a callee.
#[inline(never)]
pub(crate) fn is_preparing(pc: CodeAddr) -> bool {
    let glue = [
        CodeAddr::of(interpreted_entry_naked as *const ()),
        CodeAddr::of(interpreted_entry_in_memory_naked as *const ()),
        CodeAddr::of(host_entry_naked as *const ()),
        CodeAddr::of(host_entry_in_memory_naked as *const ()),
    ];
    glue.iter().any(|start| pc.bytes_from(*start) < GLUE)
}

/// Whether results of these types do not fit into the registers that the Tail convention has for them. The
/// caller then passes an address for them in `rdi`, before all parameters, so that the first of these, the
/// instance or the record, is in `rsi`.
pub(crate) fn returns_in_memory(results: &[ValType]) -> bool {
    const REGISTERS: usize = 8;
    let in_vectors = |t: &&ValType| matches!(t, ValType::F32 | ValType::F64 | ValType::V128);
    results.len() > REGISTERS && {
        let vectors = results.iter().filter(in_vectors).count();
        vectors > REGISTERS || results.len() - vectors > REGISTERS
    }
}

/// Code by which compiled code calls an interpreted function, with the instance in `$ctx`.
macro_rules! interpreted_entry {
    ($name:ident, $ctx:literal) => {
        /// The guest calls an interpreted function: the instance, in `eax` the position in its table of
        /// interpreted functions, and everything that the Tail convention passes. Jumps to the trampoline of
        /// the function's signature, with its record in place of the instance; where there is no record yet,
        /// asks for it.
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                ".cfi_startproc",
                "3:",
                concat!("mov r11, [", $ctx, " + {interpreted}]"),
                "mov r11, [r11 + 8 * rax]",
                "test r11, r11",
                "jz 2f",
                concat!("mov ", $ctx, ", r11"),
                "jmp [r11 + {trampoline}]",
                "2:",
                keep_arguments!(),
                concat!("mov rdi, ", $ctx),
                "mov esi, eax",
                "call {prepare}",
                restore_arguments!(),
                "jmp 3b",
                ".skip {glue} - (. - 3b), 0xcc",
                ".cfi_endproc",
                glue = const GLUE,
                interpreted = const crate::layout::instance::INTERPRETED,
                trampoline = const offset_of!(InterpretedFunc, trampoline),
                prepare = sym builtin_stub_naked::<{ Builtin::Prepare as usize }>,
            )
        }
    };
}

interpreted_entry!(interpreted_entry_naked, "rdi");
interpreted_entry!(interpreted_entry_in_memory_naked, "rsi");

/// Code by which a guest calls a host function, with the record in `$ctx`.
macro_rules! host_entry {
    ($name:ident, $ctx:literal) => {
        /// Guest calls a host function whose signature may have no trampoline yet: the [`HostFunc`], and
        /// all that the Tail convention passes.
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                ".cfi_startproc",
                "3:",
                concat!("mov r11, [", $ctx, " + {trampoline}]"),
                "test r11, r11",
                "jz 2f",
                "jmp r11",
                "2:",
                keep_arguments!(),
                concat!("mov rdi, ", $ctx),
                "call {prepare}",
                restore_arguments!(),
                "jmp 3b",
                ".skip {glue} - (. - 3b), 0xcc",
                ".cfi_endproc",
                glue = const GLUE,
                trampoline = const offset_of!(HostFunc, trampoline),
                prepare = sym builtin_stub_naked::<{ Builtin::PrepareHost as usize }>,
            )
        }
    };
}

host_entry!(host_entry_naked, "rdi");
host_entry!(host_entry_in_memory_naked, "rsi");

/// Address of the code by which a guest calls host functions whose signature may have no trampoline yet.
#[inline(never)]
pub(crate) fn host_entry(in_memory: bool) -> CodeAddr {
    if in_memory {
        CodeAddr::of(host_entry_in_memory_naked as *const ())
    } else {
        CodeAddr::of(host_entry_naked as *const ())
    }
}

/// Guest calls a function of a closed instance that returns in memory: `rsi` = instance.
#[unsafe(naked)]
unsafe extern "C" fn closed_in_memory_naked() {
    naked_asm!(
        ".cfi_startproc",
        "mov rdi, rsi",
        "jmp {closed}",
        ".cfi_endproc",
        closed = sym builtin_stub_naked::<{ Builtin::Closed as usize }>,
    )
}

/// Address of the code by which a guest calls functions of closed instances.
#[inline(never)]
pub(crate) fn closed_stub(in_memory: bool) -> CodeAddr {
    if in_memory {
        CodeAddr::of(closed_in_memory_naked as *const ())
    } else {
        CodeAddr::of(builtin_stub_naked::<{ Builtin::Closed as usize }> as *const ())
    }
}

/// How many entries [`interpreted_entries`] makes: with the address behind them they fill eight pages.
pub(crate) const ENTRIES: u32 = GROUP * 255;

/// Entries that share a jump: as many as it is in reach of. Eight bytes each, and as many for the jump.
const GROUP: u32 = 15;

/// Where one of the entries begins.
pub(crate) fn entry_offset(index: EntryIndex) -> usize {
    let index = index.as_u32();
    ((index / GROUP * (GROUP + 1) + index % GROUP) * 8) as usize
}

/// Code by which compiled code calls interpreted functions of any instance: for every second position from
/// the first one, sets the position and jumps to the common part.
#[inline(never)]
pub(crate) fn interpreted_entries(first: InterpretedIndex, in_memory: bool) -> Vec<u8> {
    let end = entry_offset(EntryIndex::from_u32(ENTRIES));
    let mut code = Vec::with_capacity(end + 8);
    for i in 0..ENTRIES {
        // mov eax, position; jmp to the end of the group; int3
        code.push(0xb8);
        code.extend_from_slice(&(first.as_u32() + 2 * i).to_le_bytes());
        let distance = (GROUP - i % GROUP) * 8 - 7;
        code.extend_from_slice(&[0xeb, distance as u8, 0xcc]);
        if i % GROUP == GROUP - 1 {
            // jmp [rip + distance of the address behind the last]; int3; int3
            let distance = (end - code.len() - 6) as u32;
            code.extend_from_slice(&[0xff, 0x25]);
            code.extend_from_slice(&distance.to_le_bytes());
            code.extend_from_slice(&[0xcc; 2]);
        }
    }
    let common = if in_memory {
        interpreted_entry_in_memory_naked as *const () as u64
    } else {
        interpreted_entry_naked as *const () as u64
    };
    code.extend_from_slice(&common.to_le_bytes());
    code
}

/// Address of the code by which trampolines leave to the interpreter.
#[inline(never)]
pub(crate) fn interpreted_stub() -> CodeAddr {
    CodeAddr::of(interpreted_stub_naked as *const ())
}
