//! Running the binary in a folder of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder with guests, and a cache.
pub(crate) struct Place {
    temp: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

/// An expectation: the arguments, the exit code, parts of standard output and standard error.
pub(crate) type Case<'a> = (&'a [&'a str], i32, &'a [&'a str], &'a [&'a str]);

/// Compares a whole output with the file of this name, in which times are masked: see `CONTRIBUTING.md`.
pub(crate) fn golden(name: &str, output: &str) {
    super::golden::check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"), name, output);
}

impl Place {
    /// An empty folder.
    pub(crate) fn new() -> Place {
        Place { temp: tempfile::tempdir().unwrap() }
    }

    /// A folder with these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Place {
        let place = Place::new();
        for (name, contents) in files {
            place.write(name, contents);
        }
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardian"));
        command
            .args(args)
            .current_dir(self.temp.path())
            .env_clear()
            .env("WARDIAN_CACHE_DIR", self.cache())
            .env("INHERITED", "yes");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        run(&mut self.command(args), b"")
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ended {
        run(&mut self.command(args), input)
    }

    /// Checks a table.
    pub(crate) fn check(&self, cases: &[Case<'_>]) {
        for (args, code, out, err) in cases {
            let ended = self.run(args);
            let context = || format!("wardian {args:?}: {ended:#?}");
            assert_eq!(ended.code, Some(*code), "{}", context());
            for part in *out {
                assert!(ended.out.contains(part), "{part:?} is not in\n{}", context());
            }
            for part in *err {
                assert!(ended.err.contains(part), "{part:?} is not in\n{}", context());
            }
            assert!(!ended.err.contains("panicked"), "{}", context());
            if *code == 1 {
                assert!(ended.err.starts_with("error: "), "{}", context());
                assert!(!ended.err.contains("os error"), "{}", context());
            }
        }
    }
}

pub(crate) fn run(command: &mut Command, input: &[u8]) -> Ended {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The child may end without having read its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Ended {
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
        took: start.elapsed(),
    }
}

/// How many files there are in a folder.
pub(crate) fn files(path: &Path) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}
