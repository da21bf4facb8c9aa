//! What of a store other threads touch.

use crate::sync::atomic::{AtomicU64, AtomicUsize};

/// Words of [`StoreCtx::capture`]: fewer than there are, which are all written alike.
pub const CAPTURE_WORDS: usize = 1;

/// The atomics of the real one.
#[derive(Debug)]
pub struct StoreCtx {
    /// Reasons to stop.
    pub interrupt: AtomicU64,
    /// The thread that runs a guest.
    pub thread: AtomicUsize,
    /// The outermost entry's context.
    pub root: AtomicUsize,
    /// Non-zero while somebody wants a checkpoint.
    pub capture: [AtomicU64; CAPTURE_WORDS],
}

impl Default for StoreCtx {
    fn default() -> StoreCtx {
        StoreCtx {
            interrupt: AtomicU64::new(0),
            thread: AtomicUsize::new(0),
            root: AtomicUsize::new(0),
            capture: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// Offsets in an instance's context, which is one word in the models.
pub mod instance {
    /// How many further entries there are.
    pub const NESTED: i32 = 0;
}
