//! Interleaved measurements and their statistics.

use crate::options::{Clock, Options, Result};
use std::time::{Duration, Instant};

/// One engine doing the same work as the others.
pub(crate) struct Contender<'a> {
    /// Its name, a column of the table.
    pub(crate) engine: &'static str,
    run: Box<dyn FnMut(u64) -> Result<i64> + 'a>,
}

impl<'a> Contender<'a> {
    /// `run` does its argument's number of units of work, and returns a checksum of the results.
    pub(crate) fn new(
        engine: &'static str,
        run: impl FnMut(u64) -> Result<i64> + 'a,
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
}

/// One line of a table: one kind of work.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) figures: Vec<Figure>,
}

impl Row {
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

    /// Adds a figure that was not measured here.
    pub(crate) fn add(&mut self, engine: &'static str, value: f64) {
        self.figures.push(Figure { engine, median: value, min: value });
    }
}

/// In the place of a peer: the figure itself counts, in nanoseconds.
pub(crate) const ABSOLUTE: &str = "absolute";

/// What Wardian's figure has beyond a peer's, alone.
pub(crate) fn difference(row: Row, peer: &str) -> Row {
    let less = row.of(peer).map_or((0.0, 0.0), |f| (f.median, f.min));
    let wardian = row.figures.iter().filter(|f| f.engine == crate::engines::WARDIAN);
    let figures = wardian.map(|f| Figure {
        engine: f.engine,
        median: f.median - less.0,
        min: f.min - less.1,
    });
    Row { figures: figures.collect(), name: row.name }
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
    let mut units = 1;
    loop {
        let start = now(options.clock);
        (contenders[peer].run)(units)?;
        let took = now(options.clock) - start;
        if took >= at_least || units >= MOST {
            break;
        }
        // A little beyond, so that it is not doubled for a trifle.
        let factor = at_least.as_secs_f64() / took.as_secs_f64().max(1e-6) * 1.05;
        units = (units as f64 * factor.clamp(1.2, 10.0)).ceil() as u64;
    }

    let mut slow = Vec::new();
    let mut sums = Vec::new();
    for contender in &mut contenders {
        let start = Instant::now();
        sums.push((contender.run)(units)?);
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
            let start = now(options.clock);
            (contenders[i].run)(units)?;
            times[i].push((now(options.clock) - start).as_secs_f64() * 1e9 / units as f64);
        }
    }
    let figures = contenders.iter().zip(times).map(|(contender, times)| {
        let (median, min) = median_and_min(times);
        Figure { engine: contender.engine, median, min }
    });
    Ok(Row { name: name.to_owned(), figures: figures.collect() })
}

#[cfg(test)]
mod tests {
    use super::{geometric_mean, median_and_min};

    #[test]
    fn statistics() {
        assert_eq!(median_and_min(vec![3.0, 1.0, 2.0]), (2.0, 1.0));
        assert_eq!(median_and_min(vec![4.0, 1.0, 2.0, 3.0]), (2.5, 1.0));
        let mean = geometric_mean([2.0, 8.0].into_iter()).unwrap_or_default();
        assert!((mean - 4.0).abs() < 1e-9, "{mean}");
        assert_eq!(geometric_mean(std::iter::empty()), None);
    }
}
