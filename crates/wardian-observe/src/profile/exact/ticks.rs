//! A coarse time that costs one load: a number that grows by one about every millisecond.
//!
//! Reading the processor's time stamp counter costs as much as a small call (17 ns on a virtual machine).
//! A call that sees the same number at its beginning and its end was short without reading any clock.
//! When the number grew is known too, for those that saw it.
//!
//! One thread counts for all profilers of the process, as long as there are any that count calls.

use quanta::Clock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

const PERIOD: Duration = Duration::from_millis(1);
/// Of so many of the latest ticks it is known when they were.
const KNOWN: usize = 1024;

/// As long as there is one, the number grows.
pub(super) struct Ticks(#[expect(dead_code, reason = "held for its count")] Arc<Ticker>);

struct Ticker;

/// The ticks that [`Ticks`] make.
pub(super) static TICKS: TickTimes = TickTimes::new();
/// Who makes them holds it meanwhile, so that there is one at a time.
static TICKER: Mutex<Weak<Ticker>> = Mutex::new(Weak::new());

impl Ticks {
    /// None if there can be no thread for it.
    pub(super) fn start(clock: &Clock) -> Option<Ticks> {
        let mut running = TICKER.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(ticker) = running.upgrade() {
            return Some(Ticks(ticker));
        }
        let ticker = Arc::new(Ticker);
        let (alive, clock) = (Arc::downgrade(&ticker), clock.clone());
        let count = move || tick_while(&alive, &clock);
        std::thread::Builder::new().name("wardian-ticks".into()).spawn(count).ok()?;
        *running = Arc::downgrade(&ticker);
        Some(Ticks(ticker))
    }

    /// The number of now.
    #[inline]
    pub(super) fn now() -> u32 {
        TICKS.now()
    }
}

fn tick_while(alive: &Weak<Ticker>, clock: &Clock) {
    loop {
        std::thread::sleep(PERIOD);
        let _alone = TICKER.lock().unwrap_or_else(|e| e.into_inner());
        if alive.strong_count() == 0 {
            return;
        }
        TICKS.tick(clock.raw());
    }
}

/// How many ticks there were, and when the latest of them were, as raw times of the clock.
pub(super) struct TickTimes {
    now: AtomicU32,
    times: [AtomicU64; KNOWN],
}

impl TickTimes {
    pub(super) const fn new() -> TickTimes {
        TickTimes { now: AtomicU32::new(1), times: [const { AtomicU64::new(0) }; KNOWN] }
    }

    /// Makes one. Only for one thread at a time.
    pub(super) fn tick(&self, time: u64) {
        let next = self.now.load(Ordering::Relaxed).wrapping_add(1);
        self.times[next as usize % KNOWN].store(time, Ordering::Relaxed);
        self.now.store(next, Ordering::Release);
    }

    /// The number of the last one.
    #[inline]
    pub(super) fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// When one was whose number was seen, unless that is too long ago.
    pub(super) fn time(&self, tick: u32) -> Option<u64> {
        // Sees at least what a load before it saw, and with the number its time.
        let age = self.now.load(Ordering::Acquire).wrapping_sub(tick);
        // The rest is room for those that come meanwhile.
        let known = age < KNOWN as u32 / 2;
        known.then(|| self.times[tick as usize % KNOWN].load(Ordering::Relaxed))
    }
}
