//! The operators that leave a choice to the engine, with the choices of compiled code.

use super::lanes::{Lanes, build};

pub(crate) use super::access::i8x16_swizzle as i8x16_relaxed_swizzle;
pub(crate) use super::bits::v128_bitselect as i8x16_relaxed_laneselect;
pub(crate) use super::bits::v128_bitselect as i16x8_relaxed_laneselect;
pub(crate) use super::bits::v128_bitselect as i32x4_relaxed_laneselect;
pub(crate) use super::bits::v128_bitselect as i64x2_relaxed_laneselect;
pub(crate) use super::convert::i32x4_trunc_sat_f32x4_s as i32x4_relaxed_trunc_f32x4_s;
pub(crate) use super::convert::i32x4_trunc_sat_f32x4_u as i32x4_relaxed_trunc_f32x4_u;
pub(crate) use super::convert::i32x4_trunc_sat_f64x2_s_zero as i32x4_relaxed_trunc_f64x2_s_zero;
pub(crate) use super::convert::i32x4_trunc_sat_f64x2_u_zero as i32x4_relaxed_trunc_f64x2_u_zero;
pub(crate) use super::float::f32x4_max as f32x4_relaxed_max;
pub(crate) use super::float::f32x4_min as f32x4_relaxed_min;
pub(crate) use super::float::f64x2_max as f64x2_relaxed_max;
pub(crate) use super::float::f64x2_min as f64x2_relaxed_min;
pub(crate) use super::integer::i16x8_q15mulr_sat_s as i16x8_relaxed_q15mulr_s;

/// `a * b + c`: rounded once where the machine has an instruction for it, as compiled code does; or always twice,
/// as the specification's deterministic profile says.
macro_rules! multiply_add {
    ($($name:ident: $float:ty, $bits:ty, $count:literal, $sign:expr, $fused:expr;)*) => {$(
        #[inline]
        pub(crate) fn $name(a: u128, b: u128, c: u128) -> u128 {
            let all = [a, b, c].map(<[$bits; $count]>::of);
            let fused = $fused;
            build::<$bits, $count>(|i| {
                let a = <$float>::from_bits(all[0][i] ^ $sign);
                let [b, c] = [all[1][i], all[2][i]].map(<$float>::from_bits);
                (if fused { a.mul_add(b, c) } else { a * b + c }).to_bits()
            })
        }
    )*};
}

multiply_add! {
    f32x4_relaxed_madd: f32, u32, 4, 0, fuses();
    f32x4_relaxed_nmadd: f32, u32, 4, 1 << 31, fuses();
    f64x2_relaxed_madd: f64, u64, 2, 0, fuses();
    f64x2_relaxed_nmadd: f64, u64, 2, 1 << 63, fuses();
    f32x4_unfused_madd: f32, u32, 4, 0, false;
    f32x4_unfused_nmadd: f32, u32, 4, 1 << 31, false;
    f64x2_unfused_madd: f64, u64, 2, 0, false;
    f64x2_unfused_nmadd: f64, u64, 2, 1 << 63, false;
}

/// Whether multiplication and addition is one instruction of this machine.
#[inline]
fn fuses() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        true
    }
}

/// Sums of neighbouring products, both with signs. They saturate.
#[inline]
pub(crate) fn i16x8_relaxed_dot_i8x16_i7x16_s(a: u128, b: u128) -> u128 {
    let (a, b) = (<[i8; 16]>::of(a), <[i8; 16]>::of(b));
    let product = |i: usize| i16::from(a[i]) * i16::from(b[i]);
    build::<i16, 8>(|i| product(2 * i).saturating_add(product(2 * i + 1)))
}

/// Sums of four products, added to `c`. Sums of two saturate, all others wrap.
#[inline]
pub(crate) fn i32x4_relaxed_dot_i8x16_i7x16_add_s(a: u128, b: u128, c: u128) -> u128 {
    let sums = super::widen::i32x4_extadd_pairwise_i16x8_s(i16x8_relaxed_dot_i8x16_i7x16_s(a, b));
    super::integer::i32x4_add(sums, c)
}
