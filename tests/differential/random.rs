//! Numbers that follow from a seed.

use wardian::ValType;

/// A generator (splitmix64): small, and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, purpose: &str) -> Random {
        let start = purpose.bytes().fold(seed, |a, b| mix(a ^ u64::from(b)));
        Random(start)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Less than `limit`, which is not zero.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// The bits of a number, often of one at which something changes.
    pub(crate) fn bits(&mut self, ty: ValType) -> u128 {
        let any = self.next();
        match (ty, self.below(3)) {
            (ValType::V128, _) => u128::from(any) << 64 | u128::from(self.next()),
            (_, 0) => u128::from(any % 16),
            (_, 1) => u128::from(any),
            (ValType::F32, _) => u128::from(FLOATS[self.below(FLOATS.len())].to_bits()),
            (ValType::F64, _) => u128::from(f64::from(FLOATS[self.below(FLOATS.len())]).to_bits()),
            (ValType::I32, _) => (i32::MIN as u128).wrapping_sub(u128::from(any % 3)),
            _ => (i64::MIN as u128).wrapping_sub(u128::from(any % 3)),
        }
    }
}

const FLOATS: [f32; 9] =
    [0.0, -0.0, 1.0, -1.5, f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, f32::NAN, 2147483648.0];

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
