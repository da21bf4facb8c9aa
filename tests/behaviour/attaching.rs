//! Listeners that come and go, and how functions are chosen.

use crate::checkpoints::sources;
use crate::log::{Log, Recorder};
use crate::matrix::{Behaviour, HAS_JIT, compiled_of, is_compiled, linked, module};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use wardian::{
    Caller, CompileOptions, Engine, Instance, Linker, MemoryType, Module, SharedMemory, Store,
    checkpoint::{AfterCheckpoint, Standstill},
    inspect::FunctionDefinition,
    listener::{Attachment, FunctionFilter, FunctionListenerFactoryFunc},
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("listeners come and go while the guest runs", attach_and_detach),
    ("a dropped attachment is swept at the next transition", dropped_attachment),
    ("another thread attaches listeners to a guest that computes", from_another_thread),
    ("code without listeners is the same bytes", same_bytes),
    ("filters choose functions", filters),
];

fn attach_and_detach(engine: &Engine) {
    let log = Log::default();
    let mut linker: Linker<Option<wardian::listener::Attachment>> = Linker::new(engine);
    let factory = log.factory();
    linker
        .func_wrap(
            "h",
            "toggle",
            move |mut caller: Caller<'_, Option<wardian::listener::Attachment>>| match caller
                .data_mut()
                .take()
            {
                Some(attachment) => attachment.detach(&mut caller),
                None => {
                    let instance = caller.instance().unwrap();
                    let attachment = instance.attach(&mut caller, factory.clone()).unwrap();
                    *caller.data_mut() = Some(attachment);
                }
            },
        )
        .unwrap();
    let text = r#"(module (import "h" "toggle" (func $toggle))
      (func $leaf)
      (func $middle (call $leaf) (call $toggle) (call $leaf))
      (func (export "go") (call $middle) (call $middle) (call $leaf)))"#;
    let mut store = Store::new(engine, None);
    let i = linked(&mut store, &linker, text);
    let go = i.typed_func::<(), ()>(&mut store, "go").unwrap();
    for _ in 0..3 {
        go.call(&mut store, ()).unwrap();
        assert_eq!(
            log.take(),
            [
                // Attached in the first `middle`, which is not notified of as it began before.
                "before leaf []",
                "after leaf []",
                "before middle []",
                "before leaf []",
                "after leaf []",
                "before toggle []",
                // Detached: ends are still notified of, but no call that begins is notified of.
                "after toggle []",
                "after middle []",
            ]
        );
    }
    log.assert_balanced();
}

fn dropped_attachment(engine: &Engine) {
    let log = Log::default();
    let kept = Arc::new(Mutex::new(None));
    let to_drop = kept.clone();
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "drop", move || drop(to_drop.lock().unwrap().take())).unwrap();
    let mut store = Store::new(engine, ());
    let text = r#"(module (import "h" "drop" (func $drop)) (memory 1)
      (func $leaf (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))
      (func (export "go") (param i64) (result i64)
        (local.set 0 (call $leaf (local.get 0))) (call $drop)
        (local.set 0 (i64.add (local.get 0) (i64.extend_i32_u (memory.grow (i32.const 1)))))
        (call $leaf (local.get 0))))"#;
    let i = linked(&mut store, &linker, text);
    let code = |store: &Store<()>| i.internal(store).machine_code(1);
    let plain = code(&store);
    assert_eq!(plain.is_some(), is_compiled(engine));
    *kept.lock().unwrap() = Some(i.attach(&mut store, log.factory()).unwrap());
    if is_compiled(engine) {
        assert!(engine.config().has_function_listeners() || code(&store) != plain);
    }
    let go = i.typed_func::<i64, i64>(&mut store, "go").unwrap();
    assert_eq!(go.call(&mut store, 40).unwrap(), 43);
    assert!(!is_compiled(engine) || code(&store) == plain);
    let reported = log.take();
    assert_eq!(reported.iter().filter(|l| l.starts_with("before leaf")).count(), 1, "{reported:?}");
    log.assert_balanced();
    // Dropped on another thread, between calls.
    let other = i.attach(&mut store, log.factory()).unwrap();
    std::thread::spawn(move || drop(other)).join().unwrap();
    assert_eq!(go.call(&mut store, 1).unwrap(), 5);
    assert_eq!(log.take(), [] as [&str; 0]);
    assert!(!is_compiled(engine) || code(&store) == plain);
}

fn from_another_thread(engine: &Engine) {
    const PART: &str = r#"(module (func $leaf (export "leaf")))"#;
    // A loop without calls, until the first word says so; then a call in each turn, until the second one does.
    const MAIN: &str = r#"(module (import "h" "m" (memory 1 1 shared)) (import "part" "leaf" (func $other))
      (func $own)
      (func (export "go")
        (loop $l (br_if $l (i32.eqz (i32.atomic.load (i32.const 0)))))
        (loop $l (call $own) (call $other) (br_if $l (i32.eqz (i32.atomic.load (i32.const 4)))))))"#;
    for engine in sources(engine) {
        let ty = MemoryType { shared: true, ..MemoryType::new(1, Some(1)) };
        let memory = SharedMemory::new(&engine, ty).unwrap();
        let mut store = Store::new(&engine, ());
        let mut linker: Linker<()> = Linker::new(&engine);
        let part = linker.instantiate(&mut store, &module(&engine, PART)).unwrap();
        linker.instance(&mut store, "part", part).unwrap();
        linker.define("h", "m", memory.clone()).unwrap();
        let main = linker.instantiate(&mut store, &module(&engine, MAIN)).unwrap();
        let go = main.typed_func::<(), ()>(&mut store, "go").unwrap();
        let request = store.checkpoint_request();
        let still = |work: Box<dyn FnOnce(&mut Standstill<'_>) + Send>| {
            let (done, waits) = mpsc::channel();
            request.request_standstill(move |still| {
                work(still);
                done.send(()).unwrap();
                AfterCheckpoint::Resume
            });
            waits.recv_timeout(Duration::from_secs(60)).expect("it stands still");
        };
        let (log, kept) = (Log::default(), Arc::new(Mutex::new(None)));
        std::thread::scope(|scope| {
            let running = scope.spawn(|| go.call(&mut store, ()));
            let (factory, keep) = (log.factory(), kept.clone());
            // In the loop without calls, mostly; else before it.
            std::thread::sleep(Duration::from_millis(20));
            still(Box::new(move |still| {
                *keep.lock().unwrap() = Some(still.attach(factory).unwrap())
            }));
            assert!(kept.lock().unwrap().as_ref().is_some_and(Attachment::is_active));
            memory.write(0, &1u32.to_le_bytes()).unwrap();
            let begin = Instant::now();
            while log.counts().0 < 100 {
                assert!(begin.elapsed() < Duration::from_secs(60), "it is not notified");
                std::thread::sleep(Duration::from_millis(1));
            }
            let end = kept.clone();
            still(Box::new(move |_| drop(end.lock().unwrap().take())));
            let (begun, _) = log.counts();
            std::thread::sleep(Duration::from_millis(5));
            assert_eq!(log.counts().0, begun);
            assert!(request.is_active());
            memory.write(4, &1u32.to_le_bytes()).unwrap();
            running.join().unwrap().unwrap();
        });
        log.assert_balanced();
        let lines = log.take();
        assert!(lines.iter().any(|line| line.starts_with("before leaf")), "{:?}", &lines[..4]);
        assert!(lines.iter().any(|line| line.starts_with("before own")), "{:?}", &lines[..4]);
        drop(store);
        assert!(!request.is_active());
    }
}

fn same_bytes(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    let engine = &compiled_of(engine);
    let text = r#"(module
      (func $f (export "f") (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
      (func $g (export "g") (param i32) (result i32) (return_call $f (local.get 0)))
      (func (export "h") (param i32) (result i32) (i32.add (call $f (local.get 0))
        (call $g (local.get 0)))))"#;
    let log = Log::default();
    let listened = Module::new_with(
        engine,
        text,
        &CompileOptions::new().with_function_listener_factory(log.factory()),
    )
    .unwrap();
    let plain = module(engine, text);
    // All machine code of the module, with its tables.
    assert_eq!(listened.serialize().unwrap(), plain.serialize().unwrap());
    let mut store = Store::new(engine, ());
    store.enable_snapshots(true);
    let i = Instance::new(&mut store, &plain, &[]).unwrap();
    let codes = |store: &Store<()>| [0, 1, 2].map(|f| i.internal(store).machine_code(f).unwrap());
    let before = codes(&store);
    let only_f = FunctionFilter::name("f").listen(Recorder(log.clone()));
    let attachment = i.attach(&mut store, only_f).unwrap();
    let during = codes(&store);
    assert!(engine.config().has_function_listeners() || during[0] != before[0]);
    assert_eq!(during[1..], before[1..]);
    attachment.detach(&mut store);
    assert_eq!(codes(&store), before);
}

fn filters(engine: &Engine) {
    let text = r#"(module (import "a" "x" (func)) (import "b" "y" (func))
      (func $core::mem::swap) (func $alloc (export "malloc")) (func (export "go")))"#;
    let m = module(engine, text);
    let chosen = |filter: FunctionFilter| -> Vec<u32> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let factory = filter.apply(FunctionListenerFactoryFunc(
            move |definition: &FunctionDefinition<'_>| {
                log.lock().unwrap().push(definition.index().unwrap());
                None
            },
        ));
        let mut linker: Linker<()> = Linker::new(engine);
        linker.func_wrap("a", "x", || ()).unwrap().func_wrap("b", "y", || ()).unwrap();
        let mut store = Store::new(engine, ());
        let i = linker.instantiate(&mut store, &m).unwrap();
        drop(i.attach(&mut store, factory).unwrap());
        std::mem::take(&mut *seen.lock().unwrap())
    };
    assert_eq!(chosen(FunctionFilter::all()), [0, 1, 2, 3, 4]);
    assert_eq!(chosen(FunctionFilter::name("*alloc")), [3]);
    assert_eq!(chosen(FunctionFilter::name("core::*")), [2]);
    assert_eq!(chosen(FunctionFilter::exported()), [3, 4]);
    assert_eq!(chosen(FunctionFilter::imported()), [0, 1]);
    assert_eq!(chosen(FunctionFilter::imported_from("b")), [1]);
    assert_eq!(chosen(FunctionFilter::index(1..=2)), [1, 2]);
    let both = FunctionFilter::imported().or(FunctionFilter::exported());
    assert_eq!(chosen(both.clone().inverted()), [2]);
    assert_eq!(chosen(both.and(FunctionFilter::index(3..))), [3, 4]);
}
