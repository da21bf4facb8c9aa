//! The compiled engine, or what stands for it in a build without.

#[cfg(not(feature = "jit"))]
mod absent;

#[cfg(not(feature = "jit"))]
pub use absent::*;
#[cfg(feature = "jit")]
pub use wardian_jit::*;
