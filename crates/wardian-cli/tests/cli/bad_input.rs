//! What is no module.

use super::harness::Place;
use std::os::unix::fs::PermissionsExt;

const COMMANDS: [&[&str]; 4] = [&["run"], &["compile"], &["validate"], &["inspect"]];

#[test]
fn files() {
    let place = Place::with(&[
        ("empty", ""),
        ("text.wat", "(module\n  (func (export \"f\") (result i32)\n    i32.cnst 1))"),
        ("noise", "this is no module"),
        ("invalid.wat", r#"(module (func (export "_start") (result i32)))"#),
        ("folder/x", ""),
    ]);
    let binary = wat::parse_str(r#"(module (func (export "_start")))"#).unwrap();
    place.write("truncated", &binary[..binary.len() - 3]);
    place.write("component", b"\0asm\x0d\0\x01\0");
    for command in COMMANDS {
        let with = |file| [command, &[file]].concat();
        place.check(&[
            (&with("nowhere"), 1, &[], &["cannot read nowhere", "caused by: No such file"]),
            (&with("folder"), 1, &[], &["cannot read folder", "it is a directory"]),
            (&with("empty"), 1, &[], &["empty is empty"]),
            (&with("noise"), 1, &[], &["noise is not a module"]),
            (&with("truncated"), 1, &[], &["truncated is not a module", "at byte 0x"]),
            (&with("component"), 1, &[], &["component is not a module", "WebAssembly component"]),
            (&with("text.wat"), 1, &[], &["text.wat is not a module", "unknown operator", ":3:5"]),
            (&with("invalid.wat"), 1, &[], &["invalid.wat is not a module", "expected i32"]),
        ]);
    }
}

#[test]
fn an_unreadable_file() {
    let place = Place::with(&[("secret.wat", "(module)")]);
    let path = place.path("secret.wat");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser can read everything; then there is nothing to see.
    if std::fs::File::open(&path).is_err() {
        place.check(&[(&["run", "secret.wat"], 1, &[], &["caused by: Permission denied"])]);
    }
}

#[test]
fn imports() {
    let place = Place::with(&[
        (
            "imports.wat",
            r#"(module
              (import "env" "one" (func))
              (import "env" "two" (memory 1))
              (import "wasi_snapshot_preview1" "fd_raed" (func (param i32 i32 i32 i32) (result i32)))
              (import "wasi_snapshot_preview1" "fd_write" (func (param i64)))
              (func (export "_start")))"#,
        ),
        (
            "no-memory.wat",
            r#"(module
              (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
              (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
              (func (export "_start")
                (call $exit (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0)))))"#,
        ),
        (
            "segment.wat",
            r#"(module (memory 1) (data (i32.const 65536) "x") (func (export "_start")))"#,
        ),
    ]);
    place.check(&[
        (
            &["run", "imports.wat"],
            1,
            &[],
            &[
                "4 imports",
                "`env` `one`",
                "`env` `two`",
                "did you mean",
                "`fd_read`",
                "(i64) -> ()",
            ],
        ),
        // Errno 21 is `fault`.
        (&["run", "no-memory.wat"], 21, &[], &[]),
        (&["run", "segment.wat"], 134, &[], &["out of bounds memory access"]),
    ]);
}

#[test]
fn names_of_guests_do_not_reach_terminals() {
    let place = Place::with(&[
        ("link.wat", r#"(module (import "a\1b[2Jb" "c\0dd" (func)) (func (export "_start")))"#),
        (
            "loop.wat",
            r#"(module (func (@name "e\1b]0;f\07") (export "_start") (loop $l (br $l))))"#,
        ),
        ("none.wat", r#"(module (func (export "g\1b[31mh")))"#),
    ]);
    place.check(&[
        (&["run", "link.wat"], 1, &[], &["a\u{fffd}[2Jb", "c\u{fffd}d"]),
        (&["run", "--timeout", "300ms", "loop.wat"], 124, &[], &["e\u{fffd}]0;f"]),
        (&["run", "none.wat"], 1, &[], &["\n  g\u{fffd}[31mh"]),
    ]);
}

#[test]
fn features_that_wardian_does_not_have() {
    let place = Place::with(&[
        ("cont.wat", r#"(module (type $f (func)) (type (cont $f)) (func (export "_start")))"#),
        ("gc.wat", "(module (type (struct (field i32))) (func (export \"_start\")))"),
    ]);
    for command in ["validate", "inspect"] {
        let needs = "it needs features that wardian does not have: ";
        place.check(&[
            (&[command, "cont.wat"], 1, &[], &[needs, "stack-switching", "at byte 0x"]),
            (&[command, "gc.wat"], 0, &["gc"], &[]),
        ]);
    }
    place.check(&[(
        &["validate", "--disable-features", "gc", "gc.wat"],
        1,
        &[],
        &["struct", "the feature `gc`, which is off"],
    )]);
}
