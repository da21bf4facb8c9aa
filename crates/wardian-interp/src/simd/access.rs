//! Single lanes, splats, shuffles.

use super::lanes::{Lanes, build};

/// The vector with one lane replaced by the low bits of `x`; lanes count modulo their number, so that none
/// is out of bounds.
macro_rules! replace {
    ($($name:ident: $lane:ty, $count:literal;)*) => {$(
        #[inline]
        pub(crate) fn $name(a: u128, x: u64, lane: u8) -> u128 {
            let at = u32::from(lane) % $count * (128 / $count);
            a & !(u128::from(<$lane>::MAX) << at) | u128::from(x as $lane) << at
        }
    )*};
}

replace! {
    i8x16_replace_lane: u8, 16;
    i16x8_replace_lane: u16, 8;
    i32x4_replace_lane: u32, 4;
    i64x2_replace_lane: u64, 2;
    f32x4_replace_lane: u32, 4;
    f64x2_replace_lane: u64, 2;
}

/// The low bits of `x` in every lane.
macro_rules! splat {
    ($($name:ident: $scalar:ty, $lane:ty, $count:literal;)*) => {$(
        #[inline]
        pub(crate) fn $name(x: $scalar) -> u128 {
            [x as $lane; $count].vector()
        }
    )*};
}

splat! {
    i8x16_splat: u32, u8, 16;
    i16x8_splat: u32, u16, 8;
    i32x4_splat: u32, u32, 4;
    i64x2_splat: u64, u64, 2;
    f32x4_splat: u32, u32, 4;
    f64x2_splat: u64, u64, 2;
}

/// Bytes of `a` as `b` numbers them; zero where there is no such byte.
#[inline]
pub(crate) fn i8x16_swizzle(a: u128, b: u128) -> u128 {
    let (a, b) = (<[u8; 16]>::of(a), <[u8; 16]>::of(b));
    build::<u8, 16>(|i| if b[i] < 16 { a[usize::from(b[i] % 16)] } else { 0 })
}

/// Bytes of `a` and `b`, one behind the other, as `lanes` numbers them.
#[inline]
pub(crate) fn i8x16_shuffle(a: u128, b: u128, lanes: [u8; 16]) -> u128 {
    let mut all = [0; 32];
    all[..16].copy_from_slice(&a.to_le_bytes());
    all[16..].copy_from_slice(&b.to_le_bytes());
    build::<u8, 16>(|i| all[usize::from(lanes[i] % 32)])
}
