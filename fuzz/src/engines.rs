//! Generated modules on all engines: the comparison of the differential test, driven by bytes.

use crate::outcome::note;
use crate::seeds;
use crate::{calls, generate, mutate, places, run as differential, tries_run};
use std::sync::atomic::Ordering;

/// Ways of making a module.
const KINDS: u8 = 7;

pub(crate) fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let (seed, rest) = rest.split_at(rest.len().min(8));
    let seed = seed.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let before = crate::RAN.each_ref().map(|n| n.load(Ordering::Relaxed));
    let compared = match kind % KINDS {
        0 => places::compare(seed),
        1 => differential::compare(seed, &calls::module(seed)),
        2 => differential::compare(seed, &mutate::damaged(seed)),
        3 => differential::compare(seed, &generate::module(seed)),
        // A module as it is.
        4 if !generate::waits(rest) => differential::compare(seed, rest),
        5 => tries_run::compare(seed),
        6 => generate::from_bytes(seed, rest)
            .map_or(Ok(()), |module| differential::compare(seed, &module)),
        _ => Ok(()),
    };
    if let Err(failed) = compared {
        panic!("{}", failed.message().unwrap_or("engines differ"));
    }
    let now = crate::RAN.each_ref().map(|n| n.load(Ordering::Relaxed));
    let magnitude = |i: usize| (now[i] - before[i]).checked_ilog2();
    note(format!("{}: ran {}, lines {:?}", kind % KINDS, now[1] - before[1], magnitude(2)));
}

/// One of each kind, and the modules of the repository that are small.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = (0..8 * KINDS)
        .map(|i| {
            let mut bytes = vec![i % KINDS, 0, 0, 0, 0, 0, 0, 0, i];
            bytes.extend((0..=255u8).map(|b| b.wrapping_mul(i | 1).rotate_left(3)));
            bytes
        })
        .collect();
    let modules = seeds::modules().into_iter().filter(|m| m.len() < 2 << 10);
    found.extend(modules.map(|m| [&[4, 0, 0, 0, 0, 0, 0, 0, 2][..], &m].concat()));
    found
}
