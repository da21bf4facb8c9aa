//! What the interpreter, and compiled code that meets it, ask of the runtime: where to go.
//!
//! ```text
//!   interpreted call ── target word ──> bytecode ............ INTERPRETED
//!        │ zero: resolve                host function ....... HOST
//!        └──────────────────────────>   anything else ....... RUNTIME: `interpret` sees to it
//!
//!   compiled call ── entry table ─────> compiled function
//!                              └──────> interpreted_entry ── record ── trampoline ── `interpret`
//!                                           no record: prepare
//! ```
//!
//! Words and records belong to one instance, and so to the thread that has its store: what a background
//! thread has compiled is put in place here, when a call next comes by.

use crate::call::exit::is_interrupted;
use crate::call::interpret::{Callee, host_target};
use crate::ids::{FuncId, InstanceId, InterpretedIndex};
use crate::module::tiers::{CompileRequest, TierState};
use crate::settings::EngineKind;
use crate::store::functions::FuncKind;
use crate::store::host::HostDef;
use crate::store::inner::StoreInner;
use crate::store::instance::ImportedFunc;
use crate::{Error, ErrorKind, Result};
use std::sync::atomic::Ordering;
use wardian_types::{CodeOffset, DefinedFuncIndex, FuncIndex, FuncType, ValType};
use wardian_vm::addr::{CodeAddr, StackAddr, VmCtxPtr};
use wardian_vm::interpreted::{CallerLink, Function, frame, target};
use wardian_vm::layout::{HostFunc, InterpretedFunc, VmFunc};
use wardian_vm::{EntryKind, segment};

/// How many times as hot as usual a loop has to become whose function is compiled already: its code would be for one call only.
const ONE_CALL: i32 = 2;

/// Marks the answer of [`StoreInner::hot`] for the beginning of a function: addresses of code are
/// multiples of more.
pub(crate) const WHOLE_FUNCTION: usize = 1;

/// There is no executable memory for code by which compiled code calls interpreted functions.
pub(crate) fn no_code_memory(error: std::io::Error) -> Error {
    Error::system("no executable memory for calls", error)
}

impl StoreInner {
    /// Finds what interpreted code calls as function `defined` of its own instance.
    pub(crate) fn resolve(
        &mut self,
        instance: InstanceId,
        defined: DefinedFuncIndex,
    ) -> Result<u64> {
        let word = self.target_of(instance, defined)?;
        let data = &mut self.entities[instance];
        let at = data.module().layout.target(defined);
        data.vm_mut().write(at, word);
        Ok(word)
    }

    /// Finds what interpreted code calls as an import.
    pub(crate) fn resolve_import(
        &mut self,
        instance: InstanceId,
        import: FuncIndex,
    ) -> Result<u64> {
        let data = &self.entities[instance];
        let word = match &data.imports()[import] {
            ImportedFunc::Host(def) => host_target(def.ty.buffer_slots()),
            ImportedFunc::Func(func) => self.target_of_func(*func)?,
        };
        let data = &mut self.entities[instance];
        let at = data.module().layout.import(import);
        let mut record = data.import(import);
        record.target = word;
        data.vm_mut().write(at, record);
        Ok(word)
    }

    /// Finds what interpreted code calls through a reference.
    ///
    /// # Safety
    ///
    /// It is a reference of this store.
    pub(crate) unsafe fn resolve_reference(&mut self, reference: u64) -> Result<u64> {
        let func = reference as *mut VmFunc;
        // SAFETY: the caller's promise.
        let word = self.target_of_func(unsafe { (*func).index })?;
        // SAFETY: as above; guests read it with single loads.
        unsafe { (*func).target = word };
        Ok(word)
    }

    fn target_of_func(&mut self, func: FuncId) -> Result<u64> {
        match self.entities.funcs().kind(func) {
            FuncKind::Host(def) => Ok(host_target(def.ty.buffer_slots())),
            FuncKind::Wasm { instance, func } => {
                let (instance, func) = (*instance, *func);
                let info = self.entities[instance].module().decoded.info();
                let defined = info.defined_function(func);
                self.target_of(instance, defined.expect("a function of an instance has a body"))
            }
        }
    }

    fn target_of(&mut self, instance: InstanceId, defined: DefinedFuncIndex) -> Result<u64> {
        let data = &self.entities[instance];
        let is_compiled = data.module().compiled(data.variant(), defined).is_some();
        if is_compiled {
            self.install(instance, defined)?;
        }
        let data = &self.entities[instance];
        if is_compiled || data.closed().is_some() || self.active_hook(instance, defined).is_some() {
            return Ok(Callee { instance, defined }.target());
        }
        let code = data.module().interpreted(defined)?;
        Ok(std::ptr::from_ref(code.function()) as u64 | target::INTERPRETED)
    }

    /// Makes calls of a function, which has been compiled, run its compiled code.
    pub(crate) fn install(
        &mut self,
        instance: InstanceId,
        defined: DefinedFuncIndex,
    ) -> Result<()> {
        let data = &self.entities[instance];
        if data.plain(defined).is_some() {
            return Ok(());
        }
        let (module, variant) = (data.module().clone(), data.variant());
        self.link_callees(instance, defined)?;
        let hook = self.hook(instance, defined);
        if hook.is_some() {
            module.prepare_wrappers(&[defined], variant)?;
        }
        let entry = module.entry_trampoline(defined)?;
        let data = &mut self.entities[instance];
        data.set_installed(defined);
        if let (Some(hook), Some(plain)) = (hook, data.plain(defined)) {
            // SAFETY: hooks live as long as the store, and no other reference to one is alive here.
            unsafe { (*hook).vm.body = module.wrapper(defined, variant, plain).1 };
        }
        self.relink(instance, defined);
        let func = module.decoded.info().func_index(defined);
        let known = self.entities[instance].func_if_known(func);
        if let Some(known) = known {
            // SAFETY: records live as long as the store.
            unsafe { self.entities.funcs().record(known).as_ref() }
                .entry
                .store(entry.as_usize(), Ordering::Relaxed);
        }
        if self.entities.instances().len() > 1 {
            self.relink_importers(instance);
        }
        Ok(())
    }

    /// What to do where a countdown has run out, in the frame at `fp`: zero to continue interpreting, or
    /// what the interpreter is to leave with.
    ///
    /// # Safety
    ///
    /// It is the innermost frame, of a function of the instance, and stands at the header of the loop, or at its
    /// beginning if there is none.
    pub(crate) unsafe fn hot(
        &mut self,
        instance: InstanceId,
        fp: StackAddr,
        header: Option<CodeOffset>,
    ) -> Result<u64> {
        // SAFETY: the caller's promise; functions live as long as their module.
        let (function, previous) = unsafe {
            let fp = fp.as_ptr::<usize>();
            let function = *fp.offset(frame::FUNCTION) as *const Function;
            (&*function, CallerLink::from_word(*fp.offset(frame::PREVIOUS)))
        };
        let data = &self.entities[instance];
        let (module, variant, defined) = (data.module().clone(), data.variant(), function.defined);
        let code = module.interpreted(defined)?;
        let wait = |count| code.count_down_from(count);
        let config = self.engine().settings();
        let stressed = config.gc_stress_at_safepoints;
        let wait = |count| wait(if stressed { 0 } else { count });
        if config.kind == EngineKind::Interpreted {
            wait(0);
            return Ok(0);
        }
        wait(crate::module::tiers::ask_again(config.hot_after));
        if header.is_some() && self.install_if_compiled(instance, defined) {
            // Calls that begin from now on go to compiled code. If this one is long nevertheless, its loop is hot anew.
            wait(module.usual_threshold(defined).saturating_mul(ONE_CALL));
            return Ok(0);
        }
        let ctx = self.ctx();
        // SAFETY: the context is valid as long as the store.
        let stop = || unsafe { is_interrupted(ctx) };
        let request = CompileRequest { times: 1, stop: &stop };
        let state = match header {
            None => module.want_function(variant, defined, request),
            Some(header) => module.want_loop(variant, defined, header, request),
        };
        let address = match state {
            TierState::Wanted => return Ok(0),
            TierState::Failed => {
                wait(i32::MAX);
                return Ok(0);
            }
            TierState::Compiled(address) => address,
        };
        // The interpreter notifies listeners when the frame returns; but not of tail calls that compiled code
        // makes.
        if previous.is_listened() {
            let info = module.decoded.info();
            if wardian_module::makes_tail_calls(info, module.decoded.bytes(), defined) {
                return Ok(0);
            }
        }
        if header.is_some() {
            module.loop_entered(variant, defined, request);
            // Without executable memory for what it calls, it stays interpreted.
            if self.link_callees(instance, defined).is_err() {
                wait(i32::MAX);
                return Ok(0);
            }
            return Ok(address.as_usize() as u64);
        }
        // Without executable memory for what calls it, it stays interpreted.
        if self.install(instance, defined).is_err() {
            wait(i32::MAX);
            return Ok(0);
        }
        Ok(address.as_usize() as u64 | WHOLE_FUNCTION as u64)
    }

    /// Has calls of a function go to its compiled code from now on. Returns whether there is some to which they did not go before.
    fn install_if_compiled(&mut self, instance: InstanceId, defined: DefinedFuncIndex) -> bool {
        let data = &self.entities[instance];
        let is_compiled = data.module().compiled(data.variant(), defined).is_some();
        is_compiled && data.plain(defined).is_none() && self.install(instance, defined).is_ok()
    }

    /// Puts in place what the compiled code of a function of the instance calls.
    fn link_callees(&mut self, instance: InstanceId, defined: DefinedFuncIndex) -> Result<()> {
        let module = self.entities[instance].module().clone();
        for callee in module.callees(defined).iter().copied() {
            let at = module.layout.entry(callee);
            if self.entities[instance].vm().read::<CodeAddr>(at).is_null() {
                let in_memory =
                    wardian_vm::returns_in_memory(module.decoded.info().defined_type(callee));
                wardian_vm::make_interpreted_entry(callee, EntryKind { noted: false, in_memory })
                    .map_err(no_code_memory)?;
                let (own, _, _) = self.code_of(instance, callee);
                self.entities[instance].vm_mut().write(at, own);
            }
        }
        Ok(())
    }

    /// Makes the record by which compiled code calls an interpreted function.
    pub(crate) fn prepare(&mut self, instance: InstanceId, which: InterpretedIndex) -> Result<()> {
        let defined = which.defined();
        let data = &self.entities[instance];
        let ty = data.module().decoded.info().defined_type(defined);
        let signature = data.module().signature_of(defined);
        let trampoline = self.engine().interpreted_trampoline(signature)?;
        let record = InterpretedFunc {
            store: self.ctx(),
            vmctx: data.vm().address(),
            defined: defined.as_u32().into(),
            noted: which.is_noted().into(),
            param_slots: ty.param_slots() as u32,
            result_slots: ty.result_slots() as u32,
            stub: segment::interpreted_stub(),
            trampoline,
        };
        let record = self.entities.funcs_mut().add_interpreted(record);
        self.entities[instance].set_interpreted(which, record);
        Ok(())
    }

    /// Makes the trampoline by which compiled code calls a host function.
    ///
    /// # Safety
    ///
    /// It is the record of a host function of this store.
    pub(crate) unsafe fn prepare_host(&mut self, host: *mut HostFunc) -> Result<()> {
        // SAFETY: the caller's promise; the definition lives as long as the record.
        unsafe {
            let ty = &(*((*host).definition.as_ptr::<HostDef>().cast_const())).ty;
            let signature = self.engine().signatures().get(ty)?;
            (*host).trampoline = self.engine().trampoline(&signature)?.host;
            // The guest may have it as a type with subtypes only.
            self.keep_signature(signature);
        }
        Ok(())
    }

    /// The trampoline by which a loop of a function is entered: its argument is the frame.
    pub(crate) fn loop_entry(
        &mut self,
        vmctx: VmCtxPtr,
        defined: DefinedFuncIndex,
    ) -> Result<CodeAddr> {
        let Some(instance) = self.instance_at(vmctx) else {
            return Err(Error::new(ErrorKind::Internal("a loop of no instance".into())));
        };
        let module = self.entities[instance].module();
        let results = module.decoded.info().defined_type(defined).results();
        let ty = FuncType::new([ValType::I64], results.to_vec());
        let signature = self.engine().signatures().get(&ty)?;
        let entry = self.engine().trampoline(&signature)?.entry;
        module.keep_signature(signature);
        Ok(entry)
    }

    /// The trampoline by which a function of the instance at `vmctx` is entered.
    pub(crate) fn function_entry(
        &mut self,
        vmctx: VmCtxPtr,
        defined: DefinedFuncIndex,
    ) -> Result<CodeAddr> {
        match self.instance_at(vmctx) {
            Some(instance) => Ok(self.entities[instance].module().entry_trampoline(defined)?),
            None => Err(Error::new(ErrorKind::Internal("a function of no instance".into()))),
        }
    }

    /// Whether the store's code can be interpreted.
    pub(crate) fn interprets(&self) -> bool {
        self.engine().kind() != EngineKind::Compiled
    }
}

/// The loop of which [`wardian_vm::interpreted::Service::Hot`] says where its header is; none at the beginning of a
/// function.
pub(crate) fn loop_header(word: u64) -> Option<CodeOffset> {
    let offset = u32::try_from(word).ok()?.checked_sub(1)?;
    Some(CodeOffset::from_u32(offset))
}
