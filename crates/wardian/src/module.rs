//! A compiled module.

mod queries;

use crate::backtrace::Frame;
use crate::code::LoadedCode;
use crate::error::UsageKind;
use crate::images::Images;
use crate::interpreted::Interpreted;
use crate::jit::{CompiledCode, MemoryVariant, ModuleOptions};
use crate::listener::{FunctionListener, FunctionListenerFactory};
use crate::raw::signatures::Signature;
use crate::tier::Tier;
use crate::wrappers::Wrappers;
use crate::{CompileOptions, Engine, EngineKind, Error, ErrorKind, Result, cache::CodeKey};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use wardian_module::ItemIndex;
use wardian_types::ValType;
use wardian_vm::contain::drop_contained;
use wardian_vm::layout::InstanceLayout;

/// A module, validated and compiled. Cheap to clone; `Send` and `Sync`; it can be instantiated any
/// number of times, on any thread, in stores of its engine.
#[derive(Clone)]
#[doc(alias = "CompiledModule")]
pub struct Module(pub(crate) Arc<ModuleInner>);

pub(crate) struct ModuleInner {
    pub(crate) engine: Engine,
    pub(crate) decoded: wardian_module::Module,
    pub(crate) layout: InstanceLayout,
    /// The engine's number of each of the module's signatures.
    pub(crate) signatures: Box<[u32]>,
    kept_signatures: Box<[Signature]>,
    /// Signatures that are needed besides, of code that is entered in another way.
    further_signatures: Mutex<Vec<Signature>>,
    exports: HashMap<String, ItemIndex>,
    guarded: OnceLock<Arc<LoadedCode>>,
    checked: OnceLock<Arc<LoadedCode>>,
    images: OnceLock<Option<Images>>,
    host_trampolines: OnceLock<Box<[usize]>>,
    /// For each of the module's signatures its entry trampoline, once it was needed.
    entry_trampolines: OnceLock<Box<[AtomicUsize]>>,
    listeners: OnceLock<Listened>,
    pub(crate) wrappers: Wrappers,
    pub(crate) interpreted: Interpreted,
    pub(crate) tier: Tier,
    /// Of the code of the usual variant, once it was needed.
    key: OnceLock<CodeKey>,
}

/// Functions by their indices, with their listeners.
type Listened = Vec<(u32, Vec<Arc<dyn FunctionListener>>)>;

/// Called during a long compilation, with the number of functions done and the total.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

impl Module {
    /// Validates and compiles a module in the binary format, or in the text format.
    ///
    /// # Errors
    ///
    /// The bytes are no valid module (with the byte offset and the reason), or the code generator
    /// gives up on it.
    #[doc(alias = "from_binary", alias = "CompileModule")]
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Module> {
        Module::new_with(engine, bytes, &CompileOptions::new())
    }

    /// As [`Module::new`], with a callback for progress.
    ///
    /// # Errors
    ///
    /// As for [`Module::new`].
    pub fn with_progress(
        engine: &Engine,
        bytes: impl AsRef<[u8]>,
        progress: Option<Progress<'_>>,
    ) -> Result<Module> {
        let options = CompileOptions { progress, ..CompileOptions::new() };
        Module::new_with(engine, bytes, &options)
    }

    /// As [`Module::new`], with listeners, a deadline, or a token that cancels it.
    ///
    /// Listeners do not change what is compiled: with them or without, a function has the same code.
    ///
    /// # Errors
    ///
    /// As for [`Module::new`]; or the deadline passed, or the token was used.
    pub fn new_with(
        engine: &Engine,
        bytes: impl AsRef<[u8]>,
        options: &CompileOptions<'_>,
    ) -> Result<Module> {
        Module::make(engine, wardian_module::to_binary(bytes.as_ref())?, options)
    }

    /// As [`Module::new_with`], taking the bytes over instead of copying them: for large modules.
    ///
    /// # Errors
    ///
    /// As for [`Module::new_with`].
    pub fn from_vec(
        engine: &Engine,
        bytes: Vec<u8>,
        options: &CompileOptions<'_>,
    ) -> Result<Module> {
        if let Cow::Owned(binary) = wardian_module::to_binary(&bytes)? {
            return Module::make(engine, Cow::Owned(binary), options);
        }
        Module::make(engine, Cow::Owned(bytes), options)
    }

    fn make(
        engine: &Engine,
        binary: Cow<'_, [u8]>,
        options: &CompileOptions<'_>,
    ) -> Result<Module> {
        // An engine that compiles nothing wants nothing compiled.
        let cache = engine.cache().filter(|_| engine.kind() != EngineKind::Interpreted);
        let key = cache
            .as_ref()
            .map(|_| CodeKey::new(&engine.fingerprint(), &binary, usual_variant(engine)));
        let found = cache.as_ref().zip(key.as_ref()).and_then(|(cache, key)| cache.get(key));
        // Code of another module is none: an implementation may have mixed them up.
        let cached = found.filter(|code| key.is_some_and(|key| code.origin() == key.as_bytes()));
        let is_enough = |code: &CompiledCode| {
            // Of a tiered engine there may be what was hot.
            engine.kind() == EngineKind::Tiered || code.is_complete()
        };
        let config = engine.config();
        let decoded = match &cached {
            // What is in the cache was valid when it was put there, under the same features.
            Some(_) => wardian_module::Module::decode_trusted(binary.into_owned())?,
            None => {
                let bytes = binary.into_owned();
                wardian_module::Module::decode(bytes, config.features, config.threads)?
            }
        };
        let module = Module::from_decoded(engine, decoded, key)?;
        module.choose_listeners(&options.listeners);
        let usual = module.0.usual_variant();
        if let Some(reason) = options.stop_reason() {
            return Err(Error::new(ErrorKind::Stopped(reason)));
        }
        let code = match cached.filter(is_enough) {
            None if config.kind != EngineKind::Compiled => return Ok(module),
            Some(code) => code,
            None => {
                let stop = || options.stop_reason().is_some();
                let code = module.0.compile_with(usual, options.progress, Some(&stop));
                let code = match options.stop_reason() {
                    Some(reason) => return Err(Error::new(ErrorKind::Stopped(reason))),
                    None => code?,
                };
                if let Some((cache, key)) = cache.zip(key) {
                    cache.put(&key, &code);
                }
                code
            }
        };
        module.0.load(usual, code)?;
        module.prepare_listeners()?;
        Ok(module)
    }

    /// Asks the factories of the engine, and then these, for listeners.
    fn choose_listeners(&self, more: &[Arc<dyn FunctionListenerFactory>]) {
        let mut factory = self.engine().config().listeners.clone();
        more.iter().for_each(|f| factory.push(f.clone()));
        if !factory.is_empty() {
            let chosen = crate::attach::choose(&self.0, &factory);
            // Factories may have kept the module, but it has not been instantiated.
            let first = self.0.listeners.set(chosen);
            debug_assert!(first.is_ok(), "listeners are chosen once");
        }
    }

    /// Makes what calls of listened functions go through.
    fn prepare_listeners(&self) -> Result<()> {
        if self.0.engine.kind() != EngineKind::Compiled {
            // When a function is compiled, if it ever is.
            return Ok(());
        }
        let info = self.info();
        let listened = self.0.listeners().iter().filter_map(|l| info.defined_function(l.0));
        self.0.prepare_wrappers(&listened.collect::<Vec<_>>(), self.0.usual_variant())
    }

    /// Reads a file, binary or text, and does as [`Module::new`].
    ///
    /// # Errors
    ///
    /// The file cannot be read, or as for [`Module::new`].
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        Module::from_file_with(engine, path, &CompileOptions::new())
    }

    /// [`Module::from_file`] with options.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or as for [`Module::new_with`].
    pub fn from_file_with(
        engine: &Engine,
        path: impl AsRef<Path>,
        options: &CompileOptions<'_>,
    ) -> Result<Module> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Error::host(std::io::Error::new(error.kind(), message))
        })?;
        Module::from_vec(engine, bytes, options)
    }

    /// Whether both are the same module: clones of one, and not only of the same bytes.
    pub fn same(a: &Module, b: &Module) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }

    /// Checks that bytes are a valid module under the engine's features, without compiling them.
    ///
    /// # Errors
    ///
    /// They are not.
    pub fn validate(engine: &Engine, bytes: &[u8]) -> Result<()> {
        let binary = wardian_module::to_binary(bytes)?.into_owned();
        let config = engine.config();
        wardian_module::Module::decode(binary, config.features, config.threads)?;
        Ok(())
    }

    fn from_decoded(
        engine: &Engine,
        mut decoded: wardian_module::Module,
        key: Option<CodeKey>,
    ) -> Result<Module> {
        let mut kept_signatures = Vec::with_capacity(decoded.info().types.len());
        decoded.number_types(|group| {
            let group = engine.signatures().of_group(group)?;
            let first = group.first().map_or(0, Signature::number);
            kept_signatures.extend(group);
            Ok::<_, Error>(first)
        })?;
        let info = decoded.info();
        let layout = InstanceLayout::new(info.counts());
        let signatures = kept_signatures.iter().map(Signature::number).collect();
        let exports = info.exports.iter().map(|e| (e.name.clone(), e.item)).collect();
        Ok(Module(Arc::new(ModuleInner {
            engine: engine.clone(),
            layout,
            signatures,
            kept_signatures: kept_signatures.into(),
            further_signatures: Mutex::default(),
            exports,
            guarded: OnceLock::new(),
            checked: OnceLock::new(),
            images: OnceLock::new(),
            host_trampolines: OnceLock::new(),
            entry_trampolines: OnceLock::new(),
            listeners: OnceLock::new(),
            wrappers: Wrappers::default(),
            interpreted: Interpreted::default(),
            tier: Tier::default(),
            key: key.map_or_else(OnceLock::new, OnceLock::from),
            decoded,
        })))
    }

    /// The module with its compiled code, for [`Module::deserialize`] on the same machine and
    /// version of Wardian.
    #[doc(alias = "precompile_module")]
    pub fn serialize(&self) -> Result<Vec<u8>> {
        let usual = self.0.usual_variant();
        let code = match self.0.loaded(usual).map(|code| code.whole()) {
            Some(code) if code.is_complete() => code,
            _ => self.0.compile(usual, None)?,
        };
        let code = code.with_origin(*self.0.key().as_bytes());
        Ok(crate::artifact::write(&self.0.engine, self.bytes(), &code))
    }

    /// Takes a module from what [`Module::serialize`] wrote, without compiling.
    ///
    /// # Safety
    ///
    /// The bytes must come from [`Module::serialize`], unchanged: they hold machine code that will
    /// run with all the rights of the process. A hash finds accidents, not attackers.
    ///
    /// # Errors
    ///
    /// The bytes are damaged, or were written by another version, for another machine, or under
    /// other settings.
    #[allow(unsafe_code, reason = "the obligation is the embedder's")]
    pub unsafe fn deserialize(engine: &Engine, bytes: &[u8]) -> Result<Module> {
        // SAFETY: the caller's promise.
        let (binary, code) = unsafe { crate::artifact::read(engine, bytes)? };
        let decoded = wardian_module::Module::decode_trusted(binary.to_vec())?;
        let module = Module::from_decoded(engine, decoded, None)?;
        if code.origin() != module.0.key().as_bytes() {
            return Err(Error::usage(
                UsageKind::Artifact,
                "the precompiled module was made by another build of Wardian, or for memories with \
                 other checks: compile it again",
            ));
        }
        module.choose_listeners(&[]);
        if engine.kind() == EngineKind::Interpreted {
            return Ok(module);
        }
        module.0.load(module.0.usual_variant(), code)?;
        module.prepare_listeners()?;
        Ok(module)
    }

    pub(crate) fn frame(&self, func: u32, offset: Option<u32>) -> Frame {
        Frame { module: self.clone(), func, offset, locals: None, objects: Vec::new() }
    }
}

impl ModuleInner {
    /// Types of a function's first locals, parameters first.
    pub(crate) fn local_types(&self, func: u32) -> Vec<ValType> {
        const MOST: usize = 1000;
        let info = self.decoded.info();
        match info.defined_function(func) {
            Some(defined) => wardian_module::local_types(info, self.decoded.bytes(), defined, MOST),
            None => info.func_type(func).params().to_vec(),
        }
    }

    /// Functions that are listened to in every instance, and by whom.
    pub(crate) fn listeners(&self) -> &[(u32, Vec<Arc<dyn FunctionListener>>)] {
        self.listeners.get().map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn export(&self, name: &str) -> Option<ItemIndex> {
        self.exports.get(name).copied()
    }

    /// The variant for memories that the engine makes itself.
    pub(crate) fn usual_variant(&self) -> MemoryVariant {
        usual_variant(&self.engine)
    }

    /// Names what the code of the usual variant is made from.
    pub(crate) fn key(&self) -> &CodeKey {
        let variant = self.usual_variant();
        self.key
            .get_or_init(|| CodeKey::new(&self.engine.fingerprint(), self.decoded.bytes(), variant))
    }

    fn compile(
        &self,
        variant: MemoryVariant,
        progress: Option<Progress<'_>>,
    ) -> Result<CompiledCode> {
        self.compile_with(variant, progress, None)
    }

    fn compile_with(
        &self,
        variant: MemoryVariant,
        progress: Option<Progress<'_>>,
        cancelled: Option<&(dyn Fn() -> bool + Sync)>,
    ) -> Result<CompiledCode> {
        let threads = self.engine.config().threads;
        let options = ModuleOptions { variant, threads, cancelled, progress };
        self.engine
            .compiler()?
            .compile_module(self.decoded.info(), self.decoded.bytes(), &options)
            .map_err(Error::compile)
            .map(|code| self.bound(variant, code))
    }

    /// The same code, bound to this module. That of the unusual variant is never stored, nor are the hashes
    /// of modules made for nothing.
    pub(crate) fn bound(&self, variant: MemoryVariant, code: CompiledCode) -> CompiledCode {
        let stored = variant == self.usual_variant() && self.key.get().is_some();
        if stored { code.with_origin(*self.key().as_bytes()) } else { code }
    }

    fn slot(&self, variant: MemoryVariant) -> &OnceLock<Arc<LoadedCode>> {
        match variant {
            MemoryVariant::Guarded => &self.guarded,
            MemoryVariant::Checked => &self.checked,
        }
    }

    /// The code of a variant, if it was compiled.
    pub(crate) fn loaded(&self, variant: MemoryVariant) -> Option<&Arc<LoadedCode>> {
        self.slot(variant).get()
    }

    /// The code of a variant, compiled on first need, unless `cancelled` says that it is to stop.
    pub(crate) fn code(
        self: &Arc<Self>,
        variant: MemoryVariant,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<&Arc<LoadedCode>> {
        if self.slot(variant).get().is_none() {
            let code = self.compile_with(variant, None, Some(cancelled))?;
            self.load(variant, code)?;
        }
        Ok(self.slot(variant).get().expect("it was just loaded"))
    }

    fn load(self: &Arc<Self>, variant: MemoryVariant, code: CompiledCode) -> Result<()> {
        let functions = self.decoded.info().bodies.len();
        if code.len() != functions {
            return Err(Error::usage(
                UsageKind::Artifact,
                "the compiled code is of another module",
            ));
        }
        self.engine.check_code(code.text().len())?;
        let code = Arc::new(LoadedCode::publish(code, functions)?);
        // Another thread may have been faster: then its code is used, and ours goes.
        if self.slot(variant).set(code.clone()).is_ok() {
            self.engine.code().insert(self, &code);
        }
        Ok(())
    }

    /// The engine's signature of one of the module's types.
    pub(crate) fn signature(&self, ty: u32) -> &Signature {
        &self.kept_signatures[ty as usize]
    }

    /// The engine's signature of a function, by its position among those that the module defines.
    pub(crate) fn signature_of(&self, defined: u32) -> &Signature {
        let info = self.decoded.info();
        self.signature(info.functions[(info.imported_functions + defined) as usize])
    }

    /// Keeps a signature, with its trampolines, as long as the module.
    pub(crate) fn keep_signature(&self, signature: Signature) {
        let mut kept = self.further_signatures.lock().unwrap_or_else(|e| e.into_inner());
        if kept.iter().all(|known| known.number() != signature.number()) {
            kept.push(signature);
        }
    }

    /// The trampoline by which a function is entered, by its position among those that the module
    /// defines.
    pub(crate) fn entry_trampoline(&self, defined: u32) -> Result<usize> {
        let info = self.decoded.info();
        let all = self
            .entry_trampolines
            .get_or_init(|| info.types.iter().map(|_| AtomicUsize::new(0)).collect::<Box<[_]>>());
        let ty = info.functions[(info.imported_functions + defined) as usize];
        // Whoever reads the address is to see the code.
        let known = all[ty as usize].load(Ordering::Acquire);
        if known != 0 {
            return Ok(known);
        }
        let made = self.engine.trampoline(self.signature(ty))?.entry;
        all[ty as usize].store(made, Ordering::Release);
        Ok(made)
    }

    /// For each imported function the code by which guests call it if it is a host function.
    pub(crate) fn host_trampolines(&self) -> Result<&[usize]> {
        if let Some(known) = self.host_trampolines.get() {
            return Ok(known);
        }
        let info = self.decoded.info();
        let imported = &info.functions[..info.imported_functions as usize];
        let imported = (0u32..).zip(imported);
        let imported = imported.map(|(at, ty)| (info.func_type(at), self.signature(*ty)));
        if self.engine.kind() == EngineKind::Compiled {
            self.engine.prepare_trampolines(imported.clone().map(|(_, signature)| signature))?;
        }
        let made = imported
            .map(|(ty, signature)| self.engine.host_code(ty, signature))
            .collect::<Result<_>>()?;
        Ok(self.host_trampolines.get_or_init(|| made))
    }

    /// Initial contents of the memories, unless they must be written one by one at instantiation.
    pub(crate) fn images(&self) -> Option<&Images> {
        self.images.get_or_init(|| crate::images::build(&self.decoded)).as_ref()
    }
}

impl Drop for ModuleInner {
    fn drop(&mut self) {
        self.engine.queue().forget(self);
        self.keep_hot();
        // The last reference may be that of a thread that compiles.
        drop_contained(self.listeners.take());
        for code in [&self.guarded, &self.checked].into_iter().filter_map(|c| c.get()) {
            self.engine.code().remove(&**code);
        }
        for code in self.wrappers.loaded() {
            self.engine.code().remove(&*code);
        }
        for code in self.tier.loaded() {
            self.engine.code().remove(&*code);
        }
        for code in self.interpreted.all() {
            self.engine.code().remove(&**code);
        }
    }
}

impl std::fmt::Debug for ModuleInner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ModuleInner")
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// The variant of code for memories that an engine makes itself.
fn usual_variant(engine: &Engine) -> MemoryVariant {
    if engine.config().signals { MemoryVariant::Guarded } else { MemoryVariant::Checked }
}

/// Keeps compiled code between processes.
///
/// # Safety
///
/// What [`CodeCache::get`] returns is machine code that will be run with all the rights of the process, and
/// the module that it belongs to is not validated again. So `get` must only return what [`CodeCache::put`]
/// was given under the same key, by this or another process, unchanged. An implementation keeps the bytes
/// where nobody else can write them, or authenticates them.
///
/// Code under a wrong key is found out by its [origin](CompiledCode::origin), and not used.
#[allow(unsafe_code, reason = "declares an obligation")]
pub unsafe trait CodeCache: Send + Sync {
    /// The code that was kept under this key, if it is there and whole.
    fn get(&self, key: &CodeKey) -> Option<CompiledCode>;
    /// Keeps code. Failing is no error: then it is compiled again.
    fn put(&self, key: &CodeKey, code: &CompiledCode);
}
