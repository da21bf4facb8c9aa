//! Calls of guests that may wait, as `python/wardian/_async.py` drives them on an event loop.

use crate::instance::Instance;
use crate::lease::{Done, Exchange, Making, Shared};
use crate::{guest, signals, value};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyBaseException, PyRuntimeError};
use pyo3::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A call of a guest that may wait. It begins with its first poll, and is given up when this is dropped.
#[pyclass(frozen, module = "wardian._wardian")]
pub(crate) struct _AsyncCall {
    shared: Arc<Shared>,
    stage: Mutex<Stage>,
}

enum Stage {
    Begin(Making),
    Running(u64),
    Ended,
}

impl _AsyncCall {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the call, which begins if it has not.
    fn number(&self) -> PyResult<u64> {
        let ended = || PyRuntimeError::new_err("the call has ended already");
        // Not held while the store is taken.
        let stage = std::mem::replace(&mut *self.stage(), Stage::Ended);
        let make = match stage {
            Stage::Begin(make) => make,
            Stage::Running(number) => {
                *self.stage() = Stage::Running(number);
                return Ok(number);
            }
            Stage::Ended => return Err(ended()),
        };
        let number = self.shared.begin(make)?;
        *self.stage() = Stage::Running(number);
        Ok(number)
    }

    fn finished(&self, py: Python<'_>, done: Done) -> PyResult<Py<PyAny>> {
        *self.stage() = Stage::Ended;
        match done {
            Done::Values(values) => value::results(py, self.shared.id, &values),
            Done::Instance(made) => Instance::new(self.shared.id, made).into_py_any(py),
        }
    }
}

/// What Python awaits for a call.
pub(crate) fn awaitable(
    py: Python<'_>,
    store: &Bound<'_, PyAny>,
    shared: Arc<Shared>,
    make: Making,
) -> PyResult<Py<PyAny>> {
    let call = _AsyncCall { shared, stage: Mutex::new(Stage::Begin(make)) };
    let run = py.import("wardian._async")?.getattr("run")?;
    // The store comes along, so that Python's garbage collector sees what is waited for.
    Ok(run.call1((Py::new(py, call)?, store))?.unbind())
}

#[pymethods]
impl _AsyncCall {
    /// Runs the guest until it waits or ends. Gives whether it has ended, with its results, or with what its host function
    /// waits for; that is `None` if the host function was not resumed.
    ///
    /// `resume` says whether what the host function waits for has come; `thrown` is raised in it. `wakeup` is called on
    /// another thread when the call is to be polled, though it has not.
    #[pyo3(signature = (resume, thrown, wakeup))]
    fn poll(
        &self,
        py: Python<'_>,
        resume: bool,
        thrown: Option<Bound<'_, PyBaseException>>,
        wakeup: Py<PyAny>,
    ) -> PyResult<(bool, Option<Py<PyAny>>)> {
        let shared = &*self.shared;
        let number = self.number()?;
        let waker = Waker::from(Arc::new(Wakeup(wakeup)));
        let thrown = thrown.map(|thrown| PyErr::from_value(thrown.into_any()));
        let polled = guest::enter(
            py,
            shared,
            || {
                let polling = shared.poll(number)?;
                exchange(shared, Exchange { resume, thrown, awaited: None });
                Ok(polling)
            },
            |polling| polling.poll(&mut Context::from_waker(&waker)),
        );
        match polled {
            Ok(Poll::Pending) => {
                let left = exchange(shared, Exchange::default());
                Ok((false, left.awaited))
            }
            Ok(Poll::Ready(done)) => Ok((true, Some(self.finished(py, done)?))),
            Err(raised) => {
                *self.stage() = Stage::Ended;
                shared.give_up(number);
                // The guest was stopped before the host function could be reached.
                match exchange(shared, Exchange::default()).thrown {
                    Some(thrown) => {
                        thrown.set_cause(py, Some(raised));
                        Err(thrown)
                    }
                    None => Err(raised),
                }
            }
        }
    }

    /// Gives the call up: ends the guest, if it waits.
    fn close(&self) {
        let stage = std::mem::replace(&mut *self.stage(), Stage::Ended);
        if let Stage::Running(number) = stage {
            self.shared.give_up(number);
        }
    }
}

impl Drop for _AsyncCall {
    fn drop(&mut self) {
        self.close();
    }
}

fn exchange(shared: &Shared, new: Exchange) -> Exchange {
    let mut place = shared.exchange.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *place, new)
}

/// What is called when a call is to be polled.
struct Wakeup(Py<PyAny>);

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        later(self);
    }
}

/// How many wakeups there are now for which the GIL is asked.
static WAKING: AtomicUsize = AtomicUsize::new(0);

/// Whether a wakeup is about to be called.
pub(crate) fn is_waking() -> bool {
    WAKING.load(Ordering::SeqCst) != 0
}

/// Has a wakeup called by a thread for that: who wakes may hold locks, which somebody who has the GIL waits for.
fn later(wakeup: Arc<Wakeup>) {
    /// With how many forks there had been when the thread was started.
    static THREAD: Mutex<Option<(u64, Sender<Arc<Wakeup>>)>> = Mutex::new(None);
    let mut thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner);
    let forks = signals::forks();
    if thread.as_ref().is_none_or(|(of, _)| *of != forks) {
        let (sender, receiver) = channel::<Arc<Wakeup>>();
        let started = std::thread::Builder::new()
            .name("wardian wakeups".into())
            .spawn(move || receiver.into_iter().for_each(|wakeup| call(&wakeup)));
        // Without it calls are only woken by what they wait for.
        if started.is_err() {
            return;
        }
        *thread = Some((forks, sender));
    }
    if let Some((_, sender)) = &*thread {
        let _ = sender.send(wakeup);
    }
}

fn call(wakeup: &Wakeup) {
    WAKING.fetch_add(1, Ordering::SeqCst);
    if !guest::is_ending() {
        Python::try_attach(|py| {
            if let Err(raised) = wakeup.0.call0(py) {
                raised.write_unraisable(py, None);
            }
        });
    }
    WAKING.fetch_sub(1, Ordering::SeqCst);
}
