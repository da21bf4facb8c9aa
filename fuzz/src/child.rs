//! The process that runs inputs of one target.

use crate::{Options, mutate};
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wardian_fuzz::{Target, outcome};

/// Inputs that are kept because they had a new outcome, at most.
const MOST_KEPT: usize = 4096;

/// Where the input that runs lies.
pub(crate) fn current_path(artifacts: &Path, target: Target) -> PathBuf {
    artifacts.join(target.name).join("current")
}

/// Runs inputs until the time is over. The exit code is that of a finding if one panics.
pub(crate) fn run(target: Target, options: &Options) -> ExitCode {
    let path = current_path(&options.artifacts, target);
    std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder for artifacts");
    let current = std::fs::File::create(&path).expect("a file for the input");
    let watch = watch(target, options);
    let mut corpus = (target.seeds)();
    corpus.extend(kept(&options.corpus.join(target.name)));
    let seeds = corpus.len();
    let mut kinds = BTreeSet::new();
    let (start, limit) = (Instant::now(), Duration::from_secs(options.seconds));
    let mut executions = 0u64;
    while start.elapsed() < limit {
        // Every seed as it is, then mutations of what is there.
        let input = match corpus.get(executions as usize) {
            Some(seed) if (executions as usize) < seeds => seed.clone(),
            _ => mutate::input(options.seed, executions, &corpus, target.longest),
        };
        write(&current, &input);
        watch.store(start.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
        let done = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        watch.store(0, Ordering::Relaxed);
        executions += 1;
        if done.is_err() {
            return ExitCode::FAILURE;
        }
        let before = kinds.len();
        kinds.extend(outcome::take());
        if kinds.len() > before && corpus.len() < seeds + MOST_KEPT {
            corpus.push(input);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}: {executions} executions in {seconds:.0} s ({:.0}/s), {seeds} seeds, {} kept, {} kinds of outcomes",
        target.name,
        executions as f64 / seconds,
        corpus.len() - seeds,
        kinds.len()
    );
    if options.kinds {
        kinds.iter().for_each(|kind| println!("  {kind}"));
    }
    drop(std::fs::remove_file(path));
    ExitCode::SUCCESS
}

/// So that a crash, which leaves nothing else, can be run again.
fn write(file: &std::fs::File, input: &[u8]) {
    let written = file.write_all_at(input, 0).and_then(|()| file.set_len(input.len() as u64));
    written.expect("the input can be kept");
}

/// Inputs that a folder holds, in the order of their names.
fn kept(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = files.flatten().map(|file| file.path()).collect();
    paths.sort();
    paths.into_iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// How often it is looked whether an input runs for too long.
const TICK: Duration = Duration::from_millis(200);

/// Ends the process when an input runs for too long or takes too much memory. The answer is where to
/// write when an input began, in milliseconds from now on and not zero; zero between inputs.
fn watch(target: Target, options: &Options) -> Arc<AtomicU64> {
    let began = Arc::new(AtomicU64::new(0));
    let seen = began.clone();
    let (timeout, rss) = (Duration::from_secs(options.timeout), options.rss << 20);
    std::thread::spawn(move || {
        let (mut last, mut ran) = (0, Duration::ZERO);
        loop {
            std::thread::sleep(TICK);
            // What passes while the whole process is paused is not counted, so a clock is no help.
            let at = seen.load(Ordering::Relaxed);
            ran = if at != 0 && at == last { ran + TICK } else { Duration::ZERO };
            last = at;
            if ran > timeout {
                eprintln!("{}: an input runs for more than {} s", target.name, timeout.as_secs());
                std::process::exit(3);
            }
            if resident() > rss {
                eprintln!("{}: the process has more than {} MiB", target.name, rss >> 20);
                std::process::exit(4);
            }
        }
    });
    began
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/statm") else { return 0 };
    let pages = text.split(' ').nth(1).and_then(|word| word.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
