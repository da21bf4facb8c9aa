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
#[cfg(all(test, feature = "jit"))]
mod tier_tests;

use crate::Module;
use std::time::Duration;

#[cfg(feature = "cache")]
pub use disk::DiskCache;
#[doc(inline)]
pub use wardian_runtime::code::artifact::is_artifact;
#[doc(inline)]
pub use wardian_runtime::code::cache::{CodeCache, CodeKey, CompiledCode};

impl Module {
    /// Puts what a tiered engine has compiled of the module so far into the engine's cache, and what else is hot, so that
    /// the next process begins with the one and compiles the other at once. Does nothing without a cache, in other
    /// engines, or if the cache has all that.
    ///
    /// The same happens when the module is dropped: when its last handle and instance are gone, and what is being
    /// compiled of it in the background is done. A process that exits earlier calls this before.
    ///
    /// What was hot in an earlier process and is just being compiled is waited for, but no longer than `patience`. Where
    /// that is not enough it has to become hot anew before it is tried again. So a program that is always over before one
    /// of its functions is compiled does not have it compiled in vain each time, if it waits as long as it has run.
    pub fn keep_compiled(&self, patience: Duration) {
        self.0.keep_compiled(patience);
    }
}
