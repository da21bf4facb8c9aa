//! The target `profiles` for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wardian_fuzz::run_one("profiles", data));
