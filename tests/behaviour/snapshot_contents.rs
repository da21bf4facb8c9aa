//! What snapshots hold: values of every type, and the calls that listeners know of.

use crate::log::Log;
use crate::matrix::{Behaviour, linked, module};
use crate::snapshots::{Host, linker, store};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use wardian::{
    Caller, CompileOptions, Engine, Error, ExternRef, Func, Instance, Linker, Module, Store, Val,
    listener::{AbortReason, Call, FunctionFilter, FunctionListener},
    snapshot::Snapshot,
    stack::StackIterator,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("values of every type survive a restore, in frames and as results", values),
    ("a snapshot keeps references alive, and a restore on its way too", references),
    ("listeners see one ending for each call, with resumed ones", listeners),
    ("calls of a snapshot that had ended are resumed, outermost first", resumed),
    ("a restore from nested guests aborts what it discards", nested),
    ("tail calls and tables are balanced over a restore", tails),
    ("a listener that panics while a snapshot is restored ends the guest", panicking),
    ("listeners come and go between a snapshot and its restore", come_and_go),
    ("many listened frames are restored", many),
];

/// The snapshot, and what has been let go of the embedder's values.
#[derive(Default)]
struct Kept {
    mark: Option<Snapshot>,
    rounds: i32,
}

const VALUES: &str = r#"(module
  (import "h" "mark" (func $mark (result v128 funcref externref i64 f32 f64)))
  (import "h" "jump" (func $jump))
  (import "h" "check" (func $check (param externref) (result i32)))
  (table $t 1 funcref) (elem declare func $nine)
  (func $nine (result i32) (i32.const 9))
  (func (export "run") (param $own externref) (result i32)
    (local $v v128) (local $f funcref) (local $e externref) (local $i i64)
    (local $s f32) (local $d f64) (local $mine funcref) (local $lane v128) (local $sum i32)
    (local.set $mine (ref.func $nine))
    (local.set $lane (v128.const i32x4 100 200 300 400))
    (call $mark)
    (local.set $d) (local.set $s) (local.set $i) (local.set $e) (local.set $f) (local.set $v)
    ;; What was in the frame.
    (table.set $t (i32.const 0) (local.get $mine))
    (local.set $sum (i32.add (call_indirect $t (result i32) (i32.const 0))
      (i32x4.extract_lane 3 (local.get $lane))))
    (local.set $sum (i32.add (local.get $sum) (call $check (local.get $own))))
    (call $jump)
    ;; What came as results, at last from a restore.
    (table.set $t (i32.const 0) (local.get $f))
    (i32.add (local.get $sum) (i32.add (call $check (local.get $e))
      (i32.add (i32x4.extract_lane 1 (local.get $v))
        (i32.add (call_indirect $t (result i32) (i32.const 0))
          (i32.add (i32.wrap_i64 (local.get $i))
            (i32.trunc_f64_s (f64.add (local.get $d)
              (f64.promote_f32 (local.get $s)))))))))))"#;

fn values(engine: &Engine) {
    let mut store = Store::new(engine, Kept::default());
    store.enable_snapshots(true);
    let f = Func::wrap(&mut store, || 1_000_000);
    let results = move || {
        [
            Val::V128(2000 << 32),
            Val::FuncRef(Some(f)),
            Val::ExternRef(Some(ExternRef::new(30_000i32))),
            Val::I64(4),
            Val::F32(0.5f32.to_bits()),
            Val::F64(4.5f64.to_bits()),
        ]
    };
    let types = results().map(|v| v.ty());
    let mut linker: Linker<Kept> = Linker::new(engine);
    let ty = wardian::FuncType::new([], types);
    linker
        .func_new("h", "mark", ty, |mut caller, _, _| {
            let snapshot = caller.get_snapshotter().map(|mut s| s.snapshot());
            caller.data_mut().mark = snapshot;
            Ok(())
        })
        .unwrap();
    linker
        .func_wrap("h", "jump", move |mut caller: Caller<'_, Kept>| {
            caller.data_mut().rounds += 1;
            if caller.data().rounds > 5 {
                return Ok(());
            }
            let mark = caller.data().mark.clone().expect("a mark");
            Err(mark.restore(&mut caller, &results()))
        })
        .unwrap();
    let check =
        |value: Option<ExternRef>| value.map_or(0, |v| *v.data().downcast_ref::<i32>().unwrap());
    linker.func_wrap("h", "check", check).unwrap();
    let i = linked(&mut store, &linker, VALUES);
    let run = i.typed_func::<Option<ExternRef>, i32>(&mut store, "run").unwrap();
    let own = Some(ExternRef::new(70_000i32));
    let expected = 9 + 400 + 70_000 + 30_000 + 2000 + 1_000_000 + 4 + 5;
    assert_eq!(run.call(&mut store, own).unwrap(), expected);
}

/// Counts how many of it are alive.
struct Counted(Arc<AtomicU32>);

impl Counted {
    fn reference(alive: &Arc<AtomicU32>) -> ExternRef {
        alive.fetch_add(1, Ordering::Relaxed);
        ExternRef::new(Counted(alive.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn references(engine: &Engine) {
    let text = r#"(module
      (import "h" "make" (func $make (result externref)))
      (import "h" "mark" (func $mark (result externref)))
      (import "h" "jump" (func $jump (result externref)))
      (import "h" "alive" (func $alive (param externref) (result i32)))
      (func $garbage (param i32)
        (loop $l (drop (call $make))
          (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
      (func $inner (result externref externref) (local $mine externref)
        (local.set $mine (call $make))
        (call $mark) (local.get $mine))
      (func (export "run") (result i32) (local $given externref) (local $mine externref)
        (call $inner) (local.set $mine) (local.set $given)
        ;; Now only the snapshot has what was in the inner frame.
        (if (ref.is_null (local.get $given)) (then
          (local.set $mine (ref.null extern))
          (call $garbage (i32.const 5000))
          (drop (call $jump))))
        (call $garbage (i32.const 5000))
        (i32.add (call $alive (local.get $given))
          (i32.mul (i32.const 10) (call $alive (local.get $mine))))))"#;
    let alive = Arc::new(AtomicU32::new(0));
    let made = alive.clone();
    let mut linker: Linker<Kept> = Linker::new(engine);
    linker.func_wrap("h", "make", move || Some(Counted::reference(&made))).unwrap();
    linker
        .func_wrap("h", "mark", |mut caller: Caller<'_, Kept>| -> Option<ExternRef> {
            let snapshot = caller.get_snapshotter().map(|mut s| s.snapshot());
            caller.data_mut().mark = snapshot;
            None
        })
        .unwrap();
    let made = alive.clone();
    linker
        .func_wrap("h", "jump", move |mut caller: Caller<'_, Kept>| {
            let mark = caller.data_mut().mark.take().expect("a mark");
            let given = Val::ExternRef(Some(Counted::reference(&made)));
            drop(mark.restore(&mut caller, &[given]));
            drop(mark);
            // Swallowed; and before the guest gets the reference many others are made, which are
            // offered to a guest that refuses them.
            let f = Func::wrap(&mut caller, |_: Option<ExternRef>| ());
            let f = f.typed::<Option<ExternRef>, ()>(&caller).unwrap();
            for _ in 0..5000 {
                f.call(&mut caller, Some(Counted::reference(&made))).unwrap_err();
            }
            Some(Counted::reference(&made))
        })
        .unwrap();
    let check = |value: Option<ExternRef>| {
        i32::from(value.is_some_and(|v| v.data().downcast_ref::<Counted>().is_some()))
    };
    linker.func_wrap("h", "alive", check).unwrap();
    let mut store = Store::new(engine, Kept::default());
    store.enable_snapshots(true);
    let i = linked(&mut store, &linker, text);
    let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 11);
    let left = alive.load(Ordering::Relaxed);
    assert!(left < 10_000, "{left} are alive: snapshots that are gone keep nothing");
    drop(store);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

fn listened(engine: &Engine, text: &str, log: &Log) -> Module {
    let options = CompileOptions::new().with_function_listener_factory(log.factory());
    Module::new_with(engine, text, &options).unwrap_or_else(|e| panic!("{e}"))
}

fn run(store: &mut Store<Host>, i: Instance, argument: i32) -> Result<i32, Error> {
    i.typed_func::<i32, i32>(&mut *store, "run")?.call(store, argument)
}

const MARK_IN_CALLEE: &str = r#"(module
  (import "h" "mark" (func $mark (result i32)))
  (import "h" "jump" (func $jump (param i32 i32)))
  (func $outer (result i32) (call $inner))
  (func $inner (result i32) (call $mark))
  (func $leave (param i32) (call $jump (i32.const 0) (local.get 0)))
  (func (export "run") (param $n i32) (result i32) (local $v i32)
    (local.set $v (call $outer))
    (if (i32.lt_u (local.get $v) (local.get $n))
      (then (call $leave (i32.add (local.get $v) (i32.const 1)))))
    (local.get $v)))"#;

fn listeners(engine: &Engine) {
    let log = Log::default();
    let mut store = store(engine);
    let text = r#"(module
      (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32 i32)))
      (func $leave (param i32) (call $jump (i32.const 0) (local.get 0)))
      (func (export "run") (param $n i32) (result i32) (local $v i32)
        (local.set $v (call $mark))
        (if (i32.lt_u (local.get $v) (local.get $n))
          (then (call $leave (i32.add (local.get $v) (i32.const 1)))))
        (local.get $v)))"#;
    let m = listened(engine, text, &log);
    let i = linker(engine).instantiate(&mut store, &m).unwrap();
    assert_eq!(run(&mut store, i, 1).unwrap(), 1);
    log.assert_balanced();
    assert_eq!(
        log.take(),
        [
            "before run [1]",
            "before mark []",
            "after mark [0]",
            "before leave [1]",
            "before jump [0, 1]",
            "abort jump: a snapshot was restored",
            "abort leave: a snapshot was restored",
            "after run [1]",
        ]
    );
}

fn resumed(engine: &Engine) {
    let log = Log::default();
    let mut store = store(engine);
    let m = listened(engine, MARK_IN_CALLEE, &log);
    let i = linker(engine).instantiate(&mut store, &m).unwrap();
    assert_eq!(run(&mut store, i, 1).unwrap(), 1);
    log.assert_balanced();
    assert_eq!(
        log.take()[5..],
        [
            "after inner [0]",
            "after outer [0]",
            "before leave [1]",
            "before jump [0, 1]",
            "abort jump: a snapshot was restored",
            "abort leave: a snapshot was restored",
            "resumed outer",
            "resumed inner",
            "after inner [1]",
            "after outer [1]",
            "after run [1]",
        ]
        .map(String::from)[..]
    );
    store.data_mut().marks.clear();
    assert_eq!(run(&mut store, i, 300).unwrap(), 300);
    log.assert_balanced();
}

fn nested(engine: &Engine) {
    let log = Log::default();
    let text = r#"(module
      (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32 i32)))
      (import "h" "nest" (func $nest (param i32)))
      (func $inner (export "inner") (param $n i32)
        (if (local.get $n)
          (then (call $nest (i32.sub (local.get $n) (i32.const 1))))
          (else (call $jump (i32.const 0) (i32.const 7)))))
      (func (export "run") (param $n i32) (result i32) (local $v i32)
        (if (i32.eqz (local.tee $v (call $mark))) (then (call $nest (local.get $n))))
        (local.get $v)))"#;
    let mut store = store(engine);
    let m = listened(engine, text, &log);
    let i = linker(engine).instantiate(&mut store, &m).unwrap();
    assert_eq!(run(&mut store, i, 2).unwrap(), 7);
    log.assert_balanced();
    let reported = log.take();
    let restored = |line: &&String| line.ends_with("a snapshot was restored");
    assert_eq!(reported.iter().filter(restored).count(), 7, "{reported:?}");
    assert_eq!(reported.last().unwrap(), "after run [7]");
    // Stopped by a deadline instead: the restore never happens, and all is notified all the same.
    store.data_mut().marks.clear();
    store.cancel_token().cancel();
    run(&mut store, i, 2).unwrap_err();
    log.assert_balanced();
}

fn tails(engine: &Engine) {
    let log = Log::default();
    let text = r#"(module
      (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32 i32)))
      (table funcref (elem $mark $jump $middle $end))
      (func $middle (param $x i32) (result i32)
        (return_call_indirect (param i32) (result i32) (local.get $x) (i32.const 3)))
      (func $end (param $x i32) (result i32) (return_call_indirect (result i32) (i32.const 0)))
      (func $leave (param i32 i32)
        (return_call_indirect (param i32 i32) (local.get 0) (local.get 1) (i32.const 1)))
      (func (export "run") (param $n i32) (result i32) (local $v i32)
        (local.set $v (call_indirect (param i32) (result i32) (i32.const 100) (i32.const 2)))
        (if (i32.lt_u (local.get $v) (local.get $n))
          (then (call $leave (i32.const 0) (i32.add (local.get $v) (i32.const 1)))))
        (local.get $v)))"#;
    let mut store = store(engine);
    let m = listened(engine, text, &log);
    let i = linker(engine).instantiate(&mut store, &m).unwrap();
    assert_eq!(run(&mut store, i, 2).unwrap(), 2);
    log.assert_balanced();
    let reported = log.take();
    assert_eq!(reported[..2], ["before run [2]", "before middle [100]"]);
    assert!(reported.iter().filter(|line| *line == "tail leave []").count() == 2, "{reported:?}");
}

/// Panics when it is notified of what it does not like.
struct Touchy {
    dislikes: &'static str,
    reported: Arc<Mutex<Vec<&'static str>>>,
}

impl Touchy {
    fn tell(&self, what: &'static str) {
        self.reported.lock().unwrap().push(what);
        if what == self.dislikes {
            std::panic::resume_unwind(Box::new("no"));
        }
    }
}

impl FunctionListener for Touchy {
    fn before(&self, _: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {
        self.tell("before");
    }
    fn after(&self, _: &Call<'_>, _: &[u64]) {
        self.tell("after");
    }
    fn abort(&self, _: &Call<'_>, reason: &AbortReason<'_>) {
        self.tell(if matches!(reason, AbortReason::Restored) { "restored" } else { "abort" });
    }
    fn resumed(&self, _: &Call<'_>) {
        self.tell("resumed");
    }
}

fn panicking(engine: &Engine) {
    for dislikes in ["restored", "resumed"] {
        let log = Log::default();
        let reported: Arc<Mutex<Vec<&'static str>>> = Arc::default();
        let touchy = Touchy { dislikes, reported: reported.clone() };
        let options = CompileOptions::new()
            .with_function_listener_factory(FunctionFilter::name("*e*").listen(touchy))
            .with_function_listener_factory(log.factory());
        let m = Module::new_with(engine, MARK_IN_CALLEE, &options).unwrap();
        let mut store = store(engine);
        let i = linker(engine).instantiate(&mut store, &m).unwrap();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&mut store, i, 1)));
        assert_eq!(*done.unwrap_err().downcast::<&str>().unwrap(), "no");
        log.assert_balanced();
        let reported = reported.lock().unwrap();
        let count = |what| reported.iter().filter(|t| **t == what).count();
        assert!(count(dislikes) >= 1, "{reported:?}");
        let begun = count("before") + count("resumed");
        assert_eq!(begun, count("after") + count("abort") + count("restored"), "{reported:?}");
    }
}

fn come_and_go(engine: &Engine) {
    let log = Log::default();
    let late = Log::default();
    let attached = Arc::new(Mutex::new(None));
    let mut linker = linker(engine);
    let (first, second, kept) = (log.clone(), late.clone(), attached.clone());
    // Detaches the one and attaches the other.
    linker
        .func_wrap("h", "change", move |mut caller: Caller<'_, Host>| {
            let i = caller.instance().unwrap();
            let new = i.attach(&mut caller, second.factory()).unwrap();
            let old: Option<wardian::listener::Attachment> = kept.lock().unwrap().replace(new);
            old.unwrap().detach(&mut caller);
            let _ = &first;
        })
        .unwrap();
    let text = r#"(module
      (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32 i32)))
      (import "h" "change" (func $change))
      (func $inner (result i32) (call $mark))
      (func (export "run") (param $n i32) (result i32) (local $v i32)
        (if (i32.eqz (local.tee $v (call $inner)))
          (then (call $change) (drop (call $inner)) (call $jump (i32.const 0) (i32.const 1))))
        (local.get $v)))"#;
    let mut store = store(engine);
    let i = linker.instantiate(&mut store, &module(engine, text)).unwrap();
    *attached.lock().unwrap() = Some(i.attach(&mut store, log.factory()).unwrap());
    assert_eq!(run(&mut store, i, 0).unwrap(), 1);
    log.assert_balanced();
    late.assert_balanced();
    let reported = log.take();
    assert_eq!(
        reported[reported.len() - 3..],
        ["resumed inner", "after inner [1]", "after run [1]"]
    );
    let reported = late.take();
    assert_eq!(
        reported,
        [
            "before inner []",
            "before mark []",
            "after mark [0]",
            "after inner [0]",
            "before jump [0, 1]",
            "abort jump: a snapshot was restored",
        ]
    );
}

fn many(engine: &Engine) {
    let log = Log::counting();
    let text = r#"(module
      (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32 i32)))
      (func $down (param $n i32) (result i32)
        (if (result i32) (local.get $n)
          (then (i32.add (i32.const 0) (call $down (i32.sub (local.get $n) (i32.const 1)))))
          (else (call $mark))))
      (func (export "run") (param $n i32) (result i32) (local $v i32)
        (local.set $v (call $down (local.get $n)))
        (if (i32.lt_u (local.get $v) (i32.const 3))
          (then (call $jump (i32.const 0) (i32.add (local.get $v) (i32.const 1)))))
        (local.get $v)))"#;
    let mut store = store(engine);
    let m = listened(engine, text, &log);
    let i = linker(engine).instantiate(&mut store, &m).unwrap();
    let count = 2500;
    assert_eq!(run(&mut store, i, count).unwrap(), 3);
    log.assert_balanced();
    let (begun, ended) = log.counts();
    assert_eq!((begun, ended), (2506, 2506 + 3 * 2501));
}
