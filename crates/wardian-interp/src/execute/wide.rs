//! Wide arithmetic: integers of 128 bits in two slots.

use super::state::{State, handlers};
use crate::op;
use crate::operand::Far;

impl State {
    /// The value of two slots, the low half first.
    #[inline(always)]
    unsafe fn pair(&self, low: Far, high: Far) -> u128 {
        // SAFETY: slots of the frame.
        unsafe { u128::from(*self.far(low)) | u128::from(*self.far(high)) << 64 }
    }

    /// Writes a value to a slot and the one behind it.
    #[inline(always)]
    unsafe fn set_pair(&self, d: Far, value: u128) {
        // SAFETY: as above.
        unsafe {
            let slot = self.far(d);
            *slot = value as u64;
            *slot.add(1) = (value >> 64) as u64;
        }
    }
}

handlers! {
    fn i64_add128(s, op::i64_add128 { d, a, b, c, e }) {
        s.set_pair(d, s.pair(a, b).wrapping_add(s.pair(c, e)));
        s.go()
    }

    fn i64_sub128(s, op::i64_sub128 { d, a, b, c, e }) {
        s.set_pair(d, s.pair(a, b).wrapping_sub(s.pair(c, e)));
        s.go()
    }

    fn i64_mul_wide_s(s, op::i64_mul_wide_s { d, a, b }) {
        let [a, b] = [a, b].map(|slot| i128::from(*s.far(slot) as i64));
        s.set_pair(d, a.wrapping_mul(b) as u128);
        s.go()
    }

    fn i64_mul_wide_u(s, op::i64_mul_wide_u { d, a, b }) {
        let [a, b] = [a, b].map(|slot| u128::from(*s.far(slot)));
        s.set_pair(d, a.wrapping_mul(b));
        s.go()
    }
}
