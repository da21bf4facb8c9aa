//! Small functions are compiled into their callers, up to where they call others.

use wardian_jit::{
    Capture, CompiledFunction, CompiledIndex, Compiler, MemoryVariant, ModuleOptions, OptLevel,
    Tunables,
};
use wardian_module::Module;
use wardian_types::{CodeOffset, CoreFeatures, DefinedFuncIndex};

/// The functions whose bodies are in the function $f.
fn inlined(tunables: &Tunables, fields: &str, body: &str, expected: &[u32]) -> Vec<u32> {
    let code = compiled(tunables, fields, body, expected);
    code.inlined.iter().map(|body| body.defined.as_u32()).collect()
}

/// The function $f, the first of its module; `expected` are the functions that its first call through a table or a reference
/// is expected to call.
fn compiled(tunables: &Tunables, fields: &str, body: &str, expected: &[u32]) -> CompiledFunction {
    let text = format!(
        "(module (memory 1) (table 4 funcref) (type $t (func (param i32) (result i32)))
            (func $f (param i32) (result i32) {body}) {fields})"
    );
    let bytes = wat::parse_str(text).expect("valid text");
    let module = Module::decode(bytes, CoreFeatures::all(), 1).expect("valid module");
    let compiler = Compiler::new(tunables.clone()).expect("supported");
    let (info, bytes) = (module.info(), module.bytes());
    let call = info.bodies[DefinedFuncIndex::FIRST]
        .clone()
        .find(|at| matches!(bytes[*at], 0x11 | 0x14))
        .unwrap_or(info.code_section);
    let offset = CodeOffset::from_u32((call - info.code_section) as u32);
    let expected: Vec<_> =
        expected.iter().map(|at| (offset, DefinedFuncIndex::from_u32(*at))).collect();
    let variant = MemoryVariant::Guarded;
    compiler
        .compile_function(info, bytes, DefinedFuncIndex::FIRST, variant, &expected)
        .expect("it compiles")
}

const LEAF: &str = "(func $leaf (param i32) (result i32) (i32.load (local.get 0)))";
const FAILS: &str = "(if (local.get 0) (then (call $g) (unreachable))) (local.get 0)";
const CALLS: &str = "(if (local.get 0) (then (call $g))) (local.get 0)";
const CALL: &str = "(call $leaf (local.get 0))";
const INDIRECT: &str = "(call_indirect (type $t) (local.get 0) (local.get 0))";

const BY_REFERENCE: &str = "(call_ref $t (local.get 0) (ref.func $leaf))";

/// [`LEAF`], of the type that references are to.
fn leaf_ref() -> String {
    "(func $leaf (type $t) (i32.load (local.get 0))) (elem declare func $leaf)".into()
}

/// A name, settings, further functions, the body, what is expected of its call through a table, and what is inlined.
type Case<'a> = (&'a str, Tunables, String, &'a str, &'a [u32], &'a [u32]);

#[test]
fn small_functions_are_inlined() {
    let on = Tunables { verifier: true, ..Tunables::default() };
    let leaf = |body: &str| format!("(func $g) (func $leaf (param i32) (result i32) {body})");
    let two = |body: &str| format!("{LEAF} (func $second (param i32) (result i32) {body})");
    let long = "(local.set 0 (i32.add (local.get 0) (i32.const 1)))".repeat(14);
    let cases: &[Case<'_>] = &[
        ("a call", on.clone(), LEAF.into(), CALL, &[], &[1]),
        ("two", on.clone(), LEAF.into(), "(call $leaf (call $leaf (local.get 0)))", &[], &[1, 1]),
        ("through a table", on.clone(), LEAF.into(), INDIRECT, &[1], &[1]),
        ("by reference", on.clone(), leaf_ref(), BY_REFERENCE, &[1], &[1]),
        ("by an unknown reference", on.clone(), leaf_ref(), BY_REFERENCE, &[], &[]),
        ("of which nothing is known", on.clone(), LEAF.into(), INDIRECT, &[], &[]),
        ("itself", on.clone(), LEAF.into(), INDIRECT, &[0], &[]),
        ("one of two", on.clone(), two("(i32.const 2)"), INDIRECT, &[2, 1], &[2, 1]),
        ("one that calls", on.clone(), two("(call $f (i32.const 2))"), INDIRECT, &[2, 1], &[1]),
        (
            "of another type",
            on.clone(),
            "(func $leaf (param i64) (result i32) (i32.const 1))".into(),
            INDIRECT,
            &[1],
            &[],
        ),
        ("that calls", on.clone(), leaf("(call $g) (local.get 0)"), CALL, &[], &[]),
        ("that calls sometimes", on.clone(), leaf(CALLS), CALL, &[], &[2]),
        ("that loops", on.clone(), leaf("(loop) (local.get 0)"), CALL, &[], &[]),
        ("that grows", on.clone(), leaf("(memory.grow (local.get 0))"), CALL, &[], &[]),
        ("that calls where it fails", on.clone(), leaf(FAILS), CALL, &[], &[2]),
        (
            "that calls where it fails, with fuel",
            Tunables { fuel: true, ..on.clone() },
            leaf(FAILS),
            CALL,
            &[],
            &[],
        ),
        (
            "that calls where it fails, through a table",
            on.clone(),
            leaf(FAILS),
            INDIRECT,
            &[2],
            &[2],
        ),
        ("that is long", on.clone(), leaf(&format!("{long} (local.get 0)")), CALL, &[], &[]),
        ("that is empty but for a trap", on.clone(), leaf("unreachable"), CALL, &[], &[2]),
        ("with fuel", Tunables { fuel: true, ..on.clone() }, LEAF.into(), CALL, &[], &[1]),
        ("checked", Tunables { signals: false, ..on.clone() }, LEAF.into(), INDIRECT, &[1], &[1]),
        (
            "captured",
            Tunables { capture: Capture::Calls, ..on.clone() },
            LEAF.into(),
            CALL,
            &[],
            &[1],
        ),
        ("not wanted", Tunables { inlining: false, ..on.clone() }, LEAF.into(), CALL, &[], &[]),
        (
            "not optimised",
            Tunables { opt_level: OptLevel::None, ..on.clone() },
            LEAF.into(),
            CALL,
            &[],
            &[],
        ),
    ];
    for (name, tunables, fields, body, expected, wanted) in cases {
        assert_eq!(inlined(tunables, fields, body, expected), *wanted, "{name}");
    }
}

#[test]
fn a_function_has_few_bodies_of_others() {
    let calls = "(call $leaf ".repeat(200) + "(local.get 0)" + &")".repeat(200);
    let bodies = inlined(&Tunables::default(), LEAF, &calls, &[]).len();
    assert!((50..200).contains(&bodies), "{bodies}");
}

/// Each place in a body is known as the place of the call, and as that in the function.
#[test]
fn places_in_bodies_are_known() {
    let function = compiled(&Tunables::default(), LEAF, CALL, &[]);
    let body = function.inlined[0];
    let compiler = Compiler::new(Tunables::default()).expect("supported");
    let code = compiler.assemble(vec![function.clone()]).expect("it fits");
    let extracted = code.extract(CompiledIndex::FIRST, code.text()).expect("it is there");
    assert_eq!((extracted.text, extracted.inlined), (function.text.clone(), vec![body]));
    let trap = function.traps.iter().find(|trap| code.inlined_at(trap.offset).is_some());
    let trap = trap.expect("the load can trap");
    assert_eq!(code.location(trap.offset), Some(body.site));
    assert_eq!(function.location(trap.offset), Some(body.site));
    // Behind the count of locals and the operator of the address.
    let within = CodeOffset::from_u32(body.start.as_u32() + 3);
    assert_eq!(code.inlined_at(trap.offset), Some((body.defined, within)));
    // SAFETY: they were just written.
    #[allow(unsafe_code, reason = "it is what is tested")]
    let read = unsafe { wardian_jit::CompiledCode::from_bytes(&code.to_bytes()) };
    assert_eq!(read.expect("what was written is read"), code);
}

#[test]
fn a_module_is_compiled_by_what_is_expected_of_its_calls() {
    let text = format!(
        "(module (memory 1) (table 4 funcref) (type $t (func (param i32) (result i32)))
            (func $f (type $t) {INDIRECT}) (func $g (type $t) (call $f (local.get 0))) {LEAF}
            (func $h (type $t) {INDIRECT}))"
    );
    let bytes = wat::parse_str(text).expect("valid text");
    let module = Module::decode(bytes, CoreFeatures::all(), 1).expect("valid module");
    let compiler = Compiler::new(Tunables::default()).expect("supported");
    let (info, bytes) = (module.info(), module.bytes());
    let (first, leaf, last) = (0, 2, 3);
    let call = |function: u32| {
        let body = info.bodies[DefinedFuncIndex::from_u32(function)].clone();
        let at = body.clone().find(|at| matches!(bytes[*at], 0x11 | 0x14)).expect("it calls");
        CodeOffset::from_u32((at - info.code_section) as u32)
    };
    let leaf = DefinedFuncIndex::from_u32(leaf);
    let variant = MemoryVariant::Guarded;
    for expected in [&[][..], &[(call(first), leaf)], &[(call(first), leaf), (call(last), leaf)]] {
        for threads in [1, 2] {
            let options = ModuleOptions { variant, threads, expected, ..ModuleOptions::default() };
            let code = compiler.compile_module(info, bytes, &options).expect("it compiles");
            for function in info.bodies.indices() {
                let alone = compiler.compile_function(info, bytes, function, variant, expected);
                let alone = alone.expect("it compiles");
                let is_there = |call| expected.iter().any(|(at, _)| *at == call);
                let inlines =
                    [first, last].iter().any(|f| *f == function.as_u32() && is_there(call(*f)));
                let inlined: Vec<_> = alone.inlined.iter().map(|body| body.defined).collect();
                assert_eq!(inlined, if inlines { vec![leaf] } else { vec![] });
                let range = code.function(CompiledIndex::of_whole(function));
                assert_eq!(alone.text, code.text()[range.start.index()..range.end.index()]);
            }
        }
    }
}
