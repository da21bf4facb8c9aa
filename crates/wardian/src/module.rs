//! A compiled module.

mod making;
mod queries;

use crate::code::LoadedCode;
use crate::error::UsageKind;
use crate::extension::Extension;
use crate::images::Images;
use crate::interpreted::Interpreted;
use crate::jit::{CompiledCode, MemoryVariant, ModuleOptions};
use crate::raw::signatures::Signature;
use crate::tier::Tier;
use crate::wrappers::Wrappers;
use crate::{Engine, EngineKind, Error, Result, cache::CodeKey};
use std::collections::HashMap;
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
    /// What [`crate::attach::compiled_in`] reads.
    pub(crate) listeners: OnceLock<Extension>,
    pub(crate) wrappers: Wrappers,
    pub(crate) interpreted: Interpreted,
    pub(crate) tier: Tier,
    /// Of the code of the usual variant, once it was needed.
    key: OnceLock<CodeKey>,
}

/// Called during a long compilation, with the number of functions done and the total.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

impl Module {
    /// Whether both are the same module: clones of one, and not only of the same bytes.
    pub fn same(a: &Module, b: &Module) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }

    pub(super) fn from_decoded(
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
