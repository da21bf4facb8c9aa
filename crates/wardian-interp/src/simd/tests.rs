//! Each operator against a definition in plain numbers: integers of unlimited size, the rules of floats.

mod floats;
mod integers;
mod moves;

/// Vectors whose lanes meet each other's edges in all widths.
fn vectors() -> Vec<u128> {
    let mut all = vec![0, u128::MAX];
    for lane in [0u8, 1, 2, 0x7e, 0x7f, 0x80, 0x81, 0xfe, 0xff] {
        all.push(u128::from(lane) * (u128::MAX / 0xff));
    }
    for lane in [1u16, 0x7fff, 0x8000, 0x8001, 0xff80, 0x00ff] {
        all.push(u128::from(lane) * (u128::MAX / 0xffff));
    }
    for lane in [1u32, 0x7fff_ffff, 0x8000_0000, 0xffff_8000, 0x0000_7fff] {
        all.push(u128::from(lane) * (u128::MAX / 0xffff_ffff));
    }
    for lane in [1u64, i64::MAX as u64, i64::MIN as u64] {
        all.push(u128::from(lane) * (u128::MAX / u128::from(u64::MAX)));
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
    for _ in 0..60 {
        state = state.wrapping_mul(0xda94_2042_e4dd_58b5_1234_5678_9abc_def1).wrapping_add(0x1357);
        all.push(state ^ state >> 61);
    }
    all
}

/// The lanes of a width, as signed or unsigned numbers.
fn lanes(vector: u128, bits: u32, signed: bool) -> Vec<i128> {
    (0..128 / bits)
        .map(|i| {
            let lane = (vector >> (i * bits)) & (u128::MAX >> (128 - bits));
            let negative = signed && lane >> (bits - 1) == 1;
            lane as i128 - if negative { 1 << bits } else { 0 }
        })
        .collect()
}

/// The vector of these lanes, cut to a width; lanes that are missing are zero.
fn vector(lanes: impl IntoIterator<Item = i128>, bits: u32) -> u128 {
    let cut = u128::MAX >> (128 - bits);
    lanes.into_iter().zip(0..).map(|(lane, i)| (lane as u128 & cut) << (i * bits)).sum()
}

/// A table of functions of one vector.
type Unary<'a> = &'a [(&'a str, fn(u128) -> u128, u32, bool, fn(i128) -> i128)];
/// A table of functions of two vectors.
type Binary<'a> = &'a [(&'a str, fn(u128, u128) -> u128, u32, bool, fn(i128, i128) -> i128)];

fn check_unary(table: Unary<'_>) {
    for (name, f, bits, signed, definition) in table {
        for a in vectors() {
            let expected = vector(lanes(a, *bits, *signed).into_iter().map(definition), *bits);
            assert_eq!(f(a), expected, "{name} {a:032x}: {:032x}, not {expected:032x}", f(a));
        }
    }
}

fn check_binary(table: Binary<'_>) {
    for (name, f, bits, signed, definition) in table {
        for a in vectors() {
            for b in vectors() {
                let (x, y) = (lanes(a, *bits, *signed), lanes(b, *bits, *signed));
                let expected = x.iter().zip(&y).map(|(x, y)| definition(*x, *y));
                let (expected, found) = (vector(expected, *bits), f(a, b));
                assert_eq!(found, expected, "{name} {a:032x} {b:032x}: {found:032x}");
            }
        }
    }
}
