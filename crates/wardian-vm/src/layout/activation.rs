//! What code notes of an entry into guest code.

use crate::addr::{SlotsPtr, StackAddr, VmCtxPtr};
use std::cell::Cell;

/// One entry into guest code. It lives on the embedder's stack.
#[derive(Debug)]
pub struct Activation {
    /// The entry around this one.
    pub previous: *const Activation,
    /// [`super::StoreCtx::wasm_sp`] of the entry around this one: none if there is none.
    pub outer_sp: WasmSp,
    /// `interp_fp` of the entry around this one, where its `wasm_sp` says that it counts.
    pub outer_fp: StackAddr,
    /// Where the interpreted frames of this entry begin.
    pub slots: StackAddr,
    /// The slots that it was entered with, once interpreted code has run in it.
    pub args: Cell<SlotsPtr>,
    /// Whether there is interpreted code in it: then, while no compiled code of it runs, its innermost
    /// frame is where the store says, wherever the stack pointer is.
    pub interpreting: Cell<bool>,
    /// Its number among all entries of the store, which is never used again; zero as long as nobody
    /// asked: see [`crate::activation::serial`].
    pub(crate) serial: Cell<u64>,
    /// The context that the guest was entered with.
    pub ctx: VmCtxPtr,
}

/// Where a guest that calls the host stands: its stack pointer on the wasm stack, with the lowest bit set if its
/// innermost frame is an interpreted one, which [`super::StoreCtx::interp_fp`] leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct WasmSp(usize);

impl WasmSp {
    /// There is no guest.
    pub const NONE: WasmSp = WasmSp(0);
    const INTERPRETED: usize = 1;

    /// The innermost frame is compiled.
    #[inline(always)]
    pub const fn compiled(sp: StackAddr) -> WasmSp {
        WasmSp(sp.as_usize())
    }

    /// The innermost frame is interpreted; below `sp` the wasm stack is free.
    #[inline(always)]
    pub const fn interpreted(sp: StackAddr) -> WasmSp {
        WasmSp(sp.as_usize() | WasmSp::INTERPRETED)
    }

    /// Whether there is no guest.
    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether the innermost frame is interpreted.
    #[inline(always)]
    pub const fn is_interpreted(self) -> bool {
        self.0 & WasmSp::INTERPRETED != 0
    }

    /// The stack pointer.
    #[inline(always)]
    pub const fn sp(self) -> StackAddr {
        StackAddr::from_usize(self.0 & !WasmSp::INTERPRETED)
    }

    /// The highest address at or below the stack pointer at which frames may begin.
    #[inline(always)]
    pub const fn aligned(self) -> StackAddr {
        StackAddr::from_usize(self.0 & !15)
    }
}
