//! Which directories of the container the guest gets.
//!
//! The guest is not to reach file systems of the kernel: by `/proc/self/mem` it could write over the process that runs it.
//! So it does not get `/`, but the largest directories below which there is none of them:
//!
//! ```text
//!   /                 has some below it
//!   ├─ app            the guest's
//!   ├─ dev            has some below it
//!   │  ├─ pts         of the kernel
//!   │  └─ shm         the guest's
//!   ├─ proc           of the kernel
//!   └─ state          the guest's: a volume
//! ```

use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

/// File systems that hold no files, but show the kernel and its processes.
const OF_THE_KERNEL: [&str; 16] = [
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "mqueue",
    "nsfs",
    "proc",
    "securityfs",
    "sysfs",
    "tracefs",
];

/// The directories for the guest, in the order of their names.
///
/// # Errors
///
/// It cannot be found out what is mounted, or a directory cannot be listed.
pub(crate) fn for_guest() -> anyhow::Result<Vec<PathBuf>> {
    const MOUNTS: &str = "/proc/self/mountinfo";
    let mounts = fs::read_to_string(MOUNTS).with_context(|| {
        format!("cannot read {MOUNTS}, by which the guest's directories are chosen")
    })?;
    let mut found = Vec::new();
    add(Path::new("/"), &of_the_kernel(&mounts), &mut found)?;
    Ok(found)
}

/// Adds the directory, or those in it if a file system of the kernel is below it.
fn add(directory: &Path, kernel: &[PathBuf], found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if kernel.iter().any(|mount| directory.starts_with(mount)) {
        return Ok(());
    }
    if !kernel.iter().any(|mount| mount.starts_with(directory)) {
        found.push(directory.to_owned());
        return Ok(());
    }
    let context = || format!("cannot list {}", directory.display());
    let mut inside = Vec::new();
    for entry in fs::read_dir(directory).with_context(context)? {
        let entry = entry.with_context(context)?;
        // What a link leads to is a directory in its own place.
        if entry.file_type().with_context(context)?.is_dir() {
            inside.push(entry.path());
        }
    }
    inside.sort();
    inside.iter().try_for_each(|directory| add(directory, kernel, found))
}

/// Where file systems of the kernel are, by the text of a `mountinfo`.
fn of_the_kernel(mounts: &str) -> Vec<PathBuf> {
    let mount = |line: &str| {
        // A variable number of fields ends with ` - `, after which comes the type.
        let (place, kind) = line.split_once(" - ")?;
        let kind = kind.split(' ').next()?;
        let place = place.split(' ').nth(4)?;
        OF_THE_KERNEL.contains(&kind).then(|| PathBuf::from(unescape(place)))
    };
    mounts.lines().filter_map(mount).collect()
}

/// The kernel writes blanks, tabs, line ends and backslashes as three octal digits.
fn unescape(place: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(place.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::{add, of_the_kernel};
    use std::fs;
    use std::path::{Path, PathBuf};

    #[test]
    fn file_systems_of_the_kernel_are_found_by_their_types() {
        let mounts = "\
            1 0 0:1 / / rw,relatime - overlay overlay rw\n\
            2 1 0:2 / /proc rw,nosuid - proc proc rw\n\
            3 1 0:3 / /dev rw master:4 propagate_from:5 - tmpfs tmpfs rw\n\
            4 3 0:4 / /dev/pts rw - devpts devpts rw\n\
            5 1 8:1 /a /state rw shared:7 - ext4 /dev/sda rw\n\
            6 1 0:2 / /host\\040proc ro - proc proc rw\n";
        let places = ["/proc", "/dev/pts", "/host proc"].map(PathBuf::from);
        assert_eq!(of_the_kernel(mounts), places);
    }

    #[test]
    fn the_guest_gets_what_has_none_of_them_below_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for path in
            ["app/data", "dev/pts", "dev/shm", "proc/1", "state", "deep/er/cgroup", "deep/er/b"]
        {
            fs::create_dir_all(at(path)).unwrap();
        }
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink("proc/1", at("link")).unwrap();
        let found = |kernel: &[&str]| {
            let kernel: Vec<PathBuf> = kernel.iter().map(|path| at(path)).collect();
            let mut found = Vec::new();
            add(root.path(), &kernel, &mut found).unwrap();
            let name = |path: &Path| path.strip_prefix(root.path()).unwrap().display().to_string();
            found.iter().map(|path| name(path)).collect::<Vec<_>>()
        };
        assert_eq!(found(&[]), [""]);
        assert_eq!(found(&["proc"]), ["app", "deep", "dev", "state"]);
        assert_eq!(
            found(&["proc", "dev/pts", "deep/er/cgroup"]),
            ["app", "deep/er/b", "dev/shm", "state"]
        );
        assert_eq!(found(&["proc", "dev", "deep"]), ["app", "state"]);
        assert!(found(&[""]).is_empty());
    }
}
