//! No samples are taken in the models.

/// A ring that is always empty.
#[derive(Debug)]
pub struct SampleRing;

impl SampleRing {
    /// The next series.
    pub fn next_series(&self) -> u64 {
        0
    }

    /// Somebody wants a sample.
    pub fn want(&self) {}
}

/// A number to begin random ones with.
pub fn now() -> u64 {
    0
}
