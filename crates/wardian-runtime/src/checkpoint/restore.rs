//! Making a store of a checkpoint, and running the guest in it.

use super::place::{Images, Placed};
use super::targets::Target;
use super::values::{ValueReader, func_of};
use super::{Standing, unusable};
use crate::call::enter::Callable;
use crate::call::waits;
use crate::checkpoint::state::{ImportState, PendingState, Shared, State};
use crate::error::UsageKind;
use crate::ids::InstanceId;
use crate::instance::link::Lookup;
use crate::module::ModuleInner;
use crate::store::functions::FuncKind;
use crate::store::host::Dispatch;
use crate::store::inner::{Embedder, StoreData, StoreInner};
use crate::store::owner::Owner;
use crate::store::waiting::RestoredWait;
use crate::value::Val;
use crate::{Error, ErrorKind, Result};
use std::any::TypeId;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wardian_types::{FuncType, ValType};
use wardian_vm::addr::VmCtxPtr;
use wardian_vm::layout::HostFunc;
use wardian_vm::park::WaitResult;

/// Where what a restored store has besides its state comes from.
pub trait Origin<T: Embedder> {
    /// What an instance imports. What an earlier instance has may be left out.
    fn imports(
        &mut self,
        store: &mut StoreData<T>,
        imports: &[ImportState],
        module: &Arc<ModuleInner>,
    ) -> Result<Vec<Lookup>>;

    /// Fills the memories.
    fn fill(&mut self, memories: Vec<Target<'_>>) -> Result<()>;

    /// What the store shares with the one that it is forked from; none of a checkpoint.
    fn shared(&mut self) -> Option<Vec<Shared>> {
        None
    }
}

/// A call that was restored and is to be resumed.
pub struct Restored {
    images: Images,
    /// The outermost function.
    root: Callable,
    /// The types of its results.
    results: Vec<ValType>,
    /// The host function that the guest waits for.
    pub pending: Option<RestoredPending>,
    /// What the guest waits for, if it is in an atomic wait.
    pub wait: Option<RestoredWait>,
    /// Keeps what the images refer to.
    values: ValueReader,
}

/// The host function that the guest had called.
pub struct RestoredPending {
    /// The import by which it is called.
    pub module: String,
    /// The name that it was imported by.
    pub name: String,
    /// Its signature.
    pub ty: FuncType,
    /// What it was called with.
    pub arguments: Vec<Val>,
    host: *mut HostFunc,
    vmctx: VmCtxPtr,
}

impl Restored {
    /// Slots for the results of the call.
    pub(crate) fn result_slots(&self) -> usize {
        self.results.iter().map(|ty| ty.slots()).sum::<usize>().max(1)
    }

    /// The outermost function.
    pub(crate) fn root(&self) -> Callable {
        self.root
    }

    /// The types of the results of the call.
    pub fn results(&self) -> &[ValType] {
        &self.results
    }
}

impl std::fmt::Debug for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restored").finish_non_exhaustive()
    }
}

// SAFETY: the addresses are used only with the store that they belong to.
unsafe impl Send for Restored {}
// SAFETY: as above.
unsafe impl Sync for Restored {}

impl<T: Embedder> StoreData<T> {
    /// Makes the state of this store, which is empty, that of a checkpoint or of another store. After an error it is of
    /// no use.
    pub fn restore(
        &mut self,
        state: &State,
        modules: &[Arc<ModuleInner>],
        data: TypeId,
        mut origin: impl Origin<T>,
    ) -> Result<Option<Restored>> {
        if !self.inner.entities.instances().is_empty() {
            return Err(unusable("the store has instances already: use a new one"));
        }
        for instance in &state.instances {
            let module = modules.get(instance.module.index());
            let module = module.ok_or_else(|| unusable("an instance has an unknown module"))?;
            self.restore_instance(instance, module, data, |store, imports, module| {
                origin.imports(store, imports, module)
            })?;
        }
        self.inner.context.note_run();
        origin.fill(self.restore_memories(state)?)?;
        let shared = origin.shared();
        let are_ours = shared.is_some();
        let values = self.restore_objects(state, modules, shared.unwrap_or_default())?;
        self.restore_tables(&state.tables, &values)?;
        self.restore_globals(&state.globals, &values, are_ours)?;
        self.restore_segments(&state.instances, &values)?;
        if let Some(fuel) = state.fuel.filter(|_| self.inner.engine().settings().fuel) {
            self.inner.set_fuel_word(fuel);
        }
        let call = match &state.call {
            Some(call) => {
                let pending = call.pending.as_ref();
                let pending =
                    pending.map(|p| self.inner.restore_pending(p, &values)).transpose()?;
                let ty = pending.as_ref().map(|pending| &pending.ty);
                let images = self.inner.images(call, ty, &values)?;
                let root = func_of(&mut self.inner, call.frames[call.frames.len() - 1].func)?;
                let results = self.inner.func_type(root).results().to_vec();
                let root = self.inner.callable(root)?;
                self.inner.gc.keep_restored(values.held().collect());
                let wait = call.wait.map(|wait| RestoredWait {
                    instance: call.frames[0].func.instance(),
                    memory: wait.memory,
                    address: wait.address,
                    size: images.wait_size(),
                    left: wait.left.map(Duration::from_nanos),
                    place: wait.place,
                    queued: Mutex::default(),
                });
                Some(Restored { images, root, results, pending, wait, values })
            }
            None => None,
        };
        for (index, instance) in (0..).zip(&state.instances) {
            if let Some(code) = instance.closed {
                self.inner.close_instance(InstanceId::from_u32(index), code);
            }
        }
        Ok(call)
    }

    /// Resumes the guest: its host function returns these results or, without any, is called again.
    pub fn resume_restored(&mut self, call: Restored, given: Option<&[Val]>) -> Result<Vec<Val>> {
        let mut slots = vec![0; call.result_slots()];
        // SAFETY: the store is ours, and the slots fit.
        unsafe { StoreData::begin_restored(self, &call, given, slots.as_mut_ptr())? };
        let mut results = Vec::with_capacity(call.results.len());
        // SAFETY: the guest left values of these types there.
        unsafe { self.inner.read_values(&call.results, &slots, |_, value| results.push(value)) };
        Ok(results)
    }

    /// Puts the guest on the stack and resumes it. If its host function has to wait and may, that is the error, as when
    /// a guest is called.
    ///
    /// # Safety
    ///
    /// `this` is valid, and nobody else uses the store meanwhile but through what the guest is given. The slots fit the
    /// results of the call.
    pub(crate) unsafe fn begin_restored(
        this: *mut StoreData<T>,
        call: &Restored,
        given: Option<&[Val]>,
        slots: *mut u64,
    ) -> Result<()> {
        // SAFETY: the caller's promise. The store is idle; the images were made for it, and hold what its guests could
        // have left there; the callable is the outermost function.
        unsafe {
            let inner = &mut (*this).inner;
            if !inner.is_idle() {
                return Err(unusable("a guest is running in the store"));
            }
            inner.check_images(call)?;
            inner.abort_forgotten();
            let placed = inner.place(&call.images)?;
            drop(inner.gc.take_restored());
            let (open, closed) = (inner.listening.depth(), inner.entities.closed_instances());
            let (guest, root) = (placed.guest, call.root);
            let answered = match inner.open_resumed(&placed.listened) {
                Ok(()) => match &call.wait {
                    Some(wait) => StoreData::wait_again(this, &placed, wait, given),
                    None => StoreData::answer(this, &placed, call.pending.as_ref(), given),
                },
                Err(panic) => Err(Error::panic(panic)),
            };
            match answered {
                Ok(()) => StoreData::resume(this, guest, root, slots, open, closed),
                Err(error) => match error.kind() {
                    ErrorKind::Suspended => Err(error),
                    ErrorKind::Exception(_) => {
                        StoreData::throw_in(this, guest, root, slots, open, error)
                    }
                    _ => {
                        (*this).inner.settle(&error);
                        (*this).inner.fail_call(error, open)
                    }
                },
            }
        }
    }

    /// Puts the results of the host function in place that the guest waits for.
    ///
    /// # Safety
    ///
    /// `this` is valid and idle; the guest was placed in it just now, and the pending call is its own.
    unsafe fn answer(
        this: *mut StoreData<T>,
        placed: &Placed,
        pending: Option<&RestoredPending>,
        given: Option<&[Val]>,
    ) -> Result<()> {
        let Some(pending) = pending else {
            return match given {
                Some(_) => Err(unusable("the guest waits for no results")),
                None => Ok(()),
            };
        };
        let ty = &pending.ty;
        // SAFETY: the caller's promise. The innermost frame has room for the arguments of the function that it has
        // called, and for its results, at the same place. The record is that of an import of an instance, so it takes
        // slots for this type.
        unsafe {
            let slots = std::slice::from_raw_parts_mut(placed.results, ty.buffer_slots());
            match given {
                Some(results) => {
                    let inner = &mut (*this).inner;
                    inner.check_values(ty.results(), results)?;
                    inner.write_values(results.iter().cloned(), slots)
                }
                None => {
                    (*this).inner.write_values(pending.arguments.iter().cloned(), slots)?;
                    StoreData::call_again(this, placed, pending, placed.results)
                }
            }
        }
    }

    /// Waits in an atomic wait for a guest that waited there.
    ///
    /// # Safety
    ///
    /// As for [`StoreData::answer`].
    unsafe fn wait_again(
        this: *mut StoreData<T>,
        placed: &Placed,
        wait: &RestoredWait,
        given: Option<&[Val]>,
    ) -> Result<()> {
        if given.is_some() {
            return Err(unusable("the guest waits for a notification, not for results"));
        }
        // SAFETY: the caller's promise. The operator leaves one slot, where those of a call would be.
        unsafe {
            let inner = &raw mut (*this).inner;
            if !(*inner).wait_again(wait)? {
                *placed.results = WaitResult::Ok as u64;
                return Ok(());
            }
            let ctx = (*inner).ctx();
            let owner = Owner::enter(this);
            let work = || waits::sleep(inner, || (*this).serve_checkpoints(Standing::Wait));
            let done = catch_unwind(AssertUnwindSafe(|| placed.guest.as_host(ctx, work)));
            drop(owner);
            (*inner).suspension.end_wait();
            // Whether the guest is to end is seen when it is resumed.
            *placed.results = done.unwrap_or_else(|panic| resume_unwind(panic))?;
            Ok(())
        }
    }

    /// Calls a host function for a guest that waits for it.
    ///
    /// # Safety
    ///
    /// As for [`StoreData::answer`]; the slots have the arguments, and room for the results.
    unsafe fn call_again(
        this: *mut StoreData<T>,
        placed: &Placed,
        pending: &RestoredPending,
        slots: *mut u64,
    ) -> Result<()> {
        // SAFETY: the caller's promise; the guest has its frames on the stack, and calls the host.
        unsafe {
            let ctx = (*this).inner.ctx();
            let owner = Owner::enter(this);
            (*ctx).indirect_caller = pending.vmctx;
            // A snapshot would be one of the guest as it stands here, which is not its entry.
            let snapshots = (*this).inner.taken.allow_snapshots(false);
            let dispatch: Dispatch = std::mem::transmute((*pending.host).dispatch.to_function());
            let work = || dispatch(pending.host, slots);
            let done = catch_unwind(AssertUnwindSafe(|| placed.guest.as_host(ctx, work)));
            drop(owner);
            (*this).inner.taken.allow_snapshots(snapshots);
            match done {
                Ok(0) => Ok(()),
                Ok(_) => {
                    let inner = &mut (*this).inner;
                    let thrown = inner.thrown_error();
                    let error = thrown.or_else(|| inner.take_pending());
                    Err(error.unwrap_or_else(|| {
                        Error::new(ErrorKind::Internal(
                            "a host function failed without a reason".into(),
                        ))
                    }))
                }
                Err(panic) => resume_unwind(panic),
            }
        }
    }
}

impl StoreInner {
    /// Checks that values are of these types.
    fn check_values(&self, types: &[ValType], values: &[Val]) -> Result<()> {
        if types.len() != values.len() {
            let (wanted, given) = (types.len(), values.len());
            return Err(Error::usage(
                UsageKind::Type,
                format!("the host function has {wanted} results, not {given}"),
            ));
        }
        for (value, ty) in values.iter().zip(types) {
            self.check_value(value, *ty).map_err(|found| {
                Error::usage(UsageKind::Type, format!("a result of type {ty} cannot be {found}"))
            })?;
        }
        Ok(())
    }

    /// Whether what the frames refer to is still there: the store may have been used since, closed instances, or
    /// returned to an earlier state.
    fn check_images(&self, call: &Restored) -> Result<()> {
        for object in &call.values.objects {
            self.reference_of(object)?;
        }
        if call.values.exceptions.iter().any(|handle| self.exceptions.get(*handle).is_none()) {
            return Err(unusable("an exception that the guest holds is gone: the store was reset"));
        }
        let closed = call.images.instances().find_map(|i| self.entities[i].closed());
        closed.map_or(Ok(()), |code| Err(Error::new(ErrorKind::Closed(code))))
    }

    /// The host function of a pending call.
    fn restore_pending(
        &mut self,
        state: &PendingState,
        values: &ValueReader,
    ) -> Result<RestoredPending> {
        let missing = || unusable(format!("there is no host function {:?}", state.func));
        let data = self.entities.instances().get(state.func.instance()).ok_or_else(missing)?;
        let module = data.module().clone();
        let import = module.decoded.func_import(state.func.index()).ok_or_else(missing)?;
        let record = data.import(state.func.index());
        let vmctx = data.vm().address();
        let func = self.instance_func(state.func.instance(), state.func.index());
        if !matches!(*self.entities.funcs().kind(func), FuncKind::Host(_)) {
            return Err(unusable(format!(
                "the guest waits for `{}` `{}`, which is a function of the host in the checkpoint and a guest's \
                 function here",
                import.module, import.name
            )));
        }
        let ty = self.func_type(func).clone();
        if ty.params().len() != state.arguments.len() {
            return Err(unusable("a host function has another number of arguments"));
        }
        let mut arguments = Vec::with_capacity(state.arguments.len());
        for (ty, value) in ty.params().iter().zip(&state.arguments) {
            let slots = values.slots(self, *ty, *value, false)?;
            // SAFETY: the slots are a value of the type, as guests hold it.
            arguments.push(unsafe { self.read_value(*ty, &slots) });
        }
        Ok(RestoredPending {
            module: import.module.clone(),
            name: import.name.clone(),
            ty,
            arguments,
            host: record.ctx.as_ptr(),
            vmctx,
        })
    }
}
