//! Traces: that they say what guests did, whatever becomes of their calls.

use crate::matrix::{Behaviour, instance, linked};
use crate::snapshots;
use wardian::{CompileOptions, Engine, FuncType, Linker, Module, Store, ValType};
use wardian_observe::{TraceBuffer, TraceFormat, TraceListener, TraceOptions};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a trace shows calls that abort", aborted),
    ("a trace shows restored snapshots, whose calls go on", restored),
    ("a trace shows tail calls one after the other", tail_calls),
    ("a trace tells stores on several threads apart", tenants),
    ("a trace reads the parameters of every function of WASI", wasi),
    ("a trace that is finished shows calls that are not", unfinished),
    ("a summary tells functions of one name apart", namesakes),
    ("a trace shows what references refer to", references),
];

/// The text without its times.
fn text(buffer: &TraceBuffer) -> String {
    let text = String::from_utf8(buffer.contents()).expect("a trace is text");
    let mut parts = text.split(" <");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| masked += part.split_once('>').expect("a time ends").1);
    masked
}

fn trace(options: TraceOptions) -> (TraceListener, TraceBuffer) {
    let buffer = TraceBuffer::new(1 << 24);
    (TraceListener::new(buffer.clone(), options), buffer)
}

fn aborted(engine: &Engine) {
    let text_of_guest = r#"(module $m
      (func $inner (param $n i32) (result i32) (i32.div_u (i32.const 6) (local.get $n)))
      (func (export "run") (param i32) (result i32) (call $inner (local.get 0))))"#;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, text_of_guest);
    let (trace, buffer) = trace(TraceOptions::new());
    let attachment = i.attach(&mut store, trace.clone()).unwrap();
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert!(run.call(&mut store, 0).is_err());
    assert_eq!(run.call(&mut store, 2).unwrap(), 3);
    attachment.detach(&mut store);
    run.call(&mut store, 1).unwrap();
    trace.finish().unwrap();
    let expected = "run(0) {\n  inner(n=0) = ? trap: integer divide by zero\n} = ? trap: integer divide \
                    by zero run\nrun(2) {\n  inner(n=2) = 3\n} = 3 run\n";
    assert_eq!(text(&buffer), expected);
}

fn restored(engine: &Engine) {
    let guest = r#"(module $m (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32 i32)))
      (func $again (param i32) (call $jump (i32.const 0) (i32.add (local.get 0) (i32.const 1))))
      (func $outer (export "run") (result i32) (local $n i32)
        (local.set $n (call $mark))
        (if (i32.lt_u (local.get $n) (i32.const 1)) (then (call $again (local.get $n))))
        (local.get $n)))"#;
    let mut store = Store::new(engine, snapshots::Host::default());
    store.enable_snapshots(true);
    let i = linked(&mut store, &snapshots::linker(engine), guest);
    let (trace, buffer) = trace(TraceOptions::new());
    i.attach(&mut store, trace.clone()).unwrap().keep();
    let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 1);
    trace.finish().unwrap();
    let expected = "outer() {\n  h.mark() = 0\n  again(0) {\n    h.jump(0, 1) = ? a snapshot was restored\n  \
                    } = ? a snapshot was restored again\n} = 1 outer\n";
    assert_eq!(text(&buffer), expected);
}

fn tail_calls(engine: &Engine) {
    let guest = r#"(module $m
      (func $even (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
        (return_call $odd (i32.sub (local.get 0) (i32.const 1))))
      (func $odd (param i32) (result i32) (return_call $even (i32.sub (local.get 0) (i32.const 1))))
      (func (export "run") (result i32) (call $even (i32.const 2))))"#;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, guest);
    let (trace, buffer) = trace(TraceOptions::new());
    i.attach(&mut store, trace.clone()).unwrap().keep();
    let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 1);
    trace.finish().unwrap();
    let expected =
        "run() {\n  even(2) = (tail call)\n  odd(1) = (tail call)\n  even(0) = 1\n} = 1 run\n";
    assert_eq!(text(&buffer), expected);
}

fn tenants(engine: &Engine) {
    let guest = r#"(module $m (func $f (param i32) (result i32) (local.get 0))
      (func (export "run") (param $n i32) (result i32) (call $f (local.get $n))))"#;
    let (trace, buffer) =
        trace(TraceOptions::new().with_format(TraceFormat::Json).with_summary(true));
    let compile = CompileOptions::new().with_function_listener_factory(trace.clone());
    let module = Module::new_with(engine, guest, &compile).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Two stores in turns on one thread.
                let mut stores = [Store::new(engine, ()), Store::new(engine, ())];
                let linker = Linker::new(engine);
                let runs = stores.each_mut().map(|store| {
                    let i = linker.instantiate(&mut *store, &module).unwrap();
                    i.typed_func::<i32, i32>(&mut *store, "run").unwrap()
                });
                for round in 0..100 {
                    runs[round % 2].call(&mut stores[round % 2], round as i32).unwrap();
                }
            });
        }
    });
    assert_eq!(trace.finish().unwrap().calls, 800);
    let text = String::from_utf8(buffer.contents()).unwrap();
    let count = |part: &str| text.lines().filter(|line| line.contains(part)).count();
    for lane in 1..=8 {
        assert_eq!(count(&format!("{{\"event\":\"call\",\"lane\":{lane},")), 100, "{text}");
    }
    let whole = text.lines().all(|line| line.starts_with("{\"event\":") && line.ends_with('}'));
    assert!(whole, "{text}");
    let calls: Vec<_> = trace.summary().rows.iter().map(|row| row.calls).collect();
    assert_eq!(calls, [400, 400]);
}

fn namesakes(engine: &Engine) {
    let guest = r#"(module $m
      (func $a (@name "same")) (func $b (@name "same") (call $a) (call $a))
      (func (export "run") (call $b) (call $b)))"#;
    let (trace, _) = trace(TraceOptions::new().with_summary(true));
    let compile = CompileOptions::new().with_function_listener_factory(trace.clone());
    let module = Module::new_with(engine, guest, &compile).unwrap();
    // However many instances there are.
    for _ in 0..2 {
        let mut store = Store::new(engine, ());
        let i = Linker::new(engine).instantiate(&mut store, &module).unwrap();
        i.typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
    }
    let summary = trace.summary();
    let mut rows: Vec<_> = summary.rows.iter().map(|row| (&*row.name, row.calls)).collect();
    rows.sort();
    assert_eq!(rows, [("run", 2), ("same", 4), ("same", 8)]);
}

/// A guest that calls each with zeros, under each name, as the crate for WASI has them.
fn wasi(engine: &Engine) {
    let functions = wardian_wasi::preview1();
    let mut imports = String::new();
    let mut calls = String::new();
    let mut linker: Linker<()> = Linker::new(engine);
    for (i, function) in functions.iter().enumerate() {
        let ty = |slots: &[wardian_wasi::Slot]| -> Vec<ValType> {
            let of = |slot: &_| match slot {
                wardian_wasi::Slot::I32 => ValType::I32,
                wardian_wasi::Slot::I64 => ValType::I64,
            };
            slots.iter().map(of).collect()
        };
        let (params, results) = (ty(function.params), ty(function.results));
        let show = |types: &[ValType]| types.iter().map(|t| format!(" {t}")).collect::<String>();
        imports += &format!(
            "(import \"wasi_snapshot_preview1\" {:?} (func (param{}) (result{})))\n",
            function.name,
            show(&params),
            show(&results)
        );
        let zeros: String = params.iter().map(|ty| format!("({ty}.const 0)")).collect();
        calls += &format!("(call {i} {zeros})");
        calls += if results.is_empty() { "" } else { "(drop)" };
        let ty = FuncType::new(params, results);
        linker
            .func_raw("wasi_snapshot_preview1", function.name, ty, |_, slots| {
                slots.iter_mut().take(1).for_each(|slot| *slot = 0);
                Ok(())
            })
            .unwrap();
    }
    let guest = format!(
        "(module {imports} (memory (export \"memory\") 1) (func (export \"run\") {calls}))"
    );
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, &guest);
    let (trace, buffer) = trace(TraceOptions::new().with_format(TraceFormat::Json).with_host());
    i.attach(&mut store, trace.clone()).unwrap().keep();
    i.typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
    trace.finish().unwrap();
    let text = String::from_utf8(buffer.contents()).unwrap();
    for function in functions {
        let name = format!("\"name\":\"{}\"", function.name);
        let line = text.lines().find(|line| line.contains(&name)).expect("it was called");
        // Parameters without a name have a number.
        assert!(!line.contains("\"args\":{\"0\""), "{line}");
        assert_eq!(line.contains("\"out\":{"), function.name != "proc_exit", "{line}");
    }
}

fn unfinished(engine: &Engine) {
    let guest = r#"(module $m (import "h" "end" (func $end (result i32)))
      (func (export "run") (result i32) (call $end)))"#;
    let (trace, buffer) = trace(TraceOptions::new());
    let mut linker: Linker<()> = Linker::new(engine);
    let other = trace.clone();
    let end = move || i32::from(other.finish().is_ok());
    linker.func_wrap("h", "end", end).unwrap();
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, guest);
    i.attach(&mut store, trace).unwrap().keep();
    let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 1);
    run.call(&mut store, ()).unwrap();
    assert_eq!(text(&buffer), "run() {\n  h.end() = ? unfinished\n} = ? unfinished run\n");
}

fn references(engine: &Engine) {
    let guest = r#"(module $m
      (type $point (struct (field $x i32) (field $y f64)))
      (type $text (array i16))
      (type $bytes (array i8))
      (type $list (struct (field $value i8) (field $next (ref null $list)) (field funcref) (field eqref)))
      (rec (type $ring (struct (field $self (mut (ref null $ring))))))
      (tag $oops (param i32))
      (global $ring (ref $ring) (struct.new $ring (ref.null $ring)))
      (func $point (param $p (ref $point)) (result (ref null $point)) (local.get $p))
      (func $null (param (ref null $point)) (result anyref) (ref.i31 (i32.const -5)))
      (func $text (param (ref $text) (ref $bytes)))
      (func $list (param (ref $list)))
      (func $ring_of (param (ref $ring)) (result funcref) (ref.func $text))
      (func $host (param externref anyref exnref))
      (elem declare func $text $point)
      (func (export "run") (param externref)
        (struct.set $ring $self (global.get $ring) (global.get $ring))
        (drop (call $point (struct.new $point (i32.const 3) (f64.const 0.5))))
        (drop (call $null (ref.null $point)))
        (call $text (array.new_fixed $text 3 (i32.const 72) (i32.const 105) (i32.const 33))
          (array.new $bytes (i32.const 200) (i32.const 20)))
        (call $list (struct.new $list (i32.const 255)
          (struct.new $list (i32.const 1) (ref.null $list) (ref.null func) (ref.i31 (i32.const 9)))
          (ref.func $point) (ref.null eq)))
        (drop (call $ring_of (global.get $ring)))
        (call $host (local.get 0) (any.convert_extern (local.get 0))
          (block $caught (result exnref)
            (try_table (result exnref) (catch_all_ref $caught) (throw $oops (i32.const 7)))))))"#;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, guest);
    let traced = |store: &mut Store<()>, options: TraceOptions| {
        let (trace, buffer) = trace(options);
        let attachment = i.attach(&mut *store, trace.clone()).unwrap();
        let run = i.typed_func::<Option<wardian::ExternRef>, ()>(&mut *store, "run").unwrap();
        run.call(&mut *store, Some(wardian::ExternRef::new(1))).unwrap();
        attachment.detach(&mut *store);
        trace.finish().unwrap();
        buffer
    };
    let buffer = traced(&mut store, TraceOptions::new());
    let bytes = ["-56"; 16].join(", ");
    let expected = [
        "run(externref) {".to_owned(),
        "  point(p=point{x=3, y=0.5}) = point{x=3, y=0.5}".to_owned(),
        "  null(null) = -5".to_owned(),
        format!("  text(\"Hi!\", [{bytes}, … 4 more])"),
        "  list(list{value=-1, next=list{value=1, next=null, null, 9}, func point, null})"
            .to_owned(),
        "  ring_of(ring{self=ring{self=ring{self=ring}}}) = func text".to_owned(),
        "  host(externref, anyref, exception `oops` (7))".to_owned(),
        "} run".to_owned(),
    ];
    assert_eq!(text(&buffer).lines().collect::<Vec<_>>(), expected);
    let buffer = traced(&mut store, TraceOptions::new().with_format(TraceFormat::Json));
    let json = String::from_utf8(buffer.contents()).unwrap();
    let lines: Vec<serde_json::Value> =
        json.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |name: &str| lines.iter().find(|line| line["name"] == name).unwrap();
    let point = serde_json::json!({"$type": "point", "x": 3, "y": 0.5});
    assert_eq!((&of("point")["args"]["p"], &of("point")["results"][0]), (&point, &point));
    assert_eq!(of("text")["args"]["0"], serde_json::json!([72, 105, 33]));
    let next = serde_json::json!({"$type": "list", "value": 1, "next": null, "2": null, "3": 9});
    assert_eq!(of("list")["args"]["0"]["next"], next);
    assert_eq!(of("ring_of")["results"][0], "func text");
}
