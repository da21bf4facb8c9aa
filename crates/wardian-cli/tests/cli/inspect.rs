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
        (
            &["inspect", "e.wat"],
            0,
            &["what it can do\n  whatever the embedder lets it do: 2 imports from env\n  whatever the \
                 embedder lets it do: 1 import from other\n"],
            &[],
        ),
        (
            &["inspect", "--sizes", "lines.wasm"],
            0,
            &[
                "the file by section\n",
                " 100.0%  100.0%  all of them\n",
                "functions by size\n",
                "  lines::divide\n",
                "functions with all that is only called for them\n",
                "source files by size\n",
                "  programs/lines.rs\n",
            ],
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
fn sizes_add_up() {
    // Of what is called for one function alone: a 10 bytes, b of a, c of both.
    let guest = r#"(module (memory 1) (data (i32.const 7) "1234567") (data "89")
      (type $t (func)) (table 1 (ref $t) (ref.func $filled)) (func $filled nop)
      (func $a (export "a") (call $b) (call $c) (call $only))
      (func $b (export "b") (call $c) nop nop nop)
      (func $c (call $leaf)) (func $leaf nop nop nop nop nop) (func $only nop nop)
      (func $never (call $never)))"#;
    let place = Place::with(&[("g.wat", guest)]);
    place.write("lines.wasm", include_bytes!("../../../../tests/programs/lines.wasm"));
    let sum = |value: &Value| {
        let parts = value.as_array().unwrap().iter();
        parts.map(|part| part["bytes"].as_u64().unwrap()).sum::<u64>()
    };
    for file in ["g.wat", "lines.wasm"] {
        let ended = place.run(&["inspect", "--json", "--sizes", file]);
        let value: Value = serde_json::from_str(&ended.out).unwrap();
        let sizes = &value["sizes"];
        assert_eq!(json!(sum(&sizes["sections"])), value["size"], "{file}");
        assert_eq!(json!(sum(&sizes["functions"])), value["code_size"], "{file}");
        if file == "lines.wasm" {
            assert_eq!(json!(sum(&sizes["files"])), value["code_size"]);
            continue;
        }
        let retained = |name: &str| {
            let functions = sizes["functions"].as_array().unwrap().iter();
            let found = functions.clone().find(|f| f["name"] == name).unwrap();
            (found["bytes"].as_u64().unwrap(), found["retained"].as_u64().unwrap())
        };
        let [a, b, c, leaf, only] = ["a", "b", "c", "leaf", "only"].map(retained);
        assert_eq!((a.1, b.1, c.1), (a.0 + only.0, b.0, c.0 + leaf.0), "{sizes}");
        assert_eq!((leaf.1, only.1, retained("never").1), (leaf.0, only.0, 0), "{sizes}");
        // The initial value of a table is a reference from outside of all functions.
        assert_eq!(retained("filled").1, retained("filled").0);
        assert_eq!(sizes["data"][0], json!({ "name": "segment 0 at 0x7 of memory 0", "bytes": 7 }));
        assert_eq!(sizes["data"][1]["name"], json!("segment 1, used on demand"));
    }
}

/// Names that move the cursor, end lines, and turn the direction of writing.
#[test]
fn names_are_shown_and_do_nothing() {
    let evil = "x\\1b[2J\\0a\\e2\\80\\aey";
    let guest = r#"(module $EVIL (import "m EVIL" "i EVIL" (func)) (import "wasi_snapshot_preview1" "EVIL" (func))
      (memory (export "e EVIL") 1) (table 1 funcref)
      (func $f (export "f EVIL") (call 0) (call $f) (call_indirect (i32.const 0)))
      (@custom "c EVIL" (after last) "data") (@producers (language "l EVIL" "v EVIL")))"#;
    let guest = guest.replace("$EVIL", &format!("$\"{evil}\"")).replace("EVIL", evil);
    let place = Place::with(&[("evil.wat", &guest)]);
    let graphs = ["g.dot", "g.svg"];
    for args in [
        &["inspect", "--sizes"][..],
        &["inspect", "--graph", graphs[0]],
        &["inspect", "--graph", graphs[1]],
    ] {
        let ended = place.run(&[args, &["evil.wat"]].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let harmless =
            |text: &str| !text.contains(['\u{1b}', '\u{202e}']) && !text.contains("2J\n");
        assert!(harmless(&ended.out), "{}", ended.out);
        for part in [
            "m x\u{fffd}[2J\u{fffd}\u{fffd}y",
            "f x\u{fffd}[2J\u{fffd}\u{fffd}y",
            "custom c x\u{fffd}",
        ] {
            assert!(ended.out.contains(part), "{part:?} is not in {}", ended.out);
        }
        for graph in graphs {
            let text = std::fs::read_to_string(place.path(graph)).unwrap_or_default();
            assert!(harmless(&text), "{text}");
        }
    }
    let ended = place.run(&["inspect", "--json", "evil.wat"]);
    let value: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(value["imports"][0]["module"], json!("m x\u{1b}[2J\n\u{202e}y"));
}

#[test]
fn graphs() {
    let guest = r#"(module (type $t (func (param i32))) (table 1 funcref)
      (func $a (param i32) (call $b) (call $b) (call_indirect (type $t) (i32.const 1) (i32.const 0)))
      (func $b) (func (export "x\22];\5c\0a") (call $b)))"#;
    let place = Place::with(&[("g.wat", guest)]);
    place.check(&[
        (&["inspect", "--graph", "g.dot", "g.wat"], 0, &["kind       library"], &[]),
        (&["inspect", "--graph", "g.svg", "g.wat"], 0, &["kind       library"], &[]),
        (
            &["inspect", "--graph", "g.gif", "g.wat"],
            2,
            &[],
            &["g.gif does not end in .svg or .dot"],
        ),
        (
            &["inspect", "--graph", "n.dot", "--graph-from", "no", "g.wat"],
            2,
            &[],
            &["no function `no`"],
        ),
        (
            &["inspect", "--graph", "n.dot", "--graph-limit", "0", "g.wat"],
            2,
            &[],
            &["--graph-limit"],
        ),
        (&["inspect", "--graph", "two.svg", "--graph-limit", "2", "g.wat"], 0, &[], &[]),
        (
            &["inspect", "--graph", "b.dot", "--graph-from", "a", "--graph-limit", "2", "g.wat"],
            0,
            &[],
            &[],
        ),
        (&["inspect", "--graph", "all.dot", "--graph-from", "*", "g.wat"], 0, &[], &[]),
        (&["inspect", "--graph", "none/g.dot", "g.wat"], 1, &[], &["cannot write none"]),
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
    for (file, parts) in [
        (
            "g.svg",
            &[
                "all functions that call or are called",
                "<title>a \u{2192} b: 2 calls</title>",
                "class=\"table\"",
                "table 0: (i32) -&gt; ()",
                "x&quot;];\\\u{fffd}",
            ][..],
        ),
        ("two.svg", &["2 of 4 functions and tables, those with most calls"]),
        ("b.dot", &["2 of 4 functions and tables, those nearest to a", "f0 -> f1"]),
        ("all.dot", &["2 of 4 functions and tables, those nearest to the exports", "f2 -> f1"]),
    ] {
        let graph = std::fs::read_to_string(place.path(file)).unwrap();
        for part in parts {
            assert!(graph.contains(part), "{part} is not in {file}: {graph}");
        }
    }
}
