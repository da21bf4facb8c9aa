//! When calls are timed, and what is known of the time of those that are not.
//!
//! Reading the clock twice takes longer than many a call does. So once a path's calls have proved short,
//! only some of them, chosen at random, are timed, and stand for those since the one before. This does
//! not miss the rare call that takes long: each event looks at [`Ticks`], which costs nothing, and a call
//! that saw it move is timed whatever it is: from the last time that anything read the clock, which was
//! less than a tick before it began.
//!
//! ```text
//!   ticks    ........1........................2......
//!   calls    [x] [ ] [ ] [x] [                  ] [x]     x: both ends read the clock
//!            waiting   ^ stands for two more   ^ its end reads the clock
//! ```

use super::ticks::Ticks;
use quanta::Clock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// When calls are on average shorter than this, in nanoseconds, they are no longer all timed,
const SHORT: u64 = 1000;
/// and all again when they are so many times as long. Between is room: to change with each long call
/// would make those near it count for too much.
const LONG: u64 = 4;
/// So many calls of a path are timed before it is judged,
const JUDGED: u64 = 256;
/// and of so many the older ones count half.
const REMEMBERED: u64 = 1024;
/// Between two calls that are timed there are less than two to the power of this that are not.
const UNTIMED_BITS: u32 = 5;

/// How all calls of a profile are timed.
pub(super) struct Timing {
    pub(super) clock: Clock,
    /// None if each call is timed.
    _ticks: Option<Ticks>,
    /// Mean raw time of calls that need not all be timed; zero if all are.
    short: u64,
    /// Raw time that a call would take if it took none.
    overhead: u64,
}

impl Timing {
    pub(super) fn new(every_call: bool) -> Timing {
        Timing::of(Clock::new(), every_call)
    }

    fn of(clock: Clock, every_call: bool) -> Timing {
        let ticks = if every_call { None } else { Ticks::start() };
        let per_mebi = clock.delta_as_nanos(0, 1 << 20).max(1);
        let short = if ticks.is_some() { (SHORT << 20) / per_mebi } else { 0 };
        let mut timing = Timing { clock, _ticks: ticks, short, overhead: 0 };
        timing.overhead = timing.measure_overhead();
        timing
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
    /// When the open call began; if it is not timed, when the clock was last read before.
    start: AtomicU64,
    /// Ticks when it began.
    tick: AtomicU32,
    /// Whether its beginning was timed: see the constants.
    timed: AtomicU32,
    /// Calls not to time, from the next one on.
    wait: AtomicU32,
    /// Ended calls that the next one to be chosen stands for.
    waiting: AtomicU32,
    /// Whether not all are timed.
    sampled: AtomicBool,
    /// Raw time of ended calls, those that wait aside.
    total: AtomicU64,
    /// Of some of the latest calls that were chosen: their time, and how many they are.
    short: AtomicU64,
    shorts: AtomicU32,
}

const NOT: u32 = 0;
/// It stands for those that wait too.
const CHOSEN: u32 = 1;
/// It began after a tick, and only stands for itself.
const ALONE: u32 = 2;

fn add(cell: &AtomicU64, more: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(more), Relaxed);
}

impl CallTime {
    #[inline]
    pub(super) fn begin(&self, timing: &Timing, watch: &Watch) {
        let tick = Ticks::now();
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
        let tick = Ticks::now();
        let is_short = tick == self.tick.load(Relaxed);
        let timed = self.timed.load(Relaxed);
        if is_short && timed == NOT {
            return self.waiting.store(self.waiting.load(Relaxed).wrapping_add(1), Relaxed);
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

    /// Chooses the call that is timed next, after one that took so long.
    #[inline]
    fn choose_next(&self, took: u64, timing: &Timing, watch: &Watch) {
        let mut shorts = self.shorts.load(Relaxed) + 1;
        let mut short = self.short.load(Relaxed).saturating_add(took);
        if u64::from(shorts) >= REMEMBERED {
            (shorts, short) = (shorts / 2, short / 2);
        }
        self.shorts.store(shorts, Relaxed);
        self.short.store(short, Relaxed);
        let limit = timing.short.saturating_mul(shorts.into());
        let sampled = match self.sampled.load(Relaxed) {
            true => short < limit.saturating_mul(LONG),
            false => u64::from(shorts) >= JUDGED && short < limit,
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
mod tests {
    use super::{CallTime, Timing, Watch};
    use quanta::Clock;

    /// Calls in turns of two paths, and how much of their time is known in the end, in percent.
    fn known(every_call: bool, calls: u64, took: impl Fn(u64) -> u64) -> f64 {
        let (clock, mock) = Clock::mock();
        let timing = Timing::of(clock, every_call);
        let (watch, outer, inner) = (Watch::default(), CallTime::default(), CallTime::default());
        let mut truth = 0;
        for call in 0..calls {
            outer.begin(&timing, &watch);
            mock.increment(3);
            inner.begin(&timing, &watch);
            mock.increment(took(call));
            truth += took(call);
            inner.end(&timing, &watch);
            mock.increment(2);
            outer.end(&timing, &watch);
            mock.increment(50);
        }
        let of_both = outer.total() as f64 / (truth + 5 * calls) as f64;
        assert!((of_both - 1.0).abs() < 0.05, "{of_both}");
        100.0 * inner.total() as f64 / truth as f64
    }

    #[test]
    fn estimates() {
        type Took = fn(u64) -> u64;
        let cases: [(&str, Took); 5] = [
            ("all alike", |_| 20),
            ("in turns", |call| if call % 2 == 0 { 10 } else { 30 }),
            ("some long", |call| if call % 100 == 0 { 5_000 } else { 20 }),
            ("short first", |call| if call < 100_000 { 20 } else { 20_000 }),
            ("long first", |call| if call < 100_000 { 20_000 } else { 20 }),
        ];
        for (name, took) in cases {
            let all = known(true, 200_000, took);
            assert!((all - 100.0).abs() < 0.001, "{name}: {all}");
            let some = known(false, 200_000, took);
            assert!((some - 100.0).abs() < 5.0, "{name}: {some}");
            eprintln!("{name}: {some}");
        }
    }
}
