//! Narrow lanes, computed with many at a time in words of 64 bits.
//!
//! What would carry from one lane into the next is kept apart: the highest bits of lanes are computed
//! without carry, from those of the operands.

use super::lanes::Lanes;

/// Lanes of `W` bits, 8 or 16, in a word.
#[derive(Clone, Copy)]
pub(super) struct Packed<const W: u32>(pub(super) u64);

impl<const W: u32> Packed<W> {
    /// One in each lane.
    const ONES: u64 = u64::MAX / ((1 << W) - 1);
    /// The highest bit of each lane.
    const HIGH: u64 = Self::ONES << (W - 1);

    /// `lane` in each lane.
    #[inline(always)]
    pub(super) fn splat(lane: u64) -> Self {
        Packed(lane.wrapping_mul(Self::ONES))
    }

    #[inline(always)]
    pub(super) fn add(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        Packed((a & !Self::HIGH).wrapping_add(b & !Self::HIGH) ^ ((a ^ b) & Self::HIGH))
    }

    #[inline(always)]
    pub(super) fn sub(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        Packed((a | Self::HIGH).wrapping_sub(b & !Self::HIGH) ^ ((a ^ !b) & Self::HIGH))
    }

    /// All ones in lanes whose highest bit is set, else all zeros.
    #[inline(always)]
    pub(super) fn spread(self) -> Self {
        let bits = (self.0 & Self::HIGH) >> (W - 1);
        Packed((bits << W).wrapping_sub(bits))
    }

    /// Lanes of `a` where the mask is set, else of `b`.
    #[inline(always)]
    pub(super) fn choose(self, a: Self, b: Self) -> Self {
        Packed((a.0 & self.0) | (b.0 & !self.0))
    }

    #[inline(always)]
    pub(super) fn not(self) -> Self {
        Packed(!self.0)
    }

    #[inline(always)]
    pub(super) fn equal(self, other: Self) -> Self {
        let differing = self.0 ^ other.0;
        let any = (differing & !Self::HIGH).wrapping_add(!Self::HIGH) | differing;
        Packed::<W>(!any).spread()
    }

    /// Whether a lane is less than the other one, without signs.
    #[inline(always)]
    pub(super) fn below(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        let difference = self.sub(other).0;
        // The highest bits of what the subtractions borrow.
        Packed::<W>((!a & b) | (!(a ^ b) & difference)).spread()
    }

    /// Whether a lane is less than the other one, with signs.
    #[inline(always)]
    pub(super) fn less(self, other: Self) -> Self {
        Packed::<W>(self.0 ^ Self::HIGH).below(Packed(other.0 ^ Self::HIGH))
    }

    #[inline(always)]
    pub(super) fn abs(self) -> Self {
        let mask = self.spread();
        Packed::<W>(self.0 ^ mask.0).sub(mask)
    }

    #[inline(always)]
    pub(super) fn add_sat_u(self, other: Self) -> Self {
        let (a, b, sum) = (self.0, other.0, self.add(other).0);
        let carry = Packed::<W>((a & b) | ((a | b) & !sum)).spread();
        Packed(sum | carry.0)
    }

    #[inline(always)]
    pub(super) fn sub_sat_u(self, other: Self) -> Self {
        Packed(self.sub(other).0 & !self.below(other).0)
    }

    #[inline(always)]
    pub(super) fn add_sat_s(self, other: Self) -> Self {
        let sum = self.add(other);
        let overflow = !(self.0 ^ other.0) & (self.0 ^ sum.0);
        self.limited(overflow, sum)
    }

    #[inline(always)]
    pub(super) fn sub_sat_s(self, other: Self) -> Self {
        let difference = self.sub(other);
        let overflow = (self.0 ^ other.0) & (self.0 ^ difference.0);
        self.limited(overflow, difference)
    }

    /// `result`, or the limit on this number's side where the highest bit of `overflow` is set.
    #[inline(always)]
    fn limited(self, overflow: u64, result: Self) -> Self {
        let limit = Packed(self.spread().0 ^ !Self::HIGH);
        Packed::<W>(overflow).spread().choose(limit, result)
    }

    /// The mean, rounded up.
    #[inline(always)]
    pub(super) fn mean(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        Packed::<W>(a | b).sub(Packed(((a ^ b) >> 1) & !Self::HIGH))
    }

    #[inline(always)]
    pub(super) fn shl(self, n: u32) -> Self {
        let kept = (u64::MAX >> (64 - W) << n) & (u64::MAX >> (64 - W));
        Packed((self.0 << n) & Self::splat(kept).0)
    }

    #[inline(always)]
    pub(super) fn shr_u(self, n: u32) -> Self {
        Packed((self.0 >> n) & Self::splat(u64::MAX >> (64 - W) >> n).0)
    }

    #[inline(always)]
    pub(super) fn shr_s(self, n: u32) -> Self {
        let sign = Self::splat(1 << (W - 1 - n));
        Packed::<W>(self.shr_u(n).0 ^ sign.0).sub(sign)
    }

    /// Whether no lane is zero.
    #[inline(always)]
    pub(super) fn all(self) -> bool {
        self.0.wrapping_sub(Self::ONES) & !self.0 & Self::HIGH == 0
    }

    /// The highest bits of the lanes, lowest lane first.
    #[inline(always)]
    pub(super) fn bitmask(self) -> u32 {
        // Lane i's bit is at W * i + W - 1; one of these factors, and only one, takes it to
        // 64 - lanes + i without meeting another one.
        let mut factor = 0;
        for k in 0..64 / W {
            factor |= 1u64 << ((W - 1) * k);
        }
        ((self.0 & Self::HIGH).wrapping_mul(factor) >> (64 - 64 / W)) as u32
    }
}

/// `f` of both words.
#[inline(always)]
pub(super) fn halves<const W: u32>(a: u128, f: impl Fn(Packed<W>) -> Packed<W>) -> u128 {
    let a = <[u64; 2]>::of(a);
    [f(Packed(a[0])).0, f(Packed(a[1])).0].vector()
}

/// `f` of both words of two vectors.
#[inline(always)]
pub(super) fn both<const W: u32>(
    a: u128,
    b: u128,
    f: impl Fn(Packed<W>, Packed<W>) -> Packed<W>,
) -> u128 {
    let (a, b) = (<[u64; 2]>::of(a), <[u64; 2]>::of(b));
    [f(Packed(a[0]), Packed(b[0])).0, f(Packed(a[1]), Packed(b[1])).0].vector()
}

/// Functions of one vector: `name: bits of a lane, function of packed lanes`.
macro_rules! packed_unary {
    ($($name:ident: $bits:literal, $f:expr;)*) => {$(
        #[inline]
        pub(crate) fn $name(a: u128) -> u128 {
            super::packed::halves::<$bits>(a, $f)
        }
    )*};
}

/// Functions of two vectors: `name: bits of a lane, function of packed lanes`.
macro_rules! packed_binary {
    ($($name:ident: $bits:literal, $f:expr;)*) => {$(
        #[inline]
        pub(crate) fn $name(a: u128, b: u128) -> u128 {
            super::packed::both::<$bits>(a, b, $f)
        }
    )*};
}

pub(super) use {packed_binary, packed_unary};
