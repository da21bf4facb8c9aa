//! A watchdog that only keeps what it is to do: a model asks afterwards.

use crate::interrupt::Interrupter;
use crate::samples::SampleRing;
use crate::sync::{Instant, LazyLock, Mutex};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What is to be done, and when.
#[derive(Default)]
pub struct Watchdog(Mutex<BTreeMap<Key, Task>>);

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub(crate) at: Instant,
    number: usize,
}

/// As in the real one.
pub enum Task {
    /// Look at the deadline.
    Look(Weak<Interrupter>),
    /// Repeat a signal.
    Repeat(Arc<Interrupter>, u64),
    /// Take a sample.
    Tick(Tick),
}

/// As in the real one.
pub struct Tick {
    pub(crate) interrupter: Weak<Interrupter>,
    pub(crate) ring: Weak<SampleRing>,
    pub(crate) interval: Duration,
    pub(crate) series: u64,
    pub(crate) random: u64,
}

impl Tick {
    pub(crate) fn next(&mut self) -> Duration {
        let _ = (&self.interrupter, &self.ring, self.series, self.random);
        self.interval
    }
}

static WATCHDOG: LazyLock<Watchdog> = LazyLock::new(Watchdog::default);

/// The watchdog of this run.
pub fn watchdog() -> &'static Watchdog {
    LazyLock::force(&WATCHDOG)
}

impl Watchdog {
    /// It runs.
    pub fn start(&self) -> bool {
        true
    }

    /// Adds an entry.
    pub fn push(&self, at: Instant, task: Task) -> Key {
        let mut tasks = self.0.lock().expect("no panics here");
        let key = Key { at, number: tasks.len() };
        tasks.insert(key, task);
        key
    }

    /// Takes one out.
    pub fn remove(&self, key: Key) {
        let task = self.0.lock().expect("no panics here").remove(&key);
        drop(task);
    }

    /// How many signals are to be repeated.
    pub fn repeats(&self) -> usize {
        let tasks = self.0.lock().expect("no panics here");
        tasks.values().filter(|task| matches!(task, Task::Repeat(..))).count()
    }

    /// Looks at all deadlines that it is to look at.
    pub fn look(&self) {
        let tasks = std::mem::take(&mut *self.0.lock().expect("no panics here"));
        for (key, task) in tasks {
            if let Task::Look(interrupter) = task
                && let Some(interrupter) = interrupter.upgrade()
            {
                interrupter.look(key);
            }
        }
    }
}
