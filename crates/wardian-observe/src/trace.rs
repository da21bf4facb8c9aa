//! Traces: every call with its arguments, results and time, as it happens.
//!
//! [`listener`] notifies [`state`] of what begins and ends; one of the [`format`]s makes it text, with what
//! [`wasi`] knows of calls of the system; [`output`] writes it, and keeps to its limit.

pub(crate) mod background;
pub(crate) mod buffer;
pub(crate) mod earlier;
mod format;
mod function;
pub(crate) mod listener;
pub(crate) mod log;
pub(crate) mod options;
mod output;
mod references;
mod state;
pub(crate) mod summary;
mod value;
mod wasi;
