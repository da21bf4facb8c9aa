//! Wrong uses of the API.

use std::fmt;

/// The API was used in a way that makes no sense: [`UsageError::kind`] says in which way, the text says what exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    kind: UsageKind,
    message: String,
}

/// The ways in which the API can be used wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UsageKind {
    /// An object was used with a store that it does not belong to.
    OtherStore,
    /// A module, store or linker was used with one of another engine.
    OtherEngine,
    /// A value, function, memory or table has another type than the one that is needed, or there can be no such type.
    Type,
    /// There is no export, index, field or type of that name or number.
    NotFound,
    /// An index or an address is outside of a table, an object or a memory.
    OutOfBounds,
    /// The engine or the call was made without what is needed; the text names the option.
    Disabled,
    /// What may be there once is there already.
    Duplicate,
    /// The store or the call is in a state in which it cannot be done.
    State,
    /// The bytes are no compiled module that this engine can use: compile the module again.
    Artifact,
    /// The bytes are no profile of a module, or the profile is of another module.
    Profile,
    /// Code of the embedder's broke a promise that its trait asks for.
    Contract,
}

impl UsageError {
    /// That it was used wrongly.
    #[doc(hidden)]
    pub fn new(kind: UsageKind, message: String) -> UsageError {
        UsageError { kind, message }
    }

    /// In which way the API was used wrongly.
    pub fn kind(&self) -> UsageKind {
        self.kind
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for UsageError {}
