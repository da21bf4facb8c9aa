//! The built-in memories, for embedders to supply.

use crate::allocators::{GROWER, call, made, with};
use crate::matrix::{Behaviour, linked, module};
use crate::torture::{Plan, Torture, open_file as open};
use std::sync::Arc;
use wardian::{
    Engine, Instance, Linker, Memory, MemoryType, Store, TrapCode,
    allocator::{
        FixedMemory, GuardedMemory, MemoryAllocator, MemoryAllocatorFunc, PoolingAllocator,
        VecMemory,
    },
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("every built-in memory serves every operation", operations),
    ("a pool never shows what another wrote, and is bounded", pooling),
    ("a file shows what the guest wrote, after its store", files),
    ("a maximum may be more than the machine has", overcommit),
    ("sixty-four-bit memories and pages of one byte have allocators, too", wide),
    ("a memory of one-byte pages never has more pages than can be reported", most_small_pages),
    ("an atomic access that is not aligned says so wherever it is", unaligned),
];

/// The built-in allocators, by name.
fn built_in() -> Vec<(&'static str, Arc<dyn MemoryAllocator>)> {
    vec![
        (
            "heap",
            Arc::new(MemoryAllocatorFunc::new(|r| Ok(VecMemory::boxed(r.minimum, r.maximum)?))),
        ),
        (
            "fixed",
            Arc::new(MemoryAllocatorFunc::new(|r| Ok(FixedMemory::boxed(r.minimum, r.maximum)?))),
        ),
        (
            "guarded",
            Arc::new(MemoryAllocatorFunc::new(|r| Ok(GuardedMemory::boxed(r.minimum, r.maximum)?))),
        ),
        ("pooled", Arc::new(PoolingAllocator::new(20, 1 << 30))),
        ("moving", Arc::new(Torture::new(Plan { moves: true, ..Plan::default() }))),
    ]
}

/// Each operation before and after a growth: a function that returns 1 if it worked.
const OPERATIONS: &str = r#"(module (memory $m 1 40) (data $d "passive bytes")
  (func $ok (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then (unreachable))))
  (func (export "run") (param $at i32) (result i32)
    (drop (memory.grow (i32.const 1)))
    (memory.fill (local.get $at) (i32.const 0x5a) (i32.const 3000))
    (memory.fill (local.get $at) (i32.const 0x5b) (i32.const 16))
    (drop (memory.grow (i32.const 1)))
    (call $ok (i32.load offset=2996 (local.get $at)) (i32.const 0x5a5a5a5a))
    (memory.copy (i32.add (local.get $at) (i32.const 5000)) (local.get $at) (i32.const 3000))
    (memory.copy (i32.add (local.get $at) (i32.const 8)) (local.get $at) (i32.const 24))
    (call $ok (i32.load offset=5012 (local.get $at)) (i32.const 0x5b5b5b5b))
    (memory.init $d (local.get $at) (i32.const 8) (i32.const 5))
    (call $ok (i32.load (local.get $at)) (i32.const 0x65747962))
    (drop (memory.grow (i32.const 1)))
    (call $ok (i32.load (local.get $at)) (i32.const 0x65747962))
    (v128.store offset=64 (local.get $at) (v128.const i32x4 1 2 3 4))
    (drop (memory.grow (i32.const 1)))
    (call $ok (i32x4.extract_lane 3 (v128.load offset=64 (local.get $at))) (i32.const 4))
    (call $ok (i32x4.extract_lane 1
      (v128.load32_lane offset=64 1 (local.get $at) (v128.const i32x4 0 0 0 0))) (i32.const 1))
    (i32.atomic.store offset=128 (local.get $at) (i32.const 7))
    (drop (memory.grow (i32.const 1)))
    (call $ok (i32.atomic.rmw.add offset=128 (local.get $at) (i32.const 3)) (i32.const 7))
    (call $ok (i32.atomic.rmw.cmpxchg offset=128 (local.get $at) (i32.const 10) (i32.const 2))
      (i32.const 10))
    (call $ok (memory.atomic.notify offset=128 (local.get $at) (i32.const 1)) (i32.const 0))
    (f64.store offset=200 (local.get $at) (f64.const 1.5))
    (i64.store32 offset=208 (local.get $at) (i64.const -1))
    (drop (memory.grow (i32.const 1)))
    (call $ok (i32.trunc_f64_s (f64.mul (f64.load offset=200 (local.get $at)) (f64.const 2)))
      (i32.const 3))
    (call $ok (i32.load16_s offset=208 (local.get $at)) (i32.const -1))
    (call $ok (i32.load8_u offset=212 (local.get $at)) (i32.const 0x5a))
    (memory.size))
  (func (export "past") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "fill_past") (param i32) (result i32)
    (memory.fill (local.get 0) (i32.const 1) (i32.const 100)) (i32.const 0))
  (func (export "vector_past") (param i32) (result i32)
    (i32x4.extract_lane 0 (v128.load (local.get 0)))))"#;

fn operations(engine: &Engine) {
    for (kind, allocator) in built_in() {
        let mut store = Store::new(engine, ());
        let i = made(&mut store, OPERATIONS, allocator);
        let pages = call(&mut store, i, "run", 1024).unwrap_or_else(|e| panic!("{kind}: {e:#}"));
        assert_eq!(pages, 7, "{kind}");
        for (name, size) in [("past", 4), ("fill_past", 100), ("vector_past", 16)] {
            call(&mut store, i, name, 7 * 65536 - size).unwrap();
            for beyond in [7 * 65536 - size + 1, 7 * 65536, i32::MAX, -1, -size] {
                let error = call(&mut store, i, name, beyond).unwrap_err();
                let trap = error.trap();
                assert_eq!(trap, Some(TrapCode::MemoryOutOfBounds), "{kind} {name} {beyond}");
            }
        }
    }
}

fn pooling(engine: &Engine) {
    let pool = PoolingAllocator::new(2, 3 << 16);
    let m = module(
        engine,
        r#"(module (memory (export "memory") 1) (data (i32.const 4) "abc")
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#,
    );
    for round in 0..10 {
        let mut store = Store::new(engine, ());
        let options = with(pool.clone());
        let a = Instance::new_with(&mut store, &m, &[], &options).unwrap();
        Instance::new_with(&mut store, &m, &[], &options).unwrap();
        assert_eq!(pool.in_use(), 2);
        let reported = Instance::new_with(&mut store, &m, &[], &options).unwrap_err().to_string();
        assert!(reported.contains("2 slots") && reported.contains("in use"), "{reported}");
        assert_eq!([1, 2, 1].map(|n| call(&mut store, a, "grow", n).unwrap()), [1, -1, 2]);
        let memory = a.get_memory(&mut store, "memory").unwrap();
        let data = memory.data_mut(&mut store);
        assert_eq!(&data[4..7], b"abc", "round {round}");
        assert!(data[7..].iter().all(|b| *b == 0), "round {round}");
        data.fill(0xaa);
        drop(store);
        assert_eq!(pool.in_use(), 0);
    }
    let mut store = Store::new(engine, ());
    let large = MemoryType::new(4, None);
    let reported = Memory::new_with_allocator(&mut store, large, &pool).unwrap_err().to_string();
    assert!(
        reported.contains("262144 bytes do not fit") && reported.contains("196608"),
        "{reported}"
    );
    assert_eq!(pool.in_use(), 0);
}

fn files(engine: &Engine) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory");
    let allocator = {
        let path = path.clone();
        MemoryAllocatorFunc::new(move |r| Ok(open(&path, r.minimum, r.maximum)?))
    };
    let text =
        GROWER.replace(r#"(memory (export "memory") 1 50)"#, r#"(import "h" "m" (memory 1 50))"#);
    let text = text.replace(r#"(data (i32.const 8) "segment")"#, "");
    for (round, pages) in [(1, 1), (2, 3), (3, 5)] {
        let mut store = Store::new(engine, ());
        let ty = MemoryType::new(pages, Some(50));
        let memory = Memory::new_with_allocator(&mut store, ty, &allocator).unwrap();
        let second = Memory::new_with_allocator(&mut store, ty, &allocator);
        assert!(second.unwrap_err().to_string().contains("locked"));
        let mut linker = Linker::new(engine);
        linker.define("h", "m", memory).unwrap();
        let i = linked(&mut store, &linker, &text);
        assert_eq!(call(&mut store, i, "run", 1).unwrap(), round, "the counter of all rounds");
        assert_eq!(call(&mut store, i, "grow", 1).unwrap(), pages as i32 + 1);
        assert!(memory.data(&store)[(pages as usize + 1) << 16..].iter().all(|b| *b == 0));
        *memory.data_mut(&mut store).last_mut().unwrap() = round as u8;
        drop(store);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((bytes[100], bytes.len()), (round as u8, (pages as usize + 2) << 16));
        assert_eq!(bytes.last(), Some(&(round as u8)));
    }
    // A memory smaller than the file keeps the rest for as long as it does not grow over it.
    let mut store = Store::new(engine, ());
    let ty = MemoryType::new(6, Some(7));
    let memory = Memory::new_with_allocator(&mut store, ty, &allocator).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 7 << 16);
    memory.grow(&mut store, 1).unwrap();
    assert_eq!(memory.data(&store).last(), Some(&0));
    let missing = folder.path().join("no/such");
    assert!(open(missing, 65536, 65536).is_err());
}

fn overcommit(engine: &Engine) {
    let fixed = MemoryAllocatorFunc::new(|r| Ok(FixedMemory::boxed(r.minimum, 1 << 40)?));
    let mut store = Store::new(engine, ());
    let ty = MemoryType { memory64: true, ..MemoryType::new(1, Some(1 << 24)) };
    let memory = Memory::new_with_allocator(&mut store, ty, &fixed).unwrap();
    let before = memory.data(&store).as_ptr();
    // 64 GiB, of which two pages are touched.
    memory.grow(&mut store, (1 << 20) - 1).unwrap();
    memory.data_mut(&mut store)[64 << 30 >> 1] = 1;
    let data = memory.data(&store);
    assert_eq!((data.len(), data.as_ptr(), data[(64 << 30) - 1]), (64 << 30, before, 0));
}

fn wide(engine: &Engine) {
    for plan in [Plan { moves: true, ..Plan::default() }, Plan { guarded: true, ..Plan::default() }]
    {
        let mut store = Store::new(engine, ());
        let i = made(
            &mut store,
            r#"(module (memory i64 1 300) (memory $bytes 10 20 (pagesize 1))
              (data (memory $bytes) (i32.const 3) "abc") (data (i64.const 3) "def")
              (func (export "far") (param i32) (result i32)
                (drop (memory.grow (i64.const 2)))
                (i32.store offset=131072 (i64.extend_i32_u (local.get 0)) (i32.const 77))
                (drop (memory.grow (i64.const 1)))
                (i32.load offset=131072 (i64.extend_i32_u (local.get 0))))
              (func (export "beyond") (param i32) (result i32)
                (i32.load8_u (i64.shl (i64.extend_i32_s (local.get 0)) (i64.const 32))))
              (func (export "byte") (param i32) (result i32) (i32.load8_u $bytes (local.get 0)))
              (func (export "more") (param i32) (result i32) (memory.grow $bytes (local.get 0))))"#,
            Torture::new(plan),
        );
        assert_eq!(call(&mut store, i, "far", 9).unwrap(), 77);
        assert_eq!(call(&mut store, i, "beyond", 0).unwrap(), 0);
        for beyond in [1, -1, i32::MIN] {
            assert!(call(&mut store, i, "beyond", beyond).is_err());
        }
        assert_eq!(call(&mut store, i, "byte", 5).unwrap(), i32::from(b'c'));
        assert!(call(&mut store, i, "byte", 10).is_err());
        assert_eq!([5, 6].map(|n| call(&mut store, i, "more", n).unwrap()), [10, -1]);
        assert_eq!(call(&mut store, i, "byte", 14).unwrap(), 0);
        assert!(call(&mut store, i, "byte", 15).is_err());
    }
}

fn unaligned(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = crate::matrix::instance(
        &mut store,
        r#"(module (memory i64 1)
          (func (export "load") (param i64) (result i32) (i32.atomic.load offset=2 (local.get 0))))"#,
    );
    let load = i.typed_func::<i64, i32>(&mut store, "load").unwrap();
    for (address, code) in [
        (3, TrapCode::UnalignedAtomic),
        (1 << 20, TrapCode::UnalignedAtomic),
        ((1 << 20) + 2, TrapCode::MemoryOutOfBounds),
        (i64::MIN, TrapCode::UnalignedAtomic),
        (i64::MIN + 2, TrapCode::MemoryOutOfBounds),
        // Beyond what an address can be there is nothing to be aligned.
        (-1, TrapCode::MemoryOutOfBounds),
    ] {
        assert_eq!(load.call(&mut store, address).unwrap_err().trap(), Some(code), "{address:#x}");
    }
    assert_eq!(load.call(&mut store, 6).unwrap(), 0);
}

fn most_small_pages(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = crate::matrix::instance(
        &mut store,
        r#"(module (memory (export "m") 0 (pagesize 1))
          (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
          (func (export "size") (result i32) (memory.size)))"#,
    );
    let grow = i.typed_func::<i32, i32>(&mut store, "grow").unwrap();
    let size = i.typed_func::<(), i32>(&mut store, "size").unwrap();
    let memory = i.get_memory(&mut store, "m").unwrap();
    assert_eq!(memory.ty(&store).max_pages(), u64::from(u32::MAX));
    // Not every machine has so many addresses left.
    if grow.call(&mut store, -2).unwrap() == 0 {
        assert_eq!(grow.call(&mut store, 2).unwrap(), -1);
        assert_eq!((size.call(&mut store, ()).unwrap(), memory.size(&store)), (-2, (1 << 32) - 2));
        assert!(memory.grow(&mut store, 2).is_err());
        assert_eq!(grow.call(&mut store, 1).unwrap(), -2);
        assert_eq!((size.call(&mut store, ()).unwrap(), memory.size(&store)), (-1, (1 << 32) - 1));
        assert_eq!(grow.call(&mut store, 1).unwrap(), -1);
    }
}
