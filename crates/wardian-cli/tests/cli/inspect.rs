//! `wardian inspect` and `wardian validate`.

use super::guests;
use super::harness::Place;
use serde_json::{Value, json};

const EVERYTHING: &str = r#"(module $everything
  (import "env" "f" (func $f (param i32) (result i64)))
  (import "env" "g" (global $g (mut i32)))
  (import "other" "t" (table 1 5 funcref))
  (memory (export "memory") 1 2)
  (global (export "answer") i64 (i64.const 42))
  (table 3 externref)
  (func $main (export "main") (result f64 f64) (f64.const 1) (f64.const 2))
  (func $begin)
  (start $begin)
  (data (i32.const 0) "xyz")
  (@custom "target_features" (after last) "\02+\04simd-\05other")
  (@producers (language "Rust" "2024") (processed-by "rustc" "1.95.0")))"#;

#[test]
fn text() {
    let place = Place::with(&[("e.wat", EVERYTHING)]);
    place.check(&[(
        &["inspect", "e.wat"],
        0,
        &[
            "name       everything\n",
            "kind       library\n",
            "functions  2 and 1 imported",
            "start      function 2 begin\n",
            "multi-value",
            "imports from env\n  f: function (i32) -> (i64)\n  g: global mut i32\n",
            "imports from other\n  t: table of funcref 1..=5\n",
            "main: function () -> (f64, f64)\n",
            "memories: 1, 0 of them imported\n  0: memory 1..=2 pages, exported as memory\n",
            "tables: 2, 1 of them imported\n",
            "  code ",
            "  custom target_features ",
            "language: Rust 2024\n",
            "target features\n  +simd -other\n",
        ],
        &[],
    )]);
}

#[test]
fn as_json() {
    let place = Place::with(&[
        ("e.wat", EVERYTHING),
        ("loop.wat", guests::LOOP),
        ("r.wat", guests::REACTOR),
    ]);
    let ended = place.run(&["inspect", "--json", "e.wat"]);
    let value: Value = serde_json::from_str(&ended.out).unwrap();
    for (pointer, expected) in [
        ("/file", json!("e.wat")),
        ("/name", json!("everything")),
        ("/kind", json!("library")),
        (
            "/imports/0",
            json!({
                "module": "env", "name": "f", "kind": "function", "params": ["i32"], "results": ["i64"],
            }),
        ),
        ("/imports/1/mutable", json!(true)),
        ("/exports/2/name", json!("main")),
        ("/functions", json!({ "imported": 1, "defined": 2 })),
        ("/start", json!({ "index": 2, "name": "begin" })),
        (
            "/memories/0",
            json!({
                "imported": false, "export": "memory", "kind": "memory", "min": 1, "max": 2,
                "page_size": 65536, "memory64": false, "shared": false,
            }),
        ),
        ("/tables/0/imported", json!(true)),
        ("/globals/1/export", json!("answer")),
        ("/sections/0/kind", json!("type")),
        ("/producers/processed-by/0/version", json!("1.95.0")),
        ("/target_features", json!(["+simd", "-other"])),
    ] {
        assert_eq!(value.pointer(pointer), Some(&expected), "{pointer} in {}", ended.out);
    }
    let features = value["features"].as_array().unwrap();
    assert!(features.contains(&json!("multi-value")) && !features.contains(&json!("simd")));
    place.check(&[
        (
            &["inspect", "--json", "loop.wat"],
            0,
            &["\"kind\": \"command\"", "\"name\": \"spin\""],
            &[],
        ),
        (&["inspect", "--json", "r.wat"], 0, &["\"kind\": \"reactor\""], &[]),
        (&["validate", "e.wat"], 0, &["e.wat is valid"], &[]),
    ]);
}

#[test]
fn what_it_can_do_and_what_it_consists_of() {
    let place = Place::with(&[("cat.wat", guests::CAT), ("e.wat", EVERYTHING)]);
    place.write("lines.wasm", include_bytes!("../../../../tests/programs/lines.wasm"));
    place.check(&[
        (
            &["inspect", "cat.wat"],
            0,
            &["what it can do\n  reads files: fd_read\n  writes files: fd_write\n  ends the \
                 process: proc_exit\n"],
            &[],
        ),
        (&["inspect", "e.wat"], 0, &["what it can do\n  other: f, g, t\n"], &[]),
        (
            &["inspect", "--sizes", "lines.wasm"],
            0,
            &["functions by size\n", "%  100.0%  ", "  lines::divide\n", "  programs/lines.rs\n"],
            &[],
        ),
    ]);
    let ended = place.run(&["inspect", "--json", "--sizes", "cat.wat"]);
    let value: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(value["abilities"][0]["ability"], json!("reads files"));
    assert_eq!(value["abilities"][0]["imports"][0]["name"], json!("fd_read"));
    assert_eq!(value["sizes"]["functions"][0]["bytes"], value["code_size"]);
    assert_eq!(value["sizes"]["files"], json!([]));
}

#[test]
fn graphs() {
    let guest = r#"(module (type $t (func (param i32))) (table 1 funcref)
      (func $a (param i32) (call $b) (call $b) (call_indirect (type $t) (i32.const 1) (i32.const 0)))
      (func $b) (func (export "x\22];\5c\0a") (call $b)))"#;
    let place = Place::with(&[("g.wat", guest)]);
    place.check(&[
        (&["inspect", "--graph", "g.dot", "g.wat"], 0, &["kind       library"], &[]),
        (&["inspect", "--graph", "g.gif", "g.wat"], 2, &[], &["g.gif does not end in .dot"]),
        (&["inspect", "--graph", "none/g.dot", "g.wat"], 1, &[], &["cannot write the graph"]),
    ]);
    let graph = std::fs::read_to_string(place.path("g.dot")).unwrap();
    for line in [
        "  f0 -> f1 [label=\"2\"];",
        "  f0 -> t0_0;",
        "  f2 -> f1;",
        "  f2 [label=\"x\\\"];\\\\\u{fffd}\"];",
    ] {
        assert!(graph.lines().any(|other| other == line), "{line} {graph}");
    }
}
