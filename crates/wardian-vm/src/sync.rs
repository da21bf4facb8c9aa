//! What threads share and wait with, where the order of their steps is checked by a model: `models/` has another module
//! of this name, for the same source files.

pub(crate) use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, atomic};
pub(crate) use std::thread::{sleep, yield_now};
pub(crate) use std::time::Instant;
