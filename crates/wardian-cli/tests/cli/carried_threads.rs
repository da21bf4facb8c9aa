//! Programs with threads that are written to checkpoints and resumed.

use super::checkpoint::{end, send, start};
use super::harness::Place;
use nix::sys::signal::Signal;
use std::io::Read;
use std::time::Duration;

/// The main thread says `go`. Two threads take turns by waiting and notifying, and add up what depends on the order; the
/// main thread waits for both and exits with it.
pub(super) const TURNS: &str = r#"(module
  (import "env" "memory" (memory 1 1 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (export "memory" (memory 0))
  (func $await_turn (param $mine i32) (local $seen i32)
    (block $out
      (loop $again
        (local.set $seen (i32.atomic.load (i32.const 64)))
        (br_if $out (i32.eq (local.get $seen) (local.get $mine)))
        (drop (memory.atomic.wait32 (i32.const 64) (local.get $seen) (i64.const -1)))
        (br $again))))
  (func (export "wasi_thread_start") (param $tid i32) (param $arg i32) (local $i i32)
    (loop $rounds
      (call $await_turn (local.get $arg))
      (i32.store (i32.const 72)
        (i32.add (i32.mul (i32.load (i32.const 72)) (i32.const 31)) (i32.add (local.get $arg) (local.get $i))))
      (i32.atomic.store (i32.const 64) (i32.sub (i32.const 1) (local.get $arg)))
      (drop (memory.atomic.notify (i32.const 64) (i32.const 1)))
      (br_if $rounds (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 30000))))
    (drop (i32.atomic.rmw.add (i32.const 68) (i32.const 1)))
    (drop (memory.atomic.notify (i32.const 68) (i32.const 1))))
  (func (export "_start") (local $done i32)
    (i64.store (i32.const 0) (i64.const 0x300000010)) (i32.store (i32.const 16) (i32.const 0x0a6f67))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 24)))
    (drop (call $spawn (i32.const 0)))
    (drop (call $spawn (i32.const 1)))
    (block $out
      (loop $wait
        (local.set $done (i32.atomic.load (i32.const 68)))
        (br_if $out (i32.eq (local.get $done) (i32.const 2)))
        (drop (memory.atomic.wait32 (i32.const 68) (local.get $done) (i64.const -1)))
        (br $wait)))
    (call $exit (i32.and (i32.load (i32.const 72)) (i32.const 0x3f)))))"#;

/// The exit code, which no other end has.
pub(super) fn turns() -> i32 {
    let all = (0..30_000u32).flat_map(|i| [i, i + 1]);
    all.fold(0u32, |sum, turn| sum.wrapping_mul(31).wrapping_add(turn)) as i32 & 0x3f
}

#[test]
fn a_program_with_threads_continues_where_signals_ended_it() {
    let place = Place::with(&[("turns.wat", TURNS)]);
    std::fs::create_dir(place.path("out")).unwrap();
    let engines = ["interp", if cfg!(feature = "jit") { "jit" } else { "interp" }, "tiered"];
    let engines = engines.map(|name| if cfg!(feature = "jit") { name } else { "interp" });
    let file = ["--checkpoint", "a.chk"];
    let mut child = start(&place, &[&["run"], &file[..], &["turns.wat"]].concat());
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
    let mut times = 0;
    loop {
        std::thread::sleep(Duration::from_millis(10 + 30 * times as u64));
        send(&child, Signal::SIGTERM);
        let (code, out, err) = end(child);
        if code.is_some_and(|code| code != 75) {
            assert_eq!((code, out.as_str(), err.as_str()), (Some(turns()), "", ""));
            break;
        }
        // Without a code the signal came before the guest was resumed: the file is as before.
        let shown = place.run(&["inspect", "a.chk"]);
        for part in ["kind       checkpoint", "_start (offset", "frames of thread 2", "await_turn"]
        {
            assert!(shown.out.contains(part), "{part}:\n{}", shown.out);
        }
        let engine = ["--engine", engines[times % engines.len()]];
        times += 1;
        child = start(&place, &[&["resume"], &engine[..], &file[..], &["a.chk"]].concat());
    }
    assert!(times > 0, "it was ended at least once");
}

#[test]
fn a_program_with_threads_is_written_while_it_runs() {
    let place = Place::with(&[("turns.wat", TURNS)]);
    std::fs::create_dir(place.path("out")).unwrap();
    let every = ["--checkpoint", "a.chk", "--checkpoint-every", "10ms"];
    let child = start(&place, &[&["run"], &every[..], &["turns.wat"]].concat());
    assert_eq!(end(child), (Some(turns()), "go\n".to_owned(), String::new()));
    let child = start(&place, &["resume", "a.chk"]);
    let (code, out, err) = end(child);
    assert!(code == Some(turns()) && err.is_empty(), "{code:?}: {err}");
    assert!(["", "go\n"].contains(&out.as_str()), "{out}");
    // A damaged file.
    let mut bytes = std::fs::read(place.path("a.chk")).unwrap();
    bytes[60] ^= 1;
    std::fs::write(place.path("a.chk"), bytes).unwrap();
    let (code, _, err) = end(start(&place, &["resume", "a.chk"]));
    assert!(code == Some(1) && err.contains("damaged"), "{err}");
}
