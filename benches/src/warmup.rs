//! How long a tiered engine takes until a guest runs as fast as it ever will.

use crate::cpu::{GUESTS, own};
use crate::drivers::{Drivers, V8};
use crate::engines::WARDIAN;
use crate::measure::{Figure, Row, median_and_min};
use crate::options::{Clock, Options, Result};
use std::time::{Duration, Instant};
use wardian::EngineKind;

/// What one call takes at least, in compiled code: about a millisecond.
const CALL: Duration = Duration::from_millis(1);
/// How long a guest is run: by then everything hot is compiled.
const RUN: Duration = Duration::from_millis(700);
/// So many calls in a row have to be fast, for the most part.
const WINDOW: usize = 5;
/// How much slower than the steady state is fast.
const TOLERANCE: f64 = 1.05;
/// Each round of each row takes some two seconds.
const MOST_ROUNDS: usize = 15;

/// One row for every guest. Each round has a new engine, or process, in which nothing is compiled.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let options = Options { clock: Clock::Wall, ..options.clone() };
    let (mut store, instance) = own(EngineKind::Compiled, GUESTS)?;
    let names: Vec<String> =
        instance.module(&store).exports().map(|(name, _)| name.to_owned()).collect();
    let mut rows = Vec::new();
    for name in names.iter().filter(|name| options.wants(name)) {
        let Ok(compiled) = instance.typed_func::<i32, i64>(&mut store, name) else { continue };
        let units = units_of(|units| Ok(compiled.call(&mut store, units)?))?;
        let (mut tiered, mut v8) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds.min(MOST_ROUNDS) {
            let (mut store, instance) = own(EngineKind::Tiered, GUESTS)?;
            let f = instance.typed_func::<i32, i64>(&mut store, name)?;
            tiered.push(until_steady(|| {
                let began = Instant::now();
                f.call(&mut store, units)?;
                Ok(began.elapsed())
            })?);
            let drivers = Drivers::v8(&options, GUESTS)?;
            if let Some(mut driver) = drivers.first() {
                v8.push(until_steady(|| Ok(driver.call(name, units as u64)?.1))?);
            }
        }
        let all = [(WARDIAN, tiered), (V8, v8)].into_iter().filter(|(_, times)| !times.is_empty());
        let figures = all.map(|(engine, times)| Figure::of(engine, times)).collect();
        rows.push(Row::new(name, figures));
    }
    Ok(rows)
}

/// So many units of work that a call takes long enough to be timed.
fn units_of(mut call: impl FnMut(i32) -> Result<i64>) -> Result<i32> {
    let mut units = 1;
    loop {
        let began = Instant::now();
        call(units)?;
        if began.elapsed() >= CALL {
            return Ok(units);
        }
        units *= 2;
    }
}

/// Nanoseconds of all calls before the first of some that are, for the most part, as fast as those at the end.
fn until_steady(mut call: impl FnMut() -> Result<Duration>) -> Result<f64> {
    let (mut times, began) = (Vec::new(), Instant::now());
    while began.elapsed() < RUN || times.len() < 4 * WINDOW {
        times.push(call()?.as_nanos() as f64);
    }
    let (steady, _) = median_and_min(times[times.len() * 2 / 3..].to_vec());
    let is_fast = |window: &[f64]| median_and_min(window.to_vec()).0 <= steady * TOLERANCE;
    let first = times.windows(WINDOW).position(is_fast).unwrap_or(times.len());
    // The first call always counts: the earliest that speed can be seen is when it has returned.
    Ok(times[..first.max(1)].iter().sum())
}
