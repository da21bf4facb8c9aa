//! Engines, their cache, and compiling with a progress bar.

use crate::input::Input;
use crate::profile_file::ProfileFile;
use crate::progress::Bar;
use crate::report;
use std::path::PathBuf;
use std::sync::Arc;
use wardian::{
    CompileOptions, Config, CoreFeatures, Engine, ErrorKind, Module, UsageKind, cache::DiskCache,
};

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

/// An engine without a cache, from settings that the command line changes.
pub(crate) fn engine(
    features: CoreFeatures,
    configure: impl FnOnce(&mut Config),
) -> wardian::Result<Engine> {
    let mut config = Config::new();
    configure(config.features(features));
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

/// Compiles a module, by a profile if there is one, or takes it from the cache.
pub(crate) fn compile(
    engine: &Engine,
    mut input: Input,
    profile: Option<&ProfileFile>,
) -> anyhow::Result<Module> {
    input.no_checkpoint()?;
    let bar = Bar::new();
    let progress = |done, total| bar.report(done, total);
    let mut options = CompileOptions::new().with_progress(&progress);
    if let Some(file) = profile {
        options = options.with_profile(&file.profile);
    }
    let bytes = std::mem::take(&mut input.bytes);
    Module::from_vec(engine, bytes, &options).map_err(|error| match (error.kind(), profile) {
        (ErrorKind::Usage(usage), Some(file)) if usage.kind() == UsageKind::Profile => {
            file.of_another(&input.name)
        }
        _ => input.unusable(error),
    })
}
