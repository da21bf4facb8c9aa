//! Arithmetic, comparisons and conversions of scalars.

use super::numeric;
use super::state::handlers;
use crate::simd::{double, single};

/// `name operand type |operands| result;`
macro_rules! binary {
    ($($name:ident $ty:ident |$a:ident, $b:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let ($a, $b): ($ty, $ty) = (s.get(i.a), s.get(i.b));
            s.set(i.d, $result);
            s.go()
        }
    )* } };
}

macro_rules! binary_imm {
    ($($name:ident $ty:ident |$a:ident, $b:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let ($a, $b): ($ty, $ty) = (s.get(i.a), i.b.0 as $ty);
            s.set(i.d, $result);
            s.go()
        }
    )* } };
}

macro_rules! unary {
    ($($name:ident $ty:ident |$a:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let $a: $ty = s.get(i.a);
            s.set(i.d, $result);
            s.go()
        }
    )* } };
}

macro_rules! division {
    ($($name:ident)*) => { handlers! { $(
        fn $name(s, i) {
            match numeric::$name(s.get(i.a), s.get(i.b)) {
                Ok(value) => {
                    s.set(i.d, value);
                    s.go()
                }
                Err(code) => s.trap(code),
            }
        }
    )* } };
}

macro_rules! truncation {
    ($($name:ident)*) => { handlers! { $(
        fn $name(s, i) {
            match numeric::$name(s.get(i.a)) {
                Ok(value) => {
                    s.set(i.d, value);
                    s.go()
                }
                Err(code) => s.trap(code),
            }
        }
    )* } };
}

binary! {
    i32_add u32 |a, b| a.wrapping_add(b);
    i32_sub u32 |a, b| a.wrapping_sub(b);
    i32_mul u32 |a, b| a.wrapping_mul(b);
    i32_and u32 |a, b| a & b;
    i32_or u32 |a, b| a | b;
    i32_xor u32 |a, b| a ^ b;
    i32_shl u32 |a, b| a.wrapping_shl(b as u32);
    i32_shr_s i32 |a, b| a.wrapping_shr(b as u32);
    i32_shr_u u32 |a, b| a.wrapping_shr(b as u32);
    i32_rotl u32 |a, b| a.rotate_left(b as u32 & 31);
    i32_rotr u32 |a, b| a.rotate_right(b as u32 & 31);
    i32_eq u32 |a, b| a == b;
    i32_ne u32 |a, b| a != b;
    i32_lt_s i32 |a, b| a < b;
    i32_lt_u u32 |a, b| a < b;
    i32_le_s i32 |a, b| a <= b;
    i32_le_u u32 |a, b| a <= b;
    i64_add u64 |a, b| a.wrapping_add(b);
    i64_sub u64 |a, b| a.wrapping_sub(b);
    i64_mul u64 |a, b| a.wrapping_mul(b);
    i64_and u64 |a, b| a & b;
    i64_or u64 |a, b| a | b;
    i64_xor u64 |a, b| a ^ b;
    i64_shl u64 |a, b| a.wrapping_shl(b as u32);
    i64_shr_s i64 |a, b| a.wrapping_shr(b as u32);
    i64_shr_u u64 |a, b| a.wrapping_shr(b as u32);
    i64_rotl u64 |a, b| a.rotate_left(b as u32 & 63);
    i64_rotr u64 |a, b| a.rotate_right(b as u32 & 63);
    i64_eq u64 |a, b| a == b;
    i64_ne u64 |a, b| a != b;
    i64_lt_s i64 |a, b| a < b;
    i64_lt_u u64 |a, b| a < b;
    i64_le_s i64 |a, b| a <= b;
    i64_le_u u64 |a, b| a <= b;
    i32_any u32 |a, b| a & b != 0;
    i32_none u32 |a, b| a & b == 0;
    f32_eq f32 |a, b| a == b;
    f32_ne f32 |a, b| a != b;
    f32_lt f32 |a, b| a < b;
    f32_le f32 |a, b| a <= b;
    f32_nlt f32 |a, b| !matches!(a.partial_cmp(&b), Some(std::cmp::Ordering::Less));
    f32_nle f32 |a, b| matches!(a.partial_cmp(&b), None | Some(std::cmp::Ordering::Greater));
    f32_add f32 |a, b| a + b;
    f32_sub f32 |a, b| a - b;
    f32_mul f32 |a, b| a * b;
    f32_div f32 |a, b| a / b;
    f32_min f32 |a, b| numeric::f32_min(a, b);
    f32_max f32 |a, b| numeric::f32_max(a, b);
    f32_copysign f32 |a, b| a.copysign(b);
    f64_eq f64 |a, b| a == b;
    f64_ne f64 |a, b| a != b;
    f64_lt f64 |a, b| a < b;
    f64_le f64 |a, b| a <= b;
    f64_nlt f64 |a, b| !matches!(a.partial_cmp(&b), Some(std::cmp::Ordering::Less));
    f64_nle f64 |a, b| matches!(a.partial_cmp(&b), None | Some(std::cmp::Ordering::Greater));
    f64_add f64 |a, b| a + b;
    f64_sub f64 |a, b| a - b;
    f64_mul f64 |a, b| a * b;
    f64_div f64 |a, b| a / b;
    f64_min f64 |a, b| numeric::f64_min(a, b);
    f64_max f64 |a, b| numeric::f64_max(a, b);
    f64_copysign f64 |a, b| a.copysign(b);
}

binary_imm! {
    i32_add_imm u32 |a, b| a.wrapping_add(b);
    i32_mul_imm u32 |a, b| a.wrapping_mul(b);
    i32_and_imm u32 |a, b| a & b;
    i32_or_imm u32 |a, b| a | b;
    i32_xor_imm u32 |a, b| a ^ b;
    i32_shl_imm u32 |a, b| a.wrapping_shl(b as u32);
    i32_shr_s_imm i32 |a, b| a.wrapping_shr(b as u32);
    i32_shr_u_imm u32 |a, b| a.wrapping_shr(b as u32);
    i32_rotl_imm u32 |a, b| a.rotate_left(b as u32 & 31);
    i32_eq_imm u32 |a, b| a == b;
    i32_ne_imm u32 |a, b| a != b;
    i32_lt_s_imm i32 |a, b| a < b;
    i32_lt_u_imm u32 |a, b| a < b;
    i32_gt_s_imm i32 |a, b| a > b;
    i32_gt_u_imm u32 |a, b| a > b;
    i32_le_s_imm i32 |a, b| a <= b;
    i32_le_u_imm u32 |a, b| a <= b;
    i32_ge_s_imm i32 |a, b| a >= b;
    i32_ge_u_imm u32 |a, b| a >= b;
    i64_add_imm u64 |a, b| a.wrapping_add(b);
    i64_mul_imm u64 |a, b| a.wrapping_mul(b);
    i64_and_imm u64 |a, b| a & b;
    i64_or_imm u64 |a, b| a | b;
    i64_xor_imm u64 |a, b| a ^ b;
    i64_shl_imm u64 |a, b| a.wrapping_shl(b as u32);
    i64_shr_s_imm i64 |a, b| a.wrapping_shr(b as u32);
    i64_shr_u_imm u64 |a, b| a.wrapping_shr(b as u32);
    i64_rotl_imm u64 |a, b| a.rotate_left(b as u32 & 63);
    i64_eq_imm u64 |a, b| a == b;
    i64_ne_imm u64 |a, b| a != b;
    i64_lt_s_imm i64 |a, b| a < b;
    i64_lt_u_imm u64 |a, b| a < b;
    i64_gt_s_imm i64 |a, b| a > b;
    i64_gt_u_imm u64 |a, b| a > b;
    i64_le_s_imm i64 |a, b| a <= b;
    i64_le_u_imm u64 |a, b| a <= b;
    i64_ge_s_imm i64 |a, b| a >= b;
    i64_ge_u_imm u64 |a, b| a >= b;
    i32_any_imm u32 |a, b| a & b != 0;
    i32_none_imm u32 |a, b| a & b == 0;
}

/// Divisions by a constant that is neither zero nor, where that matters, minus one.
macro_rules! division_imm {
    ($($name:ident $ty:ident $method:ident;)*) => { handlers! { $(
        fn $name(s, i) {
            let value = s.get::<$ty>(i.a).$method(i.b.0 as $ty).unwrap_unchecked();
            s.set(i.d, value);
            s.go()
        }
    )* } };
}

division_imm! {
    i32_div_s_imm i32 checked_div;
    i32_div_u_imm u32 checked_div;
    i32_rem_s_imm i32 checked_rem;
    i32_rem_u_imm u32 checked_rem;
    i64_div_s_imm i64 checked_div;
    i64_div_u_imm u64 checked_div;
    i64_rem_s_imm i64 checked_rem;
    i64_rem_u_imm u64 checked_rem;
}

handlers! {
    fn f64_add_imm(s, i) {
        s.set(i.d, s.get::<f64>(i.a) + f64::from_bits(i.b.0));
        s.go()
    }

    fn f64_sub_imm(s, i) {
        s.set(i.d, s.get::<f64>(i.a) - f64::from_bits(i.b.0));
        s.go()
    }

    fn f64_mul_imm(s, i) {
        s.set(i.d, s.get::<f64>(i.a) * f64::from_bits(i.b.0));
        s.go()
    }

    fn f64_div_imm(s, i) {
        s.set(i.d, s.get::<f64>(i.a) / f64::from_bits(i.b.0));
        s.go()
    }

    fn i32_add_shl(s, i) {
        let b = s.get::<u32>(i.b).wrapping_shl(u32::from(i.shift.0));
        s.set(i.d, s.get::<u32>(i.a).wrapping_add(b));
        s.go()
    }

    fn i64_add_shl(s, i) {
        let b = s.get::<u64>(i.b).wrapping_shl(u32::from(i.shift.0));
        s.set(i.d, s.get::<u64>(i.a).wrapping_add(b));
        s.go()
    }
}

division! {
    i32_div_s i32_div_u i32_rem_s i32_rem_u i64_div_s i64_div_u i64_rem_s i64_rem_u
}

truncation! {
    i32_trunc_f32_s i32_trunc_f32_u i32_trunc_f64_s i32_trunc_f64_u
    i64_trunc_f32_s i64_trunc_f32_u i64_trunc_f64_s i64_trunc_f64_u
}

unary! {
    i32_clz u32 |a| a.leading_zeros();
    i32_ctz u32 |a| a.trailing_zeros();
    i32_popcnt u32 |a| a.count_ones();
    i64_clz u64 |a| u64::from(a.leading_zeros());
    i64_ctz u64 |a| u64::from(a.trailing_zeros());
    i64_popcnt u64 |a| u64::from(a.count_ones());
    i32_wrap_i64 u32 |a| a;
    i64_extend_i32_s i32 |a| i64::from(a);
    i32_extend8_s i32 |a| i32::from(a as i8);
    i32_extend16_s i32 |a| i32::from(a as i16);
    i64_extend8_s i64 |a| i64::from(a as i8);
    i64_extend16_s i64 |a| i64::from(a as i16);
    i64_extend32_s i64 |a| i64::from(a as i32);
    f32_abs f32 |a| a.abs();
    f32_neg f32 |a| -a;
    f32_ceil u32 |a| f32::from_bits(single::ceil(a));
    f32_floor u32 |a| f32::from_bits(single::floor(a));
    f32_trunc u32 |a| f32::from_bits(single::trunc(a));
    f32_nearest u32 |a| f32::from_bits(single::nearest(a));
    f32_sqrt f32 |a| a.sqrt();
    f32_canonical f32 |a| numeric::f32_canonical(a);
    f64_abs f64 |a| a.abs();
    f64_neg f64 |a| -a;
    f64_ceil u64 |a| f64::from_bits(double::ceil(a));
    f64_floor u64 |a| f64::from_bits(double::floor(a));
    f64_trunc u64 |a| f64::from_bits(double::trunc(a));
    f64_nearest u64 |a| f64::from_bits(double::nearest(a));
    f64_sqrt f64 |a| a.sqrt();
    f64_canonical f64 |a| numeric::f64_canonical(a);
    f32_demote_f64 f64 |a| a as f32;
    f64_promote_f32 f32 |a| f64::from(a);
    f32_convert_i32_s i32 |a| a as f32;
    f32_convert_i32_u u32 |a| a as f32;
    f32_convert_i64_s i64 |a| a as f32;
    f32_convert_i64_u u64 |a| a as f32;
    f64_convert_i32_s i32 |a| f64::from(a);
    f64_convert_i32_u u32 |a| f64::from(a);
    f64_convert_i64_s i64 |a| a as f64;
    f64_convert_i64_u u64 |a| a as f64;
    i32_trunc_sat_f32_s f32 |a| a as i32;
    i32_trunc_sat_f32_u f32 |a| a as u32;
    i32_trunc_sat_f64_s f64 |a| a as i32;
    i32_trunc_sat_f64_u f64 |a| a as u32;
    i64_trunc_sat_f32_s f32 |a| a as i64;
    i64_trunc_sat_f32_u f32 |a| a as u64;
    i64_trunc_sat_f64_s f64 |a| a as i64;
    i64_trunc_sat_f64_u f64 |a| a as u64;
}
