//! The instructions that call, return, trap and choose, again and again, on a small stack: see
//! `src/execute/jump_tests.rs`, which runs all others.

use crate::world::{End, World};
use std::collections::HashSet;
use wardian_interp::{Options, disassemble};
use wardian_types::{DefinedFuncIndex, TrapCode};

/// The stack of the thread that runs them.
const STACK: usize = 256 << 10;

const MODULE: &str = r#"(module
  (import "h" "add" (func $add (param i32 i32) (result i32)))
  (import "h" "ignore" (func $ignore))
  (type $same (func (param i32) (result i32)))
  (memory 1) (table 3 funcref) (elem (i32.const 0) $one $one $tail)
  (func $none (param i32))
  (func $one (type $same) (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $const (result i32) (i32.const 3))
  (func $many (param i32) (result i32 i32) (local.get 0) (i32.const 1))
  (func $tail (param i32) (result i32) (return_call $one (local.get 0)))
  (func (export "tail_import") (param i32) (result i32) (return_call $add (local.get 0) (i32.const 1)))
  (func $tail_indirect (param i32) (result i32)
    (return_call_indirect (type $same) (local.get 0) (i32.const 1)))
  (func $tail_ref (param i32) (result i32) (return_call_ref $same (local.get 0) (ref.func $one)))
  (func $loop_of_tails (param i32 i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call $loop_of_tails (i32.sub (local.get 0) (i32.const 1)) (i32.add (local.get 1) (i32.const 1))))
  (func (export "loop") (param i32) (result i32) (local $s i32) (local $i i32)
    (loop $l
      (call $none (local.get $s))
      (call $ignore)
      (local.set $s (call $one (local.get $s)))
      (local.set $s (i32.sub (i32.add (local.get $s) (call $const)) (i32.const 2)))
      (local.set $s (i32.add (call $many (local.get $s))))
      (local.set $s (call $add (local.get $s) (i32.const 1)))
      (local.set $s (call $tail (local.get $s)))
      (local.set $s (call $tail_indirect (local.get $s)))
      (local.set $s (call $tail_ref (local.get $s)))
      (local.set $s (call_ref $same (local.get $s) (ref.func $one)))
      (local.set $s (call_indirect (type $same) (local.get $s) (i32.and (local.get $i) (i32.const 1))))
      (block $b (block $c (br_table $c $b (local.get $i))) (local.set $s (i32.add (local.get $s) (i32.const 0))))
      (block $b (block $c (br_table $c $b (i32.and (local.get $i) (i32.const 1)))))
      (block $b (block $c (br_table $c $b (i32.add (local.get $i) (i32.const 7)))))
      (block $b (block $c
        (br_table $c $b (i32.add (i32.and (local.get $i) (i32.const 3)) (i32.const 5)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get $s))
  (func (export "tails") (param i32) (result i32) (call $loop_of_tails (local.get 0) (i32.const 0)))
  ;; What throws leaves the executor as a trap does.
  (tag $t)
  (func (export "throw") (throw $t))
  (func (export "throw_ref") (param exnref) (throw_ref (local.get 0)))
  (func (export "trap") unreachable))"#;

#[test]
fn no_call_and_no_return_uses_up_the_stack() {
    let apart: Vec<&str> = include_str!("apart.txt").lines().collect();
    let work = move || {
        let mut names = HashSet::new();
        for tiering in [false, true] {
            let mut world = World::new();
            world.add(MODULE, Options { tiering, ..Options::default() });
            let count = world.instances[0].translations.len() as u32;
            for defined in (0..count).map(DefinedFuncIndex::from_u32) {
                let text = disassemble(world.instances[0].translation(defined));
                names.extend(text.split_whitespace().map(str::to_owned));
            }
            run(&mut world);
        }
        for name in apart {
            assert!(names.contains(name), "the test's module has no `{name}`");
        }
    };
    let thread = std::thread::Builder::new().name("calls and returns".into()).stack_size(STACK);
    thread.spawn(work).unwrap().join().unwrap();
}

/// Calls and returns so often that each would use up the stack if it left something there.
fn run(world: &mut World) {
    let rounds = 500_000;
    assert_eq!(world.call(0, "loop", &[rounds]), End::Returned(vec![9 * rounds]));
    assert_eq!(world.call(0, "tails", &[rounds]), End::Returned(vec![rounds]));
    for _ in 0..20_000 {
        let trapped = world.call(0, "trap", &[]);
        assert!(matches!(trapped, End::Trapped(TrapCode::Unreachable, _)));
        // The runtime does it.
        assert!(matches!(world.call(0, "tail_import", &[1]), End::Call(_, _, true)));
    }
}
