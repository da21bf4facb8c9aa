//! Coverage: that counts are exact, whatever the shape of the code, and that guests do not notice.

use crate::matrix::{Behaviour, module};
use wardian::{Engine, EngineKind, Instance, Linker, Module, SharedMemory, Store};
use wardian_observe::{CoverageMap, CoverageReport, Share};

pub(crate) const TABLE: &[Behaviour] = &[
    ("coverage counts calls and blocks exactly", shapes),
    ("coverage counts outcomes of branches exactly", branches),
    ("coverage of objects counts branches on casts", objects),
    ("coverage ends where a call did not return", trapped),
    ("coverage counts handlers of exceptions exactly", handlers),
    ("coverage has lines, through inlined calls too", lines),
    ("coverage changes no memory, and no name", memories),
    ("coverage of threads is one", threads),
    ("coverage can be asked for by names that lie", hostile),
    ("coverage of a module that is not valid is an error", invalid),
];

/// Calls the export `run` of an instrumented module once for each argument.
fn run(engine: &Engine, original: &Module, arguments: &[i32]) -> (CoverageReport, Vec<i32>) {
    let (bytes, map) = CoverageMap::instrument(original).unwrap();
    let module = Module::new(engine, bytes).expect("the instrumented module is valid");
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
    // A trap gives no result, but counts.
    let results = arguments.iter().filter_map(|argument| run.call(&mut store, *argument).ok());
    let results = results.collect();
    let counts = map.counts(&instance.internal(&store)).unwrap();
    (map.report(&counts, "guest"), results)
}

fn calls(report: &CoverageReport) -> Vec<(&str, u64)> {
    report.functions.iter().map(|f| (f.name.as_str(), f.calls)).collect()
}

/// Each arm calls a function of its own, so that counts of calls tell which were taken.
const SHAPES: &str = r#"(module
  (type $leaf (func))
  (table funcref (elem $table))
  (func $then) (func $else) (func $body) (func $zero) (func $one) (func $rest) (func $table)
  (func $loops (param $n i32)
    (loop $l
      (call $body)
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $choice (param i32) (result i32)
    (block $r (block $1 (block $0
        (br_table $0 $1 $r (local.get 0)))
      (call $zero) (return (i32.const 10)))
     (call $one) (return (i32.const 11)))
    (call $rest)
    (return (i32.const 12))
    (loop $dead (result i32) (call $rest) (br $dead)))
  (func $tail (param i32) (result i32) (return_call $choice (local.get 0)))
  (func $run (export "run") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (call $then)) (else (call $else)))
    (block $out
      (br_if $out (i32.lt_u (local.get 0) (i32.const 2)))
      (call_indirect (type $leaf) (i32.const 0)))
    (call $loops (i32.const 5))
    (call $tail (local.get 0))))"#;

fn shapes(engine: &Engine) {
    let (report, results) = run(engine, &module(engine, SHAPES), &[0, 1, 1, 2, 3, 4]);
    assert_eq!(results, [10, 11, 11, 12, 12, 12]);
    let expected = [
        ("then", 1),
        ("else", 5),
        ("body", 30),
        ("zero", 1),
        ("one", 2),
        ("rest", 3),
        ("table", 3),
        ("loops", 6),
        ("choice", 6),
        ("tail", 6),
        ("run", 6),
    ];
    assert_eq!(calls(&report), expected);
    // Dead code is no part of the whole.
    assert_eq!(report.blocks_hit().percent(), 100.0, "{report:?}");
    let (report, _) = run(engine, &module(engine, SHAPES), &[0]);
    let missed = |f: &&wardian_observe::FunctionCoverage| f.blocks.hit < f.blocks.all;
    let missed: Vec<_> = report.functions.iter().filter(missed).map(|f| &*f.name).collect();
    assert_eq!(missed, ["else", "one", "rest", "table", "choice", "run"]);
    let (report, _) = run(engine, &module(engine, SHAPES), &[]);
    assert_eq!(report.blocks_hit().hit, 0);
}

/// What follows a block is reached by a branch on a cast only, or by one on a cast that fails.
const OBJECTS: &str = r#"(module
  (type $a (sub (struct (field (mut i32))))) (type $b (sub $a (struct (field (mut i32)) (field i64))))
  (type $list (array (mut (ref null $a))))
  (global $first (ref $a) (struct.new $a (i32.const 1)))
  (elem $e (ref $a) (item (struct.new $b (i32.const 2) (i64.const 3))) (item (global.get $first)))
  (func $is) (func $other)
  (func $cast (param (ref $a))
    (block $l (result (ref $b))
      (br_on_cast $l (ref $a) (ref $b) (local.get 0))
      (drop) (call $other) (return))
    (drop) (call $is))
  (func $fails (param (ref $a))
    (block $l (result (ref $a))
      (br_on_cast_fail $l (ref $a) (ref $b) (local.get 0))
      (drop) (call $is) (return))
    (drop) (call $other))
  (func $run (export "run") (param i32) (result i32) (local $a (ref $a))
    (local.set $a (ref.as_non_null (array.get $list
      (array.new_elem $list $e (i32.const 0) (i32.const 2)) (local.get 0))))
    (call $cast (local.get $a)) (call $fails (local.get $a))
    (struct.get $a 0 (local.get $a))))"#;

fn objects(engine: &Engine) {
    let (report, results) = run(engine, &module(engine, OBJECTS), &[0, 1, 0]);
    assert_eq!(results, [2, 1, 2]);
    let expected = [("is", 4), ("other", 2), ("cast", 3), ("fails", 3), ("run", 3)];
    assert_eq!(calls(&report), expected);
    assert_eq!(report.blocks_hit().percent(), 100.0, "{report:?}");
    let (report, _) = run(engine, &module(engine, OBJECTS), &[0]);
    let missed = |f: &&wardian_observe::FunctionCoverage| f.blocks.hit < f.blocks.all;
    let missed: Vec<_> = report.functions.iter().filter(missed).map(|f| &*f.name).collect();
    assert_eq!(missed, ["other", "cast", "fails"]);
}

fn trapped(engine: &Engine) {
    let guest = r#"(module
      (func $fail (param i32) (result i32) (i32.div_u (i32.const 8) (local.get 0)))
      (func $after)
      (func $run (export "run") (param i32) (result i32)
        (call $fail (local.get 0)) (call $after)))"#;
    let (report, results) = run(engine, &module(engine, guest), &[0, 0, 2]);
    assert_eq!(results, [4]);
    assert_eq!(calls(&report), [("fail", 3), ("after", 1), ("run", 3)]);
    let (report, _) = run(engine, &module(engine, guest), &[0]);
    assert_eq!(report.functions[2].blocks, Share { hit: 1, all: 3 }, "{report:?}");
    // Its bytes: the call and what is before it, of all.
    assert_eq!(report.functions[2].bytes, Share { hit: 4, all: 7 }, "{report:?}");
}

/// As [`SHAPES`], of both kinds of handlers.
const HANDLERS: &str = r#"(module
  (tag $a) (tag $b)
  (func $fine) (func $caught_a) (func $caught) (func $old_a) (func $old) (func $after) (func $cleaned)
  (func $throw (param i32)
    (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $a)))
    (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $b))))
  (func $new (param i32)
    (block $out
      (block $all
        (block $h
          (try_table (catch $a $h) (catch_all $all) (call $throw (local.get 0)) (call $fine))
          (br $out))
        (call $caught_a)
        (return))
      (call $caught))
    (call $after))
  (func $older (param i32)
    try
      try local.get 0 call $throw call $fine catch_all call $cleaned rethrow 0 end
      call $fine
    catch $a
      call $old_a
    catch_all
      try call $old call $throw_never delegate 0
    end
    call $after)
  (func $throw_never (call $throw (i32.const 0)))
  (func $run (export "run") (param i32) (result i32)
    (call $new (local.get 0)) (call $older (local.get 0)) (local.get 0)))"#;

fn handlers(engine: &Engine) {
    let module = module(engine, HANDLERS);
    let (report, results) = run(engine, &module, &[0, 1, 1, 2, 2, 2, 0]);
    assert_eq!(results, [0, 1, 1, 2, 2, 2, 0]);
    let wanted = [
        ("fine", 6),
        ("caught_a", 2),
        ("caught", 3),
        ("old_a", 2),
        ("old", 3),
        ("after", 12),
        ("cleaned", 5),
        ("throw", 17),
        ("new", 7),
        ("older", 7),
        ("throw_never", 3),
        ("run", 7),
    ];
    assert_eq!(calls(&report), wanted);
}

/// Branches of each kind, among them some that are never reached, in functions with locals.
const BRANCHES: &str = r#"(module
  (memory 1)
  (func $table (param i64 i32) (result i32) (local f64 i32) (local $kept i32)
    (local.set $kept (local.get 1))
    (block $2 (block $1 (block $0
        (br_table $0 $1 $0 $2 (local.get 1)))
      (return (local.get $kept)))
     (return (i32.const -1)))
    (local.get $kept))
  (func $never (if (i32.const 1) (then (nop))))
  (func $dead (result i32)
    (return (i32.const 0))
    (if (i32.const 1) (then (nop)))
    (i32.const 1))
  (func $run (export "run") (param i32) (result i32) (local $sum i32) (local $i i32)
    (if (local.get 0) (then (local.set $sum (i32.const 100))))
    (local.set $sum (i32.add (local.get $sum)
      (select (i32.const 7) (i32.const 9) (i32.eq (local.get 0) (i32.const 2)))))
    (drop (select (result i64) (i64.const 1) (i64.const 2) (i32.const 0x80000000)))
    (local.set $sum (i32.add (local.get $sum) (call $table (i64.const 3) (local.get 0))))
    (loop $l
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.and (local.get 0) (i32.const 7)))))
    ;; It was decided when it traps.
    (if (i32.eq (local.get 0) (i32.const 3)) (then (unreachable)))
    (i32.add (local.get $sum) (call $dead))))"#;

fn branches(engine: &Engine) {
    let original = module(engine, BRANCHES);
    let arguments = [0, 1, 2, 3, -1];
    let (plain, expected) = run(engine, &original, &arguments);
    let (bytes, map) = CoverageMap::instrument_branches(&original).unwrap();
    let instrumented = Module::new(engine, bytes).expect("the instrumented module is valid");
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &instrumented, &[]).unwrap();
    let run = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
    let results: Vec<i32> =
        arguments.iter().filter_map(|argument| run.call(&mut store, *argument).ok()).collect();
    assert_eq!((results.len(), results), (4, expected));
    let report = map.report(&map.counts(&instance.internal(&store)).unwrap(), "guest");
    let of = |name: &str| {
        let function = report.functions.iter().find(|f| f.name == name).expect("it is there");
        function.branches.clone()
    };
    assert_eq!(of("table"), [vec![1, 1, 1, 2]]);
    assert_eq!(of("never"), [vec![0, 0]]);
    assert!(of("dead").is_empty());
    let wanted = [vec![1, 4], vec![4, 1], vec![0, 5], vec![5, 9], vec![4, 1]];
    assert_eq!(of("run"), wanted);
    assert_eq!(report.branches_hit(), Share { hit: 4 + 9, all: 4 + 2 + 10 });
    assert!(plain.functions.iter().all(|function| function.branches.is_empty()));
    // Blocks are counted as without.
    assert_eq!(calls(&report), calls(&plain));
    let mut lcov = Vec::new();
    report.write_lcov(&mut lcov, "guest.txt").unwrap();
    let lcov = String::from_utf8(lcov).unwrap();
    for line in
        ["BRDA:1,0,3,2\n", "BRDA:2,0,0,-\n", "BRDA:4,2,0,0\n", "BRDA:4,2,1,5\n", "BRF:16\nBRH:13\n"]
    {
        assert!(lcov.contains(line), "{line}{lcov}");
    }
}

fn lines(engine: &Engine) {
    let original = Module::new(engine, include_bytes!("../programs/lines.wasm")).unwrap();
    let (bytes, map) = CoverageMap::instrument(&original).unwrap();
    let module = Module::new(engine, bytes).unwrap();
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let entry = instance.typed_func::<i32, i32>(&mut store, "entry").unwrap();
    assert!(entry.call(&mut store, 7).is_err());
    assert!(entry.call(&mut store, 7).is_err());
    let report = map.report(&map.counts(&instance.internal(&store)).unwrap(), "lines");
    let file = report.files.iter().find(|file| file.path.ends_with("lines.rs")).unwrap();
    let lines: Vec<_> = file.lines.iter().map(|(line, count)| (*line, *count)).collect();
    // Line 23 was inlined, 24 is behind a call that trapped.
    assert_eq!(lines, [(16, 2), (23, 2), (24, 0), (29, 2)]);
    let place = report.functions[1].place.as_ref().map(|(path, line)| (&**path, *line));
    assert_eq!(place, Some(("programs/lines.rs", 29)));
}

fn memories(engine: &Engine) {
    let guest = r#"(module $guest
      (memory $a (export "a") 1) (memory $b 2)
      (memory (export "wardian:coverage") i64 1)
      (data (memory $b) (i32.const 8) "\2a")
      (global (export "g") i32 (i32.const 1))
      (func $run (export "run") (param i32) (result i32)
        (i32.store8 $a (i32.const 0) (i32.const 100))
        (i32.add (i32.load8_u $b (i32.const 8))
          (i32.add (i32.load8_u $a (i32.const 0)) (memory.size $b))))
      (@custom "kept" "contents") (@custom ".debug_line" "wrong now"))"#;
    let original = module(engine, guest);
    let (report, results) = run(engine, &original, &[0]);
    assert_eq!((results, report.functions[0].calls), (vec![144], 1));
    let (bytes, map) = CoverageMap::instrument(&original).unwrap();
    assert_eq!(map.import(), None);
    let instrumented = Module::new(engine, bytes).unwrap();
    let names: Vec<&str> = instrumented.info().exports.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["a", "wardian:coverage", "g", "run", "wardian:coverage'"]);
    let customs: Vec<&str> = instrumented.info().customs.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(customs, ["kept", "name"]);
    // Modules without any of the sections that something is added to.
    for guest in ["(module)", "(module (func))", "(module (global i32 (i32.const 0)) (func))"] {
        let (bytes, _) = CoverageMap::instrument(&module(engine, guest)).unwrap();
        Module::new(engine, bytes).unwrap();
    }
}

/// What is validated lazily may be a module that is not valid.
fn invalid(engine: &Engine) {
    let mut config = engine.config().clone();
    let config = config.engine(EngineKind::Interpreted).lazy_validation(true);
    let lazy = Engine::new(config).unwrap();
    for body in ["(i32.add)", "(br 7)", "(local.get 3) (drop)", "(call 9)"] {
        let module = Module::new(&lazy, format!("(module (func) (func {body}))")).unwrap();
        let expected = module.ensure_valid().unwrap_err().to_string();
        let errors = [CoverageMap::instrument(&module), CoverageMap::instrument_branches(&module)];
        for error in errors.map(Result::unwrap_err) {
            assert_eq!(error.to_string(), expected);
        }
    }
}

fn threads(engine: &Engine) {
    let guest = r#"(module (import "env" "memory" (memory 1 1 shared))
      (func $work (export "work") (param i32)
        (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let (bytes, map) = CoverageMap::instrument(&module(engine, guest)).unwrap();
    let instrumented = Module::new(engine, bytes).unwrap();
    let shared = |ty| SharedMemory::new(engine, ty).unwrap();
    let counters = shared(map.import().expect("all threads count in one memory"));
    let mut ty = wardian::MemoryType::new(1, Some(1));
    ty.shared = true;
    let mut linker: Linker<()> = Linker::new(engine);
    linker.define("env", "memory", shared(ty)).unwrap();
    let (of, name) = CoverageMap::IMPORT;
    linker.define(of, name, counters.clone()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut store = Store::new(engine, ());
                let instance = linker.instantiate(&mut store, &instrumented).unwrap();
                let work = instance.typed_func::<i32, ()>(&mut store, "work").unwrap();
                (0..10).for_each(|_| work.call(&mut store, 1000).unwrap());
            });
        }
    });
    let counts = map.shared_counts(&counters).unwrap();
    assert_eq!(calls(&map.report(&counts, "guest")), [("work", 40)]);
    // A shared memory of its own: each instance counts for itself.
    let guest = r#"(module (memory 1 1 shared) (func $run (export "run") (param i32) (result i32)
        (i32.atomic.rmw.add (i32.const 0) (local.get 0))))"#;
    let (report, results) = run(engine, &module(engine, guest), &[1, 1]);
    assert_eq!((results, report.functions[0].calls), (vec![0, 1], 2));
}

fn hostile(engine: &Engine) {
    let name = "a\\nend_of_record\\nSF:/etc/passwd\\n<script>alert(1)</script>\\1b[2J\\22>";
    let guest = format!(
        r#"(module (func (export "{name}")) (func (export "run") (param i32) (result i32) local.get 0))"#
    );
    let (mut report, _) = run(engine, &module(engine, &guest), &[1]);
    report.program = report.functions[0].name.clone();
    let (mut lcov, mut html) = (Vec::new(), Vec::new());
    report.write_lcov(&mut lcov, "listing").unwrap();
    report.write_html(&mut html).unwrap();
    let lcov = String::from_utf8(lcov).unwrap();
    let starts = |start: &str| lcov.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((starts("SF:"), starts("end_of_record"), starts("FN:")), (1, 1, 2), "{lcov}");
    let html = String::from_utf8(html).unwrap();
    // There is one script, the page's own.
    assert_eq!(html.matches("<script").count(), 1, "{html}");
    assert!(html.contains("&lt;script&gt;alert(1)"), "{html}");
    for text in [lcov, html, report.table(10, 80)] {
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
