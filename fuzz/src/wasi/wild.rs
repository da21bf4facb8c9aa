//! Calls with any arguments.

use super::guest::Guest;
use crate::input::Input;
use std::path::Path;
use wardian_wasi::{Errno, Slot, Stop, preview1};

/// Where paths, lists of buffers and results lie.
const PATHS: u64 = 1 << 10;
const EACH: u64 = 256;
const LISTS: u64 = 64 << 10;

pub(super) fn run(guest: &mut Guest, input: &mut Input<'_>, outside: &Path) {
    let outside = outside.to_string_lossy().into_owned();
    let canary = format!("{outside}/canary");
    let paths = [
        "a",
        "b",
        "a/b",
        "l",
        "l/a",
        "l/b",
        "m",
        "m/canary",
        "..",
        "../outside",
        "../outside/canary",
        "../outside/d",
        "a/../../outside/canary",
        "/",
        "",
        ".",
        "l/../../outside/canary",
        "d/b",
        "./a/./b/../c",
        "/proc/self/root",
        "../fixed/a",
        "a/",
        "l/",
        "\u{fffd}x",
        &outside,
        &canary,
    ];
    for (number, path) in paths.iter().enumerate() {
        let at = (PATHS + EACH * number as u64) as usize;
        guest.memory.0[at..at + path.len()].copy_from_slice(path.as_bytes());
    }
    for number in 0..32u32 {
        let at = LISTS as usize + 8 * number as usize;
        let bytes = [(70_000 + number * 100).to_le_bytes(), (number * 7).to_le_bytes()].concat();
        guest.memory.0[at..at + 8].copy_from_slice(&bytes);
    }
    let functions: Vec<_> =
        preview1().iter().filter(|f| !matches!(f.name, "proc_exit" | "poll_oneoff")).collect();
    while !input.is_empty() {
        let function = functions[input.below(functions.len())];
        let any_numbers = function.name == "path_open" || function.name == "fd_fdstat_set_rights";
        let mut args: Vec<u64> = Vec::new();
        for (at, slot) in function.params.iter().enumerate() {
            let previous = args.last().copied().unwrap_or(0);
            args.push(match slot {
                Slot::I64 if any_numbers && input.flag() => u64::MAX,
                Slot::I64 if any_numbers => input.number(),
                // Files stay small.
                Slot::I64 => input.number() & 0xf_ffff,
                Slot::I32 if at == 0 && function.name != "path_symlink" => descriptor(input),
                // Behind a path its length.
                Slot::I32 if is_path(previous) => length(&paths, previous, input),
                Slot::I32 => word(paths.len(), input),
            });
        }
        match guest.try_call(function.name, &args) {
            Ok(errno) => assert_ne!(errno.name(), "", "{}", function.name),
            Err(Stop::Exit(_)) => return,
            Err(stop) => panic!("{} {args:?}: {stop}", function.name),
        }
    }
    let _ = Errno::Success;
}

fn is_path(word: u64) -> bool {
    (PATHS..PATHS + EACH * 32).contains(&word) && word.is_multiple_of(EACH)
}

fn length(paths: &[&str], at: u64, input: &mut Input<'_>) -> u64 {
    let whole = paths.get(((at - PATHS) / EACH) as usize).map_or(0, |p| p.len() as u64);
    if input.below(16) == 0 { u64::from(input.byte()) } else { whole }
}

fn descriptor(input: &mut Input<'_>) -> u64 {
    match input.below(8) {
        0 => u64::from(input.byte() % 3),
        1 => 4,
        2 | 3 => 5 + u64::from(input.byte() % 6),
        4 if input.below(4) == 0 => 0xffff_ffff,
        _ => 3,
    }
}

/// A path, a list, a place for results, a descriptor, flags, or any number.
fn word(paths: usize, input: &mut Input<'_>) -> u64 {
    match input.below(8) {
        0..=2 => PATHS + EACH * input.below(paths) as u64,
        3 => LISTS + 8 * u64::from(input.byte() % 32),
        4 => 120_000,
        5 => 3 + u64::from(input.byte() % 8),
        6 => u64::from(input.byte() % 16),
        _ => input.number() & 0xffff_ffff,
    }
}
