//! Asking for a checkpoint, on x86-64.
//!
//! ```text
//!   wasm stack
//!   ┌──────────────────────────┐
//!   │ frame of the guest       │
//!   │ return address           │  frame record
//!   │ rbp                      │ <- rbp
//!   │ rax rcx rdx rsi rdi r8…  │  caller-saved registers
//!   │ padding                  │
//!   │ xmm15 … xmm0             │
//!   ├──────────────────────────┤
//!   │ frame of the builtin's   │  as of any builtin: the guest is left there, and resumed
//!   │ stub                     │
//!   └──────────────────────────┘
//! ```

use super::builtin_stub_naked;
use crate::addr::CodeAddr;
use crate::layout::Builtin;
use std::arch::naked_asm;

/// Address of the code by which a guest asks for a checkpoint.
#[inline(never)]
pub(super) fn checkpoint_stub() -> CodeAddr {
    CodeAddr::of(checkpoint_stub_naked as *const ())
}

/// Guest asks for a checkpoint: `rdi` = instance. Every register is as before when it continues, so that code which
/// asks, but rarely gets here, keeps its values where they are. The frame has a record, as one of a function.
#[unsafe(naked)]
unsafe extern "C" fn checkpoint_stub_naked() {
    naked_asm!(
        ".cfi_startproc
         push rbp
         .cfi_def_cfa_offset 16
         .cfi_offset rbp, -16
         mov rbp, rsp
         .cfi_def_cfa_register rbp
         push rax
         push rcx
         push rdx
         push rsi
         push rdi
         push r8
         push r9
         push r10
         push r11
         sub rsp, 264",
        "movups [rsp + 0], xmm0",
        "movups [rsp + 16], xmm1",
        "movups [rsp + 32], xmm2",
        "movups [rsp + 48], xmm3",
        "movups [rsp + 64], xmm4",
        "movups [rsp + 80], xmm5",
        "movups [rsp + 96], xmm6",
        "movups [rsp + 112], xmm7",
        "movups [rsp + 128], xmm8",
        "movups [rsp + 144], xmm9",
        "movups [rsp + 160], xmm10",
        "movups [rsp + 176], xmm11",
        "movups [rsp + 192], xmm12",
        "movups [rsp + 208], xmm13",
        "movups [rsp + 224], xmm14",
        "movups [rsp + 240], xmm15",
        "call {builtin}",
        "movups xmm0, [rsp + 0]",
        "movups xmm1, [rsp + 16]",
        "movups xmm2, [rsp + 32]",
        "movups xmm3, [rsp + 48]",
        "movups xmm4, [rsp + 64]",
        "movups xmm5, [rsp + 80]",
        "movups xmm6, [rsp + 96]",
        "movups xmm7, [rsp + 112]",
        "movups xmm8, [rsp + 128]",
        "movups xmm9, [rsp + 144]",
        "movups xmm10, [rsp + 160]",
        "movups xmm11, [rsp + 176]",
        "movups xmm12, [rsp + 192]",
        "movups xmm13, [rsp + 208]",
        "movups xmm14, [rsp + 224]",
        "movups xmm15, [rsp + 240]",
        "add rsp, 264
         pop r11
         pop r10
         pop r9
         pop r8
         pop rdi
         pop rsi
         pop rdx
         pop rcx
         pop rax
         pop rbp
         .cfi_def_cfa rsp, 8
         ret
         .cfi_endproc",
        builtin = sym builtin_stub_naked::<{ Builtin::Checkpoint as usize }>,
    )
}
