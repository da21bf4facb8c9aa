//! Programs that are written to checkpoints and resumed.

use super::harness::{Place, WARDIAN, in_time};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Writes the letters from `a` on to a file that it opens once, with much to do between them, and then `done` and a
/// new line to standard output.
pub(super) const LETTERS: &str = r#"(module $letters
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (data (i32.const 32) "letters") (data (i32.const 64) "\48\00\00\00\05\00\00\00done\n")
  (func $pause (local $k i32)
    (local.set $k (i32.const 20000000))
    (loop $w (br_if $w (local.tee $k (i32.sub (local.get $k) (i32.const 1))))))
  (func (export "_start") (local $n i32) (local $fd i32)
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 7) (i32.const 9)
          (i64.const 64) (i64.const 64) (i32.const 0) (i32.const 40)) (then (unreachable)))
    (local.set $fd (i32.load (i32.const 40)))
    (loop $l
      (i32.store8 (i32.const 16) (i32.add (i32.const 97) (local.get $n)))
      (if (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 24)) (then (unreachable)))
      (call $pause)
      (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 26))))
    (drop (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 24)))))"#;

/// [`LETTERS`] with another number of rounds in each pause: compiled code takes a sixth of a nanosecond for one.
pub(super) fn letters(rounds: u32) -> String {
    let [before, after] = LETTERS.split("20000000").collect::<Vec<_>>()[..] else {
        panic!("the rounds are there once")
    };
    format!("{before}{rounds}{after}")
}

pub(super) const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz";

pub(super) fn place() -> Place {
    let place = Place::with(&[("letters.wat", LETTERS)]);
    std::fs::create_dir(place.path("out")).unwrap();
    place
}

/// Starts a command whose guest has the folder `out`.
pub(super) fn start(place: &Place, args: &[&str]) -> Child {
    start_by(Command::new(WARDIAN), place, args)
}

/// The same for a command that is started in another way.
pub(super) fn start_by(mut command: Command, place: &Place, args: &[&str]) -> Child {
    let mut all = vec![args[0], "--dir", "out:/"];
    all.extend(&args[1..]);
    command.args(all).current_dir(place.path("")).env("XDG_RUNTIME_DIR", place.path(""));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until the guest has written so many letters.
pub(super) fn wait_for(place: &Place, child: &mut Child, letters: usize) {
    let begin = Instant::now();
    while std::fs::read(place.path("out/letters")).map_or(0, |bytes| bytes.len()) < letters {
        if child.try_wait().unwrap().is_some() || begin.elapsed() > Duration::from_secs(100) {
            let mut text = String::new();
            child.kill().unwrap();
            child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            panic!("the guest writes no {letters} letters: {text}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The exit code, standard output and standard error.
pub(super) fn end(mut child: Child) -> (Option<i32>, String, String) {
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (out, err) = in_time(&mut child, move || {
        let (mut text, mut errors) = (String::new(), String::new());
        out.read_to_string(&mut text).unwrap();
        err.read_to_string(&mut errors).unwrap();
        (text, errors)
    });
    (child.wait().unwrap().code(), out, err)
}

pub(super) fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

#[test]
fn a_program_continues_where_a_signal_ended_it() {
    let place = place();
    let mut child = start(&place, &["run", "--checkpoint", "a.chk", "letters.wat"]);
    wait_for(&place, &mut child, 3);
    send(&child, Signal::SIGTERM);
    assert_eq!(end(child), (Some(75), String::new(), String::new()));
    let before = std::fs::read_to_string(place.path("out/letters")).unwrap();
    assert!(ALPHABET.starts_with(&before) && before.len() < 26, "{before}");
    is_private(&place.path("a.chk"));
    let shown = place.run(&["inspect", "a.chk"]);
    for part in ["checkpoint", "letters", "_start (offset", "file \"/letters\"", "memory 0"] {
        assert!(shown.out.contains(part), "{part}:\n{}", shown.out);
    }
    // The same file continues on two engines; the second time what it writes is there already.
    for engine in ["interp", if cfg!(feature = "jit") { "jit" } else { "interp" }] {
        let child = start(&place, &["resume", "--engine", engine, "a.chk"]);
        assert_eq!(end(child), (Some(0), "done\n".into(), String::new()), "{engine}");
        let whole = std::fs::read_to_string(place.path("out/letters")).unwrap();
        assert_eq!(whole, ALPHABET);
    }
}

#[test]
fn a_program_that_is_killed_again_and_again_comes_to_its_end() {
    let place = place();
    let every = ["--checkpoint", "a.chk", "--checkpoint-every", "10ms"];
    let mut child = start(&place, &[&["run"], &every[..], &["letters.wat"]].concat());
    for letters in [2, 6, 11, 15, 21] {
        wait_for(&place, &mut child, letters);
        // Also in the middle of writing the next checkpoint.
        while !place.path("a.chk").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        child = start(&place, &[&["resume"], &every[..], &["a.chk"]].concat());
    }
    assert_eq!(end(child), (Some(0), "done\n".into(), String::new()));
    assert_eq!(std::fs::read_to_string(place.path("out/letters")).unwrap(), ALPHABET);
}

#[test]
fn other_signals_ask_for_a_checkpoint() {
    let place = place();
    let options = ["--checkpoint", "a.chk", "--checkpoint-on", "usr1", "--checkpoint-on", "int"];
    let mut child = start(&place, &[&["run"], &options[..], &["letters.wat"]].concat());
    wait_for(&place, &mut child, 2);
    send(&child, Signal::SIGUSR1);
    assert_eq!(end(child).0, Some(75));
    assert_eq!(end(start(&place, &["resume", "a.chk"])).0, Some(0));
    assert_eq!(std::fs::read_to_string(place.path("out/letters")).unwrap(), ALPHABET);
}

#[test]
fn a_checkpoint_with_a_key_is_read_with_that_key_only() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    for (name, key) in [("key", "ab".repeat(32)), ("other", "cd".repeat(32)), ("bad", "ab".into())]
    {
        std::fs::write(place.path(name), key + "\n").unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(place.path(name), private).unwrap();
    }
    let written =
        ["--checkpoint", "a.chk", "--checkpoint-key", "key", "--checkpoint-every", "10ms"];
    let mut child = start(&place, &[&["run"], &written[..], &["letters.wat"]].concat());
    wait_for(&place, &mut child, 4);
    send(&child, Signal::SIGTERM);
    assert_eq!(end(child), (Some(75), String::new(), String::new()));

    for (options, part) in [
        (&[][..], "key"),
        (&["--checkpoint-key", "other"], "key"),
        (&["--checkpoint-key", "bad"], "32 bytes, or 64 hexadecimal digits"),
        (&["--checkpoint-key", "none"], "cannot use the key none"),
    ] {
        for command in ["resume", "inspect"] {
            let run = place.run(&[&[command], options, &["a.chk"]].concat());
            assert!(
                run.code != Some(0) && run.err.contains(part),
                "{command} {options:?}: {}",
                run.err
            );
        }
    }
    let shown = place.run(&["inspect", "--checkpoint-key", "key", "a.chk"]);
    assert!(shown.out.contains("letters"), "{}{}", shown.out, shown.err);
    // It is resumed, and written with the key again.
    let child = start(&place, &[&["resume"], &written[..], &["a.chk"]].concat());
    assert_eq!(end(child), (Some(0), "done\n".into(), String::new()));
    assert_eq!(std::fs::read_to_string(place.path("out/letters")).unwrap(), ALPHABET);
    assert!(!place.run(&["inspect", "a.chk"]).err.is_empty());

    // A key that others can read is used, and warned of.
    let shared = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(place.path("key"), shared).unwrap();
    let shown = place.run(&["inspect", "--checkpoint-key", "key", "a.chk"]);
    assert!(shown.err.contains("can be read by other users"), "{}", shown.err);
}

#[test]
fn every_engine_writes_and_resumes() {
    let engines: &[&str] =
        if cfg!(feature = "jit") { &["jit", "tiered", "interp"] } else { &["interp"] };
    for first in engines {
        for second in engines {
            let place = place();
            let options = ["--engine", first, "--checkpoint", "a.chk", "letters.wat"];
            let mut child = start(&place, &[&["run"], &options[..]].concat());
            wait_for(&place, &mut child, 2);
            send(&child, Signal::SIGTERM);
            assert_eq!(end(child), (Some(75), String::new(), String::new()), "{first}");
            let child = start(&place, &["resume", "--engine", second, "a.chk"]);
            assert_eq!(end(child), (Some(0), "done\n".into(), String::new()), "{first}, {second}");
            assert_eq!(std::fs::read_to_string(place.path("out/letters")).unwrap(), ALPHABET);
        }
    }
}

#[test]
fn what_cannot_be_written_or_resumed_is_said() {
    let place = place();
    let child = start(&place, &["run", "--checkpoint", "no/such/a.chk", "letters.wat"]);
    let (code, _, err) = end(child);
    assert_eq!(code, Some(1));
    assert!(err.contains("cannot write to no/such"), "{err}");
    std::fs::write(place.path("bad.chk"), b"\0wardchk and no more").unwrap();
    std::fs::write(place.path("text.chk"), b"something else").unwrap();
    for (file, expected) in [
        ("bad.chk", "version"),
        ("text.chk", "no checkpoint"),
        ("none.chk", "No such file"),
        ("letters.wat", "no checkpoint"),
    ] {
        let (code, _, err) = end(start(&place, &["resume", file]));
        assert_eq!(code, Some(1), "{file}");
        assert!(err.contains(expected), "{file}: {err}");
    }
    let _ = std::fs::remove_file(place.path("out/letters"));
    let mut child = start(&place, &["run", "--checkpoint", "b.chk", "letters.wat"]);
    wait_for(&place, &mut child, 2);
    send(&child, Signal::SIGTERM);
    assert_eq!(end(child).0, Some(75));
    // Damaged, or cut off, after what is read first: no guest runs.
    let whole = std::fs::read(place.path("b.chk")).unwrap();
    let mut damaged = whole.clone();
    let at = whole.len() - 40;
    damaged[at] ^= 1;
    place.write("damaged.chk", &damaged);
    place.write("short.chk", &whole[..at]);
    let before = std::fs::read(place.path("out/letters")).unwrap();
    for (file, expected) in [("damaged.chk", "damaged"), ("short.chk", "ends too early")] {
        let (code, _, err) = end(start(&place, &["resume", file]));
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains(expected), "{err}");
        assert_eq!(std::fs::read(place.path("out/letters")).unwrap(), before);
    }
    let (code, _, err) = end(start(&place, &["resume", "b.chk", "argument"]));
    assert_eq!(code, Some(2), "{err}");
    // A directory that it had is missing.
    let ended = place.run(&["resume", "b.chk"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.contains('/') && ended.err.contains("cannot be opened again"),
        "{}",
        ended.err
    );
    // Another file has taken the place of one that was open.
    std::fs::remove_file(place.path("out/letters")).unwrap();
    std::fs::write(place.path("out/letters"), "other").unwrap();
    let (code, _, err) = end(start(&place, &["resume", "b.chk"]));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("letters"), "{err}");
}

pub(super) fn is_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_program_with_stubs_is_resumed_with_stubs() {
    let place = place();
    let import = "(import \"env\" \"nothing\" (func))\n  (memory (export";
    place.write("stubs.wat", LETTERS.replacen("(memory (export", import, 1));
    let options = ["--stub-imports", "--checkpoint", "a.chk", "stubs.wat"];
    let mut child = start(&place, &[&["run"], &options[..]].concat());
    wait_for(&place, &mut child, 2);
    send(&child, Signal::SIGTERM);
    assert_eq!(end(child).0, Some(75));
    let (code, _, err) = end(start(&place, &["resume", "a.chk"]));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("nothing"), "{err}");
    let child = start(&place, &["resume", "--stub-imports", "a.chk"]);
    assert_eq!(end(child), (Some(0), "done\n".into(), String::new()));
}

#[test]
#[cfg(not(feature = "cloud"))]
fn urls_need_a_feature() {
    let place = place();
    for args in [
        &["run", "--checkpoint", "s3://bucket/a.chk", "letters.wat"][..],
        &["resume", "https://host/a.chk"],
        &["inspect", "gs://bucket/a.chk"],
    ] {
        let ended = place.run(args);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("without the feature `cloud`"), "{ended:?}");
    }
}

/// Waits two seconds, then for a byte of standard input, which it writes to standard output.
pub(super) const WAITS: &str = r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\01\00\00\00")
  (data (i32.const 128) "\90\00\00\00\01\00\00\00")
  (func (export "_start")
    (i64.store (i32.const 24) (i64.const 2000000000))
    (if (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 120)) (then (unreachable)))
    (if (call $write (i32.const 1) (i32.const 128) (i32.const 0) (i32.const 136)) (then (unreachable)))
    (if (call $read (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 136)) (then (unreachable)))
    (if (call $write (i32.const 1) (i32.const 128) (i32.const 1) (i32.const 136)) (then (unreachable)))))"#;

#[test]
fn a_program_that_waits_is_written_at_once_and_waits_for_the_rest() {
    let place = place();
    place.write("waits.wat", WAITS);
    let begin = Instant::now();
    let child = start(&place, &["run", "--checkpoint", "a.chk", "waits.wat"]);
    std::thread::sleep(Duration::from_millis(1000));
    send(&child, Signal::SIGTERM);
    let (code, _, err) = end(child);
    assert_eq!(code, Some(75), "{err}");
    // It has the rest of the time to wait, and then reads what the new command has.
    place.write("input", "x");
    let waited = Instant::now();
    let mut command = Command::new(WARDIAN);
    command.args(["resume", "--dir", "out:/", "a.chk"]).current_dir(place.path(""));
    command.stdin(std::fs::File::open(place.path("input")).unwrap());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (code, out, err) = end(command.spawn().unwrap());
    assert_eq!((code, &*out), (Some(0), "x"), "{err}");
    assert!(waited.elapsed() > Duration::from_millis(500), "{:?}", waited.elapsed());
    assert!(begin.elapsed() > Duration::from_millis(1900));
    // In the middle of waiting for input.
    let mut command = Command::new(WARDIAN);
    command.args(["resume", "--dir", "out:/", "--checkpoint", "b.chk", "a.chk"]);
    command.current_dir(place.path("")).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let input = child.stdin.take();
    std::thread::sleep(Duration::from_millis(3500));
    send(&child, Signal::SIGTERM);
    let (code, out, err) = end(child);
    assert_eq!((code, &*out), (Some(75), ""), "{err}");
    drop(input);
    let shown = place.run(&["inspect", "b.chk"]);
    assert!(shown.out.contains("standard input"), "{}", shown.out);
}

#[test]
fn two_checkpoints_are_compared() {
    let place = place();
    let mut letters = 2;
    for file in ["one.chk", "two.chk"] {
        let _ = std::fs::remove_file(place.path("out/letters"));
        let mut child = start(&place, &["run", "--checkpoint", file, "letters.wat"]);
        wait_for(&place, &mut child, letters);
        send(&child, Signal::SIGTERM);
        assert_eq!(end(child).0, Some(75));
        // The second is further than the first, however late that was stopped.
        letters = 1 + std::fs::read(place.path("out/letters")).unwrap().len();
    }
    let shown = place.run(&["inspect", "one.chk", "--diff", "two.chk"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for part in [
        "frames, the innermost first",
        "pause",
        "memory 0   64.0 KiB;",
        "in 1 pages",
        "0x0..0x1000, 4.0 KiB",
        "open\n  - ",
    ] {
        assert!(shown.out.contains(part), "{part:?} is not in\n{}", shown.out);
    }
    let shown = place.run(&["inspect", "--json", "one.chk", "--diff", "two.chk"]);
    let value: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(value["kind"], "difference");
    assert_eq!(value["memories"][0]["ranges"], serde_json::json!([[0, 4096]]));
    assert_eq!(value["instances"], false);
    assert_eq!(value["open"]["after"].as_array().unwrap().len(), 1);
    let shown = place.run(&["inspect", "one.chk", "--diff", "one.chk"]);
    assert_eq!(shown.out, "no difference\n");
    for (files, expected) in [
        (["one.chk", "letters.wat"], "no checkpoint"),
        (["letters.wat", "one.chk"], "no checkpoint"),
        (["one.chk", "none.chk"], "No such file"),
    ] {
        let shown = place.run(&["inspect", files[0], "--diff", files[1]]);
        assert_eq!(shown.code, Some(1), "{files:?}");
        assert!(shown.err.contains(expected), "{shown:?}");
    }
}
