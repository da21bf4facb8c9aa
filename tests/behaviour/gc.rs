//! Objects of guests: structs, arrays, integers of 31 bits.

use crate::matrix::{Behaviour, instance, linked};
use wardian::{Config, Engine, Error, ExternRef, Instance, Linker, Store, TrapCode, Val};

pub(crate) const TABLE: &[Behaviour] = &[
    ("objects that frames hold survive collections at each allocation", stressed),
    ("what nobody holds is freed, in recursion too", freed),
    ("each trap of an object has its code", traps),
    ("packed fields are cut and extended", packed),
    ("fields hold each type of value", fields),
    ("arrays are filled, copied and made of segments", arrays),
    ("constant expressions make objects once", constants),
    ("a module without types of objects converts and casts references", converted),
];

pub(crate) fn call(
    store: &mut Store<()>,
    i: Instance,
    name: &str,
    args: &[Val],
) -> Result<Val, Error> {
    let func = i.get_func(&mut *store, name).unwrap_or_else(|| panic!("{name} is exported"));
    let mut results = vec![Val::I32(0); func.ty(&*store).results().len()];
    func.call(store, args, &mut results)?;
    Ok(results.into_iter().next().unwrap_or(Val::I32(0)))
}

pub(crate) fn number(store: &mut Store<()>, i: Instance, name: &str, args: &[i32]) -> i32 {
    let args: Vec<Val> = args.iter().map(|arg| Val::I32(*arg)).collect();
    let found = call(store, i, name, &args).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    found.i32().expect("it is an i32")
}

/// The store has no heap until the guest is in a loop.
fn converted(engine: &Engine) {
    for round in 0..3 {
        let mut store = Store::new(engine, ());
        let i = instance(
            &mut store,
            r#"(module
              (func (export "run") (param externref i32) (result i32)
                (local $any anyref) (local $e externref) (local $n i32)
                (local.set $e (local.get 0))
                (loop $l
                  (local.set $any (any.convert_extern (local.get $e)))
                  (local.set $e (extern.convert_any (local.get $any)))
                  (local.set $n (i32.add (local.get $n)
                    (i32.eqz (ref.test (ref struct) (local.get $any)))))
                  (local.set $n (i32.add (local.get $n)
                    (i32.eqz (ref.test (ref eq) (local.get $any)))))
                  (br_if $l (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
                (i32.add (local.get $n) (i32.shl (ref.is_null (local.get $e)) (i32.const 20)))))"#,
        );
        let given = Val::ExternRef(Some(ExternRef::new(7u8)));
        for count in [3, 100] {
            let found = call(&mut store, i, "run", &[given.clone(), Val::I32(count)]);
            assert_eq!(found.unwrap().i32(), Some(2 * count), "round {round}");
        }
    }
}

/// The same engine, in which each allocation collects, and each safepoint at which nothing is allocated.
pub(crate) fn stress(engine: &Engine) -> Engine {
    let mut config: Config = engine.config().clone();
    config.gc_stress(true).gc_stress_at_safepoints(true);
    Engine::new(&config).expect("the configuration works")
}

/// Trees and lists, whose references lie in locals, on operand stacks, in arguments and in results.
pub(crate) const TREES: &str = r#"(module
  (type $text (array (mut i8)))
  (type $tree (sub (struct (field $l (ref null $tree)) (field $r (ref null $tree)) (field $v i32))))
  (type $leaf (sub $tree (struct (field (ref null $tree)) (field (ref null $tree)) (field i32)
    (field $name (ref $text)))))
  (func $leaf (param $v i32) (result (ref $tree))
    (struct.new $leaf (ref.null $tree) (ref.null $tree) (local.get $v)
      (array.new $text (local.get $v) (i32.const 3))))
  (func $make (param $depth i32) (result (ref $tree))
    (if (result (ref $tree)) (i32.eqz (local.get $depth))
      (then (call $leaf (i32.const 1)))
      (else (struct.new $tree
        (call $make (i32.sub (local.get $depth) (i32.const 1)))
        (call $make (i32.sub (local.get $depth) (i32.const 1)))
        (i32.const 1)))))
  (func $sum (param $t (ref null $tree)) (result i32)
    (if (result i32) (ref.is_null (local.get $t)) (then (i32.const 0)) (else
      (i32.add (struct.get $tree $v (local.get $t))
        (i32.add (call $sum (struct.get $tree $l (local.get $t)))
          (call $sum (struct.get $tree $r (local.get $t))))))))
  (func (export "tree") (param $depth i32) (result i32)
    (call $sum (call $make (local.get $depth))))
  (func $swap (param (ref $tree) (ref $text) (ref $tree)) (result (ref $tree) (ref $text) (ref $tree))
    (drop (call $leaf (i32.const 7)))
    (local.get 2) (local.get 1) (local.get 0))
  ;; Operands below blocks, calls and branches.
  (func (export "mixed") (param $n i32) (result i32)
    (local $a (ref null $tree)) (local $sum i32)
    (local.set $a (call $leaf (i32.const 5)))
    (loop $again
      (call $leaf (i32.const 2)) (array.new $text (i32.const 4) (i32.const 9)) (call $leaf (i32.const 3))
      (block (param (ref $tree) (ref $text) (ref $tree)) (result (ref $tree) (ref $text) (ref $tree))
        (drop (call $leaf (i32.const 6)))
        (call $swap))
      (local.set $a)
      (array.len)
      (local.set $sum (i32.add (local.get $sum)))
      (struct.get $tree $v)
      (local.set $sum (i32.add (local.get $sum)))
      (local.set $sum (i32.add (local.get $sum) (struct.get $tree $v (local.get $a))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (local.get $n)))
    (local.get $sum))
  (func (export "names") (param $n i32) (result i32) (local $t (ref null $tree)) (local $l (ref null $leaf))
    (loop $again
      (local.set $t (struct.new $tree (call $leaf (local.get $n)) (local.get $t) (local.get $n)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (loop $sum
      (local.set $l (ref.cast (ref $leaf) (struct.get $tree $l (local.get $t))))
      (local.set $n (i32.add (local.get $n)
        (array.get_u $text (struct.get $leaf $name (local.get $l)) (i32.const 2))))
      (br_if $sum (i32.eqz (ref.is_null (local.tee $t (struct.get $tree $r (local.get $t)))))))
    (local.get $n)))"#;

fn stressed(engine: &Engine) {
    for engine in [engine.clone(), stress(engine)] {
        let mut store = Store::new(&engine, ());
        let i = instance(&mut store, TREES);
        assert_eq!(number(&mut store, i, "tree", &[5]), 63);
        assert_eq!(number(&mut store, i, "mixed", &[20]), 20 * (9 + 3 + 2));
        assert_eq!(number(&mut store, i, "names", &[40]), 40 * 41 / 2);
        assert_eq!(number(&mut store, i, "tree", &[6]), 127);
    }
}

fn freed(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, TREES);
    for _ in 0..3 {
        assert_eq!(number(&mut store, i, "tree", &[12]), (1 << 13) - 1);
    }
    store.gc();
    let stats = store.gc_stats();
    assert_eq!((stats.live_objects, stats.live_bytes), (0, 0), "{stats:?}");
    assert!(stats.collections > 0);
}

/// Each function traps.
const TRAPS: &str = r#"(module
      (type $s (struct (field (mut i32)) (field (mut i64)) (field (mut v128)) (field (mut funcref))))
      (type $a (array (mut i32))) (type $b (array (mut i8)))
      (data $d "abc") (elem $e func)
      (type $f (array (mut funcref)))
      (func (export "struct.get") (param i32) (drop (struct.get $s 0 (ref.null $s))))
      (func (export "struct.get v128") (param i32) (drop (struct.get $s 2 (ref.null $s))))
      (func (export "struct.set") (param i32) (struct.set $s 1 (ref.null $s) (i64.const 1)))
      (func (export "struct.set func") (param i32) (struct.set $s 3 (ref.null $s) (ref.null func)))
      (func (export "array.get") (param i32) (drop (array.get $a (ref.null $a) (i32.const 0))))
      (func (export "array.set") (param i32) (array.set $a (ref.null $a) (i32.const 0) (i32.const 0)))
      (func (export "array.len") (param i32) (drop (array.len (ref.null $a))))
      (func (export "array.fill") (param i32)
        (array.fill $a (ref.null $a) (i32.const 0) (i32.const 0) (i32.const 0)))
      (func (export "array.copy to") (param i32)
        (array.copy $a $a (ref.null $a) (i32.const 0) (array.new_default $a (i32.const 1)) (i32.const 0) (i32.const 0)))
      (func (export "array.copy from") (param i32)
        (array.copy $a $a (array.new_default $a (i32.const 1)) (i32.const 0) (ref.null $a) (i32.const 0) (i32.const 0)))
      (func (export "array.init_data") (param i32)
        (array.init_data $b $d (ref.null $b) (i32.const 0) (i32.const 0) (i32.const 0)))
      (func (export "array.init_elem") (param i32)
        (array.init_elem $f $e (ref.null $f) (i32.const 0) (i32.const 0) (i32.const 0)))
      (func (export "i31.get_s") (param i32) (drop (i31.get_s (ref.null i31))))
      (func (export "i31.get_u") (param i32) (drop (i31.get_u (ref.null i31))))
      (func (export "ref.cast") (param i32) (drop (ref.cast (ref $s) (ref.i31 (local.get 0)))))
      (func (export "ref.cast null") (param i32) (drop (ref.cast (ref $s) (ref.null $s))))
      (func (export "index") (param i32)
        (drop (array.get $a (array.new_default $a (i32.const 5)) (local.get 0))))
      (func (export "set index") (param i32)
        (array.set $b (array.new_default $b (i32.const 5)) (local.get 0) (i32.const 1)))
      (func (export "fill index") (param i32)
        (array.fill $b (array.new_default $b (i32.const 5)) (local.get 0) (i32.const 1) (i32.const 1)))
      (func (export "data") (param i32) (drop (array.new_data $b $d (local.get 0) (i32.const 3))))
      (func (export "elem") (param i32) (drop (array.new_elem $f $e (local.get 0) (i32.const 3)))))"#;

/// What the functions that are about null trap with.
const NULLS: [(&str, TrapCode); 16] = [
    ("struct.get", TrapCode::NullStructReference),
    ("struct.get v128", TrapCode::NullStructReference),
    ("struct.set", TrapCode::NullStructReference),
    ("struct.set func", TrapCode::NullStructReference),
    ("array.get", TrapCode::NullArrayReference),
    ("array.set", TrapCode::NullArrayReference),
    ("array.len", TrapCode::NullArrayReference),
    ("array.fill", TrapCode::NullArrayReference),
    ("array.copy to", TrapCode::NullArrayReference),
    ("array.copy from", TrapCode::NullArrayReference),
    ("array.init_data", TrapCode::NullArrayReference),
    ("array.init_elem", TrapCode::NullArrayReference),
    ("i31.get_s", TrapCode::NullI31Reference),
    ("i31.get_u", TrapCode::NullI31Reference),
    ("ref.cast", TrapCode::CastFailure),
    ("ref.cast null", TrapCode::CastFailure),
];

/// What the functions that are about an index outside of an array or segment trap with.
const INDICES: [(&str, TrapCode); 5] = [
    ("index", TrapCode::ArrayOutOfBounds),
    ("set index", TrapCode::ArrayOutOfBounds),
    ("fill index", TrapCode::ArrayOutOfBounds),
    ("data", TrapCode::MemoryOutOfBounds),
    ("elem", TrapCode::TableOutOfBounds),
];

fn traps(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, TRAPS);
    for (name, code) in NULLS {
        let error = call(&mut store, i, name, &[Val::I32(1)]).expect_err(name);
        assert_eq!(error.trap(), Some(code), "{name}: {error:#}");
    }
    for (name, code) in INDICES {
        for index in [5, 6, -1, i32::MIN] {
            let error = call(&mut store, i, name, &[Val::I32(index)]).expect_err(name);
            assert_eq!(error.trap(), Some(code), "{name}: {error:#}");
            let backtrace = error.backtrace().expect("a trap has a backtrace");
            assert_eq!(backtrace.frames().len(), 1, "{name}: {error:#}");
        }
    }
}

fn packed(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module
      (type $s (struct (field (mut i8)) (field (mut i16)) (field (mut i8))))
      (type $b (array (mut i8))) (type $h (array (mut i16)))
      (func (export "8s") (param i32) (result i32)
        (struct.get_s $s 0 (struct.new $s (local.get 0) (i32.const 0x1234) (i32.const 0x56))))
      (func (export "8u") (param i32) (result i32)
        (struct.get_u $s 0 (struct.new $s (local.get 0) (i32.const 0x1234) (i32.const 0x56))))
      (func (export "16s") (param i32) (result i32)
        (struct.get_s $s 1 (struct.new $s (i32.const -1) (local.get 0) (i32.const -1))))
      (func (export "16u") (param i32) (result i32) (local $s (ref $s))
        (local.set $s (struct.new_default $s))
        (struct.set $s 0 (local.get $s) (i32.const -1))
        (struct.set $s 2 (local.get $s) (i32.const -1))
        (struct.set $s 1 (local.get $s) (local.get 0))
        (struct.get_u $s 1 (local.get $s)))
      (func (export "a8s") (param i32) (result i32)
        (array.get_s $b (array.new $b (local.get 0) (i32.const 3)) (i32.const 2)))
      (func (export "a8u") (param i32) (result i32)
        (array.get_u $b (array.new_fixed $b 3 (i32.const 0) (local.get 0) (i32.const -1)) (i32.const 1)))
      (func (export "a16s") (param i32) (result i32)
        (array.get_s $h (array.new $h (local.get 0) (i32.const 3)) (i32.const 2)))
      (func (export "a16u") (param i32) (result i32)
        (array.get_u $h (array.new_fixed $h 3 (i32.const 0) (local.get 0) (i32.const -1)) (i32.const 1))))"#,
    );
    for value in [0, 1, -1, 0x7f, 0x80, 0x1ff, 0x7fff, 0x8000, 0x1_8000, i32::MIN, 0x1234_5678] {
        for (name, wanted) in [
            ("8s", i32::from(value as i8)),
            ("8u", i32::from(value as u8)),
            ("16s", i32::from(value as i16)),
            ("16u", i32::from(value as u16)),
            ("a8s", i32::from(value as i8)),
            ("a8u", i32::from(value as u8)),
            ("a16s", i32::from(value as i16)),
            ("a16u", i32::from(value as u16)),
        ] {
            assert_eq!(number(&mut store, i, name, &[value]), wanted, "{name} {value}");
        }
    }
}

fn fields(engine: &Engine) {
    const TEXT: &str = r#"(module
      (type $f (func (result i32)))
      (type $s (struct (field (mut i32)) (field (mut i64)) (field (mut f32)) (field (mut f64))
        (field (mut v128)) (field (mut funcref)) (field (mut (ref null $f))) (field (mut externref))
        (field (mut anyref)) (field (mut i31ref)) (field (mut i8))))
      (elem declare func $seven)
      (func $seven (result i32) (i32.const 7))
      (global $s (mut (ref null $s)) (ref.null $s))
      (func (export "make") (param externref)
        (global.set $s (struct.new $s (i32.const 1) (i64.const -2) (f32.const 3.5) (f64.const -4.25)
          (v128.const i64x2 5 6) (ref.func $seven) (ref.func $seven) (local.get 0)
          (struct.new_default $s) (ref.i31 (i32.const -9)) (i32.const 10))))
      (func (export "clear") (local $s (ref null $s)) (local.set $s (global.get $s))
        (struct.set $s 5 (local.get $s) (ref.null func)) (struct.set $s 6 (local.get $s) (ref.null $f))
        (struct.set $s 7 (local.get $s) (ref.null extern)) (struct.set $s 8 (local.get $s) (ref.null any))
        (struct.set $s 4 (local.get $s) (v128.const i64x2 0 0)))
      (func (export "read") (result i32 i64 f32 f64 v128 funcref i32 externref anyref i32 i32)
        (local $s (ref null $s)) (local.set $s (global.get $s))
        (struct.get $s 0 (local.get $s)) (struct.get $s 1 (local.get $s)) (struct.get $s 2 (local.get $s))
        (struct.get $s 3 (local.get $s)) (struct.get $s 4 (local.get $s)) (struct.get $s 5 (local.get $s))
        (call_ref $f (struct.get $s 6 (local.get $s))) (struct.get $s 7 (local.get $s))
        (struct.get $s 8 (local.get $s)) (i31.get_s (struct.get $s 9 (local.get $s)))
        (struct.get_u $s 10 (local.get $s)))
      (func (export "nulls") (result i32) (local $s (ref null $s)) (local.set $s (global.get $s))
        (i32.and (i32.and (ref.is_null (struct.get $s 5 (local.get $s)))
          (ref.is_null (struct.get $s 6 (local.get $s))))
          (i32.and (ref.is_null (struct.get $s 7 (local.get $s)))
            (ref.is_null (struct.get $s 8 (local.get $s)))))))"#;
    for engine in [engine.clone(), stress(engine)] {
        let mut store = Store::new(&engine, ());
        let i = instance(&mut store, TEXT);
        call(&mut store, i, "make", &[Val::ExternRef(Some(ExternRef::new(8_u8)))]).unwrap();
        store.gc();
        let read = i.get_func(&mut store, "read").unwrap();
        let mut results = vec![Val::I32(0); 11];
        read.call(&mut store, &[], &mut results).unwrap();
        assert!(matches!(results[..4], [
            Val::I32(1),
            Val::I64(-2),
            Val::F32(three),
            Val::F64(four),
        ] if three == 3.5_f32.to_bits() && four == (-4.25_f64).to_bits()));
        assert!(matches!(results[4], Val::V128(bits) if bits == 5 | 6 << 64), "{results:?}");
        assert!(matches!(results[5], Val::FuncRef(Some(_))) && results[6].i32() == Some(7));
        let Val::ExternRef(Some(eight)) = &results[7] else { panic!("{results:?}") };
        assert_eq!(eight.data().downcast_ref(), Some(&8_u8));
        assert!(matches!(results[8], Val::AnyRef(Some(_))));
        assert_eq!((results[9].i32(), results[10].i32()), (Some(-9), Some(10)));
        assert_eq!(number(&mut store, i, "nulls", &[]), 0);
        call(&mut store, i, "clear", &[]).unwrap();
        assert_eq!(number(&mut store, i, "nulls", &[]), 1);
    }
}

fn arrays(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module
      (type $b (array (mut i8))) (type $w (array (mut i64))) (type $v (array (mut v128)))
      (type $f (array (mut funcref))) (type $n (array (mut (ref null $w))))
      (data $d "\01\02\03\04\05\06\07\08\09\0a\0b\0c\0d\0e\0f\10")
      (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
      (elem $e func $one $two $one)
      (type $g (func (result i32)))
      (func (export "data") (param i32) (result i32)
        (i32.wrap_i64 (array.get $w (array.new_data $w $d (i32.const 1) (i32.const 1)) (local.get 0))))
      (func (export "elem") (param i32) (result i32)
        (call_ref $g (ref.cast (ref $g)
          (array.get $f (array.new_elem $f $e (i32.const 1) (i32.const 2)) (local.get 0)))))
      (func (export "init") (param i32) (result i32) (local $b (ref $b))
        (local.set $b (array.new $b (i32.const 0x40) (i32.const 8)))
        (array.init_data $b $d (local.get $b) (i32.const 2) (i32.const 4) (i32.const 3))
        (array.get_u $b (local.get $b) (local.get 0)))
      (func (export "init elem") (param i32) (result i32) (local $f (ref $f))
        (local.set $f (array.new_default $f (i32.const 4)))
        (array.init_elem $f $e (local.get $f) (i32.const 1) (i32.const 0) (i32.const 2))
        (ref.is_null (array.get $f (local.get $f) (local.get 0))))
      (func (export "copy") (param i32) (result i32) (local $b (ref $b))
        (local.set $b (array.new_data $b $d (i32.const 0) (i32.const 16)))
        (array.copy $b $b (local.get $b) (i32.const 3) (local.get $b) (i32.const 0) (i32.const 8))
        (array.copy $b $b (local.get $b) (i32.const 0) (local.get $b) (i32.const 4) (i32.const 4))
        (array.get_u $b (local.get $b) (local.get 0)))
      (func (export "fill") (param i32) (result i32) (local $v (ref $v))
        (local.set $v (array.new $v (v128.const i32x4 1 2 3 4) (i32.const 9)))
        (array.fill $v (local.get $v) (i32.const 2) (v128.const i32x4 5 6 7 8) (i32.const 4))
        (i32x4.extract_lane 3 (array.get $v (local.get $v) (local.get 0))))
      (func (export "shared") (result i32) (local $n (ref $n))
        (local.set $n (array.new $n (array.new_default $w (i32.const 2)) (i32.const 3)))
        (array.set $w (array.get $n (local.get $n) (i32.const 0)) (i32.const 1) (i64.const 77))
        (i32.wrap_i64 (array.get $w (array.get $n (local.get $n) (i32.const 2)) (i32.const 1))))
      (func (export "empty") (result i32)
        (i32.add (array.len (array.new $v (v128.const i32x4 1 2 3 4) (i32.const 0)))
          (i32.add (array.len (array.new_fixed $w 0)) (array.len (array.new_data $w $d (i32.const 16) (i32.const 0))))))
      (func (export "drop") (data.drop $d) (elem.drop $e)))"#,
    );
    let all = |store: &mut Store<()>, name: &str, count: i32| -> Vec<i32> {
        (0..count).map(|at| number(store, i, name, &[at])).collect()
    };
    assert_eq!(all(&mut store, "data", 1), [0x05040302]);
    assert_eq!(all(&mut store, "elem", 2), [2, 1]);
    assert_eq!(all(&mut store, "init", 8), [0x40, 0x40, 5, 6, 7, 0x40, 0x40, 0x40]);
    assert_eq!(all(&mut store, "init elem", 4), [1, 0, 0, 1]);
    assert_eq!(all(&mut store, "copy", 12), [2, 3, 4, 5, 2, 3, 4, 5, 6, 7, 8, 12]);
    assert_eq!(all(&mut store, "fill", 9), [4, 4, 8, 8, 8, 8, 4, 4, 4]);
    assert_eq!(number(&mut store, i, "shared", &[]), 77);
    assert_eq!(number(&mut store, i, "empty", &[]), 0);
    call(&mut store, i, "drop", &[]).unwrap();
    let error = call(&mut store, i, "data", &[Val::I32(0)]).unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::MemoryOutOfBounds));
    let error = call(&mut store, i, "elem", &[Val::I32(0)]).unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::TableOutOfBounds));
}

fn constants(engine: &Engine) {
    const TEXT: &str = r#"(module
      (type $p (struct (field i8) (field (mut i32)) (field (ref null $p))))
      (type $a (array (mut i16))) (type $r (array (ref null $p)))
      (import "h" "v" (global $v externref))
      (global $one (ref $p) (struct.new $p (i32.const 511) (i32.const 2) (ref.null $p)))
      (global $two (ref $p) (struct.new $p (i32.const 3) (i32.add (i32.const 4) (i32.const 5)) (global.get $one)))
      (global $default (ref $p) (struct.new_default $p))
      (global $array (ref $a) (array.new $a (i32.const -1) (i32.const 100)))
      (global $zero (ref $a) (array.new_default $a (i32.const 7)))
      (global $fixed (ref $r) (array.new_fixed $r 3 (global.get $one) (ref.null $p) (global.get $two)))
      (global $int (ref i31) (ref.i31 (i32.const -5)))
      (global $out externref (extern.convert_any (global.get $two)))
      (global $in anyref (any.convert_extern (global.get $v)))
      (table $t 3 (ref null $p) (struct.new $p (i32.const 0) (i32.const 33) (ref.null $p)))
      (elem $e (ref $p) (item (struct.new $p (i32.const 1) (i32.const 44) (ref.null $p))) (item (global.get $two)))
      (elem (table $t) (i32.const 1) (ref $p) (item (struct.new $p (i32.const 1) (i32.const 55) (ref.null $p))))
      (func (export "sum") (result i32)
        (i32.add (struct.get_u $p 0 (global.get $one)) (i32.add (struct.get $p 1 (global.get $two))
          (struct.get $p 1 (struct.get $p 2 (global.get $two))))))
      (func (export "lengths") (result i32)
        (i32.add (i32.mul (i32.const 1000) (array.len (global.get $array)))
          (i32.add (array.len (global.get $zero)) (array.get_s $a (global.get $array) (i32.const 99)))))
      (func (export "same") (result i32)
        (i32.and (ref.eq (array.get $r (global.get $fixed) (i32.const 2)) (global.get $two))
          (ref.eq (ref.cast eqref (any.convert_extern (global.get $out))) (global.get $two))))
      (func (export "int") (result i32) (i31.get_s (global.get $int)))
      (func (export "host") (result externref) (extern.convert_any (global.get $in)))
      (func (export "table") (param i32) (result i32)
        (struct.get $p 1 (table.get $t (local.get 0))))
      ;; Both uses of the segment find the same object.
      (func (export "once") (result i32)
        (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))
        (ref.eq (table.get $t (i32.const 0))
          (array.get $r (array.new_elem $r $e (i32.const 0) (i32.const 2)) (i32.const 0))))
      (func (export "set") (param i32)
        (struct.set $p 1 (array.get $r (array.new_elem $r $e (i32.const 0) (i32.const 1)) (i32.const 0)) (local.get 0)))
      (func (export "get") (result i32)
        (struct.get $p 1 (array.get $r (array.new_elem $r $e (i32.const 0) (i32.const 1)) (i32.const 0)))))"#;
    for engine in [engine.clone(), stress(engine)] {
        let mut store = Store::new(&engine, ());
        let mut linker: Linker<()> = Linker::new(&engine);
        let ty = wardian::GlobalType { content: wardian::ValType::EXTERNREF, mutable: false };
        let value = Val::ExternRef(Some(ExternRef::new("host")));
        let global = wardian::Global::new(&mut store, ty, value).unwrap();
        linker.define("h", "v", global).unwrap();
        let i = linked(&mut store, &linker, TEXT);
        store.gc();
        assert_eq!(number(&mut store, i, "sum", &[]), 255 + 9 + 2);
        assert_eq!(number(&mut store, i, "lengths", &[]), 100_006);
        assert_eq!(number(&mut store, i, "same", &[]), 1);
        assert_eq!(number(&mut store, i, "int", &[]), -5);
        let host = call(&mut store, i, "host", &[]).unwrap();
        let Val::ExternRef(Some(host)) = host else { panic!("{host:?}") };
        assert_eq!(host.data().downcast_ref(), Some(&"host"));
        let table = |store: &mut Store<()>, at| number(store, i, "table", &[at]);
        assert_eq!([0, 1, 2].map(|at| table(&mut store, at)), [33, 55, 33]);
        assert_eq!(number(&mut store, i, "once", &[]), 1);
        assert_eq!(number(&mut store, i, "get", &[]), 44);
        call(&mut store, i, "set", &[Val::I32(66)]).unwrap();
        store.gc();
        assert_eq!(number(&mut store, i, "get", &[]), 66);
        assert_eq!(table(&mut store, 0), 66);
    }
}
