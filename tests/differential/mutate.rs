//! Modules with a few bytes changed: invalid, or valid in ways that no generator thinks of.

use crate::random::Random;

/// A damaged module, which never waits.
pub(crate) fn damaged(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed, "damage");
    let mut bytes = crate::generate::module(seed);
    for _ in 0..=random.below(3) {
        damage(&mut bytes, &mut random);
    }
    if crate::generate::waits(&bytes) { Vec::new() } else { bytes }
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    // Not the first eight, without which nothing is looked at.
    if bytes.len() < 10 {
        return;
    }
    let at = 8 + random.below(bytes.len() - 8);
    match random.below(10) {
        0..=3 => bytes[at] ^= 1 << random.below(8),
        4 => bytes[at] = random.next() as u8,
        5 => bytes[at] = bytes[at].wrapping_add(1),
        6 => bytes[at] = bytes[8 + random.below(bytes.len() - 8)],
        7 => bytes.insert(at, random.next() as u8),
        8 => drop(bytes.remove(at)),
        _ => {
            let end = (at + random.below(12)).min(bytes.len());
            let copied = bytes[at..end].to_vec();
            let to = 8 + random.below(bytes.len() - 8);
            bytes.splice(to..to, copied);
        }
    }
}
