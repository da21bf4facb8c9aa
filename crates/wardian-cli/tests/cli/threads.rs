//! Programs that make threads.

use super::harness::Place;

/// What the guests here import and export.
const HEAD: &str = r#"(import "env" "memory" (memory 1 1000 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (export "memory" (memory 0))
  (func $for_ever (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
"#;

fn guest(main: &str, thread: &str) -> String {
    format!(
        r#"(module {HEAD}
          (func $thread (export "wasi_thread_start") (param $tid i32) (param $arg i32) {thread})
          (func (export "_start") (local $n i32) {main})
          (func (export "spawn") (result i32) (call $spawn (i32.const 0))))"#
    )
}

#[test]
fn threads() {
    let begin = "(drop (call $spawn (i32.const 7)))";
    let place = Place::with(&[
        ("exit.wat", &guest(&format!("{begin} (call $for_ever)"), "(call $exit (local.get $arg))")),
        ("trap.wat", &guest(&format!("{begin} (call $for_ever)"), "unreachable")),
        ("done.wat", &guest(begin, "(loop $l (br $l))")),
        ("stuck.wat", &guest(&format!("{begin} (call $for_ever)"), "(loop $l (br $l))")),
        (
            "many.wat",
            &guest(
                "(loop $l (if (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0)) (then \
                 (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $l)))) \
                 (call $exit (local.get $n))",
                "(call $for_ever)",
            ),
        ),
        (
            // The main thread grows its memory, then another as far as it can.
            "grow.wat",
            &guest(
                &format!("(drop (memory.grow (i32.const 5))) {begin} (call $for_ever)"),
                "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) \
                 (call $exit (memory.size))",
            ),
        ),
        ("entry.wat", &guest("", "").replace("wasi_thread_start", "other")),
    ]);
    place.check(&[
        (&["run", "exit.wat"], 7, &[], &[]),
        (&["run", "trap.wat"], 134, &[], &["trap: unreachable", "0: thread"]),
        (&["run", "done.wat"], 0, &[], &[]),
        (&["run", "--timeout", "200ms", "stuck.wat"], 124, &[], &["the timeout of 200ms passed"]),
        (&["run", "--fuel", "100000", "stuck.wat"], 152, &[], &["the fuel of 100000 is used up"]),
        (&["run", "many.wat"], 64, &[], &[]),
        (&["run", "--max-threads", "5", "many.wat"], 5, &[], &[]),
        (&["run", "--max-threads", "0", "many.wat"], 0, &[], &[]),
        (&["run", "--max-threads", "few", "many.wat"], 2, &[], &["few"]),
        (&["run", "--max-memory", "1MiB", "grow.wat"], 16, &[], &[]),
        (&["run", "--max-memory", "1KiB", "grow.wat"], 1, &[], &["limits", "memory 1..=1000"]),
        (&["run", "entry.wat"], 1, &[], &["does not export `wasi_thread_start`"]),
        (&["run", "--invoke", "spawn", "done.wat"], 0, &["1\n"], &[]),
    ]);
}
