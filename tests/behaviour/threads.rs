//! Shared memories, and stores on several threads.

use crate::matrix::{Behaviour, instance, linked, module};
use std::time::Duration;
use wardian::{Engine, Instance, Linker, MemoryType, SharedMemory, Store, TrapCode};

pub(crate) const TABLE: &[Behaviour] = &[
    ("atomic additions of several threads are not lost", additions),
    ("a wait is ended by a notification", wait_and_notify),
    ("a shared memory grows under its users", growth),
    ("the host reads and writes a shared memory", host_access),
    ("a store moves between threads", moved),
    ("traps on several threads at once", traps),
    ("unaligned and unshared atomics trap", atomic_traps),
];

fn shared(engine: &Engine, min: u64, max: u64) -> (SharedMemory, Linker<()>) {
    let ty = MemoryType { shared: true, ..MemoryType::new(min, Some(max)) };
    let memory = SharedMemory::new(engine, ty).unwrap();
    let mut linker = Linker::new(engine);
    linker.define("h", "m", memory.clone()).unwrap();
    (memory, linker)
}

const WORKER: &str = r#"(module (import "h" "m" (memory 1 100 shared))
  (func (export "add") (param $n i32)
    (loop $l
      (drop (i64.atomic.rmw.add (i32.const 8) (i64.const 3)))
      (drop (i32.atomic.rmw8.add_u (i32.const 17) (i32.const 1)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "wait") (result i32)
    (memory.atomic.wait32 (i32.const 32) (i32.const 0) (i64.const 10000000000)))
  (func (export "timed") (result i32)
    (memory.atomic.wait64 (i32.const 40) (i64.const 0) (i64.const 1000000)))
  (func (export "unequal") (result i32)
    (memory.atomic.wait32 (i32.const 32) (i32.const 1) (i64.const -1)))
  (func (export "notify") (result i32) (memory.atomic.notify (i32.const 32) (i32.const 1)))
  (func (export "touch") (param i32) (i32.store8 (local.get 0) (i32.const 9)))
  (func (export "grow") (result i32) (memory.grow (i32.const 1))))"#;

fn additions(engine: &Engine) {
    let (memory, linker) = shared(engine, 1, 100);
    let m = module(engine, WORKER);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut store = Store::new(engine, ());
                let i = linker.instantiate(&mut store, &m).unwrap();
                i.typed_func::<i32, ()>(&mut store, "add")
                    .unwrap()
                    .call(&mut store, 10_000)
                    .unwrap();
            });
        }
    });
    let mut bytes = [0; 10];
    memory.read(8, &mut bytes).unwrap();
    assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()), 120_000);
    assert_eq!(bytes[9], (40_000 % 256) as u8);
}

fn wait_and_notify(engine: &Engine) {
    let (_, linker) = shared(engine, 1, 100);
    let m = module(engine, WORKER);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut store = Store::new(engine, ());
            let i = linker.instantiate(&mut store, &m).unwrap();
            i.typed_func::<(), i32>(&mut store, "wait").unwrap().call(&mut store, ()).unwrap()
        });
        let mut store = Store::new(engine, ());
        let i = linker.instantiate(&mut store, &m).unwrap();
        let call = |store: &mut Store<()>, name: &str| {
            i.typed_func::<(), i32>(&mut *store, name).unwrap().call(store, ()).unwrap()
        };
        while call(&mut store, "notify") == 0 {
            assert!(!waiting.is_finished(), "it did not wait");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(waiting.join().unwrap(), 0);
        assert_eq!(call(&mut store, "timed"), 2);
        assert_eq!(call(&mut store, "unequal"), 1);
        assert_eq!(call(&mut store, "notify"), 0);
    });
}

fn growth(engine: &Engine) {
    let (memory, linker) = shared(engine, 1, 100);
    let m = module(engine, WORKER);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut store = Store::new(engine, ());
                let i = linker.instantiate(&mut store, &m).unwrap();
                let grow = i.typed_func::<(), i32>(&mut store, "grow").unwrap();
                let touch = i.typed_func::<i32, ()>(&mut store, "touch").unwrap();
                for _ in 0..20 {
                    let before = grow.call(&mut store, ()).unwrap();
                    assert!(before > 0);
                    touch.call(&mut store, before * 65536 + 65535).unwrap();
                }
            });
        }
    });
    assert_eq!(memory.size(), 81);
    assert_eq!(memory.grow(19).unwrap(), 81);
    assert!(memory.grow(1).is_err());
}

fn host_access(engine: &Engine) {
    let (memory, _) = shared(engine, 1, 1);
    memory.write(65533, b"abc").unwrap();
    let mut bytes = [0; 3];
    memory.read(65533, &mut bytes).unwrap();
    assert_eq!(&bytes, b"abc");
    assert!(memory.write(65534, b"abc").is_err());
    assert!(memory.read(usize::MAX, &mut bytes).is_err());
}

fn moved(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (global $n (mut i32) (i32.const 0)) (func (export "next") (result i32)
          (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
          (func (export "trap") unreachable))"#,
    );
    for n in 1..5 {
        store = std::thread::spawn(move || {
            let next = i.typed_func::<(), i32>(&mut store, "next").unwrap();
            assert_eq!(next.call(&mut store, ()).unwrap(), n);
            let trap = i.typed_func::<(), ()>(&mut store, "trap").unwrap();
            assert_eq!(trap.call(&mut store, ()).unwrap_err().trap(), Some(TrapCode::Unreachable));
            store
        })
        .join()
        .unwrap();
    }
}

fn traps(engine: &Engine) {
    let m = module(
        engine,
        r#"(module (memory 1) (func (export "oob") (param i32) (result i32)
          (i32.load (local.get 0))))"#,
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut store = Store::new(engine, ());
                let i = Instance::new(&mut store, &m, &[]).unwrap();
                let oob = i.typed_func::<i32, i32>(&mut store, "oob").unwrap();
                for n in 0..500 {
                    let error = oob.call(&mut store, 65533 + n * 4_000_000).unwrap_err();
                    assert_eq!(error.trap(), Some(TrapCode::MemoryOutOfBounds));
                    assert_eq!(oob.call(&mut store, 0).unwrap(), 0);
                }
            });
        }
    });
}

fn atomic_traps(engine: &Engine) {
    let (_, linker) = shared(engine, 1, 1);
    let mut store = Store::new(engine, ());
    let i = linked(
        &mut store,
        &linker,
        r#"(module (import "h" "m" (memory 1 1 shared)) (memory $own 1)
          (func (export "load") (param i32) (result i32) (i32.atomic.load (local.get 0)))
          (func (export "wait") (param i32) (result i32)
            (memory.atomic.wait32 (local.get 0) (i32.const 0) (i64.const 0)))
          (func (export "own") (param i32) (result i32)
            (memory.atomic.wait32 $own (local.get 0) (i32.const 0) (i64.const 0))))"#,
    );
    for (name, address, trap) in [
        ("load", 2, TrapCode::UnalignedAtomic),
        ("load", 65536, TrapCode::MemoryOutOfBounds),
        ("wait", 2, TrapCode::UnalignedAtomic),
        ("wait", 65536, TrapCode::MemoryOutOfBounds),
        ("own", 0, TrapCode::AtomicWaitNonShared),
    ] {
        let f = i.typed_func::<i32, i32>(&mut store, name).unwrap();
        let error = f.call(&mut store, address).unwrap_err();
        assert_eq!(error.trap(), Some(trap), "{name} {address}");
    }
}
