//! Ctrl-C while somebody looks on.

use super::harness::{self, Place, WARDIAN, in_time};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Says that it runs, and then never ends; `read` waits for input that does not come.
const PROGRAM: &str = r#"(module $prog
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\06\00\00\00ready\n")
  (data (i32.const 32) "\40\00\00\00\06\00\00\00")
  (func $step (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $spin (local i32) (loop $l (local.set 0 (call $step (local.get 0))) (br $l)))
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (drop (call $args (i32.const 20) (i32.const 24)))
    (if (i32.eq (i32.load (i32.const 20)) (i32.const 2))
      (then (drop (call $read (i32.const 0) (i32.const 32) (i32.const 1) (i32.const 16)))))
    (call $spin)))"#;

/// Starts a command, and waits until its guest runs.
fn start(command: &mut Command) -> Child {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    child.stdout = Some(in_time(&mut child, move || {
        stdout.read_exact(&mut [0; 6]).unwrap();
        stdout
    }));
    std::thread::sleep(Duration::from_millis(200));
    child
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// The exit code or the signal, negative, as the system tells them apart; and what was written to standard
/// error.
fn end(mut child: Child) -> (i32, String) {
    // Held until now: the guest's input goes on.
    let stdin = child.stdin.take();
    let Output { status, stderr, .. } = harness::end(child);
    drop(stdin);
    (ended(status), String::from_utf8(stderr).unwrap())
}

fn ended(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| -signal)).unwrap()
}

#[test]
fn what_was_seen_is_written() {
    let place = Place::with(&[("prog.wat", PROGRAM)]);
    let limited = ["trace", "--limit", "100KiB", "--format", "json", "-o", "out", "prog.wat"];
    let folded = &["profile", "--exact", "-o", "out.folded", "prog.wat"];
    let cases: [(&[&str], Signal, &str); 9] = [
        (&["profile", "--format", "folded", "-o", "out", "prog.wat"], Signal::SIGINT, "spin"),
        (folded, Signal::SIGINT, "spin;step"),
        (folded, Signal::SIGTERM, "spin;step"),
        (folded, Signal::SIGHUP, "spin;step"),
        (&limited, Signal::SIGINT, "\"dropped\":"),
        (&["coverage", "-o", "out.lcov", "prog.wat"], Signal::SIGTERM, "FN"),
        (&["profile", "--exact", "-o", "out.folded", "prog.wat", "x"], Signal::SIGINT, "fd_read"),
        (&["trace", "-o", "out", "prog.wat", "x"], Signal::SIGHUP, "fd_read"),
        (&["coverage", "-o", "out.lcov", "prog.wat", "x"], Signal::SIGTERM, "FN"),
    ];
    for (args, signal, expected) in cases {
        let child = start(&mut place.command(args));
        send(&child, signal);
        let (ended, err) = end(child);
        let name = args.iter().find(|arg| arg.starts_with("out")).unwrap();
        let text = std::fs::read_to_string(place.path(name)).unwrap();
        // Killed by it, so that a shell's loop ends as well.
        assert_eq!(ended, -(signal as i32), "{args:?}: {err}");
        assert!(err.contains(signal.as_str()), "{args:?}: {err}");
        assert!(text.contains(expected), "{args:?}: {err}\n{text:.2000}");
        std::fs::remove_file(place.path(name)).unwrap();
    }
}

/// What has not ended after ten seconds hangs, and is killed.
fn end_in_time(mut child: Child) -> i32 {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if let Some(status) = child.try_wait().unwrap() {
            return ended(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    ended(child.wait().unwrap())
}

/// Calls a function again and again; the argument `x` makes it end.
const CALLS: &str = r#"(module $prog
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $step)
  (func (export "_start") (local $n i32)
    (drop (call $args (i32.const 20) (i32.const 24)))
    (loop $l (call $step) (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $l (i32.eq (i32.load (i32.const 20)) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $n) (i32.const 40000))))))"#;

/// Arguments, what is sent, and how it ends.
type Hanging<'a> = (&'a [&'a [&'a str]], Option<Signal>, i32);

#[test]
fn who_does_not_read_a_trace_does_not_keep_it_going() {
    let place = Place::with(&[("prog.wat", CALLS)]);
    let made = Command::new("mkfifo").arg(place.path("fifo")).status().unwrap();
    assert!(made.success());
    // Both ends, so that opening does not wait.
    let _fifo = std::fs::File::options().read(true).write(true).open(place.path("fifo")).unwrap();
    let timeout = ["--timeout", "500ms"];
    let to_fifo = ["-o", "fifo"];
    let cases: [Hanging<'_>; 8] = [
        (&[&to_fifo, &timeout, &["prog.wat"]], None, 124),
        (&[&to_fifo, &timeout, &["--summary", "prog.wat"]], None, 124),
        (&[&to_fifo, &timeout, &["--summary", "prog.wat", "x"]], None, 1),
        (&[&to_fifo, &["--summary", "prog.wat"]], Some(Signal::SIGINT), -2),
        (&[&to_fifo, &["--summary", "prog.wat", "x"]], Some(Signal::SIGINT), -2),
        (&[&timeout, &["prog.wat"]], None, 124),
        (&[&timeout, &["--summary", "--format", "json", "prog.wat"]], None, 124),
        (&[&["prog.wat"]], Some(Signal::SIGHUP), -1),
    ];
    // All at once, for they mostly wait.
    let start = |args: &[&[&str]]| {
        let mut command = place.command(&["trace"]);
        // Its standard error is a pipe that nobody reads, too.
        command.args(args.concat()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = cases.iter().map(|(args, ..)| start(args)).collect();
    std::thread::sleep(Duration::from_millis(500));
    for (child, (_, signal, _)) in children.iter().zip(&cases) {
        signal.iter().for_each(|signal| send(child, *signal));
    }
    let ended: Vec<i32> = children.into_iter().map(end_in_time).collect();
    assert_eq!(ended, cases.map(|(.., expected)| expected));
}

#[test]
fn plain_runs_end_at_once() {
    let place = Place::with(&[("prog.wat", PROGRAM)]);
    let child = start(&mut place.command(&["run", "prog.wat"]));
    send(&child, Signal::SIGINT);
    assert_eq!(end(child), (-2, String::new()));
}

#[test]
fn what_the_parent_ignores_is_ignored() {
    let place = Place::with(&[("prog.wat", PROGRAM)]);
    let mut shell = Command::new("/bin/sh");
    let script = r#"trap "" INT; exec "$0" profile -o out.folded prog.wat"#;
    shell.arg("-c").arg(script).arg(WARDIAN).current_dir(place.path(""));
    shell.env_clear().env("WARDIAN_CACHE_DIR", place.cache());
    let mut child = start(&mut shell);
    send(&child, Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(child.try_wait().unwrap(), None);
    send(&child, Signal::SIGTERM);
    let (code, err) = end(child);
    assert_eq!(code, -15, "{err}");
}
