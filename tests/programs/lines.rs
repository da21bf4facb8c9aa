//! A library with debug information, for backtraces with source lines.
//!
//! Build: `rustc --edition 2024 --crate-type cdylib -C debuginfo=2 -C opt-level=1 -C panic=abort
//! --remap-path-prefix=$PWD=programs --target wasm32-unknown-unknown lines.rs -o lines.wasm`

#![no_std]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

#[inline(never)]
fn divide(a: i32, b: i32) -> i32 {
    if b == 0 {
        core::arch::wasm32::unreachable(); // line 16
    }
    a / b
}

#[inline]
fn average(sum: i32, count: i32) -> i32 {
    divide(sum, count) // line 23, inlined into `entry`
}

/// The average of nothing.
#[unsafe(no_mangle)]
pub extern "C" fn entry(sum: i32) -> i32 {
    average(sum, sum - sum) + 1 // line 29
}
