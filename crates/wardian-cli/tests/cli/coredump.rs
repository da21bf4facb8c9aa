//! What is reported and kept of a guest that traps.

use super::guests;
use super::harness::Place;
use serde_json::json;
use wasmparser::{CoreDumpStackSection, CoreDumpValue, KnownCustom, Parser, Payload};

const GUEST: &str = r#"(module $app
  (memory 2) (data (i32.const 70000) "here it was")
  (global $count (mut i64) (i64.const 5)) (global f32 (f32.const 1.5))
  (func $read (param $at i32) (param $scale f64) (result i32) (local $extra i64)
    (local.set $extra (i64.const -9))
    (global.set $count (i64.const 6))
    (i32.load (i32.mul (local.get $at) (i32.const 2))))
  (func $middle (param $at i32)
    (drop (call $read (i32.add (local.get $at) (i32.const 1)) (f64.const 0.5))))
  (func (export "_start") (call $middle (i32.const 70001))))"#;

#[test]
fn a_trap_is_told_with_arguments_and_memory() {
    let place = Place::with(&[("app.wat", GUEST)]);
    let trapped =
        "trap: out of bounds memory access: address 0x222e4, 4 bytes, memory 0 has 0x20000 bytes\n";
    let near = "\naddress 0x222e4 is 8932 bytes beyond the end of memory 0 (0x20000 bytes)\n  0x0001ffe0  00";
    for (engine, read, middle) in [
        ("interp", "0: read(at: i32 = 70002, scale: f64 = 0.5) (offset 0x", "(at: i32 = 70001)"),
        ("tiered", "0: read(at: i32 = 70002, scale: f64 = 0.5) (offset 0x", "(at: i32 = 70001)"),
        (
            "jit",
            "0: read(at: i32 = <optimised out>, scale: f64 = <optimised out>) (offset 0x",
            "1: middle(at: i32 = <optimised out>)",
        ),
    ] {
        let ended = place.run(&["run", "--backtrace", "full", "--engine", engine, "app.wat"]);
        assert_eq!(ended.code, Some(134), "{ended:?}");
        for part in [trapped, near, read, middle, "2: _start (offset"] {
            assert!(ended.err.contains(part), "{engine}: {part:?} is not in\n{}", ended.err);
        }
        // Values that are known lead to memory.
        assert_eq!(ended.err.contains("|here it was"), engine != "jit", "{}", ended.err);
    }
}

#[test]
fn the_core_dump_has_stack_memory_and_globals() {
    let place = Place::with(&[("app.wat", GUEST)]);
    for engine in ["interp", "tiered", "jit"] {
        let args = ["run", "--engine", engine, "--coredump", "core", "app.wat"];
        let ended = place.run(&args);
        assert_eq!(ended.code, Some(134), "{ended:?}");
        assert!(ended.err.contains("the core dump is in core"), "{}", ended.err);
        check(&std::fs::read(place.path("core")).unwrap(), engine != "jit");
    }
}

#[test]
fn an_exception_that_nothing_catches_is_told_and_dumped_like_a_trap() {
    let throws = GUEST.replace("(memory 2)", "(tag $oops (param i32 i64)) (memory 2)").replace(
        "(i32.load (i32.mul",
        "(throw $oops (local.get $at) (i64.const 3)) (i32.load (i32.mul",
    );
    let place = Place::with(&[("app.wat", &throws)]);
    for engine in ["interp", "tiered", "jit"] {
        let options = ["--backtrace", "full", "--coredump", "core"];
        let ended = place.run(&[&["run", "--engine", engine], &options[..], &["app.wat"]].concat());
        assert_eq!(ended.code, Some(134), "{ended:?}");
        for part in
            ["exception `oops` (70002, 3)\n", "0: read(at: ", "2: _start (", "dump is in core"]
        {
            assert!(ended.err.contains(part), "{engine}: {part:?} is not in\n{}", ended.err);
        }
        check(&std::fs::read(place.path("core")).unwrap(), engine != "jit");
    }
}

/// Reads a dump with the parser, which knows the format.
fn check(dump: &[u8], has_values: bool) {
    wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all())
        .validate_all(dump)
        .unwrap();
    let (mut pages, mut globals, mut data, mut seen) = (Vec::new(), 0, Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(dump) {
        match payload.unwrap() {
            Payload::MemorySection(memories) => {
                pages.extend(memories.into_iter().map(|m| m.unwrap().initial));
            }
            Payload::GlobalSection(section) => globals = section.count(),
            Payload::DataSection(section) => {
                data.extend(section.into_iter().map(|d| d.unwrap().data.to_vec()));
            }
            Payload::CustomSection(custom) => match custom.as_known() {
                KnownCustom::CoreDump(core) => assert_eq!(core.name, "app.wat"),
                KnownCustom::CoreDumpModules(modules) => assert_eq!(modules.modules, ["app"]),
                KnownCustom::CoreDumpInstances(instances) => {
                    let [instance] = &instances.instances[..] else { panic!() };
                    assert_eq!(instance.module_index, 0);
                    assert_eq!(
                        (&instance.memories[..], &instance.globals[..]),
                        (&[0][..], &[0, 1][..])
                    );
                }
                KnownCustom::CoreDumpStack(stack) => check_stack(&stack, has_values),
                _ => continue,
            },
            _ => continue,
        }
        seen.push(());
    }
    assert_eq!((pages, globals, seen.len()), (vec![2], 2, 7));
    let [segment] = &data[..] else { panic!("{} segments", data.len()) };
    assert!(segment.windows(11).any(|w| w == b"here it was"));
    assert_eq!(segment.len(), 4096, "pages of zeroes are left out");
}

fn check_stack(stack: &CoreDumpStackSection<'_>, has_values: bool) {
    assert_eq!(stack.name, "main");
    let functions: Vec<u32> = stack.frames.iter().map(|f| f.funcidx).collect();
    assert_eq!(functions, [0, 1, 2]);
    // Where in the body the load is: declarations of locals, and the code before.
    assert!((15..60).contains(&stack.frames[0].codeoffset), "{}", stack.frames[0].codeoffset);
    let locals = &stack.frames[0].locals[..];
    let found = match locals {
        [CoreDumpValue::I32(70002), CoreDumpValue::F64(half), CoreDumpValue::I64(-9)] => {
            f64::from_bits(half.bits()) == 0.5
        }
        _ => false,
    };
    assert_eq!(found, has_values, "{locals:?}");
}

const OBJECTS: &str = r#"(module $app
  (type $node (struct (field $value (mut i64)) (field $next (ref null $node)) (field $any (ref null any))))
  (type $bytes (array i8))
  (global $list (mut (ref null $node)) (ref.null $node))
  (table 3 (ref null any))
  (func $touch (param $p (ref null $node)))
  (func $fail (param $p (ref null $node)) (param $n i32)
    (call $keep (local.get $p)) (call $touch (local.get $p)))
  (func $keep (param $p (ref null $node)) (local $own (ref null $node))
    (local.set $own (struct.new $node (i64.const 77) (local.get $p) (ref.i31 (i32.const -5))))
    (call $trap (local.get $own))
    (call $touch (local.get $own)))
  (func $trap (param $p (ref null $node))
    (struct.set $node $value (local.get $p) (i64.const 78)) (unreachable))
  (func (export "_start")
    (global.set $list (struct.new $node (i64.const 5)
      (struct.new $node (i64.const 6) (ref.null $node) (ref.null any))
      (array.new $bytes (i32.const 0x61) (i32.const 1000))))
    (table.set (i32.const 2) (global.get $list))
    (call $fail (struct.get $node $next (global.get $list)) (i32.const 9))))"#;

/// The section of a dump that has objects, a value a line.
fn heap(dump: &[u8]) -> Vec<serde_json::Value> {
    let sections = Parser::new(0).parse_all(dump).filter_map(|payload| match payload.unwrap() {
        Payload::CustomSection(custom) if custom.name() == "wardian.heap" => Some(custom.data()),
        _ => None,
    });
    let text: Vec<_> = sections.map(|data| std::str::from_utf8(data).unwrap()).collect();
    text.concat().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn objects_are_dumped_with_what_refers_to_them() {
    let place = Place::with(&[("app.wat", OBJECTS), ("none.wat", GUEST)]);
    for engine in ["interp", "tiered", "jit"] {
        let run = |file| {
            let ended = place.run(&["run", "--engine", engine, "--coredump", "core", file]);
            assert_eq!(ended.code, Some(134), "{ended:?}");
            heap(&std::fs::read(place.path("core")).unwrap())
        };
        let lines = run("app.wat");
        // What refers to the object with this value in its first field.
        let roots = |value: i64| {
            let is_it = |line: &&serde_json::Value| line["fields"][0]["value"] == value;
            let object = lines.iter().find(is_it).unwrap_or_else(|| panic!("{value}: {lines:#?}"));
            let refers = |line: &&serde_json::Value| line["object"] == object["object"];
            let roots = lines.iter().filter(refers).filter_map(|line| line.get("root"));
            (object.clone(), roots.cloned().collect::<Vec<_>>())
        };
        let (first, from) = roots(5);
        assert_eq!(first["type"], "node");
        assert_eq!(first["fields"][0]["name"], "value");
        for root in
            [json!({"instance": 0, "global": 0}), json!({"instance": 0, "table": 0, "element": 2})]
        {
            assert!(from.contains(&root), "{engine}: {from:?}");
        }
        let array = lines.iter().find(|line| line["length"] == 1000).unwrap();
        assert_eq!(first["fields"][2]["value"]["object"], array["object"]);
        assert_eq!((&array["type"], &array["elements"][255]), (&"bytes".into(), &0x61.into()));
        assert_eq!(array["elements"].as_array().unwrap().len(), 256);
        // What only frames hold, with the local where that is known.
        let (own, from) = roots(78);
        assert_eq!(own["fields"][2]["value"]["i31"], -5);
        let root = match engine {
            "jit" => json!({"thread": "main", "frame": 1}),
            _ => json!({"thread": "main", "frame": 1, "local": 1}),
        };
        assert!(from.contains(&root), "{engine}: {from:?}");
        let (inner, _) = roots(6);
        assert_eq!(own["fields"][1]["value"]["object"], inner["object"]);
        assert_eq!(run("none.wat").len(), 0);
    }
}

/// Names of threads, and how many calls each has.
fn threads(dump: &[u8]) -> Vec<(String, usize)> {
    let payloads = Parser::new(0).parse_all(dump).map(Result::unwrap);
    let stacks = payloads.filter_map(|payload| match payload {
        Payload::CustomSection(custom) => match custom.as_known() {
            KnownCustom::CoreDumpStack(stack) => Some((stack.name.to_owned(), stack.frames.len())),
            _ => None,
        },
        _ => None,
    });
    stacks.collect()
}

#[test]
fn deep_stacks_are_dumped_and_reported_in_part() {
    let deep = r#"(module (func $down (param i32)
        (if (i32.eqz (local.get 0)) (then unreachable))
        (call $down (i32.sub (local.get 0) (i32.const 1))) (nop))
      (func (export "_start") (call $down (i32.const N))))"#;
    let place = Place::with(&[
        ("few.wat", &deep.replace("N", "1000")),
        ("many.wat", &deep.replace("N", "150000")),
    ]);
    for engine in ["interp", "tiered", "jit"] {
        let stack = ["--stack-size", "64MiB"];
        for (file, calls, name, more) in [
            ("few.wat", 1002, "main", "... and 938 more"),
            (
                "many.wat",
                100_000,
                "main (without the 50002 outermost calls)",
                "... and 149938 more",
            ),
        ] {
            let options = ["--backtrace", "full", "--coredump", "core"];
            let args = [&["run", "--engine", engine], &options[..], &stack[..], &[file]];
            let ended = place.run(&args.concat());
            assert_eq!(ended.code, Some(134), "{ended:?}");
            assert!(ended.err.contains(more), "{engine}: {}", ended.err);
            assert!(ended.err.lines().count() < 100, "{}", ended.err.len());
            let found = threads(&std::fs::read(place.path("core")).unwrap());
            assert_eq!(found, [(name.to_owned(), calls)], "{engine}");
        }
    }
}

#[test]
fn all_threads_are_dumped() {
    let guest = r#"(module
      (import "env" "memory" (memory 1 1 shared))
      (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
      (export "memory" (memory 0))
      (func $wait (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
      (func $fail (loop $l (br_if $l (i32.lt_u (i32.atomic.load (i32.const 4)) (i32.const 2)))) unreachable)
      (func (export "wasi_thread_start") (param $tid i32) (param $arg i32)
        (if (local.get $arg) (then (call $fail)))
        (drop (i32.atomic.rmw.add (i32.const 4) (i32.const 1)))
        (call $wait))
      (func (export "_start")
        (drop (call $spawn (i32.const 0))) (drop (call $spawn (i32.const 0)))
        (drop (call $spawn (i32.const 1))) (call $wait)))"#;
    let place = Place::with(&[("threads.wat", guest)]);
    for engine in ["interp", "tiered", "jit"] {
        let ended = place.run(&["run", "--engine", engine, "--coredump", "core", "threads.wat"]);
        assert_eq!(ended.code, Some(134), "{ended:?}");
        assert!(
            ended.err.contains("trap: unreachable") && ended.err.contains("0: fail"),
            "{}",
            ended.err
        );
        let mut found = threads(&std::fs::read(place.path("core")).unwrap());
        assert_eq!(
            found[0],
            ("thread 3".to_owned(), 2),
            "the one that trapped is first: {found:?}"
        );
        found.sort();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["main", "thread 1", "thread 2", "thread 3"]);
    }
}

#[test]
fn dumps_that_cannot_be_written_and_traps_before_the_program() {
    let place = Place::with(&[
        ("app.wat", GUEST),
        (
            "start.wat",
            "(module (memory 1) (func $begin unreachable) (start $begin) (func (export \"_start\")))",
        ),
    ]);
    let ended = place.run(&["run", "--coredump", "/dev/full", "app.wat"]);
    assert_eq!(ended.code, Some(134), "{ended:?}");
    assert!(
        ended.err.contains("warning: cannot write the core dump to /dev/full: No space left"),
        "{}",
        ended.err
    );
    assert!(!ended.err.contains("core dump is in"), "{}", ended.err);

    for engine in ["interp", "tiered", "jit"] {
        place.write("core", "old");
        let ended = place.run(&["run", "--engine", engine, "--coredump", "core", "start.wat"]);
        assert_eq!(ended.code, Some(134), "{ended:?}");
        for part in ["0: begin (offset", "is in core, without memories and globals"] {
            assert!(ended.err.contains(part), "{}", ended.err);
        }
        let found = threads(&std::fs::read(place.path("core")).unwrap());
        assert_eq!(found, [("main".to_owned(), 1)], "{engine}");
    }
}

#[test]
fn whether_a_dump_can_be_written_is_found_out_before() {
    let place = Place::with(&[
        ("show.wat", guests::SHOW),
        ("loop.wat", guests::LOOP),
        ("app.wat", GUEST),
        ("old", "old"),
    ]);
    place.check(&[
        (
            &["run", "--coredump", "no/core", "show.wat", "x"],
            1,
            &[""],
            &["no/core", "No such file"],
        ),
        (&["run", "--coredump", "-", "show.wat"], 2, &[""], &["which is the guest's"]),
        (&["run", "--coredump", "old", "show.wat"], 0, &["show.wat"], &[]),
        (&["run", "--coredump", "new", "show.wat"], 0, &["show.wat"], &[]),
        (&["run", "--coredump", "new", "--timeout", "200ms", "loop.wat"], 124, &[], &[]),
        (&["run", "--coredump", "old", "--timeout", "200ms", "loop.wat"], 124, &[], &[]),
    ]);
    assert_eq!(std::fs::read(place.path("old")).unwrap(), b"old");
    assert!(!place.path("new").exists());
    assert_eq!(place.run(&["run", "--coredump", "old", "app.wat"]).code, Some(134));
    assert_eq!(threads(&std::fs::read(place.path("old")).unwrap()).len(), 1);
    assert_eq!(place.run(&["trace", "--coredump", "new", "app.wat"]).code, Some(134));
    assert_eq!(threads(&std::fs::read(place.path("new")).unwrap()).len(), 1);
}
