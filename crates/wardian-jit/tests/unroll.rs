//! Small loops are unrolled, whether they poll or not.

// Elsewhere an offset is no immediate of the instruction that stores.
#![cfg(target_arch = "x86_64")]

use wardian_jit::CompiledIndex;
use wardian_jit::{Capture, Compiler, MemoryVariant, ModuleOptions, OptLevel, Tunables};
use wardian_module::Module;
use wardian_types::CoreFeatures;

/// An offset of stores that is in the code once for each copy of a body.
const MARK: u32 = 0x12345;

/// How often the body of a loop is in the code of a function. The body has the index of a store in local 0.
fn copies(tunables: &Tunables, body: &str) -> usize {
    let text = format!(
        "(module (memory 1 100) (global $g (mut i32) (i32.const 0)) (func $f)
            (func (param i32 i32) (result i32)
                (block $out (loop $again
                    (i32.store8 offset={MARK} (local.get 0) (local.get 1))
                    {body}))
                (local.get 1)))"
    );
    let bytes = wat::parse_str(text).expect("valid text");
    let module = Module::decode(bytes, CoreFeatures::all(), 1).expect("valid module");
    let options = ModuleOptions { variant: MemoryVariant::Guarded, ..ModuleOptions::default() };
    let compiler = Compiler::new(tunables.clone()).expect("supported");
    let code = compiler.compile_module(module.info(), module.bytes(), &options);
    let code = code.expect("it compiles");
    let range = code.function(CompiledIndex::from_u32(1));
    let text = &code.text()[range.start.index()..range.end.index()];
    text.windows(4).filter(|bytes| **bytes == MARK.to_le_bytes()).count()
}

const COUNT: &str = "(local.set 0 (i32.add (local.get 0) (i32.const 1)))";
const AGAIN: &str = "(br_if $again (i32.lt_u (local.get 0) (i32.const 1000)))";

#[test]
fn small_loops_are_unrolled() {
    let on = Tunables { verifier: true, ..Tunables::default() };
    let polls = Tunables { capture: Capture::CallsAndLoops, ..on.clone() };
    let small = format!("{COUNT} {AGAIN}");
    let longer = format!("{} {AGAIN}", COUNT.repeat(4));
    let long = format!("{} {AGAIN}", COUNT.repeat(9));
    let with_exit = format!("{COUNT} (br_if $out (local.get 1))");
    let bodies = [
        ("small", small.clone(), 4),
        ("less small", longer, 2),
        ("large", long, 1),
        ("with a way out", format!("{with_exit} {AGAIN}"), 4),
        ("that ends with a branch", format!("{with_exit} (br $again)"), 4),
        ("that is never run again", COUNT.to_string(), 1),
        ("with a call", format!("(call $f) {small}"), 1),
        ("with a loop", format!("(loop (br_if 0 (local.get 1))) {small}"), 1),
    ];
    for (what, body, expected) in &bodies {
        for (how, tunables) in [("", &on), (" and polls", &polls)] {
            assert_eq!(copies(tunables, body), *expected, "a loop {what}{how}");
        }
    }
    let settings = [
        ("not wanted", Tunables { unrolling: false, ..polls.clone() }, 1),
        ("that counts fuel", Tunables { fuel: true, ..polls.clone() }, 1),
        ("not optimised", Tunables { opt_level: OptLevel::None, ..polls }, 1),
        ("captured at calls", Tunables { capture: Capture::Calls, ..on }, 4),
    ];
    for (what, tunables, expected) in settings {
        assert_eq!(copies(&tunables, &small), expected, "a loop {what}");
    }
}
