//! Snapshots of guests, and images of stores.
#![allow(unsafe_code, reason = "it reads and writes frames")]

pub mod image;
pub mod state;
pub mod take;
