//! Where code lies: paths that can only end in a trap behind all other code, short loops in few lines of the cache.

use std::collections::BTreeSet;
use wardian_jit::TextOffset;
use wardian_jit::{
    CompiledCode, CompiledIndex, Compiler, MemoryVariant, ModuleOptions, OptLevel, Tunables,
};
use wardian_module::Module;
use wardian_types::{CodeOffset, CoreFeatures, DefinedFuncIndex};

fn module(text: &str) -> Module {
    let bytes = wat::parse_str(text).expect("valid text");
    Module::decode(bytes, CoreFeatures::all(), 1).expect("valid module")
}

fn compile(module: &Module, opt_level: OptLevel, cold_paths: bool) -> CompiledCode {
    let tunables = Tunables { verifier: true, opt_level, cold_paths, ..Tunables::default() };
    let options = ModuleOptions { variant: MemoryVariant::Guarded, ..ModuleOptions::default() };
    let compiler = Compiler::new(tunables).expect("supported");
    compiler.compile_module(module.info(), module.bytes(), &options).expect("it compiles")
}

/// A loop with two checks, one of which leads to a call of a function that never returns, by way of a block that prepares its
/// argument.
const CHECKED_LOOP: &str = r#"(module (import "" "panic" (func $panic (param i32)))
    (memory 1)
    (func (param $n i32) (param $limit i32) (result i32) (local $sum i32) (local $why i32)
        (block $fails
            (loop $again
                (block $fits
                    (br_if $fits (i32.lt_u (local.get $n) (local.get $limit)))
                    (local.set $why (i32.mul (local.get $n) (i32.const 77)))
                    (br $fails))
                (if (i32.eq (local.get $sum) (i32.const 500))
                    (then (local.set $why (i32.const 5)) (br $fails)))
                (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $n))))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $n) (i32.const 1000))))
            (return (local.get $sum)))
        (call $panic (local.get $why))
        unreachable))"#;

/// Code offsets of the multiplication on the way to the trap, and of the load in the loop.
fn failing_and_load(module: &Module) -> (u32, u32) {
    let info = module.info();
    let body = info.bodies[DefinedFuncIndex::from_u32(0)].clone();
    let bytes = &module.bytes()[body.clone()];
    let find = |pattern: &[u8]| {
        let at = bytes.windows(pattern.len()).position(|w| w == pattern).expect("it is there");
        (body.start + at - info.code_section) as u32
    };
    // i32.mul; i32.load8_u align=0 offset=0
    (find(&[0x6c, 0x21]), find(&[0x2d, 0, 0]))
}

/// Where the first instruction of an operator lies.
fn first(code: &CompiledCode, wasm: u32) -> u32 {
    let wasm = CodeOffset::from_u32(wasm);
    let mut offsets = TextOffset::range(code.function(CompiledIndex::from_u32(0)));
    let first = offsets.find(|at| code.location(*at) == Some(wasm));
    first.expect("the operator has instructions").as_u32()
}

#[test]
fn paths_to_traps_lie_behind_the_loop() {
    let module = module(CHECKED_LOOP);
    let (failing, load) = failing_and_load(&module);
    let cases = [
        ("off", OptLevel::Speed, false, false),
        ("on", OptLevel::Speed, true, true),
        ("not optimised", OptLevel::None, true, false),
        ("by default", OptLevel::Speed, Tunables::default().cold_paths, true),
    ];
    for (what, opt_level, cold_paths, behind) in cases {
        let code = compile(&module, opt_level, cold_paths);
        assert_eq!(first(&code, failing) > first(&code, load), behind, "{what}");
    }
}

#[test]
fn code_is_bound_to_it() {
    let fingerprint = |cold_paths| {
        let compiler = Compiler::new(Tunables { cold_paths, ..Tunables::default() });
        compiler.expect("supported").fingerprint()
    };
    assert_ne!(fingerprint(true), fingerprint(false));
}

/// Functions that have a short loop behind more and more code.
fn with_loops() -> Module {
    let body = |before: usize| {
        let before =
            "(local.set 0 (i32.load (i32.mul (local.get 0) (i32.const 3))))".repeat(before);
        format!(
            "(func (param i32) (result i32) {before} (loop $l
                (i32.store8 (local.get 0) (i32.const 0))
                (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 7))))) (local.get 0))"
        )
    };
    let bodies: String = (0..20).map(body).collect();
    module(&format!("(module (memory 1) {bodies})"))
}

#[test]
fn functions_begin_where_their_loops_need_few_lines() {
    let module = with_loops();
    let (info, bytes) = (module.info(), module.bytes());
    let code = compile(&module, OptLevel::Speed, true);
    let compiler = Compiler::new(Tunables::default()).expect("supported");
    let mut leads = BTreeSet::new();
    for defined in info.bodies.indices() {
        let variant = MemoryVariant::Guarded;
        let alone = compiler.compile_function(info, bytes, defined, variant, &[]);
        let lead = alone.expect("it compiles").lead;
        let at = CompiledIndex::of_whole(defined);
        assert_eq!(code.function(at).start.as_u32() % code.align(), lead);
        // Code that is laid out again begins at the same distance.
        assert_eq!(code.extract(at, code.text()).expect("it is there").lead, lead);
        leads.insert(lead);
    }
    assert!(leads.len() > 1, "{leads:?}");
}
