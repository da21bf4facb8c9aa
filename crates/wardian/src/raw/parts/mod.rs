//! The parts of a store: data with invariants of their own. No part knows the store.
//!
//! What is done with them, with the store at hand, is in the files beside this folder. The parts for objects and for
//! listeners are in the folders `gc` and `listen`, which have their fields to themselves.

pub(crate) mod arena;
pub(in crate::raw) mod block;
pub(in crate::raw) mod exceptions;
pub(crate) mod externrefs;
pub(crate) mod functions;
pub(crate) mod global;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod instance;
pub(crate) mod memory;
pub(crate) mod paused;
pub(in crate::raw) mod pending;
pub(crate) mod samples;
pub(crate) mod snapshot;
pub(crate) mod state;
pub(crate) mod suspension;
pub(crate) mod table;
pub(crate) mod waiting;
