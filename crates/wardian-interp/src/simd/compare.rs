//! Comparisons: a lane of ones where they hold, else of zeros.

use super::lanes::binary;
use super::packed::packed_binary;

packed_binary! {
    i8x16_eq: 8, |a, b| a.equal(b);
    i8x16_ne: 8, |a, b| a.equal(b).not();
    i8x16_lt_s: 8, |a, b| a.less(b);
    i8x16_lt_u: 8, |a, b| a.below(b);
    i8x16_gt_s: 8, |a, b| b.less(a);
    i8x16_gt_u: 8, |a, b| b.below(a);
    i8x16_le_s: 8, |a, b| b.less(a).not();
    i8x16_le_u: 8, |a, b| b.below(a).not();
    i8x16_ge_s: 8, |a, b| a.less(b).not();
    i8x16_ge_u: 8, |a, b| a.below(b).not();
    i16x8_eq: 16, |a, b| a.equal(b);
    i16x8_ne: 16, |a, b| a.equal(b).not();
    i16x8_lt_s: 16, |a, b| a.less(b);
    i16x8_lt_u: 16, |a, b| a.below(b);
    i16x8_gt_s: 16, |a, b| b.less(a);
    i16x8_gt_u: 16, |a, b| b.below(a);
    i16x8_le_s: 16, |a, b| b.less(a).not();
    i16x8_le_u: 16, |a, b| b.below(a).not();
    i16x8_ge_s: 16, |a, b| a.less(b).not();
    i16x8_ge_u: 16, |a, b| a.below(b).not();
}

binary! {
    i32x4_eq: i32, 4, |a, b| -i32::from(a == b);
    i32x4_ne: i32, 4, |a, b| -i32::from(a != b);
    i32x4_lt_s: i32, 4, |a, b| -i32::from(a < b);
    i32x4_lt_u: u32, 4, |a, b| -i32::from(a < b);
    i32x4_gt_s: i32, 4, |a, b| -i32::from(a > b);
    i32x4_gt_u: u32, 4, |a, b| -i32::from(a > b);
    i32x4_le_s: i32, 4, |a, b| -i32::from(a <= b);
    i32x4_le_u: u32, 4, |a, b| -i32::from(a <= b);
    i32x4_ge_s: i32, 4, |a, b| -i32::from(a >= b);
    i32x4_ge_u: u32, 4, |a, b| -i32::from(a >= b);
    i64x2_eq: i64, 2, |a, b| -i64::from(a == b);
    i64x2_ne: i64, 2, |a, b| -i64::from(a != b);
    i64x2_lt_s: i64, 2, |a, b| -i64::from(a < b);
    i64x2_gt_s: i64, 2, |a, b| -i64::from(a > b);
    i64x2_le_s: i64, 2, |a, b| -i64::from(a <= b);
    i64x2_ge_s: i64, 2, |a, b| -i64::from(a >= b);
    f32x4_eq: u32, 4, |a, b| -i32::from(f32::from_bits(a) == f32::from_bits(b));
    f32x4_ne: u32, 4, |a, b| -i32::from(f32::from_bits(a) != f32::from_bits(b));
    f32x4_lt: u32, 4, |a, b| -i32::from(f32::from_bits(a) < f32::from_bits(b));
    f32x4_gt: u32, 4, |a, b| -i32::from(f32::from_bits(a) > f32::from_bits(b));
    f32x4_le: u32, 4, |a, b| -i32::from(f32::from_bits(a) <= f32::from_bits(b));
    f32x4_ge: u32, 4, |a, b| -i32::from(f32::from_bits(a) >= f32::from_bits(b));
    f64x2_eq: u64, 2, |a, b| -i64::from(f64::from_bits(a) == f64::from_bits(b));
    f64x2_ne: u64, 2, |a, b| -i64::from(f64::from_bits(a) != f64::from_bits(b));
    f64x2_lt: u64, 2, |a, b| -i64::from(f64::from_bits(a) < f64::from_bits(b));
    f64x2_gt: u64, 2, |a, b| -i64::from(f64::from_bits(a) > f64::from_bits(b));
    f64x2_le: u64, 2, |a, b| -i64::from(f64::from_bits(a) <= f64::from_bits(b));
    f64x2_ge: u64, 2, |a, b| -i64::from(f64::from_bits(a) >= f64::from_bits(b));
}
