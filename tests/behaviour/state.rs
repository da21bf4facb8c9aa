//! Snapshots together with the state of all instances.

use crate::matrix::{Behaviour, linked};
use wardian::{
    Caller, Engine, Error, ExternRef, Linker, MemoryType, SharedMemory, Store, Val,
    allocator::{MemoryAllocatorFunc, VecMemory},
    snapshot::Snapshot,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a snapshot with state rolls memories, globals and tables back", rolled_back),
    ("without state nothing is rolled back", not_rolled_back),
    ("captures of several moments are restored in any order", several),
    ("memories of an allocator are rolled back too", allocated),
    ("references in captured state stay alive", references),
    ("shared memories are refused", shared),
];

#[derive(Default)]
struct Host {
    with_state: bool,
    taken: Vec<Snapshot>,
    refused: Option<String>,
}

fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker: Linker<Host> = Linker::new(engine);
    linker
        .func_wrap("h", "take", |mut caller: Caller<'_, Host>| -> i32 {
            let with_state = caller.data().with_state;
            let mut snapshotter = caller.get_snapshotter().expect("snapshots are enabled");
            let taken = match with_state {
                true => snapshotter.snapshot_with_state(),
                false => Ok(snapshotter.snapshot()),
            };
            match taken {
                Ok(snapshot) => caller.data_mut().taken.push(snapshot),
                Err(error) => caller.data_mut().refused = Some(error.to_string()),
            }
            0
        })
        .unwrap()
        .func_wrap("h", "back", |mut caller: Caller<'_, Host>, which: i32, value: i32| {
            let snapshot = caller.data().taken[which as usize].clone();
            Err::<(), Error>(snapshot.restore(&mut caller, &[Val::I32(value)]))
        })
        .unwrap();
    linker
}

/// Returns what it finds after the snapshot was restored: bits for memory, size of memory, global,
/// table, size of table.
const GUEST: &str = r#"(module
  (import "h" "take" (func $take (result i32))) (import "h" "back" (func $back (param i32 i32)))
  (memory (export "memory") 1 10) (global $g (mut i64) (i64.const 1))
  (table $t 2 20 funcref) (elem declare func $f) (func $f)
  (data $d "abc")
  (func (export "go") (result i32) (local $again i32)
    (i32.store (i32.const 100) (i32.const 5))
    (local.set $again (call $take))
    (if (i32.eqz (local.get $again)) (then
      (i32.store (i32.const 100) (i32.const 6))
      (drop (memory.grow (i32.const 3)))
      (i32.store (i32.const 200000) (i32.const 7))
      (global.set $g (i64.const 9))
      (drop (table.grow $t (ref.func $f) (i32.const 5)))
      (table.set $t (i32.const 0) (ref.func $f))
      (data.drop $d)
      (call $back (i32.const 0) (i32.const 1))))
    (if (i32.lt_u (local.get $again) (i32.const 4)) (then
      (call $back (i32.const 0) (i32.add (local.get $again) (i32.const 1)))))
    ;; Traps if the segment is dropped.
    (if (i32.eq (memory.size) (i32.const 1)) (then
      (memory.init $d (i32.const 0) (i32.const 0) (i32.const 3))))
    (i32.or (i32.or
      (i32.eq (i32.load (i32.const 100)) (i32.const 5))
      (i32.shl (i32.eq (memory.size) (i32.const 1)) (i32.const 1)))
      (i32.or (i32.shl (i64.eq (global.get $g) (i64.const 1)) (i32.const 2))
      (i32.or (i32.shl (ref.is_null (table.get $t (i32.const 0))) (i32.const 3))
        (i32.shl (i32.eq (table.size $t) (i32.const 2)) (i32.const 4))))))
  (func (export "grown") (result i32)
    (drop (memory.grow (i32.const 3))) (i32.load (i32.const 200000))))"#;

fn rolled_back(engine: &Engine) {
    let mut store = Store::new(engine, Host { with_state: true, ..Host::default() });
    store.enable_snapshots(true);
    let i = linked(&mut store, &linker(engine), GUEST);
    let go = i.typed_func::<(), i32>(&mut store, "go").unwrap();
    assert_eq!(go.call(&mut store, ()).unwrap(), 0b11111);
    // What was beyond the smaller size is zero when the memory grows again.
    let grown = i.typed_func::<(), i32>(&mut store, "grown").unwrap();
    assert_eq!(grown.call(&mut store, ()).unwrap(), 0);
}

fn not_rolled_back(engine: &Engine) {
    let mut store = Store::new(engine, Host::default());
    store.enable_snapshots(true);
    let i = linked(&mut store, &linker(engine), GUEST);
    let go = i.typed_func::<(), i32>(&mut store, "go").unwrap();
    assert_eq!(go.call(&mut store, ()).unwrap(), 0);
}

const STEPS: &str = r#"(module
  (import "h" "take" (func $take (result i32))) (import "h" "back" (func $back (param i32 i32)))
  (memory 2) (global $n (export "n") (mut i32) (i32.const 0))
  ;; Takes four snapshots with 1 to 4 in memory; then goes back to that of `to`.
  (func (export "go") (param $to i32) (result i32)
    (local $i i32)
    (loop $l
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (i32.store (i32.mul (local.get $i) (i32.const 20000)) (local.get $i))
      (i32.store (i32.const 8) (local.get $i))
      (if (call $take) (then (return (i32.add (i32.load (i32.const 8)) (i32.mul (i32.const 10)
        (i32.load (i32.const 80000)))))))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 4))))
    (call $back (local.get $to) (i32.const 1)) (unreachable)))"#;

fn several(engine: &Engine) {
    for to in [3, 0, 2, 1] {
        let mut store = Store::new(engine, Host { with_state: true, ..Host::default() });
        store.enable_snapshots(true);
        let i = linked(&mut store, &linker(engine), STEPS);
        let go = i.typed_func::<i32, i32>(&mut store, "go").unwrap();
        let last = if to == 3 { 40 } else { 0 };
        assert_eq!(go.call(&mut store, to).unwrap(), to + 1 + last);
    }
}

fn allocated(engine: &Engine) {
    let allocator =
        MemoryAllocatorFunc::new(|r| Ok(VecMemory::boxed(r.minimum, r.maximum.min(1 << 20))?));
    let options = wardian::InstantiateOptions::new().with_memory_allocator(allocator);
    let mut store = Store::new(engine, Host { with_state: true, ..Host::default() });
    store.enable_snapshots(true);
    let m = crate::matrix::module(engine, GUEST);
    let i = linker(engine).instantiate_with(&mut store, &m, &options).unwrap();
    let go = i.typed_func::<(), i32>(&mut store, "go").unwrap();
    assert_eq!(go.call(&mut store, ()).unwrap(), 0b11111);
    let grown = i.typed_func::<(), i32>(&mut store, "grown").unwrap();
    assert_eq!(grown.call(&mut store, ()).unwrap(), 0);
}

fn references(engine: &Engine) {
    let mut linker = linker(engine);
    linker
        .func_wrap("h", "many", || {
            // Enough that those which nobody holds are collected.
            Some(ExternRef::new(0u64))
        })
        .unwrap();
    let mut store = Store::new(engine, Host { with_state: true, ..Host::default() });
    store.enable_snapshots(true);
    let i = linked(
        &mut store,
        &linker,
        r#"(module
          (import "h" "take" (func $take (result i32)))
          (import "h" "back" (func $back (param i32 i32)))
          (import "h" "many" (func $many (result externref)))
          (global $g (mut externref) (ref.null extern)) (table $t 1 externref)
          (func (export "go") (param externref) (result externref externref externref)
            (local $n i32)
            (global.set $g (local.get 0)) (table.set $t (i32.const 0) (local.get 0))
            (if (i32.eqz (call $take)) (then
              (global.set $g (ref.null extern)) (table.set $t (i32.const 0) (ref.null extern))
              (local.set 0 (ref.null extern))
              (loop $l (drop (call $many))
                (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))
                  (i32.const 5000))))
              (call $back (i32.const 0) (i32.const 1))))
            (global.get $g) (table.get $t (i32.const 0)) (local.get 0)))"#,
    );
    type Three = (Option<ExternRef>, Option<ExternRef>, Option<ExternRef>);
    let go = i.typed_func::<Option<ExternRef>, Three>(&mut store, "go").unwrap();
    let value = ExternRef::new(77u32);
    let (a, b, c) = go.call(&mut store, Some(value.clone())).unwrap();
    for found in [a, b, c] {
        assert!(ExternRef::same(&found.expect("it is alive"), &value));
    }
}

fn shared(engine: &Engine) {
    let mut linker = linker(engine);
    let ty = MemoryType { shared: true, ..MemoryType::new(1, Some(1)) };
    linker.define("h", "m", SharedMemory::new(engine, ty).unwrap()).unwrap();
    let mut store = Store::new(engine, Host { with_state: true, ..Host::default() });
    store.enable_snapshots(true);
    let i = linked(
        &mut store,
        &linker,
        r#"(module (import "h" "take" (func $take (result i32)))
          (import "h" "m" (memory 1 1 shared))
          (func (export "go") (result i32) (call $take)))"#,
    );
    i.typed_func::<(), i32>(&mut store, "go").unwrap().call(&mut store, ()).unwrap();
    let refused = store.data().refused.clone().unwrap();
    assert!(refused.contains("shared"), "{refused}");
}
