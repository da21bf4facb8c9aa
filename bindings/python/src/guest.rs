//! Running guests: without the GIL, stopped by Ctrl-C, and with what comes of it as a value or an exception.

use crate::error::{self, PythonError};
use crate::lease::{Data, Here, Shared};
use crate::signals;
use pyo3::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use wardian::{Result, StopReason, StoreContextMut};

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
    let mut lease = shared.take()?;
    shared.engine.reclaim_signals();
    let watch = match lease.is_outermost() {
        true => signals::watch(py, &shared.token)?,
        false => signals::enter(py)?,
    };
    let within = Here((lease.context(), work));
    let done = py.detach(move || {
        let (context, work) = within.into_inner();
        Here(catch_unwind(AssertUnwindSafe(|| work(context))))
    });
    let fired = watch.end(py);
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
    match done.into_inner() {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            if error.stop_reason() == Some(StopReason::Cancelled) {
                // The handler of the signal that stopped it, if one did, raises here.
                py.check_signals()?;
                if !shared.cancelled.load(Ordering::SeqCst)
                    && let Some(failed) = failed
                {
                    return Err(failed);
                }
                if fired {
                    return Err(error::interrupted(py, &error));
                }
            }
            Err(error::raise(py, shared.id, &error))
        }
        Err(payload) => Err(panicked(py, payload)),
    }
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
