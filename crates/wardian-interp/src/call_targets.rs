//! What a call through a table or a reference calls: four words for each such call, which interpreted code changes at every
//! call until it has seen enough.
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
//! Threads that share the module may lose each other's calls and votes, and change words while they are read. That makes the
//! words less exact, and no code wrong.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use wardian_vm::addr::CtxOffset;

/// What a call through a table or a reference called, as far as that was noted: see [`CallTargets::most`] for what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTargets<F> {
    /// Calls that were noted: as many as there are votes, or more.
    calls: u64,
    /// At most [`WORDS`] functions, the most frequent first, each with how often it was called at least.
    votes: Vec<(F, u64)>,
}

impl<F> Default for CallTargets<F> {
    fn default() -> CallTargets<F> {
        CallTargets { calls: 0, votes: Vec::new() }
    }
}

impl<F: Copy + Ord> CallTargets<F> {
    /// So many calls, of which at least so many called each of these functions. Of a function that is there twice, and of
    /// more functions than are kept, the calls are counted as those of others. There are never fewer calls than votes.
    pub fn new(calls: u64, votes: impl IntoIterator<Item = (F, u64)>) -> CallTargets<F> {
        let mut known: Vec<(F, u64)> = Vec::new();
        for (function, count) in votes {
            if known.len() < WORDS && count != 0 && known.iter().all(|(f, _)| *f != function) {
                known.push((function, count));
            }
        }
        let targets = CallTargets { calls, votes: known }.sorted();
        CallTargets { calls: calls.max(targets.sum()), ..targets }
    }

    /// Calls that were noted.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The functions that are known, the most frequent first, each with how often it was called at least.
    pub fn votes(&self) -> &[(F, u64)] {
        &self.votes
    }

    /// How often a function with so many votes was called at most; with none, one that is not known.
    ///
    /// Where a call took a vote from each of the functions, it has none either: so of five calls without a vote at most one
    /// was of the same function.
    pub fn most(&self, votes: u64) -> u64 {
        votes.saturating_add(self.calls.saturating_sub(self.sum()) / (WORDS as u64 + 1))
    }

    /// Adds what was noted elsewhere of the same call. The bounds stay true: what is more than there is room for is taken from
    /// all functions alike.
    pub fn merge(&mut self, other: &CallTargets<F>) {
        self.calls = self.calls.saturating_add(other.calls);
        for (function, votes) in &other.votes {
            match self.votes.iter_mut().find(|(known, _)| known == function) {
                Some((_, sum)) => *sum = sum.saturating_add(*votes),
                None => self.votes.push((*function, *votes)),
            }
        }
        *self = std::mem::take(self).sorted();
        if let Some((_, too_many)) = self.votes.get(WORDS).copied() {
            self.votes.iter_mut().for_each(|(_, votes)| *votes = votes.saturating_sub(too_many));
            self.votes.retain(|(_, votes)| *votes != 0);
        }
    }

    /// The same of functions under other names. Those that have none are counted as others.
    pub fn map<G: Copy + Ord>(&self, name: impl Fn(F) -> Option<G>) -> CallTargets<G> {
        let named = self.votes.iter().filter_map(|(f, votes)| Some((name(*f)?, *votes)));
        CallTargets::new(self.calls, named)
    }

    /// The functions that were called most, the most frequent first: each has votes of a tenth of the calls at least, all
    /// together of a third. (Votes are fewer than calls where many functions are called.)
    pub fn usual(&self) -> impl Iterator<Item = F> {
        let least = self.calls.div_ceil(10).max(1);
        let often = self.votes.iter().take_while(move |(_, votes)| *votes >= least);
        let together = often.clone().fold(0_u64, |sum, (_, votes)| sum.saturating_add(*votes));
        often.filter(move |_| together >= self.calls.div_ceil(3)).map(|(function, _)| *function)
    }

    fn sum(&self) -> u64 {
        self.votes.iter().fold(0, |sum, (_, votes)| sum.saturating_add(*votes))
    }

    fn sorted(mut self) -> CallTargets<F> {
        self.votes.sort_by_key(|(function, votes)| (std::cmp::Reverse(*votes), *function));
        self
    }
}

/// Words for each call.
pub(crate) const WORDS: usize = 4;

const VOTE: u64 = 1 << 32;
const CALL: u64 = 1 << 48;
/// So many calls say enough.
const MOST_CALLS: u64 = u16::MAX as u64;

/// Notes a call of a function.
#[inline(always)]
pub(crate) fn note(words: &[AtomicU64; WORDS], entry: CtxOffset) {
    let first = words[0].load(Relaxed);
    // There may be more votes than calls: threads lose each other's.
    if first >= MOST_CALLS * CALL || votes(first) >= MOST_CALLS {
        return;
    }
    if entry_of(first) == entry && votes(first) != 0 {
        words[0].store(first + VOTE + CALL, Relaxed);
    } else {
        words[0].store(first + CALL, Relaxed);
        note_other(words, entry);
    }
}

/// Notes a call of a function that the first word is not of.
fn note_other(words: &[AtomicU64; WORDS], entry: CtxOffset) {
    let mut free = None;
    for word in words {
        let before = word.load(Relaxed);
        if votes(before) == 0 {
            free = free.or(Some(word));
        } else if entry_of(before) == entry {
            let vote = if votes(before) < MOST_CALLS { VOTE } else { 0 };
            return word.store(before + vote, Relaxed);
        }
    }
    if let Some(word) = free {
        let calls = word.load(Relaxed) & !(CALL - 1);
        return word.store(calls | VOTE | u64::from(entry.as_u32()), Relaxed);
    }
    for word in words {
        let before = word.load(Relaxed);
        // Another thread may have taken it.
        word.store(before - VOTE * votes(before).min(1), Relaxed);
    }
}

/// What the words of a call say.
pub(crate) fn noted(words: &[AtomicU64]) -> CallTargets<CtxOffset> {
    let words: Vec<u64> = words.iter().map(|word| word.load(Relaxed)).collect();
    let calls = words.first().map_or(0, |first| first / CALL);
    let known = words.into_iter().filter(|word| votes(*word) != 0);
    CallTargets::new(calls, known.map(|word| (entry_of(word), votes(word))))
}

fn entry_of(word: u64) -> CtxOffset {
    CtxOffset::from_u32(word as u32)
}

fn votes(word: u64) -> u64 {
    word / VOTE % (CALL / VOTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(calls: impl IntoIterator<Item = u32>) -> CallTargets<CtxOffset> {
        let words = [const { AtomicU64::new(0) }; WORDS];
        calls.into_iter().for_each(|entry| note(&words, CtxOffset::from_u32(entry)));
        noted(&words)
    }

    fn of(calls: impl IntoIterator<Item = u32>) -> Vec<u32> {
        seen(calls).usual().map(CtxOffset::as_u32).collect()
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

    /// What threads leave that come between each other's loads and stores.
    #[test]
    fn there_are_never_more_votes_than_calls() {
        let word = |calls, votes, entry| AtomicU64::new(calls * CALL + votes * VOTE + entry);
        let words = [word(3, 2, 7), word(0, 9, 8), word(0, 0, 0), word(0, 1, 7)];
        let found = noted(&words);
        assert_eq!((found.calls(), found.votes().len()), (11, 2));
        let bounds = found.votes().iter().map(|(_, votes)| (*votes, found.most(*votes)));
        assert_eq!(bounds.collect::<Vec<_>>(), [(9, 9), (2, 2)]);
    }

    #[test]
    fn the_fields_of_a_word_do_not_run_over_into_each_other() {
        let word = |calls, votes, entry| AtomicU64::new(calls * CALL + votes * VOTE + entry);
        for (calls, votes_of_first) in [(MOST_CALLS - 9, 5), (MOST_CALLS - 1, MOST_CALLS)] {
            let others = [8, 9, 10].map(|entry| word(0, MOST_CALLS, entry));
            let [second, third, fourth] = others;
            let words = [word(calls, votes_of_first, 7), second, third, fourth];
            for entry in [7, 8, 9, 10, 7] {
                note(&words, CtxOffset::from_u32(entry));
            }
            let left = words.each_ref().map(|word| word.load(Relaxed));
            assert!(left[0] / CALL >= calls, "{left:x?}");
            assert!(votes(left[0]) >= votes_of_first, "{left:x?}");
            assert!(left[1..].iter().all(|word| word / VOTE == MOST_CALLS), "{left:x?}");
            assert_eq!(left.map(|word| entry_of(word).as_u32()), [7, 8, 9, 10]);
        }
    }

    /// How often a function is among some calls.
    fn count(calls: &[u32], function: u32) -> u64 {
        calls.iter().filter(|call| **call == function).count() as u64
    }

    #[test]
    fn votes_are_bounds_however_they_are_merged() {
        let turns = |n: u32, times: u32| (0..times).map(|i| i % n).collect::<Vec<_>>();
        let skewed = |seed: u32| {
            let next = |x: &u32| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
            let random = std::iter::successors(Some(seed), next).take(5000);
            random.map(|x| (x >> 24) % (1 + (x >> 16) % 12)).collect::<Vec<_>>()
        };
        let runs = [
            vec![],
            turns(1, 10),
            turns(4, 1000),
            turns(7, 1003),
            vec![9; 30],
            (0..100).collect(),
            skewed(1),
            skewed(2),
        ];
        for first in &runs {
            for second in &runs {
                let mut merged = seen(first.iter().copied());
                merged.merge(&seen(second.iter().copied()));
                let all = [&first[..], second].concat();
                assert_eq!(merged.calls(), all.len() as u64);
                assert!(merged.votes().len() <= WORDS && merged.votes().is_sorted_by_key(|v| !v.1));
                for function in 0..100 {
                    let known = merged.votes().iter().find(|(known, _)| known.as_u32() == function);
                    let votes = known.map_or(0, |(_, votes)| *votes);
                    let count = count(&all, function);
                    assert!((votes..=merged.most(votes)).contains(&count), "{merged:?} {function}");
                }
            }
        }
    }
}
