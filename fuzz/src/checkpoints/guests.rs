//! The guests of the target, and their checkpoints before somebody changes them.

use super::zeros;
use crate::calls;
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;
use wardian::{
    Caller, Config, Engine, EngineKind, Error, Extern, ExternType, Linker, Module, Result, Store,
    Val,
    checkpoint::{AfterCheckpoint, CheckpointOptions, SharedMemories},
    limits::StoreLimits,
};

/// Something of everything.
const RICH: &str = include_str!("../../../tests/behaviour/checkpoints/rich.wat");

/// An operand that is a local, of a wider type.
const WIDENED: &str = include_str!("../../../tests/behaviour/checkpoints/widened.wat");

/// `first` and `second` wait in a shared memory, for 1,000 seconds and for ever.
const WAITS: &str = r#"(module (memory (export "m") 1 3 shared)
  (func $wait (param $at i32) (param $timeout i64) (result i32) (local $kept f64)
    (local.set $kept (f64.const 2.5))
    (memory.atomic.wait32 (local.get $at) (i32.const 0) (local.get $timeout))
    (i32.add (i32.trunc_f64_s (local.get $kept))))
  (func (export "first") (result i32 i32)
    (call $wait (i32.const 64) (i64.const 1000000000000))
    (memory.atomic.notify (i32.const 64) (i32.const 1)))
  (func (export "second") (result i32)
    (i32.const 3)
    (memory.atomic.wait64 offset=8 (i32.const 64) (i64.const 0) (i64.const -1))
    (i32.add)))"#;

/// Generated modules, by seed.
const GENERATED: u64 = 24;

/// A guest.
pub(super) struct Fixture {
    /// For each engine.
    pub(super) modules: Vec<Module>,
    /// Of several of its host calls, and of the idle store.
    pub(super) checkpoints: Vec<Vec<u8>>,
}

/// What host functions have.
#[derive(Default)]
pub(super) struct Host {
    /// The call at which a checkpoint is taken.
    pub(super) at: Option<usize>,
    pub(super) taken: Option<Vec<u8>>,
    pub(super) calls: usize,
    pub(super) limits: StoreLimits,
}

static ENGINES: LazyLock<Vec<Engine>> = LazyLock::new(|| {
    [EngineKind::Interpreted, EngineKind::Tiered, EngineKind::Compiled]
        .into_iter()
        .map(|kind| {
            let mut config = Config::new();
            config.engine(kind).fuel(true).hot_after(Some(0)).compile_threads(1);
            config.background_compilation(false).stack_size(256 << 10);
            Engine::new(&config).expect("the configuration works")
        })
        .collect()
});

pub(super) static FIXTURES: LazyLock<Vec<Fixture>> = LazyLock::new(|| {
    let texts = [RICH, WIDENED].map(|text| text.as_bytes().to_vec());
    let others = texts.into_iter().chain((0..GENERATED).map(calls::module));
    others.map(|bytes| fixture(&bytes)).chain([waiting()]).collect()
});

/// A guest that is carried while it waits.
fn waiting() -> Fixture {
    let modules: Result<Vec<Module>> =
        ENGINES.iter().map(|engine| Module::new(engine, WAITS)).collect();
    let modules = modules.expect("they are made");
    let checkpoints = ["first", "second"].map(|name| taken_while_waiting(&modules[0], name));
    Fixture { modules, checkpoints: checkpoints.into() }
}

/// A checkpoint of a function that waits.
fn taken_while_waiting(module: &Module, name: &str) -> Vec<u8> {
    let mut store = store(module.engine(), Host::default());
    let instance = linker(module).instantiate(&mut store, module).expect("it is instantiated");
    let run = instance.get_func(&mut store, name).expect("it is exported");
    let request = store.checkpoint_request();
    let (sender, taken) = mpsc::channel();
    thread::scope(|scope| {
        let guest = scope.spawn(|| {
            let mut results = zeros(&run.ty(&store));
            run.call(&mut store, &[], &mut results)
        });
        // It waits by then, mostly; otherwise it is carried where it is about to.
        thread::sleep(Duration::from_millis(20));
        request.request_standstill(move |still| {
            let options = CheckpointOptions::new().shared_memories(SharedMemories::Include);
            let _ = sender.send(still.checkpoint(&options));
            AfterCheckpoint::End
        });
        guest.join().expect("it does not panic").expect_err("it was ended");
    });
    let checkpoint = taken.recv().expect("it was taken").expect("it can be taken");
    checkpoint.to_bytes().expect("it has bytes")
}

fn fixture(bytes: &[u8]) -> Fixture {
    let modules: Result<Vec<Module>> =
        ENGINES.iter().map(|engine| Module::new(engine, bytes)).collect();
    let modules = modules.unwrap_or_default();
    let mut checkpoints = Vec::new();
    if let Some(module) = modules.first() {
        (0..4).for_each(|at| checkpoints.extend(taken(module, at)));
    }
    Fixture { modules, checkpoints }
}

/// A checkpoint of the host call of this number, or afterwards.
fn taken(module: &Module, at: usize) -> Option<Vec<u8>> {
    let mut store = store(module.engine(), Host { at: Some(at), ..Host::default() });
    let instance = linker(module).instantiate(&mut store, module).ok()?;
    for (_, export) in instance.exports(&mut store) {
        let Extern::Func(func) = export else { continue };
        let ty = func.ty(&store);
        let params: Vec<Val> = ty.params().iter().map(|ty| Val::zero(*ty)).collect();
        let mut results = zeros(&ty);
        let _ = func.call(&mut store, &params, &mut results);
        if let Some(taken) = store.data_mut().taken.take() {
            return Some(taken);
        }
    }
    idle(&mut store)
}

/// A checkpoint of an idle store.
pub(super) fn idle(store: &mut Store<Host>) -> Option<Vec<u8>> {
    let options = CheckpointOptions::new().shared_memories(SharedMemories::Include);
    store.checkpoint(&options).ok()?.to_bytes().ok()
}

pub(super) fn store(engine: &Engine, host: Host) -> Store<Host> {
    let limits =
        StoreLimits { memory_bytes: 4 << 20, table_elements: 5_000, ..StoreLimits::default() };
    let mut store = Store::new(engine, Host { limits, ..host });
    store.limiter(|host| &mut host.limits);
    store.set_fuel(5_000).expect("fuel is counted");
    store
}

/// Gives each function that a module imports.
pub(super) fn linker(module: &Module) -> Linker<Host> {
    let mut linker = Linker::new(module.engine());
    for (from, name, ty) in module.imports() {
        if let ExternType::Func(ty) = ty {
            // An import that is there twice is one function.
            let _ = linker.func_new(from, name, ty, |caller, _, _| tell(caller));
        }
    }
    linker
}

fn tell(mut caller: Caller<'_, Host>) -> Result<()> {
    let host = caller.data_mut();
    host.calls += 1;
    let now = host.at == Some(host.calls - 1);
    if now {
        let bytes = caller.checkpoint(&CheckpointOptions::new())?.to_bytes()?;
        caller.data_mut().taken = Some(bytes);
        return Err(Error::host("carried"));
    }
    Ok(())
}
