//! Host functions: from a guest's call to a Rust closure.
//!
//! ```text
//!   guest ── host trampoline ── stub, which switches stacks ── dispatch ── closure
//!            (arguments into slots)                            (here)
//! ```

use crate::error::{LimitKind, UsageKind};
use crate::gc::roots::is_object_slot;
use crate::ids::FuncId;
use crate::store::functions::FuncKind;
use crate::store::host::{Dispatch, HostCall, HostDef};
use crate::store::inner::{Embedder, StoreData, StoreInner};
use crate::store::owner::Called;
use crate::store::owner::Lent;
use crate::store::typed::List;
use crate::value::Val;
use crate::{Error, ErrorKind, Result};
use std::any::TypeId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use wardian_types::{FuncType, HeapType, RefType, TypeNumber, ValType};
use wardian_vm::addr::{CodeAddr, VmCtxPtr};
use wardian_vm::layout::HostFunc;

/// A closure over raw slots, with its signature.
struct Raw<F> {
    ty: FuncType,
    closure: F,
}

/// Parameters, and results, that a function has at most. For modules validation says the same.
const MAX_VALUES: usize = 1000;

impl HostDef {
    /// A host function with Rust parameter and result types, for stores with data of a type.
    pub fn typed<T: Embedder, P, R, F>(data: TypeId, closure: F) -> HostDef
    where
        P: List,
        R: List,
        F: Fn(Called<'_, T>, P) -> Result<R> + Send + Sync + 'static,
    {
        let ty = FuncType::new(P::types(), R::types());
        let dispatch: Dispatch = dispatch_typed::<T, P, R, F>;
        HostDef::new(data, ty, CodeAddr::of(dispatch as *const ()), Box::new(closure))
    }

    /// A host function of any signature, over raw slots.
    pub fn raw<T: Embedder, F>(data: TypeId, ty: FuncType, closure: F) -> HostDef
    where
        F: Fn(Called<'_, T>, &mut [u64]) -> Result<()> + Send + Sync + 'static,
    {
        let dispatch: Dispatch = dispatch_raw::<T, F>;
        let raw = Raw { ty: ty.clone(), closure };
        HostDef::new(data, ty, CodeAddr::of(dispatch as *const ()), Box::new(raw))
    }

    /// A host function of any signature, over values.
    pub fn values<T: Embedder, F>(data: TypeId, ty: FuncType, closure: F) -> HostDef
    where
        F: Fn(Called<'_, T>, Vec<Val>) -> Result<Vec<Val>> + Send + Sync + 'static,
    {
        let dispatch: Dispatch = dispatch_values::<T, F>;
        let raw = Raw { ty: ty.clone(), closure };
        HostDef::new(data, ty, CodeAddr::of(dispatch as *const ()), Box::new(raw))
    }

    /// Refuses signatures that no function of a module can have.
    pub fn check(&self) -> Result<()> {
        for (what, count) in
            [("parameters", self.ty.params().len()), ("results", self.ty.results().len())]
        {
            if count > MAX_VALUES {
                return Err(Error::limit(
                    LimitKind::Engine,
                    format!(
                        "a function of the host's has {count} {what}; it may have {MAX_VALUES}, as in a module"
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl StoreInner {
    /// Makes a host function one of the store's.
    pub fn host_func(&mut self, def: Arc<HostDef>) -> Result<FuncId> {
        let signature = self.engine().signatures().get(&def.ty)?;
        let code = self.engine().host_code(&def.ty, &signature)?;
        let index = self.add_host_func(def, code, signature.number());
        self.keep_signature(signature);
        Ok(index)
    }

    /// Makes a host function one of the store's; `code` is how compiled code calls it.
    pub(crate) fn add_host_func(
        &mut self,
        def: Arc<HostDef>,
        code: CodeAddr,
        sig: TypeNumber,
    ) -> FuncId {
        let record = self.record_for(&def, VmCtxPtr::NULL);
        let ctx = VmCtxPtr::of(self.entities.funcs_mut().add_host(record).as_ptr());
        self.add_func(code, ctx, sig, FuncKind::Host(def))
    }

    /// A record by which guests call a host function: see [`HostDef::record`].
    pub(crate) fn record_for(&self, def: &Arc<HostDef>, caller: VmCtxPtr) -> HostFunc {
        let stressed = self.engine().settings().gc_stress_at_safepoints;
        def.record(self.ctx(), caller, stressed.then_some(dispatch_stressed as Dispatch))
    }
}

/// The store and the calling instance of a host call.
///
/// # Safety
///
/// `host` is the record of a host function of a `StoreData<T>` whose guest is calling it.
#[inline]
pub(crate) unsafe fn caller<'a, T: Embedder>(
    host: *mut HostFunc,
    slots: *mut u64,
) -> Called<'a, T> {
    // SAFETY: by the promise above. `owner` is derived from the `&mut` that the call into the guest
    // holds, and that is not used until the guest returns.
    unsafe {
        let ctx = (*host).store;
        let store = Lent::new((*ctx).owner.as_ptr::<StoreData<T>>());
        let vmctx = match (*host).caller {
            VmCtxPtr::NULL => (*ctx).indirect_caller,
            caller => caller,
        };
        let definition = (*host).definition.as_ptr::<HostDef>().cast_const();
        Called::new(store, vmctx, HostCall::new(definition, slots))
    }
}

unsafe extern "C" fn dispatch_typed<T: Embedder, P, R, F>(
    host: *mut HostFunc,
    slots: *mut u64,
) -> u64
where
    P: List,
    R: List,
    F: Fn(Called<'_, T>, P) -> Result<R> + Send + Sync + 'static,
{
    // SAFETY: compiled code passes the record of a function made by `HostDef::typed` with these
    // very types, and slots enough for its parameters and results.
    unsafe {
        let closure = &*((*host).data.as_ptr::<F>());
        let done = catch_unwind(AssertUnwindSafe(|| {
            let caller = caller::<T>(host, slots);
            // No reference to the slots is held while the closure runs: a checkpoint reads them.
            let given = std::slice::from_raw_parts(slots, P::SLOTS);
            let params = P::read_list(caller.inner(), given);
            let results = closure(caller, params)?;
            let store = (*(*host).store).owner.as_ptr::<StoreData<T>>();
            let inner = &mut (*store).inner;
            if R::HAS_EXTERNS {
                inner.collect_if_due();
            }
            results.write_list(inner, std::slice::from_raw_parts_mut(slots, R::SLOTS))
        }));
        finish::<T>(host, done)
    }
}

/// Slots that a host trampoline has for a signature.
pub(crate) const fn slots_of<P: List, R: List>() -> usize {
    if P::SLOTS > R::SLOTS { P::SLOTS } else { R::SLOTS }
}

/// Functions over raw slots with at most as many slots need no memory from the allocator.
const FEW_SLOTS: usize = 16;

unsafe extern "C" fn dispatch_raw<T: Embedder, F>(host: *mut HostFunc, slots: *mut u64) -> u64
where
    F: Fn(Called<'_, T>, &mut [u64]) -> Result<()> + Send + Sync + 'static,
{
    // SAFETY: as above, for a function made by `HostDef::raw`.
    unsafe {
        let raw = &*((*host).data.as_ptr::<Raw<F>>());
        let done = catch_unwind(AssertUnwindSafe(|| {
            let caller = caller::<T>(host, slots);
            let store = (*(*host).store).owner.as_ptr::<StoreData<T>>();
            // The closure writes to slots of its own, since a checkpoint reads the guest's arguments while it runs.
            let mut few = [0; FEW_SLOTS];
            let mut many = Vec::new();
            let own = match raw.ty.buffer_slots() {
                len @ 0..=FEW_SLOTS => &mut few[..len],
                len => {
                    many.resize(len, 0);
                    &mut many[..]
                }
            };
            let count = raw.ty.param_slots();
            own[..count].copy_from_slice(std::slice::from_raw_parts(slots, count));
            to_handles(&(*store).inner, raw.ty.params(), own);
            // Objects that the guest gave are alive until the results have been read: what the slots mean is that.
            let held = (*store).inner.hold_in_slots(raw.ty.params(), own);
            (raw.closure)(caller, own)?;
            normalize(&(*store).inner, raw.ty.results(), own)?;
            drop(held);
            std::ptr::copy_nonoverlapping(own.as_ptr(), slots, raw.ty.result_slots());
            Ok(())
        }));
        finish::<T>(host, done)
    }
}

unsafe extern "C" fn dispatch_values<T: Embedder, F>(host: *mut HostFunc, slots: *mut u64) -> u64
where
    F: Fn(Called<'_, T>, Vec<Val>) -> Result<Vec<Val>> + Send + Sync + 'static,
{
    // SAFETY: as above, for a function made by `HostDef::values`.
    unsafe {
        let raw = &*((*host).data.as_ptr::<Raw<F>>());
        let done = catch_unwind(AssertUnwindSafe(|| {
            let caller = caller::<T>(host, slots);
            let store = (*(*host).store).owner.as_ptr::<StoreData<T>>();
            // No reference to the slots is held while the closure runs: a checkpoint reads them.
            let given = std::slice::from_raw_parts(slots, raw.ty.param_slots());
            let params = read_params(&mut (*store).inner, &raw.ty, given);
            let results = (raw.closure)(caller, params)?;
            let slots = std::slice::from_raw_parts_mut(slots, raw.ty.buffer_slots());
            write_results(&mut (*store).inner, &raw.ty, &results, slots)
        }));
        finish::<T>(host, done)
    }
}

/// Collects, and runs the dispatch of the host function.
unsafe extern "C" fn dispatch_stressed(host: *mut HostFunc, slots: *mut u64) -> u64 {
    // SAFETY: as for every dispatch: the record of a host function of the store that its guest calls, with slots for
    // its parameters. The definition lives as long as the record. Nobody else uses the store now.
    unsafe {
        let def = &*((*host).definition.as_ptr::<HostDef>().cast_const());
        let store = (*(*host).store).owner.as_ptr::<StoreInner>();
        let held = std::slice::from_raw_parts(slots, def.ty.param_slots());
        let collected = catch_unwind(AssertUnwindSafe(|| (*store).stress(held)));
        if let Err(panic) = collected {
            wardian_vm::contain::discard(panic);
        }
        (def.dispatch())(host, slots)
    }
}

/// The arguments of a host function as values.
///
/// # Safety
///
/// The slots hold values of the types of the parameters, from a guest of the store.
pub(crate) unsafe fn read_params(store: &mut StoreInner, ty: &FuncType, slots: &[u64]) -> Vec<Val> {
    let mut at = 0;
    let mut params = Vec::with_capacity(ty.params().len());
    for ty in ty.params() {
        // SAFETY: the caller's promise.
        params.push(unsafe { store.read_value(*ty, &slots[at..]) });
        at += ty.slots();
    }
    params
}

/// Writes the results of a host function into its slots.
///
/// # Errors
///
/// There are too few or too many, or one is of another type; or no memory is left for references.
pub(crate) fn write_results(
    store: &mut StoreInner,
    ty: &FuncType,
    results: &[Val],
    slots: &mut [u64],
) -> Result<()> {
    let (given, count) = (results.len(), ty.results().len());
    if given != count {
        return Err(Error::usage(
            UsageKind::Type,
            format!("a host function gave {given} results, and has {count}"),
        ));
    }
    store.collect_if_due();
    let mut at = 0;
    for (ty, value) in ty.results().iter().zip(results) {
        if let Err(found) = store.check_value(value, *ty) {
            return Err(Error::usage(
                UsageKind::Type,
                format!("a host function gave a {found} for a {ty}"),
            ));
        }
        store.write_value(value, &mut slots[at..])?;
        at += ty.slots();
    }
    Ok(())
}

/// # Safety
///
/// The slots hold values of these types from a guest of the store.
pub(crate) unsafe fn to_handles(store: &StoreInner, types: &[ValType], slots: &mut [u64]) {
    let mut at = 0;
    for ty in types {
        if ty.is_func_ref() {
            // SAFETY: by the promise above it is a reference of the store's.
            slots[at] = unsafe { store.func_handle(slots[at]) };
        }
        at += ty.slots();
    }
}

/// Makes raw slots such as guests hold them: the one way in for all values that the embedder gives in
/// raw slots. Guests rely on the upper half of an `i32` or `f32` being zero, so it is cleared;
/// references are validated.
pub(crate) fn normalize(store: &StoreInner, types: &[ValType], slots: &mut [u64]) -> Result<()> {
    let mut at = 0;
    for ty in types {
        match ty {
            ValType::I32 | ValType::F32 => slots[at] &= u64::from(u32::MAX),
            ValType::I64 | ValType::F64 | ValType::V128 => {}
            ValType::Ref(r) => slots[at] = checked_reference(store, *r, slots[at])?,
        }
        at += ty.slots();
    }
    Ok(())
}

fn checked_reference(store: &StoreInner, ty: RefType, slot: u64) -> Result<u64> {
    let known = match ty.heap {
        _ if slot == 0 => ty.nullable.then_some(0),
        HeapType::Func => store.reference_of_handle(slot),
        HeapType::Concrete(of) => store.reference_of_handle(slot).filter(|reference| {
            // SAFETY: it is a reference of the store's.
            let func = unsafe { store.func_of_reference(*reference) };
            func.is_some_and(|func| store.is_of_type(func, of))
        }),
        heap if ty.is_any() || ty.is_extern() && is_object_slot(slot) => {
            store.word_of_slot(slot, heap)
        }
        HeapType::Extern => store.externrefs.get(slot).is_some().then_some(slot),
        HeapType::Exn => store.exceptions.get(slot).is_some().then_some(slot),
        _ => None,
    };
    known.ok_or_else(|| {
        Error::usage(
            UsageKind::Type,
            format!("a raw slot holds {slot:#x}, which is no {ty} of this store"),
        )
    })
}

/// Reports the end of a host function to the stub: zero to continue in the guest.
///
/// # Safety
///
/// The record is that of a host function which a guest is calling; its closure has returned.
#[inline]
pub(crate) unsafe fn finish<T: Embedder>(
    host: *mut HostFunc,
    done: std::thread::Result<Result<()>>,
) -> u64 {
    let error = match done {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => error,
        Err(panic) => Error::panic(panic),
    };
    // SAFETY: as in `dispatch_typed`; the closure and its `Caller` are gone.
    unsafe {
        let owner = (*(*host).store).owner.as_ptr::<StoreData<T>>();
        (*owner).inner.fail_in_host(error);
    }
    1
}

impl StoreInner {
    /// Notes why the guest is to end, with where it is.
    #[cold]
    pub(crate) fn fail(&mut self, error: Error) {
        // Of exceptions it is taken where nobody has caught them.
        let wants_none = matches!(
            error.kind(),
            ErrorKind::Suspended | ErrorKind::Restored | ErrorKind::Exception(_)
        );
        let wants_backtrace = !wants_none && !error.has_trace() && error.exit_code().is_none();
        let error = if wants_backtrace { error.with_trace(self.backtrace()) } else { error };
        self.pending.fail(error);
    }
}
