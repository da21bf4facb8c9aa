//! Why bytes are not a module that can be run.

use std::fmt;
use wardian_types::{CoreFeatures, ModuleOffset};

/// A module that is malformed, invalid, or uses a feature that is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    message: String,
    offset: Option<ModuleOffset>,
    feature: Option<CoreFeatures>,
}

impl DecodeError {
    pub(crate) fn new(message: impl Into<String>, offset: Option<ModuleOffset>) -> DecodeError {
        DecodeError { message: message.into(), offset, feature: None }
    }

    /// The same error, at this offset unless it has one.
    pub(crate) fn or_at(self, offset: ModuleOffset) -> DecodeError {
        DecodeError { offset: self.offset.or(Some(offset)), ..self }
    }

    pub(crate) fn parser(error: wasmparser::Error) -> DecodeError {
        let feature = error.missing_wasm_feature().and_then(crate::features::from_parser);
        DecodeError {
            feature,
            ..DecodeError::new(error.message(), Some(ModuleOffset::from_u64(error.offset())))
        }
    }

    pub(crate) fn with_feature(mut self, feature: Option<CoreFeatures>) -> DecodeError {
        self.feature = feature.or(self.feature);
        self
    }

    /// What was found and what was expected.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Offset in the module's bytes, where it is known.
    pub fn offset(&self) -> Option<ModuleOffset> {
        self.offset
    }

    /// The feature that, switched on, would allow what was found.
    pub fn feature(&self) -> Option<CoreFeatures> {
        self.feature
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(offset) = self.offset {
            write!(f, " (at byte {offset:#x})")?;
        }
        if let Some(feature) = self.feature {
            write!(f, "; the feature `{feature}`, which is off, would allow it")?;
        }
        Ok(())
    }
}

impl std::error::Error for DecodeError {}
