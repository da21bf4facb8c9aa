//! What code looks like, and functions of unusual shape.

use crate::ask::results;
use crate::world::{End, World};
use std::fmt::Write;
use wardian_interp::{Options, Translator, disassemble};
use wardian_types::DefinedFuncIndex;

#[test]
fn code_as_text() {
    let wat = r#"(module (memory 1)
        (func (export "sum") (param $p i32) (param $n i32) (result i32) (local $s i32)
            (block
                local.get $n i32.eqz br_if 0
                (loop
                    local.get $p local.get $n i32.const 2 i32.shl i32.add i32.load offset=8
                    local.get $s i32.add local.set $s
                    local.get $n i32.const 1 i32.sub local.tee $n br_if 0))
            local.get $s))"#;
    let mut world = World::new();
    world.add(wat, Options::default());
    let text = disassemble(world.instances[0].translation(DefinedFuncIndex::FIRST));
    // Positions depend on how handlers are found in this build, so branches are reported by the line they go to.
    let lines: Vec<(&str, &str)> =
        text.lines().map(|line| line.trim().split_once("  ").unwrap()).collect();
    let line_of = |at: &str| lines.iter().position(|(position, _)| *position == at).unwrap();
    let text: Vec<String> = lines
        .iter()
        .map(|(_, line)| match line.split_once("-> ") {
            Some((line, target)) => format!("{line}-> {}", line_of(target)),
            None => String::from(*line),
        })
        .collect();
    let expected = [
        "enter r4 1",
        "br_unless r-1 -> 6",
        "loop_header 13",
        "load32_index r5 r-2 r-1 2 8",
        "i32_add_acc r4 r5 r4",
        "inc_br_if_back r-1 -1 -> 2",
        "return_one r-2 r4",
    ];
    assert_eq!(text, expected);
    assert_eq!(world.call(0, "sum", &[0, 3]), End::Returned(vec![0]));
}

/// More locals than an instruction can name.
#[test]
fn far_locals() {
    let locals = "i64 ".repeat(40_000);
    let wat = format!(
        r#"(module (memory 1) (func $id (param i32 i32) (result i32) local.get 0)
        (func (export "f") (param i32) (result i32 i64 i32) (local {locals}) (local $x i32) (local $v v128) (local $y i32)
            local.get 0 i32.const 5 i32.mul local.set $x
            local.get $x local.get $x i32.const 3 i32.add local.set $x local.get $x i32.sub local.set $y
            i32.const 16 local.get $x i32.store
            local.get $x i32x4.splat local.set $v
            i32.const 32 local.get $v v128.store
            (loop
                local.get $y i32.const 1 i32.add local.tee $y i32.const 10 i32.lt_s br_if 0)
            (block (block local.get $y br_table 0 1) unreachable)
            local.get $y local.get $x call $id
            local.get $y i32.const 10 i32.eq if (result i32) i32.const 100 else i32.const 200 end i32.add
            i64.const 77 local.set 39999 local.get 39999 i64.const 1 i64.add
            local.get $v i32x4.extract_lane 3 i32.const 16 i32.load i32.add
            local.get $y local.get $x i32.const 0 select i32.const 0 i32.mul i32.add))"#
    );
    let mut world = World::new();
    world.add(&wat, Options { canonical_nans: true, tiering: true, ..Options::default() });
    assert_eq!(world.call(0, "f", &[4]), End::Returned(vec![110, 78, 46]));
}

/// Operands deeper than an instruction can name.
#[test]
fn far_operands() {
    let count = 33_000;
    let mut body = String::new();
    for i in 0..count {
        // No constants, so that each operand takes up its slot.
        write!(body, "local.get 0 i32.const {i} i32.add ").unwrap();
    }
    // A comparison, a trap that does not happen, and a block with a value, up there.
    body.push_str("local.get 0 i32.lt_u (if (result i32) (then i32.const 1000) (else local.get 0 i32.const 1 i32.div_u call $id)) ");
    for _ in 0..count - 1 {
        body.push_str("i32.add ");
    }
    let wat = format!(
        r#"(module (func $id (param i32) (result i32) local.get 0)
            (func (export "f") (param i32) (result i32) {body}))"#
    );
    let sum: u32 = (0..count - 1).map(|i| i + 7).sum();
    assert_eq!(results(&wat, "f", &[7]), [u64::from(sum + 7)]);
}

#[test]
fn translating_again_gives_the_same() {
    let wat = r#"(module (func (export "f") (param i32) (result i32)
        local.get 0 if (result i32) i32.const 1 else i32.const 2 end)
        (func (result i64) i64.const 3))"#;
    let mut world = World::new();
    world.add(wat, Options::default());
    let env = world.instances[0].env();
    let mut translator = Translator::new();
    let first = translator.translate(&env, DefinedFuncIndex::FIRST).unwrap();
    translator.translate(&env, DefinedFuncIndex::from_u32(1)).unwrap();
    let second = translator.translate(&env, DefinedFuncIndex::FIRST).unwrap();
    assert_eq!(first.code(), second.code());
    let locations = translator.locations(&env, DefinedFuncIndex::FIRST).unwrap();
    assert!(locations.is_sorted_by_key(|l| l.0));
    assert!(translator.translate(&env, DefinedFuncIndex::from_u32(2)).is_err());
}
