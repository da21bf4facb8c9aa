//! What is done with a shifted operand, or with the result of a shift, in one go; and with constants of 64 bits.

use super::state::handlers;

/// `name with a, with b from the register, type |a, b, distance| result;`
macro_rules! shifted {
    ($($name:ident $acc:ident $accb:ident $ty:ident |$a:ident, $b:ident, $n:ident| $result:expr;)*) => {
        handlers! { $(
            fn $name(s, i) {
                let ($a, $b, $n) = (s.get::<$ty>(i.a), s.get::<$ty>(i.b), u32::from(i.shift.0));
                s.set(i.d, $result);
                s.go()
            }

            fn $acc(s, i) {
                let ($a, $b, $n) = (s.acc as $ty, s.get::<$ty>(i.b), u32::from(i.shift.0));
                s.set(i.d, $result);
                s.go()
            }

            fn $accb(s, i) {
                let ($a, $b, $n) = (s.get::<$ty>(i.a), s.acc as $ty, u32::from(i.shift.0));
                s.set(i.d, $result);
                s.go()
            }
        )* }
    };
}

shifted! {
    i32_or_shl i32_or_shl_acc i32_or_shl_accb u32 |a, b, n| a | b.wrapping_shl(n);
    i32_xor_shl i32_xor_shl_acc i32_xor_shl_accb u32 |a, b, n| a ^ b.wrapping_shl(n);
    i32_xor_shr_u i32_xor_shr_u_acc i32_xor_shr_u_accb u32 |a, b, n| a ^ b.wrapping_shr(n);
    i32_xor_rotl i32_xor_rotl_acc i32_xor_rotl_accb u32 |a, b, n| a ^ b.rotate_left(n & 31);
    i64_or_shl i64_or_shl_acc i64_or_shl_accb u64 |a, b, n| a | b.wrapping_shl(n);
    i64_xor_shl i64_xor_shl_acc i64_xor_shl_accb u64 |a, b, n| a ^ b.wrapping_shl(n);
    i64_xor_shr_u i64_xor_shr_u_acc i64_xor_shr_u_accb u64 |a, b, n| a ^ b.wrapping_shr(n);
    i64_xor_rotl i64_xor_rotl_acc i64_xor_rotl_accb u64 |a, b, n| a ^ b.rotate_left(n & 63);
}

handlers! {
    fn i32_bits(s, i) {
        let a = s.get::<u32>(i.a).wrapping_shr(u32::from(i.shift.0));
        s.set(i.d, a & i.b.0 as u32);
        s.go()
    }

    fn i32_bits_acc(s, i) {
        let a = (s.acc as u32).wrapping_shr(u32::from(i.shift.0));
        s.set(i.d, a & i.b.0 as u32);
        s.go()
    }

    fn i64_bits(s, i) {
        let a = s.get::<u64>(i.a).wrapping_shr(u32::from(i.shift.0));
        s.set(i.d, a & i.b.0 as u64);
        s.go()
    }

    fn i64_bits_acc(s, i) {
        let a = s.acc.wrapping_shr(u32::from(i.shift.0));
        s.set(i.d, a & i.b.0 as u64);
        s.go()
    }

    fn i64_add_const(s, i) {
        s.set(i.d, s.get::<u64>(i.a).wrapping_add(i.b.0));
        s.go()
    }

    fn i64_add_const_acc(s, i) {
        s.set(i.d, s.acc.wrapping_add(i.b.0));
        s.go()
    }

    fn i64_mul_const(s, i) {
        s.set(i.d, s.get::<u64>(i.a).wrapping_mul(i.b.0));
        s.go()
    }

    fn i64_mul_const_acc(s, i) {
        s.set(i.d, s.acc.wrapping_mul(i.b.0));
        s.go()
    }

    fn i64_and_const(s, i) {
        s.set(i.d, s.get::<u64>(i.a) & i.b.0);
        s.go()
    }

    fn i64_and_const_acc(s, i) {
        s.set(i.d, s.acc & i.b.0);
        s.go()
    }

    fn i64_xor_const(s, i) {
        s.set(i.d, s.get::<u64>(i.a) ^ i.b.0);
        s.go()
    }

    fn i64_xor_const_acc(s, i) {
        s.set(i.d, s.acc ^ i.b.0);
        s.go()
    }
}
