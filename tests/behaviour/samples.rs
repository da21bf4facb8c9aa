//! Taking samples, and comparing most of them with what is expected.

use std::time::{Duration, Instant};
use wardian::{
    Engine,
    sampler::{ResolvedSample, SampledFrame, Sampler, SamplerOptions},
};

/// How long to wait for samples at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn options() -> SamplerOptions {
    SamplerOptions::new().with_interval(Duration::from_micros(250))
}

pub(crate) fn is_possible(engine: &Engine) -> bool {
    !format!("{:?}", engine.config()).contains("signals: false")
}

/// Runs until there are so many samples.
pub(crate) fn sampled(
    engine: &Engine,
    sampler: &Sampler,
    count: usize,
    mut run: impl FnMut(),
) -> Vec<ResolvedSample> {
    let start = Instant::now();
    let mut all = Vec::new();
    while all.len() < count {
        assert!(start.elapsed() < PATIENCE, "only {} samples came", all.len());
        run();
        let samples = sampler.drain();
        assert_eq!(samples.dropped(), 0);
        for (raw, sample) in samples.iter().zip(samples.resolve(engine)) {
            let host_first = matches!(sample.frames.first(), Some(SampledFrame::Host));
            assert!((host_first || !raw.in_host()) && raw.time() == sample.time);
            all.push(sample);
        }
    }
    assert!(all.is_sorted_by_key(|s| s.time));
    all
}

pub(crate) fn names(sample: &ResolvedSample) -> Vec<String> {
    sample.frames.iter().map(|f| f.to_string()).collect()
}

/// Checks that at least so many of a hundred samples are a stack.
pub(crate) fn mostly(
    samples: &[ResolvedSample],
    percent: usize,
    stack: &[&str],
) -> Result<(), String> {
    let fits = samples.iter().filter(|s| names(s) == stack).count();
    if fits * 100 >= samples.len() * percent {
        return Ok(());
    }
    let others: Vec<_> = samples.iter().map(names).filter(|n| n != stack).take(20).collect();
    Err(format!("{fits} of {} are {stack:?}; others: {others:?}", samples.len()))
}

/// Takes samples until they are as expected: where something else disturbs a guest, some of them may not be.
pub(crate) fn until<R>(mut attempt: impl FnMut() -> Result<R, String>) -> R {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(found) => return found,
            Err(why) => assert!(start.elapsed() < PATIENCE, "{why}"),
        }
    }
}
