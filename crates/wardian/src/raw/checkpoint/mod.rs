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
//! validation of the function, values against the types that it gives there. So a forged checkpoint is at worst a
//! guest that is in a state that it would not have come to by itself.

mod capture;
mod fork;
mod frames;
mod graph;
mod instances;
mod place;
mod restore;
mod targets;
mod values;

pub(crate) use capture::{Captured, Purpose};
pub(crate) use fork::Kin;
pub(crate) use restore::{Origin, Restored};
pub(crate) use targets::Target;

use crate::Error;
use crate::error::CheckpointErrorKind;
use crate::raw::parts::host::HostCall;
use wardian_vm::activation::Suspended;

/// Where a guest is when a checkpoint is taken.
#[derive(Clone, Copy)]
pub(crate) enum Standing {
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
