//! The parts of a store: data with invariants of their own. No part knows the store.
//!
//! What is done with them, with the store at hand, is in the files beside this folder. The parts for objects and for
//! listeners are in the folders `gc` and `listen`, which have their fields to themselves.
#![allow(unsafe_code, reason = "it lays out what compiled code reads")]

pub mod arena;
pub(crate) mod asked;
pub(crate) mod block;
pub(crate) mod context;
pub(crate) mod entities;
pub(crate) mod exceptions;
pub mod externrefs;
pub mod functions;
pub mod global;
pub mod host;
pub mod image;
pub mod inner;
pub mod instance;
pub mod memory;
pub mod owner;
pub mod paused;
pub(crate) mod pending;
pub mod remote;
pub mod samples;
pub(crate) mod segments;
pub mod snapshot;
pub mod state;
pub mod suspension;
pub mod table;
pub(crate) mod taken;
pub mod typed;
pub mod waiting;
