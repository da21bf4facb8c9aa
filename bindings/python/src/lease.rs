//! Who uses a store: one thread at a time, and only where nothing else of that thread uses it.
//!
//! ```text
//!            take                     a guest calls a host function
//!   Idle  ─────────>  Busy(thread)  ──────────────────────────────>  Calling(thread, caller)
//!         <─────────                <──────────────────────────────        │        ^
//!         the lease is dropped            the callback returns        take │        │ the lease is dropped
//!                                                                          v        │
//!                                                                         Busy(thread)
//! ```
//!
//! In `Idle` nobody borrows the store. In `Calling` the runtime has lent it to a callback, as a [`Caller`] or, to a resolver
//! of imports, as a context, which is there until the callback returns; only that thread gets it. In `Busy` whoever took it
//! has it alone, and everybody else gets an error at once: nobody waits, so nobody waits for ever. Calls that wait have a
//! state of their own, `Waiting`: see `waiting.rs`.

mod waiting;

pub(crate) use waiting::{Done, Lending, Making};

use crate::error;
use crate::registry::Registry;
use pyo3::prelude::*;
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use wardian::{
    AsContextMut, Engine, Store, StoreContextMut, cancel::CancelToken, limits::StoreLimits,
};
use wardian_wasi::WasiCtx;

/// The data of a store.
pub(crate) struct Data {
    pub(crate) limits: StoreLimits,
    pub(crate) wasi: WasiCtx,
    /// The store that it is the data of.
    pub(crate) shared: Weak<Shared>,
    /// The same, of the store of a guest's thread, which nobody else keeps alive.
    pub(crate) owner: Option<Arc<Shared>>,
}

/// What a host function gets.
pub(crate) type Calling<'a> = wardian::Caller<'a, Data>;

/// A store, with what belongs to it.
pub(crate) struct Shared {
    /// Calls that wait, by their numbers. They borrow the store, and so go before it.
    calls: waiting::Calls,
    /// None if the store is that of a guest's thread, which is used there alone.
    store: Option<UnsafeCell<Store<Data>>>,
    state: Mutex<State>,
    /// The number of the store.
    pub(crate) id: u64,
    pub(crate) engine: Engine,
    /// What guests of the store may call.
    pub(crate) registry: Registry,
    /// Cancels the guests of the store.
    pub(crate) token: CancelToken,
    /// Whether the embedder has cancelled them, rather than a signal.
    pub(crate) cancelled: AtomicBool,
    /// What the last callback has raised, if it has: a guest that a signal stops loses it.
    failed: Mutex<Option<PyErr>>,
    /// What a call that waits and its host function say to each other.
    pub(crate) exchange: Mutex<Exchange>,
}

/// Between the poll of a call and the coroutine that its guest waits for.
#[derive(Default)]
pub(crate) struct Exchange {
    /// Whether the coroutine is to be resumed.
    pub(crate) resume: bool,
    /// What is raised in it then.
    pub(crate) thrown: Option<PyErr>,
    /// What it waits for.
    pub(crate) awaited: Option<Py<PyAny>>,
}

// SAFETY: `Store<Data>` is `Send`. The pointer in `state` is only used by the thread that is noted beside it.
unsafe impl Send for Shared {}
// SAFETY: `store` is only reached by `Lease`, of which there is one at a time, as the module's documentation shows.
unsafe impl Sync for Shared {}

#[derive(Clone, Copy)]
enum State {
    Idle,
    /// Of a guest's thread.
    Elsewhere,
    Busy(ThreadId),
    Calling {
        thread: ThreadId,
        loan: Loan,
        serial: u64,
    },
    /// The call with this number waits, and borrows the store.
    Waiting(u64),
}

/// What a callback has been lent.
#[derive(Clone, Copy)]
enum Loan {
    /// A host function.
    Caller(NonNull<Calling<'static>>),
    /// A resolver of imports.
    Context(NonNull<StoreContextMut<'static, Data>>),
}

/// A number for a callback that runs.
fn serial() -> u64 {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

impl Shared {
    pub(crate) fn of(mut store: Store<Data>) -> Arc<Shared> {
        store.enable_snapshots(true);
        let (id, engine, token) = (store.id(), store.engine().clone(), store.cancel_token());
        Arc::new_cyclic(|shared| {
            store.data_mut().shared = shared.clone();
            Shared {
                calls: waiting::Calls::default(),
                store: Some(UnsafeCell::new(store)),
                state: Mutex::new(State::Idle),
                id,
                engine,
                registry: Registry::default(),
                token,
                cancelled: AtomicBool::new(false),
                failed: Mutex::new(None),
                exchange: Mutex::default(),
            }
        })
    }

    /// What belongs to the store of a guest's thread.
    pub(crate) fn of_thread(store: &mut Store<Data>) -> Arc<Shared> {
        store.enable_snapshots(true);
        Arc::new(Shared {
            calls: waiting::Calls::default(),
            store: None,
            state: Mutex::new(State::Elsewhere),
            id: store.id(),
            engine: store.engine().clone(),
            registry: Registry::default(),
            token: store.cancel_token(),
            cancelled: AtomicBool::new(false),
            failed: Mutex::new(None),
            exchange: Mutex::default(),
        })
    }

    /// The store, which it is in whenever there can be a lease on it.
    fn cell(&self) -> &UnsafeCell<Store<Data>> {
        self.store.as_ref().expect("a thread's store is never leased")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_failed(&self, failed: Option<PyErr>) {
        let before = {
            let mut place = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *place, failed)
        };
        drop(before);
    }

    pub(crate) fn take_failed(&self) -> Option<PyErr> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes the store for a use.
    ///
    /// # Errors
    ///
    /// Somebody else uses it.
    pub(crate) fn take(&self) -> PyResult<Lease<'_>> {
        let here = thread::current().id();
        let mut state = self.state();
        match *state {
            State::Idle => {}
            State::Calling { thread, .. } if thread == here => {}
            State::Busy(thread) if thread == here => {
                return Err(error::busy(
                    "the store is in use by this thread already: a listener cannot use the store that it is notified by",
                ));
            }
            State::Elsewhere => {
                return Err(error::busy("the store is that of a thread of the guest's"));
            }
            State::Waiting(_) => {
                return Err(error::busy(
                    "a call of the store waits: await it first, or give each task a store of its own",
                ));
            }
            State::Busy(_) | State::Calling { .. } => {
                return Err(error::busy(
                    "the store is in use by another thread: give each thread a store of its own, or use a lock",
                ));
            }
        }
        let before = std::mem::replace(&mut *state, State::Busy(here));
        Ok(Lease { shared: self, before })
    }

    /// Uses the store for something that runs no guest.
    pub(crate) fn with<R>(&self, work: impl FnOnce(StoreContextMut<'_, Data>) -> R) -> PyResult<R> {
        Ok(work(self.take()?.context()))
    }

    /// Uses the store itself.
    ///
    /// # Errors
    ///
    /// Somebody else uses it, or a guest runs.
    pub(crate) fn idle<R>(&self, work: impl FnOnce(&mut Store<Data>) -> R) -> PyResult<R> {
        let mut lease = self.take()?;
        match lease.store() {
            Some(store) => Ok(work(store)),
            None => Err(error::usage(
                "this cannot be done in a host function: a guest of the store runs",
            )),
        }
    }

    /// Runs a callback, which may use the store by its caller. `work` gets a number by which the caller is found again.
    ///
    /// A guest of the store calls it on this thread, so that the store is `Busy`.
    pub(crate) fn in_callback<R>(
        &self,
        caller: &mut Calling<'_>,
        work: impl FnOnce(u64) -> R,
    ) -> R {
        // The lifetime is that of the call, at whose end the former state is put back.
        self.lent(Loan::Caller(NonNull::from(caller).cast()), work)
    }

    /// Runs a resolver of imports, which may use the store that it is lent.
    pub(crate) fn in_resolver<R>(
        &self,
        context: &mut StoreContextMut<'_, Data>,
        work: impl FnOnce() -> R,
    ) -> R {
        // As above.
        self.lent(Loan::Context(NonNull::from(context).cast()), |_| work())
    }

    fn lent<R>(&self, loan: Loan, work: impl FnOnce(u64) -> R) -> R {
        struct Restore<'a>(&'a Shared, State);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                let here = State::Busy(thread::current().id());
                let inside = std::mem::replace(&mut *self.0.state(), here);
                self.0.end_calls(inside);
                *self.0.state() = self.1;
            }
        }
        let serial = serial();
        let calling = State::Calling { thread: thread::current().id(), loan, serial };
        let before = std::mem::replace(&mut *self.state(), calling);
        let _restore = Restore(self, before);
        work(serial)
    }
}

/// Who has a store so that guests can run.
pub(crate) trait Entry {
    /// Whether no guest of the store runs further out.
    fn is_outermost(&self) -> bool;

    /// The store itself, if nobody borrows it.
    fn store(&mut self) -> Option<&mut Store<Data>>;

    /// Notes whether a signal has stopped the guest; gives whether one has since the call began.
    fn note_fired(&mut self, fired: bool) -> bool;
}

/// The right to use a store, until it is dropped.
pub(crate) struct Lease<'a> {
    shared: &'a Shared,
    before: State,
}

impl Lease<'_> {
    /// The store, or that of the callback that runs.
    pub(crate) fn context(&mut self) -> StoreContextMut<'_, Data> {
        match &mut self.before {
            // SAFETY: the callback that this was lent to has not returned, and runs on this thread, which waits here.
            // It is `Busy`, so nobody else uses the loan, and `&mut self` lets one use it at a time.
            State::Calling { loan, .. } => unsafe { loan.context() },
            // SAFETY: nobody borrows the store: it was idle, and is `Busy` until this is dropped. `&mut self` as above.
            _ => unsafe { (*self.shared.cell().get()).as_context_mut() },
        }
    }

    /// What the callback with this number was called by, if it is the innermost one.
    pub(crate) fn caller(&mut self, number: u64) -> Option<&mut Calling<'static>> {
        match &mut self.before {
            // SAFETY: as in `context`. The lifetime that is invented is not let out: the caller gives nothing that has it, but
            // `repeatable_interrupt`, which is not used here.
            State::Calling { loan: Loan::Caller(caller), serial, .. } if *serial == number => unsafe {
                Some(caller.as_mut())
            },
            _ => None,
        }
    }
}

impl Loan {
    /// # Safety
    ///
    /// The callback has not returned, and nobody else uses what it was lent.
    unsafe fn context<'a>(&mut self) -> StoreContextMut<'a, Data> {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Loan::Caller(caller) => caller.as_mut().as_context_mut(),
                Loan::Context(context) => context.as_mut().as_context_mut(),
            }
        }
    }
}

impl Entry for Lease<'_> {
    fn is_outermost(&self) -> bool {
        matches!(self.before, State::Idle)
    }

    fn store(&mut self) -> Option<&mut Store<Data>> {
        // SAFETY: as in `context`.
        self.is_outermost().then(|| unsafe { &mut *self.shared.cell().get() })
    }

    fn note_fired(&mut self, fired: bool) -> bool {
        fired
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        *self.shared.state() = self.before;
    }
}

/// Lets the closure of [`Python::detach`] have what belongs to this thread.
pub(crate) struct Here<T>(pub(crate) T);

// SAFETY: `detach` calls its closure on the thread that it is called on; `Send` there stands for not touching Python, which
// what is wrapped here does not.
unsafe impl<T> Send for Here<T> {}

impl<T> Here<T> {
    /// By a method, so that a closure captures the whole.
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}
