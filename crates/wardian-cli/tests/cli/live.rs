//! `wardian top` and `wardian attach`: what a running program does.

use super::harness::{Ended, Place, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A guest that computes, in the function `hot`, until its standard input ends.
const BUSY: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 3)
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (func $hot (param i32) (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func $is_ready (result i32)
    ;; A clock that has passed, and the standard input.
    (i32.store8 (i32.const 72) (i32.const 0))
    (i32.store (i32.const 80) (i32.const 1))
    (i64.store (i32.const 88) (i64.const 0))
    (i32.store8 (i32.const 120) (i32.const 1))
    (i32.store (i32.const 128) (i32.const 0))
    (drop (call $poll (i32.const 64) (i32.const 256) (i32.const 2) (i32.const 512)))
    (i32.or (i32.load8_u (i32.const 266)) (i32.load8_u (i32.const 298))))
  (func (export "_start")
    (loop $l
      (call $hot (i32.const 3000000))
      (br_if $l (i32.eqz (call $is_ready))))))"#;

/// Starts the guest with a control socket.
fn busy(place: &Place, engine: &str) -> Child {
    place.write("busy.wat", BUSY);
    let mut command = place.command(&["run", "--control", "--engine", engine, "busy.wat"]);
    command.env("XDG_RUNTIME_DIR", place.path(""));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let socket = place.path(&format!("wardian/{}.sock", child.id()));
    let begin = Instant::now();
    while UnixStream::connect(&socket).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(100) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

fn engines() -> &'static [&'static str] {
    if cfg!(feature = "jit") { &["tiered", "jit", "interp"] } else { &["interp"] }
}

#[test]
fn a_running_program_is_profiled_without_a_restart() {
    let place = Place::new();
    for engine in engines() {
        let mut child = busy(&place, engine);
        let pid = child.id().to_string();
        let attach = |rest: &[&str]| ask(&place, &pid, rest);
        // Twice, for sampling ends in between.
        for file in ["a.folded", "b.folded"] {
            let done = attach(&["-o", file, "--for", "1s"]);
            assert_eq!(done.code, Some(0), "{engine}: {done:?}");
            assert!(done.out.starts_with(&format!("{file}: ")), "{done:?}");
            let folded = std::fs::read_to_string(place.path(file)).unwrap();
            let hot = folded.lines().any(|line| line.starts_with("_start;hot "));
            assert!(hot, "{engine}: {folded}");
        }
        for (rest, expected) in [
            (&["-o", "a.xyz"][..], "names no format"),
            (&["-o", "-", "--format", "svg"], "its process writes it"),
            (&["-o", "no/such/a.svg"], "No such file"),
        ] {
            let refused = attach(rest);
            assert!(refused.code != Some(0) && refused.err.contains(expected), "{refused:?}");
        }
        // What was seen is written when the program ends before the time has passed.
        let mut command = place.command(&["attach", &pid, "-o", "c.table", "--for", "1h"]);
        command.env("XDG_RUNTIME_DIR", place.path(""));
        let last = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let last = last.wait_with_output().unwrap();
        assert_eq!(last.status.code(), Some(0), "{last:?}");
        let table = std::fs::read_to_string(place.path("c.table")).unwrap();
        assert!(table.contains("sampling profile of busy.wat"), "{table}");
    }
}

/// A command that asks the process.
fn ask(place: &Place, pid: &str, rest: &[&str]) -> Ended {
    let mut command = place.command(&[&["attach", pid], rest].concat());
    run(command.env("XDG_RUNTIME_DIR", place.path("")), b"")
}

#[test]
fn a_running_program_is_traced_without_a_restart() {
    let place = Place::new();
    for engine in engines() {
        let mut child = busy(&place, engine);
        let pid = child.id().to_string();
        let attach = |rest: &[&str]| ask(&place, &pid, rest);
        // Twice, for listeners go in between.
        for file in ["a.txt", "b.txt"] {
            let done = attach(&["--trace", "-o", file, "--for", "500ms"]);
            assert_eq!(done.code, Some(0), "{engine}: {done:?}");
            let text = std::fs::read_to_string(place.path(file)).unwrap();
            // The program's own function began before.
            assert!(text.starts_with("_start(...) {\n  "), "{engine}: {text}");
            assert!(text.contains("\n  hot("), "{engine}: {text}");
            assert!(text.ends_with("_start\n") && !text.contains("\nhot("), "{engine}: {text}");
            for part in ["hot(", "is_ready() {", "poll_oneoff("] {
                assert!(text.contains(part), "{engine}, {part}: {text} {done:?}");
            }
            assert!(done.out.contains(&format!("calls of process {pid}")), "{done:?}");
        }
        let shown = attach(&["--trace", "--only", "hot", "--for", "300ms", "--format", "log"]);
        assert_eq!(shown.code, Some(0), "{engine}: {shown:?}");
        assert!(shown.out.contains("hot(") && !shown.out.contains("poll"), "{engine}: {shown:?}");
        let table = attach(&["--trace", "--summary", "--host", "--for", "300ms"]);
        assert!(table.out.contains("poll_oneoff"), "{engine}: {table:?}");
        let json = ["--trace", "--format", "json", "-o", "x.json", "--for", "300ms"];
        assert_eq!(attach(&json).code, Some(0));
        let json = std::fs::read_to_string(place.path("x.json")).unwrap();
        assert!(json.lines().last().unwrap().contains(r#""event":"end""#), "{json}");
        let limited = attach(&["--trace", "--limit", "200", "-o", "x.txt", "--for", "300ms"]);
        assert!(limited.err.contains("limit was reached"), "{engine}: {limited:?}");
        let done = attach(&["--exact", "-o", "x.folded", "--for", "500ms"]);
        assert_eq!(done.code, Some(0), "{engine}: {done:?}");
        let folded = std::fs::read_to_string(place.path("x.folded")).unwrap();
        assert!(folded.lines().any(|line| line.starts_with("hot ")), "{engine}: {folded}");
        let ready = "is_ready;[host] wasi:poll_oneoff ";
        assert!(folded.lines().any(|line| line.starts_with(ready)), "{engine}: {folded}");
        let done = attach(&["--memory", "-o", "x.table", "--for", "100ms"]);
        assert_eq!(done.code, Some(0), "{engine}: {done:?}");
        drop(child.stdin.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{engine}: {ended:?}");
    }
}

#[test]
fn a_trace_ends_with_the_program_and_with_the_one_who_asks() {
    let place = Place::new();
    let mut child = busy(&place, engines()[0]);
    let pid = child.id().to_string();
    // Killed while it shows what comes: the process continues without listeners.
    let mut command = place.command(&["attach", &pid, "--trace", "--for", "1h"]);
    command.env("XDG_RUNTIME_DIR", place.path("")).env("TMPDIR", place.path(""));
    let mut viewer = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 1];
    viewer.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    let files = || {
        let all = std::fs::read_dir(place.path("")).unwrap();
        let names = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("wardian-trace-")).count()
    };
    assert_eq!(files(), 1);
    kill(Pid::from_raw(viewer.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(viewer.wait().unwrap().code(), None);
    assert_eq!(files(), 0);
    // Looks are bounded, so those of others who have gone have ended.
    for _ in 0..10 {
        let mut stream = UnixStream::connect(place.path(&format!("wardian/{pid}.sock"))).unwrap();
        let file = place.path("gone");
        let request =
            format!(r#"{{"protocol":1,"command":"trace","file":{file:?},"for_ms":3600000}}"#);
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        drop(stream);
        std::thread::sleep(Duration::from_millis(300));
    }
    let mut command = place.command(&["attach", &pid, "--trace", "-o", "x", "--for", "1h"]);
    command.env("XDG_RUNTIME_DIR", place.path(""));
    let last = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let last = last.wait_with_output().unwrap();
    assert_eq!(last.status.code(), Some(0), "{last:?}");
    assert!(std::fs::read_to_string(place.path("x")).unwrap().contains("hot("));
}

#[test]
fn what_cannot_be_attached_is_said() {
    let place = Place::new();
    let mut child = busy(&place, engines()[0]);
    let pid = child.id().to_string();
    place.write("dir/x", "");
    for (rest, code, expected) in [
        (&[][..], 2, "-o FILE names the profile"),
        (&["--trace", "-o", "-"], 2, "its process writes it"),
        (&["--only", "x", "-o", "a.svg"], 2, "--trace shows calls"),
        (&["--summary", "-o", "a.svg"], 2, "--trace shows calls"),
        (&["--trace", "--format", "svg"], 2, "names no format of a trace"),
        (&["--format", "json", "-o", "x"], 2, "names no format"),
        (&["--trace", "--exact"], 2, "cannot be used with"),
        (&["--trace", "-o", "dir"], 1, "a trace is written to a file"),
        (&["--trace", "-o", "no/such"], 1, "No such file"),
    ] {
        let ended = ask(&place, &pid, rest);
        assert!(ended.code == Some(code) && ended.err.contains(expected), "{rest:?}: {ended:?}");
    }
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn top_writes_lines_until_the_program_ends() {
    let place = Place::new();
    let mut child = busy(&place, engines()[0]);
    let pid = child.id().to_string();
    let mut command = place.command(&["top", &pid]);
    command.env("XDG_RUNTIME_DIR", place.path(""));
    let top = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let top = top.wait_with_output().unwrap();
    assert_eq!(top.status.code(), Some(0), "{top:?}");
    let out = String::from_utf8(top.stdout).unwrap();
    let line = out.lines().find(|line| line.contains("hot"));
    let line = line.unwrap_or_else(|| panic!("{out}"));
    assert!(line.contains(&format!("busy.wat ({pid})")), "{line}");
    assert!(line.contains("memory 192.0 KiB, threads 1, open files 3"), "{line}");
    let mut gone = place.command(&["top", &pid]);
    let gone = run(gone.env("XDG_RUNTIME_DIR", place.path("")), b"");
    assert!(gone.code == Some(1) && gone.err.contains("there is no process"), "{gone:?}");
}

#[test]
fn top_starts_a_program_and_ends_as_it_does() {
    let place = Place::new();
    place.write(
        "ends.wat",
        r#"(module
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (func $hot (param i32)
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
          (func (export "_start") (local i32)
            (loop $l
              (call $hot (i32.const 100000000))
              (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 40))))
            (call $exit (i32.const 7))))"#,
    );
    let mut command = place.command(&["top", "--timeout", "300s", "ends.wat"]);
    let ended = run(command.env("XDG_RUNTIME_DIR", place.path("")), b"");
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert!(ended.err.contains("hot") && ended.err.contains("ends.wat"), "{ended:?}");
    let mut command = place.command(&["top", "missing.wasm"]);
    let missing = run(command.env("XDG_RUNTIME_DIR", place.path("")), b"");
    assert_eq!(missing.code, Some(1));
    assert!(missing.err.contains("missing.wasm"), "{missing:?}");
}

/// Functions with names, one of which a line cannot have.
#[cfg(feature = "jit")]
const NAMES: &str = r#"(module
  (func $add (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $"two words\0afunction" (param i32) (result i32) (call $add (local.get 0)))
  (func (export "_start") (drop (call 1 (i32.const 1)))))"#;

#[test]
#[cfg(feature = "jit")]
fn perf_finds_names_of_compiled_code() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.write("names.wat", NAMES);
    let mut command = place.command(&["run", "--engine", "jit", "--perf", "map", "names.wat"]);
    let mut child = command.spawn().unwrap();
    let map = format!("/tmp/perf-{}.map", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let text = std::fs::read_to_string(&map).unwrap();
    let mode = std::fs::metadata(&map).unwrap().permissions().mode();
    std::fs::remove_file(&map).unwrap();
    assert_eq!(mode & 0o777, 0o600);
    let mut names = Vec::new();
    for line in text.lines() {
        let [start, size, name] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        assert!(number(start) > 4096 && (1..10_000).contains(&number(size)), "{line}");
        names.push(name.to_owned());
    }
    names.sort();
    assert_eq!(names, ["_start", "add", "two words function"]);
    let mut plain = place.command(&["run", "--engine", "jit", "names.wat"]).spawn().unwrap();
    plain.wait().unwrap();
    assert!(!std::path::Path::new(&format!("/tmp/perf-{}.map", plain.id())).exists());
}

#[test]
#[cfg(feature = "jit")]
fn perf_finds_compiled_code_with_its_bytes() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.write("names.wat", NAMES);
    let mut command = place.command(&["run", "--engine", "jit", "--perf", "jitdump", "names.wat"]);
    let mut child = command.spawn().unwrap();
    let pid = child.id();
    let file = format!("/tmp/jit-{pid}.dump");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let bytes = std::fs::read(&file).unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(mode & 0o777, 0o600);
    let word = |at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap());
    let long = |at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().unwrap());
    let machine = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let head = [0x4a69_5444, 1, 40, machine, 0, pid];
    assert_eq!(std::array::from_fn(|at| word(4 * at)), head);
    let (mut at, mut last, mut names) = (40, long(24), Vec::new());
    while at < bytes.len() {
        let (size, time, start, length) =
            (word(at + 4) as usize, long(at + 8), long(at + 24), long(at + 40) as usize);
        assert_eq!((word(at), word(at + 16), long(at + 32)), (0, pid, start));
        assert_eq!(long(at + 48), names.len() as u64);
        assert!(time >= last && start > 4096);
        let name = &bytes[at + 56..at + size - length];
        let [name @ .., 0] = name else { panic!("{name:?}") };
        names.push(String::from_utf8(name.to_vec()).unwrap());
        let code = &bytes[at + size - length..at + size];
        assert!(code.iter().any(|byte| *byte != 0));
        (at, last) = (at + size, time);
    }
    assert_eq!(at, bytes.len());
    names.sort();
    assert_eq!(names, ["_start", "add", "two words function"]);
    // Where none can be made it is said.
    let ended = place.run(&["run", "--perf", "jit", "names.wat"]);
    assert!(ended.code == Some(2) && ended.err.contains("jitdump"), "{ended:?}");
}
