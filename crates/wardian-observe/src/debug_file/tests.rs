//! Files beside modules: those that fit, and those that do not.

use super::source_map::{self, Mapping, Place};
use super::{DebugFileError, DebugFileReference};
use super::{units_in_other_files, with_debug_file, with_split_units};
use wardian::{Engine, Module};

const PLAIN: &str = r#"(module (func (export "run") (drop (i32.const 1)) (call 1)) (func (nop)))"#;
const NAMED: &str =
    r#"(module $m (func $run (export "run") (drop (i32.const 1)) (call 1)) (func $leaf (nop)))"#;

fn binary(text: &str) -> Vec<u8> {
    let module = Module::new(&Engine::default(), text).expect("it is valid");
    module.bytes().to_vec()
}

#[test]
fn names_come_from_a_module_with_the_same_code() {
    let plain = binary(PLAIN);
    let bytes = with_debug_file(&plain, &binary(NAMED), None).expect("it fits");
    let module = Module::new(&Engine::default(), bytes).expect("it is valid");
    assert_eq!(module.func_name(1), Some("leaf"));
    // What was added is replaced, not doubled.
    let again = with_debug_file(module.bytes(), &binary(NAMED), None).expect("it fits");
    assert_eq!(again, module.bytes());
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let plain = binary(PLAIN);
    let map = |text: &str| with_debug_file(&plain, text.as_bytes(), None);
    let reported = |result: Result<Vec<u8>, DebugFileError>| result.unwrap_err().to_string();
    let other = binary("(module $m (func $run))");
    let same_size = binary(&NAMED.replace("const 1", "const 2"));
    for (error, part) in [
        (
            reported(with_debug_file(&plain, &other, None)),
            "1 functions in 4 bytes, the module's has 2",
        ),
        (reported(with_debug_file(&plain, &same_size, None)), "another one of the same size"),
        (reported(with_debug_file(&plain, &plain, None)), "neither a name section nor"),
        (reported(with_debug_file(&plain, b"\0asm\x01\0\0\0", None)), "no equal build_id"),
        (reported(with_debug_file(&plain, b"\0asm", None)), "no binary module"),
        (reported(with_debug_file(b"text", &plain, None)), "no binary module"),
        (reported(map("{")), "no source map for a module"),
        (reported(map(r#"{"version":2}"#)), "version is 2"),
        (reported(map(r#"{"version":3,"sections":[]}"#)), "several maps"),
        (reported(map(r#"{"version":3,"sources":["a.ts"],"mappings":"A?"}"#)), "malformed"),
        (reported(map(r#"{"version":3,"sources":["a.ts"],"mappings":"ACAA"}"#)), "malformed"),
        (reported(map(r#"{"version":3,"sources":["a.ts"],"mappings":"D"}"#)), "malformed"),
        (
            reported(map(r#"{"version":3,"sources":["a.ts"],"mappings":""}"#)),
            "neither a name section",
        ),
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn mappings_are_differences() {
    let text = r#"{"version":3,"sourceRoot":"src/","sources":["a.ts",null],"mappings":"gBAAA,CAECD,C,ECFA;A"}"#;
    let map = source_map::read(text.as_bytes(), None).expect("it is well-formed");
    assert_eq!(map.sources, ["src/a.ts", "src/<unknown>"]);
    let at = |offset, source, line, column| Mapping {
        offset,
        place: Some(Place { source, line, column }),
    };
    let nothing = Mapping { offset: 18, place: None };
    assert_eq!(map.mappings, [at(16, 0, 1, 1), at(17, 0, 3, 2), nothing, at(20, 1, 1, 2)]);
}

#[test]
fn a_source_map_gives_lines() {
    let plain = binary(PLAIN);
    let parts = super::Parts::of(&plain).expect("it is a module");
    // The first function from its beginning on, two lines; nothing of the second.
    let at = parts.bodies[0].start as i64;
    let mappings = format!("{}AEE,GACA", vlq(at));
    let text = format!(r#"{{"version":3,"sources":["a.ts"],"mappings":"{mappings}"}}"#);
    let bytes = with_debug_file(&plain, text.as_bytes(), None).expect("it fits");
    let module = Module::new(&Engine::default(), bytes).expect("it is valid");
    let line = |at: usize| {
        let found = module.source_locations((at - parts.code.start) as u32);
        found.first().map(|place| (place.file.clone(), place.line, place.column))
    };
    let place = |line| Some(("a.ts".to_owned(), Some(line), Some(3)));
    let start = parts.bodies[0].start;
    assert_eq!([line(start), line(start + 2)], [place(3), place(3)]);
    assert_eq!([line(start + 3), line(parts.bodies[0].end - 1)], [place(4), place(4)]);
    assert_eq!(line(parts.bodies[1].start), None);
}

fn vlq(number: i64) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut rest, mut text) = (number << 1, String::new());
    loop {
        let more = if rest >> 5 > 0 { 32 } else { 0 };
        text.push(char::from(DIGITS[(rest & 31 | more) as usize]));
        rest >>= 5;
        if rest == 0 {
            return text;
        }
    }
}

/// A file of a program with units in other files, of which versions 4 and 5 of DWARF are there.
fn split(file: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs/split");
    std::fs::read(format!("{folder}/{file}")).expect("it is there")
}

/// The functions that are inlined somewhere.
fn inlined(bytes: &[u8]) -> Vec<String> {
    let module = Module::new(&Engine::default(), bytes).expect("it is valid");
    let mut names = Vec::new();
    for offset in 0..200 {
        if let [inner, outer] = &module.source_locations(offset)[..] {
            let name = |function: &Option<String>| function.clone().unwrap_or_default();
            names.push(format!("{} in {}", name(&inner.function), name(&outer.function)));
        }
    }
    names.dedup();
    names
}

#[test]
fn units_come_from_packages_and_files() {
    let all = ["divided in run", "divided in twice"];
    for folder in ["v4", "v5"] {
        let file = |name: &str| split(&format!("{folder}/{name}"));
        let module = file("split.wasm");
        assert!(inlined(&module).is_empty());
        let package = with_debug_file(&module, &file("split.dwp"), None).expect("it fits");
        assert_eq!(inlined(&package), all, "{folder}");
        // What was added is replaced, not doubled.
        let again = with_debug_file(&package, &file("split.dwp"), None).expect("it fits");
        assert_eq!(again.len(), package.len());
        let one = with_debug_file(&module, &file("part.dwo"), None).expect("it fits");
        assert_eq!(inlined(&one), all[1..]);
        let named = |unit: &str| file(unit.rsplit('/').next().unwrap_or_default());
        let both = with_split_units(&module, &mut |unit| Some(named(&unit.file)));
        let both = both.expect("they fit");
        assert_eq!(inlined(&both), all);
        assert!(units_in_other_files(&both).iter().all(|unit| unit.found));
        // There is a package already.
        assert!(with_split_units(&both, &mut |_| panic!("nothing is missing")).is_none());
        // Files of other units, and none.
        let swapped = |name: &str| if name.ends_with("main.dwo") { "part.dwo" } else { "main.dwo" };
        let others = with_split_units(&module, &mut |unit| Some(file(swapped(&unit.file))));
        assert!(others.is_none());
        assert!(with_split_units(&module, &mut |_| None).is_none());
        // Stripped, with the skeletons in one file and what belongs to them in another.
        let stripped = with_debug_file(&module, &module, None).expect("it fits");
        assert_eq!(units_in_other_files(&stripped).len(), 2);
    }
    let other = with_debug_file(&split("v4/split.wasm"), &split("v5/split.dwp"), None);
    let why = other.unwrap_err().to_string();
    assert!(why.contains("it has no unit that is missing"), "{why}");
    let plain = with_debug_file(&binary(PLAIN), &split("v5/main.dwo"), None);
    assert!(plain.is_err());
    assert!(units_in_other_files(&binary(PLAIN)).is_empty());
}

#[test]
fn references_name_files_of_the_same_folder() {
    for (name, file) in [
        ("a.debug.wasm", Some("a.debug.wasm")),
        ("./a.map", Some("a.map")),
        ("../a.map", None),
        ("/etc/a", None),
        ("http://x/a.map", None),
        ("", None),
    ] {
        assert_eq!(DebugFileReference::SourceMap(name.into()).file_name(), file);
    }
    let text = r#"(module (@custom "external_debug_info" "\03x.d"))"#;
    let reference = DebugFileReference::of(&binary(text));
    assert_eq!(reference, Some(DebugFileReference::Module("x.d".into())));
}

#[test]
fn damaged_files_are_no_reason_to_fail() {
    let (plain, named) = (binary(PLAIN), binary(NAMED));
    let map =
        r#"{"version":3,"sources":["a.ts","b.ts"],"mappings":"gBAAA,CAECD,C,ECFA,ADAA,gBCCC"}"#;
    let unit = split("v5/part.dwo");
    let damage = |whole: &[u8], ask: &dyn Fn(&[u8])| {
        for at in 0..whole.len() {
            for byte in [0, 1, b'A', b'g', b',', 0x7f, 0x80, 0xff] {
                let mut damaged = whole.to_vec();
                damaged[at] = byte;
                ask(&damaged);
            }
            ask(&whole[..at]);
        }
    };
    let engine = Engine::default();
    let load = |bytes: Vec<u8>| {
        let module = Module::new(&engine, bytes).expect("the code is that of a valid module");
        (0..100).for_each(|offset| _ = module.source_locations(offset));
    };
    damage(map.as_bytes(), &|map| _ = with_debug_file(&plain, map, None).map(load));
    damage(&named, &|file| _ = with_debug_file(&plain, file, None).map(load));
    let skeletons = split("v5/split.wasm");
    damage(&unit, &|file| _ = with_debug_file(&skeletons, file, None).map(load));
    damage(&plain, &|module| _ = with_debug_file(module, &named, None));
    damage(&plain, &|module| _ = DebugFileReference::of(module));
}
