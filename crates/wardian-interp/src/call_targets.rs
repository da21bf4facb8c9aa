//! What a call through a table calls: four words for each such call, which interpreted code changes at every call until it
//! has seen enough.
//!
//! ```text
//!   63        48 47        32 31                       0
//!   │   calls   │   votes    │       a function         │     the first word
//!   │           │   votes    │       a function         │     the others
//! ```
//!
//! A function is known by where its entry is in the instance. A call of a function that has a word adds a vote to it. A
//! call of another one takes a word without votes, or, if there is none, takes a vote from each. So every function with
//! more than a fifth of the calls has a word in the end (the algorithm of Misra and Gries), and its votes say how often
//! it was called at least.
//!
//! Threads that share the module may lose each other's votes, which makes the words less exact, and no code wrong.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Words for each call.
pub(crate) const WORDS: usize = 4;

const VOTE: u64 = 1 << 32;
const CALL: u64 = 1 << 48;
/// So many calls say enough.
const MOST_CALLS: u64 = u16::MAX as u64;

/// Notes a call of a function.
#[inline(always)]
pub(crate) fn note(words: &[AtomicU64; WORDS], entry: u32) {
    let first = words[0].load(Relaxed);
    if first >= MOST_CALLS * CALL {
        return;
    }
    if first as u32 == entry && votes(first) != 0 {
        words[0].store(first + VOTE + CALL, Relaxed);
    } else {
        words[0].store(first + CALL, Relaxed);
        note_other(words, entry);
    }
}

/// Notes a call of a function that the first word is not of.
fn note_other(words: &[AtomicU64; WORDS], entry: u32) {
    let mut free = None;
    for word in words {
        let before = word.load(Relaxed);
        if votes(before) == 0 {
            free = free.or(Some(word));
        } else if before as u32 == entry {
            return word.store(before + VOTE, Relaxed);
        }
    }
    if let Some(word) = free {
        let calls = word.load(Relaxed) & !(CALL - 1);
        return word.store(calls | VOTE | u64::from(entry), Relaxed);
    }
    for word in words {
        let before = word.load(Relaxed);
        // Another thread may have taken it.
        word.store(before - VOTE * votes(before).min(1), Relaxed);
    }
}

/// The functions that were called most, the most frequent first: each has votes of a tenth of the calls at least, all
/// together of a third. (Votes are fewer than calls where many functions are called.)
pub(crate) fn usual(words: &[AtomicU64]) -> Vec<u32> {
    let words: Vec<u64> = words.iter().map(|word| word.load(Relaxed)).collect();
    let calls = words.first().map_or(0, |first| first / CALL);
    let mut often: Vec<u64> =
        words.into_iter().filter(|word| votes(*word) * 10 >= calls.max(1)).collect();
    if often.iter().map(|word| votes(*word)).sum::<u64>() * 3 < calls {
        return Vec::new();
    }
    often.sort_by_key(|word| std::cmp::Reverse(votes(*word)));
    often.into_iter().map(|word| word as u32).collect()
}

fn votes(word: u64) -> u64 {
    word / VOTE % (CALL / VOTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(calls: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let words = [const { AtomicU64::new(0) }; WORDS];
        calls.into_iter().for_each(|entry| note(&words, entry));
        usual(&words)
    }

    #[test]
    fn the_functions_that_are_usual_are_found() {
        let mostly = |odd: usize| (0..100_000).map(move |i| if i % odd == 0 { 9 } else { 7 });
        let turns = |n: u32| (0..100_000).map(move |i| i % n);
        assert_eq!(of([]), [], "never called");
        assert_eq!(of([7]), [7]);
        assert_eq!(of([8, 7, 7]), [7, 8]);
        assert_eq!(of(std::iter::repeat_n(0, 1_000_000)), [0], "more calls than are counted");
        assert_eq!(of(mostly(32)), [7]);
        assert_eq!(of(mostly(8)), [7, 9]);
        assert_eq!(of(turns(4)).len(), 4);
        assert_eq!(of(turns(5)), [], "more than there are words for");
        assert_eq!(of(turns(1000)), []);
        let two_of_many = (0..60_000).map(|i| [1, 2, 1, i][i as usize % 4]);
        assert_eq!(of(two_of_many), [1, 2], "and a quarter of the calls call others");
        let one_of_many = (0..60_000).map(|i| if i % 3 == 0 { 1 } else { i });
        assert_eq!(of(one_of_many), [], "most calls call others");
        let after_others = (0..1000).chain(std::iter::repeat_n(u32::MAX, 60_000));
        assert_eq!(of(after_others), [u32::MAX], "after a beginning");
    }
}
