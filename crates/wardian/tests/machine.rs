//! Something of everything in an engine that interprets, small enough for Miri, which finds undefined behaviour in the
//! runtime: see CONTRIBUTING.md.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use wardian::{
    Caller, Config, Engine, EngineKind, Error, Extern, ExternRef, FuncType, Instance, Linker,
    MemoryType, Module, Result, SharedMemory, StopReason, Store, TrapCode, Val, ValType,
    checkpoint::{Checkpoint, CheckpointOptions, ResumeOptions},
    listener::{AbortReason, Attachment, Call, FunctionFilter, FunctionListener},
    snapshot::Snapshot,
    stack::StackIterator,
};

fn engine() -> Engine {
    let mut config = Config::new();
    config.engine(EngineKind::Interpreted).compile_threads(1).stack_size(64 << 10);
    Engine::new(&config).unwrap()
}

fn guest<T: 'static>(linker: &Linker<T>, data: T, text: &str) -> (Store<T>, Instance) {
    let module = Module::new(linker.engine(), text).unwrap();
    let mut store = Store::new(linker.engine(), data);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    (store, instance)
}

fn alone(text: &str) -> (Store<()>, Instance) {
    guest(&Linker::new(&engine()), (), text)
}

fn call(store: &mut Store<()>, instance: Instance, name: &str, args: &[Val]) -> Result<Vec<Val>> {
    let func = instance.get_func(&mut *store, name).unwrap();
    let ty = func.ty(&*store);
    let mut results: Vec<Val> = ty.results().iter().map(|ty| Val::zero(*ty)).collect();
    func.call(store, args, &mut results)?;
    Ok(results)
}

#[test]
fn numbers_and_calls() {
    let (mut store, instance) = alone(
        r#"(module (func $fib (export "fib") (param i32) (result i32)
            (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
                (then (local.get 0))
                (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                               (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
          (func (export "mix") (param i64 f64 v128) (result i64 f32 v128)
            (i64.rotl (local.get 0) (i64.const 7))
            (f32.demote_f64 (f64.sqrt (local.get 1)))
            (i32x4.add (local.get 2) (v128.const i32x4 1 2 3 4)))
          (func (export "tail") (param i32) (result i32)
            (if (i32.eqz (local.get 0)) (then (return (i32.const 9))))
            (return_call 2 (i32.sub (local.get 0) (i32.const 1)))))"#,
    );
    assert_eq!(call(&mut store, instance, "fib", &[Val::I32(7)]).unwrap(), [Val::I32(13)]);
    let mixed =
        call(&mut store, instance, "mix", &[Val::I64(1), Val::F64(4f64.to_bits()), Val::V128(5)]);
    assert_eq!(mixed.unwrap()[..2], [Val::I64(128), Val::F32(2f32.to_bits())]);
    assert_eq!(call(&mut store, instance, "tail", &[Val::I32(20)]).unwrap(), [Val::I32(9)]);
}

#[test]
fn memories_and_tables() {
    let (mut store, instance) = alone(
        r#"(module (memory (export "m") 1 3) (table (export "t") 2 6 funcref)
          (data (i32.const 5) "hello") (data $later "bye") (elem (i32.const 0) $one)
          (func $one (result i32) (i32.const 41))
          (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
          (func (export "init") (memory.init $later (i32.const 0) (i32.const 0) (i32.const 3)) (data.drop $later))
          (func (export "grow") (result i32 i32)
            (memory.grow (i32.const 1)) (table.grow (ref.func $one) (i32.const 2)))
          (func (export "load") (param i32) (result i64) (i64.load (local.get 0)))
          (func (export "indirect") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"#,
    );
    let memory = instance.get_memory(&mut store, "m").unwrap();
    call(&mut store, instance, "copy", &[Val::I32(20), Val::I32(5), Val::I32(5)]).unwrap();
    call(&mut store, instance, "init", &[]).unwrap();
    assert_eq!(&memory.data(&store)[..3], b"bye");
    assert_eq!(&memory.data(&store)[20..25], b"hello");
    let grown = call(&mut store, instance, "grow", &[]).unwrap();
    assert_eq!(grown, [Val::I32(1), Val::I32(2)]);
    memory.write(&mut store, 65_536, &7u64.to_le_bytes()).unwrap();
    assert_eq!(call(&mut store, instance, "load", &[Val::I32(65_536)]).unwrap(), [Val::I64(7)]);
    assert_eq!(call(&mut store, instance, "indirect", &[Val::I32(3)]).unwrap(), [Val::I32(41)]);
    for (name, arg, code) in [
        ("load", 131_065, TrapCode::MemoryOutOfBounds),
        ("load", -1, TrapCode::MemoryOutOfBounds),
        ("indirect", 1, TrapCode::IndirectCallToNull),
        ("indirect", 9, TrapCode::UndefinedElement),
    ] {
        let error = call(&mut store, instance, name, &[Val::I32(arg)]).unwrap_err();
        assert_eq!(error.trap(), Some(code), "{error}");
    }
}

#[test]
fn host_functions_and_references() {
    let mut linker = Linker::new(&engine());
    linker.func_wrap("h", "add", |a: i32, b: i64| i64::from(a) + b).unwrap();
    linker
        .func_wrap("h", "again", |mut caller: Caller<'_, u32>, n: i32| -> Result<i32> {
            *caller.data_mut() += 1;
            if n == 0 {
                return Err(Error::host("enough"));
            }
            let run = caller.get_export("run").and_then(Extern::into_func).unwrap();
            let mut results = [Val::I32(0)];
            run.call(&mut caller, &[Val::I32(n - 1)], &mut results)?;
            Ok(n)
        })
        .unwrap();
    let (mut store, instance) = guest(
        &linker,
        0,
        r#"(module
        (import "h" "add" (func $add (param i32 i64) (result i64)))
        (import "h" "again" (func $again (param i32) (result i32)))
        (global $kept (mut externref) (ref.null extern))
        (func (export "run") (param i32) (result i32) (call $again (local.get 0)))
        (func (export "add") (result i64) (call $add (i32.const -1) (i64.const 43)))
        (func (export "keep") (param externref) (result externref)
            (global.get $kept) (global.set $kept (local.get 0))))"#,
    );
    let add = instance.typed_func::<(), i64>(&mut store, "add").unwrap();
    assert_eq!(add.call(&mut store, ()).unwrap(), 42);
    let run = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert!(run.call(&mut store, 3).unwrap_err().to_string().contains("enough"));
    assert_eq!(*store.data(), 4);
    let keep = instance.get_func(&mut store, "keep").unwrap();
    let mut results = [Val::ExternRef(None)];
    for text in ["a", "b"] {
        let value = ExternRef::new(text.to_string());
        keep.call(&mut store, &[Val::ExternRef(Some(value))], &mut results).unwrap();
        store.gc();
    }
    let Val::ExternRef(Some(first)) = &results[0] else { panic!("{results:?}") };
    assert_eq!(first.data().downcast_ref::<String>().unwrap(), "a");
}

#[test]
fn objects_and_exceptions() {
    let (mut store, instance) = alone(
        r#"(module (rec (type $list (struct (field i32) (field (mut (ref null $list))))))
          (type $bytes (array (mut i8))) (tag $t (param i32))
          (func (export "list") (param i32) (result i32) (local $l (ref null $list)) (local $sum i32)
            (loop $again
              (local.set $l (struct.new $list (local.get 0) (local.get $l)))
              (drop (array.new $bytes (i32.const 7) (i32.const 50)))
              (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (loop $again
              (local.set $sum (i32.add (local.get $sum) (struct.get $list 0 (local.get $l))))
              (br_if $again (i32.eqz (ref.is_null
                (local.tee $l (struct.get $list 1 (local.get $l)))))))
            (local.get $sum))
          (func $throws (param i32) (throw $t (local.get 0)))
          (func (export "catch") (param i32) (result i32)
            (block $h (result i32)
              (try_table (catch $t $h) (call $throws (local.get 0)))
              (i32.const -1)))
          (func (export "uncaught") (call $throws (i32.const 5))))"#,
    );
    assert_eq!(call(&mut store, instance, "list", &[Val::I32(40)]).unwrap(), [Val::I32(820)]);
    store.gc();
    assert_eq!(call(&mut store, instance, "catch", &[Val::I32(6)]).unwrap(), [Val::I32(6)]);
    let error = call(&mut store, instance, "uncaught", &[]).unwrap_err();
    assert!(error.exception().is_some());
}

const COUNTS: &str = r#"(module (import "h" "h" (func $h (param i32) (result i32)))
    (memory (export "m") 1)
    (func $inner (param i32) (result i32) (i32.mul (i32.const 3) (call $h (local.get 0))))
    (func (export "run") (result i32)
        (i32.store (i32.const 0) (i32.const 5))
        (i32.add (call $inner (i32.const 4)) (i32.load (i32.const 0)))))"#;

#[test]
fn snapshots_are_restored() {
    let mut linker = Linker::new(&engine());
    linker
        .func_wrap("h", "h", |mut caller: Caller<'_, Vec<Snapshot>>, n: i32| -> Result<i32> {
            let mut snapshotter = caller.get_snapshotter().ok_or_else(|| Error::host("none"))?;
            let snapshot = snapshotter.snapshot();
            caller.data_mut().push(snapshot);
            Ok(n)
        })
        .unwrap();
    linker
        .func_wrap("h", "back", |mut caller: Caller<'_, Vec<Snapshot>>| -> Result<()> {
            match caller.data_mut().pop() {
                Some(snapshot) => Err(snapshot.restore(&mut caller, &[Val::I32(100)])),
                None => Ok(()),
            }
        })
        .unwrap();
    let text = r#"(module (import "h" "h" (func $h (param i32) (result i32))) (import "h" "back" (func $back))
        (func $inner (param i32) (result i32) (i32.mul (i32.const 3) (call $h (local.get 0))))
        (func (export "run") (result i32)
            (i32.add (i32.const 5) (call $inner (i32.const 4)))
            (call $back)))"#;
    let module = Module::new(linker.engine(), text).unwrap();
    let mut store = Store::new(linker.engine(), Vec::new());
    store.enable_snapshots(true);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 305);
}

#[test]
fn checkpoints_images_and_forks() {
    let engine = engine();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("h", "h", |mut caller: Caller<'_, Option<Checkpoint>>, n: i32| -> Result<i32> {
            let checkpoint = caller.checkpoint(&CheckpointOptions::new())?;
            *caller.data_mut() = Some(checkpoint);
            Ok(n)
        })
        .unwrap();
    let (mut store, instance) = guest(&linker, None, COUNTS);
    let image = store.image().unwrap();
    let run = instance.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 17);
    let bytes = store.data_mut().take().unwrap().to_bytes().unwrap();
    let mut other = Store::new(&engine, None);
    let checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
    let resumed = checkpoint.resume(&mut other, &linker, &ResumeOptions::new()).unwrap();
    assert_eq!(resumed.run_with(&mut other, &[Val::I32(10)]).unwrap(), [Val::I32(35)]);
    let mut child = store.fork(None).unwrap();
    let memory = instance.get_memory(&mut store, "m").unwrap();
    store.reset_to(&image).unwrap();
    assert_eq!(memory.data(&store)[0], 0);
    assert_eq!(run.call(&mut store, ()).unwrap(), 17);
    drop(store);
    child.store.gc();
}

#[test]
fn functions_over_raw_slots() {
    let engine = engine();
    let mut linker: Linker<Option<Checkpoint>> = Linker::new(&engine);
    let many = FuncType::new(vec![ValType::I64; 20], [ValType::I32, ValType::I64]);
    linker
        .func_raw("h", "many", many, |mut caller, slots| {
            let sum = slots[..20].iter().sum();
            // The arguments of the call are the guest's, whatever is in the slots now.
            slots.fill(9);
            let checkpoint = caller.checkpoint(&CheckpointOptions::new())?;
            *caller.data_mut() = Some(checkpoint);
            (slots[0], slots[1]) = (-1i64 as u64, sum);
            Ok(())
        })
        .unwrap();
    let arguments: String = (1..=20).map(|n| format!("(i64.const {n})")).collect();
    let text = format!(
        r#"(module (import "h" "many" (func $many (param {}) (result i32 i64)))
            (func (export "run") (result i32 i64) (call $many {arguments})))"#,
        "i64 ".repeat(20)
    );
    let (mut store, instance) = guest(&linker, None, &text);
    let run = instance.typed_func::<(), (i32, i64)>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), (-1, 210));
    let checkpoint = store.data_mut().take().unwrap();
    let mut other = Store::new(&engine, None);
    let resumed = checkpoint.resume(&mut other, &linker, &ResumeOptions::new()).unwrap();
    assert_eq!(resumed.run(&mut other).unwrap(), [Val::I32(-1), Val::I64(210)]);
}

#[test]
fn guests_wait_for_each_other() {
    let text = r#"(module (import "h" "m" (memory 1 1 shared))
        (func (export "wait") (result i32)
            (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const -1)))
        (func (export "add") (param i32) (result i32)
            (loop (drop (i32.atomic.rmw.add (i32.const 16) (i32.const 1)))
                (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (i32.atomic.store (i32.const 8) (i32.const 1))
            (memory.atomic.notify (i32.const 8) (i32.const 5))))"#;
    let engine = engine();
    let ty = MemoryType { shared: true, ..MemoryType::new(1, Some(1)) };
    let memory = SharedMemory::new(&engine, ty).unwrap();
    let mut linker = Linker::new(&engine);
    linker.define("h", "m", memory.clone()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut store, instance) = guest(&linker, (), text);
            let waited = call(&mut store, instance, "wait", &[]).unwrap();
            assert!([0, 1].map(|n| vec![Val::I32(n)]).contains(&waited), "{waited:?}");
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut store, instance) = guest(&linker, (), text);
                call(&mut store, instance, "add", &[Val::I32(20)]).unwrap();
            });
        }
    });
    let mut sum = [0; 4];
    memory.read(16, &mut sum).unwrap();
    assert_eq!(u32::from_le_bytes(sum), 40);
}

#[test]
fn calls_are_suspended() {
    let mut linker = Linker::new(&engine());
    linker
        .func_wrap_async("h", "h", |_: Caller<'_, ()>, (n,): (i32,)| {
            Box::pin(async move {
                let mut polls = 0;
                std::future::poll_fn(|context| {
                    context.waker().wake_by_ref();
                    polls += 1;
                    if polls > 2 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                n + polls
            })
        })
        .unwrap();
    let (mut store, instance) = guest(&linker, (), COUNTS);
    let run = instance.typed_func::<(), i32>(&mut store, "run").unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut future = Box::pin(run.call_async(&mut store, ()));
    let result = loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            break result;
        }
    };
    drop(future);
    assert_eq!(result.unwrap(), 26);
    // One that is given up.
    let mut future = Box::pin(run.call_async(&mut store, ()));
    assert!(future.as_mut().poll(&mut context).is_pending());
    drop(future);
    store.gc();
}

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, what: &str, call: &Call<'_>) {
        let function = call.definition().index().unwrap_or(u32::MAX);
        self.0.lock().unwrap().push(format!("{what} {function}"));
    }
}

impl FunctionListener for Notes {
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        self.note(&format!("{} deep, {params:?}:", deep(stack)), call);
    }

    fn after(&self, call: &Call<'_>, results: &[u64]) {
        self.note(&format!("{results:?} from"), call);
    }

    fn abort(&self, call: &Call<'_>, _: &AbortReason<'_>) {
        self.note("aborted", call);
    }
}

fn deep(stack: &mut StackIterator<'_>) -> usize {
    let mut frames = 0;
    while stack.next() {
        frames += 1;
    }
    frames
}

#[test]
fn calls_are_listened_to() {
    let notes = Notes::default();
    let heard = notes.clone();
    let mut linker = Linker::new(&engine());
    linker
        .func_wrap(
            "h",
            "h",
            move |mut caller: Caller<'_, Option<Attachment>>, n: i32| -> Result<i32> {
                if caller.data().is_some() {
                    return Err(Error::host("no more"));
                }
                let instance = caller.instance().unwrap();
                let listeners = FunctionFilter::all().listen(heard.clone());
                let attachment = instance.attach(&mut caller, listeners)?;
                *caller.data_mut() = Some(attachment);
                Ok(n)
            },
        )
        .unwrap();
    let (mut store, instance) = guest(&linker, None, COUNTS);
    let run = instance.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 17);
    run.call(&mut store, ()).unwrap_err();
    let heard = notes.0.lock().unwrap().join(", ");
    let expected = "1 deep, []: 2, 2 deep, [4]: 1, 3 deep, [4]: 0, aborted 0, aborted 1, aborted 2";
    assert_eq!(heard, expected);
}

#[test]
fn guests_are_stopped() {
    let (mut store, instance) = alone(
        r#"(module (func (export "spin") (loop (br 0))) (func $deep (export "deep") (call $deep)))"#,
    );
    let error = call(&mut store, instance, "deep", &[]).unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::StackOverflow));
    store.set_deadline(Some(Instant::now() + Duration::from_millis(20)));
    let error = call(&mut store, instance, "spin", &[]).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
    store.set_deadline(None);
    let token = store.cancel_token();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            token.cancel();
        });
        let error = call(&mut store, instance, "spin", &[]).unwrap_err();
        assert_eq!(error.stop_reason(), Some(StopReason::Cancelled));
    });
}
