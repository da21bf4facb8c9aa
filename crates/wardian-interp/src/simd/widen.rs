//! Widening and narrowing of lanes, also with multiplications and additions: `extend`, `narrow`, `extmul`, `extadd`, `dot`.

use super::lanes::{Lanes, build};

/// The lanes of `a`, then of `b`, narrowed with saturation.
macro_rules! narrow {
    ($($name:ident: $from:ty, $half:literal, $to:ty, $count:literal;)*) => {$(
        #[inline]
        pub(crate) fn $name(a: u128, b: u128) -> u128 {
            let (a, b) = (<[$from; $half]>::of(a), <[$from; $half]>::of(b));
            let (least, most) = (<$from>::from(<$to>::MIN), <$from>::from(<$to>::MAX));
            build::<$to, $count>(|i| {
                let lane = if i < $half { a[i] } else { b[i - $half] };
                lane.clamp(least, most) as $to
            })
        }
    )*};
}

narrow! {
    i8x16_narrow_i16x8_s: i16, 8, i8, 16;
    i8x16_narrow_i16x8_u: i16, 8, u8, 16;
    i16x8_narrow_i32x4_s: i32, 4, i16, 8;
    i16x8_narrow_i32x4_u: i32, 4, u16, 8;
}

/// Half the lanes from `start` on, widened.
macro_rules! extend {
    ($($name:ident: $from:ty, $count:literal, $to:ty, $half:literal, $start:expr;)*) => {$(
        #[inline]
        pub(crate) fn $name(a: u128) -> u128 {
            let a = <[$from; $count]>::of(a);
            build::<$to, $half>(|i| <$to>::from(a[$start + i]))
        }
    )*};
}

extend! {
    i16x8_extend_low_i8x16_s: i8, 16, i16, 8, 0;
    i16x8_extend_high_i8x16_s: i8, 16, i16, 8, 8;
    i16x8_extend_low_i8x16_u: u8, 16, u16, 8, 0;
    i16x8_extend_high_i8x16_u: u8, 16, u16, 8, 8;
    i32x4_extend_low_i16x8_s: i16, 8, i32, 4, 0;
    i32x4_extend_high_i16x8_s: i16, 8, i32, 4, 4;
    i32x4_extend_low_i16x8_u: u16, 8, u32, 4, 0;
    i32x4_extend_high_i16x8_u: u16, 8, u32, 4, 4;
    i64x2_extend_low_i32x4_s: i32, 4, i64, 2, 0;
    i64x2_extend_high_i32x4_s: i32, 4, i64, 2, 2;
    i64x2_extend_low_i32x4_u: u32, 4, u64, 2, 0;
    i64x2_extend_high_i32x4_u: u32, 4, u64, 2, 2;
}

/// Half the lanes from `start` on, widened and multiplied: the products fit.
macro_rules! extmul {
    ($($name:ident: $from:ty, $count:literal, $to:ty, $half:literal, $start:expr;)*) => {$(
        #[inline]
        pub(crate) fn $name(a: u128, b: u128) -> u128 {
            let (a, b) = (<[$from; $count]>::of(a), <[$from; $count]>::of(b));
            build::<$to, $half>(|i| <$to>::from(a[$start + i]) * <$to>::from(b[$start + i]))
        }
    )*};
}

extmul! {
    i16x8_extmul_low_i8x16_s: i8, 16, i16, 8, 0;
    i16x8_extmul_high_i8x16_s: i8, 16, i16, 8, 8;
    i16x8_extmul_low_i8x16_u: u8, 16, u16, 8, 0;
    i16x8_extmul_high_i8x16_u: u8, 16, u16, 8, 8;
    i32x4_extmul_low_i16x8_s: i16, 8, i32, 4, 0;
    i32x4_extmul_high_i16x8_s: i16, 8, i32, 4, 4;
    i32x4_extmul_low_i16x8_u: u16, 8, u32, 4, 0;
    i32x4_extmul_high_i16x8_u: u16, 8, u32, 4, 4;
    i64x2_extmul_low_i32x4_s: i32, 4, i64, 2, 0;
    i64x2_extmul_high_i32x4_s: i32, 4, i64, 2, 2;
    i64x2_extmul_low_i32x4_u: u32, 4, u64, 2, 0;
    i64x2_extmul_high_i32x4_u: u32, 4, u64, 2, 2;
}

/// Sums of neighbours, widened.
macro_rules! extadd {
    ($($name:ident: $from:ty, $count:literal, $to:ty, $half:literal;)*) => {$(
        #[inline]
        pub(crate) fn $name(a: u128) -> u128 {
            let a = <[$from; $count]>::of(a);
            build::<$to, $half>(|i| <$to>::from(a[2 * i]) + <$to>::from(a[2 * i + 1]))
        }
    )*};
}

extadd! {
    i16x8_extadd_pairwise_i8x16_s: i8, 16, i16, 8;
    i16x8_extadd_pairwise_i8x16_u: u8, 16, u16, 8;
    i32x4_extadd_pairwise_i16x8_s: i16, 8, i32, 4;
    i32x4_extadd_pairwise_i16x8_u: u16, 8, u32, 4;
}

/// Sums of neighbouring products. They wrap only if all four factors are the least number.
#[inline]
pub(crate) fn i32x4_dot_i16x8_s(a: u128, b: u128) -> u128 {
    let (a, b) = (<[i16; 8]>::of(a), <[i16; 8]>::of(b));
    let product = |i: usize| i32::from(a[i]) * i32::from(b[i]);
    build::<i32, 4>(|i| product(2 * i).wrapping_add(product(2 * i + 1)))
}

/// A vector of eight bytes of memory whose lanes are widened.
macro_rules! load {
    ($($name:ident: $from:ty, $to:ty, $count:literal;)*) => {$(
        #[inline]
        pub(crate) fn $name(bits: u64) -> u128 {
            build::<$to, $count>(|i| <$to>::from((bits >> (64 / $count * i)) as $from))
        }
    )*};
}

load! {
    v128_load8x8_s: i8, i16, 8;
    v128_load8x8_u: u8, u16, 8;
    v128_load16x4_s: i16, i32, 4;
    v128_load16x4_u: u16, u32, 4;
    v128_load32x2_s: i32, i64, 2;
    v128_load32x2_u: u32, u64, 2;
}
