//! Control sockets, and what is asked through them.

use super::checkpoint::{ALPHABET, end, place, start, wait_for};
use super::harness::{Ended, Place, run};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A guest that reads its standard input, which is given to the caller, and then ends.
const READS: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 24)))))"#;

fn ask(place: &Place, child: &Child, rest: &[&str]) -> Ended {
    let pid = child.id().to_string();
    let mut command = place.command(&[&["checkpoint", &pid], rest].concat());
    run(command.env("XDG_RUNTIME_DIR", place.path("")), b"")
}

fn socket(place: &Place, child: &Child) -> PathBuf {
    place.path(&format!("wardian/{}.sock", child.id()))
}

/// Starts a guest that waits for its standard input.
fn waits(place: &Place, args: &[&str]) -> Child {
    waits_in(place, READS, args)
}

fn waits_in(place: &Place, guest: &str, args: &[&str]) -> Child {
    place.write("reads.wat", guest);
    let mut command = place.command(&[args, &["reads.wat"]].concat());
    command.env("XDG_RUNTIME_DIR", place.path(""));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let begin = Instant::now();
    while args.contains(&"--control") && UnixStream::connect(socket(place, &child)).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(100) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

#[test]
fn a_running_program_is_written_and_continues_or_ends() {
    let place = place();
    let mut child = start(&place, &["run", "--control", "--engine", "interp", "letters.wat"]);
    wait_for(&place, &mut child, 2);
    let first = ask(&place, &child, &["first.chk"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.out.starts_with("first.chk: "), "{first:?}");
    super::checkpoint::is_private(&place.path("first.chk"));
    let folder = std::fs::metadata(place.path("wardian")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    wait_for(&place, &mut child, 5);
    let second = ask(&place, &child, &["second.chk", "--stop"]);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert!(second.out.contains("the program has ended"), "{second:?}");
    let socket = socket(&place, &child);
    assert_eq!(end(child), (Some(75), String::new(), String::new()));
    assert!(!socket.exists());
    for file in ["second.chk", "first.chk"] {
        // A resumed program has a socket, too.
        let child = start(&place, &["resume", "--control", "--checkpoint", "third.chk", file]);
        assert_eq!(end(child), (Some(0), "done\n".into(), String::new()), "{file}");
        assert_eq!(std::fs::read_to_string(place.path("out/letters")).unwrap(), ALPHABET);
    }
}

#[test]
fn what_cannot_be_asked_is_said() {
    let place = place();
    let mut child = waits(&place, &["run", "--control", "--engine", "interp"]);
    let ended = ask(&place, &child, &["no/such/folder/a.chk"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("refuses") && ended.err.contains("No such file"), "{ended:?}");
    // Asked while it waits in a call of the host.
    assert_eq!(ask(&place, &child, &["a.chk"]).code, Some(0));
    // Others could have put a socket there.
    let folder = place.path("wardian");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ended = ask(&place, &child, &["a.chk"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("has no control socket"), "{ended:?}");
    let mut second = waits(&place, &["run"]);
    second.kill().unwrap();
    let mut other = place.command(&["run", "--control", "reads.wat"]);
    let other = run(other.env("XDG_RUNTIME_DIR", place.path("")), b"");
    assert_eq!(other.code, Some(1));
    assert!(other.err.contains("chmod 700"), "{other:?}");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let ended = ask(&place, &child, &["a.chk"]);
    assert!(ended.err.contains("there is no process"), "{ended:?}");
    second.wait().unwrap();
    let pid = std::process::id().to_string();
    let ended = place.run(&["checkpoint", &pid, "a.chk"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("has no control socket") && ended.err.contains("--control"));
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        let ended = place.run(&["checkpoint", "1", "a.chk"]);
        assert!(ended.err.contains("is that of user 0"), "{ended:?}");
    }
    for pid in ["0", "4294967295"] {
        let ended = place.run(&["checkpoint", pid, "a.chk"]);
        assert!(ended.err.contains("there is no process"), "{ended:?}");
    }
}

#[test]
fn a_guest_that_cannot_be_captured_continues() {
    let place = place();
    let shared = READS.replacen("1)", "1 1 shared)", 1);
    let mut child = waits_in(&place, &shared, &["run", "--control", "--engine", "interp"]);
    let ended = ask(&place, &child, &["a.chk", "--stop"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("shared memory") && ended.err.contains("continues"), "{ended:?}");
    assert!(!place.path("a.chk").exists());
    drop(child.stdin.take());
    assert_eq!(end(child).0, Some(0));
}

/// Says a line, and reads one.
fn talk(stream: &mut UnixStream, line: &str) -> serde_json::Value {
    stream.write_all(line.as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"))
}

#[test]
fn hostile_peers_keep_nobody_from_asking() {
    let place = place();
    let mut child = waits(&place, &["run", "--control", "--engine", "interp"]);
    let tasks = || std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().count();
    let connect = || UnixStream::connect(socket(&place, &child)).unwrap();
    let mut peer = connect();
    let status = talk(&mut peer, "{\"protocol\":1,\"command\":\"status\"}\n");
    assert_eq!(
        (&status["ok"]["pid"], &status["ok"]["engine"]),
        (&child.id().into(), &"interp".into())
    );
    // The socket is there before the thread that answers.
    let before = tasks();
    for (line, code) in [
        ("nonsense\n", "malformed"),
        ("{\"protocol\":9,\"command\":\"status\"}\n", "protocol"),
        ("{\"protocol\":1,\"command\":\"checkpoint\",\"file\":\"relative\"}\n", "malformed"),
        ("{\"protocol\":1,\"command\":\"dance\"}\n", "unknown-command"),
    ] {
        // After an error the connection is of use.
        assert_eq!(talk(&mut peer, line)["error"]["code"], code, "{line}");
    }
    // Two at once, and half closed: both are answered.
    peer.write_all(
        b"{\"protocol\":1,\"command\":\"status\"}\n{\"protocol\":1,\"command\":\"status\"}\n",
    )
    .unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = String::new();
    peer.read_to_string(&mut rest).unwrap();
    assert_eq!(rest.matches("\"pid\"").count(), 2, "{rest}");
    // A line without an end.
    let mut long = connect();
    let _ = long.write_all(&[b'x'; 200 << 10]);
    let mut rest = String::new();
    let _ = long.read_to_string(&mut rest);
    assert!(rest.is_empty() || rest.contains("at most"), "{rest}");
    // More than there is room for, which say nothing: they are given up.
    let idle: Vec<_> = (0..40).map(|_| connect()).collect();
    assert_eq!(tasks(), before);
    let begin = Instant::now();
    assert_eq!(ask(&place, &child, &["a.chk"]).code, Some(0));
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    drop(idle);
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn sockets_of_killed_processes_are_removed_by_the_next() {
    let place = place();
    let mut child = waits(&place, &["run", "--control"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let (left, other) = (socket(&place, &child), place.path("wardian/other.sock"));
    assert!(left.exists());
    // One that is answered stays.
    let _listener = UnixListener::bind(&other).unwrap();
    let mut next = waits(&place, &["run", "--control"]);
    assert!(!left.exists() && other.exists());
    drop(next.stdin.take());
    assert_eq!(next.wait().unwrap().code(), Some(0));
}
