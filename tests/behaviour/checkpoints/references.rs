//! References to objects, and locals that cannot be null, are carried.

use super::*;

pub(crate) const TABLE: &[Behaviour] = &[
    ("objects keep their identity", objects),
    ("references that only a checkpoint needs are kept", kept_references),
    ("locals without a default are carried before they are set", unset_locals),
];

fn objects(engine: &Engine) {
    carried(
        engine,
        r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
          (rec (type $node (sub (struct (field $value (mut i64)) (field $next (mut (ref null $node)))
                 (field $tag (mut i8)) (field $run (ref null $f)))))
            (type $f (func (result i64))))
          (type $bytes (array (mut i16))) (type $all (array (mut anyref))) (type $leaf (sub $node (struct
            (field (mut i64)) (field (mut (ref null $node))) (field (mut i8)) (field (ref null $f)) (field v128))))
          (elem declare func $seven)
          (elem $shared (ref null $node) (item (struct.new $node (i64.const 50) (ref.null $node) (i32.const 1) (ref.null $f))))
          (global $fixed (ref $bytes) (array.new $bytes (i32.const 3) (i32.const 4)))
          (global $other (mut (ref null $bytes)) (ref.null none))
          (table $t 2 anyref)
          (func $seven (type $f) (i64.const 7))
          (func (export "run") (result i64) (local $a (ref null $node)) (local $b (ref null $node)) (local $all (ref null $all))
            (local $x externref)
            (local.set $a (struct.new $node (i64.const 1) (ref.null $node) (i32.const -1) (ref.func $seven)))
            (local.set $b (struct.new $leaf (i64.const 2) (local.get $a) (i32.const 3) (ref.null $f) (v128.const i64x2 5 6)))
            ;; A cycle.
            (struct.set $node $next (local.get $a) (local.get $b))
            (local.set $all (array.new $all (ref.i31 (i32.const 12)) (i32.const 5)))
            (array.set $all (local.get $all) (i32.const 1) (local.get $a))
            (array.set $all (local.get $all) (i32.const 2) (local.get $all))
            (table.set $t (i32.const 1) (local.get $b))
            (global.set $other (global.get $fixed))
            (local.set $x (extern.convert_any (local.get $b)))
            (array.set $bytes (global.get $fixed) (i32.const 2) (i32.const 0xfffe))
            (drop (call $tell (i64.const 0)))
            (drop (call $tell (i64.extend_i32_u (ref.eq (local.get $a)
              (struct.get $node $next (struct.get $node $next (local.get $a)))))))
            (drop (call $tell (i64.extend_i32_u (ref.eq (ref.cast eqref (any.convert_extern (local.get $x)))
              (ref.cast eqref (table.get $t (i32.const 1)))))))
            (drop (call $tell (i64.extend_i32_u (ref.test (ref $leaf) (table.get $t (i32.const 1))))))
            (drop (call $tell (i64.extend_i32_u (ref.test (ref $leaf) (array.get $all (local.get $all) (i32.const 1))))))
            (drop (call $tell (i64.extend_i32_u (ref.eq (global.get $other) (global.get $fixed)))))
            (drop (call $tell (i64.extend_i32_s (array.get_s $bytes (global.get $other) (i32.const 2)))))
            (drop (call $tell (i64.extend_i32_s (struct.get_s $node $tag (local.get $a)))))
            (drop (call $tell (i64.extend_i32_u (i31.get_u (ref.cast i31ref (array.get $all (local.get $all) (i32.const 4)))))))
            (drop (call $tell (i64x2.extract_lane 1 (struct.get $leaf 4 (ref.cast (ref $leaf) (local.get $b))))))
            (i64.add (struct.get $node $value (struct.get $node $next (local.get $b)))
              (call_ref $f (struct.get $node $run (local.get $a))))))"#,
    );
}

/// The compiler knows that neither the local nor the operand is used any more.
fn kept_references(engine: &Engine) {
    let mut config = engine.config().clone();
    let engine = Engine::new(config.gc_stress(true).gc_stress_at_safepoints(true))
        .expect("the configuration works");
    carried(
        &engine,
        r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
          (type $s (struct (field i64) (field (ref null $s))))
          (func (export "run") (result i64) (local $r (ref null $s)) (local $n i32)
            (local.set $r (struct.new $s (i64.const 42) (struct.new_default $s)))
            (drop (call $tell (i64.const 1)))
            (drop (struct.new $s (i64.const 7) (ref.null $s)))
            (struct.new $s (i64.const 8) (local.get $r))
            (drop (call $tell (i64.const 2)))
            (drop (struct.new_default $s))
            (loop $l
              (drop (call $tell (i64.const 3)))
              (drop (struct.new_default $s))
              (drop (call $tell (i64.const 4)))
              (local.set $n (i32.add (local.get $n) (i32.const 1)))
              (br_if $l (i32.lt_u (local.get $n) (i32.const 2))))
            (drop)
            (drop (local.get $r))
            (i64.const 5)))"#,
    );
}

fn unset_locals(engine: &Engine) {
    carried(
        engine,
        r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
          (type $f (func (result i64)))
          (func $one (result i64) (i64.const 1)) (elem declare func $one)
          (func (export "run") (result i64) (local $r (ref $f)) (local $n i32)
            (local $unread (ref $f))
            (drop (call $tell (i64.const 5)))
            (local.set $unread (local.tee $r (ref.func $one)))
            (drop (call $tell (i64.const 6)))
            (call_ref $f (local.get $r))))"#,
    );
}
