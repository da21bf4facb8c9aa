//! A plugin, whose host is `examples/plugin_host.rs`.
//!
//! Build: `rustc -C opt-level=s -C strip=symbols -C panic=abort --edition 2024 --crate-type cdylib \
//!   --target wasm32-unknown-unknown plugin.rs -o plugin-rust.wasm`

use std::alloc::Layout;

#[link(wasm_import_module = "host")]
unsafe extern "C" {
    safe fn log(text: *const u8, len: usize);
}

/// As the host has it: two floats, one after the other.
#[repr(C)]
pub struct Point {
    x: f32,
    y: f32,
}

/// Memory for what the host passes. The host gives it back by [`release`].
#[unsafe(no_mangle)]
pub extern "C" fn reserve(len: usize) -> *mut u8 {
    let Ok(layout) = Layout::from_size_align(len.max(1), 8) else { return std::ptr::null_mut() };
    unsafe { std::alloc::alloc(layout) }
}

/// # Safety
///
/// `at` came from [`reserve`] or [`greet`], with this length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn release(at: *mut u8, len: usize) {
    if let Ok(layout) = Layout::from_size_align(len.max(1), 8) {
        unsafe { std::alloc::dealloc(at, layout) };
    }
}

/// A greeting for a name, as address and length in one number: the address is the upper half.
///
/// # Safety
///
/// There is UTF-8 of this length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greet(name: *const u8, len: usize) -> u64 {
    let name = unsafe { std::slice::from_raw_parts(name, len) };
    let greeting = format!("Hello, {}! (from Rust)", String::from_utf8_lossy(name));
    log(greeting.as_ptr(), greeting.len());
    let at = reserve(greeting.len());
    unsafe { at.copy_from_nonoverlapping(greeting.as_ptr(), greeting.len()) };
    (at as u64) << 32 | greeting.len() as u64
}

/// The position of the point that is nearest to another one; -1 if there are none.
///
/// # Safety
///
/// There are so many points.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nearest(points: *const Point, count: usize, x: f32, y: f32) -> i32 {
    let points = unsafe { std::slice::from_raw_parts(points, count) };
    let distance = |p: &Point| (p.x - x).powi(2) + (p.y - y).powi(2);
    let best = (0..count).min_by(|a, b| distance(&points[*a]).total_cmp(&distance(&points[*b])));
    best.map_or(-1, |at| at as i32)
}
