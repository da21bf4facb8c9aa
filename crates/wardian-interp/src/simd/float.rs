//! Arithmetic on lanes of floats.
//!
//! Lanes are bits; they become floats for an operation only. An operation that gives a NaN gives one
//! that is quiet. Masks instead of branches let all lanes be computed at once.

use super::lanes::{binary, unary};

/// Operations on the bits of one `f32`.
pub(crate) mod single {
    const SIGN: u32 = 1 << (u32::BITS - 1);
    /// From here on all numbers are integers.
    const INTEGERS: f32 = (1u32 << 23) as f32;

    #[inline(always)]
    fn mask(condition: bool) -> u32 {
        u32::from(condition).wrapping_neg()
    }

    #[inline(always)]
    fn choose(mask: u32, a: u32, b: u32) -> u32 {
        (a & mask) | (b & !mask)
    }

    #[inline(always)]
    pub(crate) fn min(a: u32, b: u32) -> u32 {
        let (x, y) = (f32::from_bits(a), f32::from_bits(b));
        let less = choose(mask(x < y), a, b);
        // Of zeros, the negative one.
        let least = choose(mask(x == y), a | b, less);
        choose(mask(x.is_nan() | y.is_nan()), (x + y).to_bits(), least)
    }

    #[inline(always)]
    pub(crate) fn max(a: u32, b: u32) -> u32 {
        let (x, y) = (f32::from_bits(a), f32::from_bits(b));
        let greater = choose(mask(x > y), a, b);
        // Of zeros, the positive one.
        let greatest = choose(mask(x == y), a & b, greater);
        choose(mask(x.is_nan() | y.is_nan()), (x + y).to_bits(), greatest)
    }

    #[inline(always)]
    pub(crate) fn pmin(a: u32, b: u32) -> u32 {
        choose(mask(f32::from_bits(b) < f32::from_bits(a)), b, a)
    }

    #[inline(always)]
    pub(crate) fn pmax(a: u32, b: u32) -> u32 {
        choose(mask(f32::from_bits(a) < f32::from_bits(b)), b, a)
    }

    #[inline(always)]
    pub(crate) fn abs(a: u32) -> u32 {
        a & !SIGN
    }

    #[inline(always)]
    pub(crate) fn neg(a: u32) -> u32 {
        a ^ SIGN
    }

    /// Adding and subtracting a number that leaves no room for fractions rounds, to even if in doubt.
    #[inline(always)]
    fn rounded(magnitude: f32) -> f32 {
        (magnitude + INTEGERS) - INTEGERS
    }

    /// `result` with the sign of `a`, if `a` may have a fraction; else `a`, made quiet if a NaN.
    #[inline(always)]
    fn integral(a: u32, result: f32) -> u32 {
        let x = f32::from_bits(a);
        let signed = abs(result.to_bits()) | (a & SIGN);
        let large = choose(mask(x.is_nan()), (x + x).to_bits(), a);
        choose(mask(f32::from_bits(abs(a)) < INTEGERS), signed, large)
    }

    #[inline(always)]
    pub(crate) fn nearest(a: u32) -> u32 {
        integral(a, rounded(f32::from_bits(abs(a))))
    }

    #[inline(always)]
    pub(crate) fn trunc(a: u32) -> u32 {
        let magnitude = f32::from_bits(abs(a));
        let near = rounded(magnitude);
        integral(a, near - step(near > magnitude))
    }

    #[inline(always)]
    pub(crate) fn floor(a: u32) -> u32 {
        let near = f32::from_bits(nearest(a));
        integral(a, near - step(near > f32::from_bits(a)))
    }

    #[inline(always)]
    pub(crate) fn ceil(a: u32) -> u32 {
        let near = f32::from_bits(nearest(a));
        integral(a, near + step(near < f32::from_bits(a)))
    }

    /// One or zero.
    #[inline(always)]
    fn step(condition: bool) -> f32 {
        f32::from_bits(mask(condition) & f32::to_bits(1.0))
    }
}

/// Operations on the bits of one `f64`.
pub(crate) mod double {
    const SIGN: u64 = 1 << (u64::BITS - 1);
    /// From here on all numbers are integers.
    const INTEGERS: f64 = (1u64 << 52) as f64;

    #[inline(always)]
    fn mask(condition: bool) -> u64 {
        u64::from(condition).wrapping_neg()
    }

    #[inline(always)]
    fn choose(mask: u64, a: u64, b: u64) -> u64 {
        (a & mask) | (b & !mask)
    }

    #[inline(always)]
    pub(crate) fn min(a: u64, b: u64) -> u64 {
        let (x, y) = (f64::from_bits(a), f64::from_bits(b));
        let less = choose(mask(x < y), a, b);
        // Of zeros, the negative one.
        let least = choose(mask(x == y), a | b, less);
        choose(mask(x.is_nan() | y.is_nan()), (x + y).to_bits(), least)
    }

    #[inline(always)]
    pub(crate) fn max(a: u64, b: u64) -> u64 {
        let (x, y) = (f64::from_bits(a), f64::from_bits(b));
        let greater = choose(mask(x > y), a, b);
        // Of zeros, the positive one.
        let greatest = choose(mask(x == y), a & b, greater);
        choose(mask(x.is_nan() | y.is_nan()), (x + y).to_bits(), greatest)
    }

    #[inline(always)]
    pub(crate) fn pmin(a: u64, b: u64) -> u64 {
        choose(mask(f64::from_bits(b) < f64::from_bits(a)), b, a)
    }

    #[inline(always)]
    pub(crate) fn pmax(a: u64, b: u64) -> u64 {
        choose(mask(f64::from_bits(a) < f64::from_bits(b)), b, a)
    }

    #[inline(always)]
    pub(crate) fn abs(a: u64) -> u64 {
        a & !SIGN
    }

    #[inline(always)]
    pub(crate) fn neg(a: u64) -> u64 {
        a ^ SIGN
    }

    /// Adding and subtracting a number that leaves no room for fractions rounds, to even if in doubt.
    #[inline(always)]
    fn rounded(magnitude: f64) -> f64 {
        (magnitude + INTEGERS) - INTEGERS
    }

    /// `result` with the sign of `a`, if `a` may have a fraction; else `a`, made quiet if a NaN.
    #[inline(always)]
    fn integral(a: u64, result: f64) -> u64 {
        let x = f64::from_bits(a);
        let signed = abs(result.to_bits()) | (a & SIGN);
        let large = choose(mask(x.is_nan()), (x + x).to_bits(), a);
        choose(mask(f64::from_bits(abs(a)) < INTEGERS), signed, large)
    }

    #[inline(always)]
    pub(crate) fn nearest(a: u64) -> u64 {
        integral(a, rounded(f64::from_bits(abs(a))))
    }

    #[inline(always)]
    pub(crate) fn trunc(a: u64) -> u64 {
        let magnitude = f64::from_bits(abs(a));
        let near = rounded(magnitude);
        integral(a, near - step(near > magnitude))
    }

    #[inline(always)]
    pub(crate) fn floor(a: u64) -> u64 {
        let near = f64::from_bits(nearest(a));
        integral(a, near - step(near > f64::from_bits(a)))
    }

    #[inline(always)]
    pub(crate) fn ceil(a: u64) -> u64 {
        let near = f64::from_bits(nearest(a));
        integral(a, near + step(near < f64::from_bits(a)))
    }

    /// One or zero.
    #[inline(always)]
    fn step(condition: bool) -> f64 {
        f64::from_bits(mask(condition) & f64::to_bits(1.0))
    }
}

unary! {
    f32x4_abs: u32, 4, single::abs;
    f32x4_neg: u32, 4, single::neg;
    f32x4_ceil: u32, 4, single::ceil;
    f32x4_floor: u32, 4, single::floor;
    f32x4_trunc: u32, 4, single::trunc;
    f32x4_nearest: u32, 4, single::nearest;
    f32x4_sqrt: u32, 4, |a| f32::from_bits(a).sqrt().to_bits();
    f64x2_abs: u64, 2, double::abs;
    f64x2_neg: u64, 2, double::neg;
    f64x2_ceil: u64, 2, double::ceil;
    f64x2_floor: u64, 2, double::floor;
    f64x2_trunc: u64, 2, double::trunc;
    f64x2_nearest: u64, 2, double::nearest;
    f64x2_sqrt: u64, 2, |a| f64::from_bits(a).sqrt().to_bits();
}

binary! {
    f32x4_add: u32, 4, |a, b| (f32::from_bits(a) + f32::from_bits(b)).to_bits();
    f32x4_sub: u32, 4, |a, b| (f32::from_bits(a) - f32::from_bits(b)).to_bits();
    f32x4_mul: u32, 4, |a, b| (f32::from_bits(a) * f32::from_bits(b)).to_bits();
    f32x4_div: u32, 4, |a, b| (f32::from_bits(a) / f32::from_bits(b)).to_bits();
    f32x4_min: u32, 4, single::min;
    f32x4_max: u32, 4, single::max;
    f32x4_pmin: u32, 4, single::pmin;
    f32x4_pmax: u32, 4, single::pmax;
    f64x2_add: u64, 2, |a, b| (f64::from_bits(a) + f64::from_bits(b)).to_bits();
    f64x2_sub: u64, 2, |a, b| (f64::from_bits(a) - f64::from_bits(b)).to_bits();
    f64x2_mul: u64, 2, |a, b| (f64::from_bits(a) * f64::from_bits(b)).to_bits();
    f64x2_div: u64, 2, |a, b| (f64::from_bits(a) / f64::from_bits(b)).to_bits();
    f64x2_min: u64, 2, double::min;
    f64x2_max: u64, 2, double::max;
    f64x2_pmin: u64, 2, double::pmin;
    f64x2_pmax: u64, 2, double::pmax;
}
