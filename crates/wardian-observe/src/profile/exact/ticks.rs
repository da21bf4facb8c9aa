//! A coarse time that costs one load: a number that grows by one about every millisecond.
//!
//! Reading the processor's time stamp counter costs as much as a small call (17 ns on a virtual machine).
//! A call that sees the same number at its beginning and its end was short without reading any clock.
//!
//! One thread counts for all profilers of the process, as long as there are any.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

const PERIOD: Duration = Duration::from_millis(1);

/// As long as there is one, the number grows.
pub(super) struct Ticks(#[expect(dead_code, reason = "held for its count")] Arc<Ticker>);

struct Ticker;

static NOW: AtomicU32 = AtomicU32::new(1);
static TICKER: Mutex<Weak<Ticker>> = Mutex::new(Weak::new());

impl Ticks {
    /// None if there can be no thread for it.
    pub(super) fn start() -> Option<Ticks> {
        let mut running = TICKER.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(ticker) = running.upgrade() {
            return Some(Ticks(ticker));
        }
        let ticker = Arc::new(Ticker);
        let alive = Arc::downgrade(&ticker);
        let count = move || {
            while alive.strong_count() > 0 {
                std::thread::sleep(PERIOD);
                NOW.fetch_add(1, Ordering::Relaxed);
            }
        };
        std::thread::Builder::new().name("wardian-ticks".into()).spawn(count).ok()?;
        *running = Arc::downgrade(&ticker);
        Some(Ticks(ticker))
    }

    /// The number of now.
    #[inline]
    pub(super) fn now() -> u32 {
        NOW.load(Ordering::Relaxed)
    }
}
