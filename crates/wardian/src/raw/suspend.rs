//! Host functions that cannot answer yet: their guest is suspended and goes on later, perhaps on
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

use super::host::HostDef;
use super::store::{StoreData, StoreInner};
use crate::error::PanicPayload;
use crate::value::sealed::List;
use crate::value::{HostParams, HostResults, WasmParams, WasmResults};
use crate::{AbortReason, Caller, Error, ErrorKind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use wardian_types::FuncType;
use wardian_vm::activation::{self, Suspended};
use wardian_vm::layout::HostFunc;

use super::call::Callable;

/// What a host function's future does in the end: it writes its results into its slots.
type Answer = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A suspended guest with the future it waits for.
pub(crate) struct Paused {
    guest: Suspended,
    answer: Answer,
}

/// The future of an asynchronous host function.
pub type HostFuture<'a, R> = Pin<Box<dyn Future<Output = R> + Send + 'a>>;

impl HostDef {
    /// An asynchronous host function with Rust parameter and result types.
    pub(crate) fn asynchronous<T, P, R, F>(closure: F) -> HostDef
    where
        T: Send + 'static,
        P: HostParams + 'static,
        R: HostResults + 'static,
        F: for<'a> Fn(Caller<'a, T>, P) -> HostFuture<'a, R> + Send + Sync + 'static,
    {
        let ty = FuncType::new(P::types(), R::Values::types());
        let dispatch: super::host::Dispatch = dispatch::<T, P, R, F>;
        HostDef::new::<T>(ty, dispatch as usize, Box::new(closure))
    }
}

/// A pointer that a future may carry to another thread, together with the store it belongs to.
struct Carried<V>(*mut V);
// SAFETY: it points into a store, or to its wasm stack, and is used only by who has that store.
unsafe impl<V> Send for Carried<V> {}

unsafe extern "C" fn dispatch<T, P, R, F>(host: *mut HostFunc, slots: *mut u64) -> u64
where
    T: Send + 'static,
    P: HostParams + 'static,
    R: HostResults + 'static,
    F: for<'a> Fn(Caller<'a, T>, P) -> HostFuture<'a, R> + Send + Sync + 'static,
{
    // SAFETY: compiled code passes the record of a function made by `HostDef::asynchronous` with
    // these very types. The closure lives as long as its store.
    unsafe {
        let owner = (*(*host).store).owner as *mut StoreData<T>;
        let started = catch_unwind(AssertUnwindSafe(|| {
            let closure = &*((*host).data as *const F);
            let caller = super::host::caller::<T>(host, slots);
            let count = super::host::slots_of::<P, R>();
            let params = P::read_list(caller.inner(), std::slice::from_raw_parts(slots, count));
            let future = closure(caller, params);
            let target = Carried(slots);
            let store = Carried(owner);
            let answer = async move {
                let (target, store) = (target, store);
                let results = future.await.into_result()?;
                write_answer::<T, R>(results, &store, &target)
            };
            // The future borrows the store for as long as its guest waits, which no lifetime can
            // say; the invariant above makes it true.
            let answer: Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> = Box::pin(answer);
            let answer: Answer = std::mem::transmute(answer);
            start(owner, answer)
        }));
        let error = match started {
            Ok(Ok(())) => return 0,
            Ok(Err(error)) => error,
            Err(panic) => Error::new(ErrorKind::Panic(PanicPayload::new(panic))),
        };
        (*owner).inner.fail(error);
        1
    }
}

/// # Safety
///
/// The slots are those of a host function of the store whose guest waits, with room for the results.
unsafe fn write_answer<T: 'static, R: HostResults>(
    results: R::Values,
    store: &Carried<StoreData<T>>,
    slots: &Carried<u64>,
) -> Result<()> {
    // SAFETY: the caller's promise; nobody else uses the store while a future of it is polled.
    unsafe {
        let inner = &mut (*store.0).inner;
        if R::Values::HAS_EXTERNS {
            inner.collect_if_due();
        }
        results.write_list(inner, std::slice::from_raw_parts_mut(slots.0, R::Values::SLOTS))
    }
}

/// Polls a future for the first time; if it is not ready, suspends its guest.
///
/// # Safety
///
/// `owner` is the store whose guest is calling.
unsafe fn start<T: 'static>(owner: *mut StoreData<T>, mut answer: Answer) -> Result<()> {
    // SAFETY: the caller's promise. The waker was put there by `call_async`, which waits for this.
    unsafe {
        let ctx = (*owner).inner.ctx();
        let waker = (*owner).inner.waker.clone();
        let depth = (*owner).inner.async_depth;
        let may_suspend = depth != 0 && depth == activation::depth(ctx);
        let waker = waker.filter(|_| may_suspend).unwrap_or_else(|| Waker::noop().clone());
        match answer.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => done,
            Poll::Pending if may_suspend => {
                let guest = Suspended::new(ctx);
                (*owner).inner.paused = Some(Paused { guest, answer });
                Err(Error::new(ErrorKind::Suspended))
            }
            Poll::Pending => Err(Error::usage(
                "an asynchronous host function has to wait, but its guest was called with `call`: \
                 use `call_async`",
            )),
        }
    }
}

/// A guest's call that may be suspended.
pub(crate) struct AsyncCall<'a, T: 'static> {
    store: &'a mut StoreData<T>,
    callable: Callable,
    slots: Vec<u64>,
    paused: Option<Paused>,
    started: bool,
    /// How many calls of listeners were open before.
    open: usize,
}

impl<T: 'static> Drop for AsyncCall<'_, T> {
    fn drop(&mut self) {
        // The guest's frames are given up, and with them the calls that listeners know of. The
        // future goes first: it may hold guests of its own.
        if self.paused.take().is_some() {
            let done = self.store.inner.abort_to(self.open, &AbortReason::Abandoned);
            if let Err(panic) = done
                && !std::thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl<'a, T: 'static> AsyncCall<'a, T> {
    /// The call of a function with Rust values; the types were checked when the handle was made.
    pub(crate) fn new<P: WasmParams, R: WasmResults>(
        store: &'a mut StoreData<T>,
        callable: Callable,
        params: P,
    ) -> Result<AsyncCall<'a, T>> {
        store.inner.collect_if_due();
        let mut slots = vec![0; P::SLOTS.max(R::SLOTS).max(1)];
        params.write_list(&mut store.inner, &mut slots)?;
        let open = store.inner.open.len();
        Ok(AsyncCall { store, callable, slots, paused: None, started: false, open })
    }

    /// Runs the guest until it returns or waits.
    pub(crate) fn poll(&mut self, context: &Context<'_>) -> Poll<Result<()>> {
        let depth = self.store.inner.depth() + 1;
        let before = (
            std::mem::replace(&mut self.store.inner.async_depth, depth),
            self.store.inner.waker.replace(context.waker().clone()),
        );
        let done = catch_unwind(AssertUnwindSafe(|| self.step(context)));
        // Also after a panic: else a plain call could be suspended, with nobody to go on with it.
        (self.store.inner.async_depth, self.store.inner.waker) = before;
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn step(&mut self, context: &Context<'_>) -> Poll<Result<()>> {
        let slots = self.slots.as_mut_ptr();
        let done = if !self.started {
            self.started = true;
            // SAFETY: the slots fit the signature, by `new`.
            unsafe { self.store.invoke(self.callable, slots) }
        } else {
            let Some(paused) = self.paused.take() else {
                return Poll::Ready(Err(Error::usage("the call has ended already")));
            };
            // SAFETY: the guest was suspended by this call, in this nesting, and is resumed once.
            match unsafe { self.store.go_on(paused, slots, context, self.callable, self.open) } {
                Ok(done) => done,
                Err(paused) => {
                    self.paused = Some(paused);
                    return Poll::Pending;
                }
            }
        };
        match done {
            Err(error) if matches!(error.kind(), ErrorKind::Suspended) => {
                self.paused = self.store.inner.paused.take();
                Poll::Pending
            }
            done => Poll::Ready(done),
        }
    }

    /// The results, after the call has returned.
    pub(crate) fn results<R: WasmResults>(&self) -> R {
        R::read_list(&self.store.inner, &self.slots)
    }
}

impl<T: 'static> StoreData<T> {
    /// Polls what a guest waits for and, if that is ready, goes on in the guest.
    ///
    /// # Safety
    ///
    /// The guest was suspended in this store by a call of `callable`, in the same nesting of entries;
    /// `slots` fits its results.
    unsafe fn go_on(
        &mut self,
        paused: Paused,
        slots: *mut u64,
        context: &Context<'_>,
        callable: Callable,
        open: usize,
    ) -> Result<Result<()>, Paused> {
        let Paused { guest, mut answer } = paused;
        let ctx = self.inner.ctx();
        // SAFETY: the promise above. What the future uses of the store it reaches through
        // `owner`, derived from `self`, which is not used meanwhile.
        let polled = unsafe {
            let outer = (*ctx).owner;
            (*ctx).owner = std::ptr::from_mut(self) as usize;
            let mut waker = Context::from_waker(context.waker());
            let polled = catch_unwind(AssertUnwindSafe(|| {
                guest.as_host(ctx, || answer.as_mut().poll(&mut waker))
            }));
            (*ctx).owner = outer;
            polled
        };
        let answered = match polled {
            Ok(Poll::Pending) => return Err(Paused { guest, answer }),
            Ok(Poll::Ready(Ok(()))) => self.inner.end_waiting(Ok(())),
            Ok(Poll::Ready(Err(error))) => {
                let told = self.inner.end_waiting(Err(&error));
                return Ok(self.fail(told.map_or_else(panicked, |()| error), open));
            }
            Err(panic) => Err(panic),
        };
        // It may hold the store; the guest comes next.
        drop(answer);
        if let Err(panic) = answered {
            return Ok(self.fail(panicked(panic), open));
        }
        // SAFETY: as above; the future has written the results.
        Ok(unsafe { self.resume(guest, callable, slots, open) })
    }
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Error {
    Error::new(ErrorKind::Panic(PanicPayload::new(panic)))
}

impl StoreInner {
    /// How deeply guests are nested now.
    fn depth(&self) -> u64 {
        // SAFETY: the context is valid and ours.
        unsafe { activation::depth(self.ctx()) }
    }
}
