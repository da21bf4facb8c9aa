//! Running guests: without the GIL, stopped by Ctrl-C, and with what comes of it as a value or an exception.

use crate::asynchronous;
use crate::error::{self, PythonError};
use crate::lease::{Data, Entry, Here, Shared};
use crate::signals;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use wardian::{Error, Result, StopReason, StoreContextMut, cancel::CancelToken};

/// Whether the interpreter is about to end: then no guest is run any more.
static ENDING: AtomicBool = AtomicBool::new(false);

/// See [`_end`].
pub(crate) fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// The outermost guests that run, by the numbers of their stores.
fn running() -> MutexGuard<'static, HashMap<u64, CancelToken>> {
    static RUNNING: LazyLock<Mutex<HashMap<u64, CancelToken>>> = LazyLock::new(Mutex::default);
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A guest that is in [`running`].
struct Running(Option<u64>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(store) = self.0 {
            running().remove(&store);
        }
    }
}

/// Called when the interpreter is about to end (`atexit`): stops the guests of daemon threads, and waits until they have left
/// the package.
///
/// Python ends such threads where they next ask for the GIL, by unwinding them (up to 3.13). Frames of Rust and of guests
/// cannot be unwound so: the process would abort.
#[pyfunction]
pub(crate) fn _end(py: Python<'_>) {
    ENDING.store(true, Ordering::SeqCst);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        let left: Vec<CancelToken> = running().values().cloned().collect();
        if left.is_empty() && !asynchronous::is_waking() {
            return;
        }
        py.detach(|| {
            left.iter().for_each(CancelToken::cancel);
            std::thread::sleep(Duration::from_millis(1));
        });
    }
}

/// Runs what may run a guest.
///
/// # Errors
///
/// Somebody else uses the store; the exception of a callback; that of a signal handler that stopped the guest; or what
/// the runtime says.
pub(crate) fn run<R>(
    py: Python<'_>,
    shared: &Shared,
    work: impl FnOnce(StoreContextMut<'_, Data>) -> Result<R>,
) -> PyResult<R> {
    enter(py, shared, || shared.take(), |lease| work(lease.context()))
}

/// The same, for who takes the store in a way of its own.
pub(crate) fn enter<E: Entry, R>(
    py: Python<'_>,
    shared: &Shared,
    take: impl FnOnce() -> PyResult<E>,
    work: impl FnOnce(&mut E) -> Result<R>,
) -> PyResult<R> {
    if is_ending() {
        return Err(PyRuntimeError::new_err("Python is shutting down"));
    }
    // Goes last: until then the interpreter waits.
    let mut here = Running(None);
    let mut lease = take()?;
    if lease.is_outermost() {
        running().insert(shared.id, shared.token.clone());
        here.0 = Some(shared.id);
    }
    shared.engine.reclaim_signals();
    let watch = match lease.is_outermost() {
        true => signals::watch(py, &shared.token)?,
        false => signals::enter(py)?,
    };
    let within = Here((&mut lease, work));
    let done = py.detach(move || {
        let (lease, work) = within.into_inner();
        Here(catch_unwind(AssertUnwindSafe(|| work(lease))))
    });
    let fired = lease.note_fired(watch.end(py));
    // What the callback that was called last has raised: the error of a guest that is to stop replaces it.
    let failed = shared.take_failed();
    if let Some(store) = lease.store().filter(|_| fired) {
        // The signal has had its effect. What the embedder has cancelled stays so.
        store.clear_cancellation();
        if shared.cancelled.load(Ordering::SeqCst) {
            shared.token.cancel();
        }
    }
    drop(lease);
    let done = match done.into_inner() {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failure(py, shared, &error, failed, fired)),
        Err(payload) => Err(panicked(py, payload)),
    };
    drop(here);
    done
}

/// What is to be raised for an error of a guest; `fired` is whether a signal has stopped it.
fn failure(
    py: Python<'_>,
    shared: &Shared,
    error: &Error,
    failed: Option<PyErr>,
    fired: bool,
) -> PyErr {
    if error.stop_reason() == Some(StopReason::Cancelled) {
        // The handler of the signal that stopped it, if one did, raises here.
        if let Err(raised) = py.check_signals() {
            return raised;
        }
        if !shared.cancelled.load(Ordering::SeqCst)
            && let Some(failed) = failed
        {
            return failed;
        }
        if fired {
            return error::interrupted(py, error);
        }
    }
    error::raise(py, shared.id, error)
}

/// What is to be raised for a panic: that of a listener is the listener's exception.
fn panicked(py: Python<'_>, payload: Box<dyn Any + Send>) -> PyErr {
    match payload.downcast::<PythonError>() {
        Ok(failed) => failed.to_err(py),
        Err(payload) => {
            let text = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned());
            error::internal(&text.unwrap_or_else(|| "a panic".to_owned()))
        }
    }
}
