//! `wardian coverage`: what it writes where, and that the guest runs and ends as with `run`.

use super::guests;
use super::harness::{Place, golden};

/// Writes a line, calls functions, and exits with 7 if it has an argument.
const PROGRAM: &str = r#"(module $prog
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\03\00\00\00hi\n")
  (func $_ZN4fern4leaf17h0123456789abcdefE)
  (func $_ZN4fern4leaf17h1123456789abcdefE)
  (func $twig (param $n i32)
    (loop $l (call $_ZN4fern4leaf17h0123456789abcdefE)
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $never (call $never))
  (func $last (call $_ZN4fern4leaf17h1123456789abcdefE))
  (func $main (export "_start")
    (call $twig (i32.const 10))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (drop (call $args (i32.const 32) (i32.const 36)))
    (if (i32.gt_u (i32.load (i32.const 32)) (i32.const 1)) (then (call $exit (i32.const 7))))
    (call $last)))"#;

/// Without debug information functions, each of which is a line of a listing; two of one name are one.
const LCOV: &str = "\
FN:1,fern::leaf
FN:5,last
FN:6,main
FN:4,never
FN:3,twig
FNDA:11,fern::leaf
FNDA:1,last
FNDA:1,main
FNDA:0,never
FNDA:1,twig
FNF:5
FNH:4
DA:1,10
DA:2,1
DA:3,1
DA:4,0
DA:5,1
DA:6,1
LF:6
LH:5
end_of_record
";

/// The listing.
const LISTING: &str = "          10 calls  fern::leaf
           1 calls  fern::leaf
           1 calls  twig
           0 calls  never
           1 calls  last
           1 calls  main
";

/// What is behind a call that trapped is not executed.
const LINES: &str = "\
SF:programs/lines.rs
FN:29,entry
FN:16,lines::divide
FNDA:1,entry
FNDA:1,lines::divide
FNF:2
FNH:2
DA:16,1
DA:23,1
DA:24,0
DA:29,1
LF:4
LH:3
end_of_record
";

#[test]
fn counts_are_exact() {
    let place = Place::with(&[("prog.wat", PROGRAM)]);
    place.write("lines.wasm", include_bytes!("../../../../tests/programs/lines.wasm"));
    let read = |name: &str| std::fs::read_to_string(place.path(name)).unwrap();
    for engine in ["tiered", "jit", "interp"] {
        let ended = place.run(&["coverage", "--engine", engine, "-o", "x.info", "prog.wat"]);
        assert_eq!((ended.code, &*ended.out), (Some(0), "hi\n"), "{ended:?}");
        let listing = place.path("x.info.functions.txt");
        let head =
            format!("TN:prog_wat\nSF:{}\n", std::fs::canonicalize(&listing).unwrap().display());
        assert_eq!(read("x.info"), head + LCOV);
        assert_eq!(std::fs::read_to_string(listing).unwrap(), LISTING);
        assert!(
            ended.err.contains("coverage of prog.wat: 5 of 6 functions (83.3%), "),
            "{ended:?}"
        );
        // It exits before the last call.
        let args = ["coverage", "--engine", engine, "-o", "x.lcov", "prog.wat", "argument"];
        let ended = place.run(&args);
        assert_eq!((ended.code, &*ended.out), (Some(7), "hi\n"), "{ended:?}");
        assert!(read("x.lcov").contains("FNDA:10,fern::leaf\nFNDA:0,last\n"), "{ended:?}");
        std::fs::create_dir_all(place.path("programs")).unwrap();
        place.write("programs/lines.rs", include_bytes!("../../../../tests/programs/lines.rs"));
        let args = ["coverage", "--engine", engine, "-o", "l.info", "--invoke", "entry"];
        let ended = place.run(&[&args[..], &["lines.wasm", "7"]].concat());
        assert_eq!(ended.code, Some(134), "{ended:?}");
        assert!(read("l.info").ends_with(LINES), "{}", read("l.info"));
        assert!(ended.err.contains("3/4   75.0%  programs/lines.rs"), "{ended:?}");
        let args = ["coverage", "--engine", engine, "-o", "l.html", "--invoke", "entry"];
        place.run(&[&args[..], &["lines.wasm", "7"]].concat());
        let page = read("l.html");
        let (before, rest) = page.split_once("<style>").unwrap();
        let (body, _) = rest.split_once("</style>").unwrap().1.split_once("<script>").unwrap();
        golden("coverage.html", &(before.to_owned() + body));
        std::fs::remove_file(place.path("programs/lines.rs")).unwrap();
    }
    assert_eq!(super::harness::files(&place.cache()), 0, "nothing of it is kept");
}

#[test]
fn however_the_guest_ends() {
    let place = Place::with(&[
        ("trap.wat", guests::TRAP),
        ("loop.wat", guests::LOOP),
        ("sleep.wat", guests::SLEEP),
        ("add.wat", guests::FUNCTIONS),
        ("reactor.wat", guests::REACTOR),
    ]);
    place.check(&[
        (&["coverage", "trap.wat"], 134, &[], &["3 of 3 functions", "error: trap: unreachable"]),
        (
            &["coverage", "--timeout", "200ms", "loop.wat"],
            124,
            &[],
            &["2 of 2 functions", "error: the timeout of 200ms passed"],
        ),
        (&["coverage", "--timeout", "200ms", "sleep.wat"], 124, &[], &["1 of 1 functions"]),
        (&["coverage", "--fuel", "1000", "loop.wat"], 152, &[], &["2 of 2 functions"]),
        (
            &["coverage", "--invoke", "add", "add.wat", "2", "3"],
            0,
            &["5\n"],
            &["1 of 11 functions"],
        ),
        (&["coverage", "--invoke", "get", "reactor.wat"], 0, &["42\n"], &["2 of 2 functions"]),
        (
            &["coverage", "--features", "v1", "--timeout", "100ms", "loop.wat"],
            124,
            &[],
            &["2 of 2 functions"],
        ),
        (&["coverage", "--features", "v1", "add.wat"], 1, &[], &["add.wat is not a module"]),
    ]);
}

#[test]
fn files() {
    let place = Place::with(&[("prog.wat", PROGRAM), ("bad.wat", "(module"), ("old.html", "old")]);
    let read = |name: &str| std::fs::read_to_string(place.path(name)).unwrap();
    assert_eq!(place.run(&["compile", "-o", "artifact", "prog.wat"]).code, Some(0));
    place.check(&[
        (&["coverage", "-o", "a.html", "prog.wat"], 0, &["hi\n"], &["coverage written to a.html"]),
        // Before the guest runs.
        (&["coverage", "-o", "x.doc", "prog.wat"], 2, &[""], &["x.doc", "lcov (.info, .lcov)"]),
        (
            &["coverage", "-o", "none/x.info", "prog.wat"],
            1,
            &[""],
            &["none/x.info", "No such file"],
        ),
        (&["coverage", "-o", "old.html", "-o", "new.info", "bad.wat"], 1, &[""], &["bad.wat"]),
        (
            &["coverage", "--allow-precompiled", "artifact"],
            1,
            &[""],
            &["artifact is a precompiled module"],
        ),
    ]);
    assert!(read("a.html").starts_with("<!doctype html>") && read("a.html").contains("fern::leaf"));
    assert_eq!(read("old.html"), "old", "nothing to replace it with");
    assert!(!place.path("new.info").exists());
    std::os::unix::fs::symlink("/dev/full", place.path("full.info")).unwrap();
    for (args, code) in [(&[][..], 1), (&["x"], 7)] {
        let line = [&["coverage", "-o", "full.info", "-o", "b.info", "prog.wat"], args].concat();
        let ended = place.run(&line);
        assert_eq!((ended.code, &*ended.out), (Some(code), "hi\n"), "{ended:?}");
        assert!(ended.err.contains("error: cannot write the coverage to full.info"), "{ended:?}");
        assert!(read("b.info").starts_with("TN:prog_wat\n"));
    }
}

#[test]
fn all_threads_of_a_program() {
    let program = r#"(module $prog
      (import "env" "memory" (memory 1 1 shared))
      (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
      (export "memory" (memory 0))
      (func $work)
      (func (export "wasi_thread_start") (param i32 i32) (local $n i32)
        (loop $l
          (call $work)
          (br_if $l (i32.lt_u
            (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 50000))))
        (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
        (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
      (func (export "_start")
        (drop (call $spawn (i32.const 0))) (drop (call $spawn (i32.const 0)))
        (loop $l
          (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 10000000)))
          (br_if $l (i32.lt_u (i32.atomic.load (i32.const 0)) (i32.const 2))))))"#;
    let place = Place::with(&[("prog.wat", program)]);
    for engine in ["tiered", "jit", "interp"] {
        let ended = place.run(&["coverage", "--engine", engine, "-o", "x.info", "prog.wat"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let lcov = std::fs::read_to_string(place.path("x.info")).unwrap();
        assert!(lcov.contains("FNDA:2,wasi_thread_start\nFNDA:100000,work\n"), "{lcov}");
    }
}

/// What lcov's own reader makes of the files, where it is installed.
#[test]
fn genhtml_takes_every_file() {
    let place = Place::with(&[("prog.wat", PROGRAM)]);
    place.write("lines.wasm", include_bytes!("../../../../tests/programs/lines.wasm"));
    std::fs::create_dir_all(place.path("programs")).unwrap();
    place.write("programs/lines.rs", include_bytes!("../../../../tests/programs/lines.rs"));
    let lines = ["--invoke", "entry", "lines.wasm", "7"];
    for (name, args) in
        [("functions", vec!["prog.wat"]), ("lines", lines.to_vec()), ("missing", lines.to_vec())]
    {
        if name == "missing" {
            std::fs::remove_file(place.path("programs/lines.rs")).unwrap();
        }
        let out = format!("{name}.info");
        let ended = place.run(&[&["coverage", "-o", &out], &args[..]].concat());
        assert!(ended.err.contains("coverage written to"), "{ended:?}");
        let mut genhtml = std::process::Command::new("genhtml");
        let genhtml = genhtml.current_dir(place.path("")).args(["-o", name, &out]).output();
        match genhtml {
            Ok(ended) => assert!(ended.status.success(), "{name}: {ended:?}"),
            // It is no part of what the tests need.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
        }
    }
}

#[test]
fn files_are_chosen_by_their_paths() {
    let place = Place::new();
    place.write("lines.wasm", include_bytes!("../../../../tests/programs/lines.wasm"));
    let run = |options: &[&str]| {
        place.run(&[&["coverage", "--invoke", "entry"], options, &["lines.wasm", "7"]].concat()).err
    };
    assert!(run(&[]).contains(" programs/lines.rs\n"));
    assert!(run(&["--include", "*lines*"]).contains(" programs/lines.rs\n"));
    assert!(!run(&["--exclude", "programs/*"]).contains(" programs/lines.rs\n"));
    assert!(run(&["--include", "src/*"]).contains("warning: no source file's path fits `src/*`\n"));
}

#[test]
fn branches_are_counted_where_that_is_asked_for() {
    let place = Place::new();
    place.write(
        "branches.wat",
        r#"(module (func (export "_start") (local i32)
          (loop $l
            (local.set 0 (i32.add (local.get 0) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get 0) (i32.const 4))))))"#,
    );
    let with = place.run(&["coverage", "--branches", "-o", "with.info", "branches.wat"]);
    assert_eq!(with.code, Some(0), "{with:?}");
    assert!(with.err.contains("2 of 2 outcomes of branches (100.0%)"), "{with:?}");
    let info = std::fs::read_to_string(place.path("with.info")).unwrap();
    assert!(info.contains("BRDA:1,0,0,1\nBRDA:1,0,1,3\nBRF:2\nBRH:2\n"), "{info}");
    let without = place.run(&["coverage", "-o", "without.info", "branches.wat"]);
    assert!(!without.err.contains("branches ("), "{without:?}");
    let info = std::fs::read_to_string(place.path("without.info")).unwrap();
    assert!(!info.contains("BR"), "{info}");
}
