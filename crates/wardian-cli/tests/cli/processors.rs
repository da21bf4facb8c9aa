//! Programs that are carried between processors: what a command for one has written, one for another resumes.
//!
//! The other command is given by `WARDIAN_AARCH64`, and run by `qemu-aarch64`: see `.ci/platforms`.

use super::checkpoint::{ALPHABET, end, send, start_by, wait_for};
use super::harness::{Place, WARDIAN};
use nix::sys::signal::Signal;
use std::process::Command;

/// As the guest of `checkpoint.rs`, with values of every numeric type in the frames, a callee among them that is
/// entered through a table. At the end it writes a letter for each byte of what became of them.
const VALUES: &str = r#"(module $values
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (table 2 funcref) (elem (i32.const 1) $pause)
  (type $pause (func (param f64 i64) (result f64 i64)))
  (global $fd (mut i32) (i32.const 0))
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (data (i32.const 32) "letters") (data (i32.const 64) "\80\00\00\00\11\00\00\00")
  (data (i32.const 144) "\n")
  (func $pause (type $pause) (local $k i32) (local $s f32)
    (local.set $k (i32.const 5000000))
    (loop $w
      (local.set $s (f32.add (local.get $s) (f32.const 0.37)))
      (br_if $w (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
    (f64.add (local.get 0) (f64.promote_f32 (local.get $s)))
    (i64.rotl (local.get 1) (i64.const 7)))
  (func (export "_start") (local $n i32) (local $x f64) (local $i i64) (local $v v128)
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 7) (i32.const 9)
          (i64.const 64) (i64.const 64) (i32.const 0) (i32.const 40)) (then (unreachable)))
    (global.set $fd (i32.load (i32.const 40)))
    (local.set $i (i64.const 0x123456789abcdef1))
    (loop $l
      (i32.store8 (i32.const 16) (i32.add (i32.const 97) (local.get $n)))
      (if (call $write (global.get $fd) (i32.const 0) (i32.const 1) (i32.const 24)) (then (unreachable)))
      (local.set $v (i8x16.add (local.get $v) (i64x2.splat (local.get $i))))
      ;; An operand waits below the call.
      (i64x2.splat (i64.extend_i32_u (local.get $n)))
      (call_indirect (type $pause) (local.get $x) (local.get $i) (i32.const 1))
      (local.set $i) (local.set $x)
      (local.set $v (v128.xor (local.get $v)))
      (local.set $v (v128.xor (local.get $v) (f64x2.splat (f64.div (local.get $x) (f64.const 3)))))
      (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 26))))
    (v128.store (i32.const 128)
      (i8x16.add (v128.and (local.get $v) (i8x16.splat (i32.const 15))) (i8x16.splat (i32.const 97))))
    (drop (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 24)))))"#;

/// A processor on which the command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Processor {
    /// That of the test.
    Own,
    /// An emulated one.
    Aarch64,
}
use Processor::{Aarch64, Own};

impl Processor {
    fn command(self) -> Command {
        match self {
            Own => Command::new(WARDIAN),
            Aarch64 => {
                let mut command = Command::new("qemu-aarch64");
                command.args(["-L", "/usr/aarch64-linux-gnu"]);
                command.arg(std::env::var_os("WARDIAN_AARCH64").unwrap());
                command
            }
        }
    }
}

/// Whether the command can be run on the other processor; says why not.
fn can_emulate() -> bool {
    if std::env::var_os("WARDIAN_AARCH64").is_none() {
        eprintln!("skipped: WARDIAN_AARCH64 names no command for aarch64: see .ci/platforms");
        return false;
    }
    let version = Command::new("qemu-aarch64").arg("--version").output();
    if version.is_err() {
        eprintln!("skipped: there is no qemu-aarch64");
    }
    version.is_ok()
}

const ENGINES: &[&str] =
    if cfg!(feature = "jit") { &["jit", "tiered", "interp"] } else { &["interp"] };

fn place() -> Place {
    let place = Place::with(&[("values.wat", VALUES)]);
    std::fs::create_dir(place.path("out")).unwrap();
    place
}

/// What the program writes when nothing interrupts it.
fn whole() -> String {
    let place = place();
    let (code, out, err) = end(start_by(Own.command(), &place, &["run", "values.wat"]));
    assert_eq!((code, out.len()), (Some(0), 17), "{out}{err}");
    out
}

/// Runs or resumes the program on a processor and an engine until it has written so many letters, and has it written
/// to a file then.
fn until(
    place: &Place,
    (processor, engine): (Processor, &str),
    what: &[&str],
    letters: usize,
    to: &str,
) {
    let mut args = vec![what[0], "--engine", engine, "--checkpoint", to];
    args.extend(&what[1..]);
    let mut child = start_by(processor.command(), place, &args);
    wait_for(place, &mut child, letters);
    send(&child, Signal::SIGTERM);
    let ended = end(child);
    assert_eq!(ended, (Some(75), String::new(), String::new()), "{processor:?}, {engine}");
}

/// Resumes the program to its end.
fn finish(place: &Place, (processor, engine): (Processor, &str), from: &str, expected: &str) {
    let args = ["resume", "--engine", engine, from];
    let ended = end(start_by(processor.command(), place, &args));
    assert_eq!(ended, (Some(0), expected.into(), String::new()), "{processor:?}, {engine}");
    let letters = std::fs::read_to_string(place.path("out/letters")).unwrap();
    assert_eq!(letters, ALPHABET, "{processor:?}, {engine}");
}

/// There and back, by these engines.
fn there_and_back(first: &str, second: &str, third: &str, expected: &str) {
    let place = place();
    until(&place, (Own, first), &["run", "values.wat"], 3, "a.chk");
    until(&place, (Aarch64, second), &["resume", "a.chk"], 6, "b.chk");
    finish(&place, (Own, third), "b.chk", expected);
}

/// The same, where the emulated processor begins.
fn back_and_there(first: &str, second: &str, third: &str, expected: &str) {
    let place = place();
    until(&place, (Aarch64, first), &["run", "values.wat"], 3, "a.chk");
    until(&place, (Own, second), &["resume", "a.chk"], 6, "b.chk");
    finish(&place, (Aarch64, third), "b.chk", expected);
}

#[test]
fn a_program_continues_on_another_processor_and_comes_back() {
    if can_emulate() {
        let last = ENGINES.len() - 1;
        let expected = whole();
        there_and_back(ENGINES[0], ENGINES[last], ENGINES[last / 2], &expected);
        there_and_back(ENGINES[last], ENGINES[0], ENGINES[last], &expected);
        back_and_there(ENGINES[last / 2], ENGINES[0], ENGINES[0], &expected);
    }
}

#[test]
#[ignore = "minutes under an emulator"]
fn every_engine_continues_what_any_wrote_on_another_processor() {
    if !can_emulate() {
        return;
    }
    let expected = whole();
    for first in ENGINES {
        for second in ENGINES {
            there_and_back(first, second, first, &expected);
            back_and_there(first, second, first, &expected);
        }
    }
}
