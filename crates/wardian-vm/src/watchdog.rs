//! The thread that fires deadlines, repeats signals and requests samples.

use crate::background::{Section, outside};
use crate::interrupt::Interrupter;
use crate::samples::SampleRing;
use crate::torture::{self, Point};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// The state of that thread. Samples are requested by the same thread: a late request does no harm.
#[derive(Default)]
pub(crate) struct Watchdog {
    queue: Mutex<Queue>,
    /// Whether the thread was started.
    running: AtomicBool,
}

/// Tasks by time, the earliest first. An entry is removed when the store that it is for goes.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) tasks: BTreeMap<Key, Task>,
    next: u64,
    /// The thread, which parks until the first task is due.
    thread: Option<Thread>,
}

/// The key of an entry: its time, and a number that is unique among entries of the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) at: Instant,
    number: u64,
}

pub(crate) enum Task {
    Look(Weak<Interrupter>),
    Repeat(Arc<Interrupter>, u64),
    Tick(Tick),
}

/// Samples to be taken.
pub(crate) struct Tick {
    pub(crate) interrupter: Weak<Interrupter>,
    pub(crate) ring: Weak<SampleRing>,
    pub(crate) interval: Duration,
    /// The series of the ring that they are of.
    pub(crate) series: u64,
    /// State of the random numbers (xorshift), never zero.
    pub(crate) random: u64,
}

impl Tick {
    /// Time to the next: the interval, give or take a quarter, so that a guest that does the same again
    /// and again is not always seen at the same point.
    pub(crate) fn next(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.interval * 3 / 4
            + (self.interval / 2).mul_f64((self.random >> 32) as f64 / 2f64.powi(32))
    }

    /// Requests a sample. Returns whether there will be another.
    fn run(&self) -> bool {
        let (Some(interrupter), Some(ring)) = (self.interrupter.upgrade(), self.ring.upgrade())
        else {
            return false;
        };
        ring.is_active() && ring.is_series(self.series) && interrupter.tick(&ring)
    }
}

static WATCHDOG: AtomicPtr<Watchdog> = AtomicPtr::new(std::ptr::null_mut());

/// The watchdog of this process, started on first need. After a fork the child has none of its parent's
/// threads: there a new one takes over what the parent's had to do.
pub(crate) fn watchdog() -> &'static Watchdog {
    // SAFETY: it is null, or was leaked in `start_watchdog`.
    match unsafe { WATCHDOG.load(Ordering::Acquire).as_ref() } {
        Some(watchdog) => watchdog,
        None => start_watchdog(),
    }
}

#[cold]
fn start_watchdog() -> &'static Watchdog {
    static STARTING: Mutex<Option<&'static Watchdog>> = Mutex::new(None);
    extern "C" fn in_child() {
        WATCHDOG.store(std::ptr::null_mut(), Ordering::Release);
    }
    let mut latest = STARTING.lock().unwrap_or_else(|e| e.into_inner());
    // SAFETY: as in `watchdog`.
    if let Some(watchdog) = unsafe { WATCHDOG.load(Ordering::Acquire).as_ref() } {
        return watchdog;
    }
    let mut queue = Queue::default();
    match *latest {
        // SAFETY: the handler does nothing but store to an atomic.
        None => unsafe { crate::system::at_fork(None, None, Some(in_child)) },
        // This process is a child. If another thread of the embedder's held the queue when the parent forked, it is locked here
        // for ever, and what was queued is lost.
        Some(parents) => {
            if let Ok(mut parents) = parents.queue.try_lock() {
                queue = std::mem::take(&mut parents);
                queue.thread = None;
            }
        }
    }
    let watchdog: &'static Watchdog =
        Box::leak(Box::new(Watchdog { queue: Mutex::new(queue), ..Watchdog::default() }));
    *latest = Some(watchdog);
    WATCHDOG.store(std::ptr::from_ref(watchdog).cast_mut(), Ordering::Release);
    watchdog
}

impl Watchdog {
    /// Starts the thread unless it runs. Returns whether it does: the system may refuse a thread, and is
    /// asked again the next time.
    pub(crate) fn start(&'static self) -> bool {
        if self.running.load(Ordering::Acquire) {
            return true;
        }
        let mut queue = self.lock();
        if self.running.load(Ordering::Acquire) {
            return true;
        }
        let thread = std::thread::Builder::new().name("wardian-watchdog".into());
        let started = torture::check(Point::Thread).and_then(|()| thread.spawn(|| self.run()));
        queue.thread = started.ok().map(|handle| handle.thread().clone());
        self.running.store(queue.thread.is_some(), Ordering::Release);
        queue.thread.is_some()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Adds an entry, and starts the thread if that is possible.
    pub(crate) fn push(&'static self, at: Instant, task: Task) -> Key {
        self.start();
        let mut queue = self.lock();
        let key = Key { at, number: queue.next };
        queue.next += 1;
        queue.tasks.insert(key, task);
        let first = queue.tasks.first_key_value().is_some_and(|(first, _)| *first == key);
        // Otherwise the thread wakes up in time anyway.
        if let Some(thread) = queue.thread.as_ref().filter(|_| first) {
            thread.unpark();
        }
        key
    }

    /// Takes an entry out, if it is still there.
    pub(crate) fn remove(&self, key: Key) {
        // Not dropped while the queue is locked: what it holds may have an entry of its own.
        let task = self.lock().tasks.remove(&key);
        drop(task);
    }

    fn run(&'static self) {
        let _section = Section::enter();
        loop {
            let (key, task) = self.next();
            match task {
                Task::Look(interrupter) => {
                    if let Some(interrupter) = interrupter.upgrade() {
                        interrupter.look(key);
                    }
                }
                Task::Repeat(interrupter, reason) => interrupter.repeat(reason),
                Task::Tick(mut tick) if tick.run() => {
                    // If the thread is late, the samples in between are skipped.
                    let next = (key.at + tick.next()).max(Instant::now() + tick.interval / 2);
                    self.push(next, Task::Tick(tick));
                }
                Task::Tick(_) => {}
            }
        }
    }

    fn next(&self) -> (Key, Task) {
        let mut queue = self.lock();
        loop {
            let now = Instant::now();
            let wait = match queue.tasks.first_key_value() {
                None => Duration::from_secs(3600),
                Some((key, _)) if key.at <= now => {
                    return queue.tasks.pop_first().expect("it was just seen");
                }
                Some((key, _)) => key.at - now,
            };
            drop(queue);
            outside(|| std::thread::park_timeout(wait));
            queue = self.lock();
        }
    }
}
