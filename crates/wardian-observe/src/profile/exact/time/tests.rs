//! Estimates against the truth, with a clock and ticks that the tests move.

use super::{CallTime, TickTimes, Timing, Watch};
use quanta::{Clock, Mock};
use std::sync::Arc;

struct World {
    timing: Timing,
    watch: Watch,
    ticks: &'static TickTimes,
    mock: Arc<Mock>,
    now: u64,
    next_tick: u64,
    random: u64,
}

impl World {
    fn new(every_call: bool, seed: u32) -> World {
        let (clock, mock) = Clock::mock();
        let ticks = Box::leak(Box::new(TickTimes::new()));
        let timing = Timing::of(clock, ticks, every_call);
        if !every_call {
            timing.leave_out_some();
        }
        let watch = Watch { random: seed.into(), ..Watch::default() };
        World { timing, watch, ticks, mock, now: 0, next_tick: 1, random: seed.into() }
    }

    /// Lets time pass. Ticks come after a millisecond or somewhat more.
    fn pass(&mut self, nanoseconds: u64) {
        let end = self.now + nanoseconds;
        while self.next_tick <= end {
            self.mock.increment(self.next_tick - self.now);
            self.now = self.next_tick;
            self.ticks.tick(self.timing.clock.raw());
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            self.next_tick += 1_000_000 + (self.random >> 32) % 300_000;
        }
        self.mock.increment(end - self.now);
        self.now = end;
    }

    fn begin(&self, call: &CallTime) {
        call.begin_at(self.ticks.now(), &self.timing, &self.watch);
    }

    fn end(&self, call: &CallTime) {
        call.end_at(self.ticks.now(), &self.timing, &self.watch);
    }
}

/// What calls do: how many there are, how long the caller computes before it calls, and how long the
/// callee takes.
struct Case {
    name: &'static str,
    calls: u64,
    before: fn(u64) -> u64,
    took: fn(u64) -> u64,
}

/// A path that calls another one; how much of the time of both is known in the end, and how much it was.
fn run(case: &Case, every_call: bool, seed: u32) -> [u64; 4] {
    let mut world = World::new(every_call, seed);
    let (outer, inner) = (CallTime::default(), CallTime::default());
    let (mut of_outer, mut of_inner) = (0, 0);
    for call in 0..case.calls {
        let (before, took) = ((case.before)(call), (case.took)(call));
        world.begin(&outer);
        world.pass(before);
        world.begin(&inner);
        world.pass(took);
        world.end(&inner);
        world.pass(2);
        world.end(&outer);
        world.pass(50);
        of_inner += took;
        of_outer += before + took + 2;
    }
    [outer.total(), of_outer, inner.total(), of_inner]
}

/// The shares that are known, in some runs that differ by chance.
fn known(case: &Case, every_call: bool) -> (f64, f64) {
    let mut sums = [0.0; 4];
    for seed in 1..=RUNS {
        let run = run(case, every_call, seed);
        sums.iter_mut().zip(run).for_each(|(sum, more)| *sum += more as f64);
    }
    (sums[0] / sums[1], sums[2] / sums[3])
}

/// So many that chance cancels out.
const RUNS: u32 = 10;

const MANY: u64 = 200_000;

const CASES: &[Case] = &[
    Case { name: "all alike", calls: MANY, before: |_| 3, took: |_| 20 },
    Case { name: "in turns", calls: MANY, before: |_| 3, took: |n| 10 + 20 * (n % 2) },
    Case {
        name: "some long",
        calls: 5 * MANY,
        before: |_| 3,
        took: |n| if n % 100 == 0 { 5_000 } else { 20 },
    },
    Case {
        name: "some very long",
        calls: MANY,
        before: |_| 300,
        took: |n| if n % 50 == 7 { 30_000 } else { 100 },
    },
    Case {
        name: "short first",
        calls: MANY,
        before: |_| 3,
        took: |n| if n < MANY / 2 { 20 } else { 20_000 },
    },
    Case {
        name: "long first",
        calls: MANY,
        before: |_| 3,
        took: |n| if n < MANY / 2 { 20_000 } else { 20 },
    },
    // The caller's time is not the callee's, though a tick may come in its few calls.
    Case { name: "sparse", calls: MANY, before: |_| 700_000, took: |_| 900 },
    Case { name: "less sparse", calls: MANY, before: |n| n % 200 * 1_000, took: |_| 700 },
    Case { name: "computing callers", calls: MANY, before: |_| 3_000, took: |_| 500 },
    // Of these calls one takes five percent of the time.
    Case {
        name: "one of 5 ms",
        calls: 1_000_000,
        before: |_| 30,
        took: |n| if n == 567_890 { 5_000_000 } else { 100 },
    },
    Case {
        name: "one of a second",
        calls: MANY,
        before: |_| 30,
        took: |n| if n == 123_456 { 1_000_000_000 } else { 100 },
    },
];

#[test]
fn every_call_timed_is_exact() {
    for case in CASES {
        let (outer, inner) = known(case, true);
        let right = |known: f64| (known - 1.0).abs() < 0.000_01;
        assert!(right(outer) && right(inner), "{}: {outer} {inner}", case.name);
    }
}

#[test]
fn estimates_are_near() {
    for case in CASES {
        let (outer, inner) = known(case, false);
        eprintln!("{}: {outer} {inner}", case.name);
        let near = |known: f64| (known - 1.0).abs() < 0.03;
        assert!(near(outer) && near(inner), "{}: {outer} {inner}", case.name);
    }
}

#[test]
fn single_calls_are_off_by_a_tick_at_most() {
    // A path of short calls, of which the last takes long: from less to many more ticks than are kept.
    for took in [50_000, 900_000, 2_000_000, 33_000_000, 400_000_000, 3_000_000_000] {
        let mut world = World::new(false, 1);
        let (path, mut before) = (CallTime::default(), 0);
        for _ in 0..5_000 {
            world.begin(&path);
            world.pass(100);
            world.end(&path);
            world.pass(100);
            before = path.total();
        }
        world.begin(&path);
        world.pass(took);
        world.end(&path);
        let counted = path.total() - before;
        assert!(counted.abs_diff(took) < 1_400_000, "{took}: {counted}");
    }
}

#[test]
fn ticks_come_while_calls_do() {
    let timing = Timing::new(false);
    let has_ticker = || timing.ticker.lock().expect("nobody panicked").is_some();
    assert!(!has_ticker());
    timing.start();
    timing.start();
    assert!(has_ticker());
    let (start, before) = (std::time::Instant::now(), timing.ticks.now());
    while timing.ticks.now() == before {
        assert!(start.elapsed().as_secs() < 60, "no tick came");
        std::thread::yield_now();
    }
    let last = timing.ticks.time(timing.ticks.now()).expect("it was just now");
    assert!(timing.nanoseconds(timing.clock.raw().saturating_sub(last)) < 60_000_000_000);
    timing.stop();
    assert!(!has_ticker());
    let every = Timing::new(true);
    every.start();
    assert!(every.ticker.lock().expect("nobody panicked").is_none());
}
