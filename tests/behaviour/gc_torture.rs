//! Objects under collections at each allocation and in each call of the host, with everything in between that keeps
//! frames: exceptions with objects, host functions that catch them, snapshots, checkpoints, listeners.

use crate::checkpoints::capturing;
use crate::gc::stress;
use crate::log::Log;
use crate::matrix::{Behaviour, module};
use std::sync::Mutex;
use wardian::{
    AsContextMut, CallOptions, Caller, Engine, Error, Instance, Linker, Module, Store, Val,
    checkpoint::{Checkpoint, CheckpointOptions, Checkpoints, ResumeOptions},
    gc::AnyRef,
    listener::{FunctionFilter, FunctionListener},
    snapshot::Snapshot,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("objects survive in exceptions, snapshots and host functions, all at once", all_at_once),
    ("collections come at safepoints where nothing is allocated", safepoints),
    ("what listeners keep of objects survives the call", kept_by_listeners),
    ("objects survive a checkpoint between a throw and its handler", carried),
    ("a snapshot with state brings the objects back that exceptions hold", brought_back),
];

const GUEST: &str = r#"(module
  (rec (type $node (sub (struct (field $v (mut i32)) (field $next (mut (ref null $node))))))
       (type $big (sub $node (struct (field (mut i32)) (field (mut (ref null $node))) (field $pad i64)))))
  (type $nodes (array (mut (ref null $node))))
  (tag $t (param (ref $node) i32))
  (import "h" "mark" (func $mark (result i32)))
  (import "h" "back" (func $back (param i32)))
  (import "h" "pass" (func $pass (param (ref null $node)) (result (ref null $node))))
  (import "h" "throws" (func $through_host (param (ref $node) i32)))
  (global $kept (mut (ref null $node)) (ref.null $node))
  (table $table 4 (ref null $node))
  (func $list (export "list") (param $n i32) (result (ref null $node)) (local $l (ref null $node)) (local $i i32)
    (loop $more
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (local.set $l (if (result (ref $node)) (i32.and (local.get $i) (i32.const 1))
        (then (struct.new $node (local.get $i) (local.get $l)))
        (else (struct.new $big (local.get $i) (local.get $l) (i64.const -1)))))
      (br_if $more (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $l))
  (func $sum (export "sum") (param $l (ref null $node)) (result i32) (local $sum i32)
    (block $done (loop $more
      (br_if $done (ref.is_null (local.get $l)))
      (local.set $sum (i32.add (local.get $sum) (struct.get $node $v (local.get $l))))
      (local.set $l (struct.get $node $next (local.get $l)))
      (br $more)))
    (local.get $sum))
  ;; Throws an object that nothing else holds, from the depth of so many calls.
  (func $throws (export "throws") (param $l (ref $node)) (param $n i32) (param $depth i32)
    (local $own (ref null $node))
    (local.set $own (call $list (i32.const 3)))
    (if (local.get $depth) (then
      (call $throws (local.get $l) (local.get $n) (i32.sub (local.get $depth) (i32.const 1)))
      (drop (call $sum (local.get $own)))))
    (throw $t (struct.new $node (local.get $n) (local.get $l)) (i32.const 1000)))
  ;; Catches, and throws again what it has caught.
  (func $again (param $l (ref $node)) (param $n i32)
    (block $h (result exnref)
      (try_table (catch_all_ref $h)
        (call $through_host (local.get $l) (local.get $n)))
      (return))
    (drop (call $list (i32.const 4)))
    (throw_ref))
  (func (export "run") (param $n i32) (result i32)
    (local $l (ref null $node)) (local $got (ref null $node)) (local $e exnref) (local $k i32) (local $a (ref $nodes))
    (local.set $l (call $list (local.get $n)))
    (local.set $a (array.new $nodes (call $list (i32.const 2)) (i32.const 3)))
    (table.set $table (i32.const 1) (struct.new $node (i32.const 10000) (ref.null $node)))
    (block $h (result (ref $node) i32 exnref)
      (try_table (catch_ref $t $h)
        (call $again (ref.as_non_null (local.get $l)) (local.get $n)))
      (unreachable))
    (local.set $e) (local.set $k) (local.set $got)
    (drop (call $list (i32.const 5)))
    (struct.new $node (i32.const 20000) (ref.null $node))
    (block $h (result (ref $node) i32)
      (try_table (catch $t $h)
        (struct.new $node (i32.const 40000) (local.get $got))
        (if (i32.eqz (call $mark)) (then
          (global.set $kept (call $list (i32.const 6)))
          (call $back (i32.const 7))))
        (local.set $k (i32.add (call $sum) (local.get $k)))
        (throw_ref (local.get $e)))
      (unreachable))
    (drop)
    (local.set $k (i32.add (call $sum) (local.get $k)))
    (local.set $k (i32.add (call $sum) (local.get $k)))
    (local.set $k (i32.add (local.get $k) (call $sum (call $pass (local.get $got)))))
    (local.set $k (i32.add (local.get $k) (call $sum (call $pass (table.get $table (i32.const 1))))))
    (i32.add (local.get $k) (call $sum (array.get $nodes (local.get $a) (i32.const 2))))))"#;

/// What `run` gives: its list is four times in what it adds.
fn wanted(n: i32) -> i32 {
    let got = n + n * (n + 1) / 2;
    let (value, before, in_try, in_table, in_array) = (1000, 20000, 40000, 10000, 3);
    value + before + in_try + in_table + in_array + 3 * got
}

#[derive(Default)]
struct Host {
    snapshot: Option<Snapshot>,
    with_state: bool,
    /// Whether a checkpoint is taken at the call of `mark`.
    carries: bool,
    taken: Option<Vec<u8>>,
    /// How often a snapshot was restored.
    restored: i32,
}

/// Collects, and makes objects where others were.
fn churn(caller: &mut Caller<'_, Host>) -> Result<(), Error> {
    caller.as_context_mut().gc();
    let list = caller.get_export("list").and_then(|e| e.into_func()).expect("it is exported");
    list.call(&mut *caller, &[Val::I32(3)], &mut [Val::AnyRef(None)])?;
    caller.as_context_mut().gc();
    Ok(())
}

fn mark(mut caller: Caller<'_, Host>) -> Result<i32, Error> {
    churn(&mut caller)?;
    if caller.data().carries {
        let bytes = caller.checkpoint(&CheckpointOptions::new())?.to_bytes()?;
        caller.data_mut().taken = Some(bytes);
        return Err(Error::host("carried"));
    }
    let with_state = caller.data().with_state;
    let Some(mut snapshotter) = caller.get_snapshotter() else { return Ok(1) };
    let taken = match with_state {
        true => snapshotter.snapshot_with_state()?,
        false => snapshotter.snapshot(),
    };
    caller.data_mut().snapshot = Some(taken);
    churn(&mut caller)?;
    Ok(0)
}

fn back(mut caller: Caller<'_, Host>, n: i32) -> Result<(), Error> {
    churn(&mut caller)?;
    let snapshot = caller.data().snapshot.clone().expect("it was taken");
    caller.data_mut().restored += 1;
    let again = caller.data().restored < 3;
    Err(snapshot.restore(caller, &[Val::I32(if again { 0 } else { n })]))
}

fn pass(mut caller: Caller<'_, Host>, list: Option<AnyRef>) -> Result<Option<AnyRef>, Error> {
    churn(&mut caller)?;
    let sum = caller.get_export("sum").and_then(|e| e.into_func()).expect("it is exported");
    let mut results = [Val::I32(0)];
    sum.call(&mut caller, &[Val::AnyRef(list.clone())], &mut results)?;
    assert!(results[0].i32().is_some_and(|sum| sum > 0));
    churn(&mut caller)?;
    Ok(list)
}

/// Calls what throws, and passes the exception on after a collection; holds its values meanwhile.
fn throws(mut caller: Caller<'_, Host>, args: &[Val]) -> Result<(), Error> {
    let throws = caller.get_export("throws").and_then(|e| e.into_func()).expect("it is exported");
    let args = [args[0].clone(), args[1].clone(), Val::I32(20)];
    let error = throws.call(&mut caller, &args, &mut []).unwrap_err();
    churn(&mut caller)?;
    let values = error.exception().expect("an exception").values().to_vec();
    assert_eq!(values[1].i32(), Some(1000));
    let Val::AnyRef(Some(object)) = &values[0] else { panic!("{values:?}") };
    let thrown = object.as_struct(&caller)?.expect("a struct");
    assert_eq!(thrown.field(&caller, 0)?.i32(), args[1].i32());
    Err(error)
}

fn instantiate(store: &mut Store<Host>, module: &Module) -> Instance {
    linker(module).instantiate(store, module).unwrap_or_else(|e| panic!("{e:#}"))
}

fn linker(module: &Module) -> Linker<Host> {
    let mut linker: Linker<Host> = Linker::new(module.engine());
    linker.func_wrap("h", "mark", mark).unwrap();
    linker.func_wrap("h", "back", back).unwrap();
    let ty = |wanted: &str| {
        let found = module.imports().find(|(_, name, _)| *name == wanted).map(|(.., ty)| ty);
        let Some(wardian::ExternType::Func(ty)) = found else { panic!("{wanted} is imported") };
        ty
    };
    linker
        .func_new("h", "pass", ty("pass"), |caller, args, results| {
            let Val::AnyRef(list) = &args[0] else { panic!("{args:?}") };
            results[0] = Val::AnyRef(pass(caller, list.clone())?);
            Ok(())
        })
        .unwrap();
    linker.func_new("h", "throws", ty("throws"), |caller, args, _| throws(caller, args)).unwrap();
    linker
}

fn run(store: &mut Store<Host>, i: Instance, n: i32) -> Result<i32, Error> {
    let options = CallOptions::new().with_snapshotter();
    let run = i.typed_func::<i32, i32>(&mut *store, "run")?;
    run.call_with(store, &options, n)
}

fn safepoints(engine: &Engine) {
    let mut config = engine.config().clone();
    let engine = Engine::new(config.gc_stress_at_safepoints(true)).unwrap();
    let mut store = Store::new(&engine, ());
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.func_wrap("h", "same", |_: AnyRef, n: i32| n).unwrap();
    let text = r#"(module
      (type $s (struct (field i32)))
      (import "h" "same" (func $same (param (ref any)) (param i32) (result i32)))
      (table $t 1 10 anyref)
      (func (export "make") (param i32) (result (ref $s)) (struct.new $s (local.get 0)))
      (func $read (param (ref $s)) (result i32) (struct.get $s 0 (local.get 0)))
      (func (export "loop") (param $o (ref $s)) (param $n i32) (result i32) (local $sum i32)
        (loop $l
          (local.set $sum (i32.add (local.get $sum) (call $read (local.get $o))))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum))
      (func (export "host") (param $o (ref $s)) (param $n i32) (result i32)
        (local.set $n (call $same (local.get $o) (local.get $n)))
        (i32.add (local.get $n) (struct.get $s 0 (local.get $o))))
      (func (export "builtin") (param $o (ref $s)) (param $n i32) (result i32)
        (drop (table.grow $t (local.get $o) (i32.const 1)))
        (drop (table.grow $t (ref.null any) (local.get $n)))
        (i32.add (local.get $n)
          (struct.get $s 0 (ref.cast (ref $s) (table.get $t (i32.const 1)))))))"#;
    let i = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
    let interpreted = engine.config().engine_kind() == wardian::EngineKind::Interpreted;
    let make = i.typed_func::<i32, AnyRef>(&mut store, "make").unwrap();
    // Without signals, compiled code asks whether it is to stop in functions and loops, too.
    for (name, n, result, least) in [("loop", 6, 30, 12), ("host", 6, 11, 1), ("builtin", 6, 11, 2)]
    {
        let object = make.call(&mut store, 5).unwrap();
        let f = i.get_func(&mut store, name).unwrap();
        for _ in 0..3 {
            let before = store.gc_stats().collections;
            let mut results = [Val::I32(0)];
            f.call(&mut store, &[Some(object.clone()).into(), Val::I32(n)], &mut results).unwrap();
            assert_eq!(results[0].i32(), Some(result), "{name}");
            let collections = store.gc_stats().collections - before;
            if interpreted || name != "loop" {
                assert!(collections >= least, "{name}: {collections}");
            }
            if name == "builtin" {
                break;
            }
        }
    }
}

fn all_at_once(engine: &Engine) {
    let engine = stress(engine);
    let module = module(&engine, GUEST);
    let mut store = Store::new(&engine, Host::default());
    let i = instantiate(&mut store, &module);
    let log = Log::counting();
    for n in 1..6 {
        // Listeners come and go.
        let attached = (n % 2 == 0).then(|| i.attach(&mut store, log.factory()).unwrap());
        store.data_mut().restored = 0;
        let found = run(&mut store, i, n).unwrap_or_else(|e| panic!("{e:#}"));
        assert_eq!((found, store.data().restored), (wanted(n), 3), "{n}");
        drop(attached);
    }
    log.assert_balanced();
    let (begun, _) = log.counts();
    assert!(begun > 50, "{begun}");
    // Nothing holds them any more, but the table and a global.
    store.data_mut().snapshot = None;
    store.gc();
    assert!(store.gc_stats().live_bytes < 10_000, "{:?}", store.gc_stats());
}

/// Keeps the first parameters that are objects.
#[derive(Default)]
struct Keeper(Mutex<Vec<AnyRef>>);

impl FunctionListener for Keeper {
    fn before(
        &self,
        call: &wardian::listener::Call<'_>,
        _params: &[u64],
        _stack: &mut wardian::stack::StackIterator<'_>,
    ) {
        if let Some(Val::AnyRef(Some(object))) = call.param(0) {
            let mut kept = self.0.lock().unwrap();
            if kept.len() < 64 {
                kept.push(object);
            }
        }
    }
}

fn kept_by_listeners(engine: &Engine) {
    let engine = stress(engine);
    let module = module(&engine, GUEST);
    let mut store = Store::new(&engine, Host::default());
    let i = instantiate(&mut store, &module);
    let keeper = std::sync::Arc::new(Keeper::default());
    let attached = i.attach(&mut store, FunctionFilter::all().listen(keeper.clone())).unwrap();
    assert_eq!(run(&mut store, i, 4).unwrap(), wanted(4));
    drop(attached);
    store.gc();
    let kept = std::mem::take(&mut *keeper.0.lock().unwrap());
    assert!(kept.len() > 10, "{}", kept.len());
    for object in &kept {
        let found = object.as_struct(&store).unwrap().expect("all are structs");
        let value = found.field(&store, 0).unwrap().i32().unwrap();
        assert!([1, 2, 3, 4, 5, 6, 10000, 20000, 40000].contains(&value), "{value}");
    }
}

fn carried(engine: &Engine) {
    let engine = capturing(&stress(engine), Checkpoints::Calls);
    let module = module(&engine, GUEST);
    let mut store = Store::new(&engine, Host { carries: true, ..Host::default() });
    let i = instantiate(&mut store, &module);
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    let error = run.call(&mut store, 5).unwrap_err();
    assert_eq!(error.to_string(), "carried");
    let taken = store.data_mut().taken.take().expect("it was taken");
    drop(store);
    let checkpoint = Checkpoint::from_bytes(&taken).unwrap();
    let mut store = Store::new(&engine, Host::default());
    let resumed = checkpoint.resume(&mut store, &linker(&module), &ResumeOptions::new()).unwrap();
    store.gc();
    assert_eq!(resumed.run_with(&mut store, &[Val::I32(7)]).unwrap(), [Val::I32(wanted(5))]);
}

fn brought_back(engine: &Engine) {
    let engine = stress(engine);
    let module = module(&engine, GUEST);
    let mut store = Store::new(&engine, Host { with_state: true, ..Host::default() });
    let i = instantiate(&mut store, &module);
    for n in 1..4 {
        store.data_mut().restored = 0;
        let found = run(&mut store, i, n).unwrap_or_else(|e| panic!("{e:#}"));
        assert_eq!((found, store.data().restored), (wanted(n), 3), "{n}");
    }
}
