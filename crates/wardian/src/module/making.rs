//! Making modules: from bytes, files, and what was compiled before.

use super::{Module, Progress};
use crate::attach;
use crate::error::UsageKind;
use crate::listener::FunctionListenerFactory;
use crate::{CompileOptions, Engine, EngineKind, Error, ErrorKind, Result, cache::CodeKey};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use wardian_runtime::listen::attach::compiled_in;
use wardian_runtime::module::tiers::{KeptLoop, Notes};
use wardian_runtime::module::{ModuleInner, cache_key, usual_variant};
use wardian_vm::compiled::CompiledCode;

impl Module {
    /// Validates and compiles a module in the binary format, or in the text format.
    ///
    /// # Errors
    ///
    /// The bytes are no valid module (with the byte offset and the reason), or the code generator
    /// gives up on it. Functions are validated later with [`Config::lazy_validation`].
    ///
    /// [`Config::lazy_validation`]: crate::Config::lazy_validation
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
        let key = cache.as_ref().map(|_| key(engine, &binary, options));
        let kept_as = key.as_ref().map(|key| cache_key(engine.inner(), key));
        let found = cache.as_ref().zip(kept_as.as_ref()).and_then(|(cache, key)| cache.get(key));
        // Code of another module is none: an implementation may have mixed them up.
        let mut cached =
            found.filter(|code| kept_as.is_some_and(|key| code.origin() == key.as_bytes()));
        let is_enough = |code: &CompiledCode| {
            // Of a tiered engine there may be what was hot.
            engine.kind() == EngineKind::Tiered || code.is_complete()
        };
        let config = engine.inner().settings();
        let (features, threads) = (config.features, config.threads);
        let bytes = binary.into_owned();
        let decoded = match &cached {
            _ if engine.inner().validates_lazily() => {
                wardian_module::Module::decode_lazily(bytes, features, threads)?
            }
            // What is in the cache was valid when it was put there, under the same features.
            Some(_) => wardian_module::Module::decode_trusted(bytes)?,
            None => wardian_module::Module::decode(bytes, features, threads)?,
        };
        let module = Module::of(ModuleInner::new(engine.inner(), decoded, key)?);
        let loops = module.use_profile(options, &mut cached)?;
        module.choose_listeners(&options.listeners);
        let usual = module.0.usual_variant();
        if let Some(reason) = options.stop_reason() {
            return Err(Error::new(ErrorKind::Stopped(reason)));
        }
        let code = match cached.filter(is_enough) {
            None if config.kind != EngineKind::Compiled => {
                module.begin_hot(options, false)?;
                return Ok(module);
            }
            Some(code) => code,
            None => {
                let stop = || options.stop_reason().is_some();
                let code = module.0.compile_with(usual, options.progress, Some(&stop));
                let code = match options.stop_reason() {
                    Some(reason) => return Err(Error::new(ErrorKind::Stopped(reason))),
                    None => code?,
                };
                if let Some((cache, key)) = cache.zip(kept_as) {
                    cache.put(&key, &code);
                }
                code
            }
        };
        module.0.load_kept(code, loops.as_deref().unwrap_or_default())?;
        module.prepare_listeners()?;
        module.begin_hot(options, loops.is_some())?;
        Ok(module)
    }

    /// Uses the profile that is kept beside the code in the cache, in a tiered engine, or else that of the options. The former
    /// includes the latter, whose hash is a part of the key in the cache. Returns of which loops the cache has code, if it has
    /// a profile. Code of which that is not known is not used.
    fn use_profile(
        &self,
        options: &CompileOptions<'_>,
        cached: &mut Option<CompiledCode>,
    ) -> Result<Option<Vec<KeptLoop>>> {
        let notes = cached.as_mut().map(CompiledCode::take_notes).unwrap_or_default();
        if !notes.is_empty() && self.0.engine.kind() == EngineKind::Tiered {
            match Notes::from_bytes(&notes) {
                Some(notes) => {
                    let loops = notes.loops.clone();
                    self.0.use_notes(notes);
                    return Ok(Some(loops));
                }
                None => *cached = None,
            }
        }
        if let Some(profile) = options.profile {
            self.0.use_profile(&profile.0)?;
        }
        Ok(None)
    }

    /// Has compiled what is hot by the profile.
    fn begin_hot(&self, options: &CompileOptions<'_>, is_kept: bool) -> Result<()> {
        let has_profile = is_kept || options.profile.is_some();
        if self.0.engine.kind() != EngineKind::Tiered || !has_profile {
            return Ok(());
        }
        self.0.compile_profiled(&|| options.stop_reason().is_some());
        match options.stop_reason() {
            Some(reason) => Err(Error::new(ErrorKind::Stopped(reason))),
            None => Ok(()),
        }
    }

    /// Asks the factories of the engine, and then these, for listeners.
    fn choose_listeners(&self, more: &[Arc<dyn FunctionListenerFactory>]) {
        if let Some(chosen) = attach::choose_all(&self.0, more) {
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
        let listened = compiled_in(&self.0).iter().filter_map(|l| info.defined_function(l.0));
        self.0.prepare_wrappers(&listened.collect::<Vec<_>>(), self.0.usual_variant())?;
        Ok(())
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

    /// Checks that bytes are a valid module under the engine's features, without compiling them.
    ///
    /// # Errors
    ///
    /// They are not.
    pub fn validate(engine: &Engine, bytes: &[u8]) -> Result<()> {
        let binary = wardian_module::to_binary(bytes)?.into_owned();
        let config = engine.inner().settings();
        wardian_module::Module::decode(binary, config.features, config.threads)?;
        Ok(())
    }

    /// Makes sure that all function bodies are valid, where [`Config::lazy_validation`] has left that for later.
    ///
    /// # Errors
    ///
    /// One is not: the error says which operator, and why. The module can be used as before.
    ///
    /// [`Config::lazy_validation`]: crate::Config::lazy_validation
    pub fn ensure_valid(&self) -> Result<()> {
        Ok(self.0.decoded.ensure_all_valid(self.0.engine.settings().threads)?)
    }

    /// The module with its compiled code, for [`Module::deserialize`] on the same machine and
    /// version of Wardian.
    ///
    /// # Errors
    ///
    /// The engine compiles nothing, the code generator gives up, or a function is not valid that was not validated before.
    #[doc(alias = "precompile_module")]
    pub fn serialize(&self) -> Result<Vec<u8>> {
        let usual = self.0.usual_variant();
        let code = match self.0.loaded(usual).map(|code| code.whole()) {
            Some(code) if code.is_complete() => code,
            _ => self.0.compile(usual, None)?,
        };
        // What an artifact is bound to does not depend on the profile.
        let key = CodeKey::new(&self.0.engine.fingerprint(), self.bytes(), usual);
        let code = code.with_origin(*key.as_bytes());
        Ok(wardian_runtime::code::artifact::write(&self.0.engine, self.bytes(), &code))
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
        let (binary, code) =
            unsafe { wardian_runtime::code::artifact::read(engine.inner(), bytes)? };
        let decoded = wardian_module::Module::decode_trusted(binary.to_vec())?;
        let module = Module::of(ModuleInner::new(engine.inner(), decoded, None)?);
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
}

/// Names what the code of a module is made from.
fn key(engine: &Engine, binary: &[u8], options: &CompileOptions<'_>) -> CodeKey {
    let key = CodeKey::new(&engine.fingerprint(), binary, usual_variant(engine.inner()));
    match options.profile {
        Some(profile) => key.with_profile(&profile.0.hash()),
        None => key,
    }
}
