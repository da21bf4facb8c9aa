//! That each optimisation of [`Shaping`] does what it is for, and nothing when it is off.

use wardian_jit::{
    CompiledCode, Compiler, MemoryVariant, ModuleOptions, OptLevel, Shaping, Tunables,
};
use wardian_module::Module;
use wardian_types::CoreFeatures;

const OFF: Shaping = Shaping { cold_paths: false, short_tables: false, constant_stores: false };

fn module(text: &str) -> Module {
    let bytes = wat::parse_str(text).expect("valid text");
    Module::decode(bytes, CoreFeatures::all(), 1).expect("valid module")
}

fn compile_at(module: &Module, opt_level: OptLevel, shaping: Shaping) -> CompiledCode {
    let tunables = Tunables { verifier: true, opt_level, shaping, ..Tunables::default() };
    let options = ModuleOptions { variant: MemoryVariant::Guarded, ..ModuleOptions::default() };
    let compiler = Compiler::new(tunables).expect("supported");
    compiler.compile_module(module.info(), module.bytes(), &options).expect("it compiles")
}

fn compile(module: &Module, shaping: Shaping) -> CompiledCode {
    compile_at(module, OptLevel::Speed, shaping)
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
    let body = info.bodies[0].clone();
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
    let mut offsets = code.function(0);
    offsets.find(|at| code.location(*at) == Some(wasm)).expect("the operator has instructions")
}

#[test]
fn paths_to_traps_lie_behind_the_loop() {
    let module = module(CHECKED_LOOP);
    let (failing, load) = failing_and_load(&module);
    let on = Shaping { cold_paths: true, ..OFF };
    let cases = [
        ("off", OptLevel::Speed, OFF, false),
        ("on", OptLevel::Speed, on, true),
        ("not optimised", OptLevel::None, on, false),
        ("by default", OptLevel::Speed, Shaping::default(), true),
    ];
    for (what, opt_level, shaping, behind) in cases {
        let code = compile_at(&module, opt_level, shaping);
        assert_eq!(first(&code, failing) > first(&code, load), behind, "{what}");
    }
}

/// Whether there is an indirect jump, other than the calls: `jmp reg`.
#[cfg(target_arch = "x86_64")]
fn jumps_through_table(code: &CompiledCode) -> bool {
    code.text().windows(2).any(|w| w[0] == 0xff && w[1] & 0xf8 == 0xe0)
}

#[cfg(target_arch = "x86_64")]
#[test]
fn few_targets_are_found_by_comparisons() {
    let cases: [(&str, &str, bool); 8] = [
        ("none but the default", "$a", true),
        ("one", "$a $b", true),
        ("two", "$a $b $c", true),
        ("the last as the default", "$a $b $c $c", true),
        ("many entries, two runs", "$a $a $a $a $b $b $b $c $c $c $c", true),
        ("three", "$a $b $c $d", false),
        ("two, in three runs", "$a $b $a $c", false),
        ("alternating", "$a $b $a $b $a $b $a $b $a", false),
    ];
    for (what, targets, compared) in cases {
        let text = format!(
            "(module (func (param i32) (result i32)
                (block $d (block $c (block $b (block $a (br_table {targets} (local.get 0)))
                    (return (i32.const 11))) (return (i32.const 22))) (return (i32.const 33)))
                (i32.const 44)))"
        );
        let module = module(&text);
        let on = Shaping { short_tables: true, ..OFF };
        assert_eq!(!jumps_through_table(&compile(&module, on)), compared, "{what}");
        if what != "none but the default" {
            assert!(jumps_through_table(&compile(&module, OFF)), "{what}, off");
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn narrow_constants_are_operands_of_stores() {
    // The opcode, after a prefix for 16 bits: a store of a constant, with no register as source.
    let bytes = (0xc6, "8 bits");
    let others = (0xc7, "16 or 32 bits");
    let cases = [
        ("i32.store8", "i32.const 0x5a", bytes, true),
        ("i32.store8", "i32.const -1", bytes, true),
        ("i64.store8", "i64.const 0x15a", bytes, true),
        ("i32.store16", "i32.const 0x5a5a", others, true),
        ("i64.store16", "i64.const -2", others, true),
        ("i64.store32", "i64.const 0x5a5a5a", others, true),
        ("i32.store8", "local.get 0", bytes, false),
    ];
    for (store, value, (opcode, width), wanted) in cases {
        let text =
            format!("(module (memory 1) (func (param i32) ({store} (local.get 0) ({value}))))");
        let module = module(&text);
        // `[base + index]`: a byte with the extension 0, and one of scale, index and base.
        let count = |shaping| {
            let code = compile(&module, shaping);
            code.text().windows(2).filter(|w| w[0] == opcode && w[1] & 0x3f == 0x04).count()
        };
        let on = Shaping { constant_stores: true, ..OFF };
        let what = format!("{store} of {value}, {width}");
        assert_eq!((count(on) > 0, count(OFF)), (wanted, 0), "{what}");
    }
}

#[test]
fn all_are_part_of_the_fingerprint() {
    let one =
        |shaping| Compiler::new(Tunables { shaping, ..Tunables::default() }).expect("supported");
    let off = one(OFF).fingerprint();
    for shaping in [
        Shaping { cold_paths: true, ..OFF },
        Shaping { short_tables: true, ..OFF },
        Shaping { constant_stores: true, ..OFF },
    ] {
        assert_ne!(one(shaping).fingerprint(), off, "{shaping:?}");
    }
}
