//! Arithmetic that takes an operand from the register where the instruction before left it. What depends on
//! that need not wait for the slot.

use super::numeric;
use super::state::{State, handlers};

/// What the instruction before may have left.
trait Left {
    fn left(state: &State) -> Self;
}

macro_rules! left {
    ($($ty:ident $register:ident;)*) => { $(
        impl Left for $ty {
            #[inline(always)]
            fn left(state: &State) -> $ty {
                state.$register as $ty
            }
        }
    )* };
}

left! {
    u32 acc;
    i32 acc;
    u64 acc;
    i64 acc;
    f32 single;
    f64 double;
}

/// `name operand type |operands| result;`, the first operand from the register.
macro_rules! binary_acc {
    ($($name:ident $ty:ident |$a:ident, $b:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let ($a, $b): ($ty, $ty) = (s.acc as $ty, s.get(i.b));
            s.set(i.d, $result);
            s.go()
        }
    )* } };
}

macro_rules! binary_imm_acc {
    ($($name:ident $ty:ident |$a:ident, $b:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let ($a, $b): ($ty, $ty) = (s.acc as $ty, i.b.0 as $ty);
            s.set(i.d, $result);
            s.go()
        }
    )* } };
}

binary_acc! {
    i32_add_acc u32 |a, b| a.wrapping_add(b);
    i32_mul_acc u32 |a, b| a.wrapping_mul(b);
    i32_and_acc u32 |a, b| a & b;
    i32_or_acc u32 |a, b| a | b;
    i32_xor_acc u32 |a, b| a ^ b;
    i32_sub_acc u32 |a, b| a.wrapping_sub(b);
    i32_shl_acc u32 |a, b| a.wrapping_shl(b as u32);
    i32_shr_s_acc i32 |a, b| a.wrapping_shr(b as u32);
    i32_shr_u_acc u32 |a, b| a.wrapping_shr(b as u32);
    i32_rotl_acc u32 |a, b| a.rotate_left(b as u32 & 31);
    i32_rotr_acc u32 |a, b| a.rotate_right(b as u32 & 31);
    i64_add_acc u64 |a, b| a.wrapping_add(b);
    i64_mul_acc u64 |a, b| a.wrapping_mul(b);
    i64_and_acc u64 |a, b| a & b;
    i64_or_acc u64 |a, b| a | b;
    i64_xor_acc u64 |a, b| a ^ b;
    i64_sub_acc u64 |a, b| a.wrapping_sub(b);
    i64_shl_acc u64 |a, b| a.wrapping_shl(b as u32);
    i64_shr_s_acc i64 |a, b| a.wrapping_shr(b as u32);
    i64_shr_u_acc u64 |a, b| a.wrapping_shr(b as u32);
    i64_rotl_acc u64 |a, b| a.rotate_left(b as u32 & 63);
    i64_rotr_acc u64 |a, b| a.rotate_right(b as u32 & 63);
}

binary_imm_acc! {
    i32_add_imm_acc u32 |a, b| a.wrapping_add(b);
    i32_mul_imm_acc u32 |a, b| a.wrapping_mul(b);
    i32_and_imm_acc u32 |a, b| a & b;
    i32_or_imm_acc u32 |a, b| a | b;
    i32_xor_imm_acc u32 |a, b| a ^ b;
    i32_shl_imm_acc u32 |a, b| a.wrapping_shl(b as u32);
    i32_shr_s_imm_acc i32 |a, b| a.wrapping_shr(b as u32);
    i32_shr_u_imm_acc u32 |a, b| a.wrapping_shr(b as u32);
    i32_rotl_imm_acc u32 |a, b| a.rotate_left(b as u32 & 31);
    i64_add_imm_acc u64 |a, b| a.wrapping_add(b);
    i64_mul_imm_acc u64 |a, b| a.wrapping_mul(b);
    i64_and_imm_acc u64 |a, b| a & b;
    i64_or_imm_acc u64 |a, b| a | b;
    i64_xor_imm_acc u64 |a, b| a ^ b;
    i64_shl_imm_acc u64 |a, b| a.wrapping_shl(b as u32);
    i64_shr_s_imm_acc i64 |a, b| a.wrapping_shr(b as u32);
    i64_shr_u_imm_acc u64 |a, b| a.wrapping_shr(b as u32);
    i64_rotl_imm_acc u64 |a, b| a.rotate_left(b as u32 & 63);
}

/// Floats: `name register type operands of the operation`.
macro_rules! float_acc {
    ($($name:ident $register:ident $ty:ident |$acc:ident, $slot:ident: $field:ident| $result:expr;)*) => {
        handlers! { $(
            fn $name(s, i) {
                let ($acc, $slot): ($ty, $ty) = (s.$register, s.get(i.$field));
                s.set(i.d, $result);
                s.go()
            }
        )* }
    };
}

float_acc! {
    f32_add_acc single f32 |x, y: b| x + y;
    f32_sub_acc single f32 |x, y: b| x - y;
    f32_sub_accb single f32 |x, y: a| y - x;
    f32_mul_acc single f32 |x, y: b| x * y;
    f32_div_acc single f32 |x, y: b| x / y;
    f32_div_accb single f32 |x, y: a| y / x;
    f64_add_acc double f64 |x, y: b| x + y;
    f64_sub_acc double f64 |x, y: b| x - y;
    f64_sub_accb double f64 |x, y: a| y - x;
    f64_mul_acc double f64 |x, y: b| x * y;
    f64_div_acc double f64 |x, y: b| x / y;
    f64_div_accb double f64 |x, y: a| y / x;
}

handlers! {
    fn f64_add_imm_acc(s, i) {
        s.set(i.d, s.double + f64::from_bits(i.b.0));
        s.go()
    }

    fn f64_sub_imm_acc(s, i) {
        s.set(i.d, s.double - f64::from_bits(i.b.0));
        s.go()
    }

    fn f64_mul_imm_acc(s, i) {
        s.set(i.d, s.double * f64::from_bits(i.b.0));
        s.go()
    }

    fn f64_div_imm_acc(s, i) {
        s.set(i.d, s.double / f64::from_bits(i.b.0));
        s.go()
    }

    fn f32_sqrt_acc(s, i) {
        s.set(i.d, s.single.sqrt());
        s.go()
    }

    fn f64_sqrt_acc(s, i) {
        s.set(i.d, s.double.sqrt());
        s.go()
    }

    fn i32_wrap_i64_acc(s, i) {
        s.set(i.d, s.acc as u32);
        s.go()
    }

    fn i64_extend_i32_s_acc(s, i) {
        s.set(i.d, i64::from(s.acc as i32));
        s.go()
    }

    fn i32_add_shl_acc(s, i) {
        let b = s.get::<u32>(i.b).wrapping_shl(u32::from(i.shift.0));
        s.set(i.d, (s.acc as u32).wrapping_add(b));
        s.go()
    }

    fn i32_add_shl_accb(s, i) {
        let b = (s.acc as u32).wrapping_shl(u32::from(i.shift.0));
        s.set(i.d, s.get::<u32>(i.a).wrapping_add(b));
        s.go()
    }

    fn i64_add_shl_acc(s, i) {
        let b = s.get::<u64>(i.b).wrapping_shl(u32::from(i.shift.0));
        s.set(i.d, s.acc.wrapping_add(b));
        s.go()
    }

    fn i64_add_shl_accb(s, i) {
        let b = s.acc.wrapping_shl(u32::from(i.shift.0));
        s.set(i.d, s.get::<u64>(i.a).wrapping_add(b));
        s.go()
    }
}

/// `name type |a, b, c| result;`
macro_rules! ternary {
    ($($name:ident $acc:ident $accb:ident $register:ident $ty:ident
        |$a:ident, $b:ident, $c:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let ($a, $b, $c): ($ty, $ty, $ty) = (s.get(i.a), s.get(i.b), s.get(i.c));
            s.set(i.d, $result);
            s.go()
        }

        fn $acc(s, i) {
            let ($a, $b, $c): ($ty, $ty, $ty) = (s.$register, s.get(i.b), s.get(i.c));
            s.set(i.d, $result);
            s.go()
        }

        fn $accb(s, i) {
            let ($a, $b, $c): ($ty, $ty, $ty) = (s.get(i.a), s.$register, s.get(i.c));
            s.set(i.d, $result);
            s.go()
        }
    )* } };
}

ternary! {
    f32_add_mul f32_add_mul_acc f32_add_mul_accb single f32 |a, b, c| a + b * c;
    f32_sub_mul f32_sub_mul_acc f32_sub_mul_accb single f32 |a, b, c| a - b * c;
    f32_mul_sub f32_mul_sub_acc f32_mul_sub_accb single f32 |a, b, c| b * c - a;
    f64_add_mul f64_add_mul_acc f64_add_mul_accb double f64 |a, b, c| a + b * c;
    f64_sub_mul f64_sub_mul_acc f64_sub_mul_accb double f64 |a, b, c| a - b * c;
    f64_mul_sub f64_mul_sub_acc f64_mul_sub_accb double f64 |a, b, c| b * c - a;
}

macro_rules! unary_acc {
    ($($name:ident $ty:ident |$a:ident| $result:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            let $a = <$ty>::left(&s);
            s.set(i.d, $result);
            s.go()
        }
    )* } };
}

unary_acc! {
    f32_abs_acc f32 |a| a.abs();
    f32_neg_acc f32 |a| -a;
    f32_demote_f64_acc f64 |a| a as f32;
    f64_abs_acc f64 |a| a.abs();
    f64_neg_acc f64 |a| -a;
    f64_promote_f32_acc f32 |a| f64::from(a);
    f32_convert_i32_s_acc i32 |a| a as f32;
    f32_convert_i32_u_acc u32 |a| a as f32;
    f32_convert_i64_s_acc i64 |a| a as f32;
    f32_convert_i64_u_acc u64 |a| a as f32;
    f64_convert_i32_s_acc i32 |a| f64::from(a);
    f64_convert_i32_u_acc u32 |a| f64::from(a);
    f64_convert_i64_s_acc i64 |a| a as f64;
    f64_convert_i64_u_acc u64 |a| a as f64;
    i32_trunc_sat_f32_s_acc f32 |a| a as i32;
    i32_trunc_sat_f32_u_acc f32 |a| a as u32;
    i32_trunc_sat_f64_s_acc f64 |a| a as i32;
    i32_trunc_sat_f64_u_acc f64 |a| a as u32;
    i64_trunc_sat_f32_s_acc f32 |a| a as i64;
    i64_trunc_sat_f32_u_acc f32 |a| a as u64;
    i64_trunc_sat_f64_s_acc f64 |a| a as i64;
    i64_trunc_sat_f64_u_acc f64 |a| a as u64;
}

macro_rules! truncation_acc {
    ($($name:ident $function:ident;)*) => { handlers! { $(
        fn $name(s, i) {
            match numeric::$function(Left::left(&s)) {
                Ok(value) => {
                    s.set(i.d, value);
                    s.go()
                }
                Err(code) => s.trap(code),
            }
        }
    )* } };
}

macro_rules! division_acc {
    ($($name:ident $function:ident;)*) => { handlers! { $(
        fn $name(s, i) {
            match numeric::$function(Left::left(&s), s.get(i.b)) {
                Ok(value) => {
                    s.set(i.d, value);
                    s.go()
                }
                Err(code) => s.trap(code),
            }
        }
    )* } };
}

/// By constants, as in `arithmetic`.
macro_rules! division_imm_acc {
    ($($name:ident $ty:ident $method:ident;)*) => { handlers! { $(
        fn $name(s, i) {
            let value = <$ty>::left(&s).$method(i.b.0 as $ty).unwrap_unchecked();
            s.set(i.d, value);
            s.go()
        }
    )* } };
}

truncation_acc! {
    i32_trunc_f32_s_acc i32_trunc_f32_s;
    i32_trunc_f32_u_acc i32_trunc_f32_u;
    i64_trunc_f32_s_acc i64_trunc_f32_s;
    i64_trunc_f32_u_acc i64_trunc_f32_u;
    i32_trunc_f64_s_acc i32_trunc_f64_s;
    i32_trunc_f64_u_acc i32_trunc_f64_u;
    i64_trunc_f64_s_acc i64_trunc_f64_s;
    i64_trunc_f64_u_acc i64_trunc_f64_u;
}

division_acc! {
    i32_div_s_acc i32_div_s;
    i32_div_u_acc i32_div_u;
    i32_rem_s_acc i32_rem_s;
    i32_rem_u_acc i32_rem_u;
    i64_div_s_acc i64_div_s;
    i64_div_u_acc i64_div_u;
    i64_rem_s_acc i64_rem_s;
    i64_rem_u_acc i64_rem_u;
}

division_imm_acc! {
    i32_div_s_imm_acc i32 checked_div;
    i32_div_u_imm_acc u32 checked_div;
    i32_rem_s_imm_acc i32 checked_rem;
    i32_rem_u_imm_acc u32 checked_rem;
    i64_div_s_imm_acc i64 checked_div;
    i64_div_u_imm_acc u64 checked_div;
    i64_rem_s_imm_acc i64 checked_rem;
    i64_rem_u_imm_acc u64 checked_rem;
}
