//! Values that the embedder gives in raw slots, with whatever in the bits that their types do not have.

use crate::matrix::{Behaviour, linked};
use wardian::{
    CallOptions, Caller, Engine, Error, Func, FuncType, Linker, Store, TrapCode, Val, ValType,
    snapshot::Snapshot,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("raw results are as wide as their types", results),
    ("raw results are no addresses before a memory", addresses),
    ("raw results of a restore are as wide as their types", restored),
    ("raw results beside vectors and references are in their places", mixed),
];

/// What upper halves are tried: of a sign extension, and others.
const UPPER: [u64; 4] = [u64::MAX << 32, 1 << 32, 0x8000_0000_0000_0000, 0x7fff_ffff << 32];

const USES: &str = r#"(module
  (import "h" "i" (func $i (result i32)))
  (import "h" "f" (func $f (result f32)))
  (memory (export "m") 1)
  (func (export "eq") (result i32) (i32.eq (call $i) (i32.const -4)))
  (func (export "eqz") (result i32) (i32.eqz (i32.add (call $i) (i32.const 4))))
  (func (export "extend_u") (result i64) (i64.extend_i32_u (call $i)))
  (func (export "extend_s") (result i64) (i64.extend_i32_s (call $i)))
  (func (export "div") (result i32) (i32.div_u (call $i) (i32.const 3)))
  (func (export "clz") (result i32) (i32.clz (call $i)))
  (func (export "convert") (result f64) (f64.convert_i32_u (call $i)))
  (func (export "float") (result i32) (i32.reinterpret_f32 (call $f)))
  (func (export "table") (result i32)
    (block $b (block $a (br_table $a $b (i32.add (call $i) (i32.const 4)))) (return (i32.const 10)))
    (i32.const 20))
  (func (export "select") (result i32)
    (select (i32.const 1) (i32.const 2) (i32.add (call $i) (i32.const 4))))
  (func (export "load") (result i64) (i64.load (call $i)))
  (func (export "load_offset") (result i64) (i64.load offset=4 (call $i)))
  (func (export "load8") (result i32) (i32.load8_u (call $i)))
  (func (export "vload") (result i64) (i64x2.extract_lane 0 (v128.load (call $i))))
  (func (export "store") (i64.store (call $i) (i64.const 0x4141414141414141)))
  (func (export "vstore") (v128.store (call $i) (v128.const i64x2 1 1)))
  (func (export "fill") (memory.fill (call $i) (i32.const 1) (i32.const 8)))
  (func (export "copy") (memory.copy (call $i) (i32.const 0) (i32.const 8)))
  (func (export "grow") (result i32) (memory.grow (i32.add (call $i) (i32.const 4)))))"#;

fn raw_linker(engine: &Engine) -> Linker<u64> {
    let mut linker: Linker<u64> = Linker::new(engine);
    let answer = |caller: Caller<'_, u64>, slots: &mut [u64]| -> Result<(), Error> {
        slots[0] = u64::from(-4i32 as u32) | *caller.data();
        Ok(())
    };
    let ty = |result| FuncType::new([], [result]);
    linker.func_raw("h", "i", ty(ValType::I32), answer).unwrap();
    linker.func_raw("h", "f", ty(ValType::F32), answer).unwrap();
    linker
}

fn results(engine: &Engine) {
    let linker = raw_linker(engine);
    for upper in UPPER {
        let mut store = Store::new(engine, upper);
        let i = linked(&mut store, &linker, USES);
        for (name, wanted) in [
            ("eq", Val::I32(1)),
            ("eqz", Val::I32(1)),
            ("extend_u", Val::I64(0xffff_fffc)),
            ("extend_s", Val::I64(-4)),
            ("div", Val::I32(0x5555_5554)),
            ("clz", Val::I32(0)),
            ("convert", Val::F64(4_294_967_292f64.to_bits())),
            ("float", Val::I32(-4)),
            ("table", Val::I32(10)),
            ("select", Val::I32(2)),
            ("grow", Val::I32(1)),
        ] {
            let run = i.get_func(&mut store, name).unwrap();
            // Often enough to be compiled where that depends on it.
            for _ in 0..4 {
                let mut found = [Val::I32(0)];
                run.call(&mut store, &[], &mut found).unwrap();
                assert_eq!(format!("{found:?}"), format!("[{wanted:?}]"), "{name}, {upper:#x}");
            }
        }
        let memory = i.get_memory(&mut store, "m").unwrap();
        assert_eq!(memory.size(&store), 1, "{upper:#x}");
    }
}

fn addresses(engine: &Engine) {
    let linker = raw_linker(engine);
    for upper in UPPER {
        let mut store = Store::new(engine, upper);
        let i = linked(&mut store, &linker, USES);
        for name in
            ["load", "load_offset", "load8", "vload", "store", "vstore", "fill", "copy"].repeat(3)
        {
            let run = i.get_func(&mut store, name).unwrap();
            let mut found = vec![Val::I32(0); run.ty(&store).results().len()];
            let error = run.call(&mut store, &[], &mut found).unwrap_err();
            assert_eq!(error.trap(), Some(TrapCode::MemoryOutOfBounds), "{name}, {upper:#x}");
        }
        let memory = i.get_memory(&mut store, "m").unwrap();
        assert!(memory.data(&store).iter().all(|b| *b == 0), "{upper:#x}");
    }
}

fn restored(engine: &Engine) {
    let mut linker: Linker<Option<Snapshot>> = Linker::new(engine);
    linker
        .func_wrap("h", "take", |mut caller: Caller<'_, Option<Snapshot>>| -> i32 {
            let taken = caller.get_snapshotter().map(|mut s| s.snapshot());
            *caller.data_mut() = taken;
            0
        })
        .unwrap();
    linker
        .func_wrap("h", "back", |mut caller: Caller<'_, Option<Snapshot>>, upper: i64| {
            let snapshot = caller.data().clone().expect("it was taken");
            Err::<(), _>(snapshot.restore_raw(&mut caller, &[0xffff_fffc | upper as u64]))
        })
        .unwrap();
    let text = r#"(module
      (import "h" "take" (func $take (result i32)))
      (import "h" "back" (func $back (param i64)))
      (memory 1)
      (func (export "wide") (param i64) (result i64) (local $x i32)
        (local.set $x (call $take))
        (if (i32.eqz (local.get $x)) (then (call $back (local.get 0))))
        (i64.extend_i32_u (local.get $x)))
      (func (export "load") (param i64) (result i64) (local $x i32)
        (local.set $x (call $take))
        (if (i32.eqz (local.get $x)) (then (call $back (local.get 0))))
        (i64.load (local.get $x))))"#;
    for upper in UPPER {
        let mut store = Store::new(engine, None);
        let i = linked(&mut store, &linker, text);
        let options = CallOptions::new().with_snapshotter();
        let wide = i.typed_func::<i64, i64>(&mut store, "wide").unwrap();
        let load = i.typed_func::<i64, i64>(&mut store, "load").unwrap();
        for _ in 0..4 {
            let found = wide.call_with(&mut store, &options, upper as i64).unwrap();
            assert_eq!(found, 0xffff_fffc, "{upper:#x}");
            let error = load.call_with(&mut store, &options, upper as i64).unwrap_err();
            assert_eq!(error.trap(), Some(TrapCode::MemoryOutOfBounds), "{upper:#x}");
        }
    }
}

fn mixed(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let types = [ValType::V128, ValType::I32, ValType::FUNCREF, ValType::I64, ValType::F32];
    let func = Func::new_raw(&mut store, FuncType::new([], types), |_: Caller<'_, ()>, slots| {
        slots.copy_from_slice(&[1 << 40, 2 << 40, 3 | 5 << 40, 0, 4 << 40, 5 | 6 << 40]);
        Ok(())
    });
    let mut linker = Linker::new(engine);
    linker.define("h", "all", func).unwrap();
    let text = r#"(module
      (import "h" "all" (func $all (result v128 i32 funcref i64 f32)))
      (func (export "run") (result i64 i64 i32 i32 i64 i32) (local $v v128) (local $i i32)
        (local $r funcref) (local $l i64) (local $f f32)
        (call $all) (local.set $f) (local.set $l) (local.set $r) (local.set $i) (local.set $v)
        (i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $v))
        (local.get $i) (ref.is_null (local.get $r)) (local.get $l)
        (i32.reinterpret_f32 (local.get $f))))"#;
    let i = linked(&mut store, &linker, text);
    type Results = (i64, i64, i32, i32, i64, i32);
    let run = i.typed_func::<(), Results>(&mut store, "run").unwrap();
    for _ in 0..4 {
        assert_eq!(run.call(&mut store, ()).unwrap(), (1 << 40, 2 << 40, 3, 1, 4 << 40, 5));
    }
}
