//! What errors tell of accesses to memory that made a guest trap.

use crate::matrix::{Behaviour, instance, linked, module};
use wardian::{Engine, Error, Instance, Linker, MemoryType, SharedMemory, Store};

pub(crate) const TABLE: &[Behaviour] = &[
    ("an access out of bounds is reported with address, size and memory", plain),
    ("an access that begins inside of the memory is reported", straddling),
    ("bulk operators tell the range that is out of bounds", bulk),
    ("atomic accesses that are not aligned are reported", unaligned),
    ("accesses of 64-bit memories are reported", wide),
    ("of several memories and instances the right one is reported", several),
    ("a memory that grew, and a shared one, are reported as they are", changed),
    ("no other error tells of an access", others),
];

/// What is reported of a call that traps, again and again as tiers change.
fn reported(store: &mut Store<()>, instance: Instance, name: &str, at: u64) -> Vec<Error> {
    let f = instance.get_func(&mut *store, name).unwrap_or_else(|| panic!("no {name}"));
    let wide = f.ty(&*store).params() == [wardian::ValType::I64];
    let at = if wide { wardian::Val::I64(at as i64) } else { wardian::Val::I32(at as i32) };
    let call = |_| f.call(&mut *store, std::slice::from_ref(&at), &mut []).unwrap_err();
    (0..4).map(call).collect()
}

#[track_caller]
fn check(store: &mut Store<()>, instance: Instance, name: &str, at: u64, expected: &str) {
    for error in reported(store, instance, name, at) {
        let access = error.memory_access().map(|a| a.to_string()).unwrap_or_default();
        assert_eq!(access, expected, "{name} at {at:#x}: {error:#}");
        let long = format!("{error:#}");
        assert!(long.contains(&format!("{error}: {expected}\n")), "{long}");
    }
}

fn plain(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (memory 1)
          (func (export "load8") (param i32) (drop (i32.load8_u (local.get 0))))
          (func (export "load16") (param i32) (drop (i64.load16_s offset=2 (local.get 0))))
          (func (export "load32") (param i32) (drop (i32.load offset=4 (local.get 0))))
          (func (export "float") (param i32) (drop (f64.load (local.get 0))))
          (func (export "store8") (param i32) (i32.store8 offset=1 (local.get 0) (i32.const 3)))
          (func (export "store64") (param i32) (i64.store (local.get 0) (i64.const 3)))
          (func (export "vector") (param i32) (drop (v128.load (local.get 0))))
          (func (export "widened") (param i32) (drop (v128.load8x8_s (local.get 0))))
          (func (export "lane") (param i32)
            (v128.store16_lane 3 (local.get 0) (v128.const i64x2 1 2)))
          (func (export "sum") (param i32)
            (drop (i32.load offset=8 (i32.add (local.get 0) (i32.const 16)))))
          (func (export "index") (param i32) (local i32)
            (local.set 1 (i32.const 4))
            (drop (i32.load (i32.add (local.get 0) (i32.shl (local.get 1) (i32.const 2))))))
          (func (export "far") (param i32)
            (drop (i32.load offset=0xfffffff0 (local.get 0))))
          (func (export "constant") (param i32) (drop (i32.load offset=12 (i32.const -1)))))"#,
    );
    for (name, at, expected) in [
        ("load8", 0x10000, "address 0x10000, 1 byte"),
        ("load8", 0xffff_ffff, "address 0xffffffff, 1 byte"),
        ("load16", 0x10000, "address 0x10002, 2 bytes"),
        ("load32", 0x10000, "address 0x10004, 4 bytes"),
        ("float", 0x20000, "address 0x20000, 8 bytes"),
        ("store8", 0x8000_0000, "address 0x80000001, 1 byte"),
        ("store64", 0x10000, "address 0x10000, 8 bytes"),
        ("vector", 0x12345, "address 0x12345, 16 bytes"),
        ("widened", 0x12345, "address 0x12345, 8 bytes"),
        ("lane", 0x12345, "address 0x12345, 2 bytes"),
        ("sum", 0x10000, "address 0x10018, 4 bytes"),
        ("index", 0x10000, "address 0x10010, 4 bytes"),
        ("far", 0x20, "address 0x100000010, 4 bytes"),
        ("constant", 0, "address 0x10000000b, 4 bytes"),
    ] {
        check(&mut store, i, name, at, &format!("{expected}, memory 0 has 0x10000 bytes"));
    }
}

fn straddling(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let text = r#"(module (memory 1)
      (func (export "load") (param i32) (drop (i64.load offset=2 (local.get 0))))
      (func (export "store") (param i32) (i64.store (local.get 0) (i64.const 1))))"#;
    let i = instance(&mut store, text);
    for (name, at, begins) in [("load", 0xfffc, 0xfffe), ("store", 0xffff, 0xffff)] {
        for error in reported(&mut store, i, name, at) {
            let access = error.memory_access().expect("it is known");
            let known = (access.size(), access.memory(), access.memory_size());
            assert_eq!(known, (8, 0, 0x10000));
            // Guard pages tell the first byte of theirs.
            let found = access.address();
            assert!(found == begins || found == 0x10000, "{name}: {found:#x}");
        }
    }
}

fn bulk(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (memory 1) (data $d "12345678")
          (func (export "from") (param i32)
            (memory.copy (i32.const 8) (local.get 0) (i32.const 4)))
          (func (export "to") (param i32)
            (memory.copy (local.get 0) (i32.const 8) (i32.const 400)))
          (func (export "len") (param i32)
            (memory.copy (i32.const 16) (i32.const 8) (local.get 0)))
          (func (export "fill") (param i32)
            (memory.fill (local.get 0) (i32.const 7) (i32.const 17)))
          (func (export "fill by") (param i32)
            (memory.fill (i32.const 0x100) (i32.const 7) (local.get 0)))
          (func (export "init") (param i32)
            (memory.init $d (local.get 0) (i32.const 1) (i32.const 7))))"#,
    );
    for (name, at, expected) in [
        ("from", 0x10000, "address 0x10000, 4 bytes"),
        ("to", 0xfff0, "address 0xfff0, 400 bytes"),
        ("len", 0x10000, "address 0x10, 65536 bytes"),
        ("fill", 0xfff0, "address 0xfff0, 17 bytes"),
        ("fill by", 0xffff_ffff, "address 0x100, 4294967295 bytes"),
        ("init", 0xfffc, "address 0xfffc, 7 bytes"),
    ] {
        check(&mut store, i, name, at, &format!("{expected}, memory 0 has 0x10000 bytes"));
    }
}

fn unaligned(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (memory 1 1 shared)
          (func (export "load") (param i32) (drop (i32.atomic.load offset=4 (local.get 0))))
          (func (export "add") (param i32)
            (drop (i64.atomic.rmw.add offset=8 (local.get 0) (i64.const 1))))
          (func (export "swap") (param i32)
            (drop (i32.atomic.rmw16.cmpxchg_u (local.get 0) (i32.const 1) (i32.const 2))))
          (func (export "notify") (param i32)
            (drop (memory.atomic.notify (local.get 0) (i32.const 1))))
          (func (export "wait") (param i32)
            (drop (memory.atomic.wait64 (local.get 0) (i64.const 1) (i64.const 0)))))"#,
    );
    for (name, at, expected) in [
        ("load", 0x101, "address 0x105, 4 bytes"),
        ("load", 0x10000, "address 0x10004, 4 bytes"),
        ("add", 0x104, "address 0x10c, 8 bytes"),
        ("add", 0x10000, "address 0x10008, 8 bytes"),
        ("swap", 0x103, "address 0x103, 2 bytes"),
        ("notify", 0x102, "address 0x102, 4 bytes"),
        ("notify", 0x10000, "address 0x10000, 4 bytes"),
        ("wait", 0x104, "address 0x104, 8 bytes"),
        ("wait", 0x20000, "address 0x20000, 8 bytes"),
    ] {
        check(&mut store, i, name, at, &format!("{expected}, memory 0 has 0x10000 bytes"));
    }
}

fn wide(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (memory i64 1)
          (func (export "load") (param i64) (drop (i32.load offset=8 (local.get 0))))
          (func (export "far") (param i64)
            (drop (i32.load offset=0x7000000000000000 (local.get 0))))
          (func (export "fill") (param i64)
            (memory.fill (local.get 0) (i32.const 0) (i64.const 0x100000000)))
          (func (export "add") (param i64)
            (drop (i64.atomic.rmw.add (local.get 0) (i64.const 1)))))"#,
    );
    for (name, at, expected) in [
        ("load", 0xfffe, "address 0x10006, 4 bytes"),
        ("load", 0x7000_0000_0000_0000, "address 0x7000000000000008, 4 bytes"),
        ("far", 0x10, "address 0x7000000000000010, 4 bytes"),
        ("fill", 0x10, "address 0x10, 4294967296 bytes"),
        ("add", 0x11, "address 0x11, 8 bytes"),
        ("add", 0x10000, "address 0x10000, 8 bytes"),
    ] {
        check(&mut store, i, name, at, &format!("{expected}, memory 0 has 0x10000 bytes"));
    }
    // Addresses of 2^63 and more are not reported.
    for (name, at) in [("load", u64::MAX), ("load", 1 << 63), ("far", 0xa000_0000_0000_0000)] {
        for error in reported(&mut store, i, name, at) {
            assert_eq!(error.memory_access(), None, "{name} at {at:#x}: {error:#}");
        }
    }
}

fn several(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let text = r#"(module
      (import "other" "memory" (memory $theirs 2))
      (memory $small 1 (pagesize 1)) (memory $own 3)
      (func (export "theirs") (param i32) (drop (i32.load $theirs (local.get 0))))
      (func (export "small") (param i32) (drop (i32.load16_u $small (local.get 0))))
      (func (export "own") (param i32) (i32.store8 $own (local.get 0) (i32.const 1)))
      (func (export "copy") (param i32)
        (memory.copy $own $theirs (i32.const 0) (local.get 0) (i32.const 300)))
      (func (export "copy back") (param i32)
        (memory.copy $theirs $own (local.get 0) (i32.const 0) (i32.const 300))))"#;
    let other = instance(&mut store, r#"(module (memory (export "memory") 2))"#);
    let mut linker = Linker::new(engine);
    linker.instance(&mut store, "other", other).unwrap();
    let instances = [linked(&mut store, &linker, text), linked(&mut store, &linker, text)];
    for i in instances {
        for (name, at, expected) in [
            ("theirs", 0x20004, "address 0x20004, 4 bytes, memory 0 has 0x20000 bytes"),
            ("small", 0x20, "address 0x20, 2 bytes, memory 1 has 0x1 bytes"),
            ("own", 0x30010, "address 0x30010, 1 byte, memory 2 has 0x30000 bytes"),
            ("copy", 0x20000, "address 0x20000, 300 bytes, memory 0 has 0x20000 bytes"),
            ("copy back", 0x1fff0, "address 0x1fff0, 300 bytes, memory 0 has 0x20000 bytes"),
        ] {
            check(&mut store, i, name, at, expected);
        }
    }
}

fn changed(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (memory 1)
          (func (export "grow") (param i32) (drop (memory.grow (local.get 0))))
          (func (export "load") (param i32) (drop (i32.load (local.get 0)))))"#,
    );
    check(&mut store, i, "load", 0x10000, "address 0x10000, 4 bytes, memory 0 has 0x10000 bytes");
    i.typed_func::<i32, ()>(&mut store, "grow").unwrap().call(&mut store, 2).unwrap();
    check(&mut store, i, "load", 0x30000, "address 0x30000, 4 bytes, memory 0 has 0x30000 bytes");

    let shared =
        SharedMemory::new(engine, MemoryType { shared: true, ..MemoryType::new(1, Some(4)) });
    let mut linker = Linker::new(engine);
    linker.define("h", "m", shared.unwrap()).unwrap();
    let text = r#"(module (import "h" "m" (memory 1 4 shared))
      (func (export "load") (param i32) (drop (i64.load32_u (local.get 0))))
      (func (export "fill") (param i32)
        (memory.fill (local.get 0) (i32.const 1) (i32.const 100))))"#;
    let i = linked(&mut store, &linker, text);
    check(&mut store, i, "load", 0x10001, "address 0x10001, 4 bytes, memory 0 has 0x10000 bytes");
    check(&mut store, i, "fill", 0xfff0, "address 0xfff0, 100 bytes, memory 0 has 0x10000 bytes");
}

fn others(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let text = r#"(module (memory 1) (table 1 funcref) (data $d "12")
      (func (export "load") (param i32) (drop (i32.load (local.get 0))))
      (func (export "unreachable") (param i32) unreachable)
      (func (export "divide") (param i32) (drop (i32.div_u (local.get 0) (i32.const 0))))
      (func (export "table") (param i32) (drop (table.get (i32.const 9))))
      (func (export "segment") (param i32)
        (memory.init $d (i32.const 0) (i32.const 1) (i32.const 2)))
      (func $deep (export "deep") (param i32) (call $deep (local.get 0)) (call $deep (local.get 0))))"#;
    let i = instance(&mut store, text);
    for name in ["unreachable", "divide", "table", "segment", "deep"] {
        // What was known of another trap is not notified of this one.
        check(
            &mut store,
            i,
            "load",
            0x10000,
            "address 0x10000, 4 bytes, memory 0 has 0x10000 bytes",
        );
        for error in reported(&mut store, i, name, 1) {
            assert_eq!(error.memory_access(), None, "{name}: {error:#}");
        }
    }
    // A segment that does not fit.
    let module = module(engine, r#"(module (memory 1) (data (i32.const 65535) "12"))"#);
    let error = Instance::new(&mut store, &module, &[]).unwrap_err();
    let access = error.memory_access().map(|a| a.to_string());
    let expected = "address 0xffff, 2 bytes, memory 0 has 0x10000 bytes";
    assert_eq!(access.as_deref(), Some(expected), "{error:#}");
}
