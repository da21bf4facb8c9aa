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
//! In `Idle` nobody borrows the store. In `Calling` the runtime has lent it to a callback, as a [`Caller`], which lies on the
//! stack of that thread until the callback returns; only that thread gets it. In `Busy` whoever took it has it alone, and
//! everybody else gets an error at once: nobody waits, so nobody waits for ever.

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
}

/// What a host function gets.
pub(crate) type Calling<'a> = wardian::Caller<'a, Data>;

/// A store, with what belongs to it.
pub(crate) struct Shared {
    store: UnsafeCell<Store<Data>>,
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
}

// SAFETY: `Store<Data>` is `Send`. The pointer in `state` is only used by the thread that is noted beside it.
unsafe impl Send for Shared {}
// SAFETY: `store` is only reached by `Lease`, of which there is one at a time, as the module's documentation shows.
unsafe impl Sync for Shared {}

#[derive(Clone, Copy)]
enum State {
    Idle,
    Busy(ThreadId),
    Calling { thread: ThreadId, caller: NonNull<Calling<'static>>, serial: u64 },
}

impl Shared {
    pub(crate) fn of(mut store: Store<Data>) -> Arc<Shared> {
        store.enable_snapshots(true);
        let (id, engine, token) = (store.id(), store.engine().clone(), store.cancel_token());
        Arc::new_cyclic(|shared| {
            store.data_mut().shared = shared.clone();
            Shared {
                store: UnsafeCell::new(store),
                state: Mutex::new(State::Idle),
                id,
                engine,
                registry: Registry::default(),
                token,
                cancelled: AtomicBool::new(false),
                failed: Mutex::new(None),
            }
        })
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
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        struct Restore<'a>(&'a Shared, State);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                *self.0.state() = self.1;
            }
        }
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        // The lifetime is that of the call, at whose end the former state is put back.
        let caller = NonNull::from(caller).cast();
        let calling = State::Calling { thread: thread::current().id(), caller, serial };
        let before = std::mem::replace(&mut *self.state(), calling);
        let _restore = Restore(self, before);
        work(serial)
    }
}

/// The right to use a store, until it is dropped.
pub(crate) struct Lease<'a> {
    shared: &'a Shared,
    before: State,
}

impl Lease<'_> {
    /// Whether no guest of the store runs further out.
    pub(crate) fn is_outermost(&self) -> bool {
        matches!(self.before, State::Idle)
    }

    /// The store, or that of the callback that runs.
    pub(crate) fn context(&mut self) -> StoreContextMut<'_, Data> {
        match &mut self.before {
            // SAFETY: the callback that the caller was lent to has not returned, and runs on this thread, which waits here.
            // It is `Busy`, so nobody else uses the caller, and `&mut self` lets one use it at a time.
            State::Calling { caller, .. } => unsafe { caller.as_mut().as_context_mut() },
            // SAFETY: nobody borrows the store: it was idle, and is `Busy` until this is dropped. `&mut self` as above.
            _ => unsafe { (*self.shared.store.get()).as_context_mut() },
        }
    }

    /// The store itself, if no guest runs.
    pub(crate) fn store(&mut self) -> Option<&mut Store<Data>> {
        // SAFETY: as in `context`.
        self.is_outermost().then(|| unsafe { &mut *self.shared.store.get() })
    }

    /// What the callback with this number was called by, if it is the innermost one.
    pub(crate) fn caller(&mut self, number: u64) -> Option<&mut Calling<'static>> {
        match &mut self.before {
            // SAFETY: as in `context`. The lifetime that is invented is not let out: the caller gives nothing that has it, but
            // `repeatable_interrupt`, which is not used here.
            State::Calling { caller, serial, .. } if *serial == number => unsafe {
                Some(caller.as_mut())
            },
            _ => None,
        }
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
