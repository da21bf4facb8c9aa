//! When calls are timed, and what is known of the time of those that are not.
//!
//! Reading the clock twice takes longer than many a call does. So once a path's calls have proved short, only
//! some of them, chosen at random, are timed, and their times count for those since the one before. This does
//! not miss the rare call that takes long: each event looks at [`Ticks`], which costs nothing. A call that
//! begins as the first event after a tick is timed, and one that saw it move reads the clock at its end.
//!
//! ```text
//!   ticks    ........1........................2......
//!   calls    [x] [ ] [ ] [x] [                  ] [x]     x: both ends read the clock
//!            waiting   ^ stands for two more   ^ its end reads the clock
//! ```
//!
//! **Calls that saw ticks.** When such a call began is not known: the clock may have been read last long
//! before, in its caller. But the times of its ticks are known. From the first one on it ran for sure; to
//! this is added as much as it ran after the last one, in place of what it ran before the first one:
//!
//! ```text
//!   ticks    .......1.......2.......3.......4
//!   call       [                       ]
//!               <-?-><------- sure --->         counted: sure + last
//!                                   <-->  last
//! ```
//!
//! This is right on average, for each length of calls: ticks come when they come, whatever the calls do,
//! so the time from a call's beginning to its first tick is spread just as that from its last tick to its
//! end. A call of 20 ns sees a tick once in 50,000 times, and is then counted as 20 ns on average; the other
//! times it waits to be stood for by one that saw none either. What a single call is counted for is off
//! by a tick at most.

use super::ticks::{TICKS, TickTimes, Ticks};
use quanta::Clock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

/// When calls are on average shorter than this, in nanoseconds, they are no longer all timed,
const SHORT: u64 = 1000;
/// and all again when they are so many times as long. The two limits differ: to change with each long call
/// would make calls of about that length count for too much.
const LONG: u64 = 4;
/// So many calls of a path are timed before it is judged,
const JUDGED: u16 = 256;
/// and of so many the older ones count half.
const REMEMBERED: u16 = 1024;
/// Between two calls that are timed there are less than two to the power of this that are not.
const UNTIMED_BITS: u32 = 5;

/// How all calls of a profile are timed.
pub(super) struct Timing {
    pub(super) clock: Clock,
    ticks: &'static TickTimes,
    every_call: bool,
    /// None if each call is timed, or none is to come.
    ticker: Mutex<Option<Ticks>>,
    /// Mean raw time of calls that need not all be timed; zero if all are.
    short: AtomicU64,
    /// Raw time that a call would take if it took none.
    overhead: u64,
}

impl Timing {
    pub(super) fn new(every_call: bool) -> Timing {
        Timing::of(Clock::new(), &TICKS, every_call)
    }

    fn of(clock: Clock, ticks: &'static TickTimes, every_call: bool) -> Timing {
        let (ticker, short) = (Mutex::new(None), AtomicU64::new(0));
        let mut timing = Timing { clock, ticks, every_call, ticker, short, overhead: 0 };
        timing.overhead = timing.measure_overhead();
        timing
    }

    pub(super) fn times_every_call(&self) -> bool {
        self.every_call
    }

    /// Calls are to come: if not all of them are to be timed, there must be ticks.
    pub(super) fn start(&self) {
        let mut ticker = self.ticker.lock().unwrap_or_else(|e| e.into_inner());
        if self.every_call || ticker.is_some() {
            return;
        }
        *ticker = Ticks::start(&self.clock);
        if ticker.is_some() {
            self.leave_out_some();
        }
    }

    fn leave_out_some(&self) {
        let per_mebi = self.clock.delta_as_nanos(0, 1 << 20).max(1);
        self.short.store((SHORT << 20) / per_mebi, Relaxed);
    }

    /// No calls are to come whose time matters.
    pub(super) fn stop(&self) {
        *self.ticker.lock().unwrap_or_else(|e| e.into_inner()) = None;
    }

    fn measure_overhead(&self) -> u64 {
        let took = |_| {
            let (watch, time) = (Watch::default(), CallTime::default());
            time.begin(self, &watch);
            time.end(self, &watch);
            time.total()
        };
        (0..100).map(took).min().unwrap_or(0)
    }

    pub(super) fn nanoseconds(&self, raw: u64) -> u64 {
        self.clock.delta_as_nanos(0, raw)
    }
}

/// When the calls of a store last read the clock.
#[derive(Default)]
pub(super) struct Watch {
    tick: AtomicU32,
    read: AtomicU64,
    random: AtomicU32,
}

impl Watch {
    #[inline]
    fn read(&self, timing: &Timing, tick: u32) -> u64 {
        let now = timing.clock.raw();
        self.read.store(now, Relaxed);
        self.tick.store(tick, Relaxed);
        now
    }

    /// A number of so many bits (a linear congruential generator, of which the upper bits are good).
    fn random(&self, bits: u32) -> u32 {
        let next = self.random.load(Relaxed).wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random.store(next, Relaxed);
        next >> (32 - bits)
    }
}

/// The time of the calls of one path, of which one may be open. Who writes is up to the tree.
#[derive(Default)]
pub(super) struct CallTime {
    /// When the open call began; if it is not timed, when the clock was last read before: in the same tick.
    start: AtomicU64,
    /// Ticks when it began.
    tick: AtomicU32,
    /// Whether its beginning was timed: see the constants.
    timed: AtomicU8,
    /// Calls not to time, from the next one on.
    wait: AtomicU32,
    /// Ended calls for which the next chosen one counts.
    waiting: AtomicU32,
    /// Whether not all are timed.
    sampled: AtomicBool,
    /// Raw time of ended calls, those that wait aside.
    total: AtomicU64,
    /// Of some of the latest calls that were chosen: their time, and how many they are.
    short: AtomicU64,
    shorts: AtomicU16,
}

const NOT: u8 = 0;
/// It counts for those that wait too.
const CHOSEN: u8 = 1;
/// It began after a tick, and only counts for itself.
const ALONE: u8 = 2;

fn add(cell: &AtomicU64, more: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(more), Relaxed);
}

impl CallTime {
    #[inline]
    pub(super) fn begin(&self, timing: &Timing, watch: &Watch) {
        self.begin_at(Ticks::now(), timing, watch);
    }

    #[inline]
    fn begin_at(&self, tick: u32, timing: &Timing, watch: &Watch) {
        let wait = self.wait.load(Relaxed);
        self.tick.store(tick, Relaxed);
        if wait != 0 && tick == watch.tick.load(Relaxed) {
            self.wait.store(wait - 1, Relaxed);
            self.timed.store(NOT, Relaxed);
            self.start.store(watch.read.load(Relaxed), Relaxed);
        } else {
            self.timed.store(if wait == 0 { CHOSEN } else { ALONE }, Relaxed);
            self.start.store(watch.read(timing, tick), Relaxed);
        }
    }

    #[inline]
    pub(super) fn end(&self, timing: &Timing, watch: &Watch) {
        self.end_at(Ticks::now(), timing, watch);
    }

    #[inline]
    fn end_at(&self, tick: u32, timing: &Timing, watch: &Watch) {
        let is_short = tick == self.tick.load(Relaxed);
        if is_short && self.timed.load(Relaxed) == NOT {
            return self.waiting.store(self.waiting.load(Relaxed).wrapping_add(1), Relaxed);
        }
        self.end_by_clock(tick, is_short, timing, watch);
    }

    /// Apart, so that most ends need not save registers for it.
    #[inline(never)]
    fn end_by_clock(&self, tick: u32, is_short: bool, timing: &Timing, watch: &Watch) {
        let timed = self.timed.load(Relaxed);
        if timed == NOT {
            return self.end_by_ticks(tick, timing, watch);
        }
        let took = watch.read(timing, tick).saturating_sub(self.start.load(Relaxed));
        let took = took.saturating_sub(timing.overhead);
        if is_short && timed == CHOSEN {
            let waiting = self.waiting.load(Relaxed);
            self.waiting.store(0, Relaxed);
            add(&self.total, took.saturating_mul(1 + u64::from(waiting)));
            self.choose_next(took, timing, watch);
        } else {
            add(&self.total, took);
        }
    }

    /// The end of a call that saw ticks, and whose beginning was not timed: see the top.
    #[cold]
    fn end_by_ticks(&self, tick: u32, timing: &Timing, watch: &Watch) {
        let now = watch.read(timing, tick);
        // The clock was read in the same tick before it began, so it took no longer than this.
        let most = now.saturating_sub(self.start.load(Relaxed));
        let since = |time: u64| now.saturating_sub(time).min(most);
        let first = self.tick.load(Relaxed).wrapping_add(1);
        let took = match (timing.ticks.time(first), timing.ticks.time(tick)) {
            (Some(first), Some(last)) => since(first) + since(last),
            // It saw so many that one more does not matter.
            _ => most,
        };
        add(&self.total, took);
    }

    /// Chooses the call that is timed next, after one that took so long.
    #[inline]
    fn choose_next(&self, took: u64, timing: &Timing, watch: &Watch) {
        let mut shorts = self.shorts.load(Relaxed) + 1;
        let mut short = self.short.load(Relaxed).saturating_add(took);
        if shorts >= REMEMBERED {
            (shorts, short) = (shorts / 2, short / 2);
        }
        self.shorts.store(shorts, Relaxed);
        self.short.store(short, Relaxed);
        let limit = timing.short.load(Relaxed).saturating_mul(shorts.into());
        let sampled = match self.sampled.load(Relaxed) {
            true => short < limit.saturating_mul(LONG),
            false => shorts >= JUDGED && short < limit,
        };
        self.sampled.store(sampled, Relaxed);
        if sampled {
            self.wait.store(watch.random(UNTIMED_BITS), Relaxed);
        }
    }

    /// Raw time of calls that have ended.
    pub(super) fn total(&self) -> u64 {
        let mean = self.short.load(Relaxed) / u64::from(self.shorts.load(Relaxed)).max(1);
        let waiting = mean.saturating_mul(self.waiting.load(Relaxed).into());
        self.total.load(Relaxed).saturating_add(waiting)
    }

    /// Raw time of the open call until now.
    pub(super) fn open(&self, now: u64) -> u64 {
        now.saturating_sub(self.start.load(Relaxed))
    }
}

#[cfg(test)]
mod tests;
