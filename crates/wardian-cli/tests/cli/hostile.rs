//! Modules that are made to harm who looks at them. What they cost is in the tests of `wardian-module`.

use super::harness::Place;
use std::time::Duration;

const COMPLEX: &str = "no debug information: too complex";

/// A module with debug information that nests so many inlined calls, and whose program traps.
fn deep(depth: usize) -> Vec<u8> {
    let low_to_high = [0x11, 1, 0x12, 6, 0, 0];
    let of = |code, tag, rest: &[u8]| [&[code, tag, 1], rest].concat();
    let mut abbrev = of(1, 0x11, &low_to_high);
    abbrev.extend(of(2, 0x2e, &low_to_high));
    abbrev.extend(of(3, 0x1d, &[0, 0]));
    abbrev.push(0);
    let range = [0, 0, 0, 0, 0xe8, 3, 0, 0];
    let mut unit = vec![4, 0, 0, 0, 0, 0, 4];
    unit.extend([&[1][..], &range, &[2], &range].concat());
    unit.extend(vec![3; depth]);
    unit.extend(vec![0; depth + 2]);
    let info = [&(unit.len() as u32).to_le_bytes()[..], &unit].concat();
    let text = r#"(module (func $main (export "_start") unreachable))"#;
    let mut module = wat::parse_str(text).unwrap();
    for (name, contents) in
        [(".debug_abbrev", abbrev), (".debug_info", info), (".debug_line", vec![])]
    {
        module.push(0);
        leb(&mut module, 1 + name.len() + contents.len());
        leb(&mut module, name.len());
        module.extend(name.bytes());
        module.extend(contents);
    }
    module
}

fn leb(bytes: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        bytes.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[test]
fn a_trap_is_told_whatever_debug_information_says() {
    let place = Place::new();
    place.write("deep.wasm", deep(16_081));
    place.write("deeper.wasm", deep(1_000_000));
    for engine in ["tiered", "jit", "interp"] {
        let trap = ["trap: unreachable", "0: main", COMPLEX];
        let with =
            |command: &[&'static str]| [command, &["--engine", engine, "deep.wasm"]].concat();
        place.check(&[
            (&with(&["run"]), 134, &[], &trap),
            (&with(&["run", "--coredump", "core"]), 134, &[], &trap),
            (&with(&["profile"]), 134, &[], &trap),
            (&with(&["profile", "--exact"]), 134, &[], &trap),
            (&with(&["profile", "--memory"]), 134, &[], &trap),
            (&with(&["trace"]), 134, &[], &trap),
            (&with(&["coverage"]), 134, &[], &trap),
            (&["run", "--engine", engine, "deeper.wasm"], 134, &[], &trap),
        ]);
    }
    place.check(&[
        (&["inspect", "--sizes", "deep.wasm"], 0, &["functions by size"], &[COMPLEX]),
        (&["inspect", "--sizes", "--json", "deep.wasm"], 0, &["\"files\""], &[COMPLEX]),
        (&["inspect", "deep.wasm"], 0, &[".debug_info"], &[]),
    ]);
    // Once, not for each frame or function.
    for command in [&["run"][..], &["coverage"]] {
        let ended = place.run(&[command, &["deep.wasm"]].concat());
        assert!(ended.err.matches(COMPLEX).count() <= 2, "{}", ended.err);
        assert!(ended.took < Duration::from_secs(20), "{ended:?}");
    }
}

#[test]
fn names_that_grow_are_shown_as_they_are() {
    // Each pair of references doubles the text.
    let pairs: String = (1..30)
        .map(|i| char::from_digit(i, 36).unwrap().to_ascii_uppercase())
        .map(|i| format!("S0_IS{i}_S{i}_E"))
        .collect();
    let name = format!("_Z1f1aSt4pairIS_S_E{pairs}");
    let text = format!(
        r#"(module (func (export "_start") call $x) (func $x (@name "{name}") unreachable))"#
    );
    let place = Place::with(&[("names.wat", &text)]);
    for command in [&["run"][..], &["profile", "--exact"], &["trace"], &["coverage"]] {
        let ended = place.run(&[command, &["names.wat"]].concat());
        assert_eq!(ended.code, Some(134), "{command:?}");
        assert!(ended.err.contains("_Z1f1aSt4pair"), "{command:?} {:.2000}", ended.err);
        assert!(ended.err.len() < 100_000 && ended.took < Duration::from_secs(20), "{command:?}");
    }
}

#[test]
fn much_that_is_like_what_is_missing() {
    let exports: String =
        (0..20_000).map(|i| format!("(import \"env\" \"{i:0>100}\" (func))")).collect();
    let place =
        Place::with(&[("many.wat", &format!("(module {exports} (func (export \"_start\")))"))]);
    let ended = place.run(&["run", "many.wat"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("20000 imports cannot be satisfied"), "{:.500}", ended.err);
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
}
