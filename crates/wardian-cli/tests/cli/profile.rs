//! `wardian profile`: what it writes where, and that the guest runs and ends as with `run`.

use super::guests;
use super::harness::Place;

/// Writes a line, calls functions, allocates, and exits with 7 if it has an argument.
const PROGRAM: &str = r#"(module $prog
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\03\00\00\00hi\n")
  (func $malloc (param i32) (result i32) (i32.const 1024))
  (func $_ZN4fern4leaf17h0123456789abcdefE (drop (call $malloc (i32.const 100))))
  (func $twig (call $_ZN4fern4leaf17h0123456789abcdefE) (call $_ZN4fern4leaf17h0123456789abcdefE))
  (func $main (export "_start")
    (call $twig) (call $twig) (call $_ZN4fern4leaf17h0123456789abcdefE)
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (drop (call $args (i32.const 32) (i32.const 36)))
    (if (i32.gt_u (i32.load (i32.const 32)) (i32.const 1)) (then (call $exit (i32.const 7))))))"#;

const FOLDED: &str = "\
main 1
main;[host] wasi:args_sizes_get 1
main;[host] wasi:fd_write 1
main;fern::leaf 1
main;fern::leaf;malloc 1
main;twig 2
main;twig;fern::leaf 4
main;twig;fern::leaf;malloc 4
";

/// Columns of times are left out.
const TABLE: &[&str] = &[
    "5 33.3% 10 66.7% fern::leaf",
    "5 33.3% 5 33.3% malloc",
    "2 13.3% 10 66.7% twig",
    "1 6.7% 15 100.0% main",
    "1 6.7% 1 6.7% [host] wasi:args_sizes_get",
    "1 6.7% 1 6.7% [host] wasi:fd_write",
];

#[test]
fn programs_that_end_before_samples_are_read_have_names() {
    const SPIN: &str = r#"(module (func $spin (local i32)
        (loop $l (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1)))
          (i32.const 2000000)))))
      (func $main (export "_start") (call $spin)))"#;
    let place = Place::with(&[("spin.wat", SPIN)]);
    for engine in ["tiered", "jit", "interp"] {
        // A machine that is busy may give no time to take a sample.
        let seen = (0..20).any(|_| {
            let options = ["profile", "--frequency", "20000", "-o", "x.folded", "--engine", engine];
            let ended = place.run(&[&options[..], &["spin.wat"]].concat());
            assert_eq!(ended.code, Some(0), "{ended:?}");
            let folded = std::fs::read_to_string(place.path("x.folded")).unwrap();
            // Time without samples is a line of its own, with nothing above or below it.
            let is_gone =
                |line: &str| line.contains("<unknown>") && !line.starts_with("<unknown> ");
            assert!(!folded.lines().any(is_gone), "{engine}: {folded}");
            folded.contains("main;spin ")
        });
        assert!(seen, "{engine}");
    }
}

#[test]
fn exact_counts_are_the_same_each_time() {
    let place = Place::with(&[("prog.wat", PROGRAM)]);
    for engine in ["tiered", "jit", "interp"] {
        let options = ["--exact", "--value", "calls", "--engine", engine];
        let folded = [&["profile", "-o", "x.folded"], &options[..], &["prog.wat"]].concat();
        let ended = place.run(&folded);
        assert_eq!((ended.code, &*ended.out), (Some(0), "hi\n"), "{ended:?}");
        assert_eq!(std::fs::read_to_string(place.path("x.folded")).unwrap(), FOLDED);
        let table = [&["profile"], &options[..], &["prog.wat"]].concat();
        let ended = place.run(&table);
        assert_eq!((ended.code, &*ended.out), (Some(0), "hi\n"), "{ended:?}");
        let mut lines = ended.err.lines();
        let head = lines.next().unwrap();
        assert!(head.starts_with("exact profile of prog.wat, "), "{head}");
        assert!(head.ends_with(" 15 calls in all"), "{head}");
        assert_eq!(
            lines.next().unwrap().split_whitespace().collect::<Vec<_>>(),
            ["self", "self%", "total", "total%", "time", "function"]
        );
        let row = |line: &str| {
            let mut cells: Vec<_> = line.split_whitespace().collect();
            cells.remove(4);
            cells.join(" ")
        };
        let rows: Vec<String> = lines.map(row).collect();
        assert_eq!(rows, TABLE, "{ended:?}");
    }
}

#[test]
fn however_the_guest_ends() {
    let place = Place::with(&[
        ("prog.wat", PROGRAM),
        ("trap.wat", guests::TRAP),
        ("loop.wat", guests::LOOP),
        ("sleep.wat", guests::SLEEP),
        ("bomb.wat", guests::MEMORY_BOMB),
        ("add.wat", guests::FUNCTIONS),
    ]);
    place.check(&[
        (&["profile", "prog.wat"], 0, &["hi\n"], &["sampling profile of prog.wat, tiered"]),
        (&["profile", "--exact", "prog.wat", "x"], 7, &["hi\n"], &["[host] wasi:proc_exit"]),
        (
            &["profile", "--exact", "--value", "calls", "trap.wat"],
            134,
            &[],
            &["app::outer", "3 calls", "error: ", "unreachable"],
        ),
        (
            &["profile", "--exact", "--value", "calls", "--timeout", "200ms", "loop.wat"],
            124,
            &[],
            &["2 calls", "forever", "error: the timeout of 200ms passed"],
        ),
        (
            &["profile", "--timeout", "300ms", "--frequency", "2000", "loop.wat"],
            124,
            &[],
            &["forever", "[runtime] compile", "error: the timeout of 300ms passed"],
        ),
        (
            &["profile", "--timeout", "300ms", "--interval", "500us", "sleep.wat"],
            124,
            &[],
            &["[host] wasi:poll_oneoff"],
        ),
        (&["profile", "--memory", "--max-memory", "3MiB", "bomb.wat"], 3, &[], &["2.0 MiB"]),
        (&["profile", "--memory", "prog.wat"], 0, &["hi\n"], &["500 B", "those of malloc"]),
        (
            &["profile", "--exact", "--invoke", "add", "add.wat", "2", "3"],
            0,
            &["5\n"],
            &["100.0%", "  add\n"],
        ),
        (&["profile", "--fuel", "100000", "loop.wat"], 152, &[], &["profile of loop.wat"]),
    ]);
}

#[test]
fn files() {
    let place =
        Place::with(&[("sub/prog.wat", PROGRAM), ("bad.wat", "(module"), ("old.svg", "old")]);
    let read = |name: &str| std::fs::read(place.path(name)).unwrap();
    let outputs = ["a.pb.gz", "a.json", "a.txt", "a.svg", "a.html", "a.table"];
    let mut line = vec!["profile", "--exact"];
    outputs.iter().for_each(|output| line.extend(["-o", output]));
    line.push("sub/prog.wat");
    let ended = place.run(&line);
    assert_eq!((ended.code, &*ended.out), (Some(0), "hi\n"), "{ended:?}");
    assert_eq!(ended.err.matches("note: exact profile written to a.").count(), 6, "{ended:?}");
    let starts: [&[u8]; 6] = [
        b"\x1f\x8b",
        b"{\"meta\"",
        b"main",
        b"<?xml",
        b"<!doctype html>",
        b"exact profile of prog.wat",
    ];
    for (output, start) in outputs.iter().zip(starts) {
        assert!(read(output).starts_with(start), "{output}");
    }
    place.check(&[
        // Named after the program, in the current folder.
        (&["profile", "--format", "svg", "sub/prog.wat"], 0, &["hi"], &["prog.profile.svg"]),
        (&["profile", "--format", "table", "sub/prog.wat"], 0, &["hi"], &["sampling profile of"]),
        (&["profile", "--format", "folded", "-o", "odd", "sub/prog.wat"], 0, &["hi"], &["to odd"]),
        // Before the guest runs.
        (&["profile", "-o", "x.doc", "sub/prog.wat"], 2, &[""], &["x.doc", "pprof (.pb.gz"]),
        (&["profile", "-o", "-", "sub/prog.wat"], 2, &[""], &["which is the guest's"]),
        (
            &["profile", "-o", "none/x.svg", "sub/prog.wat"],
            1,
            &[""],
            &["none/x.svg", "No such file"],
        ),
        (&["profile", "--value", "calls", "sub/prog.wat"], 2, &[""], &["samples, wall, cpu"]),
        (
            &["profile", "--format", "gif", "sub/prog.wat"],
            2,
            &[""],
            &["[possible values: pprof, firefox, folded, svg, html, table]"],
        ),
        (&["profile", "--exact", "--memory", "sub/prog.wat"], 2, &[""], &["cannot be used with"]),
        (
            &["profile", "--exact", "--interval", "1ms", "sub/prog.wat"],
            2,
            &[""],
            &["cannot be used"],
        ),
        (&["profile", "--frequency", "0", "sub/prog.wat"], 2, &[""], &["times a second"]),
        (&["profile", "-o", "old.svg", "-o", "new.svg", "bad.wat"], 1, &[""], &["bad.wat"]),
    ]);
    assert!(read("prog.profile.svg").starts_with(b"<?xml"));
    assert_eq!(read("old.svg"), b"old", "nothing to replace it with");
    assert!(!place.path("new.svg").exists());
}

#[test]
fn profiles_that_cannot_be_written() {
    let place = Place::with(&[("prog.wat", PROGRAM)]);
    let line =
        ["profile", "--exact", "--format", "svg", "-o", "/dev/full", "-o", "good", "prog.wat"];
    for (args, code) in [(&[][..], 1), (&["x"], 7)] {
        let ended = place.run(&[&line, args].concat());
        assert_eq!((ended.code, &*ended.out), (Some(code), "hi\n"), "{ended:?}");
        for part in ["error: cannot write the profile to /dev/full", "No space left", "fern::leaf"]
        {
            assert!(ended.err.contains(part), "{part} {ended:?}");
        }
        assert!(std::fs::read(place.path("good")).unwrap().starts_with(b"<?xml"));
    }
}

#[test]
fn all_threads_of_a_program() {
    let program = r#"(module $prog
      (import "env" "memory" (memory 1 1 shared))
      (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
      (export "memory" (memory 0))
      (func $work (param $n i32)
        (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
      (func (export "wasi_thread_start") (param i32 i32)
        (call $work (i32.const 1000000))
        (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
        (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
      (func (export "_start")
        (drop (call $spawn (i32.const 0))) (drop (call $spawn (i32.const 0)))
        (loop $l
          (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 10000000)))
          (br_if $l (i32.lt_u (i32.atomic.load (i32.const 0)) (i32.const 2))))))"#;
    let place = Place::with(&[("prog.wat", program)]);
    let args = ["profile", "--exact", "--value", "calls", "-o", "x.folded", "prog.wat"];
    let ended = place.run(&args);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let folded = std::fs::read_to_string(place.path("x.folded")).unwrap();
    assert!(folded.contains("wasi_thread_start;work 2\n"), "{folded}");
    place.check(&[(&["profile", "prog.wat"], 0, &[], &["sampling profile of prog.wat"])]);
}

/// Calls `poll_oneoff` for 300 ms.
const WORK: &str = r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\01")
  (data (i32.const 24) "\00\a3\e1\11")
  (func (export "_start")
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#;

#[test]
fn time_of_the_host_and_of_the_runtime_has_names_in_all_formats() {
    let place = Place::with(&[("work.wat", WORK)]);
    for engine in ["tiered", "jit", "interp"] {
        let files = ["-o", "x.folded", "-o", "x.html", "-o", "x.json", "-o", "x.table"];
        let options = ["--engine", engine, "--no-cache"];
        let ended = place.run(&[&["profile"], &files[..], &options, &["work.wat"]].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        // A report is compressed.
        for file in ["x.folded", "x.json", "x.table"] {
            let text = std::fs::read_to_string(place.path(file)).unwrap();
            for name in ["[host] wasi:poll_oneoff", "[runtime] compile"] {
                assert!(text.contains(name), "{engine} {file} {name}: {text}");
            }
        }
        let folded = std::fs::read_to_string(place.path("x.folded")).unwrap();
        let value = |start: &str| -> u64 {
            let lines = folded.lines().filter_map(|line| line.strip_prefix(start));
            lines.map(|value| value.trim().parse::<u64>().unwrap()).sum()
        };
        // What is not in samples is unknown time, without that before the first sample and after the last one: on a busy
        // machine some ten milliseconds.
        let waited = value("_start;[host] wasi:poll_oneoff ") + value("<unknown> ");
        assert!(waited > 200_000_000, "{engine}: {folded}");
    }
}

#[test]
fn short_programs_have_samples_enough() {
    let place = Place::new();
    // Some 20 ms of compiled code.
    place.write(
        "short.wat",
        r#"(module
          (func $spin (param i32)
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
          (func (export "_start") (call $spin (i32.const 50000000))))"#,
    );
    let samples = |options: &[&str]| {
        let all = [&["profile", "--value", "samples", "-o", "x.folded"], options, &["short.wat"]];
        let ended = place.run(&all.concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let folded = std::fs::read_to_string(place.path("x.folded")).unwrap();
        let line = folded.lines().find_map(|line| line.strip_prefix("_start;spin "));
        line.map_or(0, |count| count.parse::<u32>().unwrap())
    };
    // A machine that is busy takes fewer.
    let enough = (0..20).any(|_| samples(&[]) >= 60);
    assert!(enough, "there are too few");
    let wanted = (0..20).any(|_| samples(&["--interval", "5ms"]) <= 30);
    assert!(wanted, "samples are taken as often as it was asked for");
}

#[test]
#[cfg(target_os = "linux")]
fn time_of_the_kernel_is_shown() {
    let place = Place::new();
    // Touches a gigabyte page by page: most of the time the kernel finds pages.
    place.write(
        "touch.wat",
        r#"(module (memory (export "memory") 16384)
          (func $touch (param i32)
            (loop $l
              (i32.store8 (local.get 0) (i32.const 1))
              (local.set 0 (i32.add (local.get 0) (i32.const 4096)))
              (br_if $l (i32.lt_u (local.get 0) (i32.const 0x3fff_0000)))))
          (func (export "_start") (call $touch (i32.const 0))))"#,
    );
    place.write(
        "spin.wat",
        r#"(module
          (func $touch (param i32)
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
          (func (export "_start") (call $touch (i32.const 2000000000))))"#,
    );
    // The kernel's and the function's own time.
    let times = |guest: &str| {
        let ended = place.run(&["profile", "-o", "x.folded", guest]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let folded = std::fs::read_to_string(place.path("x.folded")).unwrap();
        ["_start;touch;[kernel] ", "_start;touch "].map(|stack| {
            let line = folded.lines().find_map(|line| line.strip_prefix(stack));
            line.map_or(0, |time| time.parse::<u64>().unwrap())
        })
    };
    let is_mostly_kernel = |[kernel, own]: [u64; 2]| kernel > own;
    assert!((0..20).any(|_| is_mostly_kernel(times("touch.wat"))));
    let [kernel, own] = times("spin.wat");
    assert!(kernel < own / 4, "{kernel} of {own}");
}
