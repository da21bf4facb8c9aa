//! The compiled engine, or its substitute in a build without.

#[cfg(not(feature = "jit"))]
mod absent;

#[cfg(not(feature = "jit"))]
pub use absent::*;
#[cfg(feature = "jit")]
pub use wardian_jit::*;
