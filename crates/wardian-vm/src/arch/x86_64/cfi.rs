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
//! a host function that entered a guest again, one further along the list that begins there. Which one it is, the stub knows
//! by which the guest left that entry: in it `rsp` is that address. Its CFI says that `r11`, which calls do not preserve, had
//! this value in its caller, and no frame of guest code says anything of `r11`. So `enter` takes the element of the list that
//! `r11` has, and the first one if it has none of them: then no stub was passed.
//!
//! Debuggers expect that each frame is at a higher address than the one that it called. Of frames of signals they do not,
//! and these frames are marked as such.

/// After the stack pointer has become that of the embedder's stack in a stub: `r11` of the caller is `rsp`.
macro_rules! note_entry {
    () => {
        // DW_CFA_val_expression of register 11, 2 bytes: DW_OP_breg7 0.
        ".cfi_escape 0x16, 11, 2, 0x77, 0"
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
        // DW_CFA_def_cfa_expression, 32 bytes; branches count from behind them, and here is where each line begins.
        ".cfi_escape 0x0f, 32
         .cfi_escape 0x77, 0, 0x06, 0x06                  # 0: breg7 0, deref, deref
         .cfi_escape 0x12, 0x7b, 0, 0x29, 0x28, 19, 0     # 4: dup, breg11 0, eq, bra to 30
         .cfi_escape 0x12, 0x06, 0x12, 0x30, 0x29         # 11: dup, deref, dup, lit0, eq
         .cfi_escape 0x28, 5, 0                           # 16: bra to 24
         .cfi_escape 0x16, 0x13, 0x2f, 0xec, 0xff         # 19: swap, drop, skip to 4
         .cfi_escape 0x13, 0x13, 0x77, 0, 0x06, 0x06      # 24: drop, drop, breg7 0, deref, deref
         .cfi_escape 0x23, 64                             # 30: plus_uconst 64"
    };
}

pub(super) use {entry_by_stack, entry_by_store, note_entry};
