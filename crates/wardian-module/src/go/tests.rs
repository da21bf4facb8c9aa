//! Small modules with tables as Go's linker writes them, made here; whole ones and damaged ones.

mod program;

use crate::{DebugInfo, GoAddr, Module};
use program::{GO_1_18, GO_1_20, GO_1_27, data, memory};
use wardian_types::{CodeOffset, CoreFeatures, DefinedFuncIndex, FuncIndex, GuestAddr};

/// A module with two functions in the tables, and one that is not.
fn module(memory: &[u8]) -> Module {
    let data = data(memory);
    let text = format!(
        r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
        (memory 1) (table 0x1100 funcref) (elem (i32.const 0x1000) 1 2)
        (func (export "_start") (param i32) (result i32)
            (drop (i64.const 0x10000001)) (drop (call 2 (i32.const 0)))
            (nop) (nop) (nop) (nop) (drop (i64.const 0x10000002)) (drop (call 2 (i32.const 0)))
            (drop (i64.const 0x10000003)) (call 2 (i32.const 0)))
        (func (param i32) (result i32) (i32.const 0))
        (func (nop))
        {data})"#
    );
    let bytes = crate::to_binary(text.as_bytes()).expect("it is well-formed").into_owned();
    Module::decode(bytes, CoreFeatures::all(), 1).expect("it is valid")
}

/// All places of the offsets of a function, as text, where they change.
fn places(module: &Module, defined: usize) -> Vec<String> {
    let body = module.info().bodies[DefinedFuncIndex::from_usize(defined)].clone();
    let mut all = Vec::new();
    for at in body {
        let found =
            module.source_locations(CodeOffset::from_usize(at - module.info().code_section));
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
        let names: Vec<_> =
            (0..4).map(|func| module.func_name(FuncIndex::from_u32(func))).collect();
        let expected = [Some("sched_yield"), Some("main.main"), Some("main.helper"), None];
        assert_eq!(names, expected, "{version:?}");
        let start = module.func_start(FuncIndex::from_u32(1)).expect("it is known");
        // Before Go 1.20 it is the first line that has code.
        let line = if version.magic == 0xf0 { 20 } else { 18 };
        assert_eq!((&*start.file, start.line), ("main.go", Some(line)), "{version:?}");
        assert_eq!(module.func_start(FuncIndex::FIRST), None);
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
    module.source_files(CodeOffset::FIRST..CodeOffset::from_u32(u32::MAX), &mut |file, bytes| {
        files.push((file.to_owned(), bytes))
    });
    let bodies: Vec<u32> = module.info().bodies.iter().map(|body| body.len() as u32).collect();
    assert_eq!(files, [("main.go".to_owned(), bodies[0]), ("helper.go".to_owned(), bodies[1])]);
}

/// The offset of each call of `main.main`.
fn calls(module: &Module) -> Vec<u32> {
    let body = module.info().bodies[DefinedFuncIndex::FIRST].clone();
    let first = module.info().code_section;
    // The operator and the function's index.
    let found = body.filter(|at| module.bytes()[*at..*at + 2] == [0x10, 2]);
    found.map(|at| (at - first) as u32).collect()
}

#[test]
fn calls_of_a_goroutine_are_on_its_stack() {
    for version in [GO_1_18, GO_1_20, GO_1_27] {
        let module = module(&memory(version));
        let calls = calls(&module);
        assert_eq!(
            module.go_addresses(),
            Some(GoAddr::from_u32(0x1000_0000)..GoAddr::from_u32(0x1002_0000)),
            "{version:?}"
        );
        let main = |call: usize| 0x1000_0001 + call as u64;
        let helper = 0x1001_0001;
        let last = (1, Some(calls[1]));
        for (frames, stack, expected) in [
            // The frame of `helper` has 8 bytes, and behind it there is where it returns to.
            (&[2][..], &[0, main(1)][..], &[last][..]),
            (&[2], &[0, main(2)], &[(1, Some(calls[2]))]),
            // It was about to make its frame, or to call.
            (&[2], &[main(0)], &[(1, Some(calls[0]))]),
            (&[2], &[7, 7, main(0)], &[(1, Some(calls[0]))]),
            // Two of them on either stack; where `helper` calls is not known, for it does not.
            (&[2, 2], &[0, helper, 0, main(1)], &[last]),
            (&[2], &[0, helper, 0, main(1)], &[(2, None), last]),
            // What has no stack of Go's is called by it, or enters it.
            (&[u32::MAX, 0, 2, 3], &[0, main(1)], &[last]),
            // All of it is there; it is no stack of these calls; it is too short to be sure.
            (&[2, 1], &[0, main(1), 0, 0, main(1)], &[]),
            (&[1], &[0, 0, main(1)], &[]),
            (&[2, 2], &[0, main(1), 0, main(1)], &[]),
            (&[2], &[0, helper, 0, helper], &[]),
            (&[2], &[0, 0x1fff_0001], &[]),
            (&[3], &[0, main(1)], &[]),
            (&[], &[], &[]),
        ] {
            let word = |at: GuestAddr| {
                let at = at.as_u64().checked_sub(1000).filter(|at| at % 8 == 0)?;
                stack.get(at as usize / 8).copied()
            };
            let indices: Vec<_> = frames.iter().copied().map(FuncIndex::from_u32).collect();
            let (inner, found) = module.go_callers(&indices, GuestAddr::from_u64(1000), &word);
            let found: Vec<_> = found
                .iter()
                .map(|call| (call.func.as_u32(), call.offset.map(CodeOffset::as_u32)))
                .collect();
            assert_eq!(found, expected, "{version:?} {frames:?} {stack:x?}");
            let helpers = frames.iter().rposition(|func| *func == 2).map_or(0, |at| at + 1);
            assert!(expected.is_empty() || inner == helpers, "{version:?} {frames:?}");
        }
    }
}

#[test]
fn a_stack_without_an_end_is_bounded() {
    let module = module(&memory(GO_1_20));
    let helper = [FuncIndex::from_u32(2)];
    let (_, found) = module.go_callers(&helper, GuestAddr::from_u64(8), &|_| Some(0x1001_0001));
    assert!((1000..10_000).contains(&found.len()), "{}", found.len());
    for sp in [0, 1, u32::MAX, u32::MAX - 7].map(u64::from).map(GuestAddr::from_u64) {
        assert!(module.go_callers(&helper, sp, &|_| None).1.is_empty());
    }
}

#[test]
fn damaged_tables_are_no_reason_to_fail() {
    let ask = |memory: &[u8]| {
        let module = module(memory);
        (0..4).for_each(|func| {
            _ = (
                module.func_name(FuncIndex::from_u32(func)),
                module.func_start(FuncIndex::from_u32(func)),
            )
        });
        _ = (places(&module, 0), places(&module, 1));
        module.source_files(CodeOffset::FIRST..CodeOffset::from_u32(u32::MAX), &mut |_, _| ());
        _ = module.go_addresses();
        for address in [0x1000_0002, 0x1001_0001] {
            let word = |at: GuestAddr| (at.as_u64() < 4096).then_some(address);
            _ = module.go_callers(&[FuncIndex::from_u32(2)], GuestAddr::from_u64(64), &word);
        }
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
    // Four functions of a module that has three.
    other[8] = 4;
    let module = module(&other);
    assert_eq!(
        (module.debug_info(), module.func_name(FuncIndex::from_u32(2))),
        (DebugInfo::Absent, None)
    );
    assert_eq!(module.go_addresses(), None);
}
