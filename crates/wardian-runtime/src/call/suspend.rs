//! Host functions that cannot answer yet: their guest is suspended and resumed later, perhaps on
//! another thread.
//!
//! ```text
//!   call_async ── poll ── enter ── guest ── dispatch ── the host function's future: pending
//!        <─────────────── Ended, with a `Paused` ───────────┘   (frames stay on the wasm stack)
//!        ── poll ── the future, as that guest's host ── ready ── results into slots ── resume
//! ```
//!
//! **Invariant.** All that is known of a suspended guest is in the future that `call_async` returned,
//! which borrows the store. While it lives nobody else can use the store; if it is dropped or
//! forgotten the store knows of no guest, and the frames are free to be overwritten.
//! The store has a [`Paused`] only between the end of the entry and the end of the
//! same poll, however that ends.
//!
//! **Invariant.** A guest can be suspended only by a host function that it calls itself, in the entry
//! that `call_async` made: the store has the depth of that entry while it is open, and at no other
//! time. Destructors of futures run while it has none.

mod results;
mod values;

use crate::call::applied::{Applied, CallSettings};
use crate::call::enter::{Callable, TypedCallable};
use crate::checkpoint::{Restored, Standing};
use crate::error::UsageKind;
use crate::listen::keep_first;
use crate::listen::listener::AbortReason;
use crate::store::host::{Dispatch, HostCall, HostDef};
use crate::store::inner::{Embedder, StoreData, StoreInner};
use crate::store::owner::{Called, Owner};
use crate::store::paused::{Answer, Paused};
use crate::store::typed::List;
use crate::value::Val;
use crate::{Error, ErrorKind, Result};
use std::any::TypeId;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use wardian_types::FuncType;
use wardian_vm::activation::{self, Suspended};
use wardian_vm::addr::CodeAddr;
use wardian_vm::contain::{Payload, discard, drop_contained, try_drop};
use wardian_vm::layout::HostFunc;

/// The future of an asynchronous host function.
pub type HostFuture<'a, R> = Pin<Box<dyn Future<Output = R> + Send + 'a>>;

impl HostDef {
    /// An asynchronous host function with Rust parameter and result types.
    ///
    /// `finish` makes what its future gives the results.
    pub fn asynchronous<T, P, R, V, F>(
        data: TypeId,
        closure: F,
        finish: fn(V) -> Result<R>,
    ) -> HostDef
    where
        T: Embedder + Send,
        P: List + 'static,
        R: List + 'static,
        V: 'static,
        F: for<'a> Fn(Called<'a, T>, P) -> HostFuture<'a, V> + Send + Sync + 'static,
    {
        let ty = FuncType::new(P::types(), R::types());
        let dispatch: Dispatch = dispatch::<T, P, R, V, F>;
        HostDef::new(
            data,
            ty,
            CodeAddr::of(dispatch as *const ()),
            Box::new(Asynchronous { closure, finish }),
        )
    }
}

/// A pointer that a future may carry to another thread, together with the store it belongs to.
struct Carried<V>(*mut V);

// SAFETY: it points into a store, or to its wasm stack, and is used only by code that has that store.
unsafe impl<V> Send for Carried<V> {}

/// The closure of an asynchronous function, and what makes results of what its future gives.
struct Asynchronous<F, V, R> {
    closure: F,
    finish: fn(V) -> Result<R>,
}

unsafe extern "C" fn dispatch<T, P, R, V, F>(host: *mut HostFunc, slots: *mut u64) -> u64
where
    T: Embedder + Send,
    P: List + 'static,
    R: List + 'static,
    V: 'static,
    F: for<'a> Fn(Called<'a, T>, P) -> HostFuture<'a, V> + Send + Sync + 'static,
{
    // SAFETY: compiled code passes the record of a function made by `HostDef::asynchronous` with
    // these very types. The closure lives as long as its store.
    unsafe {
        let owner = (*(*host).store).owner.as_ptr::<StoreData<T>>();
        let started = catch_unwind(AssertUnwindSafe(|| {
            let own = &*((*host).data.as_ptr::<Asynchronous<F, V, R>>());
            let finish = own.finish;
            let entry = activation::serial((*host).store);
            let caller = crate::call::host::caller::<T>(host, slots).in_entry(entry);
            let count = crate::call::host::slots_of::<P, R>();
            let params = P::read_list(caller.inner(), std::slice::from_raw_parts(slots, count));
            let future = (own.closure)(caller, params);
            let target = Carried(slots);
            let store = Carried(owner);
            let answer = async move {
                let (target, store) = (target, store);
                let results = finish(future.await)?;
                write_answer::<T, R>(results, &store, &target)
            };
            start(owner, Box::pin(answer))
        }));
        crate::call::host::finish::<T>(host, started)
    }
}

/// # Safety
///
/// The slots are those of a host function of the store whose guest waits, with room for the results.
unsafe fn write_answer<T: Embedder, R: List>(
    results: R,
    store: &Carried<StoreData<T>>,
    slots: &Carried<u64>,
) -> Result<()> {
    // SAFETY: the caller's promise; nobody else uses the store while a future of it is polled.
    unsafe {
        let inner = &mut (*store.0).inner;
        if R::HAS_EXTERNS {
            inner.collect_if_due();
        }
        results.write_list(inner, std::slice::from_raw_parts_mut(slots.0, R::SLOTS))
    }
}

/// Polls a future for the first time; if it is not ready, suspends its guest.
///
/// # Safety
///
/// `owner` is the store whose guest is calling, and what the future borrows is there for as long as the guest waits.
unsafe fn start<T: Embedder>(
    owner: *mut StoreData<T>,
    answer: Pin<Box<dyn Future<Output = Result<()>> + Send + '_>>,
) -> Result<()> {
    // SAFETY: the future borrows the store for as long as its guest waits, which no lifetime can say; the invariant above
    // makes it true.
    let mut answer: Answer = unsafe { std::mem::transmute(answer) };
    // SAFETY: the caller's promise. The waker was put there by `call_async`, which waits for this.
    unsafe {
        let ctx = (*owner).inner.ctx();
        let waker = (*owner).inner.suspension.waker();
        let depth = (*owner).inner.suspension.depth();
        let may_suspend = depth != 0 && depth == activation::depth(ctx);
        let waker = waker.filter(|_| may_suspend).unwrap_or_else(|| Waker::noop().clone());
        let outer = (*owner).inner.suspension.set_repeatable(None);
        let polled = answer.as_mut().poll(&mut Context::from_waker(&waker));
        let repeatable = (*owner).inner.suspension.set_repeatable(outer);
        match polled {
            Poll::Ready(done) => done,
            Poll::Pending if may_suspend => {
                let guest = Suspended::new(ctx);
                if (*owner).inner.is_restoring(&guest) {
                    // A restore does not wait, also if the function has swallowed the error.
                    drop_contained(answer);
                    return Err(Error::new(ErrorKind::Restored));
                }
                (*owner).inner.suspension.pause(Paused { guest, answer, repeatable });
                Err(Error::new(ErrorKind::Suspended))
            }
            Poll::Pending => Err(Error::usage(
                UsageKind::Disabled,
                "an asynchronous host function has to wait, but its guest was called with `call`: \
                 use `call_async`",
            )),
        }
    }
}

/// How a call begins.
enum Begin {
    /// With the callable, whose arguments are in the slots.
    Call,
    /// With a guest that was restored, whose host function returns these results if there are any.
    Restored(Box<Restored>, Option<Vec<Val>>),
    /// It has begun.
    Done,
}

/// A guest's call that may be suspended.
pub struct AsyncCall<'a, T: Embedder> {
    /// A pointer, for the suspended guest's host function has the store too, between polls.
    store: *mut StoreData<T>,
    lifetime: PhantomData<&'a mut StoreData<T>>,
    callable: Callable,
    slots: Vec<u64>,
    paused: Option<Paused>,
    begin: Begin,
    /// How many calls of listeners were open before.
    open: usize,
    /// How many instances of the store had been closed when it was last asked whether one of them takes
    /// part in the call.
    closed: usize,
    /// What was in force before the options of the call.
    before: Option<Applied>,
    /// The Rust types of the results, if it is a call with such.
    results: Option<TypeId>,
    /// Whether it has returned, and nobody has taken the results.
    has_returned: bool,
}

// SAFETY: it takes the place of the reference to the store that it is marked as; the future in it is `Send`.
unsafe impl<T: Embedder + Send> Send for AsyncCall<'_, T> {}

impl<T: Embedder> Drop for AsyncCall<'_, T> {
    fn drop(&mut self) {
        let mut done = Ok(());
        if let Some(paused) = self.paused.take() {
            self.inner().forget_waker();
            // The guest's frames are given up, and with them the calls that listeners know of. The
            // future goes first: it may hold guests of its own.
            let dropped = try_drop(paused);
            let open = self.open;
            let aborted = self.inner().abort_to(open, &AbortReason::Abandoned);
            done = keep_first(dropped, aborted);
            self.inner().forget_overruled_restore();
        }
        // After those of calls that the future held.
        if let Some(before) = self.before.take() {
            self.inner().withdraw(before);
        }
        if let Err(panic) = done {
            raise(panic);
        }
    }
}

/// Resumes a panic, unless another one is unwinding already.
fn raise(panic: Payload) {
    if std::thread::panicking() {
        discard(panic);
    } else {
        resume_unwind(panic);
    }
}

impl<'a, T: Embedder> AsyncCall<'a, T> {
    /// The call of a function with Rust values; the types were checked when the handle was made.
    pub fn new<P: List, R: List>(
        store: &'a mut StoreData<T>,
        callable: TypedCallable,
        params: P,
    ) -> Result<AsyncCall<'a, T>> {
        let callable = callable.of::<P, R>();
        store.inner.collect_if_due();
        let mut slots = vec![0; P::SLOTS.max(R::SLOTS).max(1)];
        params.write_list(&mut store.inner, &mut slots)?;
        let mut call = AsyncCall::of_slots(store, callable, slots);
        call.results = Some(TypeId::of::<R>());
        Ok(call)
    }

    /// The call of a function with values.
    ///
    /// # Errors
    ///
    /// They are not of the types of its parameters.
    pub fn of_values(
        store: &'a mut StoreData<T>,
        callable: Callable,
        params: impl Iterator<Item = Val> + Clone,
    ) -> Result<AsyncCall<'a, T>> {
        let ty = store.inner.type_of(callable).clone();
        let slots = store.inner.arguments(&ty, params)?;
        Ok(AsyncCall::of_slots(store, callable, slots))
    }

    /// The call of a start function, which has neither parameters nor results.
    ///
    /// # Panics
    ///
    /// It has some, or is of another store.
    pub fn of_start(store: &'a mut StoreData<T>, callable: Callable) -> AsyncCall<'a, T> {
        let ty = store.inner.type_of(callable);
        assert!(ty.params().is_empty() && ty.results().is_empty(), "no start function");
        AsyncCall::of_slots(store, callable, vec![0])
    }

    /// The rest of a call that was restored. The host function that the guest waits for returns `given` or, without
    /// any, is called again.
    pub fn of_restored(
        store: &'a mut StoreData<T>,
        restored: Restored,
        given: Option<Vec<Val>>,
    ) -> AsyncCall<'a, T> {
        let slots = vec![0; restored.result_slots()];
        let mut call = AsyncCall::of_slots(store, restored.root(), slots);
        call.begin = Begin::Restored(Box::new(restored), given);
        call
    }

    /// `slots` have room for what the function takes and gives, and hold the arguments.
    fn of_slots(
        store: &'a mut StoreData<T>,
        callable: Callable,
        slots: Vec<u64>,
    ) -> AsyncCall<'a, T> {
        let (open, closed) =
            (store.inner.listening.depth(), store.inner.entities.closed_instances());
        let (lifetime, begin, has_returned) = (PhantomData, Begin::Call, false);
        let (paused, before, results) = (None, None, None);
        AsyncCall {
            store,
            lifetime,
            callable,
            slots,
            paused,
            begin,
            open,
            closed,
            before,
            results,
            has_returned,
        }
    }

    /// The call under options, from now on.
    pub fn under(mut self, options: &CallSettings) -> Self {
        debug_assert!(self.before.is_none(), "options are given once");
        self.before = Some(self.inner().apply(options));
        self
    }

    fn inner(&mut self) -> &mut StoreInner {
        // SAFETY: the store is borrowed for as long as this lives. The suspended guest's host function
        // uses it only while it is polled or dropped, and no reference made here lives then.
        unsafe { &mut (*self.store).inner }
    }

    /// Runs the guest until it returns or waits.
    pub fn poll(&mut self, context: &Context<'_>) -> Poll<Result<()>> {
        let done = catch_unwind(AssertUnwindSafe(|| self.step(context)));
        // Left there if the entry ended in another way after the guest had been suspended.
        drop_contained(self.inner().suspension.take_paused());
        match done {
            Ok(Poll::Pending) => {
                self.inner().wake_when_interrupted(context.waker());
                Poll::Pending
            }
            Ok(ready) => {
                self.inner().forget_waker();
                ready
            }
            Err(panic) => {
                let open = self.open;
                let aborted = self.inner().abort_to(open, &AbortReason::Abandoned);
                aborted.map_err(discard).ok();
                resume_unwind(panic)
            }
        }
    }

    fn step(&mut self, context: &Context<'_>) -> Poll<Result<()>> {
        let (store, callable) = (self.store, self.callable);
        let slots = self.slots.as_mut_ptr();
        let begin = std::mem::replace(&mut self.begin, Begin::Done);
        // SAFETY: the slots fit the signature, by `of_slots`, or the results; the store as in `inner`.
        let work = || unsafe {
            match &begin {
                Begin::Restored(restored, given) => {
                    StoreData::begin_restored(store, restored, given.as_deref(), slots)
                }
                _ => StoreData::invoke(store, callable, slots),
            }
        };
        let done = if !matches!(begin, Begin::Done) {
            // SAFETY: the store as in `inner`.
            unsafe { suspendable(store, context, work) }
        } else {
            let Some(paused) = self.paused.take() else {
                return Poll::Ready(Err(Error::usage(
                    UsageKind::State,
                    "the call has ended already",
                )));
            };
            // SAFETY: the guest was suspended by this call, in this nesting, and is resumed once.
            match unsafe { self.poll_answer(paused, context) } {
                Ok(done) => done,
                Err(paused) => {
                    self.paused = Some(paused);
                    return Poll::Pending;
                }
            }
        };
        match done {
            Err(error) if matches!(error.kind(), ErrorKind::Suspended) => {
                self.closed = self.inner().entities.closed_instances();
                self.paused = self.inner().suspension.take_paused();
                Poll::Pending
            }
            done => {
                self.has_returned = done.is_ok();
                Poll::Ready(done)
            }
        }
    }

    /// Polls what a guest waits for and, if that is ready, resumes the guest.
    ///
    /// # Safety
    ///
    /// The guest was suspended in this store by this call, in the same nesting of entries.
    unsafe fn poll_answer(
        &mut self,
        paused: Paused,
        context: &Context<'_>,
    ) -> Result<Result<()>, Paused> {
        let Paused { guest, mut answer, mut repeatable } = paused;
        let (store, open) = (self.store, self.open);
        let before = self.closed;
        let mut closed = before;
        // SAFETY: the promise above. What the future uses of the store it reaches through `store` too,
        // and no reference to it is held meanwhile.
        let polled = unsafe {
            let ctx = (*store).inner.ctx();
            let _owner = Owner::enter(store);
            let mut waker = Context::from_waker(context.waker());
            catch_unwind(AssertUnwindSafe(|| {
                suspendable(store, context, || {
                    guest.as_host(ctx, || {
                        let stop = (*store).inner.stop_while_suspended(before);
                        closed = (*store).inner.entities.closed_instances();
                        let call = repeatable.filter(|call| call.serial() == guest.serial());
                        let stop = stop.or_else(|| (*store).checkpoints_while_waiting(call));
                        if let Some(error) = stop {
                            return Polled::Stopped(error);
                        }
                        let outer = (*store).inner.suspension.set_repeatable(repeatable);
                        let polled = answer.as_mut().poll(&mut waker);
                        repeatable = (*store).inner.suspension.set_repeatable(outer);
                        Polled::Answer(polled)
                    })
                })
            }))
        };
        self.closed = closed;
        let answered = match polled {
            Ok(Polled::Answer(Poll::Pending)) if !self.inner().is_restoring(&guest) => {
                return Err(Paused { guest, answer, repeatable });
            }
            // A restore does not wait, also if the function has swallowed the error.
            Ok(Polled::Answer(Poll::Pending)) => Ok(Err(Error::new(ErrorKind::Restored))),
            Ok(Polled::Answer(Poll::Ready(done))) => Ok(done),
            Ok(Polled::Stopped(error)) => {
                drop_contained(answer);
                self.inner().settle(&error);
                return Ok(self.inner().fail_call(error, open));
            }
            Err(panic) => Err(panic),
        };
        // It may hold the store; the guest comes next.
        let answered = try_drop(answer).and(answered);
        // SAFETY: the caller's promise; the guest is where it was suspended.
        Ok(unsafe { self.proceed(guest, answered, context) })
    }

    /// Whether the guest is to be resumed from a snapshot, whatever its host function has returned.
    fn restores(&mut self, error: &Error, guest: &Suspended) -> bool {
        self.inner().is_restoring(guest) && !error.is_sticky()
    }

    /// Resumes or ends a guest whose host function has an answer, or has panicked.
    ///
    /// # Safety
    ///
    /// As for [`Self::poll_answer`]; after an answer without an error the results are in their slots.
    unsafe fn proceed(
        &mut self,
        guest: Suspended,
        answered: Result<Result<()>, Payload>,
        context: &Context<'_>,
    ) -> Result<()> {
        let (store, callable, open) = (self.store, self.callable, self.open);
        let (slots, closed) = (self.slots.as_mut_ptr(), self.closed);
        let notified = match &answered {
            Ok(Ok(())) => self.inner().end_waiting(Ok(())),
            Ok(Err(error)) => self.inner().end_waiting(Err(error)),
            Err(_) => Ok(()),
        };
        let failed = match (answered, notified) {
            (Err(panic), notified) => {
                notified.map_err(discard).ok();
                panicked(panic)
            }
            (Ok(answer), Err(panic)) => {
                drop_contained(answer);
                panicked(panic)
            }
            (Ok(Err(error)), Ok(())) if !self.restores(&error, &guest) => {
                if error.exception().is_some() {
                    // SAFETY: the caller's promise.
                    return unsafe {
                        suspendable(store, context, || {
                            StoreData::throw_in(store, guest, callable, slots, open, error)
                        })
                    };
                }
                error
            }
            // SAFETY: the caller's promise; a restore puts the results in place itself.
            (Ok(_), Ok(())) => unsafe {
                return suspendable(store, context, || {
                    StoreData::resume(store, guest, callable, slots, open, closed)
                });
            },
        };
        self.inner().forget_overruled_restore();
        self.inner().fail_call(failed, open)
    }
}

impl<T: Embedder> StoreData<T> {
    /// Takes the checkpoints that somebody waits for of a guest whose host function waits in a call that can be made
    /// again. An error ends the guest.
    fn checkpoints_while_waiting(&mut self, call: Option<HostCall>) -> Option<Error> {
        let call = call.filter(|_| self.inner.has_checkpoint_requests())?;
        self.serve_checkpoints(Standing::HostCall(call)).err()
    }
}

/// What came of polling a suspended guest's host function.
enum Polled {
    Answer(Poll<Result<()>>),
    /// The guest is to end; its host function was not polled.
    Stopped(Error),
}

/// Does work that begins an entry, which may be suspended by the host functions that its guest calls.
///
/// # Safety
///
/// The store is valid, and no reference to it is held by the caller.
unsafe fn suspendable<T: Embedder, R>(
    store: *mut StoreData<T>,
    context: &Context<'_>,
    work: impl FnOnce() -> R,
) -> R {
    // First, for it is the embedder's and may panic.
    let waker = context.waker().clone();
    // SAFETY: the caller's promise; the references made here do not live while the work is done.
    unsafe {
        let depth = (*store).inner.depth() + 1;
        let outer = (*store).inner.suspension.enter(depth, waker);
        let done = catch_unwind(AssertUnwindSafe(work));
        // Also after a panic: else a plain call could be suspended, with nobody to resume it.
        (*store).inner.suspension.leave(outer);
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Error {
    Error::panic(panic)
}

impl StoreInner {
    /// How deeply guests are nested now.
    fn depth(&self) -> u64 {
        // SAFETY: the context is valid and ours.
        unsafe { activation::depth(self.ctx()) }
    }

    /// Has a task woken when its suspended guest is to end, or deferred work comes up for its store.
    fn wake_when_interrupted(&mut self, waker: &Waker) {
        self.interrupter().set_waker(Some(waker.clone()));
        // Interrupts before that have woken nobody.
        if self.word() != 0 {
            waker.wake_by_ref();
        }
    }

    fn forget_waker(&mut self) {
        if let Some(interrupter) = self.known_interrupter() {
            interrupter.set_waker(None);
        }
    }
}
