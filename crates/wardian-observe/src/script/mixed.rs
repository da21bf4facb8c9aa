//! Calls of the program among those of the interpreter that runs it.

use super::{GuestFrames, Shape};
use std::collections::HashMap;

/// Calls of the program that one call of the interpreter's function runs, the innermost first.
pub(crate) type Run<T> = Vec<T>;

/// Puts links into runs. Those that are none of the program's calls give nothing.
pub(crate) fn runs<T>(
    shape: Shape,
    links: impl Iterator<Item = (u32, u32, bool)>,
    mut call: impl FnMut(u32, u32) -> Option<T>,
) -> Vec<Run<T>> {
    let (mut runs, mut run, mut is_open) = (Vec::new(), Vec::new(), false);
    for (code, instruction, marked) in links {
        if shape.has_own_frames && code == 0 {
            continue;
        }
        is_open = true;
        if !marked || shape.mark_is_call {
            run.extend(call(code, instruction));
        }
        if marked {
            runs.push(std::mem::take(&mut run));
            is_open = false;
        }
    }
    if is_open {
        runs.push(run);
    }
    runs
}

/// The calls of the program among the others, the innermost first. `is_evaluator` knows those calls of the interpreter
/// that run code: each has one run, which stands inside it.
pub(crate) fn mix<T: Copy>(
    how: GuestFrames,
    frames: Vec<T>,
    runs: Vec<Run<T>>,
    is_evaluator: impl Fn(T) -> bool,
    is_host: impl Fn(T) -> bool,
) -> Vec<T> {
    let has_calls = runs.iter().any(|run| !run.is_empty());
    match how {
        GuestFrames::Off => frames,
        _ if !has_calls => frames,
        GuestFrames::Only => {
            // Who is at work for the innermost call is worth to know.
            let host = frames.first().copied().filter(|top| is_host(*top));
            host.into_iter().chain(runs.into_iter().flatten()).collect()
        }
        GuestFrames::Mixed => {
            let mut mixed = Vec::with_capacity(frames.len() + 16);
            let mut runs = runs.into_iter();
            for frame in frames {
                if is_evaluator(frame) {
                    mixed.extend(runs.next().unwrap_or_default());
                }
                mixed.push(frame);
            }
            // Those whose interpreter was cut off the stack have called all of it.
            if mixed.iter().any(|frame| is_evaluator(*frame)) {
                mixed.extend(runs.flatten());
            }
            mixed
        }
    }
}

/// Finds out which function of an interpreter runs code, where names are missing. In almost all samples it is called as
/// often as there are runs. Of several it is the largest one, or, if it need not be large, the innermost one.
#[derive(Debug, Default)]
pub(crate) struct Evaluator {
    known: HashMap<u32, Votes>,
    /// Stacks that it has learned from.
    stacks: u32,
    found: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Votes {
    size: usize,
    /// Calls of the interpreter's around the outermost one of it.
    depth: usize,
    fits: u32,
    misses: u32,
}

/// Bytes of code that it has at least.
const LEAST: usize = 4096;
/// Functions that are looked at.
const MOST: usize = 256;

impl Evaluator {
    /// One that is known.
    pub(crate) fn named(func: u32) -> Evaluator {
        Evaluator { found: Some(func), ..Evaluator::default() }
    }

    /// The function, if it is known.
    pub(crate) fn func(&self) -> Option<u32> {
        self.found
    }

    /// Learns from a stack that is not whole: the largest function on it is likely to be it, if it is large.
    pub(crate) fn learn_most(&mut self, shape: Shape, funcs: impl Iterator<Item = (u32, usize)>) {
        if !shape.evaluator_is_large {
            return;
        }
        let large = funcs.filter(|(_, size)| *size >= LEAST);
        self.found = large.max_by_key(|(_, size)| *size).map(|(func, _)| func);
    }

    /// Learns from a whole stack: the functions of the interpreter's module on it with the sizes of their code, the
    /// innermost first.
    pub(crate) fn learn(
        &mut self,
        shape: Shape,
        runs: usize,
        funcs: impl Iterator<Item = (u32, usize)>,
    ) {
        if runs == 0 {
            return;
        }
        let funcs: Vec<(u32, usize)> = funcs.collect();
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for (depth, (func, size)) in funcs.into_iter().rev().enumerate() {
            if shape.evaluator_is_large && size < LEAST {
                continue;
            }
            *counts.entry(func).or_default() += 1;
            if self.known.len() < MOST {
                // It was not in those before.
                let new = Votes { size, depth, fits: 0, misses: self.stacks };
                self.known.entry(func).or_insert(new);
            }
        }
        self.stacks = self.stacks.saturating_add(1);
        for (func, votes) in &mut self.known {
            match counts.get(func) {
                Some(count) if *count == runs => votes.fits = votes.fits.saturating_add(1),
                _ => votes.misses = votes.misses.saturating_add(1),
            }
        }
        let likely = self.known.iter().filter(|(_, v)| v.misses.saturating_mul(10) <= v.fits);
        let rank = |votes: &Votes| if shape.evaluator_is_large { votes.size } else { votes.depth };
        self.found = likely.max_by_key(|(_, votes)| rank(votes)).map(|(func, _)| *func);
    }
}

#[cfg(test)]
mod tests {
    use super::{Evaluator, mix, runs};
    use crate::script::{GuestFrames, Shape};

    const CALL: Shape = Shape {
        evaluator: "",
        evaluator_is_large: true,
        mark_is_call: true,
        has_own_frames: false,
    };
    const BORDER: Shape = Shape { mark_is_call: false, ..CALL };
    const SMALL: Shape = Shape { evaluator_is_large: false, ..CALL };

    /// `e` evaluates, `H` is the host; digits are calls of the program.
    fn mixed(how: GuestFrames, frames: &str, calls: &[&str]) -> String {
        let calls = calls.iter().map(|run| run.chars().collect()).collect();
        let is_evaluator = |frame| frame == 'e';
        mix(how, frames.chars().collect(), calls, is_evaluator, |frame| frame == 'H')
            .iter()
            .collect()
    }

    #[test]
    fn links_are_put_into_runs() {
        let links = [(1, 0, false), (2, 0, true), (3, 0, true), (4, 0, false)];
        let call = |code, _| Some(code);
        assert_eq!(runs(CALL, links.into_iter(), call), [vec![1, 2], vec![3], vec![4]]);
        assert_eq!(runs(BORDER, links.into_iter(), call), [vec![1], vec![], vec![4]]);
        assert_eq!(runs(CALL, links[..3].iter().copied(), call).len(), 2);
        let with_own = [(0, 0, false), (1, 0, true), (0, 0, true), (2, 0, true)];
        let own = Shape { has_own_frames: true, ..CALL };
        assert_eq!(runs(own, with_own.into_iter(), call), [vec![1], vec![2]]);
    }

    #[test]
    fn each_run_stands_inside_its_call_of_the_interpreter() {
        let mix = |frames, calls: &[&str]| mixed(GuestFrames::Mixed, frames, calls);
        assert_eq!(mix("Hsevem", &["12", "3"]), "Hs12ev3em");
        // The outer calls were cut off, or there are fewer than evaluators.
        assert_eq!(mix("se", &["1", "2", "3"]), "s1e23");
        assert_eq!(mix("eve", &["1"]), "1eve");
        // It is not known which function evaluates, or nothing of the program is known.
        assert_eq!(mix("sv", &["1"]), "sv");
        assert_eq!(mix("se", &[""]), "se");
    }

    #[test]
    fn the_interpreter_can_be_left_out() {
        assert_eq!(mixed(GuestFrames::Only, "Hsevem", &["12", "3"]), "H123");
        assert_eq!(mixed(GuestFrames::Only, "sem", &["12"]), "12");
        assert_eq!(mixed(GuestFrames::Only, "sem", &[]), "sem");
        assert_eq!(mixed(GuestFrames::Off, "sem", &["12"]), "sem");
    }

    #[test]
    fn the_function_that_evaluates_is_found_without_names() {
        let mut evaluator = Evaluator::default();
        let stack = |funcs: &[u32]| {
            let sizes =
                |func: &u32| (*func, if *func == 7 { 90_000 } else { 5_000 + *func as usize });
            funcs.iter().map(sizes).collect::<Vec<_>>()
        };
        // A larger one, 7, is only there now and then.
        evaluator.learn(CALL, 1, stack(&[7, 2, 1]).into_iter());
        evaluator.learn(CALL, 2, stack(&[2, 3, 2, 1]).into_iter());
        evaluator.learn(CALL, 3, stack(&[2, 3, 2, 2, 1]).into_iter());
        assert_eq!(evaluator.func(), Some(2));
        let mut small = Evaluator::default();
        small.learn(CALL, 1, [(1, 100)].into_iter());
        assert_eq!(small.func(), None);
        // Of those that fit the innermost one; what it calls differs.
        let mut small = Evaluator::default();
        for (runs, funcs) in
            [(1, &[9, 2, 1][..]), (1, &[2, 1]), (2, &[8, 2, 3, 2, 1]), (1, &[4, 2, 1])]
        {
            small.learn(SMALL, runs, funcs.iter().map(|func| (*func, 100)));
        }
        assert_eq!(small.func(), Some(2));
        assert_eq!(Evaluator::named(4).func(), Some(4));
    }
}
