//! Values that the embedder gives in raw slots, with whatever in the bits that their types do not have.

use crate::matrix::{Behaviour, linked};
use wardian::{
    AsContextMut, CallOptions, Caller, Engine, Error, ExternType, Func, FuncType, Linker, Module,
    Store, TrapCode, Val, ValType,
    gc::{AnyRef, StructRefPre},
    snapshot::Snapshot,
    types::StructType,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("raw results are as wide as their types", results),
    ("raw results are no addresses before a memory", addresses),
    ("raw results of a restore are as wide as their types", restored),
    ("raw results beside vectors and references are in their places", mixed),
    ("raw slots mean objects as long as somebody holds them", objects),
    ("raw slots that mean no object of the type are refused", no_objects),
    ("a snapshot is restored with an object in a raw slot", restored_objects),
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

thread_local! {
    static HELD: std::cell::RefCell<Option<AnyRef>> = const { std::cell::RefCell::new(None) };
}

/// Boxes of a number. `other` has what `box` is not.
const BOXES: &str = r#"(module
  (type $box (struct (field $n (mut i32))))
  (type $other (struct (field (mut i64)) (field (mut i64))))
  (import "h" "same" (func $same (param i32 (ref null $box) f32) (result (ref null $box))))
  (import "h" "any" (func $any (param anyref) (result anyref)))
  (import "h" "extern" (func $extern (param externref) (result externref)))
  (import "h" "make" (func $make (result (ref $box))))
  (func $new (param i32) (result (ref $box)) (struct.new $box (local.get 0)))
  (func (export "churn") (local $i i32)
    (loop $l
      (drop (struct.new $other (i64.const -1) (i64.const -1)))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10000)))))
  (func (export "same") (param i32) (result i32)
    (struct.get $box $n (call $same (i32.const 5) (call $new (local.get 0)) (f32.const 1))))
  (func (export "null") (result i32) (ref.is_null (call $same (i32.const 5) (ref.null $box) (f32.const 1))))
  (func (export "integer") (param i32) (result i32)
    (i31.get_s (ref.cast i31ref (call $any (ref.i31 (local.get 0))))))
  (func (export "any") (param i32) (result i32)
    (struct.get $box $n (ref.cast (ref $box) (call $any (call $new (local.get 0))))))
  (func (export "extern") (param i32) (result i32)
    (struct.get $box $n (ref.cast (ref $box) (any.convert_extern
      (call $extern (extern.convert_any (call $new (local.get 0))))))))
  (func (export "made") (result i32) (struct.get $box $n (call $make))))"#;

fn import_type(module: &Module, wanted: &str) -> FuncType {
    let found = module.imports().find(|(_, name, _)| *name == wanted).map(|(.., ty)| ty);
    let Some(ExternType::Func(ty)) = found else { panic!("{wanted} is no function") };
    ty
}

/// Collects, and makes other objects where those were that have been freed.
fn churn(caller: &mut Caller<'_, u64>) {
    let churn = caller.get_export("churn").and_then(|export| export.into_func()).unwrap();
    caller.as_context_mut().gc();
    churn.call(&mut *caller, &[], &mut []).unwrap();
}

fn objects(engine: &Engine) {
    let module = Module::new(engine, BOXES).unwrap();
    let mut linker: Linker<u64> = Linker::new(engine);
    for (name, at) in [("same", 1), ("any", 0), ("extern", 0)] {
        let give_back = move |mut caller: Caller<'_, u64>, slots: &mut [u64]| {
            let given = slots[at];
            churn(&mut caller);
            slots[0] = given;
            Ok(())
        };
        linker.func_raw("h", name, import_type(&module, name), give_back).unwrap();
    }
    let make = |mut caller: Caller<'_, u64>, slots: &mut [u64]| {
        let module = caller.instance().expect("a guest calls").module(&caller);
        let pre = StructRefPre::of_module(&mut caller, &module, 0)?;
        let made = wardian::gc::StructRef::new(&mut caller, &pre, &[Val::I32(41)])?;
        made.set_field(&mut caller, 0, Val::I32(42))?;
        let any = AnyRef::from(made);
        slots[0] = any.to_raw(&caller)?;
        churn(&mut caller);
        assert!(AnyRef::ref_eq(&any, &AnyRef::from_raw(&caller, slots[0]).unwrap()));
        // The object is held until the result has been read.
        HELD.with(|held| *held.borrow_mut() = Some(any));
        Ok(())
    };
    linker.func_raw("h", "make", import_type(&module, "make"), make).unwrap();
    let mut store = Store::new(engine, 0);
    let i = linker.instantiate(&mut store, &module).unwrap();
    for n in [7, 8, 9, 10] {
        for name in ["same", "any", "extern", "integer"] {
            let run = i.typed_func::<i32, i32>(&mut store, name).unwrap();
            assert_eq!(run.call(&mut store, n).unwrap(), n, "{name}");
        }
        assert_eq!(
            i.typed_func::<(), i32>(&mut store, "null").unwrap().call(&mut store, ()).unwrap(),
            1
        );
        assert_eq!(
            i.typed_func::<(), i32>(&mut store, "made").unwrap().call(&mut store, ()).unwrap(),
            42
        );
    }
}

fn no_objects(engine: &Engine) {
    let module = Module::new(engine, BOXES).unwrap();
    let mut linker: Linker<u64> = Linker::new(engine);
    // What the data says, or the slot of the call before.
    let forge = |mut caller: Caller<'_, u64>, slots: &mut [u64]| {
        let given = slots[usize::from(slots.len() == 3)];
        slots[0] = std::mem::replace(caller.data_mut(), given);
        Ok(())
    };
    for name in ["same", "any", "extern", "make"] {
        linker.func_raw("h", name, import_type(&module, name), forge).unwrap();
    }
    let mut store = Store::new(engine, 0);
    let i = linker.instantiate(&mut store, &module).unwrap();
    let number = StructRefPre::new(&mut store, StructType::new([])).unwrap();
    let empty = AnyRef::from(wardian::gc::StructRef::new(&mut store, &number, &[]).unwrap());
    let integer =
        AnyRef::from_i31(&store, wardian::gc::I31::wrapping_u32(3)).to_raw(&store).unwrap();
    assert_eq!(integer, 7);
    let forged =
        [empty.to_raw(&store).unwrap(), integer, 8, 16, 1 << 63 | 1 << 40, u64::MAX, 1 << 62 | 1];
    for (name, arg, handles) in [
        ("same", true, &forged[..]),
        ("any", true, &forged[2..]),
        ("extern", true, &forged[1..]),
        ("made", false, &[&forged[..], &[0]].concat()[..]),
    ] {
        for handle in handles {
            *store.data_mut() = *handle;
            let run = i.get_func(&mut store, name).unwrap();
            let args = if arg { &[Val::I32(1)][..] } else { &[] };
            let error = run.call(&mut store, args, &mut [Val::I32(0)]).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&format!("{handle:#x}, which is no")), "{name}: {text}");
        }
        if arg {
            // The object that the call before was given: nobody holds it now.
            let stale = *store.data();
            assert!(stale >> 63 == 1 && AnyRef::from_raw(&store, stale).is_none());
            let run = i.get_func(&mut store, name).unwrap();
            run.call(&mut store, &[Val::I32(1)], &mut [Val::I32(0)]).unwrap_err();
        }
    }
}

fn restored_objects(engine: &Engine) {
    let text = r#"(module
      (type $box (struct (field $n i32)))
      (import "h" "take" (func $take (result (ref null $box))))
      (import "h" "back" (func $back (param (ref $box))))
      (func (export "run") (param $n i32) (result i32) (local $b (ref null $box))
        (local.set $b (call $take))
        (if (ref.is_null (local.get $b)) (then (call $back (struct.new $box (local.get $n)))))
        (struct.get $box $n (local.get $b))))"#;
    let module = Module::new(engine, text).unwrap();
    let mut linker: Linker<Option<Snapshot>> = Linker::new(engine);
    let take = |mut caller: Caller<'_, Option<Snapshot>>, slots: &mut [u64]| {
        let taken = caller.get_snapshotter().map(|mut s| s.snapshot());
        *caller.data_mut() = taken;
        slots[0] = 0;
        Ok(())
    };
    linker.func_raw("h", "take", import_type(&module, "take"), take).unwrap();
    let back = |caller: Caller<'_, Option<Snapshot>>, slots: &mut [u64]| {
        let snapshot = caller.data().clone().expect("it was taken");
        Err(snapshot.restore_raw(caller, slots))
    };
    linker.func_raw("h", "back", import_type(&module, "back"), back).unwrap();
    let mut store = Store::new(engine, None);
    let i = linker.instantiate(&mut store, &module).unwrap();
    let options = CallOptions::new().with_snapshotter();
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    for n in 0..8 {
        assert_eq!(run.call_with(&mut store, &options, n).unwrap(), n);
    }
}
