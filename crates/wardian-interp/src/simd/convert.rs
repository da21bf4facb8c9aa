//! Integers of floats, floats of integers, floats of floats.

use super::lanes::{Lanes, build, unary};

unary! {
    i32x4_trunc_sat_f32x4_s: u32, 4, |a| f32::from_bits(a) as i32;
    i32x4_trunc_sat_f32x4_u: u32, 4, |a| f32::from_bits(a) as u32;
    f32x4_convert_i32x4_s: i32, 4, |a| (a as f32).to_bits();
    f32x4_convert_i32x4_u: u32, 4, |a| (a as f32).to_bits();
}

#[inline]
pub(crate) fn i32x4_trunc_sat_f64x2_s_zero(a: u128) -> u128 {
    let [x, y] = <[u64; 2]>::of(a).map(|a| f64::from_bits(a) as i32);
    [x, y, 0, 0].vector()
}

#[inline]
pub(crate) fn i32x4_trunc_sat_f64x2_u_zero(a: u128) -> u128 {
    let [x, y] = <[u64; 2]>::of(a).map(|a| f64::from_bits(a) as u32);
    [x, y, 0, 0].vector()
}

#[inline]
pub(crate) fn f64x2_convert_low_i32x4_s(a: u128) -> u128 {
    let a = <[i32; 4]>::of(a);
    build::<u64, 2>(|i| f64::from(a[i]).to_bits())
}

#[inline]
pub(crate) fn f64x2_convert_low_i32x4_u(a: u128) -> u128 {
    let a = <[u32; 4]>::of(a);
    build::<u64, 2>(|i| f64::from(a[i]).to_bits())
}

#[inline]
pub(crate) fn f32x4_demote_f64x2_zero(a: u128) -> u128 {
    let [x, y] = <[u64; 2]>::of(a).map(|a| (f64::from_bits(a) as f32).to_bits());
    [x, y, 0, 0].vector()
}

#[inline]
pub(crate) fn f64x2_promote_low_f32x4(a: u128) -> u128 {
    let a = <[u32; 4]>::of(a);
    build::<u64, 2>(|i| f64::from(f32::from_bits(a[i])).to_bits())
}
