//! Several operators as one instruction.

use crate::ask::positions;
use crate::registers::{Case, check};
use crate::world::{End, World};
use wardian_interp::{Options, disassemble};
use wardian_types::{DefinedFuncIndex, TrapCode};

const CASES: &[Case] = &[
    (
        "local.get $a i32.const -4 i32.add i32.load8_u offset=2",
        "load8_u_plus",
        &[([66, 0], 7), ([68, 0], 1)],
    ),
    (
        "local.get $a local.get $b i32.add i32.const -4 i32.add i32.load8_u",
        "load8_u_plus_acc",
        &[([66, 2], 7), ([0xffff_ffff, 71], 1)],
    ),
    (
        "local.get $a local.get $b i32.const 2 i32.shl i32.add i32.load8_u",
        "load8_u_index",
        &[([60, 1], 7), ([60, 0x4000_0001], 7), ([70, 0xffff_ffff], 1)],
    ),
    (
        "local.get $a local.get $b i32.const 3 i32.and i32.const 2 i32.shl i32.add i32.load8_u",
        "load8_u_index_accb",
        &[([60, 5], 7), ([54, 3], 1)],
    ),
    (
        "local.get $a local.get $b i32.add local.get $b i32.const 1 i32.shl i32.add i32.load8_u",
        "load8_u_index_acc",
        &[([61, 1], 7), ([60, 2], 1)],
    ),
    (
        "local.get $a i32.const 4 i32.add local.get $b i32.store8 local.get $a i32.load8_u offset=4",
        "store8_plus",
        &[([100, 9], 9)],
    ),
    (
        "local.get $a local.get $b i32.const 2 i32.shl i32.add local.get $b i32.store16
        local.get $a i32.load offset=4",
        "store16_index",
        &[([100, 1], 1)],
    ),
    (
        "local.get $a i32.const 64 i32.add v128.load i32x4.extract_lane 0",
        "v128_load_plus",
        &[([0, 0], 0x1_0007), ([2, 0], 1)],
    ),
    (
        "local.get $a local.get $b i32.const 4 i32.shl i32.add v128.load i32x4.extract_lane 0",
        "v128_load_index",
        &[([16, 3], 0x1_0007)],
    ),
    (
        "local.get $a local.get $b i32.const 8 i32.shl i32.or",
        "i32_or_shl",
        &[([1, 2], 0x201), ([0xffff, 0xff00_0000], 0xffff)],
    ),
    (
        "local.get $a local.get $b i32.const 8 i32.shl i32.xor",
        "i32_xor_shl",
        &[([0x301, 2], 0x101)],
    ),
    (
        "local.get $a i32.const 8 i32.shr_u local.get $b i32.xor",
        "i32_xor_shr_u",
        &[([0x8000_0000, 1], 0x80_0001)],
    ),
    (
        "local.get $a local.get $b i32.const 8 i32.rotr i32.xor",
        "i32_xor_rotl",
        &[([1, 0x102], 0x0200_0000)],
    ),
    (
        "local.get $a i64.extend_i32_u local.get $b i64.extend_i32_u i64.const 32 i64.shl i64.or
        i64.const 31 i64.shr_u i32.wrap_i64",
        "i64_or_shl",
        &[([0x8000_0000, 3], 7)],
    ),
    (
        "local.get $a i64.extend_i32_u local.get $b i64.extend_i32_u i64.const 1 i64.rotr i64.xor
        i64.const 32 i64.shr_u i32.wrap_i64",
        "i64_xor_rotl",
        &[([5, 1], 0x8000_0000)],
    ),
    (
        "local.get $a i32.const 4 i32.shr_u i32.const 15 i32.and",
        "i32_bits",
        &[([0x123, 0], 2), ([0xffff_ffff, 0], 15)],
    ),
    (
        "local.get $a i64.extend_i32_s i64.const 60 i64.shr_u i64.const -2 i64.and i32.wrap_i64",
        "i64_bits",
        &[([0x8000_0000, 0], 14), ([1, 0], 0)],
    ),
    (
        "local.get $a i64.extend_i32_u i64.const 0x100000001 i64.mul i64.const 32 i64.shr_u
        i32.wrap_i64",
        "i64_mul_const",
        &[([77, 0], 77)],
    ),
    (
        "i64.const 0x7fffffffffff local.get $a i64.extend_i32_u i64.add i32.wrap_i64",
        "i64_add_const",
        &[([77, 0], 76)],
    ),
    (
        "local.get $a i64.extend_i32_s i64.const 0xffffffff i64.and i64.const 31 i64.shr_u
        i32.wrap_i64",
        "i64_and_const",
        &[([0xffff_ffff, 0], 1)],
    ),
    (
        "local.get $a i64.extend_i32_u i64.const 0x1234567890 i64.xor i32.wrap_i64",
        "i64_xor_const",
        &[([1, 0], 0x3456_7891)],
    ),
    (
        "local.get $b local.get $a local.set $b local.set $a
        local.get $a i32.const 10 i32.mul local.get $b i32.add",
        "copy_two",
        &[([1, 2], 21)],
    ),
    (
        "(block (block (block local.get $a i32.const -5 i32.add br_table 0 1 2)
            i32.const 10 return) i32.const 11 return) i32.const 12",
        "br_table_plus",
        &[([5, 0], 10), ([6, 0], 11), ([7, 0], 12), ([4, 0], 12)],
    ),
    (
        "local.get $a local.get $b i32.add f64.convert_i32_s f64.neg i32.trunc_f64_s",
        "i32_trunc_f64_s_acc",
        &[([3, 4], 0xffff_fff9)],
    ),
    ("local.get $a local.get $b i32.add local.get $b i32.div_u", "i32_div_u_acc", &[([21, 7], 4)]),
    (
        "local.get $a local.get $b i32.add i32.const 10 i32.rem_s",
        "i32_rem_s_imm_acc",
        &[([21, 7], 8), ([0, 0xffff_fff1], 0xffff_fffb)],
    ),
    (
        "(block local.get $a local.get $b i32.add local.get $b i32.lt_u br_if 0 i32.const 1 return)
        i32.const 2",
        "br_i32_lt_u_acc",
        &[([1, 5], 1), ([0xffff_ffff, 5], 2)],
    ),
    (
        "(block local.get $a local.get $a local.get $b i32.add i32.eq br_if 0 i32.const 1 return)
        i32.const 2",
        "br_i32_eq_acc",
        &[([1, 5], 1), ([1, 0], 2)],
    ),
    (
        "(block local.get $a local.get $a local.get $b i32.add i32.le_s br_if 0 i32.const 1 return)
        i32.const 2",
        "br_i32_le_s_accb",
        &[([1, 0xffff_ffff], 1), ([1, 0], 2)],
    ),
];

#[test]
fn several_in_one() {
    check(CASES);
}

/// The sum wraps, the offset does not; and it is the access that traps.
#[test]
fn sums_beyond_the_end() {
    for (address, fits) in [
        ("local.get 0 i32.const -4 i32.add", 4),
        ("local.get 1 local.get 0 i32.const 2 i32.shl i32.add", 0xffff_fffe),
    ] {
        let wat = format!(
            r#"(module (memory 1)
                    (func (export "load") (param i32 i32) (result i32) {address} i32.load offset=65532)
                    (func (export "store") (param i32 i32) (result i32)
                        {address} local.get 0 i32.store offset=65532 i32.const 0))"#
        );
        let mut world = World::new();
        world.add(&wat, Options::default());
        for (defined, (name, operator)) in
            [("load", "I32Load"), ("store", "I32Store")].into_iter().enumerate()
        {
            let at = positions(&world, 0, defined as u32, operator)[0];
            assert!(
                matches!(world.call(0, name, &[fits, 8]), End::Returned(_)),
                "{name} {address}"
            );
            for beyond in [1, 2, 5, 0x1000] {
                let end = world.call(0, name, &[beyond, 8]);
                let expected = End::Trapped(TrapCode::MemoryOutOfBounds, at);
                assert_eq!(end, expected, "{name} {address} {beyond}");
            }
        }
    }
}

/// Frames on the stack in memory.
#[test]
fn globals_that_are_added_to() {
    let wat = r#"(module (global $g (mut i32) (i32.const 1000))
        (func (export "frame") (result i32) (local $f i32)
            global.get $g i32.const 16 i32.sub local.tee $f global.set $g
            local.get $f i32.const 16 i32.add global.set $g
            local.get $f i32.const 10000 i32.mul global.get $g i32.add)
        (func (export "kept") (result i32) (local $x i32)
            global.get $g local.tee $x i32.const 1 i32.add global.set $g local.get $x))"#;
    let mut world = World::new();
    world.add(wat, Options::default());
    let frame = disassemble(world.instances[0].translation(DefinedFuncIndex::FIRST));
    assert!(frame.contains("global_add32 ") && frame.contains("global_set32_sum "), "{frame}");
    assert_eq!(world.call(0, "frame", &[]), End::Returned(vec![9_841_000]));
    assert_eq!(world.call(0, "kept", &[]), End::Returned(vec![1000]));
    assert_eq!(world.call(0, "kept", &[]), End::Returned(vec![1001]));
}

#[test]
fn growing_by_nothing() {
    let wat = r#"(module (memory 1)
        (func (export "f") (param i32) (result i32) local.get 0 memory.grow)
        (func (export "nothing") (result i32) i32.const 0 memory.grow))"#;
    let mut world = World::new();
    world.add(wat, Options::default());
    for (name, args, before) in
        [("nothing", &[][..], 1), ("f", &[0], 1), ("f", &[1], 1), ("f", &[0], 2)]
    {
        assert_eq!(world.call(0, name, args), End::Returned(vec![before]), "{name} {args:?}");
    }
    assert_eq!(world.call(0, "f", &[0x1_0000]), End::Returned(vec![0xffff_ffff]));
}
