//! How debuggers walk through the stubs: what their CFI says where the stack changes.
//!
//! ```text
//!   embedder's stack                            wasm stack
//!   ┌────────────────────────┐ CFA of enter     ┌────────────────────────┐
//!   │ return address         │  <───────┐       │ word, store            │ [rsp] in enter, while it waits
//!   │ callee-saved registers │          │       │ frame of the trampoline│
//!   │ host_sp of the outer   │ ──> ...  │       │ frames of functions    │
//!   ├────────────────────────┤ host_sp ─┘       │ frame of a stub        │ CFA: rbp + 16
//!   │ frames of the host     │                  └────────────────────────┘
//!   └────────────────────────┘
//! ```
//!
//! A stub waits with its frame pointer in `rbp`, which host functions preserve, so its CFA needs nothing of the store's.
//! `enter` waits on the wasm stack, and its CFA is above the `host_sp` of its entry: the store's, or, if the guest has called
//! a host function that entered a guest again, the address at which the guest left its own entry. The stub by which it left
//! knows it: in the stub `rsp` is that address. Its CFI says that `r11`, which calls do not preserve, had this value in its
//! caller, and `r10` the same plus a constant; no frame of guest code says anything of them. So `enter` takes `r11` if `r10`
//! is that much greater, and the store's `host_sp` if not: then no stub was passed, and the registers have whatever they have.
//!
//! The expressions have neither branches nor copies of what is on their stack: Valgrind, which reads the CFI of every
//! program that it runs, ends with a failed assertion where it meets one.
//!
//! Debuggers expect that each frame is at a higher address than the one that it called. Of frames of signals they do not,
//! and these frames are marked as such.

/// After the stack pointer has become that of the embedder's stack in a stub: `r11` of the caller is `rsp`, and `r10` is
/// greater by 726,618 (three bytes as a signed LEB128).
macro_rules! note_entry {
    () => {
        // DW_CFA_val_expression of registers 11 and 10, of 2 and 4 bytes: DW_OP_breg7 0, DW_OP_breg7 726618.
        ".cfi_escape 0x16, 11, 2, 0x77, 0
         .cfi_escape 0x16, 10, 4, 0x77, 0xda, 0xac, 0x2c"
    };
}

/// While the entry is the innermost one of the store in a register: the CFA is 64 above the store's `host_sp`.
macro_rules! entry_by_store {
    // DW_CFA_def_cfa_expression, 5 bytes: DW_OP_breg of the register 0, deref, plus_uconst 64.
    ("rdi") => {
        ".cfi_escape 0x0f, 5, 0x75, 0, 0x06, 0x23, 64"
    };
    ("rbx") => {
        ".cfi_escape 0x0f, 5, 0x73, 0, 0x06, 0x23, 64"
    };
}

/// While `enter` waits and `rsp` leads to the store.
macro_rules! entry_by_stack {
    () => {
        // DW_CFA_def_cfa_expression, 22 bytes: host_sp + (r11 - host_sp) * (r10 == r11 + 726618) + 64.
        ".cfi_escape 0x0f, 22
         .cfi_escape 0x77, 0, 0x06, 0x06                  # breg7 0, deref, deref: host_sp
         .cfi_escape 0x7b, 0, 0x77, 0, 0x06, 0x06, 0x1c   # breg11 0, host_sp, minus
         .cfi_escape 0x7a, 0, 0x7b, 0xda, 0xac, 0x2c      # breg10 0, breg11 726618
         .cfi_escape 0x29, 0x1e, 0x22, 0x23, 64           # eq, mul, plus, plus_uconst 64"
    };
}

pub(super) use {entry_by_stack, entry_by_store, note_entry};
