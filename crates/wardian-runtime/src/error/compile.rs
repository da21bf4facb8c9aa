//! Modules that cannot be compiled.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// A valid module, one of its functions, or the code for calls of host functions could not be compiled.
#[derive(Clone, Debug)]
pub struct CompileError {
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl CompileError {
    /// That something could not be compiled, with why.
    #[doc(hidden)]
    pub fn new(message: String, source: Option<Box<dyn StdError + Send + Sync>>) -> CompileError {
        CompileError { message, source: source.map(Arc::from) }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the module cannot be compiled: {}", self.message)
    }
}

impl StdError for CompileError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
