//! Small modules with tables as Go's linker writes them, made here; whole ones and damaged ones.

use crate::{DebugInfo, Module};
use std::fmt::Write;
use wardian_types::CoreFeatures;

/// What differs between versions of Go.
#[derive(Clone, Copy, Debug)]
struct Version {
    magic: u8,
    /// Which word of `moduledata` is the address of data about functions.
    data_word: usize,
    /// Offsets of functions count functions, not bytes.
    by_number: bool,
}

const GO_1_18: Version = Version { magic: 0xf0, data_word: 38, by_number: false };
const GO_1_20: Version = Version { magic: 0xf1, data_word: 40, by_number: false };
const GO_1_27: Version = Version { magic: 0xf1, data_word: 43, by_number: true };

/// Where the table is in memory.
const AT: u32 = 0x40;
const NAMES: &[u8] = b"\0main.main\0main.(*T).inlined\0main.helper\0";
const FILES: &[u8] = b"main.go\0helper.go\0";

/// Memory from [`AT`] on: the table, data about functions, and `moduledata`.
fn memory(version: Version) -> Vec<u8> {
    // Tables of values: pairs of a change (zigzag) and for how many program counters. The first is unused.
    let mut values = vec![0];
    let mut table = |pairs: &[u8]| {
        let at = values.len() as u32;
        values.extend_from_slice(pairs);
        values.push(0);
        at
    };
    // From -1: file 0 for all. Lines: 20, then 7 (inlined), then 22. Inlined calls: none, the first, none.
    let file = table(&[2, 9]);
    let other_file = table(&[4, 9]);
    let lines = table(&[42, 1, 25, 1, 30, 7]);
    let helper_lines = table(&[10, 9]);
    let inlined = table(&[0, 1, 2, 1, 1, 7]);

    let start_line = version.magic == 0xf1;
    let mut functions = Vec::new();
    let rows = [(0, 24u32), (1, 24 + 72)];
    for (number, record) in rows {
        let offset = match version.by_number {
            true => 0x1000 + number,
            false => number << 16,
        };
        functions.extend([offset, record].iter().flat_map(|v| v.to_le_bytes()));
    }
    functions.resize(24, 0);
    let mut record = |name: u32, file: u32, lines: u32, start: u32, inlined: u32, tree: u32| {
        let begin = functions.len();
        let mut words = vec![0, name, 0, 0, 0, file, lines, 3, 0];
        words.extend(start_line.then_some(start));
        words.push(4 << 24);
        words.extend([0, 0, inlined, u32::MAX, u32::MAX, u32::MAX, tree]);
        functions.extend(words.iter().flat_map(|v| v.to_le_bytes()));
        functions.resize(begin + 72, 0);
    };
    record(1, file, lines, 18, inlined, 16);
    record(29, other_file, helper_lines, 3, 0, u32::MAX);

    let tree = match start_line {
        true => vec![0, 11, 0, 5],
        false => vec![0, 0, 7, 11, 0],
    };
    let mut data = vec![0xee; 16];
    data.extend(tree.iter().flat_map(|v: &u32| v.to_le_bytes()));
    data.resize(48, 0);

    assemble(version, &values, &functions, data)
}

/// The header, the parts that it says the places of, data about functions, and `moduledata`.
fn assemble(version: Version, values: &[u8], functions: &[u8], data: Vec<u8>) -> Vec<u8> {
    let units: Vec<u8> = [0u32, 8].iter().flat_map(|v| v.to_le_bytes()).collect();
    let parts = [NAMES, &units, FILES, values, functions];
    let mut out = Vec::new();
    let text = if version.by_number { 0u64 } else { 0x1000_0000 };
    let mut header =
        vec![u64::from_le_bytes([version.magic, 255, 255, 255, 0, 0, 1, 8]), 2, 1, text];
    let mut at = 72;
    for part in parts {
        header.push(at);
        at += part.len().next_multiple_of(8) as u64;
    }
    out.extend(header.iter().flat_map(|v| v.to_le_bytes()));
    for part in parts {
        out.extend(part);
        out.resize(out.len().next_multiple_of(8), 0);
    }
    let data_at = u64::from(AT) + out.len() as u64;
    out.extend(data);
    let mut module = vec![0; 48];
    (module[0], module[1]) = (u64::from(AT), u64::from(AT) + header[4]);
    (module[22], module[version.data_word]) = (text, data_at);
    out.extend(module.iter().flat_map(|v| v.to_le_bytes()));
    out
}

/// A module with two functions. Runs of zeroes are left out of the data, as Go's linker does.
fn module(memory: &[u8]) -> Module {
    let mut data = String::new();
    let mut at = 0;
    while at < memory.len() {
        let zeroes = memory[at..].iter().take_while(|byte| **byte == 0).count();
        if zeroes >= 6 {
            at += zeroes;
            continue;
        }
        let len = memory[at..].windows(6).position(|run| run == [0; 6]);
        let len = len.map_or(memory.len() - at, |len| len.max(1));
        let text: String = memory[at..at + len].iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\{byte:02x}");
            text
        });
        let _ = writeln!(data, "(data (i32.const {}) \"{text}\")", AT as usize + at);
        at += len;
    }
    let text = format!(
        r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
        (memory 1) (table 0x1100 funcref) (elem (i32.const 0x1000) 1 2)
        (func (export "_start")
            (drop (i64.const 0x10000001)) (call 2)
            (nop) (nop) (nop) (nop) (drop (i64.const 0x10000002)) (call 2)
            (drop (i64.const 0x10000003)) (call 2))
        (func (nop))
        {data})"#
    );
    let bytes = crate::to_binary(text.as_bytes()).expect("it is well-formed").into_owned();
    Module::decode(bytes, CoreFeatures::all(), 1).expect("it is valid")
}

/// All places of the offsets of a function, as text, where they change.
fn places(module: &Module, defined: usize) -> Vec<String> {
    let body = module.info().bodies[defined].clone();
    let mut all = Vec::new();
    for at in body {
        let found = module.source_locations((at - module.info().code_section) as u32);
        let place = |place: &crate::SourceLocation| {
            let about = if place.approximate { "~" } else { "" };
            let (function, line) = (place.function.as_deref(), place.line.unwrap_or_default());
            format!("{} {}:{about}{line}", function.unwrap_or("?"), place.file)
        };
        all.push(found.iter().map(place).collect::<Vec<_>>().join(" < "));
    }
    all.dedup();
    all
}

#[test]
fn functions_have_names_files_and_lines() {
    for version in [GO_1_18, GO_1_20, GO_1_27] {
        let module = module(&memory(version));
        assert_eq!(module.debug_info(), DebugInfo::AtCalls, "{version:?}");
        let names: Vec<_> = (0..4).map(|func| module.func_name(func)).collect();
        let expected = [Some("sched_yield"), Some("main.main"), Some("main.helper"), None];
        assert_eq!(names, expected, "{version:?}");
        let start = module.func_start(1).expect("it is known");
        // Before Go 1.20 it is the first line that has code.
        let line = if version.magic == 0xf0 { 20 } else { 18 };
        assert_eq!((&*start.file, start.line), ("main.go", Some(line)), "{version:?}");
        assert_eq!(module.func_start(0), None);
        let inlined = "main.(*T).inlined main.go:";
        let expected = [
            "main.main main.go:~20".to_owned(),
            "main.main main.go:20".to_owned(),
            "main.main main.go:~20".to_owned(),
            format!("{inlined}~7 < main.main main.go:~20"),
            format!("{inlined}7 < main.main main.go:20"),
            format!("{inlined}~7 < main.main main.go:~20"),
            "main.main main.go:~22".to_owned(),
            "main.main main.go:22".to_owned(),
            "main.main main.go:~22".to_owned(),
        ];
        assert_eq!(places(&module, 0), expected, "{version:?}");
        assert_eq!(places(&module, 1), ["main.helper helper.go:~4"], "{version:?}");
    }
}

#[test]
fn sizes_by_file_are_those_of_functions() {
    let module = module(&memory(GO_1_20));
    let mut files = Vec::new();
    module.source_files(0..u32::MAX, &mut |file, bytes| files.push((file.to_owned(), bytes)));
    let bodies: Vec<u32> = module.info().bodies.iter().map(|body| body.len() as u32).collect();
    assert_eq!(files, [("main.go".to_owned(), bodies[0]), ("helper.go".to_owned(), bodies[1])]);
}

#[test]
fn damaged_tables_are_no_reason_to_fail() {
    let ask = |memory: &[u8]| {
        let module = module(memory);
        (0..4).for_each(|func| _ = (module.func_name(func), module.func_start(func)));
        _ = (places(&module, 0), places(&module, 1));
        module.source_files(0..u32::MAX, &mut |_, _| ());
    };
    for version in [GO_1_18, GO_1_27] {
        let whole = memory(version);
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                // A neighbour too, so that whole numbers become large.
                if byte == 0xff {
                    let end = whole.len().min(at + 8);
                    damaged[at..end].fill(0xff);
                }
                ask(&damaged);
            }
        }
        (0..whole.len()).step_by(3).for_each(|len| ask(&whole[..len]));
    }
}

#[test]
fn a_table_of_other_functions_is_none() {
    let mut other = memory(GO_1_20);
    // Three functions of a module that has two.
    other[8] = 3;
    let module = module(&other);
    assert_eq!((module.debug_info(), module.func_name(2)), (DebugInfo::Absent, None));
}
