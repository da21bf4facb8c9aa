//! How stubs call Rust functions, which are declared `extern "C"`: up to six integer arguments, one integer result.
//!
//! Guests call stubs in the convention of System V on all systems. Under Windows C has another one:
//!
//! | | System V | Windows |
//! |---|---|---|
//! | arguments | `rdi rsi rdx rcx r8 r9` | `rcx rdx r8 r9`, then above 32 bytes of the callee's |
//! | callee-saved | `rbx rbp r12` to `r15` | these, `rdi rsi`, `xmm6` to `xmm15` |
//!
//! So what a stub expects to be kept is kept. In the other direction, from Rust into guests, Rust calls `enter`, `resume`
//! and `enter_segment` as functions of System V: the compiler saves what they need not keep.

/// Calls a Rust function from the embedder's stack, which is aligned. Under Windows the stack pointer is lower
/// afterwards; no stub uses it again. The word of zero there ends walks of the embedder's stack: a walker that finds no
/// table for the stub takes words of the stack for return addresses.
#[cfg(windows)]
macro_rules! call_host {
    ($target:literal) => {
        concat!(
            "sub rsp, 64
             mov [rsp + 32], r8
             mov [rsp + 40], r9
             mov qword ptr [rsp + 48], 0
             mov r9, rcx
             mov r8, rdx
             mov rdx, rsi
             mov rcx, rdi
             call ",
            $target
        )
    };
}

/// Calls a Rust function from the embedder's stack, which is aligned.
#[cfg(not(windows))]
macro_rules! call_host {
    ($target:literal) => {
        concat!("call ", $target)
    };
}

pub(super) use call_host;
