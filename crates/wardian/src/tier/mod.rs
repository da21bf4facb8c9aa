//! Moving what is hot from the interpreter to compiled code.
//!
//! ```text
//!   bytecode ── countdown below zero ──> hot ── not compiled ──> queue ── worker ──┐
//!      ^                                  │                                        │
//!      └───────── count on ───────────────┤ compiled <──── HotCode <───────────────┘
//!                                         └──> the call, or the loop, goes on in compiled code
//! ```
//!
//! Each call of a function and each round of a loop counts its function down. Below zero the runtime is
//! asked: it has the function compiled, or, if the count ran out in a loop, that loop; and when that is
//! done, goes on there. So what runs once, without a hot loop, is never compiled.

mod hot;
mod queue;

pub(crate) use hot::{Heat, Tier};
pub(crate) use queue::CompileQueue;

/// Calls and rounds after which a function of so many bytes of WebAssembly is hot: compiling takes time
/// in proportion to the size, which it has to win back.
pub(crate) fn threshold(bytes: usize) -> i32 {
    const LEAST: usize = 1000;
    const PER_BYTE: usize = 4;
    const MOST: usize = 200_000;
    (LEAST + PER_BYTE * bytes).min(MOST) as i32
}

/// Calls and rounds until it is asked again whether what was hot is compiled.
pub(crate) const ASK_AGAIN: i32 = 500;
