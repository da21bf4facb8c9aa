//! Register bytecode and its executor.

#[allow(dead_code, unused_imports, reason = "the executor uses what a guest uses")]
mod simd;
