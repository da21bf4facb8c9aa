//! Putting listeners between callers and functions, and taking them out again.
//!
//! ```text
//!   caller in the same instance ── entry table ──┐
//!   caller through a table ─────── VmFunc ───────┼──> wrapper, or the function itself
//!   caller in another instance ─── VmImport ─────┘    (through a `Noted`, if there is a wrapper)
//!   caller of a host function ──── HostFunc ─────────> `listen::dispatch`, or its own dispatch
//! ```
//!
//! All these words are read anew at each call, so to change them is enough. They are derived, always
//! in `StoreInner::relink`, from two facts: who listens to the function, and whether its instance
//! is closed.

use crate::Result;
use crate::extension::Extension;
use crate::ids::{FuncId, InstanceId};
use crate::listen;
use crate::listen::hook::{AttachmentState, Entry, Hook, HostTarget, Target};
use crate::listen::listener::Listener;
use crate::module::ModuleInner;
use crate::settings::EngineKind;
use crate::store::functions::FuncKind;
use crate::store::host::HostDef;
use crate::store::inner::StoreInner;
use crate::store::instance::ImportedFunc;
use std::ptr::NonNull;
use std::sync::Arc;
use wardian_types::{DefinedFuncIndex, FuncIndex};
use wardian_vm::EntryKind;
use wardian_vm::addr::{CodeAddr, FuncIdentity, OwnerPtr, VmCtxPtr};
use wardian_vm::layout::{HostFunc, Noted, VmImport};

/// Functions of a module, each with the listeners that are to be notified.
pub type Chosen = [(FuncIndex, Vec<Arc<dyn Listener>>)];

/// What [`compiled_in`] reads.
pub fn kept(chosen: Vec<(FuncIndex, Vec<Arc<dyn Listener>>)>) -> Extension {
    Extension::new(chosen)
}

/// The functions of a module that are listened to in every instance, and by whom.
pub fn compiled_in(module: &ModuleInner) -> &Chosen {
    let listened = module.listeners.get().and_then(|kept| kept.get::<Vec<_>>());
    listened.map(Vec::as_slice).unwrap_or_default()
}

impl StoreInner {
    /// Adds listeners to functions of an instance. If it fails nothing is changed.
    pub fn attach(
        &mut self,
        instance: InstanceId,
        chosen: &Chosen,
        attachment: &Arc<AttachmentState>,
    ) -> Result<()> {
        let data = &self.entities[instance];
        let (module, variant) = (data.module().clone(), data.variant());
        let info = module.decoded.info();
        // The interpreter notifies the listeners of functions that it interprets.
        let defined = chosen.iter().filter_map(|(func, _)| info.defined_function(*func));
        let compiled: Vec<DefinedFuncIndex> =
            defined.filter(|d| data.plain(*d).is_some()).collect();
        module.prepare_wrappers(&compiled, variant)?;
        // What notes the callers is there before there is a listener: who imports the function must find
        // code to call in any case. In a tiered engine it is made with the first importer.
        let needs_noting = match self.engine().kind() {
            EngineKind::Compiled => true,
            EngineKind::Tiered => self.entities.instances().len() > 1,
            EngineKind::Interpreted => false,
        };
        if needs_noting {
            for (func, _) in chosen {
                self.engine().noting(module.signature(info.functions[*func]))?;
            }
        }
        for (func, listeners) in chosen {
            let entries = listeners.iter().map(|listener| Entry {
                listener: listener.clone(),
                attachment: attachment.clone(),
            });
            let entries: Vec<Entry> = entries.collect();
            match info.defined_function(*func) {
                Some(defined) => {
                    let hook = self.guest_hook(instance, &module, defined);
                    self.add_listeners(hook, &entries);
                    self.relink(instance, defined);
                }
                None => self.listen_to_import(instance, &module, *func, &entries),
            }
        }
        self.note_listening(instance);
        self.relink_importers(instance);
        Ok(())
    }

    /// Takes the listeners of ended attachments out everywhere.
    pub fn sweep_attachments(&mut self) {
        let active = |e: &Entry| e.attachment.active.load(std::sync::atomic::Ordering::Acquire);
        let mut touched = Vec::new();
        for hook in self.listening.hooks().to_vec() {
            // SAFETY: hooks live as long as the store; no other reference to one is alive here.
            let hook = unsafe { &mut *hook.as_ptr() };
            if hook.listeners().iter().all(active) {
                continue;
            }
            let left: Vec<Entry> = hook.listeners().iter().filter(|e| active(e)).cloned().collect();
            self.replace_listeners(hook, left);
            match &hook.target {
                Target::Wasm { instance, func, module } => {
                    let defined = module.decoded.info().defined_function(*func);
                    touched.extend(defined.map(|defined| (*instance, defined)));
                }
                Target::Host(host) => unlink_host(hook, host),
            }
        }
        for (instance, defined) in &touched {
            self.relink(*instance, *defined);
        }
        let mut instances: Vec<InstanceId> = touched.iter().map(|t| t.0).collect();
        instances.dedup();
        for instance in instances {
            self.note_listening(instance);
            self.relink_importers(instance);
        }
        self.listening.forget_retired();
    }

    /// Notes for compiled code whether anybody listens to a function of an instance.
    fn note_listening(&mut self, instance: InstanceId) {
        let mut functions = self.entities[instance].module().decoded.info().bodies.indices();
        let any = functions.any(|defined| self.active_hook(instance, defined).is_some());
        self.entities[instance].set_is_listened(any);
    }

    fn replace_listeners(&mut self, hook: &mut Hook, entries: Vec<Entry>) {
        let before = hook.set_listeners(entries);
        self.listening.retire(before);
    }

    fn add_listeners(&mut self, hook: NonNull<Hook>, entries: &[Entry]) {
        // SAFETY: as in `sweep_attachments`.
        let hook = unsafe { &mut *hook.as_ptr() };
        let all = hook.listeners().iter().chain(entries).cloned().collect();
        self.replace_listeners(hook, all);
        self.listening.forget_retired();
    }

    fn new_hook(&mut self, target: Target) -> NonNull<Hook> {
        self.listening.add_hook(Hook::new(self.ctx(), target))
    }

    /// The hook of a function that an instance defines.
    fn guest_hook(
        &mut self,
        instance: InstanceId,
        module: &Arc<ModuleInner>,
        defined: DefinedFuncIndex,
    ) -> NonNull<Hook> {
        let data = &mut self.entities[instance];
        let info = module.decoded.info();
        if let Some(hook) = data.listened(defined) {
            return hook.cast();
        }
        let func = info.func_index(defined);
        let plain = data.plain(defined);
        let body =
            plain.map_or(CodeAddr::NULL, |plain| module.wrapper(defined, data.variant(), plain).1);
        let hook = self.new_hook(Target::Wasm { instance, func, module: module.clone() });
        // SAFETY: just made.
        unsafe { (*hook.as_ptr()).vm.body = body };
        self.entities[instance].set_listened(defined, hook.cast());
        hook
    }

    /// What listens to a function of an instance, or did.
    pub(crate) fn hook(
        &self,
        instance: InstanceId,
        defined: DefinedFuncIndex,
    ) -> Option<*mut Hook> {
        self.entities[instance].listened(defined).map(|hook| hook.cast().as_ptr())
    }

    /// What listens to a function of an instance now.
    pub(crate) fn active_hook(
        &self,
        instance: InstanceId,
        defined: DefinedFuncIndex,
    ) -> Option<*mut Hook> {
        // SAFETY: the table holds hooks of this store.
        self.hook(instance, defined).filter(|hook| unsafe { !(**hook).listeners().is_empty() })
    }

    /// Code by which a function of an instance is to be called now: from the instance itself, and
    /// from elsewhere; and whether callers from elsewhere are to be noted.
    pub(crate) fn code_of(
        &self,
        instance: InstanceId,
        defined: DefinedFuncIndex,
    ) -> (CodeAddr, CodeAddr, bool) {
        let data = &self.entities[instance];
        if data.closed().is_some() {
            let stub = wardian_vm::closed_stub(data.module().decoded.info().defined_type(defined));
            return (stub, stub, false);
        }
        let is_listened = self.active_hook(instance, defined).is_some();
        let Some(plain) = data.plain(defined) else {
            if self.engine().kind() == EngineKind::Interpreted {
                return (CodeAddr::NULL, CodeAddr::NULL, false);
            }
            // As long as no compiled code calls it from its own instance, there may be none.
            let ty = data.module().decoded.info().defined_type(defined);
            let in_memory = wardian_vm::returns_in_memory(ty);
            let [own, other] = [false, true].map(|noted| {
                wardian_vm::interpreted_entry(defined, EntryKind { noted, in_memory })
            });
            let own = own.unwrap_or_default();
            let other = other.expect("all of them were made when the instance was");
            return (own, other, is_listened);
        };
        if !is_listened {
            return (plain, plain, false);
        }
        let (wrapper, _) = data.module().wrapper(defined, data.variant(), plain);
        (wrapper.own, wrapper.noted, true)
    }

    /// Makes callers in the same instance, and through references, use the code of now.
    pub(crate) fn relink(&mut self, instance: InstanceId, defined: DefinedFuncIndex) {
        let (own, other, _) = self.code_of(instance, defined);
        let data = &mut self.entities[instance];
        let layout = data.module().layout;
        data.vm_mut().write(layout.entry(defined), own);
        // To be resolved anew.
        data.vm_mut().write(layout.target(defined), 0u64);
        let func = data.module().decoded.info().func_index(defined);
        if let Some(known) = data.func_if_known(func) {
            let identity = self.identity_of(instance, func);
            let record = self.entities.funcs().record(known).as_ptr();
            // SAFETY: records live as long as the store; guests read them with single loads.
            unsafe {
                (*record).code = other;
                (*record).target = 0;
                (*record).identity = identity;
            }
        }
    }

    /// What callers that do without calling a function of an instance know it by: see [`VmFunc::identity`].
    pub(crate) fn identity_of(&self, instance: InstanceId, func: FuncIndex) -> FuncIdentity {
        let data = &self.entities[instance];
        let defined = data.module().decoded.info().defined_function(func);
        let is_plain = |defined: &DefinedFuncIndex| {
            data.closed().is_none() && self.active_hook(instance, *defined).is_none()
        };
        let entry =
            |defined| FuncIdentity::new(data.vm().address(), data.module().layout.entry(defined));
        defined.filter(is_plain).map_or(FuncIdentity::NULL, entry)
    }

    /// Makes the instances that import from `exporter` use the code of now.
    pub(crate) fn relink_importers(&mut self, exporter: InstanceId) {
        for importer in self.entities.instances().indices() {
            let mut changed = Vec::new();
            for (import, func) in self.entities[importer].imports().enumerated() {
                let ImportedFunc::Func(func) = func else { continue };
                if matches!(*self.entities.funcs().kind(*func),
                    FuncKind::Wasm { instance, .. } if instance == exporter)
                {
                    changed.push((import, *func));
                }
            }
            for (import, func) in changed {
                let caller = self.entities[importer].vm().address();
                let Ok(Some(entry)) = self.import_of_guest(caller, import, func) else { continue };
                let data = &mut self.entities[importer];
                let at = data.module().layout.import(import);
                data.vm_mut().write(at, entry);
            }
        }
    }

    /// How the instance at `caller` is to call a function that it imports from an instance; none if it is
    /// not a function that an instance defines.
    ///
    /// # Errors
    ///
    /// There is no memory for the code that notes the caller. That can only be the case the first time that
    /// somebody imports a function of this signature to which somebody listens.
    pub(crate) fn import_of_guest(
        &mut self,
        caller: VmCtxPtr,
        import: FuncIndex,
        func: FuncId,
    ) -> Result<Option<VmImport>> {
        let FuncKind::Wasm { instance, func: in_exporter } = *self.entities.funcs().kind(func)
        else {
            return Ok(None);
        };
        let data = &self.entities[instance];
        let info = data.module().decoded.info();
        let Some(defined) = info.defined_function(in_exporter) else { return Ok(None) };
        let ctx = data.vm().address();
        let (_, code, noted) = self.code_of(instance, defined);
        if !noted {
            return Ok(Some(VmImport { code, ctx, target: 0 }));
        }
        let noting = self.engine().noting(data.module().signature_of(defined))?;
        let record =
            self.entities.funcs_mut().noted((caller, import), || Noted { caller, code, ctx });
        // SAFETY: in the store's arena; guests read it when they call.
        unsafe { *record.as_ptr() = Noted { caller, code, ctx } };
        Ok(Some(VmImport { code: noting, ctx: VmCtxPtr::of(record.as_ptr()), target: 0 }))
    }

    /// Adds listeners to a host function that an instance imports: to calls through the import, and
    /// through references to it.
    fn listen_to_import(
        &mut self,
        instance: InstanceId,
        module: &Arc<ModuleInner>,
        func: FuncIndex,
        entries: &[Entry],
    ) {
        let data = &self.entities[instance];
        let Some(def) = self.host_def(&data.imports()[func]).cloned() else { return };
        let record = data.import(func).ctx.as_ptr::<HostFunc>();
        let as_import = Some((module.clone(), func));
        let hook = self.host_hook(record, &def, as_import.clone());
        self.add_listeners(hook, entries);
        let through_reference = match data_reference(self, instance, func) {
            Some(known) => known,
            // So that a reference made later is listened to as well.
            None => self.instance_func(instance, func),
        };
        let record = self.vm_func(through_reference).ctx.as_ptr::<HostFunc>();
        let hook = self.host_hook(record, &def, as_import);
        self.add_listeners(hook, entries);
    }

    /// The hook in a record of a host function.
    fn host_hook(
        &mut self,
        record: *mut HostFunc,
        def: &Arc<HostDef>,
        import: Option<(Arc<ModuleInner>, FuncIndex)>,
    ) -> NonNull<Hook> {
        let known = self.listening.hooks().iter().copied().find(|hook| {
            // SAFETY: hooks live as long as the store.
            match unsafe { &hook.as_ref().target } {
                Target::Host(host) => std::ptr::eq(host.record, record),
                Target::Wasm { .. } => false,
            }
        });
        let hook = known.unwrap_or_else(|| {
            // SAFETY: records live as long as the store.
            let (dispatch, data) = unsafe { ((*record).dispatch, (*record).data) };
            let def = def.clone();
            self.new_hook(Target::Host(HostTarget { def, import, record, dispatch, data }))
        });
        // SAFETY: as above; guests read the record when they call.
        unsafe {
            (*record).dispatch = CodeAddr::of(listen::dispatch as *const ());
            (*record).data = OwnerPtr::of(hook.as_ptr());
        }
        hook
    }

    /// The machine code that calls of a function run now.
    pub fn machine_code(&self, instance: InstanceId, func: FuncIndex) -> Option<Vec<u8>> {
        let data = self.entities.instances().get(instance)?;
        let defined = data.module().decoded.info().defined_function(func)?;
        if defined.index() >= data.module().decoded.info().bodies.len() {
            return None;
        }
        let address = data.vm().read::<CodeAddr>(data.module().layout.entry(defined));
        let whole = data.module().loaded(data.variant()).cloned();
        whole
            .into_iter()
            .chain(data.module().tier.loaded())
            .find_map(|code| code.function_bytes(address).map(<[u8]>::to_vec))
            .or_else(|| data.module().wrappers.bytes_at(address))
    }
}

fn data_reference(store: &StoreInner, instance: InstanceId, func: FuncIndex) -> Option<FuncId> {
    store.entities[instance].func_if_known(func)
}

/// Lets guests call a host function directly again, if nobody listens any more.
fn unlink_host(hook: &Hook, host: &HostTarget) {
    if hook.listeners().is_empty() {
        // SAFETY: records live as long as the store, and no guest runs at this moment.
        unsafe {
            (*host.record).dispatch = host.dispatch;
            (*host.record).data = host.data;
        }
    }
}
