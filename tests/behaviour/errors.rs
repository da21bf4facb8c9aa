//! What is reported when something is wrong.

use crate::matrix::{Behaviour, instance, module};
use wardian::allocator::PoolingAllocator;
use wardian::inspect::FuncIndex;
use wardian::{
    Config, CoreFeatures, Engine, ErrorKind, Func, FuncType, Instance, InstantiateOptions,
    LimitKind, Linker, Module, Store, TrapCode, UsageKind, Val, ValType,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("every trap has its code, function and offset", traps),
    ("a trap's place is that of its operator, however code is optimised", places),
    ("backtraces tell what locals are, where the code is interpreted", locals),
    ("missing and wrong imports are reported all at once, with near names", imports),
    ("malformed modules tell the byte and what was expected", malformed),
    ("a feature that is off is named", features),
    ("a component is recognised", component),
    #[cfg(unix)]
    ("a signal that cannot interrupt is refused", signal),
    ("without debug information there are no source lines", no_source_lines),
    ("errors of usage and limits tell their kind apart", kinds),
];

fn locals(engine: &Engine) {
    let text = r#"(module
      (func $inner (param $a i32) (param $v v128) (param $f f32) (local $x i64) (local $r externref)
        (local.set $x (i64.const -2))
        (local.set $a (i32.add (local.get $a) (i32.const 1)))
        (f64.store (i32.const -1) (f64.const 0)))
      (func $outer (param $a i32) (local $t i32)
        (local.set $t (i32.const 77))
        (call $inner (local.get $a) (v128.const i64x2 3 4) (f32.const 1.5)))
      (memory 1)
      (func (export "run") (param i32) (call $outer (local.get 0))))"#;
    for asked in [true, false] {
        let mut config = engine.config().clone();
        let engine = Engine::new(config.backtrace_locals(asked)).unwrap();
        let mut store = Store::new(&engine, ());
        let run = instance(&mut store, text).typed_func::<i32, ()>(&mut store, "run").unwrap();
        let error = run.call(&mut store, 40).unwrap_err();
        let frames = error.backtrace().unwrap().frames();
        let [inner, outer, _] = frames else { panic!("{frames:?}") };
        use wardian::ValType::{F32, I32, I64, V128};
        let types = inner.local_types();
        assert_eq!(types[..4], [I32, V128, F32, I64]);
        assert_eq!(types.len(), 5);
        let known = asked && engine.config().engine_kind() != wardian::EngineKind::Compiled;
        let expected = [41, 3, 4, u64::from(1.5f32.to_bits()), -2i64 as u64, 0];
        let low = |slots: &[u64], i: usize| slots[i] & u64::from(u32::MAX);
        match inner.locals() {
            Some(slots) if known => {
                assert_eq!(low(slots, 0), expected[0]);
                assert_eq!(slots[1..3], expected[1..3]);
                assert_eq!(low(slots, 3), expected[3]);
                assert_eq!(slots[4..], expected[4..]);
            }
            // In a tiered engine it may have become hot.
            found => assert!(!known && found.is_none(), "{found:?}"),
        }
        if known {
            let slots = outer.locals().unwrap();
            assert_eq!([low(slots, 0), low(slots, 1)], [40, 77]);
        }
    }
}

/// Operators that an optimiser likes to move or to merge: the trap is reported where the name says.
fn places(engine: &Engine) {
    let text = r#"(module (memory 1)
      (func (export "if") (param i32)
        (if (i32.eq (local.get 0) (i32.const 3)) (then (nop) unreachable)))
      (func (export "else") (param i32)
        (if (i32.ne (local.get 0) (i32.const 3)) (then) (else unreachable)))
      (func (export "br_if") (param i32)
        (block $bad (br_if $bad (i32.eq (local.get 0) (i32.const 3))) return) unreachable)
      (func (export "br_table") (param i32)
        (block $bad (block $fine (br_table $fine $fine $fine $bad $fine (local.get 0))) return)
        unreachable)
      (func (export "overwritten") (param i32)
        (local.set 0 (i32.mul (local.get 0) (i32.const 0x10000)))
        (i32.store (local.get 0) (i32.const 1))
        (i32.store (local.get 0) (i32.const 2)))
      (func (export "operand") (param i32)
        (drop (i32.add (i32.const 1)
          (i32.load (i32.mul (local.get 0) (i32.const 0x10000)))))
        (global.set $g (i32.add (global.get $g)
          (i32.load offset=4 (i32.mul (local.get 0) (i32.const 0x10000))))))
      (func (export "changed") (param i32)
        (local.set 0 (i32.mul (local.get 0) (i32.const 0x10000)))
        (i32.store (local.get 0) (i32.add (i32.load (local.get 0)) (i32.const 2))))
      (func (export "twice") (param i32) (local i32)
        (local.set 1 (i32.sub (local.get 0) (i32.const 3)))
        (global.set $g (i32.div_u (i32.const 9) (local.get 1)))
        (global.set $g (i32.div_u (i32.const 9) (local.get 1))))
      (global $g (mut i32) (i32.const 0)))"#;
    let bytes = wat::parse_str(text).unwrap();
    let code = code_section(&bytes);
    let mut store = Store::new(engine, ());
    let instance = instance(&mut store, text);
    // The operator's code and the byte before it; in the last function it is the first such operator.
    for (name, before, opcode) in [
        ("if", 0x01, 0x00),
        ("else", 0x05, 0x00),
        ("br_if", 0x0b, 0x00),
        ("br_table", 0x0b, 0x00),
        ("overwritten", 1, 0x36),
        ("operand", 0x6c, 0x28),
        ("changed", 0, 0x28),
        ("twice", 1, 0x6e),
    ] {
        let f = instance.typed_func::<i32, ()>(&mut store, name).unwrap();
        for round in 0..6 {
            // Hot before it traps.
            f.call(&mut store, 0).unwrap();
            let error = f.call(&mut store, 3).unwrap_err();
            let at = error.backtrace().unwrap().frames()[0].code_offset().unwrap() as usize;
            let found = (code[at - 1], code[at]);
            assert_eq!(found, (before, opcode), "{name}, round {round}, at {at:#x}: {error:#}");
            if name == "twice" {
                assert!(!code[..at].contains(&opcode), "the second of two equal divisions");
            }
        }
    }
}

/// The contents of a module's code section.
fn code_section(bytes: &[u8]) -> &[u8] {
    let sections = wasmparser::Parser::new(0).parse_all(bytes);
    let range = sections.filter_map(|section| match section.expect("it is valid") {
        wasmparser::Payload::CodeSectionStart { unchecked_range, .. } => Some(unchecked_range),
        _ => None,
    });
    let range = range.last().expect("there is code");
    &bytes[range.start as usize..range.end as usize]
}

fn traps(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (memory 1) (table 3 funcref) (elem (i32.const 0) $other) (type $v (func))
          (func $other (param i32))
          (func (export "unreachable") (param i32) unreachable)
          (func (export "memory") (param i32) (drop (i32.load (i32.const -1))))
          (func (export "store") (param i32) (i64.store offset=65530 (i32.const 0) (i64.const 1)))
          (func (export "divide") (param i32) (drop (i32.div_s (i32.const 1) (local.get 0))))
          (func (export "rem64") (param i32)
            (drop (i64.rem_u (i64.const 1) (i64.extend_i32_u (local.get 0)))))
          (func (export "overflow") (param i32)
            (drop (i32.div_s (i32.const 0x80000000) (i32.sub (local.get 0) (i32.const 1)))))
          (func (export "float") (param i32)
            (drop (i32.trunc_f64_s (f64.div (f64.const 0) (f64.convert_i32_s (local.get 0))))))
          (func (export "large") (param i32) (drop (i32.trunc_f32_u (f32.const 5e9))))
          (func (export "null") (param i32) (call_indirect (type $v) (i32.const 1)))
          (func (export "undefined") (param i32) (call_indirect (type $v) (i32.const 3)))
          (func (export "signature") (param i32) (call_indirect (type $v) (local.get 0)))
          (func (export "table") (param i32) (drop (table.get 0 (i32.const 3))))
          (func (export "copy") (param i32)
            (memory.copy (i32.const 0) (i32.const 65535) (i32.const 2)))
          (func (export "tinit") (param i32)
            (table.init 0 (i32.const 0) (i32.const 1) (i32.const 1))))"#,
    );
    for (name, code) in [
        ("unreachable", TrapCode::Unreachable),
        ("memory", TrapCode::MemoryOutOfBounds),
        ("store", TrapCode::MemoryOutOfBounds),
        ("divide", TrapCode::IntegerDivisionByZero),
        ("rem64", TrapCode::IntegerDivisionByZero),
        ("overflow", TrapCode::IntegerOverflow),
        ("float", TrapCode::BadConversionToInteger),
        ("large", TrapCode::IntegerOverflow),
        ("null", TrapCode::IndirectCallToNull),
        ("undefined", TrapCode::UndefinedElement),
        ("signature", TrapCode::BadSignature),
        ("table", TrapCode::TableOutOfBounds),
        ("copy", TrapCode::MemoryOutOfBounds),
        ("tinit", TrapCode::TableOutOfBounds),
    ] {
        let f = i.typed_func::<i32, ()>(&mut store, name).unwrap();
        for _ in 0..3 {
            let error = f.call(&mut store, 0).unwrap_err();
            assert_eq!(error.trap(), Some(code), "{name}: {error:?}");
            let backtrace = error.backtrace().expect("a backtrace");
            let frame = &backtrace.frames()[0];
            assert_eq!(frame.func_name(), Some(name));
            let offset = frame.code_offset().unwrap_or_else(|| panic!("no offset in {name}"));
            let module = frame.module();
            let code = module.info().code_section;
            let func = FuncIndex::from_u32(frame.func_index());
            let defined = module.info().defined_function(func).expect("a guest's function");
            let body = &module.info().bodies[defined];
            assert!(body.contains(&(code + offset as usize)), "{name}: {offset:#x}");
        }
    }
}

fn imports(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("env", "read_file", |x: i32| x).unwrap();
    linker.func_wrap("env", "log", |_: i64| {}).unwrap();
    let m = module(
        engine,
        r#"(module (import "env" "raed_file" (func (param i32) (result i32)))
          (import "env" "log" (func (param i32))) (import "env" "memory" (memory 1))
          (import "env" "log" (global i32)))"#,
    );
    let error = linker.instantiate(&mut Store::new(engine, ()), &m).unwrap_err();
    let ErrorKind::Link(problems) = error.kind() else { panic!("{error}") };
    assert_eq!(problems.len(), 4);
    let reported = error.to_string();
    for part in [
        "4 imports",
        "did you mean `env` `read_file`?",
        "a function (i32) -> () is needed, a function (i64) -> () is defined",
        "a memory 1.. pages is needed",
        "a global i32 is needed",
    ] {
        assert!(reported.contains(part), "{part:?} is not in {reported}");
    }
    assert!(Instance::new(Store::new(engine, ()), &m, &[]).is_err());
}

fn malformed(engine: &Engine) {
    let whole =
        module(engine, r#"(module (memory 1) (func (export "f") (result i32) (i32.const 1)))"#);
    let whole = whole.bytes().to_vec();
    for cut in 0..whole.len() {
        // A module may end between sections.
        if let Err(error) = Module::new(engine, &whole[..cut]) {
            let ErrorKind::Decode(error) = error.kind() else { panic!("{error}") };
            assert!(error.offset().is_some() || cut == 0, "{cut}: {error}");
        }
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let _ = Module::new(engine, &bytes);
        }
    }
    for (bytes, part) in [
        (&b""[..], "found nothing"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "found 7f 45 4c 46"),
        (b"\0asm\x02\0\0\0", "found 02 00 00 00"),
        (b"(module (func (export \"f\") (i32.const 1)))", "type mismatch"),
        (b"(module (fnuc))", "1:10"),
    ] {
        let reported = Module::new(engine, bytes).unwrap_err().to_string();
        assert!(reported.contains(part), "{part:?} is not in {reported}");
    }
}

fn features(_: &Engine) {
    for (text, feature) in [
        ("(module (func (result i32 i32) (i32.const 1) (i32.const 2)))", "multi-value"),
        ("(module (func (drop (v128.const i64x2 0 0))))", "simd"),
        ("(module (func $f (return_call $f)))", "tail-call"),
        ("(module (memory 1 1 shared))", "threads"),
        ("(module (memory 1) (memory 1))", "multi-memory"),
        ("(module (memory i64 1))", "memory64"),
        ("(module (memory 1 (pagesize 1)))", "custom-page-sizes"),
        ("(module (func (drop (i32.extend8_s (i32.const 0)))))", "sign-extension"),
        (
            "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))",
            "bulk",
        ),
    ] {
        let mut config = Config::new();
        let engine = Engine::new(config.features(CoreFeatures::V1)).unwrap();
        let error = Module::new(&engine, text).unwrap_err();
        let reported = error.to_string();
        let ErrorKind::Decode(error) = error.kind() else { panic!("{error}") };
        let named = error.feature().is_some() && reported.contains(feature);
        assert!(named, "{feature} is not named in: {reported}");
        let engine = Engine::new(&Config::new()).unwrap();
        Module::new(&engine, text).unwrap();
    }
}

fn component(engine: &Engine) {
    let reported = Module::new(engine, b"\0asm\x0d\0\x01\0").unwrap_err().to_string();
    assert!(reported.contains("component") && reported.contains("not supported"), "{reported}");
}

fn no_source_lines(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, r#"(module (func (export "f") unreachable))"#);
    let f = i.typed_func::<(), ()>(&mut store, "f").unwrap();
    let error = f.call(&mut store, ()).unwrap_err();
    assert!(error.backtrace().unwrap().frames()[0].source_locations().is_empty());
    let reported = format!("{error:#}");
    assert!(reported.contains("0: f (offset"), "{reported}");
}

#[cfg(unix)]
fn signal(_: &Engine) {
    // SIGSEGV, SIGKILL, and numbers that are no signals.
    for number in [11, 9, 0, -3, 4000] {
        assert!(Engine::new(Config::new().interrupt_signal(number)).is_err(), "{number}");
    }
}

fn kinds(engine: &Engine) {
    let m = module(
        engine,
        r#"(module (memory (export "m") 1 2) (table (export "t") 1 funcref)
        (func (export "f") (param i32)))"#,
    );
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &m, &[]).unwrap();
    let memory = i.get_memory(&mut store, "m").unwrap();
    let table = i.get_table(&mut store, "t").unwrap();
    let f = i.get_func(&mut store, "f").unwrap();
    let mut other = Store::new(engine, ());
    let mut stranger = Store::new(&Engine::new(&engine.config().clone()).unwrap(), ());
    let twice = |linker: &mut Linker<()>| {
        linker.func_wrap("a", "b", || ())?;
        linker.func_wrap("a", "b", || ()).map(drop)
    };
    let usage: [(&str, wardian::Result<()>, UsageKind); 8] = [
        ("store", f.call(&mut other, &[Val::I32(1)], &mut []), UsageKind::OtherStore),
        ("engine", Instance::new(&mut stranger, &m, &[]).map(drop), UsageKind::OtherEngine),
        ("value", f.call(&mut store, &[Val::I64(1)], &mut []), UsageKind::Type),
        ("signature", i.typed_func::<i64, ()>(&mut store, "f").map(drop), UsageKind::Type),
        ("export", i.typed_func::<(), ()>(&mut store, "g").map(drop), UsageKind::NotFound),
        ("address", memory.write(&mut store, 65530, b"long text"), UsageKind::OutOfBounds),
        ("element", table.set(&mut store, 1, Val::FuncRef(None)), UsageKind::OutOfBounds),
        ("name", twice(&mut Linker::new(engine)), UsageKind::Duplicate),
    ];
    for (what, result, expected) in usage {
        match result.expect_err(what).kind() {
            ErrorKind::Usage(error) => assert_eq!(error.kind(), expected, "{what}: {error}"),
            other => panic!("{what}: {other}"),
        }
    }

    let pool = PoolingAllocator::new(1, 1 << 20);
    let pooled = |store: &mut Store<()>| {
        let options = InstantiateOptions::new().with_memory_allocator(pool.clone());
        Instance::new_with(store, &m, &[], &options)
    };
    pooled(&mut store).unwrap();
    let limited: [(&str, wardian::Result<()>, LimitKind); 3] = [
        ("maximum", memory.grow(&mut store, 2).map(drop), LimitKind::Store),
        ("pool", pooled(&mut store).map(drop), LimitKind::Allocator),
        (
            "parameters",
            Func::try_new(&mut store, FuncType::new([ValType::I32; 1001], []), |_, _, _| Ok(()))
                .map(drop),
            LimitKind::Engine,
        ),
    ];
    for (what, result, expected) in limited {
        match result.expect_err(what).kind() {
            ErrorKind::Limit(error) => assert_eq!(error.kind(), expected, "{what}: {error}"),
            other => panic!("{what}: {other}"),
        }
    }
}
