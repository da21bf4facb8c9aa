//! Arithmetic of WebAssembly where it is not Rust's.

use wardian_types::TrapCode;
use wardian_types::TrapCode::{BadConversionToInteger, IntegerDivisionByZero, IntegerOverflow};

macro_rules! divisions {
    ($($signed:ty, $unsigned:ty: $div_s:ident $div_u:ident $rem_s:ident $rem_u:ident;)*) => { $(
        #[inline(always)]
        pub(super) fn $div_s(a: $signed, b: $signed) -> Result<$signed, TrapCode> {
            if b == 0 {
                return Err(IntegerDivisionByZero);
            }
            a.checked_div(b).ok_or(IntegerOverflow)
        }

        #[inline(always)]
        pub(super) fn $div_u(a: $unsigned, b: $unsigned) -> Result<$unsigned, TrapCode> {
            a.checked_div(b).ok_or(IntegerDivisionByZero)
        }

        #[inline(always)]
        pub(super) fn $rem_s(a: $signed, b: $signed) -> Result<$signed, TrapCode> {
            if b == 0 {
                return Err(IntegerDivisionByZero);
            }
            Ok(a.wrapping_rem(b))
        }

        #[inline(always)]
        pub(super) fn $rem_u(a: $unsigned, b: $unsigned) -> Result<$unsigned, TrapCode> {
            a.checked_rem(b).ok_or(IntegerDivisionByZero)
        }
    )* };
}

divisions! {
    i32, u32: i32_div_s i32_div_u i32_rem_s i32_rem_u;
    i64, u64: i64_div_s i64_div_u i64_rem_s i64_rem_u;
}

macro_rules! floats {
    ($($float:ty: $min:ident $max:ident $canonical:ident $nan:expr;)*) => { $(
        /// A NaN if either is one; negative zero is less than zero.
        #[inline(always)]
        pub(super) fn $min(a: $float, b: $float) -> $float {
            if a < b {
                a
            } else if b < a {
                b
            } else if a == b {
                // Equal, or zeros of either sign.
                <$float>::from_bits(a.to_bits() | b.to_bits())
            } else {
                a + b
            }
        }

        /// A NaN if either is one; zero is greater than negative zero.
        #[inline(always)]
        pub(super) fn $max(a: $float, b: $float) -> $float {
            if a > b {
                a
            } else if b > a {
                b
            } else if a == b {
                <$float>::from_bits(a.to_bits() & b.to_bits())
            } else {
                a + b
            }
        }

        #[inline(always)]
        pub(super) fn $canonical(a: $float) -> $float {
            if a.is_nan() { <$float>::from_bits($nan) } else { a }
        }
    )* };
}

floats! {
    f32: f32_min f32_max f32_canonical 0x7fc0_0000;
    f64: f64_min f64_max f64_canonical 0x7ff8_0000_0000_0000;
}

/// Conversions that trap: `low` is the greatest float below the range or the least in it, as the
/// comparison says; `high` is the least above.
macro_rules! truncations {
    ($($name:ident $float:ty => $int:ty: $low:literal $compare:tt $high:literal;)*) => { $(
        #[inline(always)]
        #[allow(clippy::manual_range_contains, reason = "some ranges do not include their beginning")]
        pub(super) fn $name(a: $float) -> Result<$int, TrapCode> {
            if a $compare $low && a < $high {
                // SAFETY: it is in range, and so no NaN.
                return Ok(unsafe { a.to_int_unchecked() });
            }
            Err(if a.is_nan() { BadConversionToInteger } else { IntegerOverflow })
        }
    )* };
}

truncations! {
    i32_trunc_f32_s f32 => i32: -2147483648.0 >= 2147483648.0;
    i32_trunc_f32_u f32 => u32: -1.0 > 4294967296.0;
    i32_trunc_f64_s f64 => i32: -2147483649.0 > 2147483648.0;
    i32_trunc_f64_u f64 => u32: -1.0 > 4294967296.0;
    i64_trunc_f32_s f32 => i64: -9223372036854775808.0 >= 9223372036854775808.0;
    i64_trunc_f32_u f32 => u64: -1.0 > 18446744073709551616.0;
    i64_trunc_f64_s f64 => i64: -9223372036854775808.0 >= 9223372036854775808.0;
    i64_trunc_f64_u f64 => u64: -1.0 > 18446744073709551616.0;
}
