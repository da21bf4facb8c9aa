//! Calls from the host into guests.

use crate::call::exit::Next;
use crate::checkpoint::Standing;
use crate::error::UsageKind;
use crate::ids::FuncId;
use crate::listen::listener::AbortReason;
use crate::store::inner::{Embedder, StoreData, StoreInner};
use crate::store::owner::Owner;
use crate::store::typed::List;
use crate::value::Val;
use crate::value::{ExternRef, Func};
use crate::{Error, ErrorKind, Result};
use std::any::TypeId;
use std::mem::MaybeUninit;
use std::panic::resume_unwind;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use wardian_types::{DeclaredType, HeapType, RefType, ValType};
use wardian_vm::activation::{self, Outcome, Suspended};
use wardian_vm::addr::{CodeAddr, VmCtxPtr};
use wardian_vm::layout::{StoreCtx, VmFunc};

/// A function of a store, ready to be called: what a typed handle keeps.
#[derive(Clone, Copy, Debug)]
pub struct Callable {
    store: u64,
    vm: NonNull<VmFunc>,
}

// SAFETY: the record is only read after comparing `store` with a store that is borrowed
// exclusively, which then owns the record.
unsafe impl Send for Callable {}
// SAFETY: as above.
unsafe impl Sync for Callable {}

impl Callable {
    /// The store of the function.
    pub fn store(&self) -> u64 {
        self.store
    }
}

/// A function whose types have been compared with Rust types.
#[derive(Clone, Copy, Debug)]
pub struct TypedCallable {
    callable: Callable,
    /// Of the lists of parameters and results.
    types: TypeId,
}

impl TypedCallable {
    /// The store of the function.
    #[inline]
    pub fn store(&self) -> u64 {
        self.callable.store
    }

    /// The function, to be called with these types.
    ///
    /// # Panics
    ///
    /// It was compared with others.
    #[inline]
    pub(crate) fn of<P: List, R: List>(self) -> Callable {
        assert!(self.types == TypeId::of::<(P, R)>(), "a function of other types");
        self.callable
    }
}

impl StoreInner {
    /// What is needed to call a function of this store with Rust types; none if its types are others.
    ///
    /// # Errors
    ///
    /// What enters it cannot be compiled.
    pub fn typed_callable<P: List, R: List>(&self, func: FuncId) -> Result<Option<TypedCallable>> {
        let ty = self.func_type(func);
        let (params, results) = (P::types(), R::types());
        let fits = ty.params() == params
            && ty.results().len() == results.len()
            && ty
                .results()
                .iter()
                .zip(&results)
                .all(|(found, wanted)| found.matches(*wanted, &|a, b| a == b));
        if !fits {
            return Ok(None);
        }
        let types = TypeId::of::<(P, R)>();
        Ok(Some(TypedCallable { callable: self.callable(func)?, types }))
    }
}

impl StoreInner {
    /// What is needed to call a function of this store.
    pub fn callable(&self, func: FuncId) -> Result<Callable> {
        let vm = self.funcs.record(func);
        if !self.interprets() {
            // SAFETY: records live as long as the store.
            let number = unsafe { vm.as_ref() }.sig;
            let signature = self.engine().signatures().by_number(number).ok_or_else(|| {
                Error::new(ErrorKind::Internal(format!("function of unknown type #{number}")))
            })?;
            let entry = self.engine().trampoline(&signature)?.entry;
            // SAFETY: records live as long as the store.
            unsafe { vm.as_ref() }.entry.store(entry.as_usize(), Ordering::Relaxed);
        }
        Ok(Callable { store: self.id(), vm })
    }
}

/// Enters a function.
///
/// # Safety
///
/// As for [`StoreData::invoke`], with `owner` set.
#[inline(always)]
unsafe fn enter(ctx: *mut StoreCtx, vm: *mut VmFunc, args: *mut u64) -> Outcome {
    // SAFETY: the caller's promise; where there is a trampoline, it is that of the signature.
    unsafe {
        match (*vm).entry.load(Ordering::Relaxed) {
            0 => enter_interpreted(ctx, vm, args),
            trampoline => {
                let trampoline = CodeAddr::from_usize(trampoline);
                activation::enter(ctx, (*vm).ctx, (*vm).code, args, trampoline)
            }
        }
    }
}

/// [`enter`] by way of the interpreter.
///
/// # Safety
///
/// As there.
#[inline(never)]
unsafe fn enter_interpreted(ctx: *mut StoreCtx, vm: *mut VmFunc, args: *mut u64) -> Outcome {
    // SAFETY: the caller's promise.
    unsafe {
        (*ctx).call.target = vm as u64;
        activation::enter_interpreted(ctx, (*vm).ctx, args)
    }
}

impl<T: Embedder> StoreData<T> {
    /// Calls a function of the store `this`. `args` holds its arguments, as guests hold them, and takes
    /// its results.
    ///
    /// # Safety
    ///
    /// `this` is valid, and nobody else uses the store meanwhile but through what the guest is given:
    /// the `Caller`s of host functions, which are made of `this`. `args` fits the signature that the
    /// callable was made for, and its references are of this store.
    #[inline]
    pub(crate) unsafe fn invoke(
        this: *mut StoreData<T>,
        callable: Callable,
        args: *mut u64,
    ) -> Result<()> {
        // SAFETY: the caller's promise. The record is of this store; trampoline and record belong to
        // one signature. What a guest may reach of the store it reaches through `owner`, and no
        // reference to the store is held here while it runs.
        unsafe {
            let inner = &mut (*this).inner;
            assert_eq!(callable.store, inner.id(), "a function of another store");
            inner.ensure_stack()?;
            inner.has_run = true;
            let open = inner.listening.depth();
            if open != 0 && inner.is_idle() {
                inner.abort_forgotten();
                return StoreData::invoke(this, callable, args);
            }
            let ctx = inner.ctx();
            let owner = Owner::enter(this);
            // Nobody has called through a table yet.
            (*ctx).indirect_caller = VmCtxPtr::NULL;
            let outcome = enter(ctx, callable.vm.as_ptr(), args);
            drop(owner);
            if outcome == Outcome::Returned {
                return Ok(());
            }
            StoreData::after_leaving(this, outcome, callable, args, open)
        }
    }

    /// Resumes a guest that was suspended in a host function, which has answered.
    ///
    /// # Safety
    ///
    /// As for [`Self::invoke`]. The guest was suspended in this store by a call of `callable`, in the
    /// same nesting of entries, and not resumed since; `args` fits its results. `closed` instances had
    /// been closed when it was last checked that none of them takes part in the call.
    pub(crate) unsafe fn resume(
        this: *mut StoreData<T>,
        mut guest: Suspended,
        callable: Callable,
        args: *mut u64,
        open: usize,
        mut closed: usize,
    ) -> Result<()> {
        // SAFETY: the caller's promise; a guest whose entry was refused still stands where it stood.
        unsafe {
            let ctx = (*this).inner.ctx();
            match StoreData::restored(this, guest) {
                Some(Next::Fail(error)) => return (*this).inner.fail_call(error, open),
                Some(Next::Resume(restored)) => guest = restored,
                _ => {}
            }
            loop {
                if let Some(error) = (*this).inner.closed_while_left(&guest, &mut closed) {
                    return (*this).inner.fail_call(error, open);
                }
                let owner = Owner::enter(this);
                let outcome = guest.resume(ctx, args);
                drop(owner);
                match outcome {
                    Outcome::Returned => return Ok(()),
                    Outcome::Refused => {
                        let next = (*this).inner.after_entry(outcome, VmCtxPtr::NULL);
                        let standing = Some(Standing::Left(guest));
                        match StoreData::with_checkpoints(this, next, standing) {
                            Next::Fail(error) => return (*this).inner.fail_call(error, open),
                            _ => continue,
                        }
                    }
                    _ => return StoreData::after_leaving(this, outcome, callable, args, open),
                }
            }
        }
    }

    /// Puts a snapshot back, if its host function has asked for one of this guest's: see [`StoreInner::try_restore`].
    ///
    /// # Safety
    ///
    /// As for [`Self::resume`].
    unsafe fn restored(this: *mut StoreData<T>, guest: Suspended) -> Option<Next> {
        // SAFETY: the caller's promise.
        unsafe {
            (*this).inner.pending.restoring()?;
            // A restore asks the limiter, which it finds by the owner.
            let _owner = Owner::enter(this);
            (*this).inner.try_restore(guest)
        }
    }

    /// Throws the exception of an error in a guest that was suspended in a host function.
    ///
    /// # Safety
    ///
    /// As for [`Self::resume`]; the host function has no results.
    pub(crate) unsafe fn throw_in(
        this: *mut StoreData<T>,
        guest: Suspended,
        callable: Callable,
        args: *mut u64,
        open: usize,
        error: Error,
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe {
            let ctx = (*this).inner.ctx();
            let owner = Owner::enter(this);
            guest.as_host(ctx, || (*this).inner.fail_in_host(error));
            let outcome = guest.throw(ctx, args);
            drop(owner);
            if outcome == Outcome::Returned {
                return Ok(());
            }
            StoreData::after_leaving(this, outcome, callable, args, open)
        }
    }

    /// Takes the checkpoints that somebody waits for before a guest is entered or resumed. One of them may be the end
    /// of it.
    ///
    /// # Safety
    ///
    /// As for [`Self::invoke`]; no guest runs in the innermost entry, and the guest is where `standing` says; none if it
    /// has not begun.
    unsafe fn with_checkpoints(
        this: *mut StoreData<T>,
        next: Next,
        standing: Option<Standing>,
    ) -> Next {
        // SAFETY: the caller's promise.
        let this = unsafe { &mut *this };
        let Some(standing) = standing.filter(|_| this.inner.has_checkpoint_requests()) else {
            return next;
        };
        if matches!(next, Next::Fail(_)) {
            return next;
        }
        match this.serve_checkpoints(standing) {
            Ok(()) => next,
            Err(error) => {
                this.inner.settle(&error);
                Next::Fail(error)
            }
        }
    }

    /// Resumes an entry that did not return, if there is a way.
    ///
    /// # Safety
    ///
    /// As for [`Self::invoke`]; the callable was just entered.
    #[cold]
    unsafe fn after_leaving(
        this: *mut StoreData<T>,
        mut outcome: Outcome,
        callable: Callable,
        args: *mut u64,
        open: usize,
    ) -> Result<()> {
        // Where the guest stands, once it has been resumed: then that is what is tried again.
        let mut standing: Option<Suspended> = None;
        // SAFETY: as in `invoke`.
        let mut closed = unsafe { (*this).inner.closed };
        while outcome != Outcome::Returned {
            // SAFETY: as in `invoke`. A guest that is resumed stands where it ended, and nothing ran
            // on its stack since; or a snapshot of it was put back.
            unsafe {
                let ctx = (*this).inner.ctx();
                let vm = callable.vm.as_ptr();
                // A restore asks the limiter, which it finds by the owner.
                let owner = Owner::enter(this);
                let polled = (*this).inner.pending.take_poll();
                let next = (*this).inner.after_entry(outcome, (*vm).ctx);
                drop(owner);
                let stood = match (&next, &standing) {
                    (Next::Resume(guest), _) if polled => Some(Standing::Polled(*guest)),
                    (Next::Resume(guest), _) | (_, Some(guest)) => Some(Standing::Left(*guest)),
                    // The interpreter asks for it again once it has begun, and so does code that can be captured.
                    _ if (*vm).entry.load(Ordering::Relaxed) == 0 => None,
                    _ if (*this).inner.captures_compiled() => None,
                    _ => Some(Standing::Compiled),
                };
                match StoreData::with_checkpoints(this, next, stood) {
                    Next::Again => {}
                    Next::Resume(guest) => standing = Some(guest),
                    Next::Fail(error) => return (*this).inner.fail_call(error, open),
                }
                if let Some(guest) = &standing
                    && let Some(error) = (*this).inner.closed_while_left(guest, &mut closed)
                {
                    return (*this).inner.fail_call(error, open);
                }
                let _owner = Owner::enter(this);
                outcome = match &standing {
                    // Deferred work may have changed the code: the instance may be closed now.
                    None => enter(ctx, vm, args),
                    Some(guest) => guest.resume(ctx, args),
                };
            }
        }
        Ok(())
    }
}

impl StoreInner {
    /// Aborts the calls of a guest that was suspended, and whose future was forgotten.
    #[cold]
    pub(crate) fn abort_forgotten(&mut self) {
        if let Err(panic) = self.abort_to(0, &AbortReason::Abandoned) {
            resume_unwind(panic);
        }
    }

    /// Ends a call that cannot be resumed; `open` calls of listeners were open when it began.
    pub(crate) fn fail_call(&mut self, error: Error, open: usize) -> Result<()> {
        if matches!(error.kind(), ErrorKind::Suspended) {
            return Err(error);
        }
        let error = self.abort_for(open, error);
        if !matches!(error.kind(), ErrorKind::Panic(_)) {
            return Err(error);
        }
        match error.into_kind() {
            // The guest's frames are gone; the panic is resumed where the guest was called.
            ErrorKind::Panic(payload) => resume_unwind(payload.into_inner()),
            kind => Err(Error::new(kind)),
        }
    }
}

impl<T: Embedder> StoreData<T> {
    /// Calls a function with values whose types have been checked.
    pub fn call_values(
        &mut self,
        callable: Callable,
        types: (&[ValType], &[ValType]),
        params: impl IntoIterator<Item = Val>,
        results: impl FnMut(usize, Val),
    ) -> Result<()> {
        let (param_types, result_types) = types;
        let slots = |types: &[ValType]| types.iter().map(|t| t.slots()).sum::<usize>();
        self.inner.collect_if_due();
        let mut buffer = vec![0u64; slots(param_types).max(slots(result_types))];
        self.inner.write_values(params, &mut buffer)?;
        // SAFETY: the buffer fits the signature, and `write_value` made references of this store.
        unsafe { StoreData::invoke(self, callable, buffer.as_mut_ptr())? };
        // SAFETY: the guest left values of these types there.
        unsafe { self.inner.read_values(result_types, &buffer, results) };
        Ok(())
    }
}

impl StoreInner {
    /// Checks that a value is one of a type.
    ///
    /// # Errors
    ///
    /// It is not; the error says what it is.
    pub fn check_value(&self, value: &Val, ty: ValType) -> Result<(), String> {
        let fits = match (value, ty) {
            (Val::FuncRef(None), ValType::Ref(r)) => r.nullable && r.is_func(),
            (Val::ExternRef(None), ValType::Ref(r)) => r.nullable && r.is_extern(),
            (Val::AnyRef(None), ValType::Ref(r)) => r.nullable && r.is_any(),
            (Val::ExnRef(None), ValType::Ref(r)) => r.nullable && r.is_exn(),
            (
                Val::FuncRef(Some(func)),
                ValType::Ref(RefType { heap: HeapType::Concrete(of), .. }),
            ) => {
                // Of a function of another store the caller says so.
                func.store != self.id() || self.is_of_type(func.index, of)
            }
            (Val::AnyRef(Some(any)), ValType::Ref(r)) => {
                // As above.
                r.is_any() && (any.store != self.id() || self.is_any_of(any, r.heap))
            }
            (value, ty) => match (value.ty(), ty) {
                (ValType::Ref(found), ValType::Ref(wanted)) => found.heap == wanted.heap,
                (found, wanted) => found == wanted,
            },
        };
        if fits {
            return Ok(());
        }
        Err(match value {
            Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None)
                if ty.is_ref() =>
            {
                "null".into()
            }
            Val::FuncRef(Some(func)) if func.store == self.id() && ty.is_func_ref() => {
                format!("function {}", self.func_type(func.index))
            }
            other => other.ty().to_string(),
        })
    }

    /// Whether a function of the store is of a declared type.
    pub(crate) fn is_of_type(&self, func: FuncId, of: DeclaredType) -> bool {
        let DeclaredType::Engine(of) = of else { return false };
        self.engine().signatures().is_subtype(self.vm_func(func).sig, of)
    }

    /// Writes a value as guests hold it.
    pub fn write_value(&mut self, value: &Val, slots: &mut [u64]) -> Result<()> {
        slots[0] = match value {
            Val::I32(v) => u64::from(*v as u32),
            Val::I64(v) => *v as u64,
            Val::F32(bits) => u64::from(*bits),
            Val::F64(bits) => *bits,
            Val::V128(v) => {
                slots[1] = (v >> 64) as u64;
                *v as u64
            }
            Val::FuncRef(func) => self.func_to_reference(func.as_ref())?,
            Val::ExternRef(value) => self.extern_to_handle(value.as_ref())?,
            Val::AnyRef(None) | Val::ExnRef(None) => 0,
            Val::AnyRef(Some(value)) => u64::from(self.reference_of(value)?),
            Val::ExnRef(Some(exception)) => self.exception_to_handle(exception)?,
        };
        Ok(())
    }

    /// Writes values one after the other.
    pub fn write_values(
        &mut self,
        values: impl IntoIterator<Item = Val>,
        slots: &mut [u64],
    ) -> Result<()> {
        let mut at = 0;
        for value in values {
            self.write_value(&value, &mut slots[at..])?;
            at += value.ty().slots();
        }
        Ok(())
    }

    /// Reads values that lie one after the other.
    ///
    /// # Safety
    ///
    /// As for [`StoreInner::read_value`], for each.
    pub unsafe fn read_values(
        &self,
        types: &[ValType],
        slots: &[u64],
        mut each: impl FnMut(usize, Val),
    ) {
        let mut at = 0;
        for (index, ty) in types.iter().enumerate() {
            // SAFETY: the caller's promise.
            each(index, unsafe { self.read_value(*ty, &slots[at..]) });
            at += ty.slots();
        }
    }

    pub(crate) fn func_to_reference(&self, func: Option<&Func>) -> Result<u64> {
        let Some(func) = func else { return Ok(0) };
        if func.store != self.id() {
            return Err(Error::usage(UsageKind::OtherStore, "a function of another store"));
        }
        Ok(self.reference_to(func.index))
    }

    pub(crate) fn extern_to_handle(&mut self, value: Option<&ExternRef>) -> Result<u64> {
        value.map_or(Ok(0), |value| self.extern_to_word(value))
    }

    /// Reads a value as guests hold it.
    ///
    /// # Safety
    ///
    /// The slots hold a value of this type from a guest of this store, or from
    /// [`Self::write_value`].
    pub unsafe fn read_value(&self, ty: ValType, slots: &[u64]) -> Val {
        match ty {
            ValType::I32 => Val::I32(slots[0] as i32),
            ValType::I64 => Val::I64(slots[0] as i64),
            ValType::F32 => Val::F32(slots[0] as u32),
            ValType::F64 => Val::F64(slots[0]),
            ValType::V128 => Val::V128(u128::from(slots[1]) << 64 | u128::from(slots[0])),
            ValType::Ref(r) if r.is_func() => {
                // SAFETY: the caller's promise.
                Val::FuncRef(unsafe { self.func_from_reference(slots[0]) })
            }
            ValType::Ref(r) if r.is_any() => Val::AnyRef(self.hold(slots[0])),
            ValType::Ref(r) if r.is_exn() => Val::ExnRef(self.exception_of(slots[0])),
            ValType::Ref(_) => Val::ExternRef(self.extern_of_word(slots[0])),
        }
    }

    /// # Safety
    ///
    /// As for [`StoreInner::read_value`].
    pub(crate) unsafe fn func_from_reference(&self, reference: u64) -> Option<Func> {
        // SAFETY: the caller's promise.
        let index = unsafe { self.func_of_reference(reference)? };
        Some(Func { store: self.id(), index })
    }

    /// Frees the embedder's values that no guest holds any more, if there are many.
    ///
    /// Only to be called when every handle is in a table, in a global, or on the wasm stack.
    #[inline]
    pub(crate) fn collect_if_due(&mut self) {
        if self.externrefs.is_full() || self.exceptions.is_full() {
            self.collect_garbage(true);
        }
    }
}

/// Slots in the buffer of a typed call: 16 values of two slots.
const TYPED_SLOTS: usize = 32;

impl<T: Embedder> StoreData<T> {
    /// Calls a function with Rust values; the types were checked when the handle was made.
    #[inline]
    pub fn call_typed<P: List, R: List>(
        &mut self,
        callable: TypedCallable,
        params: P,
    ) -> Result<R> {
        let callable = callable.of::<P, R>();
        const { assert!(P::SLOTS <= TYPED_SLOTS && R::SLOTS <= TYPED_SLOTS) };
        let mut buffer = [const { MaybeUninit::<u64>::uninit() }; TYPED_SLOTS];
        let slots = buffer.as_mut_ptr().cast::<u64>();
        if P::HAS_EXTERNS {
            self.inner.collect_if_due();
        }
        // SAFETY: the buffer is large enough for both lists; every parameter is written before the
        // guest reads it, and every result by the guest before it is read. Slots are set to zero
        // first so that the slices are initialised; for few parameters that is one store each.
        unsafe {
            let used = if P::SLOTS > R::SLOTS { P::SLOTS } else { R::SLOTS };
            std::ptr::write_bytes(slots, 0, used);
            params.write_list(&mut self.inner, std::slice::from_raw_parts_mut(slots, P::SLOTS))?;
            StoreData::invoke(self, callable, slots)?;
            Ok(R::read_list(&self.inner, std::slice::from_raw_parts(slots, R::SLOTS)))
        }
    }
}
