//! Asking for a checkpoint, on aarch64.
//!
//! ```text
//!   wasm stack
//!   ┌──────────────────────────┐
//!   │ frame of the guest       │
//!   │ x29 x30                  │ <- x29: frame record
//!   │ x0 … x17                 │  caller-saved registers
//!   │ q0 … q31                 │
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

/// Guest asks for a checkpoint: `x0` = instance. Every register is as before when it continues, so that code which
/// asks, but rarely gets here, keeps its values where they are. The frame has a record, as one of a function.
#[unsafe(naked)]
unsafe extern "C" fn checkpoint_stub_naked() {
    naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "sub sp, sp, #144",
        "stp x0, x1, [sp, #0]",
        "stp x2, x3, [sp, #16]",
        "stp x4, x5, [sp, #32]",
        "stp x6, x7, [sp, #48]",
        "stp x8, x9, [sp, #64]",
        "stp x10, x11, [sp, #80]",
        "stp x12, x13, [sp, #96]",
        "stp x14, x15, [sp, #112]",
        "stp x16, x17, [sp, #128]",
        "sub sp, sp, #512",
        "stp q0, q1, [sp, #0]",
        "stp q2, q3, [sp, #32]",
        "stp q4, q5, [sp, #64]",
        "stp q6, q7, [sp, #96]",
        "stp q8, q9, [sp, #128]",
        "stp q10, q11, [sp, #160]",
        "stp q12, q13, [sp, #192]",
        "stp q14, q15, [sp, #224]",
        "stp q16, q17, [sp, #256]",
        "stp q18, q19, [sp, #288]",
        "stp q20, q21, [sp, #320]",
        "stp q22, q23, [sp, #352]",
        "stp q24, q25, [sp, #384]",
        "stp q26, q27, [sp, #416]",
        "stp q28, q29, [sp, #448]",
        "stp q30, q31, [sp, #480]",
        "bl {builtin}",
        "ldp q0, q1, [sp, #0]",
        "ldp q2, q3, [sp, #32]",
        "ldp q4, q5, [sp, #64]",
        "ldp q6, q7, [sp, #96]",
        "ldp q8, q9, [sp, #128]",
        "ldp q10, q11, [sp, #160]",
        "ldp q12, q13, [sp, #192]",
        "ldp q14, q15, [sp, #224]",
        "ldp q16, q17, [sp, #256]",
        "ldp q18, q19, [sp, #288]",
        "ldp q20, q21, [sp, #320]",
        "ldp q22, q23, [sp, #352]",
        "ldp q24, q25, [sp, #384]",
        "ldp q26, q27, [sp, #416]",
        "ldp q28, q29, [sp, #448]",
        "ldp q30, q31, [sp, #480]",
        "add sp, sp, #512",
        "ldp x0, x1, [sp, #0]",
        "ldp x2, x3, [sp, #16]",
        "ldp x4, x5, [sp, #32]",
        "ldp x6, x7, [sp, #48]",
        "ldp x8, x9, [sp, #64]",
        "ldp x10, x11, [sp, #80]",
        "ldp x12, x13, [sp, #96]",
        "ldp x14, x15, [sp, #112]",
        "ldp x16, x17, [sp, #128]",
        "add sp, sp, #144",
        "ldp x29, x30, [sp], #16",
        "ret",
        builtin = sym builtin_stub_naked::<{ Builtin::Checkpoint as usize }>,
    )
}
