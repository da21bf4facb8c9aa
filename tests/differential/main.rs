//! Generated modules do the same on all engines: results, traps with their places, state, fuel, and
//! what listeners and snapshots see of them.
//!
//! Modules and everything that happens to them follow from a seed. `WARDIAN_FUZZ_SEEDS=FIRST..LAST`
//! runs other seeds than the few that are always run, `WARDIAN_FUZZ_SECONDS=N` stops after that time,
//! `WARDIAN_FUZZ_DUMP=DIR` keeps the modules that throw, with what they did, and `WARDIAN_FUZZ_TRACE=1` names each seed
//! before it runs, for those that end the process.

mod calls;
mod carried;
mod generate;
mod heard;
mod kept;
mod mutate;
mod places;
mod processes;
mod random;
mod run;
mod tries;
mod tries_run;
mod tries_text;
mod ways;
mod world;

use libtest_mimic::{Arguments, Failed, Trial};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wardian_tests::time_limit::limited;

/// Seeds that are always run.
const USUAL: Range<u64> = 0..160;
/// Seeds in one trial.
const CHUNK: u64 = 20;

/// How many seeds were run, how many of them gave a module that could be run, and how many lines
/// were compared.
pub(crate) static RAN: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

fn main() -> std::process::ExitCode {
    if let Some(code) = processes::child(carried::arrived) {
        return code;
    }
    let arguments = Arguments::from_args();
    let seeds = seeds();
    // They take longer than the others.
    let step = if seeds == USUAL { 4 } else { 1 };
    let mut trials = Vec::new();
    for first in seeds.clone().step_by(CHUNK as usize) {
        let chunk = first..(first + CHUNK).min(seeds.end);
        let same = chunk.clone();
        let (calls, traps, tries) = (chunk.clone(), chunk.clone(), chunk.clone());
        let moved = chunk.clone();
        trials.push(Trial::test(format!("tries in both forms {first}"), move || {
            each(tries.step_by(step), tries_run::compare)
        }));
        trials.push(Trial::test(format!("carried modules {first}"), move || {
            each(moved, carried::compare)
        }));
        trials.push(Trial::test(format!("places of traps {first}"), move || {
            each(traps, places::compare)
        }));
        trials.push(Trial::test(format!("modules of calls {first}"), move || {
            each(calls, |seed| run::compare(seed, &calls::module(seed)))
        }));
        trials.push(Trial::test(format!("generated modules {first}"), move || {
            each(same, |seed| run::compare(seed, &generate::module(seed)))
        }));
        trials.push(Trial::test(format!("damaged modules {first}"), move || {
            each(chunk, |seed| run::compare(seed, &mutate::damaged(seed)))
        }));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let [seeds, modules, lines] = [0, 1, 2].map(|i| RAN[i].load(Ordering::Relaxed));
    eprintln!("{seeds} seeds, {modules} modules that ran, {lines} lines compared");
    conclusion.exit_code()
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("WARDIAN_FUZZ_SEEDS") else { return USUAL };
    let parse = |s: &str| s.parse::<u64>().expect("WARDIAN_FUZZ_SEEDS is FIRST..LAST");
    let (first, last) = text.split_once("..").expect("WARDIAN_FUZZ_SEEDS is FIRST..LAST");
    parse(first)..parse(last)
}

/// Runs seeds until the time is over, and says which one failed.
fn each(
    seeds: impl Iterator<Item = u64>,
    one: impl Fn(u64) -> Result<(), Failed>,
) -> Result<(), Failed> {
    static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let seconds = std::env::var("WARDIAN_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let limit = Duration::from_secs(seconds.unwrap_or(u64::MAX));
    let trace = std::env::var_os("WARDIAN_FUZZ_TRACE").is_some();
    for seed in seeds {
        if BEGAN.elapsed() > limit {
            break;
        }
        if trace {
            eprintln!("seed {seed}");
        }
        let named = NameSeed(seed);
        limited(&format!("seed {seed}"), || one(seed))?;
        RAN[0].fetch_add(1, Ordering::Relaxed);
        drop(named);
    }
    Ok(())
}

/// Names the seed if what it gave panics.
struct NameSeed(u64);

impl Drop for NameSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}
