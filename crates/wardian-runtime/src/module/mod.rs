//! A module at run time: its code, images of its memories, how far its tiers are.

pub mod images;
pub mod tiers;
mod type_names;

use crate::code::cache::CodeKey;
use crate::code::interpreted::Interpreted;
use crate::code::registry::{CodePiece, LoadedCode};
use crate::code::signatures::Signature;
use crate::code::wrappers::Wrappers;
use crate::error::UsageKind;
use crate::extension::Extension;
use crate::profile::{CodeHash, UsedProfile};
use crate::settings::EngineKind;
use crate::{Engine, Error, Result};
use images::Images;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use tiers::Tier;
use wardian_module::ItemIndex;
use wardian_types::{DefinedFuncIndex, FuncIndex, IndexVec, TypeIndex, TypeNumber, ValType};
use wardian_vm::addr::CodeAddr;
use wardian_vm::compiled::{CompiledCode, MemoryVariant, ModuleOptions};
use wardian_vm::contain::drop_contained;
use wardian_vm::layout::InstanceLayout;

/// A module, validated and ready to be instantiated any number of times. Of a tiered or interpreted engine that validates
/// lazily, the declarations are validated; each body is before it is translated or compiled, or compiled into another.
pub struct ModuleInner {
    /// Its engine.
    pub engine: Engine,
    /// What it declares, and its bytes.
    pub decoded: wardian_module::Module,
    /// Where its instances have what.
    pub layout: InstanceLayout,
    /// The engine's number of each of the module's signatures.
    pub signatures: IndexVec<TypeIndex, TypeNumber>,
    kept_signatures: Box<[Signature]>,
    /// Signatures that are needed besides, of code that is entered in another way.
    further_signatures: Mutex<Vec<Signature>>,
    exports: HashMap<String, ItemIndex>,
    guarded: OnceLock<Arc<LoadedCode>>,
    checked: OnceLock<Arc<LoadedCode>>,
    images: OnceLock<Option<Images>>,
    host_trampolines: OnceLock<IndexVec<FuncIndex, CodeAddr>>,
    /// For each of the module's signatures its entry trampoline, once it was needed.
    entry_trampolines: OnceLock<Box<[AtomicUsize]>>,
    /// What the embedding API keeps with it, once: the listeners that it was compiled with.
    pub listeners: OnceLock<Extension>,
    /// What calls of its functions go through while somebody listens.
    pub wrappers: Wrappers,
    /// Its bytecode.
    pub interpreted: Interpreted,
    pub(crate) tier: Tier,
    /// What is known from elsewhere of what its functions do.
    pub(crate) used_profile: OnceLock<UsedProfile>,
    code_hash: OnceLock<CodeHash>,
    /// Of the code of the usual variant, once it was needed.
    key: OnceLock<CodeKey>,
}

/// Called during a long compilation, with the number of functions done and the total.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

impl ModuleInner {
    /// A module of an engine; `key` if it is known.
    pub fn new(
        engine: &Engine,
        mut decoded: wardian_module::Module,
        key: Option<CodeKey>,
    ) -> Result<Arc<ModuleInner>> {
        let mut kept_signatures = Vec::with_capacity(decoded.info().types.len());
        decoded.number_types(|group| {
            let group = engine.signatures().of_group(group)?;
            let first = group.first().map_or(TypeNumber::FIRST, Signature::number);
            kept_signatures.extend(group);
            Ok::<_, Error>(first)
        })?;
        let info = decoded.info();
        let layout = InstanceLayout::new(info.counts());
        let signatures = kept_signatures.iter().map(Signature::number).collect();
        let exports = info.exports.iter().map(|e| (e.name.clone(), e.item)).collect();
        Ok(Arc::new(ModuleInner {
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
            used_profile: OnceLock::new(),
            code_hash: OnceLock::new(),
            key: key.map_or_else(OnceLock::new, OnceLock::from),
            decoded,
        }))
    }

    /// Types of a function's first locals, parameters first.
    pub fn local_types(&self, func: FuncIndex) -> Vec<ValType> {
        const MOST: usize = 1000;
        let info = self.decoded.info();
        match info.defined_function(func) {
            Some(defined) => wardian_module::local_types(info, self.decoded.bytes(), defined, MOST),
            None => info.func_type(func).params().to_vec(),
        }
    }

    /// What it exports under a name.
    pub fn export(&self, name: &str) -> Option<ItemIndex> {
        self.exports.get(name).copied()
    }

    /// The variant for memories that the engine makes itself.
    pub fn usual_variant(&self) -> MemoryVariant {
        usual_variant(&self.engine)
    }

    /// Names what the code of the usual variant is made from.
    pub fn key(&self) -> &CodeKey {
        let variant = self.usual_variant();
        self.key.get_or_init(|| {
            let key = CodeKey::new(&self.engine.fingerprint(), self.decoded.bytes(), variant);
            match self.used_profile.get() {
                Some(profile) => key.with_profile(&profile.profile.hash()),
                None => key,
            }
        })
    }

    /// What code of the usual variant has as its key in the engine's cache.
    pub fn cache_key(&self) -> CodeKey {
        cache_key(&self.engine, self.key())
    }

    /// Compiles all of its functions.
    ///
    /// # Errors
    ///
    /// The code generator gives up on one of them.
    pub fn compile(
        &self,
        variant: MemoryVariant,
        progress: Option<Progress<'_>>,
    ) -> Result<CompiledCode> {
        self.compile_with(variant, progress, None)
    }

    /// [`ModuleInner::compile`], which stops when `cancelled` says so.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn compile_with(
        &self,
        variant: MemoryVariant,
        progress: Option<Progress<'_>>,
        cancelled: Option<&(dyn Fn() -> bool + Sync)>,
    ) -> Result<CompiledCode> {
        let threads = self.engine.settings().threads;
        self.decoded.ensure_all_valid(threads)?;
        let expected = self.profiled_targets();
        let options = ModuleOptions { variant, threads, cancelled, progress, expected };
        self.engine
            .compiler()?
            .compile_module(self.decoded.info(), self.decoded.bytes(), &options)
            .map_err(Error::compile)
            .map(|code| self.bound(variant, code))
    }

    /// The same code, bound to this module. That of the unusual variant is never stored, nor are the hashes
    /// of modules made for nothing.
    pub fn bound(&self, variant: MemoryVariant, code: CompiledCode) -> CompiledCode {
        let stored = variant == self.usual_variant() && self.key.get().is_some();
        if stored { code.with_origin(*self.key().as_bytes()) } else { code }
    }

    fn slot(&self, variant: MemoryVariant) -> &OnceLock<Arc<LoadedCode>> {
        match variant {
            MemoryVariant::Guarded => &self.guarded,
            MemoryVariant::Checked => &self.checked,
        }
    }

    /// Bytes of machine code compiled so far.
    pub fn code_size(&self) -> usize {
        let whole = [&self.guarded, &self.checked].into_iter().filter_map(|c| c.get().cloned());
        whole.chain(self.tier.loaded()).map(|code| code.memory.len()).sum()
    }

    /// The code of a variant, if it was compiled.
    pub fn loaded(&self, variant: MemoryVariant) -> Option<&Arc<LoadedCode>> {
        self.slot(variant).get()
    }

    /// The code of a variant, compiled on first need, unless `cancelled` says that it is to stop.
    pub fn code(
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

    /// Takes code that was compiled for it.
    ///
    /// # Errors
    ///
    /// It is of another module, or there is no room for it.
    pub fn load(self: &Arc<Self>, variant: MemoryVariant, code: CompiledCode) -> Result<()> {
        self.load_with(variant, code, Vec::new()).map(drop)
    }

    /// [`ModuleInner::load`] of code that also has loops of these functions. None if there was code already.
    fn load_with(
        self: &Arc<Self>,
        variant: MemoryVariant,
        code: CompiledCode,
        loops: Vec<DefinedFuncIndex>,
    ) -> Result<Option<&Arc<LoadedCode>>> {
        let bodies = &self.decoded.info().bodies;
        let is_whole = code.len() == bodies.len() + loops.len();
        if !is_whole || loops.iter().any(|defined| bodies.get(*defined).is_none()) {
            return Err(Error::usage(
                UsageKind::Artifact,
                "the compiled code is of another module",
            ));
        }
        self.engine.check_code(code.text().len())?;
        let code = Arc::new(LoadedCode::publish(code, loops)?);
        // Another thread may have been faster: then its code is used, and ours goes.
        if self.slot(variant).set(code.clone()).is_err() {
            return Ok(None);
        }
        self.engine.code().insert(self, &code);
        Ok(self.slot(variant).get())
    }

    /// The engine's signature of one of the module's types.
    pub fn signature(&self, ty: TypeIndex) -> &Signature {
        &self.kept_signatures[ty.index()]
    }

    /// The engine's signature of a function, by its position among those that the module defines.
    pub(crate) fn signature_of(&self, defined: DefinedFuncIndex) -> &Signature {
        let info = self.decoded.info();
        self.signature(info.functions[FuncIndex::from_u32((info.func_index(defined)).as_u32())])
    }

    /// Keeps a signature, with its trampolines, as long as the module.
    pub fn keep_signature(&self, signature: Signature) {
        let mut kept = self.further_signatures.lock().unwrap_or_else(|e| e.into_inner());
        if kept.iter().all(|known| known.number() != signature.number()) {
            kept.push(signature);
        }
    }

    /// The trampoline by which a function is entered, by its position among those that the module
    /// defines.
    pub(crate) fn entry_trampoline(&self, defined: DefinedFuncIndex) -> Result<CodeAddr> {
        let info = self.decoded.info();
        let all = self
            .entry_trampolines
            .get_or_init(|| info.types.iter().map(|_| AtomicUsize::new(0)).collect::<Box<[_]>>());
        let ty = info.functions[FuncIndex::from_u32((info.func_index(defined)).as_u32())];
        // Whoever reads the address is to see the code.
        let known = all[ty.index()].load(Ordering::Acquire);
        if known != 0 {
            return Ok(CodeAddr::from_usize(known));
        }
        let made = self.engine.trampoline(self.signature(ty))?.entry;
        all[ty.index()].store(made.as_usize(), Ordering::Release);
        Ok(made)
    }

    /// For each imported function the code by which guests call it if it is a host function.
    pub(crate) fn host_trampolines(&self) -> Result<&IndexVec<FuncIndex, CodeAddr>> {
        if let Some(known) = self.host_trampolines.get() {
            return Ok(known);
        }
        let info = self.decoded.info();
        let imported = info.functions.indices().take(info.imported_functions as usize);
        let imported = imported.map(|at| (info.func_type(at), self.signature(info.functions[at])));
        if self.engine.kind() == EngineKind::Compiled {
            self.engine.prepare_trampolines(imported.clone().map(|(_, signature)| signature))?;
        }
        let made = imported
            .map(|(ty, signature)| self.engine.host_code(ty, signature))
            .collect::<Result<_>>()?;
        Ok(self.host_trampolines.get_or_init(|| made))
    }

    /// Initial contents of the memories, unless they must be written one by one at instantiation.
    pub fn images(&self) -> Option<&Images> {
        self.images.get_or_init(|| images::build(&self.decoded)).as_ref()
    }
}

impl Drop for ModuleInner {
    fn drop(&mut self) {
        self.engine.queue().forget(self);
        self.keep_hot();
        // The last reference may be that of a thread that compiles.
        drop_contained(self.listeners.take());
        let whole = [&self.guarded, &self.checked].into_iter().filter_map(|c| c.get());
        let (wrappers, tier) = (self.wrappers.loaded(), self.tier.loaded());
        let compiled = whole.chain(&wrappers).chain(&tier).map(|code| &**code as &dyn CodePiece);
        let interpreted = self.interpreted.all().map(|code| &**code as &dyn CodePiece);
        self.engine.code().remove(compiled.chain(interpreted));
    }
}

impl std::fmt::Debug for ModuleInner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ModuleInner")
    }
}

/// What code with this key has as its key in the engine's cache.
pub fn cache_key(engine: &Engine, key: &CodeKey) -> CodeKey {
    if engine.validates_lazily() { key.of_lazily_validated() } else { *key }
}

/// The variant of code for memories that an engine makes itself.
pub fn usual_variant(engine: &Engine) -> MemoryVariant {
    if engine.settings().signals { MemoryVariant::Guarded } else { MemoryVariant::Checked }
}
