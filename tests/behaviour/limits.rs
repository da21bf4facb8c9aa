//! What a store may use: limiters are notified of all that is taken and of all that is given back.

use crate::matrix::{Behaviour, instance, module};
use std::sync::{Arc, Mutex};
use wardian::{
    Caller, Engine, Error, Func, FuncType, Instance, Linker, Memory, MemoryType, SharedMemory,
    Store, Table, TableType, Val, ValType,
    limits::{ResourceLimiter, StoreLimits},
    snapshot::Snapshot,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a restored state gives back what had grown, again and again", replayed),
    ("later and earlier states are restored with the sizes of then", to_and_fro),
    ("a state that would be too large again is refused, and nothing is lost", refused_growth),
    ("instances that cannot be made give back what they had", failed),
    ("stores that go give back what they had", gone),
    ("tables are limited together, in bytes", tables),
    ("sizes that an embedder asks for are refused if nothing can have them", sizes),
    ("the code of an engine has a limit, and modules that go give theirs back", code),
    ("large tables take memory only where they are written", lazy),
];

/// Counts for several stores.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<StoreLimits>>);

impl Shared {
    fn new(limits: StoreLimits) -> Shared {
        Shared(Arc::new(Mutex::new(limits)))
    }

    fn used(&self) -> [usize; 2] {
        let limits = self.0.lock().unwrap();
        [limits.used_bytes, limits.used_table_bytes]
    }
}

impl ResourceLimiter for Shared {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wardian::Result<bool> {
        self.0.lock().unwrap().memory_growing(current, desired, maximum)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wardian::Result<bool> {
        self.0.lock().unwrap().table_growing(current, desired, maximum)
    }

    fn memory_grow_failed(&mut self, current: usize, desired: usize) {
        self.0.lock().unwrap().memory_grow_failed(current, desired);
    }

    fn memory_shrunk(&mut self, current: usize, left: usize) {
        self.0.lock().unwrap().memory_shrunk(current, left);
    }

    fn table_grow_failed(&mut self, current: usize, desired: usize) {
        self.0.lock().unwrap().table_grow_failed(current, desired);
    }

    fn table_shrunk(&mut self, current: usize, left: usize) {
        self.0.lock().unwrap().table_shrunk(current, left);
    }
}

#[derive(Default)]
struct Host {
    limits: Shared,
    taken: Vec<Snapshot>,
    /// Which snapshots are restored when, in order.
    plan: Vec<usize>,
}

/// Grows a memory and a table: `replay` after a snapshot, and says whether a growth failed; `steps`
/// between two snapshots, and gives the sizes.
const GUEST: &str = r#"(module
  (import "h" "take" (func $take (result i32))) (import "h" "next" (func $next))
  (memory 1 100) (table $t 5 100 funcref) (elem declare func $f) (func $f)
  (func (export "replay") (result i32) (local $failed i32)
    (drop (call $take))
    (local.set $failed (i32.add
      (i32.eq (memory.grow (i32.const 9)) (i32.const -1))
      (i32.eq (table.grow $t (ref.func $f) (i32.const 45)) (i32.const -1))))
    (if (i32.eqz (local.get $failed)) (then (call $next)))
    (local.get $failed))
  (func $sizes (export "sizes") (result i32)
    (i32.add (i32.mul (memory.size) (i32.const 1000)) (table.size $t)))
  (func (export "steps") (result i32)
    (drop (call $take))
    (if (i32.eq (call $sizes) (i32.const 1005)) (then
      (drop (table.grow $t (ref.func $f) (i32.const 15)))
      (drop (memory.grow (i32.const 1)))
      (drop (call $take))))
    ;; Elements that are not null are as they were.
    (if (i32.gt_u (table.size $t) (i32.const 5)) (then
      (if (ref.is_null (table.get $t (i32.const 19))) (then unreachable))))
    (call $next)
    (call $sizes)))"#;

fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker: Linker<Host> = Linker::new(engine);
    linker
        .func_wrap("h", "take", |mut caller: Caller<'_, Host>| -> i32 {
            let mut snapshotter = caller.get_snapshotter().expect("snapshots are enabled");
            let taken = snapshotter.snapshot_with_state().expect("nothing is shared");
            caller.data_mut().taken.push(taken);
            0
        })
        .unwrap()
        .func_wrap("h", "next", |mut caller: Caller<'_, Host>| {
            let host = caller.data_mut();
            if host.plan.is_empty() {
                return Ok(());
            }
            let which = host.plan.remove(0);
            let snapshot = host.taken[which].clone();
            Err::<(), Error>(snapshot.restore(&mut caller, &[Val::I32(1)]))
        })
        .unwrap();
    linker
}

fn store(engine: &Engine, limits: StoreLimits, plan: &[usize]) -> (Store<Host>, Instance) {
    let limits = Shared::new(limits);
    let host = Host { limits, plan: plan.to_vec(), ..Host::default() };
    let mut store = Store::new(engine, host);
    store.limiter(|host| &mut host.limits);
    store.enable_snapshots(true);
    let module = module(engine, GUEST);
    let instance = linker(engine).instantiate(&mut store, &module).unwrap();
    (store, instance)
}

fn replayed(engine: &Engine) {
    // Just enough for one run.
    let limits =
        StoreLimits { memory_bytes: 10 << 16, table_bytes: 50 * 8, ..StoreLimits::default() };
    let (mut store, instance) = store(engine, limits, &[0; 6]);
    let replay = instance.typed_func::<(), i32>(&mut store, "replay").unwrap();
    assert_eq!(replay.call(&mut store, ()).unwrap(), 0, "no growth fails");
    assert!(store.data().plan.is_empty());
    assert_eq!(store.data().limits.used(), [10 << 16, 50 * 8]);
}

fn to_and_fro(engine: &Engine) {
    for (plan, sizes, used) in
        [(&[0usize, 1][..], 2020, [2 << 16, 20 * 8]), (&[1, 0, 0, 1], 2020, [2 << 16, 20 * 8])]
    {
        // The earlier one begins the steps again, so only its sizes are looked at in between.
        let (mut store, instance) = store(engine, StoreLimits::default(), plan);
        let steps = instance.typed_func::<(), i32>(&mut store, "steps").unwrap();
        assert_eq!(steps.call(&mut store, ()).unwrap(), sizes, "{plan:?}");
        assert!(store.data().plan.is_empty());
        assert_eq!(store.data().limits.used(), used, "{plan:?}");
    }
}

/// A guest whose snapshots are restored one after the other, without running in between.
const JUMPS: &str = r#"(module
  (import "h" "take" (func $take (result i32))) (import "h" "next" (func $next))
  (memory 1 100) (table $t 5 100 funcref) (elem declare func $f) (func $f)
  (func $sizes (result i32) (i32.add (i32.mul (memory.size) (i32.const 1000)) (table.size $t)))
  (func (export "run") (result i32)
    (if (call $take) (then (call $next) (return (call $sizes))))
    (drop (memory.grow (i32.const 4))) (drop (table.grow $t (ref.func $f) (i32.const 15)))
    (if (call $take) (then
      (if (ref.is_null (table.get $t (i32.const 19))) (then unreachable))
      (call $next) (return (call $sizes))))
    (call $next)
    (call $sizes)))"#;

fn refused_growth(engine: &Engine) {
    for (room, plan) in [(true, vec![0, 1]), (false, vec![0, 1]), (true, vec![0, 1, 0, 1, 1])] {
        let host = Host { plan, ..Host::default() };
        let mut store = Store::new(engine, host);
        store.limiter(|host| &mut host.limits);
        store.enable_snapshots(true);
        let mut linker = linker(engine);
        linker.allow_shadowing(true);
        linker
            .func_wrap("h", "next", move |mut caller: Caller<'_, Host>| {
                let host = caller.data_mut();
                if host.plan.is_empty() {
                    return Ok(());
                }
                let which = host.plan.remove(0);
                // After the first jump somebody else takes what became free.
                if which == 1 && !room {
                    host.limits.0.lock().unwrap().table_bytes = 19 * 8;
                }
                let snapshot = host.taken[which].clone();
                Err::<(), Error>(snapshot.restore(&mut caller, &[Val::I32(1)]))
            })
            .unwrap();
        let module = module(engine, JUMPS);
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.typed_func::<(), i32>(&mut store, "run").unwrap();
        let ended = run.call(&mut store, ());
        if room {
            assert_eq!(ended.unwrap(), 5020);
            assert_eq!(store.data().limits.used(), [5 << 16, 20 * 8]);
        } else {
            let error = ended.unwrap_err();
            assert!(error.to_string().contains("snapshot"), "{error}");
            assert_eq!(store.data().limits.used(), [1 << 16, 5 * 8], "as before");
        }
    }
}

fn failed(engine: &Engine) {
    let limits = Shared::new(StoreLimits {
        memory_bytes: 4 << 16,
        table_bytes: 100 * 8,
        ..StoreLimits::default()
    });
    let mut store = Store::new(engine, limits.clone());
    store.limiter(|limits| limits);
    for text in [
        "(module (memory 1) (memory 2) (memory 2))",
        "(module (memory 1) (table 40 funcref) (table 70 funcref))",
        "(module (memory 1 2 shared) (table 40 funcref) (table 70 funcref))",
        "(module (table 40 funcref) (table 10000001 funcref))",
    ] {
        let module = module(engine, text);
        for _ in 0..3 {
            assert!(Instance::new(&mut store, &module, &[]).is_err(), "{text}");
            assert_eq!(limits.used(), [0, 0], "{text}");
        }
    }
    let all = module(engine, "(module (memory 4) (table 100 funcref))");
    Instance::new(&mut store, &all, &[]).unwrap();
    assert_eq!(limits.used(), [4 << 16, 800]);
}

fn gone(engine: &Engine) {
    let limits = Shared::default();
    for round in 0..4 {
        let mut store = Store::new(engine, limits.clone());
        store.limiter(|limits| limits);
        instance(&mut store, "(module (memory 3) (table 7 externref))");
        let ValType::Ref(element) = ValType::FUNCREF else { panic!("it is a reference") };
        let ty = TableType { element, min: 9, max: None, table64: false };
        Table::new(&mut store, ty, Val::FuncRef(None)).unwrap();
        assert_eq!(limits.used(), [3 << 16, 16 * 8]);
        if round % 2 == 0 {
            drop(store);
        } else {
            assert_eq!(store.into_data().used(), [0, 0]);
        }
        assert_eq!(limits.used(), [0, 0]);
    }
}

fn tables(engine: &Engine) {
    let limits = StoreLimits { table_bytes: 80, table_elements: 8, ..StoreLimits::default() };
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    let guest = instance(
        &mut store,
        r#"(module (table $a 2 funcref) (table $b 1 externref)
          (func (export "a") (param i32) (result i32)
            (table.grow $a (ref.null func) (local.get 0)))
          (func (export "b") (param i32) (result i32)
            (table.grow $b (ref.null extern) (local.get 0))))"#,
    );
    let [a, b] = ["a", "b"].map(|name| guest.typed_func::<i32, i32>(&mut store, name).unwrap());
    assert_eq!(a.call(&mut store, 7).unwrap(), -1, "one table has too many elements");
    assert_eq!(a.call(&mut store, 5).unwrap(), 2);
    assert_eq!(b.call(&mut store, 3).unwrap(), -1, "all together have too many bytes");
    assert_eq!(b.call(&mut store, 2).unwrap(), 1);
    assert_eq!(store.data().used_table_bytes, 80);
    assert_eq!(b.call(&mut store, 0).unwrap(), 3, "nothing is always there");
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let number = line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok());
    number.unwrap_or(0usize) << 10
}

fn lazy(engine: &Engine) {
    let tables = "(table 10000000 funcref)".repeat(20);
    let text = format!(
        r#"(module (func $f) (table $t 10000000 externref) (table $g 1 funcref) {tables}
          (elem (table 2) (i32.const 5000000) func $f)
          (func (export "run") (param externref) (result i32)
            (table.set $t (i32.const 9999999) (local.get 0))
            (drop (table.grow $g (ref.null func) (i32.const 9999999)))
            (call_indirect 2 (i32.const 5000000))
            (i32.add (ref.is_null (table.get $t (i32.const 4000000)))
              (ref.is_null (table.get $t (i32.const 9999999))))))"#
    );
    let before = resident_bytes();
    let mut store = Store::new(engine, ());
    let guest = instance(&mut store, &text);
    let run = guest.get_func(&mut store, "run").unwrap();
    let mut results = [Val::I32(0)];
    let value = Val::ExternRef(Some(wardian::ExternRef::new(7u16)));
    run.call(&mut store, &[value], &mut results).unwrap();
    assert!(matches!(results, [Val::I32(1)]), "{results:?}");
    assert_eq!(run.ty(&store).params(), [ValType::EXTERNREF]);
    // Other tests run at the same time: all tables together have 1.76 GB.
    let more = resident_bytes().saturating_sub(before);
    assert!(more < 800 << 20, "{more} bytes more");
}

/// Twenty functions, each with code of some kilobytes.
fn bulky() -> String {
    let body = "(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const 77)) (local.get 0)))";
    let function = format!("(func $f (param i32) (result i32) {} (local.get 0))", body.repeat(200));
    let functions: String =
        (0..20).map(|i| function.replace("$f", &format!("(export \"f{i}\")"))).collect();
    format!("(module {functions})")
}

fn code(engine: &Engine) {
    let text = bulky();
    let mut config = engine.config().clone();
    let engine = Engine::new(config.code_limit(20_000)).unwrap();
    for _ in 0..3 {
        let module = match wardian::Module::new(&engine, &text) {
            Ok(module) => module,
            Err(error) => {
                assert!(crate::matrix::is_compiled(&engine), "{error}");
                assert!(error.to_string().contains("more than 20000 bytes"), "{error}");
                continue;
            }
        };
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let mut called = 0;
        let error = loop {
            let f = instance.typed_func::<i32, i32>(&mut store, &format!("f{called}")).unwrap();
            // Hot, where there are tiers.
            match (0..4).try_for_each(|n| f.call(&mut store, n).map(|_| ())) {
                Ok(()) => called += 1,
                Err(error) => break error,
            }
        };
        // What has code runs on.
        assert!((1..19).contains(&called), "{called} were called");
        assert!(error.to_string().contains("more than 20000 bytes"), "{error}");
        let f = instance.typed_func::<i32, i32>(&mut store, "f0").unwrap();
        f.call(&mut store, 1).unwrap();
    }
    let roomy = Engine::new(config.code_limit(10 << 20)).unwrap();
    let mut store = Store::new(&roomy, ());
    let all = instance(&mut store, &text);
    let f = all.typed_func::<i32, i32>(&mut store, "f19").unwrap();
    f.call(&mut store, 1).unwrap();
}

/// Types with sizes that the embedder chose, which may come from anywhere.
fn sizes(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let ValType::Ref(element) = ValType::FUNCREF else { panic!("it is a reference") };
    for count in [1000, 1001, 20_000] {
        let types = || vec![ValType::V128; count];
        for ty in [
            FuncType::new(types(), []),
            FuncType::new([], types()),
            FuncType::new(types(), types()),
        ] {
            let mut linker: Linker<()> = Linker::new(engine);
            let made = [
                Func::try_new(&mut store, ty.clone(), |_, _, _| Ok(())).map(|_| ()),
                Func::try_new_raw(&mut store, ty.clone(), |_, _| Ok(())).map(|_| ()),
                linker.func_new("h", "a", ty.clone(), |_, _, _| Ok(())).map(|_| ()),
                linker.func_raw("h", "b", ty.clone(), |_, _| Ok(())).map(|_| ()),
            ];
            for made in made {
                match made {
                    Ok(()) => assert_eq!(count, 1000),
                    Err(error) => assert!(
                        count > 1000 && error.to_string().contains("it may have 1000"),
                        "{error}"
                    ),
                }
            }
            if count == 1000 {
                let f = Func::new(&mut store, ty.clone(), |_, _, _| Ok(()));
                let values = vec![Val::V128(7); ty.params().len()];
                let mut results = vec![Val::V128(1); ty.results().len()];
                f.call(&mut store, &values, &mut results).unwrap();
                assert!(results.iter().all(|r| matches!(r, Val::V128(0))));
            }
        }
    }
    for (min, max) in [(u64::MAX, None), (5, Some(3)), (10_000_001, None), (1 << 61, Some(1 << 61))]
    {
        let ty = TableType { element, min, max, table64: true };
        assert!(Table::new(&mut store, ty, Val::FuncRef(None)).is_err(), "{ty}");
    }
    let plain = MemoryType::new(1, Some(2));
    for ty in [
        MemoryType { min: 5, ..plain },
        MemoryType { min: u64::MAX, max: None, memory64: true, ..plain },
        MemoryType { min: 1 << 47, max: None, memory64: true, ..plain },
        MemoryType { page_size_log2: 12, ..plain },
        MemoryType { page_size_log2: 200, ..plain },
        MemoryType { min: 65_537, max: None, ..plain },
    ] {
        assert!(Memory::new(&mut store, ty).is_err(), "{}", ty.min);
        let shared = MemoryType { shared: true, max: ty.max.or(Some(u64::MAX)), ..ty };
        assert!(SharedMemory::new(engine, shared).is_err(), "{}", ty.min);
    }
}
