//! Arithmetic on lanes of integers.

use super::lanes::{binary, unary};
use super::packed::{Packed, packed_binary, packed_unary};

unary! {
    i32x4_abs: i32, 4, i32::wrapping_abs;
    i32x4_neg: i32, 4, i32::wrapping_neg;
    i64x2_abs: i64, 2, i64::wrapping_abs;
    i64x2_neg: i64, 2, i64::wrapping_neg;
}

packed_unary! {
    i8x16_abs: 8, |a| a.abs();
    i8x16_neg: 8, |a| Packed(0).sub(a);
    i8x16_popcnt: 8, popcnt;
    i16x8_abs: 16, |a| a.abs();
    i16x8_neg: 16, |a| Packed(0).sub(a);
}

binary! {
    i16x8_mul: u16, 8, u16::wrapping_mul;
    i16x8_q15mulr_sat_s: i16, 8, q15mulr;
    i32x4_add: u32, 4, u32::wrapping_add;
    i32x4_sub: u32, 4, u32::wrapping_sub;
    i32x4_mul: u32, 4, u32::wrapping_mul;
    i32x4_min_s: i32, 4, i32::min;
    i32x4_min_u: u32, 4, u32::min;
    i32x4_max_s: i32, 4, i32::max;
    i32x4_max_u: u32, 4, u32::max;
    i64x2_add: u64, 2, u64::wrapping_add;
    i64x2_sub: u64, 2, u64::wrapping_sub;
    i64x2_mul: u64, 2, u64::wrapping_mul;
}

packed_binary! {
    i8x16_add: 8, |a, b| a.add(b);
    i8x16_sub: 8, |a, b| a.sub(b);
    i8x16_add_sat_s: 8, |a, b| a.add_sat_s(b);
    i8x16_add_sat_u: 8, |a, b| a.add_sat_u(b);
    i8x16_sub_sat_s: 8, |a, b| a.sub_sat_s(b);
    i8x16_sub_sat_u: 8, |a, b| a.sub_sat_u(b);
    i8x16_min_s: 8, |a, b| a.less(b).choose(a, b);
    i8x16_min_u: 8, |a, b| a.below(b).choose(a, b);
    i8x16_max_s: 8, |a, b| a.less(b).choose(b, a);
    i8x16_max_u: 8, |a, b| a.below(b).choose(b, a);
    i8x16_avgr_u: 8, |a, b| a.mean(b);
    i16x8_add: 16, |a, b| a.add(b);
    i16x8_sub: 16, |a, b| a.sub(b);
    i16x8_add_sat_s: 16, |a, b| a.add_sat_s(b);
    i16x8_add_sat_u: 16, |a, b| a.add_sat_u(b);
    i16x8_sub_sat_s: 16, |a, b| a.sub_sat_s(b);
    i16x8_sub_sat_u: 16, |a, b| a.sub_sat_u(b);
    i16x8_min_s: 16, |a, b| a.less(b).choose(a, b);
    i16x8_min_u: 16, |a, b| a.below(b).choose(a, b);
    i16x8_max_s: 16, |a, b| a.less(b).choose(b, a);
    i16x8_max_u: 16, |a, b| a.below(b).choose(b, a);
    i16x8_avgr_u: 16, |a, b| a.mean(b);
}

/// Counts in pairs of bits, then in nibbles, then in bytes: no sum is too large for its field.
#[inline(always)]
fn popcnt(a: Packed<8>) -> Packed<8> {
    let pairs = a.0 - ((a.0 >> 1) & 0x5555_5555_5555_5555);
    let nibbles = (pairs & 0x3333_3333_3333_3333) + ((pairs >> 2) & 0x3333_3333_3333_3333);
    Packed((nibbles + (nibbles >> 4)) & 0x0f0f_0f0f_0f0f_0f0f)
}

/// The product of two fractions of 15 bits, rounded. Only that of -1 and -1 is too large.
#[inline(always)]
fn q15mulr(a: i16, b: i16) -> i16 {
    let rounded = (i32::from(a) * i32::from(b) + 0x4000) >> 15;
    rounded.min(i32::from(i16::MAX)) as i16
}
