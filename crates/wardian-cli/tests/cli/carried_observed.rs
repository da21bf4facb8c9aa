//! `wardian profile` and `wardian trace` of programs that continue from checkpoints.

use super::carried_threads::{TURNS, turns};
use super::checkpoint::{ALPHABET, LETTERS, end, letters, send, start, wait_for};
use super::harness::Place;
use nix::sys::signal::Signal;
use std::fs;
use std::io::Read;
use std::time::Duration;

fn engines() -> &'static [&'static str] {
    if cfg!(feature = "jit") { &["tiered", "jit", "interp"] } else { &["interp"] }
}

/// A place with a checkpoint `a.chk` of a program that writes letters and allocates for each, and how many it had
/// written.
fn carried(engine: &str) -> (Place, usize) {
    carried_guest(engine, LETTERS)
}

fn carried_guest(engine: &str, guest: &str) -> (Place, usize) {
    let allocates = "(drop (call $malloc (i32.const 100))) (call $pause)";
    let malloc = "(func $malloc (param i32) (result i32) (i32.const 1024))\n  (func $pause";
    let guest = guest.replacen("(call $pause)", allocates, 1).replacen("(func $pause", malloc, 1);
    let place = Place::with(&[("letters.wat", &guest)]);
    fs::create_dir(place.path("out")).unwrap();
    let options = ["--engine", engine, "--checkpoint", "a.chk", "letters.wat"];
    let mut child = start(&place, &[&["run"], &options[..]].concat());
    wait_for(&place, &mut child, 3);
    send(&child, Signal::SIGTERM);
    assert_eq!(end(child), (Some(75), String::new(), String::new()), "{engine}");
    let before = fs::read(place.path("out/letters")).unwrap().len();
    assert!(before < 26);
    (place, before)
}

/// Continues the program to its end, and returns standard error.
fn to_its_end(place: &Place, args: &[&str]) -> String {
    let (code, out, err) = end(start(place, args));
    assert_eq!((code, &*out), (Some(0), "done\n"), "{args:?}: {err}");
    assert_eq!(fs::read_to_string(place.path("out/letters")).unwrap(), ALPHABET);
    err
}

/// The value of a stack.
fn value(folded: &str, stack: &str) -> usize {
    let line = folded.lines().find_map(|line| line.strip_prefix(&format!("{stack} ")));
    line.unwrap_or_else(|| panic!("no {stack}:\n{folded}")).parse().unwrap()
}

#[test]
fn profiles_are_of_what_is_left_of_the_program() {
    for first in engines() {
        let (place, before) = carried(first);
        for second in engines() {
            let profile = |options: &[&str]| {
                let all = ["profile", "-o", "x.folded", "--engine", second];
                to_its_end(&place, &[&all, options, &["a.chk"]].concat());
                fs::read_to_string(place.path("x.folded")).unwrap()
            };
            let folded = profile(&[]);
            assert!(value(&folded, "_start;pause") > 0, "{first}, {second}: {folded}");
            let folded = profile(&["--exact", "--value", "calls"]);
            // The calls that were open are no new ones. It may have been in the midst of any of them.
            let calls = value(&folded, "_start;pause");
            assert!((25 - before..=26 - before).contains(&calls), "{first}, {second}: {folded}");
            let calls = value(&folded, "_start;[host] wasi:fd_write");
            assert!((26 - before..=27 - before).contains(&calls), "{first}, {second}: {folded}");
            let folded = profile(&["--exact", "--value", "time"]);
            assert!(value(&folded, "_start;pause") > 0, "{first}, {second}: {folded}");
            let folded = profile(&["--memory", "--value", "alloc_objects"]);
            let calls = value(&folded, "_start");
            assert!((25 - before..=26 - before).contains(&calls), "{first}, {second}: {folded}");
        }
    }
}

#[test]
fn traces_show_the_open_calls_as_those_that_continue() {
    for first in engines() {
        let (place, before) = carried(first);
        for second in engines() {
            let options = ["--only", "pause", "--only", "_start", "--engine", second, "a.chk"];
            let text = to_its_end(&place, &[&["trace"], &options[..]].concat());
            assert!(text.starts_with("_start(...) {\n"), "{first}, {second}: {text}");
            let calls = text.matches("pause(").count();
            assert!((25 - before..=27 - before).contains(&calls), "{first}, {second}: {text}");
            let options = ["--host", "--format", "json", "-o", "x", "--engine", second, "a.chk"];
            to_its_end(&place, &[&["trace"], &options[..]].concat());
            let json = fs::read_to_string(place.path("x")).unwrap();
            assert!(json.contains(r#""name":"fd_write""#), "{first}, {second}: {json}");
        }
    }
}

#[test]
fn top_continues_a_program_to_its_end() {
    for engine in engines() {
        let (place, _) = carried(engine);
        // Standard error has lines of what it does, if it takes long enough.
        to_its_end(&place, &["top", "--engine", engine, "a.chk"]);
    }
}

#[test]
fn what_was_seen_is_written_when_the_program_is_stopped() {
    // It must not come to its end before the signal does.
    let (place, _) = carried_guest("interp", &letters(200_000_000));
    for engine in engines() {
        // It is at the beginning again, and much slower than the timeout allows.
        let slow = ["--exact", "--value", "calls", "--timeout", "10ms", "--engine", engine];
        let args = [&["profile", "-o", "x.folded"], &slow[..], &["a.chk"]].concat();
        let (code, _, err) = end(start(&place, &args));
        // A machine that is busy may take so long until the guest begins.
        assert!(code == Some(124) && err.contains("the timeout of 10ms passed"), "{engine}: {err}");
        let mut child = start(&place, &["trace", "--host", "--engine", engine, "a.chk"]);
        child.stderr.as_mut().unwrap().read_exact(&mut [0; 1]).unwrap();
        send(&child, Signal::SIGINT);
        let (code, _, err) = end(child);
        let written = err.contains("d_write(") && err.contains("stopped by SIGINT");
        assert!(code.is_none() && written, "{engine}: {code:?} {err}");
    }
}

#[test]
fn threads_of_a_program_that_continues_are_seen() {
    let place = Place::with(&[("turns.wat", TURNS)]);
    fs::create_dir(place.path("out")).unwrap();
    let mut child = start(&place, &["run", "--checkpoint", "a.chk", "turns.wat"]);
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
    std::thread::sleep(Duration::from_millis(10));
    send(&child, Signal::SIGTERM);
    assert_eq!(end(child).0, Some(75));
    for engine in engines() {
        for (kind, stack) in
            [("samples", "wasi_thread_start"), ("calls", "wasi_thread_start;await_turn ")]
        {
            let options = ["--value", kind, "-o", "x.folded", "--engine", engine];
            let exact: &[&str] = if kind == "calls" { &["--exact"] } else { &[] };
            let args = [&["profile"], &options[..], exact, &["a.chk"]].concat();
            let (code, _, err) = end(start(&place, &args));
            assert_eq!(code, Some(turns()), "{engine}: {err}");
            let folded = fs::read_to_string(place.path("x.folded")).unwrap();
            let seen = folded.lines().any(|line| line.starts_with(stack));
            assert!(seen, "{engine}: {folded}");
        }
    }
}

#[test]
fn traps_of_a_program_that_continues_are_reported_as_those_of_others() {
    let guest = LETTERS.replacen("(drop (call $write", "(call $leaf) (drop (call $write", 1);
    let guest = guest.replacen("(func $pause", "(func $leaf (unreachable))\n (func $pause", 1);
    let place = Place::with(&[("letters.wat", &guest)]);
    fs::create_dir(place.path("out")).unwrap();
    let mut child = start(&place, &["run", "--checkpoint", "a.chk", "letters.wat"]);
    wait_for(&place, &mut child, 2);
    send(&child, Signal::SIGTERM);
    assert_eq!(end(child).0, Some(75));
    for engine in engines() {
        let options = ["--coredump", "x.core", "--engine", engine, "a.chk"];
        let (code, _, err) = end(start(&place, &[&["resume"], &options[..]].concat()));
        assert_eq!(code, Some(134), "{engine}: {err}");
        for part in ["unreachable", "leaf", "_start", "the core dump is in x.core"] {
            assert!(err.contains(part), "{engine}, {part}: {err}");
        }
        let dump = fs::read(place.path("x.core")).unwrap();
        let has = |part: &[u8]| dump.windows(part.len()).any(|bytes| bytes == part);
        assert!(dump.starts_with(b"\0asm") && has(b"corestack") && has(b"done\n"), "{engine}");
        fs::remove_file(place.path("x.core")).unwrap();
    }
}

#[test]
fn what_a_checkpoint_is_no_use_for_is_said() {
    let (place, _) = carried("interp");
    for (args, code, expected) in [
        (&["run", "a.chk"][..], 1, "a.chk is a checkpoint, not a module: `wardian resume`"),
        (&["compile", "a.chk"], 1, "a.chk is a checkpoint, not a module"),
        (&["validate", "a.chk"], 1, "a.chk is a checkpoint, not a module"),
        (&["coverage", "a.chk"], 2, "`wardian coverage` needs the module"),
        (&["profile", "a.chk", "x"], 2, "its arguments from the checkpoint"),
        (&["trace", "--invoke", "pause", "a.chk"], 2, "its arguments from the checkpoint"),
        (&["profile", "--symbols", "letters.wat", "a.chk"], 2, "the module of the checkpoint"),
        (&["resume", "--symbols", "letters.wat", "a.chk"], 2, "the module of the checkpoint"),
        // The directory is missing.
        (&["profile", "-o", "x.svg", "a.chk"], 1, "cannot be opened again"),
    ] {
        let ended = place.run(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.err.contains(expected), "{args:?}: {ended:?}");
    }
    assert!(!place.path("x.svg").exists());
}
