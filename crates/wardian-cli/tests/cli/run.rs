//! `wardian run`: what the guest gets, and how it ends.

use super::guests;
use super::harness::{Place, run};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::Stdio;

#[test]
fn arguments_and_environment() {
    let place = Place::with(&[("sub/show.wat", guests::SHOW)]);
    let file = "sub/show.wat";
    place.check(&[
        (&["run", file], 0, &["show.wat\n"], &[]),
        (
            &["run", file, "a", "--dir", "-x", "--", "b c"],
            0,
            &["show.wat\na\n--dir\n-x\n--\nb c\n"],
            &[],
        ),
        // Options after the file are the guest's, from the first on.
        (&["run", file, "--env", "A=1", "-v", "-h"], 0, &["show.wat\n--env\nA=1\n-v\n-h\n"], &[]),
        (&["run", "--", file, "--no-cache"], 0, &["show.wat\n--no-cache\n"], &[]),
        (&["run", "--env", "A=1", "--env", "B=x=y", file], 0, &["show.wat\nA=1\nB=x=y\n"], &[]),
        (
            &["run", "--env-inherit", "--env", "INHERITED=no", "--env", "A=", file],
            0,
            &["INHERITED=no\nA=\n"],
            &[],
        ),
        (&["run", "--env-inherit", file], 0, &["INHERITED=yes\n"], &[]),
        (&["run", "--env", "A", file], 2, &[], &["NAME=VALUE"]),
        (&["run", "--env", "=A", file], 2, &[], &["NAME=VALUE"]),
    ]);
    assert_eq!(place.run(&["run", file]).out, "show.wat\n", "nothing is inherited unasked");
}

#[test]
fn directories() {
    let place = Place::with(&[
        ("preopen.wat", guests::PREOPEN),
        ("mkdir.wat", guests::MKDIR),
        ("file", "x"),
        ("d/x", ""),
    ]);
    place.check(&[
        (&["run", "--dir", "d", "preopen.wat"], 0, &["d"], &[]),
        (&["run", "--dir", "d:/data", "preopen.wat"], 0, &["/data"], &[]),
        (&["run", "--dir", "d::/data", "preopen.wat"], 0, &["/data"], &[]),
        (&["run", "--dir", "d:/data:ro", "preopen.wat"], 0, &["/data"], &[]),
        // Errno 63 is `perm`.
        (&["run", "--dir", "d:ro", "mkdir.wat"], 63, &[], &[]),
        (&["run", "--dir", "d::/data:ro", "mkdir.wat"], 63, &[], &[]),
        (&["run", "--dir", "d:rw", "mkdir.wat"], 0, &[], &[]),
        // Errno 20 is `exist`, 8 is `badf`.
        (&["run", "--dir", "d", "mkdir.wat"], 20, &[], &[]),
        (&["run", "mkdir.wat"], 8, &[], &[]),
        (&["run", "--dir", "nowhere", "mkdir.wat"], 1, &[], &["\"nowhere\"", "No such file"]),
        (&["run", "--dir", "file", "mkdir.wat"], 1, &[], &["\"file\"", "Not a directory"]),
        (&["run", "--dir", ":", "mkdir.wat"], 2, &[], &["HOST::GUEST"]),
    ]);
    assert!(place.path("d/made").is_dir());
}

#[test]
fn sockets() {
    let place = Place::with(&[("serve.wat", guests::SERVE)]);
    let mut child = place
        .command(&["run", "--timeout", "10s", "--listen", "127.0.0.1:0", "serve.wat"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit(' ').next().unwrap().to_owned();
    let mut answer = String::new();
    TcpStream::connect(&address).expect(&line).read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
    assert!(child.wait().unwrap().success());
    place.check(&[(
        &["run", "--listen", "nonsense", "serve.wat"],
        1,
        &[],
        &["cannot listen on nonsense"],
    )]);
}

#[test]
fn exit_codes() {
    let place = Place::with(&[("trap.wat", guests::TRAP), ("reactor.wat", guests::REACTOR)]);
    for code in [0, 1, 42, 255, 256, 300] {
        place.write("exit.wat", guests::exit(code));
        let ended = place.run(&["run", "exit.wat"]);
        assert_eq!(ended.code, Some((code % 256) as i32), "{ended:?}");
        assert_eq!(ended.err, "");
    }
    place.check(&[
        (
            &["run", "trap.wat"],
            134,
            &[],
            &["error: trap: unreachable", "0: inner (code offset 0x", "1: app::outer", "2: main"],
        ),
        (&["run", "reactor.wat"], 0, &[], &[]),
    ]);
}

#[test]
fn streams() {
    let place = Place::with(&[("cat.wat", guests::CAT), ("yes.wat", guests::YES)]);
    let text = "x".repeat(100_000);
    let ended = place.run_with_input(&["run", "cat.wat"], text.as_bytes());
    assert_eq!((ended.code, ended.out), (Some(0), text));
    // A reader that goes away: the guest sees `pipe`, which is 64; nothing panics.
    let mut child = place
        .command(&["run", "yes.wat"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 10]).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(64), "{ended:?}");
    assert!(ended.stderr.is_empty());
    for args in [&["--help"][..], &["completions", "bash"], &["inspect", "cat.wat"]] {
        let mut command = place.command(args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = command.stdout(writer).output().unwrap();
        assert!(ended.stderr.is_empty(), "{args:?} {ended:?}");
        assert_eq!(ended.status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn a_module_from_standard_input() {
    let place = Place::new();
    for bytes in [guests::SHOW.as_bytes().to_vec(), wat::parse_str(guests::SHOW).unwrap()] {
        let ended = place.run_with_input(&["run", "-", "x"], &bytes);
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), "-\nx\n"), "{}", ended.err);
    }
    let ended = run(&mut place.command(&["run", "-"]), b"");
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), "error: standard input is empty\n"));
}

#[test]
fn features() {
    let place = Place::with(&[(
        "tail.wat",
        r#"(module (func $f (export "_start") (if (i32.const 0) (then (return_call $f)))))"#,
    )]);
    place.check(&[
        (&["run", "tail.wat"], 0, &[], &[]),
        (&["run", "--features", "v2,tail-call", "tail.wat"], 0, &[], &[]),
        (&["run", "--features", "v2", "tail.wat"], 1, &[], &["`tail-call`, which is off"]),
        (&["run", "--disable-features", "tail-call", "tail.wat"], 1, &[], &["`tail-call`"]),
        (&["run", "--features", "magic", "tail.wat"], 2, &[], &["magic", "tail-call"]),
        (&["validate", "tail.wat"], 0, &["tail-call"], &[]),
        (&["validate", "--features", "v1", "tail.wat"], 1, &[], &["`tail-call`"]),
    ]);
}

#[test]
fn help_and_completions() {
    let place = Place::with(&[("exit.wat", &guests::exit(0))]);
    place.check(&[
        (&["--help"], 0, &["Exit codes:", "WARDIAN_CACHE_DIR", "inspect"], &[]),
        (&["run", "--help"], 0, &["--max-memory", "--allow-precompiled", "Exit codes:"], &[]),
        (&["--version"], 0, &["wardian 0."], &[]),
        (&[], 2, &[], &["Usage"]),
        (&["exit.wat"], 2, &[], &["wardian run exit.wat"]),
        (&["run", "--no-such-option", "exit.wat"], 2, &[], &["--no-such-option"]),
        (&["completions", "bash"], 0, &["complete -F _wardian"], &[]),
        (&["completions", "zsh"], 0, &["#compdef wardian"], &[]),
        (&["completions", "fish"], 0, &["complete -c wardian"], &[]),
    ]);
}
