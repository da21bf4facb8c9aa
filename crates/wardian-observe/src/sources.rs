//! Source lines for reports.
//!
//! Which files are read is said by a guest's debug information, and guests are not trusted: it could
//! name any file of whoever makes the report, who may then send it to others. So only regular files whose
//! names have the ending of a programming language are read.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

const ENDINGS: [&str; 34] = [
    "rs", "c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx", "inc", "inl", "ipp", "go", "zig", "ts",
    "swift", "d", "nim", "f", "f90", "f95", "hs", "ml", "kt", "m", "mm", "cs", "py", "rb", "s",
    "wat", "mbt", "grain", "odin",
];
const MAX_BYTES: u64 = 4 << 20;
/// Bytes of a line that are shown.
const MAX_LINE: usize = 400;

/// Files that have been looked for.
#[derive(Default)]
pub(crate) struct Sources {
    files: HashMap<String, Option<Vec<String>>>,
}

impl Sources {
    /// The text of a line, from 1, if the file can be read.
    pub(crate) fn line(&mut self, file: &str, line: u32) -> Option<String> {
        if !self.files.contains_key(file) {
            self.files.insert(file.to_owned(), read(file));
        }
        let lines = self.files.get(file)?.as_ref()?;
        lines.get(line.checked_sub(1)? as usize).cloned()
    }
}

fn read(file: &str) -> Option<Vec<String>> {
    let path = Path::new(file);
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    // What a link leads to may be anything.
    let meta = fs::symlink_metadata(path).ok()?;
    if !ENDINGS.contains(&&*ending) || !meta.is_file() || meta.len() > MAX_BYTES {
        return None;
    }
    let text = fs::read(path).ok()?;
    let line = |line: &str| line.chars().take(MAX_LINE).collect();
    Some(String::from_utf8_lossy(&text).lines().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::Sources;

    #[test]
    fn only_source_files_are_read() {
        let mut sources = Sources::default();
        let this = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sources.rs");
        let first = sources.line(this, 1).expect("this file is there");
        assert_eq!(first, "//! Source lines for reports.");
        assert_eq!(sources.line(this, 0), None);
        assert_eq!(sources.line(this, 100_000), None);
        for file in ["/etc/passwd", "/proc/self/environ", "", "/", "/none.rs", "/dev/zero"] {
            assert_eq!(sources.line(file, 1), None, "{file}");
        }
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(sources.line(manifest, 1), None);
    }
}
