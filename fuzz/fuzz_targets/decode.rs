//! The target `decode` for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wardian_fuzz::run_one("decode", data));
