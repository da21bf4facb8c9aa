//! Allocators of memories, and what Wardian asks and finds out.

use crate::matrix::{Behaviour, is_compiled, linked, module};
use crate::torture::{Lie, Plan, Torture};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wardian::{
    Caller, Engine, Error, Instance, InstantiateOptions, Linker, Memory, MemoryType, SharedMemory,
    Store, TrapCode,
    allocator::{MemoryAllocator, MemoryAllocatorFunc, VecMemory},
    limits::StoreLimits,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("an allocator is asked once for each memory, with type and names", requests),
    ("a memory that moves at every growth is always found", moving),
    ("a memory moves while the host is called, and is found after", moving_under_host),
    ("a moving memory is found by who imports it", moving_imported),
    ("a memory may run other guests while it grows", guests_within),
    ("a refused growth is the guest's -1, a refused allocation an error", refusals),
    ("an allocator that panics leaves all as it was", panics),
    ("memories that break promises are not used", broken),
    ("a shared memory that moves is an error, and stays", shared_moves),
    ("a memory is freed exactly once, when its store goes", freed),
    ("a shared memory is freed when the last who has it goes", freed_shared),
    ("guards of the embedder's are as good as the engine's", guards),
    ("other instances keep their code when one has an allocator", own_code),
    ("limits are asked before the allocator, and notified of failures", limiter),
];

pub(crate) const GROWER: &str = r#"(module $grower (memory (export "memory") 1 50)
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

pub(crate) fn with(allocator: impl MemoryAllocator) -> InstantiateOptions<()> {
    InstantiateOptions::new().with_memory_allocator(allocator)
}

pub(crate) fn made(store: &mut Store<()>, text: &str, allocator: impl MemoryAllocator) -> Instance {
    let m = module(store.engine(), text);
    Instance::new_with(store, &m, &[], &with(allocator)).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn call(
    store: &mut Store<()>,
    i: Instance,
    name: &str,
    argument: i32,
) -> wardian::Result<i32> {
    i.typed_func::<i32, i32>(&mut *store, name).unwrap().call(store, argument)
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

fn moving(engine: &Engine) {
    let torture = Torture::new(Plan { moves: true, ..Plan::default() });
    let mut store = Store::new(engine, ());
    let i = made(&mut store, GROWER, torture);
    let memory = i.get_memory(&mut store, "memory").unwrap();
    assert_eq!(&memory.data(&store)[8..15], b"segment");
    // Of i from 0 to 39, and of the counter from 1 to 40.
    assert_eq!(call(&mut store, i, "run", 40).unwrap(), 780 + 820);
    assert_eq!(&memory.data(&store)[8..15], b"segment");
    // After several growths it may be where it was before.
    let before = memory.data(&store).as_ptr();
    assert_eq!(memory.grow(&mut store, 1).unwrap(), 41);
    assert_ne!(memory.data(&store).as_ptr(), before, "it has moved");
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

fn guests_within(engine: &Engine) {
    for moves in [false, true] {
        let torture = Torture::new(Plan { runs_guests: true, moves, ..Plan::default() });
        let mut store = Store::new(engine, ());
        let i = made(&mut store, GROWER, torture);
        assert_eq!(call(&mut store, i, "run", 4).unwrap(), 6 + 10);
        assert!(call(&mut store, i, "get", 5 * 65536).is_err());
    }
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
        let reported = panic.downcast_ref::<String>().expect("the panic goes on as it was");
        assert!(reported.contains("the memory panics"), "{reported}");
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
        let reported = error.to_string();
        assert!(reported.contains(word) && reported.contains("memory 1..=50 pages"), "{reported}");
        assert_eq!((torture.made(), torture.freed()), (1, 1));
    }
    let torture = Torture::new(Plan { lie: Lie::NullWhenGrown, ..Plan::default() });
    let mut store = Store::new(engine, ());
    let i = made(&mut store, GROWER, torture);
    let reported = call(&mut store, i, "grow", 1).unwrap_err().to_string();
    assert!(reported.contains("allocator") && reported.contains("base is null"), "{reported}");
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
    let reported = call(&mut store, i, "grow", 1).unwrap_err().to_string();
    assert!(reported.contains("moved"), "{reported}");
    assert_eq!(call(&mut store, i, "add", 8).unwrap(), 1);
    assert_eq!(memory.size(), 1);
    assert!(call(&mut store, i, "add", 65536).is_err());
    let reported = memory.grow(1).unwrap_err().to_string();
    assert!(reported.contains("moved"), "{reported}");
    let heap = MemoryAllocatorFunc::new(|r| Ok(VecMemory::boxed(r.minimum, r.maximum)?));
    let reported = SharedMemory::new_with_allocator(engine, ty, &heap).unwrap_err().to_string();
    assert!(reported.contains("threads cannot share it"), "{reported}");
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
    assert_eq!(m.code_size() > usual, is_compiled(engine) && uses_signals(engine));
    for i in [plain, custom, plain] {
        call(&mut store, i, "grow", 1).unwrap();
        call(&mut store, i, "run", 2).unwrap();
    }
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
