//! Every name of `docs/hooks.md`, used for what it is there for.

use crate::matrix::{Behaviour, HAS_JIT, compiled_of, module};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wardian::{
    Backtrace, CallOptions, Caller, CompileOptions, Config, CoreFeatures, Engine, Error, ErrorKind,
    Func, FuncType, Instance, InstantiateOptions, Linker, Memory, MemoryType, Module, Result,
    StopReason, Store, StoreContextMut, Table, TypedFunc, Val, ValType,
    allocator::{
        GuardedMemory, LinearMemory, MemoryAllocator, MemoryAllocatorFunc, MemoryRequest, VecMemory,
    },
    cache::DiskCache,
    cancel::CancelToken,
    checkpoint::Standstill,
    close::{CloseNotifier, CloseNotifyFunc, ClosingInstance, InstanceCloser},
    image::Image,
    inspect::{FunctionDefinition, InternalModule, InternalModuleMut, ObjectView},
    listener::{
        AbortReason, Attachment, Call, FunctionFilter, FunctionListener, FunctionListenerFactory,
        FunctionListenerFactoryFunc, FunctionListenerFunc, MultiFunctionListenerFactory,
        benchmark_function_listener,
    },
    resolver::{ImportRequest, ImportResolver, Resolution},
    snapshot::{Snapshot, Snapshotter},
    stack::{InternalFunction, ProgramCounter, StackFrame, StackIterator, new_stack_iterator},
    testing::{TestFunction, TestModule},
};
use wardian_observe::{LogListener, TraceBuffer, TraceListener, TraceOptions};
use wardian_wasi::{DirPerms, WasiCtxBuilder};

pub(crate) const TABLE: &[Behaviour] = &[
    ("the names of listeners and stacks do what the page of hooks says", calls),
    ("the names of doubles do what the page of hooks says", doubles),
    ("the names of inspection do what the page of hooks says", inspection),
    ("the names of snapshots do what the page of hooks says", snapshots),
    ("the names of memories and imports do what the page of hooks says", linking),
    ("the names of closing do what the page of hooks says", closing),
    ("the names of features and of WASI do what the page of hooks says", surroundings),
    ("the names of fuel do what the page of hooks says", fuel),
    ("the names of traces do what the page of hooks says", traces),
    ("the page of hooks has no name that is not used here", page),
];

const GUEST: &str = r#"(module $guest
  (import "h" "again" (func $again (param i32)))
  (global $secret (mut i64) (i64.const 40))
  (global (export "limit") i32 (i32.const 2))
  (memory (export "memory") 1) (data (i32.const 4) "data")
  (table (export "table") 1 funcref) (elem (i32.const 0) $leaf)
  (func $leaf (param $n i32) (result i32) (i32.add (local.get $n) (i32.const 1)))
  (func $_ZN5plant5water17h0123456789abcdefE (export "middle") (param $n i32) (result i32)
    (call $again (local.get $n))
    (return_call $leaf (local.get $n)))
  (func (export "run") (param $n i32) (result i32) (call 2 (local.get $n)))
  (func (export "spin") (loop $l (br $l))))"#;

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

/// Listens with all that it can listen with.
struct Listener(Arc<Log>);

impl FunctionListener for Listener {
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        let mut frames = Vec::new();
        while stack.next() {
            let function: InternalFunction<'_> = stack.function();
            let pc: ProgramCounter = stack.program_counter();
            assert!(function.source_offset_for_pc(pc).is_some() || frames.is_empty());
            assert_eq!(function.source_offset_for_pc(ProgramCounter(1)), None);
            let crossed = if stack.crossed_host() { "host, " } else { "" };
            frames.push(format!("{crossed}{}", name(&function.definition())));
        }
        let module: Option<InternalModule<'_>> = call.module();
        let module = module.and_then(|m| m.name()).unwrap_or("the host");
        self.0.add(format!("{} of {module} {params:?}: {}", frames[0], frames[1..].join(", ")));
    }

    fn after(&self, call: &Call<'_>, results: &[u64]) {
        let how = if call.is_tail_call() { "tail" } else { "after" };
        self.0.add(format!("{how} {results:?}"));
    }

    fn abort(&self, _: &Call<'_>, reason: &AbortReason<'_>) {
        self.0.add(format!("abort: {reason}"));
    }

    fn resumed(&self, call: &Call<'_>) {
        self.0.add(format!("resumed {}", name(&call.definition())));
    }
}

fn name(definition: &FunctionDefinition<'_>) -> String {
    definition.demangled_name().unwrap_or_else(|| definition.debug_name())
}

/// A factory of the long form.
struct Factory(Arc<Log>);

impl FunctionListenerFactory for Factory {
    fn function_listener(&self, _: &FunctionDefinition<'_>) -> Option<Arc<dyn FunctionListener>> {
        Some(Arc::new(Listener(self.0.clone())))
    }
}

/// `again` calls `middle` once more, unless its argument is 0.
fn linker(engine: &Engine) -> Linker<()> {
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_wrap("h", "again", |mut caller: Caller<'_, ()>, n: i32| {
            let mut frames = 0;
            let mut stack: StackIterator<'_> = caller.stack();
            while stack.next() {
                frames += 1;
            }
            assert!(frames >= 2);
            let trace: Backtrace = caller.backtrace();
            assert_eq!(trace.frames().len(), frames);
            if n == 0 {
                return Ok(());
            }
            let middle = caller.get_export("middle").and_then(|e| e.into_func()).unwrap();
            middle.typed::<i32, i32>(&caller)?.call(&mut caller, n - 1).map(drop)
        })
        .unwrap();
    linker
}

fn calls(engine: &Engine) {
    let (log, count) = (Arc::new(Log::default()), Arc::new(AtomicU32::new(0)));
    let begun = count.clone();
    let counter: Arc<dyn FunctionListener> = Arc::new(FunctionListenerFunc(
        move |_: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>| {
            begun.fetch_add(1, Ordering::Relaxed);
        },
    ));
    let leaves = FunctionListenerFactoryFunc(move |definition: &FunctionDefinition<'_>| {
        (definition.name() == Some("leaf")).then(|| counter.clone())
    });
    let several = MultiFunctionListenerFactory::new([
        Arc::new(Factory(log.clone())) as Arc<dyn FunctionListenerFactory>,
        Arc::new(leaves),
    ]);
    let options = CompileOptions::new().with_function_listener_factory(several);
    let module = Module::new_with(engine, GUEST, &options).unwrap();
    let mut store = Store::new(engine, ());
    let guest = linker(engine).instantiate(&mut store, &module).unwrap();
    let run: TypedFunc<i32, i32> = guest.typed_func(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 1).unwrap(), 2);
    assert_eq!(count.load(Ordering::Relaxed), 2);
    let reported = std::mem::take(&mut *log.0.lock().unwrap());
    assert_eq!(
        reported,
        [
            "run of guest [1]: ",
            "plant::water of guest [1]: run",
            "again of the host [1]: plant::water, run",
            "plant::water of guest [0]: host, plant::water, run",
            "again of the host [0]: plant::water, host, plant::water, run",
            "after []",
            "tail []",
            "leaf of guest [0]: host, plant::water, run",
            "after [1]",
            "after []",
            "tail []",
            "leaf of guest [1]: run",
            "after [2]",
            "after [2]",
        ]
    );
    // More at run time, for some functions.
    let late = Arc::new(Log::default());
    let filter = FunctionFilter::name("spin").and(FunctionFilter::exported());
    let attachment: Attachment =
        guest.attach(&mut store, filter.listen(Listener(late.clone()))).unwrap();
    // It must not pass before the call begins.
    store.set_timeout(Duration::from_millis(200));
    let spin = guest.get_func(&mut store, "spin").unwrap();
    spin.call(&mut store, &[], &mut []).unwrap_err();
    attachment.detach(&mut store);
    // From other threads, where the guest stands still: `attaching.rs` does that.
    let _ = |still: &mut Standstill<'_>, log: Arc<Log>| {
        still.attach(FunctionFilter::all().listen(Listener(log)))
    };
    store.set_timeout(Duration::from_millis(5));
    spin.call(&mut store, &[], &mut []).unwrap_err();
    let reported = late.0.lock().unwrap();
    assert_eq!(
        *reported,
        ["spin of guest []: ", "abort: the guest was stopped: its deadline passed"],
    );
}

fn doubles(_: &Engine) {
    let function = TestFunction::new(FuncType::new([ValType::I32], [])).with_name("grow");
    let module = TestModule::new("paper").with_global(Val::I32(3)).with_function(function.clone());
    let frames = [
        StackFrame::new(function.clone()).with_params([7]).with_pc(9).with_source_offset(90),
        StackFrame::new(function.with_name("sow")).with_pc(2),
    ];
    let mut stack = new_stack_iterator(&frames);
    assert!(stack.next());
    assert_eq!(stack.function().source_offset_for_pc(ProgramCounter(9)), Some(90));
    let log = Arc::new(Log::default());
    benchmark_function_listener(2, &module, &frames, &Listener(log.clone()));
    let reported = log.0.lock().unwrap();
    assert_eq!(*reported, [["grow of paper [7]: sow", "after []"]; 2].concat());
}

fn inspection(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let module = module(engine, GUEST);
    let guest = linker(engine).instantiate(&mut store, &module).unwrap();
    let inside: InternalModule<'_> = guest.internal(&store);
    assert_eq!(inside.num_globals(), 2);
    assert!(matches!(inside.global(0), Some(Val::I64(40))));
    assert!(inside.global(2).is_none());
    let Some(Val::FuncRef(Some(leaf))) = inside.table_element(0, 0) else { panic!("a function") };
    leaf.typed::<i64, i32>(&store).unwrap_err();
    assert_eq!(leaf.typed::<i32, i32>(&store).unwrap().call(&mut store, 1).unwrap(), 2);
    let table: Table = guest.get_table(&mut store, "table").unwrap();
    assert!(matches!(table.get(&store, 0), Some(Val::FuncRef(Some(f))) if f == leaf));
    let mut inside: InternalModuleMut<'_> = guest.internal_mut(&mut store);
    inside.set_global(0, &Val::I64(41)).unwrap();
    inside.memory_mut(0).unwrap()[4] = b'D';
    assert!(matches!(guest.internal(&store).global(0), Some(Val::I64(41))));
    assert_eq!(guest.internal(&store).value_at("global[0]").unwrap().i64(), Some(41));
    objects(&mut store);
}

fn objects(store: &mut Store<()>) {
    let text = r#"(module (type $leaf (struct (field $size i32)))
      (func $grow (param (ref $leaf)) (result (ref $leaf)) (local.get 0))
      (func (export "go") (drop (call $grow (struct.new $leaf (i32.const 7))))))"#;
    let module = module(store.engine(), text);
    let guest = Instance::new(&mut *store, &module, &[]).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let attached =
        guest.attach(&mut *store, FunctionFilter::name("grow").listen(Looks(seen.clone())));
    guest.typed_func::<(), ()>(&mut *store, "go").unwrap().call(&mut *store, ()).unwrap();
    attached.unwrap().detach(&mut *store);
    assert_eq!(*seen.lock().unwrap(), ["leaf 7", "leaf 7"]);
}

/// Notes the object that a call is given and returns.
struct Looks(Arc<Mutex<Vec<String>>>);

impl Looks {
    fn note(&self, call: &Call<'_>, value: Option<Val>) {
        let Some(Val::AnyRef(Some(any))) = value else { panic!("an object: {value:?}") };
        let module = call.module().unwrap();
        let object: ObjectView<'_> = module.object(&any).unwrap();
        let size = object.get(0).unwrap().i32().unwrap();
        self.0.lock().unwrap().push(format!("{} {size}", object.type_name().unwrap()));
    }
}

impl FunctionListener for Looks {
    fn before(&self, call: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {
        assert!(call.result(0).is_none());
        self.note(call, call.param(0));
    }
    fn after(&self, call: &Call<'_>, _: &[u64]) {
        assert!(call.param(0).is_none());
        self.note(call, call.result(0));
    }
}

#[derive(Default)]
struct Marks {
    mark: Option<Snapshot>,
    raw: bool,
}

fn snapshots(engine: &Engine) {
    let mut linker: Linker<Marks> = Linker::new(engine);
    linker
        .func_wrap("h", "mark", |mut caller: Caller<'_, Marks>| -> i32 {
            let Some(mut snapshotter) = caller.get_snapshotter() else { return -1 };
            let taker: &mut Snapshotter<'_> = &mut snapshotter;
            let snapshot = taker.snapshot();
            taker.snapshot_with_state().unwrap();
            caller.data_mut().mark = Some(snapshot);
            0
        })
        .unwrap();
    linker
        .func_wrap("h", "jump", |mut caller: Caller<'_, Marks>, n: i32| {
            let mark: Snapshot = caller.data_mut().mark.clone().expect("a mark");
            let error = match caller.data().raw {
                true => mark.restore_raw(&mut caller, &[n as u64]),
                false => mark.restore(&mut caller, &[Val::I32(n)]),
            };
            assert!(matches!(error.kind(), ErrorKind::Restored));
            Err::<(), Error>(error)
        })
        .unwrap();
    let text = r#"(module (import "h" "mark" (func $mark (result i32)))
      (import "h" "jump" (func $jump (param i32)))
      (func $inner (result i32) (call $mark))
      (func (export "run") (result i32) (local $v i32)
        (if (i32.eqz (local.tee $v (call $inner))) (then (call $jump (i32.const 6))))
        (local.get $v)))"#;
    let log = Arc::new(Log::default());
    let options = CompileOptions::new().with_function_listener_factory(Factory(log.clone()));
    let module = Module::new_with(engine, text, &options).unwrap();
    let mut store = Store::new(engine, Marks::default());
    let guest = linker.instantiate(&mut store, &module).unwrap();
    let run = guest.typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), -1);
    let options = CallOptions::new().with_snapshotter();
    assert_eq!(run.call_with(&mut store, &options, ()).unwrap(), 6);
    assert!(log.0.lock().unwrap().contains(&"resumed inner".to_owned()));
    let mut results = [Val::I32(0)];
    store.data_mut().raw = true;
    let untyped: Func = run.func();
    untyped.call_with(&mut store, &options, &[], &mut results).unwrap();
    assert!(matches!(results, [Val::I32(6)]));
    store.enable_snapshots(true);
    let image: Image = store.image().unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 6);
    Store::reset_to(&mut store, &image).unwrap();
}

/// Counts requests, and gives memories on the heap.
struct Heap(AtomicU32);

impl MemoryAllocator for Heap {
    fn allocate(&self, request: &MemoryRequest<'_>) -> Result<Box<dyn LinearMemory>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(VecMemory::boxed(request.minimum, request.maximum.min(1 << 20))?)
    }
}

/// Answers imports from `h` with functions made for them.
struct Made;

impl ImportResolver<()> for Made {
    fn resolve(
        &self,
        store: StoreContextMut<'_, ()>,
        request: &ImportRequest<'_>,
    ) -> Result<Resolution> {
        Ok((request.module() == "h").then(|| Func::wrap(store, |_: i32| ())).into())
    }
}

fn linking(engine: &Engine) {
    let heap = Arc::new(Heap(AtomicU32::new(0)));
    let options =
        InstantiateOptions::new().with_memory_allocator(heap.clone()).with_import_resolver(Made);
    let mut store = Store::new(engine, ());
    let module = module(engine, GUEST);
    let guest = Linker::new(engine).instantiate_with(&mut store, &module, &options).unwrap();
    assert_eq!(heap.0.load(Ordering::Relaxed), 1);
    assert_eq!(guest.get_memory(&mut store, "memory").unwrap().grow(&mut store, 15).unwrap(), 1);
    guest.get_memory(&mut store, "memory").unwrap().grow(&mut store, 1).unwrap_err();
    // A memory of the embedder's own; and what an allocator gives, used by hand.
    let guarded = MemoryAllocatorFunc::new(|request: &MemoryRequest<'_>| {
        Ok(GuardedMemory::boxed(request.minimum, request.maximum)?)
    });
    let ty = MemoryType::new(1, Some(2));
    let memory = Memory::new_with_allocator(&mut store, ty, &guarded).unwrap();
    assert_eq!(memory.grow(&mut store, 1).unwrap(), 1);
    let mut memory = heap.allocate(&MemoryRequest::new(ty).unwrap()).unwrap();
    assert!(memory.reallocate(2 << 16).is_some() && memory.capacity() >= 2 << 16);
    LinearMemory::free(memory);
}

/// A notifier of the long form.
struct Notifier(Arc<Log>);

impl CloseNotifier for Notifier {
    fn close_notify(&self, instance: &ClosingInstance, exit_code: u32) {
        self.0.add(format!("{} {exit_code}", instance.name().unwrap_or_default()));
    }
}

fn closing(engine: &Engine) {
    let log = Arc::new(Log::default());
    let also = log.clone();
    let options = InstantiateOptions::new()
        .with_name("one")
        .with_close_notifier(Notifier(log.clone()))
        .with_import_resolver(Made);
    let mut store = Store::new(engine, ());
    let module = module(engine, GUEST);
    let one = Instance::new_with(&mut store, &module, &[], &options);
    one.expect_err("this way imports are given in a list");
    let linker = Linker::new(engine);
    let [one, two] =
        [(); 2].map(|()| linker.instantiate_with(&mut store, &module, &options).unwrap());
    let also = CloseNotifyFunc(move |_: &ClosingInstance, code: u32| also.add(code.to_string()));
    one.notify_close(&mut store, also);
    // Stopped, which closes nothing.
    let spin = one.typed_func::<(), ()>(&mut store, "spin").unwrap();
    let options = CallOptions::new().with_timeout(Duration::from_millis(5));
    let error = spin.call_with(&mut store, &options, ()).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
    let token: CancelToken = store.cancel_token();
    token.cancel();
    let error = spin.call(&mut store, ()).unwrap_err();
    assert_eq!((error.stop_reason(), error.exit_code()), (Some(StopReason::Cancelled), None));
    store.clear_cancellation();
    store.set_deadline(Some(Instant::now()));
    assert!(spin.call(&mut store, ()).unwrap_err().stop_reason().is_some());
    store.set_deadline(None);
    // Closed.
    assert!(one.close_with_exit_code(&mut store, 7));
    let error = spin.call(&mut store, ()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed(7)) && error.exit_code() == Some(7));
    let closer: InstanceCloser = two.closer(&mut store);
    std::thread::spawn(move || closer.close()).join().unwrap();
    assert!(two.is_closed(&store));
    assert_eq!(*log.0.lock().unwrap(), ["one 7", "7", "one 0"]);
    // The guest's own wish.
    let exit = Func::wrap(&mut store, || Err::<(), _>(Error::exit(5)));
    let error = exit.call(&mut store, &[], &mut []).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Exit(5)) && error.exit_code() == Some(5));
}

fn surroundings(engine: &Engine) {
    let all = [
        CoreFeatures::THREADS,
        CoreFeatures::TAIL_CALL,
        CoreFeatures::EXTENDED_CONST,
        CoreFeatures::FUNCTION_REFERENCES,
        CoreFeatures::EXCEPTIONS,
        CoreFeatures::LEGACY_EXCEPTIONS,
    ];
    let texts = [
        "(module (memory 1 1 shared))",
        "(module (func $f (return_call $f)))",
        "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))",
        "(module (type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0))))",
        "(module (tag $t) (func (throw $t)))",
        "(module (func try catch_all end))",
    ];
    for (feature, text) in all.into_iter().zip(texts) {
        module(engine, text);
        let mut config = Config::new();
        config.features(CoreFeatures::all() - feature).compile_threads(1);
        Module::new(&Engine::new(&config).unwrap(), text).unwrap_err();
    }
    let folder = tempfile::tempdir().unwrap();
    if HAS_JIT {
        let cached = compiled_of(engine);
        let cache = Arc::new(DiskCache::new(folder.path().join("cache")).unwrap());
        cached.set_cache(Some(cache.clone()));
        module(&cached, GUEST);
        assert!(cache.size().unwrap() > 0);
    }
    WasiCtxBuilder::new()
        .preopen_dir(folder.path(), "/", DirPerms::ReadOnly)
        .unwrap()
        .listen_tcp(TcpListener::bind("127.0.0.1:0").unwrap())
        .unwrap()
        .build();
}

/// The words of a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

fn fuel(engine: &Engine) {
    let mut config: Config = engine.config().clone();
    let engine = Engine::new(config.fuel(true)).unwrap();
    let mut store = Store::new(&engine, 2);
    let guest = r#"(module (func (export "spin") (loop $l (br $l))))"#;
    let i = Instance::new(&mut store, &Module::new(&engine, guest).unwrap(), &[]).unwrap();
    store.set_fuel(100).unwrap();
    store
        .refuel_with(|times: &mut i32| {
            *times -= 1;
            (*times >= 0).then_some(1000)
        })
        .unwrap();
    let spin = i.typed_func::<(), ()>(&mut store, "spin").unwrap();
    let error = spin.call(&mut store, ()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Stopped(StopReason::Fuel)), "{error}");
    assert_eq!((store.fuel().unwrap(), *store.data()), (0, -1));
}

fn traces(engine: &Engine) {
    let guest = r#"(module $m (import "h" "tick" (func $tick))
      (func $step (call $tick)) (func (export "run") (call $step)))"#;
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "tick", || ()).unwrap();
    type Listen<'a> = &'a dyn Fn(TraceBuffer, Instance, &mut Store<()>) -> Option<TraceListener>;
    let text = |listen: Listen<'_>| {
        let mut store = Store::new(engine, ());
        let module = Module::new(engine, guest).unwrap();
        let i = linker.instantiate(&mut store, &module).unwrap();
        let buffer = TraceBuffer::new(1000);
        let trace = listen(buffer.clone(), i, &mut store);
        i.typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
        trace.map(|trace| trace.finish().unwrap());
        String::from_utf8(buffer.contents()).unwrap()
    };
    let host = text(&|buffer, i, store| {
        let log = LogListener::with_options(buffer, TraceOptions::new().with_host());
        i.attach(store, log).unwrap().keep();
        None
    });
    assert_eq!(host, "==> h.tick()\n<== ()\n");
    let only = text(&|buffer, i, store| {
        let options = TraceOptions::new().with_only("st*");
        let trace = TraceListener::new(buffer, options);
        i.attach(store, trace.clone()).unwrap().keep();
        Some(trace)
    });
    assert!(only.starts_with("step() <"), "{only}");
}

fn page(_: &Engine) {
    let code: String = include_str!("names.rs")
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| [line, "\n"])
        .collect();
    let used: std::collections::HashSet<&str> = words(&code).collect();
    let mut missing = Vec::new();
    let mut names = 0;
    for row in include_str!("../../docs/hooks.md").lines().filter(|line| line.starts_with('|')) {
        // All columns but that of Go names.
        let columns = row.split('|').skip(2).collect::<Vec<_>>().join("|");
        for name in columns.split('`').skip(1).step_by(2) {
            names += 1;
            missing.extend(words(name).filter(|word| !used.contains(word)).map(str::to_owned));
        }
    }
    assert!(names > 80, "{names}");
    assert!(missing.is_empty(), "docs/hooks.md names what is not used here: {missing:?}");
}
