//! Operators of integer lanes.

use super::super as s;
use super::{check_binary, check_unary, lanes, vector, vectors};

#[test]
fn lanes_one_by_one() {
    check_unary(&[
        ("i8x16.abs", s::i8x16_abs, 8, true, i128::abs),
        ("i8x16.neg", s::i8x16_neg, 8, true, |a| -a),
        ("i16x8.abs", s::i16x8_abs, 16, true, i128::abs),
        ("i16x8.neg", s::i16x8_neg, 16, true, |a| -a),
        ("i32x4.abs", s::i32x4_abs, 32, true, i128::abs),
        ("i32x4.neg", s::i32x4_neg, 32, true, |a| -a),
        ("i64x2.abs", s::i64x2_abs, 64, true, i128::abs),
        ("i64x2.neg", s::i64x2_neg, 64, true, |a| -a),
        ("i8x16.popcnt", s::i8x16_popcnt, 8, false, |a| i128::from(a.count_ones())),
    ]);
}

#[test]
fn arithmetic_of_two_vectors() {
    check_binary(&[
        ("i8x16.add", s::i8x16_add, 8, true, |a, b| a + b),
        ("i8x16.sub", s::i8x16_sub, 8, true, |a, b| a - b),
        ("i8x16.add_sat_s", s::i8x16_add_sat_s, 8, true, |a, b| (a + b).clamp(-128, 127)),
        ("i8x16.add_sat_u", s::i8x16_add_sat_u, 8, false, |a, b| (a + b).clamp(0, 255)),
        ("i8x16.sub_sat_s", s::i8x16_sub_sat_s, 8, true, |a, b| (a - b).clamp(-128, 127)),
        ("i8x16.sub_sat_u", s::i8x16_sub_sat_u, 8, false, |a, b| (a - b).clamp(0, 255)),
        ("i8x16.avgr_u", s::i8x16_avgr_u, 8, false, |a, b| (a + b + 1) / 2),
        ("i8x16.min_s", s::i8x16_min_s, 8, true, i128::min),
        ("i8x16.min_u", s::i8x16_min_u, 8, false, i128::min),
        ("i8x16.max_s", s::i8x16_max_s, 8, true, i128::max),
        ("i8x16.max_u", s::i8x16_max_u, 8, false, i128::max),
        ("i16x8.add", s::i16x8_add, 16, true, |a, b| a + b),
        ("i16x8.sub", s::i16x8_sub, 16, true, |a, b| a - b),
        ("i16x8.mul", s::i16x8_mul, 16, true, |a, b| a * b),
        ("i16x8.add_sat_s", s::i16x8_add_sat_s, 16, true, |a, b| (a + b).clamp(-32768, 32767)),
        ("i16x8.add_sat_u", s::i16x8_add_sat_u, 16, false, |a, b| (a + b).clamp(0, 65535)),
        ("i16x8.sub_sat_s", s::i16x8_sub_sat_s, 16, true, |a, b| (a - b).clamp(-32768, 32767)),
        ("i16x8.sub_sat_u", s::i16x8_sub_sat_u, 16, false, |a, b| (a - b).clamp(0, 65535)),
        ("i16x8.avgr_u", s::i16x8_avgr_u, 16, false, |a, b| (a + b + 1) / 2),
        ("i16x8.min_s", s::i16x8_min_s, 16, true, i128::min),
        ("i16x8.min_u", s::i16x8_min_u, 16, false, i128::min),
        ("i16x8.max_s", s::i16x8_max_s, 16, true, i128::max),
        ("i16x8.max_u", s::i16x8_max_u, 16, false, i128::max),
        ("i32x4.add", s::i32x4_add, 32, true, |a, b| a + b),
        ("i32x4.sub", s::i32x4_sub, 32, true, |a, b| a - b),
        ("i32x4.mul", s::i32x4_mul, 32, true, |a, b| a * b),
        ("i32x4.min_s", s::i32x4_min_s, 32, true, i128::min),
        ("i32x4.min_u", s::i32x4_min_u, 32, false, i128::min),
        ("i32x4.max_s", s::i32x4_max_s, 32, true, i128::max),
        ("i32x4.max_u", s::i32x4_max_u, 32, false, i128::max),
        ("i64x2.add", s::i64x2_add, 64, true, |a, b| a + b),
        ("i64x2.sub", s::i64x2_sub, 64, true, |a, b| a - b),
        ("i64x2.mul", s::i64x2_mul, 64, true, |a, b| a * b),
        ("i16x8_q15mulr_sat_s", s::i16x8_q15mulr_sat_s, 16, true, |a, b| {
            ((a * b + 0x4000) >> 15).min(0x7fff)
        }),
        ("i16x8_relaxed_q15mulr_s", s::i16x8_relaxed_q15mulr_s, 16, true, |a, b| {
            ((a * b + 0x4000) >> 15).min(0x7fff)
        }),
    ]);
}

#[test]
fn comparisons() {
    check_binary(&[
        ("i8x16.eq", s::i8x16_eq, 8, true, |a, b| -i128::from(a == b)),
        ("i8x16.ne", s::i8x16_ne, 8, true, |a, b| -i128::from(a != b)),
        ("i8x16.lt_s", s::i8x16_lt_s, 8, true, |a, b| -i128::from(a < b)),
        ("i8x16.lt_u", s::i8x16_lt_u, 8, false, |a, b| -i128::from(a < b)),
        ("i8x16.gt_s", s::i8x16_gt_s, 8, true, |a, b| -i128::from(a > b)),
        ("i8x16.gt_u", s::i8x16_gt_u, 8, false, |a, b| -i128::from(a > b)),
        ("i8x16.le_s", s::i8x16_le_s, 8, true, |a, b| -i128::from(a <= b)),
        ("i8x16.le_u", s::i8x16_le_u, 8, false, |a, b| -i128::from(a <= b)),
        ("i8x16.ge_s", s::i8x16_ge_s, 8, true, |a, b| -i128::from(a >= b)),
        ("i8x16.ge_u", s::i8x16_ge_u, 8, false, |a, b| -i128::from(a >= b)),
        ("i16x8.eq", s::i16x8_eq, 16, true, |a, b| -i128::from(a == b)),
        ("i16x8.ne", s::i16x8_ne, 16, true, |a, b| -i128::from(a != b)),
        ("i16x8.lt_s", s::i16x8_lt_s, 16, true, |a, b| -i128::from(a < b)),
        ("i16x8.lt_u", s::i16x8_lt_u, 16, false, |a, b| -i128::from(a < b)),
        ("i16x8.gt_s", s::i16x8_gt_s, 16, true, |a, b| -i128::from(a > b)),
        ("i16x8.gt_u", s::i16x8_gt_u, 16, false, |a, b| -i128::from(a > b)),
        ("i16x8.le_s", s::i16x8_le_s, 16, true, |a, b| -i128::from(a <= b)),
        ("i16x8.le_u", s::i16x8_le_u, 16, false, |a, b| -i128::from(a <= b)),
        ("i16x8.ge_s", s::i16x8_ge_s, 16, true, |a, b| -i128::from(a >= b)),
        ("i16x8.ge_u", s::i16x8_ge_u, 16, false, |a, b| -i128::from(a >= b)),
        ("i32x4.eq", s::i32x4_eq, 32, true, |a, b| -i128::from(a == b)),
        ("i32x4.ne", s::i32x4_ne, 32, true, |a, b| -i128::from(a != b)),
        ("i32x4.lt_s", s::i32x4_lt_s, 32, true, |a, b| -i128::from(a < b)),
        ("i32x4.lt_u", s::i32x4_lt_u, 32, false, |a, b| -i128::from(a < b)),
        ("i32x4.gt_s", s::i32x4_gt_s, 32, true, |a, b| -i128::from(a > b)),
        ("i32x4.gt_u", s::i32x4_gt_u, 32, false, |a, b| -i128::from(a > b)),
        ("i32x4.le_s", s::i32x4_le_s, 32, true, |a, b| -i128::from(a <= b)),
        ("i32x4.le_u", s::i32x4_le_u, 32, false, |a, b| -i128::from(a <= b)),
        ("i32x4.ge_s", s::i32x4_ge_s, 32, true, |a, b| -i128::from(a >= b)),
        ("i32x4.ge_u", s::i32x4_ge_u, 32, false, |a, b| -i128::from(a >= b)),
        ("i64x2.eq", s::i64x2_eq, 64, true, |a, b| -i128::from(a == b)),
        ("i64x2.ne", s::i64x2_ne, 64, true, |a, b| -i128::from(a != b)),
        ("i64x2.lt_s", s::i64x2_lt_s, 64, true, |a, b| -i128::from(a < b)),
        ("i64x2.gt_s", s::i64x2_gt_s, 64, true, |a, b| -i128::from(a > b)),
        ("i64x2.le_s", s::i64x2_le_s, 64, true, |a, b| -i128::from(a <= b)),
        ("i64x2.ge_s", s::i64x2_ge_s, 64, true, |a, b| -i128::from(a >= b)),
    ]);
}

#[test]
fn shifts_count_modulo_the_width() {
    type Table<'a> = &'a [(fn(u128, u32) -> u128, u32, bool, fn(i128, u32) -> i128)];
    let left = |a: i128, n: u32| a << n;
    let right = |a: i128, n: u32| a >> n;
    let table: Table<'_> = &[
        (s::i8x16_shl, 8, false, left),
        (s::i8x16_shr_s, 8, true, right),
        (s::i8x16_shr_u, 8, false, right),
        (s::i16x8_shl, 16, false, left),
        (s::i16x8_shr_s, 16, true, right),
        (s::i16x8_shr_u, 16, false, right),
        (s::i32x4_shl, 32, false, left),
        (s::i32x4_shr_s, 32, true, right),
        (s::i32x4_shr_u, 32, false, right),
        (s::i64x2_shl, 64, false, left),
        (s::i64x2_shr_s, 64, true, right),
        (s::i64x2_shr_u, 64, false, right),
    ];
    for (f, bits, signed, definition) in table {
        for a in vectors() {
            for n in (0..130).chain([u32::MAX]) {
                let shifted = lanes(a, *bits, *signed).into_iter().map(|a| definition(a, n % bits));
                assert_eq!(f(a, n), vector(shifted, *bits), "{bits} bits: {a:032x} by {n}");
            }
        }
    }
}

#[test]
fn tests_of_whole_vectors() {
    type Table<'a> = &'a [(fn(u128) -> u32, fn(u128) -> u32, u32)];
    let table: Table<'_> = &[
        (s::i8x16_all_true, s::i8x16_bitmask, 8),
        (s::i16x8_all_true, s::i16x8_bitmask, 16),
        (s::i32x4_all_true, s::i32x4_bitmask, 32),
        (s::i64x2_all_true, s::i64x2_bitmask, 64),
    ];
    let single = (0..128).map(|bit| 1u128 << bit);
    let holes = (0..16).flat_map(|i| [!(0xff << (8 * i)), !(0xffff << (8 * i))]);
    for a in vectors().into_iter().chain(single).chain(holes) {
        assert_eq!(s::v128_any_true(a), u32::from(a != 0));
        for (all_true, bitmask, bits) in table {
            let lanes = lanes(a, *bits, true);
            assert_eq!(all_true(a), u32::from(!lanes.contains(&0)), "{bits} bits: {a:032x}");
            let mask: u32 = lanes.iter().zip(0..).map(|(x, i)| u32::from(*x < 0) << i).sum();
            assert_eq!(bitmask(a), mask, "{bits} bits: {a:032x}");
        }
    }
}

#[test]
fn narrowing_takes_the_nearest() {
    type Table<'a> = &'a [(fn(u128, u128) -> u128, u32, i128, i128)];
    let table: Table<'_> = &[
        (s::i8x16_narrow_i16x8_s, 16, -128, 127),
        (s::i8x16_narrow_i16x8_u, 16, 0, 255),
        (s::i16x8_narrow_i32x4_s, 32, -32768, 32767),
        (s::i16x8_narrow_i32x4_u, 32, 0, 65535),
    ];
    for (f, bits, least, most) in table {
        for (a, b) in pairs() {
            let all = lanes(a, *bits, true).into_iter().chain(lanes(b, *bits, true));
            let expected = vector(all.map(|x| x.clamp(*least, *most)), bits / 2);
            assert_eq!(f(a, b), expected, "{bits} bits: {a:032x} {b:032x}");
        }
    }
}

fn pairs() -> impl Iterator<Item = (u128, u128)> {
    vectors().into_iter().flat_map(|a| vectors().into_iter().map(move |b| (a, b)))
}

#[test]
fn widening() {
    type Table<'a> = &'a [(fn(u128) -> u128, fn(u128, u128) -> u128, u32, bool, bool)];
    let table: Table<'_> = &[
        (s::i16x8_extend_low_i8x16_s, s::i16x8_extmul_low_i8x16_s, 8, true, false),
        (s::i16x8_extend_low_i8x16_u, s::i16x8_extmul_low_i8x16_u, 8, false, false),
        (s::i16x8_extend_high_i8x16_s, s::i16x8_extmul_high_i8x16_s, 8, true, true),
        (s::i16x8_extend_high_i8x16_u, s::i16x8_extmul_high_i8x16_u, 8, false, true),
        (s::i32x4_extend_low_i16x8_s, s::i32x4_extmul_low_i16x8_s, 16, true, false),
        (s::i32x4_extend_low_i16x8_u, s::i32x4_extmul_low_i16x8_u, 16, false, false),
        (s::i32x4_extend_high_i16x8_s, s::i32x4_extmul_high_i16x8_s, 16, true, true),
        (s::i32x4_extend_high_i16x8_u, s::i32x4_extmul_high_i16x8_u, 16, false, true),
        (s::i64x2_extend_low_i32x4_s, s::i64x2_extmul_low_i32x4_s, 32, true, false),
        (s::i64x2_extend_low_i32x4_u, s::i64x2_extmul_low_i32x4_u, 32, false, false),
        (s::i64x2_extend_high_i32x4_s, s::i64x2_extmul_high_i32x4_s, 32, true, true),
        (s::i64x2_extend_high_i32x4_u, s::i64x2_extmul_high_i32x4_u, 32, false, true),
    ];
    for (extend, multiply, bits, signed, high) in table {
        let half = |v| {
            let all = lanes(v, *bits, *signed);
            let half = all.len() / 2;
            if *high { all[half..].to_vec() } else { all[..half].to_vec() }
        };
        for (a, b) in pairs() {
            assert_eq!(extend(a), vector(half(a), bits * 2), "{bits} bits: {a:032x}");
            let products = half(a).into_iter().zip(half(b)).map(|(x, y)| x * y);
            let expected = vector(products, bits * 2);
            assert_eq!(multiply(a, b), expected, "{bits} bits: {a:032x} {b:032x}");
        }
    }
}

#[test]
fn sums_of_neighbours() {
    type Table<'a> = &'a [(fn(u128) -> u128, u32, bool)];
    let table: Table<'_> = &[
        (s::i16x8_extadd_pairwise_i8x16_s, 8, true),
        (s::i16x8_extadd_pairwise_i8x16_u, 8, false),
        (s::i32x4_extadd_pairwise_i16x8_s, 16, true),
        (s::i32x4_extadd_pairwise_i16x8_u, 16, false),
    ];
    for (f, bits, signed) in table {
        for a in vectors() {
            let sums = lanes(a, *bits, *signed)
                .chunks(2)
                .map(|pair| pair[0] + pair[1])
                .collect::<Vec<_>>();
            assert_eq!(f(a), vector(sums, bits * 2), "{bits} bits: {a:032x}");
        }
    }
}

#[test]
fn dot_products() {
    let sums = |a, b, bits| {
        let products: Vec<_> =
            lanes(a, bits, true).iter().zip(lanes(b, bits, true)).map(|(x, y)| x * y).collect();
        vector(products.chunks(2).map(|pair| pair[0] + pair[1]), bits * 2)
    };
    for (a, b) in pairs() {
        assert_eq!(s::i32x4_dot_i16x8_s(a, b), sums(a, b, 16), "{a:032x} {b:032x}");
        let products: Vec<_> =
            lanes(a, 8, true).iter().zip(lanes(b, 8, true)).map(|(x, y)| x * y).collect();
        let saturated = |pair: &[i128]| (pair[0] + pair[1]).min(i16::MAX.into());
        let narrow = vector(products.chunks(2).map(saturated), 16);
        assert_eq!(s::i16x8_relaxed_dot_i8x16_i7x16_s(a, b), narrow, "{a:032x} {b:032x}");
        let narrow = lanes(narrow, 16, true);
        let wide = narrow.chunks(2).zip(lanes(!a, 32, true)).map(|(p, c)| p[0] + p[1] + c);
        let found = s::i32x4_relaxed_dot_i8x16_i7x16_add_s(a, b, !a);
        assert_eq!(found, vector(wide, 32), "{a:032x} {b:032x}");
    }
}
