//! What a guest must not reach: bytes and elements out of bounds, functions of another type, objects of
//! other stores.

use crate::matrix::{Behaviour, instance, linked, module};
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wardian::{
    Engine, Extern, Func, Global, GlobalType, Instance, Linker, Memory, MemoryType, Store, Table,
    TrapCode, Val, ValType,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("every access at every edge of a 32-bit memory is inside or a trap", narrow),
    ("every access at every edge of a 64-bit memory is inside or a trap", wide),
    ("every access at the edges of a second and an imported memory", others),
    ("bulk operators at every edge change all or nothing", bulk),
    ("table operators at every edge reach elements or trap", elements),
    ("functions of another type are not called, whosever they are", signatures),
    ("objects of another store or another engine are refused everywhere", strangers),
];

/// Accesses by the bytes that they touch: an expression with `ADDR` and `OFFSET` in it.
const LOADS: [(u64, &str); 6] = [
    (1, "(i64.load8_u MEM OFFSET ADDR)"),
    (2, "(i64.load16_u MEM OFFSET ADDR)"),
    (4, "(i64.load32_u MEM OFFSET ADDR)"),
    (8, "(i64.load MEM OFFSET ADDR)"),
    (8, "(i64.reinterpret_f64 (f64.load MEM OFFSET ADDR))"),
    (16, "(i64x2.extract_lane 0 (v128.load MEM OFFSET ADDR))"),
];
const STORES: [(u64, &str); 7] = [
    (1, "(i64.store8 MEM OFFSET ADDR (i64.const 0x1122334455667788))"),
    (2, "(i64.store16 MEM OFFSET ADDR (i64.const 0x1122334455667788))"),
    (4, "(i64.store32 MEM OFFSET ADDR (i64.const 0x1122334455667788))"),
    (8, "(i64.store MEM OFFSET ADDR (i64.const 0x1122334455667788))"),
    (8, "(f64.store MEM OFFSET ADDR (f64.reinterpret_i64 (i64.const 0x1122334455667788)))"),
    (4, "(v128.store32_lane MEM OFFSET 2 ADDR (v128.const i64x2 0x99 0x1122334455667788))"),
    (16, "(v128.store MEM OFFSET ADDR (v128.const i64x2 0x1122334455667788 0x99))"),
];

const PAGE: u64 = 65536;

/// Numbers near all that may be an edge.
fn edges(wide: bool) -> Vec<u64> {
    let near = |at: u64| {
        [at.wrapping_sub(16), at.wrapping_sub(8), at.wrapping_sub(1), at, at.wrapping_add(1)]
    };
    let mut all: Vec<u64> = [0, PAGE, 1 << 31, 1 << 32].into_iter().flat_map(near).collect();
    if wide {
        all.extend([1 << 33, 1 << 47, 1 << 48, 1 << 63].into_iter().flat_map(near));
    } else {
        all.iter_mut().for_each(|edge| *edge &= 0xffff_ffff);
    }
    all.sort();
    all.dedup();
    all
}

/// A module with a function for each access and offset, of the memory with this index.
fn accesses(memories: &str, index: u32, wide: bool) -> (String, Vec<(u64, u64, bool)>) {
    let address = if wide { "i64" } else { "i32" };
    let mut text = format!("(module {memories}");
    let mut made = Vec::new();
    let loads = LOADS.map(|(width, text)| (width, text, false));
    let all: Vec<_> = loads.into_iter().chain(STORES.map(|(w, t)| (w, t, true))).collect();
    for (width, body, stores) in all {
        for offset in edges(wide) {
            let body = body
                .replace("MEM", &index.to_string())
                .replace("OFFSET", &format!("offset={offset}"))
                .replace("ADDR", "(local.get 0)");
            let (ty, body) = match stores {
                true => ("", body),
                false => ("(result i64)", body),
            };
            let number = made.len();
            write!(text, "(func (export \"f{number}\") (param {address}) {ty} {body})").unwrap();
            made.push((width, offset, stores));
        }
    }
    text.push(')');
    (text, made)
}

fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}

/// Makes every access of an instance at every edge, and compares with what a slice of bytes would do.
fn compare(
    store: &mut Store<()>,
    i: Instance,
    memory: Memory,
    made: &[(u64, u64, bool)],
    wide: bool,
) {
    let len = memory.data(&*store).len() as u64;
    assert_eq!(len, PAGE);
    for (at, byte) in memory.data_mut(&mut *store).iter_mut().enumerate() {
        *byte = pattern(at);
    }
    let before = memory.data(&*store).to_vec();
    for (number, (width, offset, stores)) in made.iter().copied().enumerate() {
        let f = i.get_func(&mut *store, &format!("f{number}")).unwrap();
        for address in edges(wide) {
            let reported =
                format!("f{number}: {width} bytes at {address:#x} + {offset:#x}, stores {stores}");
            let start = u128::from(address) + u128::from(offset);
            let inside = start + u128::from(width) <= u128::from(len);
            let argument = if wide { Val::I64(address as i64) } else { Val::I32(address as i32) };
            let mut result = [Val::I64(0)];
            let results = if stores { &mut [][..] } else { &mut result[..] };
            let done = f.call(&mut *store, &[argument], results);
            if !inside {
                assert_eq!(
                    done.unwrap_err().trap(),
                    Some(TrapCode::MemoryOutOfBounds),
                    "{reported}"
                );
                continue;
            }
            done.unwrap_or_else(|error| panic!("{reported}: {error}"));
            let range = start as usize..start as usize + width.min(8) as usize;
            if stores {
                let wanted = &0x1122_3344_5566_7788_u64.to_le_bytes()[..range.len()];
                assert_eq!(&memory.data(&*store)[range], wanted, "{reported}");
                let whole = start as usize..(start + u128::from(width)) as usize;
                memory.data_mut(&mut *store)[whole.clone()].copy_from_slice(&before[whole]);
            } else {
                let mut bytes = [0; 8];
                bytes[..range.len()].copy_from_slice(&before[range]);
                assert_eq!(result[0].i64(), Some(i64::from_le_bytes(bytes)), "{reported}");
            }
        }
    }
    assert!(memory.data(&*store) == before, "no other byte was written");
}

fn narrow(engine: &Engine) {
    let (text, made) = accesses("(memory (export \"m\") 1 1)", 0, false);
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, &text);
    let memory = i.get_memory(&mut store, "m").unwrap();
    compare(&mut store, i, memory, &made, false);
}

fn wide(engine: &Engine) {
    let (text, made) = accesses("(memory (export \"m\") i64 1 1)", 0, true);
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, &text);
    let memory = i.get_memory(&mut store, "m").unwrap();
    compare(&mut store, i, memory, &made, true);
}

/// Neighbours, in which nothing may change, lie around the memory that is accessed.
fn others(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let given = Memory::new(&mut store, MemoryType::new(1, Some(1))).unwrap();
    let mut linker = Linker::new(engine);
    linker.define("h", "m", given).unwrap();
    let memories = r#"(memory (import "h" "m") 1 1) (memory (export "a") 2 2)
        (memory (export "m") 1 1) (memory (export "b") 3 3)"#;
    for index in [0, 2] {
        let (text, made) = accesses(memories, index, false);
        let i = linked(&mut store, &linker, &text);
        let [a, m, b] = ["a", "m", "b"].map(|name| i.get_memory(&mut store, name).unwrap());
        let (accessed, neighbour) = if index == 0 { (given, m) } else { (m, given) };
        for around in [a, b, neighbour] {
            around.data_mut(&mut store).fill(0xaa);
        }
        compare(&mut store, i, accessed, &made, false);
        for around in [a, b, neighbour] {
            assert!(around.data(&store).iter().all(|byte| *byte == 0xaa));
        }
    }
}

fn bulk(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (memory (export "m") 1 1) (memory (export "n") 1 1) (data $d "0123456789abcdef")
          (func (export "fill") (param i32 i32 i32)
            (memory.fill (local.get 0) (local.get 1) (local.get 2)))
          (func (export "copy") (param i32 i32 i32)
            (memory.copy (local.get 0) (local.get 1) (local.get 2)))
          (func (export "over") (param i32 i32 i32)
            (memory.copy 0 1 (local.get 0) (local.get 1) (local.get 2)))
          (func (export "init") (param i32 i32 i32)
            (memory.init $d (local.get 0) (local.get 1) (local.get 2))))"#,
    );
    let [m, n] = ["m", "n"].map(|name| i.get_memory(&mut store, name).unwrap());
    n.data_mut(&mut store).fill(0xaa);
    let mut model: Vec<u8> = (0..PAGE as usize).map(pattern).collect();
    m.data_mut(&mut store).copy_from_slice(&model);
    let source = vec![0xaa; PAGE as usize];
    let some = &[0, 1, 15, 16, 17, 65520, 65535, 65536, 65537, 1 << 31, u32::MAX - 1, u32::MAX];
    for name in ["fill", "copy", "over", "init"] {
        let f = i.typed_func::<(u32, u32, u32), ()>(&mut store, name).unwrap();
        for (to, from, count) in some
            .iter()
            .flat_map(|a| some.iter().flat_map(move |b| some.iter().map(move |c| (*a, *b, *c))))
        {
            let reported = format!("{name} {to:#x} {from:#x} {count:#x}");
            let end = |start: u32| start as usize + count as usize;
            let from_len = match name {
                "fill" => usize::MAX,
                "init" => 16,
                _ => PAGE as usize,
            };
            let inside = end(to) <= PAGE as usize && end(from) <= from_len;
            let done = f.call(&mut store, (to, from, count));
            assert_eq!(done.is_ok(), inside, "{reported}");
            if inside {
                let (to, from) = (to as usize..end(to), from as usize);
                match name {
                    "fill" => model[to].fill(from as u8),
                    "init" => {
                        model[to.clone()].copy_from_slice(&b"0123456789abcdef"[from..][..to.len()])
                    }
                    "copy" => model.copy_within(from..from + to.len(), to.start),
                    _ => model[to.clone()].copy_from_slice(&source[from..][..to.len()]),
                }
            } else {
                assert_eq!(
                    done.unwrap_err().trap(),
                    Some(TrapCode::MemoryOutOfBounds),
                    "{reported}"
                );
            }
            assert!(m.data(&store) == model, "{reported}");
        }
    }
    assert!(n.data(&store) == source);
}

fn elements(engine: &Engine) {
    for (ty, wide) in [("", false), ("i64", true)] {
        let address = if wide { "i64" } else { "i32" };
        let mut store = Store::new(engine, ());
        let i = instance(
            &mut store,
            &format!(
                r#"(module (table $before {ty} 4 4 funcref) (table $t (export "t") {ty} 10 10 funcref)
                  (table $after {ty} 4 4 funcref)
                  (elem (table $t) ({address}.const 2) func $f) (func $f)
                  (func (export "get") (param {address}) (drop (table.get $t (local.get 0))))
                  (func (export "set") (param {address}) (table.set $t (local.get 0) (ref.null func)))
                  (func (export "fill") (param {address})
                    (table.fill $t (local.get 0) (ref.null func) ({address}.const 3)))
                  (func (export "copy") (param {address})
                    (table.copy $t $t (local.get 0) ({address}.const 0) ({address}.const 2)))
                  (func (export "call") (param {address}) (call_indirect $t (local.get 0))))"#
            ),
        );
        for (name, count) in [("get", 1), ("set", 1), ("fill", 3), ("copy", 2), ("call", 1)] {
            let f = i.get_func(&mut store, name).unwrap();
            for at in edges(wide).into_iter().chain(0..13) {
                let argument = if wide { Val::I64(at as i64) } else { Val::I32(at as i32) };
                let inside = at.checked_add(count).is_some_and(|end| end <= 10);
                let trap = match f.call(&mut store, &[argument], &mut []) {
                    Ok(()) => None,
                    Err(error) => error.trap(),
                };
                let expected = match name {
                    "call" if !inside => Some(TrapCode::UndefinedElement),
                    _ if !inside => Some(TrapCode::TableOutOfBounds),
                    // All elements are null by now.
                    "call" => Some(TrapCode::IndirectCallToNull),
                    _ => None,
                };
                assert_eq!(trap, expected, "{name} at {at:#x}, 64 bits {wide}");
            }
        }
    }
}

/// Types that functions are called with, and as.
const TYPES: [&str; 13] = [
    "",
    "(param i32)",
    "(param i64)",
    "(param f32)",
    "(param f64)",
    "(param v128)",
    "(param i32 i32)",
    "(result i32)",
    "(param i32) (result i32)",
    "(param i64) (result i64)",
    "(param funcref)",
    "(param externref)",
    "(result i32 i32)",
];

/// A module that calls an element of an imported table as each of these types.
fn callers(types: &[&str]) -> String {
    let mut caller = String::from(r#"(module (import "a" "t" (table 13 13 funcref))"#);
    for (n, ty) in types.iter().enumerate() {
        let argument = |ty: &str| match ty {
            "v128" => "(v128.const i64x2 0 0)".to_owned(),
            "funcref" => "(ref.null func)".to_owned(),
            "externref" => "(ref.null extern)".to_owned(),
            number => format!("({number}.const 0)"),
        };
        let params = ty.strip_prefix("(param ").map_or("", |rest| rest.split(')').next().unwrap());
        let arguments: String = params.split_whitespace().map(argument).collect();
        let results =
            ty.split_once("(result ").map_or(0, |(_, rest)| rest.split_whitespace().count());
        let drops = "(drop)".repeat(results);
        write!(
            caller,
            "(func (export \"c{n}\") (param i32) {arguments} (call_indirect {ty} (local.get 0)) {})",
            drops.replace("(drop)", "drop ")
        )
        .unwrap();
    }
    caller.push(')');
    caller
}

/// Calls through a table with all pairs of some types, of functions of the same module, of another, and of the
/// host.
fn signatures(engine: &Engine) {
    let types = TYPES;
    let mut text = String::from("(module (table (export \"t\") 13 13 funcref) (elem (i32.const 0)");
    (0..types.len()).for_each(|n| write!(text, " $f{n}").unwrap());
    text.push(')');
    for (n, ty) in types.iter().enumerate() {
        write!(text, "(func $f{n} {ty} unreachable)").unwrap();
    }
    text.push(')');
    let caller = callers(&types);
    let mut store = Store::new(engine, ());
    let one = instance(&mut store, &text);
    let table = one.get_table(&mut store, "t").unwrap();
    let mut linker = Linker::new(engine);
    linker.define("a", "t", table).unwrap();
    let two = linked(&mut store, &linker, &caller);
    for round in 0..3 {
        for wanted in 0..types.len() {
            let call = two.typed_func::<i32, ()>(&mut store, &format!("c{wanted}")).unwrap();
            for found in 0..types.len() {
                let error = call.call(&mut store, found as i32).unwrap_err();
                let expected = match wanted == found {
                    true => TrapCode::Unreachable,
                    false => TrapCode::BadSignature,
                };
                let reported = format!("round {round}: `{}` as `{}`", types[found], types[wanted]);
                assert_eq!(error.trap(), Some(expected), "{reported}");
            }
        }
        // Functions of the host are looked at in the same way.
        let host = Func::wrap(&mut store, |_: i32, _: i32| -> () { panic!("it is called") });
        table.set(&mut store, 0, Val::FuncRef(Some(host))).unwrap();
        let call = two.typed_func::<i32, ()>(&mut store, "c0").unwrap();
        assert_eq!(call.call(&mut store, 0).unwrap_err().trap(), Some(TrapCode::BadSignature));
        let again = instance(&mut store, &text);
        let first = again.get_table(&mut store, "t").unwrap().get(&mut store, 0).unwrap();
        table.set(&mut store, 0, first).unwrap();
    }
}

const OWNER: &str = r#"(module (memory (export "m") 1) (table (export "t") 2 funcref)
  (global (export "g") (mut i32) (i32.const 1)) (func (export "f") (param funcref)))"#;

fn strangers(engine: &Engine) {
    let other_engine = Engine::new(engine.config()).unwrap();
    let mut own = Store::new(engine, ());
    let holder = instance(&mut own, OWNER);
    let take = holder.get_func(&mut own, "f").unwrap();
    for mut strange in [Store::new(engine, ()), Store::new(&other_engine, ())] {
        let i = instance(&mut strange, OWNER);
        let f = i.get_func(&mut strange, "f").unwrap();
        let m = i.get_memory(&mut strange, "m").unwrap();
        let t = i.get_table(&mut strange, "t").unwrap();
        let g = i.get_global(&mut strange, "g").unwrap();
        let func = Val::FuncRef(Some(f));
        let table = holder.get_table(&mut own, "t").unwrap();
        let table_ty = table.ty(&own);
        let global_ty = GlobalType { content: ValType::FUNCREF, mutable: true };
        refused(|| take.call(&mut own, std::slice::from_ref(&func), &mut []).is_err());
        refused(|| f.call(&mut own, &[Val::FuncRef(None)], &mut []).is_err());
        refused(|| m.grow(&mut own, 1).is_err());
        refused(|| m.read(&own, 0, &mut [0]).is_err());
        refused(|| m.write(&mut own, 0, &[0]).is_err());
        refused(|| m.data(&own).is_empty());
        refused(|| t.get(&mut own, 0).is_none());
        refused(|| t.set(&mut own, 0, Val::FuncRef(None)).is_err());
        refused(|| t.grow(&mut own, 1, Val::FuncRef(None)).is_err());
        refused(|| g.set(&mut own, Val::I32(3)).is_err());
        refused(|| table.set(&mut own, 0, func.clone()).is_err());
        refused(|| Global::new(&mut own, global_ty, func.clone()).is_err());
        refused(|| Table::new(&mut own, table_ty, func.clone()).is_err());
        refused(|| i.get_func(&mut own, "f").is_none());
        for (name, item, text) in [
            ("m", Extern::from(m), "(memory 1)"),
            ("t", t.into(), "(table 2 funcref)"),
            ("g", g.into(), "(global (mut i32))"),
            ("f", f.into(), "(func (param funcref))"),
        ] {
            let importer = module(engine, &format!(r#"(module (import "s" "{name}" {text}))"#));
            refused(|| {
                let mut linker: Linker<()> = Linker::new(engine);
                linker.define("s", name, item.clone()).is_err()
                    || linker.instantiate(&mut own, &importer).is_err()
            });
            refused(|| Instance::new(&mut own, &importer, std::slice::from_ref(&item)).is_err());
        }
        // Nothing came of it.
        assert!(matches!(table.get(&mut own, 0), Some(Val::FuncRef(None))));
        assert_eq!(g.get(&mut strange).i32(), Some(1));
    }
}

/// An error, or the panic that is documented for methods that return none.
#[track_caller]
fn refused(attempt: impl FnOnce() -> bool) {
    match catch_unwind(AssertUnwindSafe(attempt)) {
        Ok(is_refused) => assert!(is_refused),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied().map(String::from);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap();
            assert!(text.contains("store that it does not belong to"), "{text}");
        }
    }
}
