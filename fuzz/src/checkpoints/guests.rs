//! The guests of the target, and their checkpoints before somebody changes them.

use crate::calls;
use std::sync::LazyLock;
use wardian::{
    Caller, CheckpointOptions, Config, Engine, EngineKind, Error, Extern, ExternType, Linker,
    Module, Result, Store, StoreLimits, Val,
};

/// Something of everything.
const RICH: &str = r#"(module $rich (import "h" "tell" (func $tell (param i64) (result i64)))
  (type $f (func (param i64) (result i64)))
  (type $node (struct (field (mut i64)) (field (mut (ref null $node))) (field (ref $f))))
  (type $list (array (mut (ref null $node))))
  (memory $m 1 3) (table $t 4 9 funcref) (table $o 2 anyref) (tag $e (param i64))
  (global $g (mut i64) (i64.const 3)) (global $r (mut (ref $f)) (ref.func $twice)) (global $v (mut v128) (v128.const i64x2 1 2))
  (data $d "some data") (elem $s func $twice $run) (elem declare func $twice $tell)
  (func $twice (type $f) (i64.add (local.get 0) (local.get 0)))
  (func $inner (param $a (ref $node)) (param $n i32) (result i64) (local $x exnref) (local $keep (ref $list))
    (local $unset (ref $f))
    (local.set $keep (array.new $list (local.get $a) (i32.const 3)))
    (block $h (result exnref)
      (try_table (catch_all_ref $h) (throw $e (i64.const 6)))
      (unreachable))
    (local.set $x)
    (local.get $a)
    (i64.const 100)
    (call_indirect $t (type $f) (i64.extend_i32_u (local.get $n)) (i32.const 1))
    (i64.add)
    (global.get $r)
    (drop)
    (drop (ref.as_non_null (local.get $x)))
    (struct.set $node 0)
    (local.set $unset (global.get $r))
    (call_ref $f (struct.get $node 0 (ref.as_non_null (array.get $list (local.get $keep) (i32.const 2)))) (local.get $unset)))
  (func $run (export "run") (result i64) (local $i i32) (local $a (ref null $node)) (local $w v128) (local $d f64)
    (local.set $w (v128.const i64x2 7 8))
    (local.set $d (f64.const 2.5))
    (table.set $t (i32.const 1) (ref.func $tell))
    (local.set $a (struct.new $node (i64.const 5) (ref.null $node) (ref.func $twice)))
    (struct.set $node 1 (local.get $a) (local.get $a))
    (table.set $o (i32.const 1) (local.get $a))
    (memory.init $m $d (i32.const 3) (i32.const 0) (i32.const 4))
    (i64.trunc_sat_f64_s (local.get $d))
    (loop $l (result i64)
      (call $inner (ref.as_non_null (local.get $a)) (local.get $i))
      (global.set $g)
      (global.get $g)
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
    (i64.add)))"#;

/// An operand that is a local, of a wider type.
const WIDENED: &str = r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
  (type $a (struct (field i64) (field i64))) (type $b (struct (field f32)))
  (global $any (mut anyref) (ref.null any))
  (func (export "run") (result i32) (local $x (ref $a)) (local $n i32)
    (local.set $x (struct.new $a (i64.const 5) (i64.const 6)))
    (local.get $x)
    (block $l (param anyref) (result anyref)
      (drop (call $tell (i64.const 1))))
    (drop)
    (block $m (result anyref)
      (br_if $m (local.get $x) (local.get $n))
      (drop (call $tell (i64.const 2))))
    (drop)
    (block $k (result i32 anyref)
      (local.get $n)
      (local.get $x)
      (br_on_cast $k anyref (ref $b))
      (drop (call $tell (i64.const 3))))
    (drop)
    (drop)
    (global.set $any (local.get $x))
    (ref.test (ref $a) (global.get $any))))"#;

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
    texts
        .into_iter()
        .chain((0..GENERATED).map(calls::module))
        .map(|bytes| fixture(&bytes))
        .collect()
});

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
        let mut results: Vec<Val> = ty.results().iter().map(|ty| Val::zero(*ty)).collect();
        let _ = func.call(&mut store, &params, &mut results);
        if let Some(taken) = store.data_mut().taken.take() {
            return Some(taken);
        }
    }
    store.checkpoint(&CheckpointOptions::new()).ok()?.to_bytes().ok()
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
