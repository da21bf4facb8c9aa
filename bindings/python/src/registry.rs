//! Python objects that guests reach: callables of host functions and listeners.
//!
//! A closure in the runtime has the number of its callable, not the callable: so each reference has one owner, a registry of
//! a store or of a linker, which shows it to Python's garbage collector. Cycles through callbacks are found so.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Callables by their numbers, which no other callable of the process has.
#[derive(Default)]
pub(crate) struct Registry(Mutex<HashMap<u64, Py<PyAny>>>);

/// A number for a callable.
pub(crate) fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Registry {
    /// Never held while Python runs: what is taken out is dropped afterwards.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Py<PyAny>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, number: u64, callable: Py<PyAny>) {
        let replaced = self.lock().insert(number, callable);
        drop(replaced);
    }

    pub(crate) fn remove(&self, number: u64) {
        let removed = self.lock().remove(&number);
        drop(removed);
    }

    pub(crate) fn get(&self, py: Python<'_>, number: u64) -> Option<Py<PyAny>> {
        self.lock().get(&number).map(|callable| callable.clone_ref(py))
    }

    /// Adds what another one has.
    pub(crate) fn add_all(&self, py: Python<'_>, other: &Registry) {
        let all: Vec<_> = other.lock().iter().map(|(n, c)| (*n, c.clone_ref(py))).collect();
        let replaced: Vec<_> = {
            let mut mine = self.lock();
            all.into_iter().filter_map(|(number, callable)| mine.insert(number, callable)).collect()
        };
        drop(replaced);
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Who holds the lock is not to be waited for here. What is not visited is not collected this time.
        match self.0.try_lock() {
            Ok(callables) => callables.values().try_for_each(|callable| visit.call(callable)),
            Err(_) => Ok(()),
        }
    }

    /// Gives up all, so that cycles end.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }
}
