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
    /// Puts the code that a tiered engine has compiled of the module so far into the engine's cache, and which functions are
    /// hot and not compiled yet. The next process begins with that code, and compiles those functions at once. Does nothing
    /// without a cache, in other engines, or if the cache has all that.
    ///
    /// The same happens when the module is dropped: when its last handle and instance are gone, and what is being
    /// compiled of it in the background is done. A process that exits earlier calls this before.
    ///
    /// If a function that was hot in an earlier process is being compiled, this waits, but no longer than `patience`. If that is
    /// not enough, the function has to become hot again, within one process, before it is compiled early again. Otherwise a
    /// program that ends before one of its functions is compiled would have it compiled in vain at each start.
    pub fn keep_compiled(&self, patience: Duration) {
        self.0.keep_compiled(patience);
    }
}
