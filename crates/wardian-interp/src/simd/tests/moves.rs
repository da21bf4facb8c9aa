//! Operators that move bits and choose among them.

use super::super as s;
use super::{lanes, vector, vectors};

const BYTES: u128 = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;

#[test]
fn bits() {
    for a in vectors() {
        for b in vectors() {
            assert_eq!(s::v128_not(a), !a);
            assert_eq!(s::v128_and(a, b), a & b);
            assert_eq!(s::v128_andnot(a, b), a & !b);
            assert_eq!(s::v128_or(a, b), a | b);
            assert_eq!(s::v128_xor(a, b), a ^ b);
            let mask = BYTES;
            for f in [s::v128_bitselect, s::i8x16_relaxed_laneselect, s::i64x2_relaxed_laneselect] {
                for bit in 0..128 {
                    let from = if mask >> bit & 1 == 1 { a } else { b };
                    assert_eq!(f(a, b, mask) >> bit & 1, from >> bit & 1);
                }
            }
            assert_eq!(s::i16x8_relaxed_laneselect(a, b, mask), s::v128_bitselect(a, b, mask));
            assert_eq!(s::i32x4_relaxed_laneselect(a, b, mask), s::v128_bitselect(a, b, mask));
        }
    }
}

#[test]
fn replacing_takes_the_low_bits() {
    type Table<'a> = &'a [(fn(u128, u64, u8) -> u128, u32)];
    let table: Table<'_> = &[
        (s::i8x16_replace_lane, 8),
        (s::i16x8_replace_lane, 16),
        (s::i32x4_replace_lane, 32),
        (s::i64x2_replace_lane, 64),
        (s::f32x4_replace_lane, 32),
        (s::f64x2_replace_lane, 64),
    ];
    for (f, bits) in table {
        for a in vectors() {
            for number in 0..128 / bits {
                let x = 0xfedc_ba98_7fa0_0001;
                let mut expected = lanes(a, *bits, false);
                expected[number as usize] = i128::from(x);
                assert_eq!(f(a, x, number as u8), vector(expected, *bits), "{bits} bits");
            }
        }
    }
}

#[test]
fn splats() {
    let x = 0xfedc_ba98_7fa0_0001_u64;
    let low = x as u32;
    let all = |bits| vector((0..128 / bits).map(|_| i128::from(x)), bits);
    assert_eq!(s::i8x16_splat(low), all(8));
    assert_eq!(s::i16x8_splat(low), all(16));
    assert_eq!(s::i32x4_splat(low), all(32));
    assert_eq!(s::f32x4_splat(low), all(32));
    assert_eq!(s::i64x2_splat(x), all(64));
    assert_eq!(s::f64x2_splat(x), all(64));
}

#[test]
fn shuffles() {
    for f in [s::i8x16_swizzle, s::i8x16_relaxed_swizzle] {
        for b in vectors().into_iter().chain([BYTES, BYTES << 4, BYTES.swap_bytes()]) {
            let source = lanes(!BYTES, 8, false);
            let pick = |i: i128| source.get(i as usize).copied().unwrap_or(0);
            let expected = vector(lanes(b, 8, false).into_iter().map(pick), 8);
            assert_eq!(f(!BYTES, b), expected, "{b:032x}");
        }
    }
    let (a, b) = (BYTES, BYTES + 0x1010_1010_1010_1010_1010_1010_1010_1010);
    for start in 0..=16 {
        let numbers: [u8; 16] = std::array::from_fn(|i| (i as u8 * 7 + start) % 32);
        // Bytes have the numbers that they are called by.
        assert_eq!(s::i8x16_shuffle(a, b, numbers), u128::from_le_bytes(numbers));
    }
}

#[test]
fn loads_widen() {
    type Table<'a> = &'a [(fn(u64) -> u128, u32, bool)];
    let table: Table<'_> = &[
        (s::v128_load8x8_s, 8, true),
        (s::v128_load8x8_u, 8, false),
        (s::v128_load16x4_s, 16, true),
        (s::v128_load16x4_u, 16, false),
        (s::v128_load32x2_s, 32, true),
        (s::v128_load32x2_u, 32, false),
    ];
    for (f, bits, signed) in table {
        for a in vectors() {
            let half = lanes(a, *bits, *signed).into_iter().take(64 / *bits as usize);
            assert_eq!(f(a as u64), vector(half, bits * 2), "{bits} bits: {:016x}", a as u64);
        }
    }
}
