//! CPU-bound guests. Each exports `fn NAME(n: i32) -> i64`: does `n` units of work and returns a
//! checksum of the results, so that engines can be compared for speed and for truth.

mod codec;
mod hash;
mod machine;
mod math;
mod memory;
// In the operators of WebAssembly.
#[cfg(target_feature = "simd128")]
mod simd;
mod text;

/// Numbers that look random, the same on every run (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        (((self.next() >> 32) * u64::from(limit)) >> 32) as u32
    }

    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Mixes a value into a checksum.
pub(crate) fn mix(sum: i64, value: u64) -> i64 {
    ((sum as u64).rotate_left(5) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15) as i64
}
