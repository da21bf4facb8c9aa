//! Vectors on x86-64, in the instructions that all such machines have.
//!
//! What [`crate::simd`] computes lane by lane becomes scalar code with two stores of half a vector each; the
//! next instruction reads the whole, and has to wait until both are in the cache. So here each result is
//! computed, and stored, as a whole.

use super::state::{State, handlers};
use crate::operand::{DW, SW};
use crate::simd;
use std::arch::x86_64::*;

/// All of these are promised the state of a frame, and operands of its instruction.
impl State {
    #[inline(always)]
    unsafe fn lanes(&self, slot: SW) -> __m128i {
        // SAFETY: two slots of the frame.
        unsafe { self.fp.offset(slot.0.as_isize()).cast::<__m128i>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn set_lanes(&self, slot: DW, value: __m128i) {
        // SAFETY: two slots of the frame.
        unsafe { self.fp.offset(slot.0.as_isize()).cast::<__m128i>().write_unaligned(value) }
    }
}

/// Functions of vectors, for handlers to use. Every x86-64 has what they need.
macro_rules! functions {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident),*) { $result:expr })*) => { $(
        $(#[$meta])*
        #[inline(always)]
        unsafe fn $name($($arg: __m128i),*) -> __m128i {
            // SAFETY: SSE2 is part of x86-64.
            unsafe { $result }
        }
    )* };
}

functions! {
    fn zero() { _mm_setzero_si128() }
    fn not(a) { _mm_xor_si128(a, _mm_set1_epi32(-1)) }
    /// Bits of `a` where the mask's are set, else of `b`.
    fn choose(mask, a, b) { _mm_or_si128(_mm_and_si128(mask, a), _mm_andnot_si128(mask, b)) }
    /// Lanes of 32 bits whose order with signs is theirs without.
    fn flipped(a) { _mm_xor_si128(a, _mm_set1_epi32(i32::MIN)) }
    fn more_u32(a, b) { _mm_cmpgt_epi32(flipped(a), flipped(b)) }
    fn no_more_u16(a, b) { _mm_cmpeq_epi16(_mm_subs_epu16(a, b), zero()) }
    fn low_s8(a) { _mm_srai_epi16(_mm_unpacklo_epi8(a, a), 8) }
    fn high_s8(a) { _mm_srai_epi16(_mm_unpackhi_epi8(a, a), 8) }
    fn low_u8(a) { _mm_unpacklo_epi8(a, zero()) }
    fn high_u8(a) { _mm_unpackhi_epi8(a, zero()) }
    fn low_s16(a) { _mm_srai_epi32(_mm_unpacklo_epi16(a, a), 16) }
    fn high_s16(a) { _mm_srai_epi32(_mm_unpackhi_epi16(a, a), 16) }
    fn low_u16(a) { _mm_unpacklo_epi16(a, zero()) }
    fn high_u16(a) { _mm_unpackhi_epi16(a, zero()) }
    fn low_s32(a) { _mm_unpacklo_epi32(a, _mm_srai_epi32(a, 31)) }
    fn high_s32(a) { _mm_unpackhi_epi32(a, _mm_srai_epi32(a, 31)) }
    fn low_u32(a) { _mm_unpacklo_epi32(a, zero()) }
    fn high_u32(a) { _mm_unpackhi_epi32(a, zero()) }
    /// All ones in lanes of 64 bits that are negative.
    fn sign64(a) { _mm_shuffle_epi32(_mm_srai_epi32(a, 31), 0b11_11_01_01) }
}

macro_rules! unary {
    ($($name:ident |$a:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let $a = s.lanes(i.a);
            s.set_lanes(i.d, $result);
            s.go()
        }
    )* } };
}

macro_rules! binary {
    ($($name:ident |$a:ident, $b:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let ($a, $b) = (s.lanes(i.a), s.lanes(i.b));
            s.set_lanes(i.d, $result);
            s.go()
        }
    )* } };
}

/// Instructions on floats: `name |operands| result;`, behind the casts.
macro_rules! floats {
    ($of:ident $to:ident $($name:ident |$a:ident $(, $b:ident)?| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let $a = $of(s.lanes(i.a));
            $(let $b = $of(s.lanes(i.b));)?
            s.set_lanes(i.d, $to($result));
            s.go()
        }
    )* } };
}

/// A mask of bits for each bit pattern of a scalar: `name |vector| scalar;`
macro_rules! tests {
    ($($name:ident |$a:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let $a = s.lanes(i.a);
            s.set(i.d, $result);
            s.go()
        }
    )* } };
}

/// `name |scalar of that type| vector;`
macro_rules! splats {
    ($($name:ident $ty:ident |$x:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let $x: $ty = s.get(i.a);
            s.set_lanes(i.d, $result);
            s.go()
        }
    )* } };
}

/// `name bits of a lane |vector, distance below that| result;`
macro_rules! shifts {
    ($($name:ident $bits:literal |$a:ident, $n:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let ($a, $n) = (s.lanes(i.a), s.get::<u32>(i.b) as i32 & ($bits - 1));
            s.set_lanes(i.d, $result);
            s.go()
        }
    )* } };
}

/// `name type of the lane |vector, value, lane| vector;`, from a slot and from memory.
macro_rules! replaces {
    ($($name:ident $load:ident $ty:ident $count:literal |$x:ident, $lane:ident| $splat:expr, $mask:expr;)*) => {
        handlers! { $(
            fn $name(s, i) {
                let ($x, $lane) = (s.get::<u64>(i.b) as $ty, i.lane.0 % $count);
                s.set_lanes(i.d, choose($mask, $splat, s.lanes(i.a)));
                s.go()
            }

            fn $load(s, i) {
                let address = s.address(i.a, i.offset);
                let $x = match s.load::<$ty>(address) { Ok(value) => value, Err(at) => return s.beyond(at) };
                let $lane = i.lane.0 % $count;
                s.set_lanes(i.d, choose($mask, $splat, s.lanes(i.b)));
                s.go()
            }
        )* }
    };
}

/// `name type |value| vector;`
macro_rules! loads {
    ($($name:ident $ty:ident |$value:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let address = s.address(i.a, i.offset);
            let $value = match s.load::<$ty>(address) { Ok(value) => value, Err(at) => return s.beyond(at) };
            s.set_lanes(i.d, $result);
            s.go()
        }
    )* } };
}

unary! {
    v128_not |a| not(a);
    i8x16_abs |a| {
        let signs = _mm_cmpgt_epi8(zero(), a);
        _mm_sub_epi8(_mm_xor_si128(a, signs), signs)
    };
    i16x8_abs |a| _mm_max_epi16(a, _mm_sub_epi16(zero(), a));
    i32x4_abs |a| {
        let signs = _mm_srai_epi32(a, 31);
        _mm_sub_epi32(_mm_xor_si128(a, signs), signs)
    };
    i64x2_abs |a| _mm_sub_epi64(_mm_xor_si128(a, sign64(a)), sign64(a));
    i8x16_neg |a| _mm_sub_epi8(zero(), a);
    i16x8_neg |a| _mm_sub_epi16(zero(), a);
    i32x4_neg |a| _mm_sub_epi32(zero(), a);
    i64x2_neg |a| _mm_sub_epi64(zero(), a);
    i8x16_popcnt |a| {
        // In pairs of bits, then in nibbles, then in bytes.
        let (two, four) = (_mm_set1_epi8(0x55), _mm_set1_epi8(0x33));
        let a = _mm_sub_epi8(a, _mm_and_si128(_mm_srli_epi16(a, 1), two));
        let a = _mm_add_epi8(_mm_and_si128(a, four), _mm_and_si128(_mm_srli_epi16(a, 2), four));
        _mm_and_si128(_mm_add_epi8(a, _mm_srli_epi16(a, 4)), _mm_set1_epi8(0x0f))
    };
    i16x8_extend_low_i8x16_s |a| low_s8(a);
    i16x8_extend_high_i8x16_s |a| high_s8(a);
    i16x8_extend_low_i8x16_u |a| low_u8(a);
    i16x8_extend_high_i8x16_u |a| high_u8(a);
    i32x4_extend_low_i16x8_s |a| low_s16(a);
    i32x4_extend_high_i16x8_s |a| high_s16(a);
    i32x4_extend_low_i16x8_u |a| low_u16(a);
    i32x4_extend_high_i16x8_u |a| high_u16(a);
    i64x2_extend_low_i32x4_s |a| low_s32(a);
    i64x2_extend_high_i32x4_s |a| high_s32(a);
    i64x2_extend_low_i32x4_u |a| low_u32(a);
    i64x2_extend_high_i32x4_u |a| high_u32(a);
    i16x8_extadd_pairwise_i8x16_s |a|
        _mm_add_epi16(_mm_srai_epi16(_mm_slli_epi16(a, 8), 8), _mm_srai_epi16(a, 8));
    i16x8_extadd_pairwise_i8x16_u |a|
        _mm_add_epi16(_mm_and_si128(a, _mm_set1_epi16(0xff)), _mm_srli_epi16(a, 8));
    i32x4_extadd_pairwise_i16x8_s |a| _mm_madd_epi16(a, _mm_set1_epi16(1));
    i32x4_extadd_pairwise_i16x8_u |a|
        _mm_add_epi32(_mm_and_si128(a, _mm_set1_epi32(0xffff)), _mm_srli_epi32(a, 16));
    f32x4_abs |a| _mm_and_si128(a, _mm_set1_epi32(i32::MAX));
    f32x4_neg |a| flipped(a);
    f64x2_abs |a| _mm_and_si128(a, _mm_set1_epi64x(i64::MAX));
    f64x2_neg |a| _mm_xor_si128(a, _mm_set1_epi64x(i64::MIN));
    f32x4_convert_i32x4_s |a| _mm_castps_si128(_mm_cvtepi32_ps(a));
    f64x2_convert_low_i32x4_s |a| _mm_castpd_si128(_mm_cvtepi32_pd(a));
}

binary! {
    v128_and |a, b| _mm_and_si128(a, b);
    v128_andnot |a, b| _mm_andnot_si128(b, a);
    v128_or |a, b| _mm_or_si128(a, b);
    v128_xor |a, b| _mm_xor_si128(a, b);
    i8x16_eq |a, b| _mm_cmpeq_epi8(a, b);
    i8x16_ne |a, b| not(_mm_cmpeq_epi8(a, b));
    i8x16_lt_s |a, b| _mm_cmpgt_epi8(b, a);
    i8x16_gt_s |a, b| _mm_cmpgt_epi8(a, b);
    i8x16_le_s |a, b| not(_mm_cmpgt_epi8(a, b));
    i8x16_ge_s |a, b| not(_mm_cmpgt_epi8(b, a));
    i8x16_lt_u |a, b| not(_mm_cmpeq_epi8(_mm_max_epu8(a, b), a));
    i8x16_gt_u |a, b| not(_mm_cmpeq_epi8(_mm_max_epu8(a, b), b));
    i8x16_le_u |a, b| _mm_cmpeq_epi8(_mm_max_epu8(a, b), b);
    i8x16_ge_u |a, b| _mm_cmpeq_epi8(_mm_max_epu8(a, b), a);
    i16x8_eq |a, b| _mm_cmpeq_epi16(a, b);
    i16x8_ne |a, b| not(_mm_cmpeq_epi16(a, b));
    i16x8_lt_s |a, b| _mm_cmpgt_epi16(b, a);
    i16x8_gt_s |a, b| _mm_cmpgt_epi16(a, b);
    i16x8_le_s |a, b| not(_mm_cmpgt_epi16(a, b));
    i16x8_ge_s |a, b| not(_mm_cmpgt_epi16(b, a));
    i16x8_lt_u |a, b| not(no_more_u16(b, a));
    i16x8_gt_u |a, b| not(no_more_u16(a, b));
    i16x8_le_u |a, b| no_more_u16(a, b);
    i16x8_ge_u |a, b| no_more_u16(b, a);
    i32x4_eq |a, b| _mm_cmpeq_epi32(a, b);
    i32x4_ne |a, b| not(_mm_cmpeq_epi32(a, b));
    i32x4_lt_s |a, b| _mm_cmpgt_epi32(b, a);
    i32x4_gt_s |a, b| _mm_cmpgt_epi32(a, b);
    i32x4_le_s |a, b| not(_mm_cmpgt_epi32(a, b));
    i32x4_ge_s |a, b| not(_mm_cmpgt_epi32(b, a));
    i32x4_lt_u |a, b| more_u32(b, a);
    i32x4_gt_u |a, b| more_u32(a, b);
    i32x4_le_u |a, b| not(more_u32(a, b));
    i32x4_ge_u |a, b| not(more_u32(b, a));
    i8x16_add |a, b| _mm_add_epi8(a, b);
    i8x16_sub |a, b| _mm_sub_epi8(a, b);
    i8x16_add_sat_s |a, b| _mm_adds_epi8(a, b);
    i8x16_add_sat_u |a, b| _mm_adds_epu8(a, b);
    i8x16_sub_sat_s |a, b| _mm_subs_epi8(a, b);
    i8x16_sub_sat_u |a, b| _mm_subs_epu8(a, b);
    i8x16_min_s |a, b| choose(_mm_cmpgt_epi8(a, b), b, a);
    i8x16_max_s |a, b| choose(_mm_cmpgt_epi8(a, b), a, b);
    i8x16_min_u |a, b| _mm_min_epu8(a, b);
    i8x16_max_u |a, b| _mm_max_epu8(a, b);
    i8x16_avgr_u |a, b| _mm_avg_epu8(a, b);
    i16x8_add |a, b| _mm_add_epi16(a, b);
    i16x8_sub |a, b| _mm_sub_epi16(a, b);
    i16x8_mul |a, b| _mm_mullo_epi16(a, b);
    i16x8_add_sat_s |a, b| _mm_adds_epi16(a, b);
    i16x8_add_sat_u |a, b| _mm_adds_epu16(a, b);
    i16x8_sub_sat_s |a, b| _mm_subs_epi16(a, b);
    i16x8_sub_sat_u |a, b| _mm_subs_epu16(a, b);
    i16x8_min_s |a, b| _mm_min_epi16(a, b);
    i16x8_max_s |a, b| _mm_max_epi16(a, b);
    i16x8_min_u |a, b| _mm_sub_epi16(a, _mm_subs_epu16(a, b));
    i16x8_max_u |a, b| _mm_add_epi16(b, _mm_subs_epu16(a, b));
    i16x8_avgr_u |a, b| _mm_avg_epu16(a, b);
    i32x4_add |a, b| _mm_add_epi32(a, b);
    i32x4_sub |a, b| _mm_sub_epi32(a, b);
    i32x4_mul |a, b| {
        let even = _mm_mul_epu32(a, b);
        let odd = _mm_mul_epu32(_mm_srli_epi64(a, 32), _mm_srli_epi64(b, 32));
        let (even, odd) =
            (_mm_shuffle_epi32(even, 0b00_00_10_00), _mm_shuffle_epi32(odd, 0b00_00_10_00));
        _mm_unpacklo_epi32(even, odd)
    };
    i32x4_min_s |a, b| choose(_mm_cmpgt_epi32(a, b), b, a);
    i32x4_max_s |a, b| choose(_mm_cmpgt_epi32(a, b), a, b);
    i32x4_min_u |a, b| choose(more_u32(a, b), b, a);
    i32x4_max_u |a, b| choose(more_u32(a, b), a, b);
    i64x2_add |a, b| _mm_add_epi64(a, b);
    i64x2_sub |a, b| _mm_sub_epi64(a, b);
    i64x2_mul |a, b| {
        let crossed = _mm_add_epi64(
            _mm_mul_epu32(_mm_srli_epi64(a, 32), b),
            _mm_mul_epu32(a, _mm_srli_epi64(b, 32)),
        );
        _mm_add_epi64(_mm_mul_epu32(a, b), _mm_slli_epi64(crossed, 32))
    };
    i8x16_narrow_i16x8_s |a, b| _mm_packs_epi16(a, b);
    i8x16_narrow_i16x8_u |a, b| _mm_packus_epi16(a, b);
    i16x8_narrow_i32x4_s |a, b| _mm_packs_epi32(a, b);
    i16x8_narrow_i32x4_u |a, b| {
        // There is no such instruction: moved down by half the range, limited with signs, moved back.
        let half = _mm_set1_epi32(0x8000);
        let a = _mm_sub_epi32(_mm_and_si128(a, _mm_cmpgt_epi32(a, zero())), half);
        let b = _mm_sub_epi32(_mm_and_si128(b, _mm_cmpgt_epi32(b, zero())), half);
        _mm_add_epi16(_mm_packs_epi32(a, b), _mm_set1_epi16(i16::MIN))
    };
    i16x8_extmul_low_i8x16_s |a, b| _mm_mullo_epi16(low_s8(a), low_s8(b));
    i16x8_extmul_high_i8x16_s |a, b| _mm_mullo_epi16(high_s8(a), high_s8(b));
    i16x8_extmul_low_i8x16_u |a, b| _mm_mullo_epi16(low_u8(a), low_u8(b));
    i16x8_extmul_high_i8x16_u |a, b| _mm_mullo_epi16(high_u8(a), high_u8(b));
    i32x4_extmul_low_i16x8_s |a, b|
        _mm_unpacklo_epi16(_mm_mullo_epi16(a, b), _mm_mulhi_epi16(a, b));
    i32x4_extmul_high_i16x8_s |a, b|
        _mm_unpackhi_epi16(_mm_mullo_epi16(a, b), _mm_mulhi_epi16(a, b));
    i32x4_extmul_low_i16x8_u |a, b|
        _mm_unpacklo_epi16(_mm_mullo_epi16(a, b), _mm_mulhi_epu16(a, b));
    i32x4_extmul_high_i16x8_u |a, b|
        _mm_unpackhi_epi16(_mm_mullo_epi16(a, b), _mm_mulhi_epu16(a, b));
    i64x2_extmul_low_i32x4_u |a, b| _mm_mul_epu32(low_u32(a), low_u32(b));
    i64x2_extmul_high_i32x4_u |a, b| _mm_mul_epu32(high_u32(a), high_u32(b));
    i32x4_dot_i16x8_s |a, b| _mm_madd_epi16(a, b);
}

handlers! {
    fn v128_bitselect(s, i) {
        s.set_lanes(i.d, choose(s.lanes(i.c), s.lanes(i.a), s.lanes(i.b)));
        s.go()
    }
}

floats! { _mm_castsi128_ps _mm_castps_si128
    f32x4_sqrt |a| _mm_sqrt_ps(a);
    f32x4_eq |a, b| _mm_cmpeq_ps(a, b);
    f32x4_ne |a, b| _mm_cmpneq_ps(a, b);
    f32x4_lt |a, b| _mm_cmplt_ps(a, b);
    f32x4_gt |a, b| _mm_cmplt_ps(b, a);
    f32x4_le |a, b| _mm_cmple_ps(a, b);
    f32x4_ge |a, b| _mm_cmple_ps(b, a);
    f32x4_add |a, b| _mm_add_ps(a, b);
    f32x4_sub |a, b| _mm_sub_ps(a, b);
    f32x4_mul |a, b| _mm_mul_ps(a, b);
    f32x4_div |a, b| _mm_div_ps(a, b);
    // The machine's give their second operand if the first is not less, or not greater.
    f32x4_pmin |a, b| _mm_min_ps(b, a);
    f32x4_pmax |a, b| _mm_max_ps(b, a);
}

floats! { _mm_castsi128_ps _mm_castps_si128
    // In either order: of zeros of both signs each is once the second.
    f32x4_min |a, b| {
        let least = _mm_or_ps(_mm_min_ps(a, b), _mm_min_ps(b, a));
        let unordered = _mm_cmpunord_ps(a, b);
        _mm_or_ps(_mm_and_ps(unordered, _mm_add_ps(a, b)), _mm_andnot_ps(unordered, least))
    };
    f32x4_max |a, b| {
        let greatest = _mm_and_ps(_mm_max_ps(a, b), _mm_max_ps(b, a));
        let unordered = _mm_cmpunord_ps(a, b);
        _mm_or_ps(_mm_and_ps(unordered, _mm_add_ps(a, b)), _mm_andnot_ps(unordered, greatest))
    };
}

floats! { _mm_castsi128_pd _mm_castpd_si128
    f64x2_min |a, b| {
        let least = _mm_or_pd(_mm_min_pd(a, b), _mm_min_pd(b, a));
        let unordered = _mm_cmpunord_pd(a, b);
        _mm_or_pd(_mm_and_pd(unordered, _mm_add_pd(a, b)), _mm_andnot_pd(unordered, least))
    };
    f64x2_max |a, b| {
        let greatest = _mm_and_pd(_mm_max_pd(a, b), _mm_max_pd(b, a));
        let unordered = _mm_cmpunord_pd(a, b);
        _mm_or_pd(_mm_and_pd(unordered, _mm_add_pd(a, b)), _mm_andnot_pd(unordered, greatest))
    };
    f64x2_sqrt |a| _mm_sqrt_pd(a);
    f64x2_eq |a, b| _mm_cmpeq_pd(a, b);
    f64x2_ne |a, b| _mm_cmpneq_pd(a, b);
    f64x2_lt |a, b| _mm_cmplt_pd(a, b);
    f64x2_gt |a, b| _mm_cmplt_pd(b, a);
    f64x2_le |a, b| _mm_cmple_pd(a, b);
    f64x2_ge |a, b| _mm_cmple_pd(b, a);
    f64x2_add |a, b| _mm_add_pd(a, b);
    f64x2_sub |a, b| _mm_sub_pd(a, b);
    f64x2_mul |a, b| _mm_mul_pd(a, b);
    f64x2_div |a, b| _mm_div_pd(a, b);
    f64x2_pmin |a, b| _mm_min_pd(b, a);
    f64x2_pmax |a, b| _mm_max_pd(b, a);
}

shifts! {
    i8x16_shl 8 |a, n| {
        let kept = _mm_set1_epi8((0xff << n) as i8);
        _mm_and_si128(_mm_sll_epi16(a, _mm_cvtsi32_si128(n)), kept)
    };
    i8x16_shr_u 8 |a, n| {
        let kept = _mm_set1_epi8((0xff >> n) as i8);
        _mm_and_si128(_mm_srl_epi16(a, _mm_cvtsi32_si128(n)), kept)
    };
    i8x16_shr_s 8 |a, n| {
        let kept = _mm_set1_epi8((0xff >> n) as i8);
        let sign = _mm_set1_epi8((0x80 >> n) as i8);
        let shifted = _mm_and_si128(_mm_srl_epi16(a, _mm_cvtsi32_si128(n)), kept);
        _mm_sub_epi8(_mm_xor_si128(shifted, sign), sign)
    };
    i16x8_shl 16 |a, n| _mm_sll_epi16(a, _mm_cvtsi32_si128(n));
    i16x8_shr_u 16 |a, n| _mm_srl_epi16(a, _mm_cvtsi32_si128(n));
    i16x8_shr_s 16 |a, n| _mm_sra_epi16(a, _mm_cvtsi32_si128(n));
    i32x4_shl 32 |a, n| _mm_sll_epi32(a, _mm_cvtsi32_si128(n));
    i32x4_shr_u 32 |a, n| _mm_srl_epi32(a, _mm_cvtsi32_si128(n));
    i32x4_shr_s 32 |a, n| _mm_sra_epi32(a, _mm_cvtsi32_si128(n));
    i64x2_shl 64 |a, n| _mm_sll_epi64(a, _mm_cvtsi32_si128(n));
    i64x2_shr_u 64 |a, n| _mm_srl_epi64(a, _mm_cvtsi32_si128(n));
    i64x2_shr_s 64 |a, n| {
        let sign = _mm_srl_epi64(_mm_set1_epi64x(i64::MIN), _mm_cvtsi32_si128(n));
        let shifted = _mm_srl_epi64(a, _mm_cvtsi32_si128(n));
        _mm_sub_epi64(_mm_xor_si128(shifted, sign), sign)
    };
}

tests! {
    i8x16_all_true |a| _mm_movemask_epi8(_mm_cmpeq_epi8(a, zero())) == 0;
    i16x8_all_true |a| _mm_movemask_epi8(_mm_cmpeq_epi16(a, zero())) == 0;
    i32x4_all_true |a| _mm_movemask_epi8(_mm_cmpeq_epi32(a, zero())) == 0;
    i8x16_bitmask |a| _mm_movemask_epi8(a);
    i16x8_bitmask |a| _mm_movemask_epi8(_mm_packs_epi16(a, zero()));
    i32x4_bitmask |a| _mm_movemask_ps(_mm_castsi128_ps(a));
    i64x2_bitmask |a| _mm_movemask_pd(_mm_castsi128_pd(a));
}

splats! {
    i8x16_splat u32 |x| _mm_set1_epi8(x as i8);
    i16x8_splat u32 |x| _mm_set1_epi16(x as i16);
    i32x4_splat u32 |x| _mm_set1_epi32(x as i32);
    i64x2_splat u64 |x| _mm_set1_epi64x(x as i64);
}

loads! {
    v128_load8x8_s u64 |v| low_s8(_mm_cvtsi64_si128(v as i64));
    v128_load8x8_u u64 |v| low_u8(_mm_cvtsi64_si128(v as i64));
    v128_load16x4_s u64 |v| low_s16(_mm_cvtsi64_si128(v as i64));
    v128_load16x4_u u64 |v| low_u16(_mm_cvtsi64_si128(v as i64));
    v128_load32x2_s u64 |v| low_s32(_mm_cvtsi64_si128(v as i64));
    v128_load32x2_u u64 |v| low_u32(_mm_cvtsi64_si128(v as i64));
    v128_load8_splat u8 |v| _mm_set1_epi8(v as i8);
    v128_load16_splat u16 |v| _mm_set1_epi16(v as i16);
    v128_load32_splat u32 |v| _mm_set1_epi32(v as i32);
    v128_load64_splat u64 |v| _mm_set1_epi64x(v as i64);
    v128_load32_zero u32 |v| _mm_cvtsi32_si128(v as i32);
    v128_load64_zero u64 |v| _mm_cvtsi64_si128(v as i64);
}

replaces! {
    i8x16_replace_lane v128_load8_lane u8 16 |x, lane| _mm_set1_epi8(x as i8), {
        let numbers = _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        _mm_cmpeq_epi8(_mm_set1_epi8(lane as i8), numbers)
    };
    i16x8_replace_lane v128_load16_lane u16 8 |x, lane| _mm_set1_epi16(x as i16),
        _mm_cmpeq_epi16(_mm_set1_epi16(lane as i16), _mm_set_epi16(7, 6, 5, 4, 3, 2, 1, 0));
    i32x4_replace_lane v128_load32_lane u32 4 |x, lane| _mm_set1_epi32(x as i32),
        _mm_cmpeq_epi32(_mm_set1_epi32(i32::from(lane)), _mm_set_epi32(3, 2, 1, 0));
    i64x2_replace_lane v128_load64_lane u64 2 |x, lane| _mm_set1_epi64x(x as i64),
        _mm_cmpeq_epi32(_mm_set1_epi32(i32::from(lane)), _mm_set_epi32(1, 1, 0, 0));
}

// The same on the same bits, or one of what the engine may choose from.
pub(super) use f32x4_max as f32x4_relaxed_max;
pub(super) use f32x4_min as f32x4_relaxed_min;
pub(super) use f64x2_max as f64x2_relaxed_max;
pub(super) use f64x2_min as f64x2_relaxed_min;
pub(super) use i8x16_swizzle as i8x16_relaxed_swizzle;
pub(super) use i32x4_replace_lane as f32x4_replace_lane;
pub(super) use i32x4_splat as f32x4_splat;
pub(super) use i64x2_replace_lane as f64x2_replace_lane;
pub(super) use i64x2_splat as f64x2_splat;
pub(super) use v128_bitselect as i8x16_relaxed_laneselect;
pub(super) use v128_bitselect as i16x8_relaxed_laneselect;
pub(super) use v128_bitselect as i32x4_relaxed_laneselect;
pub(super) use v128_bitselect as i64x2_relaxed_laneselect;

handlers! {
    fn i8x16_swizzle(s, i) {
        if is_x86_feature_detected!("ssse3") {
            return s.instead(swizzle);
        }
        s.set_wide(i.d, simd::i8x16_swizzle(s.get_wide(i.a), s.get_wide(i.b)));
        s.go()
    }

    fn i8x16_shuffle(s, i) {
        if is_x86_feature_detected!("ssse3") {
            return s.instead(shuffle);
        }
        let lanes = i.lanes.0.to_le_bytes();
        s.set_wide(i.d, simd::i8x16_shuffle(s.get_wide(i.a), s.get_wide(i.b), lanes));
        s.go()
    }

    /// Where the machine chooses bytes by itself. It gives zero for a number with the highest bit, which
    /// 0x70 sets in those that are out of range.
    #[target_feature(enable = "ssse3")]
    fn swizzle: i8x16_swizzle(s, i) {
        let numbers = _mm_adds_epu8(s.lanes(i.b), _mm_set1_epi8(0x70));
        s.set_lanes(i.d, _mm_shuffle_epi8(s.lanes(i.a), numbers));
        s.go()
    }

    /// As above, from either vector.
    #[target_feature(enable = "ssse3")]
    fn shuffle: i8x16_shuffle(s, i) {
        let lanes = _mm_set_epi64x((i.lanes.0 >> 64) as i64, i.lanes.0 as i64);
        let a = _mm_shuffle_epi8(s.lanes(i.a), _mm_add_epi8(lanes, _mm_set1_epi8(0x70)));
        let b = _mm_shuffle_epi8(s.lanes(i.b), _mm_sub_epi8(lanes, _mm_set1_epi8(16)));
        s.set_lanes(i.d, _mm_or_si128(a, b));
        s.go()
    }
}
