//! What is shown of a guest that traps.

use super::harness::{Place, end};
use std::io::{Read, Write};
use std::process::Stdio;

/// Traps in functions that are named as Rust's are.
const PANIC: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (func $__rust_start_panic unreachable)
  (func $_ZN4core9panicking5panic17h0123456789abcdefE (call $__rust_start_panic))
  (func $_ZN3app5parse17h0123456789abcdefE (param i32)
    (if (i32.eqz (local.get 0)) (then (call $_ZN4core9panicking5panic17h0123456789abcdefE)))
    (call $_ZN3app5parse17h0123456789abcdefE (i32.sub (local.get 0) (i32.const 1))))
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $_ZN3app5parse17h0123456789abcdefE (i32.const 9))))"#;

#[test]
fn the_short_form_is_about_the_guests_own_code() {
    let place = Place::with(&[("p.wat", PANIC)]);
    for engine in ["tiered", "jit", "interp"] {
        let ended = place.run(&["run", "--engine", engine, "p.wat"]);
        assert_eq!(ended.code, Some(134), "{ended:?}");
        let lines: Vec<&str> = ended.err.lines().collect();
        assert_eq!(lines[0], "error: trap: unreachable");
        assert_eq!(lines[2], "       (2 calls of the language's library)");
        assert!(lines[3].starts_with("    2: app::parse (offset 0x"), "{ended:?}");
        assert_eq!(lines[10], "  ... and 4 more");
        assert!(lines[11].contains("--backtrace full shows"), "{ended:?}");
        assert_eq!(lines.len(), 12, "{ended:?}");
        let full = place.run(&["run", "--backtrace", "full", "--engine", engine, "p.wat"]);
        for part in ["0: __rust_start_panic", "1: core::panicking::panic", "app::parse($0: i32"] {
            assert!(full.err.contains(part), "{full:?}");
        }
    }
}

#[test]
fn a_trap_without_a_reader_is_one_line() {
    let place = Place::with(&[("p.wat", PANIC)]);
    let mut command = place.command(&["run", "p.wat"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let ended = end(child);
    let mut err = String::new();
    stderr.read_to_string(&mut err).unwrap();
    assert_eq!(ended.status.code(), Some(141), "{err}");
    assert_eq!(err, "error: nobody reads standard output any more: trap: unreachable\n");
}
