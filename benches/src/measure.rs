//! Interleaved measurements and their statistics.

use crate::options::{Clock, Options, Result};
use std::time::{Duration, Instant};

/// Does so many units of work, and gives a checksum and the time that it took.
type Run<'a> = dyn FnMut(u64, Clock) -> Result<(i64, Duration)> + 'a;

/// One engine doing the same work as the others.
pub(crate) struct Contender<'a> {
    /// Its name, a column of the table.
    pub(crate) engine: &'static str,
    run: Box<Run<'a>>,
}

impl<'a> Contender<'a> {
    /// `run` does its argument's number of units of work, and returns a checksum of the results.
    pub(crate) fn new(
        engine: &'static str,
        mut run: impl FnMut(u64) -> Result<i64> + 'a,
    ) -> Contender<'a> {
        Contender::timed(engine, move |units, clock| {
            let start = now(clock);
            let sum = run(units)?;
            Ok((sum, now(clock) - start))
        })
    }

    /// The same for work that is done elsewhere, so that `run` says itself how long it took.
    pub(crate) fn timed(
        engine: &'static str,
        run: impl FnMut(u64, Clock) -> Result<(i64, Duration)> + 'a,
    ) -> Contender<'a> {
        Contender { engine, run: Box::new(run) }
    }
}

/// What one engine showed.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) engine: &'static str,
    /// The figure that counts.
    pub(crate) median: f64,
    /// The least that was seen.
    pub(crate) min: f64,
    /// All that was seen, in the order of the rounds.
    pub(crate) samples: Vec<f64>,
}

impl Figure {
    /// The figure of these measurements, of which there is at least one.
    pub(crate) fn of(engine: &'static str, samples: Vec<f64>) -> Figure {
        let (median, min) = median_and_min(samples.clone());
        Figure { engine, median, min, samples }
    }
}

/// One line of a table: one kind of work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// The table in which it stands, of a group that has several. Empty for the first.
    pub(crate) part: String,
    /// Where it lies on the horizontal axis, if the part is a curve.
    pub(crate) x: Option<f64>,
    pub(crate) figures: Vec<Figure>,
}

impl Row {
    /// A row of a group's first table.
    pub(crate) fn new(name: impl Into<String>, figures: Vec<Figure>) -> Row {
        Row { name: name.into(), figures, ..Row::default() }
    }

    /// The same row as a point of a curve.
    pub(crate) fn at(self, curve: &str, x: f64) -> Row {
        Row { part: curve.to_owned(), x: Some(x), ..self }
    }

    /// The figure of an engine.
    pub(crate) fn of(&self, engine: &str) -> Option<&Figure> {
        self.figures.iter().find(|f| f.engine == engine)
    }

    /// Wardian's median divided by a peer's; the median itself if the peer is [`ABSOLUTE`].
    pub(crate) fn ratio(&self, peer: &str) -> Option<f64> {
        if peer == ABSOLUTE {
            return Some(self.of(crate::engines::WARDIAN)?.median);
        }
        self.between(crate::engines::WARDIAN, peer)
    }

    /// One median divided by another.
    pub(crate) fn between(&self, one: &str, other: &str) -> Option<f64> {
        Some(self.of(one)?.median / self.of(other)?.median)
    }

    /// The lower and the upper quartile of that ratio over the rounds. `None` if there were fewer than
    /// three in which both took part.
    pub(crate) fn spread(&self, one: &str, other: &str) -> Option<(f64, f64)> {
        let (one, other) = (&self.of(one)?.samples, &self.of(other)?.samples);
        let mut ratios: Vec<f64> = one.iter().zip(other).map(|(a, b)| a / b).collect();
        ratios.sort_by(f64::total_cmp);
        (ratios.len() >= 3).then(|| (quantile(&ratios, 0.25), quantile(&ratios, 0.75)))
    }

    /// Adds a figure that was not measured here.
    pub(crate) fn add(&mut self, engine: &'static str, value: f64) {
        self.figures.push(Figure::of(engine, vec![value]));
    }
}

/// In the place of a peer: the figure itself counts, in nanoseconds.
pub(crate) const ABSOLUTE: &str = "absolute";

/// What Wardian's figure has beyond a peer's, alone.
pub(crate) fn difference(row: Row, peer: &str) -> Row {
    let peer = row.of(peer).cloned();
    let less = peer.as_ref().map_or((0.0, 0.0), |f| (f.median, f.min));
    let theirs = peer.map(|f| f.samples).unwrap_or_default();
    let wardian = row.figures.iter().filter(|f| f.engine == crate::engines::WARDIAN);
    let figures = wardian.map(|f| Figure {
        engine: f.engine,
        median: f.median - less.0,
        min: f.min - less.1,
        samples: f.samples.iter().zip(&theirs).map(|(one, other)| one - other).collect(),
    });
    Row { figures: figures.collect(), ..row }
}

/// The value below which this part of sorted values lies, interpolated.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = part * (sorted.len() - 1) as f64;
    let below = sorted[at.floor() as usize];
    below + (sorted[at.ceil() as usize] - below) * at.fract()
}

/// The middle value, and the least.
pub(crate) fn median_and_min(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    };
    (median, values[0])
}

/// The geometric mean; none of nothing.
pub(crate) fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let logs: Vec<f64> = values.map(f64::ln).collect();
    let count = logs.len() as f64;
    (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / count).exp())
}

fn now(clock: Clock) -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(match clock {
        Clock::Cpu => ClockId::ThreadCPUTime,
        Clock::Wall => ClockId::Monotonic,
    });
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Rounds of engines that are many times slower than the first; their ratios need no precision.
const ROUNDS_OF_SLOW: usize = 3;

/// Units of work at most, however small they are.
const MOST: u64 = 1 << 24;

/// Nanoseconds for one unit of work: every contender in turn, round after round, every second round
/// in reverse order. The amount of work in a measurement is set by the second contender (the peer).
pub(crate) fn measure(
    options: &Options,
    name: &str,
    mut contenders: Vec<Contender<'_>>,
) -> Result<Row> {
    let at_least = Duration::from_millis(options.sample_ms);
    let peer = 1.min(contenders.len() - 1);
    let units = units_for(at_least, &mut contenders[peer], options.clock)?;

    let mut slow = Vec::new();
    let mut sums = Vec::new();
    for contender in &mut contenders {
        let start = Instant::now();
        sums.push((contender.run)(units, options.clock)?.0);
        slow.push(start.elapsed() > at_least * 4);
    }
    if let Some(other) = sums.iter().position(|s| *s != sums[0]) {
        let (one, two) = (contenders[0].engine, contenders[other].engine);
        return Err(format!("{name}: {one} gives {}, {two} {}", sums[0], sums[other]).into());
    }

    let mut times = vec![Vec::new(); contenders.len()];
    for round in 0..options.rounds {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for i in order {
            if slow[i] && i > peer && round >= ROUNDS_OF_SLOW {
                continue;
            }
            let (_, took) = (contenders[i].run)(units, options.clock)?;
            times[i].push(took.as_secs_f64() * 1e9 / units as f64);
        }
    }
    let figures = contenders.iter().zip(times).map(|(c, times)| Figure::of(c.engine, times));
    Ok(Row::new(name, figures.collect()))
}

/// So many units of work that a measurement takes long enough.
fn units_for(at_least: Duration, contender: &mut Contender<'_>, clock: Clock) -> Result<u64> {
    let mut units = 1;
    loop {
        let (_, took) = (contender.run)(units, clock)?;
        if took >= at_least || units >= MOST {
            return Ok(units);
        }
        // A little beyond, so that it is not doubled for a trifle.
        let factor = at_least.as_secs_f64() / took.as_secs_f64().max(1e-6) * 1.05;
        units = (units as f64 * factor.clamp(1.2, 10.0)).ceil() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::{Figure, Row, difference, geometric_mean, median_and_min};
    use crate::engines::{WARDIAN, WASMTIME};

    #[test]
    fn statistics() {
        assert_eq!(median_and_min(vec![3.0, 1.0, 2.0]), (2.0, 1.0));
        assert_eq!(median_and_min(vec![4.0, 1.0, 2.0, 3.0]), (2.5, 1.0));
        let mean = geometric_mean([2.0, 8.0].into_iter()).unwrap_or_default();
        assert!((mean - 4.0).abs() < 1e-9, "{mean}");
        assert_eq!(geometric_mean(std::iter::empty()), None);
    }
    /// Ratios are of the same round, so that a slow moment of the machine is in both.
    #[test]
    fn spread_of_ratios() {
        let wardian = Figure::of(WARDIAN, vec![1.0, 20.0, 3.0, 4.0, 5.0]);
        let wasmtime = Figure::of(WASMTIME, vec![1.0, 10.0, 1.0, 1.0, 1.0]);
        let row = Row::new("row", vec![wardian, wasmtime]);
        assert_eq!(row.ratio(WASMTIME), Some(4.0));
        assert_eq!(row.spread(WARDIAN, WASMTIME), Some((2.0, 4.0)));
        assert_eq!(difference(row, WASMTIME).figures[0].samples, [0.0, 10.0, 2.0, 3.0, 4.0]);
    }
}
