//! Checkpoints: a store's state as data, and a store made of it.
//!
//! ```text
//!   guest in a call of the host                       State
//!   ┌─────────────────────────────┐     capture      ┌───────────────────────────────┐
//!   │ interpreted frames, slots   │ ───────────────> │ frames: function, operator,   │
//!   │ addresses, handles          │                  │ typed locals and operands     │
//!   │ records, instances          │ <─────────────── │ functions by instance, index  │
//!   └─────────────────────────────┘     restore      └───────────────────────────────┘
//! ```
//!
//! **Invariant.** What restoring writes into a store has been checked against validated modules: positions against a
//! validation of the function, values against the types that it gives there. So the worst that a forged checkpoint can do
//! is to put a guest into a state that it would not reach by itself.
#![allow(unsafe_code, reason = "it reads frames and globals")]

mod capture;
mod fork;
mod frames;
mod graph;
mod instances;
mod numbers;
pub mod packing;
pub mod pages;
mod place;
mod restore;
pub mod state;
mod targets;
mod values;

pub use capture::{Captured, Purpose};
pub use fork::Kin;
pub use restore::{Origin, Restored};
pub use targets::Target;

use crate::Error;
use crate::error::CheckpointErrorKind;
use crate::store::host::HostCall;
use wardian_vm::activation::Suspended;

/// What becomes of shared memories, which other threads may change while a checkpoint is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedMemories {
    /// A store that has one is refused (the default).
    #[default]
    Refuse,
    /// Their contents are written as they are found. They are those of one moment only if no other thread changes them
    /// meanwhile: those who use this see to it.
    Include,
    /// Their contents are left out: whoever resumes the checkpoint gives memories that have them. For the other stores
    /// with the same memory.
    Leave,
}

/// Where a guest is when a checkpoint is taken.
#[derive(Clone, Copy)]
pub enum Standing {
    /// There is none.
    Idle,
    /// In a call of a host function.
    HostCall(HostCall),
    /// In an atomic wait: that of the store.
    Wait,
    /// Where it was left.
    Left(Suspended),
    /// Where compiled code has asked whether a checkpoint is wanted.
    Polled(Suspended),
    /// About to enter compiled code.
    Compiled,
}

/// The error of a checkpoint that cannot be taken, or not be used.
fn refused(why: impl std::fmt::Display) -> Error {
    Error::checkpoint(CheckpointErrorKind::NotTaken, why)
}

/// The error of a checkpoint that cannot be resumed.
fn unusable(why: impl std::fmt::Display) -> Error {
    Error::checkpoint(CheckpointErrorKind::NotResumed, why)
}
