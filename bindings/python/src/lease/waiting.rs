//! Calls that wait: who has a store between two polls of a call by `call_async`.
//!
//! ```text
//!            begin                     pending            poll              ready, or given up
//!   before ─────────> Waiting(call) <───────────  Busy  <──────  Waiting  ─────────────────────> before
//! ```
//!
//! The future of a call borrows the store, or the caller of the host function in which it was made, for as long as there is
//! the future. It is kept here and not by Python, so that it goes before what it borrows: [`Shared`] drops it before the store,
//! and [`Lending`] before the caller.
//!
//! Calls nest: a host function that waits may make a call that waits. What is so inside of a host function is kept by its
//! [`Lending`] while other Python code runs, and is in force whenever the host function's own code runs.

use super::{Calling, Data, Entry, Loan, Shared, State, serial};
use crate::error;
use pyo3::prelude::*;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use wardian::{Result, Store, StoreContextMut, Val};

/// What a call that may wait gives.
pub(crate) enum Done {
    Values(Vec<Val>),
    Instance(wardian::Instance),
}

/// A call that may wait.
pub(crate) type Future = Pin<Box<dyn std::future::Future<Output = Result<Done>> + Send>>;

/// Makes the future of a call; it is given the store for as long as there is the future.
pub(crate) type Making = Box<dyn FnOnce(StoreContextMut<'static, Data>) -> Future + Send>;

/// The calls of a store that wait and are not being polled.
#[derive(Default)]
pub(super) struct Calls(Mutex<HashMap<u64, Call>>);

struct Call {
    future: Future,
    /// What was before the call, and comes after it.
    before: State,
    /// Whether a signal has stopped it.
    fired: bool,
}

impl Calls {
    fn put(&self, number: u64, call: Call) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number, call);
    }

    fn take(&self, number: u64) -> Option<Call> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number)
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // The innermost first: it borrows what those around it have.
        let calls = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        while let Some(last) = calls.keys().max().copied() {
            drop(calls.remove(&last));
        }
    }
}

impl Shared {
    /// Begins a call that may wait. Nothing of it has run: see [`Shared::poll`]. Gives the number of the call.
    ///
    /// # Errors
    ///
    /// Somebody else uses the store.
    pub(crate) fn begin(&self, make: Making) -> PyResult<u64> {
        let number = crate::registry::number();
        let mut lease = self.take()?;
        let before = lease.before;
        // SAFETY: the future keeps the store until it is dropped: before the store is, and before the callback returns that
        // was lent it, as the module's documentation shows. Until then the state is `Waiting`, or `Busy` while it is
        // polled, so nobody else gets the store.
        let context = unsafe {
            std::mem::transmute::<StoreContextMut<'_, Data>, StoreContextMut<'static, Data>>(
                lease.context(),
            )
        };
        self.calls.put(number, Call { future: make(context), before, fired: false });
        // What the end of the lease makes it.
        lease.before = State::Waiting(number);
        Ok(number)
    }

    /// Takes the store for a poll of a call.
    ///
    /// # Errors
    ///
    /// Somebody else uses the store, or another call waits that was made in this one.
    pub(crate) fn poll(&self, number: u64) -> PyResult<Polling<'_>> {
        let mut state = self.state();
        let call = match *state {
            State::Waiting(waiting) if waiting == number => self.calls.take(number),
            _ => None,
        };
        let call = call.ok_or_else(|| error::busy("the store of a call that waits is in use"))?;
        *state = State::Busy(thread::current().id());
        let Call { future, before, fired } = call;
        Ok(Polling { shared: self, number, future: Some(future), before, fired })
    }

    /// Gives up a call that waits, if nobody uses its store: its guest is ended. Otherwise whoever has lent the store does it.
    pub(crate) fn give_up(&self, number: u64) {
        if let Ok(mut polling) = self.poll(number) {
            drop(polling.future.take());
        }
    }
}

impl Shared {
    /// Gives up the calls that wait in a callback, which has ended: they borrow what it was lent. Gives what was before them.
    pub(super) fn end_calls(&self, mut inside: State) -> State {
        while let State::Waiting(number) = inside {
            let call = self.calls.take(number).expect("a call that waits is kept");
            inside = call.before;
            drop(call.future);
        }
        inside
    }
}

impl State {
    /// The same, on this thread.
    fn here(self) -> State {
        match self {
            State::Calling { loan, serial, .. } => {
                State::Calling { thread: thread::current().id(), loan, serial }
            }
            other => other,
        }
    }
}

/// The right to poll a call, until it is dropped.
pub(crate) struct Polling<'a> {
    shared: &'a Shared,
    number: u64,
    /// None if the call has ended.
    future: Option<Future>,
    before: State,
    fired: bool,
}

impl Polling<'_> {
    /// Runs the guest until it waits, or ends.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Result<Poll<Done>> {
        // It is gone after a panic.
        let mut future = self.future.take().expect("a call is polled until it has ended");
        match future.as_mut().poll(context) {
            Poll::Pending => {
                self.future = Some(future);
                Ok(Poll::Pending)
            }
            Poll::Ready(done) => done.map(Poll::Ready),
        }
    }
}

impl Entry for Polling<'_> {
    fn is_outermost(&self) -> bool {
        matches!(self.before, State::Idle)
    }

    fn store(&mut self) -> Option<&mut Store<Data>> {
        let free = self.is_outermost() && self.future.is_none();
        // SAFETY: nobody borrows the store: it was idle before the call, which has ended, and it is `Busy` until this is
        // dropped. `&mut self` lets one use it at a time.
        free.then(|| unsafe { &mut *self.shared.cell().get() })
    }

    fn note_fired(&mut self, fired: bool) -> bool {
        self.fired |= fired;
        self.fired
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        let state = match self.future.take() {
            Some(future) => {
                let Polling { before, fired, .. } = *self;
                self.shared.calls.put(self.number, Call { future, before, fired });
                State::Waiting(self.number)
            }
            None => self.before.here(),
        };
        *self.shared.state() = state;
    }
}

/// The caller of a host function that may wait, which is lent to its Python code whenever that runs.
pub(crate) struct Lending<'a> {
    /// Made of a box, whose contents do not move.
    caller: NonNull<Calling<'static>>,
    /// What is so inside of the host function.
    inside: State,
    serial: u64,
    lifetime: PhantomData<Calling<'a>>,
}

// SAFETY: callers are `Send`, and the pointer is used by who polls or drops the host function's future.
unsafe impl Send for Lending<'_> {}

impl<'a> Lending<'a> {
    pub(crate) fn new(caller: Calling<'a>) -> Lending<'a> {
        let caller = NonNull::from(Box::leak(Box::new(caller))).cast();
        let (serial, thread) = (serial(), thread::current().id());
        let inside = State::Calling { thread, loan: Loan::Caller(caller), serial };
        Lending { caller, inside, serial, lifetime: PhantomData }
    }

    /// Runs Python code of the host function. `work` gets a number by which the caller is found again.
    ///
    /// The host function's future is polled or dropped on this thread, so that the store is `Busy`.
    pub(crate) fn run<R>(&mut self, shared: &Shared, work: impl FnOnce(u64) -> R) -> R {
        struct Swap<'a>(&'a Shared, &'a mut State);
        impl Drop for Swap<'_> {
            fn drop(&mut self) {
                std::mem::swap(&mut *self.0.state(), self.1);
            }
        }
        let serial = self.serial;
        self.inside = self.inside.here();
        std::mem::swap(&mut *shared.state(), &mut self.inside);
        let _swap = Swap(shared, &mut self.inside);
        work(serial)
    }

    /// The host function has ended: gives up calls that it has made and that wait.
    pub(crate) fn end(&mut self, shared: &Shared) {
        self.inside = shared.end_calls(self.inside);
    }
}

impl Drop for Lending<'_> {
    fn drop(&mut self) {
        // SAFETY: it is the box of `new`. Calls that borrow it are gone: `end`.
        drop(unsafe { Box::from_raw(self.caller.as_ptr().cast::<Calling<'_>>()) });
    }
}
