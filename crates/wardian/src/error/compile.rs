//! Modules that cannot be compiled.

use std::error::Error as StdError;
use std::fmt;

/// A valid module, one of its functions, or the code for calls of host functions could not be compiled.
#[derive(Debug)]
pub struct CompileError {
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl CompileError {
    pub(crate) fn new(
        message: String,
        source: Option<Box<dyn StdError + Send + Sync>>,
    ) -> CompileError {
        CompileError { message, source }
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
