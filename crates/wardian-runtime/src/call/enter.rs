//! Calls from the host into guests.

use crate::call::exit::Next;
use crate::checkpoint::Standing;
use crate::ids::FuncId;
use crate::listen::listener::AbortReason;
use crate::store::inner::{Embedder, StoreData, StoreInner};
use crate::store::owner::Owner;
use crate::store::typed::List;
use crate::value::Val;
use crate::{Error, ErrorKind, Result};
use std::any::TypeId;
use std::mem::MaybeUninit;
use std::panic::resume_unwind;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use wardian_types::FuncType;
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
        let vm = self.entities.funcs().record(func);
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

    /// The signature of a function of this store.
    ///
    /// # Panics
    ///
    /// It is of another store.
    pub(crate) fn type_of(&self, callable: Callable) -> &FuncType {
        assert_eq!(callable.store, self.id(), "a function of another store");
        // SAFETY: records live as long as their store, which this is.
        self.func_type(unsafe { callable.vm.as_ref() }.index)
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
            inner.context.note_run();
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
        let mut closed = unsafe { (*this).inner.entities.closed_instances() };
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
    /// Calls a function with values.
    ///
    /// # Errors
    ///
    /// They are not of the types of its parameters, or the call fails.
    pub fn call_values(
        &mut self,
        callable: Callable,
        params: impl Iterator<Item = Val> + Clone,
        results: impl FnMut(usize, Val),
    ) -> Result<()> {
        let ty = self.inner.type_of(callable).clone();
        let mut buffer = self.inner.arguments(&ty, params)?;
        // SAFETY: the buffer fits the signature, and holds values of its types.
        unsafe { StoreData::invoke(self, callable, buffer.as_mut_ptr())? };
        // SAFETY: the guest left values of these types there.
        unsafe { self.inner.read_values(ty.results(), &buffer, results) };
        Ok(())
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
