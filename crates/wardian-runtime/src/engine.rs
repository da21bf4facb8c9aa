//! What all modules and stores of an embedder share.

use crate::code::cache::CodeCache;
use crate::code::compiler::Compiler;
use crate::code::registry::CodeRegistry;
use crate::code::signatures::{self, Signature, Signatures, Trampoline};
use crate::error::{LimitKind, UsageKind};
use crate::extension::Extension;
use crate::module::tiers::CompileQueue;
use crate::settings::{Checkpoints, EngineKind, Settings};
use crate::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex};
use wardian_types::{FuncType, MemoryType};
use wardian_vm::addr::CodeAddr;
use wardian_vm::compiled::{Capture, OptLevel, Tunables};
use wardian_vm::memory::{MEMORY_GUARD, MemoryPool};
use wardian_vm::signals;
use wardian_vm::stack::StackPool;
use wardian_vm::unwind::Saved;

/// An engine: compiler, signatures, and pools of stacks and memories. Cheap to clone; clones are
/// the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    /// As they were asked for, but for [`Engine::interpreted_because`].
    settings: Settings,
    /// What the embedding API keeps with it.
    embedder: Extension,
    /// See [`Engine::interpreted_because`].
    interpreted_because: Option<String>,
    /// None in an engine that compiles nothing.
    compiler: Option<Box<dyn Compiler>>,
    signatures: Arc<Signatures>,
    stacks: StackPool,
    memories: MemoryPool,
    code: CodeRegistry,
    queue: CompileQueue,
    cache: Mutex<Option<Arc<dyn CodeCache>>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

/// Makes the engine an interpreted one if it is to be tiered and no code can be generated; says why.
fn choose_kind(config: &mut Settings) -> Result<Option<String>> {
    if config.kind == EngineKind::Interpreted {
        return Ok(None);
    }
    let Err(error) = wardian_vm::code_memory::may_execute() else { return Ok(None) };
    if config.kind == EngineKind::Compiled {
        return Err(Error::limit(
            LimitKind::System,
            format!(
                "there is no executable memory for compiled code ({error}); an interpreted or a tiered engine needs none"
            ),
        ));
    }
    config.kind = EngineKind::Interpreted;
    Ok(Some(error.to_string()))
}

impl Engine {
    /// Whether the engine's own memories of this type need no checks.
    pub(crate) fn can_guard(&self, ty: &MemoryType) -> bool {
        self.settings().signals && !ty.memory64 && ty.page_size_log2 == 16
    }

    /// An engine with these settings. Where the system lets no code be generated, an engine that would be tiered
    /// interprets everything: see [`Engine::interpreted_because`]. `embedder` makes what the embedding API keeps with it,
    /// of the settings as they are then.
    ///
    /// # Errors
    ///
    /// The processor lacks what compiled code needs (on x86-64: SSE4.1), an engine that compiles everything is
    /// asked for where the system lets no code be generated, or the signal that is to interrupt guests cannot be
    /// used for that.
    pub fn new(
        mut config: Settings,
        embedder: impl FnOnce(&Settings) -> Extension,
    ) -> Result<Engine> {
        config.signals &= signals::AVAILABLE;
        let interpreted_because = choose_kind(&mut config)?;
        let tunables = Tunables {
            signals: config.signals,
            verifier: config.verify,
            opt_level: if config.optimize { OptLevel::Speed } else { OptLevel::None },
            guard_size: MEMORY_GUARD as u64,
            canonical_nans: config.canonical_nans,
            deterministic_simd: config.deterministic_simd,
            fuel: config.fuel,
            speculation_guards: config.speculation_guards,
            capture: match config.checkpoints {
                Checkpoints::Off => Capture::Off,
                Checkpoints::Calls => Capture::Calls,
                Checkpoints::CallsAndLoops => Capture::CallsAndLoops,
            },
            inlining: config.inlining,
            unrolling: config.unrolling,
            cold_paths: true,
        };
        let compiler = match config.kind {
            EngineKind::Interpreted => None,
            _ => {
                let compiler = crate::code::compiler::new(tunables);
                Some(compiler.map_err(Error::compile)?)
            }
        };
        if config.signals && !signals::install(config.interrupt_signal) {
            return Err(Error::usage(
                UsageKind::Disabled,
                format!(
                    "signal {} cannot be used to interrupt guests: it has another meaning, or there is \
                 no such signal",
                    config.interrupt_signal
                ),
            ));
        }
        if config.perf_map {
            crate::code::open_perf_map().map_err(|e| Error::new(ErrorKind::Host(e.into())))?;
        }
        if config.perf_dump {
            crate::code::open_perf_dump().map_err(|e| Error::new(ErrorKind::Host(e.into())))?;
        }
        if config.native_debug {
            crate::code::enable_native_debug();
        }
        let slots = if config.kind == EngineKind::Compiled { 0 } else { config.stack_size };
        Ok(Engine(Arc::new(Inner {
            compiler,
            signatures: Arc::default(),
            stacks: StackPool::new(config.stack_size, slots, !config.signals),
            memories: MemoryPool::default(),
            code: CodeRegistry::new(&config),
            // One processor is the guest's.
            queue: CompileQueue::new(config.threads.saturating_sub(1), config.idle_compilation),
            cache: Mutex::new(None),
            embedder: embedder(&config),
            settings: config,
            interpreted_because,
        })))
    }

    /// Why everything is interpreted although the engine was to be tiered: the system, or a container, forbids
    /// executable memory, or no code is generated for this processor. `None` if the engine is of the kind that was
    /// asked for.
    pub fn interpreted_because(&self) -> Option<&str> {
        self.0.interpreted_because.as_deref()
    }

    /// Puts the signal handlers on top again, if something else in the process has installed handlers over them since
    /// the engine was made, as Python's `faulthandler` and runtimes of other languages do: without that a guest's trap
    /// would end the process. Those handlers get what is not a guest's.
    ///
    /// For embedders that share the process with such code, before calls of guests. One system call if nothing has
    /// changed; nothing at all in an engine without signals (`Config::signals`).
    pub fn reclaim_signals(&self) {
        if self.0.settings.signals {
            signals::reclaim();
        }
    }

    /// Keeps compiled code in `cache` and takes it from there; `None` for no cache.
    pub fn set_cache(&self, cache: Option<Arc<dyn CodeCache>>) {
        *self.0.cache.lock().unwrap_or_else(|e| e.into_inner()) = cache;
    }

    /// Where compiled code is kept between processes.
    pub fn cache(&self) -> Option<Arc<dyn CodeCache>> {
        self.0.cache.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// What the embedding API keeps with it.
    pub fn embedder(&self) -> &Extension {
        &self.0.embedder
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Whether both are the same engine.
    pub fn same(a: &Engine, b: &Engine) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }

    /// All that compiled code depends on besides the module: code made under another fingerprint
    /// must not be used.
    pub fn fingerprint(&self) -> String {
        let Settings { fuel, canonical_nans, deterministic_simd, .. } = self.0.settings;
        let interpreted =
            || format!("interpreted fuel={fuel} nans={canonical_nans} simd={deterministic_simd}");
        let compiler =
            self.0.compiler.as_ref().map_or_else(interpreted, |compiler| compiler.fingerprint());
        format!("{compiler}; features {}", self.0.settings.features)
    }

    /// Whether function bodies are validated before they are first used. An engine that compiles all of a module needs all of
    /// them at once.
    pub fn validates_lazily(&self) -> bool {
        self.0.settings.lazy_validation && self.kind() != EngineKind::Compiled
    }

    /// What makes machine code.
    ///
    /// # Errors
    ///
    /// The engine only interprets.
    pub fn compiler(&self) -> Result<&dyn Compiler> {
        let none = || {
            Error::usage(UsageKind::Disabled, "the engine compiles nothing: see `Config::engine`")
        };
        self.0.compiler.as_deref().ok_or_else(none)
    }

    /// Stacks of guests that are not in use.
    pub fn stacks(&self) -> &StackPool {
        &self.0.stacks
    }

    /// Memories that are not in use.
    pub fn memories(&self) -> &MemoryPool {
        &self.0.memories
    }

    /// All code by address.
    pub fn code(&self) -> &CodeRegistry {
        &self.0.code
    }

    /// Refuses further code of so many bytes if that would be more than the engine may have.
    pub(crate) fn check_code(&self, bytes: usize) -> Result<()> {
        let limit = self.0.settings.code_limit;
        match self.code().bytes().checked_add(bytes) {
            Some(all) if all <= limit => Ok(()),
            _ => Err(Error::limit(
                LimitKind::Engine,
                format!(
                    "the code of the engine's modules would have more than {limit} bytes: see \
                 Config::code_limit"
                ),
            )),
        }
    }

    /// Whether there is room for code that can be done without: less than half of what the engine may have is there.
    pub(crate) fn has_room_for_code(&self) -> bool {
        self.code().bytes() < self.0.settings.code_limit / 2
    }

    /// What is to be compiled in the background.
    pub fn queue(&self) -> &CompileQueue {
        &self.0.queue
    }

    /// The signatures of its modules and host functions.
    pub fn signatures(&self) -> &Arc<Signatures> {
        &self.0.signatures
    }

    /// The trampolines of a signature, made on first need.
    pub(crate) fn trampoline(&self, signature: &Signature) -> Result<Trampoline> {
        signature.trampoline(self.compiler()?)
    }

    /// Whether an address is in code that belongs to no function of a module, such as a trampoline.
    pub fn is_glue(&self, pc: CodeAddr) -> bool {
        wardian_vm::is_entry_glue(pc)
            || self.0.signatures.contains(pc)
            || self.0.code.is_wrapper(pc)
    }

    /// Which registers compiled code around an address, which belongs to no function of a module, saves in its
    /// frame. What is no trampoline or wrapper is a stub of the runtime's: see [`wardian_vm::unwind`].
    pub(crate) fn saved_by_glue(&self, pc: CodeAddr) -> Saved {
        let trampoline = self.0.signatures.saved_at(pc);
        trampoline.or_else(|| self.0.code.saved_by_wrapper(pc)).unwrap_or_default()
    }

    /// How guest code is run: as `Config::engine` said, or see [`Engine::interpreted_because`].
    pub fn kind(&self) -> EngineKind {
        self.0.settings.kind
    }

    /// The code by which compiled code calls host functions of a signature; zero where there is no
    /// compiled code.
    pub(crate) fn host_code(&self, ty: &FuncType, signature: &Signature) -> Result<CodeAddr> {
        match self.kind() {
            EngineKind::Interpreted => Ok(CodeAddr::NULL),
            EngineKind::Compiled => Ok(self.trampoline(signature)?.host),
            EngineKind::Tiered => {
                Ok(wardian_vm::direct_host_stub(ty).unwrap_or_else(|| wardian_vm::host_entry(ty)))
            }
        }
    }

    /// The code by which compiled code calls interpreted functions of a signature, once it has their
    /// record.
    pub(crate) fn interpreted_trampoline(&self, signature: &Signature) -> Result<CodeAddr> {
        signature.interpreted(self.compiler()?)
    }

    /// The noting trampoline of a signature, made on first need.
    pub(crate) fn noting(&self, signature: &Signature) -> Result<CodeAddr> {
        signature.noting(self.compiler()?)
    }

    /// Makes the trampolines of all these signatures at once.
    pub(crate) fn prepare_trampolines<'a>(
        &self,
        signatures: impl IntoIterator<Item = &'a Signature>,
    ) -> Result<()> {
        signatures::prepare(self.compiler()?, signatures)
    }
}
