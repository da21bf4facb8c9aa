//! Instances, memories, limits, and what is left when things go.

use crate::matrix::{Behaviour, instance, linked, module};
use wardian::{
    Engine, EngineKind, ExternRef, Global, GlobalType, Instance, Linker, Memory, MemoryType,
    Module, Store, Val, ValType,
    limits::{ResourceLimiter, StoreLimits},
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("each instance starts from the module's own image", fresh_images),
    ("a memory that is used again shows nothing of its former user", recycled),
    ("what one instance writes for another is not seen later either", recycled_through_calls),
    ("modules share memories, tables and globals", shared_state),
    ("what is imported outlives the handle of its instance", outlives),
    ("limits refuse memories, tables and instances", limits),
    ("a memory that grows by nothing asks no limiter", growth_by_nothing),
    ("an instantiation that fails half-way leaves nothing behind", half_way),
    ("the host grows a memory and sees it through a new borrow", host_growth),
    ("a precompiled module runs, a damaged one is refused", precompiled),
    ("segments that do not fit trap after those before them", segments),
    ("sixty-four-bit memories and tables", wide),
    ("pages of one byte", byte_pages),
    ("several memories keep apart", several),
];

const COUNTER: &str = r#"(module (memory (export "memory") 2)
  (data (i32.const 0) "\05") (data (i32.const 70000) "later")
  (func (export "bump") (result i32)
    (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
    (i32.load8_u (i32.const 0))))"#;

fn fresh_images(engine: &Engine) {
    let m = module(engine, COUNTER);
    for _ in 0..10 {
        let mut store = Store::new(engine, ());
        let a = Instance::new(&mut store, &m, &[]).unwrap();
        let b = Instance::new(&mut store, &m, &[]).unwrap();
        for i in [a, b] {
            let bump = i.typed_func::<(), i32>(&mut store, "bump").unwrap();
            assert_eq!(bump.call(&mut store, ()).unwrap(), 6);
            assert_eq!(bump.call(&mut store, ()).unwrap(), 7);
            let memory = i.get_memory(&mut store, "memory").unwrap();
            assert_eq!(&memory.data(&store)[70000..70005], b"later");
        }
    }
}

fn recycled(engine: &Engine) {
    let plain = module(engine, r#"(module (memory (export "memory") 3))"#);
    let image = module(engine, COUNTER);
    for round in 0..20 {
        let m = if round % 3 == 0 { &image } else { &plain };
        let mut store = Store::new(engine, ());
        let i = Instance::new(&mut store, m, &[]).unwrap();
        let memory = i.get_memory(&mut store, "memory").unwrap();
        memory.grow(&mut store, 2).unwrap();
        let data = memory.data_mut(&mut store);
        let zeroes = data[70005..].iter().all(|b| *b == 0);
        assert!(zeroes, "round {round}");
        assert_eq!(data[0], if round % 3 == 0 { 5 } else { 0 });
        data.fill(0xaa);
    }
}

fn shared_state(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let exporter = instance(
        &mut store,
        r#"(module (memory (export "m") 1 4) (table (export "t") 2 8 funcref)
          (global (export "g") (mut i64) (i64.const 5))
          (func (export "size") (result i32) (memory.size))
          (func (export "call") (param i32) (result i32)
            (call_indirect (result i32) (local.get 0))))"#,
    );
    let mut linker = Linker::new(engine);
    linker.instance(&mut store, "a", exporter).unwrap();
    let importer = linked(
        &mut store,
        &linker,
        r#"(module (import "a" "m" (memory 1)) (import "a" "t" (table 2 funcref))
          (import "a" "g" (global $g (mut i64))) (elem (i32.const 1) $seven)
          (func $seven (result i32) (i32.const 7))
          (func (export "work") (result i32)
            (global.set $g (i64.const 6)) (i32.store (i32.const 65536) (i32.const 1))
            (memory.grow (i32.const 1)))
          (func (export "grow") (result i32) (memory.grow (i32.const 1))))"#,
    );
    let grow = importer.typed_func::<(), i32>(&mut store, "grow").unwrap();
    let work = importer.typed_func::<(), i32>(&mut store, "work").unwrap();
    let size = exporter.typed_func::<(), i32>(&mut store, "size").unwrap();
    let call = exporter.typed_func::<i32, i32>(&mut store, "call").unwrap();
    assert!(work.call(&mut store, ()).is_err(), "the memory has one page yet");
    assert_eq!(grow.call(&mut store, ()).unwrap(), 1);
    assert_eq!(work.call(&mut store, ()).unwrap(), 2);
    assert_eq!(size.call(&mut store, ()).unwrap(), 3);
    assert_eq!(call.call(&mut store, 1).unwrap(), 7);
    assert!(call.call(&mut store, 0).is_err());
    let global = exporter.get_global(&mut store, "g").unwrap();
    assert_eq!(global.get(&store).i64(), Some(6));
}

fn outlives(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let mut linker = Linker::new(engine);
    {
        let m = module(engine, r#"(module (func (export "f") (result i32) (i32.const 3)))"#);
        let exporter = Instance::new(&mut store, &m, &[]).unwrap();
        linker.instance(&mut store, "a", exporter).unwrap();
    }
    let importer = linked(
        &mut store,
        &linker,
        r#"(module (import "a" "f" (func $f (result i32)))
          (func (export "g") (result i32) (call $f)))"#,
    );
    drop(linker);
    let g = importer.typed_func::<(), i32>(&mut store, "g").unwrap();
    assert_eq!(g.call(&mut store, ()).unwrap(), 3);
}

fn limits(engine: &Engine) {
    let limits = StoreLimits {
        memory_bytes: 3 << 16,
        table_elements: 10,
        instances: 2,
        ..StoreLimits::default()
    };
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    let i = instance(
        &mut store,
        r#"(module (memory 1) (table $t 4 funcref)
          (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
          (func (export "table") (param i32) (result i32)
            (table.grow $t (ref.null func) (local.get 0))))"#,
    );
    let grow = i.typed_func::<i32, i32>(&mut store, "grow").unwrap();
    let table = i.typed_func::<i32, i32>(&mut store, "table").unwrap();
    let found = [3, 2, 1].map(|n| grow.call(&mut store, n).unwrap());
    assert_eq!(found, [-1, 1, -1]);
    let found = [7, 6, 1].map(|n| table.call(&mut store, n).unwrap());
    assert_eq!(found, [-1, 4, -1]);
    for (text, word) in
        [("(module (memory 1))", "memory"), ("(module (table 11 funcref))", "table")]
    {
        let m = module(engine, text);
        let reported = Instance::new(&mut store, &m, &[]).unwrap_err().to_string();
        assert!(reported.contains("limits") && reported.contains(word), "{reported}");
    }
    let empty = module(engine, "(module)");
    Instance::new(&mut store, &empty, &[]).unwrap();
    assert!(Instance::new(&mut store, &empty, &[]).is_err());
}

fn host_growth(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let memory = Memory::new(&mut store, MemoryType::new(1, Some(3))).unwrap();
    assert_eq!(memory.data(&store).len(), 65536);
    assert_eq!(memory.grow(&mut store, 2).unwrap(), 1);
    assert!(memory.grow(&mut store, 1).is_err());
    memory.write(&mut store, 3 * 65536 - 2, &[1, 2]).unwrap();
    assert!(memory.write(&mut store, 3 * 65536 - 1, &[1, 2]).is_err());
    let mut two = [0; 2];
    memory.read(&store, 3 * 65536 - 2, &mut two).unwrap();
    assert_eq!(two, [1, 2]);
    assert!(Memory::new(&mut store, MemoryType::new(70000, None)).is_err());
}

fn precompiled(engine: &Engine) {
    let serialized = module(engine, COUNTER).serialize();
    if engine.config().engine_kind() == EngineKind::Interpreted {
        let error = serialized.unwrap_err().to_string();
        assert!(error.contains("the engine compiles nothing"), "{error}");
        return;
    }
    let bytes = serialized.unwrap();
    // SAFETY: the bytes come from `serialize`.
    #[allow(unsafe_code)]
    let take = |bytes: &[u8]| unsafe { Module::deserialize(engine, bytes) };
    let m = take(&bytes).unwrap();
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &m, &[]).unwrap();
    let bump = i.typed_func::<(), i32>(&mut store, "bump").unwrap();
    assert_eq!(bump.call(&mut store, ()).unwrap(), 6);
    for cut in [0, 7, 20, 60, bytes.len() - 1] {
        assert!(take(&bytes[..cut]).is_err());
    }
    for at in (0..bytes.len()).step_by(bytes.len() / 50) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 4;
        assert!(take(&bytes).is_err(), "a flipped bit at {at}");
    }
}

fn segments(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    let mut linker = Linker::new(engine);
    linker.define("h", "m", memory).unwrap();
    let m = module(
        engine,
        r#"(module (import "h" "m" (memory 1)) (data (i32.const 8) "first")
          (data (i32.const 65534) "second"))"#,
    );
    let error = linker.instantiate(&mut store, &m).unwrap_err();
    assert_eq!(error.to_string(), "trap: out of bounds memory access");
    assert_eq!(&memory.data(&store)[8..13], b"first");
    assert_eq!(&memory.data(&store)[65534..], [0, 0]);
}

fn wide(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (memory i64 1 200000) (table $t i64 2 funcref)
          (func (export "store") (param i64 i32) (i32.store offset=4 (local.get 0) (local.get 1)))
          (func (export "load") (param i64) (result i32) (i32.load offset=4 (local.get 0)))
          (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0)))
          (func (export "table") (param i64) (result i64)
            (table.grow $t (ref.null func) (local.get 0))))"#,
    );
    let put = i.typed_func::<(i64, i32), ()>(&mut store, "store").unwrap();
    let get = i.typed_func::<i64, i32>(&mut store, "load").unwrap();
    let grow = i.typed_func::<i64, i64>(&mut store, "grow").unwrap();
    let table = i.typed_func::<i64, i64>(&mut store, "table").unwrap();
    put.call(&mut store, (65528, 77)).unwrap();
    for far in [65529, 1 << 32, i64::MAX, -1, -4, -5, -8] {
        assert!(get.call(&mut store, far).is_err(), "{far}");
    }
    // Past the first reservation, so that it moves.
    assert_eq!(grow.call(&mut store, 2000).unwrap(), 1);
    assert_eq!(get.call(&mut store, 65528).unwrap(), 77);
    put.call(&mut store, (2001 * 65536 - 8, 5)).unwrap();
    assert_eq!(get.call(&mut store, 2001 * 65536 - 8).unwrap(), 5);
    assert_eq!(grow.call(&mut store, i64::MAX).unwrap(), -1);
    assert_eq!(table.call(&mut store, 3).unwrap(), 2);
    assert_eq!(table.call(&mut store, 1 << 40).unwrap(), -1);
}

fn byte_pages(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (memory 10 20 (pagesize 1)) (data (i32.const 3) "abc")
          (func (export "get") (param i32) (result i32) (i32.load8_u (local.get 0)))
          (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#,
    );
    let get = i.typed_func::<i32, i32>(&mut store, "get").unwrap();
    let grow = i.typed_func::<i32, i32>(&mut store, "grow").unwrap();
    assert_eq!(get.call(&mut store, 5).unwrap(), i32::from(b'c'));
    assert!(get.call(&mut store, 10).is_err());
    assert_eq!(grow.call(&mut store, 5).unwrap(), 10);
    assert_eq!(get.call(&mut store, 14).unwrap(), 0);
    assert!(get.call(&mut store, 15).is_err());
    assert_eq!(grow.call(&mut store, 6).unwrap(), -1);
}

fn several(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let ty = GlobalType { content: ValType::I32, mutable: false };
    let offset = Global::new(&mut store, ty, Val::I32(4)).unwrap();
    let mut linker = Linker::new(engine);
    linker.define("h", "at", offset).unwrap();
    let i = linked(
        &mut store,
        &linker,
        r#"(module (import "h" "at" (global $at i32)) (memory $a 1) (memory $b 2)
          (data (memory $b) (offset (i32.add (global.get $at) (i32.const 1))) "x")
          (func (export "run") (result i32)
            (i32.store8 $a (i32.const 5) (i32.const 1))
            (memory.copy $a $b (i32.const 6) (i32.const 5) (i32.const 1))
            (memory.fill $b (i32.const 65536) (i32.const 3) (i32.const 65536))
            (i32.add (i32.load16_u $a (i32.const 5)) (i32.load8_u $b (i32.const 131071)))))"#,
    );
    let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 0x7801 + 3);
}

/// Allows what a new memory has, and counts how often it is asked.
struct Counting(usize);

impl ResourceLimiter for Counting {
    fn memory_growing(
        &mut self,
        current: usize,
        _: usize,
        _: Option<usize>,
    ) -> wardian::Result<bool> {
        self.0 += 1;
        Ok(current == 0)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wardian::Result<bool> {
        Ok(true)
    }
}

fn growth_by_nothing(engine: &Engine) {
    let mut store = Store::new(engine, Counting(0));
    store.limiter(|limiter| limiter);
    let i = instance(
        &mut store,
        r#"(module (memory 2 9)
          (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
          (func (export "nothing") (result i32) (memory.grow (i32.const 0))))"#,
    );
    let grow = i.typed_func::<i32, i32>(&mut store, "grow").unwrap();
    let nothing = i.typed_func::<(), i32>(&mut store, "nothing").unwrap();
    let asked = store.data().0;
    assert_eq!(grow.call(&mut store, 0).unwrap(), 2);
    assert_eq!(nothing.call(&mut store, ()).unwrap(), 2);
    assert_eq!(store.data().0, asked);
    assert_eq!(grow.call(&mut store, 1).unwrap(), -1);
    assert_eq!(store.data().0, asked + 1);
}

fn half_way(engine: &Engine) {
    let limits = StoreLimits { table_elements: 10, tables: 3, ..StoreLimits::default() };
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    let m = module(
        engine,
        "(module (memory 1) (table 5 externref) (table 5 externref) (table 11 externref))",
    );
    let keeper = instance(
        &mut store,
        r#"(module (table $t (export "t") 1 externref)
          (func (export "keep") (param externref) (table.set $t (i32.const 0) (local.get 0))))"#,
    );
    for _ in 0..50 {
        assert!(Instance::new(&mut store, &m, &[]).is_err());
    }
    // Collections look at every table of the store.
    let keep = keeper.typed_func::<Option<ExternRef>, ()>(&mut store, "keep").unwrap();
    for n in 0..5000u32 {
        keep.call(&mut store, Some(ExternRef::new(n))).unwrap();
    }
    let two = module(engine, "(module (table 1 funcref) (table 1 funcref))");
    Instance::new(&mut store, &two, &[]).unwrap();
    assert!(Instance::new(&mut store, &two, &[]).is_err());
}

fn recycled_through_calls(engine: &Engine) {
    let owner = module(
        engine,
        r#"(module (memory (export "memory") 1) (data (i32.const 9) "image")
          (table (export "t") 1 funcref) (elem (i32.const 0) $write)
          (func $write (export "write") (i32.store (i32.const 100) (i32.const -1))))"#,
    );
    for (import, call) in [
        (r#"(import "a" "write" (func $write))"#, "(call $write)"),
        (r#"(import "a" "t" (table 1 funcref))"#, "(call_indirect (i32.const 0))"),
    ] {
        let user = format!(r#"(module {import} (func (export "run") {call}))"#);
        for _ in 0..3 {
            let mut store = Store::new(engine, ());
            let a = Instance::new(&mut store, &owner, &[]).unwrap();
            let mut linker = Linker::new(engine);
            linker.instance(&mut store, "a", a).unwrap();
            let memory = a.get_memory(&mut store, "memory").unwrap();
            let mut bytes = [1; 4];
            memory.read(&store, 100, &mut bytes).unwrap();
            assert_eq!(bytes, [0; 4], "{call}");
            let user = linked(&mut store, &linker, &user);
            user.typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
            memory.read(&store, 100, &mut bytes).unwrap();
            assert_eq!(bytes, [255; 4]);
        }
    }
}
