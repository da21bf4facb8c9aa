//! Instances: making them, and what can be done with what they have.
#![allow(unsafe_code, reason = "it writes what compiled code reads")]

mod constants;
pub mod global;
pub mod instantiate;
pub mod link;
pub mod lookup;
pub mod memory;
pub mod shared;
pub mod table;
