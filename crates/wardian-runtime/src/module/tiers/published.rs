//! Whether there is compiled code of a function, for threads that run it and threads that compile it.

use crate::sync::atomic::{AtomicUsize, Ordering};
use wardian_vm::addr::CodeAddr;

/// What is known of a function: nothing, a [`TierState`], and at last the address of its code, which stays.
///
/// Whoever sees the address sees the code: it is written with `Release`, after the code, and read with `Acquire`.
/// `models/tests/published.rs` tries the orders in which threads may do this.
#[derive(Debug)]
pub(crate) struct Published(AtomicUsize);

/// How far the compilation of something hot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierState {
    /// Somebody is to compile it, or does.
    Wanted,
    /// It cannot be compiled.
    Failed,
    /// It is compiled.
    Compiled(CodeAddr),
}

const COLD: usize = 0;
const WANTED: usize = 1;
const FAILED: usize = 2;

impl Default for Published {
    fn default() -> Published {
        Published(AtomicUsize::new(COLD))
    }
}

impl Published {
    /// What is known of it, if anybody wanted it.
    #[inline]
    pub(crate) fn get(&self) -> Option<TierState> {
        known(self.0.load(Ordering::Acquire))
    }

    /// Notes that somebody wants it. Its code may be published at any moment, and stays.
    pub(crate) fn mark_wanted(&self) {
        let _ = self.0.compare_exchange(COLD, WANTED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Notes what came of compiling it. The first code stays: instances that run it rely on that there is some.
    pub(crate) fn settle(&self, address: Option<CodeAddr>) {
        let change = |state| match known(state) {
            Some(TierState::Compiled(_)) => None,
            _ => Some(address.map_or(FAILED, CodeAddr::as_usize)),
        };
        let _ = self.0.fetch_update(Ordering::Release, Ordering::Relaxed, change);
    }
}

fn known(state: usize) -> Option<TierState> {
    match state {
        COLD => None,
        WANTED => Some(TierState::Wanted),
        FAILED => Some(TierState::Failed),
        address => Some(TierState::Compiled(CodeAddr::from_usize(address))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that found a function without code may say so only after another has published some.
    #[test]
    fn code_that_was_published_stays() {
        let state = Published::default();
        state.mark_wanted();
        assert_eq!(state.get(), Some(TierState::Wanted));
        state.settle(Some(CodeAddr::from_usize(0x1000)));
        for _ in 0..2 {
            state.mark_wanted();
            state.settle(None);
            state.settle(Some(CodeAddr::from_usize(0x2000)));
            assert_eq!(state.get(), Some(TierState::Compiled(CodeAddr::from_usize(0x1000))));
        }
        let failed = Published::default();
        failed.settle(None);
        failed.mark_wanted();
        assert_eq!(failed.get(), Some(TierState::Failed));
    }
}
