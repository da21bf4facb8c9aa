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

#[cfg(feature = "cache")]
pub use disk::DiskCache;
#[doc(inline)]
pub use wardian_runtime::code::artifact::is_artifact;
#[doc(inline)]
pub use wardian_runtime::code::cache::{CodeCache, CodeKey, CompiledCode};
