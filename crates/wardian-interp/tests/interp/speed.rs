//! Programs that show what instructions cost. Run with `--release -- --ignored --nocapture speed`.

use crate::ask::results;
use crate::world::{End, World};
use std::time::Instant;
use wardian_interp::Options;

/// Programs with an argument, and what they give.
pub(crate) const PROGRAMS: &[(&str, &str, u64, u32)] = &[
    (
        "fib",
        r#"(module (func $fib (export "run") (param i32) (result i32)
    local.get 0 i32.const 2 i32.lt_s
    if (result i32) local.get 0
    else local.get 0 i32.const 1 i32.sub call $fib local.get 0 i32.const 2 i32.sub call $fib i32.add
    end))"#,
        32,
        2178309,
    ),
    (
        "sieve",
        r#"(module (memory 32) (func (export "run") (param $rounds i32) (result i32) (local $i i32) (local $j i32) (local $c i32)
  (loop $r
    i32.const 0 i32.const 1 i32.const 1000000 memory.fill
    i32.const 0 local.set $c
    i32.const 2 local.set $i
    (loop $o
      local.get $i i32.load8_u
      if
        local.get $c i32.const 1 i32.add local.set $c
        local.get $i i32.const 1 i32.shl local.set $j
        (block $b (loop $l
          local.get $j i32.const 1000000 i32.ge_u br_if $b
          local.get $j i32.const 0 i32.store8
          local.get $j local.get $i i32.add local.set $j
          br $l))
      end
      local.get $i i32.const 1 i32.add local.tee $i i32.const 1000000 i32.lt_u br_if $o)
    local.get $rounds i32.const 1 i32.sub local.tee $rounds br_if $r)
  local.get $c))"#,
        10,
        78498,
    ),
    (
        "hash",
        r#"(module (memory 1) (func (export "run") (param $n i32) (result i32) (local $i i32) (local $h i32)
  i32.const -2128831035 local.set $h
  (loop $l
    local.get $h local.get $i i32.const 65535 i32.and i32.load8_u i32.xor i32.const 16777619 i32.mul local.set $h
    local.get $h i32.const 13 i32.rotl local.get $i i32.add local.set $h
    local.get $i i32.const 1 i32.add local.tee $i local.get $n i32.ne br_if $l)
  local.get $h))"#,
        20_000_000,
        120502721,
    ),
    (
        "matmul",
        r#"(module (memory 32) (func (export "run") (param $n i32) (result i32)
  (local $i i32) (local $j i32) (local $k i32) (local $s f64) (local $pa i32) (local $pb i32)
  (loop $li
    i32.const 0 local.set $j
    (loop $lj
      f64.const 0 local.set $s
      i32.const 0 local.set $k
      local.get $i local.get $n i32.mul i32.const 3 i32.shl local.set $pa
      local.get $j i32.const 3 i32.shl i32.const 524288 i32.add local.set $pb
      (loop $lk
        local.get $s local.get $pa f64.load local.get $pb f64.load f64.mul f64.add local.set $s
        local.get $pa i32.const 8 i32.add local.set $pa
        local.get $pb local.get $n i32.const 3 i32.shl i32.add local.set $pb
        local.get $k i32.const 1 i32.add local.tee $k local.get $n i32.lt_s br_if $lk)
      local.get $i local.get $n i32.mul local.get $j i32.add i32.const 3 i32.shl local.get $s f64.store offset=1048576
      local.get $j i32.const 1 i32.add local.tee $j local.get $n i32.lt_s br_if $lj)
    local.get $i i32.const 1 i32.add local.tee $i local.get $n i32.lt_s br_if $li)
  local.get $i))"#,
        250,
        250,
    ),
    (
        "nbody",
        r#"(module (memory 1) (func (export "run") (param $n i32) (result i32)
  (local $i i32) (local $j i32) (local $dx f64) (local $dy f64) (local $dz f64) (local $d f64) (local $m f64)
  (loop $t
    i32.const 0 local.set $i
    (loop $a
      local.get $i i32.const 56 i32.add local.set $j
      (block $done (loop $b
        local.get $j i32.const 280 i32.ge_s br_if $done
        local.get $i f64.load local.get $j f64.load f64.sub local.set $dx
        local.get $i f64.load offset=8 local.get $j f64.load offset=8 f64.sub local.set $dy
        local.get $i f64.load offset=16 local.get $j f64.load offset=16 f64.sub local.set $dz
        local.get $dx local.get $dx f64.mul local.get $dy local.get $dy f64.mul f64.add local.get $dz local.get $dz f64.mul f64.add f64.const 0.01 f64.add local.set $d
        f64.const 0.01 local.get $d local.get $d f64.sqrt f64.mul f64.div local.set $m
        local.get $i local.get $i f64.load offset=24 local.get $dx local.get $m f64.mul f64.sub f64.store offset=24
        local.get $i local.get $i f64.load offset=32 local.get $dy local.get $m f64.mul f64.sub f64.store offset=32
        local.get $i local.get $i f64.load offset=40 local.get $dz local.get $m f64.mul f64.sub f64.store offset=40
        local.get $j local.get $j f64.load offset=24 local.get $dx local.get $m f64.mul f64.add f64.store offset=24
        local.get $j local.get $j f64.load offset=32 local.get $dy local.get $m f64.mul f64.add f64.store offset=32
        local.get $j local.get $j f64.load offset=40 local.get $dz local.get $m f64.mul f64.add f64.store offset=40
        local.get $j i32.const 56 i32.add local.set $j br $b))
      local.get $i i32.const 56 i32.add local.tee $i i32.const 280 i32.lt_s br_if $a)
    local.get $n i32.const 1 i32.sub local.tee $n br_if $t)
  i32.const 0 f64.load offset=24 i32.trunc_sat_f64_s))"#,
        100_000,
        0,
    ),
    (
        "vm",
        r#"(module (memory 1) (data (i32.const 0) "\00\01\02\03\04\01\02\00\05")
  (func (export "run") (param $n i32) (result i32) (local $pc i32) (local $acc i32) (local $x i32)
  (loop $l
    (block $end (block $op5 (block $op4 (block $op3 (block $op2 (block $op1 (block $op0
      local.get $pc i32.load8_u
      local.get $pc i32.const 1 i32.add local.set $pc
      br_table $op0 $op1 $op2 $op3 $op4 $op5 $end)
      local.get $acc i32.const 3 i32.add local.set $acc br $l)
      local.get $acc local.get $x i32.xor local.set $acc br $l)
      local.get $x local.get $acc i32.add local.set $x br $l)
      i32.const 1024 local.get $acc i32.store br $l)
      i32.const 1024 i32.load local.get $x i32.sub local.set $x br $l)
      i32.const 0 local.set $pc
      local.get $n i32.const 1 i32.sub local.tee $n br_if $l))
  local.get $acc))"#,
        2_000_000,
        4294967040,
    ),
    (
        "indirect",
        r#"(module (type $t (func (param i32 i32) (result i32))) (table 4 funcref) (elem (i32.const 0) $a $b $c $d)
  (func $a (type $t) local.get 0 local.get 1 i32.add) (func $b (type $t) local.get 0 local.get 1 i32.xor)
  (func $c (type $t) local.get 0 local.get 1 i32.sub) (func $d (type $t) local.get 0 local.get 1 i32.or)
  (func (export "run") (param $n i32) (result i32) (local $i i32) (local $s i32)
   (loop $l local.get $s local.get $i local.get $i i32.const 3 i32.and call_indirect (type $t) local.set $s
    local.get $i i32.const 1 i32.add local.tee $i local.get $n i32.ne br_if $l) local.get $s))"#,
        5_000_000,
        2766098431,
    ),
];

#[test]
fn programs_give_what_they_should() {
    for (name, text, argument, expected) in PROGRAMS {
        assert_eq!(results(text, "run", &[*argument]), [u64::from(*expected)], "{name}");
    }
}

#[test]
#[ignore = "it measures"]
fn speed() {
    for (name, text, argument, _) in PROGRAMS {
        let mut world = World::new();
        world.add(text, Options::default());
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            assert!(matches!(world.call(0, "run", &[*argument]), End::Returned(_)));
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!("{name:10} {:8.2} ms", best * 1e3);
    }
}
