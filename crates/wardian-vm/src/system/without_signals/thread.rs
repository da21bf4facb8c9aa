//! What each thread that runs guests needs: the bounds of its own stack, and a handle that says that it runs one.

use crate::addr::{StackAddr, ThreadPtr};
use crate::system::stack_bounds;
use std::cell::Cell;

/// What must be left of the embedder's stack to enter a guest: its host functions run there. The last pages of a stack
/// are the system's, which it needs to report that there is no more.
const HOST_RESERVE: usize = 128 << 10;

thread_local! {
    /// Stack addresses below this are too close to the end; null before the first entry.
    static LIMIT: Cell<StackAddr> = const { Cell::new(StackAddr::NULL) };
}

/// A thread that runs guests. All are the same, since none is signalled.
#[derive(Debug)]
pub(crate) struct ThreadHandle {
    _place: u8,
}

/// Its address says that a store's guest runs.
static ANY: ThreadHandle = ThreadHandle { _place: 0 };

impl ThreadHandle {
    /// Nothing is sent.
    pub(crate) fn signal(&self, _signal: i32) {}

    /// The handle behind the address that a store publishes, if any.
    ///
    /// # Safety
    ///
    /// `address` is null or was read from [`crate::layout::StoreCtx::thread`].
    pub(crate) unsafe fn from_address(address: ThreadPtr) -> Option<&'static ThreadHandle> {
        (!address.is_null()).then_some(&ANY)
    }
}

/// Why a thread cannot run a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unready {
    /// Too little of its stack is left.
    StackExhausted,
    /// The system has no memory for its signal stack: never here, where there is none.
    #[allow(dead_code, reason = "other systems have signal stacks")]
    NoSignalStack,
}

/// This thread's handle.
#[inline]
pub(crate) fn current() -> Result<ThreadPtr, Unready> {
    if LIMIT.get().is_null() {
        LIMIT.set(stack_limit());
    }
    let marker = 0u8;
    let here = StackAddr::of(&raw const marker);
    if here < LIMIT.get() {
        return Err(Unready::StackExhausted);
    }
    Ok(ThreadPtr::of(&ANY))
}

/// Lowest address of an entry's frame.
fn stack_limit() -> StackAddr {
    let bounds = stack_bounds();
    // On small stacks the reserve is a quarter, so that guests can run there at all.
    bounds.start.above(HOST_RESERVE.min(bounds.end.bytes_from(bounds.start) / 4))
}
