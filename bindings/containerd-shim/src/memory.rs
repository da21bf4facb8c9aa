//! How much memory the guest gets of what its container may use.

use std::fs;
use std::path::Path;

/// Limits of the container's control group, of version 2 and of version 1.
const FILES: [&str; 2] = ["memory.max", "memory/memory.limit_in_bytes"];
/// Version 1 has no word for no limit, but the largest number of pages.
const UNLIMITED: u64 = 1 << 60;
const MIB: u64 = 1 << 20;

/// What the guest's memories may have, where the control groups of the container are mounted here: its limit without what
/// the runtime itself needs, so that a guest that wants too much gets an answer in the place of the end of its process.
pub(crate) fn of_container(groups: &Path) -> Option<u64> {
    let limit = FILES.iter().find_map(|file| fs::read_to_string(groups.join(file)).ok())?;
    // `max` is no number.
    let limit = limit.trim().parse().ok().filter(|limit| *limit < UNLIMITED)?;
    Some(for_guest(limit))
}

/// The rest is for the process itself, machine code and the stacks.
fn for_guest(limit: u64) -> u64 {
    let reserved = (limit / 8).clamp(16 * MIB, 64 * MIB);
    limit.saturating_sub(reserved).max(limit / 2)
}

#[cfg(test)]
mod tests {
    use super::{MIB, for_guest, of_container};
    use std::fs;

    #[test]
    fn limits_of_both_versions_are_read() {
        for (file, text, expected) in [
            ("memory.max", "max\n", None),
            ("memory.max", "268435456\n", Some(224 * MIB)),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n", None),
            ("memory/memory.limit_in_bytes", "134217728\n", Some(112 * MIB)),
            ("cpu.max", "1000\n", None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("memory")).unwrap();
            fs::write(folder.path().join(file), text).unwrap();
            assert_eq!(of_container(folder.path()), expected, "{file}: {text}");
        }
    }

    #[test]
    fn the_guest_gets_at_least_half() {
        for (limit, expected) in [(4, 2), (32, 16), (64, 48), (128, 112), (256, 224), (4096, 4032)]
        {
            assert_eq!(for_guest(limit * MIB), expected * MIB, "{limit} MiB");
        }
    }
}
