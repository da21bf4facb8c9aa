//! What all modules and stores of an embedder share.

use crate::config::Config;
use crate::{EngineKind, Result};
use std::sync::Arc;
use wardian_runtime::code::cache::CodeCache;
use wardian_runtime::extension::Extension;
use wardian_vm::signals;

/// An engine: compiler, signatures, and pools of stacks and memories. Cheap to clone; clones are
/// the same engine. `Send` and `Sync`.
#[derive(Clone)]
#[doc(alias = "Runtime", alias = "NewRuntime")]
pub struct Engine(wardian_runtime::Engine);

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", self.config()).finish_non_exhaustive()
    }
}

impl Default for Engine {
    /// An engine with the default configuration.
    ///
    /// # Panics
    ///
    /// Where [`Engine::new`] fails.
    fn default() -> Self {
        Engine::new(&Config::new()).expect("the default configuration works on this machine")
    }
}

impl Engine {
    /// An engine with these settings. Where the system lets no code be generated, an engine that would be tiered
    /// interprets everything: see [`Engine::interpreted_because`].
    ///
    /// # Errors
    ///
    /// The processor lacks what compiled code needs (on x86-64: SSE4.1), an engine that compiles everything is
    /// asked for where the system lets no code be generated, or the signal that is to interrupt guests cannot be
    /// used for that.
    pub fn new(config: &Config) -> Result<Engine> {
        let listeners = config.listeners.clone();
        let as_made =
            |settings: &_| Extension::new(Config { settings: Clone::clone(settings), listeners });
        Ok(Engine(wardian_runtime::Engine::new(config.settings.clone(), as_made)?))
    }

    /// The engine of the runtime's, as its owner calls it.
    pub(crate) fn of(engine: wardian_runtime::Engine) -> Engine {
        Engine(engine)
    }

    pub(crate) fn inner(&self) -> &wardian_runtime::Engine {
        &self.0
    }

    /// Why everything is interpreted although the engine was to be tiered: the system, or a container, forbids
    /// executable memory, or no code is generated for this processor. `None` if the engine is of the kind that was
    /// asked for. Whoever runs programs that take long may want to know.
    pub fn interpreted_because(&self) -> Option<&str> {
        self.0.interpreted_because()
    }

    /// Puts the signal handlers on top again, if something else in the process has installed handlers over them since
    /// the engine was made, as Python's `faulthandler` and runtimes of other languages do: without that a guest's trap
    /// would end the process. Those handlers get what is not a guest's.
    ///
    /// For embedders that share the process with such code, before calls of guests. One system call if nothing has
    /// changed; nothing at all in an engine without signals ([`Config::signals`]).
    pub fn reclaim_signals(&self) {
        if self.0.settings().signals {
            signals::reclaim();
        }
    }

    /// Keeps compiled code in `cache` and takes it from there; `None` for no cache.
    ///
    /// A compiled engine puts a module's code there when it is compiled, a tiered engine puts what was hot there when the
    /// module goes: see [`Module::keep_compiled`](crate::Module::keep_compiled).
    #[doc(alias = "WithCompilationCache", alias = "cache_config_load")]
    pub fn set_cache(&self, cache: Option<Arc<dyn crate::cache::CodeCache>>) {
        self.0.set_cache(cache);
    }

    pub(crate) fn cache(&self) -> Option<Arc<dyn CodeCache>> {
        self.0.cache()
    }

    /// The settings it was made with.
    pub fn config(&self) -> &Config {
        self.0.embedder().get().expect("engines are made with their configuration")
    }

    /// Whether both are the same engine.
    pub fn same(a: &Engine, b: &Engine) -> bool {
        wardian_runtime::Engine::same(&a.0, &b.0)
    }

    /// All that compiled code depends on besides the module: code made under another fingerprint
    /// must not be used.
    #[doc(alias = "precompile_compatibility_hash")]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }

    /// How guest code is run: as [`Config::engine`] said, or see [`Engine::interpreted_because`].
    pub fn kind(&self) -> EngineKind {
        self.0.kind()
    }
}
