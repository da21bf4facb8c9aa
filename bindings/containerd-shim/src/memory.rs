//! How much memory the guest gets of what its container may use.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Version 1 has no word for no limit, but the largest number of pages.
const UNLIMITED: u64 = 1 << 60;
const MIB: u64 = 1 << 20;

/// What the guest's memories may have, where the control groups of the container are mounted here: its limit without what
/// the runtime itself needs, so that a guest that wants too much gets an answer in the place of the end of its process.
///
/// `membership` is what `/proc/self/cgroup` says: where there is no namespace of control groups, the container's group lies
/// somewhere below the mount.
pub(crate) fn of_container(groups: &Path, membership: &str) -> Option<u64> {
    let limits = files(groups, membership).into_iter().filter_map(|file| {
        // `max` is no number.
        fs::read_to_string(file).ok()?.trim().parse().ok().filter(|limit| *limit < UNLIMITED)
    });
    // A group has no more than those around it.
    limits.min().map(for_guest)
}

/// Files that may have a limit: of the container's group and of those around it, of version 2 and of version 1.
fn files(groups: &Path, membership: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut add = |mount: &Path, group: &str, file: &str| {
        let group = Path::new(group.trim_start_matches('/'));
        // A group outside of the namespace is named by `..`.
        let is_below = group.components().all(|part| matches!(part, Component::Normal(_)));
        let group = if is_below { group } else { Path::new("") };
        files.extend(group.ancestors().map(|group| mount.join(group).join(file)));
    };
    for line in membership.lines() {
        // The number of the hierarchy, its controllers, the group.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        match controllers {
            "" => add(groups, group, "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                add(&groups.join("memory"), group, "memory.limit_in_bytes");
            }
            _ => {}
        }
    }
    add(groups, "", "memory.max");
    add(&groups.join("memory"), "", "memory.limit_in_bytes");
    files
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
        for (membership, given, expected) in [
            ("0::/", &[("memory.max", "max\n")][..], None),
            ("0::/", &[("memory.max", "268435456\n")], Some(224 * MIB)),
            ("", &[("memory.max", "268435456\n")], Some(224 * MIB)),
            // The container's group below the mount, and limits of those around it.
            ("0::/pods/a/b", &[("pods/a/b/memory.max", "268435456\n")], Some(224 * MIB)),
            (
                "0::/pods/a/b",
                &[("pods/a/b/memory.max", "268435456"), ("pods/a/memory.max", "134217728")],
                Some(112 * MIB),
            ),
            (
                "0::/pods/a/b",
                &[("pods/a/b/memory.max", "max"), ("pods/memory.max", "134217728")],
                Some(112 * MIB),
            ),
            ("0::/pods/a", &[("pods/b/memory.max", "268435456")], None),
            ("0::/../../other", &[("memory.max", "268435456")], Some(224 * MIB)),
            ("", &[("memory/memory.limit_in_bytes", "9223372036854771712\n")], None),
            ("", &[("memory/memory.limit_in_bytes", "134217728\n")], Some(112 * MIB)),
            (
                "5:cpu,cpuacct:/c\n4:memory:/a/b\n0::/",
                &[("memory/a/b/memory.limit_in_bytes", "134217728")],
                Some(112 * MIB),
            ),
            ("0::/", &[("cpu.max", "1000\n")], None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for (file, text) in given {
                let file = folder.path().join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            assert_eq!(
                of_container(folder.path(), membership),
                expected,
                "{membership}: {given:?}"
            );
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
