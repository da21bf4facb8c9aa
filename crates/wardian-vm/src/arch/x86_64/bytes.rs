//! Moving and filling bytes of a guest's memory: what is short is done by the stubs, the rest by builtins.

use super::builtin_stub_naked;
use crate::addr::CodeAddr;
use crate::layout::Builtin;
use std::arch::naked_asm;

/// Address of the code by which a guest moves bytes.
#[inline(never)]
pub(super) fn move_stub() -> CodeAddr {
    CodeAddr::of(move_bytes_naked as *const ())
}

/// Address of the code by which a guest fills bytes.
#[inline(never)]
pub(super) fn fill_stub() -> CodeAddr {
    CodeAddr::of(fill_bytes_naked as *const ())
}

/// Guest moves bytes: `rsi` = to, `rdx` = from, `rcx` = length. Short moves, by far the most, are
/// done here, on the guest's stack without using it: all is loaded before anything is stored, with
/// accesses that overlap in the middle, so the ranges may overlap too.
#[unsafe(naked)]
unsafe extern "C" fn move_bytes_naked() {
    naked_asm!(
        ".cfi_startproc",
        "cmp rcx, 16",
        "ja 5f",
        "cmp rcx, 8",
        "jae 4f",
        "cmp rcx, 4",
        "jae 3f",
        "test rcx, rcx",
        "je 2f",
        "movzx eax, byte ptr [rdx]",
        "movzx r8d, byte ptr [rdx + rcx - 1]",
        "mov r9, rcx",
        "shr r9, 1",
        "movzx r10d, byte ptr [rdx + r9]",
        "mov [rsi], al",
        "mov [rsi + r9], r10b",
        "mov [rsi + rcx - 1], r8b",
        "2:",
        "ret",
        "3:",
        "mov eax, [rdx]",
        "mov r8d, [rdx + rcx - 4]",
        "mov [rsi], eax",
        "mov [rsi + rcx - 4], r8d",
        "ret",
        "4:",
        "mov rax, [rdx]",
        "mov r8, [rdx + rcx - 8]",
        "mov [rsi], rax",
        "mov [rsi + rcx - 8], r8",
        "ret",
        "5:",
        "cmp rcx, 64",
        "ja {builtin}",
        "movdqu xmm0, [rdx]",
        "movdqu xmm1, [rdx + rcx - 16]",
        "cmp rcx, 32",
        "jbe 6f",
        "movdqu xmm2, [rdx + 16]",
        "movdqu xmm3, [rdx + rcx - 32]",
        "movdqu [rsi + 16], xmm2",
        "movdqu [rsi + rcx - 32], xmm3",
        "6:",
        "movdqu [rsi], xmm0",
        "movdqu [rsi + rcx - 16], xmm1",
        "ret",
        ".cfi_endproc",
        builtin = sym builtin_stub_naked::<{ Builtin::MoveBytes as usize }>,
    )
}

/// Guest fills bytes: `rsi` = to, `rdx` = byte, `rcx` = length. As `move_bytes_naked`.
#[unsafe(naked)]
unsafe extern "C" fn fill_bytes_naked() {
    naked_asm!(
        ".cfi_startproc",
        "cmp rcx, 64",
        "ja {builtin}",
        "movzx eax, dl",
        "mov r8, 0x0101010101010101",
        "imul rax, r8",
        "cmp rcx, 16",
        "ja 5f",
        "cmp rcx, 8",
        "jae 4f",
        "cmp rcx, 4",
        "jae 3f",
        "test rcx, rcx",
        "je 2f",
        "mov r9, rcx",
        "shr r9, 1",
        "mov [rsi], al",
        "mov [rsi + r9], al",
        "mov [rsi + rcx - 1], al",
        "2:",
        "ret",
        "3:",
        "mov [rsi], eax",
        "mov [rsi + rcx - 4], eax",
        "ret",
        "4:",
        "mov [rsi], rax",
        "mov [rsi + rcx - 8], rax",
        "ret",
        "5:",
        "movq xmm0, rax",
        "punpcklqdq xmm0, xmm0",
        "cmp rcx, 32",
        "jbe 6f",
        "movdqu [rsi + 16], xmm0",
        "movdqu [rsi + rcx - 32], xmm0",
        "6:",
        "movdqu [rsi], xmm0",
        "movdqu [rsi + rcx - 16], xmm0",
        "ret",
        ".cfi_endproc",
        builtin = sym builtin_stub_naked::<{ Builtin::FillBytes as usize }>,
    )
}
