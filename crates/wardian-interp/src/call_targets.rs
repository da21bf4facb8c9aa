//! What a call through a table calls: a word for each such call, which interpreted code changes at every call until it
//! has seen enough.
//!
//! ```text
//!   63        48 47        32 31                       0
//!   │   calls   │   votes    │       the function        │
//! ```
//!
//! A function is known by where its entry is in the instance. A call of the function adds a vote, of another one it takes a vote away; without votes the function becomes the one
//! that is called. So a function that is called more often than all others together is the one that is left (a majority
//! vote after Boyer and Moore), and the votes say how often it was called more than they.
//!
//! Threads that share the module may lose each other's votes, which makes the word less exact, and no code wrong.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const VOTE: u64 = 1 << 32;
const CALL: u64 = 1 << 48;
/// So many calls say enough.
const MOST_CALLS: u64 = u16::MAX as u64;

/// Notes a call of a function.
#[inline(always)]
pub(crate) fn note(word: &AtomicU64, entry: u32) {
    let before = word.load(Relaxed);
    if before >= MOST_CALLS * CALL {
        return;
    }
    let after = match before as u32 == entry {
        true => before + VOTE,
        false if votes(before) == 0 => before & !(CALL - 1) | VOTE | u64::from(entry),
        false => before - VOTE,
    };
    word.store(after + CALL, Relaxed);
}

/// The function that nearly all calls called, at least fifteen of sixteen.
pub(crate) fn usual(word: &AtomicU64) -> Option<u32> {
    let word = word.load(Relaxed);
    let calls = word / CALL;
    (calls > 0 && votes(word) * 8 >= calls * 7).then_some(word as u32)
}

fn votes(word: u64) -> u64 {
    word / VOTE % (CALL / VOTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(calls: impl IntoIterator<Item = u32>) -> Option<u32> {
        let word = AtomicU64::new(0);
        calls.into_iter().for_each(|entry| note(&word, entry));
        usual(&word)
    }

    #[test]
    fn the_function_that_is_usual_is_found() {
        let mostly = |odd: usize| (0..100_000).map(move |i| if i % odd == 0 { 9 } else { 7 });
        assert_eq!(of([]), None, "never called");
        assert_eq!(of([7]), Some(7));
        assert_eq!(of([7, 7, 8]), None);
        assert_eq!(of(std::iter::repeat_n(0, 1_000_000)), Some(0), "more calls than are counted");
        assert_eq!(of(mostly(32)), Some(7));
        assert_eq!(of(mostly(8)), None, "one of eight is another");
        assert_eq!(of((0..1000).map(|i| i % 2)), None, "two by turns");
        assert_eq!(
            of((0..1000).chain(std::iter::repeat_n(u32::MAX, 60_000))),
            Some(u32::MAX),
            "after a beginning"
        );
    }
}
