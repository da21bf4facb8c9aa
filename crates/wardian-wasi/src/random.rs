//! Random bytes: the host's, or the same ones on every run.

use std::sync::Mutex;

use crate::clock::lock;
use crate::errno::Errno;

/// Where `random_get` takes its bytes.
pub trait RandomSource: Send + Sync {
    /// Fills the buffer. It is asked for at most 64 KiB at a time.
    ///
    /// # Errors
    /// Whatever the guest shall see.
    fn fill(&self, buf: &mut [u8]) -> Result<(), Errno>;
}

/// The host's cryptographic generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl RandomSource for SystemRandom {
    fn fill(&self, buf: &mut [u8]) -> Result<(), Errno> {
        crate::host::random(buf)
    }
}

/// A repeatable sequence, for tests and for replaying a run. **Not random**: the seed determines every byte.
#[derive(Debug)]
pub struct SeededRandom {
    state: Mutex<u64>,
}

impl SeededRandom {
    /// The sequence that belongs to this seed.
    pub fn new(seed: u64) -> SeededRandom {
        SeededRandom { state: Mutex::new(seed) }
    }
}

impl RandomSource for SeededRandom {
    fn fill(&self, buf: &mut [u8]) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        for chunk in buf.chunks_mut(8) {
            let word = splitmix64(&mut state).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

/// SplitMix64: a counter and a mixing function.
fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
