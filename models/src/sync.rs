//! The same names as in `crates/wardian-vm/src/sync.rs`, of loom.

pub use loom::sync::{Condvar, Mutex, MutexGuard, atomic};
pub use loom::thread::yield_now;
use std::marker::PhantomData;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Sleeps: another thread has its turn.
pub fn sleep(_: Duration) {
    yield_now();
}

loom::lazy_static! {
    /// Not an atomic of loom's: its value decides nothing but when loops end.
    static ref SECONDS: AtomicU64 = AtomicU64::new(0);
}

/// Time since a run of the model began. Each look at the clock takes a second, so that the same steps take the same
/// time in each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// Now.
    pub fn now() -> Instant {
        Instant(Duration::from_secs(SECONDS.fetch_add(1, Ordering::Relaxed)))
    }

    /// As of std's.
    pub fn checked_add(self, duration: Duration) -> Option<Instant> {
        self.0.checked_add(duration).map(Instant)
    }

    /// As of std's.
    pub fn saturating_duration_since(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        Instant(self.0 + duration)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// A static that is made anew in each run of the model.
pub struct LazyLock<T: 'static>(loom::lazy_static::Lazy<T>);

impl<T: 'static> LazyLock<T> {
    /// One that `init` makes.
    pub const fn new(init: fn() -> T) -> LazyLock<T> {
        LazyLock(loom::lazy_static::Lazy { init, _p: PhantomData })
    }

    /// What it made.
    pub fn force(this: &'static LazyLock<T>) -> &'static T {
        this.0.get()
    }
}
