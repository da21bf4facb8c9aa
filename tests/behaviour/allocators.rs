//! Memories that the embedder supplies.

use crate::matrix::{Behaviour, linked, module};
use crate::torture::{Lie, Plan, Torture};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use wardian::{
    Caller, Engine, Error, FileMemory, FixedMemory, GuardedMemory, Instance, InstantiateOptions,
    Linker, Memory, MemoryAllocator, MemoryAllocatorFunc, MemoryType, PoolingAllocator,
    SharedMemory, Store, StoreLimits, TrapCode, VecMemory,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("an allocator is asked once for each memory, with type and names", requests),
    ("every memory that is shipped serves every operation", operations),
    ("a memory that moves at every growth is always found", moving),
    ("a memory moves while the host is called, and is found after", moving_under_host),
    ("a moving memory is found by who imports it", moving_imported),
    ("a refused growth is the guest's -1, a refused allocation an error", refusals),
    ("an allocator that panics leaves all as it was", panics),
    ("memories that break promises are not used", broken),
    ("a shared memory that moves is an error, and stays", shared_moves),
    ("a memory is freed exactly once, when its store goes", freed),
    ("a shared memory is freed when the last who has it goes", freed_shared),
    ("guards of the embedder's are as good as the engine's", guards),
    ("other instances keep their code when one has an allocator", own_code),
    ("a pool never shows what another wrote, and is bounded", pooling),
    ("a file shows what the guest wrote, after its store", files),
    ("a maximum may be more than the machine has", overcommit),
    ("limits are asked before the allocator, and told of failures", limiter),
    ("sixty-four-bit memories and pages of one byte have allocators, too", wide),
];

const GROWER: &str = r#"(module $grower (memory (export "memory") 1 50)
  (data (i32.const 8) "segment")
  (func $get (export "get") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func $set (export "set") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "size") (result i32) (memory.size))
  (func (export "run") (param $n i32) (result i32) (local $i i32) (local $sum i32)
    (loop $l
      (i32.store (i32.const 100) (i32.add (i32.load (i32.const 100)) (i32.const 1)))
      (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
      (call $set (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1))
        (local.get $i))
      (local.set $sum (i32.add (local.get $sum)
        (call $get (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)))))
      (local.set $sum (i32.add (local.get $sum) (i32.load (i32.const 100))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
        (local.get $n))))
    (local.get $sum)))"#;

fn with(allocator: impl MemoryAllocator) -> InstantiateOptions<()> {
    InstantiateOptions::new().with_memory_allocator(allocator)
}

fn made(store: &mut Store<()>, text: &str, allocator: impl MemoryAllocator) -> Instance {
    let m = module(store.engine(), text);
    Instance::new_with(store, &m, &[], &with(allocator)).unwrap_or_else(|e| panic!("{e}"))
}

fn call(store: &mut Store<()>, i: Instance, name: &str, argument: i32) -> wardian::Result<i32> {
    i.typed_func::<i32, i32>(&mut *store, name).unwrap().call(store, argument)
}

/// The allocators that are shipped, by name.
fn shipped() -> Vec<(&'static str, Arc<dyn MemoryAllocator>)> {
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

fn requests(engine: &Engine) {
    let torture = Torture::default();
    let m = module(
        engine,
        r#"(module $two (memory 1 3) (memory 2 3 shared) (memory (;unbounded;) 0) (data (i32.const 0) "x"))"#,
    );
    let mut store = Store::new(engine, ());
    let options = with(torture.clone()).with_name("tenant");
    Instance::new_with(&mut store, &m, &[], &options).unwrap();
    let unbounded = format!("0 bytes of {}, shared false", 4u64 << 30);
    let names = r#"for Some("two") as Some("tenant")"#;
    assert_eq!(
        torture.seen(),
        [
            format!("65536 bytes of 196608, shared false, {names}"),
            format!("131072 bytes of 196608, shared true, {names}"),
            format!("{unbounded}, {names}"),
        ]
    );
    let text = r#"(module (import "h" "m" (memory 1)))"#;
    let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    let importer = module(engine, text);
    Instance::new_with(&mut store, &importer, &[memory.into()], &options).unwrap();
    assert_eq!(torture.asked(), 3, "imported memories are there already");
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
    for (kind, allocator) in shipped() {
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

fn moving(engine: &Engine) {
    let torture = Torture::new(Plan { moves: true, ..Plan::default() });
    let mut store = Store::new(engine, ());
    let i = made(&mut store, GROWER, torture);
    let memory = i.get_memory(&mut store, "memory").unwrap();
    assert_eq!(&memory.data(&store)[8..15], b"segment");
    let before = memory.data(&store).as_ptr();
    // Of i from 0 to 39, and of the counter from 1 to 40.
    assert_eq!(call(&mut store, i, "run", 40).unwrap(), 780 + 820);
    assert_ne!(memory.data(&store).as_ptr(), before, "it has moved");
    assert_eq!(&memory.data(&store)[8..15], b"segment");
    assert_eq!(memory.grow(&mut store, 1).unwrap(), 41);
    assert_eq!(memory.data(&store)[41 * 65536 - 1], 39);
    assert_eq!(call(&mut store, i, "get", 41 * 65536 - 1).unwrap(), 39);
    assert!(call(&mut store, i, "get", 42 * 65536).is_err());
}

fn moving_under_host(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    let grow = |mut caller: Caller<'_, ()>, depth: i32| -> Result<(), Error> {
        let memory = caller.get_export("memory").and_then(|e| e.into_memory()).unwrap();
        memory.grow(&mut caller, 1)?;
        memory.data_mut(&mut caller)[depth as usize] += 1;
        let again = caller.get_export("deeper").and_then(|e| e.into_func()).unwrap();
        again.typed::<i32, ()>(&caller)?.call(&mut caller, depth - 1)
    };
    linker.func_wrap("h", "grow", grow).unwrap();
    let m = module(
        engine,
        r#"(module (import "h" "grow" (func $grow (param i32)))
          (memory (export "memory") 1)
          (func $deeper (export "deeper") (param $n i32)
            (i32.store8 offset=1000 (local.get $n) (i32.const 1))
            (if (local.get $n) (then (call $grow (local.get $n))))
            (i32.store8 offset=2000 (local.get $n) (i32.load8_u offset=1000 (local.get $n)))
            (drop (memory.grow (i32.const 1)))
            (i32.store8 offset=3000 (local.get $n) (i32.const 1))))"#,
    );
    let torture = Torture::new(Plan { moves: true, ..Plan::default() });
    let mut store = Store::new(engine, ());
    let i = linker.instantiate_with(&mut store, &m, &with(torture.clone())).unwrap();
    i.typed_func::<i32, ()>(&mut store, "deeper").unwrap().call(&mut store, 10).unwrap();
    let memory = i.get_memory(&mut store, "memory").unwrap();
    assert_eq!(memory.size(&store), 1 + 10 + 11);
    for start in [1000, 2000, 3000] {
        assert_eq!(memory.data(&store)[start..start + 12], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    }
    assert_eq!(memory.data(&store)[..12], [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    drop(store);
    assert_eq!(torture.freed(), 1);
}

fn moving_imported(engine: &Engine) {
    let torture = Torture::new(Plan { moves: true, ..Plan::default() });
    let mut store = Store::new(engine, ());
    let owner = made(&mut store, GROWER, torture);
    let mut linker = Linker::new(engine);
    linker.instance(&mut store, "a", owner).unwrap();
    // Its own memory is the engine's; its code was compiled for those.
    let importer = linked(
        &mut store,
        &linker,
        r#"(module (import "a" "memory" (memory $a 1)) (import "a" "grow" (func $grow (param i32) (result i32)))
          (memory $own 1) (data (memory $own) (i32.const 0) "own")
          (func (export "run") (param $n i32) (result i32) (local $sum i32)
            (loop $l
              (i32.store $a (i32.const 500) (local.get $n))
              (i32.store $own (i32.const 500) (local.get $n))
              (drop (call $grow (i32.const 1)))
              (local.set $sum (i32.add (local.get $sum) (i32.load $a (i32.const 500))))
              (local.set $sum (i32.add (local.get $sum) (i32.load $own (i32.const 500))))
              (memory.copy $a $own (i32.const 600) (i32.const 0) (i32.const 3))
              (drop (memory.grow $a (i32.const 1)))
              (drop (memory.grow $own (i32.const 1)))
              (local.set $sum (i32.add (local.get $sum) (i32.load8_u $a (i32.const 600))))
              (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $sum))
          (func (export "past") (param i32) (result i32) (i32.load $own (local.get 0))))"#,
    );
    assert_eq!(call(&mut store, importer, "run", 10).unwrap(), 55 * 2 + 10 * 111);
    assert_eq!(call(&mut store, owner, "get", 601).unwrap(), i32::from(b'w'));
    assert!(call(&mut store, importer, "past", 11 * 65536 - 3).is_err());
}

fn refusals(engine: &Engine) {
    let torture = Torture::new(Plan { refused_growth: 2, ..Plan::default() });
    let mut store = Store::new(engine, ());
    let i = made(&mut store, GROWER, torture);
    let found = [1, 1, 1, 47, 1].map(|n| call(&mut store, i, "grow", n).unwrap());
    assert_eq!(found, [1, -1, 2, 3, -1], "the last is beyond the type's maximum");
    let memory = i.get_memory(&mut store, "memory").unwrap();
    assert!(memory.grow(&mut store, 1).is_err());
    for nth in 1..=3 {
        let torture = Torture::new(Plan { refused_allocation: nth, ..Plan::default() });
        let m =
            module(engine, "(module (memory 1) (memory 1 2 shared) (memory 1) (table 1 funcref))");
        let mut store = Store::new(engine, ());
        let error = Instance::new_with(&mut store, &m, &[], &with(torture.clone())).unwrap_err();
        assert_eq!(error.to_string(), format!("allocation {nth} is refused"));
        assert_eq!((torture.made(), torture.freed()), (nth - 1, nth - 1), "nothing is left");
        Instance::new_with(&mut store, &m, &[], &with(torture.clone())).unwrap();
        drop(store);
        assert_eq!((torture.made(), torture.freed()), (nth + 2, nth + 2));
    }
}

fn panics(engine: &Engine) {
    for moves in [false, true] {
        let mut store = Store::new(engine, ());
        let torture = Torture::new(Plan { panicking_growth: 2, moves, ..Plan::default() });
        let i = made(&mut store, GROWER, torture.clone());
        assert_eq!(call(&mut store, i, "grow", 1).unwrap(), 1);
        let panic = catch_unwind(AssertUnwindSafe(|| call(&mut store, i, "grow", 1)));
        let panic = panic.unwrap_err();
        let told = panic.downcast_ref::<String>().expect("the panic goes on as it was");
        assert!(told.contains("the memory panics"), "{told}");
        assert_eq!(call(&mut store, i, "get", 8).unwrap(), i32::from(b's'));
        assert_eq!(call(&mut store, i, "grow", 1).unwrap(), 2);
        drop(store);
        assert_eq!(torture.freed(), 1);
    }
    let torture = Torture::new(Plan { panicking_allocation: 2, ..Plan::default() });
    let m = module(engine, "(module (memory 1) (memory 1) (table 3 externref))");
    let mut store = Store::new(engine, ());
    let options = with(torture.clone());
    let panic =
        catch_unwind(AssertUnwindSafe(|| Instance::new_with(&mut store, &m, &[], &options)));
    assert!(panic.is_err());
    assert_eq!((torture.made(), torture.freed()), (1, 1));
    Instance::new_with(&mut store, &m, &[], &options).unwrap();
    drop(store);
    assert_eq!((torture.made(), torture.freed()), (3, 3));
}

fn broken(engine: &Engine) {
    let m = module(engine, GROWER);
    for (lie, word) in [
        (Lie::NullBase, "base is null"),
        (Lie::OddBase, "not a multiple of 16"),
        (Lie::TooShort, "65536 bytes were asked for, but its capacity is 65535"),
    ] {
        let torture = Torture::new(Plan { lie, ..Plan::default() });
        let mut store = Store::new(engine, ());
        let error = Instance::new_with(&mut store, &m, &[], &with(torture.clone())).unwrap_err();
        let told = error.to_string();
        assert!(told.contains(word) && told.contains("memory 1..=50 pages"), "{told}");
        assert_eq!((torture.made(), torture.freed()), (1, 1));
    }
    let torture = Torture::new(Plan { lie: Lie::NullWhenGrown, ..Plan::default() });
    let mut store = Store::new(engine, ());
    let i = made(&mut store, GROWER, torture);
    let told = call(&mut store, i, "grow", 1).unwrap_err().to_string();
    assert!(told.contains("allocator") && told.contains("base is null"), "{told}");
    assert_eq!(call(&mut store, i, "get", 8).unwrap(), i32::from(b's'));
    assert!(call(&mut store, i, "get", 65536).is_err(), "the size is what it was");
    let huge = MemoryType { memory64: true, ..MemoryType::new(1 << 47, None) };
    let torture = Torture::default();
    assert!(Memory::new_with_allocator(&mut store, huge, &torture).is_err());
    assert_eq!(torture.asked(), 0, "nobody is asked for what cannot be");
}

const SHARED: &str = r#"(module (import "h" "m" (memory 1 9 shared))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "add") (param i32) (result i32) (i32.atomic.rmw.add (local.get 0) (i32.const 1))))"#;

fn shared_moves(engine: &Engine) {
    let ty = MemoryType { shared: true, ..MemoryType::new(1, Some(9)) };
    let plan = Plan { pretends_to_move: true, ..Plan::default() };
    let memory = SharedMemory::new_with_allocator(engine, ty, &Torture::new(plan)).unwrap();
    let mut linker = Linker::new(engine);
    linker.define("h", "m", memory.clone()).unwrap();
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, SHARED);
    assert_eq!(call(&mut store, i, "add", 8).unwrap(), 0);
    let told = call(&mut store, i, "grow", 1).unwrap_err().to_string();
    assert!(told.contains("moved"), "{told}");
    assert_eq!(call(&mut store, i, "add", 8).unwrap(), 1);
    assert_eq!(memory.size(), 1);
    assert!(call(&mut store, i, "add", 65536).is_err());
    let told = memory.grow(1).unwrap_err().to_string();
    assert!(told.contains("moved"), "{told}");
    // The heap's memory fits only as long as there is room.
    let heap = MemoryAllocatorFunc::new(|r| Ok(VecMemory::boxed(r.minimum, r.maximum)?));
    let memory = SharedMemory::new_with_allocator(engine, ty, &heap).unwrap();
    assert!(memory.grow(8).is_err());
}

fn freed(engine: &Engine) {
    for (moves, guarded) in [(false, false), (true, false), (false, true)] {
        let torture = Torture::new(Plan { moves, guarded, ..Plan::default() });
        let mut store = Store::new(engine, ());
        let owner = made(&mut store, GROWER, torture.clone());
        let mut linker = Linker::new(engine);
        linker.instance(&mut store, "a", owner).unwrap();
        let text = r#"(module (import "a" "memory" (memory 1))
          (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;
        for _ in 0..3 {
            let importer = linked(&mut store, &linker, text);
            call(&mut store, importer, "grow", 1).unwrap();
        }
        let host =
            Memory::new_with_allocator(&mut store, MemoryType::new(1, None), &torture).unwrap();
        host.grow(&mut store, 2).unwrap();
        // The first fails in a segment, the second in its start function.
        for text in [
            r#"(module (memory 1) (table 1 funcref) (elem (offset (i32.const 9)) func 0) (func))"#,
            r#"(module (memory 1) (start 0) (func (unreachable)))"#,
        ] {
            let m = module(engine, text);
            Instance::new_with(&mut store, &m, &[], &with(torture.clone())).unwrap_err();
        }
        drop(linker);
        assert_eq!((torture.made(), torture.freed()), (4, 0));
        drop(store);
        assert_eq!((torture.made(), torture.freed()), (4, 4));
    }
}

fn freed_shared(engine: &Engine) {
    let torture = Torture::default();
    let m = module(engine, r#"(module (memory (export "m") 1 9 shared))"#);
    let user = module(engine, SHARED);
    let mut store = Store::new(engine, ());
    let i = Instance::new_with(&mut store, &m, &[], &with(torture.clone())).unwrap();
    let memory = i.get_shared_memory(&mut store, "m").unwrap();
    drop(store);
    assert_eq!(torture.freed(), 0);
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let (memory, user, engine) = (memory.clone(), user.clone(), engine.clone());
            std::thread::spawn(move || {
                let mut store = Store::new(&engine, ());
                let i = Instance::new(&mut store, &user, &[memory.into()]).unwrap();
                for round in 0..500 {
                    call(&mut store, i, "add", 16).unwrap();
                    if round % 250 == 1 {
                        assert!(call(&mut store, i, "grow", 1).unwrap() > 0);
                    }
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|w| w.join().unwrap());
    let mut bytes = [0; 4];
    memory.read(16, &mut bytes).unwrap();
    assert_eq!((u32::from_le_bytes(bytes), memory.size()), (1500, 7));
    assert_eq!((torture.made(), torture.freed()), (1, 0));
    drop(memory);
    assert_eq!((torture.made(), torture.freed()), (1, 1));
}

fn guards(engine: &Engine) {
    let torture = Torture::new(Plan { guarded: true, ..Plan::default() });
    let mut store = Store::new(engine, ());
    let m = module(engine, GROWER);
    let before = m.code_size();
    let i = Instance::new_with(&mut store, &m, &[], &with(torture)).unwrap();
    assert_eq!(m.code_size(), before, "the code without checks serves");
    assert_eq!(call(&mut store, i, "run", 40).unwrap(), 780 + 820);
    for beyond in [41 * 65536, 1 << 30, -1] {
        let trap = call(&mut store, i, "get", beyond).unwrap_err().trap();
        assert_eq!(trap, Some(TrapCode::MemoryOutOfBounds));
    }
}

fn uses_signals(engine: &Engine) -> bool {
    format!("{:?}", engine.config()).contains("signals: true")
}

fn own_code(engine: &Engine) {
    let m = module(engine, GROWER);
    let usual = m.code_size();
    let mut store = Store::new(engine, ());
    let plain = Instance::new(&mut store, &m, &[]).unwrap();
    assert_eq!(m.code_size(), usual);
    let torture = Torture::new(Plan { moves: true, ..Plan::default() });
    let custom = Instance::new_with(&mut store, &m, &[], &with(torture)).unwrap();
    // Without signals there is but one way to compile.
    assert_eq!(m.code_size() > usual, uses_signals(engine));
    for i in [plain, custom, plain] {
        call(&mut store, i, "grow", 1).unwrap();
        call(&mut store, i, "run", 2).unwrap();
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
        let told = Instance::new_with(&mut store, &m, &[], &options).unwrap_err().to_string();
        assert!(told.contains("2 slots") && told.contains("in use"), "{told}");
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
    let told = Memory::new_with_allocator(&mut store, large, &pool).unwrap_err().to_string();
    assert!(told.contains("262144 bytes do not fit") && told.contains("196608"), "{told}");
    assert_eq!(pool.in_use(), 0);
}

fn files(engine: &Engine) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory");
    let allocator = {
        let path = path.clone();
        MemoryAllocatorFunc::new(move |r| Ok(FileMemory::open(&path, r.minimum, r.maximum)?))
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
        memory.data_mut(&mut store).last_mut().map(|b| *b = round as u8);
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
    assert!(FileMemory::open(missing, 65536, 65536).is_err());
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

fn limiter(engine: &Engine) {
    let limits = StoreLimits { memory_bytes: 4 << 16, ..StoreLimits::default() };
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    let plan = Plan { refused_allocation: 1, refused_growth: 2, ..Plan::default() };
    let torture = Torture::new(plan);
    let options = InstantiateOptions::new().with_memory_allocator(torture.clone());
    let m = module(engine, GROWER);
    assert!(Instance::new_with(&mut store, &m, &[], &options).is_err());
    assert_eq!(store.data().used_bytes, 0, "what was refused is not used");
    let i = Instance::new_with(&mut store, &m, &[], &options).unwrap();
    let grow = i.typed_func::<i32, i32>(&mut store, "grow").unwrap();
    let found = [4, 1, 1, 2, 1].map(|n| grow.call(&mut store, n).unwrap());
    assert_eq!(found, [-1, 1, -1, 2, -1]);
    assert_eq!(store.data().used_bytes, 4 << 16);
    assert!(Instance::new_with(&mut store, &m, &[], &options).is_err());
    assert_eq!(torture.asked(), 2, "the limit comes first");
    let ty = MemoryType { shared: true, ..MemoryType::new(1, Some(9)) };
    let plan = Plan { refused_growth: 1, ..Plan::default() };
    let memory = SharedMemory::new_with_allocator(engine, ty, &Torture::new(plan)).unwrap();
    store.data_mut().memory_bytes += 1 << 16;
    let user = module(engine, SHARED);
    let i = Instance::new(&mut store, &user, &[memory.into()]).unwrap();
    let grow = i.typed_func::<i32, i32>(&mut store, "grow").unwrap();
    let found = [1, 1, 1].map(|n| grow.call(&mut store, n).unwrap());
    assert_eq!(found, [-1, 1, -1]);
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
