//! Names of functions: one spelling in everything that shows them, and understood where functions are chosen.

use super::harness::Place;

/// Two functions without names; the inner one divides by zero if there is an argument.
const PROGRAM: &str = r#"(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (drop (i32.div_u (i32.const 1) (i32.sub (i32.const 2) (i32.load (i32.const 0))))))
  (func (drop (call $args (i32.const 0) (i32.const 4))) (call 1))
  (func (export "_start") (call 2)))"#;

#[test]
fn functions_without_names_have_the_same_one_everywhere() {
    let place = Place::with(&[("p.wat", PROGRAM)]);
    let trap = place.run(&["run", "p.wat", "x"]);
    assert_eq!(trap.code, Some(134), "{trap:?}");
    assert!(trap.err.contains("0: func:1 (offset 0x"), "{trap:?}");
    let traced = place.run(&["trace", "--only", "func:1", "p.wat"]);
    assert!(traced.err.starts_with("func:1()"), "{traced:?}");
    let folded = ["profile", "--exact", "--value", "calls", "-o", "p.folded", "p.wat"];
    assert_eq!(place.run(&folded).code, Some(0));
    let folded = std::fs::read_to_string(place.path("p.folded")).unwrap();
    assert!(folded.contains("_start;func:2;func:1 1\n"), "{folded}");
    let sizes = place.run(&["inspect", "--sizes", "p.wat"]);
    assert!(sizes.out.contains("  func:1\n"), "{sizes:?}");
    let graph = ["inspect", "--graph", "p.dot", "--graph-from", "func:2", "p.wat"];
    assert_eq!(place.run(&graph).code, Some(0));
    let graph = std::fs::read_to_string(place.path("p.dot")).unwrap();
    assert!(graph.contains("func:1") && !graph.contains("_start"), "{graph}");
    let covered = place.run(&["coverage", "p.wat"]);
    assert!(covered.err.contains(" func:1\n"), "{covered:?}");
}

#[test]
fn a_name_that_fits_no_function_is_answered_with_those_that_are_similar() {
    let named = PROGRAM.replace("(func (drop (call", "(func $parse_line (drop (call");
    let place = Place::with(&[("p.wat", &*named)]);
    let warning = "warning: no function fits --only `parse_lien`; similar names: parse_line\n";
    place.check(&[
        (&["trace", "--only", "parse_lien", "p.wat"], 0, &[], &[warning]),
        (&["trace", "--only", "xyz", "p.wat"], 0, &[], &["fits --only `xyz`\n"]),
        (
            &["inspect", "--graph", "p.dot", "--graph-from", "parse_lien", "p.wat"],
            2,
            &[],
            &["there is no function `parse_lien`; similar names: parse_line\n"],
        ),
    ]);
    let fits = place.run(&["trace", "--only", "parse_*", "p.wat"]);
    assert!(!fits.err.contains("warning"), "{fits:?}");
}

#[test]
fn names_and_lines_come_from_a_file_beside() {
    let named = PROGRAM.replace("(func (drop (i32.div", "(func $divide (drop (i32.div");
    let other = named.replace("i32.const 2", "i32.const 3");
    let split =
        PROGRAM.replace("(module", "(module (@custom \"external_debug_info\" \"\\05n.wat\")");
    let lost = split.replace("n.wat", "m.wat");
    let files = [
        ("p.wat", PROGRAM),
        ("n.wat", &*named),
        ("o.wat", &*other),
        ("s.wat", &*split),
        ("l.wat", &*lost),
    ];
    let place = Place::with(&files);
    let fails = "error: cannot use --symbols o.wat for p.wat: it is not of this module: the code is another";
    place.check(&[
        (&["run", "--symbols", "n.wat", "p.wat", "x"], 134, &[], &["0: divide (offset"]),
        (&["trace", "--symbols", "n.wat", "--only", "divide", "p.wat"], 0, &[], &["divide()"]),
        (&["inspect", "--sizes", "--symbols", "n.wat", "p.wat"], 0, &[" divide\n"], &[]),
        (&["run", "--symbols", "o.wat", "p.wat"], 1, &[], &[fails]),
        (&["run", "--symbols", "none", "p.wat"], 1, &[], &["cannot read --symbols none"]),
        (&["trace", "--only", "divide", "s.wat"], 0, &[], &["divide()"]),
        (&["trace", "l.wat"], 0, &[], &["warning: no debug information from m.wat", "func:1()"]),
        (&["run", "l.wat"], 0, &[], &[]),
    ]);
    assert_eq!(place.run(&["run", "l.wat"]).err, "");
}

/// Copies of the files of a program with split DWARF: beside, below as the compiler named them, and one of another unit.
fn place_of_units() -> Place {
    const COPIES: [(&str, &[&str]); 4] = [
        ("split.wasm", &["a/s.wasm", "b/s.wasm", "c/s.wasm", "d/s.wasm", "e/s.wasm"]),
        ("main.dwo", &["a/main.dwo", "b/v5/main.dwo", "d/part.dwo"]),
        ("part.dwo", &["a/part.dwo", "b/v5/part.dwo", "v5/part.dwo"]),
        ("split.dwp", &["c/s.wasm.dwp", "split.dwp"]),
    ];
    let place = Place::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs/split/v5");
    for (file, copies) in COPIES {
        let bytes = std::fs::read(format!("{folder}/{file}")).unwrap();
        copies.iter().for_each(|copy| place.write(copy, &bytes));
    }
    place
}

#[test]
fn units_of_debug_information_come_from_files_beside() {
    let place = place_of_units();
    let run = |symbols: &str, file: &str| {
        let invoke = ["--symbols", symbols, "--invoke", "run", file, "5"];
        place.run(&[&["run", "--backtrace", "full"], &invoke[..]].concat())
    };
    let one = "a unit: v5/main.dwo is not beside a/part.dwo; --symbols";
    for (symbols, file, note) in [
        ("a/s.wasm", "a/s.wasm", None),
        ("b/s.wasm", "b/s.wasm", None),
        ("c/s.wasm", "c/s.wasm", None),
        ("split.dwp", "e/s.wasm", None),
        // The other unit is missing, and the traps of this one are known.
        ("a/part.dwo", "e/s.wasm", Some(one)),
    ] {
        let trap = run(symbols, file);
        assert_eq!(trap.code, Some(134), "{trap:?}");
        for part in ["divided", "sum.h:3", "twice", "part.c:4", note.unwrap_or("")] {
            assert!(trap.err.contains(part), "{symbols}: {trap:?}");
        }
        assert_eq!(trap.err.contains("note: no functions"), note.is_some(), "{trap:?}");
    }
    let start =
        "note: no functions from the debug information of 2 units: v5/main.dwo is not beside";
    for file in ["e/s.wasm", "d/s.wasm"] {
        let trap = run(file, file);
        let note = format!("{start} {file}; --symbols");
        assert!(trap.err.contains(&note) && trap.err.contains("sum.h:3"), "{trap:?}");
        assert!(!trap.err.contains("divided"), "{trap:?}");
    }
    let other = ["run", "--symbols", "split.dwp", "a/main.dwo"];
    place.check(&[
        (&["inspect", "--sizes", "d/s.wasm"], 0, &[], &["note: no functions from the debug"]),
        (&other, 1, &[], &["error: cannot use --symbols split.dwp"]),
    ]);
    // Observers look by themselves.
    let options = ["--exact", "--value", "calls", "-o", "p.folded", "--invoke", "run"];
    for (file, is_noted) in [("a/s.wasm", false), ("b/s.wasm", false), ("d/s.wasm", true)] {
        let profile = place.run(&[&["profile"], &options[..], &[file, "1"]].concat());
        assert_eq!(profile.code, Some(0), "{profile:?}");
        assert_eq!(profile.err.contains("note: no functions"), is_noted, "{profile:?}");
    }
}
