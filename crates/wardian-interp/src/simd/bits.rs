//! Bits, tests of whole vectors, shifts.

use super::lanes::{Lanes, map};
use super::packed::{Packed, halves};

#[inline]
pub(crate) fn v128_not(a: u128) -> u128 {
    !a
}

#[inline]
pub(crate) fn v128_and(a: u128, b: u128) -> u128 {
    a & b
}

#[inline]
pub(crate) fn v128_andnot(a: u128, b: u128) -> u128 {
    a & !b
}

#[inline]
pub(crate) fn v128_or(a: u128, b: u128) -> u128 {
    a | b
}

#[inline]
pub(crate) fn v128_xor(a: u128, b: u128) -> u128 {
    a ^ b
}

/// Bits of `a` where those of `mask` are set, else of `b`.
#[inline]
pub(crate) fn v128_bitselect(a: u128, b: u128, mask: u128) -> u128 {
    (a & mask) | (b & !mask)
}

#[inline]
pub(crate) fn v128_any_true(a: u128) -> u32 {
    u32::from(a != 0)
}

#[inline]
pub(crate) fn i8x16_all_true(a: u128) -> u32 {
    let [low, high] = <[u64; 2]>::of(a);
    u32::from(Packed::<8>(low).all() & Packed::<8>(high).all())
}

#[inline]
pub(crate) fn i16x8_all_true(a: u128) -> u32 {
    let [low, high] = <[u64; 2]>::of(a);
    u32::from(Packed::<16>(low).all() & Packed::<16>(high).all())
}

#[inline]
pub(crate) fn i32x4_all_true(a: u128) -> u32 {
    u32::from(<[u32; 4]>::of(a).iter().all(|lane| *lane != 0))
}

#[inline]
pub(crate) fn i64x2_all_true(a: u128) -> u32 {
    u32::from(<[u64; 2]>::of(a).iter().all(|lane| *lane != 0))
}

#[inline]
pub(crate) fn i8x16_bitmask(a: u128) -> u32 {
    let [low, high] = <[u64; 2]>::of(a);
    Packed::<8>(low).bitmask() | Packed::<8>(high).bitmask() << 8
}

#[inline]
pub(crate) fn i16x8_bitmask(a: u128) -> u32 {
    let [low, high] = <[u64; 2]>::of(a);
    Packed::<16>(low).bitmask() | Packed::<16>(high).bitmask() << 4
}

#[inline]
pub(crate) fn i32x4_bitmask(a: u128) -> u32 {
    let [w, x, y, z] = <[u32; 4]>::of(a).map(|lane| lane >> 31);
    w | x << 1 | y << 2 | z << 3
}

#[inline]
pub(crate) fn i64x2_bitmask(a: u128) -> u32 {
    let [low, high] = <[u64; 2]>::of(a).map(|lane| (lane >> 63) as u32);
    low | high << 1
}

/// Shifts: `name: bits of a lane, function of packed lanes and a distance`. Distances count modulo the
/// width of a lane.
macro_rules! packed_shifts {
    ($($name:ident: $bits:literal, $f:expr;)*) => {$(
        #[inline]
        pub(crate) fn $name(a: u128, n: u32) -> u128 {
            halves::<$bits>(a, |lanes| $f(lanes, n % $bits))
        }
    )*};
}

packed_shifts! {
    i8x16_shl: 8, Packed::shl;
    i8x16_shr_s: 8, Packed::shr_s;
    i8x16_shr_u: 8, Packed::shr_u;
    i16x8_shl: 16, Packed::shl;
    i16x8_shr_s: 16, Packed::shr_s;
    i16x8_shr_u: 16, Packed::shr_u;
}

/// Shifts: `name: lane, lanes, function of a lane and a distance`.
macro_rules! shifts {
    ($($name:ident: $lane:ty, $count:literal, $f:expr;)*) => {$(
        #[inline]
        pub(crate) fn $name(a: u128, n: u32) -> u128 {
            map::<$lane, _, $count>(a, |lane| $f(lane, n))
        }
    )*};
}

shifts! {
    i32x4_shl: u32, 4, u32::wrapping_shl;
    i32x4_shr_s: i32, 4, i32::wrapping_shr;
    i32x4_shr_u: u32, 4, u32::wrapping_shr;
    i64x2_shl: u64, 2, u64::wrapping_shl;
    i64x2_shr_s: i64, 2, i64::wrapping_shr;
    i64x2_shr_u: u64, 2, u64::wrapping_shr;
}
