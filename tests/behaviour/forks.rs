//! Forks of stores: parent and child have the same state, and each goes its own way.

use crate::checkpoints::{Host, capturing, linker, same, sources, whole};
use crate::image::{GUEST, call};
use crate::matrix::{Behaviour, instance, is_compiled, linked, module};
use wardian::{
    Caller, Config, Engine, ErrorKind, Extern, ExternRef, Func, Global, GlobalType, Instance,
    Linker, Memory, MemoryType, RefType, Result, SharedMemory, Store, Table, TableType, Val,
    ValType, checkpoint::Checkpoints, fork::Fork, limits::StoreLimits,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a fork has what its parent had, and each goes its own way", idle),
    ("forks of forks, on threads of their own", generations),
    ("a fork in a host call continues like its parent", in_calls),
    ("what the embedder gave is new in a fork", of_the_host),
    ("values and functions of the embedder's are shared with a fork", shared),
    ("handles have counterparts in a fork", counterparts),
    ("a fork has fuel and closed instances, and the limiter that it is given", settings),
    ("what cannot be forked is refused by name", refused),
    ("a thousand forks leave nothing behind", a_thousand),
];

/// The engine, and one whose memories are made to be forked.
fn engines(engine: &Engine) -> [Engine; 2] {
    let mut config = engine.config().clone();
    [engine.clone(), Engine::new(config.forkable_memories(true)).expect("it works")]
}

fn idle(engine: &Engine) {
    for engine in engines(engine) {
        let mut parent = Store::new(&engine, ());
        let i = instance(&mut parent, GUEST);
        let fresh = call(&mut parent, i, "sum", 0);
        let mut fork = parent.fork(()).unwrap();
        assert!(!fork.resumed.is_running());
        let other = fork.resumed.instances()[0];
        let child = &mut fork.store;
        assert_eq!(call(child, other, "sum", 0), fresh);
        call(&mut parent, i, "change", 5);
        let changed = call(&mut parent, i, "sum", 0);
        assert_eq!(call(child, other, "sum", 0), fresh, "the parent's changes are its own");
        call(child, other, "change", 0);
        assert_ne!(call(child, other, "sum", 0), fresh);
        assert_eq!(call(&mut parent, i, "sum", 0), changed, "so are the child's");
        // An image of each, after the fork, and another child of the parent.
        let image = parent.image().unwrap();
        let of_child = child.image().unwrap();
        let mut second = parent.fork(()).unwrap();
        call(&mut parent, i, "change", 7);
        let before = call(child, other, "sum", 0);
        call(child, other, "change", 0);
        parent.reset_to(&image).unwrap();
        child.reset_to(&of_child).unwrap();
        assert_eq!(call(&mut parent, i, "sum", 0), changed);
        assert_eq!(call(child, other, "sum", 0), before);
        drop(parent);
        let third = second.resumed.instances()[0];
        assert_eq!(call(&mut second.store, third, "sum", 0), changed);
    }
}

fn changes(store: &mut Store<()>, i: Instance, from: i32, to: i32) {
    for n in from..=to {
        call(store, i, "change", n);
    }
}

fn generations(engine: &Engine) {
    const STEPS: i32 = 5;
    for engine in engines(engine) {
        let new = || {
            let mut store = Store::new(&engine, ());
            let i = instance(&mut store, GUEST);
            (store, i)
        };
        let (mut store, i) = new();
        changes(&mut store, i, 1, STEPS);
        let expected = call(&mut store, i, "sum", 0);
        let (mut store, i) = new();
        let mut threads = Vec::new();
        for n in 1..=STEPS {
            call(&mut store, i, "change", n);
            let Fork { store: mut child, resumed, .. } = store.fork(()).unwrap();
            threads.push(std::thread::spawn(move || {
                let i = resumed.instances()[0];
                // A grandchild is forked in the middle, and takes the rest.
                let middle = n + (STEPS - n) / 2;
                changes(&mut child, i, n + 1, middle);
                let Fork { store: mut grandchild, resumed, .. } = child.fork(()).unwrap();
                call(&mut child, i, "change", 0);
                drop(child);
                let i = resumed.instances()[0];
                changes(&mut grandchild, i, middle + 1, STEPS);
                assert_eq!(call(&mut grandchild, i, "sum", 0), expected);
            }));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(call(&mut store, i, "sum", 0), expected);
    }
}

/// Children that were made in host calls.
#[derive(Default)]
struct Family(Vec<Fork<Family>>);

/// Adds what `ask` answers to numbers in its memory and its locals.
const ASKING: &str = r#"(module (import "h" "ask" (func $ask (param i32) (result i32)))
  (memory 4) (global $g (mut i32) (i32.const 0))
  (func $step (param $n i32) (result i32)
    (i32.store (i32.const 200000) (i32.add (i32.load (i32.const 200000)) (call $ask (local.get $n))))
    (global.set $g (i32.add (global.get $g) (i32.const 1000)))
    (i32.add (i32.load (i32.const 200000)) (global.get $g)))
  (func (export "run") (param $n i32) (result i32) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (call $step (local.get $n))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))"#;

/// The same in Rust.
fn asked(answers: &[i32]) -> i32 {
    let (mut stored, mut sum) = (0, 0);
    for (n, answer) in (1..).zip(answers) {
        stored += answer;
        sum += stored + n * 1000;
    }
    sum
}

fn in_calls(engine: &Engine) {
    for engine in sources(engine).iter().flat_map(engines) {
        let mut linker: Linker<Family> = Linker::new(&engine);
        let ask = |mut caller: Caller<'_, Family>, n: i32| -> Result<i32> {
            // Four calls; two children of the second, which have other answers there.
            if n == 3 {
                for _ in 0..2 {
                    let child = caller.fork(Family::default())?;
                    caller.data_mut().0.push(child);
                }
            }
            Ok(n)
        };
        linker.func_wrap("h", "ask", ask).unwrap();
        let mut store = Store::new(&engine, Family::default());
        let i = linked(&mut store, &linker, ASKING);
        let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
        for _ in 0..3 {
            let mut fresh = store.fork(Family::default()).unwrap();
            let run = fresh.counterparts.of(&store, &mut fresh.store, run).unwrap();
            assert_eq!(run.call(&mut fresh.store, 4).unwrap(), asked(&[4, 3, 2, 1]));
            let children = fresh.store.into_data().0;
            assert_eq!(children.len(), 2);
            for child in &children {
                let pending = child.resumed.pending().unwrap();
                assert_eq!(pending.name, "ask");
                assert_eq!(pending.arguments, [Val::I32(3)]);
            }
            for (answer, child) in [50, -70].into_iter().zip(children) {
                let Fork { mut store, resumed, .. } = child;
                let thread = std::thread::spawn(move || {
                    let found = resumed.run_with(&mut store, &[Val::I32(answer)]).unwrap();
                    assert_eq!(found, [Val::I32(asked(&[4, answer, 2, 1]))]);
                });
                thread.join().unwrap();
            }
        }
    }
}

/// Checks that the guest `run` of a module does the same in a fork, wherever it is forked.
pub(crate) fn forked(engine: &Engine, text: &str) {
    let module = module(engine, text);
    let expected = whole(engine, &module);
    for calls in 0.. {
        let host = Host { at: Some(calls), forks: true, ..Host::default() };
        let mut store = Store::new(engine, host);
        let instance = linker(engine).instantiate(&mut store, &module).unwrap();
        let run = instance.get_func(&mut store, "run").unwrap();
        let mut results = vec![Val::I32(0); run.ty(&store).results().len()];
        let _ = run.call(&mut store, &[], &mut results);
        let host = store.into_data();
        assert_eq!(host.refused, None, "forked at call {calls}");
        let Some(fork) = host.fork else { break };
        let Fork { mut store, resumed, .. } = *fork;
        let done = resumed.run(&mut store);
        let reported: Vec<i64> =
            host.reported.into_iter().chain(store.into_data().reported).collect();
        same(&(reported, done), &expected, &format!("forked at call {calls}"));
    }
}

/// What instances import that is the embedder's.
struct Given {
    memory: Memory,
    table: Table,
    count: Global,
    fixed: Global,
    start: Global,
    func: Func,
}

/// Two modules that import the same; the second also what the first exports.
const GIVEN: [&str; 2] = [
    r#"(module (import "h" "m" (memory 1)) (import "h" "t" (table $t 1 funcref))
      (import "h" "count" (global $count (mut i32))) (import "h" "fixed" (global $fixed i32))
      (import "h" "start" (global $start funcref)) (import "h" "f" (func $f (param i32) (result i32)))
      (global $again funcref (global.get $start)) (global (export "base") i32 (global.get $fixed))
      (data (offset (global.get $fixed)) "abc") (elem declare func $f)
      (func (export "put") (param i32) (result i32)
        (global.set $count (i32.add (global.get $count) (local.get 0)))
        (table.set $t (i32.const 1) (ref.func $f))
        (i32.store (i32.const 131000) (local.get 0)) (i32.load8_u (global.get $fixed)))
      (func (export "get") (param i32) (result i32)
        (i32.add (i32.add (global.get $count) (i32.load (i32.const 131000)))
          (i32.add (call $f (local.get 0)) (ref.is_null (global.get $again))))))"#,
    r#"(module (import "h" "m" (memory 1)) (import "h" "t" (table $t 1 funcref))
      (import "h" "count" (global $count (mut i32))) (import "first" "base" (global $base i32))
      (func (export "get") (param i32) (result i32)
        (i32.add (i32.add (i32.load (i32.const 131000)) (i32.load8_u (global.get $base)))
          (i32.add (global.get $count) (call_indirect $t (param i32) (result i32) (local.get 0) (i32.const 1))))))"#,
];

fn given(store: &mut Store<i32>) -> (Given, [Instance; 2]) {
    let memory = Memory::new(&mut *store, MemoryType::new(1, Some(9))).unwrap();
    memory.grow(&mut *store, 2).unwrap();
    let ty = TableType { element: RefType::FUNC, min: 2, max: Some(20), table64: false };
    let table = Table::new(&mut *store, ty, Val::FuncRef(None)).unwrap();
    let global = |store: &mut Store<i32>, ty, mutable, value| {
        Global::new(store, GlobalType { content: ty, mutable }, value).unwrap()
    };
    let count = global(store, ValType::I32, true, Val::I32(10));
    let fixed = global(store, ValType::I32, false, Val::I32(70));
    let func = Func::wrap(&mut *store, |caller: Caller<'_, i32>, x: i32| x * *caller.data());
    let some = Val::FuncRef(Some(func));
    let start = global(store, ValType::FUNCREF, false, some);
    let given = Given { memory, table, count, fixed, start, func };
    let first = module(store.engine(), GIVEN[0]);
    let imports: [Extern; 6] =
        [memory.into(), table.into(), count.into(), fixed.into(), start.into(), func.into()];
    let first = Instance::new(&mut *store, &first, &imports).unwrap();
    let base = first.get_export(&mut *store, "base").unwrap();
    let second = module(store.engine(), GIVEN[1]);
    let imports = [memory.into(), table.into(), count.into(), base];
    let second = Instance::new(&mut *store, &second, &imports).unwrap();
    (given, [first, second])
}

fn get(store: &mut Store<i32>, i: Instance, name: &str, n: i32) -> i32 {
    i.typed_func::<i32, i32>(&mut *store, name).unwrap().call(store, n).unwrap()
}

fn of_the_host(engine: &Engine) {
    for engine in engines(engine) {
        let mut store = Store::new(&engine, 3);
        let (given, [first, second]) = given(&mut store);
        assert_eq!(get(&mut store, first, "put", 5), 97);
        assert_eq!(get(&mut store, first, "get", 2), 15 + 5 + 6);
        let Fork { store: mut child, counterparts, .. } = store.fork(100).unwrap();
        let instances = [first, second].map(|i| counterparts.of(&store, &mut child, i).unwrap());
        given.count.set(&mut store, Val::I32(0)).unwrap();
        given.memory.data_mut(&mut store).fill(0);
        given.table.set(&mut store, 1, Val::FuncRef(None)).unwrap();
        assert_eq!(get(&mut child, instances[0], "get", 2), 15 + 5 + 200, "its own data");
        assert_eq!(get(&mut child, instances[1], "get", 2), 5 + 97 + 15 + 200);
        // Both instances of the child have the same.
        let [memory, count] = [
            counterparts.of(&store, &mut child, Extern::Memory(given.memory)),
            counterparts.of(&store, &mut child, Extern::Global(given.count)),
        ];
        let (memory, count) = (memory.unwrap().into_memory().unwrap(), count.unwrap());
        assert_eq!(memory.size(&child), 3);
        assert_eq!(memory.ty(&child).max, Some(9));
        count.into_global().unwrap().set(&mut child, Val::I32(1)).unwrap();
        memory.data_mut(&mut child)[131_000] = 9;
        assert_eq!(get(&mut child, instances[1], "get", 0), 9 + 97 + 1);
        assert_eq!(get(&mut child, instances[0], "get", 0), 9 + 1);
        let fixed = counterparts.of(&store, &mut child, given.fixed).unwrap();
        assert_eq!(fixed.get(&child).i32(), Some(70));
        let start = counterparts.of(&store, &mut child, given.start).unwrap();
        let Val::FuncRef(Some(start)) = start.get(&child) else { panic!("it is set") };
        let start = start.typed::<i32, i32>(&child).unwrap();
        assert_eq!(start.call(&mut child, 1).unwrap(), 100);
        let func = counterparts.of(&store, &mut child, given.func).unwrap();
        assert_eq!(func.typed::<i32, i32>(&child).unwrap().call(&mut child, 4).unwrap(), 400);
    }
}

fn shared(engine: &Engine) {
    let text = r#"(module (global $v (export "v") (mut externref) (ref.null extern))
      (table $e (export "e") 3 externref) (table $f (export "f") 2 funcref)
      (func (export "run") (result i32) (call_indirect $f (result i32) (i32.const 1))))"#;
    let value = ExternRef::new(String::from("shared"));
    let mut store = Store::new(engine, 5);
    let i = instance(&mut store, text);
    let export =
        |store: &mut Store<i32>, i: Instance, name: &str| i.get_export(store, name).unwrap();
    let v = export(&mut store, i, "v").into_global().unwrap();
    let e = export(&mut store, i, "e").into_table().unwrap();
    let f = export(&mut store, i, "f").into_table().unwrap();
    v.set(&mut store, Val::ExternRef(Some(value.clone()))).unwrap();
    e.set(&mut store, 2, Val::ExternRef(Some(value.clone()))).unwrap();
    // No instance imports it.
    let func = Func::wrap(&mut store, |caller: Caller<'_, i32>| *caller.data());
    f.set(&mut store, 1, Val::FuncRef(Some(func))).unwrap();
    let fork = store.fork(8).unwrap();
    let (mut child, handles) = (fork.store, fork.counterparts);
    let [e, v] = [Extern::Table(e), Extern::Global(v)].map(|h| handles.of(&store, &mut child, h));
    drop(store);
    let found = [
        e.unwrap().into_table().unwrap().get(&child, 2).unwrap(),
        v.unwrap().into_global().unwrap().get(&child),
    ];
    for found in found {
        let Val::ExternRef(Some(found)) = found else { panic!("it is set") };
        assert!(ExternRef::same(&found, &value));
    }
    let run = fork.resumed.instances()[0].typed_func::<(), i32>(&mut child, "run").unwrap();
    assert_eq!(run.call(&mut child, ()).unwrap(), 8);
}

fn counterparts(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, GUEST);
    let alone = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    let mut fork = store.fork(()).unwrap();
    let later = instance(&mut store, GUEST);
    let change = later.get_func(&mut store, "change").unwrap();
    let handles = fork.counterparts;
    let child = &mut fork.store;
    let errors = [
        handles.of(&store, &mut *child, alone).unwrap_err(),
        handles.of(&store, &mut *child, later).unwrap_err(),
        handles.of(&store, &mut *child, change).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("no counterpart in the fork"), "{error}");
    }
    let mut other = Store::new(engine, ());
    let foreign = instance(&mut other, GUEST);
    assert!(handles.of(&store, &mut *child, foreign).is_err());
    assert!(handles.of(&store, &mut other, i).is_err());
    assert!(handles.of(&other, &mut *child, i).is_err());
    let same = handles.of(&store, &mut *child, i).unwrap();
    assert_eq!(call(child, same, "sum", 0), call(&mut store, i, "sum", 0));
}

fn bytes(most: usize) -> StoreLimits {
    StoreLimits { memory_bytes: most, ..StoreLimits::default() }
}

fn settings(engine: &Engine) {
    let mut config: Config = engine.config().clone();
    let engine = &Engine::new(config.fuel(true)).unwrap();
    let mut store = Store::new(engine, bytes(400_000));
    store.set_fuel(1000).unwrap();
    let text = r#"(module (memory (export "m") 3) (func (export "f") (result i32) (i32.const 1)))"#;
    let i = instance(&mut store, text);
    let closed = instance(&mut store, text);
    closed.close_with_exit_code(&mut store, 7);
    store.enable_snapshots(true);
    let f = i.typed_func::<(), i32>(&mut store, "f").unwrap();
    f.call(&mut store, ()).unwrap();
    let left = store.fuel().unwrap();
    let fork = store.fork(StoreLimits::default()).unwrap();
    let (mut child, handles) = (fork.store, fork.counterparts);
    assert_eq!(child.fuel().unwrap(), left);
    let closed = handles.of(&store, &mut child, closed).unwrap();
    let g = closed.typed_func::<(), i32>(&mut child, "f").unwrap();
    assert_eq!(g.call(&mut child, ()).unwrap_err().exit_code(), Some(7));
    let f = handles.of(&store, &mut child, f).unwrap();
    assert_eq!(f.call(&mut child, ()).unwrap(), 1);
    assert_eq!(store.fuel().unwrap(), left, "the fuel of each is its own");
    // The limiter is asked for what the child has from the start, and keeps its promise later.
    let mut limited = |most| store.fork_with(bytes(most), |child| child.limiter(|l| l));
    let error = limited(300_000).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
    let mut fork = limited(400_000).unwrap();
    let i = fork.resumed.instances()[0];
    let memory = i.get_export(&mut fork.store, "m").unwrap().into_memory().unwrap();
    assert!(memory.grow(&mut fork.store, 1).is_err());
    // A child that has instances already.
    let text = "(module)";
    let error = store.fork_with(StoreLimits::default(), |child| {
        instance(child, text);
    });
    assert!(error.unwrap_err().to_string().contains("has instances already"));
}

fn refused(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let ty = MemoryType { shared: true, ..MemoryType::new(1, Some(2)) };
    let shared = SharedMemory::new(engine, ty).unwrap();
    let text = r#"(module (import "h" "m" (memory 1 2 shared)))"#;
    let module = module(engine, text);
    Instance::new(&mut store, &module, &[shared.into()]).unwrap();
    let error = store.fork(()).unwrap_err().to_string();
    assert!(error.contains("cannot be forked") && error.contains("shared memory"), "{error}");
    // A guest between two others, and one that is compiled.
    let mut linker: Linker<bool> = Linker::new(engine);
    let ask = |mut caller: Caller<'_, bool>, n: i32| -> Result<i32> {
        if n == 3 && *caller.data() {
            let run = caller.get_export("run").unwrap().into_func().unwrap();
            return run.typed::<i32, i32>(&caller)?.call(&mut caller, 2);
        }
        caller.fork(false).map(|_| 0)
    };
    linker.func_wrap("h", "ask", ask).unwrap();
    let mut store = Store::new(engine, true);
    let i = linked(&mut store, &linker, ASKING);
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    let error = run.call(&mut store, 3).unwrap_err().to_string();
    assert!(error.contains("cannot be forked"), "{error}");
    *store.data_mut() = false;
    let done = run.call(&mut store, 3);
    if is_compiled(engine) {
        let error = done.unwrap_err().to_string();
        assert!(error.contains("cannot be forked") && error.contains("step"), "{error}");
    }
    let capturing = capturing(engine, Checkpoints::Calls);
    let mut linker = Linker::new(&capturing);
    linker.func_wrap("h", "ask", ask).unwrap();
    let mut store = Store::new(&capturing, false);
    let i = linked(&mut store, &linker, ASKING);
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    run.call(&mut store, 3).unwrap();
}

fn a_thousand(engine: &Engine) {
    for engine in engines(engine) {
        let mut store = Store::new(&engine, ());
        let i = instance(&mut store, GUEST);
        call(&mut store, i, "change", 1);
        let sum = call(&mut store, i, "sum", 0);
        let mut kept = Vec::new();
        for n in 0..1000 {
            let mut fork = store.fork(()).unwrap();
            if n % 100 == 0 {
                let i = fork.resumed.instances()[0];
                call(&mut fork.store, i, "change", n);
                kept.push(fork);
            }
        }
        assert_eq!(call(&mut store, i, "sum", 0), sum);
    }
}
