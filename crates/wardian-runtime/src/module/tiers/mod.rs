//! Moving what is hot from the interpreter to compiled code.
//!
//! ```text
//!   bytecode ── countdown below zero ──> hot ── not compiled ──> queue ── worker ──┐
//!      ^                                  │                                        │
//!      └───────── count on ───────────────┤ compiled <──── HotCode <───────────────┘
//!                                         └──> the call, or the loop, continues in compiled code
//! ```
//!
//! Each call of a function and each iteration of a loop decrements the function's counter. Below zero the
//! interpreter calls the runtime, which has the function compiled, or, if the counter ran out in a loop, that
//! loop; when that is done, execution continues there. So what runs once, without a hot loop, is never
//! compiled.
//!
//! While nothing is hot, the threads of the queue compile functions whose counters have used up a part of what makes them hot.

mod awaited;
mod hot;
mod idle;
mod kept;
mod made;
mod profile;
mod published;
mod queue;
mod warm;

pub(crate) use hot::CompileRequest;
pub use hot::Tier;
pub use made::{KeptLoop, Notes};
pub use published::TierState;
pub use queue::CompileQueue;

/// Calls and rounds after which a function of so many bytes of WebAssembly is hot: about as many as
/// take as long to interpret as it takes to compile the function, which is in proportion to its size
/// (a microsecond for each byte, against some 40 ns for what is done in one call or round). So the
/// processor time of both together is at most about twice that of either alone, and a program that
/// is soon over is not slowed down. `hot_after` is what `Config::hot_after` says.
pub(crate) fn threshold(hot_after: Option<u32>, bytes: usize) -> i32 {
    const LEAST: usize = 2500;
    const PER_BYTE: usize = 24;
    const MOST: usize = 1_000_000;
    match hot_after {
        Some(count) => i32::try_from(count).unwrap_or(i32::MAX),
        None => (LEAST + PER_BYTE * bytes).min(MOST) as i32,
    }
}

/// Calls and rounds until it is asked again whether what was hot is compiled.
pub(crate) fn ask_again(hot_after: Option<u32>) -> i32 {
    const CALLS: i32 = 500;
    match hot_after {
        Some(count) => i32::try_from(count).map_or(CALLS, |count| count.min(CALLS)),
        None => CALLS,
    }
}
