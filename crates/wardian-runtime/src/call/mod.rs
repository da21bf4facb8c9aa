//! Calls in both directions, what happens during them, and how they end.
#![allow(unsafe_code, reason = "it enters guests, and is called by them")]

pub(crate) mod access;
pub mod applied;
pub(crate) mod builtins;
pub mod closing;
pub mod deferred;
pub mod enter;
pub(crate) mod entered;
pub mod exceptions;
pub mod exit;
pub mod fuel;
pub mod host;
pub(crate) mod interpret;
#[cfg(all(test, feature = "jit"))]
mod loop_tests;
mod raw_bytes;
pub mod runtime_calls;
pub mod stopping;
pub mod suspend;
pub(crate) mod unwind;
pub mod values;
pub mod waits;
