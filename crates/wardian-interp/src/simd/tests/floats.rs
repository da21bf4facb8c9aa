//! Operators of float lanes, each against the same operator of numbers.

use super::super as s;

fn singles() -> Vec<f32> {
    let mut all = vec![0.0, 0.4, 0.5, 0.6, 1.0, 1.5, 2.5, 3.5, 0.1, 1e-45, f32::MIN_POSITIVE];
    all.extend([8388607.5, 8388608.0, 8388609.0, 16777216.0, 2147483648.0, 4294967296.0, 1e30]);
    all.extend([2147483520.0, 4294967040.0, 0.49999997, 4194303.5, f32::MAX, f32::INFINITY]);
    all.extend(
        [0x7fc0_0000, 0x7fa0_0000, 0x7f80_0001, 0x7fff_ffff, 0x7fc1_2345].map(f32::from_bits),
    );
    all.extend(all.clone().into_iter().map(|x| f32::from_bits(x.to_bits() ^ 1 << 31)));
    all
}

fn doubles() -> Vec<f64> {
    let mut all: Vec<f64> = singles().into_iter().filter(|x| !x.is_nan()).map(f64::from).collect();
    all.extend([4503599627370495.5, 4503599627370496.0, 9007199254740993.0, 2147483647.9, 1e300]);
    all.extend([2251799813685247.5, 0.49999999999999994, 1e-310, f64::MAX, 4294967295.9]);
    all.extend(
        [2u64, 0x7ff0_0000_0000_0001, 0x7ff8_0000_0000_0000, 0x7ff4_0000_0000_0000]
            .map(f64::from_bits),
    );
    all.extend(all.clone().into_iter().map(|x| f64::from_bits(x.to_bits() ^ 1 << 63)));
    all
}

fn four(x: f32, y: f32) -> u128 {
    [x, y, y, x].iter().rev().fold(0, |v, lane| v << 32 | u128::from(lane.to_bits()))
}

fn two(x: f64, y: f64) -> u128 {
    u128::from(y.to_bits()) << 64 | u128::from(x.to_bits())
}

/// Equal bits, or both NaN and the found one quiet.
fn same_single(found: u32, expected: f32) -> bool {
    let quiet = found & 0x7fc0_0000 == 0x7fc0_0000;
    if expected.is_nan() { quiet } else { found == expected.to_bits() }
}

fn same_double(found: u64, expected: f64) -> bool {
    let quiet = found & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000;
    if expected.is_nan() { quiet } else { found == expected.to_bits() }
}

fn minimum<T: PartialOrd + Copy + std::ops::Add<Output = T>>(x: T, y: T, negative: bool) -> T {
    if x.partial_cmp(&y).is_none() {
        x + y
    } else if x < y || (x == y && negative) {
        x
    } else {
        y
    }
}

fn maximum<T: PartialOrd + Copy + std::ops::Add<Output = T>>(x: T, y: T, negative: bool) -> T {
    if x.partial_cmp(&y).is_none() {
        x + y
    } else if x > y || (x == y && !negative) {
        x
    } else {
        y
    }
}

#[test]
fn one_single() {
    type Table<'a> = &'a [(&'a str, fn(u128) -> u128, fn(f32) -> f32)];
    let table: Table<'_> = &[
        ("ceil", s::f32x4_ceil, f32::ceil),
        ("floor", s::f32x4_floor, f32::floor),
        ("trunc", s::f32x4_trunc, f32::trunc),
        ("nearest", s::f32x4_nearest, f32::round_ties_even),
        ("sqrt", s::f32x4_sqrt, f32::sqrt),
    ];
    for (name, f, definition) in table {
        for (x, y) in singles().into_iter().zip(singles().into_iter().rev()) {
            let found = f(four(x, y));
            for (lane, x) in [x, y, y, x].into_iter().enumerate() {
                let lane = (found >> (32 * lane)) as u32;
                assert!(
                    same_single(lane, definition(x)),
                    "{name} {x} ({:x}): {lane:x}",
                    x.to_bits()
                );
            }
        }
    }
}

#[test]
fn one_double() {
    type Table<'a> = &'a [(&'a str, fn(u128) -> u128, fn(f64) -> f64)];
    let table: Table<'_> = &[
        ("ceil", s::f64x2_ceil, f64::ceil),
        ("floor", s::f64x2_floor, f64::floor),
        ("trunc", s::f64x2_trunc, f64::trunc),
        ("nearest", s::f64x2_nearest, f64::round_ties_even),
        ("sqrt", s::f64x2_sqrt, f64::sqrt),
    ];
    for (name, f, definition) in table {
        for (x, y) in doubles().into_iter().zip(doubles().into_iter().rev()) {
            let found = f(two(x, y));
            for (lane, x) in [x, y].into_iter().enumerate() {
                let lane = (found >> (64 * lane)) as u64;
                assert!(
                    same_double(lane, definition(x)),
                    "{name} {x} ({:x}): {lane:x}",
                    x.to_bits()
                );
            }
        }
    }
}

#[test]
fn two_singles() {
    type Table<'a> = &'a [(&'a str, fn(u128, u128) -> u128, fn(f32, f32) -> f32)];
    let table: Table<'_> = &[
        ("add", s::f32x4_add, |x, y| x + y),
        ("sub", s::f32x4_sub, |x, y| x - y),
        ("mul", s::f32x4_mul, |x, y| x * y),
        ("div", s::f32x4_div, |x, y| x / y),
        ("min", s::f32x4_min, |x, y| minimum(x, y, x.is_sign_negative())),
        ("max", s::f32x4_max, |x, y| maximum(x, y, x.is_sign_negative())),
        ("relaxed_min", s::f32x4_relaxed_min, |x, y| minimum(x, y, x.is_sign_negative())),
        ("relaxed_max", s::f32x4_relaxed_max, |x, y| maximum(x, y, x.is_sign_negative())),
    ];
    for (name, f, definition) in table {
        for x in singles() {
            for y in singles() {
                let found = f(four(x, y), four(y, x));
                for (lane, (x, y)) in [(x, y), (y, x)].into_iter().enumerate() {
                    let lane = (found >> (32 * lane)) as u32;
                    assert!(same_single(lane, definition(x, y)), "{name} {x} {y}: {lane:x}");
                }
                assert_eq!(found as u32, (found >> 96) as u32);
            }
        }
    }
}

#[test]
fn two_doubles() {
    type Table<'a> = &'a [(&'a str, fn(u128, u128) -> u128, fn(f64, f64) -> f64)];
    let table: Table<'_> = &[
        ("add", s::f64x2_add, |x, y| x + y),
        ("sub", s::f64x2_sub, |x, y| x - y),
        ("mul", s::f64x2_mul, |x, y| x * y),
        ("div", s::f64x2_div, |x, y| x / y),
        ("min", s::f64x2_min, |x, y| minimum(x, y, x.is_sign_negative())),
        ("max", s::f64x2_max, |x, y| maximum(x, y, x.is_sign_negative())),
        ("relaxed_min", s::f64x2_relaxed_min, |x, y| minimum(x, y, x.is_sign_negative())),
        ("relaxed_max", s::f64x2_relaxed_max, |x, y| maximum(x, y, x.is_sign_negative())),
    ];
    for (name, f, definition) in table {
        for x in doubles() {
            for y in doubles() {
                let found = f(two(x, y), two(y, x));
                for (lane, (x, y)) in [(x, y), (y, x)].into_iter().enumerate() {
                    let lane = (found >> (64 * lane)) as u64;
                    assert!(same_double(lane, definition(x, y)), "{name} {x} {y}: {lane:x}");
                }
            }
        }
    }
}

/// What chooses an operand or changes its sign keeps the other bits, those of signalling NaNs too.
#[test]
fn bits_of_operands_are_kept() {
    for x in singles() {
        for y in singles() {
            let (a, b) = (four(x, x), four(y, y));
            assert_eq!(s::f32x4_pmin(a, b), if y < x { b } else { a });
            assert_eq!(s::f32x4_pmax(a, b), if x < y { b } else { a });
        }
        let magnitude = u128::MAX / 0xffff_ffff * 0x7fff_ffff;
        assert_eq!(s::f32x4_abs(four(x, -1.0)), four(x, 1.0) & magnitude);
        assert_eq!(s::f32x4_neg(four(x, -1.0)), four(x, -1.0) ^ !magnitude);
    }
    for x in doubles() {
        for y in doubles() {
            let (a, b) = (two(x, x), two(y, y));
            assert_eq!(s::f64x2_pmin(a, b), if y < x { b } else { a });
            assert_eq!(s::f64x2_pmax(a, b), if x < y { b } else { a });
        }
        let magnitude = two(f64::from_bits(u64::MAX >> 1), f64::from_bits(u64::MAX >> 1));
        assert_eq!(s::f64x2_abs(two(x, -1.0)), two(x, 1.0) & magnitude);
        assert_eq!(s::f64x2_neg(two(x, -1.0)), two(x, -1.0) ^ !magnitude);
    }
}

#[test]
fn comparisons() {
    type Table<'a> =
        &'a [(fn(u128, u128) -> u128, fn(u128, u128) -> u128, fn(&f64, &f64) -> bool)];
    let table: Table<'_> = &[
        (s::f32x4_eq, s::f64x2_eq, f64::eq),
        (s::f32x4_ne, s::f64x2_ne, f64::ne),
        (s::f32x4_lt, s::f64x2_lt, f64::lt),
        (s::f32x4_gt, s::f64x2_gt, f64::gt),
        (s::f32x4_le, s::f64x2_le, f64::le),
        (s::f32x4_ge, s::f64x2_ge, f64::ge),
    ];
    for (single, double, definition) in table {
        for x in singles() {
            for y in singles() {
                let holds = definition(&x.into(), &y.into());
                let expected = if holds { u128::MAX } else { 0 };
                assert_eq!(single(four(x, x), four(y, y)), expected, "{x} {y}");
                let (x, y) = (f64::from(x), f64::from(y));
                assert_eq!(double(two(x, x), two(y, y)), expected, "{x} {y}");
            }
        }
    }
}

#[test]
fn conversions_to_integers_saturate() {
    let limit = |x: f64, least: f64, most: f64| {
        if x.is_nan() { 0 } else { x.trunc().clamp(least, most) as i64 }
    };
    let signed = |x| u128::from(limit(x, -2147483648.0, 2147483647.0) as u32);
    let unsigned = |x| u128::from(limit(x, 0.0, 4294967295.0) as u32);
    for x in singles() {
        let all = |lane: u128| lane * (u128::MAX / 0xffff_ffff);
        for f in [s::i32x4_trunc_sat_f32x4_s, s::i32x4_relaxed_trunc_f32x4_s] {
            assert_eq!(f(four(x, x)), all(signed(x.into())), "{x}");
        }
        for f in [s::i32x4_trunc_sat_f32x4_u, s::i32x4_relaxed_trunc_f32x4_u] {
            assert_eq!(f(four(x, x)), all(unsigned(x.into())), "{x}");
        }
    }
    for x in doubles() {
        for f in [s::i32x4_trunc_sat_f64x2_s_zero, s::i32x4_relaxed_trunc_f64x2_s_zero] {
            assert_eq!(f(two(x, 1.0)), signed(x) | 1 << 32, "{x}");
        }
        for f in [s::i32x4_trunc_sat_f64x2_u_zero, s::i32x4_relaxed_trunc_f64x2_u_zero] {
            assert_eq!(f(two(1.0, x)), unsigned(x) << 32 | 1, "{x}");
        }
    }
}

#[test]
fn conversions_to_floats_round_to_even() {
    for (lane, signed, unsigned) in [
        (0u32, 0.0, 0.0),
        (1, 1.0, 1.0),
        (16777217, 16777216.0, 16777216.0),
        (16777219, 16777220.0, 16777220.0),
        (0x7fff_ffff, 2147483648.0, 2147483648.0),
        (0x8000_0000, -2147483648.0, 2147483648.0),
        (0xffff_ffff, -1.0, 4294967296.0),
        (0xffff_ff7f, -129.0, 4294967040.0),
    ] {
        let a = u128::from(lane) * (u128::MAX / 0xffff_ffff);
        assert_eq!(s::f32x4_convert_i32x4_s(a), four(signed, signed), "{lane:x}");
        assert_eq!(s::f32x4_convert_i32x4_u(a), four(unsigned, unsigned), "{lane:x}");
        let (signed, unsigned) = (f64::from(lane as i32), f64::from(lane));
        let low = a as u64 as u128;
        assert_eq!(s::f64x2_convert_low_i32x4_s(low), two(signed, signed), "{lane:x}");
        assert_eq!(s::f64x2_convert_low_i32x4_u(low), two(unsigned, unsigned), "{lane:x}");
    }
}

#[test]
fn conversions_among_floats() {
    for x in singles() {
        let found = s::f64x2_promote_low_f32x4(four(x, 1.0));
        assert!(same_double(found as u64, x.into()), "{x}");
        assert_eq!((found >> 64) as u64, 1.0f64.to_bits());
    }
    for x in doubles() {
        let found = s::f32x4_demote_f64x2_zero(two(x, 1.0));
        assert!(same_single(found as u32, x as f32), "{x}");
        assert_eq!((found >> 32) as u32, 1.0f32.to_bits());
        assert_eq!(found >> 64, 0);
    }
}

#[test]
fn multiply_and_add_rounds_as_the_machine_does() {
    #[cfg(target_arch = "x86_64")]
    let fused = std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    let fused = true;
    // The square has more digits than there is room for: rounded before the sum, all else cancels out.
    let x = 1.0 + f32::EPSILON;
    let rounded = if fused { f32::EPSILON * f32::EPSILON } else { 0.0 };
    let (a, c) = (four(x, x), four(-(x * x), -(x * x)));
    assert_eq!(s::f32x4_relaxed_madd(a, a, c), four(rounded, rounded));
    assert_eq!(s::f32x4_unfused_madd(a, a, c), four(0.0, 0.0));
    let (c, rounded) = (s::f32x4_neg(c), if fused { -rounded } else { 0.0 });
    assert_eq!(s::f32x4_relaxed_nmadd(a, a, c), four(rounded, rounded));
    assert_eq!(s::f32x4_unfused_nmadd(a, a, c), four(0.0, 0.0));
    let x = 1.0 + f64::EPSILON;
    let rounded = if fused { f64::EPSILON * f64::EPSILON } else { 0.0 };
    let (a, c) = (two(x, 2.0), two(-(x * x), 1.0));
    assert_eq!(s::f64x2_relaxed_madd(a, a, c), two(rounded, 5.0));
    assert_eq!(s::f64x2_unfused_madd(a, a, c), two(0.0, 5.0));
    let (c, rounded) = (s::f64x2_neg(c), if fused { -rounded } else { 0.0 });
    assert_eq!(s::f64x2_relaxed_nmadd(a, a, c), two(rounded, -5.0));
    assert_eq!(s::f64x2_unfused_nmadd(a, a, c), two(0.0, -5.0));
}
