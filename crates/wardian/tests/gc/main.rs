//! Objects of guests in each kind of engine, with collections at every allocation.

mod host;
mod runtime;

use wardian::{Config, Engine, EngineKind, Instance, Module, Store};

const KINDS: [(EngineKind, bool); 4] = [
    (EngineKind::Interpreted, true),
    (EngineKind::Compiled, true),
    (EngineKind::Compiled, false),
    (EngineKind::Tiered, true),
];

fn engines() -> Vec<(String, Engine)> {
    let mut all = Vec::new();
    for (kind, signals) in KINDS {
        for stress in [false, true] {
            let mut config = Config::new();
            config
                .engine(kind)
                .hot_after(Some(3))
                .background_compilation(false)
                .gc_stress(stress)
                .signals(signals)
                .verify_code(true);
            all.push((
                format!("{kind:?} signals {signals} stress {stress}"),
                Engine::new(&config).unwrap(),
            ));
        }
    }
    all
}

/// Runs `run` of a module with `n`.
fn run(text: &str, n: i32) -> Vec<Result<i32, String>> {
    let results = engines().into_iter().map(|(name, engine)| {
        let module = Module::new(&engine, text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let f = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
        f.call(&mut store, n).map_err(|e| e.to_string())
    });
    results.collect()
}

#[track_caller]
fn gives(text: &str, n: i32, expected: i32) {
    assert_eq!(run(text, n), vec![Ok(expected); 2 * KINDS.len()]);
}

#[track_caller]
fn traps(text: &str, n: i32, message: &str) {
    for result in run(text, n) {
        let reported = result.unwrap_err();
        assert!(reported.contains(message), "{reported}");
    }
}

#[test]
fn lists() {
    gives(
        r#"(module
          (rec (type $list (struct (field $value (mut i32)) (field $next (mut (ref null $list))))))
          (func (export "run") (param $n i32) (result i32)
            (local $l (ref null $list)) (local $sum i32)
            (loop $more
              (local.set $l (struct.new $list (local.get $n) (local.get $l)))
              (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (block $done
              (loop $next
                (br_on_null $done (local.get $l)) (drop)
                (local.set $sum (i32.add (local.get $sum) (struct.get $list $value (local.get $l))))
                (local.set $l (struct.get $list $next (local.get $l)))
                (br $next)))
            (local.get $sum)))"#,
        1000,
        500_500,
    );
}

#[test]
fn trees() {
    gives(
        r#"(module
          (rec (type $tree (struct (field (ref null $tree)) (field (ref null $tree)))))
          (func $make (param $d i32) (result (ref $tree))
            (if (result (ref $tree)) (local.get $d)
              (then (struct.new $tree
                (call $make (i32.sub (local.get $d) (i32.const 1)))
                (call $make (i32.sub (local.get $d) (i32.const 1)))))
              (else (struct.new_default $tree))))
          (func $count (param $t (ref null $tree)) (result i32)
            (if (result i32) (ref.is_null (local.get $t)) (then (i32.const 0))
              (else (i32.add (i32.const 1) (i32.add
                (call $count (struct.get $tree 0 (local.get $t)))
                (call $count (struct.get $tree 1 (local.get $t))))))))
          (func (export "run") (param i32) (result i32)
            (call $count (call $make (local.get 0)))))"#,
        9,
        1023,
    );
}

#[test]
fn arrays() {
    gives(
        r#"(module
          (type $a (array (mut i8))) (type $b (array (mut i64))) (type $r (array (mut anyref)))
          (data $d "\01\02\03\04")
          (func (export "run") (param $n i32) (result i32)
            (local $x (ref null $a)) (local $y (ref null $b)) (local $r (ref null $r)) (local $sum i32)
            (local.set $x (array.new $a (i32.const 0x1ff) (local.get $n)))
            (local.set $y (array.new $b (i64.const 3) (local.get $n)))
            (local.set $r (array.new_default $r (local.get $n)))
            (array.set $r (local.get $r) (i32.const 1) (ref.i31 (i32.const -5)))
            (array.set $r (local.get $r) (i32.const 2) (local.get $x))
            (array.fill $r (local.get $r) (i32.const 3) (local.get $y) (i32.const 60))
            (array.copy $r $r (local.get $r) (i32.const 10) (local.get $r) (i32.const 0) (i32.const 20))
            (array.init_data $a $d (ref.cast (ref $a) (array.get $r (local.get $r) (i32.const 12)))
              (i32.const 1) (i32.const 0) (i32.const 4))
            ;; 255 + 4 + 3 + -5 + n + n + (-1)
            (local.set $sum (array.get_u $a (local.get $x) (i32.sub (local.get $n) (i32.const 1))))
            (local.set $sum (i32.add (local.get $sum) (array.get_u $a (local.get $x) (i32.const 4))))
            (local.set $sum (i32.add (local.get $sum) (i32.wrap_i64 (array.get $b (local.get $y) (i32.const 70)))))
            (local.set $sum (i32.add (local.get $sum)
              (i31.get_s (ref.cast i31ref (array.get $r (local.get $r) (i32.const 11))))))
            (local.set $sum (i32.add (local.get $sum)
              (array.len (ref.cast arrayref (array.get $r (local.get $r) (i32.const 62))))))
            (local.set $sum (i32.add (local.get $sum) (array.len (local.get $x))))
            (local.set $sum (i32.add (local.get $sum) (array.get_s $a (local.get $x) (i32.const 99))))
            (local.get $sum)))"#,
        100,
        255 + 4 + 3 - 5 + 200 - 1,
    );
}

#[test]
fn casts() {
    gives(
        r#"(module
          (type $a (sub (struct (field i32))))
          (type $b (sub $a (struct (field i32) (field i32))))
          (type $c (sub final $b (struct (field i32) (field i32) (field f64))))
          (type $other (sub (struct (field i32))))
          (type $arr (array i32))
          (global $g (mut anyref) (ref.null any))
          (func $bits (param $x anyref) (result i32)
            (i32.add (ref.test (ref $a) (local.get $x))
            (i32.add (i32.shl (ref.test (ref $b) (local.get $x)) (i32.const 1))
            (i32.add (i32.shl (ref.test (ref $c) (local.get $x)) (i32.const 2))
            (i32.add (i32.shl (ref.test (ref struct) (local.get $x)) (i32.const 3))
            (i32.add (i32.shl (ref.test (ref array) (local.get $x)) (i32.const 4))
            (i32.add (i32.shl (ref.test (ref i31) (local.get $x)) (i32.const 5))
            (i32.add (i32.shl (ref.test (ref eq) (local.get $x)) (i32.const 6))
            (i32.add (i32.shl (ref.test (ref null none) (local.get $x)) (i32.const 7))
              (i32.shl (ref.test (ref any) (local.get $x)) (i32.const 8)))))))))))
          (func (export "run") (param $n i32) (result i32)
            (if (i32.ne (call $bits (struct.new $a (i32.const 1))) (i32.const 0x149)) (then (return (i32.const 1))))
            (if (i32.ne (call $bits (struct.new $b (i32.const 1) (i32.const 2))) (i32.const 0x14b))
              (then (return (i32.const 2))))
            (if (i32.ne (call $bits (struct.new $c (i32.const 1) (i32.const 2) (f64.const 0))) (i32.const 0x14f))
              (then (return (i32.const 3))))
            (if (i32.ne (call $bits (struct.new_default $other)) (i32.const 0x149)) (then (return (i32.const 4))))
            (if (i32.ne (call $bits (array.new $arr (i32.const 1) (i32.const 3))) (i32.const 0x150))
              (then (return (i32.const 5))))
            (if (i32.ne (call $bits (ref.i31 (i32.const 0))) (i32.const 0x160)) (then (return (i32.const 6))))
            (if (i32.ne (call $bits (ref.null any)) (i32.const 0x80)) (then (return (i32.const 7))))
            (global.set $g (struct.new $b (i32.const 3) (i32.const 4)))
            (drop (struct.new $a (i32.const 9)))
            (block $no (result anyref)
              (return (struct.get $b 1 (br_on_cast_fail $no anyref (ref $b) (global.get $g)))))
            (drop) (i32.const 8)))"#,
        0,
        4,
    );
}

#[test]
fn functions_in_objects() {
    gives(
        r#"(module
          (type $f (func (param i32) (result i32)))
          (type $vtable (struct (field (ref $f)) (field (mut (ref null $f))) (field externref)))
          (func $twice (type $f) (i32.mul (local.get 0) (i32.const 2)))
          (func $thrice (type $f) (i32.mul (local.get 0) (i32.const 3)))
          (elem declare func $twice $thrice)
          (func (export "run") (param $n i32) (result i32) (local $v (ref null $vtable))
            (local.set $v (struct.new $vtable (ref.func $twice) (ref.null $f) (extern.convert_any (ref.i31 (i32.const 9)))))
            (struct.set $vtable 1 (local.get $v) (ref.func $thrice))
            (i32.add
              (call_ref $f (local.get $n) (struct.get $vtable 0 (local.get $v)))
              (i32.add (call_ref $f (local.get $n) (struct.get $vtable 1 (local.get $v)))
                (i31.get_u (ref.cast (ref i31) (any.convert_extern (struct.get $vtable 2 (local.get $v)))))))))"#,
        7,
        14 + 21 + 9,
    );
}

#[test]
fn traps_have_their_names() {
    let module = |body: &str| {
        format!(
            "(module (type $s (struct (field (mut i32)))) (type $a (array (mut i32)))
              (func (export \"run\") (param i32) (result i32) (local $s (ref null $s)) (local $a (ref null $a)) {body}))"
        )
    };
    for (body, message) in [
        ("(struct.get $s 0 (local.get $s))", "null structure reference"),
        (
            "(struct.set $s 0 (local.get $s) (i32.const 1)) (i32.const 0)",
            "null structure reference",
        ),
        ("(array.get $a (local.get $a) (i32.const 1))", "null array reference"),
        ("(array.len (local.get $a))", "null array reference"),
        (
            "(array.get $a (array.new_default $a (i32.const 3)) (i32.const 3))",
            "out of bounds array access",
        ),
        (
            "(array.set $a (array.new_default $a (i32.const 3)) (i32.const -1) (i32.const 1)) (i32.const 0)",
            "out of bounds array access",
        ),
        (
            "(array.fill $a (array.new_default $a (i32.const 3)) (i32.const 1) (i32.const 1) (i32.const 3)) (i32.const 0)",
            "out of bounds array access",
        ),
        (
            "(array.copy $a $a (array.new_default $a (i32.const 3)) (i32.const 0) (array.new_default $a (i32.const 2)) (i32.const 0) (i32.const 3)) (i32.const 0)",
            "out of bounds array access",
        ),
        ("(i31.get_s (ref.null i31))", "null i31 reference"),
        ("(struct.get $s 0 (ref.cast (ref $s) (ref.null any)))", "cast failure"),
        (
            "(struct.get $s 0 (ref.cast (ref $s) (array.new_default $a (i32.const 3))))",
            "cast failure",
        ),
        ("(array.len (array.new_default $a (i32.const -1)))", "takes 17179869192 bytes"),
    ] {
        traps(&module(body), 0, message);
    }
}

#[test]
fn much_garbage_in_little_room() {
    let text = r#"(module (type $s (struct (field (mut i64)) (field (mut i64))))
      (func (export "run") (param $n i32) (result i32) (local $s (ref null $s))
        (loop $more
          (local.set $s (struct.new $s (i64.extend_i32_u (local.get $n)) (i64.const 7)))
          (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i32.wrap_i64 (struct.get $s 0 (local.get $s)))))"#;
    let mut config = Config::new();
    config.engine(EngineKind::Compiled);
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, text).unwrap();
    let limits = wardian::limits::StoreLimits { memory_bytes: 1 << 20, ..Default::default() };
    let mut store = Store::new(&engine, limits);
    store.limiter(|limits| limits);
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let f = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(f.call(&mut store, 5_000_000).unwrap(), 1);
    assert!(store.data().used_bytes <= 1 << 20);
}

#[test]
fn deep_types() {
    // Supertypes beyond what a row of the table of supertypes holds.
    let mut text = "(module (type $t0 (sub (struct)))".to_owned();
    for i in 1..20 {
        text += &format!("(type $t{i} (sub $t{} (struct)))", i - 1);
    }
    text += "(func $is (param $x anyref) (result i32) (i32.const 0)";
    for i in 0..20 {
        text +=
            &format!("(i32.or (i32.shl (ref.test (ref $t{i}) (local.get $x)) (i32.const {i})))");
    }
    text += ") (func (export \"run\") (param $n i32) (result i32)";
    for i in 0..20 {
        let expected = (1_u32 << (i + 1)) - 1;
        text += &format!(
            "(if (i32.ne (call $is (struct.new $t{i})) (i32.const {expected})) (then (return (i32.const {i}))))"
        );
    }
    text += "(i32.const 99)))";
    gives(&text, 0, 99);
}

#[test]
fn calls_through_tables_accept_subtypes() {
    gives(
        r#"(module
          (type $a (sub (func (param i32) (result anyref))))
          (type $b (sub $a (func (param i32) (result i31ref))))
          (func $f (type $b) (ref.i31 (i32.add (local.get 0) (i32.const 1))))
          (table $t funcref (elem $f))
          (func (export "run") (param $n i32) (result i32)
            (i31.get_s (ref.cast i31ref (call_indirect (type $a) (local.get $n) (i32.const 0))))
            (i31.get_s (call_indirect (type $b) (local.get $n) (i32.const 0)))
            (i32.mul)
            (i32.add (i32.mul (i32.const 1000) (ref.test (ref $a) (table.get $t (i32.const 0)))))))"#,
        5,
        1036,
    );
    traps(
        r#"(module
          (type $a (sub (func (param i32) (result anyref))))
          (type $b (sub $a (func (param i32) (result i31ref))))
          (type $c (sub $a (func (param i32) (result i31ref))))
          (rec (type $d (sub $a (func (param i32) (result i31ref)))) (type $other (func)))
          (func $f (type $d) (ref.i31 (i32.add (local.get 0) (i32.const 1))))
          (table $t funcref (elem $f))
          (func (export "run") (param $n i32) (result i32)
            (i31.get_s (call_indirect (type $b) (local.get $n) (i32.const 0)))))"#,
        5,
        "indirect call type mismatch",
    );
}

#[test]
fn references_cross_blocks_branches_and_tail_calls() {
    gives(
        r#"(module
          (type $s (struct (field (mut i32))))
          (type $l (array (mut (ref null $s))))
          (table $t 4 (ref null $s))
          (func $pair (param $n i32) (result (ref $s) anyref (ref null $s))
            (struct.new $s (local.get $n))
            (ref.i31 (local.get $n))
            (struct.new $s (i32.add (local.get $n) (i32.const 1))))
          (func $sum (param $n i32) (param $l (ref $l)) (param $acc (ref $s)) (result i32)
            (if (i32.eqz (local.get $n)) (then (return (struct.get $s 0 (local.get $acc)))))
            (return_call $sum (i32.sub (local.get $n) (i32.const 1)) (local.get $l)
              (struct.new $s (i32.add (struct.get $s 0 (local.get $acc))
                (struct.get $s 0 (array.get $l (local.get $l) (i32.sub (local.get $n) (i32.const 1))))))))
          (func (export "run") (param $n i32) (result i32)
            (local $a (ref null $s)) (local $b anyref) (local $c (ref null $s)) (local $l (ref null $l)) (local $i i32)
            (call $pair (local.get $n)) (local.set $c) (local.set $b) (local.set $a)
            (struct.set $s 0 (local.get $a)
              (block $o (result i32) (block $p (result (ref null $s)) (block $q (result (ref null $s))
                (br_table $p $q (struct.new $s (i32.const 7)) (i32.const 1)))
                (drop (struct.new $s (i32.const 0))) (br $o (struct.get $s 0)))
                (struct.get $s 0)))
            (local.set $c (select (result (ref null $s)) (local.get $a) (local.get $c) (local.get $n)))
            (table.set $t (i32.const 0) (local.get $c))
            (drop (table.grow $t (struct.new $s (i32.const 11)) (i32.const 5)))
            (table.fill $t (i32.const 1) (struct.new $s (i32.const 13)) (i32.const 2))
            (table.copy $t $t (i32.const 3) (i32.const 0) (i32.const 2))
            (local.set $l (array.new_fixed $l 4
              (table.get $t (i32.const 3)) (table.get $t (i32.const 4)) (table.get $t (i32.const 8)) (struct.new $s (i32.const 17))))
            ;; 7 + 13 + 11 + 17 + the loop's
            (loop $again (result (ref null $s))
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (drop (struct.new $s (i32.const 1)))
              (br_if $again (i32.lt_s (local.get $i) (i32.const 10)))
              (struct.new $s (local.get $i)))
            (struct.get $s 0)
            (i32.add (call $sum (i32.const 4) (ref.as_non_null (local.get $l)) (struct.new $s (i32.const 100))))))"#,
        5,
        7 + 13 + 11 + 17 + 100 + 10,
    );
}

#[test]
fn exceptions_carry_objects() {
    gives(
        r#"(module
          (type $s (struct (field (mut i32)) (field (mut exnref))))
          (tag $t (param i32 (ref $s) anyref))
          (func $throw (param $n i32)
            (if (i32.eqz (local.get $n)) (then
              (throw $t (i32.const 1) (struct.new $s (i32.const 20) (ref.null exn)) (struct.new $s (i32.const 300) (ref.null exn)))))
            (drop (struct.new $s (i32.const 0) (ref.null exn)))
            (call $throw (i32.sub (local.get $n) (i32.const 1))))
          (func $catch (param $n i32) (result i32) (local $x anyref) (local $y (ref null $s)) (local $kept (ref null $s))
            (local.set $kept (struct.new $s (i32.const 4000) (ref.null exn)))
            (block $all (result i32 (ref $s) anyref)
              (try_table (catch $t $all) (call $throw (local.get $n)))
              unreachable)
            (drop (struct.new $s (i32.const 0) (ref.null exn)))
            (local.set $x) (local.set $y)
            (i32.add (struct.get $s 0 (local.get $y)))
            (i32.add (struct.get $s 0 (ref.cast (ref $s) (local.get $x))))
            (i32.add (struct.get $s 0 (local.get $kept))))
          (func $hold (param $n i32) (result i32) (local $h (ref $s)) (local $e exnref)
            (local.set $h (struct.new $s (i32.const 0) (ref.null exn)))
            (block $ref (result i32 (ref $s) anyref exnref)
              (try_table (catch_ref $t $ref) (call $throw (local.get $n)))
              unreachable)
            (local.set $e) (drop) (drop) (drop)
            ;; Only an object holds the exception, which holds objects.
            (struct.set $s 1 (local.get $h) (local.get $e))
            (local.set $e (ref.null exn))
            (local.set $n (i32.const 50))
            (loop $more
              (drop (struct.new $s (i32.const 9) (ref.null exn)))
              (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (block $again (result i32 (ref $s) anyref)
              (try_table (catch $t $again) (throw_ref (struct.get $s 1 (local.get $h))))
              unreachable)
            (drop)
            (struct.get $s 0)
            (i32.add))
          (func (export "run") (param $n i32) (result i32) (local $sum i32)
            (loop $more
              (local.set $sum (i32.add (local.get $sum) (call $hold (local.get $n))))
              (br_if $more (i32.lt_s (local.get $sum) (i32.const 60))))
            (i32.add (local.get $sum) (call $catch (local.get $n)))))"#,
        5,
        63 + 4321,
    );
}
