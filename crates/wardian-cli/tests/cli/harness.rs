//! Running the binary in a folder of its own.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The command under test.
pub(crate) const WARDIAN: &str = env!("CARGO_BIN_EXE_wardian");

/// What runs a command with the default dispositions of signals. Who runs the tests may ignore some, as
/// `nohup` does, and children inherit that.
const ENV: &str = "/usr/bin/env";
const DEFAULT_SIGNALS: &str = "--default-signal";

/// Whether there is an `env` that does: that of the GNU coreutils, since 8.31.
fn resets_signals() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let tried =
            Command::new(ENV).args([DEFAULT_SIGNALS, "true"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    })
}

/// What has not ended after so long hangs.
const PATIENCE: Duration = Duration::from_secs(300);

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
        let mut command = match resets_signals() {
            true => Command::new(ENV),
            false => Command::new(WARDIAN),
        };
        if resets_signals() {
            command.args([DEFAULT_SIGNALS, WARDIAN]);
        }
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
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // The child may end without having read its input.
    std::thread::spawn(move || stdin.write_all(&input));
    let Output { status, stdout, stderr } = end(child);
    Ended {
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
        took: start.elapsed(),
    }
}

/// The end of a child, and what it writes until then to the pipes that it was given. One that does not end
/// is killed, and fails the test.
pub(crate) fn end(mut child: Child) -> Output {
    let stdout = child.stdout.take().map(|pipe| in_background(move || rest(pipe)));
    let stderr = child.stderr.take().map(|pipe| in_background(move || rest(pipe)));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it does not end: {child:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let all = |pipe: Option<Receiver<_>>| {
        pipe.map(|pipe| pipe.recv_timeout(PATIENCE).unwrap()).unwrap_or_default()
    };
    Output { status, stdout: all(stdout), stderr: all(stderr) }
}

/// What is read from a child that runs. One of which it cannot be read in time is killed, and fails the
/// test.
pub(crate) fn in_time<T: Send + 'static>(
    child: &mut Child,
    read: impl FnOnce() -> T + Send + 'static,
) -> T {
    in_background(read).recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let _ = child.kill();
        panic!("nothing comes of it: {child:?}");
    })
}

fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (done, result) = channel();
    // Nobody may wait for it any more.
    std::thread::spawn(move || drop(done.send(work())));
    result
}

fn rest(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).unwrap();
    bytes
}

/// How many files there are in a folder.
pub(crate) fn files(path: &Path) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}
