//! Arithmetic that takes an operand from the register where the instruction before left it. What depends on
//! that need not wait for the slot.

use super::state::handlers;

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
