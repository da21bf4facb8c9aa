//! The engines, as their embedders set them up, with the same limits.

use crate::options::Result;

/// Columns of the tables.
pub(crate) const WARDIAN: &str = "wardian";
/// Wardian, interpreted.
pub(crate) const INTERPRETED: &str = "interpreted";
/// Wardian with tiers, once what is hot has been compiled.
pub(crate) const TIERED: &str = "tiered";
/// The compiled peer; memories and instances come from the system each time.
pub(crate) const WASMTIME: &str = "wasmtime";
/// The compiled peer with its pooling allocator.
pub(crate) const POOLING: &str = "wasmtime-pooling";
/// The compiled peer with its fastest collector, which is also what it chooses by default.
pub(crate) const WASMTIME_COPYING: &str = "wasmtime-copying";
/// The interpreting peer.
pub(crate) const WASMI: &str = "wasmi";

/// Stack for guests: the default of wasmtime.
pub(crate) const STACK: usize = 512 << 10;

/// Threads that compile.
pub(crate) const THREADS: usize = 2;

/// Wardian's engine that compiles everything at once.
pub(crate) fn wardian() -> Result<wardian::Engine> {
    wardian_of(wardian::EngineKind::Compiled)
}

/// Wardian's engine of this kind.
pub(crate) fn wardian_of(kind: wardian::EngineKind) -> Result<wardian::Engine> {
    wardian_with(|config| {
        config.engine(kind);
    })
}

/// Wardian's engine that compiles, with other settings.
pub(crate) fn wardian_with(set: impl FnOnce(&mut wardian::Config)) -> Result<wardian::Engine> {
    let mut config = wardian::Config::new();
    config.engine(wardian::EngineKind::Compiled).stack_size(STACK).compile_threads(THREADS);
    set(&mut config);
    Ok(wardian::Engine::new(&config)?)
}

fn wasmtime_config() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config.max_wasm_stack(STACK).parallel_compilation(true).memory_init_cow(true);
    config
}

/// Wasmtime's engine, everything by default. It compiles on as many threads as there are
/// processors, or as `RAYON_NUM_THREADS` says.
pub(crate) fn wasmtime() -> Result<wasmtime::Engine> {
    Ok(wasmtime::Engine::new(&wasmtime_config())?)
}

/// Wasmtime's engine with garbage collection, everything else by default.
pub(crate) fn wasmtime_copying() -> Result<wasmtime::Engine> {
    let mut config = wasmtime_config();
    config.wasm_function_references(true).wasm_gc(true).collector(wasmtime::Collector::Copying);
    Ok(wasmtime::Engine::new(&config)?)
}

/// Wasmtime's engine with the pooling allocator, large enough for the idle figure; everything else
/// by default.
pub(crate) fn wasmtime_pooling() -> Result<wasmtime::Engine> {
    wasmtime_pooling_of(2000)
}

/// The same for so many instances. Address space for all of them is taken at once.
pub(crate) fn wasmtime_pooling_of(instances: u32) -> Result<wasmtime::Engine> {
    let mut config = wasmtime_config();
    let mut pool = wasmtime::PoolingAllocationConfig::default();
    pool.total_core_instances(instances).total_memories(instances);
    config.allocation_strategy(wasmtime::InstanceAllocationStrategy::Pooling(pool));
    Ok(wasmtime::Engine::new(&config)?)
}

/// Wasmi's engine.
pub(crate) fn wasmi() -> wasmi::Engine {
    wasmi::Engine::default()
}
