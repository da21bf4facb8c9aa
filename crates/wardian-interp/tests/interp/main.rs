//! The interpreter without the runtime: modules, translated and executed in a store built by hand.

mod ask;
mod calls;
mod control;
mod fused;
mod jumps;
mod memory;
mod objects;
mod registers;
mod shape;
mod spec;
mod speed;
#[allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    clippy::vec_box,
    reason = "it plays the runtime, and hands out addresses"
)]
mod world;
