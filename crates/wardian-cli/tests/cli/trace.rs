//! `wardian trace`: what it shows, in each format, and that the guest runs and ends as with `run`.

use super::guests;
use super::harness::{Ended, Place, golden};
use serde_json::Value;
use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Calls functions, reads and writes, asks for a file and for its arguments; exits with 7 if it has one of
/// its own, traps if it has two.
const PROGRAM: &str = r#"(module $prog
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\20\00\00\00\06\00\00\00")
  (data (i32.const 32) "h\c3\a9\1b[\n")
  (data (i32.const 64) "etc/hosts")
  (data (i32.const 96) "\00\02\00\00\40\00\00\00")
  (func $_ZN4fern4leaf17h0123456789abcdefE (param $n i32) (result i32)
    (i32.mul (local.get 0) (i32.const 2)))
  (func $twig (param $n i64) (param $x f64) (param f32)
    (drop (call $_ZN4fern4leaf17h0123456789abcdefE (i32.const 3))))
  (func $main (export "_start")
    (call $twig (i64.const -1) (f64.const 0.5) (f32.const nan))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (drop (call $read (i32.const 0) (i32.const 96) (i32.const 1) (i32.const 16)))
    (drop (call $open (i32.const 9) (i32.const 1) (i32.const 64) (i32.const 9) (i32.const 1)
      (i64.const 66) (i64.const -1) (i32.const 36) (i32.const 16)))
    (drop (call $open (i32.const 9) (i32.const 0) (i32.const 65530) (i32.const 9) (i32.const 0)
      (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 16)))
    (drop (call $sizes (i32.const 48) (i32.const 52)))
    (drop (call $args (i32.const 200) (i32.const 300)))
    (if (i32.gt_u (i32.load (i32.const 48)) (i32.const 2)) (then unreachable))
    (if (i32.gt_u (i32.load (i32.const 48)) (i32.const 1)) (then (call $exit (i32.const 7))))))"#;

const TEXT: &str = r#"main() {
  twig(n=-1, x=0.5, NaN) {
    fern::leaf(n=3) = 6 <T>
  } <T> twig
  fd_write(1, "hé\x1b[\n", 6) = 6 <T>
  fd_read(0, 64) = 5, "input" <T>
  path_open(9, SYMLINK_FOLLOW, "etc/hosts", O_CREAT, FD_READ|FD_WRITE, 0xffffffffffffffff, NONBLOCK|0x20) = EBADF <T>
  path_open(9, 0, 0xfffa, 9, 0, 0, 0, 0) = EBADF <T>
  args_sizes_get() = 2, 11 <T>
  args_get(0xc8, 0x12c) = ["prog.wat", "x"] <T>
  proc_exit(7) = ? the guest exited with code 7 <T>
} = ? the guest exited with code 7 <T> main
"#;

const JSON: &str = r#"{"event":"lane","lane":1,"store":T,"thread":"main"}
{"event":"call","lane":1,"id":T,"depth":2,"ts":T,"dur":T,"name":"fern::leaf","args":{"n":3},"results":[6]}
{"event":"call","lane":1,"id":T,"depth":1,"ts":T,"dur":T,"name":"twig","args":{"n":-1,"x":0.5,"2":"NaN"},"results":[]}
{"event":"call","lane":1,"id":T,"depth":1,"ts":T,"dur":T,"name":"fd_write","module":"wasi_snapshot_preview1","args":{"fd":1,"data":"hé\u001b[\n","len":6},"results":[0],"out":{"nwritten":6}}
{"event":"call","lane":1,"id":T,"depth":1,"ts":T,"dur":T,"name":"fd_read","module":"wasi_snapshot_preview1","args":{"fd":0,"data":64},"results":[0],"out":{"nread":5,"data":"input"}}
{"event":"call","lane":1,"id":T,"depth":1,"ts":T,"dur":T,"name":"path_open","module":"wasi_snapshot_preview1","args":{"fd":9,"lookup":"SYMLINK_FOLLOW","path":"etc/hosts","oflags":"O_CREAT","rights":"FD_READ|FD_WRITE","inheriting":"0xffffffffffffffff","fdflags":"NONBLOCK|0x20"},"results":[8],"errno":"EBADF"}
{"event":"call","lane":1,"id":T,"depth":1,"ts":T,"dur":T,"name":"path_open","module":"wasi_snapshot_preview1","args":{"fd":9,"lookup":"0","path":"0xfffa, 9","oflags":"0","rights":"0","inheriting":"0","fdflags":"0"},"results":[8],"errno":"EBADF"}
{"event":"call","lane":1,"id":T,"depth":1,"ts":T,"dur":T,"name":"args_sizes_get","module":"wasi_snapshot_preview1","args":{},"results":[0],"out":{"argc":2,"size":11}}
{"event":"call","lane":1,"id":T,"depth":1,"ts":T,"dur":T,"name":"args_get","module":"wasi_snapshot_preview1","args":{"argv":"0xc8, 0x12c"},"results":[0],"out":{"argv":["prog.wat","x"]}}
{"event":"call","lane":1,"id":T,"depth":1,"ts":T,"dur":T,"name":"proc_exit","module":"wasi_snapshot_preview1","args":{"code":7},"abort":"the guest exited with code 7"}
{"event":"call","lane":1,"id":T,"depth":0,"ts":T,"dur":T,"name":"main","args":{},"abort":"the guest exited with code 7"}
{"event":"end","calls":10,"dropped":0}
"#;

/// The text without its times, which are what lies between these.
fn masked(text: &str, begins: &[&str], ends: &[char]) -> String {
    let mut text = text.to_owned();
    for begin in begins {
        let mut parts = text.split(begin);
        let mut masked = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(ends).unwrap_or_default();
            masked += &format!("{begin}T{}", &part[end..]);
        }
        text = masked;
    }
    text
}

fn without_times(text: &str) -> String {
    let text = masked(text, &[" <"], &['>']);
    masked(&text, &["\"store\":", "\"id\":", "\"ts\":", "\"dur\":"], &[',', '}'])
}

/// A summary with its times masked, and its rows, which are in the order of times, in that of names.
fn summary_without_times(text: &str) -> String {
    let masked = |line: &str| -> String {
        let word = |word: &str| match word.trim_end_matches('%').parse::<f64>() {
            Ok(_) if word.contains('.') => format!("{:>1$}", "T", word.len()),
            _ => word.to_owned(),
        };
        line.split(' ').map(word).collect::<Vec<_>>().join(" ")
    };
    let mut lines: Vec<String> = text.lines().map(masked).collect();
    let last = lines.len() - 1;
    lines[1..last].sort_by_cached_key(|line| line.split_whitespace().last().map(str::to_owned));
    lines.join("\n") + "\n"
}

fn run(place: &Place, args: &[&str]) -> Ended {
    place.run_with_input(args, b"input")
}

#[test]
fn formats() {
    let place = Place::with(&[("prog.wat", PROGRAM)]);
    for engine in ["tiered", "jit", "interp"] {
        for (format, expected) in [("text", TEXT), ("json", JSON)] {
            let args = ["trace", "--engine", engine, "--format", format, "prog.wat", "x"];
            let ended = run(&place, &args);
            assert_eq!((ended.code, &*ended.out), (Some(7), "hé\x1b[\n"), "{ended:?}");
            assert_eq!(without_times(&ended.err), expected);
        }
        for format in ["log", "chrome"] {
            let args = ["trace", "--engine", engine, "--format", format, "prog.wat", "x"];
            let output = without_times(&run(&place, &args).err);
            golden(&format!("trace.{format}.txt"), &output);
        }
    }
    let ended = run(&place, &["trace", "-o", "x.txt", "prog.wat", "x"]);
    assert_eq!((ended.code, &*ended.err), (Some(7), ""));
    assert_eq!(without_times(&std::fs::read_to_string(place.path("x.txt")).unwrap()), TEXT);
}

#[test]
fn a_guest_that_hangs_is_seen() {
    let place = Place::with(&[(
        "spin.wat",
        r#"(module (func $spin (param i32) (loop $l (br $l)))
      (func $main (export "_start") (call $spin (i32.const 7))))"#,
    )]);
    for (format, expected) in
        [("text", "main() {\n  spin(7)"), ("log", "==> .main()\n\t==> .spin(7)")]
    {
        let mut command = place.command(&["trace", "--format", format, "spin.wat"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut err = child.stderr.take().unwrap();
        let (send, received) = channel();
        std::thread::spawn(move || {
            let mut seen = vec![0; 1 << 10];
            while let Ok(n @ 1..) = err.read(&mut seen) {
                send.send(String::from_utf8(seen[..n].to_vec()).unwrap()).unwrap();
            }
        });
        let mut seen = String::new();
        while !seen.contains(expected)
            && let Ok(more) = received.recv_timeout(Duration::from_secs(5))
        {
            seen += &more;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen.contains(expected), "{format}: {seen}");
    }
}

/// Complete events, with the lane that each is in.
fn chrome(text: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let all = all.as_array().expect("an array").clone();
    all.into_iter().filter(|event| event["ph"] == "X").collect()
}

#[test]
fn events_of_chrome_however_the_guest_ends() {
    let place = Place::with(&[
        ("prog.wat", PROGRAM),
        ("loop.wat", guests::LOOP),
        ("sleep.wat", guests::SLEEP),
        ("trap.wat", guests::TRAP),
    ]);
    for (args, code, calls) in [
        (&["prog.wat"][..], 0, 9),
        (&["prog.wat", "x"], 7, 10),
        (&["prog.wat", "x", "y"], 134, 9),
        (&["trap.wat"], 134, 3),
        (&["--timeout", "200ms", "loop.wat"], 124, 2),
        (&["--timeout", "200ms", "sleep.wat"], 124, 2),
        (&["--fuel", "100000", "loop.wat"], 152, 2),
    ] {
        let ended = run(&place, &[&["trace", "--format", "chrome", "-o", "x.json"], args].concat());
        assert_eq!(ended.code, Some(code), "{args:?} {ended:?}");
        let events = chrome(&std::fs::read_to_string(place.path("x.json")).unwrap());
        assert_eq!(events.len(), calls, "{args:?} {events:?}");
        for event in &events {
            assert!(event["ts"].as_f64() >= Some(0.0) && event["dur"].as_f64() >= Some(0.0));
            assert_eq!((&event["pid"], &event["tid"]), (&1.into(), &1.into()));
        }
        // What is outermost ends last, and contains the others.
        let (outer, inner) = (&events[calls - 1], &events[0]);
        let end = |event: &Value| event["ts"].as_f64().unwrap() + event["dur"].as_f64().unwrap();
        assert!(end(outer) + 0.001 >= end(inner) && outer["ts"].as_f64() <= inner["ts"].as_f64());
    }
}

#[test]
fn what_is_chosen() {
    let place = Place::with(&[("prog.wat", PROGRAM), ("add.wat", guests::FUNCTIONS)]);
    for (args, expected) in [
        (&["--only", "*leaf"][..], "fern::leaf(n=3) = 6 <T>\n"),
        (
            &["--only", "tw?g", "--only", "fd_r*"],
            "twig(n=-1, x=0.5, NaN) <T>\nfd_read(0, 64) = 5, \"input\" <T>\n",
        ),
        (&["--host", "--only", "args_sizes*"], "args_sizes_get() = 1, 9 <T>\n"),
        (&["--exports"], "main() <T>\n"),
        (&["--depth", "1"], "main() <T>\n"),
        (&["--only", "none"], "warning: no function fits --only `none`\n"),
        (&["--only", "fd_read", "--strings", "2"], "fd_read(0, 64) = 5, \"in\"... <T>\n"),
    ] {
        let ended = run(&place, &[&["trace"], args, &["prog.wat"]].concat());
        assert_eq!((ended.code, &*without_times(&ended.err)), (Some(0), expected), "{args:?}");
    }
    let ended = run(&place, &["trace", "--exports", "--host", "prog.wat"]);
    assert!(ended.err.contains("  fd_write(1") && !ended.err.contains("twig"), "{}", ended.err);
    let ended = run(&place, &["trace", "--invoke", "add", "add.wat", "2", "3"]);
    assert_eq!((ended.code, &*ended.out), (Some(0), "5\n"));
    assert!(ended.err.contains("= 5 <"), "{}", ended.err);
}

#[test]
fn summaries() {
    let place = Place::with(&[("prog.wat", PROGRAM)]);
    let ended = run(&place, &["trace", "--summary", "prog.wat", "x"]);
    assert_eq!(ended.code, Some(7));
    golden("trace.summary.txt", &summary_without_times(&ended.err));

    let ended = run(&place, &["trace", "--summary", "-o", "x.txt", "prog.wat"]);
    assert!(ended.err.starts_with("  self%") && !ended.err.contains("main()"), "{}", ended.err);
    assert!(std::fs::read_to_string(place.path("x.txt")).unwrap().starts_with("main() {"));
}

#[test]
fn limits() {
    let many = r#"(module (func $f) (func (export "_start") (local $n i32)
      (local.set $n (i32.const 20000))
      (loop $l (call $f) (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;
    let place = Place::with(&[("many.wat", many)]);
    for format in ["text", "json", "chrome", "log"] {
        let args = ["trace", "--format", format, "--limit", "10KiB", "-o", "x", "many.wat"];
        let ended = place.run(&args);
        assert_eq!(ended.code, Some(0));
        assert!(ended.err.contains("warning: of 20001 calls "), "{}", ended.err);
        let text = std::fs::read_to_string(place.path("x")).unwrap();
        assert!((10_000..11_000).contains(&text.len()), "{format}: {}", text.len());
        let last = text.trim_end().lines().last().unwrap();
        match format {
            "chrome" => {
                let outermost = chrome(&text).pop().unwrap();
                assert_eq!(outermost["name"], "_start", "it had begun");
                assert!(text.contains("\"limit reached\""));
            }
            "json" => {
                let end: Value = serde_json::from_str(last).unwrap();
                assert_eq!(end["calls"], 20001);
                assert!(end["dropped"].as_u64() > Some(15_000) && end["dropped_from"].is_u64());
            }
            _ => {
                assert!(last.starts_with("… the limit was reached after "), "{last}");
                let before = text.lines().rev().nth(1).unwrap();
                assert!(before.starts_with("} <") || before == "<== ()", "{before}");
            }
        }
    }
}

#[test]
fn files_that_cannot_be_written() {
    let place = Place::with(&[("prog.wat", PROGRAM), ("bad.wat", "(module"), ("old", "old")]);
    place.check(&[
        (&["trace", "-o", "-", "prog.wat"], 2, &[""], &["which is the guest's"]),
        (&["trace", "-o", "none/x", "prog.wat"], 1, &[""], &["none/x", "No such file"]),
        (&["trace", "-o", "/dev/full", "prog.wat"], 1, &["h"], &["/dev/full", "No space left"]),
        (&["trace", "--format", "xml", "prog.wat"], 2, &[""], &["text, json, chrome, log"]),
        (&["trace", "-o", "old", "bad.wat"], 1, &[""], &["bad.wat"]),
        (&["trace", "-o", "new", "bad.wat"], 1, &[""], &["bad.wat"]),
    ]);
    let ended = place.run(&["trace", "-o", "/dev/full", "prog.wat", "x"]);
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert_eq!(std::fs::read(place.path("old")).unwrap(), b"old");
    assert!(!place.path("new").exists());
}

#[test]
fn guests_that_are_refused_leave_files_alone() {
    let place = Place::with(&[
        ("imp.wat", r#"(module (import "a" "b" (func)) (func (export "_start")))"#),
        ("big.wat", r#"(module (memory 100) (func (export "_start")))"#),
        ("none.wat", r#"(module (func (export "_start")))"#),
        ("old.txt", "old"),
        ("old.html", "old"),
    ]);
    std::os::unix::fs::symlink("target", place.path("link.txt")).unwrap();
    let commands: [&[&str]; 5] = [
        &["trace", "-o", "old.txt"],
        &["trace", "--format", "chrome", "-o", "new.txt"],
        &["profile", "-o", "old.html", "-o", "new.html"],
        &["coverage", "-o", "old.html", "-o", "new.html"],
        &["trace", "-o", "link.txt"],
    ];
    for guest in [&["imp.wat"][..], &["--max-memory", "1MiB", "big.wat"]] {
        for command in commands {
            let ended = place.run(&[command, guest].concat());
            assert_eq!(ended.code, Some(1), "{command:?} {ended:?}");
            assert!(
                ended.err.starts_with("error: ") && !ended.err.contains("written"),
                "{ended:?}"
            );
            for old in ["old.txt", "old.html"] {
                assert_eq!(std::fs::read(place.path(old)).unwrap(), b"old", "{command:?}");
            }
            for new in ["new.txt", "new.html", "target"] {
                assert!(!place.path(new).exists(), "{command:?} {new}");
            }
            assert!(place.path("link.txt").is_symlink(), "{command:?}");
        }
    }
    // What runs and shows no calls has an empty trace.
    for command in
        [&["trace", "--only", "x", "-o", "old.txt"], &["trace", "--only", "x", "-o", "link.txt"]]
    {
        assert_eq!(place.run(&[&command[..], &["none.wat"]].concat()).code, Some(0));
    }
    assert_eq!(std::fs::read(place.path("old.txt")).unwrap(), b"");
    assert_eq!(std::fs::read(place.path("target")).unwrap(), b"");
}

#[test]
fn hostile_names() {
    let module = r#"(module (func $"a\1b[2J\n\"\u{202e}" (param $"\07" i32) (param $"\07\n" i64))
      (func (export "_start") (call 0 (i32.const 1) (i64.const 2))))"#;
    let place = Place::with(&[("m.wat", module)]);
    for format in ["text", "json", "chrome", "log"] {
        let ended = place.run(&["trace", "--format", format, "m.wat"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let strange = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
        assert!(!ended.err.contains(strange), "{ended:?}");
        match format {
            "json" => ended.err.lines().for_each(|line| {
                serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            }),
            "chrome" => assert_eq!(chrome(&ended.err).len(), 2),
            _ => assert!(
                ended.err.contains(r#"a\x1b[2J\n\"\u{202e}(\x07=1, \x07\n=2)"#),
                "{ended:?}"
            ),
        }
    }
}

#[test]
fn threads_have_lanes() {
    let program = r#"(module $prog
      (import "env" "memory" (memory 1 1 shared))
      (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
      (export "memory" (memory 0))
      (func $work (param $n i32))
      (func (export "wasi_thread_start") (param i32 i32) (local $n i32)
        (local.set $n (i32.const 1000))
        (loop $l (call $work (local.get $n))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
        (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
      (func (export "_start")
        (drop (call $spawn (i32.const 0))) (drop (call $spawn (i32.const 16)))
        (loop $l
          (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 10000000)))
          (br_if $l (i32.lt_u (i32.atomic.load (i32.const 0)) (i32.const 2))))))"#;
    let place = Place::with(&[("prog.wat", program)]);
    let ended = place.run(&["trace", "--format", "json", "-o", "x", "prog.wat"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = std::fs::read_to_string(place.path("x")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let threads: Vec<_> = lines.iter().filter(|line| line["event"] == "lane").collect();
    assert_eq!(threads.len(), 3);
    for lane in 2..=3 {
        let of_lane = lines.iter().filter(|line| line["lane"] == lane && line["name"] == "work");
        let args: Vec<_> = of_lane.map(|line| line["args"]["n"].as_u64().unwrap()).collect();
        assert_eq!(args, (1..=1000).rev().collect::<Vec<_>>(), "in order");
    }
    let spawned = lines.iter().filter(|line| line["name"] == "thread-spawn");
    assert_eq!(spawned.clone().count(), 2);
    assert!(spawned.clone().any(|line| line["args"]["start_arg"] == "0x10"));

    let ended = place.run(&["trace", "-o", "x", "prog.wat"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = std::fs::read_to_string(place.path("x")).unwrap();
    let works = text.lines().filter(|line| {
        let line = line.strip_prefix("[2]   work(n=").or(line.strip_prefix("[3]   work(n="));
        line.is_some_and(|line| line.ends_with('>') || line.ends_with(") {"))
    });
    assert_eq!(works.count(), 2000, "{text}");
}
