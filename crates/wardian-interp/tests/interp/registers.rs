//! Operands that the instruction before left in a register, and loops in loops.

use crate::ask::results;
use crate::world::{End, World};
use wardian_interp::{Options, disassemble};
use wardian_types::DefinedFuncIndex;

/// A body of `(i32, i32) -> i32`, an instruction that it has, and results for some arguments.
pub(crate) type Case = (&'static str, &'static str, &'static [([u64; 2], u64)]);

const CASES: &[Case] = &[
    (
        "(block local.get $a local.get $b i32.xor br_if 0 i32.const 5 return) i32.const 6",
        "br_if_acc",
        &[([3, 3], 5), ([3, 4], 6)],
    ),
    (
        "local.get $a local.get $b i32.sub if (result i32) i32.const 5 else i32.const 6 end",
        "br_unless_acc",
        &[([3, 3], 6), ([3, 4], 5)],
    ),
    (
        "local.get $a local.get $b local.get $a i32.load8_u select",
        "select_acc",
        &[([0, 7], 7), ([64, 7], 64), ([65, 7], 7)],
    ),
    (
        "(block (block (block local.get $a i32.load8_u br_table 0 1 2)
            i32.const 10 return) i32.const 11 return) i32.const 12",
        "br_table_acc",
        &[([0, 0], 10), ([64, 0], 12), ([66, 0], 11)],
    ),
    (
        "(block local.get $a local.get $b i32.add i32.const -3 i32.lt_s br_if 0 i32.const 1 return)
        i32.const 2",
        "br_i32_lt_s_imm_acc",
        &[([1, 1], 1), ([0xffff_fff0, 1], 2)],
    ),
    (
        "(block local.get $a local.get $b i32.add i32.const 6 i32.and br_if 0 i32.const 1 return)
        i32.const 2",
        "br_i32_any_imm_acc",
        &[([8, 1], 1), ([1, 1], 2)],
    ),
    (
        "local.get $b local.get $a i32.const 5 i32.mul i32.store16 local.get $b i32.load",
        "store16_acc",
        &[([0x1_0000, 128], 0), ([0x1_0101, 128], 0x0505)],
    ),
    (
        "local.get $b local.get $a f64.convert_i32_u f64.store local.get $b i32.load offset=4",
        "store64_double",
        &[([1, 128], 0x3ff0_0000)],
    ),
    (
        "local.get $b local.get $a f32.convert_i32_u f32.store local.get $b i32.load",
        "store32_single",
        &[([1, 128], 0x3f80_0000)],
    ),
];

#[test]
fn operands_from_registers() {
    check(CASES);
}

/// That each has its instruction, and gives its results.
pub(crate) fn check(cases: &[Case]) {
    for (body, instruction, asked) in cases {
        let wat = format!(
            r#"(module (memory 1) (data (i32.const 64) "\07\00\01")
                (func (export "f") (param $a i32) (param $b i32) (result i32) {body}))"#
        );
        let mut world = World::new();
        world.add(&wat, Options::default());
        let text = disassemble(world.instances[0].translation(DefinedFuncIndex::FIRST));
        // Or a variant of it.
        assert!(text.contains(instruction), "{instruction}:\n{text}");
        for (args, result) in *asked {
            assert_eq!(world.call(0, "f", args), End::Returned(vec![*result]), "{body} {args:?}");
        }
    }
}

/// Each branch back finds the frame at the header of another loop, at its own, or behind a call.
#[test]
fn loops_in_loops() {
    let wat = r#"(module (func $one (result i32) i32.const 1)
        (func (export "f") (param $n i32) (result i32) (local $i i32) (local $j i32) (local $s i32)
            (loop $outer
                (local.set $j (i32.const 0))
                (loop $inner
                    (local.set $s (i32.add (local.get $s) (i32.const 1)))
                    (local.set $j (i32.add (local.get $j) (i32.const 1)))
                    (br_if $inner (i32.lt_u (local.get $j) (local.get $i)))
                    (br_if $inner (i32.lt_u (local.get $j) (i32.const 2))))
                (local.set $j (i32.const 0))
                (loop $calls
                    (local.set $s (i32.add (local.get $s) (call $one)))
                    (local.set $j (i32.add (local.get $j) (i32.const 1)))
                    (br_if $calls (i32.lt_u (local.get $j) (i32.const 3))))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $outer (i32.lt_u (local.get $i) (local.get $n))))
            local.get $s))"#;
    let expected = (0..9).map(|i: u64| i.max(2) + 3).sum();
    assert_eq!(results(wat, "f", &[9]), [expected]);
}
