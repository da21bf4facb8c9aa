//! `--invoke`.

use super::guests;
use super::harness::Place;

#[test]
fn arguments_by_type() {
    let place = Place::with(&[("f.wat", guests::FUNCTIONS)]);
    for (args, out) in [
        (&["nothing"][..], ""),
        (&["add", "2", "3"], "5\n"),
        (&["add", "-2", "0x10"], "14\n"),
        (&["add", "4294967295", "0"], "-1\n"),
        (&["i64", "-9223372036854775808"], "-9223372036854775808\n"),
        (&["i64", "18446744073709551615"], "-1\n"),
        (&["f32", "0.1"], "0.1\n"),
        (&["f32", "nan"], "nan\n"),
        (&["f32", "nan:0x200000"], "nan:0x200000\n"),
        (&["f64", "-inf"], "-inf\n"),
        (&["f64", "1e300"], "1e300\n"),
        (&["v128", "0x123"], "0x00000000000000000000000000000123\n"),
        (&["refs", "null", "null"], "null\nnull\n"),
        (&["swap", "1", "2.5"], "2.5\n1\n"),
        (&["self"], "funcref\n"),
    ] {
        let line: Vec<&str> =
            ["run", "--invoke", args[0], "f.wat"].iter().chain(&args[1..]).copied().collect();
        let ended = place.run(&line);
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), out), "{args:?} {}", ended.err);
    }
}

#[test]
fn objects_with_their_names() {
    let place = Place::with(&[(
        "objects.wat",
        r#"(module
          (type $list (struct (field $head i32) (field $tail (ref null $list))))
          (type $bytes (array i8))
          (type (struct (field f64) (field externref)))
          (func $list (export "list") (param i32) (result (ref null $list))
            (if (i32.eqz (local.get 0)) (then (return (ref.null $list))))
            (struct.new $list (local.get 0)
              (call $list (i32.sub (local.get 0) (i32.const 1)))))
          (func (export "bytes") (param i32) (result (ref $bytes))
            (array.new $bytes (i32.const 7) (local.get 0)))
          (func (export "nameless") (result anyref) (struct.new 2 (f64.const 2.5) (ref.null extern)))
          (func (export "int") (param i32) (result externref)
            (extern.convert_any (ref.i31 (local.get 0))))
          (func (export "null") (param (ref null $list)) (result i32) (ref.is_null (local.get 0))))"#,
    )]);
    let dots = format!("array bytes of 20 [{}…]", "7, ".repeat(16));
    place.check(&[
        (
            &["run", "--invoke", "list", "objects.wat", "2"],
            0,
            &["struct list {head: 2, tail: struct list {head: 1, tail: null}}"],
            &[],
        ),
        (
            &["run", "--invoke", "list", "objects.wat", "9"],
            0,
            &["struct list {head: 9, tail: struct list {head: 8, tail: struct list {…}}}"],
            &[],
        ),
        (&["run", "--invoke", "bytes", "objects.wat", "20"], 0, &[&dots], &[]),
        (&["run", "--invoke", "nameless", "objects.wat"], 0, &["struct {0: 2.5, 1: null}"], &[]),
        (&["run", "--invoke", "int", "objects.wat", "-5"], 0, &["i31 -5"], &[]),
        (&["run", "--invoke", "null", "objects.wat", "null"], 0, &["1"], &[]),
    ]);
}

#[test]
fn what_does_not_fit() {
    let place = Place::with(&[
        ("f.wat", guests::FUNCTIONS),
        ("none.wat", "(module)"),
        ("library.wat", r#"(module (func (export "f") (param i32)))"#),
        ("wrong.wat", r#"(module (func (export "_start") (param i32)))"#),
    ]);
    let invoke = |name| ["run", "--invoke", name, "f.wat"];
    let with = |name, args: &[&'static str]| [&invoke(name)[..], args].concat();
    place.check(&[
        (&invoke("add"), 2, &[], &["takes 2 arguments", "(i32, i32) -> (i32)"]),
        (&with("add", &["1", "2", "3"]), 2, &[], &["3 were given", "(i32, i32) -> (i32)"]),
        (
            &with("add", &["1", "x"]),
            2,
            &[],
            &["argument 2", "`x`, is no i32", "(i32, i32) -> (i32)"],
        ),
        (&with("add", &["1", "4294967296"]), 2, &[], &["in range"]),
        (&with("f64", &["one"]), 2, &[], &["is no f64"]),
        (&with("refs", &["1", "null"]), 2, &[], &["only null"]),
        (&invoke("absent"), 2, &[], &["no function `absent`", "add (i32, i32) -> (i32)"]),
        (&invoke("memory"), 2, &[], &["`memory` is a memory"]),
        (&["run", "--invoke", "f", "none.wat"], 2, &[], &["exports no functions"]),
        (&["run", "none.wat"], 1, &[], &["neither `_start` nor `_initialize`"]),
        (&["run", "library.wat"], 1, &[], &["--invoke", "f (i32) -> ()"]),
        (&["run", "wrong.wat"], 1, &[], &["`_start`", "not a function () -> ()"]),
        (&with("div", &["1", "0"]), 134, &[], &["integer divide by zero", "div"]),
    ]);
}

#[test]
fn entry_points() {
    let place = Place::with(&[("reactor.wat", guests::REACTOR), ("f.wat", guests::FUNCTIONS)]);
    place.check(&[
        (&["run", "--invoke", "get", "reactor.wat"], 0, &["42\n"], &[]),
        (&["run", "--invoke", "_initialize", "reactor.wat"], 0, &[], &[]),
        (&["run", "--invoke", "_start", "f.wat"], 134, &[], &["unreachable"]),
    ]);
}
