//! Images of stores: what comes back, what does not, and what is refused.

use crate::log::Log;
use crate::matrix::{Behaviour, instance, linked, module};
use crate::torture::open_file;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use wardian::{
    AsContextMut, Caller, CompileOptions, Config, Engine, ErrorKind, ExternRef, Func, Global,
    GlobalType, Instance, Linker, Memory, MemoryType, RefType, SharedMemory, Store, Table,
    TableType, Val, ValType,
    allocator::{FixedMemory, GuardedMemory, MemoryAllocatorFunc, VecMemory},
    image::Image,
    limits::StoreLimits,
    snapshot::Snapshot,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a reset brings memories, tables, globals and segments back", everything),
    ("images of one store are returned to in any order", several),
    ("memories of all kinds come back with their size", memories),
    ("a memory in a file comes back, and the file with it", files),
    ("what the host made comes back as well", of_the_host),
    ("a reset brings fuel back", fuel),
    ("a reset brings objects, exceptions and values of the embedder's back", objects),
    ("a reset after traps, exits, aborted listeners and snapshots", endings),
    ("what was made after an image stays, and nothing old leads to it", made_later),
    ("a guest that was forgotten is over after a reset", forgotten),
    ("images inside of calls, of other stores and of shared memories are refused", refused),
    ("the limiter knows of a reset, and may refuse it", limited),
    ("a thousand resets and images leave nothing behind", a_thousand),
];

/// Calls an export with integers.
pub(crate) fn call(store: &mut Store<()>, i: Instance, name: &str, n: i32) -> i32 {
    let f = i.typed_func::<i32, i32>(&mut *store, name).unwrap();
    f.call(store, n).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// `change` changes everything that it can, in a way that depends on its argument; `sum` is a number that depends on
/// everything.
pub(crate) const GUEST: &str = r#"(module
  (memory (export "m") 1 20) (memory $far i64 1 20) (memory $bytes 100 9000 (pagesize 1))
  (global $i (mut i32) (i32.const 1)) (global $v (mut v128) (v128.const i64x2 1 2))
  (table $t 3 40 funcref) (table $big 9000 20000 funcref) (elem $e funcref (ref.func $two) (ref.func $two))
  (data $d "abcdefgh") (data (i32.const 65000) "here from the start")
  (elem declare func $one) (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
  (func (export "change") (param $n i32) (result i32)
    (i32.store (i32.const 65000) (local.get $n))
    (drop (memory.grow (i32.const 2)))
    (i32.store (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 4)) (local.get $n))
    (drop (memory.grow $far (i64.const 1)))
    (i32.store $far (i64.const 60000) (local.get $n))
    (drop (memory.grow $bytes (i32.const 5)))
    (i32.store8 $bytes (i32.sub (memory.size $bytes) (i32.const 1)) (local.get $n))
    (global.set $i (i32.add (global.get $i) (local.get $n)))
    (global.set $v (i64x2.add (global.get $v) (i64x2.splat (i64.const 7))))
    (if (i32.eqz (local.get $n)) (then (data.drop $d) (elem.drop $e)) (else
      (memory.init $d (i32.const 100) (i32.const 0) (i32.const 8))
      (table.init $t $e (i32.const 1) (i32.const 0) (i32.const 2))))
    (drop (table.grow $t (ref.func $two) (i32.const 4)))
    (drop (table.grow $big (ref.null func) (i32.const 400)))
    (table.set $big (i32.const 8999) (ref.func $one))
    (local.get $n))
  (func $at (param $at i32) (result i32) (i32.load8_u (local.get $at)))
  (func (export "sum") (param $s i32) (result i32) (local $i i32)
    (loop $l
      (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 31)) (i32.load8_u (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.shl (memory.size) (i32.const 16)))))
    (local.set $i (i32.const 0))
    (loop $l
      (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 31)) (i32.load8_u $bytes (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (memory.size $bytes))))
    (local.set $i (i32.const 0))
    (loop $l
      (if (i32.eqz (ref.is_null (table.get $t (local.get $i)))) (then
        (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 31))
          (call_indirect $t (result i32) (local.get $i))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (table.size $t))))
    (local.set $s (i32.add (local.get $s) (ref.is_null (table.get $big (i32.const 8999)))))
    (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 31)) (table.size $big)))
    (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 31)) (global.get $i)))
    (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 31))
      (i32x4.extract_lane 2 (global.get $v))))
    (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 31)) (i32.load $far (i64.const 60000))))
    (i32.add (local.get $s) (i32.wrap_i64 (memory.size $far))))
  (func (export "trap") (param i32) (result i32)
    (i32.store (i32.const 8) (local.get 0)) (i32.store (i32.const 70000000) (local.get 0)) (unreachable)))"#;

fn everything(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, GUEST);
    let fresh = call(&mut store, i, "sum", 0);
    let image = store.image().unwrap();
    assert_eq!(call(&mut store, i, "sum", 0), fresh);
    let mut seen = Vec::new();
    for n in [0, 5, 0, 5] {
        store.reset_to(&image).unwrap();
        assert_eq!(call(&mut store, i, "sum", 0), fresh);
        // It would trap if the segments had stayed dropped.
        call(&mut store, i, "change", n);
        seen.push(call(&mut store, i, "sum", 0));
    }
    assert!(seen[0] == seen[2] && seen[1] == seen[3] && seen[0] != seen[1] && seen[0] != fresh);
    // The memory of an image that is not used any more costs nothing, and another one can be taken.
    drop(image);
    let image = store.image().unwrap();
    call(&mut store, i, "change", 9);
    store.reset_to(&image).unwrap();
    assert_eq!(call(&mut store, i, "sum", 0), seen[3]);
}

fn several(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, GUEST);
    let mut images: Vec<(Image, i32)> = Vec::new();
    for n in 0..5 {
        images.push((store.image().unwrap(), call(&mut store, i, "sum", 0)));
        call(&mut store, i, "change", 5 - n);
    }
    let check = |store: &mut Store<()>, which: usize| {
        let (image, sum) = &images[which];
        store.reset_to(&image.clone()).unwrap();
        assert_eq!(call(store, i, "sum", 0), *sum, "image {which}");
        call(store, i, "change", 3);
    };
    for which in [4, 3, 2, 1, 0, 0, 1, 2, 3, 4, 2, 2, 0, 4] {
        check(&mut store, which);
    }
    // From one image on another way, with a further image.
    check(&mut store, 1);
    let (branch, sum) = (store.image().unwrap(), call(&mut store, i, "sum", 0));
    for which in [4, 0, 2] {
        check(&mut store, which);
        store.reset_to(&branch).unwrap();
        assert_eq!(call(&mut store, i, "sum", 0), sum);
    }
}

const MEMORY: &str = r#"(module (import "h" "m" (memory 1))
  (func (export "get") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "set") (param i32) (result i32) (i32.store8 (local.get 0) (i32.const 7)) (i32.const 0))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;

/// Writes, grows and returns, with a guest that has this memory.
fn comes_back(store: &mut Store<()>, memory: Memory) {
    let m = module(store.engine(), MEMORY);
    let i = Instance::new(&mut *store, &m, &[memory.into()]).unwrap();
    memory.write(&mut *store, 70, &[1]).unwrap();
    let image = store.image().unwrap();
    for _ in 0..3 {
        assert_eq!(call(store, i, "get", 70), 1);
        assert_eq!(call(store, i, "grow", 2), 1);
        assert_eq!(call(store, i, "get", 150_000), 0);
        call(store, i, "set", 70);
        call(store, i, "set", 150_000);
        memory.write(&mut *store, 71, &[1, 2, 3]).unwrap();
        store.reset_to(&image).unwrap();
        assert_eq!(memory.size(&*store), 1);
        assert_eq!(memory.data(&*store)[70..74], [1, 0, 0, 0]);
        let get = i.typed_func::<i32, i32>(&mut *store, "get").unwrap();
        assert!(get.call(&mut *store, 65536).is_err() && get.call(&mut *store, 150_000).is_err());
    }
}

fn memories(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let ty = MemoryType::new(1, Some(9));
    let memory = Memory::new(&mut store, ty).unwrap();
    comes_back(&mut store, memory);
    let fixed = MemoryAllocatorFunc::new(|r| Ok(FixedMemory::boxed(r.minimum, 1 << 20)?));
    let memory = Memory::new_with_allocator(&mut store, ty, &fixed).unwrap();
    comes_back(&mut store, memory);
    let heap = MemoryAllocatorFunc::new(|r| Ok(VecMemory::boxed(r.minimum, 1 << 20)?));
    let memory = Memory::new_with_allocator(&mut store, ty, &heap).unwrap();
    comes_back(&mut store, memory);
    let guarded = MemoryAllocatorFunc::new(|r| Ok(GuardedMemory::boxed(r.minimum, 1 << 20)?));
    let memory = Memory::new_with_allocator(&mut store, ty, &guarded).unwrap();
    comes_back(&mut store, memory);
}

fn files(engine: &Engine) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory");
    let place = path.clone();
    let file = MemoryAllocatorFunc::new(move |r| Ok(open_file(&place, r.minimum, 1 << 20)?));
    let mut store = Store::new(engine, ());
    let ty = MemoryType::new(1, Some(9));
    let memory = Memory::new_with_allocator(&mut store, ty, &file).unwrap();
    comes_back(&mut store, memory);
    assert_eq!(std::fs::read(&path).unwrap()[70..74], [1, 0, 0, 0]);
}

fn of_the_host(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let ty = GlobalType { content: ValType::I64, mutable: true };
    let alone = Global::new(&mut store, ty, Val::I64(1)).unwrap();
    let used = Global::new(&mut store, ty, Val::I64(2)).unwrap();
    let table_type = TableType { element: RefType::FUNC, min: 2, max: Some(9), table64: false };
    let table = Table::new(&mut store, table_type, Val::FuncRef(None)).unwrap();
    let text = r#"(module (import "h" "g" (global $g (mut i64))) (import "h" "t" (table 2 funcref))
      (func (export "go") (global.set $g (i64.const 9)) (drop (table.grow (ref.func 0) (i32.const 3)))
        (table.set (i32.const 1) (ref.func 0)))
      (elem declare func 0))"#;
    let m = module(engine, text);
    let i = Instance::new(&mut store, &m, &[used.into(), table.into()]).unwrap();
    let go = i.typed_func::<(), ()>(&mut store, "go").unwrap();
    let image = store.image().unwrap();
    for _ in 0..2 {
        go.call(&mut store, ()).unwrap();
        alone.set(&mut store, Val::I64(8)).unwrap();
        assert_eq!((used.get(&store), table.size(&store)), (Val::I64(9), 5));
        store.reset_to(&image).unwrap();
        assert_eq!((alone.get(&store), used.get(&store)), (Val::I64(1), Val::I64(2)));
        assert_eq!(table.size(&store), 2);
        assert_eq!(table.get(&mut store, 1), Some(Val::FuncRef(None)));
    }
}

fn fuel(engine: &Engine) {
    let mut config: Config = engine.config().clone();
    let engine = Engine::new(config.fuel(true)).unwrap();
    let mut store = Store::new(&engine, ());
    let i = instance(
        &mut store,
        r#"(module (func (export "spin") (param i32) (result i32)
          (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 0)))"#,
    );
    store.set_fuel(5000).unwrap();
    call(&mut store, i, "spin", 10);
    let left = store.fuel().unwrap();
    assert!(left < 5000);
    let image = store.image().unwrap();
    for _ in 0..2 {
        let spin = i.typed_func::<i32, i32>(&mut store, "spin").unwrap();
        let error = spin.call(&mut store, 100_000).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Stopped(_)), "{error}");
        store.reset_to(&image).unwrap();
        assert_eq!(store.fuel().unwrap(), left);
        call(&mut store, i, "spin", 10);
    }
}

const OBJECTS: &str = r#"(module
  (type $p (struct (field (mut i32)) (field (mut (ref null $p)))))
  (tag $t (param i32 externref))
  (global $list (mut (ref null $p)) (ref.null $p))
  (global $e (mut exnref) (ref.null exn)) (global $x (mut externref) (ref.null extern))
  (table $all 2 anyref) (elem $made anyref (item (struct.new $p (i32.const 70) (ref.null $p))))
  (func (export "push") (param $n i32) (param $x externref) (result (ref $p))
    (global.set $list (struct.new $p (local.get $n) (global.get $list)))
    (table.set $all (i32.const 1) (struct.new $p (local.get $n) (ref.null $p)))
    (table.init $all $made (i32.const 0) (i32.const 0) (i32.const 1))
    (global.set $x (local.get $x))
    (global.set $e (block $r (result exnref)
      (try_table (catch_all_ref $r) (throw $t (local.get $n) (local.get $x))) (unreachable)))
    (if (i32.ge_u (local.get $n) (i32.const 100)) (then (elem.drop $made)))
    (ref.as_non_null (global.get $list)))
  (func (export "read") (param $p (ref $p)) (result i32) (struct.get $p 0 (local.get $p)))
  (func (export "sum") (param i32) (result i32) (local $p (ref null $p))
    (local.set $p (global.get $list))
    (block $end (loop $l
      (br_if $end (ref.is_null (local.get $p)))
      (local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 3)) (struct.get $p 0 (local.get $p))))
      (local.set $p (struct.get $p 1 (local.get $p))) (br $l)))
    (block $v (result i32 externref)
      (try_table (catch $t $v) (throw_ref (global.get $e))) (unreachable))
    (drop) (i32.add (local.get 0)))
  (func (export "garbage") (param i32) (result i32)
    (loop $l (drop (struct.new $p (i32.const 1) (ref.null $p)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 0)))"#;

/// Counts how many of it are alive.
struct Counted(Arc<AtomicU32>);

impl Counted {
    fn value(alive: &Arc<AtomicU32>) -> Val {
        alive.fetch_add(1, Ordering::Relaxed);
        Val::ExternRef(Some(ExternRef::new(Counted(alive.clone()))))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn objects(engine: &Engine) {
    for engine in [engine.clone(), crate::gc::stress(engine)] {
        let alive = Arc::new(AtomicU32::new(0));
        let mut store = Store::new(&engine, ());
        let i = instance(&mut store, OBJECTS);
        let push = i.get_func(&mut store, "push").unwrap();
        let read = i.get_func(&mut store, "read").unwrap();
        let add = |store: &mut Store<()>, n: i32| {
            let mut made = [Val::AnyRef(None)];
            push.call(store, &[Val::I32(n), Counted::value(&alive)], &mut made).unwrap();
            made
        };
        add(&mut store, 5);
        let old = add(&mut store, 6);
        let image = store.image().unwrap();
        let sum = call(&mut store, i, "sum", 0);
        let mut number = [Val::I32(0)];
        for n in [100, 200] {
            let newer = add(&mut store, n);
            assert_ne!(call(&mut store, i, "sum", 0), sum);
            call(&mut store, i, "garbage", 3000);
            store.gc();
            store.reset_to(&image).unwrap();
            // The one of the image: those that were pushed since are gone.
            assert_eq!(alive.load(Ordering::Relaxed), 1);
            call(&mut store, i, "garbage", 3000);
            assert_eq!(call(&mut store, i, "sum", 0), sum);
            read.call(&mut store, &old, &mut number).unwrap();
            assert_eq!(number, [Val::I32(6)]);
            let error = read.call(&mut store, &newer, &mut number).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{error}");
        }
        drop(image);
        add(&mut store, 1);
        drop(store);
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }
}

/// Takes a snapshot with state, changes the memory, and ends in the way that it is asked for.
const ENDINGS: &str = r#"(module
  (import "h" "mark" (func $mark (result i32))) (import "h" "back" (func $back))
  (import "h" "exit" (func $exit))
  (memory 1) (global $n (mut i32) (i32.const 3))
  (func $deep (param i32) (i32.store (i32.const 8) (local.get 0))
    (if (i32.eq (local.get 0) (i32.const 1)) (then (unreachable)))
    (if (i32.eq (local.get 0) (i32.const 2)) (then (call $exit)))
    (if (i32.eq (local.get 0) (i32.const 3)) (then (call $back))))
  (func (export "go") (param i32) (result i32)
    (i32.store (i32.const 4) (i32.const 50)) (global.set $n (i32.const 9)) (drop (memory.grow (i32.const 1)))
    (if (i32.eqz (call $mark)) (then (call $deep (local.get 0))))
    (i32.load (i32.const 8)))
  (func (export "sum") (param i32) (result i32)
    (i32.add (i32.add (i32.load (i32.const 4)) (i32.load (i32.const 8)))
      (i32.add (global.get $n) (memory.size)))))"#;

fn endings(engine: &Engine) {
    let closed = Arc::new(AtomicU32::new(0));
    let log = Log::default();
    let mut linker: Linker<Option<Snapshot>> = Linker::new(engine);
    let mark = |mut caller: Caller<'_, Option<Snapshot>>| -> wardian::Result<i32> {
        let mut taker = caller.get_snapshotter().expect("snapshots are enabled");
        let taken = taker.snapshot_with_state()?;
        *caller.data_mut() = Some(taken);
        Ok(0)
    };
    linker.func_wrap("h", "mark", mark).unwrap();
    let back = |mut caller: Caller<'_, Option<Snapshot>>| {
        let mark = caller.data_mut().take().expect("there is one");
        Err::<(), _>(mark.restore(&mut caller, &[Val::I32(1)]))
    };
    linker.func_wrap("h", "back", back).unwrap();
    let exit = |mut caller: Caller<'_, Option<Snapshot>>| {
        let instance = caller.instance().expect("a guest calls");
        instance.close_with_exit_code(&mut caller, 4);
        Err::<(), _>(wardian::Error::exit(4))
    };
    linker.func_wrap("h", "exit", exit).unwrap();
    let options = CompileOptions::new().with_function_listener_factory(log.factory());
    let m = wardian::Module::new_with(engine, ENDINGS, &options).unwrap();
    let mut store = Store::new(engine, None);
    store.enable_snapshots(true);
    let i = linker.instantiate(&mut store, &m).unwrap();
    let seen = closed.clone();
    i.notify_close(
        &mut store,
        wardian::close::CloseNotifyFunc::new(move |_, code| {
            seen.fetch_add(code, Ordering::Relaxed);
        }),
    );
    let go = i.typed_func::<i32, i32>(&mut store, "go").unwrap();
    let sum = i.typed_func::<i32, i32>(&mut store, "sum").unwrap();
    let image = store.image().unwrap();
    for (round, how) in [0, 1, 2, 3, 2, 0, 3, 1, 2].into_iter().enumerate() {
        let done = go.call(&mut store, how);
        assert_eq!(done.is_err(), how == 1 || how == 2, "{done:?}");
        assert_eq!(i.is_closed(&store), how == 2);
        // A call that is over, in memory of another time.
        if let Some(snapshot) = store.data_mut().take() {
            let error = snapshot.restore(&mut store, &[Val::I32(0)]);
            assert!(!matches!(error.kind(), ErrorKind::Restored));
        }
        if how == 2 {
            assert!(matches!(sum.call(&mut store, 0).unwrap_err().kind(), ErrorKind::Closed(4)));
        }
        store.reset_to(&image).unwrap();
        log.assert_balanced();
        assert!(!i.is_closed(&store) && i.exit_code(&store).is_none());
        assert_eq!(sum.call(&mut store, 0).unwrap(), 4, "round {round}");
    }
    assert_eq!(closed.load(Ordering::Relaxed), 3 * 4, "once in each life");
    i.close(&mut store);
    let image = store.image().unwrap();
    store.reset_to(&image).unwrap();
    assert!(i.is_closed(&store), "it was closed then");
}

fn made_later(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (table (export "t") 1 funcref) (memory (export "m") 1)
          (func (export "call") (param i32) (result i32) (call_indirect (result i32) (i32.const 0))))"#,
    );
    let memory = i.get_memory(&mut store, "m").unwrap();
    let table = i.get_table(&mut store, "t").unwrap();
    let image = store.image().unwrap();
    let text = r#"(module (import "h" "t" (table 1 funcref)) (memory (export "m") 2)
      (global (export "g") (mut i32) (i32.const 5))
      (elem (i32.const 0) $f) (func $f (export "f") (result i32) (i32.const 77)))"#;
    let m = module(engine, text);
    let later = Instance::new(&mut store, &m, &[table.into()]).unwrap();
    assert_eq!(call(&mut store, i, "call", 0), 77);
    let own = later.get_memory(&mut store, "m").unwrap();
    own.write(&mut store, 9, b"later").unwrap();
    let made = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    let func = Func::wrap(&mut store, || 4i32);
    store.reset_to(&image).unwrap();
    let old = i.typed_func::<i32, i32>(&mut store, "call").unwrap();
    assert!(old.call(&mut store, 0).is_err(), "the element is null again");
    // Handles of what was made later are still of that.
    let f = later.typed_func::<(), i32>(&mut store, "f").unwrap();
    assert_eq!(f.call(&mut store, ()).unwrap(), 77);
    assert_eq!(&own.data(&store)[9..14], b"later");
    assert_eq!((own.size(&store), made.size(&store)), (2, 1));
    assert_eq!(func.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 4);
    let another = instance(&mut store, "(module (memory (export \"m\") 3))");
    assert_eq!(another.get_memory(&mut store, "m").unwrap().size(&store), 3);
    assert_eq!(own.size(&store), 2);
    // What relies on a memory as it is now keeps it so.
    memory.grow(&mut store, 2).unwrap();
    memory.write(&mut store, 0, &[6]).unwrap();
    let text = r#"(module (import "h" "m" (memory 3)))"#;
    let m = module(engine, text);
    Instance::new(&mut store, &m, &[memory.into()]).unwrap();
    let error = store.reset_to(&image).unwrap_err();
    assert!(error.to_string().contains("needs 196608"), "{error}");
    assert_eq!((memory.size(&store), memory.data(&store)[0]), (3, 6));
    // Objects of an image cannot be held by what came later.
    let mut store = Store::new(engine, ());
    instance(&mut store, OBJECTS);
    let image = store.image().unwrap();
    instance(&mut store, OBJECTS);
    let error = store.reset_to(&image).unwrap_err();
    assert!(error.to_string().contains("was made since"), "{error}");
}

fn forgotten(engine: &Engine) {
    let log = Log::default();
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap_async("h", "wait", |_, (): ()| Box::pin(pending::<()>())).unwrap();
    let text = r#"(module (import "h" "wait" (func $wait)) (global $n (mut i32) (i32.const 0))
      (func (export "go") (global.set $n (i32.const 1)) (call $wait))
      (func (export "n") (param i32) (result i32) (global.get $n)))"#;
    let options = CompileOptions::new().with_function_listener_factory(log.factory());
    let m = wardian::Module::new_with(engine, text, &options).unwrap();
    let mut store = Store::new(engine, ());
    let i = linker.instantiate(&mut store, &m).unwrap();
    let go = i.typed_func::<(), ()>(&mut store, "go").unwrap();
    let image = store.image().unwrap();
    for _ in 0..2 {
        let mut call = Box::pin(go.call_async(&mut store, ()));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        std::mem::forget(call);
        store.reset_to(&image).unwrap();
        log.assert_balanced();
    }
    assert_eq!(call(&mut store, i, "n", 0), 0);
}

fn refused(engine: &Engine) {
    fn sendable<V: Clone + Send + Sync>(_: &V) {}
    let mut store = Store::new(engine, None::<Image>);
    let image = store.image().unwrap();
    sendable(&image);
    let mut other = Store::new(engine, None::<Image>);
    let error = other.reset_to(&image).unwrap_err();
    assert!(error.to_string().contains("another store"), "{error}");
    *store.data_mut() = Some(image);
    let mut linker: Linker<Option<Image>> = Linker::new(engine);
    let inside = |mut caller: Caller<'_, Option<Image>>| {
        let error = caller.as_context_mut().image().unwrap_err();
        assert!(error.to_string().contains("inside of a call"), "{error}");
        let image = caller.data().clone().expect("it is there");
        let error = caller.as_context_mut().reset_to(&image).unwrap_err();
        assert!(error.to_string().contains("inside of a call"), "{error}");
    };
    linker.func_wrap("h", "inside", inside).unwrap();
    let i = linked(&mut store, &linker, r#"(module (func (export "go") (import "h" "inside")))"#);
    let go = i.typed_func::<(), ()>(&mut store, "go").unwrap();
    go.call(&mut store, ()).unwrap();
    // It may outlive its store.
    let image = store.into_data().unwrap();
    assert!(other.reset_to(&image).is_err());
    let memory =
        SharedMemory::new(engine, MemoryType { shared: true, ..MemoryType::new(1, Some(1)) });
    let m = module(engine, r#"(module (import "h" "m" (memory 1 1 shared)))"#);
    Instance::new(&mut other, &m, &[memory.unwrap().into()]).unwrap();
    let error = other.image().unwrap_err();
    assert!(error.to_string().contains("shared memory"), "{error}");
}

fn limited(engine: &Engine) {
    let limits = StoreLimits { memory_bytes: 10 << 16, ..StoreLimits::default() };
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    let i = instance(&mut store, "(module (memory (export \"m\") 1))");
    let memory = i.get_memory(&mut store, "m").unwrap();
    let small = store.image().unwrap();
    memory.grow(&mut store, 7).unwrap();
    memory.write(&mut store, 500_000, &[3]).unwrap();
    let large = store.image().unwrap();
    store.reset_to(&small).unwrap();
    store.reset_to(&large).unwrap();
    assert_eq!((memory.size(&store), memory.data(&store)[500_000]), (8, 3));
    assert_eq!(store.data().used_bytes, 8 << 16);
    store.reset_to(&small).unwrap();
    assert_eq!(store.data().used_bytes, 1 << 16);
    store.data_mut().memory_bytes = 4 << 16;
    memory.write(&mut store, 0, &[9]).unwrap();
    let error = store.reset_to(&large).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
    assert_eq!((memory.size(&store), memory.data(&store)[0]), (1, 9), "nothing has changed");
    store.data_mut().memory_bytes = 10 << 16;
    store.reset_to(&large).unwrap();
    assert_eq!((memory.size(&store), memory.data(&store)[0]), (8, 0));
}

fn a_thousand(engine: &Engine) {
    let held = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        (std::fs::read_dir("/proc/self/fd").unwrap().count(), maps.lines().count())
    };
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, GUEST);
    let first = store.image().unwrap();
    let sum = call(&mut store, i, "sum", 0);
    call(&mut store, i, "change", 3);
    let mut kept = vec![store.image().unwrap()];
    store.reset_to(&first).unwrap();
    let before = held();
    for round in 0..1000 {
        let n = i32::try_from(round).unwrap();
        match round % 4 {
            0 => kept.push(store.image().unwrap()),
            1 => store.reset_to(&kept[round * 7 % kept.len()]).unwrap(),
            _ => store.reset_to(&first).unwrap(),
        }
        if round % 5 == 0 {
            call(&mut store, i, "change", n);
        }
    }
    // Other tests run in the process.
    let after = held();
    assert!(after.0 < before.0 + 150 && after.1 < before.1 + 400, "{before:?}, then {after:?}");
    drop(kept);
    store.reset_to(&first).unwrap();
    assert_eq!(call(&mut store, i, "sum", 0), sum);
}
