//! How long a thread has worked, which other programs do not lengthen.

use std::time::{Duration, Instant};

/// The time of a processor that this thread has had, for tests that bound how long something works: on a busy machine a thread
/// waits for a processor as long as it works, or many times that.
pub(crate) struct WorkTime {
    worked: Duration,
    began: Instant,
}

impl WorkTime {
    pub(crate) fn start() -> WorkTime {
        WorkTime { worked: of_thread(), began: Instant::now() }
    }

    /// For how long this thread has worked since then.
    pub(crate) fn worked(&self) -> Duration {
        of_thread() - self.worked
    }

    /// The time of the clock since then.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

#[cfg(unix)]
fn of_thread() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has one"))
}

/// The time of the clock: what a test bounds is then more than the work.
#[cfg(windows)]
fn of_thread() -> Duration {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}
