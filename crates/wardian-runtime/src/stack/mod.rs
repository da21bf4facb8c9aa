//! Stacks of guests: walking them, backtraces, samples.
#![allow(unsafe_code, reason = "it reads frames")]

pub mod backtrace;
pub mod sampling;
pub mod walk;
