//! Where a guest that has thrown an exception is resumed, on 64-bit ARM.
//!
//! ```text
//!   ┌──────────────────────────┐
//!   │ frame that catches       │ <- sp
//!   │ 144 bytes, never read     │
//!   │ fp, pc of the handler    │ <- where the guest stands
//!   └──────────────────────────┘
//! ```

use crate::addr::{CodeAddr, StackAddr};
use crate::callee_saved::CalleeSaved;
use crate::layout::{StoreCtx, WasmSp};

/// None so far: calls with handlers preserve no registers. The Tail convention passes arguments in other
/// registers than C here.
pub(crate) const CALLEE_SAVED: [u8; 0] = [];

/// # Safety
///
/// As on x86-64.
pub(crate) unsafe fn saved_by_stub(_stands: WasmSp) -> CalleeSaved {
    []
}

/// Size of the frame that a stub makes.
const STUB: usize = 160;

/// Writes the frame of a stub right below `sp`: [`super::resume`] leaves it to `pc`, with this stack pointer, the
/// frame pointer `fp`, and `payload` in `x0`. Returns where the guest stands then.
///
/// # Safety
///
/// As on x86-64; the store is valid.
pub(crate) unsafe fn write_landing(
    store: *mut StoreCtx,
    sp: StackAddr,
    fp: StackAddr,
    pc: CodeAddr,
    payload: u64,
    _kept: &CalleeSaved,
) -> WasmSp {
    let start = sp.below(STUB);
    let mut frame = [0; STUB / size_of::<usize>()];
    (frame[0], frame[1]) = (fp.as_usize(), pc.as_usize());
    // SAFETY: the caller's promise.
    unsafe {
        start.as_ptr::<[usize; STUB / size_of::<usize>()]>().write(frame);
        (*store).result = payload;
    }
    WasmSp::compiled(start)
}
