//! The target `checkpoints` for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wardian_fuzz::run_one("checkpoints", data));
