//! Snapshots: a guest goes on from where it was, and nothing else is disturbed.

use crate::matrix::{Behaviour, linked};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use wardian::{
    CallOptions, Caller, Engine, Error, ErrorKind, Func, Instance, InstantiateOptions, Linker,
    Store, TypedFunc, Val,
    allocator::{MemoryAllocatorFunc, VecMemory},
    listener::{AbortReason, Call, FunctionFilter, FunctionListener},
    snapshot::Snapshot,
    stack::StackIterator,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a snapshot is restored many times, and locals with it", many_times),
    ("who listens to the function that takes a snapshot hears of its call once", heard_once),
    ("a snapshot is restored after its frames have returned", after_return),
    ("a snapshot is restored from nested guests, and host frames are unwound", nested),
    ("a restore cannot be swallowed by a host function", swallowed),
    ("snapshots are off unless enabled, for a call or a store", disabled),
    ("a snapshot of five thousand frames is restored", deep),
    ("a snapshot is restored through tables and tail calls", indirect),
    ("a snapshot is restored into a memory and a table that have moved", moved),
    ("a host function that the embedder calls takes and restores a snapshot", direct),
    ("a start function is restored", start_function),
    ("guests go on from snapshots on several threads", threads),
];

/// What host functions keep.
#[derive(Default)]
pub(crate) struct Host {
    /// By number.
    pub(crate) marks: Vec<Snapshot>,
    /// Guards of host frames that were dropped.
    dropped: u32,
    /// What restores and nested calls said.
    pub(crate) reported: Vec<String>,
}

/// `mark` takes a snapshot and gives 0; `jump` restores one by its number, with a value; `nest` calls
/// the export `inner`, and passes on how it ended.
pub(crate) fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker: Linker<Host> = Linker::new(engine);
    linker
        .func_wrap("h", "mark", |mut caller: Caller<'_, Host>| -> i32 {
            let snapshot = caller.get_snapshotter().expect("snapshots are enabled").snapshot();
            caller.data_mut().marks.push(snapshot);
            0
        })
        .unwrap();
    linker.func_wrap("h", "jump", jump).unwrap();
    linker
        .func_wrap("h", "nest", |mut caller: Caller<'_, Host>, depth: i32| {
            let guard = Guard::default();
            let done = call_inner(&mut caller, depth);
            let reported = done.as_ref().err().map_or("returned".to_owned(), |e| e.to_string());
            caller.data_mut().reported.push(reported);
            drop(guard.clone());
            caller.data_mut().dropped += guard.0.load(Ordering::Relaxed);
            done
        })
        .unwrap();
    linker
}

fn jump(mut caller: Caller<'_, Host>, mark: i32, value: i32) -> Result<(), Error> {
    let snapshot = caller.data().marks[mark as usize].clone();
    Err(snapshot.restore(&mut caller, &[Val::I32(value)]))
}

fn call_inner(caller: &mut Caller<'_, Host>, argument: i32) -> Result<(), Error> {
    let inner = caller.get_export("inner").and_then(|e| e.into_func()).expect("an export");
    inner.typed::<i32, ()>(&*caller)?.call(caller, argument)
}

#[derive(Clone, Default)]
struct Guard(Arc<AtomicU32>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn store(engine: &Engine) -> Store<Host> {
    let mut store = Store::new(engine, Host::default());
    store.enable_snapshots(true);
    store
}

pub(crate) fn run(store: &mut Store<Host>, i: Instance, argument: i32) -> Result<i32, Error> {
    i.typed_func::<i32, i32>(&mut *store, "run")?.call(store, argument)
}

/// Goes back to its beginning until it is given `n`; gives what its own local counted to, which is
/// put back each time, and what its memory counted to, which is not.
pub(crate) const LOOP: &str = r#"(module
  (import "h" "mark" (func $mark (result i32)))
  (import "h" "jump" (func $jump (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "inner") (param i32))
  (func (export "run") (param $n i32) (result i32) (local $v i32) (local $mine i32)
    (local.set $v (call $mark))
    (local.set $mine (i32.add (local.get $mine) (i32.const 1)))
    (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
    (if (i32.lt_u (local.get $v) (local.get $n))
      (then (call $jump (i32.const 0) (i32.add (local.get $v) (i32.const 1)))))
    (i32.add (i32.mul (local.get $mine) (i32.const 1000000)) (i32.load (i32.const 8)))))"#;

fn many_times(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(&mut store, &linker(engine), LOOP);
    assert_eq!(run(&mut store, i, 1000).unwrap(), 1_001_001);
    // The store is as good as new.
    store.data_mut().marks.clear();
    assert_eq!(run(&mut store, i, 2).unwrap(), 1_001_004);
}

/// Counts what it is reported.
#[derive(Clone, Default)]
struct Heard(Arc<[AtomicU32; 4]>);

impl FunctionListener for Heard {
    fn before(&self, _: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }

    fn after(&self, _: &Call<'_>, _: &[u64]) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }

    fn abort(&self, _: &Call<'_>, _: &AbortReason<'_>) {
        self.0[2].fetch_add(1, Ordering::Relaxed);
    }

    fn resumed(&self, _: &Call<'_>) {
        self.0[3].fetch_add(1, Ordering::Relaxed);
    }
}

fn heard_once(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(&mut store, &linker(engine), LOOP);
    let (mark, jump) = (Heard::default(), Heard::default());
    let mut attach = |name: &str, heard: &Heard| {
        i.attach(&mut store, FunctionFilter::name(name).listen(heard.clone())).unwrap()
    };
    let _attachments = [attach("mark", &mark), attach("jump", &jump)];
    assert_eq!(run(&mut store, i, 5).unwrap(), 1_000_006);
    // It returned five times more, but was called once.
    assert_eq!(mark.0.each_ref().map(|n| n.load(Ordering::Relaxed)), [1, 1, 0, 0]);
    assert_eq!(jump.0.each_ref().map(|n| n.load(Ordering::Relaxed)), [5, 0, 5, 0]);
}

fn after_return(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(
        &mut store,
        &linker(engine),
        r#"(module
          (import "h" "mark" (func $mark (result i32)))
          (import "h" "jump" (func $jump (param i32 i32)))
          (func $inner (param $x i32) (param $y f64) (result i32)
            (i32.add (i32.add (call $mark) (local.get $x))
              (i32.trunc_f64_s (local.get $y))))
          (func $clobber (param i32) (result i32)
            (if (result i32) (local.get 0)
              (then (i32.add (local.get 0) (call $clobber (i32.sub (local.get 0) (i32.const 1)))))
              (else (i32.const 0))))
          (func (export "run") (param $n i32) (result i32) (local $v i32)
            (local.set $v (call $inner (i32.const 1000) (f64.const 500)))
            (drop (call $clobber (i32.const 200)))
            (if (i32.lt_u (local.get $v) (i32.add (local.get $n) (i32.const 1500)))
              (then (call $jump (i32.const 0) (i32.sub (local.get $v) (i32.const 1499)))))
            (local.get $v)))"#,
    );
    assert_eq!(run(&mut store, i, 50).unwrap(), 1550);
}

/// Marks, then nests `n` guests, the innermost of which jumps.
pub(crate) const NESTED: &str = r#"(module
  (import "h" "mark" (func $mark (result i32)))
  (import "h" "jump" (func $jump (param i32 i32)))
  (import "h" "nest" (func $nest (param i32)))
  (func (export "inner") (param $n i32)
    (if (local.get $n)
      (then (call $nest (i32.sub (local.get $n) (i32.const 1))))
      (else (call $jump (i32.const 0) (i32.const 7)))))
  (func (export "run") (param $n i32) (result i32) (local $v i32)
    (if (i32.eqz (local.tee $v (call $mark))) (then (call $nest (local.get $n))))
    (local.get $v)))"#;

fn nested(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(&mut store, &linker(engine), NESTED);
    assert_eq!(run(&mut store, i, 9).unwrap(), 7);
    assert_eq!(store.data().dropped, 10);
    assert_eq!(store.data().reported, vec!["a snapshot is being restored"; 10]);
    // And a snapshot of a nested guest, which is restored there; the outer one notices nothing.
    let text = r#"(module
      (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32 i32)))
      (import "h" "nest" (func $nest (param i32)))
      (func (export "inner") (param $n i32) (local $v i32)
        (local.set $v (call $mark))
        (if (i32.lt_u (local.get $v) (local.get $n))
          (then (call $jump (i32.const 0) (i32.add (local.get $v) (i32.const 1))))))
      (func (export "run") (param i32) (result i32) (call $nest (local.get 0)) (i32.const 5)))"#;
    *store.data_mut() = Host::default();
    let i = linked(&mut store, &linker(engine), text);
    assert_eq!(run(&mut store, i, 9).unwrap(), 5);
    assert_eq!(store.data().reported, ["returned"]);
}

fn swallowed(engine: &Engine) {
    let mut linker = linker(engine);
    linker.allow_shadowing(true);
    linker
        .func_wrap("h", "nest", |mut caller: Caller<'_, Host>, depth: i32| {
            let done = call_inner(&mut caller, depth);
            assert!(matches!(done.unwrap_err().kind(), ErrorKind::Restored));
            // Guests cannot be called meanwhile.
            let done = call_inner(&mut caller, 0);
            assert!(matches!(done.unwrap_err().kind(), ErrorKind::Restored));
        })
        .unwrap();
    linker
        .func_wrap("h", "jump", |caller: Caller<'_, Host>, mark: i32, value: i32| {
            let error = jump(caller, mark, value).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Restored));
            // Another error does not help either.
            if mark == 0 { Ok(()) } else { Err(Error::host("no")) }
        })
        .unwrap();
    let mut store = store(engine);
    let i = linked(&mut store, &linker, NESTED);
    assert_eq!(run(&mut store, i, 3).unwrap(), 7);
    let i = linked(&mut store, &linker, LOOP);
    store.data_mut().marks.clear();
    assert_eq!(run(&mut store, i, 3).unwrap(), 1_000_004);
}

fn disabled(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_wrap("h", "can", |mut caller: Caller<'_, ()>| {
            i32::from(caller.get_snapshotter().is_some())
        })
        .unwrap();
    linker
        .func_wrap("h", "nest", |mut caller: Caller<'_, ()>| {
            let can = caller.get_export("can").and_then(|e| e.into_func()).unwrap();
            can.typed::<(), i32>(&caller)?.call(&mut caller, ())
        })
        .unwrap();
    let text = r#"(module (import "h" "can" (func $can (result i32)))
      (import "h" "nest" (func $nest (result i32)))
      (func (export "can") (result i32) (call $can))
      (func (export "nested") (result i32) (call $nest)))"#;
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, text);
    let can: TypedFunc<(), i32> = i.typed_func(&mut store, "can").unwrap();
    let nested: TypedFunc<(), i32> = i.typed_func(&mut store, "nested").unwrap();
    let options = CallOptions::new().with_snapshotter();
    for f in [can, nested] {
        assert_eq!(f.call(&mut store, ()).unwrap(), 0);
        assert_eq!(f.call_with(&mut store, &options, ()).unwrap(), 1);
        assert_eq!(f.call(&mut store, ()).unwrap(), 0);
        let mut results = [Val::I32(9)];
        f.func().call_with(&mut store, &options, &[], &mut results).unwrap();
        assert!(matches!(results[0], Val::I32(1)));
    }
    store.enable_snapshots(true);
    assert_eq!(can.call(&mut store, ()).unwrap(), 1);
    // A call without the option does not take it away.
    assert_eq!(can.call_with(&mut store, &CallOptions::new(), ()).unwrap(), 1);
    // Also of a guest that may be suspended, and of one that it calls.
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for (f, expected) in [(can, 1), (nested, 1)] {
        let mut call = Box::pin(f.call_async(&mut store, ()));
        let std::task::Poll::Ready(done) = call.as_mut().poll(&mut context) else { panic!() };
        assert_eq!(done.unwrap(), expected);
    }
    store.enable_snapshots(false);
    assert_eq!(can.call(&mut store, ()).unwrap(), 0);
}

fn deep(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(
        &mut store,
        &linker(engine),
        r#"(module
          (import "h" "mark" (func $mark (result i32)))
          (import "h" "jump" (func $jump (param i32 i32)))
          (func $down (param $n i32) (result i32)
            (if (result i32) (local.get $n)
              (then (i32.add (i32.const 1) (call $down (i32.sub (local.get $n) (i32.const 1)))))
              (else (call $mark))))
          (func (export "run") (param $n i32) (result i32) (local $v i32)
            (local.set $v (call $down (local.get $n)))
            (if (i32.lt_u (local.get $v) (i32.add (local.get $n) (i32.const 3)))
              (then (call $jump (i32.const 0)
                (i32.add (i32.const 1) (i32.sub (local.get $v) (local.get $n))))))
            (local.get $v)))"#,
    );
    assert_eq!(run(&mut store, i, 5000).unwrap(), 5003);
    // The stack goes back to a pool, and is used by others.
    drop(store);
    let mut store = self::store(engine);
    let i = linked(&mut store, &linker(engine), LOOP);
    assert_eq!(run(&mut store, i, 2).unwrap(), 1_000_003);
}

fn indirect(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(
        &mut store,
        &linker(engine),
        r#"(module
          (import "h" "mark" (func $mark (result i32)))
          (import "h" "jump" (func $jump (param i32 i32)))
          (table funcref (elem $mark $jump $middle $end))
          (func $middle (param $x i32) (result i32)
            (return_call_indirect (param i32) (result i32)
              (i32.add (local.get $x) (i32.const 10)) (i32.const 3)))
          (func $end (param $x i32) (result i32)
            (i32.add (local.get $x) (call_indirect (result i32) (i32.const 0))))
          ;; Ends in the host, by a tail call.
          (func $leave (param i32 i32)
            (return_call_indirect (param i32 i32) (local.get 0) (local.get 1) (i32.const 1)))
          (func (export "run") (param $n i32) (result i32) (local $v i32)
            (local.set $v (call_indirect (param i32) (result i32) (i32.const 100) (i32.const 2)))
            (if (i32.lt_u (local.get $v) (i32.add (local.get $n) (i32.const 110)))
              (then (call $leave (i32.const 0) (i32.sub (local.get $v) (i32.const 109)))))
            (local.get $v)))"#,
    );
    assert_eq!(run(&mut store, i, 4).unwrap(), 114);
}

fn moved(engine: &Engine) {
    let text = r#"(module
      (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32 i32)))
      (memory 1) (table $t 1 funcref) (elem declare func $seven)
      (type $f (func (result i32)))
      (func $seven (type $f) (i32.const 7))
      (func (export "run") (param $n i32) (result i32) (local $v i32)
        (i32.store (i32.const 100) (i32.const 40))
        (local.set $v (call $mark))
        (i32.store (i32.const 100) (i32.add (i32.load (i32.const 100)) (i32.const 1)))
        (if (i32.lt_u (local.get $v) (local.get $n))
          (then
            (drop (memory.grow (i32.const 9)))
            (drop (table.grow $t (ref.func $seven) (i32.const 1000)))
            ;; Where there was nothing when the snapshot was taken.
            (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4))
              (i32.const 2000))
            (call $jump (i32.const 0) (i32.add (local.get $v) (i32.const 1)))))
        (i32.add (call_indirect $t (type $f) (i32.sub (table.size $t) (i32.const 1)))
          (i32.add (i32.load (i32.const 100))
            (i32.load (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)))))))"#;
    // A memory that moves at every growth.
    let options =
        InstantiateOptions::new().with_memory_allocator(MemoryAllocatorFunc::new(|request| {
            Ok(VecMemory::boxed(request.minimum, request.maximum)?)
        }));
    let module = crate::matrix::module(engine, text);
    for options in [InstantiateOptions::new(), options] {
        let mut store = store(engine);
        let i = linker(engine).instantiate_with(&mut store, &module, &options).unwrap();
        assert_eq!(run(&mut store, i, 3).unwrap(), 7 + 44 + 2000);
    }
}

fn direct(engine: &Engine) {
    let mut store: Store<u32> = Store::new(engine, 0);
    store.enable_snapshots(true);
    let f = Func::wrap(&mut store, |mut caller: Caller<'_, u32>| {
        *caller.data_mut() += 1;
        let snapshot = caller.get_snapshotter().expect("they are enabled").snapshot();
        // As if it returned 5.
        Err::<i32, _>(snapshot.restore(&mut caller, &[Val::I32(5)]))
    });
    let f = f.typed::<(), i32>(&store).unwrap();
    assert_eq!(f.call(&mut store, ()).unwrap(), 5);
    assert_eq!(*store.data(), 1);
}

fn start_function(engine: &Engine) {
    let mut store = store(engine);
    let i = linked(
        &mut store,
        &linker(engine),
        r#"(module
          (import "h" "mark" (func $mark (result i32)))
          (import "h" "jump" (func $jump (param i32 i32)))
          (global $g (export "g") (mut i32) (i32.const 0))
          (func $start (local $v i32)
            (local.set $v (call $mark))
            (global.set $g (i32.add (global.get $g) (i32.const 1)))
            (if (i32.lt_u (local.get $v) (i32.const 4))
              (then (call $jump (i32.const 0) (i32.add (local.get $v) (i32.const 1))))))
          (start $start))"#,
    );
    let g = i.get_global(&mut store, "g").unwrap();
    assert!(matches!(g.get(&store), Val::I32(5)));
}

fn threads(engine: &Engine) {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let engine = engine.clone();
            std::thread::spawn(move || {
                let mut store = store(&engine);
                let i = linked(&mut store, &linker(&engine), LOOP);
                for _ in 0..20 {
                    store.data_mut().marks.clear();
                    run(&mut store, i, 50).unwrap();
                }
                // And a store that moves to another thread between calls.
                std::thread::spawn(move || {
                    store.data_mut().marks.clear();
                    run(&mut store, i, 50).unwrap()
                })
                .join()
                .unwrap()
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 1_000_000 + 21 * 51);
    }
}
