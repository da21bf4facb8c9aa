//! Engines, their cache, and compiling with a progress bar.

use crate::input::Input;
use crate::progress::Bar;
use crate::report;
use std::path::PathBuf;
use std::sync::Arc;
use wardian::{Config, CoreFeatures, DiskCache, Engine, Module};

/// Where the cache is to be.
pub(crate) fn cache_folder() -> wardian::Result<PathBuf> {
    match std::env::var_os("WARDIAN_CACHE_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => Ok(dir.into()),
        None => DiskCache::default_folder(),
    }
}

/// The cache.
pub(crate) fn cache() -> wardian::Result<DiskCache> {
    DiskCache::new(cache_folder()?)
}

/// An engine without a cache.
pub(crate) fn engine(
    features: CoreFeatures,
    stack: Option<usize>,
    fuel: bool,
) -> wardian::Result<Engine> {
    let mut config = Config::new();
    config.features(features).fuel(fuel);
    if let Some(bytes) = stack {
        config.stack_size(bytes);
    }
    Engine::new(&config)
}

/// Makes the engine use the cache. Where there can be none it does without, for a program should
/// run in a home that is read-only just as well.
pub(crate) fn use_cache(engine: &Engine, verbose: bool) {
    match cache() {
        Ok(cache) => engine.set_cache(Some(Arc::new(cache))),
        Err(error) if verbose => report::warning(&error.to_string()),
        Err(_) => {}
    }
}

/// Compiles a module, or takes it from the cache.
pub(crate) fn compile(engine: &Engine, input: &Input) -> anyhow::Result<Module> {
    let bar = Bar::new();
    let progress = |done, total| bar.report(done, total);
    Module::with_progress(engine, &input.bytes, Some(&progress)).map_err(|error| {
        match error.kind() {
            wardian::ErrorKind::Decode(error) => input.invalid(error),
            _ => anyhow::Error::new(error).context(format!("{} cannot be used", input.name)),
        }
    })
}
