//! Coroutines of Python that guests wait for.
//!
//! The coroutine of a host function runs as part of the task that awaits the call of the guest: it is resumed by the poll of
//! the call, and what it waits for is passed on to the event loop by `python/wardian/_async.py`. So a cancellation, a
//! timeout and the context variables of the task are those of the coroutine.

use crate::callback::Callback;
use crate::caller::Caller;
use crate::error::PythonError;
use crate::lease::{Calling, Lending, Shared};
use crate::{guest, registry, signals, value};
use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll};
use wardian::{Error, Val};

/// What a guest waits for.
pub(crate) struct Driving<'a> {
    shared: Weak<Shared>,
    callback: Arc<Callback>,
    lending: Lending<'a>,
    /// What the coroutine has got as caller, if it has.
    caller: Option<Py<Caller>>,
    stage: Stage,
}

enum Stage {
    /// With these arguments.
    Begin(Vec<Val>),
    /// The coroutine is in the registry of the store, which shows it to Python's garbage collector, under this number.
    Running(u64),
    Ended,
}

impl<'a> Driving<'a> {
    pub(crate) fn new(callback: Arc<Callback>, caller: Calling<'a>, params: Vec<Val>) -> Self {
        let shared = caller.data().shared.clone();
        let lending = Lending::new(caller);
        Driving { shared, callback, lending, caller: None, stage: Stage::Begin(params) }
    }

    /// Runs the coroutine until it waits or ends; gives what it returns.
    fn advance<'py>(
        &mut self,
        py: Python<'py>,
        shared: &Arc<Shared>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (number, thrown) = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Begin(params) => (self.begin(py, shared, &params)?, None),
            Stage::Running(number) => {
                self.stage = Stage::Running(number);
                let mut exchange = shared.exchange.lock().unwrap_or_else(PoisonError::into_inner);
                let thrown = exchange.thrown.take();
                if !std::mem::take(&mut exchange.resume) && thrown.is_none() {
                    return Ok(None);
                }
                (number, thrown)
            }
            Stage::Ended => return Err(PyTypeError::new_err("a coroutine has ended already")),
        };
        let coroutine = self.callback.callable(py, shared, number)?;
        let sent = self.lending.run(shared, |_| match &thrown {
            None => coroutine.call_method1(py, "send", (py.None(),)),
            Some(thrown) => coroutine.call_method1(py, "throw", (thrown.value(py),)),
        });
        match sent {
            Ok(awaited) => {
                shared.exchange.lock().unwrap_or_else(PoisonError::into_inner).awaited =
                    Some(awaited);
                Ok(None)
            }
            Err(ended) => {
                self.end(py, shared);
                if !ended.is_instance_of::<PyStopIteration>(py) {
                    return Err(ended);
                }
                ended.value(py).getattr("value").map(Some)
            }
        }
    }

    /// Makes the coroutine; gives its number.
    fn begin(&mut self, py: Python<'_>, shared: &Arc<Shared>, params: &[Val]) -> PyResult<u64> {
        let callable = self.callback.callable(py, shared, self.callback.number)?;
        let mut arguments = Vec::with_capacity(params.len() + 1);
        for param in params {
            arguments.push(value::to_python(py, shared.id, param)?);
        }
        let with_caller = self.callback.access_caller;
        let place = &mut self.caller;
        let coroutine = self.lending.run(shared, |serial| {
            if with_caller {
                let caller = Py::new(py, Caller::new(shared, serial))?;
                arguments.insert(0, caller.clone_ref(py).into_any());
                *place = Some(caller);
            }
            callable.call1(py, PyTuple::new(py, arguments)?)
        })?;
        let number = registry::number();
        shared.registry.add(number, coroutine);
        self.stage = Stage::Running(number);
        Ok(number)
    }

    /// The coroutine has ended, or is given up.
    fn end(&mut self, py: Python<'_>, shared: &Arc<Shared>) {
        if let Stage::Running(number) = std::mem::replace(&mut self.stage, Stage::Ended) {
            if let Some(coroutine) = shared.registry.get(py, number) {
                // One that has ended ignores it.
                let closed =
                    self.lending.run(shared, |_| coroutine.call_method0(py, "close")).map(drop);
                closed.unwrap_or_else(|raised| raised.write_unraisable(py, None));
            }
            shared.registry.remove(number);
        }
        if let Some(caller) = self.caller.take() {
            caller.get().end();
        }
    }

    /// What is to become of the guest.
    fn step(&mut self, py: Python<'_>, shared: &Arc<Shared>) -> Poll<wardian::Result<Vec<Val>>> {
        let paused = signals::pause(py);
        let done = self.advance(py, shared).and_then(|returned| {
            returned.map(|result| self.callback.results(shared, &result)).transpose()
        });
        shared.engine.reclaim_signals();
        match paused.end(py).and(done) {
            Ok(None) => Poll::Pending,
            Ok(Some(results)) => {
                shared.set_failed(None);
                Poll::Ready(Ok(results))
            }
            Err(raised) => {
                shared.set_failed(Some(raised.clone_ref(py)));
                Poll::Ready(Err(Error::host(PythonError::new(raised))))
            }
        }
    }
}

impl std::future::Future for Driving<'_> {
    type Output = wardian::Result<Vec<Val>>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let me = self.get_mut();
        let Some(shared) = me.shared.upgrade() else {
            return Poll::Ready(Err(Error::host("the store is being dropped")));
        };
        let ending = || Poll::Ready(Err(Error::host("Python is shutting down")));
        if guest::is_ending() {
            return ending();
        }
        Python::try_attach(|py| me.step(py, &shared)).unwrap_or_else(ending)
    }
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            // Python has no more of it when it shuts down.
            let _ = Python::try_attach(|py| self.end(py, &shared));
            self.lending.end(&shared);
        }
    }
}
