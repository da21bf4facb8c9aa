//! A library with debug information that takes its time in a line of an inlined function, for profiles.
//!
//! Build: `rustc --edition 2024 --crate-type cdylib -C debuginfo=2 -C opt-level=1 -C panic=abort
//! --remap-path-prefix=$PWD=programs --target wasm32-unknown-unknown hot.rs -o hot.wasm`

#![no_std]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

#[inline(always)]
fn step(seed: u32) -> u32 {
    seed.wrapping_mul(747_796_405).rotate_left(7) ^ seed.wrapping_mul(277_803_737).rotate_left(13) // line 15
}

#[inline(never)]
fn churn(mut seed: u32, rounds: u32) -> u32 {
    for _ in 0..rounds {
        seed = step(seed); // line 21, into which all of line 15 is inlined
    }
    seed
}

/// Something that cannot be foretold.
#[unsafe(no_mangle)]
pub extern "C" fn run(rounds: u32) -> u32 {
    churn(1, rounds) ^ churn(2, rounds / 8)
}
