//! Limits that were reached.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// A limit was reached: [`LimitError::kind`] says whose, the text says which.
#[derive(Clone, Debug)]
pub struct LimitError {
    kind: LimitKind,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// Whose limits there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitKind {
    /// The store's `ResourceLimiter` refused it, or the maximum in the type of a memory or table.
    Store,
    /// A limit of the engine: of its configuration, such as `Config::code_limit`, or of
    /// Wardian itself.
    Engine,
    /// A memory allocator of the embedder's, such as a
    /// `PoolingAllocator`, has nothing left that fits.
    Allocator,
    /// The system gives no more: memory, address space, threads. The source of the error is the system's own, where
    /// it gave one.
    System,
}

impl LimitError {
    /// That a limit was reached.
    #[doc(hidden)]
    pub fn new(
        kind: LimitKind,
        message: String,
        source: Option<Box<dyn StdError + Send + Sync>>,
    ) -> LimitError {
        LimitError { kind, message, source: source.map(Arc::from) }
    }

    /// The system refused something, for this reason.
    #[doc(hidden)]
    pub fn system(what: impl fmt::Display, reason: Box<dyn StdError + Send + Sync>) -> LimitError {
        LimitError::new(LimitKind::System, format!("{what}: {reason}"), Some(reason))
    }

    /// Whose limit was reached.
    pub fn kind(&self) -> LimitKind {
        self.kind
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for LimitError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
