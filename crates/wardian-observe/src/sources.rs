//! Source lines for reports.
//!
//! A guest's debug information says which files are read, and guests are not trusted: it could name any file
//! of the user who makes the report, who may then send it to others. So only regular files whose names have
//! the extension of a programming language are read.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;

const ENDINGS: [&str; 34] = [
    "rs", "c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx", "inc", "inl", "ipp", "go", "zig", "ts",
    "swift", "d", "nim", "f", "f90", "f95", "hs", "ml", "kt", "m", "mm", "cs", "py", "rb", "s",
    "wat", "mbt", "grain", "odin",
];
const MAX_BYTES: u64 = 4 << 20;
/// Bytes of all files together, and how many there are: further files are treated as missing.
const MAX_TOTAL: u64 = 64 << 20;
const MAX_FILES: usize = 4096;
/// Bytes of a line that are shown.
const MAX_LINE: usize = 400;

/// Files that have been looked for.
#[derive(Default)]
pub(crate) struct Sources {
    files: HashMap<String, Option<Vec<String>>>,
    bytes: u64,
}

impl Sources {
    /// The text of a line, from 1, if the file can be read.
    pub(crate) fn line(&mut self, file: &str, line: u32) -> Option<String> {
        if !self.files.contains_key(file) && self.files.len() < MAX_FILES {
            let text = read(file, MAX_BYTES.min(MAX_TOTAL - self.bytes));
            let (lines, bytes) = text.unzip();
            self.bytes += bytes.unwrap_or(0);
            self.files.insert(file.to_owned(), lines);
        }
        let lines = self.files.get(file)?.as_ref()?;
        lines.get(line.checked_sub(1)? as usize).cloned()
    }
}

/// Its lines, and how many bytes it has, if they are not too many.
fn read(file: &str, max: u64) -> Option<(Vec<String>, u64)> {
    let path = Path::new(file);
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    // What a link leads to may be anything.
    let meta = fs::symlink_metadata(path).ok()?;
    if !ENDINGS.contains(&&*ending) || !meta.is_file() || meta.len() > max {
        return None;
    }
    let mut text = Vec::new();
    // It may have grown since.
    fs::File::open(path).ok()?.take(max).read_to_end(&mut text).ok()?;
    let line = |line: &str| line.chars().take(MAX_LINE).collect();
    Some((String::from_utf8_lossy(&text).lines().map(line).collect(), text.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::Sources;

    #[test]
    fn all_files_together_are_bounded() {
        let mut sources = Sources::default();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        // One file by many names.
        let name = |i: usize| format!("{folder}/{}sources.rs", "./".repeat(i));
        assert!((0..100).all(|i| sources.line(&name(i), 1).is_some()));
        sources.bytes = super::MAX_TOTAL;
        assert_eq!(sources.line(&name(100), 1), None);
        assert!(sources.line(&name(0), 1).is_some());
    }

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
