//! Ctrl-C while somebody looks on.

use super::harness::Place;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::process::{Child, Command, Stdio};

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
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    child
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// The exit code, and what was written to standard error.
fn end(mut child: Child) -> (Option<i32>, String) {
    // Held until now: the guest's input goes on.
    let stdin = child.stdin.take();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    let code = child.wait().unwrap().code();
    drop(stdin);
    (code, err)
}

#[test]
fn what_was_seen_is_written() {
    let place = Place::with(&[("prog.wat", PROGRAM)]);
    let limited = ["trace", "--limit", "100KiB", "--format", "json", "-o", "out", "prog.wat"];
    let cases: [(&[&str], Signal, i32, &str); 8] = [
        (&["profile", "--format", "folded", "-o", "out", "prog.wat"], Signal::SIGINT, 130, "spin"),
        (&["profile", "--exact", "-o", "out.folded", "prog.wat"], Signal::SIGINT, 130, "spin;step"),
        (
            &["profile", "--exact", "-o", "out.folded", "prog.wat"],
            Signal::SIGTERM,
            143,
            "spin;step",
        ),
        (&limited, Signal::SIGINT, 130, "\"dropped\":"),
        (&["coverage", "-o", "out.lcov", "prog.wat"], Signal::SIGTERM, 143, "FN"),
        (
            &["profile", "--exact", "-o", "out.folded", "prog.wat", "x"],
            Signal::SIGINT,
            130,
            "fd_read",
        ),
        (&["trace", "-o", "out", "prog.wat", "x"], Signal::SIGINT, 130, "fd_read"),
        (&["coverage", "-o", "out.lcov", "prog.wat", "x"], Signal::SIGTERM, 143, "FN"),
    ];
    for (args, signal, code, expected) in cases {
        let child = start(&mut place.command(args));
        send(&child, signal);
        let (ended, err) = end(child);
        let name = args.iter().find(|arg| arg.starts_with("out")).unwrap();
        let text = std::fs::read_to_string(place.path(name)).unwrap();
        assert_eq!(ended, Some(code), "{args:?}: {err}");
        assert!(err.contains(signal.as_str()), "{args:?}: {err}");
        assert!(text.contains(expected), "{args:?}: {err}\n{text:.2000}");
        std::fs::remove_file(place.path(name)).unwrap();
    }
}

#[test]
fn plain_runs_end_at_once() {
    let place = Place::with(&[("prog.wat", PROGRAM)]);
    let child = start(&mut place.command(&["run", "prog.wat"]));
    send(&child, Signal::SIGINT);
    assert_eq!(end(child), (None, String::new()));
}

#[test]
fn what_the_parent_ignores_is_ignored() {
    let place = Place::with(&[("prog.wat", PROGRAM)]);
    let wardian = place.command(&[]);
    let mut shell = Command::new("/bin/sh");
    let script = r#"trap "" INT; exec "$0" profile -o out.folded prog.wat"#;
    shell.arg("-c").arg(script).arg(wardian.get_program()).current_dir(place.path(""));
    shell.env_clear().env("WARDIAN_CACHE_DIR", place.cache());
    let mut child = start(&mut shell);
    send(&child, Signal::SIGINT);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(child.try_wait().unwrap(), None);
    send(&child, Signal::SIGTERM);
    let (code, err) = end(child);
    assert_eq!(code, Some(143), "{err}");
}
