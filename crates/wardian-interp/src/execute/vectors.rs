//! Vectors: what [`crate::simd`] computes, between slots and memory.
//!
//! On x86-64 much of it is in `sse` instead.

use super::memory::narrow;
use super::state::{State, handlers};
use crate::operand::{SW, U16};
use crate::simd;

macro_rules! unary {
    ($($name:ident)*) => { handlers! { $(
        fn $name(s, i) {
            s.set_wide(i.d, simd::$name(s.get_wide(i.a)));
            s.go()
        }
    )* } };
}

macro_rules! binary {
    ($($name:ident)*) => { handlers! { $(
        fn $name(s, i) {
            s.set_wide(i.d, simd::$name(s.get_wide(i.a), s.get_wide(i.b)));
            s.go()
        }
    )* } };
}

macro_rules! ternary {
    ($($name:ident)*) => { handlers! { $(
        fn $name(s, i) {
            s.set_wide(i.d, simd::$name(s.get_wide(i.a), s.get_wide(i.b), s.get_wide(i.c)));
            s.go()
        }
    )* } };
}

/// A vector and a scalar.
#[cfg(not(target_arch = "x86_64"))]
macro_rules! shift {
    ($($name:ident)*) => { handlers! { $(
        fn $name(s, i) {
            s.set_wide(i.d, simd::$name(s.get_wide(i.a), s.get(i.b)));
            s.go()
        }
    )* } };
}

/// A scalar of a vector.
macro_rules! test {
    ($($name:ident)*) => { handlers! { $(
        fn $name(s, i) {
            s.set(i.d, simd::$name(s.get_wide(i.a)));
            s.go()
        }
    )* } };
}

/// A vector of a scalar.
#[cfg(not(target_arch = "x86_64"))]
macro_rules! splat {
    ($($name:ident)*) => { handlers! { $(
        fn $name(s, i) {
            s.set_wide(i.d, simd::$name(s.get(i.a)));
            s.go()
        }
    )* } };
}

impl State {
    /// A lane of a vector: lanes count modulo their number, so that none is out of bounds.
    #[inline(always)]
    unsafe fn lane<T: Copy>(&self, slot: SW, U16(lane): U16) -> T {
        let lane = usize::from(lane) % (size_of::<u128>() / size_of::<T>());
        // SAFETY: inside two slots of the frame.
        unsafe { self.fp.offset(slot.0.as_isize()).cast::<T>().add(lane).read_unaligned() }
    }
}

/// `name type |lane| scalar;`
macro_rules! extract {
    ($($name:ident $ty:ident |$x:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let $x: $ty = s.lane(i.a, i.lane);
            s.set(i.d, $result);
            s.go()
        }
    )* } };
}

#[cfg(not(target_arch = "x86_64"))]
macro_rules! replace {
    ($($name:ident)*) => { handlers! { $(
        fn $name(s, i) {
            s.set_wide(i.d, simd::$name(s.get_wide(i.a), s.get(i.b), i.lane.0 as u8));
            s.go()
        }
    )* } };
}

/// `name type |value| vector;`
macro_rules! loads {
    ($($name:ident $ty:ident |$value:ident| $vector:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let address = s.address(i.a, i.offset);
            let $value = match s.load::<$ty>(address) { Ok(value) => value, Err(at) => return s.beyond(at) };
            s.set_wide(i.d, $vector);
            s.go()
        }
    )* } };
}

#[cfg(not(target_arch = "x86_64"))]
macro_rules! load_lanes {
    ($($name:ident $ty:ident $replace:ident;)*) => { handlers! { $(
        fn $name(s, i) {
            let address = s.address(i.a, i.offset);
            let value = match s.load::<$ty>(address) { Ok(value) => value, Err(at) => return s.beyond(at) };
            s.set_wide(i.d, simd::$replace(s.get_wide(i.b), value.into(), i.lane.0 as u8));
            s.go()
        }
    )* } };
}

macro_rules! store_lanes {
    ($($name:ident $ty:ident;)*) => { handlers! { $(
        fn $name(s, i) {
            let address = s.address(i.a, i.offset);
            s.save(address, s.lane::<$ty>(i.b, i.lane))
        }
    )* } };
}

unary! {
    i32x4_trunc_sat_f32x4_s i32x4_trunc_sat_f32x4_u f32x4_convert_i32x4_u
    i32x4_trunc_sat_f64x2_s_zero i32x4_trunc_sat_f64x2_u_zero f64x2_convert_low_i32x4_u
    i32x4_relaxed_trunc_f32x4_s i32x4_relaxed_trunc_f32x4_u i32x4_relaxed_trunc_f64x2_s_zero
    i32x4_relaxed_trunc_f64x2_u_zero f32x4_ceil f32x4_floor f32x4_trunc f32x4_nearest f64x2_ceil
    f64x2_floor f64x2_trunc f64x2_nearest f32x4_demote_f64x2_zero f64x2_promote_low_f32x4
}

#[cfg(not(target_arch = "x86_64"))]
unary! {
    v128_not i8x16_abs i8x16_neg i8x16_popcnt i16x8_abs i16x8_neg i32x4_abs i32x4_neg i64x2_abs
    i64x2_neg f32x4_abs f32x4_neg f64x2_abs f64x2_neg i16x8_extend_low_i8x16_s
    i16x8_extend_high_i8x16_s i16x8_extend_low_i8x16_u i16x8_extend_high_i8x16_u
    i32x4_extend_low_i16x8_s i32x4_extend_high_i16x8_s i32x4_extend_low_i16x8_u
    i32x4_extend_high_i16x8_u i64x2_extend_low_i32x4_s i64x2_extend_high_i32x4_s
    i64x2_extend_low_i32x4_u i64x2_extend_high_i32x4_u i16x8_extadd_pairwise_i8x16_s
    i16x8_extadd_pairwise_i8x16_u i32x4_extadd_pairwise_i16x8_s i32x4_extadd_pairwise_i16x8_u
    f32x4_convert_i32x4_s f64x2_convert_low_i32x4_s f32x4_sqrt f64x2_sqrt
}

binary! {
    i64x2_eq i64x2_ne i64x2_lt_s i64x2_gt_s i64x2_le_s i64x2_ge_s i16x8_q15mulr_sat_s
    i16x8_relaxed_q15mulr_s i64x2_extmul_low_i32x4_s i64x2_extmul_high_i32x4_s
    i16x8_relaxed_dot_i8x16_i7x16_s
}

#[cfg(not(target_arch = "x86_64"))]
binary! {
    i8x16_swizzle i8x16_relaxed_swizzle v128_and v128_andnot v128_or v128_xor i8x16_eq i8x16_ne
    i8x16_lt_s i8x16_lt_u i8x16_gt_s i8x16_gt_u i8x16_le_s i8x16_le_u i8x16_ge_s i8x16_ge_u i16x8_eq
    i16x8_ne i16x8_lt_s i16x8_lt_u i16x8_gt_s i16x8_gt_u i16x8_le_s i16x8_le_u i16x8_ge_s i16x8_ge_u
    i32x4_eq i32x4_ne i32x4_lt_s i32x4_lt_u i32x4_gt_s i32x4_gt_u i32x4_le_s i32x4_le_u i32x4_ge_s
    i32x4_ge_u f32x4_eq f32x4_ne f32x4_lt f32x4_gt f32x4_le f32x4_ge f64x2_eq f64x2_ne f64x2_lt
    f64x2_gt f64x2_le f64x2_ge i8x16_add i8x16_sub i8x16_add_sat_s i8x16_add_sat_u i8x16_sub_sat_s
    i8x16_sub_sat_u i8x16_min_s i8x16_min_u i8x16_max_s i8x16_max_u i8x16_avgr_u i16x8_add i16x8_sub
    i16x8_add_sat_s i16x8_add_sat_u i16x8_sub_sat_s i16x8_sub_sat_u i16x8_min_s i16x8_min_u
    i16x8_max_s i16x8_max_u i16x8_avgr_u i16x8_mul i32x4_add i32x4_sub i32x4_mul i32x4_min_s
    i32x4_min_u i32x4_max_s i32x4_max_u i64x2_add i64x2_sub i64x2_mul i8x16_narrow_i16x8_s
    i8x16_narrow_i16x8_u i16x8_narrow_i32x4_s i16x8_narrow_i32x4_u i16x8_extmul_low_i8x16_s
    i16x8_extmul_low_i8x16_u i16x8_extmul_high_i8x16_s i16x8_extmul_high_i8x16_u
    i32x4_extmul_low_i16x8_s i32x4_extmul_low_i16x8_u i32x4_extmul_high_i16x8_s
    i32x4_extmul_high_i16x8_u i64x2_extmul_low_i32x4_u i64x2_extmul_high_i32x4_u i32x4_dot_i16x8_s
    f32x4_pmin f32x4_pmax f64x2_pmin f64x2_pmax f32x4_add f32x4_sub f32x4_mul f32x4_div f32x4_min
    f32x4_max f32x4_relaxed_min f32x4_relaxed_max f64x2_add f64x2_sub f64x2_mul f64x2_div f64x2_min
    f64x2_max f64x2_relaxed_min f64x2_relaxed_max
}

ternary! {
    i32x4_relaxed_dot_i8x16_i7x16_add_s f32x4_relaxed_madd f32x4_relaxed_nmadd f64x2_relaxed_madd
    f64x2_relaxed_nmadd f32x4_unfused_madd f32x4_unfused_nmadd f64x2_unfused_madd f64x2_unfused_nmadd
}

#[cfg(not(target_arch = "x86_64"))]
ternary! {
    v128_bitselect i8x16_relaxed_laneselect i16x8_relaxed_laneselect i32x4_relaxed_laneselect
    i64x2_relaxed_laneselect
}

#[cfg(not(target_arch = "x86_64"))]
shift! {
    i8x16_shl i8x16_shr_s i8x16_shr_u i16x8_shl i16x8_shr_s i16x8_shr_u i32x4_shl i32x4_shr_s
    i32x4_shr_u i64x2_shl i64x2_shr_s i64x2_shr_u
}

test! {
    v128_any_true i64x2_all_true
}

#[cfg(not(target_arch = "x86_64"))]
test! {
    i8x16_all_true i16x8_all_true i32x4_all_true i8x16_bitmask i16x8_bitmask i32x4_bitmask
    i64x2_bitmask
}

#[cfg(not(target_arch = "x86_64"))]
splat! {
    i8x16_splat i16x8_splat i32x4_splat i64x2_splat f32x4_splat f64x2_splat
}

extract! {
    i8x16_extract_lane_s i8 |x| i32::from(x);
    i8x16_extract_lane_u u8 |x| u32::from(x);
    i16x8_extract_lane_s i16 |x| i32::from(x);
    i16x8_extract_lane_u u16 |x| u32::from(x);
    i32x4_extract_lane u32 |x| x;
    i64x2_extract_lane u64 |x| x;
    f32x4_extract_lane u32 |x| x;
    f64x2_extract_lane u64 |x| x;
}

#[cfg(not(target_arch = "x86_64"))]
replace! {
    i8x16_replace_lane i16x8_replace_lane i32x4_replace_lane i64x2_replace_lane f32x4_replace_lane
    f64x2_replace_lane
}

loads! {
    v128_load u128 |v| v;
}

#[cfg(not(target_arch = "x86_64"))]
loads! {
    v128_load8x8_s u64 |v| simd::v128_load8x8_s(v);
    v128_load8x8_u u64 |v| simd::v128_load8x8_u(v);
    v128_load16x4_s u64 |v| simd::v128_load16x4_s(v);
    v128_load16x4_u u64 |v| simd::v128_load16x4_u(v);
    v128_load32x2_s u64 |v| simd::v128_load32x2_s(v);
    v128_load32x2_u u64 |v| simd::v128_load32x2_u(v);
    v128_load8_splat u8 |v| simd::i8x16_splat(v.into());
    v128_load16_splat u16 |v| simd::i16x8_splat(v.into());
    v128_load32_splat u32 |v| simd::i32x4_splat(v);
    v128_load64_splat u64 |v| simd::i64x2_splat(v);
    v128_load32_zero u32 |v| v.into();
    v128_load64_zero u64 |v| v.into();
}

#[cfg(not(target_arch = "x86_64"))]
load_lanes! {
    v128_load8_lane u8 i8x16_replace_lane;
    v128_load16_lane u16 i16x8_replace_lane;
    v128_load32_lane u32 i32x4_replace_lane;
    v128_load64_lane u64 i64x2_replace_lane;
}

store_lanes! {
    v128_store8_lane u8;
    v128_store16_lane u16;
    v128_store32_lane u32;
    v128_store64_lane u64;
}

#[cfg(not(target_arch = "x86_64"))]
handlers! {
    fn i8x16_shuffle(s, i) {
        let lanes = i.lanes.0.to_le_bytes();
        s.set_wide(i.d, simd::i8x16_shuffle(s.get_wide(i.a), s.get_wide(i.b), lanes));
        s.go()
    }
}

handlers! {
    fn v128_load_sum(s, i) {
        let a = s.get::<u32>(i.a).wrapping_add(s.get::<u32>(i.b));
        let address = narrow(a, i.offset);
        let value = match s.load::<u128>(address) { Ok(value) => value, Err(at) => return s.beyond(at) };
        s.set_wide(i.d, value);
        s.go()
    }

    fn v128_store(s, i) {
        let address = s.address(i.a, i.offset);
        s.save(address, s.get_wide(i.value))
    }

    fn v128_store_sum(s, i) {
        let a = s.get::<u32>(i.a).wrapping_add(s.get::<u32>(i.b));
        let address = narrow(a, i.offset);
        s.save(address, s.get_wide(i.value))
    }

    fn f32x4_canonical(s, i) {
        let lanes = s.get_wide(i.a);
        let lane = |n: u32| {
            let value = super::numeric::f32_canonical(f32::from_bits((lanes >> (32 * n)) as u32));
            u128::from(value.to_bits()) << (32 * n)
        };
        s.set_wide(i.d, lane(0) | lane(1) | lane(2) | lane(3));
        s.go()
    }

    fn f64x2_canonical(s, i) {
        let lanes = s.get_wide(i.a);
        let lane = |n: u32| {
            let value = super::numeric::f64_canonical(f64::from_bits((lanes >> (64 * n)) as u64));
            u128::from(value.to_bits()) << (64 * n)
        };
        s.set_wide(i.d, lane(0) | lane(1));
        s.go()
    }
}
