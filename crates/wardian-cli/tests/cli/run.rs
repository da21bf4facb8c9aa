//! `wardian run`: what the guest gets, and how it ends.

use super::guests;
use super::harness::{self, Place, in_time, run};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
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
        (&["run", "--env", "INHERITED", file], 0, &["INHERITED=yes\n"], &[]),
        (&["run", "--env", "A", file], 2, &[], &["A=VALUE gives"]),
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
    let stderr = child.stderr.take().unwrap();
    let line = in_time(&mut child, move || {
        let mut line = String::new();
        BufReader::new(stderr).read_line(&mut line).unwrap();
        line
    });
    let address = line.trim().rsplit(' ').next().unwrap().to_owned();
    let mut answer = String::new();
    TcpStream::connect(&address).expect(&line).read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
    assert!(harness::end(child).status.success());
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
            &["error: trap: unreachable", "0: inner (offset 0x", "1: app::outer", "2: main"],
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
    let mut stdout = child.stdout.take().unwrap();
    in_time(&mut child, move || stdout.read_exact(&mut [0; 10]).unwrap());
    let ended = harness::end(child);
    assert_eq!(ended.status.code(), Some(64), "{ended:?}");
    assert!(ended.stderr.is_empty());
    for args in [&["--help"][..], &["completions", "bash"], &["inspect", "cat.wat"]] {
        let mut command = place.command(args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = harness::end(command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap());
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
        (&["none.wat"], 2, &[], &["unrecognized subcommand"]),
        (&["run", "--no-such-option", "exit.wat"], 2, &[], &["--no-such-option"]),
        (&["completions", "bash"], 0, &["complete -F _wardian", "pprof firefox folded"], &[]),
        (&["completions", "zsh"], 0, &["#compdef wardian"], &[]),
        (&["completions", "fish"], 0, &["complete -c wardian"], &[]),
        (&["man"], 0, &[".TH wardian 1", "checkpoint"], &[]),
        (&["man", "exit.wat"], 1, &[], &["cannot write manual pages to exit.wat"]),
        (&["man", "pages/all"], 0, &[], &[]),
    ]);
    let page = std::fs::read_to_string(place.path("pages/all/wardian-run.1")).unwrap();
    assert!(page.contains("max\\-memory"), "{page}");
}

#[test]
fn names_that_are_not_unicode() {
    let place = Place::with(&[("preopen.wat", guests::PREOPEN)]);
    let strange = OsStr::from_bytes(b"str\xffnge.wat");
    std::fs::write(place.path("").join(strange), guests::exit(7)).unwrap();
    std::fs::create_dir(place.path("").join(OsStr::from_bytes(b"d\xff"))).unwrap();
    for command in [&["run"][..], &["profile", "--format", "folded"], &["trace"], &["coverage"]] {
        let ended = run(place.command(command).arg(strange), b"");
        assert_eq!(ended.code, Some(7), "{command:?} {ended:?}");
    }
    let profile = OsStr::from_bytes(b"str\xffnge.profile.folded");
    assert!(place.path("").join(profile).exists());
    for command in ["validate", "inspect", "compile"] {
        let ended = run(place.command(&[command]).arg(strange), b"");
        assert_eq!(ended.code, Some(0), "{command} {ended:?}");
    }
    let dir = |text: &[u8]| {
        run(place.command(&["run", "--dir"]).arg(OsStr::from_bytes(text)).arg("preopen.wat"), b"")
    };
    let ended = dir(b"d\xff::/data");
    assert_eq!((ended.code, ended.out.contains("/data")), (Some(0), true), "{ended:?}");
    let ended = dir(b"d\xff");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("not Unicode") && ended.err.contains("HOST::GUEST"), "{ended:?}");
}

#[test]
fn variables_that_are_not_unicode_are_left_out() {
    let place = Place::with(&[("env.wat", guests::SHOW)]);
    let mut command = place.command(&["run", "--env-inherit", "env.wat"]);
    let ended = run(command.env("STRANGE", OsStr::from_bytes(b"secret\xff")), b"");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("INHERITED=yes"), "{ended:?}");
    assert!(ended.err.contains("\"STRANGE\" is not Unicode"), "{ended:?}");
    assert!(!ended.err.contains("secret"), "{ended:?}");
}

#[test]
fn stubs_for_imports() {
    let place = Place::with(&[
        (
            "stubs.wat",
            r#"(module (import "env" "missing" (func $f (param i32) (result i64)))
              (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
              (func (export "_start") (call $exit (i32.const 3)))
              (func (export "call") (drop (call $f (i32.const 1)))))"#,
        ),
        (
            "global.wat",
            r#"(module (import "env" "f" (func)) (import "env" "g" (global i32))
              (func (export "_start")))"#,
        ),
        (
            "threads.wat",
            r#"(module (import "env" "memory" (memory 1 1 shared)) (import "env" "missing" (func))
              (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
              (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
              (func (export "wasi_thread_start") (param i32 i32))
              (func (export "_start")
                (if (i32.le_s (call $spawn (i32.const 0)) (i32.const 0)) (then unreachable))
                (call $exit (i32.const 4))))"#,
        ),
    ]);
    for engine in ["tiered", "jit", "interp"] {
        place.check(&[
            (&["run", "--engine", engine, "stubs.wat"], 1, &[], &["`env` `missing`"]),
            (&["run", "--engine", engine, "--stub-imports", "stubs.wat"], 3, &[], &[]),
            (
                &["run", "--engine", engine, "--stub-imports", "--invoke", "call", "stubs.wat"],
                134,
                &[],
                &["the guest called `env` `missing`, an import that is not defined"],
            ),
            (&["run", "--engine", engine, "--stub-imports", "global.wat"], 1, &[], &["`env` `g`"]),
            (&["run", "--engine", engine, "--stub-imports", "threads.wat"], 4, &[], &[]),
        ]);
    }
}

#[test]
fn what_people_are_used_to() {
    let args =
        r#"(module (memory (export "memory") 100) (table 100 funcref) (func (export "_start")))"#;
    let place = Place::with(&[("a.wat", args), ("loop.wat", guests::LOOP)]);
    place.check(&[
        (&["a.wat"], 0, &[], &[]),
        (&["--timeout", "60", "a.wat", "x"], 0, &[], &[]),
        (&["run", "--timeout", "0.2", "loop.wat"], 124, &[], &["the timeout of 200ms passed"]),
        (&["run", "--env", "NO_SUCH_VARIABLE", "a.wat"], 2, &[], &["no such variable here"]),
        (&["run", "--mapdir", "a::b", "a.wat"], 2, &[], &["note: here --dir HOST:GUEST gives"]),
        (&["run", "-W", "timeout=1s", "a.wat"], 2, &[], &["note: here limits are --timeout"]),
        (&["--wasm-timeout=1s", "a.wat"], 2, &[], &["note: here --timeout 5s stops"]),
        (
            &["run", "--max-memory", "1MiB", "a.wat"],
            1,
            &[],
            &["(the limits are --max-memory 1.0 MiB)"],
        ),
        (&["run", "--max-table-elements", "9", "a.wat"], 1, &[], &["--max-table-elements 9)"]),
    ]);
}
