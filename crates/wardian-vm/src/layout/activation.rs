//! What code notes of an entry into guest code.

use crate::addr::VmCtxPtr;
use std::cell::Cell;

/// One entry into guest code. It lives on the embedder's stack.
#[derive(Debug)]
pub struct Activation {
    /// The entry around this one.
    pub previous: *const Activation,
    /// `wasm_sp` of the entry around this one: zero if there is none.
    pub outer_sp: usize,
    /// `interp_fp` of the entry around this one, where its `wasm_sp` says that it counts.
    pub outer_fp: usize,
    /// Where the interpreted frames of this entry begin.
    pub slots: usize,
    /// The slots that it was entered with, once interpreted code has run in it.
    pub args: Cell<usize>,
    /// Whether there is interpreted code in it: then, while no compiled code of it runs, its innermost
    /// frame is where the store says, wherever the stack pointer is.
    pub interpreting: Cell<bool>,
    /// Its number among all entries of the store, which is never used again; zero as long as nobody
    /// asked: see [`crate::activation::serial`].
    pub(crate) serial: Cell<u64>,
    /// The context that the guest was entered with.
    pub ctx: VmCtxPtr,
}

/// [`super::StoreCtx::wasm_sp`] with this bit: the innermost frame is an interpreted one.
pub const INTERPRETED: usize = 1;
