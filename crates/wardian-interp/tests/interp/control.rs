//! Blocks, branches, and locals that change under pending reads.

use crate::ask::{positions, results, run};
use crate::world::{End, World};
use wardian_interp::Options;
use wardian_types::{DefinedFuncIndex, TrapCode};
use wardian_vm::addr::CodeAddr;

/// A body, its arguments, its result.
type Case = (&'static str, [u64; 2], u64);

/// Runs bodies of functions of `(i32, i32) -> i32`.
fn check(cases: &[Case]) {
    for (body, args, expected) in cases {
        let wat = format!(
            r#"(module (func (export "f") (param $a i32) (param $b i32) (result i32) (local $x i32)
                {body}))"#
        );
        assert_eq!(results(&wat, "f", args), [*expected], "{body}");
    }
}

const LOCALS: &[Case] = &[
    ("local.get $a local.get $b local.set $a local.get $a i32.sub", [9, 2], 7),
    (
        "local.get $a local.get $a i32.const 5 i32.add local.set $a local.get $a i32.sub",
        [9, 0],
        -5_i32 as u32 as u64,
    ),
    ("local.get $a local.get $b local.tee $a i32.sub local.get $a i32.add", [9, 2], 9),
    // A swap without a third local.
    (
        "local.get $a local.get $b local.set $a local.set $b local.get $a i32.const 100 i32.mul local.get $b i32.add",
        [3, 4],
        403,
    ),
    (
        "local.get $a local.get $a local.get $a local.get $b local.set $a i32.add i32.add",
        [3, 100],
        9,
    ),
    ("local.get $a local.set $a local.get $a", [5, 0], 5),
    ("local.get $a local.tee $a local.get $a i32.add", [5, 0], 10),
    (
        "i32.const 1 local.get $a local.get $b i32.add local.tee $x i32.add local.get $x i32.mul",
        [2, 3],
        30,
    ),
    // The write is in a block that is left early.
    (
        "local.get $a (block local.get $b br_if 0 i32.const 50 local.set $a) local.get $a i32.add",
        [1, 0],
        51,
    ),
    (
        "local.get $a (block local.get $b br_if 0 i32.const 50 local.set $a) local.get $a i32.add",
        [1, 1],
        2,
    ),
    // A constant below a loop in a block that may be skipped.
    (
        "i32.const 7 (block local.get $b br_if 0 (loop local.get $a i32.const 1 i32.sub local.tee $a br_if 0)) local.get $a i32.add",
        [3, 1],
        10,
    ),
    (
        "i32.const 7 (block local.get $b br_if 0 (loop local.get $a i32.const 1 i32.sub local.tee $a br_if 0)) local.get $a i32.add",
        [3, 0],
        7,
    ),
    // What was compared is written before the branch.
    (
        "local.get $a local.get $b i32.lt_s local.get $b local.set $a (if (result i32) (then local.get $a) (else i32.const -1))",
        [1, 2],
        2,
    ),
    (
        "local.get $a local.get $b i32.lt_s (if (result i32) (then i32.const 10) (else i32.const 20)) local.set $x local.get $x",
        [1, 2],
        10,
    ),
    (
        "(block (result i32) local.get $a local.get $b br_if 0 i32.const 1 i32.add) local.set $x local.get $x",
        [5, 0],
        6,
    ),
    (
        "(block (result i32) local.get $a local.get $b br_if 0 i32.const 1 i32.add) local.set $x local.get $x",
        [5, 1],
        5,
    ),
    ("local.get $a (block (result i32) local.get $b local.tee $a) i32.add", [5, 6], 11),
];

#[test]
fn locals_change_under_pending_reads() {
    check(LOCALS);
}

const BLOCKS: &[Case] = &[
    ("(block (result i32 i32) local.get $a local.get $b) i32.sub", [9, 4], 5),
    ("local.get $a local.get $b (block (param i32 i32) (result i32) i32.sub)", [9, 4], 5),
    (
        "local.get $a local.get $b (loop (param i32) (result i32) i32.const 1 i32.sub local.tee $x local.get $x br_if 0) i32.add",
        [9, 4],
        9,
    ),
    (
        "local.get $a local.get $b (if (param i32) (result i32) (then i32.const 1 i32.add) (else i32.const 2 i32.add))",
        [9, 0],
        11,
    ),
    (
        "local.get $a local.get $b (if (param i32) (result i32) (then i32.const 1 i32.add))",
        [9, 0],
        9,
    ),
    (
        "local.get $a local.get $b (if (param i32) (result i32) (then i32.const 1 i32.add))",
        [9, 3],
        10,
    ),
    // Branches that leave operands behind.
    (
        "(block (result i32 i32) i32.const 1 i32.const 2 local.get $a local.get $b br 0) i32.sub",
        [9, 4],
        5,
    ),
    (
        "(block (result i32 i32 i32) i32.const 1 local.get $a i32.const 1 i32.add local.get $b i32.const 2 i32.add local.get $a local.get $b i32.mul br 0) i32.add i32.mul",
        [3, 4],
        72,
    ),
    ("(block (result i32) i32.const 1 local.get $a local.get $b br_if 0 i32.add)", [9, 0], 10),
    ("(block (result i32) i32.const 1 local.get $a local.get $b br_if 0 i32.add)", [9, 1], 9),
    ("i32.const 77 local.get $a local.get $b br_if 0 i32.add", [9, 0], 86),
    ("(block i32.const 3 local.get $b br_if 1 drop) i32.const 4", [9, 1], 3),
    ("(block i32.const 3 local.get $b br_if 1 drop) i32.const 4", [9, 0], 4),
    (
        "(block $o (result i32) (block $i (result i32) local.get $a local.get $b br_table $i $o $i) i32.const 100 i32.add)",
        [9, 0],
        109,
    ),
    (
        "(block $o (result i32) (block $i (result i32) local.get $a local.get $b br_table $i $o $i) i32.const 100 i32.add)",
        [9, 1],
        9,
    ),
    (
        "(block $o (result i32) (block $i (result i32) local.get $a local.get $b br_table $i $o $i) i32.const 100 i32.add)",
        [9, 7],
        109,
    ),
    (
        "(block $o (result i32) i32.const 5 (block $i (result i32) local.get $a local.get $b br_table $i $o 2) i32.add)",
        [9, 0],
        14,
    ),
    (
        "(block $o (result i32) i32.const 5 (block $i (result i32) local.get $a local.get $b br_table $i $o 2) i32.add) i32.const 1 i32.add",
        [9, 1],
        10,
    ),
    (
        "(block $o (result i32) i32.const 5 (block $i (result i32) local.get $a local.get $b br_table $i $o 2) i32.add) i32.const 1 i32.add",
        [9, 0xffff_ffff],
        9,
    ),
    (
        "(block (block (block local.get $b br_table 0 1 2) i32.const 10 return) i32.const 20 return) i32.const 30",
        [0, 0],
        10,
    ),
    (
        "(block (block (block local.get $b br_table 0 1 2) i32.const 10 return) i32.const 20 return) i32.const 30",
        [0, 1],
        20,
    ),
    (
        "(block (block (block local.get $b br_table 0 1 2) i32.const 10 return) i32.const 20 return) i32.const 30",
        [0, 2],
        30,
    ),
    (
        "(loop local.get $x local.get $a i32.add local.set $x local.get $b i32.const 1 i32.sub local.tee $b i32.const 0 i32.gt_s br_if 0) local.get $x",
        [7, 6],
        42,
    ),
    ("(block (result i32) local.get $a br 0 (loop br 0) unreachable)", [7, 6], 7),
    (
        "local.get $a (if (then i32.const 1 return) (else i32.const 2 return)) unreachable",
        [7, 6],
        1,
    ),
    (
        "local.get $a local.get $b i32.const 3 i32.and i32.eqz (if (result i32) (then i32.const 8) (else i32.const 9)) i32.add",
        [1, 4],
        9,
    ),
    ("local.get $a local.get $b i32.and i32.eqz i32.eqz", [6, 2], 1),
    ("local.get $a i32.eqz i32.eqz i32.eqz", [6, 2], 0),
    ("local.get $a local.get $b i32.const 1 select local.get $b i32.add", [6, 2], 8),
    (
        "local.get $a local.get $b i32.gt_u local.set $x local.get $a local.get $b local.get $x select",
        [6, 2],
        6,
    ),
];

#[test]
fn blocks_carry_values() {
    check(BLOCKS);
}

#[test]
fn floats_branch_on_nan() {
    let wat = |op: &str| {
        format!(
            r#"(module (func (export "f") (param f64 f64) (result i32)
                local.get 0 local.get 1 f64.{op} if (result i32) i32.const 1 else i32.const 0 end
                local.get 0 local.get 1 f64.{op} i32.eqz if (result i32) i32.const 10 else i32.const 20 end
                i32.add
                local.get 0 local.get 1 f64.{op} i32.eqz i32.const 100 i32.mul i32.add))"#
        )
    };
    let (nan, one, two) = (f64::NAN.to_bits(), 1_f64.to_bits(), 2_f64.to_bits());
    for (op, args, holds) in [
        ("lt", [one, two], true),
        ("lt", [one, nan], false),
        ("le", [nan, one], false),
        ("le", [one, one], true),
        ("gt", [two, one], true),
        ("gt", [nan, one], false),
        ("ge", [one, two], false),
        ("eq", [nan, nan], false),
        ("ne", [nan, nan], true),
    ] {
        let expected = if holds { 21 } else { 110 };
        assert_eq!(results(&wat(op), "f", &args), [expected], "{op} {args:x?}");
    }
}

#[test]
fn wide_conditions_are_whole() {
    let wat = r#"(module (func (export "f") (param i64) (result i32)
        (block local.get 0 i64.eqz br_if 0 i32.const 1 return) i32.const 0)
      (func (export "g") (param i64) (result i32)
        (block local.get 0 i64.eqz i32.eqz br_if 0 i32.const 0 return) i32.const 1))"#;
    for name in ["f", "g"] {
        assert_eq!(results(wat, name, &[1 << 40]), [1]);
        assert_eq!(results(wat, name, &[0]), [0]);
    }
}

#[test]
fn interrupts_stop_loops_where_they_begin() {
    let mut world = World::new();
    let wat = r#"(module (func (export "f") (param i32) (result i32) (local i32)
        (loop local.get 1 i32.const 1 i32.add local.tee 1 local.get 0 i32.lt_u br_if 0) local.get 1))"#;
    world.add(wat, Options::default());
    world.store.interrupt = 1.into();
    assert_eq!(world.call(0, "f", &[1000]), End::Ended);
    assert_eq!([world.location()], positions(&world, 0, 0, "Loop")[..]);
    assert_eq!(world.go_on(), End::Ended);
    world.store.interrupt = 0.into();
    assert_eq!(world.go_on(), End::Returned(vec![1000]));
}

#[test]
fn countdowns_ask_the_runtime() {
    let wat = r#"(module (func (export "f") (param i32) (result i32) (local i32)
        i32.const 5
        (loop local.get 1 i32.const 1 i32.add local.tee 1 local.get 0 i32.lt_u br_if 0)
        local.get 1 i32.add))"#;
    let mut world = World::new();
    world.add(wat, Options { tiering: true, ..Options::default() });
    world.instances[0]
        .translation(DefinedFuncIndex::FIRST)
        .countdown()
        .store(10, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.call(0, "f", &[500]), End::Returned(vec![505]));
    let header = positions(&world, 0, 0, "Loop")[0];
    let asked = world.log.clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].1, [u64::from(header) + 1]);

    world.instances[0]
        .translation(DefinedFuncIndex::FIRST)
        .countdown()
        .store(10, std::sync::atomic::Ordering::Relaxed);
    world.hot = 0x1234;
    assert_eq!(world.call(0, "f", &[500]), End::EnterLoop(CodeAddr::from_usize(0x1234)));
    assert_eq!(world.location(), header);
    // Parameter, local, and the operand below the loop lie in their own slots.
    assert_eq!([world.frame_word(-1), world.frame_word(4), world.frame_word(5)], [500, 9, 5]);

    world.instances[0]
        .translation(DefinedFuncIndex::FIRST)
        .countdown()
        .store(0, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.call(0, "f", &[500]), End::EnterLoop(CodeAddr::from_usize(0x1234)));
    assert_eq!(world.log.last().unwrap().1, [0]);
}

#[test]
fn fuel_is_counted_as_the_meter_says() {
    let wat = r#"(module (func (export "f") (param i32)
        (loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0)))"#;
    let mut world = World::new();
    world.add(wat, Options { fuel: true, ..Options::default() });
    world.store.fuel = 1000;
    assert_eq!(world.call(0, "f", &[10]), End::Returned(vec![]));
    assert_eq!(world.store.fuel, 1000 - 50);

    world.store.fuel = 12;
    assert_eq!(world.call(0, "f", &[10]), End::Ended);
    assert_eq!(world.store.fuel, 12 - 15);
    assert_eq!([world.waits_at()], positions(&world, 0, 0, "Loop")[..]);
    // With more of it the guest goes on.
    world.store.fuel = 100;
    world.store.exit = 0;
    assert_eq!(world.go_on(), End::Returned(vec![]));
    assert_eq!(world.store.fuel, 100 - 35);
}

#[test]
fn traps_are_told_at_their_operators() {
    let cases = [
        (
            "local.get 0 local.get 1 i32.div_s local.set 0",
            "I32DivS",
            TrapCode::IntegerDivisionByZero,
        ),
        (
            "local.get 0 local.get 1 i32.add i32.load offset=4294967295 drop",
            "I32Load",
            TrapCode::MemoryOutOfBounds,
        ),
        (
            "local.get 0 local.get 1 i32.add local.get 0 i32.store offset=65535",
            "I32Store",
            TrapCode::MemoryOutOfBounds,
        ),
        ("f32.const nan i32.trunc_f32_s drop", "I32TruncF32S", TrapCode::BadConversionToInteger),
        ("i32.const 1 local.set 1 unreachable", "Unreachable", TrapCode::Unreachable),
        ("local.get 0 i32.const 99 table.get $t drop drop", "TableGet", TrapCode::TableOutOfBounds),
    ];
    for (body, operator, code) in cases {
        let wat = format!(
            r#"(module (memory 1) (table $t 3 funcref) (func (export "f") (param i32 i32)
                (local.set 1 (i32.mul (local.get 1) (i32.const 1))) {body}))"#
        );
        let mut world = World::new();
        world.add(&wat, Options::default());
        let at = positions(&world, 0, 0, operator)[0];
        assert_eq!(world.call(0, "f", &[2, 0]), End::Trapped(code, at), "{body}");
    }
}

#[test]
fn nans_are_canonical_on_demand() {
    let wat = r#"(module (func (export "f") (param f64) (result f64)
        local.get 0 f64.const 1 f64.add local.set 0 local.get 0))"#;
    let odd = 0x7ff8_0000_0000_1234;
    assert_eq!(results(wat, "f", &[odd]), [odd]);
    let mut world = World::new();
    world.add(wat, Options { canonical_nans: true, ..Options::default() });
    assert_eq!(world.call(0, "f", &[odd]), End::Returned(vec![0x7ff8 << 48]));
}

#[test]
fn divisions_by_constants() {
    let wat = r#"(module (func (export "f") (param i32) (result i32 i32 i32 i32)
        local.get 0 i32.const 7 i32.div_s local.get 0 i32.const -3 i32.rem_s
        local.get 0 i32.const -3 i32.div_u local.get 0 i32.const -1 i32.rem_s)
      (func (export "zero") (param i32) (result i32) local.get 0 i32.const 0 i32.div_u)
      (func (export "minus") (param i32) (result i32) local.get 0 i32.const -1 i32.div_s))"#;
    let found = results(wat, "f", &[-100_i32 as u32 as u64]);
    let word = |v: i32| u64::from(v as u32);
    assert_eq!(found, [word(-14), word(-1), 0, 0]);
    assert!(matches!(run(wat, "zero", &[1]), End::Trapped(TrapCode::IntegerDivisionByZero, _)));
    assert!(matches!(run(wat, "minus", &[1 << 31]), End::Trapped(TrapCode::IntegerOverflow, _)));
    assert_eq!(results(wat, "minus", &[5]), [word(-5)]);
}
