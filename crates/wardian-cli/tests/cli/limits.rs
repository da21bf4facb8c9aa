//! Time, fuel, memory and stack.

use super::guests;
use super::harness::{self, Place};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The timeout of the tests, and the time by which a stopped guest must be gone: its start, the
/// compilation and a busy machine included.
const TIMEOUT: &str = "200ms";
const GONE: Duration = Duration::from_millis(500);

#[test]
fn timeouts() {
    let place = Place::with(&[
        ("loop.wat", guests::LOOP),
        ("start.wat", guests::LOOP_IN_START),
        ("sleep.wat", guests::SLEEP),
        ("invoke.wat", r#"(module (func (export "f") (loop $l (br $l))))"#),
        ("done.wat", r#"(module (func (export "_start")))"#),
    ]);
    for args in
        [&["loop.wat"][..], &["start.wat"], &["sleep.wat"], &["--invoke", "f", "invoke.wat"]]
    {
        let line = [&["run", "--timeout", TIMEOUT], args].concat();
        let ended = place.run(&line);
        assert_eq!(ended.code, Some(124), "{line:?} {ended:?}");
        assert!(ended.err.starts_with("error: the timeout of 200ms passed\n"), "{ended:?}");
        assert!(
            ended.took >= Duration::from_millis(200) && ended.took < GONE,
            "{args:?} {ended:?}"
        );
    }
    place.check(&[
        (&["run", "--timeout", "1h", "done.wat"], 0, &[], &[]),
        (&["run", "--timeout", "100000000000y", "done.wat"], 0, &[], &[]),
        (&["run", "--timeout", "0s", "done.wat"], 124, &[], &["timeout of 0s"]),
        (&["run", "--timeout", "5x", "done.wat"], 2, &[], &["500ms, 5s"]),
        (&["run", "--timeout", TIMEOUT, "loop.wat"], 124, &[], &["0: forever", "1: main"]),
    ]);
}

#[test]
fn fuel() {
    let place = Place::with(&[
        ("loop.wat", guests::LOOP),
        ("start.wat", guests::LOOP_IN_START),
        (
            "count.wat",
            r#"(module (func (export "f") (param i32)
                (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#,
        ),
    ]);
    place.check(&[
        (
            &["run", "--fuel", "100000", "loop.wat"],
            152,
            &[],
            &["error: the fuel of 100000 is used up\n", "0: forever", "1: main"],
        ),
        (&["run", "--fuel", "0", "start.wat"], 152, &[], &["fuel of 0"]),
        // Five in each round, and looked at before it.
        (&["run", "--fuel", "45", "--invoke", "f", "count.wat", "10"], 0, &[], &[]),
        (&["run", "--fuel", "44", "--invoke", "f", "count.wat", "10"], 152, &[], &["fuel of 44"]),
        (&["run", "--fuel", "49995", "--invoke", "f", "count.wat", "10000"], 0, &[], &[]),
        (&["run", "--fuel", "49994", "--invoke", "f", "count.wat", "10000"], 152, &[], &["fuel"]),
        (&["run", "--fuel", "some", "loop.wat"], 2, &[], &["some"]),
    ]);
}

#[test]
fn a_timeout_stops_waiting_for_input() {
    let place = Place::with(&[("cat.wat", guests::CAT)]);
    // For the guest's input, and for the module itself.
    for file in ["cat.wat", "-"] {
        let start = Instant::now();
        let mut child = place
            .command(&["run", "--timeout", TIMEOUT, file])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The pipe stays open.
        let input = child.stdin.take();
        assert_eq!(harness::end(child).status.code(), Some(124), "{file}");
        assert!(start.elapsed() < GONE, "{file} {:?}", start.elapsed());
        drop(input);
    }
}

#[test]
fn memory() {
    let place = Place::with(&[
        ("bomb.wat", guests::MEMORY_BOMB),
        ("large.wat", r#"(module (memory 64) (func (export "_start")))"#),
        (
            "tables.wat",
            &format!(
                "(module {} (func (export \"_start\")))",
                "(table 10000000 funcref)".repeat(100)
            ),
        ),
        ("table.wat", r#"(module (table 1000 funcref) (func (export "_start")))"#),
    ]);
    place.check(&[
        (&["run", "--max-memory", "1MiB", "tables.wat"], 1, &[], &["limits refuse a table"]),
        (&["run", "--max-memory", "8GiB", "tables.wat"], 0, &[], &[]),
        (&["run", "--max-memory", "8000", "table.wat"], 0, &[], &[]),
        (&["run", "--max-memory", "7999", "table.wat"], 1, &[], &["limits refuse a table"]),
        (&["run", "--max-table-elements", "1000", "table.wat"], 0, &[], &[]),
        (&["run", "--max-table-elements", "999", "table.wat"], 1, &[], &["limits refuse a table"]),
        (&["run", "--max-memory", "8MiB", "bomb.wat"], 8, &[], &[]),
        (&["run", "--max-memory", "20 MiB", "bomb.wat"], 20, &[], &[]),
        (&["run", "--max-memory", "1MiB", "large.wat"], 1, &[], &["memory"]),
        (&["run", "--max-memory", "4MiB", "large.wat"], 0, &[], &[]),
        (&["run", "--max-memory", "lots", "large.wat"], 2, &[], &["512MiB"]),
        (&["run", "--stack-size", "1KiB", "large.wat"], 2, &[], &["at least 64KiB"]),
        (&["profile", "--interval", "0ms", "large.wat"], 2, &[], &["from 50us to 1h"]),
    ]);
}

#[test]
fn stack() {
    let place = Place::with(&[("deep.wat", guests::RECURSION)]);
    for size in ["64KiB", "1MiB", "64MiB"] {
        let ended = place.run(&["run", "--stack-size", size, "deep.wat"]);
        assert_eq!(ended.code, Some(134), "{size} {ended:?}");
        assert!(ended.err.contains("call stack exhausted"), "{ended:?}");
        assert!(ended.err.contains("... and "), "{ended:?}");
    }
    // More than there is.
    let ended = place.run(&["run", "--stack-size", "1000TiB", "deep.wat"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

/// Where addresses are short, as on processors with few of their bits or under `ulimit -v`, memories have no guard pages
/// and code checks its accesses.
#[test]
fn little_address_space() {
    let place = Place::with(&[(
        "memory.wat",
        r#"(module (memory 1 100)
          (func (export "run") (param i32) (result i32)
            (drop (memory.grow (i32.const 2)))
            (i32.store (i32.const 0x2fffc) (i32.const 42))
            (i32.load (local.get 0))))"#,
    )]);
    let engines: &[&str] =
        if cfg!(feature = "jit") { &["jit", "tiered", "interp"] } else { &["interp"] };
    for engine in engines {
        let run = |at: &str| {
            let mut shell = std::process::Command::new("sh");
            shell.args([
                "-c",
                "ulimit -v 2000000; exec \"$0\" \"$@\"",
                harness::WARDIAN,
                "run",
                "--engine",
                engine,
            ]);
            shell
                .args(["--no-cache", "--invoke", "run", "memory.wat", at])
                .current_dir(place.path(""));
            harness::run(&mut shell, b"")
        };
        let inside = run("0x2fffc");
        assert_eq!((inside.code, inside.out.trim()), (Some(0), "42"), "{engine}: {inside:?}");
        for at in ["0x2fffd", "0x30000", "-4"] {
            let outside = run(at);
            assert!(
                outside.err.contains("out of bounds memory access"),
                "{engine}, {at}: {outside:?}"
            );
        }
    }
}
