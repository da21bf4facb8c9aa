//! Compiled code that is kept, in a cache or as an artifact.

#[cfg(feature = "cache")]
mod disk;
#[cfg(feature = "cache")]
mod entry;
#[cfg(all(feature = "cache", unix))]
mod folder;
#[cfg(all(feature = "cache", not(unix)))]
#[path = "no_folder.rs"]
mod folder;
#[cfg(all(test, feature = "cache", feature = "jit"))]
mod tests;

pub use crate::artifact::is_artifact;
pub use crate::jit::CompiledCode;
pub use crate::module::CodeCache;
pub use crate::origin::CodeKey;
#[cfg(feature = "cache")]
pub use disk::DiskCache;
