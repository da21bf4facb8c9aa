//! Kernels in SIMD instructions.

use crate::{Random, mix};
use std::arch::wasm32::*;
use std::hint::black_box;

fn load(from: &[f32], at: usize) -> v128 {
    let from: &[f32; 4] = from[at..at + 4].try_into().unwrap();
    // SAFETY: sixteen bytes, any alignment.
    unsafe { v128_load(from.as_ptr().cast()) }
}

fn load_bytes(from: &[u8], at: usize) -> v128 {
    let from: &[u8; 16] = from[at..at + 16].try_into().unwrap();
    // SAFETY: sixteen bytes, any alignment.
    unsafe { v128_load(from.as_ptr().cast()) }
}

/// Dot products of 16,384 floats.
#[unsafe(no_mangle)]
extern "C" fn simd_dot(n: i32) -> i64 {
    let mut random = Random::new(21);
    let a: Vec<f32> = (0..16_384).map(|_| random.unit() as f32).collect();
    let b: Vec<f32> = (0..16_384).map(|_| random.unit() as f32).collect();
    let mut sum = 0;
    for _ in 0..n * 10 {
        let (a, b) = (black_box(&a[..]), black_box(&b[..]));
        let mut parts = [f32x4_splat(0.0); 4];
        for at in (0..16_384).step_by(16) {
            for (k, part) in parts.iter_mut().enumerate() {
                let product = f32x4_mul(load(a, at + 4 * k), load(b, at + 4 * k));
                *part = f32x4_add(*part, product);
            }
        }
        let all = f32x4_add(f32x4_add(parts[0], parts[1]), f32x4_add(parts[2], parts[3]));
        let dot = f32x4_extract_lane::<0>(all)
            + f32x4_extract_lane::<1>(all)
            + f32x4_extract_lane::<2>(all)
            + f32x4_extract_lane::<3>(all);
        sum = mix(sum, u64::from(dot.to_bits()));
    }
    sum
}

/// A box blur of a 256 × 256 grey image: widening adds, shifts, narrowing.
#[unsafe(no_mangle)]
extern "C" fn simd_blur(n: i32) -> i64 {
    const SIDE: usize = 256;
    let mut random = Random::new(22);
    let mut image: Vec<u8> = (0..SIDE * SIDE).map(|_| random.next() as u8).collect();
    let mut next = image.clone();
    for _ in 0..n {
        for y in 1..SIDE - 1 {
            for x in (1..SIDE - 16).step_by(15) {
                let (mut low, mut high) = (u16x8_splat(0), u16x8_splat(0));
                for row in [y - 1, y, y + 1] {
                    for shift in 0..3 {
                        let pixels = load_bytes(&image, row * SIDE + x + shift - 1);
                        low = u16x8_add(low, u16x8_extend_low_u8x16(pixels));
                        high = u16x8_add(high, u16x8_extend_high_u8x16(pixels));
                    }
                }
                // × 7282 / 65536: a ninth.
                let ninth = u16x8_splat(7282);
                let part = |v: v128| {
                    let (a, b) =
                        (u32x4_extmul_low_u16x8(v, ninth), u32x4_extmul_high_u16x8(v, ninth));
                    i16x8_narrow_i32x4(u32x4_shr(a, 16), u32x4_shr(b, 16))
                };
                let pixels = u8x16_narrow_i16x8(part(low), part(high));
                let to: &mut [u8; 16] =
                    (&mut next[y * SIDE + x..y * SIDE + x + 16]).try_into().unwrap();
                // SAFETY: sixteen bytes, any alignment.
                unsafe { v128_store(to.as_mut_ptr().cast(), pixels) };
            }
        }
        std::mem::swap(&mut image, &mut next);
        image[SIDE + 1] ^= 0x55;
    }
    image.iter().step_by(7).fold(0, |sum, b| mix(sum, u64::from(*b)))
}

/// The Mandelbrot set, two points at a time in doubles.
#[unsafe(no_mangle)]
extern "C" fn simd_mandelbrot(n: i32) -> i64 {
    let mut sum = 0;
    for frame in 0..n {
        for y in 0..48 {
            for x in (0..64).step_by(2) {
                let fx = f64::from(x) / 24.0 - 2.0;
                let cx = f64x2(fx, fx + 1.0 / 24.0);
                let cy = f64x2_splat(f64::from(y) / 24.0 - 1.0 + f64::from(frame) * 1e-3);
                let (mut zx, mut zy) = (cx, cy);
                let mut count = i64x2_splat(0);
                for _ in 0..60 {
                    let (xx, yy) = (f64x2_mul(zx, zx), f64x2_mul(zy, zy));
                    let inside = f64x2_lt(f64x2_add(xx, yy), f64x2_splat(4.0));
                    if !v128_any_true(inside) {
                        break;
                    }
                    count = i64x2_sub(count, inside);
                    let xy = f64x2_mul(zx, zy);
                    zy = f64x2_add(f64x2_add(xy, xy), cy);
                    zx = f64x2_add(f64x2_sub(xx, yy), cx);
                }
                sum = mix(sum, i64x2_extract_lane::<0>(count) as u64);
                sum = mix(sum, i64x2_extract_lane::<1>(count) as u64);
            }
        }
    }
    sum
}

/// Finds bytes in text: comparisons, bit masks, shuffles.
#[unsafe(no_mangle)]
extern "C" fn simd_scan(n: i32) -> i64 {
    let text = crate::codec::prose(64 << 10, 4);
    let mut sum = 0;
    for round in 0..n * 10 {
        let text = black_box(&text[..]);
        let needle = u8x16_splat(b'a' + (round % 26) as u8);
        let (mut found, mut order) = (0u64, u8x16_splat(0));
        for at in (0..text.len()).step_by(16) {
            let bytes = load_bytes(text, at);
            let mask = u8x16_bitmask(u8x16_eq(bytes, needle));
            found += u64::from(mask.count_ones());
            let turned =
                u8x16_shuffle::<15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0>(bytes, bytes);
            order = v128_xor(u8x16_add(order, turned), u8x16_swizzle(bytes, order));
        }
        sum = mix(mix(sum, found), i64x2_extract_lane::<0>(order) as u64);
    }
    sum
}
