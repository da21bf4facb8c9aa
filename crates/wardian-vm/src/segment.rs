//! Compiled code inside of an entry that has interpreted code too.
//!
//! ```text
//!   interpreted frames                      wasm stack
//!   ┌───────────────┐                       ┌───────────────────────────┐
//!   │ frame A       │ <── frame pointer ─── │ A's address, store        │ enter
//!   │ its call      │                       │ trampoline                │
//!   ├───────────────┤                       │ compiled functions        │
//!   │ boundary      │ ─── wasm_sp ────────> │ stub, to the interpreter  │ resume
//!   │ frame B       │                       └───────────────────────────┘
//!   └───────────────┘
//! ```
//!
//! The code that runs the entry calls these from one loop, so they never nest, however deeply the frames do.

use crate::addr::{CodeAddr, StackAddr, VmCtxPtr};
use crate::arch;
use crate::layout::StoreCtx;

/// Address of the stub for [`crate::layout::InterpretedFunc::stub`].
pub fn interpreted_stub() -> CodeAddr {
    arch::interpreted_stub()
}

/// Bytes that `enter` puts above a segment's first frame.
pub const LINK: usize = 16;

/// Calls `trampoline(ctx, code, args)` on the wasm stack at `sp`, for the interpreted frame at the
/// store's `interp_fp`. Returns a status (see [`crate::activation::status`]): that frame's address when the function has
/// returned; then the store's `wasm_sp` is `sp - LINK`.
///
/// # Safety
///
/// The store is valid, its innermost entry runs on this thread, and nothing is on its wasm stack below
/// `sp`, which is a multiple of 16; the rest fits as for [`crate::activation::enter`].
pub unsafe fn enter(
    store: *mut StoreCtx,
    ctx: VmCtxPtr,
    code: CodeAddr,
    args: *mut u64,
    trampoline: CodeAddr,
    sp: StackAddr,
) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { arch::enter_segment(store, ctx, code, args, trampoline, sp) }
}

/// Resumes the compiled code at the store's `wasm_sp`, behind its call of an interpreted function or of the
/// host.
///
/// # Safety
///
/// The store is valid, its innermost entry runs on this thread, and a guest of it stands there.
pub unsafe fn resume(store: *mut StoreCtx) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { arch::resume(store) }
}
