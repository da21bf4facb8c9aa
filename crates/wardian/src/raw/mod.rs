//! What the embedding API does with raw pointers: the inside of a store, instances as compiled code
//! sees them, calls in both directions.
//!
//! Everything else in this crate is safe code over the safe functions given here. What a store consists of is in
//! [`parts`], which do not know the store; the other files here are what is done with it.
//!
//! ```text
//!   StoreData<T> ── inner: StoreInner ── ctx ──> StoreCtx <── every instance, every host function
//!        ^                   │                      │ owner, while a guest runs
//!        └───────────────────┼──────────────────────┘
//!                            ├── instances ──> vmctx (see wardian_vm::layout)
//!                            ├── memories, tables
//!                            └── funcs: VmFunc records, which references point to
//! ```
//!
//! **Invariants.** What compiled code or a reference may point to (vmctx, `VmFunc`, `HostFunc`,
//! globals, table and memory bounds) is allocated once, never moves, and lives as long as its
//! store. A `StoreInner` is reached either through `&mut Store`, or, while a guest runs, through
//! `StoreCtx::owner`, which is derived from the very `&mut` that the call into the guest holds.
#![allow(unsafe_code, reason = "this folder is one of the places where unsafe code lives")]

mod access;
pub(crate) mod attach;
pub(crate) mod builtins;
pub(crate) mod call;
pub(crate) mod checkpoint;
mod constants;
pub(crate) mod deferred;
pub(crate) mod entered;
mod exceptions;
pub(crate) mod exit;
pub(crate) mod fuel;
pub(crate) mod gc;
pub(crate) mod global;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod instance;
pub(crate) mod instantiate;
pub(crate) mod interpret;
pub(crate) mod listen;
#[cfg(all(test, feature = "jit"))]
mod loop_tests;
pub(crate) mod memory;
pub(crate) mod owner;
pub(crate) mod parts;
pub(crate) mod runtime_calls;
pub(crate) mod sampling;
pub(crate) mod signatures;
pub(crate) mod snapshot;
pub(crate) mod state;
pub(crate) mod store;
pub(crate) mod suspend;
pub(crate) mod table;

mod unwind;
pub(crate) mod waits;
pub(crate) mod walk;
